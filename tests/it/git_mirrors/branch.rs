//! Branches as patches, compared with `git format-patch`, and what they cost.

use std::fmt::Write;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use git_apply_engine::{Oid, Options, PatchInput, Sequence, touched_paths};
use git_mirrors::{
    BranchError, CommitAt, Error, FormatError, FormatLimits, FormattedPatch, Freshness, MirrorConfig,
    Mirrors, RefSpec, Resolved, SubjectPolicy, Upstream,
};

use super::{anonymous, config, mirrors, noise, soon, with_secret};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::{Fault, GitServer};
use crate::support::ssh_server::{GitProtocol, SshServer};

const MOST: usize = 1000;

/// An upstream and a fork of it on one server.
struct Forked {
    _root: tempfile::TempDir,
    cache: tempfile::TempDir,
    upstream: GitRepo,
    fork: GitRepo,
    server: GitServer,
    mirrors: Mirrors,
}

impl Forked {
    /// An upstream of ten commits, and a fork that left it after eight, with three commits on
    /// `team`.
    fn new(filters: bool) -> Self {
        let root = tempfile::tempdir().unwrap();
        let cache = tempfile::tempdir().unwrap();
        let upstream = GitRepo::create(root.path(), "upstream");
        let fork = GitRepo::create(root.path(), "fork");
        for repo in [&upstream, &fork] {
            repo.git(&["config", "uploadpack.allowFilter", &filters.to_string()]);
        }
        for number in 0..10 {
            let file = format!("dir{}/file{number}", number % 3);
            upstream.commit(
                &[("shared", &format!("{number}\n")), (&file, &noise(number, 4000))],
                &format!("Change {number}"),
            );
            if number == 7 {
                upstream.git(&[
                    "push",
                    "--quiet",
                    &fork.dir.display().to_string(),
                    "HEAD:refs/heads/team",
                ]);
            }
        }
        fork.git(&["symbolic-ref", "HEAD", "refs/heads/team"]);
        fork.git(&["reset", "--hard", "--quiet"]);
        for name in ["one", "two", "three"] {
            fork.commit(
                &[("dir1/file1", &noise(99, 3000)), (name, name)],
                &format!("Add {name}"),
            );
        }
        let server = GitServer::http(root.path()).start();
        Self {
            mirrors: mirrors(cache.path()),
            _root: root,
            cache,
            upstream,
            fork,
            server,
        }
    }

    fn at(&self, name: &str) -> Upstream {
        anonymous(&self.server.url(name))
    }

    fn resolve(&self, at: &Upstream, branch: &str) -> Resolved {
        let want = RefSpec::Branch(branch.to_owned());
        self.mirrors.resolve(at, &want, Freshness::Now, soon()).unwrap()
    }

    /// The patches of the fork's branch relative to a branch of a repository.
    fn patches_onto(&self, repository: &str, branch: &str) -> Result<Vec<FormattedPatch>, BranchError> {
        let (fork, other) = (self.at("fork"), self.at(repository));
        let (tip, onto) = (self.resolve(&fork, "team"), self.resolve(&other, branch));
        patches(&self.mirrors, (&fork, &tip), (&other, &onto))
    }

    fn patches(&self) -> Result<Vec<FormattedPatch>, BranchError> {
        self.patches_onto("upstream", "main")
    }

    /// The bytes that the server sends in the meantime, and the number of packs requested.
    fn cost<T>(&self, work: impl FnOnce() -> T) -> (T, u64, usize) {
        let sent = || self.server.counts().sent.load(Ordering::SeqCst);
        let (bytes, packs) = (sent(), self.server.packs());
        let done = work();
        (done, sent() - bytes, self.server.packs() - packs)
    }

    fn know_upstream(&self) {
        self.upstream.git(&[
            "push",
            "--quiet",
            &self.fork.dir.display().to_string(),
            "HEAD:refs/heads/main",
        ]);
    }
}

fn patches(
    mirrors: &Mirrors,
    (fork, tip): (&Upstream, &Resolved),
    (other, onto): (&Upstream, &Resolved),
) -> Result<Vec<FormattedPatch>, BranchError> {
    let own = CommitAt {
        upstream: fork,
        resolved: tip,
    };
    let onto = CommitAt {
        upstream: other,
        resolved: onto,
    };
    let branch = mirrors.branch(own, onto, MOST, soon())?;
    let series = branch.patches(
        onto.resolved.commit(),
        SubjectPolicy::Ignore,
        FormatLimits::default(),
    )?;
    Ok(series.patches)
}

/// The output of `git format-patch` for the last commits of a branch.
fn formatted(repo: &GitRepo, range: &str) -> String {
    repo.git(&[
        "format-patch",
        "--stdout",
        "--full-index",
        "--no-numbered",
        "--no-signature",
        range,
    ])
}

fn joined(patches: &[FormattedPatch]) -> String {
    let patches = patches
        .iter()
        .map(|patch| String::from_utf8(patch.bytes.clone()).unwrap());
    // Git puts an empty line between patches.
    patches.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

fn tip(repo: &GitRepo) -> Oid {
    repo.git(&["rev-parse", "HEAD"]).parse().unwrap()
}

#[rstest::rstest]
#[case::filters_and_the_fork_knows_upstream(true, true)]
#[case::filters_and_the_fork_is_behind(true, false)]
#[case::filters_nothing_and_knows_upstream(false, true)]
#[case::filters_nothing_and_is_behind(false, false)]
fn a_forks_branch_is_what_git_format_patch_writes(#[case] filters: bool, #[case] knows: bool) {
    let forked = Forked::new(filters);
    if knows {
        forked.know_upstream();
    }
    let patches = forked.patches().unwrap();
    assert_eq!(joined(&patches), formatted(&forked.fork, "HEAD~3"));
    let names: Vec<&str> = patches.iter().map(|patch| patch.name.as_str()).collect();
    assert_eq!(
        names,
        ["0001-Add-one.patch", "0002-Add-two.patch", "0003-Add-three.patch"]
    );
    // Neither moved: nothing is requested, not even by another process.
    let (again, _, packs) = forked.cost(|| forked.patches().unwrap());
    assert_eq!((again, packs), (patches.clone(), 0));
    let other = Mirrors::open(config(forked.cache.path())).unwrap();
    let (fork, upstream) = (forked.at("fork"), forked.at("upstream"));
    let (own, onto) = (forked.resolve(&fork, "team"), forked.resolve(&upstream, "main"));
    let (again, _, packs) =
        forked.cost(|| super::branch::patches(&other, (&fork, &own), (&upstream, &onto)).unwrap());
    assert_eq!((again, packs), (patches, 0));
}

#[test]
fn a_branch_of_the_upstreams_own_repository_and_its_base() {
    let forked = Forked::new(true);
    forked.know_upstream();
    forked.fork.git(&["tag", "from", "HEAD~2"]);
    let fork = forked.at("fork");
    // The mirror has the upstream's commits too.
    let main = forked.resolve(&fork, "main");
    forked.mirrors.snapshot(&fork, &main, soon()).unwrap();
    let bounds = git_mirrors::HistoryBounds::since(git_mirrors::HistorySince::Date(0));
    forked.mirrors.history(&fork, &main, bounds, soon()).unwrap();
    let patches = forked.patches_onto("fork", "main").unwrap();
    assert_eq!(joined(&patches), formatted(&forked.fork, "HEAD~3"));
    let team = forked.resolve(&fork, "team");
    let want = RefSpec::Tag("from".to_owned());
    let from = forked
        .mirrors
        .resolve(&fork, &want, Freshness::Now, soon())
        .unwrap();
    let later = super::branch::patches(&forked.mirrors, (&fork, &team), (&fork, &from)).unwrap();
    assert_eq!(joined(&later), formatted(&forked.fork, "HEAD~2"));
    // If the upstream has all of it, no patches are left.
    for onto in [&team, &main] {
        let none = super::branch::patches(&forked.mirrors, (&fork, onto), (&fork, onto)).unwrap();
        assert!(none.is_empty());
    }
    forked
        .fork
        .git(&["branch", "old", &forked.upstream.git(&["rev-parse", "HEAD~4"])]);
    let old = forked.resolve(&fork, "old");
    let none = super::branch::patches(&forked.mirrors, (&fork, &old), (&fork, &main)).unwrap();
    assert!(none.is_empty());
}

/// Servers assume that whoever has a commit has its parents too.
#[test]
fn an_upstream_may_be_one_commit_ahead() {
    let forked = Forked::new(true);
    forked.upstream.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    forked.know_upstream();
    let patches = forked.patches().unwrap();
    assert_eq!(joined(&patches), formatted(&forked.fork, "HEAD~3"));
}

#[test]
fn only_what_moved_is_fetched() {
    let forked = Forked::new(true);
    forked.know_upstream();
    let (_, first, _) = forked.cost(|| forked.patches().unwrap());
    let whole = forked
        .fork
        .git(&["rev-list", "--objects", "--all", "--disk-usage"]);
    let whole: u64 = whole.parse().unwrap();
    assert!(first < whole / 2, "{first} of {whole} bytes");
    // The upstream moves: its commits do not matter to the branch.
    forked.upstream.commit(&[("later", &noise(5, 40_000))], "later");
    forked.know_upstream();
    let (same, moved, _) = forked.cost(|| forked.patches().unwrap());
    assert_eq!(joined(&same), formatted(&forked.fork, "HEAD~3"));
    assert!(moved < 10_000, "{moved} bytes");
    // The branch is rebased onto it, by force.
    forked.fork.git(&["rebase", "--quiet", "main"]);
    forked.fork.commit(&[("four", "four")], "Add four");
    let (rebased, bytes, _) = forked.cost(|| forked.patches().unwrap());
    assert_eq!(joined(&rebased), formatted(&forked.fork, "HEAD~4"));
    assert!(bytes < whole / 2, "{bytes} of {whole} bytes");
}

#[test]
fn what_is_no_series_is_told() {
    let forked = Forked::new(true);
    forked.know_upstream();
    forked.fork.git(&["checkout", "--quiet", "-b", "side", "HEAD~1"]);
    forked.fork.commit(&[("side", "side")], "side");
    forked.fork.git(&["checkout", "--quiet", "team"]);
    forked.fork.git(&["merge", "--quiet", "--no-edit", "side"]);
    let merge = tip(&forked.fork);
    let error = forked.patches().unwrap_err();
    assert!(
        matches!(error, BranchError::Format(FormatError::Merge { commit, .. }) if commit == merge),
        "{error}"
    );
    forked.fork.git(&["checkout", "--quiet", "--orphan", "other"]);
    forked.fork.commit(&[("other", "other")], "another beginning");
    forked.fork.git(&["branch", "--force", "team", "HEAD"]);
    for knows in [true, false] {
        if !knows {
            forked.upstream.commit(&[("x", "x")], "not in the fork");
        }
        let error = forked.patches().unwrap_err();
        let root = tip(&forked.fork);
        assert!(
            matches!(error, BranchError::Format(FormatError::Unrelated { root: found, .. }) if found == root),
            "{error}"
        );
    }
}

#[rstest::rstest]
#[case::version_2(GitProtocol::Accepted)]
#[case::version_0(GitProtocol::Ignored)]
fn a_branch_comes_over_ssh(#[case] protocol: GitProtocol) {
    let forked = Forked::new(true);
    forked.know_upstream();
    let server = SshServer::start(protocol);
    let data = [
        ("identity", server.user_key("ed25519", "")),
        ("known_hosts", server.known_hosts("ed25519")),
    ];
    let data = data.each_ref().map(|(name, value)| (*name, value.as_str()));
    let [fork, upstream] =
        [&forked.fork, &forked.upstream].map(|repo| with_secret(&server.url(&repo.dir), &data));
    let (own, onto) = (forked.resolve(&fork, "team"), forked.resolve(&upstream, "main"));
    let found = patches(&forked.mirrors, (&fork, &own), (&upstream, &onto)).unwrap();
    assert_eq!(joined(&found), formatted(&forked.fork, "HEAD~3"));
}

#[test]
fn a_fetch_that_fails_gives_no_patches() {
    let forked = Forked::new(true);
    forked.know_upstream();
    let (fork, upstream) = (forked.at("fork"), forked.at("upstream"));
    let (own, onto) = (forked.resolve(&fork, "team"), forked.resolve(&upstream, "main"));
    for fault in [Fault::Status(503), Fault::CutPack(30)] {
        forked.server.fail(fault);
        let error = patches(&forked.mirrors, (&fork, &own), (&upstream, &onto)).unwrap_err();
        assert!(matches!(error, BranchError::Source(_)), "{error}");
    }
    forked.server.fail(Fault::None);
    let found = patches(&forked.mirrors, (&fork, &own), (&upstream, &onto)).unwrap();
    assert_eq!(found.len(), 3);
}

/// Adds commits to a branch in one go.
fn import(repo: &GitRepo, branch: &str, stream: &str) {
    let mut child = Command::new("git")
        .arg("--git-dir")
        .arg(&repo.dir)
        .args(["fast-import", "--quiet", "--force"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let head = format!("reset refs/heads/{branch}\nfrom {}\n\n", tip(repo));
    let mut input = child.stdin.take().unwrap();
    input.write_all(head.as_bytes()).unwrap();
    input.write_all(stream.as_bytes()).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
}

fn many_commits(branch: &str, count: usize) -> String {
    let mut stream = String::new();
    for number in 0..count {
        let file = format!("{number}\n");
        write!(
            stream,
            "commit refs/heads/{branch}\ncommitter T <t@example.org> {} +0000\ndata 2\nx\nM 100644 inline f{}\ndata {}\n{file}\n",
            1_700_000_000 + number,
            number % 50,
            file.len(),
        )
        .unwrap();
    }
    stream
}

#[test]
fn a_hundred_thousand_commits_are_too_many() {
    let forked = Forked::new(true);
    forked.know_upstream();
    import(&forked.fork, "team", &many_commits("team", 100_000));
    let (error, bytes, _) = forked.cost(|| forked.patches().unwrap_err());
    let is_told = match &error {
        BranchError::Format(FormatError::TooManyCommits { .. })
        | BranchError::Source(Error::TooLarge { .. }) => true,
        BranchError::Format(_) | BranchError::Source(_) => false,
    };
    assert!(is_told, "{error}");
    assert!(bytes < 20 << 20, "{bytes} bytes");
}

#[test]
fn the_most_commits_are_read() {
    let forked = Forked::new(true);
    forked.know_upstream();
    import(&forked.fork, "team", &many_commits("team", MOST - 3));
    assert_eq!(forked.patches().unwrap().len(), MOST);
    forked.fork.git(&["reset", "--quiet", "--hard"]);
    forked.fork.commit(&[("more", "more")], "one more");
    let error = forked.patches().unwrap_err();
    assert!(
        matches!(
            error,
            BranchError::Format(FormatError::TooManyCommits { most: MOST, .. })
        ),
        "{error}"
    );
}

#[test]
fn huge_files_and_deep_folders_are_refused() {
    let forked = Forked::new(true);
    forked.know_upstream();
    let huge = noise(1, 3 << 20);
    forked.fork.commit(&[("huge", &huge)], "huge");
    let small = Mirrors::open(MirrorConfig {
        max_object: 1 << 20,
        ..config(&forked.cache.path().join("small"))
    })
    .unwrap();
    let (fork, upstream) = (forked.at("fork"), forked.at("upstream"));
    let (own, onto) = (forked.resolve(&fork, "team"), forked.resolve(&upstream, "main"));
    let error = patches(&small, (&fork, &own), (&upstream, &onto)).unwrap_err();
    assert!(
        matches!(error, BranchError::Source(Error::TooLarge { .. })),
        "{error}"
    );
    forked.fork.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let deep = format!("{}f", "d/".repeat(300));
    let stream = format!(
        "commit refs/heads/team\ncommitter T <t@example.org> 1700000000 +0000\ndata 2\nx\nM 100644 inline {deep}\ndata 1\nx\n"
    );
    import(&forked.fork, "team", &stream);
    let error = forked.patches().unwrap_err();
    assert!(error.to_string().contains("more than 128 deep"), "{error}");
}

/// The branch's commits have earlier dates than its base.
#[test]
fn commits_may_be_older_than_what_they_are_on_top_of() {
    let forked = Forked::new(true);
    forked.know_upstream();
    import(&forked.fork, "team", &many_commits("team", 20));
    let patches = forked.patches().unwrap();
    assert_eq!(patches.len(), 23);
    let again = forked.cost(|| forked.patches().unwrap());
    assert_eq!((again.0, again.2), (patches, 0));
}

/// A fork of a tree like that of OpenStack's nova, with 239 commits.
fn long_branch() -> (tempfile::TempDir, GitServer) {
    const FILES: usize = 3400;
    let root = tempfile::tempdir().unwrap();
    let upstream = GitRepo::create(root.path(), "upstream");
    let fork = GitRepo::create(root.path(), "fork");
    for repo in [&upstream, &fork] {
        repo.git(&["config", "uploadpack.allowFilter", "true"]);
    }
    let path = |number: usize| format!("nova/d{}/e{}/file{number}.py", number % 18, number % 350);
    let text = |number: usize, edits: usize| {
        let line = |line: usize| noise((number * 1000 + line) as u64, 36) + "\n";
        let mut lines: Vec<String> = (0..200).map(line).collect();
        for edit in 0..edits {
            lines[10 + edit * 7 % 180] = format!("edit {edit}\n");
        }
        lines.concat()
    };
    let files: Vec<(String, String)> = (0..FILES).map(|number| (path(number), text(number, 0))).collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    upstream.commit(&files, "the tree");
    let dir = fork.dir.display().to_string();
    upstream.git(&["push", "--quiet", &dir, "HEAD:refs/heads/team"]);
    fork.git(&["symbolic-ref", "HEAD", "refs/heads/team"]);
    let mut stream = String::new();
    for number in 0..LONG {
        let time = 1_900_000_000 + number;
        let head = format!("commit refs/heads/team\ncommitter T <t@example.org> {time} +0000\n");
        stream.push_str(&(head + "data 10\nA change\n\n"));
        for file in [number * 14, number * 14 + 3, 7] {
            let text = text(file, if file == 7 { number + 1 } else { 1 });
            writeln!(
                stream,
                "M 100644 inline {}\ndata {}\n{text}",
                path(file),
                text.len()
            )
            .unwrap();
        }
    }
    import(&fork, "team", &stream);
    upstream.commit(&[("later", "x")], "later");
    upstream.git(&["push", "--quiet", &dir, "HEAD:refs/heads/main"]);
    let server = GitServer::http(root.path()).start();
    (root, server)
}

/// The number of commits on the long branch.
const LONG: usize = 239;

/// `cargo test --test it git_mirrors::branch::what_a_long -- --ignored --nocapture`
#[test]
#[ignore = "a measurement: 239 commits over a tree like that of OpenStack's nova"]
fn what_a_long_branch_costs() {
    let (_root, server) = long_branch();
    let later = || Instant::now() + Duration::from_secs(600);
    let sent = || server.counts().sent.load(Ordering::SeqCst);
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let (fork, upstream) = (anonymous(&server.url("fork")), anonymous(&server.url("upstream")));
    let (before, begun) = (sent(), Instant::now());
    let tell = |what: &str| println!("{what}: {:?}, {} bytes", begun.elapsed(), sent() - before);
    let resolve = |at: &Upstream, branch: &str| {
        let want = RefSpec::Branch(branch.to_owned());
        mirrors.resolve(at, &want, Freshness::Now, later()).unwrap()
    };
    let (tip, onto) = (resolve(&fork, "team"), resolve(&upstream, "main"));
    tell("refs");
    let [own, other] =
        [(&fork, &tip), (&upstream, &onto)].map(|(upstream, resolved)| CommitAt { upstream, resolved });
    let branch = mirrors.branch(own, other, MOST, later()).unwrap();
    tell("commits");
    let series = branch.patches(onto.commit(), SubjectPolicy::Ignore, FormatLimits::default());
    tell("patches");
    let inputs: Vec<PatchInput> = series
        .unwrap()
        .patches
        .into_iter()
        .map(|patch| PatchInput::new(patch.name, patch.bytes))
        .collect();
    let snapshot = mirrors.partial_snapshot(&upstream, &onto, later()).unwrap();
    let options = Options::default();
    snapshot.prefetch_paths(touched_paths(&inputs, &options)).unwrap();
    tell("upstream's files");
    let tree = snapshot.tree_id();
    let series = git_apply_engine::apply(&snapshot, tree, &inputs, Sequence::Stacked, &options).unwrap();
    tell("verdict");
    assert_eq!(
        series.patches().iter().filter(|patch| patch.applies()).count(),
        LONG
    );
    for depth in [&["--depth", "1"][..], &["--depth", "240"], &[]] {
        let folder = tempfile::tempdir().unwrap();
        let (before, begun) = (sent(), Instant::now());
        let status = Command::new("git")
            .args(["clone", "--quiet", "--bare", "--single-branch"])
            .args(["--branch", "team"])
            .args(depth)
            .arg(server.url("fork"))
            .arg(folder.path().join("clone"))
            .status();
        assert!(status.unwrap().success());
        let bytes = sent() - before;
        println!("git clone {depth:?}: {:?}, {bytes} bytes", begun.elapsed());
    }
}
