//! The keys that are read, the example and the documentation name the same.

use std::collections::BTreeSet;

use super::*;
use crate::config::{preset::Presets, reader::Reading, yaml::Kind};

const REFERENCE: &str = include_str!("../../../docs/configuration.md");
const GUIDES: &str = include_str!("../../../docs/providers.md");

/// The same keys as in a resource's own `allow`, and as in a vendor's `answer`.
fn is_explained_there(path: &str) -> bool {
    path.contains(".scopes.NAME.allow.")
        || path.contains(".vendor.refresh_answer.")
        || (path.starts_with("idp.targets.") && path.contains(".allow."))
}

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
            matches!(
                last.as_str(),
                "providers"
                    | "connections"
                    | "headers"
                    | "token_params"
                    | "refresh_params"
                    | "details"
                    | "scope_aliases"
                    | "resources"
                    | "clients"
                    | "scopes"
                    | "authorize_params"
                    | "targets"
                    | "client_ids"
            ) && !(last == "clients" && steps.contains(&"allow".to_owned()))
                || (last == "claims"
                    && ["require", "id_jag"].iter().any(|above| steps.contains(&(*above).to_owned())))
                || (last == "allow" && steps.contains(&"id_jag".to_owned()))
                || last == "exchange"
                || last == "use"
                || ["exchange", "use"]
                    .iter()
                    .any(|above| steps.ends_with(&[(*above).to_owned(), "NAME".to_owned()]))
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
        asked().iter().map(|path| pattern(path)).filter(|path| !is_explained_there(path)).collect();
    let parameters = parameters();
    let of_a_vendor = |path: &String| path.starts_with("connections.") && parameters.contains(path);
    let asked: BTreeSet<_> = asked.into_iter().filter(|path| !of_a_vendor(path)).collect();
    assert!(asked.len() > 80, "{asked:?}");
    let missing: Vec<_> = asked.difference(&found).collect();
    assert!(missing.is_empty(), "not in config.example.yaml: {missing:?}");
}

/// The keys of all presets' parameters, as patterns.
fn parameters() -> BTreeSet<String> {
    let presets = Presets::load(None, &Environment::of([])).unwrap();
    presets
        .iter()
        .flat_map(|preset| preset.parameters.keys())
        .flat_map(|key| ["providers", "connections"].map(|section| format!("{section}.NAME.{key}")))
        .collect()
}

/// A heading names the section (`## server`), a table row the key (`` | `issuer` | ``).
#[test]
fn the_reference_has_every_key_and_no_other() {
    let mut section = String::new();
    let mut documented = BTreeSet::new();
    for line in REFERENCE.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            section = heading.split('`').nth(1).unwrap_or_default().to_owned();
        } else if let Some(key) = line.strip_prefix("| `").and_then(|row| row.split('`').next()) {
            let path = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
            documented.insert(path);
        }
    }
    let parameters = parameters();
    let read: BTreeSet<_> = asked()
        .iter()
        .map(|path| pattern(path))
        .filter(|path| !parameters.contains(path) && !is_explained_there(path))
        .collect();
    assert_eq!(documented, read);
}

#[test]
fn the_guides_lead_through_every_preset() {
    let presets = Presets::load(None, &Environment::of([])).unwrap();
    for preset in presets.iter().filter(|preset| preset.sign_in.is_some()) {
        let heading = format!("## {} (`{}`)", preset.title, preset.name);
        let guide = GUIDES.split("\n## ").find(|guide| format!("## {guide}").starts_with(&heading));
        let guide = guide.unwrap_or_else(|| panic!("docs/providers.md has no {heading}"));
        for key in preset.parameters.keys() {
            assert!(guide.contains(&format!("`{key}`")), "the guide for {} lacks {key}", preset.name);
        }
        assert!(
            guide.contains(preset.docs.as_str()),
            "the guide for {} lacks the vendor's page",
            preset.name
        );
    }
}

/// A row in the table of vendors leads to the page that the preset was written by.
#[test]
fn the_guides_name_every_vendor_with_its_page() {
    let presets = Presets::load(None, &Environment::of([])).unwrap();
    for preset in presets.iter() {
        let Some(part) = &preset.connection else { continue };
        let row = format!("| [`{}`]({}) |", preset.name, part.docs);
        assert!(GUIDES.contains(&row), "docs/providers.md has no row {row}");
    }
}

/// Every piece of YAML in the guides is an entry that works.
#[test]
fn what_the_guides_say_to_write_is_valid() {
    let pieces: Vec<_> =
        GUIDES.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(pieces.len(), 7);
    let names =
        ["OKTA", "ENTRA", "GOOGLE", "AUTH0", "KEYCLOAK", "STAFF"].map(|name| format!("{name}_CLIENT_SECRET"));
    let environment = Environment::of(names.each_ref().map(|name| (name.as_str(), "s")));
    for piece in pieces {
        parse(piece, &environment).unwrap_or_else(|p| panic!("{p}\n{piece}"));
    }
}
