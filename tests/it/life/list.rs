//! `patchset list`.

use serde_json::{Value, json};

use super::dated::{DatedTeam, checkout, hunk, patchset};
use crate::support::git_server::GitServer;
use crate::support::team_repository::{RELEASE, Shape, TeamRepository, expected, make_upstreams};

const CHANGE_ID: &str = "I0123456789012345678901234567890123456789";
const OTHER: &str = "1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c";
const COMMIT: &str = "867d1dd8b6e4f5b5fbb6b8a0b2a4c8d1e2f3a4b5";

/// Patches in all dialects: C5C3's own, a cherry-pick of OpenStack's in both releases, DEP-3,
/// Yocto.
/// DEP-3, Yocto.
fn dialects() -> DatedTeam {
    let team = DatedTeam::new();
    let pick = |into: &str| {
        format!(
            "From {COMMIT} Mon Sep 17 00:00:00 2001\nFrom: Ann <ann@example.org>\n\
             Date: Tue, 1 Apr 2025 10:00:00 +0200\nSubject: [PATCH] Check redirects\n\n\
             Fixes CVE-2024-32498.\n\nCloses-Bug: #2059809\nChange-Id: {CHANGE_ID}\n\
             (cherry picked from commit {COMMIT})\n---\n{}",
            hunk("seven", into)
        )
    };
    for (path, text) in [
        (
            "patches/glance/2025.2/0001-own.patch",
            format!(
                "SPDX-FileCopyrightText: 2026 Somebody\nSPDX-License-Identifier: Apache-2.0\n\n\
                 Use the other driver.\n\nUpstream status: not yet proposed.\n\n{}",
                hunk("five", "FIVE")
            ),
        ),
        ("patches/glance/2025.2/0002-redirects.patch", pick("SEVEN")),
        (
            "patches/glance/2025.2/CVE-2025-1111-dep3.patch",
            format!(
                "Description: Keep it\n for good\nOrigin: vendor\nBug-Debian: https://bugs.debian.org/1104009\n\
                 Forwarded: https://review.example.org/1\nLast-Update: 2025-01-02\n\n{}",
                hunk("nine", "NINE")
            ),
        ),
        ("patches/glance/2026.1/0001-redirects.patch", pick("Seven")),
        (
            "patches/glance/2026.1/0002-own.patch",
            format!("# Use the other driver\n{}", hunk("five", "FIVE")),
        ),
        (
            "patches/glance/2026.1/0003-yocto.patch",
            format!(
                "Subject: [PATCH] =cmd|'/c calc'!A1\nUpstream-Status: Backport [https://example.org/c/{OTHER}]\n\n{}",
                hunk("two", "TWO")
            ),
        ),
    ] {
        team.write(path, &text);
    }
    team.commit(1_700_000_000, "patches");
    team
}

fn listed(folder: &std::path::Path, arguments: &[&str], status: i32) -> Value {
    let arguments = [&["list", "--output", "json"], arguments].concat();
    serde_json::from_str(&patchset(folder, &arguments, status).0).unwrap()
}

/// A patch of the list, by its series and number.
fn patch(list: &Value, series: usize, number: usize) -> &Value {
    &list["series"][series]["patches"][number]
}

#[test]
fn what_patches_say_of_themselves_is_listed_by_release() {
    let team = dialects();
    let folder = team.checkout("checkout", &[]);
    let list = listed(&folder, &[], 0);
    let series = &list["series"];
    assert_eq!(
        (&series[0]["release"], &series[0]["ref"]),
        (&json!("2025.2"), &json!("31.1.0"))
    );
    assert_eq!(series[0]["folder"], "patches/glance/2025.2");

    let own = patch(&list, 0, 0);
    assert_eq!(own["subject"], "Use the other driver.");
    assert_eq!(own["upstreamStatus"], "not yet proposed.");
    assert_eq!(own.get("state"), None);
    // The same lines change in both, whatever the text around them.
    assert_eq!(
        own["sameIn"],
        json!([{ "release": "2026.1", "name": "0002-own.patch", "by": "PatchId" }])
    );
    // The subject of a patch whose only text is a comment.
    assert_eq!(patch(&list, 1, 1)["subject"], "Use the other driver");

    let pick = patch(&list, 0, 1);
    assert_eq!(pick["cves"], json!(["CVE-2024-32498"]));
    assert_eq!(
        pick["bugs"],
        json!([{ "id": "2059809", "tracker": "Launchpad", "url": "https://bugs.launchpad.net/bugs/2059809" }])
    );
    assert_eq!(pick["origin"], format!("upstream, commit:{COMMIT}"));
    assert_eq!(pick["changeIds"], json!([CHANGE_ID]));
    assert_eq!(pick["date"], "2025-04-01T08:00:00Z");
    assert_eq!(
        pick["sameIn"],
        json!([{ "release": "2026.1", "name": "0001-redirects.patch", "by": "ChangeId", "differsIn": ["f"] }])
    );

    let dep3 = patch(&list, 0, 2);
    assert_eq!(dep3["subject"], "Keep it");
    assert_eq!(dep3["origin"], "vendor");
    assert_eq!(dep3["forwarded"], "https://review.example.org/1");
    assert_eq!(dep3["date"], "2025-01-02T00:00:00Z");
    assert_eq!(dep3["cves"], json!(["CVE-2025-1111"]));
    assert_eq!(dep3["bugs"][0]["url"], "https://bugs.debian.org/1104009");
    assert_eq!(dep3.get("sameIn"), None);
}

#[test]
fn states_are_told_where_the_upstream_is_named() {
    let team = dialects();
    let folder = team.checkout("checkout", &[]);
    let upstreams = team.upstreams();
    let server = GitServer::http(upstreams.clone()).start();
    let url = format!("http://{}", server.host());
    let states = |base: &str| -> Vec<Value> {
        let list = listed(&folder, &["--upstream", base], 0);
        let series = list["series"].as_array().unwrap().clone();
        let patches = series
            .into_iter()
            .flat_map(|one| one["patches"].as_array().unwrap().clone());
        patches.map(|one| one["state"].clone()).collect()
    };
    let expected = ["Clean", "Clean", "Clean", "Clean", "Merged", "Clean"].map(Value::from);
    assert_eq!(states(upstreams.to_str().unwrap()), expected);
    assert_eq!(states(&url), expected);
    let list = listed(&folder, &["--upstream", &url], 0);
    let upstream = list["series"][0]["upstream"].as_str().unwrap();
    assert!(
        upstream.starts_with("http://") && upstream.ends_with("/glance"),
        "{upstream}"
    );
}

/// The text with everything that changes from day to day masked.
fn masked(text: &str) -> String {
    let age = regex::Regex::new(r"\b\d+ (d|mo|y)\b").unwrap();
    let years = regex::Regex::new(r",\d+,([^,]*)$").unwrap();
    let lines = text.lines().map(|line| {
        let line = age.replace_all(line, "N mo");
        years.replace(&line, ",N,$1").into_owned() + "\n"
    });
    lines.collect()
}

#[test]
fn the_table_and_the_csv() {
    let team = dialects();
    let folder = team.checkout("checkout", &[]);
    let upstreams = team.upstreams();
    let (table, _) = patchset(&folder, &["list", "--upstream", upstreams.to_str().unwrap()], 0);
    insta::assert_snapshot!("table", masked(&table));
    let (csv, _) = patchset(&folder, &["list", "--output", "csv", "--release", "2026.1"], 0);
    // A spreadsheet would take the subject for a formula.
    assert!(csv.contains(",'=cmd|'/c calc'!A1,"), "{csv}");
    insta::assert_snapshot!("csv", masked(&csv));
}

#[test]
fn one_component_and_one_release_are_compared_with_the_others() {
    let team = dialects();
    let folder = team.checkout("checkout", &[]);
    let list = listed(&folder, &["--component", "glance", "--release", "2025.2"], 0);
    assert_eq!(list["series"].as_array().unwrap().len(), 1);
    assert_eq!(patch(&list, 0, 0)["sameIn"][0]["release"], "2026.1");
}

#[test]
fn each_layout_is_listed() {
    let root = tempfile::tempdir().unwrap();
    let upstreams = make_upstreams(root.path());
    for shape in Shape::ALL {
        let team = TeamRepository::create(root.path(), shape);
        let folder = checkout(
            &team.repository.dir,
            &root.path().join(shape.name()),
            &["--branch", shape.branch()],
        );
        let mut arguments = vec!["--ref-template", "stable/{release}", "--upstream"];
        arguments.push(root.path().to_str().unwrap());
        if shape.components().len() == 1 {
            arguments.extend(["--component", "nova"]);
        }
        let list = listed(&folder, &arguments, 0);
        let series = list["series"].as_array().unwrap();
        assert_eq!(series.len(), shape.components().len(), "{}", shape.name());
        for one in series {
            let component = one["component"].as_str().unwrap();
            assert_eq!(one["release"], RELEASE);
            let patches = one["patches"].as_array().unwrap().iter();
            let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
            let found: Vec<_> = patches
                .map(|row| (text(row, "name"), text(row, "state")))
                .collect();
            assert_eq!(found, expected(component), "{}", shape.name());
        }
    }
    drop(upstreams);
}

#[test]
fn what_cannot_be_listed_is_told() {
    let team = dialects();
    team.write("patches/keystone/2025.2/series", "absent.patch\n");
    team.write(
        "releases/2025.2/source-refs.yaml",
        "glance: 31.1.0\nkeystone: 1.0.0\nnova: 1.0.0\n",
    );
    team.write("patches/nova/2025.2/1.patch", &hunk("two", "TWO"));
    team.commit(1_700_000_100, "more");
    let folder = team.checkout("checkout", &[]);
    let fails = |arguments: &[&str], status: i32, parts: &[&str]| {
        let (_, error) = patchset(&folder, &[&["list"], arguments].concat(), status);
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
    };
    fails(
        &[],
        1,
        &[
            "patches/keystone/2025.2/series:1",
            "names absent.patch, which does not exist",
        ],
    );
    fails(&["--component", "glanse"], 2, &["did you mean glance?"]);
    fails(&["--release", "2025.1"], 2, &["did you mean 2025.2"]);
    fails(&["nowhere"], 2, &["nowhere: there is no such folder"]);
    fails(&["releases"], 2, &["releases"]);
    let upstreams = team.upstreams();
    fails(
        &["--component", "nova", "--upstream", upstreams.to_str().unwrap()],
        1,
        &["nova/2025.2 at 1.0.0: there is no nova or nova.git in"],
    );
    fails(
        &["--upstream", "nowhere"],
        2,
        &["--upstream nowhere: there is no such folder"],
    );
    let (_, error) = patchset(team.root.path(), &["list", "team.git"], 2);
    assert!(error.contains("team.git is a bare Git repository"), "{error}");
}

#[test]
fn the_folder_is_given_as_for_the_other_commands() {
    let team = dialects();
    let folder = checkout(&team.repository.dir, &team.root.path().join("clone"), &[]);
    let (here, _) = patchset(&folder, &["list"], 0);
    let above = folder.parent().unwrap();
    for arguments in [
        &["list", "-C", "clone"][..],
        &["list", "--repository", "clone"],
        &["list", "clone"],
    ] {
        assert_eq!(patchset(above, arguments, 0).0, here, "{arguments:?}");
    }
    patchset(above, &["list", "-C", "clone", "clone"], 2);
}
