//! `patchset edit`, `export`, `verify` and `conflict` on a team's repository, with real `git`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::team::{Outcome, Team, numbered};
use crate::support::git_server::GitServer;

/// Runs git in a folder; returns its output.
#[track_caller]
fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=Tester", "-c", "user.email=tester@example.org"])
        .args(["-c", "core.editor=true"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn tree_of(team: &Team, name: &str) -> PathBuf {
    team.root.path().join(name)
}

/// Creates a working tree with a release's patches.
fn edit(team: &Team, upstream: &str, name: &str, more: &[&str]) -> Outcome {
    let into = tree_of(team, name).display().to_string();
    let fixed = ["edit", "glance/2025.1", "--upstream", upstream, "--into", &into];
    team.run(&[&fixed[..], more].concat())
}

fn step(team: &Team, name: &str, step: &str) -> Outcome {
    let into = tree_of(team, name).display().to_string();
    team.run(&["edit", step, "--into", &into])
}

fn export(team: &Team, name: &str, more: &[&str]) -> Outcome {
    let from = tree_of(team, name).display().to_string();
    team.run(&[&["export", "glance/2025.1", "--from", &from][..], more].concat())
}

/// Turns a line of the file into another, as a diff with these names.
fn diff(names: [&str; 2], number: usize, into: &str) -> String {
    format!(
        "--- {}\n+++ {}\n@@ -{},3 +{},3 @@\n line {}\n-line {number}\n+{into}\n line {}\n",
        names[0],
        names[1],
        number - 1,
        number - 1,
        number - 1,
        number + 1
    )
}

const FOLDER: &str = "patches/glance/2025.1";
const NAMES: [&str; 2] = ["a/lib/a.py", "b/lib/a.py"];

/// A series with the shapes that teams use: a mail by git, a plain diff with a notice, DEP-3, a
/// mailbox of two mails, and one with nothing to strip.
fn write_shapes(team: &Team) {
    let work = team.upstream.work();
    team.upstream
        .git(&["checkout", "--quiet", "--force", "-B", "shapes", "stable/2025.1"]);
    fs::write(work.join("lib/a.py"), numbered(&[(4, "four")])).unwrap();
    fs::write(work.join("new.py"), "new\n").unwrap();
    team.upstream.git(&["add", "--all"]);
    team.upstream.git(&[
        "commit",
        "--quiet",
        "--author=J\u{f6}rg <j@example.org>",
        "--message",
        "Say four\n\nA long body.\n\nChange-Id: I00000000000000000000000000000000000000aa",
    ]);
    let mail = team.upstream.git(&[
        "format-patch",
        "-1",
        "--stdout",
        "--subject-prefix=PATCH glance 3/7",
    ]);
    let series = "# in this order\n0002-mail.patch\nplain.diff\ndep3.patch # by Debian\nbox.patch\nnone.diff -p0\n0001-own.patch\n";
    team.write(&format!("{FOLDER}/series"), series);
    team.write(&format!("{FOLDER}/0002-mail.patch"), &(mail + "\n"));
    let plain = format!(
        "# SPDX-License-Identifier: Apache-2.0\n#\nUpstream status: not proposed.\nIt is ours.\n\n{}",
        diff(NAMES, 8, "eight")
    );
    team.write(&format!("{FOLDER}/plain.diff"), &plain);
    let dep3 = format!(
        "Description: Say twelve\n It was not said.\nAuthor: D Ebian <d@example.org>\nForwarded: no\n---\nIndex: x/lib/a.py\n===================================================================\n{}",
        diff(
            ["x.orig/lib/a.py\t2020-01-01", "x/lib/a.py\t2020-01-02"],
            12,
            "twelve"
        )
    );
    team.write(&format!("{FOLDER}/dep3.patch"), &dep3);
    let one = |subject: &str, number| {
        format!(
            "From {} Mon Sep 17 00:00:00 2001\nFrom: B <b@example.org>\nDate: Tue, 1 Apr 2025 10:00:00 -0700\nSubject: [PATCH] {subject}\n\nWhy.\n---\n lib/a.py | 2 +-\n\ndiff --git a/lib/a.py b/lib/a.py\n{}-- \n2.39\n\n",
            "1".repeat(40),
            diff(NAMES, number, subject)
        )
    };
    team.write(
        &format!("{FOLDER}/box.patch"),
        &[one("sixteen", 16), one("twenty", 20)].concat(),
    );
    team.write(
        &format!("{FOLDER}/none.diff"),
        &diff(["lib/a.py", "lib/a.py"], 24, "twenty-four"),
    );
}

#[test]
fn a_round_trip_changes_nothing_whatever_the_shape() {
    let team = Team::new();
    write_shapes(&team);
    let before = team.patches();
    let server = GitServer::http(team.root.path().join("upstreams")).start();
    let places = [
        ("clone", team.upstreams(), &[][..]),
        ("worktree", team.upstreams(), &["--worktree"][..]),
        ("http", format!("http://{}", server.host()), &[][..]),
    ];
    let mut ids = Vec::new();
    for (name, upstream, more) in places {
        edit(&team, &upstream, name, more).expect(0);
        let tree = tree_of(&team, name);
        ids.push(git(&tree, &["log", "-6", "--format=%H"]));
        assert_eq!(git(&tree, &["rev-list", "--count", "HEAD", "-6"]), "6");
        assert_eq!(git(&tree, &["status", "--porcelain"]), "");
        let told = export(&team, name, &[]).expect(0);
        assert!(told.out.contains("nothing changed"), "{}", told.out);
        assert_eq!(team.patches(), before, "{name}");
    }
    let commits: Vec<&String> = ids.iter().filter(|ids| !ids.is_empty()).collect();
    assert!(commits.windows(2).all(|two| two[0] == two[1]), "{ids:?}");
    let tree = tree_of(&team, "clone");
    assert_eq!(
        git(
            &tree,
            &["log", "-1", "--skip=5", "--format=%an|%ae|%ad|%cn|%s|%b"]
        ),
        "J\u{f6}rg|j@example.org|".to_owned()
            + &git(&tree, &["log", "-1", "--skip=5", "--format=%ad|%cn|%s|%b"])
    );
    assert!(
        git(&tree, &["log", "-1", "--skip=5", "--format=%cn|%s|%b"])
            .starts_with("J\u{f6}rg|Say four|A long body.")
    );
    // By git: the same files.
    let by_git = team.root.path().join("by-git");
    git(
        team.root.path(),
        &[
            "clone",
            "--quiet",
            "--branch",
            "stable/2025.1",
            "upstreams/glance.git",
            "by-git",
        ],
    );
    for (name, strip) in [
        ("0002-mail.patch", "-p1"),
        ("plain.diff", "-p1"),
        ("dep3.patch", "-p1"),
        ("box.patch", "-p1"),
        ("none.diff", "-p0"),
        ("0001-own.patch", "-p1"),
    ] {
        let patch = team.path(FOLDER).join(name);
        git(&by_git, &["apply", "--index", strip, patch.to_str().unwrap()]);
    }
    assert_eq!(
        git(&by_git, &["write-tree"]),
        git(&tree, &["rev-parse", "HEAD^{tree}"])
    );
}

/// Changes the series of [`write_shapes`] in a working tree: changes the mail and the plain diff,
/// removes the DEP-3 patch, and adds one at the front.
fn change_the_series(tree: &Path) {
    let commits = git(tree, &["rev-list", "--reverse", "-6", "HEAD"]);
    let commits: Vec<&str> = commits.lines().collect();
    git(tree, &["reset", "--quiet", "--hard", &format!("{}^", commits[0])]);
    fs::write(tree.join("first.py"), "first\n").unwrap();
    git(tree, &["add", "--all"]);
    git(tree, &["commit", "--quiet", "--message", "Come first"]);
    git(tree, &["cherry-pick", commits[0]]);
    git(
        tree,
        &[
            "commit",
            "--quiet",
            "--amend",
            "--message",
            "Say four loudly\n\nChange-Id: I00000000000000000000000000000000000000aa",
        ],
    );
    git(tree, &["cherry-pick", commits[1]]);
    let text = fs::read_to_string(tree.join("lib/a.py")).unwrap();
    fs::write(tree.join("lib/a.py"), text.replace("eight\n", "EIGHT\n")).unwrap();
    git(tree, &["commit", "--quiet", "--amend", "--all", "--no-edit"]);
    git(tree, &["cherry-pick", commits[3], commits[4], commits[5]]);
}

#[test]
fn what_changed_is_written_and_the_rest_stays() {
    let team = Team::new();
    write_shapes(&team);
    let before = team.patches();
    edit(&team, &team.upstreams(), "t", &[]).expect(0);
    let tree = tree_of(&team, "t");
    change_the_series(&tree);
    let shown = export(&team, "t", &["--dry-run"]).expect(0);
    assert_eq!(team.patches(), before);
    assert!(
        shown.out.contains("+EIGHT\n") || shown.out.contains("++EIGHT\n"),
        "{}",
        shown.out
    );
    let told = export(&team, "t", &[]).expect(0).out;
    for line in [
        "changed    0002-mail.patch",
        "changed    plain.diff",
        "dropped    dep3.patch",
        "unchanged  box.patch",
        "unchanged  none.diff",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let after = team.patches();
    let own = |name: &str| after[&format!("glance/2025.1/{name}")].clone();
    let old = |name: &str| before[&format!("glance/2025.1/{name}")].clone();
    for name in ["box.patch", "none.diff", "0001-own.patch"] {
        assert_eq!(own(name), old(name));
    }
    assert!(!after.contains_key("glance/2025.1/dep3.patch"));
    let list = own("series");
    assert!(list.contains("# in this order\n"), "{list}");
    let names: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(names[0].ends_with("Come-first.patch"), "{list}");
    assert_eq!(
        &names[1..],
        [
            "0002-mail.patch",
            "plain.diff",
            "box.patch",
            "none.diff -p0",
            "0001-own.patch"
        ]
    );
    // The mail's head differs, and its diffs are unchanged.
    let (mail, was) = (own("0002-mail.patch"), old("0002-mail.patch"));
    assert!(
        mail.contains("Subject: [PATCH glance 3/7] Say four loudly\n\nChange-Id:"),
        "{mail}"
    );
    assert_eq!(mail.lines().next(), was.lines().next());
    let diffs = |text: &str| text[text.find("diff --git").unwrap()..].to_owned();
    assert_eq!(diffs(&mail), diffs(&was));
    let plain = own("plain.diff");
    assert!(plain.starts_with("# SPDX-License-Identifier: Apache-2.0\n#\nUpstream status: not proposed.\nIt is ours.\n\n--- a/lib/a.py\n+++ b/lib/a.py\n@@ "), "{plain}");
    // A second time there is nothing to do.
    let again = team
        .run(&["export", "glance/2025.1", "--from", tree.to_str().unwrap()])
        .expect(2);
    assert!(
        again.err.contains("changed in the repository since"),
        "{}",
        again.err
    );
    edit(&team, &team.upstreams(), "u", &[]).expect(0);
    assert_eq!(
        git(&tree_of(&team, "u"), &["rev-parse", "HEAD^{tree}"]),
        git(&tree, &["rev-parse", "HEAD^{tree}"])
    );
    assert!(export(&team, "u", &[]).expect(0).out.contains("nothing changed"));
}

/// A pseudorandom generator, so that failures are reproducible.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

#[test]
fn series_of_all_kinds_come_back_as_git_format_patch_wrote_them() {
    let mut random = Random(7);
    let formats = [
        &["-U5"][..],
        &["--full-index", "--no-signature"],
        &["--no-stat"],
        &["--numbered"],
        &["--signoff"],
        &[],
    ];
    for round in 0..6 {
        let team = Team::new();
        let work = team.upstream.work();
        team.upstream
            .git(&["checkout", "--quiet", "--force", "-B", "random", "stable/2025.1"]);
        let mut lines: Vec<String> = numbered(&[]).lines().map(ToOwned::to_owned).collect();
        for number in 0..5 {
            for _ in 0..=random.below(3) {
                let at = random.below(lines.len());
                match random.below(3) {
                    0 => lines.insert(at, format!("come {round} {number}")),
                    1 => drop(lines.remove(at)),
                    _ => lines[at] = format!("other {round} {number} {at}"),
                }
            }
            fs::write(work.join("lib/a.py"), lines.join("\n") + "\n").unwrap();
            fs::write(work.join(format!("file{number}")), format!("{round}\n")).unwrap();
            team.upstream.git(&["add", "--all"]);
            team.upstream.git(&[
                "commit",
                "--quiet",
                "--message",
                &format!("Change {number}\n\nBody {number}"),
            ]);
        }
        fs::remove_file(team.path(FOLDER).join("0001-own.patch")).unwrap();
        let format = formats[round % formats.len()];
        let folder = team.path(FOLDER).display().to_string();
        team.upstream
            .git(&[&["format-patch", "--quiet", "-o", &folder, "-5"][..], format].concat());
        let before = team.patches();
        edit(&team, &team.upstreams(), "t", &[]).expect(0);
        let tree = tree_of(&team, "t");
        assert_eq!(
            git(&tree, &["rev-parse", "HEAD^{tree}"]),
            team.upstream.git(&["rev-parse", "random^{tree}"])
        );
        assert_eq!(
            team.applied_by_git("2025.1").0,
            git(&tree, &["rev-parse", "HEAD^{tree}"]),
            "as git am"
        );
        assert!(export(&team, "t", &[]).expect(0).out.contains("nothing changed"));
        assert_eq!(team.patches(), before);
        // One more file in the last commit: the other patches stay the same byte for byte.
        fs::write(tree.join("more"), "more\n").unwrap();
        git(&tree, &["add", "--all"]);
        git(&tree, &["commit", "--quiet", "--amend", "--no-edit"]);
        export(&team, "t", &[]).expect(0);
        let after = team.patches();
        let changed: Vec<&String> = after
            .iter()
            .filter(|(name, text)| before[*name] != **text)
            .map(|(name, _)| name)
            .collect();
        assert_eq!(changed, ["glance/2025.1/0005-Change-4.patch"]);
        assert_eq!(
            team.applied_by_git("2025.1").0,
            git(&tree, &["rev-parse", "HEAD^{tree}"])
        );
    }
}

/// A patch that conflicts on the ref `moved`, between two that do not.
fn write_conflict(team: &Team) -> String {
    let work = team.upstream.work();
    team.upstream
        .git(&["checkout", "--quiet", "--force", "-B", "carry", "stable/2025.1"]);
    fs::remove_file(team.path(FOLDER).join("0001-own.patch")).unwrap();
    for (number, line) in [(1, 5), (2, 20), (3, 35)] {
        let mut lines: Vec<(usize, &str)> = vec![(5, "own 5")];
        if number > 1 {
            lines.push((20, "own 20"));
        }
        if number > 2 {
            lines.push((35, "own 35"));
        }
        fs::write(work.join("lib/a.py"), numbered(&lines)).unwrap();
        let message = format!("Own {line}\n\nWhy {line}");
        team.upstream.git_at(
            Some(1_700_000_150),
            &["commit", "--quiet", "--all", "--message", &message],
        );
    }
    let folder = team.path(FOLDER).display().to_string();
    team.upstream
        .git(&["format-patch", "--quiet", "-o", &folder, "-3"]);
    team.upstream
        .git(&["checkout", "--quiet", "--force", "-B", "moved", "stable/2025.1"]);
    team.upstream.commit_at(
        Some(1_700_000_300),
        &[(
            "lib/a.py",
            &format!("above\n{}", numbered(&[(20, "upstream 20")])),
        )],
        "Move twenty\n\nIt had to be.",
    )
}

#[test]
fn a_conflict_is_gits_own_and_goes_on_when_it_is_solved() {
    let team = Team::new();
    let breaker = write_conflict(&team);
    let stopped = edit(&team, &team.upstreams(), "t", &["--ref", "moved"]).expect(1);
    assert!(
        stopped.out.contains("0002-Own-20.patch  conflict"),
        "{}",
        stopped.out
    );
    let tree = tree_of(&team, "t");
    assert_eq!(git(&tree, &["status", "--porcelain"]), "UU lib/a.py");
    let text = fs::read_to_string(tree.join("lib/a.py")).unwrap();
    assert!(
        text.contains("<<<<<<< HEAD\nupstream 20\n=======\nown 20\n>>>>>>> "),
        "{text}"
    );
    assert!(git(&tree, &["log", "-1", "CHERRY_PICK_HEAD", "--format=%an %s"]).contains("Own 20"));
    // Nothing is written while it is unresolved, and no partial resolution is accepted.
    assert!(
        export(&team, "t", &[])
            .expect(2)
            .err
            .contains("0002-Own-20.patch waits")
    );
    assert!(step(&team, "t", "--continue").expect(2).err.contains("lib/a.py"));
    git(&tree, &["add", "lib/a.py"]);
    assert!(
        step(&team, "t", "--continue")
            .expect(2)
            .err
            .contains("leftover conflict marker")
    );
    // A heading that is underlined is no marker.
    fs::write(tree.join("NOTES.rst"), "Horizon\n=======\n").unwrap();
    git(&tree, &["add", "NOTES.rst"]);
    let start = text.find("<<<<<<<").unwrap();
    let end = text.find(">>>>>>>").unwrap();
    let end = end + text[end..].find('\n').unwrap() + 1;
    let solved = format!("{}own upstream 20\n{}", &text[..start], &text[end..]);
    fs::write(tree.join("lib/a.py"), &solved).unwrap();
    assert!(step(&team, "t", "--continue").expect(2).err.contains("not added"));
    git(&tree, &["add", "lib/a.py"]);
    step(&team, "t", "--continue").expect(0);
    assert_eq!(
        git(&tree, &["log", "-3", "--format=%an|%cn|%s"]).lines().count(),
        3
    );
    assert!(git(&tree, &["log", "-1", "--skip=1", "--format=%B"]).starts_with("Own 20\n\nWhy 20"));
    assert!(fs::read_dir(tree.join(".git/rr-cache")).unwrap().next().is_some());
    // The same resolution gives the same commits; git recognizes it.
    let before = team.patches();
    let old = team.root.path().join("old");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(team.path(""))
        .arg(&old)
        .status()
        .unwrap();
    assert!(copied.success());
    export(&team, "t", &[]).expect(0);
    let after = team.patches();
    let changed: Vec<&String> = after
        .iter()
        .filter(|(name, text)| before[*name] != **text)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(changed, ["glance/2025.1/0002-Own-20.patch"]);
    assert!(after["glance/2025.1/0002-Own-20.patch"].contains("-upstream 20\n+own upstream 20\n"));
    let against = old.display().to_string();
    let told = team
        .run(&["verify", "glance/2025.1", "--against", &against])
        .expect(0);
    assert!(
        told.out.contains("does something else: ")
            && told.out.contains("lib/a.py")
            && told.out.contains("nothing is lost"),
        "{}",
        told.out
    );
    team.run(&["verify", "glance/2025.1", "--against", &against, "--strict"])
        .expect(1);
    assert!(!breaker.is_empty());
}

#[test]
fn a_person_may_commit_skip_or_give_up() {
    let team = Team::new();
    write_conflict(&team);
    let upstreams = team.upstreams();
    edit(&team, &upstreams, "t", &["--ref", "moved"]).expect(1);
    let tree = tree_of(&team, "t");
    git(&tree, &["checkout", "--theirs", "lib/a.py"]);
    git(&tree, &["add", "lib/a.py"]);
    git(&tree, &["cherry-pick", "--continue"]);
    let went_on = step(&team, "t", "--continue").expect(0);
    assert!(
        went_on.out.contains("0003-Own-35.patch  applied"),
        "{}",
        went_on.out
    );
    let skipped = edit(&team, &upstreams, "s", &["--ref", "moved"]);
    skipped.expect(1);
    step(&team, "s", "--skip").expect(0);
    let told = export(&team, "s", &["--dry-run"]).expect(0);
    assert!(told.err.contains("dropped    0002-Own-20.patch"), "{}", told.err);
    assert!(
        step(&team, "s", "--skip")
            .expect(2)
            .err
            .contains("no patch is waiting")
    );
    edit(&team, &upstreams, "w", &["--ref", "moved", "--worktree"]).expect(1);
    step(&team, "w", "--abort").expect(0);
    assert!(!tree_of(&team, "w").exists());
    assert_eq!(team.upstream.git(&["worktree", "list"]).lines().count(), 1);
}

#[test]
fn a_conflict_is_told_with_all_that_solves_it() {
    let team = Team::new();
    let breaker = write_conflict(&team);
    team.write("releases/2025.1/source-refs.yaml", "glance: moved\n");
    for (name, text) in team.patches() {
        let base = name.rsplit('/').next().unwrap();
        team.write("releases/2026.2/source-refs.yaml", "glance: stable/2025.1\n");
        team.write(&format!("patches/glance/2026.2/{base}"), &text);
    }
    let upstreams = team.upstreams();
    let files = team.root.path().join("files").display().to_string();
    let told = team
        .run(&[
            "conflict",
            "glance/2025.1",
            "--upstream",
            &upstreams,
            "--write",
            &files,
        ])
        .expect(1);
    for part in [
        breaker.as_str(),
        "It had to be.",
        "||||||| base",
        "at 2026.2  Clean  0002-Own-20.patch, the same",
    ] {
        assert!(told.out.contains(part), "{part}: {}", told.out);
    }
    let read = |path: &str| fs::read_to_string(Path::new(&files).join(path)).unwrap();
    let without = team
        .run(&["conflict", "glance/2025.1", "1", "--upstream", &upstreams])
        .expect(0);
    assert_eq!(without.out, "glance/2025.1: 1 has no conflict\n");
    assert_eq!(read("base/lib/a.py"), numbered(&[(5, "own 5")]));
    assert_eq!(
        read("ours/lib/a.py"),
        format!("above\n{}", numbered(&[(5, "own 5"), (20, "upstream 20")]))
    );
    assert_eq!(read("theirs/lib/a.py"), numbered(&[(5, "own 5"), (20, "own 20")]));
    let folder = Path::new(&files);
    let by_git = Command::new("git")
        .args([
            "merge-file",
            "-p",
            "--diff3",
            "-L",
            "ours: upstream with the patches before this one",
        ])
        .args([
            "-L",
            "base: what the patch was made for",
            "-L",
            "theirs: 0002-Own-20.patch",
        ])
        .args(["ours/lib/a.py", "base/lib/a.py", "theirs/lib/a.py"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert_eq!(read("merged/lib/a.py"), String::from_utf8(by_git.stdout).unwrap());
    let json = team
        .run(&[
            "conflict",
            "glance/2025.1",
            "2",
            "--upstream",
            &upstreams,
            "--output",
            "json",
        ])
        .expect(1);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["brokenBy"]["commit"], breaker.as_str());
    assert_eq!(json["files"][0]["conflicts"], 1);
    team.run(&["conflict", "glance/2025.1", "1", "--upstream", &upstreams])
        .expect(0);
    team.run(&["conflict", "glance/2025.1", "7", "--upstream", &upstreams])
        .expect(2);
}

#[test]
fn what_is_lost_is_told() {
    let team = Team::new();
    write_conflict(&team);
    git(&team.path(""), &["init", "--quiet"]);
    git(&team.path(""), &["add", "--all"]);
    git(&team.path(""), &["commit", "--quiet", "--message", "patches"]);
    team.run(&["verify", "glance/2025.1", "--against", "HEAD"])
        .expect(0);
    fs::remove_file(team.path(FOLDER).join("0003-Own-35.patch")).unwrap();
    let told = team
        .run(&["verify", "glance/2025.1", "--against", "HEAD"])
        .expect(1);
    assert!(
        told.out.contains("gone: lib/a.py") && told.out.contains("+own 35"),
        "{}",
        told.out
    );
    let json = team
        .run(&["verify", "glance/2025.1", "--against", "HEAD", "--output", "json"])
        .expect(1);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (json["lost"].as_bool(), &json["patches"][2]["relation"]),
        (Some(true), &"gone".into())
    );
    let wrong = team
        .run(&["verify", "glance/2025.1", "--against", "nothing"])
        .expect(2);
    assert!(
        wrong.err.contains("neither a folder nor a revision"),
        "{}",
        wrong.err
    );
}

#[test]
fn wrong_input_and_half_done_states_say_what_to_do() {
    let team = Team::new();
    let upstreams = team.upstreams();
    let says = |outcome: Outcome, text: &str| {
        assert_eq!(outcome.status, 2, "{}{}", outcome.out, outcome.err);
        assert!(outcome.err.contains(text), "{text}: {}", outcome.err);
    };
    fs::create_dir(tree_of(&team, "taken")).unwrap();
    fs::write(tree_of(&team, "taken").join("file"), "").unwrap();
    says(edit(&team, &upstreams, "taken", &[]), "already exists");
    says(edit(&team, &upstreams, "t", &["--ref", "nothing"]), "nothing");
    assert!(!tree_of(&team, "t").exists());
    says(
        team.run(&["edit", "glance/1999.1", "--upstream", &upstreams]),
        "1999.1",
    );
    says(export(&team, "absent", &[]), "there is no such folder");
    git(team.root.path(), &["init", "--quiet", "other"]);
    says(
        export(&team, "other", &[]),
        "not a working tree made by patchset edit",
    );
    says(
        step(&team, "other", "--continue"),
        "not a working tree made by patchset edit",
    );
    edit(&team, &upstreams, "t", &[]).expect(0);
    fs::write(tree_of(&team, "t").join("b.py"), "else\n").unwrap();
    says(export(&team, "t", &[]), "has uncommitted changes");
    says(edit(&team, &upstreams, "t", &[]), "patchset export glance/2025.1");
}
