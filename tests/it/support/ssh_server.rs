//! A real `sshd` on a loopback port, with keys of its own.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use super::git_server::{end, start_on_free_port};

/// A running `sshd` that accepts the current user with the keys made by [`SshServer::user_key`].
pub struct SshServer {
    dir: tempfile::TempDir,
    port: u16,
    child: Child,
}

/// Whether the server accepts the request for a newer version of Git's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitProtocol {
    /// `AcceptEnv GIT_PROTOCOL`, as on hosting services.
    Accepted,
    /// sshd's default.
    Ignored,
}

impl SshServer {
    /// Starts the server with an ed25519 and an RSA host key.
    pub fn start(protocol: GitProtocol) -> Self {
        Self::with(protocol, "")
    }

    /// The same, with a script that sees each command before it is run, as `$SSH_ORIGINAL_COMMAND`.
    pub fn with_script(protocol: GitProtocol, script: &str) -> Self {
        let run = "exec sh -c \"$SSH_ORIGINAL_COMMAND\"";
        // The user's shell runs it.
        Self::with(protocol, &format!("ForceCommand {script}; {run}"))
    }

    /// The same with further lines in its configuration.
    pub fn with(protocol: GitProtocol, settings: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        for kind in ["ed25519", "rsa"] {
            let (private, public) = host_key(kind);
            let path = dir.path().join(format!("host_{kind}"));
            std::fs::write(path.with_extension("pub"), public).expect("a file");
            std::fs::write(&path, private).expect("a file");
            // sshd refuses a host key that others may read.
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a file");
        }
        // sshd requires it when started as root.
        let _ = std::fs::create_dir_all("/run/sshd");
        std::fs::write(dir.path().join("authorized_keys"), "").expect("a file");
        let mut config = format!(
            "ListenAddress 127.0.0.1\nHostKey {0}/host_ed25519\nHostKey {0}/host_rsa\nPidFile none\n\
             AuthorizedKeysFile {0}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nMaxStartups 100\n",
            dir.path().display()
        );
        if protocol == GitProtocol::Accepted {
            config.push_str("AcceptEnv GIT_PROTOCOL\n");
        }
        config.push_str(settings);
        config.push('\n');
        let file = dir.path().join("sshd_config");
        std::fs::write(&file, config).expect("a file");
        let (port, child) = start_on_free_port(|port| {
            Command::new("/usr/sbin/sshd")
                .args(["-D", "-f"])
                .arg(&file)
                .args(["-p", &port.to_string()])
                .stderr(Stdio::null())
                .spawn()
                .expect("sshd is installed (package openssh-server)")
        });
        Self { dir, port, child }
    }

    /// Makes a key that may log in; returns the private half.
    pub fn user_key(&self, kind: &str, passphrase: &str) -> String {
        let (private, public) = self.stranger_key(kind, passphrase);
        self.let_in(&public);
        private
    }

    /// Authorizes a key, given its public half.
    pub fn let_in(&self, public: &str) {
        let file = self.dir.path().join("authorized_keys");
        let mut lines = std::fs::read_to_string(&file).expect("a file");
        lines.push_str(public);
        std::fs::write(&file, lines).expect("a file");
    }

    /// Makes a key that may not log in; returns both halves.
    pub fn stranger_key(&self, kind: &str, passphrase: &str) -> (String, String) {
        let dir = tempfile::tempdir_in(self.dir.path()).expect("a folder");
        let path = dir.path().join("key");
        keygen(&path, kind, passphrase);
        let public = std::fs::read_to_string(path.with_extension("pub")).expect("a key");
        (std::fs::read_to_string(path).expect("a key"), public)
    }

    /// The host's public key of a kind, `TYPE BASE64`.
    pub fn host_key(&self, kind: &str) -> String {
        let line = std::fs::read_to_string(self.dir.path().join(format!("host_{kind}.pub"))).expect("a key");
        line.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// A line of `known_hosts` for this server.
    pub fn known_hosts(&self, kind: &str) -> String {
        format!("[127.0.0.1]:{} {}\n", self.port, self.host_key(kind))
    }

    /// The same, with the host's name hashed by `ssh-keygen -H`.
    pub fn hashed_known_hosts(&self, kind: &str) -> String {
        let file: PathBuf = self.dir.path().join("hashed");
        std::fs::write(&file, self.known_hosts(kind)).expect("a file");
        let done = Command::new("ssh-keygen")
            .arg("-H")
            .arg("-f")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("ssh-keygen runs");
        assert!(done.success());
        std::fs::read_to_string(file).expect("a file")
    }

    /// The address of a repository's folder.
    pub fn url(&self, repository: &Path) -> String {
        let user = String::from_utf8(Command::new("id").arg("-un").output().expect("id runs").stdout);
        let user = user.expect("UTF-8");
        format!(
            "ssh://{}@127.0.0.1:{}{}",
            user.trim(),
            self.port,
            repository.display()
        )
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// The host key of a kind; the same for all servers, because making an RSA key takes long.
fn host_key(kind: &str) -> (String, String) {
    static KEYS: Mutex<BTreeMap<String, (String, String)>> = Mutex::new(BTreeMap::new());
    let mut keys = KEYS.lock().expect("no panic");
    let pair = keys.entry(kind.to_owned()).or_insert_with(|| {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("key");
        keygen(&path, kind, "");
        let read = |path: &Path| std::fs::read_to_string(path).expect("a key");
        (read(&path), read(&path.with_extension("pub")))
    });
    pair.clone()
}

fn keygen(path: &Path, kind: &str, passphrase: &str) {
    let done = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"])
        .arg(path)
        .status()
        .expect("ssh-keygen runs");
    assert!(done.success());
}
