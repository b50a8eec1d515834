//! A person at Keycloak's own forms.

use serde_json::Value;

pub(super) use crate::person::Person;
use crate::{browser::Page, person::CALLBACK};

/// A user of the realm's file.
pub(super) const ADA: (&str, &str) = ("ada", "analytical");
/// Another, who is in no group.
pub(super) const MALLORY: (&str, &str) = ("mallory", "outsider");

impl Person<'_> {
    /// Fills in the form of Keycloak's that the page is.
    pub(super) async fn fill(&self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let form = page.form("/realms/");
        let form = fields.iter().fold(form, |form, (name, value)| {
            assert!(!form.values(name).is_empty(), "no field {name}: {}", page.text());
            form.set(name, value)
        });
        self.browser.submit_until(&form, CALLBACK).await
    }

    /// Signs in at Keycloak's own form.
    pub(super) async fn sign_in(&self, page: &Page, (login, password): (&str, &str)) -> Page {
        self.fill(page, &[("username", login), ("password", password)]).await
    }
}

/// The claims of an access token.
pub(super) fn claims(tokens: &Value) -> Value {
    crate::claims(tokens["access_token"].as_str().unwrap())
}
