//! Connecting an account: who may, how she gets there and back, and what is kept of it.

mod accounts;
mod back;
mod entered;
mod links;
mod sites;
mod way;

use chancery::{
    ids::{ClientId, UserId},
    oauth::scope::ScopeSet,
    store::connections::{self, Connection},
    vault::connect::link::{Purpose, issue_link},
};
use serde_json::{Value, json};
use url::Url;
use wiremock::ResponseTemplate;

use crate::support::{
    Browser, On, PLAIN, Server, Upstream,
    browser::{Form, Page},
    client::account,
    upstream::{Away, json_of},
};

pub(super) const ACCESS: &str = "upstream-access-token-0001";
pub(super) const REFRESH: &str = "upstream-refresh-token-0001";

/// A vendor, and a server on which people may connect their accounts there.
pub(super) struct Story {
    pub(super) vendor: Upstream,
    pub(super) server: Server,
}

/// The usual configuration with a connection of this name at this vendor.
pub(super) fn sections(vendor: &Upstream, keys: &str) -> String {
    format!("{PLAIN}connections:\n{}", entry("github", "GitHub", vendor, keys))
}

pub(super) fn entry(name: &str, title: &str, vendor: &Upstream, keys: &str) -> String {
    let at = vendor.issuer();
    format!(
        "  {name}:\n    preset: oauth2\n    name: {title}\n    authorize_url: \"{at}/authorize\"\n    \
         token_url: \"{at}/token\"\n    identity_url: \"{at}/me\"\n    organizations_url: \"{at}/orgs\"\n    \
         revoke_url: \"{at}/revoke\"\n    client_id: us\n    client_secret: vendor-client-secret-0001\n    \
         scopes: [read]\n    use: {{ tickets: {{ \"tickets:write\": [repo] }} }}\n    \
         vendor: {{ identity: {{ id: [id], label: login, email: email, email_verified: always }} }}\n{keys}"
    )
}

impl Story {
    pub(super) async fn begin(on: On, keys: &str) -> Option<Self> {
        let vendor = Upstream::start().await;
        let server = Server::start_with(on, &sections(&vendor, keys)).await?;
        let story = Self { vendor, server };
        story.gives(&json!({}));
        story.is(&json!({ "id": 583_231, "login": "octocat", "email": "octocat@acme.example" }));
        story.vendor.answers("/revoke", ResponseTemplate::new(200));
        Some(story)
    }

    /// Codes become these tokens.
    pub(super) fn gives(&self, changes: &Value) {
        let mut answer = json!({
            "access_token": ACCESS, "token_type": "bearer", "expires_in": 3600, "refresh_token": REFRESH,
        });
        answer.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.vendor.answers("/token", json_of(&answer));
    }

    /// Whose account it is.
    pub(super) fn is(&self, account: &Value) {
        self.vendor.answers("/me", json_of(account));
    }

    /// The page on which somebody who is signed in is asked.
    pub(super) async fn page(&self, browser: &Browser, user: &str) -> Page {
        account(&self.server, browser, user).await;
        browser.open(&self.server.url("/connect/github")).await
    }

    /// Presses the button of a page and arrives at the vendor.
    pub(super) async fn press(&self, browser: &Browser, page: &Page) -> Away {
        away(&browser.submit(&ask(page)).await)
    }

    /// The whole way, from the page to wherever it ends.
    pub(super) async fn connect(&self, browser: &Browser, user: &str) -> Page {
        let page = self.page(browser, user).await;
        let away = self.press(browser, &page).await;
        browser.open(&away.back(&[("code", "c-1")])).await
    }

    /// The connections that there are.
    pub(super) async fn connections(&self, browser: &Browser) -> Vec<Connection> {
        connections::of_user(&self.server.app.db, &self.user(browser).await).await.unwrap()
    }

    /// Who is signed in: the latest who did.
    pub(super) async fn user(&self, _: &Browser) -> UserId {
        let users = self.server.on_record("sign_in", "user_id").await;
        UserId::parse(users.last().unwrap()).unwrap()
    }

    /// What is kept under the seal: the access token and the refresh token.
    pub(super) async fn opened(&self, connection: &Connection) -> (String, Option<String>) {
        let kept = self.server.app.vault.safe.open(connection, self.server.clock.now()).await.unwrap();
        (kept.access.expose().to_owned(), kept.refresh.map(|refresh| refresh.expose().to_owned()))
    }

    /// A link for this user.
    pub(super) async fn link(&self, user: &UserId, return_to: Option<&str>) -> String {
        let app = &self.server.app;
        let (resource, github) =
            ("tickets".to_owned().try_into().unwrap(), "github".to_owned().try_into().unwrap());
        let client: ClientId = "backend".to_owned().try_into().unwrap();
        let return_to = return_to.map(|url| Url::parse(url).unwrap());
        let purpose = Purpose {
            user,
            connection: &github,
            scope: &ScopeSet::parse("repo").unwrap(),
            client: &client,
            resource: Some(&resource),
            return_to: return_to.as_ref(),
        };
        let mut tx = app.db.begin().await.unwrap();
        let url = issue_link(app, &mut tx, purpose).await.unwrap().url;
        tx.commit().await.unwrap();
        url
    }
}

/// The form that begins.
pub(super) fn ask(page: &Page) -> Form {
    assert_eq!(page.status, 200, "{}", page.text());
    page.form("/connect/")
}

/// Where the page sends the browser.
pub(super) fn away(page: &Page) -> Away {
    assert_eq!(page.status, 200, "{}", page.text());
    let refresh = page.headers["refresh"].to_str().unwrap();
    let target = refresh.strip_prefix("0; url=").unwrap();
    assert!(
        page.body.contains(&target.replace('&', "&#38;")),
        "the page has the link as well: {}",
        page.body
    );
    Away(Url::parse(target).unwrap())
}

/// Keeps tokens of an account as the way back does, without the way.
pub(super) async fn kept_directly(
    app: &chancery::app::App,
    configured: &chancery::config::connection::Connection,
    user: &UserId,
    account: &str,
) -> bool {
    use chancery::{
        secret::Secret,
        vault::{
            keep::{Arrived, Keeping, NotKept, Prepared},
            safe::Kept,
            vendor::Account,
        },
    };
    let arrived = Arrived {
        account: Account {
            id: account.to_owned(),
            label: account.to_owned(),
            tenant: None,
            email: None,
            organizations: Vec::new(),
        },
        tokens: Kept { access: Secret::new(format!("token-{account}")), refresh: None },
        scope: ScopeSet::default(),
        names_scope: true,
        details: std::collections::BTreeMap::default(),
        expires_at: None,
        refresh_expires_at: None,
    };
    loop {
        let keeping = Keeping { user, configured, renews: None, label: None };
        let prepared = match Prepared::of(app, keeping, &arrived).await {
            Ok(prepared) => prepared,
            Err(NotKept::AnotherAccount) => return false,
            Err(error) => panic!("{error}"),
        };
        let mut tx = app.db.begin().await.unwrap();
        if prepared.write(app, &mut tx).await.unwrap().is_some() {
            tx.commit().await.unwrap();
            return true;
        }
    }
}
