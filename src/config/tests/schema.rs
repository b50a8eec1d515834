//! The keys that are read and the example name the same.

use std::collections::BTreeSet;

use super::*;
use crate::config::{reader::Reading, yaml::Kind};

/// The same keys as in the resource's own `allow`.
const SCOPE_ALLOW: &str = ".scopes.NAME.allow.";

/// Every key that reading the example asks for.
fn asked() -> Vec<String> {
    let tree = yaml::parse(EXAMPLE.as_bytes()).unwrap();
    let environment = example_environment();
    let reading = Reading::new("config.example.yaml", Path::new(""), Some(&environment));
    reading.root(&tree, |root| Config::read_sections(root, Path::new(""), &environment, &mut Vec::new()));
    reading.asked()
}

/// `providers.acme-okta.name` → `providers.NAME.name`; list items and free names lose what is special about them.
fn pattern(path: &str) -> String {
    let mut steps: Vec<String> = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let end = match rest.strip_prefix('"') {
            Some(quoted) => quoted.find('"').unwrap() + 2,
            None => rest.find('.').unwrap_or(rest.len()),
        };
        let step = rest[..end].split('[').next().unwrap();
        let free = steps.last().is_some_and(|last| {
            matches!(last.as_str(), "providers" | "resources" | "clients" | "scopes" | "authorize_params")
                || (last == "claims" && steps.contains(&"require".to_owned()))
        });
        steps.push(if free { "NAME".into() } else { step.to_owned() });
        rest = rest[end..].strip_prefix('.').unwrap_or(&rest[end..]);
    }
    steps.join(".")
}

#[test]
fn the_example_holds_every_key() {
    fn collect(node: &yaml::Node, path: &str, found: &mut BTreeSet<String>) {
        match &node.kind {
            Kind::Map(entries) => {
                for entry in entries {
                    let key = if entry.key.contains([':', '.']) {
                        format!("{:?}", entry.key)
                    } else {
                        entry.key.clone()
                    };
                    let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                    found.insert(pattern(&path));
                    collect(&entry.value, &path, found);
                }
            }
            Kind::List(items) => items.iter().for_each(|item| collect(item, path, found)),
            Kind::Scalar { .. } | Kind::Null => {}
        }
    }
    let mut found = BTreeSet::new();
    collect(&yaml::parse(EXAMPLE.as_bytes()).unwrap(), "", &mut found);
    let asked: BTreeSet<_> =
        asked().iter().map(|path| pattern(path)).filter(|path| !path.contains(SCOPE_ALLOW)).collect();
    assert!(asked.len() > 80, "{asked:?}");
    let missing: Vec<_> = asked.difference(&found).collect();
    assert!(missing.is_empty(), "not in config.example.yaml: {missing:?}");
}
