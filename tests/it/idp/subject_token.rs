//! What may be presented for a grant: an ID token or a refresh token of this issuer, by the client that it is of, while
//! what it stands on is in force.

use std::time::Duration;

use chancery::jose::{Signer, signer::SigningAlgorithm};
use rstest::rstest;
use serde_json::{Value, json};

use super::{AS_BACKEND, ID_TOKEN, REFRESH_TOKEN, ask, desk, serve, signed_in_for_backend};
use crate::support::{
    Browser, Client, On, Server,
    client::{account, claims_of},
};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// What the identity provider itself would sign.
fn signed(server: &Server, typ: &'static str, claims: &Value) -> String {
    server.app.idp().unwrap().keys.signer().sign(typ, claims).unwrap()
}

async fn refused(server: &Server, token: &str, token_type: &str) {
    let answer = ask(server, token, &[("subject_token_type", token_type)]).await;
    assert_eq!((answer.status, answer.error()), (400, "invalid_grant"), "{}", answer.body);
}

/// RFC 8725 §3.11: one kind of token does not pass for another, whichever of our keys signed it.
#[tokio::test]
async fn no_other_token_passes_for_an_id_token() {
    let server = serve(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    let tokens = desk().obtain(&server, &browser, "ada").await;
    let elsewhere = Client::desk().obtain(&server, &browser, "ada").await;
    let id_jag = ask(&server, tokens.id_token(), &[]).await;
    let claims = claims_of(tokens.id_token());
    for token in [
        tokens.access(),
        tokens.refresh(),
        elsewhere.access(),
        id_jag.access(),
        &signed(&server, "at+jwt", &claims),
        &signed(&server, "oauth-id-jag+jwt", &claims),
        &signed(&server, "logout+jwt", &claims),
        "x.y.z",
    ] {
        refused(&server, token, ID_TOKEN).await;
    }
    assert_eq!(ask(&server, &signed(&server, "JWT", &claims), &[]).await.status, 200, "but for its type");
    refused(&server, tokens.id_token(), REFRESH_TOKEN).await;
    refused(&server, elsewhere.refresh(), REFRESH_TOKEN).await;
    for token_type in [ACCESS_TOKEN, JWT, super::ID_JAG] {
        let answer = ask(&server, tokens.access(), &[("subject_token_type", token_type)]).await;
        assert_eq!(answer.error(), "invalid_request", "{token_type}");
    }
}

/// Neither the other issuer's key nor a stranger's proves an ID token, whatever `kid` it names.
#[tokio::test]
async fn no_other_key_signs_id_tokens() {
    let server = serve(On::Sqlite).await.unwrap();
    let tokens = desk().obtain(&server, &Browser::new(), "ada").await;
    let claims = claims_of(tokens.id_token());
    let by_the_other = server.app.keys.signer().sign("JWT", &claims).unwrap();
    let algorithm = SigningAlgorithm::Es256;
    let stranger = Signer::from_pkcs8(algorithm, &algorithm.generate().unwrap()).unwrap();
    let by_a_stranger = stranger.sign("JWT", &claims).unwrap();
    let (text, _) = tokens.id_token().rsplit_once('.').unwrap();
    let grafted = format!("{text}.{}", by_a_stranger.rsplit_once('.').unwrap().1);
    for token in [by_the_other, by_a_stranger, grafted] {
        refused(&server, &token, ID_TOKEN).await;
    }
}

/// Each claim that an ID token is believed by (§4.3.3).
#[rstest]
#[case::of_the_other_issuer("iss", json!("{issuer}"))]
#[case::of_somebody_else("iss", json!("https://idp.example"))]
#[case::without_issuer("iss", json!(null))]
#[case::for_another_client("aud", json!("backend"))]
#[case::for_several("aud", json!(["desk", "backend"]))]
#[case::for_nobody("aud", json!(null))]
#[case::over("exp", json!(1_795_219_200))]
#[case::without_an_end("exp", json!(null))]
#[case::an_end_in_words("exp", json!("1895219200"))]
#[case::another_person("sub", json!("01938f5e-8c00-7000-8000-000000000000"))]
#[case::nobody("sub", json!(null))]
#[case::no_permission("grant_id", json!(null))]
#[case::an_unknown_permission("grant_id", json!("01938f5e-8c00-7000-8000-000000000000"))]
#[case::no_id("grant_id", json!("x"))]
#[tokio::test]
async fn an_id_token_must_be_hers_the_clients_and_alive(#[case] claim: &str, #[case] value: Value) {
    let server = serve(On::Sqlite).await.unwrap();
    let tokens = desk().obtain(&server, &Browser::new(), "ada").await;
    let mut claims = claims_of(tokens.id_token());
    claims[claim] = serde_json::from_str(&value.to_string().replace("{issuer}", &server.issuer)).unwrap();
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    refused(&server, &signed(&server, "JWT", &claims), ID_TOKEN).await;
    assert_eq!(server.recorded("id_jag.issued").await, 0);
}

/// A permission for a resource, or another client's, is none to sign a person in.
#[tokio::test]
async fn the_permission_behind_it_must_be_for_sign_in_and_this_client() {
    let server = serve(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    let tokens = desk().obtain(&server, &browser, "ada").await;
    let elsewhere = Client::desk().obtain(&server, &browser, "ada").await;
    let others = signed_in_for_backend(&server, "ada").await;
    for other in [elsewhere.access(), others.id_token()] {
        let mut claims = claims_of(tokens.id_token());
        claims["grant_id"] = claims_of(other)["grant_id"].clone();
        refused(&server, &signed(&server, "JWT", &claims), ID_TOKEN).await;
    }
    let foreign = "subject token: the permission behind it is not hers, this client's, or for sign-in";
    assert!(server.details("token.refused").await.iter().all(|told| told["why"] == foreign));
}

/// Over is over, though the token would be good for a while, and whatever else may notice.
#[rstest]
#[case::ended("revoked_at = 1")]
#[case::expired("expires_at = 1")]
#[tokio::test]
async fn the_permission_behind_it_must_be_in_force(#[case] change: &str) {
    let server = serve(On::Sqlite).await.unwrap();
    let tokens = desk().obtain(&server, &Browser::new(), "ada").await;
    server.execute(format!("UPDATE grants SET {change}")).await;
    refused(&server, tokens.id_token(), ID_TOKEN).await;
    let told = server.details("token.refused").await;
    assert_eq!(told[0]["why"], "subject token: the permission behind it has ended");
}

#[tokio::test]
async fn a_client_presents_its_own_tokens_alone() {
    let server = serve(On::Sqlite).await.unwrap();
    let tokens = desk().obtain(&server, &Browser::new(), "ada").await;
    for (token, token_type) in [(tokens.id_token(), ID_TOKEN), (tokens.refresh(), REFRESH_TOKEN)] {
        let stolen = [&AS_BACKEND[..], &[("subject_token_type", token_type)]].concat();
        assert_eq!(ask(&server, token, &stolen).await.error(), "invalid_grant", "{token_type}");
        assert_eq!(ask(&server, token, &[("subject_token_type", token_type)]).await.status, 200);
    }
}

#[tokio::test]
async fn an_id_token_is_good_for_an_hour() {
    let server = serve(On::Sqlite).await.unwrap();
    let client = desk();
    let tokens = client.obtain(&server, &Browser::new(), "ada").await;
    server.later(Duration::from_secs(3599));
    assert_eq!(ask(&server, tokens.id_token(), &[]).await.status, 200);
    server.later(Duration::from_secs(1));
    refused(&server, tokens.id_token(), ID_TOKEN).await;
    let again = client.refresh(&server, tokens.refresh()).await;
    assert_eq!(ask(&server, again.id_token(), &[]).await.status, 200);
}

/// §4.3.3: a refresh token is checked as in a refresh, and is as good afterwards.
#[rstest]
#[tokio::test]
async fn a_refresh_token_is_presented_and_stays_good(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let client = desk();
    let tokens = client.obtain(&server, &Browser::new(), "ada").await;
    let present = async |token: &str| ask(&server, token, &[("subject_token_type", REFRESH_TOKEN)]).await;
    for _ in 0..2 {
        assert_eq!(present(tokens.refresh()).await.status, 200);
    }
    server.later(Duration::from_secs(24 * 3600));
    let granted = present(tokens.refresh()).await;
    assert_eq!(granted.status, 200, "{}", granted.body);
    assert_eq!(granted.claims()["sub"], claims_of(tokens.id_token())["sub"]);
    let second = client.refresh(&server, tokens.refresh()).await;
    assert_eq!(second.status, 200);
    assert_eq!(present(tokens.refresh()).await.status, 200, "the answer may have been lost");
    let third = client.refresh(&server, second.refresh()).await;
    assert_eq!(present(third.refresh()).await.status, 200);

    // Now the first one is somebody else's: the family ends, here as in a refresh (OAuth 2.1 §4.3.1).
    refused(&server, tokens.refresh(), REFRESH_TOKEN).await;
    assert_eq!(server.recorded("refresh.reused").await, 1);
    refused(&server, third.refresh(), REFRESH_TOKEN).await;
    refused(&server, third.id_token(), ID_TOKEN).await;
}

#[tokio::test]
async fn an_idle_refresh_token_is_none() {
    let server = serve(On::Sqlite).await.unwrap();
    let tokens = desk().obtain(&server, &Browser::new(), "ada").await;
    server.later(Duration::from_secs(30 * 24 * 3600));
    refused(&server, tokens.refresh(), REFRESH_TOKEN).await;
}

/// Whatever ends the permission or shuts the person out ends every way to a grant, at once.
#[rstest]
#[tokio::test]
async fn nothing_is_given_for_whoever_is_shut_out(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let tokens = desk().obtain(&server, &Browser::new(), "ada").await;
    server.execute("UPDATE users SET disabled_at = 1").await;
    refused(&server, tokens.id_token(), ID_TOKEN).await;
    refused(&server, tokens.refresh(), REFRESH_TOKEN).await;
    server.execute("UPDATE users SET disabled_at = NULL").await;
    assert_eq!(ask(&server, tokens.id_token(), &[]).await.status, 200);
}

#[tokio::test]
async fn nothing_is_given_once_the_person_ended_it() {
    let server = serve(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    let tokens = desk().obtain(&server, &browser, "ada").await;
    let page = account(&server, &browser, "ada").await;
    browser.submit(&page.form("/account/applications/end")).await;
    refused(&server, tokens.id_token(), ID_TOKEN).await;
    refused(&server, tokens.refresh(), REFRESH_TOKEN).await;
}

/// A grant is no way around a consent that was withdrawn behind the permission's back.
#[tokio::test]
async fn nothing_is_given_without_consent() {
    let server = serve(On::Sqlite).await.unwrap();
    let tokens = desk().obtain(&server, &Browser::new(), "ada").await;
    server.execute("DELETE FROM consents").await;
    refused(&server, tokens.id_token(), ID_TOKEN).await;
}
