//! What one key holds, and what it can be taken for.

use super::{Path, Reading, Section};
use crate::config::{
    expand::expand,
    problem::Wrong,
    yaml::{Entry, Kind, Node},
};

/// What a key holds.
pub(super) struct Value<'a> {
    pub(super) reading: &'a Reading<'a>,
    pub(super) path: Path,
    pub(super) source: Source<'a>,
}

pub(super) enum Source<'a> {
    File(&'a Node),
    Variable(&'a str, &'a str),
}

impl<'a> Value<'a> {
    fn wrong(&self, wrong: impl Into<Wrong>) {
        match self.source {
            Source::File(node) => self.reading.report(node.at, &self.path, wrong.into()),
            Source::Variable(name, _) => self.reading.report_override(name, &self.path, wrong.into()),
        }
    }

    pub(super) fn parse<T, E: Into<Wrong>>(&self, parse: impl FnOnce(String) -> Result<T, E>) -> Option<T> {
        let text = self.text()?;
        if text.is_empty() {
            self.wrong("is empty");
            return None;
        }
        parse(text).map_err(|wrong| self.wrong(wrong)).ok()
    }

    fn text(&self) -> Option<String> {
        match self.source {
            Source::Variable(_, value) => Some(value.to_owned()),
            Source::File(node) => match &node.kind {
                Kind::Scalar { text, .. } => self.expanded(text),
                Kind::Null => {
                    self.wrong("has no value; give it one or remove the key");
                    None
                }
                Kind::List(_) => {
                    self.wrong("must be a single value, not a list");
                    None
                }
                Kind::Map(_) => {
                    self.wrong("must be a single value, not a mapping");
                    None
                }
            },
        }
    }

    fn expanded(&self, text: &str) -> Option<String> {
        let Some(environment) = self.reading.environment else { return Some(text.to_owned()) };
        expand(text, environment, self.reading.base).map_err(|message| self.wrong(message)).ok()
    }

    pub(super) fn items(self) -> Vec<Value<'a>> {
        let Source::File(Node { kind: Kind::List(items), .. }) = self.source else {
            self.wrong("must be a list: [a, b], or lines that begin with -");
            return Vec::new();
        };
        let item = |(index, node)| Value {
            reading: self.reading,
            path: self.path.item(index),
            source: Source::File(node),
        };
        items.iter().enumerate().map(item).collect()
    }

    /// `None`: it is no mapping, and that is reported. Nothing at all counts as an empty one.
    pub(super) fn entries(&self) -> Option<&'a [Entry]> {
        match self.source {
            Source::File(Node { kind: Kind::Map(entries), .. }) => Some(entries),
            Source::File(Node { kind: Kind::Null, .. }) => Some(&[]),
            _ => {
                self.wrong("must be a mapping: lines of key: value");
                None
            }
        }
    }

    pub(super) fn section<T>(self, read: impl FnOnce(&Section<'a>) -> T) -> T {
        let entries = self.entries();
        let at = match self.source {
            Source::File(node) => node.at,
            Source::Variable(..) => (1, 1),
        };
        Section::read(self.reading, self.path, at, entries.unwrap_or_default(), |section| {
            if entries.is_none() {
                section.abandon();
            }
            read(section)
        })
    }

    /// As YAML's core schema reads it: unquoted `true`, `false` and numbers are what they seem, all else is text.
    pub(super) fn json(self) -> Option<serde_json::Value> {
        let text = self.parse(Ok::<_, Wrong>)?;
        let plain = matches!(&self.source, Source::File(Node { kind: Kind::Scalar { text: written, plain: true }, .. }) if *written == text);
        Some(match text.as_str() {
            "true" | "false" if plain => (text == "true").into(),
            number if plain && is_number(number) => {
                serde_json::from_str(number).unwrap_or_else(|_| text.into())
            }
            _ => text.into(),
        })
    }
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
}
