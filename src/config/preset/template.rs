//! `https://{domain}[/oauth2/{server}]`: text with parameters in braces; a part in brackets is left out when one of
//! its parameters was not given.

use indexmap::IndexMap;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Always(Vec<Piece>),
    /// In brackets.
    IfGiven(Vec<Piece>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Parameter(String),
}

impl Template {
    /// `parameters`: the names that may stand in braces.
    pub(in crate::config) fn parse(written: &str, parameters: &[&str]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = written;
        while let Some((before, tail)) = rest.split_once('[') {
            let (inside, after) = tail.split_once(']').ok_or("a [ is never closed")?;
            parts.push(Part::Always(pieces(before, parameters)?));
            parts.push(Part::IfGiven(pieces(inside, parameters)?));
            rest = after;
        }
        parts.push(Part::Always(pieces(rest, parameters)?));
        Ok(Self(parts))
    }

    /// The parameters that it names.
    pub(in crate::config) fn names(&self) -> impl Iterator<Item = &str> {
        let pieces = self.0.iter().flat_map(|part| match part {
            Part::Always(pieces) | Part::IfGiven(pieces) => pieces,
        });
        pieces.filter_map(|piece| match piece {
            Piece::Parameter(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The text with `values` in place. `None`: a parameter outside brackets was not given.
    pub(in crate::config) fn fill(&self, values: &IndexMap<String, String>) -> Option<String> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Always(pieces) => filled.push_str(&fill(pieces, values)?),
                Part::IfGiven(pieces) => filled.push_str(&fill(pieces, values).unwrap_or_default()),
            }
        }
        Some(filled)
    }
}

fn pieces(written: &str, parameters: &[&str]) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = written;
    while let Some((before, tail)) = rest.split_once('{') {
        let (name, after) = tail.split_once('}').ok_or("a { is never closed")?;
        if !parameters.contains(&name) {
            return Err(format!("{{{name}}} is not among the parameters"));
        }
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(Piece::Parameter(name.to_owned()));
        rest = after;
    }
    if rest.contains([']', '}']) {
        return Err("a bracket or brace is closed that was never opened".into());
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

fn fill(pieces: &[Piece], values: &IndexMap<String, String>) -> Option<String> {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => Some(text.clone()),
        Piece::Parameter(name) => values.get(name).cloned(),
    };
    pieces.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const NAMES: [&str; 3] = ["a", "b", "c"];

    #[rstest]
    #[case("plain", Some("plain"))]
    #[case("https://{a}/", Some("https://1/"))]
    #[case("https://{a}[/x/{b}]/y", Some("https://1/y"))]
    #[case("[{a}-][{b}]{a}", Some("1-1"))]
    #[case("{b}", None)]
    #[case("[{a}{b}]", Some(""))]
    #[case("{c}", Some("{b}"))]
    fn fills(#[case] written: &str, #[case] filled: Option<&str>) {
        let values = [("a", "1"), ("c", "{b}")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let template = Template::parse(written, &NAMES).unwrap();
        assert_eq!(template.fill(&IndexMap::from(values)).as_deref(), filled);
    }

    #[rstest]
    #[case("{d}", "{d} is not among the parameters")]
    #[case("{a", "a { is never closed")]
    #[case("a}", "a bracket or brace is closed that was never opened")]
    #[case("[a", "a [ is never closed")]
    #[case("a]", "a bracket or brace is closed that was never opened")]
    #[case("[{a]}", "a { is never closed")]
    fn refuses(#[case] written: &str, #[case] message: &str) {
        assert_eq!(Template::parse(written, &NAMES), Err(message.to_owned()));
    }
}
