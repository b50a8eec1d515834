//! HTTP as the walk speaks it: every request and answer is printed, with secrets cut to their first characters.

use std::{fmt::Debug, io::Write};

use reqwest::{
    Method, Request, StatusCode,
    header::{self, HeaderMap, HeaderName},
};
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::{Deviation, WalkError, page::Page};

/// How much of a token, code or key is printed.
const SHOWN_CHARS: usize = 12;
/// What is as long as 256 bits in base64url may be a secret.
const SECRET_BYTES: usize = 43;
/// How much of any other value is printed.
const MAX_VALUE_CHARS: usize = 110;
/// The headers that tell something in an answer.
const TELLING: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::WWW_AUTHENTICATE,
    header::LOCATION,
    header::SET_COOKIE,
    header::CACHE_CONTROL,
];

pub(super) struct Wire<'o> {
    http: reqwest::Client,
    out: &'o mut (dyn Write + Send),
    /// The step that is being walked: its number and title.
    pub(super) step: (usize, &'static str),
}

/// An answer, with its body read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl<'o> Wire<'o> {
    pub(super) fn new(out: &'o mut (dyn Write + Send)) -> Result<Self, reqwest::Error> {
        let http = crate::net::bounded().no_proxy().build()?;
        Ok(Self { http, out, step: (0, "") })
    }

    /// Begins the next step.
    pub(super) fn step(&mut self, title: &'static str) -> Result<(), WalkError> {
        self.step = (self.step.0 + 1, title);
        Ok(writeln!(self.out, "\n{}. {title}", self.step.0)?)
    }

    /// Sends and prints; redirects come back as answers.
    pub(super) async fn send(&mut self, request: Request) -> Result<Answer, WalkError> {
        self.print_request(&request)?;
        let url = request.url().clone();
        let response = self.http.execute(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let answer = Answer { url, status, headers, body: response.text().await? };
        self.print_answer(&answer)?;
        Ok(answer)
    }

    /// A line between the exchanges.
    pub(super) fn note(&mut self, text: &str) -> Result<(), WalkError> {
        Ok(writeln!(self.out, "   {text}")?)
    }

    /// What a document says that somebody just got.
    pub(super) fn document(&mut self, title: &str, document: &Value) -> Result<(), WalkError> {
        self.note(title)?;
        self.print_json(&document.to_string())
    }

    fn print_request(&mut self, request: &Request) -> Result<(), WalkError> {
        let mut bare = request.url().clone();
        bare.set_query(None);
        writeln!(self.out, "   → {} {bare}", request.method())?;
        self.print_pairs(request.url().query().unwrap_or_default())?;
        for name in [header::AUTHORIZATION, HeaderName::from_static("mcp-protocol-version")] {
            if let Some(value) = request.headers().get(&name).and_then(|value| value.to_str().ok()) {
                // What follows the scheme is a secret, whatever it looks like.
                let value = match value.split_once(' ') {
                    Some((scheme, secret)) => format!("{scheme} {}", cut(secret, SHOWN_CHARS)),
                    None => value.to_owned(),
                };
                writeln!(self.out, "     {name}: {value}")?;
            }
        }
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        match std::str::from_utf8(body) {
            Ok(text) if text.starts_with('{') => self.print_json(text),
            Ok(text) => self.print_pairs(text),
            Err(_) => Ok(()),
        }
    }

    fn print_answer(&mut self, answer: &Answer) -> Result<(), WalkError> {
        writeln!(self.out, "   ← {}", answer.status)?;
        for name in TELLING {
            for value in answer.headers.get_all(&name).iter().filter_map(|value| value.to_str().ok()) {
                let value = match name {
                    header::LOCATION => shorten_query(value),
                    header::SET_COOKIE => shorten_cookie(value),
                    _ => value.to_owned(),
                };
                writeln!(self.out, "     {name}: {value}")?;
            }
        }
        if answer.is("text/html") {
            let page = Page::parse(answer.url.clone(), &answer.body);
            let buttons: Vec<_> = page.forms.iter().flat_map(|form| &form.buttons).collect();
            write!(self.out, "       the page “{}”", page.title)?;
            for button in buttons {
                write!(self.out, " [{}]", button.label.split_whitespace().collect::<Vec<_>>().join(" "))?;
            }
            Ok(writeln!(self.out)?)
        } else {
            self.print_json(&answer.body)
        }
    }

    fn print_pairs(&mut self, encoded: &str) -> Result<(), WalkError> {
        for (name, value) in form_urlencoded::parse(encoded.as_bytes()) {
            writeln!(self.out, "       {name} = {}", shorten(&value))?;
        }
        Ok(())
    }

    fn print_json(&mut self, text: &str) -> Result<(), WalkError> {
        match serde_json::from_str(text) {
            Ok(Value::Object(members)) => {
                for (name, value) in members {
                    let value = match value {
                        Value::String(text) => shorten(&text),
                        other => cut(&other.to_string(), MAX_VALUE_CHARS),
                    };
                    writeln!(self.out, "       {name}: {value}")?;
                }
                Ok(())
            }
            _ if text.is_empty() => Ok(()),
            _ => Ok(writeln!(self.out, "       {}", cut(text.trim(), MAX_VALUE_CHARS))?),
        }
    }
}

impl Answer {
    pub(super) fn is(&self, media_type: &str) -> bool {
        self.header(&header::CONTENT_TYPE).is_some_and(|value| value.starts_with(media_type))
    }

    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The answer itself, if its status is the expected one.
    pub(super) fn expect(self, status: StatusCode) -> Result<Self, Deviation> {
        let got = format!("{} with the body {}", self.status, cut(&self.body, 400));
        Deviation::unless(self.status == status, || format!("the status {status}"), || got)?;
        Ok(self)
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, Deviation> {
        serde_json::from_str(&self.body)
            .map_err(|_| Deviation::new("a JSON body", &cut(&self.body, MAX_VALUE_CHARS)))
    }
}

/// A request without a body.
pub(super) fn get(url: Url) -> Request {
    Request::new(Method::GET, url)
}

/// A secret is one long run of letters, and the beginning is enough to tell two apart; everything else stays readable.
/// Shorter runs, such as ids, are no secrets here.
fn shorten(value: &str) -> String {
    let opaque = value.len() >= SECRET_BYTES && !value.contains([' ', '/', ':']);
    let public = value.starts_with("chy_client_");
    cut(value, if opaque && !public { SHOWN_CHARS } else { MAX_VALUE_CHARS })
}

fn shorten_query(url: &str) -> String {
    let Some((address, query)) = url.split_once('?') else { return url.to_owned() };
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| format!("{name}={}", shorten(&value)))
        .collect();
    format!("{address}?{}", pairs.join("&"))
}

fn shorten_cookie(cookie: &str) -> String {
    let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    format!("{name}={};{attributes}", cut(value, SHOWN_CHARS))
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_cut_and_the_rest_is_not() {
        let secret = "x".repeat(43);
        assert_eq!(shorten(&secret), "xxxxxxxxxxxx…");
        assert_eq!(
            shorten_query(&format!("http://h/cb?code={secret}&iss=http://h")),
            "http://h/cb?code=xxxxxxxxxxxx…&iss=http://h"
        );
        assert_eq!(shorten_cookie(&format!("sid={secret}; Path=/")), "sid=xxxxxxxxxxxx…; Path=/");
        for whole in [
            "01a1fcb7-9c78-7a7e-880d-6d42bd61a650",
            "http://127.0.0.1:49152/a/rather/long/path/of/a/callback",
        ] {
            assert_eq!(shorten(whole), whole);
        }
    }
}
