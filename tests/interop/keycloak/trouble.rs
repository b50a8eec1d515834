//! What Keycloak's administrators and outages do to us.

use std::net::SocketAddr;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use super::{
    person::{ADA, Person},
    realm::{self, Realm},
};
use crate::house::Plan;

async fn signs_in(person: Person<'_>) {
    let consent = person.sign_in(&person.open(&[]).await, ADA).await;
    assert_eq!(person.allow(&consent).await["scope"], "notes:read notes:write");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_realm_may_change_its_keys_and_their_kind() {
    let (house, realm) = Realm::house(Plan::default(), None).await;
    signs_in(Person::at(&house)).await;
    let provider = "org.keycloak.keys.KeyProvider";
    let old = realm.administer(Method::GET, &format!("/components?type={provider}"), &json!(null)).await;
    let new = json!({
        "name": "new",
        "providerId": "ecdsa-generated",
        "providerType": provider,
        "config": { "priority": ["200"], "ecdsaEllipticCurveKey": ["P-256"] },
    });
    realm.administer(Method::POST, "/components", &new).await;
    realm.administer(Method::PUT, "", &json!({ "defaultSignatureAlgorithm": "ES256" })).await;
    let rsa = |key: &&Value| key["providerId"] == "rsa-generated";
    for key in old.as_array().unwrap().iter().filter(rsa) {
        let id = key["id"].as_str().unwrap();
        realm.administer(Method::DELETE, &format!("/components/{id}"), &json!(null)).await;
    }
    signs_in(Person::at(&house)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_keeps_nobody_out_who_is_in_and_passes() {
    let line = Line::bind().await;
    let (house, _realm) = Realm::house(Plan::default(), Some(&line.url())).await;
    let inside = Person::at(&house);
    let consent = inside.sign_in(&inside.open(&[]).await, ADA).await;
    let tokens = inside.allow(&consent).await;

    let outside = Person::at(&house);
    let form = outside.open(&[]).await.form("/realms/").set("username", ADA.0).set("password", ADA.1);
    let on_her_way = outside.browser.submit_until(&form, &house.url("/login/acme/callback")).await;
    let line = line.cut().await;
    assert_eq!(inside.refresh(&tokens).await.unwrap()["scope"], tokens["scope"]);
    let page = outside.browser.open(on_her_way.url.as_str()).await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains("Acme does not answer"), "{}", page.text());

    let _line = line.mend().await;
    let consent = outside.open(&[]).await;
    assert_eq!(outside.allow(&consent).await["scope"], "notes:read notes:write");
}

/// A line to Keycloak that can be cut. Keycloak takes the address at which it is asked for its own.
struct Line {
    at: SocketAddr,
    carrying: JoinHandle<()>,
}

struct Cut(SocketAddr);

impl Line {
    async fn bind() -> Self {
        Cut(([127, 0, 0, 1], 0).into()).mend().await
    }

    fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    async fn cut(self) -> Cut {
        self.carrying.abort();
        let _ = self.carrying.await;
        Cut(self.at)
    }
}

impl Cut {
    async fn mend(self) -> Line {
        let listener = TcpListener::bind(self.0).await.unwrap();
        let at = listener.local_addr().unwrap();
        let keycloak = realm::address().trim_start_matches("http://");
        let carrying = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = TcpStream::connect(keycloak).await.unwrap();
                connections.spawn(async move { copy_bidirectional(&mut near, &mut far).await });
            }
        });
        Line { at, carrying }
    }
}
