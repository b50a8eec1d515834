//! Requests that come at the same moment, each with an assertion of its own (`private_key_jwt`, RFC 7523 §2.2): one
//! wins, and losing spends nothing.

use std::time::Duration;

use chancery::jose::Signer;
use rstest::rstest;
use sqlx::{Connection as _, PgConnection, SqliteConnection};

use crate::{
    authorization::futures_join,
    machine::{claims, present, sign, with_key},
    support::{
        Browser, Client, On, Server, Tokens,
        client::{account, post},
    },
};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How many race.
const RACERS: i64 = 6;
/// How long a SQLite server gets to have them all wait for its writer; there is nobody to ask whether they do.
const SETTLED: Duration = Duration::from_millis(500);

/// The client that proves itself by its key.
fn signer() -> Client {
    Client { id: "signer".to_owned(), ..Client::desk() }
}

fn proof(assertion: String) -> [(&'static str, String); 2] {
    [("client_assertion_type", ASSERTION_TYPE.to_owned()), ("client_assertion", assertion)]
}

/// Sends them while nobody can write to `table`, and lets them go once all have come so far.
async fn at_once(server: &Server, table: &str, forms: &[Vec<(&str, String)>]) -> Vec<Tokens> {
    held(server, (table, RACERS), futures_join(forms.iter().map(|form| post(server, form)))).await
}

/// Does this while nobody can write to the table, which is let go once so many wait for it.
async fn held<T>(server: &Server, (table, racers): (&str, i64), answers: impl Future<Output = T>) -> T {
    if server.database.starts_with("sqlite") {
        let mut writer = SqliteConnection::connect(&server.database).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut writer).await.unwrap();
        let release = async {
            tokio::time::sleep(SETTLED).await;
            sqlx::query("ROLLBACK").execute(&mut writer).await.unwrap();
        };
        return tokio::join!(answers, release).0;
    }
    let mut holder = PgConnection::connect(&server.database).await.unwrap();
    let mut watch = PgConnection::connect(&server.database).await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut holder).await.unwrap();
    let lock = sqlx::AssertSqlSafe(format!("BEGIN; LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"));
    sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
    let release = async {
        const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))";
        while sqlx::query_scalar::<_, i64>(WAITING).bind(pid).fetch_one(&mut watch).await.unwrap() < racers {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    };
    tokio::join!(answers, release).0
}

fn assertions(server: &Server, key: &Signer) -> Vec<String> {
    (0..RACERS).map(|_| sign(key, &claims(server))).collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn of_those_who_bring_one_code_one_gets_tokens_and_the_others_have_lost_nothing_else(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some((server, key)) = with_key(on).await else { return };
    let client = signer();
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let assertions = assertions(&server, &key);
    let form =
        |assertion: &String| [client.exchange_parameters(&code), proof(assertion.clone()).to_vec()].concat();
    let forms: Vec<_> = assertions.iter().map(form).collect();
    let answers = at_once(&server, "codes", &forms).await;
    let winners = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((winners, server.rows("grants").await), (1, 1));
    assert_eq!(server.recorded("token.issued").await, 1);
    for (answer, assertion) in answers.iter().zip(&assertions) {
        // Who loses is told so, and not that its assertion was used before; ending what the code gave then uses it.
        if answer.status != 200 {
            assert_eq!((answer.status, answer.error()), (400, "invalid_grant"), "{}", answer.body);
        }
        assert_eq!(present(&server, assertion, &[]).await.error(), "invalid_client");
    }
    assert_eq!(
        server.recorded("code.reused").await,
        1,
        "the code was used twice, and what came of it is ended"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn who_loses_a_race_to_refresh_keeps_its_assertion_for_the_second_look(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some((server, key)) = with_key(on).await else { return };
    let client = signer();
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let exchange = [client.exchange_parameters(&code), proof(sign(&key, &claims(&server))).to_vec()].concat();
    let tokens = post(&server, &exchange).await;
    let form = |assertion: String| {
        let refresh =
            [("grant_type", "refresh_token".to_owned()), ("refresh_token", tokens.refresh().to_owned())];
        [refresh, proof(assertion)].concat()
    };
    let forms: Vec<_> = assertions(&server, &key).into_iter().map(form).collect();
    let answers = at_once(&server, "refresh_tokens", &forms).await;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.refresh(), answers[0].refresh());
    }
}

/// Two tabs ask for a consent, and both are answered at the same moment: neither answer takes back what the other gave.
#[rstest]
#[case::for_different_things(["tickets:read", "tickets:write"], [None, None])]
#[case::for_the_same_each_with_another_left_out(
    ["tickets:read tickets:write"; 2], [Some("tickets:write"), Some("tickets:read")]
)]
#[tokio::test(flavor = "multi_thread")]
async fn of_two_consents_that_are_answered_at_once_none_is_lost(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] asked: [&str; 2],
    #[case] unticked: [Option<&str>; 2],
) {
    let Some(server) = Server::start(on).await else { return };
    let client = Client { redirect_uri: "https://desk.acme.example/callback".into(), ..Client::desk() };
    let browser = Browser::new();
    account(&server, &browser, "ada").await;
    let tabs = asked.map(|scope| (client.clone().scope(scope), browser.copy()));
    let mut forms = Vec::new();
    for ((client, tab), left_out) in tabs.iter().zip(unticked) {
        let form = client.begin(&server, tab, "ada").await.form("/interaction/").set("decision", "allow");
        forms.push(match left_out {
            Some(scope) => form.untick("scope", scope),
            None => form,
        });
    }
    server.later(Duration::from_secs(1));
    let answers =
        tabs.iter().zip(&forms).map(|((client, tab), form)| tab.submit_until(form, &client.redirect_uri));
    let pages = held(&server, ("sessions", 2), futures_join(answers)).await;
    for ((client, _), page) in tabs.iter().zip(&pages) {
        let tokens = client.exchange(&server, &client.code(&server, page)).await;
        let refreshed = client.refresh(&server, tokens.refresh()).await;
        assert_eq!(refreshed.status, 200, "{}", refreshed.body);
        assert_eq!(refreshed.body["scope"], tokens.body["scope"]);
    }
    let both = client.clone().scope("tickets:read tickets:write").begin(&server, &browser, "ada").await;
    client.code(&server, &both);
}

/// Who answers later knew what was allowed before, and takes back what she leaves unticked.
#[rstest]
#[tokio::test]
async fn what_is_unticked_later_is_withdrawn(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, browser) = (Client::desk().scope("tickets:read tickets:write"), Browser::new());
    let tokens = client.obtain(&server, &browser, "ada").await;
    server.later(Duration::from_secs(1));
    let page = client.begin(&server, &browser, "ada").await;
    let form = page.form("/interaction/").set("decision", "allow").untick("scope", "tickets:write");
    browser.submit_until(&form, &client.redirect_uri).await;
    let refreshed = client.refresh(&server, tokens.refresh()).await;
    assert_eq!(refreshed.body["scope"], "tickets:read", "{}", refreshed.body);
}
