//! The documentation keeps its word: its configurations load, its commands exist, its links lead somewhere, its keys
//! are read, and the page of dependencies is `Cargo.toml`'s.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery::{
    config::{Config, environment::Environment},
    entropy::Entropy,
};
use regex::Regex;

/// What stands around a section that a page shows alone. The sections that it shows replace these.
const AROUND: [(&str, &str); 5] = [
    ("server", "{ issuer: \"https://auth.acme.com\" }"),
    ("database", "{ url: \"sqlite://chancery.db\" }"),
    ("encryption", "{ keys: [{ id: k1, key: \"${CHANCERY_KEY}\" }] }"),
    (
        "providers",
        "{ acme-okta: { preset: okta, domain: acme.okta.com, client_id: c, client_secret: \"${OKTA_CLIENT_SECRET}\", \
         organization: acme, sign_in: { email_domains: [acme.com] } } }",
    ),
    (
        "resources",
        "{ tickets: { uri: \"https://mcp.acme.com/tickets\", name: Tickets, scopes: { \"tickets:read\": { description: Read, default: true } } } }",
    ),
];

/// The sections that may stand alone.
const SECTIONS: [&str; 12] = [
    "server",
    "database",
    "encryption",
    "providers",
    "resources",
    "clients",
    "connections",
    "idp",
    "registration",
    "dpop",
    "lifetimes",
    "presets",
];

/// A page of ours.
struct Page {
    path: PathBuf,
    text: String,
}

/// A fenced block: what stands behind the fence, where it begins, and what is in it.
struct Block {
    info: String,
    line: usize,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<Page> {
    let mut folders = vec![root().join("docs"), root().join("examples")];
    let mut paths: Vec<_> =
        ["README.md", "SECURITY.md", "CONTRIBUTING.md"].map(|name| root().join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "md") => paths.push(path),
                false => {}
            }
        }
    }
    assert!(paths.len() > 6, "the documentation is elsewhere: {paths:?}");
    paths.into_iter().map(|path| Page { text: fs::read_to_string(&path).unwrap(), path }).collect()
}

impl Page {
    fn name(&self) -> String {
        self.path.strip_prefix(root()).unwrap().display().to_string()
    }

    /// The fenced blocks, and the text without them, line for line.
    fn parts(&self) -> (Vec<Block>, String) {
        let (mut blocks, mut prose, mut open) = (Vec::<Block>::new(), String::new(), false);
        for (number, line) in (1..).zip(self.text.lines()) {
            match line.trim_start().strip_prefix("```") {
                Some(_) if open => open = false,
                Some(info) => {
                    open = true;
                    blocks.push(Block { info: info.trim().to_owned(), line: number, text: String::new() });
                }
                None if open => {
                    let block = blocks.last_mut().unwrap();
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                None => prose.push_str(line),
            }
            prose.push('\n');
        }
        assert!(!open, "{}: a block without an end", self.name());
        (blocks, prose)
    }
}

/// Every piece of inline code in `prose`.
fn inline_code(prose: &str) -> Vec<String> {
    let code = Regex::new("`([^`\n]+)`").unwrap();
    code.captures_iter(prose).map(|found| found[1].to_owned()).collect()
}

/// Every variable and file that an example names.
fn environment() -> Environment {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    let secret = "a-secret-of-more-than-thirty-two-characters";
    let [one, other] = [(); 2].map(|()| STANDARD.encode(Entropy::System.bytes::<32>()));
    Environment::of([
        ("CHANCERY_KEY", &one),
        ("CHANCERY_KEY_OLD", &other),
        ("VAULT_ROLE_ID", "675a50e7-cfe0-be76-e35f-49ec009731ea"),
        ("VAULT_SECRET_ID", "ed0a642f-2acf-c2da-232f-1b21300d5f29"),
        ("DATABASE_URL", "postgres://chancery:secret@db.acme.com/chancery"),
        ("OKTA_CLIENT_SECRET", secret),
        ("GITHUB_CLIENT_SECRET", secret),
        ("GOOGLE_CLIENT_SECRET", secret),
        ("ENTRA_CLIENT_SECRET", secret),
        ("AUTH0_CLIENT_SECRET", secret),
        ("KEYCLOAK_CLIENT_SECRET", secret),
        ("PARTNER_CLIENT_SECRET", secret),
        ("STAFF_CLIENT_SECRET", secret),
        ("TICKETS_SECRET", secret),
        ("AGENT_SECRET", secret),
        ("REPORT_SECRET", secret),
        ("REGISTRATION_TOKEN", secret),
        ("DESK_SECRET", secret),
        ("BILLING_CLIENT_SECRET", secret),
    ])
    .with_file("entra-key.pem", pem.clone())
    .with_file("okta-key.pem", pem)
}

/// The keys at the beginning of a line.
fn sections_of(yaml: &str) -> Vec<&str> {
    let key = Regex::new(r"(?m)^([A-Za-z_][A-Za-z0-9_]*):").unwrap();
    key.captures_iter(yaml).map(|found| found.get(1).unwrap().as_str()).collect()
}

/// Mermaid reads `;` as the end of a line, and then draws nothing at all.
#[test]
fn no_diagram_is_cut_short() {
    let diagrams =
        pages().into_iter().flat_map(|page| page.parts().0).filter(|block| block.info == "mermaid");
    let cut: Vec<_> = diagrams.filter(|block| block.text.contains(';')).map(|block| block.line).collect();
    assert!(cut.is_empty(), "{cut:?}");
}

#[test]
fn every_configuration_in_the_documentation_loads() {
    let environment = environment();
    let (mut whole, mut parts) = (0, 0);
    for page in pages() {
        for block in page.parts().0 {
            let at = format!("{}, line {}", page.name(), block.line);
            let sections = sections_of(&block.text);
            if block.info != "yaml" {
                let known = sections.contains(&"providers");
                assert!(
                    !block.info.starts_with("yaml") || !known,
                    "{at}: mark it as yaml alone, to be checked"
                );
                continue;
            }
            assert!(
                !sections.is_empty() && sections.iter().all(|section| SECTIONS.contains(section)),
                "{at}: `yaml` is for Chancery's configuration from its first column; what else is YAML is `yaml other`"
            );
            let around = AROUND.iter().filter(|(section, _)| !sections.contains(section));
            let around: Vec<_> = around.map(|(section, value)| format!("{section}: {value}\n")).collect();
            if let Err(problems) =
                Config::parse(&format!("{}{}", block.text, around.concat()), "example.yaml", &environment)
            {
                panic!("{at}:\n{problems}");
            }
            if around.is_empty() { whole += 1 } else { parts += 1 }
        }
    }
    assert!(whole > 0 && parts > 0, "{whole} whole configurations and {parts} parts were found");
}

/// The arguments of every run of `program` in a line of shell.
fn runs(line: &str, program: &str) -> Vec<Vec<String>> {
    let pieces = line.split("$(").flat_map(|piece| piece.split([')', '|', ';', '&', '>', '"']));
    let words = pieces.map(|piece| piece.split_whitespace().collect::<Vec<_>>());
    words
        .filter_map(|words| {
            let words: Vec<_> =
                words.into_iter().skip_while(|word| word.contains('=') || *word == "exec").collect();
            let (first, rest) = words.split_first()?;
            let arguments = match rest.iter().position(|word| *word == "--") {
                Some(end) if *first == "cargo" && program == "chancery" && rest.first() == Some(&"run") => {
                    rest.get(end + 1..)?
                }
                _ if *first == program || first.ends_with(&format!("/{program}")) => rest,
                _ => return None,
            };
            let arguments = arguments.iter().take_while(|word| !word.starts_with('#'));
            Some(arguments.map(|word| (*word).to_owned()).collect())
        })
        .collect()
}

#[test]
fn every_command_in_the_documentation_exists() {
    let mut seen = BTreeSet::new();
    for page in pages() {
        let (blocks, prose) = page.parts();
        let shell = blocks.iter().filter(|block| matches!(block.info.as_str(), "sh" | "console"));
        let shell = shell.flat_map(|block| block.text.lines()).map(|line| line.trim_start_matches("$ "));
        for line in shell.map(str::to_owned).chain(inline_code(&prose)) {
            for arguments in runs(&line, "chancery") {
                let output = Command::new(env!("CARGO_BIN_EXE_chancery"))
                    .args(&arguments)
                    .arg("--help")
                    .output()
                    .unwrap();
                let told = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{}: {line}\n{told}", page.name());
                seen.extend(arguments.first().cloned());
            }
            for arguments in runs(&line, "tests/run") {
                let output =
                    Command::new("tests/run").current_dir(root()).args(&arguments).arg("--help").output();
                assert!(output.unwrap().status.success(), "{}: {line}", page.name());
            }
        }
    }
    let help = Command::new(env!("CARGO_BIN_EXE_chancery")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).unwrap().lines().take_while(|line| !line.is_empty());
    let commands: BTreeSet<_> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 4, "{commands:?}");
    let undocumented: Vec<_> = commands.iter().filter(|command| !seen.contains(**command)).collect();
    assert!(undocumented.is_empty(), "no page says how to use {undocumented:?}");
}

/// The anchors of a page, as GitHub makes them from headings.
fn anchors(page: &Page) -> BTreeSet<String> {
    let prose = page.parts().1;
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn every_link_within_the_documentation_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let pages = pages();
    let by_path: BTreeMap<_, _> =
        pages.iter().map(|page| (page.path.canonicalize().unwrap(), page)).collect();
    let mut followed = 0;
    for page in &pages {
        for found in link.captures_iter(&page.parts().1) {
            let target = &found[1];
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path =
                if file.is_empty() { page.path.clone() } else { page.path.parent().unwrap().join(file) };
            let path =
                path.canonicalize().unwrap_or_else(|_| panic!("{}: {target} leads nowhere", page.name()));
            if !anchor.is_empty() {
                let there = by_path.get(&path).is_some_and(|page| anchors(page).contains(anchor));
                assert!(there, "{}: {target} names no heading", page.name());
            }
            followed += 1;
        }
    }
    assert!(followed > 20, "only {followed} links were found");
}

/// `providers.acme-okta.name` → `providers.NAME.name`: what the operator names is a name, whatever it is.
fn pattern(path: &str) -> String {
    let mut steps: Vec<&str> = Vec::new();
    for step in path.split('.') {
        let named = [
            "providers",
            "resources",
            "clients",
            "connections",
            "use",
            "scopes",
            "exchange",
            "targets",
            "client_ids",
        ];
        let depth = if steps.first() == Some(&"idp") { 8 } else { 4 };
        let free = steps.last().is_some_and(|last| named.contains(last)) && steps.len() < depth;
        let elsewhere = steps.contains(&"allow") || steps.contains(&"account");
        let assertions = steps.ends_with(&["id_jag", "allow"]);
        steps.push(if assertions || (free && !elsewhere) { "NAME" } else { step });
    }
    steps.join(".")
}

/// Every key in the example, which the loader's own test proves to hold all there are.
fn known_keys() -> BTreeSet<String> {
    fn collect(value: &serde_yaml::Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            serde_yaml::Value::Mapping(entries) => {
                for (key, value) in entries {
                    let key = key.as_str().unwrap().replace('.', "_");
                    let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                    found.insert(pattern(&path));
                    collect(value, &path, found);
                }
            }
            serde_yaml::Value::Sequence(items) => items.iter().for_each(|item| collect(item, path, found)),
            _ => {}
        }
    }
    let example = fs::read_to_string(root().join("config.example.yaml")).unwrap();
    let mut found = BTreeSet::new();
    collect(&serde_yaml::from_str(&example).unwrap(), "", &mut found);
    found
}

#[test]
fn every_key_that_the_documentation_names_is_read() {
    let known = known_keys();
    let path = Regex::new(&format!(r"^({})(\.[A-Za-z0-9_-]+)+$", SECTIONS.join("|"))).unwrap();
    let (mut named, events) = (0, events());
    for page in pages() {
        let prose = page.parts().1;
        for code in inline_code(&prose) {
            let key = match code.strip_prefix("CHANCERY__") {
                Some(variable) => variable.split('=').next().unwrap().to_lowercase().replace("__", "."),
                None => code.split(':').next().unwrap().to_owned(),
            };
            if path.is_match(&key) && !events.contains(&key) {
                assert!(known.contains(&pattern(&key)), "{}: there is no key {key}", page.name());
                named += 1;
            }
        }
    }
    assert!(named > 10, "only {named} keys were found");
}

/// The stable names of what is recorded.
fn events() -> BTreeSet<String> {
    let source = fs::read_to_string(root().join("src/audit/event.rs")).unwrap();
    let kind = Regex::new("(?m)^    [A-Z][A-Za-z]+ = \"([a-z._]+)\" [A-Z]").unwrap();
    kind.captures_iter(&source).map(|found| found[1].to_owned()).collect()
}

#[test]
fn every_event_of_the_record_is_explained() {
    let page = fs::read_to_string(root().join("docs/audit.md")).unwrap();
    let row = Regex::new(r"(?m)^\| (`[^|]+`) \| (?:success|refused) \|").unwrap();
    let told: BTreeSet<_> = row.captures_iter(&page).flat_map(|found| inline_code(&found[1])).collect();
    assert!(told.len() > 10, "{told:?}");
    assert_eq!(told, events());
}

/// The lines of a snippet, whatever its indentation.
fn lines(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_snippet_for_an_mcp_server_is_part_of_an_example() {
    let mut found = 0;
    for page in pages() {
        for block in page.parts().0 {
            let example = match block.info.as_str() {
                "python" => "mcp_server.py",
                "js" => "mcp_server.mjs",
                "rust" => "mcp_server.rs",
                _ => continue,
            };
            let whole = lines(&fs::read_to_string(root().join("examples").join(example)).unwrap());
            assert!(
                whole.contains(&lines(&block.text)),
                "{}, line {}: not in {example}",
                page.name(),
                block.line
            );
            found += 1;
        }
    }
    assert!(found > 4, "only {found} snippets were found");
}

#[test]
fn the_page_of_dependencies_is_that_of_cargo() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut used = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if let Some((name, _)) = line.split_once('=').filter(|_| inside) {
            used.insert(name.trim().to_owned());
        }
    }
    let page = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let row = Regex::new(r"(?m)^\| `([^`]+)` \| [^|]+ \| [^|]+ \|$").unwrap();
    let told: Vec<_> = row.captures_iter(&page).map(|found| found[1].to_owned()).collect();
    assert_eq!(told.len(), told.iter().collect::<BTreeSet<_>>().len(), "a crate is explained twice");
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), used);
}
