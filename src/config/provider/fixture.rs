//! A provider as tests need it; each changes what it is about.

use std::time::Duration;

use indexmap::IndexMap;
use url::Url;

use super::{
    EntryRules, IdTokenAlg, IdentityRules, IssuerRule, Logout, Provider, Recheck, ResponseIss, Tenants,
    UpstreamClientAuth, Userinfo,
    id_jag::{IdJag, Replay},
};
use crate::config::claims::{ClaimPath, ClaimPaths};

pub(crate) fn path(text: &str) -> ClaimPath {
    ClaimPath::try_from(text.to_owned()).unwrap()
}

/// A generic OIDC provider into which anyone may come.
pub(crate) fn provider() -> Provider {
    Provider {
        id: "acme".to_owned().try_into().unwrap(),
        preset: "oidc".into(),
        name: "Acme".into(),
        contact: None,
        issuer: IssuerRule::Exact("https://idp.acme.com".into()),
        discovery_url: Url::parse("https://idp.acme.com/.well-known/openid-configuration").unwrap(),
        client_id: "us".into(),
        client_auth: UpstreamClientAuth::None,
        scopes: vec!["openid".into(), "email".into()],
        authorize_params: IndexMap::new(),
        pkce: true,
        prompt_login: "login".into(),
        max_age: None,
        response_iss: ResponseIss::WhenAnnounced,
        id_token_algs: vec![IdTokenAlg::Es256],
        claims: ClaimPaths {
            subject: vec![path("sub")],
            email: path("email"),
            email_verified: Some(path("email_verified")),
            name: path("name"),
            groups: Some(path("groups")),
            tenant: None,
        },
        userinfo: Userinfo::WhenMissing,
        leeway: Duration::from_secs(30),
        organization: Some("acme".into()),
        email_domains: Vec::new(),
        sign_in: EntryRules::Anyone,
        logout: Logout::Here,
        recheck: Recheck::Here,
        keeps: None,
        identity: IdentityRules::default(),
        id_jag: None,
        workload: None,
    }
}

/// One whose issuer is a template over tenants, of which `t1` and `t2` are let in.
pub(crate) fn multi_tenant() -> Provider {
    let mut provider = provider();
    let tenants = Tenants::new(["t1".to_owned(), "t2".to_owned()]).unwrap();
    provider.issuer = IssuerRule::Template { template: "https://login.example/{tid}/v2.0".into(), tenants };
    provider.claims.tenant = Some(path("tid"));
    provider.claims.subject = vec![path("oid")];
    provider
}

/// Assertions of nobody, which give nothing.
pub(crate) fn id_jag() -> IdJag {
    IdJag {
        allow: IndexMap::new(),
        issuers: Vec::new(),
        algorithms: vec![IdTokenAlg::Es256],
        replay: Replay::SingleUse,
        public_clients: false,
        default_resource: None,
        max_lifetime: Duration::from_secs(300),
        aud_sub: false,
    }
}
