//! How upstream's commits are identified as patches, and what only looks like one.

use git_apply_engine::{ObjectError, Objects, Oid, Options, PatchInput, PatchState, TreeEntry};
use upstream_history::{
    Bounds, Commit, Commits, Difference, Evidence, Finding, HistoryError, Judged, Merged, apply_findings,
    find_merged, oldest_date,
};

use super::Upstream;

pub const BASE: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n";

pub fn change_id(digit: char) -> String {
    format!("Change-Id: I{}", digit.to_string().repeat(40))
}

/// The merged finding of the only patch.
pub fn merged(findings: &[Finding]) -> &Merged {
    match findings {
        [Finding::Merged(merged)] => merged,
        other => panic!("{other:#?}"),
    }
}

pub fn commit_of(merged: &Merged) -> String {
    merged.commit.as_ref().unwrap().commit.to_string()
}

/// The same fix with another text, so that a patch applies in neither direction.
fn conflicting(text: &str) -> String {
    text.replace("three", "trois").replace("five", "cinq")
}

/// A patch without what precedes its diff.
fn bare(patch: &PatchInput) -> PatchInput {
    let text = String::from_utf8(patch.bytes.clone()).unwrap();
    let start = text.find("diff --git").unwrap();
    PatchInput::new("bare", &text[start..])
}

#[test]
fn the_commit_that_a_patch_was_made_of() {
    let upstream = Upstream::new();
    upstream.commit(&[("f", BASE)], "Base");
    let fix = upstream.commit(&[("f", &BASE.replace("four", "vier"))], "Fix");
    upstream.commit(&[("f", &conflicting(BASE).replace("four", "IV"))], "Later");
    let findings = upstream.find("main", &[upstream.patch(&fix)]);
    let merged = merged(&findings);
    assert_eq!((merged.by, commit_of(merged)), (Evidence::Commit, fix.clone()));
    assert_eq!(merged.difference, Difference::Same);
    let commit = merged.commit.as_ref().unwrap();
    assert_eq!(
        (commit.subject.as_str(), commit.author.as_str()),
        ("Fix", "Ann <ann@example.org>")
    );
    // On a branch that does not have it, it is absent.
    upstream.git(&["checkout", "--quiet", "-b", "old", &format!("{fix}~1")]);
    upstream.commit(&[("f", &BASE.replace("four", "IV"))], "Other");
    assert_eq!(upstream.find("old", &[upstream.patch(&fix)]), [Finding::Absent]);
}

#[test]
fn cherry_picks_in_all_directions() {
    let upstream = Upstream::new();
    upstream.commit(&[("f", BASE)], "Base");
    upstream.git(&["branch", "stable"]);
    upstream.git(&["branch", "other"]);
    let fix = upstream.commit(&[("f", &BASE.replace("four", "vier"))], "Fix");
    upstream.git(&["checkout", "--quiet", "stable"]);
    upstream.git(&["cherry-pick", "-x", &fix]);
    let stable = upstream.head();
    upstream.commit(&[("f", &conflicting(BASE).replace("four", "IV"))], "Later");
    // The branch has a pick of the patch's commit.
    let findings = upstream.find("stable", &[upstream.patch(&fix)]);
    assert_eq!(
        (merged(&findings).by, commit_of(merged(&findings))),
        (Evidence::CherryPick, stable.clone())
    );
    // The patch is a pick of a commit of the branch.
    upstream.git(&["checkout", "--quiet", "main"]);
    upstream.commit(&[("f", &conflicting(BASE).replace("four", "IV"))], "Later");
    let findings = upstream.find("main", &[upstream.patch(&stable)]);
    assert_eq!(
        (merged(&findings).by, commit_of(merged(&findings))),
        (Evidence::CherryPick, fix.clone())
    );
    // Both are picks of the same commit; the branch abbreviates its id.
    upstream.git(&["checkout", "--quiet", "other"]);
    let message = format!("Fix\n\n(cherry-picked from {})", &fix[..9]);
    let other = upstream.commit(&[("f", &BASE.replace("four", "vier"))], &message);
    upstream.commit(&[("f", &conflicting(BASE).replace("four", "IV"))], "Later");
    let findings = upstream.find("other", &[upstream.patch(&stable)]);
    assert_eq!(
        (merged(&findings).by, commit_of(merged(&findings))),
        (Evidence::CherryPick, other)
    );
}

#[test]
fn what_was_tweaked_before_it_was_merged_differs() {
    let upstream = Upstream::new();
    upstream.commit(&[("f", BASE)], "Base");
    upstream.git(&["checkout", "--quiet", "-b", "review"]);
    let message = format!("Fix\n\nBody\n\n{}", change_id('a'));
    let proposed = upstream.commit(&[("f", &BASE.replace("four", "vier"))], &message);
    let patch = upstream.patch(&proposed);
    upstream.git(&["checkout", "--quiet", "main"]);
    let tweaked = upstream.commit(
        &[("f", &BASE.replace("four", "vier!")), ("note", "new\n")],
        &message,
    );
    let findings = upstream.find("main", std::slice::from_ref(&patch));
    let merged = merged(&findings);
    assert_eq!((merged.by, commit_of(merged)), (Evidence::ChangeId, tweaked));
    let Difference::Differs { interdiff, shortened } = &merged.difference else {
        panic!("{merged:#?}")
    };
    assert!(!shortened);
    for line in ["-vier\n", "+vier!\n", "+++ b/note\n", "+new\n"] {
        assert!(interdiff.contains(line), "{interdiff}");
    }
    assert!(!interdiff.contains("four"), "{interdiff}");
    // Shortened, and marked as such.
    let bounds = Bounds {
        interdiff_bytes: 60,
        ..Bounds::default()
    };
    let findings = upstream.find_within("main", &[patch], &bounds);
    let [
        Finding::Merged(Merged {
            difference: Difference::Differs { interdiff, shortened },
            ..
        }),
    ] = findings.as_slice()
    else {
        panic!("{findings:#?}")
    };
    assert!(
        *shortened && interdiff.len() <= 60 && interdiff.ends_with('\n'),
        "{interdiff:?}"
    );
}

#[test]
fn a_difference_is_told_where_the_patch_does_not_apply_before_the_commit() {
    let upstream = Upstream::new();
    upstream.commit(&[("f", BASE)], "Base");
    upstream.git(&["checkout", "--quiet", "-b", "review"]);
    let message = format!("Fix\n\n{}", change_id('a'));
    let proposed = upstream.commit(&[("f", &BASE.replace("four", "vier"))], &message);
    upstream.git(&["checkout", "--quiet", "main"]);
    upstream.commit(&[("f", &conflicting(BASE))], "Context");
    upstream.commit(&[("f", &conflicting(BASE).replace("four", "vier"))], &message);
    let same = upstream.find("main", &[upstream.patch(&proposed)]);
    assert_eq!(merged(&same).difference, Difference::Same);
    upstream.git(&["reset", "--quiet", "--hard", "main~1"]);
    upstream.commit(&[("f", &conflicting(BASE).replace("four", "IV"))], &message);
    let other = upstream.find("main", &[upstream.patch(&proposed)]);
    let Difference::Differs { interdiff, .. } = &merged(&other).difference else {
        panic!("{other:#?}")
    };
    for line in ["## f ##\n", "-+vier\n", "++IV\n"] {
        assert!(interdiff.contains(line), "{interdiff}");
    }
}

#[test]
fn the_same_change_without_a_word() {
    let upstream = Upstream::new();
    upstream.commit(&[("d/f", BASE), ("g", BASE)], "Base");
    let changed = BASE.replace("four", "vier");
    let fix = upstream.commit(&[("d/f", &changed), ("new file", "x")], "Fix");
    upstream.commit(&[("g", &changed)], "CrossOriginPolicy");
    upstream.commit(&[("d/f", &conflicting(&changed))], "Later");
    let findings = upstream.find("main", &[bare(&upstream.patch(&fix))]);
    let merged = merged(&findings);
    assert_eq!((merged.by, commit_of(merged)), (Evidence::PatchId, fix));
}

#[test]
fn the_same_author_date_and_subject() {
    let upstream = Upstream::new();
    upstream.commit(&[("f", BASE)], "Base");
    upstream.git(&["checkout", "--quiet", "-b", "topic"]);
    let fix = upstream.commit(&[("f", &BASE.replace("four", "vier"))], "Fix");
    let patch = upstream.patch(&fix);
    upstream.git(&["checkout", "--quiet", "main"]);
    // Rebased by another person, and tweaked.
    upstream.git(&["cherry-pick", &fix]);
    upstream.write("f", &BASE.replace("four", "vier!"));
    upstream.git(&["add", "--all"]);
    let author = upstream.git(&["log", "-1", "--format=%ad", "--date=raw", &fix]);
    upstream.git(&["commit", "--quiet", "--amend", "--no-edit", "--date", &author]);
    let rebased = upstream.head();
    let findings = upstream.find("main", std::slice::from_ref(&patch));
    assert_eq!(
        (merged(&findings).by, commit_of(merged(&findings))),
        (Evidence::Authorship, rebased)
    );
    assert!(merged(&findings).difference.differs());
    // Another author with that subject, or the same one at another time, wrote something else.
    upstream.git(&[
        "commit",
        "--quiet",
        "--amend",
        "--no-edit",
        "--author",
        "Eve <eve@example.org>",
    ]);
    assert_eq!(
        upstream.find("main", std::slice::from_ref(&patch)),
        [Finding::Absent]
    );
    upstream.git(&["commit", "--quiet", "--amend", "--no-edit", "--reset-author"]);
    assert_eq!(upstream.find("main", &[patch]), [Finding::Absent]);
}

#[test]
fn the_same_subject_twice() {
    let upstream = Upstream::new();
    upstream.commit(&[("f", BASE), ("g", BASE)], "Base");
    let first = upstream.commit(&[("f", &BASE.replace("four", "vier"))], "Update the translations");
    let second = upstream.commit(
        &[("f", &BASE.replace("four", "quatre"))],
        "Update the translations",
    );
    upstream.commit(&[("f", &conflicting(BASE))], "Later");
    for fix in [&first, &second] {
        let text = String::from_utf8(upstream.patch(fix).bytes).unwrap();
        let (_, without_commit) = text.split_once('\n').unwrap();
        let findings = upstream.find("main", &[PatchInput::new("p", without_commit)]);
        assert_eq!(
            (merged(&findings).by, &commit_of(merged(&findings))),
            (Evidence::PatchId, fix)
        );
    }
    // A third one with that subject, which upstream does not have.
    upstream.git(&["checkout", "--quiet", "-b", "topic", &format!("{first}~1")]);
    let third = upstream.commit(&[("f", &BASE.replace("four", "IV"))], "Update the translations");
    assert_eq!(
        upstream.find("main", &[upstream.patch(&third)]),
        [Finding::Absent]
    );
}

#[test]
fn the_change_id_of_a_merge_is_not_what_it_merges() {
    let upstream = Upstream::new();
    upstream.commit(&[("f", BASE), ("g", "1\n")], "Base");
    upstream.git(&["checkout", "--quiet", "-b", "topic"]);
    let message = format!("Fix\n\n{}", change_id('a'));
    let fix = upstream.commit(&[("f", &BASE.replace("four", "vier"))], &message);
    let patch = upstream.patch(&fix);
    let without_commit = PatchInput::new(
        "p",
        &patch.bytes[patch.bytes.iter().position(|b| *b == b'\n').unwrap() + 1..],
    );
    upstream.git(&["checkout", "--quiet", "main"]);
    upstream.commit(&[("g", "2\n")], "Other");
    let merge = format!("Merge \"Fix\"\n\n{}", change_id('a'));
    upstream.git(&["merge", "--quiet", "--no-ff", "-m", &merge, "topic"]);
    upstream.commit(&[("f", &conflicting(BASE))], "Later");
    let findings = upstream.find("main", std::slice::from_ref(&without_commit));
    assert_eq!(
        (merged(&findings).by, commit_of(merged(&findings))),
        (Evidence::ChangeId, fix)
    );
    // If only a merge has it, that says nothing about the change.
    upstream.git(&["checkout", "--quiet", "-b", "other", "main~1^1"]);
    upstream.git(&["branch", "aside"]);
    upstream.commit(&[("f", &BASE.replace("four", "IV"))], "Conflict");
    upstream.git(&["checkout", "--quiet", "aside"]);
    upstream.commit(&[("g", "3\n")], "Aside");
    upstream.git(&["checkout", "--quiet", "other"]);
    upstream.git(&["merge", "--quiet", "--no-ff", "-m", &merge, "aside"]);
    assert_eq!(upstream.find("other", &[without_commit]), [Finding::Absent]);
}

#[test]
fn what_a_merge_did_not_take_is_not_there() {
    let upstream = Upstream::new();
    upstream.commit(&[("f", BASE)], "Base");
    upstream.git(&["checkout", "--quiet", "-b", "stable"]);
    let message = format!("Fix\n\n{}", change_id('a'));
    let fix = upstream.commit(&[("f", &BASE.replace("four", "vier"))], &message);
    upstream.git(&["checkout", "--quiet", "main"]);
    upstream.commit(&[("f", &BASE.replace("four", "IV"))], "Other");
    upstream.git(&[
        "merge",
        "--quiet",
        "-s",
        "ours",
        "-m",
        "Merge the release",
        "stable",
    ]);
    upstream.commit(&[("g", "x\n")], "Later");
    assert_eq!(upstream.find("main", &[upstream.patch(&fix)]), [Finding::Absent]);
}

#[test]
fn the_backport_of_another_branch_is_not_there() {
    let upstream = Upstream::new();
    upstream.commit(&[("f", BASE)], "Base");
    upstream.git(&["branch", "stable/1"]);
    upstream.git(&["branch", "stable/2"]);
    let message = format!("Fix\n\n{}", change_id('a'));
    let fix = upstream.commit(&[("f", &BASE.replace("four", "vier"))], &message);
    upstream.git(&["checkout", "--quiet", "stable/1"]);
    upstream.git(&["cherry-pick", "-x", &fix]);
    let backport = upstream.head();
    upstream.commit(&[("f", &conflicting(BASE))], "Later");
    upstream.git(&["checkout", "--quiet", "stable/2"]);
    upstream.commit(&[("f", &conflicting(BASE))], "Later");
    for patch in [upstream.patch(&fix), upstream.patch(&backport)] {
        assert_eq!(
            upstream.find("stable/2", std::slice::from_ref(&patch)),
            [Finding::Absent]
        );
        let findings = upstream.find("stable/1", &[patch]);
        assert_eq!(commit_of(merged(&findings)), backport);
    }
}

/// Two commits, and a team's patch made from both.
fn squashed(upstream: &Upstream) -> (String, String, PatchInput) {
    let (one, two) = (
        BASE.replace("four", "vier"),
        BASE.replace("four", "vier").replace("eight", "acht"),
    );
    upstream.commit(&[("f", BASE)], "Base");
    let first = format!("One\n\n{}", change_id('a'));
    let second = format!("Two\n\n{}", change_id('b'));
    upstream.git(&["checkout", "--quiet", "-b", "team"]);
    let both = upstream.commit(&[("f", &two)], &format!("{first}\n\n{second}"));
    let patch = upstream.patch(&both);
    upstream.git(&["checkout", "--quiet", "main"]);
    let one = upstream.commit(&[("f", &one)], &first);
    let two = upstream.commit(&[("f", &two)], &second);
    (one, two, patch)
}

#[test]
fn a_squash_of_two_patches_is_there_with_both() {
    let upstream = Upstream::new();
    let (one, two, patch) = squashed(&upstream);
    upstream.commit(&[("f", &conflicting(BASE))], "Later");
    let findings = upstream.find("main", std::slice::from_ref(&patch));
    let found = merged(&findings);
    assert_eq!((found.by, commit_of(found)), (Evidence::ChangeId, two));
    assert_eq!(found.difference, Difference::Same);
    // With only one of them it is not merged.
    upstream.git(&["checkout", "--quiet", "-b", "half", &one]);
    upstream.commit(&[("f", &conflicting(BASE))], "Later");
    assert_eq!(upstream.find("half", &[patch]), [Finding::Absent]);
}

#[test]
fn patches_that_upstream_squashed_are_there_in_another_form() {
    let upstream = Upstream::new();
    let (one, two, _) = squashed(&upstream);
    let patches = [upstream.patch(&one), upstream.patch(&two)];
    upstream.git(&["checkout", "--quiet", "-b", "squash", "main~2"]);
    let message = format!("Both\n\n{}\n{}", change_id('a'), change_id('b'));
    let both = upstream.commit(
        &[("f", &BASE.replace("four", "vier!").replace("eight", "acht!"))],
        &message,
    );
    for finding in upstream.find("squash", &patches) {
        let found = merged(std::slice::from_ref(&finding)).clone();
        assert_eq!((found.by, commit_of(&found)), (Evidence::ChangeId, both.clone()));
        assert!(found.difference.differs());
    }
}

#[test]
fn a_patch_that_upstream_split_differs_from_its_half() {
    let upstream = Upstream::new();
    upstream.commit(&[("f", BASE), ("g", BASE)], "Base");
    upstream.git(&["checkout", "--quiet", "-b", "team"]);
    let message = format!("Fix\n\n{}", change_id('a'));
    let changed = BASE.replace("four", "vier");
    let whole = upstream.commit(&[("f", &changed), ("g", &changed)], &message);
    let patch = upstream.patch(&whole);
    upstream.git(&["checkout", "--quiet", "main"]);
    let half = upstream.commit(&[("f", &changed)], &message);
    let findings = upstream.find("main", std::slice::from_ref(&patch));
    let found = merged(&findings);
    assert_eq!((found.by, commit_of(found)), (Evidence::ChangeId, half));
    let Difference::Differs { interdiff, .. } = &found.difference else {
        panic!("{found:#?}")
    };
    assert!(
        interdiff.contains("a/g") && interdiff.contains("-vier\n"),
        "{interdiff}"
    );
    // With the other half all of it is there, and the patch applies in reverse.
    upstream.commit(&[("g", &changed)], "The rest");
    let findings = upstream.find("main", &[patch]);
    assert_eq!(merged(&findings).by, Evidence::Reverse);
}

#[test]
fn what_applies_in_reverse_is_told_with_its_commit() {
    let upstream = Upstream::new();
    upstream.commit(&[("f", BASE)], "Base");
    let fix = upstream.commit(&[("f", &BASE.replace("four", "vier"))], "Fix");
    let patch = upstream.patch(&fix);
    let findings = upstream.find("main", std::slice::from_ref(&patch));
    assert_eq!(
        (merged(&findings).by, commit_of(merged(&findings))),
        (Evidence::Reverse, fix.clone())
    );
    let findings = upstream.find("main", &[bare(&patch)]);
    assert_eq!(
        (merged(&findings).by, commit_of(merged(&findings))),
        (Evidence::Reverse, fix)
    );
    // Upstream may have it without a known commit.
    let unknown = BASE.replace("four", "vier").replace("nine", "neun");
    upstream.git(&["checkout", "--quiet", "-b", "other", "main~1"]);
    upstream.commit(&[("f", &unknown)], "All at once");
    let findings = upstream.find("other", &[patch]);
    assert_eq!(
        (merged(&findings).by, &merged(&findings).commit),
        (Evidence::Reverse, &None)
    );
}

#[test]
fn what_is_merged_blocks_nothing() {
    let upstream = Upstream::new();
    upstream.commit(&[("f", BASE)], "Base");
    upstream.git(&["checkout", "--quiet", "-b", "team"]);
    let message = format!("Fix\n\n{}", change_id('a'));
    let fix = upstream.commit(&[("f", &BASE.replace("four", "vier"))], &message);
    let on_top = upstream.commit(
        &[("f", &BASE.replace("four", "vier").replace("eight", "acht"))],
        "On top",
    );
    let patches = [upstream.patch(&fix), upstream.patch(&on_top)];
    upstream.git(&["checkout", "--quiet", "main"]);
    let tweaked = BASE.replace("four", "IV").replace("eight", "VIII");
    upstream.commit(&[("f", &tweaked)], &message);
    let mut reports = upstream.reports("main", &patches);
    assert_eq!(
        [reports[0].state, reports[1].state],
        [PatchState::Conflict, PatchState::Blocked]
    );
    let findings = upstream.find("main", &patches);
    apply_findings(&mut reports, &findings);
    assert_eq!(
        [reports[0].state, reports[1].state],
        [PatchState::Merged, PatchState::Conflict]
    );
    assert!(
        !reports[1].error.as_ref().unwrap().contains("does not apply"),
        "{reports:#?}"
    );
}

#[test]
fn the_search_ends_where_the_history_does() {
    let upstream = Upstream::new();
    upstream.commit(&[("f", BASE)], "Base");
    let fix = upstream.commit(&[("f", &BASE.replace("four", "vier"))], "Fix");
    upstream.commit(&[("f", &conflicting(BASE))], "Later");
    let clone = tempfile::tempdir().unwrap();
    let patch = upstream.patch(&fix);
    let from = format!("file://{}", upstream.path().display());
    let to = clone.path().to_str().unwrap();
    for (depth, is_there) in [("1", false), ("2", true)] {
        let _ = std::fs::remove_dir_all(clone.path());
        upstream.git(&["clone", "--quiet", "--depth", depth, &from, to]);
        let shallow = git2::Repository::open(clone.path()).unwrap();
        let store = Shallow {
            shallow,
            upstream: &upstream,
        };
        let reports = upstream.reports("main", std::slice::from_ref(&patch));
        let options = Options::default();
        let series = Judged::series(std::slice::from_ref(&patch), &reports, &options);
        let findings = find_merged(
            &store,
            &upstream,
            upstream.id("main"),
            &series,
            &Bounds::default(),
        )
        .unwrap();
        assert_eq!(
            matches!(findings[0], Finding::Merged(_)),
            is_there,
            "{findings:?}"
        );
    }
    // The bounds end the search as well.
    let few = Bounds {
        commits: 1,
        ..Bounds::default()
    };
    assert_eq!(upstream.find_within("main", &[patch], &few), [Finding::Absent]);
}

struct Shallow<'a> {
    shallow: git2::Repository,
    upstream: &'a Upstream,
}

impl Commits for Shallow<'_> {
    fn commit(&self, id: Oid) -> Result<Option<Commit>, HistoryError> {
        match self.shallow.find_commit(id.into()) {
            Ok(_) => Commits::commit(self.upstream, id),
            Err(_) => Ok(None),
        }
    }
}

/// Panics whenever it is read.
struct Untouchable;

impl Commits for Untouchable {
    fn commit(&self, id: Oid) -> Result<Option<Commit>, HistoryError> {
        panic!("{id} is read")
    }
}

impl Objects for Untouchable {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        panic!("{id} is read")
    }

    fn blob(&self, id: Oid) -> Result<bytes::Bytes, ObjectError> {
        panic!("{id} is read")
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        panic!("{id} is read")
    }
}

#[test]
fn nothing_is_read_while_all_patches_apply() {
    let upstream = Upstream::new();
    upstream.commit(&[("f", BASE)], "Base");
    let fix = upstream.commit(&[("f", &BASE.replace("four", "vier"))], "Fix");
    let patches = [upstream.patch(&fix)];
    let reports = upstream.reports("main~1", &patches);
    let options = Options::default();
    let series = Judged::series(&patches, &reports, &options);
    let findings = find_merged(
        &Untouchable,
        &Untouchable,
        upstream.id("main~1"),
        &series,
        &Bounds::default(),
    );
    assert_eq!(findings, Ok(vec![Finding::Absent]));
}

#[test]
fn the_oldest_date_of_a_series_bounds_the_search() {
    let upstream = Upstream::new();
    upstream.commit(&[("f", BASE)], "Base");
    let fix = upstream.commit(&[("f", &BASE.replace("four", "vier"))], "Fix");
    let later = upstream.commit(&[("f", &conflicting(BASE))], "Later");
    let patches = [upstream.patch(&later), upstream.patch(&fix)];
    let date: i64 = upstream
        .git(&["log", "-1", "--format=%at", &fix])
        .parse()
        .unwrap();
    assert_eq!(oldest_date(&patches), Some(date));
    assert_eq!(oldest_date(&[bare(&patches[0])]), None);
    let bounds = Bounds {
        since: Some(date),
        ..Bounds::default()
    };
    let findings = upstream.find_within("main", &patches[1..], &bounds);
    assert_eq!(merged(&findings).by, Evidence::Commit);
}
