//! The vault before an authorization server that we did not write: npm `oidc-provider`, which replaces a public
//! client's refresh token at each use, and ends the whole grant when one comes twice.

#[path = "../house/kept.rs"]
pub(super) mod kept;

use std::{path::Path, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery::{
    app::App,
    clock::Clock,
    config::{Config, environment::Environment},
    entropy::Entropy,
    oauth::pkce::CodeChallenge,
    store::connections,
    vault::{
        refresh::{NotFresh, fresh},
        state::{Loss, State},
    },
};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use url::Url;

use self::kept::keep;
use super::{LOGIN, Peer, browser::Browser, fresh_schema, http, node};

const REDIRECT_URI: &str = "https://vault.test/callback";
const API: &str = "https://api.vault.test";
/// Longer than an access token lives.
const LATER: Duration = Duration::from_secs(3 * 60 * 60);
const CALLERS: usize = 200;

/// The vendor, and the pair of tokens that a code became there.
pub(super) async fn vendor() -> (Peer, String, String) {
    let config = json!({
        "clients": [{ "client_id": "us", "redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none",
                      "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"] }],
        "users": { LOGIN: { "name": "Alice" } },
        "resources": { API: "files:read" },
    });
    let vendor = Peer::start(node("oidc-provider.mjs").env("PROVIDER", config.to_string()));
    let verifier = Entropy::System.token();
    let challenge = CodeChallenge::of(&verifier);
    let parameters = [
        ("response_type", "code"),
        ("client_id", "us"),
        ("redirect_uri", REDIRECT_URI),
        ("resource", API),
        ("scope", "files:read"),
        ("state", "s"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    let url = Url::parse_with_params(&format!("{}/auth", vendor.said("issuer")), parameters).unwrap();
    let browser = Browser::new();
    let mut page = browser.open_until(url.as_str(), REDIRECT_URI).await;
    while !page.url.as_str().starts_with(REDIRECT_URI) {
        let form = page.form("/interaction").set("login", LOGIN).set("password", "x");
        page = browser.submit_until(&form, REDIRECT_URI).await;
    }
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "us"),
        ("redirect_uri", REDIRECT_URI),
        ("code", &page.parameter("code").unwrap()),
        ("code_verifier", &verifier),
    ];
    let tokens = token(&vendor, &form).await;
    let text = |name: &str| tokens[name].as_str().unwrap_or_else(|| panic!("{tokens}")).to_owned();
    let (access, refresh) = (text("access_token"), text("refresh_token"));
    (vendor, access, refresh)
}

pub(super) async fn token(vendor: &Peer, form: &[(&str, &str)]) -> Value {
    let answer = http().post(format!("{}/token", vendor.said("issuer"))).form(form).send().await.unwrap();
    answer.json().await.unwrap()
}

/// How often it gave tokens for a refresh token, and how often it refused to.
async fn refreshes(vendor: &Peer) -> (u64, u64) {
    let url = format!("{}/grants", vendor.said("control"));
    let grants: Value = http().post(url).send().await.unwrap().json().await.unwrap();
    let count = |outcome: &str| grants[outcome]["refresh_token"].as_u64().unwrap_or(0);
    (count("given"), count("refused"))
}

/// So many instances that share a database and a clock.
pub(super) async fn instances(number: usize, vendor: &Peer, database: &str) -> Vec<Arc<App>> {
    let (at, key) = (vendor.said("issuer"), STANDARD.encode(Entropy::System.bytes::<32>()));
    let yaml = format!(
        r#"server: {{ issuer: "http://127.0.0.1:9" }}
database: {{ url: "{database}" }}
encryption: {{ keys: [{{ id: k1, key: "{key}" }}] }}
providers:
  acme: {{ preset: oidc, issuer: "{at}", client_id: us, client_auth: none, sign_in: {{ anyone: true }} }}
connections:
  files: {{ preset: oauth2, authorize_url: "{at}/auth", token_url: "{at}/token", revoke_url: "{at}/token/revocation", identity_url: "{at}/me", client_id: us, client_auth: none }}
"#
    );
    let clock = Clock::manual(Clock::System.now());
    let mut all = Vec::new();
    for _ in 0..number {
        let config = Config::parse(&yaml, "chancery.yaml", &Environment::of([]))
            .unwrap_or_else(|problems| panic!("{problems}"));
        all.push(App::open(config, clock.clone(), Entropy::System, false).await.unwrap());
    }
    all
}

/// A database that so many instances can share. `None` where the engine is left out on purpose.
pub(super) async fn database(number: usize, folder: &Path) -> Option<String> {
    match number {
        1 => Some(format!("sqlite://{}", folder.join("chancery.db").display())),
        _ => fresh_schema().await,
    }
}

#[rstest]
#[case::sqlite(1)]
#[case::postgres(3)]
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_is_one_refresh_and_the_grant_lives(#[case] number: usize) {
    let (vendor, access, refresh) = vendor().await;
    let folder = tempfile::tempdir().unwrap();
    let Some(database) = database(number, folder.path()).await else { return };
    let apps = instances(number, &vendor, &database).await;
    let end = apps[0].clock.now().plus(Duration::from_secs(3600));
    let id = keep(&apps[0], "files", (&access, Some(&refresh)), |row| row.expires_at = Some(end)).await;
    let ask = async |app: &Arc<App>| {
        let row = connections::find(&app.db, &id).await.unwrap().unwrap();
        let configured = app.config.connections.get(&row.name).unwrap();
        fresh(app, configured, row).await
    };
    for round in 1..=3 {
        apps[0].clock.advance(LATER);
        let mut callers = JoinSet::new();
        let row = connections::find(&apps[0].db, &id).await.unwrap().unwrap();
        for caller in 0..CALLERS {
            let (app, row) = (Arc::clone(&apps[caller % number]), row.clone());
            callers.spawn(async move {
                let configured = app.config.connections.get(&row.name).unwrap();
                fresh(&app, configured, row).await.map(|fresh| fresh.access.expose().to_owned())
            });
        }
        let tokens: Result<Vec<_>, _> = callers.join_all().await.into_iter().collect();
        let tokens = tokens.unwrap();
        assert!(tokens.iter().all(|token| *token == tokens[0] && *token != access), "one and new");
        assert_eq!(refreshes(&vendor).await, (round, 0));
    }

    // The peer is what it is said to be: the first token again, and nothing is left.
    let reused = [("grant_type", "refresh_token"), ("client_id", "us"), ("refresh_token", &refresh)];
    assert_eq!(token(&vendor, &reused).await["error"], "invalid_grant");
    apps[0].clock.advance(LATER);
    for app in apps.iter().cycle().take(6) {
        let outcome = ask(app).await;
        assert!(matches!(outcome, Err(NotFresh::Reconnect(Loss::Revoked))), "{outcome:?}");
    }
    assert_eq!(refreshes(&vendor).await, (3, 2), "the vendor was asked once");
    let row = connections::find(&apps[0].db, &id).await.unwrap().unwrap();
    assert_eq!(row.state, State::NeedsReconnect(Loss::Revoked));
}
