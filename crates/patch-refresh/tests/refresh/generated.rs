//! Generated changes of files on generated changes of the upstream, against `git am --3way`.

use std::slice::from_ref;

use git_apply_engine::Oid;
use patch_refresh::{FileOutcome, FileRefresh, PatchRefresh, RefreshKind, RefreshOutcome};

use super::repository::{File, Repository};

/// A pseudorandom generator, so that failures are reproducible.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    fn line(&mut self) -> String {
        const LINES: [&str; 6] = [
            "\n",
            "def one():\n",
            "    return\n",
            "}\n",
            "    if x:\n",
            "class A:\n",
        ];
        match self.below(4) {
            0 => LINES[self.below(LINES.len())].to_owned(),
            _ => format!("    line {}\n", self.below(500)),
        }
    }

    fn file(&mut self) -> Vec<String> {
        (0..30 + self.below(90)).map(|_| self.line()).collect()
    }

    fn edited(&mut self, text: &[String], most: usize) -> Vec<String> {
        let mut text = text.to_vec();
        for _ in 0..self.below(most + 1) {
            let at = self.below(text.len() + 1);
            let gone = self.below(3).min(text.len() - at);
            let come: Vec<String> = (0..self.below(4)).map(|_| self.line()).collect();
            text.splice(at..at + gone, come);
        }
        text
    }
}

/// Commits files from memory.
fn commit(repository: &Repository, message: &str, files: &[Vec<String>]) -> String {
    let contents: Vec<(String, String)> = files
        .iter()
        .enumerate()
        .map(|(at, text)| (format!("folder/file{at}.py"), text.concat()))
        .collect();
    let files: Vec<File<'_>> = contents
        .iter()
        .map(|(path, text)| (0o644, path.as_str(), Some(text.as_bytes())))
        .collect();
    repository.commit(message, &files)
}

/// The number of patches with each outcome.
#[derive(Debug, Default)]
struct Tally {
    up_to_date: usize,
    offset: usize,
    three_way: usize,
    merged: usize,
    impossible: usize,
}

/// An upstream that moved, and a patch made before it did.
struct Moved {
    repository: Repository,
    patch: Vec<u8>,
    upstream: String,
}

/// Makes repositories in which a patch and the upstream change the same files; sometimes the
/// upstream takes the patch and changes the files further.
fn moved(random: &mut Random, most_edits: usize) -> Option<Moved> {
    let repository = Repository::new();
    let base: Vec<Vec<String>> = (0..=random.below(3)).map(|_| random.file()).collect();
    let first = commit(&repository, "Base", &base);
    let changed: Vec<_> = base.iter().map(|file| random.edited(file, 2)).collect();
    let patched = commit(&repository, "Change it\n\nFor a reason.", &changed);
    let patch = repository.format_patch(&patched, &[]);
    let is_empty = repository.tree_of(&first) == repository.tree_of(&patched);
    repository.checkout(&first);
    let mut further = |(file, changed)| {
        let from: &[String] = if random.below(6) == 0 { changed } else { file };
        random.edited(from, most_edits)
    };
    let moved: Vec<_> = base
        .iter()
        .zip(&changed)
        .map(|(one, other)| further((one, other)))
        .collect();
    let upstream = commit(&repository, "Move", &moved);
    (!is_empty).then_some(Moved {
        repository,
        patch,
        upstream,
    })
}

#[test]
fn refreshed_patches_give_the_tree_of_git_am() {
    let mut random = Random(5);
    let mut tally = Tally::default();
    for round in 0..100 {
        if let Some(moved) = moved(&mut random, [1, 3, 6][round % 3]) {
            check(&moved, &mut tally);
        }
    }
    println!("{tally:?}");
    let counts = [
        tally.up_to_date,
        tally.offset,
        tally.three_way,
        tally.merged,
        tally.impossible,
    ];
    assert!(counts.iter().all(|count| *count > 1), "{tally:?}");
}

fn check(moved: &Moved, tally: &mut Tally) {
    let Moved {
        repository,
        patch,
        upstream,
    } = moved;
    let refreshed = repository.refresh(upstream, from_ref(patch));
    let git = repository.am(upstream, patch, &["--3way"]);
    let plain = repository.am(upstream, patch, &[]);
    let shown = String::from_utf8_lossy(patch);
    let upstream_tree = repository.tree_of(upstream);
    let (how, text, tree) = match &refreshed[0].outcome {
        RefreshOutcome::UpToDate => {
            tally.up_to_date += 1;
            assert_eq!(Some(refreshed[0].tree), plain, "{shown}");
            return;
        }
        RefreshOutcome::Merged => {
            tally.merged += 1;
            // `git am` skips a patch that changes nothing.
            assert!(
                plain.is_none() && git.is_none_or(|tree| tree == upstream_tree),
                "{shown}"
            );
            return;
        }
        RefreshOutcome::Impossible { .. } => {
            tally.impossible += 1;
            assert_eq!(git, None, "{:?}\n{shown}", refreshed[0]);
            return;
        }
        RefreshOutcome::Refreshed { how, patch, tree } => (*how, patch, *tree),
    };
    let expected = match how {
        RefreshKind::Offset => {
            tally.offset += 1;
            plain
        }
        RefreshKind::ThreeWay => {
            tally.three_way += 1;
            git
        }
        RefreshKind::Fuzz => {
            assert_eq!(git, None, "{shown}");
            Some(tree)
        }
    };
    let new = String::from_utf8_lossy(text);
    assert_eq!(Some(tree), expected, "{:?}\n{shown}\n{new}", refreshed[0].files);
    assert_eq!(repository.am(upstream, text, &[]), Some(tree), "{shown}\n{new}");
    is_as_git_formats_it(repository, &refreshed[0], patch, text);
    is_stable(repository, upstream, text, tree);
}

#[test]
fn without_the_files_for_which_they_were_made_patches_give_the_tree_of_gnu_patch() {
    let mut random = Random(6);
    let (mut fuzzed, mut refused) = (0, 0);
    for _ in 0..100 {
        let Some(Moved {
            repository,
            patch,
            upstream,
        }) = moved(&mut random, 6)
        else {
            continue;
        };
        let refreshed = repository.refresh_with(&upstream, from_ref(&patch), None, &[]);
        let shown = String::from_utf8_lossy(&patch);
        match &refreshed[0].outcome {
            RefreshOutcome::Refreshed {
                how: RefreshKind::Fuzz,
                patch: text,
                tree,
            } => {
                fuzzed += 1;
                assert_eq!(repository.gnu_patch(&upstream, &patch), Some(*tree), "{shown}");
                assert_eq!(repository.am(&upstream, text, &[]), Some(*tree), "{shown}");
                is_as_git_formats_it(&repository, &refreshed[0], &patch, text);
                is_stable(&repository, &upstream, text, *tree);
            }
            RefreshOutcome::Impossible { .. } => {
                refused += 1;
                assert_eq!(repository.gnu_patch(&upstream, &patch), None, "{shown}");
            }
            _ => {}
        }
    }
    assert!(fuzzed > 2 && refused > 5, "{fuzzed} {refused}");
}

/// A refreshed patch is up to date.
fn is_stable(repository: &Repository, upstream: &str, text: &[u8], tree: Oid) {
    let again = repository.refresh(upstream, &[text.to_vec()]);
    assert_eq!(
        again[0].outcome,
        RefreshOutcome::UpToDate,
        "{}",
        String::from_utf8_lossy(text)
    );
    assert_eq!(again[0].tree, tree);
}

/// After `git am`, `git format-patch` returns the refreshed patch except for the commit id; where
/// hunks were kept, with the heading of their new place.
fn is_as_git_formats_it(repository: &Repository, refreshed: &PatchRefresh, old: &[u8], text: &[u8]) {
    let is_offset = |file: &FileRefresh| matches!(file.outcome, FileOutcome::Offset { .. });
    let has_kept_hunks = refreshed.files.iter().any(is_offset);
    let formatted = repository.format_patch("HEAD", &[]);
    let lines = |text: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(text).into_owned();
        let lines = text.lines().skip(1).map(|line| match line.strip_prefix("@@ ") {
            Some(hunk) if has_kept_hunks => hunk.split("@@").next().unwrap().to_owned(),
            _ => line.to_owned(),
        });
        lines.collect()
    };
    assert_eq!(lines(text), lines(&formatted), "{}", String::from_utf8_lossy(old));
}
