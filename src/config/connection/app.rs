//! Our application at a vendor.

use std::sync::Arc;

use url::Url;

use super::{
    Urls,
    behaviour::{Behaviour, Source},
};
use crate::config::{
    form::{one_of, text, upstream_url},
    preset::{ConnectionPart, filled::Filled, template::Template},
    provider::{AssertionAudience, UpstreamClientAuth, behaviour::ASSERTION_AUDIENCES},
    reader::Section,
};

/// An OAuth client at a vendor.
#[derive(Debug, Clone)]
pub struct App {
    /// The issuer, where one is known: then `iss` of its authorization responses is compared (RFC 9207).
    pub issuer: Option<String>,
    /// Where the vendor says its endpoints itself: the document, which fills in what `urls` leaves open.
    pub discovery: Option<Url>,
    /// Its endpoints.
    pub urls: Urls<Url>,
    /// What it calls us.
    pub client_id: String,
    /// How we prove ourselves.
    pub client_auth: UpstreamClientAuth,
    /// Everything else that tells it from other vendors.
    pub behaviour: Arc<Behaviour>,
}

impl App {
    /// `filled`: the preset's parameters. A URL that a preset makes of them is judged as one that the operator wrote.
    pub(super) fn read(
        section: &Section<'_>,
        part: &ConnectionPart,
        filled: &Filled,
        loopback: bool,
    ) -> Option<Self> {
        let client_id = section.required("client_id", "what the vendor calls us", text);
        let audience = section
            .optional("assertion_audience", one_of(&ASSERTION_AUDIENCES))
            .unwrap_or(AssertionAudience::TokenEndpoint);
        let client_auth = UpstreamClientAuth::read(section, &part.client_auth, audience);
        let behaviour = section.section("vendor", |vendor| Behaviour::read(vendor, part.behaviour.clone()));
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
        let discovery = match &part.discovery {
            Some(template) => url("discovery_url", template),
            None if urls.authorize.is_none() || urls.token.is_none() => issuer.as_ref().and_then(below),
            None => None,
        };
        if behaviour.identity.source == Source::Url && urls.identity.is_none() && discovery.is_none() {
            section.problem_here(
                "has no identity_url: where an account says who it is; or say with vendor.identity.source that the \
                 answer to the code does",
            );
        }
        if !sound {
            return None;
        }
        Some(Self {
            issuer,
            discovery,
            urls,
            client_id: client_id?,
            client_auth: client_auth?,
            behaviour: Arc::new(behaviour),
        })
    }
}
