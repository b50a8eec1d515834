//! A schema of a test's own in the PostgreSQL server for tests.

use chancery::entropy::Entropy;
use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions};

/// Its URL; `None` where PostgreSQL is left out on purpose.
pub(crate) async fn fresh_schema() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "where the test server is, only the environment knows")]
    let server = std::env::var("CHANCERY_TEST_POSTGRES")
        .expect("CHANCERY_TEST_POSTGRES is the URL of a PostgreSQL database for tests, or `skip`");
    if server == "skip" {
        return None;
    }
    let schema = format!("t{:032x}", u128::from_be_bytes(Entropy::System.bytes()));
    let mut connection = server.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}")))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let joint = if server.contains('?') { '&' } else { '?' };
    Some(format!("{server}{joint}options[search_path]={schema}"))
}
