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

use super::state::State;
use crate::{
    app::App,
    ids::ConnectionName,
    store::{StoreError, connections, revocations, switched_off},
};

/// What became of a request for a token of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// What is counted from the beginning of the process on.
#[derive(Debug, Default)]
pub struct Figures {
    vends: Mutex<BTreeMap<(ConnectionName, Vend), u64>>,
}

impl Figures {
    /// Counts one more request for a token.
    pub fn count(&self, connection: &ConnectionName, became: Vend) {
        let mut vends = self.vends.lock().unwrap_or_else(PoisonError::into_inner);
        *vends.entry((connection.clone(), became)).or_default() += 1;
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
    text.begin("chancery_vends_total", "counter", "Requests for tokens of connections to this process.");
    let vends = app.vault.figures.vends.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for ((name, became), count) in vends {
        let labels = [("connection", name.as_str()), ("outcome", became.name())];
        text.line("chancery_vends_total", &labels, count);
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
