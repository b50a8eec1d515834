//! A page as a person sees it: its title and the buttons that can be pressed.
//!
//! Forms are read token by token as the HTML standard writes them, which finds every control in its order; nothing
//! here knows how the broker or the provider build theirs.

use html5gum::{HtmlString, StartTag, Token, Tokenizer};
use url::{Url, form_urlencoded};

/// A page that a browser shows.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) url: Url,
    pub(super) title: String,
    pub(super) forms: Vec<Form>,
    /// Whether the page keeps its address to itself (`Referrer-Policy`); its forms then come from `Origin: null`.
    pub(super) hides_origin: bool,
}

#[derive(Debug, Default)]
pub(super) struct Form {
    action: Option<String>,
    post: bool,
    fields: Vec<(String, String)>,
    pub(super) buttons: Vec<Button>,
}

#[derive(Debug, Default)]
pub(super) struct Button {
    name: Option<String>,
    value: String,
    pub(super) label: String,
}

/// A form as it is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Submission {
    pub(super) url: Url,
    /// The body, when the form is a `POST`; otherwise all is in the URL.
    pub(super) body: Option<String>,
}

/// Where text belongs.
enum Inside {
    Title,
    Button,
    Elsewhere,
}

impl Page {
    pub(super) fn parse(url: Url, html: &str) -> Self {
        let mut page = Self { url, title: String::new(), forms: Vec::new(), hides_origin: false };
        let mut in_form = false;
        let mut inside = Inside::Elsewhere;
        for Ok(token) in Tokenizer::new(html) {
            match token {
                Token::StartTag(tag) if *tag.name == b"title" => inside = Inside::Title,
                Token::StartTag(tag) if *tag.name == b"form" => {
                    page.forms.push(Form::open(&tag));
                    in_form = true;
                }
                Token::StartTag(tag) if in_form => {
                    if let Some(form) = page.forms.last_mut() {
                        form.add(&tag);
                        if *tag.name == b"button" {
                            inside = Inside::Button;
                        }
                    }
                }
                Token::EndTag(tag) if *tag.name == b"form" => in_form = false,
                Token::EndTag(tag) if *tag.name == b"title" || *tag.name == b"button" => {
                    inside = Inside::Elsewhere;
                }
                Token::String(text) => page.read(&inside, &String::from_utf8_lossy(&text)),
                _ => {}
            }
        }
        page
    }

    fn read(&mut self, inside: &Inside, text: &str) {
        match inside {
            Inside::Title => self.title.push_str(text.trim()),
            Inside::Button => {
                if let Some(button) = self.forms.last_mut().and_then(|form| form.buttons.last_mut()) {
                    button.label.push_str(text);
                }
            }
            Inside::Elsewhere => {}
        }
    }

    /// What is sent when the button with this label is pressed. `None`: no button of a form shows it.
    pub(super) fn press(&self, label: &str) -> Option<Submission> {
        let shows = |button: &&Button| button.label.contains(label);
        let (form, button) =
            self.forms.iter().find_map(|form| Some((form, form.buttons.iter().find(shows)?)))?;
        let mut fields = form.fields.clone();
        fields.extend(button.name.clone().map(|name| (name, button.value.clone())));
        let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut url = match &form.action {
            Some(action) => self.url.join(action).ok()?,
            None => self.url.clone(),
        };
        if form.post {
            return Some(Submission { url, body: Some(encoded) });
        }
        url.set_query(Some(&encoded));
        Some(Submission { url, body: None })
    }
}

impl Form {
    fn open(tag: &StartTag<()>) -> Self {
        Self {
            action: attribute(tag, "action").filter(|action| !action.is_empty()),
            post: attribute(tag, "method").is_some_and(|method| method.eq_ignore_ascii_case("post")),
            ..Self::default()
        }
    }

    fn add(&mut self, tag: &StartTag<()>) {
        let (name, value) = (attribute(tag, "name"), attribute(tag, "value"));
        let kind = attribute(tag, "type").unwrap_or_default().to_ascii_lowercase();
        if *tag.name == b"button" && matches!(kind.as_str(), "" | "submit") {
            self.buttons.push(Button { name, value: value.unwrap_or_default(), label: String::new() });
        } else if *tag.name == b"input" {
            let checked = attribute(tag, "checked").is_some();
            match (kind.as_str(), name) {
                ("submit", name) => {
                    let value = value.unwrap_or_default();
                    self.buttons.push(Button { name, label: value.clone(), value });
                }
                ("checkbox" | "radio", Some(name)) if checked => {
                    self.fields.push((name, value.unwrap_or_else(|| "on".to_owned())));
                }
                ("checkbox" | "radio" | "button" | "reset" | "image" | "file", _) | (_, None) => {}
                (_, Some(name)) => self.fields.push((name, value.unwrap_or_default())),
            }
        }
    }
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    let value: &HtmlString = tag.attributes.get(name.as_bytes())?;
    Some(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<!doctype html><title> Two
        forms </title>
        <form action="/search"><input name=q value="a&amp;b"><button>Search</button></form>
        <form method="POST" action="decide?x=1">
          <input type="hidden" name="csrf" value="&quot;t&quot;">
          <input type=checkbox name=scope value=one checked><input type=checkbox name=scope value=two>
          <input type="CHECKBOX" name="all" checked>
          <!-- <input name="comment" value="no"> -->
          <button type="button">Help</button>
          <button name="answer" value="no">Deny</button>
          <button name="answer" value="yes"><b>Allow</b> it</button>
        </form>"#;

    fn page() -> Page {
        Page::parse(Url::parse("http://h/dir/page").unwrap(), PAGE)
    }

    #[test]
    fn a_form_is_sent_as_a_browser_would_send_it() {
        let sent = page().press("Allow it").unwrap();
        assert_eq!(sent.url.as_str(), "http://h/dir/decide?x=1");
        assert_eq!(sent.body.as_deref(), Some("csrf=%22t%22&scope=one&all=on&answer=yes"));
        let sent = page().press("Search").unwrap();
        assert_eq!((sent.url.as_str(), sent.body), ("http://h/search?q=a%26b", None));
    }

    #[test]
    fn what_cannot_be_pressed_is_not_found() {
        assert_eq!(page().press("Help"), None);
        assert_eq!(page().press("comment"), None);
    }
}
