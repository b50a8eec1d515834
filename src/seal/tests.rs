//! Every way in which a sealed value can be misused.

use proptest::prelude::*;

use super::{
    fixture::{at_once, sealer},
    *,
};
use crate::clock::Timestamp;

const CONTEXT: SealContext<'static> = SealContext {
    table: "connections",
    column: "tokens",
    row: "r1",
    owner: "u1",
    provider: "github",
    version: 7,
};

fn seal(sealer: &Sealer, plaintext: &[u8]) -> Sealed {
    at_once(sealer.seal(&Entropy::System, &CONTEXT, plaintext)).unwrap()
}

fn open(sealer: &Sealer, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    open_at(sealer, &CONTEXT, sealed)
}

fn open_at(
    sealer: &Sealer,
    context: &SealContext<'_>,
    sealed: &Sealed,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    at_once(sealer.open(context, sealed))
}

#[test]
fn what_was_sealed_opens_in_its_place() {
    let sealer = sealer(&[("a", 1)]);
    let sealed = seal(&sealer, b"upstream token");
    assert_eq!(**open(&sealer, &sealed).unwrap(), *b"upstream token");
}

#[test]
fn no_two_seals_share_a_byte_sequence() {
    let sealer = sealer(&[("a", 1)]);
    let [one, two] = [(); 2].map(|()| seal(&sealer, &[0; 64]).0);
    let header = 3 + 1;
    assert_eq!(one[..header], two[..header]);
    assert!(one[header..].windows(12).all(|window| !two.windows(12).any(|other| other == window)));
}

#[test]
fn the_plaintext_is_nowhere_in_the_envelope() {
    let sealed = seal(&sealer(&[("a", 1)]), b"gho_upstream_token").0;
    assert!(!sealed.windows(8).any(|window| window == b"upstream"));
}

/// Row swap, column swap, table swap, owner swap, provider swap, and the return of an older version.
#[test]
fn a_moved_value_does_not_open() {
    let sealer = sealer(&[("a", 1)]);
    let sealed = seal(&sealer, b"x");
    let elsewhere = [
        SealContext { table: "sessions", ..CONTEXT },
        SealContext { column: "refresh_token", ..CONTEXT },
        SealContext { row: "r2", ..CONTEXT },
        SealContext { owner: "u2", ..CONTEXT },
        SealContext { provider: "slack", ..CONTEXT },
        SealContext { version: 8, ..CONTEXT },
        SealContext { version: 6, ..CONTEXT },
        // The same letters, cut at another place.
        SealContext { row: "r1u", owner: "1", ..CONTEXT },
        SealContext { row: "", owner: "r1u1", ..CONTEXT },
    ];
    for context in elsewhere {
        assert_eq!(open_at(&sealer, &context, &sealed), Err(OpenError::Tampered), "{context:?}");
    }
}

#[test]
fn no_shortened_value_opens() {
    let sealer = sealer(&[("a", 1)]);
    let sealed = seal(&sealer, b"upstream token").0;
    for length in 0..sealed.len() {
        assert!(open(&sealer, &Sealed(sealed[..length].to_vec())).is_err(), "{length} bytes");
    }
    let lengthened = Sealed([sealed.as_slice(), &[0]].concat());
    assert_eq!(open(&sealer, &lengthened), Err(OpenError::Tampered));
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let sealer = sealer(&[("a", 1), ("b", 2)]);
    let sealed = seal(&sealer, b"upstream token").0;
    for at in 0..sealed.len() {
        for bit in 0..8 {
            let mut changed = sealed.clone();
            changed[at] ^= 1 << bit;
            assert!(open(&sealer, &Sealed(changed)).is_err(), "byte {at}, bit {bit}");
        }
    }
}

/// Two envelopes of the same place: no mixture of their parts opens.
#[test]
fn no_mixture_of_two_values_opens() {
    let sealer = sealer(&[("a", 1)]);
    let [one, two] = [(); 2].map(|()| seal(&sealer, b"upstream token").0);
    let ends = [4, 4 + 32, 4 + 32 + 32, 4 + 32 + 32 + 48, one.len() - 30];
    for from in ends {
        let spliced = Sealed([&one[..from], &two[from..]].concat());
        let expected = open(&sealer, &spliced);
        assert!(from == 4 || expected.is_err(), "from byte {from}");
    }
}

#[test]
fn formats_and_algorithms_to_come_are_refused() {
    let sealer = sealer(&[("a", 1)]);
    let sealed = seal(&sealer, b"x").0;
    for (at, value) in [(0, 0), (0, 3), (1, 0), (1, 3)] {
        let mut changed = sealed.clone();
        changed[at] = value;
        assert_eq!(open(&sealer, &Sealed(changed)), Err(OpenError::Unknown));
    }
}

#[test]
fn the_first_key_seals_and_all_open() {
    let old = seal(&sealer(&[("a", 1)]), b"x");
    let rotated = sealer(&[("b", 2), ("a", 1)]);
    assert_eq!(**open(&rotated, &old).unwrap(), *b"x");
    let new = seal(&rotated, b"x");
    assert_eq!(open(&sealer(&[("a", 1)]), &new), Err(OpenError::UnknownKey("b".into())));
    assert_eq!(open(&sealer(&[("b", 1)]), &new), Err(OpenError::WrongKey("b".into())));
}

/// The key id is authenticated: the same key under another name does not open.
#[test]
fn a_value_cannot_be_relabelled_with_another_key_id() {
    let mut sealed = seal(&sealer(&[("a", 1)]), b"x").0;
    sealed[3] = b'b';
    assert_eq!(open(&sealer(&[("b", 1)]), &Sealed(sealed)), Err(OpenError::Tampered));
}

#[test]
fn keys_that_cannot_seal_are_refused() {
    let refused = |ids: &[&str]| {
        let keys: Vec<_> = ids.iter().map(|id| EncryptionKey::local(id, [1; 32])).collect();
        Sealer::new(&keys, &Clock::manual(Timestamp::from_secs(1))).unwrap_err()
    };
    assert_eq!(refused(&[]), KeysError::None);
    assert_eq!(refused(&["a", "a"]), KeysError::Twice("a".into()));
    assert_eq!(refused(&[""]), KeysError::Id(String::new()));
    assert!(matches!(refused(&[&"x".repeat(65)]), KeysError::Id(_)));
}

#[test]
fn nothing_secret_prints() {
    let sealer = sealer(&[("a", 1)]);
    let sealed = at_once(sealer.seal(&Entropy::seeded(1), &CONTEXT, b"x")).unwrap();
    assert!(!format!("{sealer:?}").contains('1'), "{sealer:?}");
    assert_eq!(format!("{sealed:?}"), "208 sealed bytes");
}

/// The format is what lies in databases, so this value must open for ever.
#[test]
fn a_value_of_the_first_version_opens() {
    const HEX: &str = "010107323032362d31317848b5d711bc9883996317a3f9c90269d56771005d540a19184939c9e8d0db2a7cbfdb469ea8\
        8766ffdffd3068cb125cc630203a685b881d997817b0d29fa18c188359b41636b58621a9c9e67b2f8563a1fc205288ca\
        f2fd84082152f8d51187c3968c9593c425eae6b35eeee781e28e55f292a9a75dc429aa86f5fb6cc8ef99e614c9e3bcb5\
        ca54d8434364e6b3bcf0";
    let bytes =
        (0..HEX.len()).step_by(2).map(|at| u8::from_str_radix(&HEX[at..at + 2], 16).unwrap()).collect();
    assert_eq!(**open(&sealer(&[("2026-11", 9)]), &Sealed(bytes)).unwrap(), *b"kept");
}

proptest! {
    #[test]
    fn anything_sealed_opens(plaintext: Vec<u8>, row: String, owner: String, version: i64) {
        let sealer = sealer(&[("a", 1)]);
        let context = SealContext { row: &row, owner: &owner, version, ..CONTEXT };
        let sealed = at_once(sealer.seal(&Entropy::System, &context, &plaintext)).unwrap();
        prop_assert_eq!(&**open_at(&sealer, &context, &sealed).unwrap(), &plaintext);
    }

    #[test]
    fn nothing_else_opens(bytes: Vec<u8>, id in "[ab]") {
        let sealer = sealer(&[("a", 1)]);
        prop_assert!(open(&sealer, &Sealed(bytes.clone())).is_err());
        for header in [[1, 1, 1], [2, 1, 1], [2, 2, 1]] {
            let shaped = [&header, id.as_bytes(), &bytes].concat();
            prop_assert!(open(&sealer, &Sealed(shaped)).is_err());
        }
    }

    #[test]
    fn contexts_have_different_bytes(a in "[ab]{0,3}", b in "[ab]{0,3}", c in "[ab]{0,3}", d in "[ab]{0,3}") {
        let one = SealContext { row: &a, owner: &b, ..CONTEXT };
        let two = SealContext { row: &c, owner: &d, ..CONTEXT };
        let same = one.of_data(Format::Padded) == two.of_data(Format::Padded);
        prop_assert_eq!(same, (&a, &b) == (&c, &d));
    }
}
