//! Table `interactions`: authorization requests being answered.

use sqlx::types::Json;

use super::{Db, StoreError, Tx, on};
use crate::{
    clock::Timestamp, ids::InteractionId, oauth::authorization::ValidatedRequest, secret::TokenHash,
};

/// An authorization request being answered in one browser.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Interaction {
    /// Its id, part of the page's address.
    pub id: InteractionId,
    /// The browser that began it and alone may go on with it.
    pub browser_hash: TokenHash,
    /// What is asked.
    pub request: Json<ValidatedRequest>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it is too late to answer.
    pub expires_at: Timestamp,
    /// When it was answered, by consent or refusal.
    pub answered_at: Option<Timestamp>,
}

/// Writes a new interaction.
pub async fn insert(tx: &mut Tx, interaction: &Interaction) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
        "INSERT INTO interactions (id, browser_hash, request, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)"
    )
    .bind(&interaction.id)
    .bind(&interaction.browser_hash)
    .bind(&interaction.request)
    .bind(interaction.created_at)
    .bind(interaction.expires_at)
    .execute(executor)
    .await
    .map(drop)
    })?;
    Ok(())
}

/// The interaction, if this browser began it and it is not too late.
pub async fn find(
    db: &Db,
    id: &InteractionId,
    browser: &TokenHash,
    now: Timestamp,
) -> Result<Option<Interaction>, StoreError> {
    on!(db, |executor| sqlx::query_as(
        "SELECT * FROM interactions WHERE id = $1 AND browser_hash = $2 AND expires_at > $3"
    )
    .bind(id)
    .bind(browser)
    .bind(now)
    .fetch_optional(executor)
    .await)
}

/// Takes the one right to answer. `false`: another tab or a reload was first, or it is too late.
pub async fn answer(
    tx: &mut Tx,
    id: &InteractionId,
    browser: &TokenHash,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let taken: Option<(InteractionId,)> = on!(tx, |executor| sqlx::query_as(
        "UPDATE interactions SET answered_at = $3
         WHERE id = $1 AND browser_hash = $2 AND answered_at IS NULL AND expires_at > $3 RETURNING id"
    )
    .bind(id)
    .bind(browser)
    .bind(now)
    .fetch_optional(executor)
    .await)?;
    Ok(taken.is_some())
}
