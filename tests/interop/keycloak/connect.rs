//! Keycloak as the vendor of a connection, with its refresh tokens good once.

use reqwest::Method;
use serde_json::json;

use super::{
    person::MALLORY,
    realm::{Realm, address},
};
use crate::connect::{Form, On, Page, Vendor, a_connection_lives_and_ends, redirect_uri, server};

impl Vendor for Realm {
    fn issuer(&self) -> String {
        Self::issuer(self)
    }

    fn fill(&self, page: &Page) -> Form {
        page.form("/realms/").set("username", MALLORY.0).set("password", MALLORY.1)
    }

    /// An administrator ends her sessions there.
    async fn forgets_us(&self, _: &str) {
        let user = self.user(MALLORY.0).await;
        self.administer(Method::POST, &format!("/users/{user}/logout"), &json!({})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_connected_used_lost_connected_again_and_disconnected() {
    let realm = Realm::for_broker("http://127.0.0.1:1").await;
    let once = json!({ "revokeRefreshToken": true, "refreshTokenMaxReuse": 0 });
    realm.administer(Method::PUT, "", &once).await;
    let entry = format!(
        "{{ preset: keycloak, name: Files, url: \"{}\", realm: {}, client_id: chancery, \
         client_secret: the broker's secret, scopes: [openid, profile], \
         use: {{ tickets: {{ \"tickets:write\": [email] }} }} }}",
        address(),
        realm.name(),
    );
    let server = server(On::Sqlite, &entry).await.unwrap();
    let clients = realm.administer(Method::GET, "/clients?clientId=chancery", &json!(null)).await;
    let client = format!("/clients/{}", clients[0]["id"].as_str().unwrap());
    realm.administer(Method::PUT, &client, &json!({ "redirectUris": [redirect_uri(&server)] })).await;
    a_connection_lives_and_ends(&server, &realm).await;
}
