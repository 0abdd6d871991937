//! Real changes between released versions of OpenStack components, on all versions in the corpus.

use git_apply_engine::Options;
use test_repositories::{corpus, split_diff};

use super::Comparison;

/// The most diffs that are taken from one pair of versions.
const DIFFS: usize = 800;

fn spread<'a>(patches: &[&'a [u8]], most: usize) -> Vec<&'a [u8]> {
    let step = patches.len().div_ceil(most).max(1);
    patches.iter().step_by(step).copied().collect()
}

/// Applies the changes between all neighbouring versions to all versions; returns how many applied,
/// and the total.
///
/// In both directions for the smaller components; the large index of the others makes git slow.
fn check(component: &str, ways: usize) -> (usize, usize) {
    let reverse = Options {
        reverse: true,
        ..Options::default()
    };
    let both: [(&[&str], Options); 2] = [(&[], Options::default()), (&["-R"], reverse)];
    let directions = &both[..ways];
    let repository = corpus().join(format!("{component}.git"));
    let oracle = Comparison::on(&repository);
    let tags: Vec<String> = oracle
        .run(&["tag", "--sort=version:refname"])
        .lines()
        .map(ToOwned::to_owned)
        .collect();
    assert!(tags.len() >= 2, "{component} has too few versions");
    let trees: Vec<String> = tags
        .iter()
        .map(|tag| oracle.run(&["rev-parse", &format!("{tag}^{{tree}}")]))
        .collect();
    let (mut applied, mut total) = (0, 0);
    for (pair, context) in tags.windows(2).zip(["-U3", "-U1"].iter().cycle()) {
        let diff = oracle.bytes(&[
            "diff",
            "--binary",
            "--full-index",
            "-M",
            "-C",
            context,
            &pair[0],
            &pair[1],
        ]);
        let files = split_diff(&diff);
        let groups: Vec<Vec<u8>> = files.chunks(7).map(<[&[u8]]>::concat).collect();
        let groups: Vec<&[u8]> = groups.iter().map(Vec::as_slice).collect();
        for patch in spread(&files, DIFFS)
            .into_iter()
            .chain(spread(&groups, DIFFS / 8))
        {
            for tree in &trees {
                for (arguments, options) in directions {
                    total += 1;
                    applied += usize::from(oracle.check(tree, patch, arguments, options).is_some());
                }
            }
        }
    }
    println!("{component}: {applied} of {total} apply");
    (applied, total)
}

#[test]
fn glance() {
    let (applied, total) = check("glance", 2);
    assert!(total > 500 && applied > 100, "{applied} of {total}");
}

#[test]
fn keystone() {
    let (applied, total) = check("keystone", 2);
    assert!(total > 500 && applied > 100, "{applied} of {total}");
}

#[test]
fn oslo_messaging() {
    let (applied, total) = check("oslo.messaging", 2);
    assert!(total > 100 && applied > 30, "{applied} of {total}");
}

#[test]
fn nova() {
    let (applied, total) = check("nova", 1);
    assert!(total > 300 && applied > 100, "{applied} of {total}");
}
