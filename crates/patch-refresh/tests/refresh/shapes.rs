//! Kinds of patches, one by one.

use std::slice::from_ref;

use git_apply_engine::{MemoryStore, Oid, PatchInput};
use patch_refresh::{
    FileOutcome, MergeBase, PatchHint, PatchRefresh, Presence, RefreshHints, RefreshKind, RefreshLimits,
    RefreshOptions, RefreshOutcome, RefreshState, SeriesOutlook, refresh_series,
};

use super::repository::{File, Repository};

const FILE: u32 = 0o644;

/// Numbered lines, some of them replaced.
fn numbered(count: usize, replaced: &[(usize, &str)]) -> Vec<u8> {
    let line = |number: usize| match replaced.iter().find(|(at, _)| *at == number) {
        Some((_, text)) => (*text).to_owned(),
        None => format!("line {number}\n"),
    };
    (1..=count).map(line).collect::<String>().into_bytes()
}

fn file<'a>(path: &'a str, contents: &'a [u8]) -> File<'a> {
    (FILE, path, Some(contents))
}

/// A repository with a base, and the patch of a commit on it.
fn patched(base: &[File<'_>], changed: &[File<'_>], arguments: &[&str]) -> (Repository, String, Vec<u8>) {
    let repository = Repository::new();
    let first = repository.commit("Base", base);
    let commit = repository.commit("Change it\n\nFor a reason.\n\nChange-Id: I123", changed);
    let patch = repository.format_patch(&commit, arguments);
    repository.checkout(&first);
    (repository, first, patch)
}

fn refreshed(patch: &PatchRefresh) -> (RefreshKind, &[u8], Oid) {
    match &patch.outcome {
        RefreshOutcome::Refreshed { how, patch, tree } => (*how, patch, *tree),
        other => panic!("{other:?} {:?}", patch.files),
    }
}

/// GNU patch is the oracle.
#[test]
fn it_is_told_where_a_patch_would_apply_with_fuzz() {
    let base = numbered(300, &[]);
    let new = numbered(300, &[(180, "changed\n")]);
    let (repository, first, patch) = patched(&[file("f", &base)], &[file("f", &new)], &[]);
    for (replaced, told, gnu) in [
        // The hunk's outermost lines differ, and are five lines further down.
        (
            vec![(1, "\n\n\n\n\n\n"), (177, "other\n")],
            Some("applies with fuzz 1 at line 182: refresh it"),
            "succeeded at 182 with fuzz 1 (offset 5 lines)",
        ),
        (
            vec![(177, "a\n"), (178, "b\n"), (183, "c\n")],
            Some("applies with fuzz 2 at line 177: refresh it"),
            "succeeded at 177 with fuzz 2",
        ),
        // The line to be changed differs; or the patch applies as it is.
        (vec![(180, "conflict\n")], None, "FAILED at 177"),
        (vec![(1, "\n\n")], None, "succeeded at 178 (offset 1 line)"),
    ] {
        repository.checkout(&first);
        let upstream = numbered(300, &replaced);
        let upstream = repository.commit("Move on", &[file("f", &upstream)]);
        let found = repository.refresh_with(&upstream, from_ref(&patch), None, &[]);
        let fuzz = found[0].fuzz.map(|fuzz| fuzz.to_string());
        assert_eq!(fuzz.as_deref(), told, "{replaced:?}");
        let report = repository.gnu_patch_report(&upstream, &patch);
        assert!(report.contains(gnu), "{gnu}: {report}");
    }
}

fn reason(patch: &PatchRefresh) -> &str {
    match &patch.outcome {
        RefreshOutcome::Impossible { reason } => reason,
        other => panic!("{other:?}"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Checks that `git am` takes a refreshed patch, with the same tree, and that it is stable.
fn is_taken(repository: &Repository, commit: &str, patch: &PatchRefresh) {
    let (_, new, tree) = refreshed(patch);
    assert_eq!(repository.am(commit, new, &[]), Some(tree), "{}", text(new));
    let again = repository.refresh(commit, &[new.to_vec()]);
    assert_eq!(again[0].outcome, RefreshOutcome::UpToDate, "{}", text(new));
}

#[test]
fn an_offset_changes_numbers_and_blobs_alone() {
    let base = numbered(40, &[]);
    let changed = numbered(40, &[(10, "ten\n"), (30, "")]);
    let (repository, _, patch) = patched(&[file("f", &base)], &[file("f", &changed)], &[]);
    let moved = [b"new\n".repeat(7), base].concat();
    let upstream = repository.commit("Move", &[file("f", &moved)]);
    let result = repository.refresh(&upstream, from_ref(&patch));
    let (how, new, _) = refreshed(&result[0]);
    assert_eq!(how, RefreshKind::Offset);
    assert!(matches!(
        result[0].files[0].outcome,
        FileOutcome::Offset { lines: 7 }
    ));
    let (old, new) = (text(&patch), text(new));
    let differing: Vec<(&str, &str)> = old.lines().zip(new.lines()).filter(|(a, b)| a != b).collect();
    assert_eq!(old.lines().count(), new.lines().count());
    assert!(
        differing
            .iter()
            .all(|(line, _)| line.starts_with("@@ ") || line.starts_with("index ")),
        "{differing:?}"
    );
    assert_eq!(differing.len(), 3);
    assert_eq!(differing[1].1, "@@ -14,7 +14,7 @@ line 6");
    is_taken(&repository, &upstream, &result[0]);
    let status = result[0].outcome.status().unwrap();
    assert_eq!(
        (status.state, status.by),
        (RefreshState::Available, Some(RefreshKind::Offset))
    );
}

#[test]
fn a_patch_that_fits_stays_byte_for_byte() {
    let base = numbered(40, &[]);
    let (repository, _, patch) = patched(
        &[file("f", &base)],
        &[file("f", &numbered(40, &[(10, "ten\n")]))],
        &[],
    );
    // The file differs, but not around the hunk.
    let upstream = repository.commit("Move", &[file("f", &numbered(40, &[(35, "other\n")]))]);
    let result = repository.refresh(&upstream, &[patch]);
    assert_eq!(result[0].outcome, RefreshOutcome::UpToDate);
    assert_eq!(result[0].outcome.status(), None);
    assert!(result[0].files.is_empty());
}

#[test]
fn what_upstream_has_is_left_out_and_the_diffstat_renewed() {
    let long = "a/folder/with/a/rather/long/name/so/that/the/diffstat/has/to/shorten/it/file.py";
    let (one, two) = (numbered(60, &[]), numbered(50, &[]));
    let changed_one = numbered(60, &[(10, "ten\n"), (11, ""), (40, "forty\n")]);
    let changed_two = numbered(50, &[(20, "twenty\nand more\n")]);
    let base = [file("f.py", &one), file(long, &two), file("same.py", &two)];
    let changed = [
        file("f.py", &changed_one),
        file(long, &changed_two),
        file("same.py", &changed_two),
        file("made.py", b"x\n"),
    ];
    let (repository, _, patch) = patched(&base, &changed, &[]);
    // Upstream has one of the two changes of `f.py`, and those of `same.py` and `made.py`.
    let moved_one = numbered(60, &[(8, "eight\n"), (40, "forty\n")]);
    let moved_two = numbered(50, &[(20, "twenty\nand more\n"), (22, "x\n")]);
    let moved = [
        file("f.py", &moved_one),
        file("same.py", &moved_two),
        file("made.py", b"x\n"),
    ];
    let upstream = repository.commit("Move", &moved);
    let result = repository.refresh(&upstream, &[patch]);
    let (how, new, _) = refreshed(&result[0]);
    assert_eq!(how, RefreshKind::ThreeWay);
    is_taken(&repository, &upstream, &result[0]);
    let expected = text(&repository.format_patch("HEAD", &[]));
    let behind = |text: &str| text.split_once('\n').unwrap().1.to_owned();
    assert_eq!(behind(&text(new)), behind(&expected));
    let left_out = result[0]
        .files
        .iter()
        .filter(|file| file.outcome == FileOutcome::LeftOut);
    assert_eq!(
        left_out.map(|file| file.path.as_str()).collect::<Vec<_>>(),
        ["made.py", "same.py"]
    );
}

#[test]
fn names_modes_and_binary_contents_are_kept() {
    let body = numbered(60, &[]);
    let binary: Vec<u8> = (0..=255).collect();
    let base = [
        file("old.py", &body),
        file("run.sh", &body),
        file("gone.py", b"gone\n"),
        file("b.bin", &binary),
    ];
    let changed_body = numbered(60, &[(30, "thirty\n")]);
    let changed_binary: Vec<u8> = (0..=255).rev().collect();
    let changed = [
        (FILE, "old.py", None),
        file("new.py", &changed_body),
        (0o755, "run.sh", Some(&changed_body[..])),
        (FILE, "gone.py", None),
        file("b.bin", &changed_binary),
        file("made.py", b"made\n"),
    ];
    let (repository, _, patch) = patched(&base, &changed, &["-M", "--full-index"]);
    let moved = numbered(60, &[(28, "other\n"), (5, "")]);
    let upstream = repository.commit("Move", &[file("old.py", &moved), file("run.sh", &moved)]);
    let result = repository.refresh(&upstream, from_ref(&patch));
    let (how, new, tree) = refreshed(&result[0]);
    assert_eq!(how, RefreshKind::ThreeWay);
    assert_eq!(repository.am(&upstream, &patch, &["--3way"]), Some(tree));
    is_taken(&repository, &upstream, &result[0]);
    let new = text(new);
    for kept in [
        "rename from old.py\nrename to new.py\n",
        "old mode 100644\nnew mode 100755\n",
        "deleted file mode 100644\n",
        "new file mode 100644\n",
        "GIT binary patch\n",
        "\n-- \n2.",
    ] {
        assert!(new.contains(kept), "{kept}\n{new}");
    }
}

#[test]
fn what_upstream_has_of_a_renamed_file_leaves_the_name() {
    let body = numbered(40, &[]);
    let changed = numbered(40, &[(20, "twenty\n")]);
    let base = [file("old.py", &body), file("run.sh", &body)];
    let changes = [
        (FILE, "old.py", None),
        file("new.py", &changed),
        (0o755, "run.sh", Some(&changed[..])),
    ];
    let (repository, _, patch) = patched(&base, &changes, &["-M"]);
    let moved = numbered(40, &[(20, "twenty\n"), (22, "other\n")]);
    let upstream = repository.commit("Move", &[file("old.py", &moved), file("run.sh", &moved)]);
    let result = repository.refresh(&upstream, &[patch]);
    is_taken(&repository, &upstream, &result[0]);
    let expected = text(&repository.format_patch("HEAD", &["-M"]));
    let behind = |text: &str| text.split_once("\ndiff --git").unwrap().1.to_owned();
    assert_eq!(behind(&text(refreshed(&result[0]).1)), behind(&expected));
}

#[test]
fn a_file_that_is_there_already_is_merged_or_a_person_s() {
    let (repository, _, patch) = patched(&[file("f", b"f\n")], &[file("made", b"made\n")], &[]);
    let same = repository.commit("Same", &[file("made", b"made\n")]);
    assert_eq!(
        repository.refresh(&same, from_ref(&patch))[0].outcome,
        RefreshOutcome::Merged
    );
    let other = repository.commit("Other", &[file("made", b"other\n")]);
    assert!(reason(&repository.refresh(&other, from_ref(&patch))[0]).contains("already exists"));
    // It is unknown whether the file was deleted or renamed.
    let (repository, _, patch) = patched(&[file("f", b"f\n")], &[(FILE, "f", None)], &[]);
    let moved = repository.commit("Move", &[(FILE, "f", None), file("g", b"f\n")]);
    assert!(matches!(
        repository.refresh(&moved, &[patch])[0].outcome,
        RefreshOutcome::Merged | RefreshOutcome::Impossible { .. }
    ));
}

#[test]
fn a_series_is_refreshed_on_its_refreshed_patches() {
    let base = numbered(60, &[]);
    let repository = Repository::new();
    let first = repository.commit("Base", &[file("f", &base)]);
    let one = numbered(60, &[(10, "ten\n")]);
    let two = numbered(60, &[(10, "ten\n"), (13, "thirteen\n"), (50, "fifty\n")]);
    let three = numbered(
        60,
        &[(10, "ten\n"), (13, "13\n"), (50, "fifty\n"), (30, "thirty\n")],
    );
    let commits: Vec<String> = [("One", &one), ("Two", &two), ("Three", &three)]
        .map(|(message, contents)| repository.commit(message, &[file("f", contents)]))
        .to_vec();
    let patches: Vec<Vec<u8>> = commits
        .iter()
        .map(|commit| repository.format_patch(commit, &[]))
        .collect();
    repository.checkout(&first);
    let moved = numbered(60, &[(8, "eight\n"), (48, "48\n"), (27, "27\nmore\n")]);
    let upstream = repository.commit("Move", &[file("f", &moved)]);
    let last_applied = Some(repository.tree_of(&first));
    let hint = PatchHint {
        last_applied,
        ..PatchHint::default()
    };
    // The blobs of the second and third patch are in no commit of the upstream.
    let result = repository.refresh_with(&upstream, &patches, None, &[hint; 3]);
    let ways: Vec<RefreshKind> = result.iter().map(|patch| refreshed(patch).0).collect();
    assert_eq!(ways[0..2], [RefreshKind::ThreeWay; 2]);
    let base_kind = |patch: &PatchRefresh| patch.files[0].outcome.clone();
    assert_eq!(
        base_kind(&result[1]),
        FileOutcome::ThreeWay {
            base: MergeBase::IndexLine
        }
    );
    repository.checkout(&commits[2]);
    repository.git(&["rebase", "--quiet", &upstream]);
    assert_eq!(result[2].tree, repository.tree_of("HEAD"));
    repository.checkout(&upstream);
    let mut on = upstream.clone();
    for patch in &result {
        let (_, text, tree) = refreshed(patch);
        assert_eq!(repository.am(&on, text, &[]), Some(tree));
        on = repository.git(&["rev-parse", "HEAD"]);
    }
}

#[test]
fn a_series_goes_on_without_a_patch_that_needs_a_person() {
    let base = numbered(60, &[]);
    let repository = Repository::new();
    let first = repository.commit("Base", &[file("f", &base), file("g", &base)]);
    let conflicting = repository.commit("Conflict", &[file("f", &numbered(60, &[(10, "ten\n")]))]);
    let fine = repository.commit("Fine", &[file("g", &numbered(60, &[(10, "ten\n")]))]);
    let merged = repository.commit(
        "Merged",
        &[file("g", &numbered(60, &[(10, "ten\n"), (40, "x\n")]))],
    );
    let patches: Vec<Vec<u8>> = [&conflicting, &fine, &merged]
        .map(|commit| repository.format_patch(commit, &[]))
        .to_vec();
    repository.checkout(&first);
    let moved_one = numbered(60, &[(10, "10\n")]);
    let moved_two = numbered(60, &[(8, "8\n"), (40, "x\n")]);
    let moved = [file("f", &moved_one), file("g", &moved_two)];
    let upstream = repository.commit("Move", &moved);
    let result = repository.refresh(&upstream, &patches);
    assert!(
        reason(&result[0]).contains("conflict at line 10"),
        "{}",
        reason(&result[0])
    );
    assert_eq!(result[0].tree, repository.tree_of(&upstream));
    assert_eq!(refreshed(&result[1]).0, RefreshKind::ThreeWay);
    assert_eq!(result[2].outcome, RefreshOutcome::Merged);
    assert_eq!(result[2].tree, result[1].tree);
    let outlook = SeriesOutlook::count(result.iter().map(|patch| &patch.outcome));
    assert_eq!(
        outlook.to_string(),
        "1 is upstream already, 1 refreshes by itself, 1 needs a person"
    );
    // The history decides the outcome if it knows.
    let merged = PatchHint {
        presence: Presence::Merged,
        ..PatchHint::default()
    };
    let result = repository.refresh_with(&upstream, &patches, Some(&repository), &[merged; 3]);
    assert!(result.iter().all(|patch| patch.outcome == RefreshOutcome::Merged));
}

#[test]
fn plain_diffs_keep_their_header() {
    let base = numbered(40, &[]);
    let repository = Repository::new();
    repository.commit("Base", &[file("f", &base)]);
    let plain = "Description: plain\n\n--- a/f\t2020-01-01 00:00:00\n+++ b/f\t2020-01-02 00:00:00\n\
        @@ -18,5 +18,5 @@\n line 18\n line 19\n-line 20\n+twenty\n line 21\n line 22\n";
    let moved = [b"new\n".repeat(3), base.clone()].concat();
    let upstream = repository.commit("Move", &[file("f", &moved)]);
    let result = repository.refresh(&upstream, &[plain.as_bytes().to_vec()]);
    let (how, new, _) = refreshed(&result[0]);
    assert_eq!(how, RefreshKind::Offset);
    assert_eq!(text(new), plain.replace("@@ -18,5 +18,5 @@", "@@ -21,5 +21,5 @@"));
    // With fuzz: two lines of context, and no heading because the patch has none.
    let fuzzy = repository.commit(
        "Fuzzy",
        &[file(
            "f",
            &numbered(40, &[(18, "def eighteen():\n"), (22, "z\n")]),
        )],
    );
    let result = repository.refresh(&fuzzy, &[plain.as_bytes().to_vec()]);
    let (how, new, tree) = refreshed(&result[0]);
    assert_eq!(how, RefreshKind::Fuzz);
    assert_eq!(result[0].files[0].outcome, FileOutcome::Fuzz { lines: 1 });
    assert_eq!(repository.gnu_patch(&fuzzy, plain.as_bytes()), Some(tree));
    let expected = plain
        .replace(" line 18\n", " def eighteen():\n")
        .replace(" line 22\n", " z\n");
    assert_eq!(text(new), expected);
}

#[test]
fn several_diffs_of_a_file_in_one_patch_are_refreshed_in_order() {
    let base = numbered(60, &[]);
    let repository = Repository::new();
    let first = repository.commit("Base", &[file("f", &base)]);
    let one = repository.commit("One", &[file("f", &numbered(60, &[(10, "ten\n")]))]);
    let two = repository.commit(
        "Two",
        &[file("f", &numbered(60, &[(10, "ten\n"), (12, "twelve\n")]))],
    );
    let mut patch = repository.format_patch(&one, &[]);
    patch.extend(repository.format_patch(&two, &[]));
    repository.checkout(&first);
    let upstream = repository.commit("Move", &[file("f", &numbered(60, &[(8, "eight\n"), (2, "")]))]);
    let result = repository.refresh(&upstream, from_ref(&patch));
    let (how, new, tree) = refreshed(&result[0]);
    assert_eq!(how, RefreshKind::ThreeWay);
    assert_eq!(repository.am(&upstream, &patch, &["--3way"]), Some(tree));
    assert_eq!(repository.am(&upstream, new, &[]), Some(tree), "{}", text(new));
}

#[test]
fn line_ends_and_a_missing_line_feed_are_kept() {
    let crlf = |text: &[u8]| String::from_utf8_lossy(text).replace('\n', "\r\n").into_bytes();
    let mut base = crlf(&numbered(40, &[]));
    base.truncate(base.len() - 2);
    let mut changed = crlf(&numbered(40, &[(20, "twenty\n"), (40, "forty\n")]));
    changed.truncate(changed.len() - 2);
    let (repository, _, patch) = patched(&[file("f", &base)], &[file("f", &changed)], &[]);
    let mut moved = crlf(&numbered(40, &[(18, "other\n")]));
    moved.truncate(moved.len() - 2);
    let upstream = repository.commit("Move", &[file("f", &moved)]);
    let result = repository.refresh(&upstream, from_ref(&patch));
    assert_eq!(
        Some(refreshed(&result[0]).2),
        repository.am(&upstream, &patch, &["--3way"])
    );
    is_taken(&repository, &upstream, &result[0]);
}

#[test]
fn what_is_beyond_the_limits_is_a_person_s() {
    let base = numbered(3000, &[]);
    let (repository, _, patch) = patched(
        &[file("f", &base)],
        &[file("f", &numbered(3000, &[(10, "ten\n")]))],
        &[],
    );
    let upstream = repository.commit("Move", &[file("f", &numbered(3000, &[(8, "eight\n")]))]);
    let limited = |limits: RefreshLimits| {
        let hints = RefreshHints {
            blobs: Some(&repository),
            ..RefreshHints::default()
        };
        let options = RefreshOptions {
            limits,
            ..RefreshOptions::default()
        };
        let inputs = [PatchInput::new("p", patch.clone())];
        let result = refresh_series(
            &repository,
            repository.tree_of(&upstream),
            &inputs,
            &hints,
            &options,
        );
        result.unwrap()[0].outcome.clone()
    };
    let default = RefreshLimits::default();
    assert!(matches!(limited(default), RefreshOutcome::Refreshed { .. }));
    for limits in [
        RefreshLimits {
            file_bytes: 20_000,
            ..default
        },
        RefreshLimits {
            file_lines: 2000,
            ..default
        },
        RefreshLimits {
            memory_bytes: 20_000,
            ..default
        },
        RefreshLimits {
            effort: 50_000,
            ..default
        },
    ] {
        assert!(
            matches!(limited(limits), RefreshOutcome::Impossible { .. }),
            "{limits:?}"
        );
    }
}

/// Damaged patches: nothing panics, and every refreshed patch was applied once more.
#[test]
fn damaged_patches_do_no_harm() {
    let base = numbered(60, &[]);
    let changed = numbered(60, &[(10, "ten\n"), (30, "thirty\n"), (31, ""), (50, "fifty\n")]);
    let (repository, _, patch) = patched(
        &[file("f", &base), file("g", &base)],
        &[file("f", &changed), file("h", &changed), (FILE, "g", None)],
        &["-M"],
    );
    let moved = numbered(60, &[(8, "eight\n"), (40, "more\nand more\n")]);
    let upstream = repository.commit("Move", &[file("f", &moved), file("g", &moved)]);
    let tree = repository.tree_of(&upstream);
    let hints = RefreshHints {
        blobs: Some(&repository),
        ..RefreshHints::default()
    };
    let (mut random, mut seen) = (9_u64, [0; 4]);
    let mut next = |most: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(random >> 33).unwrap() % most
    };
    for _ in 0..1500 {
        let mut lines: Vec<Vec<u8>> = patch
            .split_inclusive(|b| *b == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        for _ in 0..=next(3) {
            if lines.is_empty() {
                break;
            }
            let at = next(lines.len());
            match next(5) {
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, lines[next(lines.len())].clone()),
                2 => {
                    let length = lines[at].len().max(1);
                    lines[at].resize(length, b'x');
                    lines[at][next(length)] = b" +-@0159\n\\ax"[next(12)];
                }
                3 => lines[at] = b"@@ -18446744073709551615,99999999 +1 @@\n".to_vec(),
                _ => lines.truncate(at + 1),
            }
        }
        let inputs = [PatchInput::new("p", lines.concat())];
        let result = refresh_series(&repository, tree, &inputs, &hints, &RefreshOptions::default()).unwrap();
        seen[match &result[0].outcome {
            RefreshOutcome::UpToDate => 0,
            RefreshOutcome::Refreshed { .. } => 1,
            RefreshOutcome::Merged => 2,
            RefreshOutcome::Impossible { .. } => 3,
        }] += 1;
    }
    assert!(seen[1] > 50 && seen[3] > 50, "{seen:?}");
}

#[test]
fn an_empty_series_is_no_error_and_a_long_one_is() {
    let store = MemoryStore::new();
    let tree = Oid::of_tree(b"");
    let refresh = |patches: &[PatchInput]| {
        refresh_series(
            &store,
            tree,
            patches,
            &RefreshHints::default(),
            &RefreshOptions::default(),
        )
    };
    assert_eq!(refresh(&[]).unwrap(), []);
    assert!(refresh(&vec![PatchInput::new("p", ""); 5000]).is_err());
}
