//! An account of the operator's own: everybody works with it who allowed a resource what needs it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

use super::*;
use crate::support::{upstream::json_of, vault::refused};

/// A vendor that gives a token for our credentials, the first of them `st-1`.
struct Vendor {
    server: MockServer,
    troubles: Arc<Mutex<VecDeque<ResponseTemplate>>>,
}

impl Vendor {
    async fn start() -> Self {
        let server = MockServer::start().await;
        let troubles: Arc<Mutex<VecDeque<ResponseTemplate>>> = Arc::default();
        let (theirs, count) = (Arc::clone(&troubles), Mutex::new(0));
        let answer = move |request: &Request| {
            if let Some(trouble) = theirs.lock().unwrap().pop_front() {
                return trouble;
            }
            let form: Vec<(String, String)> =
                url::form_urlencoded::parse(&request.body).into_owned().collect();
            let scope = form.iter().find(|(name, _)| name == "scope").map(|(_, scope)| scope);
            let mut count = count.lock().unwrap();
            *count += 1;
            let token = format!("st-{count}");
            json_of(
                &json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600, "scope": scope }),
            )
            .set_delay(Duration::from_millis(50))
        };
        Mock::given(any()).respond_with(answer).mount(&server).await;
        Self { server, troubles }
    }

    fn says(&self, answer: ResponseTemplate) {
        self.troubles.lock().unwrap().push_back(answer);
    }

    /// What it was asked for, one body after the other.
    async fn asked(&self) -> Vec<String> {
        let requests = self.server.received_requests().await.unwrap();
        requests.into_iter().map(|request| String::from_utf8(request.body).unwrap()).collect()
    }

    async fn serve(&self, on: On) -> Option<Server> {
        let entry = format!(
            r#"  billing:
    preset: client-credentials
    name: Billing
    token_url: "{}/token"
    client_id: us
    client_secret: what-proves-us-at-the-vendor
    scopes: [base]
    use:
      tickets:
        "tickets:read": [invoices.read]
        "tickets:write": [invoices.write]
"#,
            self.server.uri()
        );
        Server::start_with(on, &format!("{}{entry}", sections())).await
    }
}

async fn billing(server: &Server, subject: &Tokens, scope: &str) -> Tokens {
    vend_with(server, subject.access(), &[("audience", "billing"), ("scope", scope)]).await
}

/// What Ada's server gets now, by a token of hers that is new.
async fn again(server: &Server) -> Tokens {
    billing(server, &adas(server).await, "").await
}

#[rstest]
#[tokio::test]
async fn everybody_works_with_it_who_allowed_what_needs_it(#[values(On::Sqlite, On::Postgres)] on: On) {
    let vendor = Vendor::start().await;
    let Some(server) = vendor.serve(on).await else { return };
    let asked = Client::desk().scope("tickets:read").begin(&server, &Browser::new(), "ada").await.text();
    assert!(asked.contains("Ticket desk may use a shared Billing account to: invoices.read"), "{asked}");
    let (ada, grace) = (adas(&server).await, token(&server, "grace", "tickets:read tickets:write").await);
    let got = billing(&server, &ada, "").await;
    let whole = json!({
        "access_token": "st-1", "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 3600,
        "scope": "base invoices.read invoices.write", "connection": "billing",
    });
    assert_eq!((got.status, &got.body), (200, &whole), "no account, and nothing to renew it with");
    server.later(Duration::from_secs(1));
    assert_eq!(billing(&server, &grace, "").await.body["access_token"], "st-1", "it is kept for all");
    let asked = "grant_type=client_credentials&scope=base+invoices.read+invoices.write";
    assert_eq!(vendor.asked().await, [asked]);
    let sent = &vendor.server.received_requests().await.unwrap()[0].headers["authorization"];
    assert!(sent.to_str().unwrap().starts_with("Basic "), "{sent:?}");

    let details = server.details("connection.vended").await;
    let of = |whose: &Tokens| {
        json!({
            "connection": "billing", "needed": "invoices.read invoices.write",
            "subject_jti": whose.claims()["jti"], "subject_client": "desk",
        })
    };
    assert_eq!(details, [of(&ada), of(&grace)]);
    let users = server.on_record("connection.vended", "user_id").await;
    assert_eq!(users, [ada.claims()["sub"].as_str().unwrap(), grace.claims()["sub"].as_str().unwrap()]);
    assert_eq!((server.rows("connections").await, server.rows("connection_uses").await), (0, 0));

    server.later(Duration::from_secs(3600 - 299));
    assert_eq!(again(&server).await.body["access_token"], "st-2", "its margin is reached");
}

/// The vendor makes a token for every need, so nobody gets more than was asked for.
#[tokio::test]
async fn each_need_has_a_token_that_can_do_no_more() {
    let vendor = Vendor::start().await;
    let server = vendor.serve(On::Sqlite).await.unwrap();
    let (ada, reader) = (adas(&server).await, token(&server, "grace", "tickets:read").await);
    for (whose, scope, access, can) in [
        (&ada, "invoices.write", "st-1", "base invoices.write"),
        (&ada, "", "st-2", "base invoices.read invoices.write"),
        (&reader, "", "st-3", "base invoices.read"),
        (&ada, "invoices.read", "st-3", "base invoices.read"),
    ] {
        let got = billing(&server, whose, scope).await;
        assert_eq!(
            (&got.body["access_token"], &got.body["scope"]),
            (&json!(access), &json!(can)),
            "{}",
            got.body
        );
    }
    for (whose, scope) in [(&reader, "invoices.write"), (&ada, "base"), (&ada, "everything")] {
        let got = billing(&server, whose, scope).await;
        assert_eq!((got.status, got.error()), (400, "invalid_scope"), "{scope}: {}", got.body);
    }
    assert_eq!(vendor.asked().await.len(), 3);
}

#[rstest]
#[tokio::test]
async fn many_at_once_are_one_request(#[values(On::Sqlite, On::Postgres)] on: On) {
    let vendor = Vendor::start().await;
    let Some(server) = vendor.serve(on).await else { return };
    let ada = adas(&server).await;
    for got in futures_join((0..20).map(|_| billing(&server, &ada, ""))).await {
        assert_eq!((got.status, &got.body["access_token"]), (200, &json!("st-1")), "{}", got.body);
    }
    assert_eq!(vendor.asked().await.len(), 1);
    assert_eq!(server.recorded("connection.vended").await, 20);
}

#[rstest]
#[case::down(ResponseTemplate::new(503).insert_header("retry-after", "120"), 120)]
#[case::our_secret(refused(401, "invalid_client"), 1)]
#[case::no_such_scope(refused(400, "invalid_scope"), 1)]
#[case::said_of_persons(refused(400, "invalid_grant"), 1)]
#[case::html(ResponseTemplate::new(200).set_body_raw("<html>", "text/html"), 1)]
#[case::redirect(ResponseTemplate::new(302).insert_header("location", "http://169.254.169.254/"), 1)]
#[tokio::test]
async fn a_vendor_in_trouble_is_left_alone_and_what_has_not_ended_is_served(
    #[case] answer: ResponseTemplate,
    #[case] least: u64,
) {
    let vendor = Vendor::start().await;
    let server = vendor.serve(On::Sqlite).await.unwrap();
    vendor.says(answer.clone());
    let got = again(&server).await;
    assert_eq!((got.status, got.error()), (503, "temporarily_unavailable"), "{}", got.body);
    let wait: u64 = got.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((least..=least * 2 + 1).contains(&wait), "{wait}");
    assert_eq!(again(&server).await.status, 503);
    assert_eq!(vendor.asked().await.len(), 1, "it is left alone");
    server.later(Duration::from_secs(wait + 1));
    assert_eq!(again(&server).await.body["access_token"], "st-1");

    vendor.says(answer);
    server.later(Duration::from_secs(3600 - 100));
    let got = again(&server).await;
    assert_eq!((&got.body["access_token"], &got.body["expires_in"]), (&json!("st-1"), &json!(100)));
    assert_eq!(again(&server).await.body["access_token"], "st-1");
    assert_eq!(vendor.asked().await.len(), 3, "once more, and then it is left alone again");
    server.later(Duration::from_secs(200));
    assert_eq!(again(&server).await.body["access_token"], "st-2");
}

/// Less than is needed is nothing, and no account is anybody's to choose.
#[tokio::test]
async fn it_is_refused_where_it_cannot_serve() {
    let vendor = Vendor::start().await;
    let server = vendor.serve(On::Sqlite).await.unwrap();
    let ada = adas(&server).await;
    let less = json!({ "access_token": "less", "token_type": "bearer", "scope": "base" });
    vendor.says(json_of(&less));
    let got = billing(&server, &ada, "").await;
    assert_eq!((got.status, got.error()), (400, "access_denied"), "{}", got.body);
    let got = vend_with(&server, ada.access(), &[("audience", "billing/ada")]).await;
    assert_eq!((got.status, got.error()), (400, "invalid_target"), "{}", got.body);
    server.execute("INSERT INTO switched_off (kind, name, at) VALUES ('connection', 'billing', 1)").await;
    let got = billing(&server, &ada, "invoices.read").await;
    assert_eq!((got.status, got.error()), (400, "access_denied"), "{}", got.body);
    assert_eq!(vendor.asked().await.len(), 1, "for what is switched off nobody is asked");
    assert_eq!(server.recorded("connection.vended").await, 0);
}
