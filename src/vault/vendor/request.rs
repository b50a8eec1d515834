//! A request to a vendor: its body, its headers, and how we prove ourselves in it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use oauth2::{
    HttpRequest, HttpResponse,
    http::{HeaderName, HeaderValue, Request, header},
};
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use super::{Vendors, failure::VendorError, reached::Reached};
use crate::{
    config::{
        connection::behaviour::{Body, Inject, Method},
        provider::{AssertionAudience, UpstreamClientAuth},
    },
    jose::client_assertion,
    secret::Secret,
};

/// What is sent to a vendor.
pub(super) struct Call<'a> {
    method: Method,
    url: &'a Url,
    proof: Option<(&'a str, String)>,
    pub(super) params: Vec<(String, String)>,
    body: Option<Body>,
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, url: &'a Url, body: Option<Body>) -> Self {
        Self { method, url, proof: None, params: Vec::new(), body }
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.params.push((name.to_owned(), value.into()));
        self
    }

    /// Says what the token shall be for, where the vendor is known by that (RFC 8707 §2).
    pub(super) fn for_resource(self, reached: &Reached) -> Self {
        match &reached.resource {
            Some(resource) => self.with("resource", resource),
            None => self,
        }
    }

    /// As the preset says that the vendor's API takes tokens.
    pub(super) fn bearer(mut self, token: &Secret, inject: &'a Inject) -> Self {
        self.proof = Some((&inject.header, inject.format.replace("{token}", token.expose())));
        self
    }

    /// By id and secret in the header, each form-encoded (RFC 6749 §2.3.1).
    pub(super) fn basic(mut self, client_id: &str, secret: &Secret) -> Self {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encoded(client_id), encoded(secret.expose()));
        self.proof = Some(("authorization", format!("Basic {}", STANDARD.encode(pair))));
        self
    }

    fn request(self, reached: &Reached) -> Result<HttpRequest, VendorError> {
        let unsendable = || VendorError::malformed("cannot be asked: the request is none");
        let (kind, body) = match self.body {
            None => (None, Vec::new()),
            Some(Body::Form) => {
                let form =
                    form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.params).finish();
                (Some("application/x-www-form-urlencoded"), form.into_bytes())
            }
            Some(Body::Json) => {
                let members = self.params.into_iter().map(|(name, value)| (name, Value::String(value)));
                let object = Value::Object(members.collect::<Map<_, _>>());
                (Some("application/json"), object.to_string().into_bytes())
            }
        };
        let method = match self.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        };
        let request = Request::builder().method(method).uri(self.url.as_str()).body(body);
        let mut request = request.map_err(|_| unsendable())?;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(kind) = kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        for (name, value) in &reached.behaviour.headers {
            let name: HeaderName = name.parse().map_err(|_| unsendable())?;
            headers.insert(name, HeaderValue::from_str(value).map_err(|_| unsendable())?);
        }
        if let Some((name, value)) = self.proof {
            let name: HeaderName = name.parse().map_err(|_| unsendable())?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| unsendable())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(request)
    }
}

impl Vendors {
    /// Sends it as it is.
    pub(super) async fn send(&self, call: Call<'_>, reached: &Reached) -> Result<HttpResponse, VendorError> {
        let client = self.lines.of(reached.known.as_deref()).to(call.url);
        Ok(client.execute(call.request(reached)?).await?)
    }

    /// Sends it with what proves us (RFC 6749 §2.3, RFC 7523 §2.2).
    pub(super) async fn send_as_client(
        &self,
        call: Call<'_>,
        reached: &Reached,
    ) -> Result<HttpResponse, VendorError> {
        let id = reached.client_id.as_str();
        let call = match &reached.client_auth {
            UpstreamClientAuth::None => call.with("client_id", id),
            UpstreamClientAuth::Post(secret) => {
                call.with("client_id", id).with("client_secret", secret.expose())
            }
            UpstreamClientAuth::Basic(secret) => call.basic(id, secret),
            UpstreamClientAuth::PrivateKeyJwt { key, kid, alg, audience } => {
                let audience = match (audience, &reached.issuer) {
                    (AssertionAudience::Issuer, Some(issuer)) => issuer.as_str(),
                    _ => reached.url("token_url")?.as_str(),
                };
                let key = (key, kid.as_deref(), *alg);
                let assertion = client_assertion::sign(id, audience, key, &self.clock, &self.entropy)
                    .map_err(|unusable| VendorError::malformed(format!("cannot be asked: {unusable}")))?;
                call.with("client_id", id)
                    .with("client_assertion_type", client_assertion::ASSERTION_TYPE)
                    .with("client_assertion", assertion)
            }
        };
        self.send(call, reached).await
    }
}
