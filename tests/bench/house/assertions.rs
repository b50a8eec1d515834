//! Programs at a server under load: one that acts for people by an identity provider's assertions (ID-JAG), and one for
//! itself.

use chancery::{
    clock::Clock,
    entropy::Entropy,
    jose::{Signer, signer::SigningAlgorithm},
};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use super::RESOURCE;

/// Of both programs.
pub(crate) const SECRET: &str = "a-benchmarks-own-secret-0123456789";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

pub(crate) type Form = Vec<(&'static str, String)>;

/// An issuer of assertions: its metadata and its key.
pub(crate) struct AssertionIssuer {
    server: MockServer,
    pub(crate) signer: Signer,
}

/// The further keys of the provider that trusts this issuer, and the section `clients`.
pub(crate) fn agents(issuer: &AssertionIssuer) -> (String, String) {
    let trust = format!(
        ", id_jag: {{ issuers: [{{ issuer: \"{}\" }}], allow: {{ bench: {{ clients: [agent], scopes: [\"bench:read\"] }} }} }}",
        issuer.server.uri()
    );
    let clients = format!(
        "clients:\n  agent: {{ name: Agent, secret: {SECRET}, grant_types: [\"{JWT_BEARER}\"] }}\n  \
         job: {{ name: Job, secret: {SECRET}, grant_types: [client_credentials], resources: {{ bench: [\"bench:read\"] }} }}\n"
    );
    (trust, clients)
}

impl AssertionIssuer {
    pub(crate) async fn start() -> Self {
        let pkcs8 = SigningAlgorithm::Es256.generate().unwrap();
        let signer = Signer::from_pkcs8(SigningAlgorithm::Es256, &pkcs8).unwrap();
        let server = MockServer::start().await;
        let answers = [
            (
                "/.well-known/openid-configuration",
                json!({ "issuer": server.uri(), "jwks_uri": format!("{}/keys", server.uri()) }),
            ),
            ("/keys", keys_of(&signer)),
        ];
        for (at, body) in answers {
            Mock::given(path(at))
                .respond_with(ResponseTemplate::new(200).set_body_json(body))
                .mount(&server)
                .await;
        }
        Self { server, signer }
    }

    /// A request with an assertion about this person that nobody has seen yet.
    pub(crate) fn form(&self, audience: &str, person: usize) -> Form {
        let now = Clock::System.now().as_secs();
        let claims = json!({
            "iss": self.server.uri(), "sub": format!("person-{person}"), "aud": audience, "client_id": "agent",
            "jti": Entropy::System.token(), "iat": now, "exp": now + 300, "resource": RESOURCE, "scope": "bench:read",
        });
        let assertion = self.signer.sign("oauth-id-jag+jwt", &claims).unwrap();
        let mut form = program("agent", JWT_BEARER);
        form.push(("assertion", assertion));
        form
    }
}

pub(crate) fn keys_of(signer: &Signer) -> Value {
    json!({ "keys": [signer.public_jwk()] })
}

/// A request of the program that works for itself.
pub(crate) fn client_credentials() -> Form {
    let mut form = program("job", "client_credentials");
    form.extend([("resource", RESOURCE.to_owned()), ("scope", "bench:read".to_owned())]);
    form
}

fn program(id: &str, grant_type: &str) -> Form {
    [("grant_type", grant_type), ("client_id", id), ("client_secret", SECRET)]
        .map(|(name, value)| (name, value.to_owned()))
        .into()
}
