//! What an operator wants to know of a provider before people sign in through it: is it there, is it who it says it is,
//! does it publish usable keys, does it accept us.

use std::fmt;

use super::{
    discovery::{self, Metadata},
    exchange::{self, ExchangeError, Redemption},
    signed_out,
};
use crate::{
    clock::Clock,
    config::provider::{IdTokenAlg, Logout, Provider, UpstreamClientAuth, Userinfo},
    entropy::Entropy,
    jose::{Jwks, key_set::LookupError},
    net::Upstream,
    oauth::issuer::Issuer,
};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it stands.
    pub verdict: Verdict,
    /// What was found, as a line for a terminal.
    pub text: String,
}

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Perhaps not as the operator thinks.
    Doubtful,
    /// Nobody will be able to sign in.
    Wrong,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "ok",
            Self::Doubtful => "look",
            Self::Wrong => "wrong",
        })
    }
}

fn good(text: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Good, text: text.into() }
}

fn doubtful(text: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Doubtful, text: text.into() }
}

fn wrong(text: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Wrong, text: text.into() }
}

/// Asks the provider for its discovery document and its keys, and offers it a code that it never issued, by whose
/// refusal it shows whether it knows us.
pub async fn inspect(
    provider: &Provider,
    issuer: &Issuer,
    upstream: &Upstream,
    (clock, entropy): (&Clock, &Entropy),
) -> Vec<Finding> {
    let metadata = match discovery::fetch(provider, upstream).await {
        Ok(metadata) => metadata,
        Err(error) => return vec![wrong(format!("it {error}"))],
    };
    let mut findings = vec![
        good(format!("{} answers, and its issuer is as configured", provider.discovery_url)),
        good(format!("people are sent to {}", metadata.authorization_endpoint)),
    ];
    findings.extend(promises(provider, &metadata));
    findings.extend(way_out(provider, &metadata, issuer));
    let jwks = Jwks::new(upstream.clone(), metadata.jwks_uri.clone(), clock.clone());
    findings.push(keys(&provider.id_token_algs, &jwks).await);
    findings.push(acceptance(provider, &metadata, issuer, upstream, (clock, entropy)).await);
    findings
}

/// What the document says that does not fit what is configured. Documents are often incomplete, so none of it is
/// certain to fail.
fn promises(provider: &Provider, metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    let accepts = |alg: &IdTokenAlg| metadata.id_token_algs.iter().any(|name| name == alg_name(*alg));
    if !provider.id_token_algs.iter().any(accepts) {
        let theirs = metadata.id_token_algs.join(", ");
        findings.push(doubtful(format!(
            "it says that it signs ID tokens with {theirs}, of which id_token_algs allows none"
        )));
    }
    let method = auth_method(&provider.client_auth);
    if !metadata.auth_methods.is_empty() && !metadata.auth_methods.iter().any(|name| name == method) {
        let theirs = metadata.auth_methods.join(", ");
        findings.push(doubtful(format!(
            "it does not name {method} among the ways to prove who we are: {theirs}"
        )));
    }
    if provider.pkce && metadata.s256 == Some(false) {
        findings.push(doubtful("it says that it does not know PKCE S256, which pkce sends"));
    }
    if provider.userinfo != Userinfo::Never && metadata.userinfo_endpoint.is_none() {
        findings.push(doubtful("it has no userinfo endpoint, so every claim must be in the ID token"));
    }
    findings
}

/// Where people go who sign out, where that is not here.
fn way_out(provider: &Provider, metadata: &Metadata, issuer: &Issuer) -> Option<Finding> {
    (provider.logout == Logout::Provider).then(|| match &metadata.end_session_endpoint {
        Some(endpoint) => good(format!(
            "people who sign out are sent to {endpoint}, and must be let back to {}",
            signed_out::return_uri(issuer, &provider.id)
        )),
        None => doubtful(
            "it has no end_session_endpoint that may be used, so people who sign out stay signed in there, \
             whatever sign_in.logout says",
        ),
    })
}

async fn keys(accepted: &[IdTokenAlg], jwks: &Jwks) -> Finding {
    let published = match jwks.look().await {
        Ok(published) => published,
        Err(error) => return wrong(format!("it {error} ({})", jwks.url())),
    };
    let fits = |alg: &&IdTokenAlg| published.find(None, alg.algorithm()).err() != Some(LookupError::Unknown);
    let names: Vec<_> = accepted.iter().filter(fits).map(|alg| alg_name(*alg)).collect();
    if names.is_empty() {
        return wrong(format!(
            "none of the keys at {} fits an algorithm that id_token_algs allows",
            jwks.url()
        ));
    }
    good(format!("{} has keys for {}", jwks.url(), names.join(", ")))
}

async fn acceptance(
    provider: &Provider,
    metadata: &Metadata,
    issuer: &Issuer,
    upstream: &Upstream,
    chance: (&Clock, &Entropy),
) -> Finding {
    let Ok(redirect_uri) = super::login::redirect_uri(issuer, &provider.id) else {
        return wrong("our own redirect URI is no URL");
    };
    let redemption = Redemption { code: "chancery-check", verifier: None, redirect_uri };
    match exchange::redeem(provider, metadata, redemption, upstream, chance).await {
        Err(ExchangeError::Code(_)) => {
            good(format!("{} accepts us as {}", metadata.token_endpoint, provider.client_id))
        }
        Err(error @ (ExchangeError::Client(_) | ExchangeError::Key(_))) => wrong(format!("it {error}")),
        Err(error) => {
            doubtful(format!("whether it accepts us is not certain: asked with a made-up code, it {error}"))
        }
        Ok(_) => wrong("it gave tokens for a code that nobody issued"),
    }
}

/// Its name in a JWT header (RFC 7518 §3.1, RFC 8037 §3.1).
fn alg_name(alg: IdTokenAlg) -> &'static str {
    IdTokenAlg::NAMES.iter().find(|(_, known)| *known == alg).map_or("", |(name, _)| name)
}

/// Its name in metadata (OIDC Core §9).
const fn auth_method(auth: &UpstreamClientAuth) -> &'static str {
    match auth {
        UpstreamClientAuth::None => "none",
        UpstreamClientAuth::Basic(_) => "client_secret_basic",
        UpstreamClientAuth::Post(_) => "client_secret_post",
        UpstreamClientAuth::PrivateKeyJwt { .. } => "private_key_jwt",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

    use super::*;
    use crate::{
        config::provider::{IssuerRule, fixture::provider},
        jose::{Signer, signer::SigningAlgorithm},
        secret::Secret,
    };

    /// What is found at a provider whose document, keys and token endpoint answer so.
    async fn found(
        change: impl FnOnce(&mut Value, &mut Provider),
        keys: Option<Value>,
        token: (u16, Value),
    ) -> Vec<Finding> {
        let server = MockServer::start().await;
        let at = server.uri();
        let mut provider = provider();
        provider.issuer = IssuerRule::Exact(at.clone());
        provider.discovery_url = format!("{at}/d").parse().unwrap();
        let mut document = json!({
            "issuer": at, "authorization_endpoint": format!("{at}/a"), "token_endpoint": format!("{at}/t"),
            "userinfo_endpoint": format!("{at}/u"), "jwks_uri": format!("{at}/k"),
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["none"],
        });
        change(&mut document, &mut provider);
        let own = SigningAlgorithm::Es256.generate().unwrap();
        let own = Signer::from_pkcs8(SigningAlgorithm::Es256, &own).unwrap().public_jwk();
        let keys = keys.unwrap_or_else(|| json!({ "keys": [own] }));
        for (place, status, answer) in [("/d", 200, document), ("/k", 200, keys), ("/t", token.0, token.1)] {
            let answer = ResponseTemplate::new(status).set_body_json(answer);
            Mock::given(path(place)).respond_with(answer).mount(&server).await;
        }
        let issuer = Issuer::try_from("http://127.0.0.1:9000".to_owned()).unwrap();
        let upstream = Upstream::new(&issuer).unwrap();
        let findings = inspect(&provider, &issuer, &upstream, (&Clock::System, &Entropy::System)).await;
        findings
            .into_iter()
            .map(|finding| Finding { text: finding.text.replace(&at, "IDP"), ..finding })
            .collect()
    }

    fn spent() -> (u16, Value) {
        (400, json!({ "error": "invalid_grant" }))
    }

    #[tokio::test]
    async fn all_is_well() {
        let texts = found(|_, _| (), None, spent()).await;
        assert_eq!(
            texts,
            [
                good("IDP/d answers, and its issuer is as configured"),
                good("people are sent to IDP/a"),
                good("IDP/k has keys for ES256"),
                good("IDP/t accepts us as us"),
            ]
        );
    }

    #[tokio::test]
    async fn the_way_out_is_named_with_the_way_back() {
        let leads_there = |document: &mut Value, provider: &mut Provider| {
            provider.logout = Logout::Provider;
            document["end_session_endpoint"] = json!("https://idp.acme.com/logout");
        };
        let texts = found(leads_there, None, spent()).await;
        let way = "people who sign out are sent to https://idp.acme.com/logout, and must be let back to \
                   http://127.0.0.1:9000/login/acme/signed-out";
        assert!(texts.contains(&good(way)), "{texts:?}");
    }

    #[rstest]
    #[case::another_issuer(|document: &mut Value, _: &mut Provider| document["issuer"] = json!("https://evil.example"), None, spent(), Verdict::Wrong, "calls itself")]
    #[case::slash(|document: &mut Value, _: &mut Provider| document["issuer"] = json!(format!("{}/", document["issuer"].as_str().unwrap())), None, spent(), Verdict::Wrong, "to the last character")]
    #[case::no_endpoint(|document: &mut Value, _: &mut Provider| document["token_endpoint"] = Value::Null, None, spent(), Verdict::Wrong, "has no token_endpoint")]
    #[case::plain_http(|document: &mut Value, _: &mut Provider| document["jwks_uri"] = json!("http://idp.acme.com/k"), None, spent(), Verdict::Wrong, "jwks_uri is http://idp.acme.com/k")]
    #[case::no_keys(|_: &mut Value, _: &mut Provider| (), Some(json!({ "keys": [] })), spent(), Verdict::Wrong, "no signing key that can be used")]
    #[case::other_keys(|_: &mut Value, provider: &mut Provider| provider.id_token_algs = vec![IdTokenAlg::Rs256], None, spent(), Verdict::Wrong, "none of the keys at IDP/k")]
    #[case::wrong_secret(|_: &mut Value, provider: &mut Provider| provider.client_auth = UpstreamClientAuth::Post(Secret::new("x".into())), None, (401, json!({ "error": "invalid_client" })), Verdict::Wrong, "does not accept us as a client")]
    #[case::gullible(|_: &mut Value, _: &mut Provider| (), None, (200, json!({ "access_token": "a", "token_type": "bearer", "id_token": "x" })), Verdict::Wrong, "a code that nobody issued")]
    #[case::silent(|_: &mut Value, _: &mut Provider| (), None, (500, json!({})), Verdict::Doubtful, "not certain")]
    #[case::other_algorithms(|document: &mut Value, _: &mut Provider| document["id_token_signing_alg_values_supported"] = json!(["RS512"]), None, spent(), Verdict::Doubtful, "signs ID tokens with RS512")]
    #[case::other_method(|document: &mut Value, _: &mut Provider| document["token_endpoint_auth_methods_supported"] = json!(["tls_client_auth"]), None, spent(), Verdict::Doubtful, "does not name none")]
    #[case::plain_pkce(|document: &mut Value, _: &mut Provider| document["code_challenge_methods_supported"] = json!(["plain"]), None, spent(), Verdict::Doubtful, "PKCE S256")]
    #[case::no_userinfo(|document: &mut Value, _: &mut Provider| document["userinfo_endpoint"] = Value::Null, None, spent(), Verdict::Doubtful, "no userinfo endpoint")]
    #[case::no_way_out(|_: &mut Value, provider: &mut Provider| provider.logout = Logout::Provider, None, spent(), Verdict::Doubtful, "no end_session_endpoint")]
    #[case::no_usable_way_out(|document: &mut Value, provider: &mut Provider| { provider.logout = Logout::Provider; document["end_session_endpoint"] = json!("javascript:alert(1)") }, None, spent(), Verdict::Doubtful, "no end_session_endpoint")]
    #[case::no_text_for_a_way_out(|document: &mut Value, provider: &mut Provider| { provider.logout = Logout::Provider; document["end_session_endpoint"] = json!([7]) }, None, spent(), Verdict::Doubtful, "no end_session_endpoint")]
    #[tokio::test]
    async fn trouble_is_named(
        #[case] change: fn(&mut Value, &mut Provider),
        #[case] keys: Option<Value>,
        #[case] token: (u16, Value),
        #[case] verdict: Verdict,
        #[case] words: &str,
    ) {
        let findings = found(change, keys, token).await;
        let named = |finding: &&Finding| finding.verdict == verdict && finding.text.contains(words);
        assert!(findings.iter().find(named).is_some(), "{findings:#?}");
    }
}
