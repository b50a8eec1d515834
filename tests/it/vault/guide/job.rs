//! "For a job, while the person is not there". What it gets nothing for is told beside the other vends.

use rstest::rstest;

use super::*;
use crate::support::client::account;

const JOB: &str = "### For a job, while the person is not there";

#[rstest]
#[tokio::test]
async fn the_guide_to_a_job_can_be_followed_word_for_word(#[values(On::Sqlite, On::Postgres)] on: On) {
    let sections = written(&[tickets(), block(JOB, "yaml")]);
    let Some((github, server)) = with_github(on, &sections).await else { return };
    let ada = Browser::new();
    // What she allowed the ticket desk has nothing to do with it, and there is no `use`.
    let sent = app("tickets:read").obtain(&server, &ada, "ada").await;
    let claims = sent.claims();
    let sub = claims["sub"].as_str().unwrap();
    let ask = async |changed: &[(&str, &str)]| {
        curl(&server, block(JOB, "console"), &[&[("0191a4b2-…", sub)], changed].concat()).await
    };

    // The same answers: the link is for her to get in another way.
    let needed = ask(&[]).await;
    let shown = to_do_first(&server, "nightly-report");
    assert!(is_as_shown(&needed.body, &shown), "{}\n{shown}", needed.body);
    let page = ada.open(link(&needed)).await.text();
    assert!(page.contains("Your administrators also let nightly-report use it while you are away"), "{page}");
    let at = press(&ada, link(&needed)).await;
    assert_eq!(at.asked("scope").as_deref(), Some("repo"));
    connected(&ada, &at).await;
    handed_out(&ask(&[]).await);
    // The account alone, where nothing is said.
    handed_out(&ask(&[(" -d scope=repo", "")]).await);
    let more = ask(&[("scope=repo", "scope=delete_repo")]).await;
    assert_eq!((more.status, more.error()), (400, "invalid_scope"), "nobody is asked for that there");
    assert_eq!(github.requests("/login/oauth/access_token").await.len(), 1);

    // Each time is on record under its own name, and on her account page.
    let of_whom = server.on_record("connection.vended_offline", "user_id").await;
    assert_eq!(of_whom, [sub, sub]);
    assert_eq!(server.recorded("connection.vended").await, 0);
    let page = account(&server, &ada, "ada").await.text();
    for line in [
        "May also be used while you are away, by nightly-report : your administrators allow it",
        "Used by nightly-report while you were away, last 21 November 2026, 00:00 UTC , 2 times",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }

    // The id proves nothing: it is the client's own proof that counts.
    let other = ask(&[("$REPORT_SECRET", "another-secret-0123456789")]).await;
    assert_eq!((other.status, other.error()), (401, "invalid_client"), "{}", other.body);
    let server_of_tickets = ask(&[("nightly-report:", "tickets-server:")]).await;
    assert_eq!(server_of_tickets.error(), "invalid_target", "{}", server_of_tickets.body);
}
