//! The client for addresses that strangers supply: metadata documents of clients, and later their keys and logos.
//!
//! Server-side request forgery is closed in two places. A URL with a literal address is judged before anything is
//! sent (the URL parser has already turned every decimal, octal, hexadecimal and short notation into an address). A
//! name is looked up once, by the resolver that the connection itself uses, so that the address that was judged is the
//! address that is contacted and a second, different DNS answer has no chance to matter.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use oauth2::HttpResponse;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::{sync::Semaphore, time::timeout};
use url::{Host, Url};

use super::{NetError, bounded, exchange, is_special_use, json_request, only_ok};
use crate::oauth::issuer::{Issuer, is_loopback};

/// Requests under way at once. Strangers choose when and whom we call: this bounds what we can be made to do to others.
const MAX_UNDER_WAY: usize = 32;
/// How long a fetch waits for its turn; with the deadline of the fetch itself it stays below what clients wait.
const PATIENCE: Duration = Duration::from_secs(1);

/// Fetches from strangers' addresses: `https` only, the public internet only, no redirects, no proxy, no connection
/// kept. While our own issuer is loopback, `http` and `https` addresses of this machine are allowed as well.
#[derive(Debug, Clone)]
pub struct Guarded {
    client: reqwest::Client,
    permits: Arc<Semaphore>,
    loopback: bool,
}

impl Guarded {
    /// A client for the server that calls itself `issuer`. Fails when the machine has no root certificates.
    pub fn new(issuer: &Issuer) -> Result<Self, reqwest::Error> {
        let loopback = issuer.is_loopback();
        let client = bounded()
            .no_proxy()
            .http1_only()
            .pool_max_idle_per_host(0)
            .dns_resolver(PublicOnly { loopback })
            .build()?;
        Ok(Self { client, permits: Arc::new(Semaphore::new(MAX_UNDER_WAY)), loopback })
    }

    /// GETs a document of at most `max_bytes`; only the status 200 counts.
    pub async fn get(&self, url: &Url, max_bytes: usize) -> Result<HttpResponse, NetError> {
        judge(url, self.loopback)?;
        let turn = timeout(PATIENCE, self.permits.acquire()).await;
        let Ok(Ok(_permit)) = turn else { return Err(NetError::Busy) };
        exchange(&self.client, json_request(url), max_bytes).await.and_then(only_ok)
    }
}

pub(super) fn judge(url: &Url, loopback: bool) -> Result<(), NetError> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(NetError::Address("it carries a user name or password"));
    }
    if loopback && is_loopback(url) && matches!(url.scheme(), "http" | "https") {
        return Ok(());
    }
    if url.scheme() != "https" {
        return Err(NetError::Address("it must begin with https://"));
    }
    match url.host() {
        Some(Host::Ipv4(address)) if is_special_use(address.into()) => Err(NetError::NotPublic),
        Some(Host::Ipv6(address)) if is_special_use(address.into()) => Err(NetError::NotPublic),
        Some(_) => Ok(()),
        None => Err(NetError::Address("it names no host")),
    }
}

/// The name resolves to an address that strangers may not send us to.
#[derive(Debug, thiserror::Error)]
#[error("{name} resolves to {address}, which is not on the public internet")]
pub(super) struct NotPublic {
    name: String,
    address: SocketAddr,
}

/// Resolves names to addresses on the public internet alone.
pub(super) struct PublicOnly {
    pub(super) loopback: bool,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let loopback = self.loopback;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            let addresses = only_public(name.as_str(), found, loopback)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// One special-use address among the answers condemns them all: a public name has no reason to mix, a rebinding attack
/// has.
fn only_public(name: &str, found: Vec<SocketAddr>, loopback: bool) -> Result<Vec<SocketAddr>, NotPublic> {
    let allowed = |address: &SocketAddr| {
        if loopback && name == "localhost" {
            address.ip().is_loopback()
        } else {
            !is_special_use(address.ip())
        }
    };
    match found.iter().find(|address| !allowed(address)) {
        Some(&address) => Err(NotPublic { name: name.to_owned(), address }),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[rstest]
    #[case("https://127.0.0.1/")]
    #[case("https://127.1/")]
    #[case("https://2130706433/")]
    #[case("https://0x7f000001/")]
    #[case("https://0x7f.1/")]
    #[case("https://0177.0.0.1/")]
    #[case("https://017700000001/")]
    #[case("https://127.0.0.1./")]
    #[case("https://%31%32%37.0.0.1/")]
    #[case("https://127。0。0。1/")]
    #[case("https://①②⑦.0.0.1/")]
    #[case("https://0/")]
    #[case("https://169.254.169.254/latest/meta-data/")]
    #[case("https://2852039166/")]
    #[case("https://0xa9fea9fe/")]
    #[case("https://10.0.0.1:8443/")]
    #[case("https://[::1]/")]
    #[case("https://[0:0:0:0:0:0:0:1]/")]
    #[case("https://[::]/")]
    #[case("https://[::ffff:127.0.0.1]/")]
    #[case("https://[::ffff:7f00:1]/")]
    #[case("https://[::127.0.0.1]/")]
    #[case("https://[64:ff9b::a9fe:a9fe]/")]
    #[case("https://[2002:7f00:1::]/")]
    #[case("https://[fe80::1]/")]
    #[case("https://[fd00:ec2::254]/")]
    fn literal_addresses_are_judged_in_every_notation(#[case] text: &str) {
        assert!(matches!(judge(&url(text), false), Err(NetError::NotPublic)), "{text}");
    }

    #[rstest]
    #[case("http://client.example/", false)]
    #[case("http://127.0.0.1/", false)]
    #[case("http://10.0.0.1/", true)]
    #[case("http://localhost.evil.example/", true)]
    #[case("https://user@client.example/", false)]
    #[case("http://user@localhost/", true)]
    #[case("ftp://localhost/", true)]
    #[case("file:///etc/passwd", true)]
    fn other_schemes_and_user_names_are_refused(#[case] text: &str, #[case] loopback: bool) {
        assert!(matches!(judge(&url(text), loopback), Err(NetError::Address(_))), "{text}");
    }

    #[rstest]
    #[case("https://client.example:8443/", false)]
    #[case("https://93.184.215.14/", false)]
    #[case("https://[2606:4700::1111]/", false)]
    #[case("http://127.0.0.1:9100/", true)]
    #[case("http://localhost:9100/", true)]
    #[case("https://[::1]:9100/", true)]
    fn public_addresses_pass_and_loopback_ones_in_development(#[case] text: &str, #[case] loopback: bool) {
        assert!(judge(&url(text), loopback).is_ok(), "{text}");
    }

    fn answers(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect()
    }

    #[rstest]
    #[case("client.example", &["93.184.215.14", "2606:4700::1111"], false, true)]
    #[case("client.example", &["10.0.0.1"], false, false)]
    #[case("client.example", &["93.184.215.14", "127.0.0.1"], false, false)]
    #[case("client.example", &["::ffff:10.0.0.1"], false, false)]
    #[case("localhost", &["127.0.0.1"], false, false)]
    #[case("localhost", &["127.0.0.1", "::1"], true, true)]
    #[case("localhost", &["127.0.0.1", "93.184.215.14"], true, false)]
    #[case("client.example", &["127.0.0.1"], true, false)]
    #[case("localhost.", &["127.0.0.1"], true, false)]
    fn one_bad_answer_condemns_all(
        #[case] name: &str,
        #[case] found: &[&str],
        #[case] loopback: bool,
        #[case] passes: bool,
    ) {
        assert_eq!(only_public(name, answers(found), loopback).is_ok(), passes);
    }
}
