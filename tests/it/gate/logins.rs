//! Upstreams that require a login, and how much is fetched from a server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::Ordering;

use super::{Team, printed};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;
use crate::support::ssh_server::{GitProtocol, SshServer};

const USER: &str = "robot";
const PASSWORD: &str = "p4ss-w0rd%41 word";

/// Runs a check against a server, with a home folder of its own.
fn check(team: &Team, base: &str, home: &Path) -> Output {
    team.command(&["--upstream", base])
        .env("HOME", home)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("NETRC")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env_remove("GIT_CONFIG_GLOBAL")
        .output()
        .unwrap()
}

fn told(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    format!("{out}{}", String::from_utf8_lossy(&output.stderr))
}

fn base(server: &GitServer) -> String {
    format!("http://{}", server.host())
}

#[test]
fn the_login_is_the_one_that_git_has() {
    let team = Team::new();
    let server = GitServer::http(team.upstreams.path())
        .basic(USER, PASSWORD)
        .start();
    let home = tempfile::tempdir().unwrap();

    // No login.
    let refused = check(&team, &base(&server), home.path());
    let text = told(&refused);
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(
        text.contains("neither git's credential helpers nor ~/.netrc have a login for 127.0.0.1"),
        "{text}"
    );
    assert_eq!(server.counts().with_login.load(Ordering::SeqCst), 0);

    // A helper, which is asked once per server.
    let helper = home.path().join("helper");
    let script = format!(
        "#!/bin/sh\ncat >> {0}/asked\ntest \"$1\" = get && printf 'username=%s\\npassword=%s\\n' '{USER}' '{PASSWORD}'\n",
        home.path().display()
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(
        home.path().join(".gitconfig"),
        format!("[credential]\nhelper = {}\n", helper.display()),
    )
    .unwrap();
    let output = check(&team, &base(&server), home.path());
    printed(&output, 0);
    assert!(!told(&output).contains(PASSWORD));
    let asked = fs::read_to_string(home.path().join("asked")).unwrap();
    assert_eq!(asked.matches("protocol=http\n").count(), 1, "{asked}");

    // A wrong login is not shown.
    let wrong = fs::read_to_string(&helper)
        .unwrap()
        .replace(PASSWORD, "wrong-secret");
    fs::write(&helper, wrong).unwrap();
    let refused = check(&team, &base(&server), home.path());
    let text = told(&refused);
    assert!(
        text.contains("authentication failed") && !text.contains("wrong-secret"),
        "{text}"
    );

    // A helper that never answers is abandoned, and netrc has a login.
    fs::remove_file(home.path().join(".gitconfig")).unwrap();
    fs::write(
        home.path().join(".netrc"),
        format!("machine 127.0.0.1 login {USER} password \"{PASSWORD}\"\n"),
    )
    .unwrap();
    printed(&check(&team, &base(&server), home.path()), 0);
}

#[test]
fn a_public_upstream_is_sent_no_login() {
    let team = Team::new();
    let server = GitServer::http(team.upstreams.path()).start();
    let home = tempfile::tempdir().unwrap();
    fs::write(
        home.path().join(".netrc"),
        format!("default login {USER} password \"{PASSWORD}\"\n"),
    )
    .unwrap();
    printed(&check(&team, &base(&server), home.path()), 0);
    assert_eq!(server.counts().with_login.load(Ordering::SeqCst), 0);
}

#[test]
fn ssh_takes_the_keys_of_the_user() {
    let team = Team::new();
    let server = SshServer::start(GitProtocol::Accepted);
    let home = tempfile::tempdir().unwrap();
    let url = server.url(team.upstreams.path());
    let none = check(&team, &url, home.path());
    assert!(
        told(&none).contains("there is no key id_rsa, id_ecdsa, id_ed25519 in ~/.ssh"),
        "{}",
        told(&none)
    );
    let ssh = home.path().join(".ssh");
    fs::create_dir(&ssh).unwrap();
    // This one cannot be used, and is no reason not to try others.
    fs::write(ssh.join("id_rsa"), server.user_key("ed25519", "secret")).unwrap();
    let unknown = told(&check(&team, &url, home.path()));
    assert!(unknown.contains("there is no ~/.ssh/known_hosts"), "{unknown}");
    fs::write(ssh.join("known_hosts"), server.known_hosts("ed25519")).unwrap();
    let locked = told(&check(&team, &url, home.path()));
    assert!(locked.contains("~/.ssh/id_rsa cannot be used: "), "{locked}");
    fs::write(ssh.join("id_ed25519"), server.user_key("ed25519", "")).unwrap();
    printed(&check(&team, &url, home.path()), 0);
}

#[test]
fn only_the_files_of_patches_are_fetched() {
    let team = Team::new();
    let upstream = GitRepo::create(team.upstreams.path(), "big");
    let lines = (0..400_000_u32).map(|n| format!("{:x}", n.wrapping_mul(2_654_435_761)));
    let noise = lines.collect::<Vec<_>>().join("\n") + "\n";
    upstream.commit(&[("f", super::BASE), ("large", &noise)], "one");
    upstream.git(&["tag", "1"]);
    upstream.git(&["config", "uploadpack.allowFilter", "true"]);
    team.write(
        "releases/2025.2/source-refs.yaml",
        "big: \"1\"\nglance: \"1.0\"\n",
    );
    team.write("patches/big/2025.2/0001-five.patch", &super::patch("five", "V"));
    let server = GitServer::http(team.upstreams.path()).start();
    let output = team
        .command(&["--upstream", &base(&server), "--component", "big"])
        .output()
        .unwrap();
    printed(&output, 0);
    let sent = server.counts().sent.load(Ordering::SeqCst);
    assert!(sent < 200_000, "{sent} bytes were sent");
}
