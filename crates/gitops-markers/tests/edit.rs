//! Edits of files with markers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gitops_markers::{DeliveredImage, EditError, EditedFile, MAX_FILE_BYTES, PatchSetName, edit_file};
use rstest::rstest;

fn image() -> DeliveredImage {
    DeliveredImage {
        patch_set: PatchSetName::new("ours", "glance"),
        repository: "registry.example.org:5000/glance".to_owned(),
        tag: "31.0.0-p2".to_owned(),
        digest: "sha256:00ff".to_owned(),
        reference: "registry.example.org:5000/glance:31.0.0-p2@sha256:00ff".to_owned(),
        revision: "31.0.0@sha1:00".to_owned(),
    }
}

/// Edits with the image of `ours:glance`.
fn edited(text: &str) -> Result<EditedFile, EditError> {
    let image = image();
    edit_file(text, |patch_set| {
        (*patch_set == image.patch_set).then_some(&image)
    })
}

fn changed(text: &str) -> String {
    let edited = edited(text).unwrap();
    assert_eq!(edited.problems, []);
    edited.text.expect("nothing changed")
}

/// How a value replaces another: in its quotes, or in new quotes if it needs them.
#[rstest]
#[case::plain("a: old", "tag", "a: 31.0.0-p2")]
#[case::reference(
    "a: old",
    "reference",
    "a: registry.example.org:5000/glance:31.0.0-p2@sha256:00ff"
)]
#[case::repository("a: old", "repository", "a: registry.example.org:5000/glance")]
#[case::digest("a: old", "digest", "a: sha256:00ff")]
#[case::single_quotes("a: 'o''ld'", "tag", "a: '31.0.0-p2'")]
#[case::double_quotes("a: \"o\\tld\"", "tag", "a: \"31.0.0-p2\"")]
#[case::anchor("a: &x old", "tag", "a: &x 31.0.0-p2")]
#[case::string_tag("a: !!str 5", "tag", "a: !!str 31.0.0-p2")]
#[case::item("- - old", "tag", "- - 31.0.0-p2")]
#[case::document("---\nx", "tag", "---\n31.0.0-p2")]
#[case::in_braces("a: {b: old,", "tag", "a: {b: 31.0.0-p2,")]
#[case::colon_in_braces("a: {b: old,", "digest", "a: {b: \"sha256:00ff\",")]
#[case::colon_behind_braces("x: {y: z}\na: old", "digest", "x: {y: z}\na: sha256:00ff")]
fn a_value_keeps_its_style(#[case] before: &str, #[case] field: &str, #[case] after: &str) {
    let rest = format!(" # {{\"$patchset\": \"ours:glance:{field}\"}}\n");
    let end = if before.contains("{b") { "}\n" } else { "" };
    let text = format!("{before}{rest}{end}");
    let edited = edited(&text).unwrap();
    assert_eq!(edited.problems, []);
    assert_eq!(edited.text.unwrap(), format!("{after}{rest}{end}"));
    let lines = before.matches('\n').count() + 1;
    let [change] = edited.changes.as_slice() else {
        panic!("{:?}", edited.changes);
    };
    assert_eq!(
        (change.line, edited.followed.len(), edited.values.len()),
        (lines, 1, 1)
    );
    assert_eq!(edited.values[0].value, change.before);
    assert!(after.contains(&change.after), "{change:?}");
}

#[rstest]
#[case::no_marker("a: {{ .Values }}: [ # $other\n")]
#[case::flux("a: b # {\"$imagepolicy\": \"ours:glance:tag\"}\n# $patchset is used elsewhere\n")]
#[case::others("a: b # {\"$patchset\": \"theirs:glance:tag\"}\n")]
#[case::text("a: |\n  image: b # {\"$patchset\": \"theirs:glance:tag\"}\nb: \"\n  # {$patchset: x}\"\n")]
#[case::quoted("a: 'x # {\"$patchset\": \"ours:glance:tag\"}'\n")]
#[case::quoted_twice("a: 'x # {\"$patchset\": \"ours:glance:tag\"} # y'\n")]
#[case::commented_out("a: b\n# image: b # {\"$patchset\": \"ours:glance:tag\"}\n")]
#[case::commented_out_in_a_map("a:\n \t # image: b # {\"$patchset\": \"ours:glance:tag\"}\n  b: c\n")]
#[case::commented_out_at_the_start("\u{feff}# image: b # {\"$patchset\": \"ours:glance:tag\"}\na: b\n")]
fn what_is_not_marked_stays(#[case] text: &str) {
    let edited = edited(text).unwrap();
    // Markers of others are seen, and left alone.
    let values = edited.values.clone();
    assert!(
        values
            .iter()
            .all(|value| value.marker.patch_set.namespace == "theirs")
    );
    assert_eq!(
        edited,
        EditedFile {
            values,
            ..EditedFile::default()
        }
    );
}

#[rstest]
#[case("a: | # {\"$patchset\": \"ours:glance:tag\"}\n  b\n", (1, 6), "no value before it")]
#[case("a: b\n  c # {\"$patchset\": \"ours:glance:tag\"}\n", (2, 5), "several lines")]
#[case("a: # {\"$patchset\": \"ours:glance:tag\"}\n  b: c\n", (1, 4), "no value before it")]
#[case("a: [b, c] # {\"$patchset\": \"ours:glance:tag\"}\n", (1, 11), "after a list or a map")]
#[case("a: {b: c} # {\"$patchset\": \"ours:glance:tag\"}\n", (1, 11), "after a list or a map")]
#[case("a: !!int 5\n# {\"$patchset\": \"ours:glance:tag\"}\n", (2, 1), "no value before it")]
#[case("a: |\n  b\n# {\"$patchset\": \"ours:glance:tag\"}\n", (3, 1), "no value before it")]
#[case("x: &x v\na: *x # {\"$patchset\": \"ours:glance:tag\"}\n", (2, 7), "no value before it")]
#[case("ä: b # {\"$patchset\": \"ours:glance:version\"}\n", (1, 6), "repository, tag, digest or reference")]
#[case("# {\"$patchset\": \"ours:glance:tag\"}\na: b\n", (1, 1), "no value before it")]
#[case("\u{feff}# {\"$patchset\": \"ours:glance:tag\"}\na: b\n", (1, 1), "no value before it")]
#[case("a: v1 # text # {\"$patchset\": \"ours:glance:tag\"}\n", (1, 7), "after another comment")]
#[case("a: |\n  x\n  b: c # {\"$patchset\": \"ours:glance:tag\"}\n", (3, 8), "a text of several lines")]
#[case("a: >-\r\n  b # {\"$patchset\": \"ours:glance\"}\r\n", (2, 5), "a text of several lines")]
#[case("a: \"x\n  b # {\\\"$patchset\\\": 1}\n  '# {\"\n# {\"$patchsets\": \"ours:glance\"}\n", (4, 1), "\"$patchsets\", which is unknown")]
#[case("a: 'x\n  b # {\"$patchset\": \"ours:glance\"}\n  c'\n", (2, 5), "a text of several lines")]
#[case("a: !!int 5 # {\"$patchset\": \"ours:glance:tag\"}\n", (1, 12), "tag !!int")]
#[case("a: !<x:y> v # {\"$patchset\": \"ours:glance:tag\"}\n", (1, 13), "tag !<x:y>")]
#[case("a: &an:chor v # {\"$patchset\": \"ours:glance:tag\"}\n", (1, 15), "ends earlier for some readers")]
#[case("a: {{ .image }} # {\"$patchset\": \"ours:glance:tag\"}\n", (1, 17), "mark its values file")]
#[case("a: ENC[AES256_GCM,data:x] # {\"$patchset\": \"ours:glance:tag\"}\n", (1, 27), "encrypted by SOPS")]
#[case("a: {\n# {\"$patchset\": \"ours:glance:tag\"}\n", (1, 4), "is not YAML")]
#[case("a:\n\tb: v1 # {\"$patchset\": \"ours:glance:tag\"}\n", (2, 2), "indented with a tab")]
#[case("a: b\n  \tc: v1 # {\"$patchset\": \"ours:glance:tag\"}\n", (2, 5), "indented with a tab")]
#[case("a: b\n...\n# {\"$patchset\": \"ours:glance:tag\"}\n---\nc: [\n", (3, 1), "no value before it")]
#[case("{{- if x }}\na: b # {\"$patchset\": \"ours:glance:tag\"}\n{{- end }}\n", (1, 3), "mark its values file")]
#[case("a: v\u{85}b: c # {\"$patchset\": \"ours:glance:tag\"}\n", (1, 7), "is not YAML")]
#[case("a: 'v\u{2028}b' # {\"$patchset\": \"ours:glance:tag\"}\n", (1, 10), "at which some readers end it")]
fn a_marker_that_cannot_be_followed_is_told_and_the_others_are_followed(
    #[case] text: &str,
    #[case] place: (usize, usize),
    #[case] expected: &str,
) {
    let good = "---\nz: old # {\"$patchset\": \"ours:glance:tag\"}\n";
    let edited = edited(&format!("{text}{good}")).unwrap();
    let [problem] = edited.problems.as_slice() else {
        panic!("{edited:?}");
    };
    assert!(problem.message.contains(expected), "{}", problem.message);
    assert_eq!((problem.line, problem.column), place);
    assert_eq!(
        edited.text.unwrap(),
        format!("{text}{}", good.replace("old", "31.0.0-p2"))
    );
}

#[test]
fn what_cannot_be_read_is_left_alone() {
    for text in [
        "a: [b # {\"$patchset\": \"ours:glance:tag\"}\n",
        "{{- if x }}\na: b # {\"$patchset\": \"ours:glance:tag\"}\n{{- end }}\n",
        "a: b: c # {\"$patchset\": \"ours:glance:tag\"}\n",
        "\"$patchset\u{0}",
    ] {
        let error = edited(text).unwrap_err().to_string();
        assert!(error.contains("left as it is"), "{text:?}: {error}");
    }
    let good = "a: old # {\"$patchset\": \"ours:glance:tag\"}\n#";
    let largest = format!("{good}{}", " ".repeat(MAX_FILE_BYTES - good.len()));
    assert!(edited(&largest).unwrap().text.is_some());
    let large = format!("{}# $patchset\n", "a: b\n".repeat(MAX_FILE_BYTES / 5));
    assert!(matches!(edited(&large), Err(EditError::TooLarge(_))));
    let many = "- b # {\"$patchset\": \"ours:glance:tag\"}\n".repeat(10_001);
    assert_eq!(edited(&many), Err(EditError::TooMany(10_001)));
}

#[test]
fn a_tab_may_stand_before_a_marker() {
    let result = changed("a: old\t# {\"$patchset\": \"ours:glance:tag\"}\r\n");
    assert_eq!(result, "a: 31.0.0-p2\t# {\"$patchset\": \"ours:glance:tag\"}\r\n");
}

#[test]
fn a_value_that_says_what_is_wanted_and_is_no_string_is_quoted() {
    let mut image = image();
    for (tag, is_string) in [
        ("1.20", false),
        ("0362525", false),
        ("706798e8", false),
        ("true", false),
        ("0O17", false),
        ("31.0.0", true),
        ("v1", true),
    ] {
        tag.clone_into(&mut image.tag);
        for (value, is_there) in [
            (tag.to_owned(), is_string),
            (format!("! {tag}"), is_string),
            (format!("!!str {tag}"), true),
            (format!("'{tag}'"), true),
        ] {
            let text = format!("a: {value} # {{\"$patchset\": \"ours:glance:tag\"}}\n");
            let edited = edit_file(&text, |_| Some(&image)).unwrap();
            assert_eq!(edited.text.is_none(), is_there, "{text}");
            let quoted = text.replace(tag, &format!("\"{tag}\""));
            assert_eq!(edited.text.unwrap_or(quoted.clone()), quoted, "{text}");
        }
    }
}

#[rstest]
#[case::all_values("", false)]
#[case::all_values_by_word("    mac_only_encrypted: false\n", false)]
#[case::encrypted_values("    mac_only_encrypted: true\n", true)]
fn a_file_with_a_check_sum_of_sops_is_edited_where_it_can_still_be_decrypted(
    #[case] more: &str,
    #[case] is_edited: bool,
) {
    let text = format!(
        "image: old # {{\"$patchset\": \"ours:glance:tag\"}}\n\
        password: ENC[AES256_GCM,data:aa==,iv:bb==,tag:cc==,type:str]\n\
        sops:\n    age:\n        - recipient: age1x\n          mac: x\n\
        {more}    mac: ENC[AES256_GCM,data:dd==,iv:ee==,tag:ff==,type:str]\n    version: 3.10.0\n"
    );
    match edited(&text) {
        Ok(edited) => assert_eq!(edited.text.is_some(), is_edited),
        Err(error) => {
            assert_eq!((is_edited, error.line()), (false, Some(1)));
            assert!(error.to_string().contains("mac_only_encrypted: true"), "{error}");
        }
    }
    // An alias is a value like any other.
    let alias = text
        .replace("sops:\n", "sops:\n    by: *x\n")
        .replace("image: ", "image: &x ");
    assert_eq!(edited(&alias).is_ok(), is_edited);
    // Another tool's key of that name is no checksum of SOPS.
    let other = text.replace("\nsops:", "\nspec:");
    assert!(edited(&other).unwrap().text.is_some());
}

#[test]
fn a_document_that_cannot_be_read_is_explained() {
    let marker = "# {\"$patchset\": \"ours:glance:tag\"}";
    for (text, expected) in [
        (format!("a: b: {{{{ x }}}} {marker}\n"), "mark its values file"),
        (
            format!("a: [\n{{{{ x }}}}\nb: c: d {marker}\n"),
            "mark its values file",
        ),
        (format!("a: b: c {marker}\nd: \"{{{{ x }}}}\"\n"), "column 5"),
        (format!("a: b: c {marker}\n# \t\n"), "column 5"),
        (format!("a:\n  b: c\n\t{marker}\nd: e: f\n"), "column 5"),
    ] {
        let error = edited(&text).unwrap_err();
        assert!(matches!(error, EditError::Yaml { .. }), "{text:?}: {error:?}");
        assert!(error.to_string().contains(expected), "{text:?}: {error}");
    }
}

#[test]
fn a_fault_names_its_own_line() {
    for (text, line) in [
        ("a: b\nc: d: e\nf: g # {\"$patchset\": \"ours:glance:tag\"}\n", 2),
        ("a: b\n\tc: v # {\"$patchset\": \"ours:glance:tag\"}\n", 2),
        ("ä: ö\nb: 'ü' x\nf: g # {\"$patchset\": \"ours:glance:tag\"}\n", 2),
    ] {
        let error = edited(text).unwrap_err();
        assert_eq!(error.line(), Some(line), "{text:?}: {error}");
        assert!(!error.to_string().contains("byte"), "{error}");
    }
    // Documents before and after the one that cannot be read are edited.
    let good = "a: old # {\"$patchset\": \"ours:glance:tag\"}\n";
    let bad = "b: [ # {\"$patchset\": \"ours:glance:tag\"}\n";
    let text = format!("{good}---\n{bad}---\n{good}");
    let edited = edited(&text).unwrap();
    let lines: Vec<_> = edited.problems.iter().map(|problem| problem.line).collect();
    assert_eq!((edited.changes.len(), lines), (2, vec![3]));
    let new = good.replace("old", "31.0.0-p2");
    assert_eq!(edited.text.unwrap(), format!("{new}---\n{bad}---\n{new}"));
}

/// Inputs that would take time or memory quadratic in their depth, or a stack as deep as they are.
#[test]
fn deep_files_are_read_in_time_that_grows_with_their_length() {
    let marker = "image: x # {\"$patchset\": \"ours:glance\"}\n---\n";
    for part in ["? ", "- ", "[", "{a: ", "&a ", "!t ", "? - ", "- ? "] {
        let text = format!("{marker}{}", part.repeat(200_000));
        let edited = edited(&text).unwrap();
        assert_eq!((edited.changes.len(), edited.problems.len()), (1, 0), "{part}");
    }
    let text = format!("{marker}{}", "---\n[\n".repeat(200_000));
    assert_eq!(edited(&text).unwrap().changes.len(), 1);
    let text = format!("{marker}a:\n{}", "# c\n".repeat(500_000));
    assert_eq!(edited(&text).unwrap().changes.len(), 1);
}

#[test]
fn a_hundred_documents_that_cannot_be_read_are_told() {
    let bad = "---\na: [ # {\"$patchset\": \"ours:glance:tag\"}\n";
    let good = "a: old # {\"$patchset\": \"ours:glance:tag\"}\n";
    for (count, told) in [(99, 99), (100, 100), (150, 100)] {
        let edited = edited(&format!("{good}{}", bad.repeat(count))).unwrap();
        assert_eq!((edited.changes.len(), edited.problems.len()), (1, told));
    }
    // Those without a marker are not reported.
    let edited = edited(&format!("{good}---\na: [\n---\n{good}---\nb: }}\n")).unwrap();
    assert_eq!((edited.changes.len(), edited.problems.len()), (2, 0));
}
