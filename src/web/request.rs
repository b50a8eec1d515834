//! What every request carries: its reference number, where it came from, and the parameters in it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    body::Bytes,
    extract::{ConnectInfo, FromRequest, FromRequestParts, Request, State},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::Response,
};
use tracing::Instrument as _;

use super::error::{ApiError, PageError};
use crate::{
    app::App,
    audit,
    ids::Reference,
    oauth::{
        error::{ErrorCode, OAuthError},
        params::Params,
    },
};

/// Who sent a request, for the log, the record and the limits.
#[derive(Debug, Clone)]
pub struct Origin {
    /// What limits count by: the address of the browser or program behind the operator's proxies; of an IPv6 address
    /// its network, see [`source`].
    pub source: IpAddr,
    /// The whole address for the record, with the number that pages show and the log holds.
    pub recorded: audit::Origin,
    /// The `User-Agent`, shortened.
    pub user_agent: String,
}

/// Gives each request its [`Origin`] and a log span that shows it.
pub async fn identify(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(address)| address.ip().to_canonical());
    let ip = client_address(peer, request.headers(), &app.config.server.trusted_proxies);
    let origin = Origin {
        source: source(ip),
        recorded: audit::Origin { reference: Reference::new(&app.entropy), ip: Some(ip) },
        user_agent: text_header(request.headers(), header::USER_AGENT).chars().take(200).collect(),
    };
    let span = tracing::info_span!(
        "request",
        reference = %origin.recorded.reference,
        %ip,
        method = %request.method(),
        path = request.uri().path(),
    );
    request.extensions_mut().insert(origin);
    next.run(request).instrument(span).await
}

/// An IPv4 address, or the first 64 bits of an IPv6 address: whoever has one address of such a network has all of them
/// (RFC 6177), and could pass for as many strangers as he likes.
fn source(ip: IpAddr) -> IpAddr {
    const NETWORK: u128 = u128::MAX << 64;
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & NETWORK).into()),
    }
}

fn text_header(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The rightmost address in `X-Forwarded-For` that is not a trusted proxy's own, if the peer is one: everything left
/// of it can be forged.
fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &[ipnet::IpNet]) -> IpAddr {
    let trusted = |address: &IpAddr| proxies.iter().any(|net| net.contains(address));
    if !trusted(&peer) {
        return peer;
    }
    let mut client = peer;
    let hops = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    for hop in hops.flat_map(|value| value.split(',')).collect::<Vec<_>>().into_iter().rev() {
        let Some(address) = address(hop.trim()) else { break };
        client = address.to_canonical();
        if !trusted(&client) {
            break;
        }
    }
    client
}

/// An address as proxies write it: alone, in brackets, or with the port that it came from.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    bare.parse().ok().or_else(|| hop.parse().map(|hop: SocketAddr| hop.ip()).ok())
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get::<Self>().cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Parameters of a request that a program posts (`application/x-www-form-urlencoded`, RFC 6749 §4.1.3).
#[derive(Debug)]
pub struct ApiForm(pub Params);

impl<S: Send + Sync> FromRequest<S> for ApiForm {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Params::parse(&form_body(request, state).await?)?))
    }
}

/// Parameters of a request that a browser makes, by query or by form.
#[derive(Debug)]
pub struct PageForm(pub Params);

impl<S: Send + Sync> FromRequest<S> for PageForm {
    type Rejection = PageError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let params = if request.method() == Method::POST {
            form_body(request, state).await.and_then(|body| Params::parse(&body))
        } else {
            Params::parse(request.uri().query().unwrap_or_default().as_bytes())
        };
        params.map(Self).map_err(|error| {
            PageError::bad_application(format!("Its request is malformed: {}.", error.description))
        })
    }
}

/// A form of one of our own pages: posted from our own origin. The page's token is checked by the handler, which knows
/// the browser (`BrowserSession::check_csrf`).
#[derive(Debug)]
pub struct OwnForm(pub Params);

impl FromRequest<Arc<App>> for OwnForm {
    type Rejection = PageError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        if !is_same_origin(request.headers(), app.config.server.issuer.origin()) {
            return Err(PageError::forged().with_reason("posted from another origin"));
        }
        let form = form_body(request, app).await.and_then(|body| Params::parse_repeating(&body, &["scope"]));
        form.map(Self).map_err(|error| PageError::forged().with_reason(error.description))
    }
}

/// Whether the browser says that a page of ours posted this: by Fetch Metadata, else by `Origin`. Every browser of
/// today sends one of the two with a form.
fn is_same_origin(headers: &HeaderMap, ours: &str) -> bool {
    match text_header(headers, header::HeaderName::from_static("sec-fetch-site")) {
        "" => text_header(headers, header::ORIGIN) == ours,
        site => site == "same-origin",
    }
}

async fn form_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, OAuthError> {
    let content_type = text_header(request.headers(), header::CONTENT_TYPE);
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(OAuthError::new(
            ErrorCode::InvalidRequest,
            "the body must be of the type application/x-www-form-urlencoded",
        ));
    }
    Bytes::from_request(request, state)
        .await
        .map_err(|_| OAuthError::new(ErrorCode::InvalidRequest, "the body is too large or did not arrive"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("192.0.2.9", "192.0.2.9")]
    #[case("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::")]
    #[case("2001:db8:1:2:ffff::", "2001:db8:1:2::")]
    fn a_network_of_version_6_counts_as_one_stranger(#[case] ip: &str, #[case] counted: &str) {
        assert_eq!(source(ip.parse().unwrap()), counted.parse::<IpAddr>().unwrap());
    }

    #[rstest]
    #[case("192.0.2.9", "198.51.100.1", "192.0.2.9")]
    #[case("10.0.0.1", "198.51.100.1", "198.51.100.1")]
    #[case("10.0.0.1", "203.0.113.7, 198.51.100.1", "198.51.100.1")]
    #[case("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1")]
    #[case("10.0.0.1", "garbage", "10.0.0.1")]
    #[case("10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1")]
    #[case("10.0.0.1", "203.0.113.7:1, 198.51.100.1:1234", "198.51.100.1")]
    #[case("10.0.0.1", "198.51.100.1:1234, 10.0.0.2:80", "198.51.100.1")]
    #[case("10.0.0.1", "2001:db8::1", "2001:db8::1")]
    #[case("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1")]
    #[case("10.0.0.1", "[2001:db8::1]", "2001:db8::1")]
    #[case("10.0.0.1", "[::ffff:198.51.100.1]:443", "198.51.100.1")]
    #[case("10.0.0.1", "198.51.100.1:", "10.0.0.1")]
    #[case("10.0.0.1", "198.51.100.1:99999", "10.0.0.1")]
    #[case("10.0.0.1", "198.51.100.1:80:80", "10.0.0.1")]
    #[case("10.0.0.1", "unknown", "10.0.0.1")]
    fn only_proxies_are_believed(#[case] peer: &str, #[case] forwarded: &str, #[case] expected: &str) {
        let headers = HeaderMap::from_iter([(
            header::HeaderName::from_static("x-forwarded-for"),
            forwarded.parse().unwrap(),
        )]);
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        assert_eq!(
            client_address(peer.parse().unwrap(), &headers, &proxies),
            expected.parse::<IpAddr>().unwrap()
        );
    }
}
