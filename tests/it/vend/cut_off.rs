//! What was handed out a moment ago is not any more: switched off, disconnected, or its person gone.

use super::*;
use crate::support::client::account;

/// What two instances answer.
async fn both(server: &Server, twin: &Server, subject: &str) -> [String; 2] {
    let answers = [vend(server, subject).await, vend(twin, subject).await];
    answers.map(|got| if got.status == 200 { "vended".to_owned() } else { got.error().to_owned() })
}

#[rstest]
#[tokio::test]
async fn no_instance_hands_out_what_is_switched_off(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let twin = server.twin().await;
    let sent = adas(&server).await;
    connected(&server, &sent, |_| ()).await;
    assert_eq!(both(&server, &twin, sent.access()).await, ["vended"; 2]);
    server.operator(&["connection", "disable", "github"]);
    assert_eq!(both(&server, &twin, sent.access()).await, ["access_denied"; 2]);
    server.operator(&["connection", "enable", "github"]);
    assert_eq!(both(&server, &twin, sent.access()).await, ["vended"; 2]);
}

#[rstest]
#[case::by_herself(&[], "interaction_required")]
#[case::by_an_operator(&["connection", "disconnect", "--name", "github"], "interaction_required")]
#[case::since_she_left(&["user", "offboard", "ada@example.test"], "invalid_request")]
#[case::while_she_is_out(&["user", "disable", "ada@example.test"], "invalid_request")]
#[tokio::test]
async fn no_instance_hands_out_what_has_ended(
    #[case] command: &[&str],
    #[case] error: &str,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(server) = serve(on).await else { return };
    let twin = server.twin().await;
    let sent = adas(&server).await;
    connected(&server, &sent, |_| ()).await;
    assert_eq!(both(&server, &twin, sent.access()).await, ["vended"; 2]);
    if command.is_empty() {
        let browser = Browser::new();
        let page = account(&server, &browser, "ada").await;
        let used = "Used by tickets-server for Ticket desk";
        assert!(page.text().contains(used), "{}", page.text());
        browser.submit(&page.form("/account/connections/end")).await;
    } else {
        server.operator(command);
    }
    assert_eq!(both(&server, &twin, sent.access()).await, [error; 2]);
    assert_eq!(server.recorded("connection.vended").await, 2);
}

#[tokio::test]
async fn what_became_of_each_request_is_counted() {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = adas(&server).await;
    vend(&server, sent.access()).await;
    connected(&server, &sent, |_| ()).await;
    for _ in 0..2 {
        vend(&server, sent.access()).await;
    }
    server.operator(&["connection", "disable", "github"]);
    vend(&server, sent.access()).await;
    let text = server.figures().await.text().await.unwrap();
    for (outcome, count) in [("vended", 2), ("connect_first", 1), ("refused", 1)] {
        let line = format!("chancery_vends_total{{connection=\"github\",outcome=\"{outcome}\"}} {count}");
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(!text.contains("unavailable"), "{text}");
}

/// She could not do it.
#[rstest]
#[tokio::test]
async fn nobody_is_sent_to_connect_what_is_switched_off(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let sent = adas(&server).await;
    server.operator(&["connection", "disable", "github"]);
    let got = vend(&server, sent.access()).await;
    assert_eq!((got.status, got.error()), (400, "access_denied"), "{}", got.body);
    assert_eq!((server.rows("connect_links").await, server.recorded("connection.needed").await), (0, 0));
    assert_eq!(server.reasons("token.refused").await, ["connection_disabled"]);
    server.operator(&["connection", "enable", "github"]);
    assert_eq!(vend(&server, sent.access()).await.error(), "interaction_required");
    assert_eq!(server.rows("connect_links").await, 1);
}

/// Neither with a token of hers nor for a job: whoever her provider would not let in has nobody to stand by her.
#[rstest]
#[case::switched_off(true)]
#[case::taken_out_of_the_configuration(false)]
#[tokio::test]
async fn nothing_is_handed_out_for_people_of_a_provider_that_is_gone(
    #[case] is_known: bool,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(server) = Server::start_with(on, &offline::with_jobs()).await else { return };
    let mut config = server.app.config.clone();
    if !is_known {
        config.providers.clear();
    }
    let twin = server.twin_with(config).await;
    let sent = adas(&server).await;
    connected(&server, &sent, |_| ()).await;
    let repo = [("scope", "repo")];
    let (user, opened) =
        (offline::sub(&sent), || server.app.vault.safe.opened() + twin.app.vault.safe.opened());
    assert_eq!(vend(&server, sent.access()).await.status, 200);
    assert_eq!((offline::job(&server, &user, &repo).await.status, opened()), (200, 2));
    if is_known {
        server.operator(&["provider", "disable", "test"]);
    }
    let (hers, its) = (vend(&twin, sent.access()).await, offline::job(&twin, &user, &repo).await);
    for got in [hers, its] {
        assert_eq!((got.status, got.error(), opened()), (400, "invalid_request", 2), "{}", got.body);
    }
}
