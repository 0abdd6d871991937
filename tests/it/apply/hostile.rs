//! Patches made to exhaust or end the process: each is refused or fails alone, and the series goes
//! on.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::Oracle;

/// The address space of the process in KiB, including the program itself.
const ADDRESS_SPACE: u32 = 640 << 10;

const GOOD: &str = "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1\n-2\n+zwei\n 3\n";

/// A tree with a file to which [`GOOD`] applies, and others.
fn tree(oracle: &Oracle, files: &[(&str, &[u8])]) -> String {
    let mut all: Vec<(&str, &[u8], &[u8])> = vec![("100644", b"f", b"1\n2\n3\n4\n5\n")];
    all.extend(
        files
            .iter()
            .map(|(path, contents)| ("100644", path.as_bytes(), *contents)),
    );
    oracle.tree(&all)
}

/// Runs the real command within the address space, on the patches and then on a good one.
fn run(oracle: &Oracle, tree: &str, patches: &[&[u8]], arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    for (number, patch) in patches.iter().copied().chain([GOOD.as_bytes()]).enumerate() {
        std::fs::write(folder.path().join(format!("{number:04}.patch")), patch).unwrap();
    }
    let limited = format!("ulimit -v {ADDRESS_SPACE} && exec \"$@\"");
    Command::new("sh")
        .args([
            "-c",
            &limited,
            "sh",
            env!("CARGO_BIN_EXE_patchset"),
            "apply",
            "--repo",
        ])
        .arg(&oracle.dir)
        .args(["--ref", tree])
        .args(arguments)
        .arg(folder.path())
        .output()
        .unwrap()
}

/// The verdicts, of which the last is that of a patch which applies whatever precedes it.
fn verdicts(oracle: &Oracle, tree: &str, patches: &[&[u8]]) -> Vec<Value> {
    let output = run(oracle, tree, patches, &["--output", "json"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{:?}: {told}",
        output.status
    );
    let mut lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), patches.len() + 1);
    assert_eq!(lines.pop().unwrap()["state"], "Clean");
    lines
}

fn refused(verdict: &Value, why: &str) {
    let error = verdict["error"].as_str().unwrap();
    assert!(verdict["state"] == "Malformed" && error.contains(why), "{error}");
}

fn new_file(path: &str) -> String {
    format!("--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n")
}

#[test]
fn a_deep_path_does_not_end_the_process() {
    let oracle = Oracle::new();
    let tree = tree(&oracle, &[]);
    let deep = new_file(&format!("{}f", "a/".repeat(12_000)));
    let git = format!(
        "diff --git a/{0} b/{0}\nnew file mode 100644\n--- /dev/null\n+++ b/{0}\n@@ -0,0 +1 @@\n+x\n",
        format!("{}f", "a/".repeat(1000))
    );
    let verdicts = verdicts(&oracle, &tree, &[deep.as_bytes(), git.as_bytes()]);
    refused(
        &verdicts[0],
        "has 24001 bytes, more than the 4096 that a path may have",
    );
    refused(
        &verdicts[1],
        "has 1001 names, more than the 256 that a path may have",
    );
}

#[test]
fn a_header_of_blanks_or_with_an_open_quote_is_read_in_one_go() {
    let oracle = Oracle::new();
    let tree = tree(&oracle, &[]);
    let blanks = format!(
        "diff --git a/{0} b/{0}\nold mode 100644\nnew mode 100755\n",
        " ".repeat(500_000)
    );
    let unequal = format!(
        "diff --git a/x{}/ b/y\nold mode 100644\nnew mode 100755\n",
        " ".repeat(500_000)
    );
    // Git searches for the closing quote up to the end of the patch.
    let quotes = format!("diff --git a/f b/f\n--- \"a/f\n{}", "x\n".repeat(100_000));
    let verdicts = verdicts(
        &oracle,
        &tree,
        &[blanks.as_bytes(), unequal.as_bytes(), quotes.as_bytes()],
    );
    refused(&verdicts[0], "more than the 4096 that a path may have");
    refused(&verdicts[1], "names no file");
    refused(&verdicts[2], "does not end within");
}

#[test]
fn hunks_that_fit_nowhere_cost_little_each() {
    let oracle = Oracle::new();
    let file: Vec<u8> = (0..1_000_000)
        .flat_map(|line| format!("line {line}\n").into_bytes())
        .collect();
    let tree = tree(&oracle, &[("big", &file)]);
    let mut hunks = String::from("--- a/big\n+++ b/big\n");
    for number in 0..20_000 {
        let line = 400_000 + number;
        write!(
            hunks,
            "@@ -{line},3 +{line},3 @@\n line {number}\n-gone {number}\n+new\n line {}\n",
            number + 7
        )
        .unwrap();
    }
    let verdicts = verdicts(&oracle, &tree, &[hunks.as_bytes()]);
    assert_eq!(verdicts[0]["state"], "Conflict");
    let found = verdicts[0]["files"][0]["hunks"].as_array().unwrap();
    assert_eq!(found.len(), 20_000);
    assert_eq!(found[3]["rejected"]["nearest"]["line"], 9, "{}", found[3]);
    assert_eq!(found[19_999]["rejected"]["line"], 419_999, "{}", found[19_999]);
}

#[test]
fn binary_changes_are_held_within_the_budget() {
    let oracle = Oracle::new();
    let names: Vec<String> = (0..12).map(|number| format!("zeros{number}")).collect();
    let contents: Vec<Vec<u8>> = (1..=12)
        .map(|last| [vec![0; 31 << 20], vec![last]].concat())
        .collect();
    let files: Vec<(&str, &[u8])> = names
        .iter()
        .map(String::as_str)
        .zip(contents.iter().map(Vec::as_slice))
        .collect();
    let (before, after) = (tree(&oracle, &[]), tree(&oracle, &files));
    let all = oracle.bytes(&["diff", "--binary", "--full-index", &before, &after]);
    let one = oracle.bytes(&[
        "diff",
        "--binary",
        "--full-index",
        &before,
        &after,
        "--",
        "zeros3",
    ]);
    drop(contents);
    // A patch that claims 255 MiB is not inflated to see whether that is true.
    let said = "diff --git a/z b/z\nindex 0000000000000000000000000000000000000000..1111111111111111111111111111111111111111\nGIT binary patch\nliteral 267386880\nc$|ee\n\n";
    let fresh = Oracle::new();
    let base = tree(&fresh, &[]);
    let verdicts = verdicts(&fresh, &base, &[&all, said.as_bytes(), &one]);
    refused(
        &verdicts[0],
        "more memory than the 100663296 bytes that a series may use",
    );
    refused(&verdicts[1], "a binary hunk of 267386880 bytes is larger than");
    assert_eq!(verdicts[2]["state"], "Clean");
}

#[test]
fn large_files_are_refused_by_their_size_and_their_lines() {
    let oracle = Oracle::new();
    let tree = tree(
        &oracle,
        &[
            ("large", &vec![b'\n'; 100 << 20]),
            ("lines", &vec![b'\n'; 31 << 20]),
        ],
    );
    let on = |file: &str| format!("--- a/{file}\n+++ b/{file}\n@@ -2,2 +2,2 @@\n-\n+x\n \n");
    let verdicts = verdicts(&oracle, &tree, &[on("large").as_bytes(), on("lines").as_bytes()]);
    refused(
        &verdicts[0],
        "has 104857600 bytes, more than the 33554432 that are allowed",
    );
    refused(
        &verdicts[1],
        "more memory than the 100663296 bytes that a series may use",
    );
}

#[test]
fn results_that_are_replaced_are_given_up() {
    let oracle = Oracle::new();
    let line = "x".repeat(2000);
    let file = format!("0\n{}", format!("{line}\n").repeat(4000));
    let tree = tree(&oracle, &[("big", file.as_bytes())]);
    let patches: Vec<String> = (0..80)
        .map(|number| {
            format!(
                "--- a/big\n+++ b/big\n@@ -1,2 +1,2 @@\n-{number}\n+{}\n {line}\n",
                number + 1
            )
        })
        .collect();
    // Each on top of the other, and all of them as one.
    let mut patches: Vec<&str> = patches.iter().map(String::as_str).collect();
    let (first, second) = (patches[..40].to_vec(), patches.split_off(40).concat());
    let inputs: Vec<&[u8]> = first
        .iter()
        .map(|patch| patch.as_bytes())
        .chain([second.as_bytes()])
        .collect();
    let verdicts = verdicts(&oracle, &tree, &inputs);
    assert!(verdicts.iter().all(|verdict| verdict["state"] == "Clean"));
    let all = format!("{}{second}", first.concat());
    let git = oracle.apply(&tree, all.as_bytes(), &[]);
    assert_eq!(verdicts[40]["tree"].as_str().map(ToOwned::to_owned), git);
}

#[test]
fn reports_of_long_lines_are_bounded() {
    let oracle = Oracle::new();
    let file = format!("{}\n", "x".repeat(600_000)).repeat(50);
    let tree = tree(&oracle, &[("wide", file.as_bytes())]);
    let hunk = format!("@@ -2,50 +2,50 @@\n{}-b\n+c\n a\n", " a\n".repeat(48));
    let patch = format!("--- a/wide\n+++ b/wide\n{}", hunk.repeat(500));
    let verdicts = verdicts(&oracle, &tree, &[patch.as_bytes()]);
    let hunks = verdicts[0]["files"][0]["hunks"].as_array().unwrap();
    assert_eq!(
        hunks[0]["rejected"]["found"][0].as_str().unwrap().len(),
        4096 + '…'.len_utf8()
    );
    let left_out = &hunks[499]["rejected"];
    assert_eq!(
        (&left_out["linesLeftOut"], &left_out["line"]),
        (&Value::Bool(true), &Value::from(2))
    );
}

#[test]
fn a_terminal_obeys_nothing_of_a_patch() {
    let oracle = Oracle::new();
    let tree = oracle.tree(&[
        ("100644", b"f", b"1\n2\n3\n"),
        ("100644", "g\u{202e}".as_bytes(), b"1\n\x1b[2J\x07\n3\n"),
    ]);
    let patch = "Subject: a\u{7}b\u{202e}c\u{9b}2J\n\n--- a/g\u{202e}\n+++ b/g\u{202e}\n@@ -1,3 +1,3 @@\n 1\n-\u{1b}]0;title\u{7}\u{2066}\n+x\n 3\n";
    let output = run(&oracle, &tree, &[patch.as_bytes()], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    let is_obeyed = |c: char| {
        (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(text.contains("]0;title\u{fffd}"), "{text:?}");
    assert!(!text.contains(is_obeyed), "{text:?}");
    assert!(Path::new(&oracle.dir).exists() && output.status.code() == Some(1));
}
