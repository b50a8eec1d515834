//! An agent whose enterprise's identity provider approves it, and the assertions (ID-JAG) that it presents: each part
//! can be changed to what an attacker would send.

use chancery::entropy::Entropy;
use serde_json::{Value, json};

use super::{On, PLAIN, Server, Setup, Tokens, Upstream, client::post};

/// The grant (RFC 7523 §2.1).
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The assertion's `typ`.
pub(crate) const ID_JAG: &str = "oauth-id-jag+jwt";
pub(crate) const TICKETS: &str = "https://mcp.acme.example/tickets";
pub(crate) const WIKI: &str = "https://mcp.acme.example/wiki";
pub(crate) const SECRET: &str = "an-agent-s-own-secret-0123456789";
/// What the provider's assertions give, unless a story says otherwise.
const ALLOW: &str = r#"allow: {
        tickets: { clients: [agent, other], scopes: ["tickets:read", "tickets:write"] },
        wiki: { clients: [agent], scopes: ["wiki:read"] } }"#;

/// A server that takes the assertions of a provider, and that provider.
pub(crate) struct Agent {
    pub(crate) server: Server,
    pub(crate) upstream: Upstream,
}

impl Agent {
    /// The usual one. `None` where the engine is left out on purpose.
    pub(crate) async fn start(on: On) -> Option<Self> {
        Self::start_with(on, "").await
    }

    /// With further keys of `id_jag`.
    pub(crate) async fn start_with(on: On, keys: &str) -> Option<Self> {
        let upstream = Upstream::start().await;
        let server = Setup::on(on).sections(&sections(&upstream, keys)).start().await?;
        Some(Self { server, upstream })
    }

    /// The claims of a good assertion about Ada.
    pub(crate) fn claims(&self) -> Value {
        let now = self.server.clock.now().as_secs();
        json!({
            "iss": self.upstream.issuer(), "sub": "ada-1", "aud": self.server.issuer, "client_id": "agent",
            "jti": Entropy::System.token(), "iat": now, "exp": now + 300,
            "resource": TICKETS, "scope": "tickets:read tickets:write",
            "auth_time": now - 600, "acr": "phr", "amr": ["hwk"],
            "email": "ada@acme.example", "email_verified": true, "name": "Ada Lovelace",
        })
    }

    /// The same, one claim changed; `null` leaves it out.
    pub(crate) fn claims_with(&self, claim: &str, value: Value) -> Value {
        let mut claims = self.claims();
        let members = claims.as_object_mut().unwrap();
        if value.is_null() {
            members.remove(claim)
        } else {
            members.insert(claim.to_owned(), value)
        };
        claims
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.upstream.signer.sign(ID_JAG, claims).unwrap()
    }

    /// Presents an assertion; a parameter that is empty is left out.
    pub(crate) async fn present(&self, assertion: &str, parameters: &[(&'static str, &str)]) -> Tokens {
        present_at(&self.server, assertion, parameters).await
    }

    /// Presents one of these claims.
    pub(crate) async fn trade(&self, claims: &Value) -> Tokens {
        self.present(&self.sign(claims), &[]).await
    }
}

/// Presents an assertion to an instance.
pub(crate) async fn present_at(
    server: &Server,
    assertion: &str,
    parameters: &[(&'static str, &str)],
) -> Tokens {
    post(server, &form(assertion, parameters)).await
}

/// The parameters with which an assertion is presented.
pub(crate) fn form(assertion: &str, parameters: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let mut form = vec![
        ("grant_type", JWT_BEARER),
        ("client_id", "agent"),
        ("client_secret", SECRET),
        ("assertion", assertion),
    ];
    for (name, value) in parameters {
        form.retain(|(known, _)| known != name || *name == "resource");
        form.push((name, value));
    }
    form.retain(|(_, value)| !value.is_empty());
    form.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

/// The usual configuration with the provider `acme`, and clients that may present assertions.
pub(crate) fn sections(upstream: &Upstream, keys: &str) -> String {
    let allow = if keys.contains("allow:") { "" } else { ALLOW };
    let comma = if keys.is_empty() || allow.is_empty() { "" } else { ", " };
    let entry = upstream.entry(
        "acme",
        &format!(
            "client_auth: none, organization: acme, claims: {{ groups: groups }}, sign_in: {{ anyone: true }},\n    \
             id_jag: {{ {allow}{comma}{keys} }}"
        ),
    );
    let clients = format!(
        "clients:\n  agent: {{ name: Build agent, secret: {SECRET}, grant_types: [\"{JWT_BEARER}\"] }}\n  \
         other: {{ name: Other agent, secret: {SECRET}, grant_types: [\"{JWT_BEARER}\"] }}\n  \
         open: {{ name: Open agent, grant_types: [\"{JWT_BEARER}\"] }}\n"
    );
    let rest = &PLAIN[PLAIN.find("resources:").unwrap()..];
    format!("providers:\n{entry}{}", rest.replace("clients:\n", &clients))
}
