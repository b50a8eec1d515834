//! The forms that single values have.
#![expect(clippy::needless_pass_by_value, reason = "each takes the text over, as TryFrom<String> does")]

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;
use url::Url;

use super::problem::Wrong;
use crate::oauth::issuer::is_loopback;

/// One line of text for people or for an upstream.
pub(super) fn text(value: String) -> Result<String, Wrong> {
    const MAX_CHARS: usize = 512;
    if value.chars().count() > MAX_CHARS || value.chars().any(char::is_control) {
        return Err("must be one line of at most 512 characters".into());
    }
    Ok(value)
}

/// One of a few words.
pub(super) fn one_of<T: Copy>(words: &[(&str, T)]) -> impl Fn(String) -> Result<T, Wrong> {
    move |written| {
        let found = words.iter().find(|(word, _)| *word == written).map(|(_, value)| *value);
        let there: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        found.ok_or_else(|| Wrong::unknown("unknown value", &written, &there))
    }
}

/// One of the names that the file declares elsewhere.
pub(super) fn name_of<T: TryFrom<String>>(
    names: &[impl AsRef<str>],
    unknown: &'static str,
) -> impl Fn(String) -> Result<T, Wrong> {
    move |written| {
        let there: Vec<_> = names.iter().map(AsRef::as_ref).collect();
        let wrong = || Wrong::unknown(unknown, &written, &there);
        if !there.contains(&written.as_str()) {
            return Err(wrong());
        }
        T::try_from(written.clone()).map_err(|_| wrong())
    }
}

const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86400)];

/// A whole number and a unit, at least `min` and at most `max`.
pub(super) fn duration(min: Duration, max: Duration) -> impl Fn(String) -> Result<Duration, Wrong> {
    move |written| {
        let seconds = UNITS.iter().find_map(|(unit, seconds)| {
            let number = written.strip_suffix(unit)?;
            let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| number.parse::<u64>().ok()?.checked_mul(*seconds))
        });
        let seconds = seconds.ok_or("must be a time such as 60s, 10m, 8h or 30d")?;
        let time = seconds.map(Duration::from_secs).filter(|time| (min..=max).contains(time));
        time.ok_or_else(|| format!("must be between {} and {}", spoken(min), spoken(max)).into())
    }
}

/// A time in the largest unit that holds it exactly: `90s`, `10m`.
pub(super) fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    let (unit, size) = UNITS
        .iter()
        .rev()
        .find(|(_, size)| seconds >= *size && seconds.is_multiple_of(*size))
        .unwrap_or(&("s", 1));
    format!("{}{unit}", seconds / size)
}

/// A mail domain in the form in which addresses are compared: lower case, ASCII.
pub(super) fn mail_domain(written: String) -> Result<String, Wrong> {
    match url::Host::parse(&written) {
        Ok(url::Host::Domain(domain)) if domain.contains('.') && !domain.contains('*') => Ok(domain),
        _ => Err("must be the part of an address behind the @, such as acme.com".into()),
    }
}

/// An address and a port to listen on.
pub(super) fn socket(written: String) -> Result<SocketAddr, Wrong> {
    written.parse().map_err(|_| "must be an IP address and a port, such as 0.0.0.0:9000 or [::1]:9000".into())
}

/// A network, or a single address.
pub(super) fn network(written: String) -> Result<IpNet, Wrong> {
    let network = written.parse().or_else(|_| written.parse::<IpAddr>().map(IpNet::from));
    match network {
        Ok(network) if network.prefix_len() == 0 => {
            Err("covers every address there is; name the proxies, or anybody can pretend to be anybody"
                .into())
        }
        Ok(network) => Ok(network),
        Err(_) => Err("must be a network or an address, such as 10.0.0.0/8 or 192.0.2.7".into()),
    }
}

/// A URL that we ask, or that tokens are for. `loopback`: our own issuer is this machine.
pub(super) fn gate(url: &Url, loopback: bool) -> Result<(), Wrong> {
    if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
        return Err("must be an https:// URL".into());
    }
    if !loopback && url.scheme() != "https" {
        return Err(
            "must begin with https://; plain http is for development, while server.issuer is loopback".into(),
        );
    }
    if !loopback && is_loopback(url) {
        return Err(
            "must not point to this machine; that is for development, while server.issuer is loopback".into(),
        );
    }
    Ok(())
}

/// A URL that we ask.
pub(super) fn upstream_url(written: &str, loopback: bool) -> Result<Url, Wrong> {
    let url = Url::parse(written).map_err(|_| Wrong::from("must be an https:// URL"))?;
    gate(&url, loopback)?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("must have no user name, password or fragment".into());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0s", 0)]
    #[case("90s", 90)]
    #[case("10m", 600)]
    #[case("8h", 28_800)]
    #[case("1d", 86_400)]
    fn times(#[case] written: &str, #[case] seconds: u64) {
        let parse = duration(Duration::ZERO, Duration::MAX);
        let time = parse(written.into()).unwrap();
        assert_eq!((time.as_secs(), spoken(time).as_str()), (seconds, written));
    }

    #[rstest]
    #[case("10", "must be a time such as 60s, 10m, 8h or 30d")]
    #[case("m", "must be a time such as 60s, 10m, 8h or 30d")]
    #[case("-1m", "must be a time such as 60s, 10m, 8h or 30d")]
    #[case("+1m", "must be a time such as 60s, 10m, 8h or 30d")]
    #[case("1.5h", "must be a time such as 60s, 10m, 8h or 30d")]
    #[case("500ms", "must be a time such as 60s, 10m, 8h or 30d")]
    #[case("11m", "must be between 1s and 10m")]
    #[case("0s", "must be between 1s and 10m")]
    #[case("99999999999999999999d", "must be between 1s and 10m")]
    #[case("999999999999999999d", "must be between 1s and 10m")]
    fn not_times(#[case] written: &str, #[case] message: &str) {
        let parse = duration(Duration::from_secs(1), Duration::from_secs(600));
        assert_eq!(parse(written.into()).unwrap_err().message, message);
    }

    #[rstest]
    #[case("Acme.COM", Some("acme.com"))]
    #[case("bücher.example", Some("xn--bcher-kva.example"))]
    #[case("@acme.com", None)]
    #[case("*.acme.com", None)]
    #[case("acme", None)]
    #[case("127.0.0.1", None)]
    #[case("a b.com", None)]
    fn mail_domains(#[case] written: &str, #[case] domain: Option<&str>) {
        assert_eq!(mail_domain(written.into()).ok().as_deref(), domain);
    }

    #[rstest]
    #[case("https://idp.acme.com/x", false, true)]
    #[case("http://idp.acme.com/x", false, false)]
    #[case("https://localhost/x", false, false)]
    #[case("https://127.0.0.9/x", false, false)]
    #[case("http://127.0.0.1:9/x", true, true)]
    #[case("https://u@idp.acme.com/", true, false)]
    #[case("https://idp.acme.com/#x", true, false)]
    #[case("file:///etc/passwd", true, false)]
    #[case("idp.acme.com", true, false)]
    fn upstreams(#[case] written: &str, #[case] loopback: bool, #[case] accepted: bool) {
        assert_eq!(upstream_url(written, loopback).is_ok(), accepted);
    }

    #[rstest]
    #[case("10.0.0.0/8", "10.0.0.0/8")]
    #[case("192.0.2.7", "192.0.2.7/32")]
    #[case("::1", "::1/128")]
    fn networks(#[case] written: &str, #[case] network_text: &str) {
        assert_eq!(network(written.into()).unwrap().to_string(), network_text);
    }
}
