//! The end of a connection: its row goes, and its tokens are owed to the vendor, to be revoked there.
//!
//! Every vend reads the row. So once the transaction is committed nothing is handed out any more, by whichever
//! instance, and what the vendor does with its tokens is [`super::revoke`]'s to see to.

use crate::{
    audit::{self, Event, Kind},
    identity::ending::Ending,
    ids::{ConnectionId, ConnectionName, RevocationId, UserId},
    store::{
        StoreError, Tx,
        connections::{self, Connection},
        revocations::{self, Revocation},
    },
};

/// Ends one connection. One that is left alone is then meant where nobody says which; where the one that was meant ends
/// and several are left, none is until she chooses. `None`: it is gone already.
pub async fn end(
    tx: &mut Tx,
    id: &ConnectionId,
    ending: &Ending<'_>,
) -> Result<Option<Connection>, StoreError> {
    let Some(gone) = connections::delete(tx, id).await? else { return Ok(None) };
    owe(tx, &gone, ending).await?;
    connections::choose_default(tx, &gone.user_id, &gone.name).await?;
    Ok(Some(gone))
}

/// Ends all of a user's.
pub async fn end_of_user(
    tx: &mut Tx,
    user: &UserId,
    ending: &Ending<'_>,
) -> Result<Vec<Connection>, StoreError> {
    let gone = connections::delete_of_user(tx, user).await?;
    owe_each(tx, gone, ending).await
}

/// Ends up to `most` of one name, whoever's they are.
pub async fn end_named(
    tx: &mut Tx,
    name: &ConnectionName,
    most: u32,
    ending: &Ending<'_>,
) -> Result<Vec<Connection>, StoreError> {
    let gone = connections::delete_named(tx, name, most).await?;
    owe_each(tx, gone, ending).await
}

async fn owe_each(
    tx: &mut Tx,
    gone: Vec<Connection>,
    ending: &Ending<'_>,
) -> Result<Vec<Connection>, StoreError> {
    for gone in &gone {
        owe(tx, gone, ending).await?;
    }
    Ok(gone)
}

async fn owe(tx: &mut Tx, gone: &Connection, ending: &Ending<'_>) -> Result<(), StoreError> {
    let (clock, entropy) = ending.chance;
    let owed = Revocation::of(gone.clone(), RevocationId::new(clock, entropy), clock.now());
    revocations::owe(tx, &owed).await?;
    let event = Event::new(Kind::ConnectionEnded, ending.origin)
        .user(&gone.user_id)
        .reason(ending.cause.code())
        .detail("connection", &gone.name)
        .detail("connection_id", &gone.id)
        .detail("account", gone.account_name.as_ref().unwrap_or(&gone.account));
    audit::record(tx, clock, entropy, &event).await
}
