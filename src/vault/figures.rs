//! The vault in figures, as Prometheus reads them (text format 0.0.4).

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::State as Lent,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    state::{State, Trouble},
    vendor::VendorError,
};
use crate::{
    app::App,
    ids::ConnectionName,
    store::{StoreError, connections, revocations, switched_off},
};

/// What became of a request for a token of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vend {
    /// A token was handed out.
    Vended,
    /// The person has to do something first.
    ConnectFirst,
    /// It was refused.
    Refused,
    /// We or the vendor could not answer.
    Unavailable,
}

impl Vend {
    const fn name(self) -> &'static str {
        match self {
            Self::Vended => "vended",
            Self::ConnectFirst => "connect_first",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What a vendor answered that was asked for new tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// It gave them.
    Refreshed,
    /// It does not know the refresh token any more.
    Lost,
    /// It did not give them just now, for this reason.
    Failed(Trouble),
}

impl Refresh {
    /// What this answer comes to.
    pub const fn of<T>(answer: &Result<T, VendorError>) -> Self {
        match answer {
            Ok(_) => Self::Refreshed,
            Err(VendorError::Reconnect { .. }) => Self::Lost,
            Err(VendorError::Refused { .. }) => Self::Failed(Trouble::Refused),
            Err(VendorError::Malformed { .. }) => Self::Failed(Trouble::Malformed),
            Err(VendorError::Unavailable { .. }) => Self::Failed(Trouble::Unavailable),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Refreshed => "refreshed",
            Self::Lost => "lost",
            Self::Failed(trouble) => trouble.code(),
        }
    }
}

/// The counters, and what each counts.
const VENDS: &str = "chancery_vends_total";
const REFRESHES: &str = "chancery_refreshes_total";
const REVOCATIONS: &str = "chancery_revocations_total";
const COUNTERS: [(&str, &str); 3] = [
    (VENDS, "Requests for tokens of connections to this process."),
    (REFRESHES, "Answers of vendors that this process asked for new tokens."),
    (REVOCATIONS, "Attempts of this process to revoke the tokens of ended connections."),
];

/// What is counted from the beginning of the process on: by counter, connection and outcome.
#[derive(Debug, Default)]
pub struct Figures(Mutex<BTreeMap<(&'static str, ConnectionName, &'static str), u64>>);

impl Figures {
    /// Counts one more request for a token.
    pub fn vend(&self, connection: &ConnectionName, became: Vend) {
        self.count(VENDS, connection, became.name());
    }

    /// Counts one more answer to a refresh.
    pub fn refresh(&self, connection: &ConnectionName, answered: Refresh) {
        self.count(REFRESHES, connection, answered.name());
    }

    /// Counts one more attempt to revoke; `became`: `revoked`, `put_off`, or why it is given up.
    pub fn revocation(&self, connection: &ConnectionName, became: &'static str) {
        self.count(REVOCATIONS, connection, became);
    }

    fn count(&self, counter: &'static str, connection: &ConnectionName, outcome: &'static str) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counted.entry((counter, connection.clone(), outcome)).or_default() += 1;
    }

    /// By connection and outcome.
    fn of(&self, counter: &str) -> Vec<(ConnectionName, &'static str, u64)> {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = counted.iter().filter(|((of, ..), _)| *of == counter);
        of.map(|((_, connection, outcome), count)| (connection.clone(), *outcome, *count)).collect()
    }
}

/// Answers `GET /metrics` of the admin port.
pub async fn show(Lent(app): Lent<Arc<App>>) -> Response {
    match text(&app).await {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => {
            tracing::warn!(%error, "the figures could not be read");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

async fn text(app: &App) -> Result<String, StoreError> {
    let mut text = Text::default();
    text.begin("chancery_connections", "gauge", "Accounts that people have connected.");
    for (name, state, count) in connections::count(&app.db).await? {
        let state = State::try_from(state).map_err(StoreError::Corrupt)?;
        let reason = state.reason().unwrap_or_default();
        let labels = [("connection", name.as_str()), ("state", state.name()), ("reason", reason)];
        text.line("chancery_connections", &labels, count);
    }
    let off = switched_off::connections(&app.db).await?;
    text.begin(
        "chancery_connection_enabled",
        "gauge",
        "Whether an operator has left the connection switched on.",
    );
    for configured in app.config.connections.iter() {
        let is_on = i64::from(!off.contains(&configured.name));
        text.line("chancery_connection_enabled", &[("connection", configured.name.as_str())], is_on);
    }
    text.begin("chancery_revocations_owed", "gauge", "Ended connections whose tokens are yet to be revoked.");
    text.line("chancery_revocations_owed", &[], revocations::count(&app.db).await?);
    text.begin("chancery_vault_opens_total", "counter", "How often this process opened sealed tokens.");
    text.line("chancery_vault_opens_total", &[], app.vault.safe.opened());
    for (counter, help) in COUNTERS {
        text.begin(counter, "counter", help);
        for (name, outcome, count) in app.vault.figures.of(counter) {
            text.line(counter, &[("connection", name.as_str()), ("outcome", outcome)], count);
        }
    }
    Ok(text.0)
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// Labels are names of ours, in which nothing is to be escaped.
    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.write(format_args!("{name}{labels} {value}\n"));
    }

    #[expect(clippy::expect_used, reason = "memory takes what is written")]
    fn write(&mut self, what: fmt::Arguments<'_>) {
        self.0.write_fmt(what).expect("memory takes it");
    }
}
