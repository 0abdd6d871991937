//! Compares verdicts, trees and time with libgit2 and diffy, with the installed `git` as reference.
//!
//! `cargo bench --bench peers -- REPOSITORY COUNT FROM ONTO...`: the last COUNT commits of FROM
//! that are not merges, each as a patch on the tree of each ONTO. With `REPOSITORY FOLDER ONTO...`
//! the patches are the files of a folder. Prints the rows of a Markdown table. Nothing is written
//! to the repository.
//!
//! Times are processor times, as Linux accounts them, so other work on the machine matters little.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // A measurement that cannot be made has no other answer.

use std::path::Path;
use std::time::Duration;

use diffy::binary::BinaryPatch;
use diffy::patch_set::{FileMode, FileOperation, ParseOptions, PatchKind, PatchSet};
use git_apply_engine::{Options, PatchInput, Sequence, apply};
use git2::build::TreeUpdateBuilder;
use git2::{Diff, Oid, Repository, Tree};
use test_repositories::{Oracle, RepositoryStore};

/// How often each peer goes through all patches; the quickest time counts.
const RUNS: usize = 2;

/// A tree, or nothing where the patch does not apply.
type Verdict = Option<String>;

/// A patch, and a tree that it is applied to.
struct Case<'a> {
    tree: &'a str,
    patch: &'a [u8],
}

/// A peer's verdicts, and how long they took.
#[derive(Default)]
struct Told {
    verdicts: Vec<Verdict>,
    time: Duration,
}

/// A peer's verdicts on the patches that apply by the reference, and on those that do not.
struct Both {
    applying: Told,
    failing: Told,
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let [repository, source, rest @ ..] = arguments.as_slice() else {
        println!("usage: cargo bench --bench peers -- REPOSITORY (COUNT FROM | FOLDER) ONTO...");
        return;
    };
    git2::opts::strict_hash_verification(false);
    let repository = Path::new(repository);
    let git = Oracle::on(repository);
    let (patches, onto) = if Path::new(source).is_dir() {
        (files_of(Path::new(source)), rest)
    } else {
        (commits(&git, source, &rest[0]), &rest[1..])
    };
    let trees: Vec<String> = onto
        .iter()
        .map(|name| git.run(&["rev-parse", &format!("{name}^{{tree}}")]))
        .collect();
    let cases = trees
        .iter()
        .flat_map(|tree| patches.iter().map(move |patch| Case { tree, patch }));

    let (mut applying, mut failing) = (Vec::new(), Vec::new());
    let mut reference = Both {
        applying: Told::default(),
        failing: Told::default(),
    };
    for case in cases {
        let (verdict, time) = by_git(&git, &case);
        let (told, group) = match verdict {
            Some(_) => (&mut reference.applying, &mut applying),
            None => (&mut reference.failing, &mut failing),
        };
        told.verdicts.push(verdict);
        told.time += time;
        group.push(case);
    }
    let both = |judge: &dyn Fn(&Case<'_>) -> Verdict| Both {
        applying: each(&applying, judge),
        failing: each(&failing, judge),
    };
    let store = RepositoryStore::open(repository);
    let ours = both(&|case| by_engine(&store, case));
    let memory = in_memory(repository);
    let libgit2 = both(&|case| by_libgit2(&memory, case).ok());
    let memory = in_memory(repository);
    let diffy = both(&|case| by_diffy(&memory, case));

    println!(
        "{} patches on {} trees: {} apply, {} do not.\n",
        patches.len(),
        trees.len(),
        applying.len(),
        failing.len()
    );
    println!(
        "| | accepted wrongly | refused wrongly | other tree | one that applies | times | one that does not | times |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (name, told) in [
        ("git-apply-engine", &ours),
        ("libgit2, `apply_to_tree`", &libgit2),
        ("diffy, trees by libgit2", &diffy),
        ("`git apply --cached`, a process each", &reference),
    ] {
        row(name, told, &ours, &reference);
    }
}

/// The last commits of a branch that are not merges, each as a patch.
fn commits(git: &Oracle, count: &str, from: &str) -> Vec<Vec<u8>> {
    let limit = format!("--max-count={count}");
    let commits = git.run(&["log", "--no-merges", "--format=%H", &limit, from]);
    commits
        .lines()
        .map(|commit| git.bytes(&["show", "--format=", "--binary", "--full-index", commit]))
        .collect()
}

/// The files of a folder, by their names.
fn files_of(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    names.sort_unstable();
    names.iter().map(|name| std::fs::read(name).unwrap()).collect()
}

fn row(name: &str, told: &Both, ours: &Both, reference: &Both) {
    let applying = told.applying.verdicts.iter().zip(&reference.applying.verdicts);
    let refused = applying.clone().filter(|(verdict, _)| verdict.is_none()).count();
    let differ = applying.filter(|(verdict, expected)| verdict != expected).count();
    let accepted = told.failing.verdicts.iter().flatten().count();
    let other = differ - refused;
    print!("| {name} | {accepted} | {refused} | {other} |");
    for (told, ours) in [(&told.applying, &ours.applying), (&told.failing, &ours.failing)] {
        let count = u32::try_from(told.verdicts.len()).unwrap();
        let milliseconds = told.time.as_secs_f64() * 1000.0 / f64::from(count);
        let times = told.time.as_secs_f64() / ours.time.as_secs_f64();
        print!(" {milliseconds:.3} ms | {times:.1} |");
    }
    println!();
}

/// Asks a peer for each case, `RUNS` times; the quickest time counts.
fn each(cases: &[Case<'_>], judge: &dyn Fn(&Case<'_>) -> Verdict) -> Told {
    let run = || {
        let start = own_time();
        let verdicts = cases.iter().map(judge).collect();
        Told {
            verdicts,
            time: own_time().saturating_sub(start),
        }
    };
    (0..RUNS).map(|_| run()).min_by_key(|told| told.time).unwrap()
}

/// How long this thread has been on a processor (`schedstat` of proc(5)).
fn own_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// How long the processes that this one waited for have been on a processor: the fields 16 and 17
/// of `stat` in proc(5), in hundredths of a second.
fn childrens_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind_name = text.rsplit(')').next().unwrap();
    let fields: Vec<&str> = behind_name.split_whitespace().collect();
    let ticks: u64 = fields[13].parse::<u64>().unwrap() + fields[14].parse::<u64>().unwrap();
    Duration::from_millis(10 * ticks)
}

/// The reference; only `git apply` itself is timed.
fn by_git(git: &Oracle, case: &Case<'_>) -> (Verdict, Duration) {
    let prepared = git.prepare(case.tree, case.patch);
    let start = childrens_time();
    let applies = git.apply_prepared(&prepared, &[]);
    let time = childrens_time().saturating_sub(start);
    (applies.then(|| git.tree_of_index(&prepared)), time)
}

fn by_engine(store: &RepositoryStore, case: &Case<'_>) -> Verdict {
    let patches = [PatchInput::new("patch", case.patch)];
    let base = case.tree.parse().unwrap();
    let series = apply(store, base, &patches, Sequence::Stacked, &Options::default()).unwrap();
    series.patches()[0].tree.map(|tree| tree.to_string())
}

/// A repository whose new objects stay in memory.
fn in_memory(dir: &Path) -> Repository {
    let repository = Repository::open_bare(dir).unwrap();
    let odb = repository.odb().unwrap();
    odb.add_new_mempack_backend(1000).unwrap();
    drop(odb);
    repository
}

fn by_libgit2(repository: &Repository, case: &Case<'_>) -> Result<String, git2::Error> {
    let tree = repository.find_tree(Oid::from_str(case.tree)?)?;
    let diff = Diff::from_buffer(case.patch)?;
    let mut index = repository.apply_to_tree(&tree, &diff, None)?;
    Ok(index.write_tree_to(repository)?.to_string())
}

/// diffy reads the patch and changes texts. Which file goes where is decided here, as a user of
/// diffy would: a file that is created must not exist, and of one that is deleted nothing may be
/// left.
fn by_diffy(repository: &Repository, case: &Case<'_>) -> Verdict {
    let tree = repository.find_tree(Oid::from_str(case.tree).ok()?).ok()?;
    let mut update = TreeUpdateBuilder::new();
    for file in PatchSet::parse_bytes(case.patch, ParseOptions::gitdiff()) {
        let file = file.ok()?;
        let operation = file.operation().strip_prefix(1);
        let (from, to) = match &operation {
            FileOperation::Delete(path) => (Some(path), None),
            FileOperation::Create(path) => (None, Some(path)),
            FileOperation::Modify { original, modified } => (Some(original), Some(modified)),
            FileOperation::Rename { from, to } | FileOperation::Copy { from, to } => (Some(from), Some(to)),
        };
        let known = match from {
            Some(path) => Some(entry(repository, &tree, path)?),
            None => None,
        };
        let before = known
            .as_ref()
            .map_or(&b""[..], |(contents, _)| contents.as_slice());
        let after = changed(file.patch(), before)?;
        let makes = !matches!(operation, FileOperation::Modify { .. });
        let is_taken = |path: &[u8]| entry(repository, &tree, path).is_some();
        if makes && to.is_some_and(|path| is_taken(path)) || (to.is_none() && !after.is_empty()) {
            return None;
        }
        if let (Some(path), FileOperation::Delete(_) | FileOperation::Rename { .. }) = (from, &operation) {
            update.remove(&path[..]);
        }
        if let Some(path) = to {
            let mode = match (file.new_mode(), &known) {
                (Some(FileMode::Regular), _) | (None, None) => git2::FileMode::Blob,
                (Some(FileMode::Executable), _) => git2::FileMode::BlobExecutable,
                (Some(FileMode::Symlink), _) => git2::FileMode::Link,
                (Some(FileMode::Gitlink), _) => git2::FileMode::Commit,
                (None, Some((_, mode))) => *mode,
            };
            update.upsert(&path[..], repository.blob(&after).ok()?, mode);
        }
    }
    Some(update.create_updated(repository, &tree).ok()?.to_string())
}

fn changed(patch: &PatchKind<'_, [u8]>, before: &[u8]) -> Option<Vec<u8>> {
    match patch {
        PatchKind::Text(patch) => diffy::apply_bytes(before, patch).ok(),
        PatchKind::Binary(BinaryPatch::Marker) => None,
        PatchKind::Binary(patch) => patch.apply(before).ok(),
    }
}

/// The contents and the mode of a file of a tree.
fn entry(repository: &Repository, tree: &Tree<'_>, path: &[u8]) -> Option<(Vec<u8>, git2::FileMode)> {
    let entry = tree.get_path(Path::new(std::str::from_utf8(path).ok()?)).ok()?;
    let mode = match entry.filemode() {
        0o100_755 => git2::FileMode::BlobExecutable,
        0o120_000 => git2::FileMode::Link,
        0o160_000 => git2::FileMode::Commit,
        _ => git2::FileMode::Blob,
    };
    let blob = repository.find_blob(entry.id()).ok()?;
    Some((blob.content().to_vec(), mode))
}
