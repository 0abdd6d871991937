//! Which commit broke a patch.

use git_apply_engine::PatchInput;

use super::Upstream;
use super::identities::BASE;

/// Commits the file with each change in turn; returns the commits.
fn history(upstream: &Upstream, changes: &[(&str, &str)]) -> Vec<String> {
    let mut text = std::fs::read_to_string(upstream.path().join("f")).unwrap();
    let mut commits = Vec::new();
    for (from, to) in changes {
        text = text.replace(from, to);
        commits.push(upstream.commit(&[("f", &text)], &format!("Make {from} {to}")));
        upstream.commit(&[("elsewhere", to)], "Something else");
    }
    commits
}

/// A base, and a patch on it.
fn based() -> (Upstream, String, PatchInput) {
    let upstream = Upstream::new();
    let base = upstream.commit(&[("f", BASE)], "Base");
    upstream.git(&["checkout", "--quiet", "-b", "team"]);
    let fix = upstream.commit(&[("f", &BASE.replace("four", "vier"))], "Fix");
    let patch = upstream.patch(&fix);
    upstream.git(&["checkout", "--quiet", "main"]);
    (upstream, base, patch)
}

#[test]
fn the_commit_that_changed_the_lines() {
    let (upstream, base, patch) = based();
    let commits = history(
        &upstream,
        &[
            ("nine", "neuf"),
            ("three", "trois"),
            ("one", "un"),
            ("five", "cinq"),
        ],
    );
    let patches = [patch];
    for since in [Some(base.as_str()), None] {
        let breaker = upstream.breaker("main", since, &patches).unwrap();
        // The first one that touched what the hunk expects, and not the last.
        assert_eq!(breaker.commit.to_string(), commits[1]);
        assert_eq!(breaker.subject, "Make three trois");
    }
    // If it was broken from the start, no commit of the range is to blame.
    assert_eq!(upstream.breaker("main", Some(&commits[1]), &patches), None);
    // A patch that applies has no breaker.
    assert_eq!(upstream.breaker(&base, None, &patches), None);
}

#[test]
fn the_last_one_that_broke_it_counts() {
    let (upstream, base, patch) = based();
    let commits = history(
        &upstream,
        &[("three", "trois"), ("trois", "three"), ("five", "cinq")],
    );
    let breaker = upstream.breaker("main", Some(&base), &[patch]).unwrap();
    assert_eq!(breaker.commit.to_string(), commits[2]);
}

#[test]
fn the_commit_behind_a_merge() {
    let (upstream, base, patch) = based();
    upstream.git(&["checkout", "--quiet", "-b", "topic"]);
    let commits = history(&upstream, &[("two", "deux"), ("deux", "two"), ("three", "trois")]);
    upstream.git(&["checkout", "--quiet", "main"]);
    upstream.commit(&[("f", &BASE.replace("nine", "neuf"))], "Main line");
    upstream.git(&["merge", "--quiet", "--no-ff", "-m", "Merge", "topic"]);
    let breaker = upstream
        .breaker("main", Some(&base), std::slice::from_ref(&patch))
        .unwrap();
    assert_eq!(breaker.commit.to_string(), commits[2]);
    // A merge whose own changes broke it is the breaker.
    upstream.git(&["checkout", "--quiet", "-b", "evil", &base]);
    upstream.commit(&[("g", "1\n")], "One side");
    upstream.git(&["checkout", "--quiet", "-b", "side", &base]);
    upstream.commit(&[("h", "1\n")], "Other side");
    upstream.git(&["checkout", "--quiet", "evil"]);
    upstream.git(&["merge", "--quiet", "--no-ff", "--no-commit", "side"]);
    let merge = upstream.commit(&[("f", &BASE.replace("five", "cinq"))], "Merge with more");
    let breaker = upstream.breaker("evil", Some(&base), &[patch]).unwrap();
    assert_eq!(breaker.commit.to_string(), merge);
}

#[test]
fn files_that_went_or_came() {
    let (upstream, base, patch) = based();
    upstream.git(&["mv", "f", "g"]);
    upstream.git(&["commit", "--quiet", "-m", "Rename"]);
    let renamed = upstream.head();
    upstream.commit(&[("g", "x\n")], "Later");
    let breaker = upstream.breaker("main", Some(&base), &[patch]).unwrap();
    assert_eq!(breaker.commit.to_string(), renamed);
    upstream.git(&["checkout", "--quiet", "team"]);
    let new = upstream.commit(&[("new", "ours\n")], "New");
    let patch = upstream.patch(&new);
    upstream.git(&["checkout", "--quiet", "main"]);
    let theirs = upstream.commit(&[("new", "theirs\n")], "Theirs");
    upstream.commit(&[("new", "theirs\nmore\n")], "More");
    let breaker = upstream.breaker("main", Some(&base), &[patch]).unwrap();
    assert_eq!(breaker.commit.to_string(), theirs);
}

#[test]
fn a_patch_on_top_of_another() {
    let (upstream, base, first) = based();
    upstream.git(&["checkout", "--quiet", "team"]);
    let second = upstream.commit(
        &[("f", &BASE.replace("four", "VIER").replace("eight", "acht"))],
        "Second",
    );
    let patches = [first, upstream.patch(&second)];
    upstream.git(&["checkout", "--quiet", "main"]);
    upstream.commit(&[("g", "1\n")], "Aside");
    let commits = history(&upstream, &[("nine", "neuf")]);
    // It never fits without the first one.
    let breaker = upstream.breaker("main", Some(&base), &patches).unwrap();
    assert_eq!(breaker.commit.to_string(), commits[0]);
}
