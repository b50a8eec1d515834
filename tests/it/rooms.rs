//! Who may do what in the source, where no compiler asks.

use std::{fs, path::Path};

use regex::Regex;

/// The files below `src` in which the pattern is found, tests left out.
fn files_with(pattern: &str) -> Vec<String> {
    let pattern = Regex::new(pattern).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut found) = (vec![root.join("src")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if !["tests.rs", "/tests/", "fixture.rs"].iter().any(|part| name.contains(part)) {
                let text = fs::read_to_string(path).unwrap();
                let (code, _) = text.split_once("\n#[cfg(test)]\nmod tests {").unwrap_or((&text, ""));
                found.extend(pattern.is_match(code).then_some(name));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn only_the_vault_opens_tokens_of_accounts() {
    for pattern in [r"\bsafe\s*\.\s*open(_owed)?\(", r"\bsafe::(Kept|\{[^}]*\bKept)\b"] {
        let files = files_with(pattern);
        assert!(!files.is_empty(), "{pattern} is not how it is written any more");
        assert!(files.iter().all(|file| file.starts_with("src/vault/")), "{pattern}: {files:?}");
    }
    // Where they belong is known to the safe, and to the job that moves them to another key and opens none.
    let places = files_with(r#"column: "tokens""#);
    assert_eq!(places, ["src/store/sealed_values.rs", "src/vault/safe.rs"]);
}

#[test]
fn everybody_else_who_opens_something_is_known() {
    assert_eq!(
        files_with(r"\bsealer\s*\.\s*open\("),
        [
            "src/app/unopened.rs",
            "src/audit/batches.rs",
            "src/federation/signed_out.rs",
            "src/jose/keys.rs",
            "src/seal/proof.rs",
            "src/vault/safe.rs",
        ]
    );
}
