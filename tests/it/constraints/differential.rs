//! pip and uv as oracles: what they read from a file, and what they install under a merged one.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use upper_constraints::{ConstraintsFile, Pin};

use super::{corpus, merged};
use crate::support::program::{program, python};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/constraints")
        .join(name)
}

/// Names, specifiers and markers that pip reads in each file, or a message if it refuses the file.
fn pip_reads(files: &[PathBuf]) -> Vec<Value> {
    let output = python("python")
        .arg(script("read.py"))
        .args(files)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Whether uv reads a file as constraints.
fn uv_reads(file: &Path) -> bool {
    let empty = file.with_extension("in");
    std::fs::write(&empty, "").unwrap();
    let output = program("uv")
        .args(["pip", "compile", "--quiet", "--no-index", "--constraints"])
        .args([file, &empty])
        .output()
        .unwrap();
    output.status.success()
}

/// What this project reads, in pip's terms: name, specifier, and whether there is a marker.
fn ours(file: &ConstraintsFile) -> Vec<(String, String, bool)> {
    file.entries()
        .iter()
        .map(|entry| {
            let specifier = match &entry.pin {
                Pin::Exact { operator, text, .. } => format!("{operator}{text}"),
                Pin::Range(text) => {
                    let mut parts: Vec<&str> =
                        text.split(',').map(str::trim).filter(|p| !p.is_empty()).collect();
                    parts.sort_unstable();
                    parts.join(",")
                }
                Pin::Url => "@".to_owned(),
            };
            (entry.name.to_string(), specifier, !entry.marker.is_true())
        })
        .collect()
}

fn theirs(read: &Value) -> Option<Vec<(String, String, bool)>> {
    let entries = read.as_array()?.iter().map(|entry| {
        let text = |at: usize| entry[at].as_str().unwrap().to_owned();
        (text(0), text(1), !text(2).is_empty())
    });
    Some(entries.collect())
}

#[test]
fn real_files_are_read_as_pip_reads_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus/releases");
    let files = ["2025.2", "2026.1"].map(|release| root.join(release).join("upper-constraints.txt"));
    for (file, read) in files.iter().zip(pip_reads(&files)) {
        let parsed = ConstraintsFile::parse(&std::fs::read(file).unwrap()).unwrap();
        assert_eq!(Some(ours(&parsed)), theirs(&read));
        assert!(parsed.entries().len() > 500);
    }
}

/// Lines that people, tools and attackers write.
fn line() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "B.b", "c_C", "d-d"]);
    let specifier = prop::sample::select(vec![
        "===1.0",
        "==1.0",
        " === 1.0",
        "===1.0+l",
        "===2.0rc1",
        ">=1,<2",
        "",
        "~=1.4",
        "!=1",
        "(===1.0)",
        " (>=1.0)",
        "===1.0,",
        "==1.*",
        " @ https://example.org/x.whl",
        "===1!2.0",
    ]);
    let marker = prop::sample::select(vec![
        "",
        ";python_version>='3.9'",
        " ; python_version >= \"3.9\" and sys_platform == 'linux'",
        ";platform_machine in 'x86_64 aarch64'",
        " ;(os_name=='posix' or os_name=='nt')",
    ]);
    let behind = prop::sample::select(vec![
        "",
        "  # note",
        "\t# a===1",
        " --hash=sha256:0000000000000000000000000000000000000000000000000000000000000000",
        " \\\n  --hash=sha256:0000000000000000000000000000000000000000000000000000000000000000",
    ]);
    let entry = (name, specifier, marker, behind).prop_map(|(n, s, m, b)| {
        // After a URL PEP 508 requires a space before the semicolon.
        let space = if s.contains('@') && !m.is_empty() { " " } else { "" };
        format!("{n}{s}{space}{m}{b}")
    });
    let other = prop::sample::select(vec![
        "",
        "   ",
        "# note",
        "  # a===1",
        "# ends \\",
        "--index-url https://example.org/simple",
        "--pre",
        "--no-binary :all:",
        "# \u{fc}\u{1f980}",
        "e[x]===1.0",
        "f[]===1.0",
    ]);
    prop_oneof![4 => entry, 1 => other.prop_map(ToOwned::to_owned)]
}

#[test]
fn generated_files_are_read_as_pip_reads_them() {
    let mut runner = TestRunner::new(Config::default());
    let files = prop::collection::vec((line(), prop::sample::select(vec!["\n", "\r\n", "\r"])), 0..12);
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..400)
        .map(|n| {
            let lines = files.new_tree(&mut runner).unwrap().current();
            let text: String = lines.iter().flat_map(|(line, ending)| [line, *ending]).collect();
            let path = folder.path().join(format!("{n}.txt"));
            std::fs::write(&path, text).unwrap();
            path
        })
        .collect();
    let mut compared = 0;
    for (path, read) in paths.iter().zip(pip_reads(&paths)) {
        let text = std::fs::read(path).unwrap();
        match (ConstraintsFile::parse(&text), theirs(&read)) {
            (Ok(file), Some(theirs)) => {
                assert_eq!(ours(&file), theirs, "{:?}", String::from_utf8_lossy(&text));
                compared += 1;
            }
            (Err(_), None) => {}
            (ours, theirs) => panic!(
                "{:?}: pip reads {theirs:?} ({read}), this project {ours:?}",
                String::from_utf8_lossy(&text)
            ),
        }
    }
    assert!(compared > 200, "only {compared} files say anything");
}

#[test]
fn lines_of_all_kinds_are_taken_where_both_tools_take_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("other.txt"), "x===1\n").unwrap();
    let hash = format!("--hash=sha256:{}", "0".repeat(64));
    let lines = [
        "a===1.0",
        "a",
        "a>=1,<2",
        "a @ https://example.org/a.whl",
        "a[x]===1.0",
        "a===1.0;extra=='x'",
        "a (===1.0)",
        "a===1.0,",
        "a===1.0-rc1",
        "\u{feff}a===1.0",
        "-c other.txt",
        "--index-url https://example.org/",
        "-e ./a",
        "--nonsense",
        "-horizon",
        "===1",
        "a===",
        "a = 1",
        "a===1 b===1",
        "a===1;nonsense",
        "https://example.org/a.whl",
        "a===1.0#c",
        "a===2004d",
        "a===1.0;",
        &format!("a===1 {hash}"),
        &format!("a===1;python_version>'3' {hash}"),
        "a==1.*",
        "a !== 1",
        "-r other.txt",
        "--constraint=other.txt",
        "-f https://example.org/",
        "--require-hashes",
        "a===${VERSION}",
    ];
    let files: Vec<PathBuf> = (0..lines.len())
        .map(|at| folder.path().join(format!("{at}.txt")))
        .collect();
    for (file, line) in files.iter().zip(lines) {
        std::fs::write(file, format!("{line}\n")).unwrap();
    }
    for ((file, line), pip) in files.iter().zip(lines).zip(pip_reads(&files)) {
        let (pip, uv) = (pip.is_array(), uv_reads(file));
        let parsed = ConstraintsFile::parse(&std::fs::read(file).unwrap());
        if pip && uv {
            assert!(parsed.is_ok(), "{line:?}: both tools read it; {parsed:?}");
        }
        if !pip && !uv {
            assert!(parsed.is_err(), "{line:?}: neither tool reads it");
        }
    }
}

/// What a tool does with a line counts, not only how it parses the line.
#[test]
fn what_one_of_the_tools_refuses_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let texts = [
        "requests[security]===2.32.3\n",
        "a===1.0.*\n",
        "a [x] @ https://example.org/a.whl\n",
        "a===1.0 \\",
        "a===1.0\\\n",
        "a===1.0 \\\n\nb===1\n",
        "a \\\n===1.0\n",
        "a===1.0;\\\nos_name=='nt'\n",
    ];
    let files: Vec<PathBuf> = (0..texts.len())
        .map(|at| folder.path().join(format!("{at}.txt")))
        .collect();
    for (file, text) in files.iter().zip(texts) {
        std::fs::write(file, text).unwrap();
    }
    for ((file, text), pip) in files.iter().zip(texts).zip(pip_reads(&files)) {
        assert!(
            !(pip.is_array() && uv_reads(file)),
            "{text:?}: both tools read it"
        );
        let parsed = ConstraintsFile::parse(text.as_bytes());
        assert!(parsed.is_err(), "{text:?}: {parsed:?}");
    }
}

#[test]
fn utf_16_is_read_as_both_tools_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("upper.txt");
    let units = "\u{feff}# \u{fc}\nb.B===2.0\n".encode_utf16();
    std::fs::write(&file, units.flat_map(u16::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    let read = pip_reads(std::slice::from_ref(&file));
    assert!(uv_reads(&file));
    let parsed = ConstraintsFile::parse(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(Some(ours(&parsed)), theirs(&read[0]));
}

/// The version of each package that a file pins under a Python, read without this project: lines
/// are split at `===` and `;`, and the few markers of the real data compared as numbers.
fn pinned(text: &str, python: (u32, u32)) -> BTreeMap<String, String> {
    let mut pins = BTreeMap::new();
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let (name, rest) = line.split_once("===").unwrap();
        let (version, marker) = rest.split_once(';').unwrap_or((rest, ""));
        let wanted = |marker: &str| -> (u32, u32) {
            let (major, minor) = marker.trim_matches('\'').split_once('.').unwrap();
            (major.parse().unwrap(), minor.parse().unwrap())
        };
        let holds = match marker.strip_prefix("python_version") {
            None => true,
            Some(rest) => match rest.split_at(2) {
                ("==", version) => python == wanted(version),
                (">=", version) => python >= wanted(version),
                other => panic!("{other:?}"),
            },
        };
        if holds {
            pins.insert(normal(name), version.to_owned());
        }
    }
    pins
}

fn normal(name: &str) -> String {
    name.to_lowercase().replace(['_', '.'], "-")
}

/// A local index with every pinned version of each package, and a newer one.
fn index(folder: &Path, texts: &[&str]) {
    let mut lines = std::collections::BTreeSet::new();
    for text in texts {
        for line in text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
        {
            let (name, rest) = line.split_once("===").unwrap();
            let version = rest.split(';').next().unwrap();
            lines.insert(format!("{name} {version}\n"));
            lines.insert(format!("{name} 99999\n"));
        }
    }
    let mut child = python("python")
        .arg(script("wheels.py"))
        .arg(folder)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    for line in lines {
        child.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn pip_and_uv_resolve_exactly_as_the_merged_file_says() {
    for (release, marker) in [("2025.2", ";python_version>='3.10'"), ("2026.1", "")] {
        let base = corpus(&format!("releases/{release}/upper-constraints.txt"));
        let overrides = corpus(&format!("overrides/{release}/constraints.txt"));
        let more = format!(
            "{overrides}Oslo_Messaging===99.1\nscipy===0.9 # downgrade\nclick===8.9.1{marker}\n-pbr\n"
        );
        let done = merged(&base, &more, &["glance_store", "six"]);
        let folder = tempfile::tempdir().unwrap();
        let wheels = folder.path().join("wheels");
        std::fs::create_dir(&wheels).unwrap();
        index(&wheels, &[&base, &done.text]);
        let constraints = folder.path().join("constraints.txt");
        std::fs::write(&constraints, &done.text).unwrap();
        let mut names: Vec<String> = pinned(&base, (3, 9))
            .into_keys()
            .chain(pinned(&base, (3, 12)).into_keys())
            .collect();
        names.extend(pinned(&done.text, (3, 12)).into_keys());
        names.sort();
        names.dedup();
        let requirements = folder.path().join("requirements.in");
        std::fs::write(&requirements, names.join("\n")).unwrap();
        let expected = |python| -> BTreeMap<String, String> {
            let pins = pinned(&done.text, python);
            names
                .iter()
                .map(|name| {
                    (
                        name.clone(),
                        pins.get(name).cloned().unwrap_or("99999".to_owned()),
                    )
                })
                .collect()
        };

        let files = Files {
            wheels: &wheels,
            constraints: &constraints,
            requirements: &requirements,
        };
        for version in [(3, 9), (3, 12)] {
            assert_eq!(
                files.uv_chooses(version),
                expected(version),
                "uv, {release}, {version:?}"
            );
        }
        let (version, chosen) = files.pip_chooses();
        assert_eq!(chosen, expected(version), "pip, {release}");
    }
}

/// The inputs of a resolution.
struct Files<'a> {
    wheels: &'a Path,
    constraints: &'a Path,
    requirements: &'a Path,
}

impl Files<'_> {
    fn uv_chooses(&self, python: (u32, u32)) -> BTreeMap<String, String> {
        let output = program("uv")
            .args([
                "pip",
                "compile",
                "--quiet",
                "--no-index",
                "--no-header",
                "--no-annotate",
            ])
            .arg("--find-links")
            .arg(self.wheels)
            .arg("--constraints")
            .args([self.constraints, self.requirements])
            .arg(format!("--python-version={}.{}", python.0, python.1))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .map(|line| {
                let (name, version) = line.split_once("==").unwrap();
                (normal(name), version.to_owned())
            })
            .collect()
    }

    /// The version of the Python that pip runs in, and what pip would install.
    fn pip_chooses(&self) -> ((u32, u32), BTreeMap<String, String>) {
        let output = python("pip")
            .args([
                "install",
                "--disable-pip-version-check",
                "--quiet",
                "--dry-run",
                "--ignore-installed",
            ])
            .args(["--no-index", "--report", "-", "--find-links"])
            .arg(self.wheels)
            .arg("--constraint")
            .arg(self.constraints)
            .arg("--requirement")
            .arg(self.requirements)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let (major, minor) = report["environment"]["python_version"]
            .as_str()
            .unwrap()
            .split_once('.')
            .unwrap();
        let chosen = report["install"].as_array().unwrap().iter().map(|one| {
            let field = |name: &str| one["metadata"][name].as_str().unwrap().to_owned();
            (normal(&field("name")), field("version"))
        });
        ((major.parse().unwrap(), minor.parse().unwrap()), chosen.collect())
    }
}
