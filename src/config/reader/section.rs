//! A mapping with known keys, and the ways to ask for what is in it.

use std::{
    cell::{Cell, RefCell},
    hash::Hash,
};

use indexmap::IndexMap;

use super::{
    Path, Reading,
    value::{Source, Value},
};
use crate::config::{
    problem::{Wrong, hint},
    yaml::{Entry, Kind, Node, Position},
};

/// A mapping whose keys are known.
pub(in crate::config) struct Section<'a> {
    reading: &'a Reading<'a>,
    path: Path,
    at: Position,
    entries: &'a [Entry],
    known: RefCell<Vec<String>>,
    abandoned: Cell<bool>,
}

impl<'a> Section<'a> {
    fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    fn value(&self, key: &str, single: bool) -> Option<Value<'a>> {
        self.known.borrow_mut().push(key.to_owned());
        let path = self.path.key(key);
        let source = match self.reading.ask(&path, single) {
            Some(found) => Source::Variable(found.name, found.value),
            None => Source::File(&self.entry(key)?.value),
        };
        Some(Value { reading: self.reading, path, source })
    }

    /// A single value. `None`: it is absent, or wrong and reported.
    pub(in crate::config) fn optional<T, E: Into<Wrong>>(
        &self,
        key: &str,
        parse: impl FnOnce(String) -> Result<T, E>,
    ) -> Option<T> {
        self.value(key, true)?.parse(parse)
    }

    /// A single value that must be there; `what` tells what it is.
    pub(in crate::config) fn required<T, E: Into<Wrong>>(
        &self,
        key: &str,
        what: &str,
        parse: impl FnOnce(String) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.value(key, true);
        if value.is_none() && !self.abandoned.get() {
            self.reading.report(self.at, &self.path.key(key), format!("is missing: {what}").into());
        }
        value?.parse(parse)
    }

    /// `true` or `false`.
    pub(in crate::config) fn flag(&self, key: &str) -> Option<bool> {
        self.optional(key, |text| match text.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false"),
        })
    }

    /// A list of single values. `None`: it is absent.
    pub(in crate::config) fn list<T, E: Into<Wrong>>(
        &self,
        key: &str,
        parse: impl Fn(String) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let items = self.value(key, false)?.items();
        Some(items.into_iter().filter_map(|item| item.parse(&parse)).collect())
    }

    /// A list that restricts when it is there, so that an empty one would mean nobody or everybody.
    pub(in crate::config) fn restriction<T, E: Into<Wrong>>(
        &self,
        key: &str,
        parse: impl Fn(String) -> Result<T, E>,
    ) -> Vec<T> {
        let is_empty =
            self.entry(key).is_some_and(|e| matches!(&e.value.kind, Kind::List(l) if l.is_empty()));
        if is_empty {
            self.problem(
                key,
                "an empty list could mean nobody or everybody; name somebody or remove the key",
            );
        }
        self.list(key, parse).unwrap_or_default()
    }

    /// A mapping with known keys; an absent one is read as an empty one.
    pub(in crate::config) fn section<T>(&self, key: &str, read: impl FnOnce(&Section<'a>) -> T) -> T {
        match self.value(key, false) {
            Some(value) => value.section(read),
            None => self.below(self.path.key(key), &[], read),
        }
    }

    /// A list of mappings with known keys.
    pub(in crate::config) fn sections<T>(&self, key: &str, read: impl Fn(&Section<'a>) -> T) -> Vec<T> {
        let items = self.value(key, false).map(Value::items).unwrap_or_default();
        items.into_iter().map(|item| item.section(&read)).collect()
    }

    /// A mapping from names to mappings with known keys. An entry that cannot be read is left out and reported.
    pub(in crate::config) fn entries<K: Hash + Eq + Clone, T, E: Into<Wrong>>(
        &self,
        key: &str,
        name: impl Fn(String) -> Result<K, E>,
        mut read: impl FnMut(K, &Section<'a>) -> Option<T>,
    ) -> IndexMap<K, T> {
        self.pairs(key, name, |name, value| value.section(|section| read(name, section)))
    }

    /// A mapping from names to single values.
    pub(in crate::config) fn texts<K: Hash + Eq + Clone, T, E: Into<Wrong>, F: Into<Wrong>>(
        &self,
        key: &str,
        name: impl Fn(String) -> Result<K, E>,
        parse: impl Fn(&K, String) -> Result<T, F>,
    ) -> IndexMap<K, T> {
        self.pairs(key, name, |name, value| value.parse(|text| parse(&name, text)))
    }

    /// A mapping from names to lists of JSON scalars; a value alone is a list of one.
    pub(in crate::config) fn json_lists<K: Hash + Eq + Clone, E: Into<Wrong>>(
        &self,
        key: &str,
        name: impl Fn(String) -> Result<K, E>,
    ) -> IndexMap<K, Vec<serde_json::Value>> {
        self.pairs(key, name, |_, value| {
            let is_list = matches!(value.source, Source::File(Node { kind: Kind::List(_), .. }));
            let items = if is_list { value.items() } else { vec![value] };
            Some(items.into_iter().filter_map(Value::json).collect())
        })
    }

    fn pairs<K: Hash + Eq + Clone, T, E: Into<Wrong>>(
        &self,
        key: &str,
        name: impl Fn(String) -> Result<K, E>,
        mut read: impl FnMut(K, Value<'a>) -> Option<T>,
    ) -> IndexMap<K, T> {
        let Some(value) = self.value(key, false) else { return IndexMap::new() };
        let mut pairs = IndexMap::new();
        for entry in value.entries().unwrap_or_default() {
            let path = value.path.key(&entry.key);
            match name(entry.key.clone()) {
                Ok(name) => {
                    let value = Value { reading: self.reading, path, source: Source::File(&entry.value) };
                    pairs.extend(read(name.clone(), value).map(|value| (name, value)));
                }
                Err(wrong) => {
                    self.reading.abandoned.borrow_mut().push(path.variable.clone());
                    self.reading.report(entry.at, &path, wrong.into());
                }
            }
        }
        pairs
    }

    fn below<T>(&self, path: Path, entries: &'a [Entry], read: impl FnOnce(&Section<'a>) -> T) -> T {
        Section::read(self.reading, path, self.at, entries, read)
    }

    pub(super) fn read<T>(
        reading: &'a Reading<'a>,
        path: Path,
        at: Position,
        entries: &'a [Entry],
        read: impl FnOnce(&Section<'a>) -> T,
    ) -> T {
        let section =
            Section { reading, path, at, entries, known: RefCell::default(), abandoned: Cell::default() };
        let result = read(&section);
        section.report_unknown_keys();
        result
    }

    fn report_unknown_keys(&self) {
        if self.abandoned.get() {
            self.reading.abandoned.borrow_mut().push(self.path.variable.clone());
            return;
        }
        let known = self.known.borrow();
        let known: Vec<_> = known.iter().map(String::as_str).collect();
        for entry in self.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let wrong = Wrong { message: "unknown key".into(), hint: hint(&entry.key, &known) };
            self.reading.report(entry.at, &self.path.key(&entry.key), wrong);
        }
    }

    /// Gives up on telling which keys belong here, because what decides it is wrong itself.
    pub(in crate::config) fn abandon(&self) {
        self.abandoned.set(true);
    }

    /// Whether the file or a variable says something about this key.
    pub(in crate::config) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some() || self.reading.overrides.contains_key(&self.path.key(key).variable)
    }

    /// Whether the file says anything here.
    pub(in crate::config) fn has_any(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Reports a problem with a key, where it stands or where it ought to.
    pub(in crate::config) fn problem(&self, key: &str, wrong: impl Into<Wrong>) {
        let path = self.path.key(key);
        if let Some(found) = self.reading.overrides.get(&path.variable) {
            self.reading.report_override(found.name, &path, wrong.into());
        } else {
            let at = self.entry(key).map_or(self.at, |entry| entry.value.at);
            self.reading.report(at, &path, wrong.into());
        }
    }

    /// Reports a problem with the section as a whole.
    pub(in crate::config) fn problem_here(&self, wrong: impl Into<Wrong>) {
        self.reading.report(self.at, &self.path, wrong.into());
    }

    /// How many values are written under a key, readable or not.
    pub(in crate::config) fn count(&self, key: &str) -> usize {
        match self.entry(key).map(|entry| &entry.value.kind) {
            Some(Kind::List(items)) => items.len(),
            Some(Kind::Map(entries)) => entries.len(),
            _ => 0,
        }
    }

    /// The names under a key, before anything under them is read: what other sections may refer to.
    pub(in crate::config) fn names(&self, key: &str) -> Vec<&'a str> {
        match self.entry(key).map(|entry| &entry.value.kind) {
            Some(Kind::Map(entries)) => entries.iter().map(|entry| entry.key.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// The same a step further down: for each name under a key, those under its `inner`.
    pub(in crate::config) fn names_within(&self, key: &str, inner: &str) -> IndexMap<&'a str, Vec<&'a str>> {
        let Some(Kind::Map(entries)) = self.entry(key).map(|entry| &entry.value.kind) else {
            return IndexMap::new();
        };
        let names = |node: &'a Node| match &node.kind {
            Kind::Map(inside) => {
                match inside.iter().find(|entry| entry.key == inner).map(|e| &e.value.kind) {
                    Some(Kind::Map(found)) => found.iter().map(|entry| entry.key.as_str()).collect(),
                    _ => Vec::new(),
                }
            }
            _ => Vec::new(),
        };
        entries.iter().map(|entry| (entry.key.as_str(), names(&entry.value))).collect()
    }
}
