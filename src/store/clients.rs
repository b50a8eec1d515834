//! Table `clients`: clients that registered themselves (RFC 7591).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::types::Json;

use super::{Db, StoreError, Tx, on};
use crate::{
    clock::Timestamp,
    ids::ClientId,
    oauth::{
        grant_type::{ClientAuthMethod, GrantType},
        redirect_uri::RedirectUri,
        scope::ScopeSet,
    },
    secret::TokenHash,
};

/// How often a client's last use is written, at most.
const TOUCH_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// A client that registered itself.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct DynamicClient {
    /// The id that we gave it.
    pub id: ClientId,
    /// What equal registrations of public clients share; none for a client that has a secret.
    pub fingerprint: Option<TokenHash>,
    /// The hash of the secret that we gave it.
    pub secret_hash: Option<TokenHash>,
    /// What it registered.
    pub metadata: Json<RegisteredMetadata>,
    /// When it registered.
    pub created_at: Timestamp,
    /// When it last asked for a token, to the day.
    pub last_used_at: Timestamp,
}

/// Client metadata as registered (RFC 7591 §2), in the members that we honour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredMetadata {
    /// The name that consent pages show.
    pub client_name: String,
    /// Where codes may be sent.
    pub redirect_uris: Vec<RedirectUri>,
    /// What it may ask the token endpoint for.
    pub grant_types: Vec<GrantType>,
    /// How it proves itself.
    pub token_endpoint_auth_method: ClientAuthMethod,
    /// `web` or `native`.
    pub application_type: String,
    /// The scopes that it means to ask for; says nothing about what it gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<ScopeSet>,
    /// Its home page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<String>,
    /// What it calls its software.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_id: Option<String>,
    /// Which version of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_version: Option<String>,
    /// Whether it has tokens bound to a key alone (RFC 9449 §5.2).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dpop_bound_access_tokens: bool,
}

/// The client of this id.
pub async fn find(db: &Db, id: &ClientId) -> Result<Option<DynamicClient>, StoreError> {
    on!(db, |executor| sqlx::query_as("SELECT * FROM clients WHERE id = $1")
        .bind(id)
        .fetch_optional(executor)
        .await)
}

/// Registers a client. Where one of the same fingerprint exists, that one is answered instead.
pub async fn register(tx: &mut Tx, client: &DynamicClient) -> Result<DynamicClient, StoreError> {
    on!(tx, |executor| sqlx::query_as(
        "INSERT INTO clients (id, fingerprint, secret_hash, metadata, created_at, last_used_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (fingerprint) DO UPDATE SET last_used_at = excluded.last_used_at RETURNING *"
    )
    .bind(&client.id)
    .bind(&client.fingerprint)
    .bind(&client.secret_hash)
    .bind(&client.metadata)
    .bind(client.created_at)
    .bind(client.last_used_at)
    .fetch_one(executor)
    .await)
}

/// Notes that the client was used, so that it does not expire.
pub async fn touch(tx: &mut Tx, id: &ClientId, now: Timestamp) -> Result<(), StoreError> {
    on!(tx, |executor| sqlx::query(
        "UPDATE clients SET last_used_at = $2 WHERE id = $1 AND last_used_at < $3"
    )
    .bind(id)
    .bind(now)
    .bind(now.minus(TOUCH_INTERVAL))
    .execute(executor)
    .await
    .map(drop))?;
    Ok(())
}
