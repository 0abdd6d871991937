//! What a loop of sed gets wrong, one test a fault; and the rules at the edges.

use rstest::rstest;
use upper_constraints::OverrideState::{Absent, Added, Outdated, Redundant, Removed, Updated};
use upper_constraints::{Cause, ConstraintsFile, Overrides, VersionChange, merge};

use super::{merged, states};

#[test]
fn a_dot_matches_only_itself_and_its_equals() {
    let base = "osloxlog===1\noslo.log===1\noslo.log.extra===1\n";
    let done = merged(base, "oslo.log===2\n", &[]);
    assert_eq!(done.text, "osloxlog===1\noslo.log===2\noslo.log.extra===1\n");
}

#[test]
fn an_absent_package_is_added_and_an_absent_removal_is_told() {
    let done = merged("a===1\n", "b===2\n-c\n", &[]);
    assert_eq!(done.text, "a===1\nb===2\n");
    assert_eq!(states(&done), [("b", Added), ("c", Absent)]);
    assert_eq!(done.need_attention(), 1);
}

#[test]
fn markers_stay_where_the_override_names_them() {
    let base = "alabaster===0.7.16;python_version=='3.9'\nb===1\nalabaster===1.0.0;python_version>='3.10'\n";
    let one = merged(base, "alabaster===1.0.1;python_version >= \"3.10\"\n", &[]);
    assert_eq!(
        one.text,
        "alabaster===0.7.16;python_version=='3.9'\nb===1\nalabaster===1.0.1;python_version>='3.10'\n"
    );
    let all = merged(base, "alabaster===1.0.1\n", &[]);
    assert_eq!(all.text, "alabaster===1.0.1\nb===1\n");
    assert_eq!(
        all.outcomes[0].from_text().unwrap(),
        "0.7.16 (python_version=='3.9'), 1.0.0 (python_version>='3.10')"
    );
    let both = merged(
        base,
        "alabaster===0.7.17;python_version=='3.9'\nalabaster===1.0.1;python_version>='3.10'\n",
        &[],
    );
    assert_eq!(
        both.text,
        "alabaster===0.7.17;python_version=='3.9'\nb===1\nalabaster===1.0.1;python_version>='3.10'\n"
    );
    let removed = merged(base, "-alabaster;python_version=='3.9'\n", &[]);
    assert_eq!(removed.text, "b===1\nalabaster===1.0.0;python_version>='3.10'\n");
    assert_eq!(states(&removed), [("alabaster", Removed)]);
}

#[rstest]
fn names_are_the_same_by_pep_503(
    #[values("Oslo.Messaging", "oslo_messaging", "oslo-messaging", "OSLO--.messaging")] base: &str,
    #[values("oslo.messaging", "Oslo_Messaging", "oslo-messaging")] name: &str,
) {
    let done = merged(&format!("{base}===1\n"), &format!("{name}===2\n"), &[]);
    assert_eq!(done.text, format!("{base}===2\n"));
    assert_eq!(
        merged(&format!("{base}===1\n"), &format!("-{name}\n"), &[]).text,
        ""
    );
    assert_eq!(merged(&format!("{base}===1\n"), "", &[name]).text, "");
}

#[test]
fn an_override_that_became_pointless_is_told() {
    let overrides = "a===2\nb===2\nc===2 # downgrade: 3 breaks us\n";
    let done = merged("a===2\nb===3\nc===3\n", overrides, &[]);
    assert_eq!(states(&done), [("a", Redundant), ("b", Outdated), ("c", Updated)]);
    assert_eq!(done.text, "a===2\nb===2\nc===2\n");
    assert_eq!(done.outcomes[2].change, Some(VersionChange::Downgrade));
    assert_eq!(done.need_attention(), 2);
}

#[rstest]
// Versions compare by PEP 440, not by their text.
#[case("a===1.9", "a===1.10", Updated)]
#[case("a===2.0.0rc1", "a===2.0.0", Updated)]
#[case("a===2.0.0", "a===2.0.0rc1", Outdated)]
#[case("a===2.0.0", "a===2.0.0.post1", Updated)]
#[case("a===1!1.0", "a===2.0", Outdated)]
// The same version spelled differently is another constraint: === compares texts.
#[case("a===1.0", "a===1.0.0", Updated)]
#[case("a==1.0", "a===1.0.0", Redundant)]
#[case("a===1.0+sap1", "a===1.0+sap2", Updated)]
// An entry that pins no single version is replaced.
#[case("a>=1,<2", "a===1.5", Updated)]
#[case("a>=1.5", "a===1.5", Updated)]
#[case("a==1.5.*", "a===1.5", Updated)]
#[case("a", "a===1.5", Updated)]
#[case("a @ https://example.org/a.whl", "a===1.5", Updated)]
#[case("a===2004d", "a===1.5", Updated)]
// The newest of upstream's entries counts.
#[case("a===1;python_version<'3.9'\na===3;python_version>='3.9'", "a===2", Outdated)]
#[case("a===1;python_version<'3.9'\na===3;python_version>='3.9'", "a===3", Updated)]
#[case("a===3;python_version>='3.9'", "a===3", Updated)]
#[case("a===3;python_version>='3.9'", "a===3;python_version>='3.9'", Redundant)]
fn how_versions_compare(
    #[case] base: &str,
    #[case] overrides: &str,
    #[case] state: upper_constraints::OverrideState,
) {
    assert_eq!(states(&merged(base, overrides, &[])), [("a", state)]);
}

#[rstest]
#[case("a===1", "a===2", Some(VersionChange::Upgrade))]
#[case("a===2", "a===1", Some(VersionChange::Downgrade))]
// The same version, for more environments than it was pinned for.
#[case("a===3;python_version>='3.9'", "a===3", None)]
#[case("a===3;python_version<'3.9'\na===3.0;python_version>='3.9'", "a===3", None)]
// The newest, if an older one was pinned too.
#[case(
    "a===1;python_version<'3.9'\na===3;python_version>='3.9'",
    "a===3",
    Some(VersionChange::Upgrade)
)]
#[case("a>=1", "a===3", None)]
fn how_a_version_relates_to_the_newest_of_before(
    #[case] base: &str,
    #[case] overrides: &str,
    #[case] change: Option<VersionChange>,
) {
    assert_eq!(merged(base, overrides, &[]).outcomes[0].change, change);
}

#[test]
fn what_the_merged_file_has_is_counted_and_identified() {
    let base = "a===1\nb===1\nc===1;python_version<'3.9'\nc===2;python_version>='3.9'\n# d\n";
    for (overrides, entries) in [
        ("", 4),
        ("a===2\n", 4),
        ("-a\n", 3),
        ("c===3\n", 3),
        ("e===1\nf===1\n", 6),
        ("-a\ne===1\n", 4),
    ] {
        let done = merged(base, overrides, &[]);
        assert_eq!(done.entries, entries, "{overrides}");
        let read = ConstraintsFile::parse(done.text.as_bytes()).unwrap();
        assert_eq!(read.entries().len(), entries, "{overrides}");
    }
    // printf 'a===1\n' | sha256sum
    let digest = "sha256:a4f5e2e314417f16dd504c0c5ff228e1acf1bbb4bf1c43ef88051a1f3c97cab0";
    assert_eq!(merged("a===1\n", "", &[]).digest(), digest);
    assert_eq!(upper_constraints::digest(b"a===1\n"), digest);
}

#[test]
fn lines_keep_their_endings_places_and_comments() {
    let base = "# head\r\n\r\nA===1  # why\r\n  b===1\t\r\nc===1 \\\r\n  --hash=sha256:00 # both\r\nd===1";
    let done = merged(base, "a===2\nb===2\nc===2\nd===2\ne===2\n", &[]);
    assert_eq!(
        done.text,
        "# head\r\n\r\nA===2  # why\r\n  b===2\t\r\nc===2 # both\r\nd===2\r\ne===2\r\n"
    );
    assert_eq!(
        merged(base, "-c\n-d\n", &[]).text,
        "# head\r\n\r\nA===1  # why\r\n  b===1\t\r\n"
    );
    assert_eq!(merged("", "a===1\n", &[]).text, "a===1\n");
}

#[test]
fn what_is_built_from_source_loses_its_pin_whatever_an_override_says() {
    let done = merged("a===1\nb===1\n", "a===2\n-b\n", &["A", "b", "a", "c"]);
    assert_eq!(done.text, "");
    assert_eq!(
        states(&done),
        [("a", Redundant), ("b", Removed), ("a", Removed), ("c", Absent)]
    );
    // The override of a is pointless; that upstream does not pin c is fine.
    assert_eq!(done.need_attention(), 1);
    assert!(done.outcomes[0].message().contains("built from source"));
    // What an override does itself has the override as its cause.
    let causes: Vec<Cause> = done.outcomes.iter().map(|outcome| outcome.cause).collect();
    let (by_override, by_source) = (Cause::Override, Cause::BuiltFromSource);
    assert_eq!(causes, [by_source, by_override, by_source, by_source]);
    assert_eq!(merged("a===1\n", "a===2\n", &[]).outcomes[0].cause, by_override);
}

#[test]
fn a_marker_that_contradicts_upstream_is_an_error() {
    let told = |base: &str, overrides: &str| {
        let base = ConstraintsFile::parse(base.as_bytes()).unwrap();
        merge(&base, &Overrides::parse(overrides.as_bytes()).unwrap(), &[]).map_err(|e| e.to_string())
    };
    let error = told("x===1\na===1\n", "\na===2;python_version>='3.10'\n").unwrap_err();
    assert!(
        error
            .starts_with("overrides: line 2: a where python_version>='3.10' contradicts line 2 of the upper"),
        "{error}"
    );
    let apart = told("a===1;python_version=='3.9'\n", "a===2;python_version>='3.10'\n").unwrap();
    assert_eq!(
        apart.text,
        "a===1;python_version=='3.9'\na===2;python_version>='3.10'\n"
    );
    assert_eq!(states(&apart), [("a", Added)]);
}

#[test]
fn addresses_with_credentials_are_not_told() {
    let done = merged("a @ https://user:secret@example.org/a.whl\n", "a===1\n", &[]);
    assert_eq!(done.text, "a===1\n");
    assert!(!format!("{:?}", done.outcomes).contains("secret"));
}

#[test]
fn an_override_has_one_problem_however_many_entries_it_contradicts() {
    let base = ConstraintsFile::parse("a===1\n".repeat(32).as_bytes()).unwrap();
    let overrides = Overrides::parse(b"a===2;os_name=='nt'\n-b\na===2;os_name!='nt'\n").unwrap();
    let error = merge(&base, &overrides, &[]).unwrap_err();
    let lines: Vec<usize> = error.problems().iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [1, 3]);
    assert!(
        error.problems()[0]
            .message
            .contains("contradicts line 1 of the upper")
    );
}

#[test]
fn a_byte_order_mark_stays_where_it_is() {
    let done = merged("\u{feff}a===1\nb===1\n", "\u{feff}a===2\n-b\n", &[]);
    assert_eq!(done.text, "\u{feff}a===2\n");
    let emptied = merged("\u{feff}a===1", "-a\nb===1\n", &[]);
    assert_eq!(emptied.text, "\u{feff}b===1\n");
    let lines: Vec<_> = emptied
        .outcomes
        .iter()
        .map(|outcome| outcome.merged_line)
        .collect();
    assert_eq!(lines, [Some(1), Some(1)]);
}
