//! Keys of the real gpg and ssh-keygen, and objects that the real git signs with them and judges.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::git_repo::GitRepo;

/// Runs gpg with a home of its own.
pub fn gpg(home: &Path, args: &[&str]) -> Vec<u8> {
    let output = Command::new("gpg")
        .arg("--homedir")
        .arg(home)
        .args(["--batch", "--pinentry-mode", "loopback"])
        .args(args)
        .output()
        .expect("gpg runs");
    assert!(
        output.status.success(),
        "gpg {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Ends what gpg started for a home.
pub fn end_gpg(home: &Path) {
    let _ = Command::new("gpgconf")
        .arg("--homedir")
        .arg(home)
        .args(["--kill", "all"])
        .status();
}

/// Keys of gpg; when dropped, what gpg started for them ends.
pub struct GpgHome(tempfile::TempDir);

impl Drop for GpgHome {
    fn drop(&mut self) {
        end_gpg(self.0.path());
    }
}

impl GpgHome {
    /// No keys.
    pub fn empty() -> Self {
        // The path of a socket must be short.
        Self(tempfile::Builder::new().prefix("g").tempdir().unwrap())
    }

    /// One key without a passphrase, for `usage`. `now` is the time that gpg assumes, if not the
    /// real one.
    pub fn with_key(algorithm: &str, usage: &str, lasts: &str, now: Option<&str>) -> Self {
        let home = Self::empty();
        let name = "Ann <ann@example.org>";
        home.run(now, &["--quick-gen-key", name, algorithm, usage, lasts]);
        home
    }

    /// The keys of armored blocks.
    pub fn importing(armored: &str) -> Self {
        let home = Self::empty();
        let file = home.0.path().join("keys.asc");
        std::fs::write(&file, armored).unwrap();
        // A block is imported as far as gpg can use its parts.
        let _ = Command::new("gpg")
            .arg("--homedir")
            .arg(home.0.path())
            .args(["--batch", "--quiet", "--import"])
            .arg(&file)
            .stderr(Stdio::null())
            .status();
        home
    }

    /// Runs gpg with an empty passphrase.
    pub fn run(&self, now: Option<&str>, args: &[&str]) -> Vec<u8> {
        let mut all = vec!["--passphrase", ""];
        if let Some(now) = now {
            all.extend(["--faked-system-time", now]);
        }
        gpg(self.0.path(), &[&all, args].concat())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The fingerprints of the first primary key and of its subkeys.
    pub fn fingerprints(&self) -> Vec<String> {
        let listed = self.run(None, &["--list-keys", "--with-colons"]);
        let listed = String::from_utf8(listed).unwrap();
        let lines = listed
            .lines()
            .filter_map(|line| line.strip_prefix("fpr:::::::::"));
        lines.map(|line| line.trim_end_matches(':').to_owned()).collect()
    }

    /// The public keys, armored.
    pub fn export(&self) -> String {
        String::from_utf8(self.run(None, &["--armor", "--export"])).unwrap()
    }

    /// Revokes the first primary key.
    pub fn revoke(&self) {
        let fingerprint = self.fingerprints().remove(0);
        let path = self.0.path().join(format!("openpgp-revocs.d/{fingerprint}.rev"));
        let text = std::fs::read_to_string(&path).unwrap();
        // gpg puts a colon there, so that it is not imported by mistake.
        let file = self.0.path().join("revocation");
        std::fs::write(&file, text.replace(":-----BEGIN", "-----BEGIN")).unwrap();
        self.run(None, &["--import", file.to_str().unwrap()]);
    }

    /// Settings that make git sign with the first primary key, or with its subkey for that.
    pub fn settings(&self) -> Vec<String> {
        vec![
            format!("gpg.program={}", self.program(&[])),
            format!("user.signingkey={}", self.fingerprints()[0]),
        ]
    }

    /// A program for git's `gpg.program` that passes further options to gpg.
    pub fn program(&self, options: &[&str]) -> String {
        let (name, quoted) = (options.join(""), options.join(" "));
        let file = self.0.path().join(format!("gpg{}", name.replace('/', "")));
        let script = format!(
            "#!/bin/sh\nexec gpg --homedir {} --batch --pinentry-mode loopback --passphrase '' {quoted} \"$@\"\n",
            self.0.path().display()
        );
        std::fs::write(&file, script).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        file.display().to_string()
    }
}

/// A key of ssh-keygen.
pub struct SshKey {
    dir: tempfile::TempDir,
}

impl SshKey {
    /// A key of a type and, if given, a size in bits.
    pub fn new(kind: &str, bits: Option<u32>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", kind, "-N", "", "-C", "test", "-m", "PEM", "-f"]);
        command.arg(dir.path().join("key"));
        if let Some(bits) = bits {
            command.args(["-b", &bits.to_string()]);
        }
        assert!(command.status().expect("ssh-keygen runs").success());
        Self { dir }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("key")
    }

    /// The public key, without a comment.
    pub fn public(&self) -> String {
        let text = std::fs::read_to_string(self.path().with_extension("pub")).unwrap();
        let words: Vec<&str> = text.split_whitespace().take(2).collect();
        words.join(" ")
    }

    /// An armored signature for a namespace.
    pub fn sign(&self, namespace: &str, payload: &[u8]) -> String {
        let signed = piped(
            Command::new("ssh-keygen")
                .args(["-Y", "sign", "-n", namespace, "-f"])
                .arg(self.path()),
            payload,
        );
        String::from_utf8(signed).unwrap()
    }

    /// Settings that make git sign with it.
    pub fn settings(&self) -> Vec<String> {
        vec![
            "gpg.format=ssh".to_owned(),
            format!("user.signingkey={}", self.path().display()),
        ]
    }
}

/// Runs a program with an input; returns its output.
pub fn piped(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

impl GitRepo {
    /// Runs git with settings.
    pub fn git_with(&self, settings: &[String], args: &[&str]) -> String {
        let mut all: Vec<&str> = settings.iter().flat_map(|setting| ["-c", setting]).collect();
        all.extend(args);
        self.git(&all)
    }

    /// A commit signed by git; returns its id.
    pub fn signed_commit(&self, settings: &[String], message: &str) -> String {
        self.git_with(
            settings,
            &["commit", "--quiet", "--allow-empty", "-S", "-m", message],
        );
        self.git(&["rev-parse", "HEAD"])
    }

    /// The bytes of an object.
    pub fn raw(&self, kind: &str, id: &str) -> Vec<u8> {
        let output = Command::new("git")
            .arg("--git-dir")
            .arg(&self.dir)
            .args(["cat-file", kind, id])
            .output()
            .unwrap();
        assert!(output.status.success());
        output.stdout
    }

    /// Stores an object as given, and points a ref to it; returns its id.
    pub fn store(&self, kind: &str, raw: &[u8], name: &str) -> String {
        let id = piped(
            Command::new("git").arg("--git-dir").arg(&self.dir).args([
                "hash-object",
                "-t",
                kind,
                "-w",
                "--stdin",
                "--literally",
            ]),
            raw,
        );
        let id = String::from_utf8(id).unwrap().trim().to_owned();
        let path = self.dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{id}\n")).unwrap();
        id
    }

    /// Whether `git verify-commit` or `git verify-tag` accepts an object.
    pub fn verifies(&self, settings: &[String], command: &str, object: &str) -> bool {
        let mut git = Command::new("git");
        git.arg("--git-dir").arg(&self.dir);
        for setting in settings {
            git.args(["-c", setting]);
        }
        let output = git
            .args([command, object])
            .env("TZ", "UTC")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .unwrap();
        output.status.success()
    }
}

/// A commit with a signature in its headers, as git writes it.
pub fn with_signature(unsigned: &[u8], signature: &str) -> Vec<u8> {
    let text = std::str::from_utf8(unsigned).unwrap();
    let (head, message) = text.split_once("\n\n").unwrap();
    let folded = signature.trim_end().replace('\n', "\n ");
    format!("{head}\ngpgsig {folded}\n\n{message}").into_bytes()
}
