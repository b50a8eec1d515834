//! Our application at a vendor.

use std::sync::Arc;

use serde_json::{Value, json};
use url::{Origin, Url};

use super::{
    Around, ConnectionName, Kind, Urls,
    behaviour::{Behaviour, Source},
};
use crate::{
    config::{
        form::{one_of, text, upstream_url},
        preset::{ConnectionPart, filled::Filled, template::Template},
        provider::{AssertionAudience, UpstreamClientAuth, behaviour::ASSERTION_AUDIENCES},
        reader::Section,
    },
    oauth::resource::ResourceUri,
};

/// An OAuth client at a vendor.
#[derive(Debug, Clone)]
pub struct App {
    /// The issuer, where one is known: then `iss` of its authorization responses is compared (RFC 9207).
    pub issuer: Option<String>,
    /// Where the vendor says its endpoints itself, which fill in what `urls` leaves open.
    pub discovery: Option<Discovery>,
    /// Its endpoints.
    pub urls: Urls<Url>,
    /// What it calls us.
    pub client_id: String,
    /// What a server is told of us that gave us no `client_id` beforehand: `client_id` is then the address of a
    /// document that says it.
    pub own: Option<OwnClient>,
    /// How we prove ourselves.
    pub client_auth: UpstreamClientAuth,
    /// Everything else that tells it from other vendors.
    pub behaviour: Arc<Behaviour>,
}

/// What a server is told of us (RFC 7591 §2).
#[derive(Debug, Clone)]
pub struct OwnClient {
    /// What people know us by.
    pub name: String,
    /// Our issuer.
    pub uri: String,
    /// Where codes are sent.
    pub redirect_uri: String,
}

impl OwnClient {
    /// The same as JSON. We are a public client: our codes are bound by PKCE.
    pub fn metadata(&self) -> Value {
        json!({
            "client_name": self.name,
            "client_uri": self.uri,
            "redirect_uris": [self.redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        })
    }
}

/// Where a vendor says its endpoints itself.
#[derive(Debug, Clone)]
pub enum Discovery {
    /// In this document (OpenID Connect Discovery §4, RFC 8414 §3).
    Document(Url),
    /// This resource says who issues its tokens (RFC 9728 §3), and that server the rest.
    Resource(ResourceUri),
}

impl App {
    /// The hosts that the operator answers for, where somebody else names addresses as well. `None`: nobody does.
    pub fn known_hosts(&self) -> Option<Vec<Origin>> {
        let Some(Discovery::Resource(resource)) = &self.discovery else { return None };
        let pinned = self.issuer.as_ref().and_then(|issuer| Url::parse(issuer).ok());
        Some([Some(resource.url().origin()), pinned.map(|url| url.origin())].into_iter().flatten().collect())
    }

    /// `filled`: the preset's parameters. A URL that a preset makes of them is judged as one that the operator wrote.
    pub(super) fn read(
        name: &ConnectionName,
        section: &Section<'_>,
        part: &ConnectionPart,
        filled: &Filled,
        around: &Around<'_>,
    ) -> Option<Self> {
        let loopback = around.loopback;
        let by_document = part.resource.is_some() && !section.has("client_id");
        let own = around.server.filter(|_| by_document).map(|server| OwnClient {
            name: server.name.clone(),
            uri: server.issuer.to_string(),
            redirect_uri: server.issuer.url(&format!("/connect/{name}/callback")),
        });
        let client_id = if by_document {
            around.server.map(|server| server.issuer.url(&format!("/connect/{name}/client.json")))
        } else if part.kind.is_entered() {
            Some(String::new())
        } else {
            section.required("client_id", "what the vendor calls us", text)
        };
        let client_auth = if part.kind.is_entered() {
            Some(UpstreamClientAuth::None)
        } else if by_document {
            for key in ["client_secret", "private_key", "client_auth"] {
                if section.has(key) {
                    section.problem(key, "is of no use without the client_id that the server gave us");
                }
            }
            Some(UpstreamClientAuth::None)
        } else {
            let audience = section.optional("assertion_audience", one_of(&ASSERTION_AUDIENCES));
            let audience = audience.unwrap_or(AssertionAudience::TokenEndpoint);
            UpstreamClientAuth::read(section, &part.client_auth, audience)
        };
        let mut behaviour =
            section.section("vendor", |vendor| Behaviour::read(vendor, part.behaviour.clone()));
        if filled.broken {
            return None;
        }
        let mut values = filled.single.clone();
        values.insert("client_id".to_owned(), client_id.clone()?);
        let mut sound = true;
        let mut url = |key: &str, template: &Template| {
            let text = template.fill(&values).filter(|text| !text.is_empty())?;
            let url = upstream_url(&text, loopback);
            url.map_err(|wrong| {
                sound = false;
                section.problem_here(format!("the {key} {text} {}", wrong.message));
            })
            .ok()
        };
        let urls = Urls::each(|key| url(key, part.urls.get(key)?));
        let issuer = part.issuer.as_ref().and_then(|template| url("issuer", template).map(|_| template));
        let issuer = issuer.and_then(|template| template.fill(&values));
        let below = |issuer: &String| {
            let text = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
            upstream_url(&text, loopback).ok()
        };
        let resource = part.resource.as_ref().and_then(|template| url("resource", template));
        let resource = resource.and_then(|url| ResourceUri::try_from(String::from(url)).ok());
        let discovery = match &part.discovery {
            _ if resource.is_some() => resource.map(Discovery::Resource),
            Some(template) => url("discovery_url", template).map(Discovery::Document),
            None if part.kind.needs().iter().any(|key| urls.get(key).is_none()) => {
                issuer.as_ref().and_then(below).map(Discovery::Document)
            }
            None => None,
        };
        if part.kind != Kind::Oauth && urls.identity.is_none() {
            behaviour.identity.source = Source::Nothing;
        }
        if behaviour.identity.source == Source::Url && urls.identity.is_none() && discovery.is_none() {
            section.problem_here(
                "has no identity_url: where an account says who it is; or say with vendor.identity.source that the \
                 answer to the code does",
            );
        }
        let further = [
            ("authorize_params", &behaviour.authorize_params),
            ("token_params", &behaviour.token_params),
            ("refresh_params", &behaviour.refresh_params),
        ];
        let twice = further.iter().find(|(_, params)| params.contains_key("resource"));
        if let Some((key, _)) = twice.filter(|_| part.resource.is_some()) {
            section.problem_here(format!(
                "sends resource already, which is its url: take it out of vendor.{key}"
            ));
        }
        if !sound {
            return None;
        }
        Some(Self {
            issuer,
            discovery,
            urls,
            client_id: client_id?,
            own,
            client_auth: client_auth?,
            behaviour: Arc::new(behaviour),
        })
    }
}
