//! How long an answer may be kept, by its own headers (RFC 9111 §4.2) and within bounds of ours.

use std::{ops::RangeInclusive, time::Duration};

use oauth2::http::{HeaderMap, HeaderName, header};

/// The lifetime that `Cache-Control: max-age` or else `Expires` asks for, less the `Age` that a cache on the way
/// reports, kept within `bounds`. `no-store`, `no-cache` and silence get the lower bound: nothing is fetched anew for
/// each request.
pub fn lifetime(headers: &HeaderMap, bounds: RangeInclusive<Duration>) -> Duration {
    let (least, most) = bounds.into_inner();
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let seconds = |text: &str| text.trim().trim_matches('"').parse().map(Duration::from_secs).ok();
    let date = |name: HeaderName| text(name).and_then(|text| httpdate::parse_http_date(text).ok());

    let directives: Vec<String> = headers
        .get_all(header::CACHE_CONTROL)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .collect();
    if directives.iter().any(|directive| matches!(&**directive, "no-store" | "no-cache")) {
        return least;
    }
    let max_age =
        directives.iter().find_map(|directive| directive.strip_prefix("max-age=").and_then(seconds));
    let expires = || date(header::EXPIRES)?.duration_since(date(header::DATE)?).ok();
    let age = text(header::AGE).and_then(seconds).unwrap_or_default();
    max_age.or_else(expires).unwrap_or_default().saturating_sub(age).clamp(least, most)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const DATE: (&str, &str) = ("date", "Sat, 21 Nov 2026 10:00:00 GMT");

    #[rstest]
    #[case(&[], 300)]
    #[case(&[("cache-control", "max-age=900")], 900)]
    #[case(&[("cache-control", "public, MAX-AGE=900, must-revalidate")], 900)]
    #[case(&[("cache-control", "public"), ("cache-control", "max-age=900")], 900)]
    #[case(&[("cache-control", "max-age=\"900\"")], 900)]
    #[case(&[("cache-control", "max-age=900"), ("age", "100")], 800)]
    #[case(&[("cache-control", "max-age=900"), ("age", "5000")], 300)]
    #[case(&[("cache-control", "max-age=1")], 300)]
    #[case(&[("cache-control", "max-age=99999999999")], 3600)]
    #[case(&[("cache-control", "max-age=99999999999999999999999")], 300)]
    #[case(&[("cache-control", "max-age=-1")], 300)]
    #[case(&[("cache-control", "no-store, max-age=900")], 300)]
    #[case(&[("cache-control", "s-maxage=900")], 300)]
    #[case(&[("expires", "Sat, 21 Nov 2026 10:20:00 GMT"), DATE], 1200)]
    #[case(&[("expires", "Sat, 21 Nov 2026 09:00:00 GMT"), DATE], 300)]
    #[case(&[("expires", "Sat, 21 Nov 2026 10:20:00 GMT")], 300)]
    #[case(&[("expires", "0"), DATE], 300)]
    #[case(&[("cache-control", "max-age=900"), ("expires", "Sat, 21 Nov 2026 10:20:00 GMT"), DATE], 900)]
    fn lifetimes(#[case] pairs: &[(&'static str, &'static str)], #[case] expected: u64) {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        let bounds = Duration::from_secs(300)..=Duration::from_secs(3600);
        assert_eq!(lifetime(&headers, bounds), Duration::from_secs(expected));
    }
}
