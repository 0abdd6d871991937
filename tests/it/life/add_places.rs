//! `patchset add` from servers: commits, pull requests and changes on Gerrit, over http and ssh.

use std::fs;
use std::process::Command;

use super::team::{Outcome, Team, numbered};
use crate::support::git_server::GitServer;
use crate::support::ssh_server::{GitProtocol, SshServer};

/// Adds something for a release, with the upstream on a server.
fn add(team: &Team, server: &GitServer, source: &str, more: &[&str]) -> Outcome {
    let base = format!("http://{}", server.host());
    let fixed = ["add", source, "--component", "glance", "--upstream", &base];
    team.run(&[&fixed[..], more].concat())
}

#[test]
fn commits_are_fetched_by_their_pages_and_by_revisions_over_http() {
    let team = Team::new();
    let server = GitServer::http(team.upstreams()).start();
    let page = format!("http://{}/glance.git/commit/{}", server.host(), team.fix);
    let told = add(&team, &server, &page, &["--release", "all"]).expect(1);
    assert!(
        told.out.contains("4 of 5 releases have it, 1 lack it"),
        "{}",
        told.out
    );
    let by_page = team.patches();
    for release in ["2025.1", "2025.2", "2026.1"] {
        let own = team.path("patches/glance/2025.1/0001-own.patch");
        let first = if release == "2025.1" {
            vec![own.as_path()]
        } else {
            vec![]
        };
        let found = team.applied_by_git(release);
        assert_eq!(found, team.picked_by_git(release, &team.fix, &first), "{release}");
    }
    let other = Team::new();
    assert_eq!(other.fix, team.fix);
    let told = add(&other, &server, &team.fix, &["--release", "all"]).expect(1);
    assert_eq!(other.patches(), by_page, "{}", told.out);
    // An older server, which neither filters nor serves unlisted objects.
    let plain = GitServer::http(team.upstreams()).version_0().start();
    let third = Team::new();
    let told = add(&third, &plain, &team.fix, &["--release", "all"]).expect(1);
    assert_eq!(third.patches(), by_page, "{}", told.out);
    let told = add(&third, &plain, "stable/2025.1..main", &["--release", "2025.2"]).expect(0);
    assert!(told.out.contains("already in the series"), "{}", told.out);
}

#[test]
fn the_upstream_is_reached_by_ssh() {
    let team = Team::new();
    let server = SshServer::start(GitProtocol::Accepted);
    let home = team.root.path().join("home");
    fs::create_dir_all(home.join(".ssh")).unwrap();
    fs::write(home.join(".ssh/id_ed25519"), server.user_key("ed25519", "")).unwrap();
    fs::write(home.join(".ssh/known_hosts"), server.known_hosts("ed25519")).unwrap();
    let base = server.url(std::path::Path::new(&team.upstreams()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchset"));
    command.env("HOME", &home);
    let arguments = [
        "add",
        &team.fix,
        "--component",
        "glance",
        "--release",
        "2025.2",
        "--upstream",
        &base,
    ];
    let told = team.run_with(&arguments, command, "").expect(0);
    assert!(
        told.out.contains("added, with other line numbers"),
        "{}",
        told.out
    );
    let found = team.applied_by_git("2025.2");
    assert_eq!(found, team.picked_by_git("2025.2", &team.fix, &[]));
}

/// A pull request with two commits on top of 2025.1, after which main moved on.
fn with_pull_request(team: &Team, name: &str) -> String {
    team.upstream
        .git(&["checkout", "--quiet", "-B", "topic", "stable/2025.1"]);
    team.upstream
        .commit_at(Some(1_700_000_300), &[("c.py", "one\n")], "Add a file");
    team.upstream
        .commit_at(Some(1_700_000_400), &[("c.py", "one\ntwo\n")], "Make it longer");
    let head = team.upstream.git(&["rev-parse", "HEAD"]);
    team.upstream.git(&["update-ref", name, &head]);
    team.upstream.git(&["checkout", "--quiet", "main"]);
    team.upstream.git(&["branch", "--quiet", "-D", "topic"]);
    team.upstream.git(&["rev-parse", "stable/2025.1"])
}

#[test]
fn pull_requests_are_taken_whole() {
    for (page, name, api, answer, is_merged) in [
        (
            "glance.git/pull/7",
            "refs/pull/7/head",
            "/api/v3/repos/glance.git/pulls/7",
            r#"{"commits": 2, "merged": false}"#,
            false,
        ),
        (
            "glance.git/pulls/7",
            "refs/pull/7/head",
            "/api/v1/repos/glance.git/pulls/7",
            r#"{"merge_base": "BASE", "merged": true}"#,
            true,
        ),
        (
            "glance.git/-/merge_requests/7",
            "refs/merge-requests/7/head",
            "/api/v4/projects/glance.git/merge_requests/7",
            r#"{"diff_refs": {"base_sha": "BASE"}, "state": "opened"}"#,
            false,
        ),
        // Without an API it consists of the commits that the default branch lacks.
        ("glance.git/pull/7", "refs/pull/7/head", "/none", "", false),
    ] {
        let team = Team::new();
        let base = with_pull_request(&team, name);
        let server = GitServer::http(team.upstreams())
            .page(api, &answer.replace("BASE", &base))
            .start();
        let page = format!("http://{}/{page}", server.host());
        let told = add(
            &team,
            &server,
            &page,
            &["--release", "2025.2", "--headers", "yocto"],
        )
        .expect(0);
        assert_eq!(
            team.names()[1..],
            [
                "glance/2025.2/0001-Add-a-file.patch",
                "glance/2025.2/0002-Make-it-longer.patch"
            ],
            "{}",
            told.out
        );
        assert_eq!(
            told.err.contains("is assumed to be based on the default branch"),
            api == "/none",
            "{}",
            told.err
        );
        let first = team.read("patches/glance/2025.2/0001-Add-a-file.patch");
        let status = if is_merged { "Backport" } else { "Submitted" };
        assert!(
            first.contains(&format!("Upstream-Status: {status} [{page}]\n")),
            "{first}"
        );
        assert_eq!(
            first.contains("(cherry picked from commit "),
            is_merged,
            "{first}"
        );
        team.applied_by_git("2025.2");
    }
}

#[test]
fn a_change_at_gerrit_comes_by_its_backport_first() {
    let team = Team::new();
    let id = "I1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c";
    team.upstream
        .git(&["update-ref", "refs/changes/34/1234/2", &team.fix]);
    // The backport resolves the conflict of the original change.
    team.upstream
        .git(&["checkout", "--quiet", "-B", "topic", "stable/2024.2"]);
    let backport = team.upstream.commit_at(
        Some(1_700_000_500),
        &[("lib/a.py", &numbered(&[(20, "fixed line 20, for the older")]))],
        &format!("Fix the thing\n\nChange-Id: {id}"),
    );
    team.upstream
        .git(&["update-ref", "refs/changes/40/1240/1", &backport]);
    team.upstream
        .git(&["update-ref", "refs/changes/40/1240/meta", &backport]);
    team.upstream.git(&["checkout", "--quiet", "main"]);
    let change = |number: u32, branch: &str, status: &str, commit: &str, set: u32| {
        format!(
            r#"{{"_number": {number}, "project": "glance.git", "branch": "{branch}", "change_id": "{id}", "status": "{status}",
                "current_revision": "{commit}", "revisions": {{"{commit}": {{"ref": "refs/changes/{:02}/{number}/{set}"}}}}}}"#,
            number % 100
        )
    };
    let main = change(1234, "main", "MERGED", &team.fix, 2);
    let older = change(1240, "stable/2024.2", "NEW", &backport, 1);
    let gone = change(1250, "stable/2025.2", "ABANDONED", &backport, 1);
    let server = GitServer::http(team.upstreams())
        .page("/changes/?q=change%3A1234", &format!(")]}}'\n[{main}]"))
        .page(
            &format!("/changes/?q=change%3A{id}"),
            &format!(")]}}'\n[{main},{older},{gone}]"),
        )
        .start();
    let gerrit = format!("http://{}", server.host());
    let told = add(
        &team,
        &server,
        "1234",
        &["--gerrit", &gerrit, "--release", "all", "--headers", "dep3"],
    )
    .expect(0);
    for line in [
        "by its backport for stable/2024.2, change 1240, still open",
        "glance/main at main\n  upstream has it",
        "5 of 5 releases have it\n",
    ] {
        assert!(told.out.contains(line), "{line:?} is not in:\n{}", told.out);
    }
    let older = team.read("patches/glance/2024.2/0001-Fix-the-thing.patch");
    assert!(older.contains("+fixed line 20, for the older\n"), "{older}");
    assert!(
        older.contains(&format!("Forwarded: {gerrit}/c/glance.git/+/1240\n---\n")),
        "{older}"
    );
    let newer = team.read("patches/glance/2025.2/0001-Fix-the-thing.patch");
    assert!(
        newer.contains(&format!(
            "(cherry picked from commit {})\nOrigin: backport, {gerrit}/c/glance.git/+/1234\n---\n",
            team.fix
        )),
        "{newer}"
    );
    team.applied_by_git("2024.2");
    // By its page, of a Gerrit without an API: the latest patch set, by git.
    let other = Team::new();
    let plain = GitServer::http(team.upstreams()).start();
    let page = format!("http://{}/c/glance.git/+/1240", plain.host());
    let told = add(&other, &plain, &page, &["--release", "2024.2"]).expect(0);
    assert!(told.err.contains("whether the change is merged"), "{}", told.err);
    assert!(
        other
            .read("patches/glance/2024.2/0001-Fix-the-thing.patch")
            .contains("+fixed line 20, for the older\n")
    );
    let page = format!("http://{}/c/glance.git/+/4321", plain.host());
    let told = add(&other, &plain, &page, &["--release", "2025.1"]).expect(2);
    assert!(told.err.contains("has no change 4321"), "{}", told.err);
}

#[test]
fn a_server_that_says_nothing_useful_leaves_all_as_it_is() {
    let team = Team::new();
    let before = team.patches();
    let server = GitServer::http(team.upstreams())
        .page("/changes/?q=change%3A1234", "<html>")
        .page("/changes/?q=change%3A1235", ")]}'\n[]")
        .start();
    let gerrit = format!("http://{}", server.host());
    let absent = "0123456789012345678901234567890123456789";
    for (source, words) in [
        ("1234".to_owned(), "1234: "),
        ("1235".to_owned(), "has no such change, or it was abandoned"),
        (format!("{gerrit}/glance.git/commit/{absent}"), absent),
        (format!("{gerrit}/glance.git/commit/0123456"), "write all 40"),
        (format!("{gerrit}/absent.git/commit/{absent}"), "absent.git"),
        (format!("{gerrit}/glance.git/pull/9"), "refs/pull/9/head"),
    ] {
        let told = add(
            &team,
            &server,
            &source,
            &["--gerrit", &gerrit, "--release", "2025.1"],
        )
        .expect(2);
        assert!(told.err.contains(words), "{source}: {}", told.err);
    }
    assert_eq!(team.patches(), before);
}
