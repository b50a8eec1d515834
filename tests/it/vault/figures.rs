//! The figures on the admin port: what is counted, and that the documentation has all of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chancery::vault::{
    revoke::{self, GIVE_UP},
    state::State,
};
use regex::Regex;
use rstest::rstest;
use wiremock::ResponseTemplate;

use super::{
    house::{House, connected},
    refresh::{access, start},
};
use crate::support::{Browser, On, Server, vault::refused};

/// The samples of one figure, by their labels as they are written.
async fn samples(server: &Server, figure: &str) -> BTreeMap<String, u64> {
    let text = server.figures().await.text().await.unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix(figure));
    lines
        .filter_map(|line| line.trim().rsplit_once(' '))
        .map(|(labels, value)| (labels.to_owned(), value.parse().unwrap()))
        .collect()
}

/// What the one connection's outcomes are, and how often.
async fn outcomes(server: &Server, figure: &str) -> Vec<(String, u64)> {
    let outcome = Regex::new("outcome=\"([a-z_]+)\"").unwrap();
    let samples = samples(server, figure).await;
    samples
        .into_iter()
        .map(|(labels, count)| (outcome.captures(&labels).unwrap()[1].to_owned(), count))
        .collect()
}

#[rstest]
#[tokio::test]
async fn what_vendors_answer_is_counted(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((vendor, server)) = start(on).await else { return };
    let id = server.connected(Duration::ZERO).await;
    assert_eq!(access(&server, &id).await, "at-1");
    assert_eq!(access(&server, &id).await, "at-1", "nobody is asked, nothing is counted");
    for answer in [
        ResponseTemplate::new(503),
        refused(401, "invalid_client"),
        ResponseTemplate::new(200).set_body_string("<html>"),
        refused(400, "invalid_grant"),
    ] {
        server.later(Duration::from_secs(2 * 3600));
        vendor.says(answer);
        server.fresh(&id).await.unwrap_err();
    }
    let counted = outcomes(&server, "chancery_refreshes_total").await;
    let each = ["lost", "malformed", "refreshed", "refused", "unavailable"];
    assert_eq!(counted, each.map(|outcome| (outcome.to_owned(), 1)));
    let states = samples(&server, "chancery_connections").await;
    // What made no sense may have been the new tokens.
    let lost = "{connection=\"code\",state=\"needs_reconnect\",reason=\"interrupted\"}";
    assert_eq!(states.into_iter().collect::<Vec<_>>(), [(lost.to_owned(), 1)]);
    assert_eq!(samples(&server.twin().await, "chancery_refreshes_total").await.len(), 0, "its own alone");
}

#[rstest]
#[tokio::test]
async fn what_becomes_of_revocations_is_counted(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(house) = House::start(on).await else { return };
    let server = &house.server;
    house.vendor.answers("/revoke", ResponseTemplate::new(500));
    house.disconnected().await;
    house.turn().await;
    house.vendor.answers("/revoke", ResponseTemplate::new(200));
    server.later(Duration::from_secs(10));
    house.turn().await;
    let ada = house.ada(&Browser::new()).await;
    connected(server, &ada, "a-2", State::Active).await;
    server.operator(&["connection", "disconnect", "--name", "crm"]);
    house.vendor.answers("/revoke", ResponseTemplate::new(503));
    // The command goes by the clock of the machine.
    server.later(Duration::from_secs(86_400) + GIVE_UP);
    revoke::turn(&server.app).await.unwrap();
    let counted = outcomes(server, "chancery_revocations_total").await;
    assert_eq!(counted, ["given_up", "put_off", "revoked"].map(|outcome| (outcome.to_owned(), 1)));
}

/// Names and labels, as the table of the guide has them and as the port answers them.
#[tokio::test]
async fn the_guide_has_every_figure() {
    let house = House::start(On::Sqlite).await.unwrap();
    let server = &house.server;
    let ada = house.ada(&Browser::new()).await;
    connected(server, &ada, "a-1", State::Active).await;
    let text = server.figures().await.text().await.unwrap();
    let kind = Regex::new("(?m)^# TYPE ([a-z_]+) (counter|gauge)$").unwrap();
    let answered: BTreeSet<_> = kind.captures_iter(&text).map(|found| found[1].to_owned()).collect();

    let guide = include_str!("../../../docs/operations.md");
    let row = Regex::new(r"(?m)^\| `(chancery_[a-z_]+)` \|([^|]*)\|").unwrap();
    let label = Regex::new("`([a-z]+)`").unwrap();
    let told: BTreeMap<_, BTreeSet<_>> = row
        .captures_iter(guide)
        .map(|row| {
            (row[1].to_owned(), label.captures_iter(&row[2]).map(|label| label[1].to_owned()).collect())
        })
        .collect();
    assert_eq!(told.keys().cloned().collect::<BTreeSet<_>>(), answered);
    let sample = Regex::new(r"(?m)^(chancery_[a-z_]+)\{([^}]*)\} [0-9]+$").unwrap();
    let written = Regex::new("([a-z]+)=").unwrap();
    for found in sample.captures_iter(&text) {
        let labels: BTreeSet<_> = written.captures_iter(&found[2]).map(|label| label[1].to_owned()).collect();
        assert_eq!(told[&found[1]], labels, "{}", &found[1]);
    }
}
