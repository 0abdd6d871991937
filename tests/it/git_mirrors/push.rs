//! Commits made on a mirror and pushed to real servers, as the installed `git` sees them.

use std::path::Path;
use std::process::Command;

use git_mirrors::{
    BranchUpdate, Class, CommitAt, Error, ExpectedBranch, FileChange, FileLimits, Freshness, Identity,
    MadeCommit, Mirrors, NewCommit, RefSpec, Signer, Snapshot, SourceFile, Upstream,
};
use jiff::Timestamp;
use upstream_history::Commit;

use super::{MARKER, anonymous, mirrors, secret, soon, with_secret};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::{Fault, GitServer};
use crate::support::signing::{end_gpg, gpg};
use crate::support::ssh_server::{GitProtocol, SshServer};

const MESSAGE: &str = "Deliver glance 1\n\nPatchset: ours/glance r/glance:1\n";

/// A repository with some files, which accepts pushes.
fn repository(root: &Path) -> GitRepo {
    let repo = GitRepo::create(root, "gitops");
    repo.git(&["config", "http.receivepack", "true"]);
    std::fs::create_dir_all(repo.work().join("apps")).unwrap();
    std::os::unix::fs::symlink("a.yaml", repo.work().join("apps/link.yaml")).unwrap();
    repo.commit(
        &[
            ("apps/a.yaml", "a: 1\n"),
            ("apps/deep/b.yaml", "b: 1\n"),
            ("README", "text\n"),
        ],
        "base",
    );
    let program = repo.work().join("apps/run.yaml");
    std::fs::write(&program, "#!/bin/true\n").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    repo.commit(&[], "more");
    repo
}

fn author() -> Identity {
    Identity {
        name: "Ann Author".to_owned(),
        email: "ann@example.org".to_owned(),
    }
}

fn head(mirrors: &Mirrors, upstream: &Upstream) -> Snapshot {
    let branch = RefSpec::Branch("main".to_owned());
    let resolved = mirrors
        .resolve(upstream, &branch, Freshness::Now, soon())
        .unwrap();
    mirrors.snapshot(upstream, &resolved, soon()).unwrap()
}

/// A request to make a commit the tip of `main`.
fn to_main(expected: ExpectedBranch, commit: &MadeCommit) -> BranchUpdate<'_> {
    BranchUpdate {
        branch: "main",
        expected,
        commit,
    }
}

fn rewrite(path: &str, text: &str) -> FileChange {
    FileChange::Rewrite {
        path: path.to_owned(),
        bytes: text.as_bytes().to_vec(),
    }
}

fn write(path: &str, text: &str) -> FileChange {
    FileChange::Write {
        path: path.to_owned(),
        bytes: text.as_bytes().to_vec(),
    }
}

fn remove(path: &str) -> FileChange {
    FileChange::Remove {
        path: path.to_owned(),
    }
}

fn make(snapshot: &Snapshot, files: &[(&str, &str)], signer: Option<&Signer>) -> Result<MadeCommit, Error> {
    let changes: Vec<FileChange> = files.iter().map(|(path, text)| rewrite(path, text)).collect();
    snapshot.make_commit(&NewCommit {
        changes: &changes,
        author: &author(),
        message: MESSAGE,
        time: Timestamp::from_second(1_700_000_000).unwrap(),
        signer,
    })
}

/// Makes a commit of one file and pushes it.
fn deliver(
    mirrors: &Mirrors,
    upstream: &Upstream,
    text: &str,
    signer: Option<&Signer>,
) -> Result<MadeCommit, Error> {
    let snapshot = head(mirrors, upstream);
    let made = make(&snapshot, &[("apps/a.yaml", text)], signer)?;
    mirrors.push(
        upstream,
        &to_main(ExpectedBranch::At(snapshot.commit()), &made),
        soon(),
    )?;
    Ok(made)
}

/// Asserts what git itself finds in the repository.
fn assert_sound(repo: &GitRepo, made: &MadeCommit, before: &str) {
    assert_eq!(repo.git(&["rev-parse", "main"]), made.id.to_string());
    repo.git(&["fsck", "--strict", "--full"]);
    assert_eq!(repo.git(&["rev-parse", "main^"]), before);
    let shown = repo.git(&[
        "show",
        "--no-patch",
        "--format=%an <%ae> %cn <%ce> %at%n%B",
        "main",
    ]);
    assert_eq!(
        shown.trim_end(),
        format!("Ann Author <ann@example.org> Ann Author <ann@example.org> 1700000000\n{MESSAGE}").trim_end()
    );
}

#[rstest::rstest]
#[case::version_2(true)]
#[case::version_0(false)]
fn a_commit_changes_the_named_files_alone(#[case] versions: bool) {
    let root = tempfile::tempdir().unwrap();
    let repo = repository(root.path());
    let before = repo.git(&["rev-parse", "main"]);
    let server = GitServer::http(root.path());
    let server = if versions { server } else { server.version_0() }.start();
    let upstream = anonymous(&server.url("gitops"));
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let snapshot = head(&mirrors, &upstream);
    let made = make(
        &snapshot,
        &[
            ("apps/a.yaml", "a: 2\n"),
            ("apps/deep/b.yaml", "b: 2\n"),
            ("apps/run.yaml", "#!/bin/false\n"),
        ],
        None,
    )
    .unwrap();
    assert_eq!(repo.git(&["rev-parse", "main"]), before);
    mirrors
        .push(
            &upstream,
            &to_main(ExpectedBranch::At(snapshot.commit()), &made),
            soon(),
        )
        .unwrap();
    assert_sound(&repo, &made, &before);
    assert_eq!(
        repo.git(&["diff", "--name-status", "main^", "main"]),
        "M\tapps/a.yaml\nM\tapps/deep/b.yaml\nM\tapps/run.yaml"
    );
    assert_eq!(repo.git(&["show", "main:apps/deep/b.yaml"]), "b: 2");
    assert_eq!(
        repo.git(&["ls-tree", "main", "apps/run.yaml", "--format=%(objectmode)"]),
        repo.git(&["ls-tree", "main^", "apps/run.yaml", "--format=%(objectmode)"]),
    );
    // The mirror knows it at the next look, and the same again changes nothing.
    let next = head(&mirrors, &upstream);
    assert_eq!(next.commit(), made.id);
    assert_eq!(
        next.read_file("apps/a.yaml", &FileLimits::default()).unwrap(),
        b"a: 2\n"
    );
}

#[test]
fn a_commit_goes_over_ssh() {
    let root = tempfile::tempdir().unwrap();
    let repo = repository(root.path());
    let before = repo.git(&["rev-parse", "main"]);
    let server = SshServer::start(GitProtocol::Accepted);
    let upstream = with_secret(
        &server.url(&repo.dir),
        &[
            ("identity", &server.user_key("ed25519", "")),
            ("known_hosts", &server.known_hosts("ed25519")),
        ],
    );
    let cache = tempfile::tempdir().unwrap();
    let made = deliver(&mirrors(cache.path()), &upstream, "a: 2\n", None).unwrap();
    assert_sound(&repo, &made, &before);
}

#[test]
fn a_lost_race_is_told_and_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let repo = repository(root.path());
    let server = GitServer::http(root.path()).start();
    let upstream = anonymous(&server.url("gitops"));
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let snapshot = head(&mirrors, &upstream);
    let made = make(&snapshot, &[("apps/a.yaml", "a: 2\n")], None).unwrap();
    let theirs = repo.commit(&[("README", "faster\n")], "faster");
    let expected = ExpectedBranch::At(snapshot.commit());
    let raced = mirrors
        .push(&upstream, &to_main(expected, &made), soon())
        .unwrap_err();
    assert!(matches!(raced, Error::Raced { .. }), "{raced}");
    assert_eq!(raced.class(), Class::Transient);
    assert_eq!(repo.git(&["rev-parse", "main"]), theirs);
    let absent = mirrors.push(&upstream, &to_main(ExpectedBranch::Absent, &made), soon());
    assert!(matches!(absent, Err(Error::Raced { .. })));
    // Made again on the current tip, it goes through, and keeps the other commit.
    let made = deliver(&mirrors, &upstream, "a: 2\n", None).unwrap();
    assert_sound(&repo, &made, &theirs);
    assert_eq!(repo.git(&["show", "main:README"]), "faster");
}

#[test]
fn a_branch_of_its_own_is_made_and_replaced() {
    let root = tempfile::tempdir().unwrap();
    let repo = repository(root.path());
    let server = GitServer::http(root.path()).start();
    let upstream = anonymous(&server.url("gitops"));
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let snapshot = head(&mirrors, &upstream);
    let first = make(&snapshot, &[("apps/a.yaml", "a: 2\n")], None).unwrap();
    let branch = "patchset/images";
    mirrors
        .push(
            &upstream,
            &BranchUpdate {
                branch,
                expected: ExpectedBranch::Absent,
                commit: &first,
            },
            soon(),
        )
        .unwrap();
    let second = make(&snapshot, &[("apps/a.yaml", "a: 3\n")], None).unwrap();
    mirrors
        .push(
            &upstream,
            &BranchUpdate {
                branch,
                expected: ExpectedBranch::At(first.id),
                commit: &second,
            },
            soon(),
        )
        .unwrap();
    assert_eq!(repo.git(&["rev-parse", branch]), second.id.to_string());
    assert_eq!(
        repo.git(&["rev-parse", &format!("{branch}^")]),
        repo.git(&["rev-parse", "main"])
    );
}

#[test]
fn what_a_hook_says_is_told() {
    let root = tempfile::tempdir().unwrap();
    let repo = repository(root.path());
    let before = repo.git(&["rev-parse", "main"]);
    let server = GitServer::http(root.path()).start();
    let upstream = anonymous(&server.url("gitops"));
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    for hook in ["pre-receive", "update"] {
        let file = repo.dir.join("hooks").join(hook);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(
            &file,
            "#!/bin/sh\necho 'GH006: Protected branch update failed' >&2\nexit 1\n",
        )
        .unwrap();
        let mut permissions = std::fs::metadata(&file).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        std::fs::set_permissions(&file, permissions).unwrap();
        let error = deliver(&mirrors, &upstream, "a: 2\n", None).unwrap_err();
        assert!(matches!(error, Error::Rejected { .. }), "{hook}: {error}");
        assert!(
            error.to_string().contains("Protected branch update failed"),
            "{hook}: {error}"
        );
        assert_eq!(repo.git(&["rev-parse", "main"]), before);
        std::fs::remove_file(file).unwrap();
    }
    deliver(&mirrors, &upstream, "a: 2\n", None).unwrap();
}

#[test]
fn who_may_not_push_is_told_without_credentials() {
    let root = tempfile::tempdir().unwrap();
    let repo = repository(root.path());
    let server = GitServer::http(root.path()).basic("ann", MARKER).start();
    let right = with_secret(
        &server.url("gitops"),
        &[("username", "ann"), ("password", MARKER)],
    );
    let wrong = with_secret(
        &server.url("gitops"),
        &[("username", "ann"), ("password", "marker-other")],
    );
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let snapshot = head(&mirrors, &right);
    let made = make(&snapshot, &[("apps/a.yaml", "a: 2\n")], None).unwrap();
    let expected = ExpectedBranch::At(snapshot.commit());
    let error = mirrors
        .push(&wrong, &to_main(expected, &made), soon())
        .unwrap_err();
    assert!(matches!(error, Error::Authentication { .. }), "{error}");
    for secret in [MARKER, "marker-other"] {
        assert!(!format!("{error} {error:?}").contains(secret), "{error:?}");
    }
    mirrors.push(&right, &to_main(expected, &made), soon()).unwrap();
    // A server that serves the repository and accepts no push.
    repo.git(&["config", "http.receivepack", "false"]);
    let error = deliver(&mirrors, &right, "a: 3\n", None).unwrap_err();
    assert_eq!(error.class(), Class::Authentication, "{error}");
}

/// As GitHub, GitLab, Gitea and JGit answer a login that may read but not write.
#[rstest::rstest]
#[case::github(
    "text/plain; charset=UTF-8",
    "Permission to acme/gitops.git denied to ann.",
    "Permission to acme/gitops.git denied to ann."
)]
#[case::gitlab(
    "text/plain; charset=utf-8",
    "You are not allowed to push code to this project.\n",
    "You are not allowed to push code"
)]
#[case::gitea(
    "text/plain;charset=utf-8",
    "User permission denied for writing.\n",
    "denied for writing."
)]
#[case::jgit(
    "application/x-git-receive-pack-advertisement",
    "001f# service=git-receive-pack\n00000025ERR push not permitted by Gerrit\n",
    "push not permitted by Gerrit"
)]
#[case::page("text/html", "<html>no</html>", "")]
#[case::terminal("text/plain", "\u{1b}[2Jmarker-pa55word", "***")]
fn who_may_not_write_is_told_in_the_servers_words(
    #[case] kind: &'static str,
    #[case] text: &'static str,
    #[case] told: &str,
) {
    let root = tempfile::tempdir().unwrap();
    let repo = repository(root.path());
    let before = repo.git(&["rev-parse", "main"]);
    let server = GitServer::http(root.path()).basic("ann", MARKER).start();
    let login = [("username", "ann"), ("password", MARKER)];
    let upstream = with_secret(&server.url("gitops"), &login);
    server.fail(Fault::RefusePush {
        status: 403,
        kind,
        text,
    });
    let cache = tempfile::tempdir().unwrap();
    let error = deliver(&mirrors(cache.path()), &upstream, "a: 2\n", None).unwrap_err();
    assert!(matches!(error, Error::Authentication { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("write access") && said.contains(told), "{said}");
    assert!(!said.contains("may read") && !said.contains("<html>"), "{said}");
    assert!(!said.contains(MARKER) && !said.contains('\u{1b}'), "{said}");
    assert_eq!(repo.git(&["rev-parse", "main"]), before);
}

#[test]
fn a_long_answer_to_a_push_is_cut() {
    let root = tempfile::tempdir().unwrap();
    repository(root.path());
    let server = GitServer::http(root.path()).start();
    server.fail(Fault::RefusePush {
        status: 403,
        kind: "text/plain",
        text: String::leak("no ".repeat(1 << 20)),
    });
    let cache = tempfile::tempdir().unwrap();
    let upstream = anonymous(&server.url("gitops"));
    let error = deliver(&mirrors(cache.path()), &upstream, "a: 2\n", None).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("no no no") && said.len() < 1000, "{}", said.len());
}

/// As GitLab's shell answers pushes over SSH, and GitHub those with read-only keys.
#[rstest::rstest]
#[case::gitlab("remote: You are not allowed to push code to this project.", true)]
#[case::github(
    "ERROR: The key you are authenticating with has been marked as read only.",
    true
)]
#[case::github_login("ERROR: Permission to acme/gitops.git denied to ann.", true)]
#[case::absent("ERROR: Repository not found.", false)]
#[case::hidden(
    "remote: The project you were looking for could not be found or you don't have permission to view it.",
    false
)]
fn who_may_not_write_over_ssh_is_told(#[case] words: &str, #[case] is_about_rights: bool) {
    let root = tempfile::tempdir().unwrap();
    let repo = repository(root.path());
    let said = root.path().join("said");
    std::fs::write(&said, words).unwrap();
    let script = format!(
        "case $SSH_ORIGINAL_COMMAND in git-receive-pack*) cat {} >&2; exit 1 ;; esac",
        said.display()
    );
    let server = SshServer::with_script(GitProtocol::Accepted, &script);
    let key = server.user_key("ed25519", "");
    let known = server.known_hosts("ed25519");
    let login = [("identity", key.as_str()), ("known_hosts", known.as_str())];
    let upstream = with_secret(&server.url(&repo.dir), &login);
    let cache = tempfile::tempdir().unwrap();
    let error = deliver(&mirrors(cache.path()), &upstream, "a: 2\n", None).unwrap_err();
    let said = error.to_string();
    assert!(said.contains(words), "{said}");
    if is_about_rights {
        assert!(matches!(error, Error::Authentication { .. }), "{error:?}");
        assert!(said.contains("write access"), "{said}");
    } else {
        assert!(matches!(error, Error::Declined { .. }), "{error:?}");
    }
}

/// JGit ends like this without a report; the sideband for errors is all there is.
#[test]
fn what_is_said_in_place_of_a_report_is_told() {
    let root = tempfile::tempdir().unwrap();
    repository(root.path());
    let server = GitServer::http(root.path()).start();
    let upstream = anonymous(&server.url("gitops"));
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let snapshot = head(&mirrors, &upstream);
    let made = make(&snapshot, &[("apps/a.yaml", "a: 2\n")], None).unwrap();
    server.fail(Fault::InPlaceOfReport(
        "\u{3}error: GitLab: the branch is locked\n",
    ));
    let expected = ExpectedBranch::At(snapshot.commit());
    let error = mirrors
        .push(&upstream, &to_main(expected, &made), soon())
        .unwrap_err();
    assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
    assert!(error.to_string().contains("the branch is locked"), "{error}");
}

#[test]
fn a_server_that_fails_leaves_the_branch_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    let repo = repository(root.path());
    let before = repo.git(&["rev-parse", "main"]);
    let server = GitServer::http(root.path()).start();
    let upstream = anonymous(&server.url("gitops"));
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let snapshot = head(&mirrors, &upstream);
    let made = make(&snapshot, &[("apps/a.yaml", "a: 2\n")], None).unwrap();
    let expected = ExpectedBranch::At(snapshot.commit());
    server.fail(Fault::Status(503));
    let error = mirrors
        .push(&upstream, &to_main(expected, &made), soon())
        .unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error}");
    server.fail(Fault::None);
    assert_eq!(repo.git(&["rev-parse", "main"]), before);
    mirrors
        .push(&upstream, &to_main(expected, &made), soon())
        .unwrap();
}

#[test]
fn only_files_that_are_there_are_changed() {
    let root = tempfile::tempdir().unwrap();
    repository(root.path());
    let server = GitServer::http(root.path()).start();
    let cache = tempfile::tempdir().unwrap();
    let snapshot = head(&mirrors(cache.path()), &anonymous(&server.url("gitops")));
    for path in [
        "apps",
        "apps/link.yaml",
        "apps/none.yaml",
        "../x",
        "/etc/passwd",
        "apps/../README",
        "",
    ] {
        let error = make(&snapshot, &[(path, "x")], None).unwrap_err();
        assert!(matches!(error, Error::Path { .. }), "{path}: {error}");
    }
}

#[test]
fn a_folder_is_read_to_its_depth() {
    let root = tempfile::tempdir().unwrap();
    repository(root.path());
    let server = GitServer::http(root.path()).start();
    let cache = tempfile::tempdir().unwrap();
    let snapshot = head(&mirrors(cache.path()), &anonymous(&server.url("gitops")));
    let names = |path: &str| {
        let mut names = Vec::new();
        let mut take = |file: SourceFile| {
            names.push(file.name);
            Ok(())
        };
        snapshot
            .read_below(path, &[".yaml", ".yml"], &mut FileLimits::default(), &mut take)
            .unwrap();
        names.sort();
        names
    };
    assert_eq!(names(""), ["apps/a.yaml", "apps/deep/b.yaml", "apps/run.yaml"]);
    assert_eq!(names("apps/deep"), ["apps/deep/b.yaml"]);
    let mut few = FileLimits {
        count: 2,
        ..FileLimits::default()
    };
    let error = snapshot
        .read_below("", &[".yaml"], &mut few, &mut |_| Ok(()))
        .unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    let mut refuse = |_| {
        Err(Error::TooLarge {
            what: "what the caller keeps".to_owned(),
            limit: "nothing".to_owned(),
        })
    };
    let error = snapshot
        .read_below("", &[".yaml"], &mut FileLimits::default(), &mut refuse)
        .unwrap_err();
    assert!(error.to_string().contains("what the caller keeps"), "{error}");
}

#[test]
fn git_knows_signatures_of_ssh_keys() {
    let root = tempfile::tempdir().unwrap();
    let repo = repository(root.path());
    let server = GitServer::http(root.path()).start();
    let ssh = SshServer::start(GitProtocol::Accepted);
    let upstream = anonymous(&server.url("gitops"));
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    for (kind, passphrase) in [("ed25519", ""), ("rsa", ""), ("ecdsa", ""), ("ed25519", MARKER)] {
        let (private, public) = ssh.stranger_key(kind, passphrase);
        let signer =
            Signer::from_secret(&secret(&[("identity", &private), ("password", passphrase)])).unwrap();
        assert!(!format!("{signer:?}").contains("PRIVATE"));
        let made = deliver(
            &mirrors,
            &upstream,
            &format!("a: {kind}{}\n", passphrase.len()),
            Some(&signer),
        )
        .unwrap();
        assert_eq!(repo.git(&["rev-parse", "main"]), made.id.to_string());
        let allowed = root.path().join("allowed");
        std::fs::write(&allowed, format!("ann@example.org {public}")).unwrap();
        let setting = format!("gpg.ssh.allowedSignersFile={}", allowed.display());
        assert_eq!(
            repo.git(&["-c", &setting, "log", "-1", "--format=%G? %GS", "main"]),
            "G ann@example.org",
            "{kind}"
        );
        let shown = repo.git(&["show", "--no-patch", "--format=%B", "main"]);
        assert_eq!(shown.trim_end(), MESSAGE.trim_end());
        repo.git(&["fsck", "--strict"]);
    }
}

/// git's verdict on the newest commit's signature, by the keys of a gpg home.
fn signed_by(repo: &GitRepo, home: &Path) -> String {
    let output = Command::new("git")
        .arg("--git-dir")
        .arg(&repo.dir)
        .args(["log", "-1", "--format=%G? %GS", "main"])
        .env("GNUPGHOME", home)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[rstest::rstest]
#[case::ed25519("ed25519", "")]
#[case::rsa("rsa2048", "")]
#[case::passphrase("ed25519", MARKER)]
fn git_knows_signatures_of_openpgp_keys(#[case] algorithm: &str, #[case] passphrase: &str) {
    let root = tempfile::tempdir().unwrap();
    let repo = repository(root.path());
    let server = GitServer::http(root.path()).start();
    let upstream = anonymous(&server.url("gitops"));
    let home = tempfile::Builder::new().prefix("g").tempdir().unwrap();
    gpg(
        home.path(),
        &[
            "--passphrase",
            passphrase,
            "--quick-gen-key",
            "Ann <ann@example.org>",
            algorithm,
            "sign",
            "never",
        ],
    );
    let exported = gpg(
        home.path(),
        &["--passphrase", passphrase, "--armor", "--export-secret-keys"],
    );
    let exported = String::from_utf8(exported).unwrap();
    let mut data = vec![("git.asc", exported.as_str())];
    if !passphrase.is_empty() {
        let error = Signer::from_secret(&secret(&data)).unwrap_err().to_string();
        assert!(error.contains("passphrase"), "{error}");
        let wrong =
            Signer::from_secret(&secret(&[("git.asc", &exported), ("passphrase", "other")])).unwrap_err();
        assert!(wrong.to_string().contains("passphrase"), "{wrong}");
        data.push(("passphrase", passphrase));
    }
    let signer = Signer::from_secret(&secret(&data)).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let made = deliver(&mirrors(cache.path()), &upstream, "a: 2\n", Some(&signer)).unwrap();
    assert_eq!(repo.git(&["rev-parse", "main"]), made.id.to_string());
    assert_eq!(signed_by(&repo, home.path()), "G Ann <ann@example.org>");
    end_gpg(home.path());
}

/// A primary key that may only certify, with subkeys that may sign: the year that each was made in,
/// and how long it lasts.
fn with_subkeys(home: &Path, subkeys: &[(u16, &str)]) {
    let alone = ["--passphrase", ""];
    let primary = ["--faked-system-time", "20190101T000000"];
    let made = [
        "--quick-gen-key",
        "Ann <ann@example.org>",
        "ed25519",
        "cert",
        "never",
    ];
    gpg(home, &[&alone[..], &primary, &made].concat());
    let listed = gpg(home, &["--list-keys", "--with-colons"]);
    let listed = String::from_utf8(listed).unwrap();
    let fingerprint = listed
        .lines()
        .find_map(|line| line.strip_prefix("fpr:::::::::"))
        .unwrap()
        .trim_end_matches(':');
    for (year, lasts) in subkeys {
        let time = format!("{year}0101T000000");
        let added = ["--quick-add-key", fingerprint, "ed25519", "sign", lasts];
        gpg(
            home,
            &[&alone[..], &["--faked-system-time", &time], &added].concat(),
        );
    }
}

#[rstest::rstest]
#[case::newest_expired(&[(2020, "never"), (2021, "1y")], "--export-secret-keys")]
#[case::newest_valid(&[(2020, "1y"), (2021, "never")], "--export-secret-keys")]
#[case::primary_kept_elsewhere(&[(2020, "never")], "--export-secret-subkeys")]
fn a_subkey_signs_that_gpg_would_take(#[case] subkeys: &[(u16, &str)], #[case] export: &str) {
    let root = tempfile::tempdir().unwrap();
    let repo = repository(root.path());
    let server = GitServer::http(root.path()).start();
    let upstream = anonymous(&server.url("gitops"));
    let home = tempfile::Builder::new().prefix("g").tempdir().unwrap();
    with_subkeys(home.path(), subkeys);
    let exported = gpg(home.path(), &["--passphrase", "", "--armor", export]);
    let exported = String::from_utf8(exported).unwrap();
    let signer = Signer::from_secret(&secret(&[("git.asc", &exported)])).unwrap();
    let cache = tempfile::tempdir().unwrap();
    deliver(&mirrors(cache.path()), &upstream, "a: 2\n", Some(&signer)).unwrap();
    assert_eq!(signed_by(&repo, home.path()), "G Ann <ann@example.org>");
    end_gpg(home.path());
}

#[rstest::rstest]
#[case::expired(&[(2020, "1y"), (2021, "1y")], "expired on 2022-01-01: extend it")]
#[case::none(&[], "no key that may sign")]
fn a_key_that_cannot_sign_any_more_is_told(#[case] subkeys: &[(u16, &str)], #[case] expected: &str) {
    let home = tempfile::Builder::new().prefix("g").tempdir().unwrap();
    with_subkeys(home.path(), subkeys);
    let exported = gpg(
        home.path(),
        &["--passphrase", "", "--armor", "--export-secret-keys"],
    );
    let exported = String::from_utf8(exported).unwrap();
    let error = Signer::from_secret(&secret(&[("git.asc", &exported)])).unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
    end_gpg(home.path());
}

#[test]
fn what_is_no_key_for_signing_is_told() {
    for (data, expected) in [
        (&[("username", "x")][..], "identity"),
        (&[("identity", "no key")], "OpenSSH"),
        (&[("git.asc", "no key")], "git.asc"),
        (&[("git.asc", "x"), ("identity", "y")], "one of"),
    ] {
        let error = Signer::from_secret(&secret(data)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_author_that_cannot_be_is_the_specs_fault() {
    let root = tempfile::tempdir().unwrap();
    repository(root.path());
    let server = GitServer::http(root.path()).start();
    let cache = tempfile::tempdir().unwrap();
    let snapshot = head(&mirrors(cache.path()), &anonymous(&server.url("gitops")));
    for (name, email) in [
        ("<>", "a@example.org"),
        ("A", "b\nparent x"),
        (" ", "a@example.org"),
    ] {
        let author = Identity {
            name: name.to_owned(),
            email: email.to_owned(),
        };
        let made = snapshot.make_commit(&NewCommit {
            changes: &[rewrite("apps/a.yaml", "a: 2\n")],
            author: &author,
            message: MESSAGE,
            time: Timestamp::from_second(1_700_000_000).unwrap(),
            signer: None,
        });
        let error = made.unwrap_err();
        assert_eq!(error.class(), Class::Invalid, "{error}");
        assert!(matches!(error, Error::Author { .. }), "{error:?}");
        assert!(!error.to_string().contains('\n'), "{error:?}");
    }
}

/// Makes a commit for each of several lists of changes.
fn make_all(snapshot: &Snapshot, commits: &[(&str, Vec<FileChange>)]) -> Result<MadeCommit, Error> {
    let author = author();
    let commits: Vec<NewCommit<'_>> = commits
        .iter()
        .map(|(message, changes)| NewCommit {
            changes,
            author: &author,
            message,
            time: Timestamp::from_second(1_700_000_000).unwrap(),
            signer: None,
        })
        .collect();
    snapshot.make_commits(&commits)
}

/// Commits that remove, rename and add files, with their messages.
fn commits_with_files_that_come_and_go() -> [(&'static str, Vec<FileChange>); 3] {
    [
        ("drop the last of a folder", vec![remove("apps/deep/b.yaml")]),
        (
            "rename, and drop a link",
            vec![
                remove("apps/run.yaml"),
                write("apps/go.yaml", "#!/bin/true\n"),
                remove("apps/link.yaml"),
            ],
        ),
        (
            "new folders",
            vec![
                write("patches/glance/2026.1/0001-a.patch", "a\n"),
                rewrite("apps/a.yaml", "a: 2\n"),
            ],
        ),
    ]
}

/// The commits of a branch that `main` does not have, as mirrors read them from the server.
fn read_branch(mirrors: &Mirrors, upstream: &Upstream, branch: &str) -> Vec<Commit> {
    let resolve = |branch: &str| {
        let branch = RefSpec::Branch(branch.to_owned());
        mirrors
            .resolve(upstream, &branch, Freshness::Now, soon())
            .unwrap()
    };
    let (tip, base) = (resolve(branch), resolve("main"));
    let at = |resolved| CommitAt { upstream, resolved };
    let branch = mirrors.branch(at(&tip), at(&base), 50, soon()).unwrap();
    branch.read_commits().unwrap()
}

#[test]
fn several_commits_with_files_that_come_and_go_are_one_push() {
    let root = tempfile::tempdir().unwrap();
    let repo = repository(root.path());
    let server = GitServer::http(root.path()).start();
    let upstream = anonymous(&server.url("gitops"));
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let snapshot = head(&mirrors, &upstream);
    let made = make_all(&snapshot, &commits_with_files_that_come_and_go()).unwrap();
    mirrors
        .push(
            &upstream,
            &BranchUpdate {
                branch: "patchset/upkeep",
                expected: ExpectedBranch::Absent,
                commit: &made,
            },
            soon(),
        )
        .unwrap();
    repo.git(&["fsck", "--strict", "--full"]);
    let log = repo.git(&["log", "--format=%s", "main..patchset/upkeep"]);
    assert_eq!(
        log.lines().collect::<Vec<_>>(),
        [
            "new folders",
            "rename, and drop a link",
            "drop the last of a folder"
        ]
    );
    let changed = |commit: &str| {
        repo.git(&[
            "diff-tree",
            "-r",
            "--no-renames",
            "--name-status",
            "--no-commit-id",
            commit,
        ])
    };
    assert_eq!(changed("patchset/upkeep~2"), "D\tapps/deep/b.yaml");
    assert_eq!(
        changed("patchset/upkeep~1"),
        "A\tapps/go.yaml\nD\tapps/link.yaml\nD\tapps/run.yaml"
    );
    assert_eq!(
        changed("patchset/upkeep"),
        "M\tapps/a.yaml\nA\tpatches/glance/2026.1/0001-a.patch"
    );
    // As in git itself, an empty folder does not exist.
    assert_eq!(repo.git(&["ls-tree", "patchset/upkeep", "apps/deep"]), "");

    // A reader of the branch finds whose commits it has.
    let read = read_branch(&mirrors, &upstream, "patchset/upkeep");
    let subjects: Vec<String> = read
        .iter()
        .map(|commit| String::from_utf8(commit.message.clone()).unwrap())
        .collect();
    assert_eq!(
        subjects,
        [
            "drop the last of a folder",
            "rename, and drop a link",
            "new folders"
        ]
    );
    assert!(read.iter().all(|commit| commit.author.email == "ann@example.org"));
}

#[rstest::rstest]
#[case::absent(remove("apps/none.yaml"))]
#[case::folder(remove("apps/deep"))]
#[case::through_a_file(write("README/x", "x\n"))]
#[case::over_a_folder(write("apps/deep", "x\n"))]
#[case::rewritten_over_a_link(rewrite("apps/link.yaml", "x\n"))]
#[case::absent_rewritten(rewrite("apps/none.yaml", "x\n"))]
#[case::above(write("../x", "x\n"))]
#[case::git(write("apps/.GIT/config", "x\n"))]
#[case::nothing(write("", "x\n"))]
fn what_cannot_be_changed_is_told(#[case] change: FileChange) {
    let root = tempfile::tempdir().unwrap();
    repository(root.path());
    let server = GitServer::http(root.path()).start();
    let cache = tempfile::tempdir().unwrap();
    let snapshot = head(&mirrors(cache.path()), &anonymous(&server.url("gitops")));
    let error = make_all(&snapshot, &[("x", vec![change])]).unwrap_err();
    assert!(matches!(error, Error::Path { .. }), "{error:?}");
}
