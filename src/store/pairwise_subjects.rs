//! Table `pairwise_subjects`: what users are called at one other authorization server and nowhere else.

use super::{StoreError, Tx, on};
use crate::{clock::Timestamp, ids::UserId};

/// What the user is called at `audience`: what she was called there before, else `fresh` from now on.
pub async fn of(
    tx: &mut Tx,
    audience: &str,
    user: &UserId,
    fresh: &str,
    now: Timestamp,
) -> Result<String, StoreError> {
    // Of two that make the first one, the second waits for the first and is told its name.
    let (subject,): (String,) = on!(tx, |executor| {
        sqlx::query_as(
            "INSERT INTO pairwise_subjects (audience, user_id, subject, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (audience, user_id) DO UPDATE SET audience = excluded.audience RETURNING subject",
        )
        .bind(audience)
        .bind(user)
        .bind(fresh)
        .bind(now)
        .fetch_one(executor)
        .await
    })?;
    Ok(subject)
}
