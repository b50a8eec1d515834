//! A disconnected account before an authorization server that we did not write: npm `oidc-provider`, where the end of a
//! refresh token is that of the whole grant, and access tokens that are JWTs cannot be ended.

use std::time::Duration;

use chancery::{
    admin::Operator,
    entropy::Entropy,
    store::{connections, revocations},
    vault::{refresh::fresh, revoke},
};
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::Connection as _;

use super::{
    Peer, http,
    vault::{database, instances, kept::keep, token, vendor},
};

/// Longer than an access token lives.
const LATER: Duration = Duration::from_secs(3 * 60 * 60);

/// What the record has of the end of connections: the event, its reason, and its details.
async fn recorded(database: &str) -> Vec<(String, Option<String>, Value)> {
    const QUERY: &str = "SELECT event, reason, details FROM audit
                         WHERE event IN ('connection.ended', 'connection.revoked', 'connection.not_revoked') ORDER BY event";
    let rows: Vec<(String, Option<String>, String)> = if database.starts_with("sqlite") {
        let mut connection = sqlx::SqliteConnection::connect(database).await.unwrap();
        sqlx::query_as(QUERY).fetch_all(&mut connection).await.unwrap()
    } else {
        let mut connection = sqlx::PgConnection::connect(database).await.unwrap();
        sqlx::query_as(QUERY).fetch_all(&mut connection).await.unwrap()
    };
    let read =
        |(event, reason, details): (_, _, String)| (event, reason, serde_json::from_str(&details).unwrap());
    rows.into_iter().map(read).collect()
}

async fn fails(vendor: &Peer, how: Value) {
    let answer = http().post(format!("{}/fail", vendor.said("control"))).json(&how).send().await.unwrap();
    assert!(answer.status().is_success());
}

/// While the vendor is down the tokens stay owed to it, and end once it is back.
#[rstest]
#[case::sqlite(1)]
#[case::postgres(2)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_disconnected_is_dead_at_the_vendor(
    #[case] number: usize,
    #[values(false, true)] is_down: bool,
) {
    let (vendor, access, refresh) = vendor().await;
    let folder = tempfile::tempdir().unwrap();
    let Some(database) = database(number, folder.path()).await else { return };
    let apps = instances(number, &vendor, &database).await;
    let (app, last) = (&apps[0], &apps[number - 1]);
    let end = app.clock.now().plus(Duration::from_secs(3600));
    let id = keep(app, "files", (&access, Some(&refresh)), |row| row.expires_at = Some(end)).await;
    app.clock.advance(LATER);
    let row = connections::find(&app.db, &id).await.unwrap().unwrap();
    let configured = app.config.connections.get(&row.name).unwrap();
    let row = fresh(app, configured, row).await.unwrap().connection;
    let kept = app.vault.safe.open(&row, app.clock.now()).await.unwrap();
    let newest = kept.refresh.unwrap().expose().to_owned();
    assert_ne!(newest, refresh, "it lives");

    let operator = Operator::new(&app.config, &app.db, (&app.clock, &Entropy::System));
    assert_eq!(operator.disconnect_all(&row.name).await.unwrap().ended, 1);
    let mut attempts = 1;
    if is_down {
        fails(&vendor, json!({ "status": 503 })).await;
        revoke::turn(last).await.unwrap();
        assert_eq!(revocations::count(&app.db).await.unwrap(), 1, "it is owed on");
        fails(&vendor, json!({})).await;
        app.clock.advance(Duration::from_secs(10));
        attempts += 1;
    }
    let (one, other) = tokio::join!(revoke::turn(app), revoke::turn(last));
    one.and(other).unwrap();
    assert_eq!(revocations::count(&app.db).await.unwrap(), 0);
    let recorded = recorded(&database).await;
    let told: Vec<_> =
        recorded.iter().map(|(event, reason, _)| (event.as_str(), reason.as_deref())).collect();
    assert_eq!(told, [("connection.ended", Some("by_operator")), ("connection.revoked", None)]);
    assert_eq!(recorded[1].2["attempts"], attempts.to_string());

    let again = [("grant_type", "refresh_token"), ("client_id", "us"), ("refresh_token", newest.as_str())];
    assert_eq!(token(&vendor, &again).await["error"], "invalid_grant");
}
