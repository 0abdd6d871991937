//! The output formats of a check.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use pulldown_cmark::{Event, Options, Parser, Tag};
use serde_json::Value;

use super::{BASE, Team, patch, printed};

/// A name with something that each format would interpret.
const NASTY: &str = "0009-|`\"'<b>&@everyone ::error::%0A,:]](x)![y](z)<!--.patch";

/// A commit's subject of the same kind; it is in a patch's header and in upstream's history.
const SUBJECT: &str = "<script>`` | @everyone ::warning::x [a](javascript:b) \u{202e}\u{1b}[31m";

/// A repository with faults, whose names have a meaning in every format.
fn nasty() -> Team {
    let team = Team::new();
    team.write(&format!("patches/glance/2025.2/{NASTY}"), &nasty_patch());
    team.glance
        .commit(&[("f", &BASE.replace("nine", "NEUN"))], SUBJECT);
    team.glance.git(&["tag", "1.2"]);
    team.write(
        "releases/2025.2/source-refs.yaml",
        "glance: \"1.2\"\nkeystone: \"7.0\"\n",
    );
    team.write("patches/glance/2025.2/<i>::error::x.txt", "");
    team.write("overrides/2025.2/constraints.txt", "requests===1\n");
    team.write(
        "releases/2025.2/upper-constraints.txt",
        "requests===1\nglance===1\n",
    );
    team
}

fn nasty_patch() -> String {
    patch("nine", "NINE").replace("Say NINE", SUBJECT)
}

#[test]
fn all_forms_are_written_at_once() {
    let team = Team::new();
    team.move_glance();
    let out = tempfile::tempdir().unwrap();
    let file = |name: &str| out.path().join(name).to_str().unwrap().to_owned();
    let outputs: Vec<String> = ["json", "gitlab", "junit", "markdown", "table"]
        .iter()
        .flat_map(|form| ["--output".to_owned(), format!("{form}={}", file(form))])
        .collect();
    let mut args: Vec<&str> = outputs.iter().map(String::as_str).collect();
    args.extend(["--output", "github"]);
    let commands = team.run(&args, 1);
    insta::assert_snapshot!("github", masked(&team, &commands));
    let read = |name: &str| fs::read_to_string(out.path().join(name)).unwrap();
    insta::assert_snapshot!("table", masked(&team, &read("table")));
    insta::assert_snapshot!("markdown", masked(&team, &read("markdown")));
    insta::assert_snapshot!("junit", masked(&team, &read("junit")));
    insta::assert_snapshot!("gitlab", masked(&team, &read("gitlab")));
    let report: Value = serde_json::from_str(&read("json")).unwrap();
    let row = &report["patches"][1];
    assert_eq!(
        (&row["patchLine"], &row["refresh"]["state"]),
        (&5.into(), &"Needed".into())
    );
}

/// A text without the parts that differ on each run.
fn masked(team: &Team, text: &str) -> String {
    let date = regex::Regex::new(r"\(\d{1,2} \w{3} \d{4}\)").unwrap();
    let text = text.replace(&team.breaks[..7], "BREAKS");
    let merged = team.glance.git(&["rev-parse", "--short=7", "1.1~2"]);
    let text = text.replace(&merged, "MERGED");
    date.replace_all(&text, "(DATE)").into_owned()
}

/// Checks that each line is an error or a warning of GitHub's, and that one names the nasty file.
fn assert_github_commands(commands: &str) {
    let mut titles = Vec::new();
    for line in commands.lines() {
        let (properties, message) = line.strip_prefix("::").unwrap().split_once("::").unwrap();
        let (name, properties) = properties.split_once(' ').unwrap();
        assert!(matches!(name, "error" | "warning"), "{line}");
        let keys: Vec<&str> = properties
            .split(',')
            .map(|one| one.split('=').next().unwrap())
            .collect();
        assert_eq!(keys, ["file", "line", "title"], "{line}");
        assert!(!properties.contains(':') && !message.contains('\u{1b}'), "{line}");
        titles.push(properties.to_owned());
    }
    let unescaped = |text: &str| {
        let text = text.replace("%3A", ":").replace("%2C", ",");
        text.replace("%25", "%")
    };
    assert!(
        titles.iter().any(|title| unescaped(title).contains(NASTY)),
        "{titles:#?}"
    );
}

/// Checks that Markdown has text, code and links to the repository, and no other markup.
fn assert_harmless_markdown(markdown: &str) {
    let mut code = String::new();
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_GFM) {
        match event {
            Event::Html(html) | Event::InlineHtml(html) => panic!("{html}: {markdown}"),
            Event::Start(Tag::Link { dest_url, .. }) => {
                assert!(
                    dest_url.starts_with("https://example.org/team/patches/blob/abc/"),
                    "{dest_url}"
                );
            }
            Event::Start(Tag::Image { dest_url, .. }) => panic!("{dest_url}"),
            Event::Text(text) => {
                for word in ["@", "<", "::", "javascript"] {
                    assert!(!text.contains(word), "{text}: {markdown}");
                }
            }
            Event::Code(text) => {
                code.push_str(&text);
                code.push('\n');
            }
            _ => {}
        }
    }
    assert!(code.contains(NASTY), "{code}");
}

#[test]
fn names_and_subjects_of_others_are_no_markup() {
    let team = nasty();
    let out = tempfile::tempdir().unwrap();
    let summary = out.path().join("summary");
    let upstreams = team.upstreams.path().to_str().unwrap();
    let file = |form: &str| format!("{form}={}", out.path().join(form).display());
    let output = team
        .command(&["--upstream", upstreams, "--output", "table", "--output", "github"])
        .args(["--output", &file("junit"), "--output", &file("gitlab")])
        .env("GITHUB_STEP_SUMMARY", &summary)
        .env("GITHUB_SERVER_URL", "https://example.org")
        .env("GITHUB_REPOSITORY", "team/patches")
        .env("GITHUB_SHA", "abc")
        .output()
        .unwrap();
    let text = printed(&output, 1);

    // GitHub's runner: the table is between a stop command and its token, and the rest is commands.
    let token = text
        .lines()
        .next()
        .unwrap()
        .strip_prefix("::stop-commands::")
        .unwrap();
    let (table, commands) = text.split_once(&format!("\n::{token}::\n")).unwrap();
    assert!(
        table.contains("1.2") || table.contains("0001-five.patch"),
        "{table}"
    );
    assert_github_commands(commands);

    // CommonMark: text, code, links to this repository and commits, and nothing else.
    let markdown = fs::read_to_string(&summary).unwrap();
    assert_harmless_markdown(&markdown);
    assert!(markdown.contains("| `glance` | ❌ 2/4 |"), "{markdown}");

    // XML and JSON.
    let junit = fs::read_to_string(out.path().join("junit")).unwrap();
    let junit = quick_junit::Report::deserialize_from_str(&junit).unwrap();
    let cases = junit.test_suites.iter().flat_map(|suite| &suite.test_cases);
    assert!(cases.clone().any(|case| case.name.as_str() == NASTY));
    let gitlab: Value = serde_json::from_slice(&fs::read(out.path().join("gitlab")).unwrap()).unwrap();
    let findings = gitlab.as_array().unwrap();
    assert!(findings.len() >= 4, "{gitlab}");
    for finding in findings {
        let fingerprint = finding["fingerprint"].as_str().unwrap();
        let same = findings
            .iter()
            .filter(|other| other["fingerprint"] == fingerprint);
        assert_eq!(same.count(), 1, "{gitlab}");
        assert!(matches!(finding["severity"].as_str().unwrap(), "major" | "minor"));
        assert!(finding["location"]["lines"]["begin"].as_u64().unwrap() > 0);
        assert!(!finding["description"].as_str().unwrap().contains('\u{202e}'));
    }
}

#[test]
fn a_finding_keeps_its_fingerprint() {
    let team = Team::new();
    let prints = |refs: &str| {
        team.write("releases/2025.2/source-refs.yaml", refs);
        let text = team.run(&["--output", "gitlab"], 1);
        let report: Value = serde_json::from_str(&text).unwrap();
        let of_three = report.as_array().unwrap().iter();
        let of_three = of_three.filter(|one| one["description"].as_str().unwrap().contains("0002-three"));
        of_three.map(|one| one["fingerprint"].clone()).collect::<Vec<_>>()
    };
    let first = prints("glance: \"1.1\"\nkeystone: \"7.0\"\n");
    assert_eq!(first.len(), 1);
    // Its lines move, and those of its hunk.
    let moved = format!("More text\n{}", patch("three", "DREI"));
    team.write("patches/glance/2025.2/0002-three.patch", &moved);
    assert_eq!(first, prints("\n\n# more\nglance: \"1.1\"\nkeystone: \"7.0\"\n"));
}

#[test]
fn a_summary_takes_the_room_that_is_left() {
    let team = Team::new();
    team.move_glance();
    let upstreams = team.upstreams.path().to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary");
    for room in [0, 300, 1 << 19] {
        fs::write(&summary, "x".repeat((1 << 20) - room)).unwrap();
        let output = team
            .command(&["--upstream", upstreams, "--output", "github"])
            .env("GITHUB_STEP_SUMMARY", &summary)
            .output()
            .unwrap();
        printed(&output, 1);
        let text = fs::read_to_string(&summary).unwrap();
        assert!(text.len() <= 1 << 20, "{room}");
        assert_eq!(text.ends_with("no room.\n"), room == 300, "{room}");
        assert_eq!(text.contains("What to do"), room > 300, "{room}");
    }
}

#[test]
fn paths_are_those_of_the_repository() {
    // The checked folder is one of several in the repository.
    let team = Team::new();
    team.move_glance();
    let outer = tempfile::tempdir().unwrap();
    let git = Command::new("git")
        .args(["init", "--quiet"])
        .arg(outer.path())
        .status();
    assert!(git.unwrap().success());
    let inner = outer.path().join("deploy");
    let copied = Command::new("cp").arg("-r").arg(team.root()).arg(&inner).status();
    assert!(copied.unwrap().success());
    fs::remove_dir_all(inner.join(".git")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_patchset"))
        .arg("check")
        .arg(&inner)
        .args(["--output", "gitlab", "--upstream"])
        .arg(team.upstreams.path())
        .output()
        .unwrap();
    let findings: Value = serde_json::from_str(&printed(&output, 1)).unwrap();
    assert_eq!(
        findings[0]["location"]["path"],
        "deploy/patches/glance/2025.2/0001-five.patch"
    );
}

#[test]
fn names_in_patches_are_read_as_asked() {
    let team = Team::new();
    for name in ["0001-five", "0002-three", "0003-eight"] {
        std::fs::remove_file(team.root().join(format!("patches/glance/2025.2/{name}.patch"))).unwrap();
    }
    let deep = patch("five", "V").replace("a/f", "x/y/f").replace("b/f", "x/y/f");
    team.write("patches/glance/2025.2/0001-deep.patch", &deep);
    let only = ["--component", "glance"];
    team.run(&only, 1);
    team.run(&[&only[..], &["-p", "2"]].concat(), 0);
    team.run(&[&only[..], &["--strip", "2", "--directory", "sub"]].concat(), 0);
    team.run(&[&only[..], &["-p", "2", "--directory", "none"]].concat(), 1);
}

#[test]
fn what_mends_patches_is_written_beside() {
    let team = Team::new();
    team.move_glance();
    let before = fs::read(team.root().join("patches/glance/2025.2/0002-three.patch")).unwrap();
    let out = tempfile::tempdir().unwrap();
    let fix = out.path().join("fix");
    let fix_text = fix.to_str().unwrap();
    team.run(&["--fix", fix_text], 1);
    let same = fs::read(team.root().join("patches/glance/2025.2/0002-three.patch")).unwrap();
    assert_eq!(before, same, "nothing is written but in the folder");
    assert_eq!(
        fs::read_to_string(fix.join("delete.txt")).unwrap(),
        "patches/glance/2025.2/0001-five.patch\n"
    );
    // A second run into the same folder is refused before anything else happens.
    let upstreams = team.upstreams.path().to_str().unwrap();
    let again = team
        .command(&["--upstream", upstreams, "--fix", fix_text])
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("not empty"));

    // As a diff and as files: both are the same, and pass.
    team.commit("Move glance");
    let diff = fix.join("fix.diff");
    team.git(&["apply", "--index", diff.to_str().unwrap()]);
    team.run(&[], 0);
    let by_diff = team.git(&["write-tree"]);
    team.git(&["reset", "--quiet", "--hard"]);
    let copied = Command::new("cp")
        .arg("-r")
        .arg(fix.join("files/."))
        .arg(team.root())
        .status();
    assert!(copied.unwrap().success());
    for path in fs::read_to_string(fix.join("delete.txt")).unwrap().lines() {
        fs::remove_file(team.root().join(path)).unwrap();
    }
    team.git(&["add", "--all"]);
    assert_eq!(by_diff, team.git(&["write-tree"]));
    team.run(&[], 0);
}

#[test]
fn a_table_stands_alone_beside_what_goes_to_files() {
    let team = Team::new();
    let out = tempfile::tempdir().unwrap();
    let junit = format!("junit={}", out.path().join("report.xml").display());
    let alone = team.run(&[], 0);
    assert_eq!(team.run(&["--output", "table", "--output", &junit], 0), alone);
    let shared = team.run(&["--output", "table", "--output", "github"], 0);
    assert!(shared.contains("::stop-commands::"), "{shared}");
}

#[test]
fn a_patch_in_a_folder_below_counts_for_its_series() {
    let team = Team::new();
    let from = team.root().join("patches/glance/2025.2");
    fs::create_dir(from.join("sub")).unwrap();
    fs::rename(from.join("0002-three.patch"), from.join("sub/0002-three.patch")).unwrap();
    team.write(
        "patches/glance/2025.2/series",
        "0001-five.patch\nsub/0002-three.patch\n0003-eight.patch\n",
    );
    team.commit("Sort them");
    team.move_glance();
    let told = team.run(&["--base", "main"], 1);
    assert!(told.contains("1 is upstream, 1 breaks"), "{told}");
    let found: Value = serde_json::from_str(&team.run(&["--base", "main", "--output", "gitlab"], 1)).unwrap();
    let paths: Vec<&Value> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["location"]["path"])
        .collect();
    let refs = &Value::from("releases/2025.2/source-refs.yaml");
    assert!(paths.iter().all(|path| *path == refs), "{found:#}");
}

/// A check of two releases of glance, of which the newer has moved to 1.1; and what fixes it.
fn fixed(team: &Team) -> (tempfile::TempDir, String) {
    team.move_glance();
    team.write("releases/2025.1/source-refs.yaml", "glance: \"1.0\"\n");
    team.commit("Move glance");
    let out = tempfile::tempdir().unwrap();
    let fix = out.path().join("fix");
    let upstreams = team.upstreams.path().to_str().unwrap();
    let output = team
        .command(&["--upstream", upstreams, "--fix", fix.to_str().unwrap()])
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    (out, err)
}

#[test]
fn what_mends_a_series_keeps_its_list_and_what_others_link_to() {
    let team = Team::new();
    let series = "0001-five.patch\n0002-three.patch\n0003-eight.patch\n";
    team.write("patches/glance/2025.2/series", series);
    team.write("patches/glance/2025.2/0001-five.patch.license", "Apache-2.0\n");
    fs::create_dir(team.root().join("patches/glance/2025.1")).unwrap();
    let link = team.root().join("patches/glance/2025.1/0001-five.patch");
    symlink("../2025.2/0001-five.patch", &link).unwrap();
    let (out, err) = fixed(&team);
    assert!(err.contains("2 patches refreshed, 1 to delete"), "{err}");
    assert!(
        err.contains("2025.1/0001-five.patch was a link to what changes"),
        "{err}"
    );

    let diff = out.path().join("fix/fix.diff");
    team.git(&["apply", "--index", diff.to_str().unwrap()]);
    team.run(&[], 0);
    let by_diff = team.git(&["write-tree"]);
    let list = fs::read_to_string(team.root().join("patches/glance/2025.2/series")).unwrap();
    assert_eq!(list, "0002-three.patch\n0003-eight.patch\n");
    assert!(
        !team
            .root()
            .join("patches/glance/2025.2/0001-five.patch.license")
            .exists()
    );
    assert_eq!(fs::read_to_string(&link).unwrap(), patch("five", "FIVE"));
    assert!(!link.is_symlink());
    team.git(&["reset", "--quiet", "--hard"]);
    let copied = Command::new("cp")
        .args(["-r", "--remove-destination"])
        .arg(out.path().join("fix/files/."))
        .arg(team.root())
        .status();
    assert!(copied.unwrap().success());
    for path in fs::read_to_string(out.path().join("fix/delete.txt"))
        .unwrap()
        .lines()
    {
        fs::remove_file(team.root().join(path)).unwrap();
    }
    team.git(&["add", "--all"]);
    assert_eq!(by_diff, team.git(&["write-tree"]));
}

#[test]
fn what_two_releases_share_is_left_alone_if_they_need_it_in_different_forms() {
    let team = Team::new();
    symlink("2025.2", team.root().join("patches/glance/2025.1")).unwrap();
    let (out, err) = fixed(&team);
    assert!(err.contains("0 patches refreshed, 0 to delete"), "{err}");
    let why = "patches/glance/2025.2 is left alone: patches/glance/2025.1 has the same files, and needs them in another form";
    assert!(err.contains(why), "{err}");
    assert_eq!(fs::read_dir(out.path().join("fix")).unwrap().count(), 0);

    // Once both have moved, they need the same.
    team.write("releases/2025.1/source-refs.yaml", "glance: \"1.1\"\n");
    let again = out.path().join("again");
    team.run(&["--fix", again.to_str().unwrap()], 1);
    let diff = again.join("fix.diff");
    team.git(&["apply", diff.to_str().unwrap()]);
    team.run(&[], 0);
}

#[test]
fn what_mends_patches_stays_in_the_folder_that_is_checked() {
    let team = Team::new();
    team.move_glance();
    let outer = tempfile::tempdir().unwrap();
    let git = Command::new("git")
        .args(["init", "--quiet"])
        .arg(outer.path())
        .status();
    assert!(git.unwrap().success());
    let inner = outer.path().join("deploy");
    let copied = Command::new("cp").arg("-r").arg(team.root()).arg(&inner).status();
    assert!(copied.unwrap().success());
    fs::remove_dir_all(inner.join(".git")).unwrap();
    let glance = inner.join("patches/glance");
    fs::rename(glance.join("2025.2"), outer.path().join("shared")).unwrap();
    symlink("../../../shared", glance.join("2025.2")).unwrap();
    let fix = outer.path().join("fix");
    let output = Command::new(env!("CARGO_BIN_EXE_patchset"))
        .args(["check", "--fix"])
        .arg(&fix)
        .arg("--upstream")
        .arg(team.upstreams.path())
        .arg(&inner)
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    let why = "patches/glance/2025.2 is left alone: \"shared/0001-five.patch\" is outside of the folder";
    assert!(err.contains(why), "{err}");
    assert_eq!(fs::read_dir(fix).unwrap().count(), 0);
}
