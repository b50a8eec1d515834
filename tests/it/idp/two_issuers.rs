//! The two issuers are two: what one gives, and whom it knows, is nothing at the other
//! (draft-ietf-oauth-identity-assertion-authz-grant §9.3, RFC 9700 §4.4).

use chancery::{
    entropy::Entropy,
    jose::{Signer, signer::SigningAlgorithm},
    oauth::purpose::Role,
};
use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};

use super::{SECRET, desk, section, serve, setup};
use crate::support::{
    Browser, Client, On, PLAIN, Server, Setup,
    client::{claims_of, post_to},
    http,
};

const PATHS: [&str; 5] = [
    "/idp/.well-known/openid-configuration",
    "/idp/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration/idp",
    "/.well-known/oauth-authorization-server/idp",
    "/idp/jwks.json",
];

#[tokio::test]
async fn without_its_section_there_is_no_identity_provider() {
    let server = Server::start(On::Sqlite).await.unwrap();
    for path in PATHS.into_iter().chain(["/idp/authorize", "/idp/userinfo"]) {
        assert_eq!(server.request(Method::GET, path).send().await.unwrap().status(), 404, "{path}");
    }
    assert_eq!(server.request(Method::POST, "/idp/token").send().await.unwrap().status(), 404);
    assert_eq!(server.rows("signing_keys").await, 1);
}

/// OpenID Connect Discovery §3 and §4, RFC 8414 §3.
#[rstest]
#[case("")]
#[case("/t1")]
#[tokio::test]
async fn its_metadata_is_where_clients_look(#[case] base: &'static str) {
    let server = setup(On::Sqlite).below(base).start().await.unwrap();
    let issuer = format!("{}/idp", server.issuer);
    let wanted = [
        format!("{base}/idp/.well-known/openid-configuration"),
        format!("{base}/idp/.well-known/oauth-authorization-server"),
        format!("/.well-known/openid-configuration{base}/idp"),
        format!("/.well-known/oauth-authorization-server{base}/idp"),
    ];
    for path in wanted {
        let request = http().get(server.root_url(&path)).header("origin", "https://inspector.example");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        assert_eq!(answer.headers()["cache-control"], "public, max-age=300");
        let document: Value = answer.json().await.unwrap();
        for (member, value) in [
            ("issuer", json!(issuer)),
            ("authorization_endpoint", json!(format!("{issuer}/authorize"))),
            ("token_endpoint", json!(format!("{issuer}/token"))),
            ("userinfo_endpoint", json!(format!("{issuer}/userinfo"))),
            ("jwks_uri", json!(format!("{issuer}/jwks.json"))),
            ("response_types_supported", json!(["code"])),
            ("subject_types_supported", json!(["public"])),
            ("id_token_signing_alg_values_supported", json!(["ES256"])),
            ("code_challenge_methods_supported", json!(["S256"])),
            ("client_id_metadata_document_supported", json!(false)),
        ] {
            assert_eq!(document[member], value, "{member}");
        }
        for (member, value) in document.as_object().unwrap() {
            if member.ends_with("_endpoint") || member == "jwks_uri" {
                let there = http().get(value.as_str().unwrap()).send().await.unwrap();
                assert_ne!(there.status(), 404, "{member}");
            }
        }
    }
}

#[rstest]
#[tokio::test]
async fn they_share_no_key(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let kids = async |path: &str| {
        let keys = server.json(path).await;
        let keys = keys["keys"].as_array().unwrap().clone();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (here, there) = (kids("/idp/jwks.json").await, kids("/.well-known/jwks.json").await);
    assert_eq!((here.len(), there.len()), (1, 1));
    assert_ne!(here, there);

    let browser = Browser::new();
    let tokens = desk().obtain(&server, &browser, "ada").await;
    for token in [tokens.access(), tokens.id_token()] {
        assert!(server.app.keys.verify_own(token).is_err());
        assert_eq!(claims_of(token)["iss"], format!("{}/idp", server.issuer));
    }
    assert_eq!(tokens.claims()["aud"], format!("{}/idp", server.issuer));
}

/// The mix-up: `desk` is a client of both, with the same redirect URI.
#[rstest]
#[case::a_code_of_the_identity_provider(Role::IdentityProvider, Role::AuthorizationServer)]
#[case::a_code_of_the_authorization_server(Role::AuthorizationServer, Role::IdentityProvider)]
#[tokio::test]
async fn a_code_of_one_is_nothing_at_the_other(#[case] of: Role, #[case] at: Role) {
    let server = serve(On::Sqlite).await.unwrap();
    let client = match of {
        Role::IdentityProvider => desk(),
        Role::AuthorizationServer => Client::desk(),
    };
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let mut parameters = client.exchange_parameters(&code);
    parameters.retain(|(name, _)| *name != "resource");
    let refused = post_to(&server, at, &parameters).await;
    assert_eq!((refused.status, refused.error()), (400, "invalid_grant"));
    let tokens = client.exchange(&server, &code).await;
    assert_eq!(tokens.status, 200, "nothing was consumed: {}", tokens.body);
    assert_eq!(tokens.body.get("id_token").is_some(), of == Role::IdentityProvider);

    let refresh = [
        ("grant_type", "refresh_token".to_owned()),
        ("client_id", "desk".to_owned()),
        ("refresh_token", tokens.refresh().to_owned()),
    ];
    let refused = post_to(&server, at, &refresh).await;
    assert_eq!((refused.status, refused.error()), (400, "invalid_grant"));
    assert_eq!(client.refresh(&server, tokens.refresh()).await.status, 200);
}

/// Everybody's registration, a document, and what stands under `clients` are clients of the other issuer.
#[tokio::test]
async fn nobody_is_a_client_but_by_its_entry() {
    let clients = "clients:\n  only-there: { redirect_uris: [\"http://127.0.0.1/callback\"] }\n";
    let sections = format!("{PLAIN}{}", section()).replacen("clients:\n", clients, 1);
    let server = Setup::on(On::Sqlite).sections(&sections).start().await.unwrap();
    let registration = json!({ "redirect_uris": ["http://127.0.0.1/callback"] });
    let answer = http().post(server.url("/oauth/register")).json(&registration).send().await.unwrap();
    let registered: Value = answer.json().await.unwrap();
    for id in ["only-there", registered["client_id"].as_str().unwrap(), "https://app.example/client.json"] {
        let stranger = Client { id: id.to_owned(), ..desk() };
        let page = stranger.begin(&server, &Browser::new(), "ada").await;
        assert_eq!(page.status, 400);
        assert!(page.text().contains("a name that is not known here"), "{id}: {}", page.text());
        let refused = stranger.exchange(&server, "chy_ac_x").await;
        assert_eq!(refused.error(), "invalid_client", "{id}");
    }
    let here_alone = Client { id: "backend".to_owned(), ..Client::desk() };
    assert_eq!(here_alone.exchange(&server, "x").await.error(), "invalid_client", "its secret is missing");
}

#[rstest]
#[tokio::test]
async fn a_document_that_is_named_is_a_client(#[values(On::Sqlite, On::Postgres)] on: On) {
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};
    let host = MockServer::start().await;
    let id = format!("{}/client.json", host.uri());
    let document = json!({
        "client_id": id, "client_name": "Agent of documents", "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "none",
    });
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(document)).mount(&host).await;
    let named = section().replace("  clients:\n", &format!("  clients:\n    \"{id}\": {{}}\n"));
    let sections = format!("{PLAIN}{named}").replace("allow_hosts: [\"*\"]", "allow_hosts: []");
    let Some(server) = Setup::on(on).sections(&sections).start().await else { return };

    let client = Client { id: id.clone(), ..desk() };
    let tokens = client.obtain(&server, &Browser::new(), "ada").await;
    assert_eq!(claims_of(tokens.id_token())["aud"], id.as_str());
    assert_eq!(server.json(PATHS[0]).await["client_id_metadata_document_supported"], true);

    // The other issuer admits no documents, even though this one has been read by now.
    let there = Client { id, ..Client::desk() };
    let page = there.begin(&server, &Browser::new(), "ada").await;
    assert_eq!(page.status, 400);
    assert!(page.text().contains("are not accepted here"), "{}", page.text());
}

/// RFC 7523bis §4: an assertion is made for one issuer alone.
#[rstest]
#[case::for_this_issuer("/idp", Role::IdentityProvider, true)]
#[case::for_the_other_issuer("", Role::IdentityProvider, false)]
#[case::for_this_one_at_the_other("/idp", Role::AuthorizationServer, false)]
#[case::for_its_token_endpoint("/idp/token", Role::IdentityProvider, false)]
#[tokio::test]
async fn an_assertion_is_for_the_issuer_that_is_asked(
    #[case] audience: &str,
    #[case] at: Role,
    #[case] proves: bool,
) {
    let algorithm = SigningAlgorithm::Es256;
    let key = Signer::from_pkcs8(algorithm, &algorithm.generate().unwrap()).unwrap();
    let entry = format!(
        "    signer: {{ jwks: '{}', redirect_uris: [\"http://127.0.0.1/callback\"] }}\n",
        json!({ "keys": [key.public_jwk()] })
    );
    let sections = format!("{PLAIN}{}", section());
    let sections = sections.replace("idp:\n  clients:\n", &format!("idp:\n  clients:\n{entry}"));
    let sections = sections.replacen("clients:\n", &format!("clients:\n{}", entry.replacen("  ", "", 1)), 1);
    let server = Setup::on(On::Sqlite).sections(&sections).start().await.unwrap();
    let now = server.clock.now().as_secs();
    let assertion = json!({
        "iss": "signer", "sub": "signer", "aud": format!("{}{audience}", server.issuer),
        "jti": Entropy::System.token(), "iat": now, "exp": now + 60,
    });
    let form = [
        ("grant_type", "authorization_code"),
        ("code", "chy_ac_x"),
        ("code_verifier", &"v".repeat(43)),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &key.sign("JWT", &assertion).unwrap()),
    ];
    let answer = post_to(&server, at, &form.map(|(name, value)| (name, value.to_owned()))).await;
    assert_eq!(answer.error(), if proves { "invalid_grant" } else { "invalid_client" });
}

#[tokio::test]
async fn it_serves_its_own_grants_alone() {
    let server = serve(On::Sqlite).await.unwrap();
    let form = [("grant_type", "client_credentials"), ("client_id", "backend"), ("client_secret", SECRET)];
    let form = form.map(|(name, value)| (name, value.to_owned()));
    let answer = post_to(&server, Role::IdentityProvider, &form).await;
    assert_eq!(answer.error(), "unsupported_grant_type");
}
