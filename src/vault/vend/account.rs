//! Which of a person's accounts is meant.

use super::interaction::Lack;
use crate::store::connections::Connection;

/// The account that is meant among `theirs`, the preferred one first. `wanted`: the connection's id, the vendor's name
/// of the account, what people call it there or what its owner calls it here.
pub(super) fn choose(theirs: Vec<Connection>, wanted: Option<&str>) -> Result<Connection, Lack> {
    let is_meant = |found: &Connection| match wanted {
        None => true,
        Some(text) => {
            let names = [Some(&found.account), found.account_name.as_ref(), found.label.as_ref()];
            found.id.as_str() == text || names.into_iter().flatten().any(|name| name == text)
        }
    };
    let mut meant = theirs.into_iter().filter(is_meant);
    let first = meant.next().ok_or(Lack::NotConnected)?;
    let is_alone = meant.next().is_none();
    if is_alone || (wanted.is_none() && first.is_default) { Ok(first) } else { Err(Lack::Several) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{ids::UserId, store::connections::fixture::connection};

    fn account(account: &str, name: &str, label: Option<&str>, is_default: bool) -> Connection {
        let user = UserId::parse(&"0".repeat(32)).unwrap();
        Connection {
            account: account.into(),
            account_name: Some(name.into()),
            label: label.map(str::to_owned),
            is_default,
            ..connection(&user)
        }
    }

    fn chosen(theirs: Vec<Connection>, wanted: Option<&str>) -> String {
        match choose(theirs, wanted) {
            Ok(chosen) => chosen.account,
            Err(lack) => lack.code().to_owned(),
        }
    }

    #[rstest]
    #[case::the_preferred_one(None, "1")]
    #[case::by_id_there("2".into(), "2")]
    #[case::by_name_there("ada-at-work".into(), "2")]
    #[case::by_label("Home".into(), "1")]
    #[case::unknown("3".into(), "not_connected")]
    #[case::not_by_part("ada-at".into(), "not_connected")]
    #[case::two_have_this_label("Both".into(), "several_accounts")]
    #[case::empty("".into(), "not_connected")]
    fn the_account_that_is_meant(#[case] wanted: Option<&str>, #[case] found: &str) {
        let theirs = vec![
            account("1", "ada", Some("Home"), true),
            account("2", "ada-at-work", Some("Both"), false),
            account("4", "Both", None, false),
        ];
        assert_eq!(chosen(theirs, wanted), found);
    }

    #[test]
    fn nobody_guesses_which_of_several() {
        let one = || account("1", "ada", None, false);
        assert_eq!(chosen(vec![], None), "not_connected");
        assert_eq!(chosen(vec![one()], None), "1");
        assert_eq!(chosen(vec![one(), account("2", "eve", None, false)], None), "several_accounts");
        let same = one();
        let id = same.id.to_string();
        assert_eq!(chosen(vec![same, account("2", "eve", None, false)], Some(&id)), "1");
    }
}
