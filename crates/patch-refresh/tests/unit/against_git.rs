//! Comparisons, merges and fuzz against the installed `git` and `patch`, over generated texts.

use std::path::Path;
use std::process::{Command, Output};

use crate::compare::{Sliders, changes, lines};
use crate::fuzz::{self, FuzzyHunk, LineKind};
use crate::layout::Layout;
use crate::merge::{Merge, MergeLabels, marked_merge, merge};
use crate::options::RefreshLimits;
use crate::unified::{Heading, HunkStyle, hunks};
use crate::work::Work;

/// Lines as in programs, some of which occur in many places.
const LINES: [&str; 14] = [
    "\n",
    "def one(self):\n",
    "    return None\n",
    "    if x:\n",
    "        x = 1\n",
    "    }\n",
    "}\n",
    "{\n",
    "\tcall()\n",
    "class A:\n",
    "# end\n",
    "_name = 3\n",
    "  \n",
    "x\r\n",
];

/// A pseudorandom generator, so that failures are reproducible.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    fn line(&mut self) -> String {
        match self.below(3) {
            0 => format!("    line {}\n", self.below(40)),
            _ => LINES[self.below(LINES.len())].to_owned(),
        }
    }

    fn text(&mut self, most: usize) -> Vec<String> {
        (0..self.below(most)).map(|_| self.line()).collect()
    }

    /// A text with some runs of lines changed.
    fn edited(&mut self, text: &[String], most: usize) -> Vec<String> {
        let mut text = text.to_vec();
        for _ in 0..=self.below(most) {
            let at = self.below(text.len() + 1);
            let gone = self.below(4).min(text.len() - at);
            let come: Vec<String> = (0..self.below(4)).map(|_| self.line()).collect();
            text.splice(at..at + gone, come);
        }
        text
    }

    /// The text as bytes, in one of five cases without its last line feed.
    fn bytes(&mut self, text: &[String]) -> Vec<u8> {
        let mut bytes = text.concat().into_bytes();
        if self.below(5) == 0 && bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        bytes
    }
}

fn work() -> Work {
    Work::new(RefreshLimits::default(), 1 << 33)
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("LC_ALL", "C")
        .output()
        .unwrap()
}

#[test]
fn merges_are_those_of_git() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(1);
    let (mut clean, mut conflicts) = (0, 0);
    for _ in 0..700 {
        let base = random.text(60);
        let (ours, theirs) = (random.edited(&base, 5), random.edited(&base, 5));
        let [base, ours, theirs] = [base, ours, theirs].map(|text| random.bytes(&text));
        for (name, text) in [("base", &base), ("ours", &ours), ("theirs", &theirs)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let git = run(
            folder.path(),
            "git",
            &["merge-file", "-p", "ours", "base", "theirs"],
        );
        let expected = (git.status.code() == Some(0)).then_some(git.stdout);
        let merged = match merge(&base, &ours, &theirs, &work()).unwrap() {
            Merge::Clean(merged) => Some(merged),
            Merge::Conflict { .. } => None,
        };
        assert_eq!(merged, expected, "{base:?} {ours:?} {theirs:?}");
        let git = run(
            folder.path(),
            "git",
            &["merge-file", "-p", "--diff3", "ours", "base", "theirs"],
        );
        let labels = MergeLabels {
            ours: "ours",
            base: "base",
            theirs: "theirs",
        };
        let marked = marked_merge(&base, &ours, &theirs, &labels).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&marked.text),
            String::from_utf8_lossy(&git.stdout),
            "{base:?} {ours:?} {theirs:?}"
        );
        assert_eq!(i32::try_from(marked.conflicts).ok(), git.status.code());
        *if merged.is_some() {
            &mut clean
        } else {
            &mut conflicts
        } += 1;
    }
    assert!(clean > 100 && conflicts > 100, "{clean} {conflicts}");
}

#[test]
fn hunks_are_those_of_git() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(2);
    for round in 0..700 {
        let before = random.text(90);
        let after = random.edited(&before, 8);
        let [before, after] = [before, after].map(|text| random.bytes(&text));
        std::fs::write(folder.path().join("before"), &before).unwrap();
        std::fs::write(folder.path().join("after"), &after).unwrap();
        let context = [3, 1, 0, 10][round % 4];
        let git = run(
            folder.path(),
            "git",
            &["diff", "--no-index", &format!("-U{context}"), "before", "after"],
        );
        let start = git.stdout.windows(4).position(|part| part == b"\n@@ ");
        let expected = start.map_or(&[][..], |start| &git.stdout[start + 1..]);
        let style = HunkStyle {
            context,
            heading: Heading::Function,
        };
        let found = hunks(&before, &after, style, &work()).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&found),
            String::from_utf8_lossy(expected),
            "{before:?} {after:?}"
        );
    }
}

#[test]
fn changes_make_one_text_of_the_other() {
    let mut random = Random(3);
    for _ in 0..400 {
        let before = random.text(60);
        let after = random.edited(&before, 9);
        let [before, after] = [before, after].map(|text| random.bytes(&text));
        for sliders in [Sliders::ByIndentation, Sliders::Down] {
            let (old, new) = (lines(&before), lines(&after));
            let (mut made, mut at) = (Vec::new(), 0);
            for change in changes(&before, &after, sliders, &work()).unwrap() {
                made.extend_from_slice(&old[at..change.before.start]);
                assert_eq!(made.len(), change.after.start);
                made.extend_from_slice(&new[change.after]);
                at = change.before.end;
            }
            made.extend_from_slice(&old[at..]);
            assert_eq!(made.concat(), after);
        }
    }
}

/// The hunks of a diff, and how many lines GNU patch would compare with the most fuzz.
fn fewest_compared(hunk: &FuzzyHunk<'_>, most: usize) -> usize {
    let is_context = |line: &&(LineKind, &[u8])| line.0 == LineKind::Context;
    let prefix = hunk.lines.iter().take_while(is_context).count();
    let suffix = hunk.lines.iter().rev().take_while(is_context).count();
    let context = prefix.max(suffix);
    let fuzz = most.min(context);
    let old = hunk
        .lines
        .iter()
        .filter(|(kind, _)| *kind != LineKind::Added)
        .count();
    old.saturating_sub((fuzz + prefix).saturating_sub(context) + (fuzz + suffix).saturating_sub(context))
}

#[test]
fn fuzz_is_that_of_gnu_patch() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(4);
    let (mut fuzzed, mut exact, mut refused) = (0, 0, 0);
    for round in 0..900 {
        let before = random.text(70);
        let after = random.edited(&before, 3);
        let file = random.edited(&before, 6);
        let [before, after, file] = [before, after, file].map(|text| random.bytes(&text));
        for (name, text) in [("before", &before), ("after", &after), ("file", &file)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let context = format!("-U{}", [3, 2, 1][round % 3]);
        let diff = run(
            folder.path(),
            "git",
            &["diff", "--no-index", &context, "before", "after"],
        );
        let Ok(layout) = Layout::read(&diff.stdout, &git_apply_engine::Options::default()) else {
            continue;
        };
        let hunks = layout.sections[0].hunks();
        if file.is_empty() || hunks.iter().any(|hunk| fewest_compared(hunk, 2) == 0) {
            continue;
        }
        std::fs::write(folder.path().join("diff"), &diff.stdout).unwrap();
        let _ = std::fs::remove_file(folder.path().join("out"));
        let arguments = ["-f", "-s", "-F2", "-r", "-", "-o", "out", "file", "diff"];
        let patch = run(folder.path(), "patch", &arguments);
        let said = String::from_utf8_lossy(&patch.stdout).into_owned();
        let expected = (patch.status.code() == Some(0))
            .then(|| std::fs::read(folder.path().join("out")).unwrap_or_default());
        let found = fuzz::apply(&file, &hunks, 2, &work()).unwrap();
        match &found {
            Some(found) if found.fuzz > 0 => fuzzed += 1,
            Some(_) => exact += 1,
            None => refused += 1,
        }
        assert_eq!(
            found.map(|found| String::from_utf8(found.contents).unwrap()),
            expected.map(|text| String::from_utf8(text).unwrap()),
            "{said}\n{}\n{}",
            String::from_utf8_lossy(&file),
            String::from_utf8_lossy(&diff.stdout)
        );
    }
    assert!(
        fuzzed > 50 && exact > 50 && refused > 50,
        "{fuzzed} {exact} {refused}"
    );
}
