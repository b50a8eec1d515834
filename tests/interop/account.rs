//! An MCP server whose tool needs its caller's account elsewhere, all of it by software that we did not write: PyPI
//! `authplane-mcp` is the server, npm `@modelcontextprotocol/sdk` the client, npm `oidc-provider` the vendor.

use reqwest::header;
use serde_json::{Value, json};

use super::{
    browser::{Browser, Page},
    client,
    house::{
        House, LOGIN, Plan, free_port, http,
        peer::{Peer, node, play, python, python_mcp1},
    },
    options, step,
};

const SERVER: &str = "desk-server";
const SECRET: &str = "what the server of the desk proves itself with: 100%";

#[tokio::test(flavor = "multi_thread")]
async fn authplanes_adapter_sends_the_person_to_connect_and_then_gets_her_token() {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/mcp");
    let house = House::build(Plan {
        connection: true,
        sample: json!({ "uri": url }),
        config: json!({ "clients": { SERVER: { "secret": SECRET, "serves": "sample" } } }),
        ..Plan::default()
    })
    .await;
    let server = json!({
        "issuer": house.issuer, "client_id": SERVER, "client_secret": SECRET, "port": port,
        "connection": "files",
    });
    let _server = Peer::start(python_mcp1("authplane_server.py").env("SERVER", server.to_string()));
    let mut options = options(&url, &json!(null));
    options["call"]["name"] = "read_note".into();
    options["step_up"] = json!(null);
    let steps = client("sdk1.mjs", &options);
    let token = step(&steps, "done")["access_token"].as_str().unwrap();
    let call = |scope: &str| {
        let tool = json!({ "name": "vendor", "arguments": { "scope": scope } });
        let call = json!({ "server": url, "token": token, "tool": tool });
        play(node("elicited.mjs").env("CALL", call.to_string()), "").remove(0)
    };

    let told = call("");
    assert_eq!((&told["error"], &told["code"]), (&json!("UrlElicitationRequiredError"), &json!(-32042)));
    let [elicitation] = told["elicitations"].as_array().unwrap().as_slice() else { panic!("{told}") };
    let message = elicitation["message"].as_str().unwrap();
    assert!(message.contains("Notes needs your Acme Files account. Connect it to go on."), "{told}");
    let link = elicitation["url"].as_str().unwrap();
    assert!(link.starts_with(&house.url("/connect/files?link=")), "{told}");
    let done = connect(&Browser::new(), link).await;
    assert!(
        done.url.as_str().starts_with(&house.url("/connect/files/callback")),
        "{}: {}",
        done.url,
        done.text()
    );

    let first = vended(&call(""));
    assert_eq!(first["token_type"], "Bearer");
    assert!(first["expires_in"].as_u64().unwrap() > 60, "{first}");
    assert!(first["scope"].as_str().unwrap().split(' ').any(|scope| scope == "email"), "{first}");
    let me = http().get(format!("{}/me", house.upstream())).bearer_auth(first["token"].as_str().unwrap());
    let me: Value = me.send().await.unwrap().json().await.unwrap();
    assert_eq!(me["email"], "alice@acme.test", "the vendor takes it: {me}");
    assert_eq!(vended(&call(""))["token"], first["token"], "the one that is kept");
    let refused = call("phone");
    assert_eq!(refused["isError"], json!(true), "the person did not allow that: {refused}");
}

/// A person signs in and lets her app use the sample, by the SDK. Answers its token.
fn let_in(house: &House) -> String {
    let mut options = options(&house.sample, &json!(null));
    options["step_up"] = json!(null);
    let steps = client("sdk2.mjs", &options);
    step(&steps, "done")["access_token"].as_str().unwrap().to_owned()
}

/// Her sign-in brings the tokens of her account, and nothing more is asked of her.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_sign_in_brought_needs_no_second_screen() {
    let house = House::build(Plan {
        connection: true,
        provider: json!({ "vault": { "keep_sign_in_tokens": true, "connection": "files" } }),
        config: json!({ "clients": { SERVER: { "secret": SECRET, "serves": "sample" } } }),
        ..Plan::default()
    })
    .await;
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("client_id", SERVER),
        ("client_secret", SECRET),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token", &let_in(&house)),
        ("audience", "files"),
    ];
    let got = http().post(house.url("/oauth/token")).form(&form).send().await.unwrap();
    let got: Value = got.json().await.unwrap();
    let access = got["access_token"].as_str().unwrap_or_else(|| panic!("{got}"));
    let me = http().get(format!("{}/me", house.upstream())).bearer_auth(access).send().await.unwrap();
    let me: Value = me.json().await.unwrap();
    assert_eq!((&me["email"], &got["account"]["id"]), (&json!("alice@acme.test"), &me["sub"]), "{got}");
}

/// RFC 9449 §5 lets a client refuse a token that is not bound to the key that it proved. A vendor's cannot be.
#[tokio::test(flavor = "multi_thread")]
async fn authplanes_client_refuses_a_vendors_token_only_if_it_proves_a_key() {
    let house = House::build(Plan {
        connection: true,
        config: json!({ "clients": { SERVER: { "secret": SECRET, "serves": "sample" } } }),
        ..Plan::default()
    })
    .await;
    let asked = json!({ "subject_token": let_in(&house), "audiences": ["files"] });
    let exchange = |dpop: bool| {
        let exchange = json!({
            "issuer": house.issuer, "client_id": SERVER, "client_secret": SECRET, "resource": house.sample,
            "dpop": dpop,
        });
        let mut command = python("authplane_exchange.py");
        play(command.env("EXCHANGE", exchange.to_string()), &format!("{asked}\n")).remove(0)
    };
    let told = exchange(true);
    assert_eq!(told["refused"], "ConsentRequiredError", "{told}");
    connect(&Browser::new(), told["consent_url"].as_str().unwrap()).await;
    let refused = exchange(true);
    assert_eq!(refused["refused"], "ProtocolError");
    let why = "DPoP proof was sent but token_type is 'Bearer'";
    assert!(refused["because"].as_str().unwrap().contains(why), "{refused}");
    assert_eq!(exchange(false)["issued"]["token_type"], "Bearer");
}

/// What the tool got.
fn vended(answer: &Value) -> Value {
    let text = answer["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{answer}"))
}

/// The person opens the link, signs in, goes on to the vendor and comes back.
async fn connect(browser: &Browser, link: &str) -> Page {
    let mut page = browser.open(link).await;
    for _ in 0..8 {
        let away = page.headers.get(header::REFRESH).map(|value| value.to_str().unwrap().to_owned());
        page = if let Some(form) = page.find_form("/interaction") {
            browser.submit(&form.set("login", LOGIN).set("password", "x")).await
        } else if let Some(form) = page.find_form("/connect/") {
            browser.submit(&form).await
        } else if let Some((_, url)) = away.as_deref().and_then(|away| away.split_once("url=")) {
            browser.open(url).await
        } else {
            break;
        };
    }
    page
}
