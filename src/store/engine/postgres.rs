//! The pool of connections to PostgreSQL.

use std::{str::FromStr as _, time::Duration};

use sqlx::{Connection as _, PgPool, postgres::PgConnectOptions, postgres::PgPoolOptions};

use super::StoreError;

/// How many statements may be on their way at once. PostgreSQL allows 100 connections by default, and several
/// instances share them.
const MAX_CONNECTIONS: u32 = 16;

/// How long a request waits for a connection before it is answered with a 503; so long, too, while the server is
/// down.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long one statement may run, one lock be waited for, and one transaction sit idle, unless the URL says
/// otherwise: nothing that a request does comes near, so what reaches it is stuck and must not hold up the rest.
const SESSION_LIMITS: [(&str, &str); 3] =
    [("statement_timeout", "10s"), ("lock_timeout", "5s"), ("idle_in_transaction_session_timeout", "10s")];

/// A connection that was used this recently is trusted without asking; asking costs a round trip per request.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

pub(super) async fn open(url: &str) -> Result<PgPool, StoreError> {
    connect(PgConnectOptions::from_str(url)?).await
}

pub(super) async fn open_read_only(url: &str) -> Result<PgPool, StoreError> {
    connect(PgConnectOptions::from_str(url)?.options([("default_transaction_read_only", "on")])).await
}

async fn connect(options: PgConnectOptions) -> Result<PgPool, StoreError> {
    let set_by_operator = options.get_options().unwrap_or_default().to_owned();
    let limits = SESSION_LIMITS.into_iter().filter(|(name, _)| !set_by_operator.contains(name));
    let options = options.application_name("chancery").options(limits);
    let pool = PgPoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, metadata| {
            Box::pin(async move {
                if metadata.idle_for > TRUSTED_FOR {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(options)
        .await?;
    Ok(pool)
}
