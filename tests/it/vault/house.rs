//! A house with one vendor, and accounts there that are connected.

use std::time::Duration;

use chancery::{
    admin::Operator,
    entropy::Entropy,
    ids::{ConnectionName, UserId},
    oauth::scope::ScopeSet,
    store::connections::{self, Connection},
    vault::{revoke, state::State},
};
use wiremock::ResponseTemplate;

use crate::support::{Browser, On, PLAIN, Server, Upstream, client::account, vault::kept::keep_for};

pub(super) const END: &str = "/account/connections/end";

/// A server that knows one vendor, and the vendor.
pub(super) struct House {
    pub(super) server: Server,
    pub(super) vendor: Upstream,
}

/// The configuration with the vendor's entry; without `revoke_url` it cannot end tokens.
pub(super) fn sections(vendor: &Upstream, revoke: &str) -> String {
    let at = vendor.issuer();
    format!(
        "{PLAIN}connections:\n  crm:\n    preset: oauth2\n    name: Acme CRM\n    authorize_url: {at}/authorize\n    \
         token_url: {at}/token\n    identity_url: {at}/me\n    {revoke}client_id: us\n    client_secret: our-secret\n    \
         use: {{ tickets: {{ \"tickets:read\": [contacts] }} }}\n"
    )
}

impl House {
    pub(super) async fn start(on: On) -> Option<Self> {
        let vendor = Upstream::start().await;
        let sections = sections(&vendor, &format!("revoke_url: {}/revoke\n    ", vendor.issuer()));
        vendor.answers("/revoke", ResponseTemplate::new(200));
        Some(Self { server: Server::start_with(on, &sections).await?, vendor })
    }

    /// Ada, signed in with this browser.
    pub(super) async fn ada(&self, browser: &Browser) -> UserId {
        user(&self.server, browser, "ada").await
    }

    /// The tokens that the vendor was asked to end, in their order.
    pub(super) async fn revoked(&self) -> Vec<String> {
        let asked = self.vendor.requests("/revoke").await;
        let token = |body: &[u8]| {
            let mut form = url::form_urlencoded::parse(body);
            form.find(|(name, _)| name == "token").map(|(_, token)| token.into_owned()).unwrap()
        };
        asked.iter().map(|request| token(&request.body)).collect()
    }

    pub(super) async fn turn(&self) {
        revoke::turn(&self.server.app).await.unwrap();
    }

    /// Ends one with nobody at the page.
    pub(super) async fn disconnected(&self) -> Connection {
        let browser = Browser::new();
        let ada = self.ada(&browser).await;
        let one = connected(&self.server, &ada, "a-1", State::Active).await;
        let page = account(&self.server, &browser, "ada").await;
        assert_eq!(browser.submit(&page.form(END)).await.status, 200);
        one
    }
}

pub(super) async fn user(server: &Server, browser: &Browser, name: &str) -> UserId {
    account(server, browser, name).await;
    let entropy = Entropy::System;
    let operator = Operator::new(&server.app.config, &server.app.db, (&server.clock, &entropy));
    operator.find(None, &format!("{name}@example.test")).await.unwrap()
}

/// An account of hers at the vendor, in this state; the first is the default.
pub(super) async fn connected(server: &Server, user: &UserId, account: &str, state: State) -> Connection {
    let app = &server.app;
    let is_default = connections::of_user_named(&app.db, user, &named("crm")).await.unwrap().is_empty();
    let (access, refresh) = (format!("at-{account}"), format!("rt-{account}"));
    let id = keep_for(app, user, "crm", (&access, Some(&refresh)), |new| {
        (new.is_default, new.state) = (is_default, state);
        (new.account, new.account_name) = (account.to_owned(), Some(format!("ada at {account}")));
        new.scope = ScopeSet::parse("contacts deals").unwrap();
        new.details.0 = [].into();
        new.expires_at = Some(server.clock.now().plus(Duration::from_secs(3600)));
    })
    .await;
    connections::find(&app.db, &id).await.unwrap().unwrap()
}

pub(super) fn named(name: &str) -> ConnectionName {
    ConnectionName::try_from(name.to_owned()).unwrap()
}
