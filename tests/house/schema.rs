//! A schema of a test's own in the PostgreSQL server for tests. Read by the tests beside the code too, which know the
//! house by another name: so it needs nothing of the house.

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, postgres::PgConnectOptions};

/// Its URL; `None` where PostgreSQL is left out on purpose.
pub(crate) async fn fresh_schema() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "where the test server is, only the environment knows")]
    let server = std::env::var("CHANCERY_TEST_POSTGRES")
        .expect("CHANCERY_TEST_POSTGRES is the URL of a PostgreSQL database for tests, or `skip`");
    if server == "skip" {
        return None;
    }
    let mut connection = server.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    let name = "SELECT 't' || replace(gen_random_uuid()::text, '-', '')";
    let schema: String = sqlx::query_scalar(name).fetch_one(&mut connection).await.unwrap();
    let create = AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
    sqlx::query(create).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let joint = if server.contains('?') { '&' } else { '?' };
    Some(format!("{server}{joint}options[search_path]={schema}"))
}
