//! Commits alone, with trees and files fetched when they are read.

use std::sync::atomic::Ordering;
use std::time::Instant;

use git_apply_engine::{ObjectError, Objects, Oid};
use git_mirrors::{
    Class, Error, Freshness, History, HistoryBounds, HistoryExtent, HistorySince, Mirrors, RefSpec, Resolved,
    Upstream,
};
use upstream_history::{Commit, Commits, Upcoming};

use super::{anonymous, mirrors, noise, soon};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::{Fault, GitServer, Misreading};

/// The time of the first commit, and the interval to each of the next ones.
const BEGIN: i64 = 1_600_000_000;
const DAY: i64 = 24 * 3600;

const ALL: HistorySince = HistorySince::Date(0);

/// A repository with some history, on a server that filters.
struct Served {
    root_dir: tempfile::TempDir,
    cache_dir: tempfile::TempDir,
    repo: GitRepo,
    server: GitServer,
    mirrors: Mirrors,
    upstream: Upstream,
    /// The commits of `main`, the oldest first.
    commits: Vec<Oid>,
}

impl Served {
    /// Commits on `main`, one each day; each changes `dir/changing` and adds a file.
    fn new(count: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        let cache = tempfile::tempdir().unwrap();
        let repo = GitRepo::create(root.path(), "repo");
        repo.git(&["config", "uploadpack.allowFilter", "true"]);
        let server = GitServer::http(root.path()).start();
        let mut served = Self {
            mirrors: mirrors(cache.path()),
            upstream: anonymous(&server.url("repo")),
            root_dir: root,
            cache_dir: cache,
            repo,
            server,
            commits: Vec::new(),
        };
        (0..count).for_each(|_| served.grow());
        served
    }

    fn grow(&mut self) {
        let number = self.commits.len();
        let added = format!("dir{}/file{number}", number % 7);
        let time = BEGIN + i64::try_from(number).unwrap() * DAY;
        let files = [
            ("dir/changing", format!("{number}\n")),
            (added.as_str(), noise(number as u64, 3000)),
        ];
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        let commit = self
            .repo
            .commit_at(Some(time), &files, &format!("Change {number}"));
        self.commits.push(commit.parse().unwrap());
    }

    fn resolve(&self) -> Resolved {
        let want = RefSpec::Branch("main".to_owned());
        self.mirrors
            .resolve(&self.upstream, &want, Freshness::Now, soon())
            .unwrap()
    }

    fn history(&self, since: HistorySince) -> Result<History<'_>, Error> {
        self.history_within(HistoryBounds::since(since))
    }

    fn history_within(&self, bounds: HistoryBounds) -> Result<History<'_>, Error> {
        self.mirrors
            .history(&self.upstream, &self.resolve(), bounds, soon())
    }

    /// The bytes that a server sends in the meantime, and the number of packs requested.
    fn cost<T>(&self, work: impl FnOnce() -> T) -> (T, u64, usize) {
        let sent = || self.server.counts().sent.load(Ordering::SeqCst);
        let (bytes, packs) = (sent(), self.server.packs());
        let done = work();
        (done, sent() - bytes, self.server.packs() - packs)
    }
}

/// The subjects of the first parents from the tip on, as far as they are available.
fn subjects(history: &History<'_>) -> Vec<String> {
    let mut subjects = Vec::new();
    let mut next = Some(history.tip());
    while let Some(commit) = next.and_then(|id| history.commit(id).unwrap()) {
        subjects.push(commit.subject());
        next = commit.parents.first().copied();
    }
    subjects
}

fn first_subjects(from: usize, to: usize) -> Vec<String> {
    (to..=from)
        .rev()
        .map(|number| format!("Change {number}"))
        .collect()
}

/// The blob of `dir/changing` in a commit.
fn changing(history: &History<'_>, commit: &Commit) -> Oid {
    let find = |tree, name: &str| {
        let entries = history.tree(tree).unwrap();
        entries.iter().find(|entry| entry.name == name).unwrap().id
    };
    find(find(commit.tree, "dir"), "changing")
}

#[test]
fn commits_come_alone_and_their_trees_and_files_in_few_requests() {
    let served = Served::new(60);
    let (history, bytes, packs) = served.cost(|| served.history(ALL).unwrap());
    assert_eq!(subjects(&history), first_subjects(59, 0));
    assert_eq!((history.tip(), history.len()), (served.commits[59], 60));
    assert!(packs == 1 && bytes < 16_000, "{packs} packs, {bytes} bytes");
    let (blobs, bytes, packs) = served.cost(|| {
        let paths = ["dir/changing".into()];
        history
            .expect(&Upcoming::Trees {
                commits: &served.commits,
                paths: &paths,
            })
            .unwrap();
        let commits = served
            .commits
            .iter()
            .map(|id| history.commit(*id).unwrap().unwrap());
        let blobs: Vec<Oid> = commits.map(|commit| changing(&history, &commit)).collect();
        history.expect(&Upcoming::Blobs(&blobs)).unwrap();
        blobs
    });
    assert!(packs == 2 && bytes < 60_000, "{packs} packs, {bytes} bytes");
    let ((), _, packs) = served.cost(|| {
        for (number, blob) in blobs.iter().enumerate() {
            assert_eq!(history.blob(*blob).unwrap(), format!("{number}\n"));
        }
    });
    assert_eq!(packs, 0);
    // An object that no one has is not found, and the one requested with it is.
    let nobody = Oid::of_blob(b"of nobody");
    let file = Oid::of_blob(noise(5, 3000).as_bytes());
    history.expect(&Upcoming::Blobs(&[nobody, file])).unwrap();
    assert_eq!(history.blob(nobody), Err(ObjectError::NotFound(nobody)));
    let (read, _, packs) = served.cost(|| history.blob(file));
    assert_eq!((read.unwrap().len(), packs), (3000, 0));
    assert_eq!(served.mirrors.stats().rebuilds, 0);
}

#[test]
fn a_moved_branch_costs_its_new_commits() {
    let mut served = Served::new(40);
    drop(served.history(ALL).unwrap());
    let ((), _, packs) = served.cost(|| drop(served.history(ALL).unwrap()));
    assert_eq!(packs, 0, "while it stays, nothing is asked for");
    served.grow();
    served.grow();
    let (length, bytes, packs) = served.cost(|| {
        let history = served.history(ALL).unwrap();
        assert_eq!(subjects(&history), first_subjects(41, 0));
        history.len()
    });
    assert!(
        length == 42 && packs == 1 && bytes < 3000,
        "{packs} packs, {bytes} bytes"
    );
    // Another process finds the same.
    let later = mirrors(served.cache_dir.path());
    let before = served.server.packs();
    let history = later
        .history(
            &served.upstream,
            &served.resolve(),
            HistoryBounds::since(ALL),
            soon(),
        )
        .unwrap();
    assert_eq!((history.len(), served.server.packs()), (42, before));
}

#[test]
fn dates_bound_a_history() {
    let served = Served::new(200);
    let day = |number: i64| HistorySince::Date(BEGIN + number * DAY);
    let history = served.history(day(150)).unwrap();
    // Dates are rounded down, to share histories.
    assert!((50..=100).contains(&history.len()), "{}", history.len());
    assert!(history.commit(served.commits[150]).unwrap().is_some());
    assert!(history.commit(served.commits[20]).unwrap().is_none());
    let ((), _, packs) = served.cost(|| drop(served.history(day(160)).unwrap()));
    assert_eq!(packs, 0, "what is newer is there");
    assert_eq!(served.history(day(0)).unwrap().len(), 200);
    // A branch without commits since.
    let quiet = served.history(day(400)).unwrap();
    assert_eq!(quiet.tip(), served.commits[199]);
    let alone = Served::new(3);
    let quiet = alone.history(day(400)).unwrap();
    assert_eq!((subjects(&quiet), quiet.len()), (first_subjects(2, 2), 1));
}

#[test]
fn a_known_commit_bounds_a_history() {
    let mut served = Served::new(50);
    // A branch that began long before the known commit, and was merged after it.
    let old = served.commits[2].to_string();
    served.repo.git(&["checkout", "--quiet", "-b", "side", &old]);
    let side = served
        .repo
        .commit_at(Some(BEGIN + 45 * DAY), &[("side", "1\n")], "On the side");
    served.repo.git(&["checkout", "--quiet", "main"]);
    let merge = ["merge", "--quiet", "--no-ff", "--message", "Merge", "side"];
    served.repo.git_at(Some(BEGIN + 50 * DAY), &merge);
    let since = HistorySince::Commit(served.commits[40]);
    let (history, bytes, _) = served.cost(|| served.history(since).unwrap());
    assert!(bytes < 10_000, "{bytes} bytes");
    // The merge, the side, and 40 to 49.
    assert_eq!(history.len(), 12);
    assert!(history.commit(side.parse().unwrap()).unwrap().is_some());
    let known = history.commit(served.commits[40]).unwrap().unwrap();
    assert_eq!(known.subject(), "Change 40");
    assert!(history.commit(served.commits[39]).unwrap().is_none());
    assert!(!history.tree(known.tree).unwrap().is_empty());
    drop(history);
    let ((), _, packs) = served.cost(|| drop(served.history(since).unwrap()));
    assert_eq!(packs, 0);
    served.grow();
    let (length, bytes, packs) = served.cost(|| served.history(since).unwrap().len());
    assert!(
        length == 13 && packs == 1 && bytes < 3000,
        "{length}: {packs} packs, {bytes} bytes"
    );
}

#[test]
fn a_branch_that_was_put_elsewhere_has_its_own_history() {
    let served = Served::new(30);
    drop(served.history(ALL).unwrap());
    let tip = served.commits[29];
    // The dropped commits are in the mirror, but are not ancestors.
    let kept = served.commits[19].to_string();
    served.repo.git(&["reset", "--quiet", "--hard", &kept]);
    served
        .repo
        .commit_at(Some(BEGIN + 40 * DAY), &[("other", "1\n")], "Another way");
    for since in [ALL, HistorySince::Commit(tip)] {
        let history = served.history(since).unwrap();
        assert_eq!(history.len(), 21);
        assert!(history.commit(tip).unwrap().is_none());
        assert!(history.commit(served.commits[19]).unwrap().is_some());
    }
}

#[test]
fn without_a_filter_a_short_history_comes_whole() {
    for version_0 in [false, true] {
        let served = Served::new(10);
        served.repo.git(&["config", "uploadpack.allowFilter", "false"]);
        let mut server = GitServer::http(served.root_dir.path());
        if version_0 {
            server = server.version_0();
        }
        let server = server.start();
        let upstream = anonymous(&server.url("repo"));
        let want = RefSpec::Branch("main".to_owned());
        let resolved = served
            .mirrors
            .resolve(&upstream, &want, Freshness::Now, soon())
            .unwrap();
        let ask = |bytes| {
            let bounds = HistoryBounds {
                bytes,
                ..HistoryBounds::since(ALL)
            };
            served.mirrors.history(&upstream, &resolved, bounds, soon())
        };
        // If it is too large, it is not requested again.
        let error = ask(2000).unwrap_err();
        assert_eq!(error.class(), Class::TooLarge, "{error}");
        let packs = server.packs();
        assert_eq!(ask(2000).unwrap_err(), error);
        assert_eq!(server.packs(), packs);
        let history = ask(1 << 20).unwrap();
        assert_eq!(subjects(&history), first_subjects(9, 0));
        let packs = server.packs();
        let first = history.commit(served.commits[0]).unwrap().unwrap();
        assert_eq!(history.blob(changing(&history, &first)).unwrap(), "0\n");
        assert_eq!(server.packs(), packs);
    }
}

#[test]
fn bounds_hold_for_a_history() {
    let served = Served::new(30);
    let few = HistoryBounds {
        commits: 7,
        ..HistoryBounds::since(ALL)
    };
    assert_eq!(
        subjects(&served.history_within(few).unwrap()),
        first_subjects(29, 23)
    );
    let late = Instant::now();
    let served = Served::new(3);
    let error = served
        .mirrors
        .history(
            &served.upstream,
            &served.resolve(),
            HistoryBounds::since(ALL),
            late,
        )
        .unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    // Requests for objects that were not announced are counted.
    let served = Served::new(80);
    let history = served.history(ALL).unwrap();
    let before = served.server.packs();
    let failed = (0..80)
        .map(|number| Oid::of_blob(noise(number, 3000).as_bytes()))
        .find_map(|blob| history.blob(blob).err());
    assert!(matches!(failed, Some(ObjectError::Failed { .. })), "{failed:?}");
    assert_eq!(history.fetch_failure().unwrap().class(), Class::TooLarge);
    assert_eq!(served.server.packs() - before, 64);
    assert_eq!(served.mirrors.stats().rebuilds, 0);
}

#[test]
fn a_server_that_sends_other_than_asked_is_no_harm() {
    // More than requested.
    let served = Served::new(10);
    served.server.fail(Fault::Misread(Misreading::Unfiltered));
    let history = served.history(ALL).unwrap();
    assert_eq!(subjects(&history), first_subjects(9, 0));
    let ((), _, packs) = served.cost(|| {
        history.blob(Oid::of_blob(noise(5, 3000).as_bytes())).unwrap();
    });
    assert_eq!(packs, 0);
    // A broken pack.
    for fault in [Fault::CutPack(1500), Fault::FlipPack(1500), Fault::Status(500)] {
        let served = Served::new(40);
        let resolved = served.resolve();
        let ask = || {
            let bounds = HistoryBounds::since(ALL);
            served
                .mirrors
                .history(&served.upstream, &resolved, bounds, soon())
        };
        served.server.fail(fault);
        assert!(ask().is_err(), "{fault:?}");
        served.server.fail(Fault::None);
        assert_eq!(ask().unwrap().len(), 40);
        assert_eq!(served.mirrors.stats().rebuilds, 0);
    }
    // Without one of the requested objects.
    let served = Served::new(10);
    let history = served.history(ALL).unwrap();
    served.server.fail(Fault::Misread(Misreading::OneLess));
    let blobs = [5, 6].map(|number| Oid::of_blob(noise(number, 3000).as_bytes()));
    assert!(history.expect(&Upcoming::Blobs(&blobs)).is_err());
    assert!(matches!(history.fetch_failure(), Some(Error::BadPack { .. })));
    served.server.fail(Fault::None);
    history.expect(&Upcoming::Blobs(&blobs)).unwrap();
}

#[test]
fn a_server_that_sends_less_than_what_is_new_is_asked_for_all() {
    let mut served = Served::new(10);
    served.history(ALL).unwrap();
    (0..3).for_each(|_| served.grow());
    served.server.fail(Fault::Misread(Misreading::TipAlone));
    let history = served.history(ALL).unwrap();
    assert_eq!(subjects(&history), first_subjects(12, 0));
    assert_eq!(history.extent(), HistoryExtent::Whole);
}

/// Git sends a pack even for a commit of which a branch leads to a parent only.
#[test]
fn a_tip_that_was_made_anew_costs_one_pack_and_then_none() {
    let served = Served::new(60);
    served.history(ALL).unwrap();
    let before = served.commits[59];
    // The server still has it.
    served.repo.git(&["branch", "before"]);
    served
        .repo
        .git(&["commit", "--quiet", "--amend", "--message", "Anew"]);
    let (history, bytes, packs) = served.cost(|| served.history(ALL).unwrap());
    assert_eq!(history.len(), 60);
    assert!(packs == 1 && bytes < 4000, "{packs} packs, {bytes} bytes");
    drop(history);
    let since = HistorySince::Commit(before);
    served.history(since).unwrap();
    let (history, _, packs) = served.cost(|| served.history(since).unwrap());
    assert_eq!((history.len(), packs), (60, 0));
}

#[test]
fn a_history_outlives_the_mirror_that_it_was_read_from() {
    let served = Served::new(20);
    let history = served.history(ALL).unwrap();
    let snapshot = served
        .mirrors
        .partial_snapshot(&served.upstream, &served.resolve(), soon())
        .unwrap();
    // Another process finds damage, and rebuilds the mirror.
    let mut queue = vec![served.cache_dir.path().to_owned()];
    while let Some(dir) = queue.pop() {
        for path in std::fs::read_dir(dir)
            .unwrap()
            .flatten()
            .map(|entry| entry.path())
        {
            if path.is_dir() {
                queue.push(path);
            } else if path.extension().is_some_and(|extension| extension == "idx") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
    let other = mirrors(served.cache_dir.path());
    other
        .partial_snapshot(&served.upstream, &served.resolve(), soon())
        .unwrap();
    assert_eq!(other.stats().rebuilds, 1);
    history
        .expect(&Upcoming::Blobs(&[Oid::of_blob(noise(5, 3000).as_bytes())]))
        .unwrap();
    assert_eq!(subjects(&history), first_subjects(19, 0));
    drop(snapshot);
}

#[test]
fn a_history_that_lost_commits_is_fetched_anew() {
    let mut served = Served::new(20);
    drop(served.history(ALL).unwrap());
    served.grow();
    drop(served.history(ALL).unwrap());
    served
        .mirrors
        .snapshot(&served.upstream, &served.resolve(), soon())
        .unwrap();
    // The largest pack has the whole commit and is kept: the tip is there without the history
    // behind it.
    let folder = |dir: &std::path::Path| {
        let mut entries = std::fs::read_dir(dir)
            .unwrap()
            .flatten()
            .map(|entry| entry.path());
        entries.find(|path| path.is_dir()).unwrap()
    };
    let packs = folder(&folder(served.cache_dir.path())).join("objects/pack");
    let mut found: Vec<_> = std::fs::read_dir(packs)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "pack"));
    found.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
    found.pop();
    assert_eq!(found.len(), 2);
    for pack in found {
        for extension in ["pack", "idx"] {
            std::fs::remove_file(pack.with_extension(extension)).unwrap();
        }
    }
    let later = mirrors(served.cache_dir.path());
    let bounds = HistoryBounds::since(ALL);
    let history = later
        .history(&served.upstream, &served.resolve(), bounds, soon())
        .unwrap();
    assert_eq!(subjects(&history), first_subjects(20, 0));
}
