//! `patchset history`.

use serde_json::{Value, json};

use super::dated::{DatedTeam, checkout, hunk, patchset};
use crate::support::team_repository::{Shape, TeamRepository, make_upstreams, patch};

const DAY: i64 = 24 * 60 * 60;

/// 1 January 2026.
const START: i64 = 1_767_225_600;

fn text(subject: &str, line: &str, into: &str) -> String {
    format!("Subject: [PATCH] {subject}\n\n{}", hunk(line, into))
}

/// A repository whose patches were added, changed, renumbered and removed.
fn long_lived() -> DatedTeam {
    let team = DatedTeam::new();
    let folder = "patches/glance/2025.2";
    let path = |name: &str| format!("{folder}/{name}");
    team.commit(START, "Begin");
    team.write(&path("0001-five.patch"), &text("Say FIVE", "five", "FIVE"));
    team.write(&path("0002-seven.patch"), &text("Say SEVEN", "seven", "SEVEN"));
    team.commit(START + DAY, "Take two fixes in");
    // Of a side branch, merged later.
    team.repository.git(&["checkout", "--quiet", "-b", "side"]);
    team.write(&path("0003-nine.patch"), &text("Say NINE", "nine", "NINE"));
    team.commit(START + 2 * DAY, "Take the third in");
    team.repository.git(&["checkout", "--quiet", "main"]);
    team.write(&path("0002-seven.patch"), &text("Say Seven", "seven", "Seven"));
    team.commit(START + 3 * DAY, "Say it as upstream does");
    team.repository.git_at(
        Some(START + 4 * DAY),
        &[
            "merge",
            "--quiet",
            "--no-ff",
            "--message",
            "Merge the side",
            "side",
        ],
    );
    // Renumbered when the first was removed; the third's message changed at the same time.
    team.remove(&path("0001-five.patch"));
    team.remove(&path("0002-seven.patch"));
    team.remove(&path("0003-nine.patch"));
    team.write(&path("0001-seven.patch"), &text("Say Seven", "seven", "Seven"));
    team.write(
        &path("0002-nine.patch"),
        &text("Say NINE, loudly", "nine", "NINE"),
    );
    team.commit(START + 5 * DAY, "Drop what upstream has");
    // Unrelated to the series.
    team.write("README", "read me\n");
    team.commit(START + 6 * DAY, "Say what this is");
    team
}

fn document(folder: &std::path::Path, arguments: &[&str]) -> Value {
    let arguments = [&["history", "--output", "json"], arguments].concat();
    serde_json::from_str(&patchset(folder, &arguments, 0).0).unwrap()
}

/// Each patch's name, and each event's kind, time and former name.
fn told(document: &Value) -> Vec<String> {
    let threads = document["patches"].as_array().unwrap().iter();
    threads
        .map(|thread| {
            let events = thread["events"].as_array().unwrap().iter();
            let events = events.map(|event| {
                let date = event["date"].as_str().unwrap().get(..10).unwrap();
                let from = event["from"]
                    .as_str()
                    .map_or(String::new(), |from| format!(" from {from}"));
                format!("{} {date}{from}", event["what"].as_str().unwrap())
            });
            let events: Vec<String> = events.collect();
            format!("{}: {}", thread["name"].as_str().unwrap(), events.join(", "))
        })
        .collect()
}

#[test]
fn patches_are_followed_through_changes_and_new_numbers() {
    let team = long_lived();
    let folder = team.checkout("checkout", &[]);
    let found = document(&folder, &["glance/2025.2"]);
    assert_eq!(found["folder"], "patches/glance/2025.2");
    assert_eq!(found.get("notes"), None);
    assert_eq!(
        told(&found),
        [
            "0001-seven.patch: came 2026-01-02, changed 2026-01-04, renamed 2026-01-06 from 0002-seven.patch",
            "0002-nine.patch: came 2026-01-03, renamed 2026-01-06 from 0003-nine.patch",
            "0001-five.patch: came 2026-01-02, went 2026-01-06",
        ]
    );
    let nine = &found["patches"][1];
    assert_eq!(nine["subject"], "Say NINE, loudly");
    assert_eq!(nine["events"][1]["text"], "aroundTheChange");
    assert_eq!(nine["events"][0]["subject"], "Take the third in");
    assert_eq!(nine["events"][0]["author"], "Tester");
    assert_eq!(found["patches"][0]["events"][1]["text"], "theChange");
    assert_eq!(found["patches"][2]["isGone"], true);
    // By a former name.
    let one = document(&folder, &["glance/2025.2", "0003"]);
    assert_eq!(one["patches"].as_array().unwrap().len(), 1);

    let (shown, _) = patchset(&folder, &["history", "glance/2025.2"], 0);
    let commits = regex::Regex::new(r"\b[0-9a-f]{7} ").unwrap();
    insta::assert_snapshot!("history", commits.replace_all(&shown, "COMMIT "));
}

#[test]
fn a_series_that_is_gone_is_found_where_others_are() {
    let team = long_lived();
    team.write("patches/glance/2026.1/1.patch", &text("Say TWO", "two", "TWO"));
    team.remove("patches/glance/2025.2/0001-seven.patch");
    team.remove("patches/glance/2025.2/0002-nine.patch");
    team.commit(START + 7 * DAY, "Drop the rest");
    let folder = team.checkout("checkout", &[]);
    let found = document(&folder, &["glance/2025.2"]);
    let patches = found["patches"].as_array().unwrap();
    assert!(patches.iter().all(|thread| thread["isGone"] == true), "{found}");
    assert_eq!(patches.len(), 3);
}

#[test]
fn what_keeps_the_history_from_being_whole_is_told() {
    let team = long_lived();
    let shallow = team.checkout("shallow", &["--depth", "3"]);
    let found = document(&shallow, &["glance/2025.2"]);
    let notes = found["notes"].to_string();
    assert!(
        notes.contains("the clone is shallow") && notes.contains("git fetch --unshallow"),
        "{notes}"
    );
    assert!(
        told(&found).iter().any(|line| line.ends_with("went 2026-01-06")),
        "{found}"
    );

    let folder = team.checkout("checkout", &[]);
    std::fs::write(
        folder.join("patches/glance/2025.2/0009-new.patch"),
        text("New", "two", "TWO"),
    )
    .unwrap();
    let (_, notes) = patchset(&folder, &["history", "glance/2025.2"], 0);
    assert!(notes.contains("has uncommitted changes"), "{notes}");
}

#[test]
fn what_cannot_be_told_is_said_with_what_to_do() {
    let team = long_lived();
    let folder = team.checkout("checkout", &[]);
    let fails = |folder: &std::path::Path, arguments: &[&str], part: &str| {
        let (_, error) = patchset(folder, &[&["history"], arguments].concat(), 2);
        assert!(error.contains(part), "{part}: {error}");
    };
    fails(&folder, &["glance"], "write COMPONENT/RELEASE");
    fails(&folder, &["glanse/2025.2"], "did you mean glance?");
    fails(&folder, &["glance/2025.1"], "did you mean 2025.2");
    fails(
        &folder,
        &["glance/2025.2", "nothing"],
        "no patch of glance/2025.2",
    );
    fails(
        &folder,
        &["glance/2025.2", "--revision", "v9"],
        "the repository has no such commit",
    );
    fails(
        team.root.path(),
        &["glance/2025.2", "-C", "team.git"],
        "is a bare Git repository",
    );
    fails(
        team.root.path(),
        &["glance/2025.2", "-C", "nowhere"],
        "there is no such folder",
    );

    let plain = team.root.path().join("plain");
    for (path, text) in [
        ("releases/2025.2/source-refs.yaml", "glance: 1\n"),
        ("patches/glance/2025.2/1.patch", "x"),
    ] {
        std::fs::create_dir_all(plain.join(path).parent().unwrap()).unwrap();
        std::fs::write(plain.join(path), text).unwrap();
    }
    fails(
        &plain,
        &["glance/2025.2"],
        "is not in a Git repository: run this in a clone",
    );
    let made = std::process::Command::new("git")
        .args(["init", "--quiet"])
        .arg(&plain)
        .status();
    assert!(made.unwrap().success());
    fails(&plain, &["glance/2025.2"], "has no commit yet");
}

#[test]
fn other_layouts_lists_and_links_are_followed() {
    let root = tempfile::tempdir().unwrap();
    let _upstreams = make_upstreams(root.path());
    for shape in [
        Shape::ReleaseComponent,
        Shape::OrgComponent,
        Shape::DebianPatches,
        Shape::SingleComponent,
    ] {
        let team = TeamRepository::create(root.path(), shape);
        let work = team.repository.work().to_owned();
        let nova = shape.folder("nova");
        // A patch that is commented out is not applied.
        std::fs::write(
            work.join(&nova).join("series"),
            "b-louder.patch\n# sub/a-quiet.diff -p0\n",
        )
        .unwrap();
        team.repository.commit(&[], "Leave one out");
        let has_glance = shape.components().contains(&"glance");
        if has_glance {
            let changed = patch(["a/file.txt", "b/file.txt"], "seven", "Seven");
            std::fs::write(work.join("shared/seven.patch"), changed).unwrap();
            team.repository.commit(&[], "Say it as upstream does");
        }
        let folder = checkout(
            &team.repository.dir,
            &root.path().join(shape.name()),
            &["--branch", shape.branch()],
        );
        let events = |address: &str| -> Vec<(String, Vec<Value>)> {
            let found = document(&folder, &[address, "--ref-template", "stable/{release}"]);
            let threads = found["patches"].as_array().unwrap().iter();
            threads
                .map(|thread| {
                    let events = thread["events"].as_array().unwrap().iter();
                    (
                        thread["name"].as_str().unwrap().to_owned(),
                        events.map(|event| event["what"].clone()).collect(),
                    )
                })
                .collect()
        };
        assert_eq!(
            events("nova/2025.2"),
            [
                ("b-louder.patch".to_owned(), vec![json!("came")]),
                ("sub/a-quiet.diff".to_owned(), vec![json!("came"), json!("went")]),
            ],
            "{}",
            shape.name()
        );
        if has_glance {
            // The target of a link changed, and the link did not.
            let glance = events("glance/2025.2");
            assert_eq!(glance[1].1, [json!("came"), json!("changed")], "{}", shape.name());
        }
    }
}
