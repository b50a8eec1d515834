//! Who we are to authorization servers that know their clients by a document (CIMD): its address is our `client_id`
//! there.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::json;

use crate::{
    app::{App, cached},
    ids::ConnectionName,
};

/// Where the document of a connection is.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/connect/{connection}/client.json", get(show))
}

async fn show(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    let name = ConnectionName::try_from(name).ok();
    let configured = name.and_then(|name| app.config.connections.get(&name));
    let Some(configured) = configured.filter(|configured| configured.app.by_document) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let server = &app.config.server;
    cached(
        Json(json!({
            "client_id": configured.app.client_id,
            "client_name": server.name,
            "client_uri": server.issuer,
            "redirect_uris": [server.issuer.url(&format!("/connect/{}/callback", configured.name))],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        }))
        .into_response(),
    )
}
