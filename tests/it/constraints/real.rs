//! The first users' data, merged as a careful person would by hand.

use patchset_api::constraint_override::OverrideState::{Added, Outdated, Redundant, Removed, Updated};

use super::{corpus, merged, states};

/// The upper constraints with one line removed and one appended.
fn by_hand(release: &str, without: &str, with: &str) -> String {
    let text = corpus(&format!("releases/{release}/upper-constraints.txt"));
    assert_eq!(text.matches(without).count(), 1);
    format!("{}{with}", text.replace(without, ""))
}

fn merge_release(release: &str) -> upper_constraints::Merged {
    merged(
        &corpus(&format!("releases/{release}/upper-constraints.txt")),
        &corpus(&format!("overrides/{release}/constraints.txt")),
        &[],
    )
}

#[test]
fn both_releases_merge_as_by_hand() {
    for (release, horizon, entries) in [
        ("2025.2", "horizon===25.5.1\n", 603),
        ("2026.1", "horizon===25.7.0\n", 554),
    ] {
        let merged = merge_release(release);
        assert_eq!(
            merged.text,
            by_hand(release, horizon, "lhafile===0.3.1\n"),
            "{release}"
        );
        assert_eq!(states(&merged), [("horizon", Removed), ("lhafile", Added)]);
        assert_eq!(
            (merged.entries, merged.need_attention()),
            (entries, 0),
            "{release}"
        );
    }
}

#[test]
fn real_pins_that_people_would_override() {
    let base = corpus("releases/2025.2/upper-constraints.txt");
    let merged = merged(
        &base,
        "OSLO_messaging===17.1.1\nscipy===1.16.0\nscikit.learn===1.7.2;python_version >= \"3.10\"\npyyaml===6.0.2\nurllib3===1.26.19\n",
        &["glance_store"],
    );
    let expected = base
        .replace("oslo.messaging===17.1.0\n", "oslo.messaging===17.1.1\n")
        .replace("scipy===1.13.1;python_version=='3.9'\n", "scipy===1.16.0\n")
        .replace("scipy===1.15.3;python_version>='3.10'\n", "")
        .replace(
            "scikit-learn===1.7.1;python_version>='3.10'",
            "scikit-learn===1.7.2;python_version>='3.10'",
        )
        .replace("urllib3===1.26.20\n", "urllib3===1.26.19\n")
        .replace("glance_store===4.10.0;python_version=='3.9'\n", "")
        .replace("glance_store===5.2.0;python_version>='3.10'\n", "");
    assert_eq!(merged.text, expected);
    assert_eq!(
        states(&merged),
        [
            ("OSLO_messaging", Updated),
            ("scipy", Updated),
            ("scikit.learn", Updated),
            ("pyyaml", Redundant),
            ("urllib3", Outdated),
            ("glance_store", Removed)
        ]
    );
}

#[test]
fn overrides_that_upstream_has_moved_past_are_told_at_the_next_release() {
    // An override that was right for 2025.2, looked at again when the team moves to 2026.1.
    let overrides = "oslo.messaging===17.3.0\nrequests===2.32.5\n";
    let old = merged(&corpus("releases/2025.2/upper-constraints.txt"), overrides, &[]);
    assert_eq!(states(&old), [("oslo.messaging", Updated), ("requests", Updated)]);
    let new = merged(&corpus("releases/2026.1/upper-constraints.txt"), overrides, &[]);
    assert_eq!(
        states(&new),
        [("oslo.messaging", Redundant), ("requests", Redundant)]
    );
    assert_eq!(new.text, corpus("releases/2026.1/upper-constraints.txt"));
}
