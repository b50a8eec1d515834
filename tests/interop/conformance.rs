//! The MCP conformance suite: what it asks of an authorization server, and its example clients. Its other scenarios
//! bring an authorization server of their own and judge a client; there the clients are what can be pointed at us.

use chancery::{clock::Clock, entropy::Entropy};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::{
    claims,
    desk::Desk,
    house::{
        AGENT, AGENT_REDIRECT_URI, AGENT_SECRET, DECLARED, House, LOGIN, PROGRAM_SECRET,
        PUBLIC_AGENT_AT_UPSTREAM, Plan, free_port, http,
        peer::{Peer, node, play},
    },
    key::Key,
    managed::id_token,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_conformance_tools_authorization_server_scenarios_succeed() {
    let house = House::build(Plan::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let conformance = json!({
        "issuer": house.issuer,
        "client_id": DECLARED,
        "resource": house.sample,
        "person": { "login": LOGIN },
        "output": folder.path(),
    });
    let checks = play(node("conformance.mjs").env("CONFORMANCE", conformance.to_string()), "");
    assert!(!checks.is_empty());
}

impl Desk {
    /// Runs the example client of this scenario against it.
    fn tried(&self, scenario: &str, context: &Value) -> Result<(), String> {
        let example = json!({ "scenario": scenario, "server": self.url, "context": context });
        let ended = play(node("example.mjs").env("EXAMPLE", example.to_string()), "").remove(0);
        let said = || ended["said"].as_str().unwrap().to_owned();
        if ended["status"] == 0 { Ok(()) } else { Err(said()) }
    }

    /// Runs it to the good end that the suite demands.
    fn is_used(&self, scenario: &str, context: &Value) {
        self.tried(scenario, context).unwrap_or_else(|said| panic!("{said}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_enterprise_managed_client_calls_its_tool() {
    let desk = Desk::choose();
    let plan = Plan { managed: true, resources: vec![desk.url.clone()], ..Plan::default() };
    let house = House::build(plan).await;
    let mut server = desk.open(&house.issuer, &house.url("/.well-known/jwks.json"), &json!({}));
    let metadata = format!("{}/.well-known/openid-configuration", house.upstream());
    let metadata: Value = http().get(metadata).send().await.unwrap().json().await.unwrap();
    let context = json!({
        "client_id": AGENT,
        "client_secret": AGENT_SECRET,
        "idp_client_id": PUBLIC_AGENT_AT_UPSTREAM,
        "idp_id_token": id_token(house.upstream(), (PUBLIC_AGENT_AT_UPSTREAM, None), &json!({ "login": LOGIN })),
        "idp_issuer": house.upstream(),
        "idp_token_endpoint": metadata["token_endpoint"],
    });
    desk.is_used("auth/enterprise-managed-authorization", &context);
    let caller = server.next();
    assert_eq!((&caller["client_id"], &caller["scopes"]), (&json!(AGENT), &json!(["notes:read"])));
}

/// One installation is the identity provider, where people sign in by the enterprise's own; another takes its word.
#[tokio::test(flavor = "multi_thread")]
async fn the_enterprise_managed_client_calls_its_tool_by_our_own_identity_provider() {
    const DESK_APP: &str = "desk-app";
    let desk = Desk::choose();
    let port = free_port();
    let idp = json!({
        "clients": { DESK_APP: { "redirect_uris": [AGENT_REDIRECT_URI] } },
        "targets": { "there": {
            "audience": format!("http://127.0.0.1:{port}"),
            "client_ids": { DESK_APP: AGENT },
            "token_claims": ["email"],
            "resources": { "desk": {
                "uri": desk.url,
                "scopes": { "notes:read": { "default": true }, "notes:write": { "default": true } },
            } },
        } },
    });
    let ours = House::build(Plan { config: json!({ "idp": idp }), ..Plan::default() }).await;
    let idp = ours.url("/idp");
    let provider = json!({ "preset": "oidc", "issuer": idp });
    let plan = Plan {
        port: Some(port),
        provider,
        managed: true,
        resources: vec![desk.url.clone()],
        ..Plan::default()
    };
    let theirs = House::build(plan).await;
    let mut server = desk.open(&theirs.issuer, &theirs.url("/.well-known/jwks.json"), &json!({}));
    let id_token = id_token(&idp, (DESK_APP, None), &json!({ "login": LOGIN }));
    let context = json!({
        "client_id": AGENT,
        "client_secret": AGENT_SECRET,
        "idp_client_id": DESK_APP,
        "idp_id_token": id_token,
        "idp_issuer": idp,
        "idp_token_endpoint": format!("{idp}/token"),
    });
    desk.is_used("auth/enterprise-managed-authorization", &context);
    let caller = server.next();
    assert_eq!((&caller["client_id"], &caller["scopes"]), (&json!(AGENT), &json!(["notes:read"])));
    assert_ne!(caller["sub"], claims(&id_token)["sub"], "each has users of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_credentials_clients_list_the_tools() {
    let key = Key::of(Algorithm::ES256);
    let program = |proof: &str, value: &str| json!({ proof: value, "grant_types": ["client_credentials"], "resources": { "server-0": ["notes:read"] } });
    let clients = json!({
        "by-secret": program("secret", PROGRAM_SECRET),
        "by-key": program("jwks", &key.set().to_string()),
    });
    let desk = Desk::choose();
    let plan =
        Plan { config: json!({ "clients": clients }), resources: vec![desk.url.clone()], ..Plan::default() };
    let house = House::build(plan).await;
    let _server = desk.open(&house.issuer, &house.url("/.well-known/jwks.json"), &json!({}));
    let by_secret = json!({ "client_id": "by-secret", "client_secret": PROGRAM_SECRET });
    desk.is_used("auth/client-credentials-basic", &by_secret);
    let by_key = json!({ "client_id": "by-key", "private_key_pem": key.pem, "signing_algorithm": "ES256" });
    desk.is_used("auth/client-credentials-jwt", &by_key);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workload_client_lists_the_tools_by_a_token_of_its_platform() {
    const SUBJECT: &str = "system:serviceaccount:reports:nightly";
    let key = Key::of(Algorithm::RS256);
    let platform = MockServer::start().await;
    let keys = ResponseTemplate::new(200).set_body_json(key.set());
    Mock::given(any()).respond_with(keys).mount(&platform).await;
    let workload = json!({
        "issuer": "https://platform.test",
        "jwks_uri": platform.uri(),
        "subjects": { SUBJECT: "nightly-job" },
    });
    let job = json!({
        "grant_types": ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
        "resources": { "server-0": ["notes:read"] },
    });
    let desk = Desk::choose();
    let plan = Plan {
        provider: json!({ "workload": workload }),
        config: json!({ "clients": { "nightly-job": job } }),
        resources: vec![desk.url.clone()],
        ..Plan::default()
    };
    let house = House::build(plan).await;
    let _server = desk.open(&house.issuer, &house.url("/.well-known/jwks.json"), &json!({}));

    let token = |audience: &str, from: i64| {
        key.sign(&json!({
            "iss": "https://platform.test", "sub": SUBJECT, "aud": audience, "jti": Entropy::System.token(),
            "iat": from, "exp": from + 600,
        }))
    };
    let now = Clock::System.now().as_secs();
    let valid = token(&house.issuer, now);
    let [wrong_audience, expired] = [token(&desk.url, now), token(&house.issuer, now - 3600)];
    // The client presents the token under `valid_jwt`, and does not look at it.
    let presents = |token: &str| {
        json!({
            "client_id": "nightly-job",
            "valid_jwt": token,
            "wrong_audience_jwt": wrong_audience,
            "expired_jwt": expired,
        })
    };
    desk.is_used("auth/wif-jwt-bearer", &presents(&valid));
    let refused = [
        (&valid, "presented before"),
        (&wrong_audience, "aud does not name us alone"),
        (&expired, "expired"),
    ];
    for (token, reason) in refused {
        desk.tried("auth/wif-jwt-bearer", &presents(token)).unwrap_err();
        let log = house.log();
        let refusal = log.lines().rfind(|line| line.contains("\"refused\"")).unwrap();
        assert!(refusal.contains("invalid_grant") && refusal.contains(reason), "{reason}: {refusal}");
    }
}

/// The client reads its code from the first answer of the authorization endpoint: in front of ours somebody answers the
/// pages. It names no resource.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_that_proves_its_key_calls_its_tool() {
    let desk = Desk::choose();
    let plan = Plan {
        config: json!({ "server": { "default_resource": "server-0" } }),
        resources: vec![desk.url.clone()],
        ..Plan::default()
    };
    let house = House::build(plan).await;
    let front = json!({ "issuer": house.issuer, "person": { "login": LOGIN } });
    let front = Peer::start(node("front.mjs").env("FRONT", front.to_string()));
    let bound = json!({ "bound": true, "authorization_server": front.said("url") });
    let mut server = desk.open(&house.issuer, &house.url("/.well-known/jwks.json"), &bound);
    desk.is_used("auth/dpop", &json!({}));
    assert_eq!(server.next()["scopes"], json!(["notes:read"]));
    assert!(house.log().contains("use_dpop_nonce"), "it was told a nonce, and came back with it");
    let unbound = http().post(&desk.url).bearer_auth("a token").json(&json!({})).send().await.unwrap();
    assert_eq!(unbound.status(), 401);
}
