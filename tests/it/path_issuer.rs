//! An issuer with a path, as where several tenants share a host (RFC 8414 §3.1).

use std::collections::BTreeSet;

use reqwest::Method;
use rstest::rstest;
use scraper::{Html, Selector};

use crate::support::{Browser, Client, On, Server, Setup, browser::Page, client::account, http};

async fn t1(on: On) -> Option<Server> {
    Setup::on(on).below("/t1").start().await
}

/// Clients probe three places in this order (MCP), and some a fourth one; all hold the one document.
#[rstest]
#[case("/.well-known/oauth-authorization-server/t1")]
#[case("/.well-known/openid-configuration/t1")]
#[case("/t1/.well-known/openid-configuration")]
#[case("/t1/.well-known/oauth-authorization-server")]
#[tokio::test]
async fn the_document_is_where_clients_look(#[case] path: &str) {
    let server = t1(On::Sqlite).await.unwrap();
    let answer = http()
        .get(server.root_url(path))
        .header("origin", "https://inspector.example")
        .header("mcp-protocol-version", "2026-07-28")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    let document: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(document["issuer"], server.issuer.as_str());
    assert!(server.issuer.ends_with("/t1"));
    for (member, value) in document.as_object().unwrap() {
        if member.ends_with("_endpoint") || member == "jwks_uri" {
            let url = value.as_str().unwrap();
            assert!(url.starts_with(&format!("{}/", server.issuer)), "{member}: {url}");
            assert_ne!(http().get(url).send().await.unwrap().status(), 404, "{member}");
        }
    }
}

/// RFC 8414 §3.3: neither the host nor a neighbour is this issuer.
#[rstest]
#[case("/.well-known/oauth-authorization-server")]
#[case("/.well-known/openid-configuration")]
#[case("/.well-known/oauth-authorization-server/t2")]
#[case("/.well-known/oauth-authorization-server/t1/")]
#[case("/.well-known/openid-configuration/T1")]
#[case("/t2/.well-known/openid-configuration")]
#[case("/.well-known/jwks.json")]
#[case("/oauth/token")]
#[case("/account")]
#[tokio::test]
async fn no_other_path_is_ours(#[case] path: &str) {
    let server = t1(On::Sqlite).await.unwrap();
    assert_eq!(http().get(server.root_url(path)).send().await.unwrap().status(), 404);
}

/// RFC 9728 §3.1: the well-known suffix goes between the resource's host and its path, whatever our own path is.
#[tokio::test]
async fn hosted_resource_metadata_stays_at_the_hosts_root() {
    let server = Setup::on(On::Sqlite)
        .below("/t1")
        .replacing("    name: Wiki\n", "    name: Wiki\n    host_metadata: true\n")
        .start()
        .await
        .unwrap();
    let url = server.root_url("/.well-known/oauth-protected-resource/wiki");
    let document: serde_json::Value = http().get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(document["authorization_servers"], serde_json::json!([server.issuer]));
}

#[rstest]
#[tokio::test]
async fn the_whole_journey_stays_below_the_path(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = t1(on).await else { return };
    let (client, browser) = (Client::desk(), Browser::new());
    let page = client.begin(&server, &browser, "ada").await;
    assert!(page.url.path().starts_with("/t1/interaction/"), "{}", page.url);
    check_links(&page).await;
    let form = page.form("/t1/interaction/").set("decision", "allow");
    let back = browser.submit_until(&form, &client.redirect_uri).await;
    let tokens = client.exchange(&server, &client.code(&server, &back)).await;
    assert_eq!(tokens.claims()["iss"], server.issuer.as_str());
    assert_eq!(client.refresh(&server, tokens.refresh()).await.status, 200);

    let account = browser.open(&server.url("/account")).await;
    assert_eq!(account.status, 200);
    check_links(&account).await;
    let ended = browser.submit(&account.form("/t1/account/applications/end")).await;
    assert_eq!((ended.status, ended.url.path()), (200, "/t1/account"));
    check_links(&ended).await;

    let out = browser.submit(&ended.form("/t1/logout")).await;
    assert_eq!(out.status, 200);
    check_links(&out).await;
    let lost = browser.open(&server.url("/nothing-here")).await;
    assert_eq!(lost.status, 404);
    check_links(&lost).await;
}

/// A browser sends what it has for the host and a path above: here all that it got of three instances.
#[tokio::test]
async fn instances_on_one_host_do_not_disturb_each_other() {
    let mut instances = Vec::new();
    for (path, user, name) in [("", "ada", "Ada"), ("/t1", "grace", "Grace"), ("/t1/t2", "ada", "Ada")] {
        let (server, browser) = (Setup::on(On::Sqlite).below(path).start().await.unwrap(), Browser::new());
        assert!(account(&server, &browser, user).await.text().contains(name));
        instances.push((server, browser, name));
    }
    let cookies: Vec<_> = instances.iter().map(|(server, browser, _)| browser.cookie(&server.base)).collect();
    for cookies in [cookies.join("; "), cookies.into_iter().rev().collect::<Vec<_>>().join("; ")] {
        for (server, _, name) in &instances {
            let page =
                server.request(Method::GET, "/account").header("cookie", &cookies).send().await.unwrap();
            assert_eq!(page.status(), 200, "{}", server.base);
            assert!(page.text().await.unwrap().contains(name), "{}", server.base);
        }
    }
}

/// Whatever a page of ours names on our own host lies below the issuer's path, and what it fetches is there.
async fn check_links(page: &Page) {
    let mut found = BTreeSet::new();
    {
        let html = Html::parse_document(&page.body);
        for (element, attribute) in [("a", "href"), ("form", "action"), ("link", "href"), ("img", "src")] {
            for element in html.select(&Selector::parse(element).unwrap()) {
                found.extend(element.attr(attribute).map(str::to_owned));
            }
        }
    }
    for link in found {
        let url = page.url.join(&link).unwrap();
        if url.origin() == page.url.origin() && url.path() != page.url.path() {
            assert!(url.path().starts_with("/t1/"), "{link} on {}", page.url);
            let there = http().request(Method::GET, url).send().await.unwrap().status();
            assert_ne!(there, 404, "{link} on {}", page.url);
        }
    }
}
