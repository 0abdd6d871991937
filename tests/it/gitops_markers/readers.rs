//! Edits of markers as seen by other readers: libyaml, and go-yaml 2 and 3, with which Kubernetes,
//! Helm and kustomize read.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gitops_markers::{EditError, EditedFile, edit_file};
use serde::Deserialize;
use serde_json::Value;

use super::{edited, image};
use crate::support::program::{program, python};

const MARKER: &str = "# {\"$patchset\": \"ours:glance:tag\"}";
const TAG: &str = "31.0.0-p2";

/// The result of a go-yaml version.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
struct Read {
    error: Option<String>,
    #[serde(default)]
    documents: Vec<Node>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Node {
    kind: String,
    tag: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    line: usize,
    #[serde(default)]
    items: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct ReadByBoth {
    v2: Read,
    v3: Read,
}

impl Read {
    fn is_read(&self) -> bool {
        self.error.is_none()
    }

    /// All nodes in order, without their children.
    fn nodes(&self) -> Vec<Node> {
        fn collect(node: &Node, nodes: &mut Vec<Node>) {
            let items = Vec::new();
            nodes.push(Node {
                items,
                ..node.clone()
            });
            node.items.iter().for_each(|item| collect(item, nodes));
        }
        let mut nodes = Vec::new();
        self.documents
            .iter()
            .for_each(|document| collect(document, &mut nodes));
        nodes
    }
}

/// The output of a command for each text, which it reads as a line of JSON and answers with
/// another.
fn lines_of(mut command: Command, texts: &[&str]) -> Vec<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: Vec<String> = texts
        .iter()
        .map(|text| serde_json::to_string(text).unwrap())
        .collect();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || writeln!(input, "{}", lines.join("\n")).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success());
    let lines: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(lines.len(), texts.len());
    lines
}

fn go_yaml(texts: &[&str]) -> Vec<ReadByBoth> {
    let lines = lines_of(program("go-yaml"), texts);
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What libyaml reads: all nodes without their positions, with tag and value of each; nothing if it
/// cannot read the text.
fn libyaml(texts: &[&str]) -> Vec<Value> {
    let script = "import sys, json, yaml\n\
        def nodes(text):\n\
        \x20   found = []\n\
        \x20   for node in yaml.compose_all(text, Loader=yaml.CSafeLoader):\n\
        \x20       todo = [node]\n\
        \x20       while todo and len(found) < 100000:\n\
        \x20           node = todo.pop()\n\
        \x20           scalar = isinstance(node, yaml.ScalarNode)\n\
        \x20           found.append([node.tag if node else '', node.value if scalar else ''])\n\
        \x20           for item in node.value if node and not scalar else []:\n\
        \x20               todo.extend(item if isinstance(item, tuple) else [item])\n\
        \x20   return found\n\
        for line in sys.stdin:\n\
        \x20   try:\n\
        \x20       print(json.dumps(nodes(json.loads(line))))\n\
        \x20   except yaml.YAMLError as error:\n\
        \x20       print('null')";
    let mut command = python("python");
    command.args(["-c", script]);
    let lines = lines_of(command, texts);
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Pseudorandom numbers from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}

/// Checks edits against what the other readers make of the files before and after. Returns how many
/// values changed.
fn check(texts: &[String]) -> usize {
    let results: Vec<Result<EditedFile, EditError>> = texts.iter().map(|text| edited(text)).collect();
    let before: Vec<&str> = texts.iter().map(String::as_str).collect();
    let after: Vec<&str> = texts
        .iter()
        .zip(&results)
        .map(|(text, result)| match result {
            Ok(EditedFile { text: Some(text), .. }) => text,
            _ => text.as_str(),
        })
        .collect();
    let (go_before, go_after) = (go_yaml(&before), go_yaml(&after));
    let (c_before, c_after) = (libyaml(&before), libyaml(&after));
    let mut changes = 0;
    for (index, text) in texts.iter().enumerate() {
        let is_read = go_before[index].v2.is_read() && go_before[index].v3.is_read();
        let edited = match &results[index] {
            Ok(edited) => edited,
            Err(error) => {
                assert!(!is_read, "go-yaml reads {text:?}: {error}");
                continue;
            }
        };
        let told = edited
            .problems
            .iter()
            .find(|problem| problem.message.contains("is not YAML"));
        assert!(!is_read || told.is_none(), "go-yaml reads {text:?}: {told:?}");
        let result = after[index];
        assert_bytes(text, result, edited);
        changes += edited.changes.len();
        for (before, after) in [
            (&go_before[index].v2, &go_after[index].v2),
            (&go_before[index].v3, &go_after[index].v3),
        ] {
            assert_eq!(
                before.is_read(),
                after.is_read(),
                "{text:?}: {:?} {result:?}",
                after.error
            );
            assert_nodes(&before.nodes(), &after.nodes(), edited, text);
        }
        let (before, after) = (&c_before[index], &c_after[index]);
        assert_eq!(before.is_null(), after.is_null(), "libyaml: {text:?} {result:?}");
        let nodes = |nodes: &Value| nodes.as_array().cloned().unwrap_or_default();
        let (before, after) = (nodes(before), nodes(after));
        assert_eq!(before.len(), after.len());
        for (before, after) in before
            .iter()
            .zip(&after)
            .filter(|(before, after)| before != after)
        {
            let tag = after[0].as_str().unwrap();
            assert!(
                tag.ends_with(":str") && after[1] == TAG,
                "{text:?}: {before} {after}"
            );
        }
    }
    changes
}

/// Asserts that only the values of the changed lines differ.
fn assert_bytes(before: &str, after: &str, edited: &EditedFile) {
    fn lines(text: &str) -> Vec<&str> {
        text.split_inclusive(['\n', '\r']).collect()
    }
    // With `\r\n` a line is split at both characters: the second one is empty.
    let number = |index: usize, lines: &[&str]| {
        1 + lines[..index]
            .iter()
            .filter(|line| **line != "\n" || !before.contains("\r\n"))
            .count()
    };
    let (before, after) = (lines(before), lines(after));
    assert_eq!(before.len(), after.len());
    for (index, (line, new)) in before.iter().zip(&after).enumerate() {
        if line == new {
            continue;
        }
        let has_cr_lf = before.contains(&"\n") && before.iter().any(|line| line.ends_with('\r'));
        if !has_cr_lf {
            let at = number(index, &before);
            assert!(
                edited.changes.iter().any(|change| change.line == at),
                "{line:?} {new:?} {at}"
            );
        }
        let (head, tail) = new.split_once(TAG).unwrap();
        assert!(
            line.starts_with(head.trim_end_matches(['"', '\''])),
            "{line:?} {new:?}"
        );
        assert!(
            line.ends_with(tail.trim_start_matches(['"', '\''])),
            "{line:?} {new:?}"
        );
        assert!(
            tail.trim_start_matches(['"', '\'', ' ', '\t', ','])
                .starts_with('#'),
            "{new:?}"
        );
    }
}

/// Asserts that the changed nodes are strings of the wanted text, at least as many as there are
/// changes because of aliases, and that the others are unchanged.
fn assert_nodes(before: &[Node], after: &[Node], edited: &EditedFile, text: &str) {
    assert_eq!(before.len(), after.len(), "{text:?}");
    let mut lines = BTreeSet::new();
    for (before, after) in before.iter().zip(after).filter(|(before, after)| before != after) {
        if before.kind == "alias" {
            assert_eq!((&before.value, before.line), (&after.value, after.line));
            continue;
        }
        assert_eq!(
            (after.kind.as_str(), after.line),
            ("scalar", before.line),
            "{text:?}: {before:?}"
        );
        assert!(
            matches!(after.tag.as_str(), "string" | "!!str"),
            "{text:?}: {after:?}"
        );
        assert_eq!(after.value, TAG, "{text:?}");
        lines.insert(before.line);
    }
    // Version 3 has the line of each.
    let wanted: BTreeSet<usize> = edited.changes.iter().map(|change| change.line).collect();
    if after.iter().any(|node| node.line > 0) {
        assert_eq!(lines, wanted, "{text:?}");
    }
}

/// Appends a marker to each line that may have a value.
fn marked(text: &str) -> String {
    let mut result = String::new();
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\n', '\r']);
        let is_value = content.contains(": ") || content.trim_start().starts_with("- ");
        result.push_str(content);
        if is_value && !content.contains('#') {
            result.push(' ');
            result.push_str(MARKER);
        }
        result.push_str(&line[content.len()..]);
    }
    result
}

/// The YAML files below a folder.
fn yaml_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_files(&path, files);
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            files.push(path);
        }
    }
}

#[test]
fn files_of_the_charts_and_generators_change_in_their_marked_values_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["charts", "config", "hack", "crds", "tests"] {
        yaml_files(&root.join(folder), &mut files);
    }
    let mut texts: Vec<String> = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    // Helm's output for the chart, and the examples in the documents.
    let output = program("helm")
        .args(["template", "patchset"])
        .arg(root.join("charts/patchset"))
        .output()
        .unwrap();
    assert!(output.status.success());
    texts.push(String::from_utf8(output.stdout).unwrap());
    for document in ["README.md", "docs/operations.md", "docs/tutorial.md"] {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        let blocks = text.split("```yaml\n").skip(1);
        texts.extend(blocks.map(|block| block.split("```").next().unwrap().to_owned()));
    }
    let texts: Vec<String> = texts
        .iter()
        .flat_map(|text| {
            [
                marked(text),
                marked(&text.replace('\n', "\r\n")),
                marked(text).replace('\n', "\r"),
            ]
        })
        .filter(|text| text.len() < 400_000)
        .collect();
    let changes = check(&texts);
    assert!(changes > 5_000, "{changes}");
}

/// A node in any style, inside a block of this indentation. Whatever a marker may follow ends in
/// `@`.
fn node(chance: &mut Chance, indent: usize, depth: usize) -> String {
    let pad = " ".repeat(indent);
    let plain = [
        "old",
        "1.20",
        "0362525",
        "true",
        "~",
        "2001-01-01",
        "a#b",
        "http://x:1/y",
        "ö ß",
        "x: y",
    ];
    match chance.below(if depth > 3 { 8 } else { 15 }) {
        0 | 1 => format!(" {}@\n", plain[chance.below(plain.len() - 1)]),
        2 => format!(" '{}'@\n", chance.of(&["old", "it''s", "# no", "31.0.0-p2", ""])),
        3 => format!(
            " \"{}\"@\n",
            chance.of(&["old", "\\\"\\u00e9\\n", "a\\\\", "# {}", ""])
        ),
        4 => format!(
            " {} old@\n",
            chance.of(&["!!str", "&b", "!!str &c", "&d !!str", "!", "!!int", "!x"])
        ),
        5 => format!(
            " |{}\n{pad}  text\n\n{pad}   # {{\"x\"}}\n",
            chance.of(&["", "-", "+"])
        ),
        6 => format!(" \"over\n{pad}{}lines\"@\n", chance.of(&["", " ", "  "])),
        7 => format!(" >-{}\n{pad}   folded\n{pad}   more\n", chance.of(&["", " # c"])),
        8 | 9 => {
            let items: Vec<String> = (0..=chance.below(3))
                .map(|_| format!("{pad}-{}", node(chance, indent + 2, depth + 1)))
                .collect();
            format!("{}\n{}", chance.of(&["", " # c", "   "]), items.concat())
        }
        10 | 11 => {
            let keys: Vec<String> = (0..=chance.below(3))
                .map(|key| format!("{pad}k{key}:{}", node(chance, indent + 2, depth + 1)))
                .collect();
            format!("\n{}", keys.concat())
        }
        12 => {
            let items: Vec<String> = (0..=chance.below(4))
                .map(|_| format!("{pad}{}{},@\n", " ".repeat(chance.below(3)), flow(chance)))
                .collect();
            format!(" [\n{}{pad}]@\n", items.concat())
        }
        13 => {
            let items: Vec<String> = (0..=chance.below(4))
                .map(|key| format!("{pad} f{key}: {},@\n", flow(chance)))
                .collect();
            format!(" {{{}\n{}{pad}}}@\n", chance.of(&["", "@"]), items.concat())
        }
        _ => format!(" [{}, {}]@\n", flow(chance), flow(chance)),
    }
}

fn flow(chance: &mut Chance) -> String {
    let scalars = [
        "old",
        "'o, ]'",
        "\"x\"",
        "1.20",
        "&e old",
        "!!str x",
        "{g: h}",
        "[i, j]",
        "{\"k\": l}",
        "a:b",
        "",
    ];
    scalars[chance.below(scalars.len() - 1)].to_owned()
}

/// A file of documents in all styles, with markers, comments, anchors and every kind of line
/// ending.
fn file(chance: &mut Chance) -> String {
    let mut text = chance
        .of(&["", "", "", "\u{feff}", "# c\n", "%YAML 1.1\n---\n", "---\n"])
        .to_owned();
    for document in 0..=chance.below(2) {
        if document > 0 {
            text.push_str(chance.of(&["---\n", "--- # c\n", "...\n---\n"]));
        }
        for key in 0..=chance.below(4) {
            let node = node(chance, 0, 0);
            write!(text, "key{key}:{node}").unwrap();
        }
    }
    let mut result = String::new();
    for (index, part) in text.split('@').enumerate() {
        if index > 0 {
            result.push_str(match chance.below(8) {
                0 => "",
                1 => " # c",
                2 => "\t# {\"$patchset\": \"ours:glance:tag\"}",
                3 => "    # {\"$patchset\": \"theirs:glance:tag\"}",
                _ => " # {\"$patchset\": \"ours:glance:tag\"}",
            });
        }
        result.push_str(part);
    }
    let end = chance.of(&["\n", "\n", "\n", "\r\n", "\r"]);
    result.replace('\n', end)
}

#[test]
fn files_in_all_styles_are_read_and_edited_as_go_yaml_sees_it() {
    let mut chance = Chance(14);
    let texts: Vec<String> = (0..4_000).map(|_| file(&mut chance)).collect();
    let before: Vec<&str> = texts.iter().map(String::as_str).collect();
    let read = go_yaml(&before);
    let count = read
        .iter()
        .filter(|read| read.v2.is_read() && read.v3.is_read())
        .count();
    assert!(count > 2_000, "{count}");
    let changes = check(&texts);
    assert!(changes > 4_000, "{changes}");
}

/// Texts that a plain scalar may have, close to those taken for a number, a date or a word.
fn plain_texts() -> BTreeSet<String> {
    let seeds = [
        "0O17",
        "0_b11",
        "0_x1f",
        "0_o17",
        "0b-0",
        "1.20",
        "0362525",
        "706798e8",
        "true",
        "1e3",
        "1_000",
        "190:20:30",
        "190:20:30.15",
        "2001-12-14",
        "2001-12-14t21:59:43.10-05:00",
        "2001-1-1T1:2:3Z",
        ".inf",
        "-.INF",
        ".NaN",
        "~",
        "null",
        "Null",
        "y",
        "No",
        "ON",
        "=",
        "<<",
        "0x1F",
        "0b11",
        "0o17",
        "-0o17",
        "017",
        "089",
        "1.2.3",
        "1f0c2d3",
        "685.230_15e+03",
        "+12",
        "-1",
        ".5",
        "1.",
        "_1",
        "v1",
        "sha256:00ff",
        "1:2",
        "12e03",
        "+.inf",
        "0.",
        "-0b1",
        "+1.5",
    ];
    let letters: Vec<char> = "0123456789_.:-+eExXoObBaAfFyYnNtTZ~=<".chars().collect();
    let mut chance = Chance(3);
    let mut texts: BTreeSet<String> = seeds.iter().map(|seed| (*seed).to_owned()).collect();
    while texts.len() < 20_000 {
        let mut text: Vec<char> = seeds[chance.below(seeds.len())].chars().collect();
        if chance.below(3) == 0 {
            text = (0..=chance.below(6))
                .map(|_| letters[chance.below(letters.len())])
                .collect();
        }
        for _ in 0..=chance.below(2) {
            let at = chance.below(text.len() + 1);
            match chance.below(3) {
                0 => text.insert(at, letters[chance.below(letters.len())]),
                1 if at < text.len() => text[at] = letters[chance.below(letters.len())],
                2 if at < text.len() && text.len() > 1 => drop(text.remove(at)),
                _ => {}
            }
        }
        texts.insert(text.into_iter().collect());
    }
    texts
}

#[test]
fn what_is_a_string_is_what_all_readers_take_for_one() {
    let texts: Vec<String> = plain_texts().into_iter().collect();
    let files: Vec<String> = texts.iter().map(|text| format!("a: {text} {MARKER}\n")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let (go, c) = (go_yaml(&files), libyaml(&files));
    let (mut counts, mut differing) = ([0, 0], Vec::new());
    let mut image = image();
    for (index, text) in texts.iter().enumerate() {
        image.tag.clone_from(text);
        let edit = |file: &str| edit_file(file, |_| Some(&image));
        // What all readers take for the written string.
        let is_value = |nodes: &[Node]| {
            nodes
                .iter()
                .any(|node| node.value == *text && node.tag.ends_with("!str"))
        };
        let go_nodes = go[index].v3.nodes();
        let Some(node) = go_nodes.iter().find(|node| node.value == *text) else {
            continue;
        };
        if node.kind != "scalar" || c[index].is_null() {
            continue;
        }
        let is_1_2 = serde_saphyr::from_str::<Value>(files[index]).is_ok_and(|value| value["a"].is_string());
        let v2 = go[index].v2.nodes();
        let is_string = is_value(&go_nodes)
            && v2.iter().any(|node| node.tag == "string" && node.value == *text)
            && c[index]
                .as_array()
                .unwrap()
                .iter()
                .any(|node| node[1] == text.as_str() && node[0].as_str().unwrap().ends_with(":str"))
            && is_1_2;
        let there = edit(files[index]).unwrap();
        assert_eq!(there.problems, [], "{text}");
        counts[usize::from(is_string)] += 1;
        if is_string != there.text.is_none() {
            // An invalid date, and a number that is too large, may be quoted.
            let exponent = text.rsplit(['e', 'E', '+']).next().unwrap();
            let is_near = is_string
                && text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'))
                && (text[1..].contains('-') || exponent.len() >= 3);
            if !is_near {
                differing.push(format!("{text}: a string: {is_string}, edited: {:?}", there.text));
            }
        }
        let written = edit(&format!("a: old {MARKER}\n")).unwrap().text.unwrap();
        let is_plain = written.starts_with(&format!("a: {text} "));
        assert!(is_string || !is_plain, "{written}");
    }
    assert_eq!(differing, Vec::<String>::new());
    assert!(counts.iter().all(|count| *count > 1_000), "{counts:?}");
}
