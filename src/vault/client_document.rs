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
    let Some((app, own)) = configured.and_then(|found| Some((&found.app, found.app.own.as_ref()?))) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut document = own.metadata();
    if let Some(members) = document.as_object_mut() {
        members.insert("client_id".to_owned(), app.client_id.as_str().into());
    }
    cached(Json(document).into_response())
}
