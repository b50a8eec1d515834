//! What was handed out a moment ago is not any more: switched off, disconnected, or its person gone.

use chancery::app::router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::support::{client::account, http};

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
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let admin = router::admin(server.app.clone());
    tokio::spawn(chancery::web::serve::serve(listener, admin, stop.clone()));
    let text = http().get(&url).send().await.unwrap().text().await.unwrap();
    stop.cancel();
    for (outcome, count) in [("vended", 2), ("connect_first", 1), ("refused", 1)] {
        let line = format!("chancery_vends_total{{connection=\"github\",outcome=\"{outcome}\"}} {count}");
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(!text.contains("unavailable"), "{text}");
}
