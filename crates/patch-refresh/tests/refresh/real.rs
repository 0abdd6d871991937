//! Real changes between released versions of OpenStack components, each on other versions, against
//! `git apply --3way`.

use git_apply_engine::{Oid, PatchInput};
use patch_refresh::{FindBlob, RefreshHints, RefreshKind, RefreshOptions, RefreshOutcome, refresh_series};
use test_repositories::{Oracle, RepositoryStore, corpus, split_diff};

/// The most diffs that are taken from one pair of versions.
const DIFFS: usize = 40;

/// The blobs of a repository. The diffs have full ids, so no prefix is looked up.
struct Blobs;

impl FindBlob for Blobs {
    fn find_blob(&self, prefix: &str) -> Result<Option<Oid>, git_apply_engine::ObjectError> {
        panic!("{prefix} is no whole id")
    }
}

/// The diff of a file with every second hunk, as if made from part of a change; nothing if it has
/// only one hunk.
fn every_second_hunk(diff: &[u8]) -> Option<Vec<u8>> {
    let (mut part, mut number) = (Vec::new(), 0);
    for line in diff.split_inclusive(|b| *b == b'\n') {
        number += usize::from(line.starts_with(b"@@ -"));
        if number == 0 || number % 2 == 0 {
            part.extend_from_slice(line);
        }
    }
    (number > 1).then_some(part)
}

#[derive(Debug, Default)]
struct Tally {
    up_to_date: usize,
    offset: usize,
    three_way: usize,
    fuzz: usize,
    merged: usize,
    impossible: usize,
}

fn check(component: &str) -> Tally {
    let repository = corpus().join(format!("{component}.git"));
    let (git, store) = (Oracle::on(&repository), RepositoryStore::open(&repository));
    let tags = git.run(&["tag", "--sort=version:refname"]);
    let tags: Vec<&str> = tags.lines().collect();
    let trees: Vec<String> = tags
        .iter()
        .map(|tag| git.run(&["rev-parse", &format!("{tag}^{{tree}}")]))
        .collect();
    let mut tally = Tally::default();
    let pairs = tags.iter().flat_map(|from| tags.iter().map(move |to| (from, to)));
    for (from, to) in pairs.filter(|(from, to)| from != to) {
        let diff = git.bytes(&["diff", "--binary", "--full-index", "-M", from, to]);
        let files = split_diff(&diff);
        let parts: Vec<Vec<u8>> = files.iter().filter_map(|file| every_second_hunk(file)).collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        for (patches, most) in [(files, DIFFS / 3), (parts, DIFFS)] {
            let step = patches.len().div_ceil(most).max(1);
            for (patch, tree) in patches
                .iter()
                .step_by(step)
                .flat_map(|patch| trees.iter().map(move |tree| (patch, tree)))
            {
                compare(&git, &store, tree, patch, &mut tally);
            }
        }
    }
    println!("{component}: {tally:?}");
    tally
}

fn compare(git: &Oracle, store: &RepositoryStore, tree: &str, patch: &[u8], tally: &mut Tally) {
    let hints = RefreshHints {
        blobs: Some(&Blobs),
        ..RefreshHints::default()
    };
    let base: Oid = tree.parse().unwrap();
    let inputs = [PatchInput::new("patch", patch)];
    let refreshed = refresh_series(store, base, &inputs, &hints, &RefreshOptions::default()).unwrap();
    let plain = git.apply(tree, patch, &[]);
    let shown = || format!("{:?}\n{}", refreshed[0], patch.escape_ascii());
    let (how, text, after) = match &refreshed[0].outcome {
        RefreshOutcome::UpToDate => {
            tally.up_to_date += 1;
            assert_eq!(plain, Some(refreshed[0].tree.to_string()), "{}", shown());
            return;
        }
        RefreshOutcome::Merged => {
            tally.merged += 1;
            assert_eq!(plain, None, "{}", shown());
            return;
        }
        RefreshOutcome::Impossible { .. } => {
            tally.impossible += 1;
            assert_eq!(git.apply(tree, patch, &["--3way"]), None, "{}", shown());
            return;
        }
        RefreshOutcome::Refreshed { how, patch, tree } => (*how, patch, tree.to_string()),
    };
    match how {
        RefreshKind::Offset => {
            tally.offset += 1;
            assert_eq!(plain, Some(after.clone()), "{}", shown());
        }
        RefreshKind::ThreeWay => {
            tally.three_way += 1;
            assert_eq!(plain, None, "{}", shown());
            assert_eq!(
                git.apply(tree, patch, &["--3way"]),
                Some(after.clone()),
                "{}",
                shown()
            );
        }
        RefreshKind::Fuzz => {
            tally.fuzz += 1;
            assert_eq!(git.apply(tree, patch, &["--3way"]), None, "{}", shown());
        }
    }
    assert_eq!(git.apply(tree, text, &[]), Some(after), "{}", shown());
    let inputs = [PatchInput::new("patch", text.clone())];
    let again = refresh_series(store, base, &inputs, &hints, &RefreshOptions::default()).unwrap();
    assert_eq!(
        again[0].outcome,
        RefreshOutcome::UpToDate,
        "{}",
        text.escape_ascii()
    );
}

#[test]
fn changes_between_releases_of_glance() {
    let tally = check("glance");
    assert!(tally.three_way > 5 && tally.offset > 10, "{tally:?}");
}

#[test]
fn changes_between_releases_of_oslo_messaging() {
    let tally = check("oslo.messaging");
    assert!(tally.three_way > 0 && tally.up_to_date > 10, "{tally:?}");
}
