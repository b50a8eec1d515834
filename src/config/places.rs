//! Where the rules stand: the line of a key, by its path, for those who are told that it decided something.

use std::path::Path;

use super::{
    environment::Environment,
    yaml::{self, Entry, Kind, Node, Position},
};

/// A configuration file, to look up where something stands in it.
#[derive(Debug)]
pub struct Places {
    file: String,
    tree: Option<Node>,
}

impl Places {
    /// Reads the file again. One that cannot be read has no places.
    pub fn read(path: &Path, environment: &Environment) -> Self {
        let bytes = environment.read(path, yaml::MAX_BYTES).ok();
        let tree = bytes.and_then(|bytes| yaml::parse(&bytes).ok());
        Self { file: path.display().to_string(), tree }
    }

    /// `chancery.yaml:31:7` for `resources.tickets.allow.groups`, which is written without quotes even where a name has
    /// dots in it. `None`: the file does not say it, but a preset or a default does.
    pub fn of(&self, rule: &str) -> Option<String> {
        let (line, column) = find(self.tree.as_ref()?, rule)?;
        Some(format!("{}:{line}:{column}", self.file))
    }
}

fn find(node: &Node, path: &str) -> Option<Position> {
    let Kind::Map(entries) = &node.kind else { return None };
    entries.iter().find_map(|Entry { key, at, value }| {
        let rest = path.strip_prefix(key.as_str())?;
        if rest.is_empty() { Some(*at) } else { find(value, rest.strip_prefix('.')?) }
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const FILE: &str = "\
resources:
  tickets:
    allow: { groups: [staff] }
    scopes:
      \"tickets:read.all\": { allow: { clients: [agent] } }
      tickets:read:
        allow:
          groups: [support]
";

    #[rstest]
    #[case("resources.tickets.allow.groups", Some("c.yaml:3:14"))]
    #[case("resources.tickets.scopes.tickets:read", Some("c.yaml:6:7"))]
    #[case("resources.tickets.scopes.tickets:read.allow.groups", Some("c.yaml:8:11"))]
    #[case("resources.tickets.scopes.tickets:read.all.allow.clients", Some("c.yaml:5:38"))]
    #[case("resources.tickets.allow", Some("c.yaml:3:5"))]
    #[case("resources.tickets.allow.clients", None)]
    #[case("resources.ticket", None)]
    #[case("resources.tickets.allow.groups.x", None)]
    #[case("", None)]
    fn a_rule_stands_somewhere(#[case] rule: &str, #[case] place: Option<&str>) {
        let environment = Environment::of([]).with_file("c.yaml", FILE);
        let places = Places::read(Path::new("c.yaml"), &environment);
        assert_eq!(places.of(rule).as_deref(), place);
    }

    #[test]
    fn a_file_that_cannot_be_read_has_no_places() {
        assert_eq!(Places::read(Path::new("c.yaml"), &Environment::of([])).of("server"), None);
    }
}
