//! Somebody can write to the database and has no encryption key. Whatever is put into a row, nothing opens that does
//! not belong there; it is logged each time, and is on record.

use std::time::Duration;

use chancery::{
    app::App,
    entropy::Entropy,
    ids::{ConnectionId, RevocationId},
    seal::OpenError,
    store::{connections, revocations},
    vault::{
        refresh::NotFresh,
        state::{Loss, State},
    },
};
use rstest::rstest;
use serde_json::json;

use super::{
    connect::Story,
    refresh::{access, start},
};
use crate::support::{Browser, Client, Log, On, Server, client::sign_in};

const HOUR: Duration = Duration::from_secs(3600);

/// A sealed value in hexadecimal.
async fn read(server: &Server, column: &str, of: &str) -> String {
    let sqlite = server.database.starts_with("sqlite");
    let hex = if sqlite { format!("lower(hex({column}))") } else { format!("encode({column}, 'hex')") };
    server.text(format!("SELECT {hex} FROM {of}")).await
}

async fn write(server: &Server, hex: &str, connection: &ConnectionId) {
    let sqlite = server.database.starts_with("sqlite");
    let bytes = if sqlite { format!("X'{hex}'") } else { format!("decode('{hex}', 'hex')") };
    server.execute(format!("UPDATE connections SET tokens = {bytes} WHERE id = '{connection}'")).await;
}

/// Three requests later: refused each time, logged each time, recorded once.
async fn is_refused(server: &Server, log: &Log, id: &ConnectionId, reason: &str) {
    let lost = matches!(reason, "tampered" | "unknown_format");
    for _ in 0..3 {
        match server.fresh(id).await {
            Err(NotFresh::Reconnect(Loss::Unreadable)) if lost => {}
            Err(NotFresh::Unopened(_)) if !lost => {}
            outcome => panic!("{outcome:?}"),
        }
    }
    assert_eq!(server.reasons("seal.refused").await, [reason]);
    let recorded = server.last("seal.refused").await;
    let user = server.connection(id).await.user_id;
    assert_eq!((recorded.user_id.as_deref(), recorded.detail("row")), (Some(user.as_str()), id.to_string()));
    assert_eq!(recorded.detail("table"), "connections");
    let text = log.text();
    let lines: Vec<_> =
        text.lines().filter(|line| line.contains("ERROR") && line.contains("does not open")).collect();
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains(id.as_str())), "{lines:?}");
    let expected = if lost { State::NeedsReconnect(Loss::Unreadable) } else { State::Active };
    assert_eq!(server.connection(id).await.state, expected);
}

#[rstest]
#[tokio::test]
async fn anothers_tokens(#[values(On::Sqlite, On::Postgres)] on: On) {
    let (log, _logged) = Log::listen();
    let Some((_vendor, server)) = start(on).await else { return };
    let (mine, other) = (server.connected(HOUR).await, server.connected(HOUR).await);
    let stolen = read(&server, "tokens", &format!("connections WHERE id = '{other}'")).await;
    write(&server, &stolen, &mine).await;
    is_refused(&server, &log, &mine, "tampered").await;
    assert_eq!(access(&server, &other).await, "at-0", "hers are hers as before");
}

#[rstest]
#[tokio::test]
async fn what_was_sealed_for_another_column(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[values("signing_keys", "key_proofs")] table: &str,
) {
    let (log, _logged) = Log::listen();
    let Some((_vendor, server)) = start(on).await else { return };
    let id = server.connected(HOUR).await;
    let key = read(&server, "sealed", table).await;
    write(&server, &key, &id).await;
    is_refused(&server, &log, &id, "tampered").await;
}

/// Both ways between those that are there and those that are to be revoked.
#[rstest]
#[tokio::test]
async fn tokens_of_an_account_that_is_gone(#[values(On::Sqlite, On::Postgres)] on: On) {
    let (log, _logged) = Log::listen();
    let Some((_vendor, server)) = start(on).await else { return };
    let (mine, gone) = (server.connected(HOUR).await, server.connected(HOUR).await);
    let mut tx = server.app.db.begin().await.unwrap();
    let was = connections::delete(&mut tx, &gone).await.unwrap().unwrap();
    let now = server.clock.now();
    let owed = revocations::Revocation::of(was, RevocationId::new(&server.clock, &Entropy::System), now);
    revocations::owe(&mut tx, &owed).await.unwrap();
    tx.commit().await.unwrap();

    let row = server.connection(&mine).await;
    let moved = revocations::Revocation { tokens: row.tokens, ..owed };
    let outcome = server.app.vault.safe.open_owed(&moved, now).await;
    assert_eq!(
        outcome.unwrap_err(),
        OpenError::Tampered,
        "what would be sent to a vendor as somebody else's"
    );
    let stolen = read(&server, "tokens", "revocations").await;
    write(&server, &stolen, &mine).await;
    is_refused(&server, &log, &mine, "tampered").await;
}

#[rstest]
#[tokio::test]
async fn tokens_that_were_replaced_since(#[values(On::Sqlite, On::Postgres)] on: On) {
    let (log, _logged) = Log::listen();
    let Some((_vendor, server)) = start(on).await else { return };
    let id = server.connected(Duration::ZERO).await;
    let of = format!("connections WHERE id = '{id}'");
    let old = read(&server, "tokens", &of).await;
    assert_eq!(access(&server, &id).await, "at-1");
    write(&server, &old, &id).await;
    is_refused(&server, &log, &id, "tampered").await;
}

#[rstest]
#[case::cut_off(|hex: &str| hex[..hex.len() - 2].to_owned(), "tampered")]
#[case::cut_short(|hex: &str| hex[..100].to_owned(), "unknown_format")]
#[case::nothing(|_: &str| String::new(), "unknown_format")]
#[case::another_bit(|hex: &str| format!("{}{}", &hex[..hex.len() - 2], if hex.ends_with("00") { "01" } else { "00" }), "tampered")]
#[case::another_version(|hex: &str| format!("09{}", &hex[2..]), "unknown_format")]
#[case::an_older_version(|hex: &str| format!("01{}", &hex[2..]), "tampered")]
#[case::another_kind_of_key(|hex: &str| format!("{}07{}", &hex[..2], &hex[4..]), "unknown_format")]
// The id is `k1`, behind three bytes.
#[case::another_key(|hex: &str| format!("{}{}{}", &hex[..6], "6b39", &hex[10..]), "unknown_key")]
#[tokio::test]
async fn bytes_that_nobody_sealed(
    #[case] change: fn(&str) -> String,
    #[case] reason: &str,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let (log, _logged) = Log::listen();
    let Some((_vendor, server)) = start(on).await else { return };
    let id = server.connected(HOUR).await;
    let sealed = read(&server, "tokens", &format!("connections WHERE id = '{id}'")).await;
    write(&server, &change(&sealed), &id).await;
    is_refused(&server, &log, &id, reason).await;
}

/// What runs goes on with the keys that it has; what is started does not start.
#[rstest]
#[tokio::test]
async fn a_signing_key_that_was_changed(#[values(On::Sqlite, On::Postgres)] on: On) {
    let (log, _logged) = Log::listen();
    let Some((_vendor, server)) = start(on).await else { return };
    server.execute("UPDATE signing_keys SET sealed = (SELECT sealed FROM key_proofs)").await;
    for _ in 0..2 {
        server.app.reload_keys().await.unwrap_err();
    }
    assert_eq!(server.reasons("seal.refused").await, ["tampered"]);
    assert_eq!(server.last("seal.refused").await.detail("table"), "signing_keys");
    assert!(log.text().contains("a sealed value does not open"));
    Client::desk().obtain(&server, &Browser::new(), "ada").await;
    let config = server.app.config.clone();
    assert!(App::open(config, server.clock.clone(), Entropy::System, false).await.is_err());
    assert_eq!(server.recorded("seal.refused").await, 2);
}

/// On the way to the vendor and back, where the account is connected once more, and where a sign-in leads there.
#[rstest]
#[tokio::test]
async fn what_connecting_opens(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let (server, browser) = (&story.server, Browser::new());
    let spoil = async |table: &str, column: &str| {
        server.later(Duration::from_secs(1));
        server.execute(format!("UPDATE {table} SET {column} = (SELECT sealed FROM key_proofs)")).await;
    };
    let page = story.page(&browser, "ada").await;
    let away = story.press(&browser, &page).await;
    spoil("connects", "sealed").await;
    let back = browser.open(&away.back(&[("code", "c-1")])).await;
    assert!(back.status >= 400, "{}", back.text());
    assert_eq!(server.last("seal.refused").await.detail("table"), "connects");
    assert_eq!(server.rows("connections").await, 0);

    story.connect(&browser, "ada").await;
    spoil("connections", "tokens").await;
    story.gives(&json!({ "access_token": "second", "refresh_token": null }));
    story.connect(&browser, "ada").await;
    assert_eq!(server.last("seal.refused").await.detail("table"), "connections");
    let kept = story.connections(&browser).await.pop().unwrap();
    assert_eq!(story.opened(&kept).await, ("second".to_owned(), None));

    let stranger = Browser::new();
    let page = stranger.open(&server.url("/connect/github")).await;
    assert!(page.url.as_str().starts_with(&server.provider), "{}", page.url);
    spoil("logins", "onward").await;
    let back = sign_in(server, &stranger, page, "ada", "nowhere:").await;
    assert!(back.status >= 400, "{}", back.text());
    assert_eq!(server.last("seal.refused").await.detail("table"), "logins");
    assert_eq!(server.reasons("seal.refused").await, ["tampered"; 3]);
}
