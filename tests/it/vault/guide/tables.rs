//! The tables of the guide and the product name the same.

use std::collections::BTreeSet;

use chancery::vault::state::State;
use regex::Regex;

use super::GUIDE;

/// The rows of the table with this head, each with the cells of its first columns. An empty first cell is that above.
pub(crate) fn table(head: &str) -> Vec<[String; 2]> {
    let (_, below) = GUIDE.split_once(&format!("\n{head}")).unwrap_or_else(|| panic!("no table {head}"));
    let rows = below.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut first = String::new();
    rows.map(|row| {
        let cell = |number: usize| row.split('|').nth(number).unwrap().trim().to_owned();
        if !cell(1).is_empty() {
            first = cell(1);
        }
        [first.clone(), cell(2)].map(|cell| cell.replace('`', ""))
    })
    .collect()
}

/// The codes that a file of the product has at this place.
pub(crate) fn codes(source: &str, place: &str) -> BTreeSet<String> {
    let found: BTreeSet<_> =
        Regex::new(place).unwrap().captures_iter(source).map(|found| found[1].to_owned()).collect();
    assert!(!found.is_empty(), "{place} is nowhere");
    found
}

#[test]
fn the_states_of_a_connection_are_those_of_the_guide() {
    let told = table("| state | reason |").into_iter();
    let told: BTreeSet<_> =
        told.map(|[state, why]| if why.is_empty() { state } else { format!("{state}:{why}") }).collect();
    assert_eq!(told, State::ALL.iter().map(ToString::to_string).collect());
}

#[test]
fn what_is_not_revoked_is_for_the_reasons_of_the_guide() {
    let told = table("| event | reason | means |").into_iter();
    let told: BTreeSet<_> =
        told.filter_map(|[event, why]| (event == "connection.not_revoked").then_some(why)).collect();
    let source = include_str!("../../../../src/vault/revoke.rs");
    assert_eq!(told, codes(source, r#"Some\(\(?"([a-z_]+)""#));
}
