//! Grants for the authorization servers of others (draft-ietf-oauth-identity-assertion-authz-grant §4.3): what is
//! given, to whom, and what the table and the rules keep back.

use std::collections::BTreeSet;

use chancery::oauth::purpose::Role;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};

use super::{
    AS_BACKEND, CLOUD, ID_JAG, PAGES, VAULT, ask, desk, parameters, section, serve, setup,
    signed_in_for_backend,
};
use crate::support::{
    Browser, Client, DpopKey, On, PLAIN, Server, Setup, Tokens, Upstream,
    client::{claims_of, post_to},
    dpop,
    setup::BEGINNING,
};

/// What `backend` gets at the vault, of its logs where nothing else is said.
async fn at_vault(server: &Server, tokens: &Tokens, changed: &[(&'static str, &str)]) -> Tokens {
    let mut all =
        [&AS_BACKEND[..], &[("audience", VAULT), ("resource", "https://vault.example/logs")]].concat();
    all.retain(|(name, _)| !changed.iter().any(|(known, _)| known == name));
    all.extend(changed);
    ask(server, tokens.id_token(), &all).await
}

/// §3.1 and §4.3.4: what the other authorization server can check with nothing but our metadata.
#[rstest]
#[tokio::test]
async fn a_stranger_verifies_the_grant(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let signed_in = desk().obtain(&server, &Browser::new(), "ada").await;
    server.later(std::time::Duration::from_secs(60));
    let answer = ask(&server, signed_in.id_token(), &[("scope", "pages:read pages:write")]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.headers["cache-control"], "no-store");
    let mut members: Vec<_> = answer.body.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["access_token", "expires_in", "issued_token_type", "scope", "token_type"]);
    for (member, value) in [
        ("issued_token_type", json!(ID_JAG)),
        ("token_type", json!("N_A")),
        ("expires_in", json!(300)),
        ("scope", json!("pages:read pages:write")),
    ] {
        assert_eq!(answer.body[member], value, "{member}");
    }

    let keys: JwkSet = serde_json::from_value(server.json("/idp/jwks.json").await).unwrap();
    let header = jsonwebtoken::decode_header(answer.access()).unwrap();
    assert_eq!((header.typ.as_deref(), header.alg), (Some("oauth-id-jag+jwt"), Algorithm::ES256));
    let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut rules = Validation::new(Algorithm::ES256);
    rules.set_audience(&[CLOUD]);
    rules.set_issuer(&[format!("{}/idp", server.issuer)]);
    rules.validate_exp = false; // by another clock than the server's
    let claims = jsonwebtoken::decode::<Value>(answer.access(), &key, &rules).unwrap().claims;
    let now = BEGINNING.as_secs() + 60;
    for (claim, value) in [
        ("aud", json!(CLOUD)),
        ("client_id", json!("desk-in-the-cloud")),
        ("sub", claims_of(signed_in.id_token())["sub"].clone()),
        ("resource", json!(PAGES)),
        ("scope", json!("pages:read pages:write")),
        ("iat", json!(now)),
        ("exp", json!(now + 300)),
        ("auth_time", json!(BEGINNING.as_secs())),
    ] {
        assert_eq!(claims[claim], value, "{claim}");
    }
    let names: BTreeSet<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    let wanted = ["aud", "auth_time", "client_id", "exp", "iat", "iss", "jti", "resource", "scope", "sub"];
    assert_eq!(names, wanted.into(), "nothing that was not asked for");
    let another = ask(&server, signed_in.id_token(), &[]).await;
    assert_ne!(another.claims()["jti"], claims["jti"]);
}

#[rstest]
#[tokio::test]
async fn each_grant_is_on_record_and_no_token_is(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let signed_in = desk().obtain(&server, &Browser::new(), "ada").await;
    let answer = ask(&server, signed_in.id_token(), &[]).await;
    assert_eq!(ask(&server, signed_in.id_token(), &[("scope", "pages:fly")]).await.error(), "invalid_scope");
    assert_eq!(server.recorded("id_jag.issued").await, 1);
    let issued = server.last("id_jag.issued").await;
    assert_eq!((issued.client_id.as_deref(), issued.resource.as_deref()), (Some("desk"), Some(PAGES)));
    assert_eq!((issued.scope.as_deref(), issued.provider.as_deref()), (Some("pages:read"), Some("test")));
    let details = server.details("id_jag.issued").await.remove(0);
    for (name, value) in [
        ("audience", json!(CLOUD)),
        ("target", json!("cloud")),
        ("client_there", json!("desk-in-the-cloud")),
        ("jti", answer.claims()["jti"].clone()),
    ] {
        assert_eq!(details[name], value, "{name}");
    }
    let refused = server.last("token.refused").await;
    assert_eq!((refused.user_id, refused.scope.as_deref()), (issued.user_id, Some("pages:fly")));
    let rules = &server.details("token.refused").await[0]["rules"];
    assert_eq!(rules, "idp.targets.cloud.resources.pages.scopes.pages:fly (unknown_scope)");
    for event in ["id_jag.issued", "token.refused", "token.issued"] {
        for details in server.on_record(event, "details").await {
            assert!(!details.contains("eyJ"), "{details}");
        }
    }
}

/// What is asked ∩ the table ∩ the rules, and the answer says what is left.
#[rstest]
#[case::nothing_asked("(absent)", "ada", Ok("pages:read"))]
#[case::less("pages:write", "ada", Ok("pages:write"))]
#[case::more_than_there_is("pages:read pages:fly", "ada", Ok("pages:read"))]
#[case::words_of_the_protocol("openid profile offline_access", "ada", Ok("pages:read"))]
#[case::for_her_group("pages:close", "ada", Ok("pages:close"))]
#[case::not_for_her_group("pages:close pages:read", "grace", Ok("pages:read"))]
#[case::only_what_is_not_for_her("pages:close", "grace", Err("access_denied"))]
#[case::only_what_is_unknown("pages:fly", "ada", Err("invalid_scope"))]
#[case::no_scope_at_all("\"", "ada", Err("invalid_scope"))]
#[tokio::test]
async fn scopes_are_narrowed(#[case] asked: &str, #[case] user: &str, #[case] outcome: Result<&str, &str>) {
    let server = serve(On::Sqlite).await.unwrap();
    let signed_in = desk().obtain(&server, &Browser::new(), user).await;
    let answer = ask(&server, signed_in.id_token(), &[("scope", asked)]).await;
    match outcome {
        Ok(scope) => {
            assert_eq!(answer.body["scope"], scope, "{}", answer.body);
            assert_eq!(answer.claims()["scope"], scope);
        }
        Err(error) => assert_eq!((answer.status, answer.error()), (400, error)),
    }
}

#[tokio::test]
async fn without_a_default_a_scope_must_be_named() {
    let server = serve(On::Sqlite).await.unwrap();
    let tokens = signed_in_for_backend(&server, "ada").await;
    let safes = ("resource", "https://vault.example/safes");
    assert_eq!(at_vault(&server, &tokens, &[safes]).await.error(), "invalid_scope");
    assert_eq!(at_vault(&server, &tokens, &[safes, ("scope", "open")]).await.body["scope"], "open");
}

/// The form of the request, and the table: audience and resource are a bound pair (EMA §7.6).
#[rstest]
#[case::another_type_wanted(&[("requested_token_type", "urn:ietf:params:oauth:token-type:access_token")], "invalid_request")]
#[case::no_type_wanted(&[("requested_token_type", "(absent)")], "invalid_request")]
#[case::an_actor(&[("actor_token", "x"), ("actor_token_type", "urn:ietf:params:oauth:token-type:jwt")], "invalid_request")]
#[case::details(&[("authorization_details", "[]")], "invalid_request")]
#[case::no_subject(&[("subject_token", "(absent)")], "invalid_request")]
#[case::no_subject_type(&[("subject_token_type", "(absent)")], "invalid_request")]
#[case::no_audience(&[("audience", "(absent)")], "invalid_request")]
#[case::another_audience(&[("audience", "https://auth.other.example")], "invalid_target")]
#[case::almost_the_audience(&[("audience", "https://auth.cloud.example/")], "invalid_target")]
#[case::its_name_in_the_file(&[("audience", "cloud")], "invalid_target")]
#[case::several_audiences(&[("audience", CLOUD), ("audience", "https://auth.other.example")], "invalid_target")]
#[case::an_audience_of_another_client(&[("audience", VAULT), ("resource", "https://vault.example/logs")], "invalid_target")]
#[case::a_resource_of_ours(&[("resource", "https://mcp.acme.example/tickets")], "invalid_target")]
#[case::a_resource_of_another_audience(&[("resource", "https://vault.example/logs")], "invalid_target")]
#[case::several_resources(&[("resource", PAGES), ("resource", "https://vault.example/logs")], "invalid_target")]
#[case::no_uri(&[("resource", "pages")], "invalid_target")]
#[case::an_unknown_client(&[("client_id", "nobody")], "invalid_client")]
#[case::without_its_secret(&[("client_id", "backend")], "invalid_client")]
#[tokio::test]
async fn what_is_refused(#[case] changed: &[(&'static str, &str)], #[case] error: &str) {
    let server = serve(On::Sqlite).await.unwrap();
    let signed_in = desk().obtain(&server, &Browser::new(), "ada").await;
    let answer = ask(&server, signed_in.id_token(), changed).await;
    assert_eq!(answer.error(), error, "{}", answer.body);
    assert_eq!((server.recorded("id_jag.issued").await, server.recorded("token.refused").await), (0, 1));
    assert_eq!(ask(&server, signed_in.id_token(), &[]).await.status, 200);
}

#[tokio::test]
async fn the_only_resource_need_not_be_named() {
    let server = serve(On::Sqlite).await.unwrap();
    let tokens = signed_in_for_backend(&server, "ada").await;
    let unnamed = [&AS_BACKEND[..], &[("resource", "(absent)")]].concat();
    assert_eq!(ask(&server, tokens.id_token(), &unnamed).await.claims()["resource"], PAGES);
    assert_eq!(at_vault(&server, &tokens, &[("resource", "(absent)")]).await.error(), "invalid_target");
    let twice = [&AS_BACKEND[..], &[("resource", PAGES), ("resource", PAGES)]].concat();
    assert_eq!(ask(&server, tokens.id_token(), &twice).await.status, 200, "the same twice is one");
}

#[tokio::test]
async fn the_rules_of_a_target_are_asked_about_the_person_as_she_is_now() {
    let server = serve(On::Sqlite).await.unwrap();
    let grace = signed_in_for_backend(&server, "grace").await;
    let refused = at_vault(&server, &grace, &[]).await;
    assert_eq!((refused.status, refused.error()), (400, "access_denied"));
    let rules = &server.details("token.refused").await[0]["rules"];
    assert_eq!(rules, "idp.targets.vault.allow.groups (group)");
    let resource = server.last("token.refused").await.resource;
    assert_eq!(resource.as_deref(), Some("https://vault.example/logs"));

    let ada = signed_in_for_backend(&server, "ada").await;
    assert_eq!(at_vault(&server, &ada, &[]).await.status, 200);
    server.execute("UPDATE identities SET groups = '[\"staff\"]'").await;
    assert_eq!(at_vault(&server, &ada, &[]).await.error(), "access_denied");
}

#[rstest]
#[tokio::test]
async fn a_person_has_another_name_at_each_target_that_wants_one(#[values(On::Sqlite, On::Postgres)] on: On) {
    let other = format!(
        "  targets:\n    other:\n      audience: https://other.example\n      client_ids: {{ backend: b }}\n      \
         subject: pairwise\n      resources: {{ r: {{ uri: {PAGES}, scopes: {{ x: {{ default: true }} }} }} }}\n"
    );
    let Some(server) = setup(on).replacing("  targets:\n", &other).start().await else { return };
    let (ada, twin) =
        (signed_in_for_backend(&server, "ada").await, signed_in_for_backend(&server, "ada").await);
    let sub = |answer: Tokens| answer.claims()["sub"].as_str().expect("a subject").to_owned();
    let here = sub(at_vault(&server, &ada, &[]).await);
    assert_eq!(here, sub(at_vault(&server, &twin, &[]).await), "always the same");
    let elsewhere = [("audience", "https://other.example"), ("resource", "(absent)")];
    let there = sub(ask(&server, ada.id_token(), &[&AS_BACKEND[..], &elsewhere].concat()).await);
    let ours = claims_of(ada.id_token())["sub"].as_str().unwrap().to_owned();
    assert_eq!(BTreeSet::from([&here, &there, &ours]).len(), 3, "{here} {there} {ours}");
    server.execute("UPDATE identities SET groups = '[\"support\"]'").await;
    let grace = signed_in_for_backend(&server, "grace").await;
    server.execute("UPDATE identities SET groups = '[\"support\"]'").await;
    assert_ne!(sub(at_vault(&server, &grace, &[]).await), here);
}

#[tokio::test]
async fn a_target_is_told_what_it_is_declared_to_be_told() {
    let server = serve(On::Sqlite).await.unwrap();
    let tokens = signed_in_for_backend(&server, "ada").await;
    let claims = at_vault(&server, &tokens, &[]).await.claims();
    assert_eq!((&claims["email"], &claims["email_verified"]), (&json!("ada@example.test"), &json!(true)));
    assert_eq!(claims["groups"], json!(["staff", "support"]));
    server.execute("UPDATE identities SET email_verified = FALSE").await;
    let claims = at_vault(&server, &tokens, &[]).await.claims();
    assert_eq!((claims.get("email"), claims.get("email_verified")), (None, None), "nobody vouches for it");
}

#[tokio::test]
async fn who_she_is_there_can_be_her_address_or_what_her_provider_calls_her() {
    let with = async |form: &str| {
        let form = format!("subject: {form}\n      token_claims");
        let replaced = section().replace("subject: pairwise\n      token_claims", &form);
        let server = Setup::on(On::Sqlite).sections(&format!("{PLAIN}{replaced}")).start().await.unwrap();
        let tokens = signed_in_for_backend(&server, "ada").await;
        (server, tokens)
    };
    let (server, tokens) = with("upstream_subject").await;
    assert_eq!(at_vault(&server, &tokens, &[]).await.claims()["sub"], "test-user-ada");
    let (server, tokens) = with("email").await;
    assert_eq!(at_vault(&server, &tokens, &[]).await.claims()["sub"], "ada@example.test");
    server.execute("UPDATE identities SET email_verified = FALSE").await;
    assert_eq!(at_vault(&server, &tokens, &[]).await.error(), "access_denied", "nobody vouches for it");
}

/// §9.8.1: a grant for a client that proves a key is for the holder of that key, and is no access token still.
#[rstest]
#[tokio::test]
async fn a_proved_key_is_in_the_grant(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let signed_in = desk().obtain(&server, &Browser::new(), "ada").await;
    let key = DpopKey::new();
    let mut claims = dpop::claims(&server);
    claims["htu"] = json!(format!("{}/idp/token", server.issuer));
    let proof = key.sign(&key.header(), &claims);
    let exchange = async |proof: &str| {
        let form = parameters(signed_in.id_token(), &[]);
        let request = server.request(Method::POST, "/idp/token").form(&form).header("dpop", proof);
        Tokens::of(request.send().await.unwrap()).await
    };
    let answer = exchange(&proof).await;
    assert_eq!((answer.status, &answer.body["token_type"]), (200, &json!("N_A")), "{}", answer.body);
    assert_eq!(answer.claims()["cnf"], json!({ "jkt": key.thumbprint() }));
    assert_eq!(exchange(&proof).await.error(), "invalid_dpop_proof", "a proof counts once");
    let for_the_other = key.proof(&server);
    assert_eq!(exchange(&for_the_other).await.error(), "invalid_dpop_proof", "htu is the other endpoint");
}

#[tokio::test]
async fn a_client_that_must_prove_a_key_gets_nothing_without() {
    let bound = "      name: Desk agent\n      dpop_bound_access_tokens: true\n";
    let server = setup(On::Sqlite);
    let sections = format!("{PLAIN}{}", section().replace("      name: Desk agent\n", bound));
    let server = server.sections(&sections).start().await.unwrap();
    let client = desk();
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let key = DpopKey::new();
    let proof = || {
        let mut claims = dpop::claims(&server);
        claims["htu"] = json!(format!("{}/idp/token", server.issuer));
        key.sign(&key.header(), &claims)
    };
    let post = async |form: &[(&str, String)], proof: Option<String>| {
        let mut request = server.request(Method::POST, "/idp/token").form(form);
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        Tokens::of(request.send().await.unwrap()).await
    };
    let code = client.exchange_parameters(&code);
    assert_eq!(post(&code, None).await.error(), "invalid_dpop_proof");
    let tokens = post(&code, Some(proof())).await;
    assert_eq!(tokens.body["token_type"], "DPoP");
    let form = parameters(tokens.id_token(), &[]);
    assert_eq!(post(&form, None).await.error(), "invalid_dpop_proof");
    assert_eq!(post(&form, Some(proof())).await.claims()["cnf"], json!({ "jkt": key.thumbprint() }));
    // The refresh token of a public client is bound, and stays so where it is presented for a grant.
    let form = parameters(tokens.refresh(), &[("subject_token_type", super::REFRESH_TOKEN)]);
    let other = DpopKey::new();
    let mut claims = dpop::claims(&server);
    claims["htu"] = json!(format!("{}/idp/token", server.issuer));
    let stolen = post(&form, Some(other.sign(&other.header(), &claims))).await;
    assert_eq!(stolen.error(), "invalid_grant");
    assert_eq!(post(&form, Some(proof())).await.status, 200);
}

#[tokio::test]
async fn the_consent_page_says_where_the_client_may_act_for_her() {
    let server = serve(On::Sqlite).await.unwrap();
    let page = async |client: Client, user: &str| {
        let page = client.begin(&server, &Browser::new(), user).await;
        page.text()
    };
    let ada = page(super::backend(), "ada").await;
    assert!(ada.contains("May act for you at Cloud wiki , vault.example"), "{ada}");
    let grace = page(super::backend(), "grace").await;
    assert!(grace.contains("May act for you at Cloud wiki as far as"), "the vault is not for her: {grace}");
    let desk = page(desk(), "ada").await;
    assert!(desk.contains("May act for you at Cloud wiki as far as"), "{desk}");
    let plain = page(Client::desk(), "ada").await;
    assert!(!plain.contains("May act for you"), "{plain}");
}

#[rstest]
#[tokio::test]
async fn a_fault_of_ours_is_no_refusal_and_leaves_nothing(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let tokens = signed_in_for_backend(&server, "ada").await;
    for table in ["grants", "consents", "pairwise_subjects", "audit"] {
        server.hide(table).await;
        let answer = at_vault(&server, &tokens, &[]).await;
        assert_eq!((answer.status, answer.error()), (503, "temporarily_unavailable"), "{table}");
        assert!(answer.headers.contains_key("retry-after"));
        server.unhide(table).await;
    }
    assert_eq!((server.recorded("id_jag.issued").await, server.rows("pairwise_subjects").await), (0, 0));
    assert_eq!(at_vault(&server, &tokens, &[]).await.status, 200);
}

#[tokio::test]
async fn metadata_says_what_is_exchanged_for_what() {
    let server = serve(On::Sqlite).await.unwrap();
    let document = server.json("/idp/.well-known/oauth-authorization-server").await;
    assert_eq!(document["identity_chaining_requested_token_types_supported"], json!([ID_JAG]));
    let grants =
        json!(["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange",]);
    assert_eq!(document["grant_types_supported"], grants);
    let other = server.json("/.well-known/oauth-authorization-server").await;
    assert_eq!(other.get("identity_chaining_requested_token_types_supported"), None);
}

/// The other issuer exchanges access tokens between resources, and knows of no grants for others.
#[tokio::test]
async fn the_other_issuer_gives_no_grants() {
    let server = serve(On::Sqlite).await.unwrap();
    let tokens = signed_in_for_backend(&server, "ada").await;
    let form = parameters(tokens.id_token(), &AS_BACKEND);
    let answer = post_to(&server, Role::AuthorizationServer, &form).await;
    assert_eq!(answer.error(), "unauthorized_client");
}

/// A provider's entry rules are asked again, too: here one that the configuration has, and a person who left the group.
#[tokio::test]
async fn whoever_may_no_longer_come_in_gets_no_grant() {
    let rules = "sign_in: { require: { groups: [staff] } }";
    let server = setup(On::Sqlite).replacing("sign_in: { anyone: true }", rules).start().await.unwrap();
    let signed_in = desk().obtain(&server, &Browser::new(), "ada").await;
    assert_eq!(ask(&server, signed_in.id_token(), &[]).await.status, 200);
    server.execute("UPDATE identities SET groups = '[\"support\"]'").await;
    assert_eq!(ask(&server, signed_in.id_token(), &[]).await.error(), "invalid_grant");
}

/// An assertion by which a client proves itself counts once, and only what takes effect spends it.
#[rstest]
#[tokio::test]
async fn a_refused_request_leaves_the_clients_assertion_good(#[values(On::Sqlite, On::Postgres)] on: On) {
    use chancery::{
        entropy::Entropy,
        jose::{Signer, signer::SigningAlgorithm},
    };
    let algorithm = SigningAlgorithm::Es256;
    let key = Signer::from_pkcs8(algorithm, &algorithm.generate().unwrap()).unwrap();
    let keys = json!({ "keys": [key.public_jwk()] });
    let sections = format!("{PLAIN}{}", section());
    let (before, idp) = sections.split_once("idp:\n").unwrap();
    let idp = idp.replacen("      name: Desk agent\n", &format!("      jwks: '{keys}'\n"), 1);
    let Some(server) = setup(on).sections(&format!("{before}idp:\n{idp}")).start().await else { return };
    let assertion = |server: &Server| {
        let now = server.clock.now().as_secs();
        let claims = json!({
            "iss": "desk", "sub": "desk", "aud": format!("{}/idp", server.issuer),
            "jti": Entropy::System.token(), "iat": now, "exp": now + 60,
        });
        key.sign("JWT", &claims).unwrap()
    };
    let proved = |assertion: &str| {
        [
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()),
            ("client_assertion", assertion.to_owned()),
        ]
    };
    let client = desk();
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let mut form = client.exchange_parameters(&code);
    form.extend(proved(&assertion(&server)));
    let tokens = post_to(&server, Role::IdentityProvider, &form).await;
    let once = assertion(&server);
    let ask = async |scope: &str| {
        let mut form = parameters(tokens.id_token(), &[("scope", scope)]);
        form.extend(proved(&once));
        post_to(&server, Role::IdentityProvider, &form).await
    };
    assert_eq!(ask("pages:fly").await.error(), "invalid_scope");
    assert_eq!(ask("pages:read").await.status, 200);
    assert_eq!(ask("pages:read").await.error(), "invalid_client");
    assert_eq!(server.recorded("id_jag.issued").await, 1);
}

/// An upstream's word for how a person signed in goes on into the grant.
#[tokio::test]
async fn how_she_signed_in_is_told() {
    let upstream = Upstream::start().await;
    let entry = upstream.entry("acme", "client_auth: none, organization: acme, sign_in: { anyone: true }");
    let (_, rest) = PLAIN.split_once("resources:\n").unwrap();
    let sections = format!("providers:\n{entry}resources:\n{rest}{}", section());
    let server = Setup::on(On::Sqlite).sections(&sections).start().await.unwrap();
    let (client, browser) = (desk(), Browser::new());
    let page = browser.open_until(&client.authorize_url(&server), &upstream.issuer()).await;
    let away = crate::support::upstream::Away(page.url);
    let mut claims = upstream.claims(&away);
    (claims["acr"], claims["amr"]) = (json!("phr"), json!(["hwk", "pin"]));
    claims["auth_time"] = json!(BEGINNING.as_secs() - 90);
    upstream.issues(&claims);
    let page = browser.open(&away.back(&[("code", "c-1")])).await;
    let form = page.form("/interaction/").set("decision", "allow");
    let back = browser.submit_until(&form, &client.redirect_uri).await;
    let tokens = client.exchange(&server, &client.code(&server, &back)).await;
    let told = ask(&server, tokens.id_token(), &[]).await.claims();
    assert_eq!((&told["acr"], &told["amr"]), (&json!("phr"), &json!(["hwk", "pin"])));
    assert_eq!(told["auth_time"], json!(BEGINNING.as_secs() - 90));
}
