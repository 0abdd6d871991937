//! Arbitrary constraints and overrides against a model without a parser: lines with their packages.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{merged, states};
use upper_constraints::OverrideState;

/// A piece of a constraints file, and the package that it pins.
#[derive(Clone, Debug)]
struct Piece {
    text: String,
    package: Option<u8>,
}

/// Spellings of the name of package `n`; all are the same by PEP 503.
fn spelled(n: u8, how: u8) -> String {
    let separator = ["-", "_", ".", "--", "_."][usize::from(how % 5)];
    let name = format!("pkg{separator}{n}");
    if how.is_multiple_of(2) {
        name
    } else {
        name.to_uppercase()
    }
}

fn piece() -> impl Strategy<Value = Piece> {
    let entry = (0u8..12, any::<u8>(), 0u32..50, 0u8..7).prop_map(|(n, how, version, form)| {
        let name = spelled(n, how);
        let text = match form {
            0 => format!("{name}==={version}.0"),
            1 => format!("  {name} === {version}.0 "),
            2 => format!("{name}==={version}.0 # why not; {name}"),
            3 => format!("{name}==={version}.0;python_version>='3.9'"),
            4 => format!("{name}>={version},<99"),
            5 => format!("{name}==={version}.0 \\\n    --hash=sha256:{version:064}"),
            _ => format!("{name}\t==={version}.0\t#"),
        };
        Piece {
            text,
            package: Some(n),
        }
    });
    let other = prop_oneof![
        Just(String::new()),
        "# [ -~]{0,20}[ -\\[\\]-~]",
        Just("   ".to_owned()),
        Just("--pre".to_owned()),
        Just("#\u{fc}ber\u{1f980}".to_owned()),
    ]
    .prop_map(|text| Piece { text, package: None });
    prop_oneof![3 => entry, 2 => other]
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    (
        prop::collection::vec((piece(), prop::sample::select(vec!["\n", "\r\n"])), 0..40),
        any::<bool>(),
    )
        .prop_map(|(pieces, ends)| {
            let last = pieces.len();
            pieces
                .into_iter()
                .enumerate()
                .map(|(at, (mut piece, ending))| {
                    if ends || at + 1 < last {
                        piece.text.push_str(ending);
                    }
                    piece
                })
                .collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn lines_that_no_override_touches_never_change(
        pieces in pieces(),
        overrides in prop::collection::btree_map(0u8..16, (any::<u8>(), prop::option::of(0u32..50)), 0..8),
    ) {
        let base: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
        let text: String = overrides.iter().map(|(n, (how, version))| match version {
            Some(version) => format!("{}==={version}.0\n", spelled(*n, *how)),
            None => format!("-{}\n", spelled(*n, *how)),
        }).collect();
        let done = merged(&base, &text, &[]);
        let of: BTreeMap<u8, OverrideState> = overrides
            .keys()
            .zip(states(&done))
            .map(|(n, (_, state))| (*n, state))
            .collect();

        // All that remains of upstream's pieces is there, byte for byte and in order.
        let mut rest = done.text.as_str();
        let mut replaced = BTreeSet::new();
        for piece in &pieces {
            let changed = piece.package.and_then(|n| Some((n, *of.get(&n)?)));
            match changed {
                None | Some((_, OverrideState::Redundant)) => {
                    prop_assert!(rest.starts_with(&piece.text), "{:?} is gone: {:?}", piece.text, rest);
                    rest = &rest[piece.text.len()..];
                }
                Some((n, OverrideState::Updated | OverrideState::Outdated)) if replaced.insert(n) => {
                    let end = rest.find('\n').map_or(rest.len(), |at| at + 1);
                    let version = overrides[&n].1.unwrap();
                    prop_assert!(rest[..end].contains(&format!("==={version}.0")), "{:?}", &rest[..end]);
                    rest = &rest[end..];
                }
                Some(_) => {}
            }
        }
        // The rest was added.
        let added: Vec<&str> = rest.lines().filter(|line| !line.is_empty()).collect();
        let expected = of.values().filter(|state| **state == OverrideState::Added).count();
        prop_assert_eq!(added.len(), expected, "{:?}", rest);

        // Merging again changes nothing.
        let again = merged(&done.text, &text, &[]);
        prop_assert_eq!(&again.text, &done.text);
        for (_, state) in states(&again) {
            prop_assert!(matches!(state, OverrideState::Redundant | OverrideState::Absent), "{state:?}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        base in "[a-c0-9 ._\\-\\[\\]();=<>!~,'\"@#\\\\$\\n\u{a1}]{0,60}|[a-c](\\[[a-c,._-]{0,5}\\])?[ =<>!~]{0,4}[0-9a-c.+!*-]{0,6};?(python_version|os_name|extra| |and|or|not|in|[=<>()'\"0-9.]){0,12}",
        overrides in "[a-c0-9 ._=;#-]{0,40}|.{0,100}",
        bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        use upper_constraints::{ConstraintsFile, Overrides, merge};
        let _ = ConstraintsFile::parse(&bytes);
        let _ = Overrides::parse(&bytes);
        if let (Ok(base), Ok(overrides)) = (
            ConstraintsFile::parse(base.as_bytes()),
            Overrides::parse(overrides.as_bytes()),
        ) {
            let _ = merge(&base, &overrides, &[]);
        }
    }
}
