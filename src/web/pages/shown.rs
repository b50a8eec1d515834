//! Values as a page shows them. Names come from strangers (a client names itself), so everything that is
//! shown passes through [`Plain`]: one line, bounded, without characters that hide or reorder text. What
//! remains can still run from right to left; the templates keep it apart with `<bdi>`.

use std::{fmt, time::Duration};

use time::OffsetDateTime;

use crate::clock::Timestamp;

/// One line of text, at most `LONGEST` characters, safe to set beside other text.
///
/// Escaping is the template's work; this type removes what escaping leaves in: control characters, line
/// breaks, bidirectional overrides, invisible fillers and piles of combining marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain<const LONGEST: usize>(String);

/// What something or somebody is called.
pub type Name = Plain<100>;

/// A host in its ASCII form. 253 characters is the longest that DNS knows (RFC 1035 §2.3.4), so that a
/// real one is never cut and its end, which says whose it is, is always seen.
pub type Host = Plain<253>;

/// A sentence or a few.
pub type Prose = Plain<1000>;

/// Marks on one letter beyond which they are no spelling but paint on the neighbouring lines.
const COMBINING_MARKS: usize = 4;

impl<const LONGEST: usize> Plain<LONGEST> {
    /// The text itself, not yet escaped.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const LONGEST: usize> From<&str> for Plain<LONGEST> {
    fn from(text: &str) -> Self {
        let (mut line, mut length, mut marks) = (String::new(), 0, 0);
        for c in text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }) {
            marks = if is_combining(c) { marks + 1 } else { 0 };
            let repeated_space = c == ' ' && (line.is_empty() || line.ends_with(' '));
            if c.is_control() || is_hidden(c) || marks > COMBINING_MARKS || repeated_space {
                continue;
            }
            if length == LONGEST {
                line.pop();
                line.truncate(line.trim_end().len());
                line.push('…');
                break;
            }
            line.push(c);
            length += 1;
        }
        line.truncate(line.trim_end().len());
        Self(if line.is_empty() { "(no name)".to_owned() } else { line })
    }
}

impl<const LONGEST: usize> From<String> for Plain<LONGEST> {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl<const LONGEST: usize> From<&String> for Plain<LONGEST> {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl<const LONGEST: usize> fmt::Display for Plain<LONGEST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Characters that are not seen, or that change how their neighbours are seen. The two joiners stay:
/// Persian, the Indic scripts and emoji are written with them.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{200E}' | '\u{200F}' | '\u{061C}'                 // direction marks
        | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'  // embeddings, overrides, isolates
        | '\u{00AD}' | '\u{180E}' | '\u{200B}' | '\u{FEFF}'  // soft hyphen, spaces without width
        | '\u{2060}'..='\u{2065}' | '\u{206A}'..='\u{206F}'  // invisible operators, deprecated formats
        | '\u{034F}' | '\u{115F}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{FFA0}' // fillers
        | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}' // annotations, tags, late variation selectors
    )
}

fn is_combining(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036F}' | '\u{0483}'..='\u{0489}' | '\u{1AB0}'..='\u{1AFF}'
        | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}' | '\u{FE20}'..='\u{FE2F}')
}

/// A path of ours, as the router knows it: `/account`. A page puts the issuer's own path before it.
///
/// What is no such path, a foreign address above all, becomes `/`: a link can never leave the service or
/// run a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPath(String);

impl From<&str> for LocalPath {
    fn from(path: &str) -> Self {
        let ours = path.starts_with('/')
            && !path.starts_with("//")
            && !path.contains(|c: char| c == '\\' || c.is_control());
        Self(if ours { path } else { "/" }.to_owned())
    }
}

impl From<String> for LocalPath {
    fn from(path: String) -> Self {
        Self::from(path.as_str())
    }
}

impl fmt::Display for LocalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A moment to the minute, for people: `21 November 2026, 14:05 UTC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(OffsetDateTime);

impl Moment {
    /// The machine-readable form for `<time datetime>`.
    pub fn iso(&self) -> String {
        Timestamp::from_secs(self.0.unix_timestamp()).to_string()
    }
}

/// What no calendar holds, past the year 9999, becomes 1970.
impl From<Timestamp> for Moment {
    fn from(timestamp: Timestamp) -> Self {
        let moment = OffsetDateTime::from_unix_timestamp(timestamp.as_secs());
        Self(moment.unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.0.date(), self.0.time());
        write!(f, "{} {} {}, ", date.day(), date.month(), date.year())?;
        write!(f, "{:02}:{:02} UTC", time.hour(), time.minute())
    }
}

/// A length of time in words: `10 minutes`, `90 days`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(Duration);

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
        let seconds = self.0.as_secs();
        let exact = UNITS.iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
        let coarse = UNITS.iter().find(|(unit, _)| seconds >= 2 * unit);
        let (about, (unit, word)) = match (exact, coarse) {
            (Some(exact), Some(coarse)) if exact.0 < coarse.0 && seconds / exact.0 > 120 => {
                ("about ", coarse)
            }
            (Some(exact), _) => ("", exact),
            (None, _) => return f.write_str("less than a second"),
        };
        let count = seconds / unit;
        write!(f, "{about}{count} {word}{}", if count == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("  Code\r\n\t Agent\u{2028}", "Code Agent")]
    #[case("moc.elgoog\u{202E} \u{2066}x\u{2069}", "moc.elgoog x")]
    #[case("Cl\u{200B}au\u{AD}de\u{E0041}", "Claude")]
    #[case("a\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}b", "a\u{300}\u{301}\u{302}\u{303}b")]
    #[case("\u{3164}\u{0}\u{2060}", "(no name)")]
    #[case("", "(no name)")]
    #[case("می\u{200C}خواهم 👩\u{200D}💻", "می\u{200C}خواهم 👩\u{200D}💻")]
    fn what_hides_or_reorders_is_taken_out(#[case] written: &str, #[case] shown: &str) {
        assert_eq!(Name::from(written).as_str(), shown);
    }

    #[test]
    fn a_long_text_is_cut_visibly_and_a_real_host_never() {
        assert_eq!(Plain::<5>::from("12345").as_str(), "12345");
        assert_eq!(Plain::<5>::from("123456").as_str(), "1234…");
        assert_eq!(Plain::<5>::from("123 456").as_str(), "123…");
        let host = format!("{}.example", "a.".repeat(122));
        assert_eq!(host.len(), 252);
        assert_eq!(Host::from(&host).as_str(), host);
    }

    #[rstest]
    #[case("/login/okta?interaction=1", "/login/okta?interaction=1")]
    #[case("//evil.example/", "/")]
    #[case("/\\evil.example/", "/")]
    #[case("/\t/evil.example/", "/")]
    #[case("https://evil.example/", "/")]
    #[case("javascript:alert(1)", "/")]
    #[case("", "/")]
    fn a_link_never_leaves(#[case] written: &str, #[case] shown: &str) {
        assert_eq!(LocalPath::from(written).to_string(), shown);
    }

    #[rstest]
    #[case(0, "1 January 1970, 00:00 UTC", "1970-01-01T00:00:00Z")]
    #[case(1_795_212_345_999, "20 November 2026, 22:05 UTC", "2026-11-20T22:05:45Z")]
    #[case(i64::MAX, "1 January 1970, 00:00 UTC", "1970-01-01T00:00:00Z")]
    fn a_moment_reads_well(#[case] millis: i64, #[case] words: &str, #[case] iso: &str) {
        let moment = Moment::from(Timestamp::from_millis(millis));
        assert_eq!((moment.to_string().as_str(), moment.iso().as_str()), (words, iso));
    }

    #[rstest]
    #[case(0, "less than a second")]
    #[case(1, "1 second")]
    #[case(60, "1 minute")]
    #[case(600, "10 minutes")]
    #[case(5_400, "90 minutes")]
    #[case(28_800, "8 hours")]
    #[case(100_000, "about 27 hours")]
    #[case(7_776_000, "90 days")]
    #[case(86_400_000, "1000 days")]
    fn a_span_reads_well(#[case] seconds: u64, #[case] words: &str) {
        assert_eq!(Span::from(Duration::from_secs(seconds)).to_string(), words);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_one_short_visible_line(text in any::<String>()) {
            let shown = Plain::<20>::from(&text);
            prop_assert!((1..=20).contains(&shown.as_str().chars().count()));
            prop_assert!(!shown.as_str().contains(|c: char| c.is_control() || is_hidden(c)));
            prop_assert_eq!(&Plain::from(shown.as_str()), &shown, "cleaning twice changes nothing");
        }
    }
}
