//! The configuration from outside: a file becomes a value, or a list of problems that read well.

mod problems;
mod schema;

use std::time::Duration;

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::Algorithm;
use proptest::prelude::*;
use serde_json::json;

use super::{
    client::{ClientProof, DeclaredClient, KeySource},
    database::DatabaseUrl,
    provider::{AssertionAlg, EntryRules, IdTokenAlg, IssuerRule, ResponseIss, UpstreamClientAuth},
    registration::DynamicRegistration,
    *,
};
use crate::{
    ids::Slug,
    jose::{Signer, signer::SigningAlgorithm},
};

const EXAMPLE: &str = include_str!("../../config.example.yaml");

/// What the example refers to; every secret value holds `hunter2`.
fn example_environment() -> Environment {
    let der: Pkcs8V1Der<'_> = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap().as_der().unwrap();
    let base64 = STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n");
    Environment::of([
        ("DATABASE_URL", "postgres://chancery:hunter2-db@db.acme.com/chancery"),
        ("CHANCERY_KEY", "aHVudGVyMpQx0vYc0bq7Jz5mWk8sN1eTfRgUhXiLoKo="),
        ("VAULT_ROLE_ID", "hunter2-role"),
        ("VAULT_SECRET_ID", "hunter2-role-secret"),
        ("VAULT_TOKEN", "hunter2-token"),
        ("OKTA_CLIENT_SECRET", "hunter2-okta"),
        ("GOOGLE_CLIENT_SECRET", "hunter2-google"),
        ("AUTH0_CLIENT_SECRET", "hunter2-auth0"),
        ("KEYCLOAK_CLIENT_SECRET", "hunter2-keycloak"),
        ("PARTNER_CLIENT_SECRET", "hunter2-partner"),
        ("TICKETS_SECRET", "hunter2-tickets-secret"),
        ("DESK_SECRET", "hunter2-desk-secret"),
        ("GITHUB_CLIENT_SECRET", "hunter2-github"),
        ("CRM_CLIENT_SECRET", "hunter2-crm"),
        ("BILLING_CLIENT_SECRET", "hunter2-billing"),
        ("REGISTRATION_TOKEN", "hunter2-registration"),
    ])
    .with_file("presets/README.md", "not a preset")
    .with_file("entra-key.pem", pem)
    .with_file("vault-ca.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
    .with_file("nightly.jwks.json", public_keys())
    .with_file("desk-agent.jwks.json", public_keys())
}

/// A key set with one public key.
fn public_keys() -> String {
    let algorithm = SigningAlgorithm::Es256;
    let signer = Signer::from_pkcs8(algorithm, &algorithm.generate().unwrap()).unwrap();
    json!({ "keys": [signer.public_jwk()] }).to_string()
}

fn example() -> Config {
    Config::parse(EXAMPLE, "config.example.yaml", &example_environment()).unwrap_or_else(|p| panic!("{p}"))
}

fn slug(name: &str) -> Slug {
    Slug::try_from(name.to_owned()).unwrap()
}

/// The sections that every configuration has, unless `text` has them itself.
fn completed(text: &str) -> String {
    let usual = [
        ("server", "server: { issuer: https://auth.acme.com }"),
        ("database", "database: { url: sqlite://chancery.db }"),
        (
            "encryption",
            "encryption: { keys: [{ id: a, key: ODCrv1JxhHPlV+XOM9QZT2VyFdYnTpcMs5iSfKZ0L7c= }] }",
        ),
        (
            "providers",
            "providers: { corp: { preset: oidc, issuer: https://idp.acme.com, client_id: c, client_secret: s, \
             organization: acme, sign_in: { anyone: true } } }",
        ),
    ];
    let missing =
        usual.iter().filter(|(name, _)| !text.lines().any(|line| line.starts_with(&format!("{name}:"))));
    missing.fold(format!("{}\n", text.trim_end()), |text, (_, section)| text + section + "\n")
}

fn parse(text: &str, environment: &Environment) -> Result<Config, Problems> {
    Config::parse(&completed(text), "c.yaml", environment)
}

fn parsed(text: &str) -> Config {
    parse(text, &Environment::of([])).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_example_becomes_what_it_says() {
    let config = example();
    assert!(matches!(config.database.url, DatabaseUrl::Postgres(_)));
    assert_eq!(config.providers.len(), 6);

    let okta = &config.providers[&slug("acme-okta")];
    assert_eq!(okta.issuer, IssuerRule::Exact("https://acme.okta.com/oauth2/default".into()));
    assert_eq!(
        okta.discovery_url.as_str(),
        "https://acme.okta.com/oauth2/default/.well-known/openid-configuration"
    );
    assert!(
        matches!(&okta.client_auth, UpstreamClientAuth::Basic(secret) if secret.expose() == "hunter2-okta")
    );
    let EntryRules::Require(rules) = &okta.sign_in else { panic!("{:?}", okta.sign_in) };
    assert_eq!(rules.email_domains, ["acme.com", "acme.de"]);
    assert_eq!(rules.groups, ["mcp-users", "mcp-admins"]);
    assert_eq!(rules.claims[0], [json!("urn:okta:loa:2fa:any")]);

    let entra = &config.providers[&slug("acme-microsoft")];
    let IssuerRule::Template { template, tenants } = &entra.issuer else { panic!("{:?}", entra.issuer) };
    assert_eq!(template, "https://login.microsoftonline.com/{tid}/v2.0");
    assert_eq!(tenants.iter().count(), 2);
    assert_eq!(
        entra.claims.subject.iter().map(super::claims::ClaimPath::as_str).collect::<Vec<_>>(),
        ["tid", "oid"]
    );
    let UpstreamClientAuth::PrivateKeyJwt { kid, alg, .. } = &entra.client_auth else { panic!("no key") };
    assert_eq!((kid.as_deref(), *alg), (Some("5f2b8c"), AssertionAlg::Ps256));

    let google = &config.providers[&slug("acme-google")];
    assert_eq!(google.authorize_params["hd"], "acme.com");
    let EntryRules::Require(rules) = &google.sign_in else { panic!("{:?}", google.sign_in) };
    assert_eq!(rules.hosted_domains, ["acme.com", "acme.de"]);
    assert_eq!(google.email_domains, ["acme.com", "acme.de"]);

    let auth0 = &config.providers[&slug("acme-auth0")];
    assert_eq!(auth0.issuer, IssuerRule::Exact("https://acme.eu.auth0.com/".into()));
    assert_eq!(auth0.discovery_url.as_str(), "https://acme.eu.auth0.com/.well-known/openid-configuration");
    assert_eq!(auth0.authorize_params.keys().collect::<Vec<_>>(), ["organization", "connection"]);
    let EntryRules::Require(rules) = &auth0.sign_in else { panic!("{:?}", auth0.sign_in) };
    assert_eq!(rules.claims[0], [json!("org_9ybsU1dN2dKfDkBi")], "anyone, but of this organization");

    let keycloak = &config.providers[&slug("acme-keycloak")];
    assert_eq!(keycloak.issuer, IssuerRule::Exact("https://sso.acme.com/realms/acme".into()));
    assert_eq!(keycloak.id_token_algs, [IdTokenAlg::Rs256, IdTokenAlg::Es256]);
    assert_eq!(
        (keycloak.prompt_login.as_str(), google.prompt_login.as_str()),
        ("login consent", "select_account")
    );
    assert_eq!(keycloak.max_age, Some(Duration::from_secs(8 * 3600)));
    assert_eq!(keycloak.response_iss, ResponseIss::Required);
    assert_eq!(keycloak.authorize_params["kc_idp_hint"], "acme-saml");

    let tickets = &config.resources[&slug("tickets")];
    assert_eq!(tickets.access_token, Some(Duration::from_secs(300)));
    assert!(tickets.scopes[0].default && !tickets.scopes[1].default);
    assert_eq!(tickets.scopes[1].allow.groups, ["support"]);
    let [_, server, nightly, build, release]: [&DeclaredClient; 5] =
        config.clients.values().collect::<Vec<_>>().try_into().unwrap();
    assert!(matches!(&server.proof, ClientProof::Secret(secret) if secret.matches("hunter2-tickets-secret")));
    let ClientProof::Keys(keys) = &nightly.proof else { panic!("{:?}", nightly.proof) };
    assert!(matches!(&keys.source, KeySource::Inline(keys) if !keys.is_empty()));
    assert_eq!(keys.algorithms, [Algorithm::ES256]);
    let ClientProof::Keys(keys) = &build.proof else { panic!("{:?}", build.proof) };
    assert!(
        matches!(&keys.source, KeySource::Configured(url) if url.as_str() == "https://ci.acme.com/jwks.json")
    );
    assert_eq!(keys.algorithms.len(), 9);
    assert_eq!(nightly.resources[&slug("tickets")].to_string(), "tickets:read");
    let workload = okta.workload.as_ref().unwrap();
    assert_eq!(workload.subjects["repo:acme/tickets:ref:refs/heads/main"], release.id);
    assert!(matches!(config.registration.dynamic, DynamicRegistration::Token(_)));
    assert!(config.registration.documents.names("code.acme.com"));
    assert!(!config.registration.documents.names("elsewhere.com"));
}

#[test]
fn a_short_file_gets_the_defaults() {
    let config = parsed("");
    assert_eq!(config.server.name, "Chancery");
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:9000");
    assert_eq!(config.server.admin_listen.to_string(), "127.0.0.1:9001");
    assert!(matches!(config.registration.dynamic, DynamicRegistration::KnownClients));
    assert!(config.registration.documents.admits("anywhere.example"));
    assert_eq!(config.lifetimes.code, Duration::from_secs(60));
    let corp = &config.providers[&slug("corp")];
    assert_eq!((corp.name.as_str(), corp.pkce, corp.leeway.as_secs()), ("OpenID Connect", true, 60));
    assert_eq!(corp.scopes, ["openid", "profile", "email"]);
    assert!(matches!(corp.sign_in, EntryRules::Anyone));
}

#[test]
fn development_listens_on_loopback_and_may_use_plain_http() {
    let config = parsed(
        "server: { issuer: http://127.0.0.1:9000 }\nproviders: { dev: { preset: oidc, issuer: http://127.0.0.1:9100, \
         client_id: c, client_auth: none, sign_in: { anyone: true } } }\nresources: { demo: { uri: \
         http://127.0.0.1:9200/mcp, name: Demo, scopes: { read: { description: Read, default: true } } } }",
    );
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:9000");
    assert!(matches!(config.providers[0].client_auth, UpstreamClientAuth::None));
}

#[test]
fn no_secret_prints() {
    let printed = format!("{:?}", example());
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(!printed.contains("PRIVATE KEY"));
    let key = STANDARD.decode("aHVudGVyMpQx0vYc0bq7Jz5mWk8sN1eTfRgUhXiLoKo=").unwrap();
    assert!(!printed.contains(&format!("{key:?}")[1..20]));
    assert!(!format!("{:?}", example_environment()).contains("hunter2"));
}

#[test]
fn variables_override_single_values_whatever_their_case() {
    let environment = Environment::of([
        ("CHANCERY__SERVER__NAME", "From ${OUTSIDE}"),
        ("chancery__server__contact", "help@acme.com"),
        ("CHANCERY__PROVIDERS__ACME_IDP__CLIENT_SECRET", "overridden"),
        ("CHANCERY__PROVIDERS__ACME_IDP__SIGN_IN__ANYONE", "true"),
        ("CHANCERY__ENCRYPTION__KEYS__0__ID", "b"),
        ("CHANCERY__LIFETIMES__CODE", "30s"),
        ("CHANCERY_KEY", "not ours"),
    ]);
    let text = "providers: { acme-idp: { preset: oidc, issuer: https://i.acme.com, client_id: c, client_secret: s } }";
    let config = parse(text, &environment).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.server.name, "From ${OUTSIDE}", "taken literally");
    assert_eq!(config.server.contact.as_deref(), Some("help@acme.com"));
    assert!(
        matches!(&config.providers[0].client_auth, UpstreamClientAuth::Basic(s) if s.expose() == "overridden")
    );
    assert_eq!(config.encryption.keys[0].id, "b");
    assert_eq!(config.lifetimes.code, Duration::from_secs(30), "a section that the file does not have");
}

#[test]
fn what_a_variable_or_file_holds_is_never_structure() {
    let environment = Environment::of([("NAME", "x\", contact: evil }\nregistration: { dynamic: open }")]);
    let problems =
        parse("server: { issuer: https://auth.acme.com, name: ${NAME} }", &environment).unwrap_err();
    assert_eq!(problems.to_string(), "c.yaml:1:48: server.name: must be one line of at most 512 characters");
}

#[test]
fn a_folder_adds_presets_and_replaces_them() {
    let preset = |title: &str| {
        format!(
            "title: {title}\nsummary: Ours\ndocs: https://acme.com\nissuer: https://id.acme.com\nclient_auth: [none]\n\
             sign_in: '{{ anyone: true }}'\n"
        )
    };
    let environment = Environment::of([])
        .with_file("etc/presets/acme.yaml", preset("Acme"))
        .with_file("etc/presets/oidc.yaml", preset("Ours"));
    let provider = |preset| {
        format!("{{ preset: {preset}, client_id: c, client_auth: none, sign_in: {{ anyone: true }} }}")
    };
    let text = format!("presets: presets\nproviders: {{ a: {}, b: {} }}", provider("acme"), provider("oidc"));
    let config =
        Config::parse(&completed(&text), "etc/c.yaml", &environment).unwrap_or_else(|p| panic!("{p}"));
    let names: Vec<_> = config.providers.values().map(|provider| provider.name.as_str()).collect();
    assert_eq!(names, ["Acme", "Ours"]);
}

#[test]
fn files_are_read_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "from a file\n").unwrap();
    let text = "providers: { a: { preset: oidc, issuer: https://i.acme.com, client_id: c, client_secret: ${file:secret}, \
                sign_in: { anyone: true } } }";
    let path = folder.path().join("c.yaml");
    std::fs::write(&path, completed(text)).unwrap();
    let config = Config::load(&path, &Environment::capture()).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(
        matches!(&config.providers[0].client_auth, UpstreamClientAuth::Basic(s) if s.expose() == "from a file")
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "(?s).{0,200}") {
        let _ = Config::parse(&text, "c.yaml", &Environment::of([]));
    }

    /// Damage in a good file is never worse than a list of problems.
    #[test]
    fn no_damage_panics(at in 0..EXAMPLE.len(), cut in 0..80_usize, put in "[\\[\\]{}:,'\"$#a0~ \n\t-]{0,6}") {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put.bytes());
        let environment = Environment::of([("CHANCERY__SERVER__NAME", "x")]);
        let _ = Config::parse(&String::from_utf8_lossy(&bytes), "c.yaml", &environment);
    }
}
