//! A connection's entry and its preset become a [`Connection`].

use std::num::NonZeroU32;

use super::{AccountRules, App, Connection, Connections, Limits, Offline, Use, behaviour::Separator};
use crate::{
    config::{
        Names,
        form::text,
        preset::{ConnectionPart, Preset, Presets, filled::Filled},
        problem::Wrong,
        provider::Provider,
        reader::Section,
        resource::Resource,
        server::Server,
    },
    ids::{ConnectionName, ProviderId, ResourceId},
    oauth::{resource::ResourceUri, scope::Scope},
};

/// The keys that every connection has; a preset's parameters are named otherwise.
pub(in crate::config) const RESERVED_KEYS: [&str; 16] = [
    "account",
    "api",
    "assertion_audience",
    "client_auth",
    "client_id",
    "client_secret",
    "limits",
    "name",
    "offline",
    "preset",
    "private_key",
    "private_key_alg",
    "private_key_id",
    "scopes",
    "use",
    "vendor",
];

/// A person has a hundred tools at work at once, not more; a client that asks on and on is broken.
const DEFAULT_VENDS: NonZeroU32 = NonZeroU32::new(600).unwrap();

/// What connections are judged by.
pub(in crate::config) struct Around<'a> {
    pub(in crate::config) names: &'a Names<'a>,
    pub(in crate::config) providers: &'a indexmap::IndexMap<ProviderId, Provider>,
    pub(in crate::config) resources: &'a indexmap::IndexMap<ResourceId, Resource>,
    /// Who we are; `None` when that is wrong.
    pub(in crate::config) server: Option<&'a Server>,
    /// Whether our issuer is this machine.
    pub(in crate::config) loopback: bool,
}

impl Connections {
    pub(in crate::config) fn read(root: &Section<'_>, presets: &Presets, around: &Around<'_>) -> Self {
        let mut before: Vec<Connection> = Vec::new();
        Self(root.entries("connections", ConnectionName::try_from, |name, section| {
            let connection = Connection::read(name, section, presets, around)?;
            connection.differ(&before, around, section);
            before.push(connection.clone());
            Some(connection)
        }))
    }
}

impl Connection {
    /// Reports what a token exchange could not tell apart, which names resources and connections in the same
    /// parameters, and sign-in tokens that would be of no use here.
    fn differ(&self, before: &[Self], around: &Around<'_>, section: &Section<'_>) {
        if around.names.resources.contains(&self.name.as_str()) {
            section.problem_here("has the name of a resource; the audience of a token exchange names either");
        }
        for different in around.providers.values().filter_map(|provider| provider.differs_from(self)) {
            section.problem_here(different);
        }
        for url in &self.api {
            if let Some(resource) = around.resources.values().find(|resource| resource.uri == *url) {
                section
                    .problem("api", format!("has {}, the URI of the resource {}", url.as_str(), resource.id));
            }
            if let Some(other) = before.iter().find(|other| other.api.contains(url)) {
                let message = format!(
                    "has {}, as {} does already; say for one of them which URLs mean it, or none: api: []",
                    url.as_str(),
                    other.name
                );
                section.problem("api", message);
            }
        }
    }

    fn read(
        name: ConnectionName,
        section: &Section<'_>,
        presets: &Presets,
        around: &Around<'_>,
    ) -> Option<Self> {
        let Some((preset, part)) =
            section.required("preset", "which vendor this is", |written| named(presets, &written))
        else {
            section.abandon();
            return None;
        };
        let used = preset.parameters.iter().filter(|(key, _)| part.parameters.contains(key));
        let filled = Filled::read(section, used);
        let app = App::read(&name, section, part, &filled, around);
        let api = section.list("api", ResourceUri::try_from).unwrap_or_else(|| {
            let filled = part.api.iter().filter_map(|template| template.fill(&filled.single));
            filled.filter_map(|url| ResourceUri::try_from(url).ok()).collect()
        });
        let separator = app.as_ref().map(|app| app.behaviour.scopes.separator);
        let upstream = |written: String| -> Result<Scope, Wrong> {
            part.kind.bears_scopes()?;
            if separator == Some(Separator::Comma) && written.contains(',') {
                return Err("holds a comma, which is what separates scopes there".into());
            }
            Ok(Scope::try_from(written)?)
        };
        let scopes = section.list("scopes", upstream).unwrap_or_else(|| part.scopes.clone());
        let uses = Use::read(section, around.names, upstream);
        let account = section.section("account", |account| AccountRules::read(account, app.as_ref()));
        let offline = section.section("offline", |offline| Offline::read(offline, around.names));
        if !part.kind.is_personal() && section.has("account") {
            section.problem(
                "account",
                "is of no use: nobody connects an account, since it is yours for everybody",
            );
        }
        let title = section.optional("name", text).unwrap_or_else(|| preset.title.clone());
        let limits = section.section("limits", |limits| Limits {
            vends_per_minute: limits.optional("vends_per_minute", count).unwrap_or(DEFAULT_VENDS),
        });
        Some(Self {
            name,
            preset: preset.name.clone(),
            title,
            kind: part.kind,
            api,
            app: app?,
            scopes: scopes.into_iter().collect(),
            uses,
            account,
            offline,
            limits,
        })
    }
}

fn named<'p>(presets: &'p Presets, written: &str) -> Result<(&'p Preset, &'p ConnectionPart), Wrong> {
    let found = presets.get(written);
    let unknown = match found {
        Some(_) => "this preset is for signing in alone",
        None => "no preset has this name",
    };
    found.and_then(|preset| Some((preset, preset.connection.as_ref()?))).ok_or_else(|| {
        let there = presets.names_with(|preset| preset.connection.is_some());
        Wrong::unknown(unknown, written, &there)
    })
}

#[expect(clippy::needless_pass_by_value, reason = "it takes the text over, as TryFrom<String> does")]
fn count(written: String) -> Result<NonZeroU32, Wrong> {
    written.parse().map_err(|_| "must be a whole number, at least 1".into())
}
