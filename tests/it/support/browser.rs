//! A browser: cookies, redirects followed by hand, forms filled in as they stand in the page.

use std::{collections::BTreeMap, sync::Mutex};

use reqwest::{Method, header};
use scraper::{Html, Selector};
use url::Url;

use super::http;

/// A browser with a cookie jar for each host and port.
#[derive(Default)]
pub(crate) struct Browser {
    cookies: Mutex<BTreeMap<(String, String), String>>,
}

/// Where a browser stands: the answer to its last request.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) status: u16,
    pub(crate) headers: header::HeaderMap,
    pub(crate) body: String,
}

/// A form of a page.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) action: Url,
    pub(crate) method: Method,
    pub(crate) fields: Vec<(String, String)>,
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// One request, no redirect followed.
    pub(crate) async fn send(&self, method: Method, url: &Url, form: Option<&[(String, String)]>) -> Page {
        let origin = url.origin().ascii_serialization();
        let mut request = http().request(method.clone(), url.clone());
        let cookies: Vec<String> = {
            let jar = self.cookies.lock().unwrap();
            jar.iter()
                .filter(|((at, _), _)| *at == origin)
                .map(|((_, name), value)| format!("{name}={value}"))
                .collect()
        };
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        request =
            request.header("sec-fetch-site", if method == Method::POST { "same-origin" } else { "none" });
        if let Some(form) = form {
            request = request.form(form);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        for cookie in headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, rest) = cookie.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            let key = (origin.clone(), name.to_owned());
            let mut jar = self.cookies.lock().unwrap();
            if rest.to_ascii_lowercase().contains("max-age=0") {
                jar.remove(&key);
            } else {
                jar.insert(key, value.to_owned());
            }
        }
        Page { url: url.clone(), status, headers, body: answer.text().await.unwrap() }
    }

    /// Opens an address and follows redirects until a page, or until one leads to `stop`.
    pub(crate) async fn open_until(&self, url: &str, stop: &str) -> Page {
        let page = self.send(Method::GET, &Url::parse(url).unwrap(), None).await;
        self.follow(page, stop).await
    }

    /// Opens an address and follows redirects until a page.
    pub(crate) async fn open(&self, url: &str) -> Page {
        self.open_until(url, "nowhere:").await
    }

    /// Submits a form and follows redirects until a page, or until one leads to `stop`; that page's `url` is the
    /// address that the browser would have gone to.
    pub(crate) async fn submit_until(&self, form: &Form, stop: &str) -> Page {
        let page = if form.method == Method::POST {
            self.send(Method::POST, &form.action, Some(&form.fields)).await
        } else {
            let mut url = form.action.clone();
            url.query_pairs_mut().clear().extend_pairs(&form.fields);
            self.send(Method::GET, &url, None).await
        };
        self.follow(page, stop).await
    }

    /// Submits a form and follows redirects until a page.
    pub(crate) async fn submit(&self, form: &Form) -> Page {
        self.submit_until(form, "nowhere:").await
    }

    async fn follow(&self, mut page: Page, stop: &str) -> Page {
        for _ in 0..10 {
            let Some(location) = page.location() else { return page };
            if location.as_str().starts_with(stop) {
                page.url = location;
                return page;
            }
            page = self.send(Method::GET, &location, None).await;
        }
        panic!("redirected without end, last to {}", page.url);
    }

    /// The cookies that a server gave this browser.
    pub(crate) fn cookies(&self) -> BTreeMap<(String, String), String> {
        self.cookies.lock().unwrap().clone()
    }

    /// The `Cookie` header that this browser sends to the server at `base`.
    pub(crate) fn cookie(&self, base: &str) -> String {
        let ours = Url::parse(base).unwrap().origin().ascii_serialization();
        let jar = self.cookies();
        let held: Vec<String> = jar
            .iter()
            .filter(|((at, _), _)| *at == ours)
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        held.join("; ")
    }

    /// A browser that holds the same cookies.
    pub(crate) fn copy(&self) -> Self {
        Self { cookies: Mutex::new(self.cookies()) }
    }
}

impl Page {
    /// Where a redirect leads.
    pub(crate) fn location(&self) -> Option<Url> {
        (300..400).contains(&self.status).then(|| {
            let location =
                self.headers.get(header::LOCATION).expect("a redirect says where to").to_str().unwrap();
            self.url.join(location).unwrap()
        })
    }

    /// The form whose action's path begins so.
    pub(crate) fn form(&self, action: &str) -> Form {
        self.find_form(action)
            .unwrap_or_else(|| panic!("no form for {action} at {}: {}", self.url, self.text()))
    }

    /// The same, if there is one.
    pub(crate) fn find_form(&self, action: &str) -> Option<Form> {
        self.forms(action).into_iter().next()
    }

    /// All forms whose action's path begins so. Fields are as the page has them: ticked boxes, hidden values; no
    /// button.
    pub(crate) fn forms(&self, action: &str) -> Vec<Form> {
        let html = Html::parse_document(&self.body);
        let inputs = Selector::parse("input").unwrap();
        let mut found = Vec::new();
        for form in html.select(&Selector::parse("form").unwrap()) {
            let target = self.url.join(form.attr("action").unwrap_or_default()).unwrap();
            if !target.path().starts_with(action) {
                continue;
            }
            let method = match form.attr("method") {
                Some(method) if method.eq_ignore_ascii_case("post") => Method::POST,
                _ => Method::GET,
            };
            let fields = form
                .select(&inputs)
                .filter(|input| input.attr("type") != Some("checkbox") || input.attr("checked").is_some())
                .filter_map(|input| {
                    Some((input.attr("name")?.to_owned(), input.attr("value").unwrap_or_default().to_owned()))
                })
                .collect();
            found.push(Form { action: target, method, fields });
        }
        found
    }

    /// What a person reads, in one line.
    pub(crate) fn text(&self) -> String {
        let html = Html::parse_document(&self.body);
        let body = Selector::parse("body").unwrap();
        let words: Vec<&str> = html.select(&body).flat_map(|body| body.text()).collect();
        words.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// A parameter of the address.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl Form {
    /// Sets a field, in place of whatever values it had.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(key, _)| key != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Unticks a box.
    pub(crate) fn untick(mut self, name: &str, value: &str) -> Self {
        let before = self.fields.len();
        self.fields.retain(|(key, held)| !(key == name && held == value));
        assert!(self.fields.len() < before, "{name}={value} was not ticked");
        self
    }

    /// The values of a field.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }
}
