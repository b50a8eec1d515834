//! YAML as a tree that remembers where everything stood.
//!
//! A configuration needs little of YAML, and what it does not need only surprises: anchors, tags and several
//! documents are refused, scalars stay the text that was written (`0123`, `no` and `1e3` are not reinterpreted).
//! `${…}` may stand unquoted inside `{ }`, where YAML alone would read its braces as a mapping.

use std::{borrow::Cow, collections::HashMap};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// More than any configuration; less than would make parsing felt.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// The deepest key of ours is at depth 6.
const MAX_DEPTH: usize = 24;

/// Line and column, each counted from 1, in characters.
pub(super) type Position = (usize, usize);

/// A value and where it begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    /// `plain` when it stood without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key, where it stands, and its value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Position,
    pub(super) value: Node,
}

/// Why a text is not a tree, and where it stops being one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) at: Option<Position>,
    pub(super) message: Cow<'static, str>,
}

/// Reads one document. An empty one is [`Kind::Null`].
pub(super) fn parse(bytes: &[u8]) -> Result<Node, SyntaxError> {
    if bytes.len() > MAX_BYTES {
        return Err(SyntaxError { at: None, message: "the file is larger than 1 MiB".into() });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default());
        SyntaxError { at: Some(end_of(&before)), message: "the file is not UTF-8 here".into() }
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some((index, found)) = text.char_indices().find(|(_, c)| is_forbidden(*c)) {
        let before = text.get(..index).unwrap_or_default();
        let message = format!("the character U+{:04X} does not belong here", u32::from(found));
        return Err(SyntaxError { at: Some(end_of(before)), message: message.into() });
    }
    build(&shield(text))
}

fn end_of(text: &str) -> Position {
    let last_line = text.rsplit('\n').next().unwrap_or_default();
    (text.matches('\n').count() + 1, last_line.chars().count() + 1)
}

/// Control characters, and the two that [`shield`] needs for itself.
fn is_forbidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r' | '\t')) || matches!(c, OPEN | CLOSE | '\u{feff}')
}

const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';

/// Hides the braces of each `${…}` from the YAML parser, which gives them a meaning where a mapping is written
/// in braces. One character stands for one, so that positions stay true; [`unshield`] brings them back.
fn shield(text: &str) -> String {
    let mut shielded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (head, tail) = rest.split_at(start + 2);
        let end = tail.find(['}', '\n', '{', '"', '\'']).filter(|&end| tail[end..].starts_with('}'));
        if let Some(end) = end {
            shielded.push_str(&head[..head.len() - 1]);
            shielded.push(OPEN);
            shielded.push_str(&tail[..end]);
            shielded.push(CLOSE);
            rest = &tail[end + 1..];
        } else {
            shielded.push_str(head);
            rest = tail;
        }
    }
    shielded + rest
}

fn unshield(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            OPEN => '{',
            CLOSE => '}',
            other => other,
        })
        .collect()
}

/// A collection that is still being read.
enum Open {
    List(Vec<Node>),
    /// The key that waits for its value.
    Map(Vec<Entry>, Option<(String, Position)>),
}

fn build(text: &str) -> Result<Node, SyntaxError> {
    let mut open: Vec<(Position, Open)> = Vec::new();
    let mut documents = 0;
    let mut root = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| scan_error(text, &error))?;
        let at = position(span);
        let node = match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err(error(at, "a second document begins here; a configuration is one"));
                }
                continue;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => continue,
            Event::Alias(_) => {
                return Err(error(at, "aliases (*) are not supported; write the value out, or quote the *"));
            }
            Event::Scalar(_, _, 1.., _) | Event::SequenceStart(1.., _) | Event::MappingStart(1.., _) => {
                return Err(error(at, "anchors (&) are not supported; write the value out, or quote the &"));
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                return Err(error(at, "tags (!) are not supported; quote the value if it begins with !"));
            }
            Event::Scalar(text, style, ..) => Node { at, kind: scalar(&text, style) },
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if open.len() == MAX_DEPTH {
                    return Err(error(at, "this is nested too deeply"));
                }
                let is_list = matches!(event, Event::SequenceStart(..));
                let collection = if is_list { Open::List(Vec::new()) } else { Open::Map(Vec::new(), None) };
                open.push((at, collection));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some((at, Open::List(items))) => Node { at, kind: Kind::List(items) },
                Some((at, Open::Map(entries, _))) => Node { at, kind: map(entries)? },
                None => continue,
            },
        };
        match open.last_mut() {
            None => root = Some(node),
            Some((_, Open::List(items))) => items.push(node),
            Some((_, Open::Map(entries, waiting))) => match waiting.take() {
                None => *waiting = Some(key(node)?),
                Some((key, at)) => entries.push(Entry { key, at, value: node }),
            },
        }
    }
    Ok(root.unwrap_or(Node { at: (1, 1), kind: Kind::Null }))
}

fn position(span: Span) -> Position {
    (span.start.line().max(1), span.start.col() + 1)
}

fn error(at: Position, message: &'static str) -> SyntaxError {
    SyntaxError { at: Some(at), message: message.into() }
}

fn scan_error(text: &str, error: &saphyr_parser::ScanError) -> SyntaxError {
    let at = (error.marker().line().max(1), error.marker().col() + 1);
    let line = text.lines().nth(at.0 - 1).unwrap_or_default();
    let message = if error.info().contains("anchor") {
        "an unquoted * begins an alias; write it in quotes: \"*\"".into()
    } else if line.trim_start_matches(' ').starts_with('\t') {
        "this line is indented with a tab; YAML wants spaces".into()
    } else {
        format!("this is not YAML: {}", error.info()).into()
    };
    SyntaxError { at: Some(at), message }
}

fn scalar(text: &str, style: ScalarStyle) -> Kind {
    let plain = style == ScalarStyle::Plain;
    if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Kind::Null;
    }
    Kind::Scalar { text: unshield(text), plain }
}

fn key(node: Node) -> Result<(String, Position), SyntaxError> {
    match node.kind {
        Kind::Scalar { text, .. } if text != "<<" => Ok((text, node.at)),
        Kind::Scalar { .. } => Err(error(node.at, "merge keys (<<) are not supported; write the values out")),
        _ => Err(error(node.at, "a key is a single word or a text in quotes")),
    }
}

fn map(entries: Vec<Entry>) -> Result<Kind, SyntaxError> {
    let mut seen = HashMap::new();
    for entry in &entries {
        if let Some((line, _)) = seen.insert(entry.key.as_str(), entry.at) {
            let message =
                format!("`{}` stands here for the second time; the first is on line {line}", entry.key);
            return Err(SyntaxError { at: Some(entry.at), message: message.into() });
        }
    }
    Ok(Kind::Map(entries))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn plain(text: &str, at: Position) -> Node {
        Node { at, kind: Kind::Scalar { text: text.into(), plain: true } }
    }

    #[test]
    fn everything_remembers_where_it_stood() {
        let tree = parse("\u{feff}a: 1\nbé: { c: x, d: [ y ] }\n".as_bytes()).unwrap();
        let list = Node { at: (2, 16), kind: Kind::List(vec![plain("y", (2, 18))]) };
        let inner = vec![
            Entry { key: "c".into(), at: (2, 7), value: plain("x", (2, 10)) },
            Entry { key: "d".into(), at: (2, 13), value: list },
        ];
        let outer = vec![
            Entry { key: "a".into(), at: (1, 1), value: plain("1", (1, 4)) },
            Entry { key: "bé".into(), at: (2, 1), value: Node { at: (2, 5), kind: Kind::Map(inner) } },
        ];
        assert_eq!(tree, Node { at: (1, 1), kind: Kind::Map(outer) });
    }

    #[rstest]
    #[case("[ ${A}, x${file:/run/b}y, \"${C}\" ]", &["${A}", "x${file:/run/b}y", "${C}"])]
    #[case("[ $${A}, '{', 0123, no, 1e3, 'null' ]", &["$${A}", "{", "0123", "no", "1e3", "null"])]
    #[case("- ${A\n- b\n", &["${A", "b"])]
    fn scalars_stay_as_written(#[case] text: &str, #[case] expected: &[&str]) {
        let Kind::List(items) = parse(text.as_bytes()).unwrap().kind else { panic!("not a list") };
        let texts: Vec<_> = items
            .iter()
            .map(|item| match &item.kind {
                Kind::Scalar { text, .. } => text.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(texts, expected);
    }

    #[rstest]
    #[case("")]
    #[case("# only a comment\n")]
    #[case("~")]
    #[case("---\n...\n")]
    fn empty(#[case] text: &str) {
        assert_eq!(parse(text.as_bytes()).unwrap().kind, Kind::Null);
    }

    #[rstest]
    #[case(b"a: 1\nb: \xff", (2, 4), "the file is not UTF-8 here")]
    #[case(b"a: 1\nb: x\0y", (2, 5), "the character U+0000 does not belong here")]
    #[case("a: \u{e000}".as_bytes(), (1, 4), "the character U+E000 does not belong here")]
    #[case(b"a: 1\n---\nb: 2", (2, 1), "a second document begins here; a configuration is one")]
    #[case(b"a: &x 1\nb: *x", (1, 4), "anchors (&) are not supported; write the value out, or quote the &")]
    #[case(b"hosts: [*]", (1, 9), "an unquoted * begins an alias; write it in quotes: \"*\"")]
    #[case(b"hosts: *.acme.com", (1, 8), "an unquoted * begins an alias; write it in quotes: \"*\"")]
    #[case(b"a: !!str 1", (1, 4), "tags (!) are not supported; quote the value if it begins with !")]
    #[case(b"a: 1\nb: 2\na: 3", (3, 1), "`a` stands here for the second time; the first is on line 1")]
    #[case(b"a:\n  <<: { b: 1 }", (2, 3), "merge keys (<<) are not supported; write the values out")]
    #[case(b"? [a]\n: b", (1, 3), "a key is a single word or a text in quotes")]
    #[case(b"a:\n\tb: 1", (2, 2), "this line is indented with a tab; YAML wants spaces")]
    fn refused(#[case] bytes: &[u8], #[case] at: Position, #[case] message: &str) {
        assert_eq!(parse(bytes), Err(SyntaxError { at: Some(at), message: Cow::Owned(message.to_owned()) }));
    }

    #[test]
    fn size_and_depth_are_bounded() {
        assert!(parse(&vec![b'#'; MAX_BYTES]).is_ok());
        assert_eq!(parse(&vec![b'#'; MAX_BYTES + 1]).unwrap_err().message, "the file is larger than 1 MiB");
        assert_eq!(parse(&[b'['; 100]).unwrap_err().message, "this is nested too deeply");
        assert!(parse(&vec![b'['; MAX_BYTES]).is_err());
        assert!(parse("- ".repeat(MAX_BYTES / 2).as_bytes()).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_text_panics(text in "[a-c:{}\\[\\],\"'|>&*!%@`#?\\-<~$\\\\ \t\r\n.é]{0,60}") {
            let _ = parse(text.as_bytes());
        }

        /// What the other YAML library reads as well, it reads alike.
        #[test]
        fn agrees_with_another_parser(text in "[a-c1:{}\\[\\],\"'\\- \n]{0,30}") {
            let (Ok(ours), Ok(theirs)) = (parse(text.as_bytes()), serde_yaml::from_str::<serde_yaml::Value>(&text))
            else { return Ok(()) };
            prop_assert!(same(&ours, &theirs), "{ours:?} {theirs:?}");
        }
    }

    fn same(ours: &Node, theirs: &serde_yaml::Value) -> bool {
        use serde_yaml::Value;
        match (&ours.kind, theirs) {
            (Kind::Null, Value::Null) => true,
            (Kind::Scalar { text, .. }, Value::String(other)) => text == other,
            (Kind::Scalar { text, plain: true }, Value::Number(number)) => {
                *text == number.to_string() || text.parse::<f64>().is_ok()
            }
            (Kind::List(a), Value::Sequence(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Kind::Map(a), Value::Mapping(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, (_, b))| same(&a.value, b))
            }
            _ => false,
        }
    }
}
