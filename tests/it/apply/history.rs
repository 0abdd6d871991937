//! `patchset apply` where upstream has patches, had them, or broke them.

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

use crate::support::git_repo::GitRepo;

const BASE: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n";
const ID: &str = "Change-Id: Iaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

struct Case {
    root: tempfile::TempDir,
    upstream: GitRepo,
    base: String,
}

impl Case {
    /// An upstream, and a team's patch on its first commit.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let upstream = GitRepo::create(root.path(), "upstream");
        let base = upstream.commit(&[("f", BASE)], "Base");
        upstream.git(&["checkout", "--quiet", "-b", "team"]);
        let message = format!("Say vier\n\n{ID}");
        upstream.commit(&[("f", &BASE.replace("four", "vier"))], &message);
        let patch = upstream.git(&["format-patch", "--stdout", "-1", "team"]);
        std::fs::write(root.path().join("1.patch"), patch + "\n").unwrap();
        upstream.git(&["checkout", "--quiet", "main"]);
        Self { root, upstream, base }
    }

    fn command(&self, repo: &Path, args: &[&str]) -> Command {
        self.command_at("main", repo, args)
    }

    fn command_at(&self, revision: &str, repo: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchset"));
        command
            .current_dir(self.root.path())
            .args(["apply", "--ref", revision, "1.patch", "--repo"])
            .arg(repo)
            .args(args);
        command
    }

    fn text(&self, args: &[&str]) -> String {
        let output = self.command(&self.upstream.dir, args).assert().code(1);
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let text = self.text(&[&["--output", "json"], args].concat());
        serde_json::from_str(text.trim()).unwrap()
    }
}

fn clone_shallow(args: &[&str]) {
    let cloned = std::process::Command::new("git")
        .args(["clone", "--quiet", "--depth", "1"])
        .args(args)
        .status();
    assert!(cloned.unwrap().success());
}

/// The first digits of a commit, as reports show it.
fn short(commit: &str) -> &str {
    &commit[..7]
}

#[test]
fn what_upstream_merged_in_another_form() {
    let case = Case::new();
    let message = format!("Say vier\n\n{ID}");
    let tweaked = case
        .upstream
        .commit(&[("f", &BASE.replace("four", "vier!"))], &message);
    case.upstream.git(&[
        "remote",
        "add",
        "origin",
        "https://u:secret@github.com/example/upstream.git",
    ]);
    let line = case.json(&[]);
    assert_eq!(
        (&line["state"], &line["applies"]),
        (&"Merged".into(), &false.into())
    );
    let merged = &line["merged"];
    assert_eq!(merged["commit"], tweaked);
    assert_eq!(merged["by"], "ChangeId");
    assert_eq!(merged["subject"], "Say vier");
    assert_eq!(merged["author"], "Tester <tester@example.org>");
    assert_eq!(merged["differs"], true);
    assert_eq!(
        merged["url"],
        format!("https://github.com/example/upstream/commit/{tweaked}")
    );
    assert!(
        merged["interdiff"].as_str().unwrap().contains("-vier\n+vier!\n"),
        "{merged}"
    );
    let date: jiff::Timestamp = merged["date"].as_str().unwrap().parse().unwrap();
    assert!(
        line.get("brokenBy").is_none() && line.get("reverted").is_none(),
        "{line}"
    );
    let text = case.text(&[]);
    let told = format!(
        "    merged as {} 'Say vier' ({}), by its Change-Id, and upstream's differs:\n",
        short(&tweaked),
        date.strftime("%-d %b %Y")
    );
    assert!(text.contains(&told) && text.contains("      +vier!\n"), "{text}");
    // Without the search, the patch conflicts.
    let line = case.json(&["--no-history"]);
    assert_eq!((&line["state"], line.get("merged")), (&"Conflict".into(), None));
}

#[test]
fn what_upstream_took_back() {
    let case = Case::new();
    let message = format!("Say vier\n\n{ID}");
    let merged = case
        .upstream
        .commit(&[("f", &BASE.replace("four", "vier"))], &message);
    case.upstream.git(&["revert", "--no-edit", &merged]);
    let revert = case.upstream.git(&["rev-parse", "HEAD"]);
    let broken = case
        .upstream
        .commit(&[("f", &BASE.replace("four", "IV"))], "Say IV");
    let line = case.json(&[]);
    assert_eq!(line["state"], "Conflict");
    assert_eq!(line["reverted"]["merged"]["commit"], merged);
    assert_eq!(line["reverted"]["by"]["commit"], revert);
    assert_eq!(line["brokenBy"]["commit"], broken);
    let text = case.text(&[]);
    let told = format!("    was merged as {} 'Say vier' (", short(&merged));
    let by = format!("), reverted by {} 'Revert \"Say vier\"' (", short(&revert));
    assert!(text.contains(&told) && text.contains(&by), "{text}");
}

#[test]
fn who_broke_a_patch() {
    let case = Case::new();
    let breaks = case
        .upstream
        .commit(&[("f", &BASE.replace("five", "cinq"))], "Refactor the manager");
    case.upstream.commit(
        &[("f", &BASE.replace("five", "cinq").replace("nine", "neuf"))],
        "Later",
    );
    for args in [&["--since", &case.base][..], &["--since", "2001-01-01"], &[]] {
        let line = case.json(args);
        assert_eq!(line["state"], "Conflict");
        assert_eq!(line["brokenBy"]["commit"], breaks, "{args:?}");
        assert_eq!(line["brokenBy"]["subject"], "Refactor the manager");
    }
    let text = case.text(&[]);
    let told = format!("    broken by {} 'Refactor the manager' (", short(&breaks));
    assert!(text.contains(&told), "{text}");
    // No commit of the range is to blame.
    assert!(case.json(&["--since", "main"]).get("brokenBy").is_none());
    let wrong = case
        .command(&case.upstream.dir, &["--since", "soon"])
        .assert()
        .code(2);
    let told = String::from_utf8_lossy(&wrong.get_output().stderr).into_owned();
    assert!(told.contains("--since soon: this is neither a date"), "{told}");
}

#[test]
fn a_shallow_clone_is_searched_as_far_as_it_goes_and_says_so() {
    let case = Case::new();
    case.upstream
        .commit(&[("f", &BASE.replace("four", "IV"))], "Say IV");
    let clone = case.root.path().join("clone");
    let from = format!("file://{}", case.upstream.dir.display());
    let to = clone.to_str().unwrap();
    clone_shallow(&["--branch", "main", &from, to]);
    let output = case.command(&clone, &["--output", "json"]).assert().code(1);
    let told = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert_eq!(told.matches("the clone is shallow").count(), 1, "{told}");
    let line: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!((&line["state"], line.get("brokenBy")), (&"Conflict".into(), None));
    // While all patches apply, the shallow clone is not mentioned.
    case.upstream.git(&["branch", "first", &case.base]);
    let first = case.root.path().join("first");
    let to = first.to_str().unwrap();
    clone_shallow(&["--branch", "first", &from, to]);
    case.command_at("first", &first, &[]).assert().code(0).stderr("");
}
