//! `patchset apply --branch`: the commits of a branch of a clone as patches.

use assert_cmd::Command;
use serde_json::Value;

use crate::support::git_repo::GitRepo;

const BASE: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n";

fn clone_with_branch() -> (tempfile::TempDir, GitRepo) {
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "demo");
    repo.commit(&[("f", BASE)], "Base");
    repo.git(&["checkout", "--quiet", "-b", "team"]);
    repo.commit(
        &[("f", &BASE.replace("two", "zwei"))],
        "UPSTREAM: <carry>: Say zwei",
    );
    repo.commit(&[("g", "new\n")], "UPSTREAM: <drop>: Add g");
    repo.commit(
        &[("f", &BASE.replace("two", "zwei").replace("nine", "neun"))],
        "Say neun",
    );
    repo.git(&["checkout", "--quiet", "main"]);
    repo.commit(&[("f", &BASE.replace("nine", "NINE"))], "Shout nine");
    (root, repo)
}

fn apply(repo: &GitRepo, args: &[&str], status: i32) -> (Vec<Value>, String) {
    let assert = Command::new(env!("CARGO_BIN_EXE_patchset"))
        .args(["apply", "--output", "json", "--repo"])
        .arg(&repo.dir)
        .args(args)
        .assert()
        .code(status);
    let output = assert.get_output();
    let lines = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    (
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect(),
        String::from_utf8(output.stderr.clone()).unwrap(),
    )
}

fn states(lines: &[Value]) -> Vec<(&str, &str)> {
    lines
        .iter()
        .map(|line| (line["patch"].as_str().unwrap(), line["state"].as_str().unwrap()))
        .collect()
}

#[test]
fn a_branchs_commits_are_patches() {
    let (_root, repo) = clone_with_branch();
    let (lines, _) = apply(&repo, &["--ref", "main~1", "--branch", "team"], 0);
    let names: Vec<&str> = states(&lines).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "0001-UPSTREAM-carry-Say-zwei.patch",
            "0002-UPSTREAM-drop-Add-g.patch",
            "0003-Say-neun.patch"
        ]
    );
    assert_eq!(lines[2]["tree"], repo.git(&["rev-parse", "team^{tree}"]));

    let (lines, told) = apply(
        &repo,
        &["--ref", "main", "--branch", "team", "--subjects", "soft"],
        1,
    );
    assert_eq!(
        states(&lines),
        [
            ("0001-UPSTREAM-carry-Say-zwei.patch", "Clean"),
            ("0003-Say-neun.patch", "Conflict")
        ]
    );
    assert!(
        told.contains("note: left out") && told.contains("Say neun"),
        "{told}"
    );
    let (lines, _) = apply(
        &repo,
        &["--ref", "main", "--branch", "team", "--base", "team~2"],
        1,
    );
    assert_eq!(states(&lines)[0], ("0001-UPSTREAM-drop-Add-g.patch", "Clean"));
}

#[test]
fn what_cannot_be_patches_is_told() {
    let (_root, repo) = clone_with_branch();
    let strict = ["--ref", "main", "--branch", "team", "--subjects", "strict"];
    let (_, told) = apply(&repo, &strict, 2);
    assert!(told.contains("the policy on subjects is Strict"), "{told}");
    let (_, told) = apply(&repo, &["--ref", "main", "--branch", "nowhere"], 2);
    assert!(told.contains("\"nowhere\" names no commit"), "{told}");
    let (_, told) = apply(&repo, &["--ref", "main", "--branch", "team", "patches"], 2);
    assert!(told.contains("cannot be used with"), "{told}");
    repo.git(&["checkout", "--quiet", "team"]);
    repo.git(&["merge", "--quiet", "--no-edit", "-X", "ours", "main"]);
    let (_, told) = apply(&repo, &["--ref", "main~1", "--branch", "team"], 2);
    assert!(told.contains("a merge is not a patch"), "{told}");
}
