//! `idp.targets:` the authorization servers of others, and what may be asked of each in a person's name. What is not
//! written here is not given.

use std::time::Duration;

use indexmap::IndexMap;
use url::Url;

use crate::{
    config::{
        Names,
        form::{duration, gate, name_of, one_of, text, upstream_url},
        problem::Wrong,
        reader::Section,
        resource::{Allow, ScopeRule, TokenClaim},
        server::Server,
    },
    ids::{ClientId, ResourceId, TargetId},
    oauth::{resource::ResourceUri, scope::Scope},
};

/// The oldest sign-in that a rule could sensibly ask for is the oldest that there can be.
const LONGEST_MAX_AGE: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// One entry under `idp.targets:`: an authorization server that takes our word for who a person is.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name in the file.
    pub id: TargetId,
    /// Its issuer identifier, byte for byte: the `aud` of every grant for it.
    pub audience: String,
    /// What people call it.
    pub name: String,
    /// Who may ask, and what each is called there; never empty.
    pub client_ids: IndexMap<ClientId, ClientId>,
    /// What a person is called there.
    pub subject: SubjectForm,
    /// What it is told of a person beyond that.
    pub token_claims: Vec<TokenClaim>,
    /// The oldest sign-in that suffices.
    pub max_age: Option<Duration>,
    /// The kinds of sign-in that suffice, as the providers state them (`acr`); empty: any.
    pub acr_values: Vec<String>,
    /// For whom may be asked at all.
    pub allow: Allow,
    /// Its resources; never empty.
    pub resources: IndexMap<ResourceId, TargetResource>,
}

/// One entry under `resources:` of a target.
#[derive(Debug, Clone)]
pub struct TargetResource {
    /// Its name in the file.
    pub id: ResourceId,
    /// Its URI.
    pub uri: ResourceUri,
    /// What can be asked for; never empty.
    pub scopes: IndexMap<Scope, ScopeRule>,
    /// For whom may be asked.
    pub allow: Allow,
}

/// What a person is called at a target (`sub`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectForm {
    /// As in our ID tokens.
    UserId,
    /// By a name that no other target has for her (OpenID Connect Core §8.1).
    Pairwise,
    /// By her e-mail address, where her provider vouches for it.
    Email,
    /// As her provider calls her.
    UpstreamSubject,
}

const SUBJECT_FORMS: [(&str, SubjectForm); 4] = [
    ("user_id", SubjectForm::UserId),
    ("pairwise", SubjectForm::Pairwise),
    ("email", SubjectForm::Email),
    ("upstream_subject", SubjectForm::UpstreamSubject),
];

impl Target {
    pub(super) fn read_all(
        section: &Section<'_>,
        names: &Names<'_>,
        server: Option<&Server>,
        loopback: bool,
    ) -> IndexMap<TargetId, Self> {
        let mut before: Vec<Self> = Vec::new();
        section.entries("targets", TargetId::try_from, |id, section| {
            let target = Self::read(id, section, names, server, loopback)?;
            if let Some(other) = before.iter().find(|other| other.audience == target.audience) {
                section.problem("audience", format!("is that of {} as well", other.id));
            }
            before.push(target.clone());
            Some(target)
        })
    }

    fn read(
        id: TargetId,
        section: &Section<'_>,
        names: &Names<'_>,
        server: Option<&Server>,
        loopback: bool,
    ) -> Option<Self> {
        let what = "the issuer of the other authorization server, as its metadata has it";
        let audience = section.required("audience", what, |written| audience(written, server, loopback));
        let name = section.optional("name", text);
        let client_ids = section.texts(
            "client_ids",
            name_of(&names.clients, "no client here has this name"),
            client_there,
        );
        if section.count("client_ids") == 0 {
            section.problem("client_ids", "is missing: who may ask, each with its client_id there");
        }
        let subject = section.optional("subject", one_of(&SUBJECT_FORMS)).unwrap_or(SubjectForm::UserId);
        let token_claims = section.list("token_claims", one_of(&TokenClaim::NAMES)).unwrap_or_default();
        let max_age = section.optional("max_age", duration(Duration::from_secs(1), LONGEST_MAX_AGE));
        let acr_values = section.restriction("acr_values", acr_value);
        let allow = section.section("allow", |allow| Allow::read(allow, names));
        let resources = TargetResource::read_all(section, names, loopback);
        if section.count("resources") == 0 {
            section.problem("resources", "is missing: what may be asked for there");
        }
        let audience = audience?;
        let host = || Url::parse(&audience).ok()?.host_str().map(str::to_owned);
        let name = name.or_else(host).unwrap_or_else(|| id.to_string());
        Some(Self {
            id,
            audience,
            name,
            client_ids,
            subject,
            token_claims,
            max_age,
            acr_values,
            allow,
            resources,
        })
    }
}

impl TargetResource {
    fn read_all(section: &Section<'_>, names: &Names<'_>, loopback: bool) -> IndexMap<ResourceId, Self> {
        let mut before: Vec<Self> = Vec::new();
        section.entries("resources", ResourceId::try_from, |id, section| {
            let what = "the URL of the MCP server there, such as https://mcp.example.com/mcp";
            let uri = section.required("uri", what, |written| {
                let uri = ResourceUri::try_from(written)?;
                gate(uri.url(), loopback).map(|()| uri)
            });
            let scopes = section.entries("scopes", Scope::try_from, |scope, section| {
                let default = section.flag("default").unwrap_or(false);
                let allow = section.section("allow", |allow| Allow::read(allow, names));
                Some(ScopeRule { description: scope.to_string(), default, allow })
            });
            if section.count("scopes") == 0 {
                section.problem("scopes", "is missing: what can be asked for");
            }
            let allow = section.section("allow", |allow| Allow::read(allow, names));
            let resource = Self { id, uri: uri?, scopes, allow };
            if let Some(other) = before.iter().find(|other| other.uri == resource.uri) {
                section.problem("uri", format!("is that of {} as well", other.id));
            }
            before.push(resource.clone());
            Some(resource)
        })
    }
}

/// An issuer of somebody else's (RFC 8414 §2), kept as it is written: it is compared byte for byte, slash and all.
fn audience(written: String, server: Option<&Server>, loopback: bool) -> Result<String, Wrong> {
    if upstream_url(&written, loopback)?.query().is_some() {
        return Err("an issuer has no query".into());
    }
    let bare = written.strip_suffix('/').unwrap_or(&written);
    let ours = server.into_iter().flat_map(|server| [&server.issuer, &server.idp_issuer]);
    if ours.into_iter().any(|issuer| issuer.as_str() == bare) {
        return Err("is this server itself; a grant of its own is for the authorization servers of others \
                    (draft-ietf-oauth-identity-assertion-authz-grant §9.3)"
            .into());
    }
    Ok(written)
}

fn client_there(_: &ClientId, written: String) -> Result<ClientId, &'static str> {
    ClientId::try_from(written)
}

fn acr_value(written: String) -> Result<String, Wrong> {
    if written.contains(char::is_whitespace) {
        return Err("is one value, without spaces".into());
    }
    text(written)
}
