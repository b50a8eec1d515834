//! What docs/vault.md says of refusals: each row of its tables is answered, and nothing else is.

use std::collections::BTreeSet;

use super::*;
use crate::vault::guide::{codes, table};

#[tokio::test]
async fn each_error_of_the_guide_is_answered() {
    let server = serve(On::Sqlite).await.unwrap();
    let (sent, graces) = (adas(&server).await, token(&server, "grace", "tickets:write").await);
    let nobodys = format!("github/{}", connected(&server, &graces, |_| ()).await);
    let ask = async |changed: &[(&'static str, &str)]| vend_with(&server, sent.access(), changed).await;
    let mut got = vec![
        ask(&[]).await,
        ask(&[("audience", "payroll")]).await,
        ask(&[("resource", "https://api.vendor.example"), ("audience", "crm")]).await,
        ask(&[("audience", &nobodys)]).await,
        ask(&[("scope", "read:org")]).await,
        ask(&[("subject_token", "x")]).await,
        ask(&[("actor_token", "x"), ("actor_token_type", ACCESS_TOKEN)]).await,
    ];
    for number in 0..10 {
        got.push(ask(&[("return_to", &format!("https://mcp.acme.example/{number}"))]).await);
    }
    server.operator(&["connection", "disable", "github"]);
    got.push(ask(&[]).await);
    server.operator(&["connection", "enable", "github"]);
    server.hide("connections").await;
    got.push(ask(&[]).await);
    for later in got.iter().filter(|got| got.error() == "temporarily_unavailable") {
        assert!(later.headers.contains_key("retry-after"), "{}", later.body);
    }
    let got: BTreeSet<_> = got.iter().map(|got| [got.error().to_owned(), got.status.to_string()]).collect();
    assert_eq!(got, table("| error | status | why |").into_iter().collect());
}

#[test]
fn the_reasons_to_connect_first_are_those_of_the_guide() {
    let told = table("| `reason` | what she has to do |").into_iter();
    let told: BTreeSet<_> = told.map(|[reason, _]| reason.split(':').next().unwrap().to_owned()).collect();
    let source = include_str!("../../../src/vault/vend/interaction.rs");
    assert_eq!(told, codes(source, r#"Self::\w+(?:\(_\))? => "([a-z_]+)""#));
}
