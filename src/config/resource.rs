//! `resources:` the MCP servers, their scopes and who may have them.

use std::time::Duration;

use indexmap::IndexMap;

use super::{
    Names,
    form::{duration, gate, name_of, one_of, text},
    lifetimes::LONGEST_ACCESS_TOKEN,
    problem::Wrong,
    reader::Section,
};
use crate::{
    ids::{ClientId, ProviderId, ResourceId},
    oauth::{resource::ResourceUri, scope::Scope},
};

/// One entry under `resources:`.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its name in the file.
    pub id: ResourceId,
    /// Its URI: the audience of its tokens.
    pub uri: ResourceUri,
    /// What people call it.
    pub name: String,
    /// What can be asked for; never empty.
    pub scopes: IndexMap<Scope, ScopeRule>,
    /// Who may have tokens for it at all.
    pub allow: Allow,
    /// What its tokens say of a person beyond `sub` and `org_id`.
    pub token_claims: Vec<TokenClaim>,
    /// How long its access tokens live, where that differs from `lifetimes.access_token`.
    pub access_token: Option<Duration>,
    /// Whether its tokens must be bound to a key (RFC 9449).
    pub dpop_required: bool,
    /// Whether we host its RFC 9728 metadata.
    pub host_metadata: bool,
}

/// One scope of a resource.
#[derive(Debug, Clone)]
pub struct ScopeRule {
    /// What the consent page says it allows.
    pub description: String,
    /// Whether it is granted when a client asks for no scope.
    pub default: bool,
    /// Who may have it, within those whom the resource allows.
    pub allow: Allow,
}

/// Who may. An empty list does not restrict; every list that is not empty must be met, by any of its values.
#[derive(Debug, Clone, Default)]
pub struct Allow {
    /// Organizations of the person.
    pub organizations: Vec<String>,
    /// Providers through which the person signed in.
    pub providers: Vec<ProviderId>,
    /// Groups of the person.
    pub groups: Vec<String>,
    /// Clients that ask.
    pub clients: Vec<ClientId>,
}

/// A fact about a person that a resource may ask to see in its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenClaim {
    /// `groups`.
    Groups,
    /// `email`.
    Email,
}

impl TokenClaim {
    /// All of them, by the name in the file.
    pub(super) const NAMES: [(&'static str, Self); 2] = [("groups", Self::Groups), ("email", Self::Email)];
}

/// Scopes that OpenID Connect gives a meaning of its own (Core §5.4, §11).
const PROTOCOL_SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];

impl Resource {
    /// All of them, each URI once.
    pub(super) fn read_all(
        root: &Section<'_>,
        names: &Names<'_>,
        loopback: bool,
    ) -> IndexMap<ResourceId, Self> {
        let mut before = Vec::new();
        root.entries("resources", ResourceId::try_from, |id, section| {
            let resource = Self::read(id, section, names, loopback)?;
            resource.differ(&before, section);
            before.push(resource.clone());
            Some(resource)
        })
    }

    /// Reports what this resource may not have in common with one before it.
    fn differ(&self, before: &[Self], section: &Section<'_>) {
        for other in before {
            if other.uri == self.uri {
                section.problem("uri", format!("is that of {} as well", other.id));
            } else if self.host_metadata
                && other.host_metadata
                && other.uri.url().path() == self.uri.url().path()
            {
                let message = format!("cannot be: {} has the same path, where one document can be", other.id);
                section.problem("host_metadata", message);
            }
        }
    }

    fn read(id: ResourceId, section: &Section<'_>, names: &Names<'_>, loopback: bool) -> Option<Self> {
        let uri = section.required(
            "uri",
            "the URL of the MCP server, such as https://mcp.acme.com/tickets",
            |text| {
                let uri = ResourceUri::try_from(text)?;
                gate(uri.url(), loopback).map(|()| uri)
            },
        );
        let name = section.required("name", "what people call it", text);
        let mut said = false;
        let scopes = section.entries("scopes", scope_name, |_, scope| {
            said |= scope.has("default");
            ScopeRule::read(scope, names)
        });
        if section.count("scopes") == 0 {
            section.problem("scopes", "is missing: what can be asked for, each with a description");
        } else if !said {
            let message = "none says whether it is a default; write default: true on those that a client gets \
                           when it asks for none, or default: false on one if it then gets nothing";
            section.problem("scopes", message);
        }
        let allow = section.section("allow", |allow| Allow::read(allow, names));
        let token_claims = section.list("token_claims", one_of(&TokenClaim::NAMES)).unwrap_or_default();
        let access_token =
            section.optional("access_token", duration(Duration::from_secs(1), LONGEST_ACCESS_TOKEN));
        let dpop_required =
            section.optional("dpop", one_of(&[("required", true), ("optional", false)])).unwrap_or(false);
        let host_metadata = section.flag("host_metadata").unwrap_or(false);
        Some(Self {
            id,
            uri: uri?,
            name: name?,
            scopes,
            allow,
            token_claims,
            access_token,
            dpop_required,
            host_metadata,
        })
    }
}

fn scope_name(written: String) -> Result<Scope, Wrong> {
    if PROTOCOL_SCOPES.contains(&written.as_str()) {
        return Err("belongs to OpenID Connect; give the resource's own another name".into());
    }
    Ok(Scope::try_from(written)?)
}

impl ScopeRule {
    fn read(section: &Section<'_>, names: &Names<'_>) -> Option<Self> {
        let what = "what the consent page says it allows, such as Read tickets";
        let description = section.required("description", what, text);
        let default = section.flag("default").unwrap_or(false);
        let allow = section.section("allow", |allow| Allow::read(allow, names));
        Some(Self { description: description?, default, allow })
    }
}

impl Allow {
    pub(super) fn read(section: &Section<'_>, names: &Names<'_>) -> Self {
        Self {
            organizations: section.restriction("organizations", |written| match &names.organizations {
                Some(there) => name_of(there, "no provider has this organization")(written),
                None => Ok(written),
            }),
            providers: section
                .restriction("providers", name_of(&names.providers, "no provider has this name")),
            groups: section.restriction("groups", text),
            clients: section.restriction("clients", |written| names.client(written)),
        }
    }
}
