//! The person's browser: keeps cookies, follows redirects, presses buttons, and stops where the client listens.

use std::collections::BTreeMap;

use reqwest::{
    Method, Request, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use tower_sessions::cookie::Cookie;
use url::{Origin, Url};

use super::{
    Deviation, WalkError,
    page::{Page, Submission},
    wire::{Answer, Wire},
};

/// More redirects than any honest sign-in has.
const MAX_REDIRECTS: usize = 20;

/// A browser that the client's `redirect_uri` belongs to.
#[derive(Debug)]
pub(super) struct Browser {
    /// By host and name: a browser's cookies do not know ports.
    cookies: BTreeMap<(String, String), String>,
    redirect_uri: Url,
}

/// The page from which a navigation began.
struct Initiator {
    origin: Origin,
    hidden: bool,
}

/// Where a navigation ended.
#[derive(Debug)]
pub(super) enum Arrival {
    Page(Page),
    /// At the client's `redirect_uri`.
    Client(Url),
}

impl Arrival {
    pub(super) fn page(self) -> Result<Page, Deviation> {
        match self {
            Self::Page(page) => Ok(page),
            Self::Client(url) => Err(Deviation::new("a page", &format!("a redirect to the client: {url}"))),
        }
    }

    pub(super) fn client(self) -> Result<Url, Deviation> {
        match self {
            Self::Client(url) => Ok(url),
            Self::Page(page) => {
                Err(Deviation::new("a redirect to the client", &format!("the page “{}”", page.title)))
            }
        }
    }
}

impl Browser {
    pub(super) fn new(redirect_uri: Url) -> Self {
        Self { cookies: BTreeMap::new(), redirect_uri }
    }

    /// Opens an address, as an application does that starts the browser.
    pub(super) async fn open(&mut self, wire: &mut Wire<'_>, url: Url) -> Result<Arrival, WalkError> {
        self.navigate(wire, Submission { url, body: None }, None).await
    }

    /// Presses the button that shows `label`.
    pub(super) async fn press(
        &mut self,
        wire: &mut Wire<'_>,
        page: &Page,
        label: &str,
    ) -> Result<Arrival, WalkError> {
        let submission = page.press(label).ok_or_else(|| {
            Deviation::new(&format!("a button “{label}”"), &format!("the page “{}” without one", page.title))
        })?;
        wire.note(&format!("The person presses “{label}”."))?;
        let initiator = Initiator { origin: page.url.origin(), hidden: page.hides_origin };
        self.navigate(wire, submission, Some(initiator)).await
    }

    async fn navigate(
        &mut self,
        wire: &mut Wire<'_>,
        submission: Submission,
        initiator: Option<Initiator>,
    ) -> Result<Arrival, WalkError> {
        let Submission { mut url, mut body } = submission;
        let mut site = Relation::None;
        for _ in 0..MAX_REDIRECTS {
            if let Some(initiator) = &initiator {
                site = site.max(Relation::between(&initiator.origin, &url));
            }
            let request = self.request(&url, body.take(), initiator.as_ref(), site);
            let answer = wire.send(request).await?;
            self.keep_cookies(&answer);
            let Some(next) = redirect(&answer)?.or_else(|| refresh(&answer)) else {
                let answer = answer.expect(StatusCode::OK)?;
                let mut page = Page::parse(url, &answer.body);
                page.hides_origin = answer.header(&header::REFERRER_POLICY) == Some("no-referrer");
                return Ok(Arrival::Page(page));
            };
            if self.is_the_clients(&next) {
                return Ok(Arrival::Client(next));
            }
            url = next;
        }
        Err(Deviation::new("a page", "redirects without an end").into())
    }

    fn request(
        &self,
        url: &Url,
        body: Option<String>,
        initiator: Option<&Initiator>,
        site: Relation,
    ) -> Request {
        let mut request = Request::new(if body.is_some() { Method::POST } else { Method::GET }, url.clone());
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::try_from(value) {
                request.headers_mut().insert(name, value);
            }
        };
        set(header::ACCEPT, "text/html");
        set(HeaderName::from_static("sec-fetch-mode"), "navigate");
        set(HeaderName::from_static("sec-fetch-dest"), "document");
        set(HeaderName::from_static("sec-fetch-site"), site.as_str());
        let host = url.host_str().unwrap_or_default();
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .filter(|((of, _), _)| of == host)
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            set(header::COOKIE, &cookies.join("; "));
        }
        if let Some(body) = body {
            match initiator {
                Some(Initiator { origin, hidden: false }) => {
                    set(header::ORIGIN, &origin.ascii_serialization());
                }
                _ => set(header::ORIGIN, "null"),
            }
            set(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            *request.body_mut() = Some(body.into());
        }
        request
    }

    fn keep_cookies(&mut self, answer: &Answer) {
        let host = answer.url.host_str().unwrap_or_default();
        for value in answer.headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok())
        {
            let Ok(cookie) = Cookie::parse(value) else { continue };
            let key = (host.to_owned(), cookie.name().to_owned());
            if cookie.max_age().is_some_and(|age| !age.is_positive()) {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, cookie.value().to_owned());
            }
        }
    }

    fn is_the_clients(&self, url: &Url) -> bool {
        url.origin() == self.redirect_uri.origin() && url.path() == self.redirect_uri.path()
    }
}

/// The next address. A 307 or 308 would repeat a form, credentials and all, somewhere else (OAuth 2.1 §7.5.3).
fn redirect(answer: &Answer) -> Result<Option<Url>, Deviation> {
    if !answer.status.is_redirection() {
        return Ok(None);
    }
    if !matches!(answer.status, StatusCode::SEE_OTHER | StatusCode::FOUND) {
        return Err(Deviation::new("a redirect by 303 or 302", answer.status.as_str()));
    }
    let location = answer.header(&header::LOCATION).unwrap_or_default();
    answer.url.join(location).map(Some).map_err(|_| Deviation::new("a Location", location))
}

/// Where a page leads on to by itself, at once.
fn refresh(answer: &Answer) -> Option<Url> {
    let target = answer.header(&header::REFRESH)?.strip_prefix("0; url=")?;
    answer.url.join(target).ok()
}

/// `Sec-Fetch-Site` of a navigation: the farthest that its redirects have led from where it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Relation {
    None,
    SameOrigin,
    SameSite,
    CrossSite,
}

impl Relation {
    /// Sites are told apart by scheme and host here, which is exact for addresses and `localhost`.
    fn between(initiator: &Origin, url: &Url) -> Self {
        match (initiator, url.origin()) {
            (from, to) if *from == to => Self::SameOrigin,
            (Origin::Tuple(from_scheme, from_host, _), Origin::Tuple(scheme, host, _))
                if *from_scheme == scheme && *from_host == host =>
            {
                Self::SameSite
            }
            _ => Self::CrossSite,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SameOrigin => "same-origin",
            Self::SameSite => "same-site",
            Self::CrossSite => "cross-site",
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        Router,
        http::HeaderMap,
        response::{Html, IntoResponse, Redirect, Response},
        routing::{get, post},
    };

    use super::*;

    /// A site that signs a browser in by two redirects and tells, on its page, what it was sent.
    async fn site() -> String {
        const FORM: Html<&str> =
            Html("<title>Form</title><form method=post action=/sent><button>Send</button></form>");
        let (listener, origin) = crate::dev::bind_loopback(0).await.unwrap();
        let hidden = ([(header::REFERRER_POLICY, "no-referrer")], FORM);
        let router = Router::new()
            .route("/start", get(async || cookie("a=1; Path=/", "/next")))
            .route("/next", get(async || cookie("b=2; Path=/", "/form")))
            .route("/form", get(async || ([(header::SET_COOKIE, "a=; Max-Age=0")], FORM)))
            .route("/hidden", get(async || hidden))
            .route("/sent", post(told))
            .route("/onward", get(async || ([(header::REFRESH, "0; url=/form")], Html("On to the form"))))
            .route("/loop", get(async || Redirect::to("/loop")))
            .route("/repeat", get(async || Redirect::temporary("/form")))
            .route("/client", get(async || Redirect::to("http://127.0.0.1:1/callback?code=x")));
        tokio::spawn(async { axum::serve(listener, router).await });
        origin
    }

    fn cookie(cookie: &'static str, to: &str) -> Response {
        ([(header::SET_COOKIE, cookie)], Redirect::to(to)).into_response()
    }

    async fn told(headers: HeaderMap) -> Html<String> {
        let value = |name: &str| headers.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned();
        Html(format!("<title>{} {} {}</title>", value("cookie"), value("origin"), value("sec-fetch-site")))
    }

    async fn open(path: &str) -> (String, Result<Arrival, WalkError>) {
        let site = site().await;
        let mut out = Vec::new();
        let mut wire = Wire::new(&mut out).unwrap();
        let mut browser = Browser::new(Url::parse("http://127.0.0.1:1/callback").unwrap());
        let url = Url::parse(&format!("{site}{path}")).unwrap();
        let mut arrival = browser.open(&mut wire, url).await;
        if let Ok(Arrival::Page(page)) = &arrival {
            arrival = browser.press(&mut wire, page, "Send").await;
        }
        (site, arrival)
    }

    #[tokio::test]
    async fn it_keeps_and_drops_cookies_and_names_the_origin_of_a_form() {
        let (site, arrival) = open("/start").await;
        assert_eq!(arrival.unwrap().page().unwrap().title, format!("b=2 {site} same-origin"));
        let (_, arrival) = open("/hidden").await;
        assert_eq!(arrival.unwrap().page().unwrap().title, "- null same-origin");
    }

    #[tokio::test]
    async fn it_goes_where_a_page_leads() {
        let (site, arrival) = open("/onward").await;
        assert_eq!(arrival.unwrap().page().unwrap().title, format!("- {site} same-origin"));
    }

    #[tokio::test]
    async fn it_stops_at_the_client() {
        let (_, arrival) = open("/client").await;
        assert_eq!(arrival.unwrap().client().unwrap().as_str(), "http://127.0.0.1:1/callback?code=x");
    }

    #[tokio::test]
    async fn loops_and_repeating_redirects_are_deviations() {
        for path in ["/loop", "/repeat", "/nowhere"] {
            let (_, arrival) = open(path).await;
            assert!(matches!(arrival, Err(WalkError::Deviation(_))), "{path}");
        }
    }
}
