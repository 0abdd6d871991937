//! `patchset add`: what results from a change at each release, compared with what git makes of it.

use std::fs;
use std::process::{Command, Stdio};

use super::team::{Team, numbered};

const CHANGE_ID: &str = "I1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c";

#[test]
fn a_commit_comes_to_each_release_as_git_would_pick_it() {
    let team = Team::new();
    let own = team.path("patches/glance/2025.1/0001-own.patch");
    let told = team.add(&team.fix, &["--release", "all"]).expect(1);
    let new = "Fix-the-thing.patch";
    assert_eq!(
        team.names(),
        [
            "glance/2025.1/0001-own.patch".to_owned(),
            format!("glance/2025.1/0002-{new}"),
            format!("glance/2025.2/0001-{new}"),
            format!("glance/2026.1/0001-{new}"),
        ]
    );
    for line in [
        "glance/2024.2 at stable/2024.2\n  conflicts Fix-the-thing\n",
        "lib/a.py",
        "glance/2025.1 at stable/2025.1\n  added patches/glance/2025.1/0002-Fix-the-thing.patch\n",
        "glance/2025.2 at stable/2025.2\n  added, with other line numbers patches/glance/2025.2/0001-Fix-the-thing.patch\n    lib/a.py: 2 lines further below\n",
        "glance/2026.1 at stable/2026.1\n  added, by a merge: look at it patches/glance/2026.1/0001-Fix-the-thing.patch\n    lib/a.py: merged, from the file that it was made for\n",
        "glance/main at main\n  upstream has it Fix-the-thing\n",
        "4 of 5 releases have it, 1 lack it\n",
    ] {
        assert!(told.out.contains(line), "{line:?} is not in:\n{}", told.out);
    }
    for (release, first) in [
        ("2025.1", vec![own.as_path()]),
        ("2025.2", vec![]),
        ("2026.1", vec![]),
    ] {
        let found = team.applied_by_git(release);
        assert_eq!(found, team.picked_by_git(release, &team.fix, &first), "{release}");
        let patch = team.patches()[&format!(
            "glance/{release}/{}",
            if release == "2025.1" {
                format!("0002-{new}")
            } else {
                format!("0001-{new}")
            }
        )]
            .clone();
        assert!(patch.contains("From: Tester <tester@example.org>\n"), "{patch}");
        let note = format!(
            "Signed-off-by: A <a@example.org>\n(cherry picked from commit {})\n---\n",
            team.fix
        );
        assert!(patch.contains(&note), "{patch}");
    }
    // Once more, nothing changes.
    let before = team.patches();
    let told = team
        .add(&team.fix, &["--release", "2025.1", "--release", "2026.1"])
        .expect(0);
    assert!(
        told.out
            .contains("already in the series as patches/glance/2025.1/0002-Fix-the-thing.patch"),
        "{}",
        told.out
    );
    assert!(told.out.contains("2 of 2 releases have it\n"), "{}", told.out);
    assert_eq!(team.patches(), before);
}

#[test]
fn the_file_is_that_of_format_patch() {
    let team = Team::new();
    team.add(&team.fix, &["--release", "2025.1"]).expect(0);
    let written = team.read("patches/glance/2025.1/0002-Fix-the-thing.patch");
    team.upstream
        .git(&["checkout", "--quiet", "--force", "-B", "pick", "stable/2025.1"]);
    team.upstream.git(&["cherry-pick", "-x", &team.fix]);
    let by_git = team.upstream.git(&[
        "format-patch",
        "-1",
        "--stdout",
        "--no-numbered",
        "--no-signature",
        "--full-index",
    ]);
    let behind = |text: &str| text.split_once('\n').unwrap().1.trim_end().to_owned();
    // The commit in the first line differs.
    assert_eq!(behind(&written), behind(&by_git));
}

#[test]
fn a_dry_run_prints_what_git_applies_and_writes_nothing() {
    let team = Team::new();
    let before = team.patches();
    let told = team.add(&team.fix, &["--release", "all", "--dry-run"]).expect(1);
    assert_eq!(team.patches(), before);
    assert!(
        told.err
            .contains("added patches/glance/2025.1/0002-Fix-the-thing.patch"),
        "{}",
        told.err
    );
    let mut apply = Command::new("git")
        .args(["apply", "-"])
        .current_dir(team.path(""))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    {
        use std::io::Write;
        apply
            .stdin
            .take()
            .unwrap()
            .write_all(told.out.as_bytes())
            .unwrap();
    }
    assert!(apply.wait().unwrap().success(), "{}", told.out);
    let by_diff = team.patches();
    for name in by_diff.keys().filter(|name| !before.contains_key(*name)) {
        fs::remove_file(team.path("patches").join(name)).unwrap();
    }
    team.add(&team.fix, &["--release", "all"]).expect(1);
    assert_eq!(team.patches(), by_diff);
}

#[test]
fn several_commits_come_in_their_order_or_not_at_all() {
    let team = Team::new();
    team.upstream
        .git(&["checkout", "--quiet", "-B", "topic", "stable/2025.1"]);
    team.upstream.commit(&[("c.py", "one\n")], "Add a file");
    team.upstream.commit(&[("c.py", "one\ntwo\n")], "Make it longer");
    team.upstream.commit(
        &[("lib/a.py", &numbered(&[(20, "other line 20")]))],
        "Change a line",
    );
    let told = team
        .add(
            "stable/2025.1..topic",
            &["--release", "2025.1", "--release", "2024.2"],
        )
        .expect(1);
    assert_eq!(
        team.names(),
        [
            "glance/2025.1/0001-own.patch",
            "glance/2025.1/0002-Add-a-file.patch",
            "glance/2025.1/0003-Make-it-longer.patch",
            "glance/2025.1/0004-Change-a-line.patch",
        ]
    );
    for line in [
        "  not added Add-a-file: it applies, but is added only with the rest of its source\n",
        "  not added Make-it-longer:",
        "  conflicts Change-a-line\n",
        "1 of 2 releases have it, 1 lack it\n",
    ] {
        assert!(told.out.contains(line), "{line:?} is not in:\n{}", told.out);
    }
    team.applied_by_git("2025.1");
}

#[test]
fn a_list_and_the_names_of_a_series_are_followed() {
    let team = Team::new();
    team.write("patches/glance/2025.2/series", "# first\nown.patch\r\n");
    team.write(
        "patches/glance/2025.2/own.patch",
        "--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-b\n+B\n",
    );
    team.write(
        "patches/glance/2026.1/07-own.patch",
        "--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-b\n+B\n",
    );
    team.add(&team.fix, &["--release", "2025.2", "--release", "2026.1"])
        .expect(0);
    assert_eq!(
        team.read("patches/glance/2025.2/series"),
        "# first\nown.patch\r\nFix-the-thing.patch\r\n"
    );
    assert!(
        team.names()
            .contains(&"glance/2026.1/08-Fix-the-thing.patch".to_owned())
    );
}

#[test]
fn where_it_comes_from_is_said_in_the_form_of_the_repository() {
    for (other, expected) in [
        (
            "Origin: vendor\nForwarded: no\n",
            "(cherry picked from commit COMMIT)\nOrigin: upstream, PAGE\n---\n",
        ),
        (
            "Upstream-Status: Pending\n",
            "(cherry picked from commit COMMIT)\nUpstream-Status: Backport [PAGE]\n---\n",
        ),
        (
            "Upstream status: not yet proposed.\n",
            "It was broken.\n\nUpstream status: backport of PAGE\n\nChange-Id: ",
        ),
        (
            "",
            "Signed-off-by: A <a@example.org>\n(cherry picked from commit COMMIT)\n---\n",
        ),
    ] {
        let team = Team::new();
        team.upstream
            .git(&["remote", "add", "origin", "https://github.com/openstack/glance"]);
        team.write(
            "patches/nova/2025.1/0001-own.patch",
            &format!("Description: Own\n{other}\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"),
        );
        team.add(&team.fix, &["--release", "2025.1"]).expect(0);
        let written = team.read("patches/glance/2025.1/0002-Fix-the-thing.patch");
        let page = format!("https://github.com/openstack/glance/commit/{}", team.fix);
        let expected = expected.replace("PAGE", &page).replace("COMMIT", &team.fix);
        assert!(written.contains(&expected), "{other}: {written}");
        team.applied_by_git("2025.1");
    }
}

#[test]
fn a_file_a_mailbox_and_standard_input_are_taken_as_they_are() {
    let team = Team::new();
    let text = format!(
        "Subject: [PATCH 3/7] Say it: twice\n\nChange-Id: {CHANGE_ID}\n---\n--- a/b.py\n+++ b/b.py\n@@ -1 +1,2 @@\n b\n+b\n"
    );
    let file = team.root.path().join("any.patch");
    fs::write(&file, &text).unwrap();
    team.add(file.to_str().unwrap(), &["--release", "2025.2"])
        .expect(0);
    assert_eq!(team.read("patches/glance/2025.2/0001-Say-it-twice.patch"), text);
    let upstreams = team.upstreams();
    let arguments = [
        "add",
        "-",
        "--component",
        "glance",
        "--release",
        "2026.1",
        "--upstream",
        &upstreams,
    ];
    let program = || Command::new(env!("CARGO_BIN_EXE_patchset"));
    team.run_with(&arguments, program(), &text).expect(0);
    assert_eq!(team.read("patches/glance/2026.1/0001-Say-it-twice.patch"), text);
    // The same change by its Change-Id, whatever its current form.
    let told = team
        .run_with(&arguments, program(), &text.replace("+b\n", "+c\n"))
        .expect(0);
    assert!(told.out.contains("already in the series"), "{}", told.out);
    team.upstream
        .git(&["checkout", "--quiet", "-B", "topic", "stable/2025.2"]);
    team.upstream.commit(&[("c.py", "one\n")], "Add a file");
    team.upstream.commit(&[("c.py", "one\ntwo\n")], "Make it longer");
    let mailbox = team
        .upstream
        .git(&["format-patch", "--stdout", "stable/2025.2..topic"]);
    fs::write(&file, mailbox + "\n").unwrap();
    team.add(file.to_str().unwrap(), &["--release", "2024.2"])
        .expect(0);
    assert_eq!(
        team.names()[..2],
        [
            "glance/2024.2/0001-Add-a-file.patch",
            "glance/2024.2/0002-Make-it-longer.patch"
        ]
    );
    fs::write(&file, "nothing\n").unwrap();
    let told = team
        .add(file.to_str().unwrap(), &["--release", "2024.2"])
        .expect(2);
    assert!(
        told.err.contains("contains no patch: give a diff"),
        "{}",
        told.err
    );
}

/// Merges `main` into a release's branch upstream; returns the merge commit.
fn merge_upstream(team: &Team) -> String {
    team.upstream
        .git(&["checkout", "--quiet", "-B", "merged", "stable/2025.2"]);
    team.upstream
        .git(&["merge", "--quiet", "--no-ff", "-X", "ours", "main"]);
    team.upstream.git(&["rev-parse", "HEAD"])
}

#[test]
fn wrong_input_says_what_where_and_what_to_do() {
    let team = Team::new();
    let before = team.patches();
    let upstreams = team.upstreams();
    let fix = team.fix.as_str();
    let merge = merge_upstream(&team);
    let with = |arguments: &[&str]| team.run(&[&["add"], arguments].concat());
    let glance = ["--component", "glance", "--upstream", &upstreams];
    for (arguments, words) in [
        (
            vec![
                fix,
                "--component",
                "glanse",
                "--release",
                "all",
                "--upstream",
                &upstreams,
            ],
            "did you mean glance?",
        ),
        (
            [&[fix, "--release", "2025.3"][..], &glance].concat(),
            "did you mean 2025.1 or 2025.2",
        ),
        (
            vec![fix, "--component", "glance", "--release", "all"],
            "say with --upstream where the components' repositories are",
        ),
        (
            [&["absent", "--release", "2025.1"][..], &glance].concat(),
            "absent",
        ),
        (
            [&["absent.patch", "--release", "2025.1"][..], &glance].concat(),
            "there is no such file",
        ),
        (
            [&["https://example.org/x", "--release", "2025.1"][..], &glance].concat(),
            "is not a known page",
        ),
        (
            [&["123456", "--release", "2025.1"][..], &glance].concat(),
            "the upstream has no .gitreview that names its Gerrit: give --gerrit",
        ),
        (
            [&[merge.as_str(), "--release", "2025.1"][..], &glance].concat(),
            "a merge is not a patch",
        ),
        (
            [&["-", "--from", "x", "--release", "2025.1"][..], &glance].concat(),
            "--from is for a revision",
        ),
    ] {
        let told = with(&arguments);
        assert_eq!(told.status, 2, "{arguments:?}: {}{}", told.out, told.err);
        assert!(told.err.contains(words), "{arguments:?}: {}", told.err);
    }
    // Nothing is added to a series that does not apply itself.
    team.write(
        "patches/glance/2025.1/0001-own.patch",
        "--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-x\n+y\n",
    );
    let told = team.add(fix, &["--release", "2025.1"]).expect(2);
    assert!(
        told.err.contains(
            "its own patch patches/glance/2025.1/0001-own.patch does not apply: mend or drop it first"
        ),
        "{}",
        told.err
    );
    team.write(
        "patches/glance/2025.1/0001-own.patch",
        &before["glance/2025.1/0001-own.patch"],
    );
    assert_eq!(team.patches(), before);
}

#[test]
fn a_name_that_would_break_the_order_is_refused() {
    let team = Team::new();
    // It sorts after any number, and needs the line that the new one changes.
    team.write(
        "patches/glance/2025.1/CVE-1.patch",
        "--- a/lib/a.py\n+++ b/lib/a.py\n@@ -1,3 +1,3 @@\n line 1\n-line 2\n+second line\n line 3\n",
    );
    let file = team.root.path().join("any.patch");
    let text = "--- a/lib/a.py\n+++ b/lib/a.py\n@@ -1,3 +1,3 @@\n line 1\n-second line\n+2nd line\n line 3\n";
    fs::write(&file, text).unwrap();
    let before = team.patches();
    let told = team
        .add(file.to_str().unwrap(), &["--release", "2025.1"])
        .expect(1);
    assert_eq!(team.patches(), before);
    assert!(
        told.out
            .contains("with the new patch in its place, 0002-any.patch does not apply"),
        "{}",
        told.out
    );
}
