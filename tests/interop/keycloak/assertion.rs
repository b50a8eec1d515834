//! Identity assertions (ID-JAG) and Keycloak 26.7, which takes those of others and issues none: Chancery issues them,
//! for the people of one realm, and another realm is the authorization server of an MCP server.

use reqwest::Method;
use serde_json::{Value, json};

use super::{person::ADA, realm::Realm};
use crate::{
    claims,
    desk::Desk,
    house::{
        AGENT_REDIRECT_URI, Plan, free_port, http,
        peer::{node, play},
    },
    managed::id_token,
};

/// The agent at our identity provider, and at the partner's authorization server.
const HERE: (&str, &str) = ("desk-app", "what the agent proves itself with here");
const THERE: (&str, &str) = ("acme-desk", "what it proves itself with there");

/// The partner's realm, which trusts `idp`, and gives the agent tokens for the MCP server at `resource`.
async fn partner(idp: &str, resource: &str) -> Realm {
    let audience = json!({
        "name": "audience",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-audience-mapper",
        "config": { "included.custom.audience": resource, "access.token.claim": "true" },
    });
    let agent = json!({
        "clientId": THERE.0,
        "secret": THERE.1,
        "standardFlowEnabled": false,
        "fullScopeAllowed": false,
        "attributes": {
            "oauth2.jwt.authorization.grant.enabled": "true",
            "oauth2.jwt.authorization.grant.idp": "chancery",
        },
        "protocolMappers": [audience],
    });
    let trusted = json!({
        "alias": "chancery",
        "providerId": "jwt-authorization-grant",
        "enabled": true,
        "config": { "issuer": idp, "useJwksUrl": "true", "jwksUrl": format!("{idp}/jwks.json") },
    });
    let realm = Realm::import(json!({
        "enabled": true,
        "sslRequired": "external",
        "clients": [agent],
        "identityProviders": [trusted],
        "users": [{ "username": "ada-at-partner", "enabled": true }],
    }))
    .await;
    for name in ["notes:read", "notes:write"] {
        by_default(&realm, name).await;
    }
    realm
}

/// Lets the agent have a scope at the realm without asking for it.
async fn by_default(realm: &Realm, name: &str) {
    let attributes = json!({ "include.in.token.scope": "true" });
    let scope = json!({ "name": name, "protocol": "openid-connect", "attributes": attributes });
    realm.administer(Method::POST, "/client-scopes", &scope).await;
    let scopes = realm.administer(Method::GET, "/client-scopes", &json!(null)).await;
    let scope = scopes.as_array().unwrap().iter().find(|scope| scope["name"] == name).unwrap();
    let clients =
        realm.administer(Method::GET, &format!("/clients?clientId={}", THERE.0), &json!(null)).await;
    let [client, scope] = [&clients[0], scope].map(|found| found["id"].as_str().unwrap());
    let path = format!("/clients/{client}/default-client-scopes/{scope}");
    realm.administer(Method::PUT, &path, &json!(null)).await;
}

/// The section of our configuration: whom the agent may reach there.
fn idp(partner: &Realm, resource: &str) -> Value {
    json!({
        "clients": { HERE.0: { "secret": HERE.1, "redirect_uris": [AGENT_REDIRECT_URI] } },
        "targets": { "partner": {
            "audience": partner.issuer(),
            "client_ids": { HERE.0: THERE.0 },
            "resources": { "desk": { "uri": resource, "scopes": { "notes:read": { "default": true } } } },
        } },
    })
}

/// What an agent presents at a realm.
async fn present(realm: &Realm, assertion: &str) -> Value {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("client_id", THERE.0),
        ("client_secret", THERE.1),
        ("assertion", assertion),
    ];
    let url = realm.url("/protocol/openid-connect/token");
    http().post(url).form(&form).send().await.unwrap().json().await.unwrap()
}

/// Exchanges the agent's ID token for an assertion, at one or the other who might issue it.
async fn exchange(endpoint: &str, (id, secret): (&str, &str), partner: &Realm, id_token: &str) -> Value {
    let audience = partner.issuer();
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:id-jag"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("subject_token", id_token),
        ("audience", &audience),
        ("client_id", id),
        ("client_secret", secret),
    ];
    http().post(endpoint).form(&form).send().await.unwrap().json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_realm_takes_our_word_for_the_people_of_another() {
    let desk = Desk::choose();
    let port = free_port();
    let ours = format!("http://127.0.0.1:{port}");
    let people = Realm::for_broker(&ours).await;
    let partner = partner(&format!("{ours}/idp"), &desk.url).await;
    let plan =
        Plan { port: Some(port), config: json!({ "idp": idp(&partner, &desk.url) }), ..Plan::default() };
    let house = people.opens(plan, None).await;

    let ada = json!({ "fields": { "username": ADA.0, "password": ADA.1 } });
    let id_token = id_token(&house.url("/idp"), (HERE.0, Some(HERE.1)), &ada);
    let assertion = || async {
        let issued = exchange(&house.url("/idp/token"), HERE, &partner, &id_token).await;
        issued["access_token"].as_str().unwrap_or_else(|| panic!("{issued}")).to_owned()
    };
    let stranger = present(&partner, &assertion().await).await;
    assert_eq!(stranger["error_description"], "User not found", "{stranger}");

    let there = partner.user("ada-at-partner").await;
    let link = json!({ "userId": claims(&id_token)["sub"], "userName": "ada" });
    partner.administer(Method::POST, &format!("/users/{there}/federated-identity/chancery"), &link).await;
    let once = assertion().await;
    let tokens = present(&partner, &once).await;
    assert_eq!(claims(tokens["access_token"].as_str().unwrap())["sub"], there, "{tokens}");
    let given = tokens["scope"].as_str().unwrap();
    assert!(given.contains("notes:write"), "its scopes are its own affair, whatever we say: {given}");
    assert_eq!(present(&partner, &once).await["error"], "invalid_grant", "it counts once");

    let certificates = partner.url("/protocol/openid-connect/certs");
    let mut server = desk.open(&partner.issuer(), &certificates, &json!({ "algorithm": "RS256" }));
    let agent = json!({
        "server": desk.url,
        "issuer": partner.issuer(),
        "idp": house.url("/idp"),
        "id_token": id_token,
        "at_idp": { "client_id": HERE.0, "client_secret": HERE.1 },
        "at_issuer": { "client_id": THERE.0, "client_secret": THERE.1 },
        "call": { "name": "test-tool", "arguments": {} },
    });
    play(node("enterprise.mjs").env("AGENT", agent.to_string()), "");
    assert_eq!(server.next()["sub"], there);
}

/// Where Keycloak begins to issue them, the guide has to say so.
#[tokio::test(flavor = "multi_thread")]
async fn keycloak_issues_no_assertions() {
    let (_house, realm) = Realm::house(Plan::default(), None).await;
    let client = json!({
        "clientId": HERE.0,
        "secret": HERE.1,
        "redirectUris": [AGENT_REDIRECT_URI],
        "attributes": { "standard.token.exchange.enabled": "true" },
    });
    realm.administer(Method::POST, "/clients", &client).await;
    let ada = json!({ "fields": { "username": ADA.0, "password": ADA.1 } });
    let id_token = id_token(&realm.issuer(), (HERE.0, Some(HERE.1)), &ada);
    let refused = exchange(&realm.url("/protocol/openid-connect/token"), HERE, &realm, &id_token).await;
    assert_eq!(refused["error_description"], "Parameter 'subject_token' supports access tokens only");
}
