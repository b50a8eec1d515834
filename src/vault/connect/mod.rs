//! How an account comes to be connected.
//!
//! `GET /connect/{connection}` says what would be allowed and who asks. Nothing begins before the person presses the
//! button there: the form sends her to the vendor, and the callback keeps the tokens with which she comes back. She may
//! come by herself, from her account page, or by a [`link`] that was made for her. Where the vendor has no
//! OAuth, she enters what is kept on the same page.

mod ask;
mod begin;
mod callback;
mod enter;
mod failure;
pub mod link;
mod site;
mod store;
mod visit;

pub(super) use self::failure::NotConnected;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use crate::{
    app::App, config::connection::Connection, ids::ConnectionName, seal::SealContext,
    store::connects::Connect, web::error::PageError,
};

/// The routes of this room.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/connect/{connection}", get(ask::show).post(begin::begin))
        .route("/connect/{connection}/callback", get(callback::finish))
        .route("/connect/{connection}/site", post(site::choose))
}

/// The connection of a path; one of which nobody connects an account is none.
fn configured<'a>(app: &'a App, name: &str) -> Result<&'a Connection, PageError> {
    let name = ConnectionName::try_from(name.to_owned()).map_err(|_| PageError::not_found())?;
    let found = app.config.connections.get(&name).filter(|found| found.kind.is_personal());
    found.ok_or_else(PageError::not_found)
}

/// The `redirect_uri` at a vendor: one for each connection, so that an answer of one cannot be taken for another's
/// (RFC 9700 §4.4.2).
fn redirect_uri(app: &App, configured: &Connection) -> String {
    app.config.server.issuer.url(&format!("/connect/{}/callback", configured.name))
}

/// Where the sealed part belongs. The `state` itself is part of it, so the row alone opens nothing.
fn seal_context<'a>(connect: &'a Connect, state: &'a str) -> SealContext<'a> {
    SealContext {
        table: "connects",
        column: "sealed",
        row: state,
        owner: connect.user_id.as_str(),
        provider: connect.connection.as_str(),
        version: 1,
    }
}
