//! Commits whose trees and single files are fetched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::time::Duration;

use git_apply_engine::{ObjectError, Objects, Oid, Options, PatchInput, Sequence, touched_paths};
use git_mirrors::{
    Class, Error, FileLimits, Freshness, MirrorConfig, Mirrors, PartialSnapshot, RefSpec, Resolved, Upstream,
};

use super::{anonymous, config, mirrors, noise, soon, with_secret};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::{Fault, GitServer, Misreading};
use crate::support::relay::Relay;
use crate::support::ssh_server::{GitProtocol, SshServer};

const FILES: usize = 40;

fn path(number: usize) -> String {
    format!("dir{}/file{number}", number % 5)
}

/// The content of the file with a number.
fn content(number: usize) -> String {
    noise(number as u64 + 1, 4000) + "\n"
}

/// A repository with some files, on a server that filters.
struct Served {
    root_dir: tempfile::TempDir,
    cache: tempfile::TempDir,
    repo: GitRepo,
    server: GitServer,
    upstream: Upstream,
}

impl Served {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let repo = GitRepo::create(root.path(), "repo");
        let files: Vec<(String, String)> = (0..FILES).map(|number| (path(number), content(number))).collect();
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        repo.commit(&files, "one");
        repo.git(&["config", "uploadpack.allowFilter", "true"]);
        let server = GitServer::http(root.path()).start();
        Self {
            upstream: anonymous(&server.url("repo")),
            cache: tempfile::tempdir().unwrap(),
            root_dir: root,
            repo,
            server,
        }
    }

    fn mirrors(&self) -> Mirrors {
        mirrors(self.cache.path())
    }

    fn sent(&self) -> u64 {
        self.server.counts().sent.load(Ordering::SeqCst)
    }

    /// The folder of the repository.
    fn mirror(&self) -> PathBuf {
        let folder = |dir: &Path| {
            let entries = fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path());
            let folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
            assert_eq!(folders.len(), 1, "{folders:?}");
            folders[0].clone()
        };
        folder(&folder(self.cache.path()))
    }

    fn packs(&self, extension: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.mirror().join("objects/pack"))
            .unwrap()
            .flatten();
        let paths = entries.map(|entry| entry.path());
        paths
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .collect()
    }
}

fn resolve(mirrors: &Mirrors, upstream: &Upstream) -> Resolved {
    let want = RefSpec::Branch("main".to_owned());
    mirrors.resolve(upstream, &want, Freshness::Now, soon()).unwrap()
}

fn open<'m>(mirrors: &'m Mirrors, upstream: &Upstream) -> Result<PartialSnapshot<'m>, Error> {
    mirrors.partial_snapshot(upstream, &resolve(mirrors, upstream), soon())
}

/// The blob of the file with a number.
fn blob(number: usize) -> Oid {
    Oid::of_blob(content(number).as_bytes())
}

/// Reads the files with these numbers.
fn read(snapshot: &PartialSnapshot<'_>, numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        let read = snapshot.blob(blob(number)).unwrap();
        assert_eq!(read, content(number).as_bytes(), "file {number}");
    }
}

#[test]
fn trees_and_the_files_asked_for_are_fetched_alone() {
    let served = Served::new();
    let mirrors = served.mirrors();
    let before = served.sent();
    let snapshot = open(&mirrors, &served.upstream).unwrap();
    snapshot
        .prefetch_paths([
            path(3),
            path(4),
            "dir0/absent".to_owned(),
            "dir0".to_owned(),
            String::new(),
        ])
        .unwrap();
    read(&snapshot, [3, 4]);
    snapshot.prefetch_paths([path(4)]).unwrap();
    assert_eq!(served.server.packs(), 2, "the trees, and two files");
    assert!(
        served.sent() - before < 20_000,
        "{} bytes",
        served.sent() - before
    );
    assert_eq!(snapshot.blob_size(blob(7)).unwrap(), 4001);
    assert_eq!(
        served.server.packs(),
        3,
        "another file is fetched when it is read"
    );
    // A blob that is no file of the commit is not requested.
    let other = Oid::of_blob(b"of nobody");
    assert_eq!(snapshot.blob(other), Err(ObjectError::NotFound(other)));
    assert_eq!(served.server.packs(), 3);
    assert!(snapshot.fetch_failure().is_none());
    // git itself distinguishes filtered objects from damage.
    assert_eq!(served.packs("promisor").len(), 3);
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("--git-dir")
            .arg(served.mirror())
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
            said,
        )
    };
    let commit = snapshot.commit().to_string();
    let (fine, missing, said) = git(&["rev-list", "--objects", "--missing=print", &commit]);
    assert!(fine, "{said}");
    assert_eq!(missing.matches('?').count(), FILES - 3, "{missing}");
    let (fine, _, said) = git(&["fsck", "--connectivity-only"]);
    assert!(fine, "{said}");
    // A build gets the rest, and a later reader requests nothing.
    let whole = mirrors
        .snapshot(&served.upstream, &resolve(&mirrors, &served.upstream), soon())
        .unwrap();
    for number in 0..FILES {
        let read = whole.read_file(&path(number), &FileLimits::default()).unwrap();
        assert_eq!(read, content(number).as_bytes());
    }
    assert_eq!(served.server.packs(), 4);
    read(&open(&mirrors, &served.upstream).unwrap(), 0..FILES);
    assert_eq!(served.server.packs(), 4);
}

#[test]
fn without_a_filter_the_whole_commit_is_fetched() {
    for version_0 in [false, true] {
        let served = Served::new();
        let server = if version_0 {
            GitServer::http(served.root_dir.path()).version_0().start()
        } else {
            served.repo.git(&["config", "uploadpack.allowFilter", "false"]);
            GitServer::http(served.root_dir.path()).start()
        };
        let mirrors = served.mirrors();
        let upstream = anonymous(&server.url("repo"));
        let snapshot = open(&mirrors, &upstream).unwrap();
        snapshot.prefetch_paths([path(3)]).unwrap();
        read(&snapshot, 0..FILES);
        mirrors
            .snapshot(&upstream, &resolve(&mirrors, &upstream), soon())
            .unwrap();
        assert_eq!(server.packs(), 1);
        assert!(served.packs("promisor").is_empty());
    }
}

#[test]
fn a_moved_branch_costs_what_changed() {
    let served = Served::new();
    let mirrors = served.mirrors();
    open(&mirrors, &served.upstream).unwrap();
    served.repo.commit(&[(&path(3), "new\n")], "two");
    let before = served.sent();
    let snapshot = open(&mirrors, &served.upstream).unwrap();
    snapshot.prefetch_paths([path(3)]).unwrap();
    assert_eq!(snapshot.blob(Oid::of_blob(b"new\n")).unwrap(), "new\n");
    assert!(served.sent() - before < 3_000, "{} bytes", served.sent() - before);
    // The rest of a partial commit does not serve as base for another one.
    mirrors
        .snapshot(&served.upstream, &resolve(&mirrors, &served.upstream), soon())
        .unwrap();
    served.repo.commit(&[(&path(4), "newer\n")], "three");
    let before = served.sent();
    open(&mirrors, &served.upstream).unwrap();
    mirrors
        .snapshot(&served.upstream, &resolve(&mirrors, &served.upstream), soon())
        .unwrap();
    assert!(served.sent() - before < 3_000, "{} bytes", served.sent() - before);
    assert_eq!(mirrors.stats().rebuilds, 0);
}

#[test]
fn single_reads_end_in_the_whole_commit() {
    let served = Served::new();
    let mirrors = served.mirrors();
    let snapshot = open(&mirrors, &served.upstream).unwrap();
    read(&snapshot, 0..FILES);
    assert_eq!(served.server.packs(), 1 + 8 + 1);
}

#[test]
fn a_server_that_offers_a_filter_and_refuses_it_is_asked_once() {
    let served = Served::new();
    served.repo.git(&["config", "uploadpackfilter.allow", "false"]);
    let mirrors = served.mirrors();
    read(&open(&mirrors, &served.upstream).unwrap(), 0..FILES);
    assert_eq!(served.server.packs(), 2);
    served.repo.commit(&[(&path(3), "new\n")], "two");
    open(&mirrors, &served.upstream).unwrap();
    assert_eq!(served.server.packs(), 3);
}

#[test]
fn a_server_that_gives_out_no_single_files_gives_the_whole_commit() {
    let refusals = [
        Fault::Decline {
            times: 1,
            status: 200,
            words: "ERR want OID not valid",
        },
        Fault::Decline {
            times: 1,
            status: 200,
            words: "ERR upload-pack: not our ref OID",
        },
        Fault::Misread(Misreading::OneLess),
    ];
    for fault in refusals {
        let served = Served::new();
        let mirrors = served.mirrors();
        let snapshot = open(&mirrors, &served.upstream).unwrap();
        served.server.fail(fault);
        let fetched = snapshot.prefetch_paths([path(3), path(4)]);
        if matches!(fault, Fault::Misread(_)) {
            // It leaves out the commit as well.
            fetched.unwrap_err();
            served.server.fail(Fault::None);
            snapshot.prefetch_paths([path(3), path(4)]).unwrap();
        } else {
            fetched.unwrap();
        }
        read(&snapshot, 0..FILES);
        assert_eq!(mirrors.stats().rebuilds, 0);
    }
}

#[test]
fn a_server_that_sends_more_than_asked_costs_no_second_request() {
    let served = Served::new();
    let mirrors = served.mirrors();
    served.server.fail(Fault::Misread(Misreading::Unfiltered));
    let snapshot = open(&mirrors, &served.upstream).unwrap();
    read(&snapshot, 0..FILES);
    mirrors
        .snapshot(&served.upstream, &resolve(&mirrors, &served.upstream), soon())
        .unwrap();
    assert_eq!(served.server.packs(), 1);
}

#[test]
fn a_server_that_sends_less_is_told_of_and_leaves_nothing() {
    let served = Served::new();
    let mirrors = served.mirrors();
    served.server.fail(Fault::Misread(Misreading::WithoutTrees));
    let error = open(&mirrors, &served.upstream).unwrap_err();
    assert!(matches!(error, Error::BadPack { .. }), "{error}");
    served.server.fail(Fault::None);
    read(&open(&mirrors, &served.upstream).unwrap(), [3]);
    // The same when something is held; the mirror is then rebuilt.
    served.repo.commit(&[("other/file", "new\n")], "two");
    served.server.fail(Fault::Misread(Misreading::WithoutTrees));
    open(&mirrors, &served.upstream).unwrap_err();
    served.server.fail(Fault::None);
    read(&open(&mirrors, &served.upstream).unwrap(), [3]);
}

#[test]
fn a_failed_fetch_of_a_file_is_no_verdict() {
    let served = Served::new();
    let mirrors = served.mirrors();
    let snapshot = open(&mirrors, &served.upstream).unwrap();
    served.server.fail(Fault::Status(503));
    assert!(matches!(snapshot.blob(blob(3)), Err(ObjectError::Failed { .. })));
    let failure = snapshot.fetch_failure().unwrap();
    assert_eq!(failure.class(), Class::Transient, "{failure}");
    served.server.fail(Fault::None);
    read(&snapshot, [3]);
    assert_eq!(mirrors.stats().rebuilds, 0);
}

#[test]
fn bounds_hold_for_parts_of_a_commit() {
    let served = Served::new();
    let limited = |config: MirrorConfig| Mirrors::open(config).unwrap();
    let small = limited(MirrorConfig {
        max_pack: 100,
        ..config(served.cache.path())
    });
    let error = open(&small, &served.upstream).unwrap_err();
    assert_eq!(error.class(), Class::TooLarge, "{error}");
    drop(small);
    let files = limited(MirrorConfig {
        max_object: 3000,
        ..config(served.cache.path())
    });
    let snapshot = open(&files, &served.upstream).unwrap();
    let error = snapshot.prefetch_paths([path(3)]).unwrap_err();
    assert_eq!(error.class(), Class::TooLarge, "{error}");
    drop(snapshot);
    let late = std::time::Instant::now();
    let resolved = resolve(&files, &served.upstream);
    served.repo.commit(&[("more", "1\n")], "two");
    let moved = resolve(&files, &served.upstream);
    let error = files
        .partial_snapshot(&served.upstream, &moved, late)
        .unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    files
        .partial_snapshot(&served.upstream, &resolved, soon())
        .unwrap();
}

#[test]
fn what_was_filtered_is_told_from_damage() {
    let served = Served::new();
    let first = served.mirrors();
    let snapshot = open(&first, &served.upstream).unwrap();
    let trees = served.packs("pack");
    snapshot.prefetch_paths([path(3)]).unwrap();
    drop(snapshot);
    drop(first);
    let files: Vec<PathBuf> = served
        .packs("pack")
        .into_iter()
        .filter(|pack| !trees.contains(pack))
        .collect();
    assert_eq!((trees.len(), files.len()), (1, 1));
    let remove = |pack: &Path| {
        for extension in ["pack", "idx", "promisor"] {
            fs::remove_file(pack.with_extension(extension)).unwrap();
        }
    };
    // A missing file counts as filtered.
    remove(&files[0]);
    let second = served.mirrors();
    read(&open(&second, &served.upstream).unwrap(), [3]);
    assert_eq!(second.stats().rebuilds, 0);
    drop(second);
    // A missing tree does not.
    remove(&trees[0]);
    let third = served.mirrors();
    read(&open(&third, &served.upstream).unwrap(), [3]);
    assert_eq!(third.stats().rebuilds, 1);
    // Nor does a file of a commit that is held whole.
    third
        .snapshot(&served.upstream, &resolve(&third, &served.upstream), soon())
        .unwrap();
    drop(third);
    let packs = served.packs("pack");
    let largest = packs
        .iter()
        .max_by_key(|pack| fs::metadata(pack).unwrap().len())
        .unwrap();
    for extension in ["pack", "idx"] {
        fs::remove_file(largest.with_extension(extension)).unwrap();
    }
    let fourth = served.mirrors();
    read(&open(&fourth, &served.upstream).unwrap(), [3, 4]);
    assert_eq!(fourth.stats().rebuilds, 1);
}

#[test]
fn damage_met_by_a_reader_is_mended_while_it_reads_on() {
    let served = Served::new();
    let mirrors = served.mirrors();
    let snapshot = open(&mirrors, &served.upstream).unwrap();
    read(&snapshot, [3]);
    // Another call finds damage and rebuilds the mirror: the reader continues with the new one.
    for extension in ["pack", "idx"] {
        served
            .packs(extension)
            .iter()
            .for_each(|path| fs::remove_file(path).unwrap());
    }
    let other = served.mirrors();
    open(&other, &served.upstream).unwrap();
    assert_eq!(other.stats().rebuilds, 1);
    read(&snapshot, [3, 4, 5]);
}

#[test]
fn what_a_killed_fetch_left_is_found_again() {
    let served = Served::new();
    let first = served.mirrors();
    let commit = open(&first, &served.upstream).unwrap().commit().to_string();
    drop(first);
    // The pack was written, but not yet its entry in `refs/partial`.
    let mirror = served.mirror();
    fs::remove_file(mirror.join("refs/partial").join(&commit)).unwrap();
    fs::write(mirror.join("refs/partial/part-x"), "0").unwrap();
    fs::write(mirror.join("objects/pack/pack-0123.promisor"), "").unwrap();
    let second = served.mirrors();
    read(&open(&second, &served.upstream).unwrap(), [3]);
    assert_eq!(second.stats().rebuilds, 0);
    for rubbish in ["refs/partial/part-x", "objects/pack/pack-0123.promisor"] {
        assert!(!mirror.join(rubbish).exists(), "{rubbish}");
    }
    drop(second);
    // Mirrors of earlier versions have no folder for parts.
    fs::remove_dir_all(mirror.join("refs/partial")).unwrap();
    let third = served.mirrors();
    read(&open(&third, &served.upstream).unwrap(), [3]);
    assert_eq!(third.stats().rebuilds, 0);
}

#[test]
fn many_callers_share_trees_and_files() {
    let served = Served::new();
    let (one, other) = (served.mirrors(), served.mirrors());
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let mirrors = if number % 2 == 0 { &one } else { &other };
            let (barrier, upstream) = (&barrier, &served.upstream);
            scope.spawn(move || {
                barrier.wait();
                let snapshot = open(mirrors, upstream).unwrap();
                snapshot.prefetch_paths([path(3), path(4)]).unwrap();
                read(&snapshot, [3, 4]);
            });
        }
    });
    assert_eq!(served.server.packs(), 2);
}

#[test]
fn verdicts_are_those_on_the_whole_commit() {
    let served = Served::new();
    let first = served.repo.git(&["rev-parse", "HEAD"]);
    served.repo.commit(
        &[
            (&path(3), &content(3).replace('\n', "\nmore\n")),
            ("dir1/new", "1\n"),
        ],
        "two",
    );
    served
        .repo
        .commit(&[(&path(4), "a\0b"), (&path(6), &content(7))], "three");
    served.repo.git(&["mv", &path(8), "moved"]);
    served.repo.commit(&[], "four");
    let patches: Vec<PatchInput> = [
        ("1", "HEAD~3..HEAD~2"),
        ("2", "HEAD~2..HEAD~1"),
        ("3", "HEAD~1..HEAD"),
    ]
    .map(|(name, range)| {
        let diff = served
            .repo
            .git(&["diff", "--binary", "--full-index", "-M", range])
            + "\n\n";
        PatchInput::new(name, diff)
    })
    .into();
    served.repo.git(&["update-ref", "refs/heads/main", &first]);
    let mirrors = served.mirrors();
    let resolved = resolve(&mirrors, &served.upstream);
    let options = Options::default();
    let partial = mirrors
        .partial_snapshot(&served.upstream, &resolved, soon())
        .unwrap();
    let paths = touched_paths(&patches, &options);
    assert_eq!(paths.len(), 6, "{paths:?}");
    partial.prefetch_paths(&paths).unwrap();
    let apply = |objects: &dyn Objects, tree| {
        let applied = git_apply_engine::apply(objects, tree, &patches, Sequence::Stacked, &options).unwrap();
        (applied.patches().to_vec(), applied.tree())
    };
    let ours = apply(&partial, partial.tree_id());
    // The binary change copies another file's contents, which was not fetched before.
    let packs = served.server.packs();
    assert!(packs <= 3, "{packs} packs");
    let whole = mirrors.snapshot(&served.upstream, &resolved, soon()).unwrap();
    assert_eq!(ours, apply(&whole, whole.tree_id()));
    assert!(
        ours.0.iter().all(git_apply_engine::PatchReport::applies),
        "{:?}",
        ours.0
    );
}

#[test]
fn parts_come_over_ssh_and_the_git_protocol() {
    let served = Served::new();
    let daemon = GitServer::daemon(served.root_dir.path());
    let ssh = SshServer::start(GitProtocol::Accepted);
    let (key, known) = (ssh.user_key("ed25519", ""), ssh.known_hosts("ed25519"));
    let login = [("identity", key.as_str()), ("known_hosts", known.as_str())];
    let upstreams = [
        anonymous(&daemon.url("repo")),
        with_secret(&ssh.url(&served.repo.dir), &login),
    ];
    let mirrors = served.mirrors();
    for upstream in &upstreams {
        let before = mirrors.stats().received_bytes;
        let snapshot = open(&mirrors, upstream).unwrap();
        snapshot.prefetch_paths([path(3)]).unwrap();
        read(&snapshot, [3]);
        let received = mirrors.stats().received_bytes - before;
        assert!(received < 20_000, "{}: {received} bytes", upstream.url());
    }
}

#[test]
fn a_part_that_is_held_costs_no_network() {
    let served = Served::new();
    let mirrors = served.mirrors();
    let resolved = resolve(&mirrors, &served.upstream);
    mirrors
        .partial_snapshot(&served.upstream, &resolved, soon())
        .unwrap();
    served.server.fail(Fault::Status(503));
    let named = RefSpec::Commit(resolved.commit().to_string());
    let age = Freshness::MaxAge(Duration::ZERO);
    let again = mirrors.resolve(&served.upstream, &named, age, soon()).unwrap();
    mirrors
        .partial_snapshot(&served.upstream, &again, soon())
        .unwrap();
    drop(mirrors);
    let later = served.mirrors();
    later
        .partial_snapshot(&served.upstream, &resolved, soon())
        .unwrap();
}

#[test]
fn the_files_come_by_the_connection_that_the_trees_came_by() {
    let served = Served::new();
    let mirrors = served.mirrors();
    let requests = || served.server.counts().requests.load(Ordering::SeqCst);
    let resolved = resolve(&mirrors, &served.upstream);
    let before = requests();
    let snapshot = mirrors
        .partial_snapshot(&served.upstream, &resolved, soon())
        .unwrap();
    snapshot.prefetch_paths([path(3)]).unwrap();
    read(&snapshot, [3]);
    assert_eq!(requests() - before, 3, "what the server offers, and two packs");
}

#[test]
fn of_few_files_those_that_changed_come_with_the_trees() {
    let served = Served::new();
    let mirrors = served.mirrors();
    drop(open(&mirrors, &served.upstream).unwrap());
    let large = "x\n".repeat(20_000);
    served
        .repo
        .commit(&[(&path(3), "new\n"), ("large", &large)], "two");
    let packs = served.server.packs();
    let snapshot = open(&mirrors, &served.upstream).unwrap();
    assert_eq!(snapshot.blob(Oid::of_blob(b"new\n")).unwrap(), "new\n");
    assert_eq!(served.server.packs(), packs + 1);
    // A large one is requested, as is an unchanged one that was not requested before.
    assert_eq!(
        snapshot.blob(Oid::of_blob(large.as_bytes())).unwrap(),
        large.as_bytes()
    );
    read(&snapshot, [4]);
    assert_eq!(served.server.packs(), packs + 3);
}

#[test]
fn a_connection_that_ended_meanwhile_is_made_anew() {
    let served = Served::new();
    let server = GitServer::daemon(served.root_dir.path());
    let way = Relay::start(server.host().parse().unwrap());
    let mirrors = served.mirrors();
    let upstream = anonymous(&format!("git://{}/repo.git", way.address));
    let snapshot = open(&mirrors, &upstream).unwrap();
    snapshot.prefetch_paths([path(3)]).unwrap();
    way.cut();
    way.mend();
    snapshot.prefetch_paths([path(4)]).unwrap();
    read(&snapshot, [3, 4]);
    // If nothing connects, that is reported.
    way.cut();
    let error = snapshot.prefetch_paths([path(5)]).unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error:?}");
}
