//! Table `consents`: what users allowed clients.

use sqlx::types::Json;

use super::{Db, StoreError, Tx, on};
use crate::{
    clock::Timestamp,
    config::connection::Uses,
    ids::{ClientId, UserId},
    oauth::{purpose::Purpose, scope::ScopeSet},
    secret::TokenHash,
};

/// What a user allowed a client to do, and at which redirect host.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Consent {
    /// Who allowed it.
    pub user_id: UserId,
    /// To whom.
    pub client_id: ClientId,
    /// For what.
    #[sqlx(rename = "resource", try_from = "String")]
    pub purpose: Purpose,
    /// What.
    #[sqlx(try_from = "String")]
    pub scope: ScopeSet,
    /// What she was told that it lets the resource use of her accounts elsewhere.
    pub uses: Json<Uses>,
    /// The host that the answer went to.
    pub redirect_host: String,
    /// What the client's document said then of its addresses and keys, hashed; none of a client without a document.
    pub document: Option<TokenHash>,
    /// When it was last given.
    pub granted_at: Timestamp,
}

/// The consent, if there is one.
pub async fn find(
    db: &Db,
    user: &UserId,
    client: &ClientId,
    purpose: &Purpose,
) -> Result<Option<Consent>, StoreError> {
    on!(db, |executor| sqlx::query_as(
        "SELECT * FROM consents WHERE user_id = $1 AND client_id = $2 AND resource = $3"
    )
    .bind(user)
    .bind(client)
    .bind(purpose.to_string())
    .fetch_optional(executor)
    .await)
}

/// Writes what a person answered who was asked for `asked` by a request of that time: `consent` is what she allowed of
/// it.
///
/// What she was not asked about stays, and what she left unticked is withdrawn; but not what she has allowed since, in
/// another tab, for this one knew nothing of it. Nothing stays of what was allowed to a client with other addresses or
/// keys. Two answers wait for each other.
pub async fn answer(
    tx: &mut Tx,
    consent: &Consent,
    (asked, requested_at): (&ScopeSet, Timestamp),
) -> Result<(), StoreError> {
    let before = hold(tx, consent).await?;
    let (stays, told) = if before.document != consent.document {
        (ScopeSet::default(), Uses::default())
    } else if before.granted_at > requested_at {
        (before.scope, before.uses.0)
    } else {
        (before.scope.difference(asked), before.uses.0)
    };
    let uses = Json(consent.uses.0.clone().of_these_and(asked, told));
    put(tx, &Consent { scope: stays.union(&consent.scope), uses, ..consent.clone() }).await
}

/// The consent in whose place this one is to be put, held until the transaction ends; an empty one where there is none.
async fn hold(tx: &mut Tx, consent: &Consent) -> Result<Consent, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as(
            "INSERT INTO consents (user_id, client_id, resource, scope, redirect_host, granted_at)
             VALUES ($1, $2, $3, '', '', 0)
             ON CONFLICT (user_id, client_id, resource) DO UPDATE SET granted_at = consents.granted_at RETURNING *",
        )
        .bind(&consent.user_id)
        .bind(&consent.client_id)
        .bind(consent.purpose.to_string())
        .fetch_one(executor)
        .await
    })
}

async fn put(tx: &mut Tx, consent: &Consent) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
        "INSERT INTO consents (user_id, client_id, resource, scope, redirect_host, document, granted_at, uses)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (user_id, client_id, resource)
         DO UPDATE SET scope = excluded.scope, redirect_host = excluded.redirect_host, document = excluded.document,
             granted_at = excluded.granted_at, uses = excluded.uses"
    )
    .bind(&consent.user_id)
    .bind(&consent.client_id)
    .bind(consent.purpose.to_string())
    .bind(consent.scope.to_string())
    .bind(&consent.redirect_host)
    .bind(&consent.document)
    .bind(consent.granted_at)
    .bind(&consent.uses)
    .execute(executor)
    .await
    .map(drop)
    })?;
    Ok(())
}

/// Withdraws the consent. `false`: there is none.
pub async fn delete(
    tx: &mut Tx,
    user: &UserId,
    client: &ClientId,
    purpose: &Purpose,
) -> Result<bool, StoreError> {
    let deleted = on!(tx, |executor| sqlx::query(
        "DELETE FROM consents WHERE user_id = $1 AND client_id = $2 AND resource = $3"
    )
    .bind(user)
    .bind(client)
    .bind(purpose.to_string())
    .execute(executor)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(deleted == 1)
}

/// Withdraws all of a user's consents and names them.
pub async fn delete_of_user(tx: &mut Tx, user: &UserId) -> Result<Vec<Consent>, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as("DELETE FROM consents WHERE user_id = $1 RETURNING *")
            .bind(user)
            .fetch_all(executor)
            .await
    })
}
