//! What is ended at one instance, or by an operator beside it, is refused by another one on the same database within
//! five seconds: refresh tokens, sessions, and assertions about whoever it was.

use std::time::{Duration, Instant};

use reqwest::Method;
use rstest::rstest;
use serde_json::json;

use crate::support::{Agent, Browser, Client, On, Server, Tokens, Upstream, agent::present_at};

/// The promise. There is no cache to wait for and no message that could be lost, so it takes no longer than a request.
const SOON: Duration = Duration::from_secs(5);

/// How access ends.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Operator(&'static [&'static str]),
    /// The provider says that her session there is over.
    BackChannel,
    /// She signs out, everywhere.
    Person,
}

impl Cut {
    async fn happens(self, upstream: &Upstream, server: &Server, browser: &Browser) {
        match self {
            Self::Operator(arguments) => drop(server.operator(arguments)),
            Self::BackChannel => {
                let mut claims = upstream.logout_claims(server.clock.now());
                claims["sub"] = json!("ada-1");
                let token = upstream.signer.sign("logout+jwt", &claims).unwrap();
                let request = server.request(Method::POST, "/login/acme/backchannel-logout");
                let answer = request.form(&[("logout_token", token)]).send().await.unwrap();
                assert_eq!(answer.status(), 200);
            }
            Self::Person => {
                let account = browser.open(&server.url("/account")).await;
                let everywhere = account.forms("/logout").remove(1);
                assert_eq!(browser.submit(&everywhere).await.status, 200);
            }
        }
    }
}

/// Everything by which Ada and her agents have access, used at one instance.
struct Access<'a> {
    agent: &'a Agent,
    at: &'a Server,
    cookie: String,
    desk: Client,
    tokens: Tokens,
}

impl Access<'_> {
    /// What is left of it: the error of a refresh, whether she is signed in, and the error of an assertion; none where
    /// all is well.
    async fn left(&mut self) -> (String, bool, String) {
        let refreshed = self.desk.refresh(self.at, self.tokens.refresh()).await;
        if refreshed.status == 200 {
            self.tokens = refreshed.clone();
        }
        let account = self.at.request(Method::GET, "/account").header("cookie", &self.cookie);
        let signed_in = account.send().await.unwrap().status() == 200;
        let traded = present_at(self.at, &self.agent.sign(&self.agent.claims()), &[]).await;
        (refreshed.error().to_owned(), signed_in, traded.error().to_owned())
    }
}

#[rstest]
#[case::a_user(
    Cut::Operator(&["user", "disable", "ada@acme.example"]),
    ("invalid_grant", false, "invalid_grant"),
)]
#[case::a_user_for_good(
    Cut::Operator(&["user", "offboard", "ada@acme.example"]),
    ("invalid_grant", false, "invalid_grant"),
)]
#[case::an_app(Cut::Operator(&["client", "disable", "desk"]), ("unauthorized_client", true, ""))]
#[case::an_agent(Cut::Operator(&["client", "disable", "agent"]), ("", true, "unauthorized_client"))]
#[case::a_provider(
    Cut::Operator(&["provider", "disable", "acme"]),
    ("invalid_grant", false, "invalid_grant"),
)]
#[case::a_session_at_the_provider(Cut::BackChannel, ("invalid_grant", false, ""))]
#[case::a_session_here(Cut::Person, ("invalid_grant", false, ""))]
#[tokio::test(flavor = "multi_thread")]
async fn what_ends_at_one_instance_is_refused_by_another(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] cut: Cut,
    #[case] left: (&str, bool, &str),
) {
    let Some(agent) = Agent::start(on).await else { return };
    let (server, twin) = (&agent.server, agent.server.twin().await);
    let (desk, browser) = (Client::desk(), Browser::new());
    agent.upstream.sign_in(server, &browser, |_| ()).await;
    let tokens = desk.obtain(server, &browser, "ada").await;
    let cookie = browser.cookie(&server.base);
    let mut access = Access { agent: &agent, at: &twin, cookie, desk, tokens };
    let as_expected = |(refreshed, signed_in, traded): &(String, bool, String), expected| {
        (refreshed.as_str(), *signed_in, traded.as_str()) == expected
    };
    for _ in 0..2 {
        let all = access.left().await;
        assert!(as_expected(&all, ("", true, "")), "the other instance knows what this one gave: {all:?}");
    }

    cut.happens(&agent.upstream, server, &browser).await;
    let ended = Instant::now();
    loop {
        let now = access.left().await;
        if as_expected(&now, left) {
            break;
        }
        assert!(ended.elapsed() < SOON, "{cut:?}: {now:?} after {:?}", ended.elapsed());
    }
}
