//! Links that lead one person to connecting an account: what she is sent when a server has no token for her.
//!
//! A link says nothing about her and opens nothing by itself: whoever opens it must be signed in as the one it was made
//! for. It is good once and not for long.

use std::time::Duration;

use url::Url;

use crate::{
    app::App,
    clock::Timestamp,
    ids::{ClientId, ConnectionName, ResourceId, UserId},
    oauth::scope::ScopeSet,
    secret::{ConnectToken, TokenHash},
    store::{
        StoreError, Tx,
        connect_links::{self, ConnectLink},
    },
};

/// How long a link is good: a person reads a message, opens it and perhaps signs in. It is what
/// draft-parecki-oauth-jwt-grant-interaction-response has in its example.
pub const LASTS: Duration = Duration::from_secs(600);

/// The parameter that holds the token.
pub const PARAMETER: &str = "link";

/// For whom and for what a link is made.
#[derive(Debug, Clone, Copy)]
pub struct Purpose<'a> {
    /// Who alone may use it.
    pub user: &'a UserId,
    /// What she shall connect.
    pub connection: &'a ConnectionName,
    /// The vendor's scopes that are wanted.
    pub scope: &'a ScopeSet,
    /// Who asks for it.
    pub client: &'a ClientId,
    /// The resource whose server that is.
    pub resource: Option<&'a ResourceId>,
    /// Where she goes when it is done.
    pub return_to: Option<&'a Url>,
}

/// A link as its person gets it.
#[derive(Clone)]
pub struct Link {
    /// Where it leads: whoever is signed in as the right person can use it.
    pub url: String,
    /// What the database knows it by.
    pub hash: TokenHash,
    /// When it is too late to use it.
    pub expires_at: Timestamp,
}

/// Makes a link; of its URL the database holds the hash alone.
pub async fn issue_link(app: &App, tx: &mut Tx, purpose: Purpose<'_>) -> Result<Link, StoreError> {
    let token = ConnectToken::new(&app.entropy);
    let now = app.clock.now();
    let link = ConnectLink {
        hash: token.hash(),
        user_id: purpose.user.clone(),
        connection: purpose.connection.clone(),
        scope: purpose.scope.clone(),
        client_id: purpose.client.clone(),
        resource: purpose.resource.cloned(),
        return_to: purpose.return_to.map(ToString::to_string),
        created_at: now,
        expires_at: now.plus(LASTS),
        used_at: None,
    };
    connect_links::insert(tx, &link).await?;
    // Every character of either is one that a URL takes as it is.
    let path = format!("/connect/{}?{PARAMETER}={}", purpose.connection, token.expose());
    Ok(Link { url: app.config.server.issuer.url(&path), hash: link.hash, expires_at: link.expires_at })
}
