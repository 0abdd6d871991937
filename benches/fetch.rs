//! Fetching an upstream: bytes and time against `git fetch --depth 1`, and the first verdict on ten
//! patches against `git clone --depth 1` with and without `--filter=blob:none`, over the same HTTP
//! server.
//!
//! `cargo bench --bench fetch -- [FOLDER]`: the folder's files become the upstream; without one,
//! 5,000 made-up files. Prints one row per case: ours, git's, and how many times better ours is.

#![allow(clippy::expect_used, clippy::panic)] // A measurement that cannot be made has no other answer.

#[path = "../tests/it/support/git_repo.rs"]
#[allow(dead_code)]
mod git_repo;
#[path = "../tests/it/support/git_server.rs"]
#[allow(dead_code)]
mod git_server;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use git_apply_engine::{Options, PatchInput, PatchReport, Sequence, touched_paths};
use git_mirrors::{Freshness, MirrorConfig, Mirrors, RefSpec, Scheme, Transports, Upstream};
use git_repo::GitRepo;
use git_server::GitServer;

const RUNS: usize = 5;
const MOVED: &str = "branch moved by one file";
/// How many files are patched, each by a patch of its own.
const PATCHES: usize = 10;

/// What one run cost.
#[derive(Clone, Copy)]
struct Cost {
    time: Duration,
    bytes: u64,
}

impl Cost {
    fn kib(self) -> f64 {
        f64::from(u32::try_from(self.bytes).unwrap_or(u32::MAX)) / 1024.0
    }
}

fn main() {
    let folder = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"));
    let root = tempfile::tempdir().expect("a folder");
    let repo = GitRepo::create(root.path(), "upstream");
    match folder {
        Some(folder) => copy(Path::new(&folder), repo.work()),
        None => make_up(repo.work()),
    }
    repo.commit(&[], "the tree");
    let files = repo.git(&["ls-files"]).lines().count();
    repo.git(&["config", "uploadpack.allowFilter", "true"]);
    let patches = patches(&repo);
    let server = GitServer::http(root.path()).start();
    println!("fetching {files} files over HTTP, the median of {RUNS} runs");
    println!(
        "{:<28} {:>12} {:>12} {:>8} {:>12} {:>12} {:>8}",
        "", "ours", "git", "times", "ours", "git", "times"
    );

    let measure = |work: &mut dyn FnMut()| {
        let before = server.counts().sent.load(Ordering::SeqCst);
        let begun = Instant::now();
        work();
        Cost {
            time: begun.elapsed(),
            bytes: server.counts().sent.load(Ordering::SeqCst) - before,
        }
    };
    let mut rows: [(&str, Vec<Cost>, Vec<Cost>); 3] = [
        ("first fetch", Vec::new(), Vec::new()),
        (MOVED, Vec::new(), Vec::new()),
        ("nothing new", Vec::new(), Vec::new()),
    ];
    for run in 0..RUNS {
        let (ours, theirs) = (
            tempfile::tempdir().expect("a folder"),
            tempfile::tempdir().expect("a folder"),
        );
        let mirrors = mirrors(ours.path());
        let upstream = Upstream::anonymous(server.url("upstream").parse().expect("an address"));
        let mut us = || fetch(&mirrors, &upstream);
        git(theirs.path(), &["init", "--quiet", "--bare"]);
        let url = server.url("upstream");
        let mut them = || {
            git(
                theirs.path(),
                &["fetch", "--quiet", "--depth", "1", &url, "+main:refs/heads/main"],
            );
        };
        for (name, ours, git) in &mut rows {
            if *name == MOVED {
                repo.commit(&[("moved.txt", &format!("run {run}\n"))], "moved");
            }
            ours.push(measure(&mut us));
            git.push(measure(&mut them));
        }
    }
    rows.into_iter().for_each(print_row);
    verdicts(&server, &patches, &measure)
        .into_iter()
        .for_each(print_row);
}

type Row = (&'static str, Vec<Cost>, Vec<Cost>);

fn print_row((name, ours, git): Row) {
    let (ours, git) = (median(ours), median(git));
    println!(
        "{name:<28} {:>8.1} KiB {:>8.1} KiB {:>8.2} {:>9.1} ms {:>9.1} ms {:>8.2}",
        ours.kib(),
        git.kib(),
        ratio(git.bytes, ours.bytes),
        ours.time.as_secs_f64() * 1e3,
        git.time.as_secs_f64() * 1e3,
        git.time.as_secs_f64() / ours.time.as_secs_f64(),
    );
}

/// The verdict on patches for an upstream that was never fetched before: against a clone, against
/// one of the trees alone, and against that with `git apply`.
fn verdicts(
    server: &GitServer,
    patches: &[PatchInput],
    measure: &dyn Fn(&mut dyn FnMut()) -> Cost,
) -> Vec<Row> {
    let url = server.url("upstream");
    let clone = ["clone", "--quiet", "--bare", "--depth", "1"];
    let series: Vec<u8> = patches.iter().flat_map(|patch| patch.bytes.clone()).collect();
    let peers: [(&str, &[&str], bool); 3] = [
        ("first verdict, clone", &[], false),
        ("first verdict, blob:none", &["--filter=blob:none"], false),
        ("same, with git apply", &["--filter=blob:none"], true),
    ];
    let mut rows = Vec::new();
    for (name, options, applies) in peers {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let root = tempfile::tempdir().expect("a folder");
            let mirrors = mirrors(&root.path().join("ours"));
            let upstream = Upstream::anonymous(url.parse().expect("an address"));
            ours.push(measure(&mut || verdict(&mirrors, &upstream, patches)));
            let file = root.path().join("series.patch");
            std::fs::write(&file, &series).expect("a file");
            theirs.push(measure(&mut || {
                git(root.path(), &[&clone, options, &[&url, "theirs"]].concat());
                if applies {
                    let theirs = root.path().join("theirs");
                    git(&theirs, &["read-tree", "HEAD"]);
                    git(&theirs, &["apply", "--cached", file.to_str().expect("a path")]);
                }
            }));
        }
        rows.push((name, ours, theirs));
    }
    rows
}

fn verdict(mirrors: &Mirrors, upstream: &Upstream, patches: &[PatchInput]) {
    let deadline = Instant::now() + Duration::from_secs(300);
    let want = RefSpec::Branch("main".to_owned());
    let resolved = mirrors
        .resolve(upstream, &want, Freshness::Now, deadline)
        .expect("a branch");
    let snapshot = mirrors
        .partial_snapshot(upstream, &resolved, deadline)
        .expect("trees");
    let options = Options::default();
    snapshot
        .prefetch_paths(touched_paths(patches, &options))
        .expect("files");
    let series = git_apply_engine::apply(
        &snapshot,
        snapshot.tree_id(),
        patches,
        Sequence::Stacked,
        &options,
    );
    let series = series.expect("verdicts");
    assert!(series.patches().iter().all(PatchReport::applies));
}

/// Patches to files that lie apart.
fn patches(repo: &GitRepo) -> Vec<PatchInput> {
    let files = repo.git(&["ls-files", "*.py"]);
    let files: Vec<&str> = files.lines().collect();
    let patched = files.iter().step_by((files.len() / PATCHES).max(1)).take(PATCHES);
    let patches = patched.map(|file| {
        let path = repo.work().join(file);
        let text = std::fs::read_to_string(&path).expect("a text");
        std::fs::write(&path, format!("{text}# patched\n")).expect("a file");
        let diff = repo.git(&["diff", "--", file]) + "\n";
        std::fs::write(&path, text).expect("a file");
        PatchInput::new(*file, diff)
    });
    patches.collect()
}

fn mirrors(root: &Path) -> Mirrors {
    Mirrors::open(MirrorConfig {
        transports: Transports::SECURE.and(Scheme::Http),
        ..MirrorConfig::new(root)
    })
    .expect("mirrors")
}

fn fetch(mirrors: &Mirrors, upstream: &Upstream) {
    let deadline = Instant::now() + Duration::from_secs(300);
    let want = RefSpec::Branch("main".to_owned());
    let resolved = mirrors
        .resolve(upstream, &want, Freshness::Now, deadline)
        .expect("a branch");
    mirrors.snapshot(upstream, &resolved, deadline).expect("a commit");
}

fn git(dir: &Path, arguments: &[&str]) {
    let done = Command::new("git").arg("-C").arg(dir).args(arguments).status();
    assert!(done.expect("git runs").success());
}

fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by_key(|cost| cost.time);
    costs[costs.len() / 2]
}

/// How many times smaller `ours` is, to two decimals.
fn ratio(git: u64, ours: u64) -> f64 {
    let hundredths = u32::try_from(git * 100 / ours.max(1)).unwrap_or(u32::MAX);
    f64::from(hundredths) / 100.0
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-R").arg(from.join(".")).arg(to).status();
    assert!(done.expect("cp runs").success());
    let _ = std::fs::remove_dir_all(to.join(".git"));
}

/// Text that compresses like text, different in each file.
fn make_up(to: &Path) {
    for number in 0..5000_u32 {
        let path: PathBuf = to
            .join(format!("dir{}/sub{}", number % 40, number % 7))
            .join(format!("file{number}.py"));
        std::fs::create_dir_all(path.parent().unwrap_or(to)).expect("a folder");
        let lines = (0..120_u32).map(|line| {
            let word = number
                .wrapping_mul(2_654_435_761)
                .wrapping_add(line.wrapping_mul(40_503))
                >> 7;
            format!("    value_{word} = call_{}(argument_{line})\n", word % 97)
        });
        std::fs::write(path, lines.collect::<String>()).expect("a file");
    }
}
