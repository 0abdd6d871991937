//! A real registry on loopback: Debian's `docker-registry`, with a configuration for tests.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::git_server::free_port;
use super::program::program;
use super::token_server::{ISSUER, SERVICE, TokenServer};

/// `ann` with the password `secret`, as htpasswd's bcrypt.
const HTPASSWD: &str = "ann:$2b$05$KALNjxkWB78zBiJ27Vg2newbUYd/k7DEODyvGSxFybSDTmS.X/Fbe\n";

/// A registry; stopped when dropped.
pub struct Registry {
    child: Option<Child>,
    /// Host and port.
    pub host: String,
    root: tempfile::TempDir,
}

impl Registry {
    /// A registry that accepts pushes from everyone.
    pub fn open() -> Self {
        Self::start(&format!("127.0.0.1:{}", free_port()), "")
    }

    /// The same on a given host and port.
    pub fn open_at(host: &str) -> Self {
        Self::start(host, "")
    }

    /// A registry that requires ann's password.
    pub fn with_password() -> Self {
        Self::with_password_at(&format!("127.0.0.1:{}", free_port()))
    }

    /// The same on a given host and port.
    pub fn with_password_at(host: &str) -> Self {
        Self::start(
            host,
            "auth:\n  htpasswd:\n    realm: test\n    path: ROOT/htpasswd\n",
        )
    }

    /// A registry that requires tokens of a server.
    pub fn with_tokens(server: &TokenServer) -> Self {
        let more = format!(
            "auth:\n  token:\n    realm: {}\n    service: {SERVICE}\n    issuer: {ISSUER}\n    rootcertbundle: ROOT/token.pem\n",
            server.realm
        );
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("token.pem"), &server.certificate).unwrap();
        Self::start_in(root, &format!("127.0.0.1:{}", free_port()), &more)
    }

    fn start(host: &str, more: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), host, more)
    }

    fn start_in(root: tempfile::TempDir, host: &str, more: &str) -> Self {
        let folder = root.path().to_str().unwrap().to_owned();
        std::fs::write(root.path().join("htpasswd"), HTPASSWD).unwrap();
        std::fs::write(
            root.path().join("config.yml"),
            format!(
                "version: 0.1\nlog:\n  accesslog:\n    disabled: false\nstorage:\n  filesystem:\n    rootdirectory: {folder}/data\n  delete:\n    enabled: true\nhttp:\n  addr: {host}\n{}",
                more.replace("ROOT", &folder)
            ),
        )
        .unwrap();
        let mut registry = Self {
            child: None,
            host: host.to_owned(),
            root,
        };
        registry.resume();
        registry
    }

    /// Starts it again with its former content.
    pub fn resume(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.root.path().join("log"))
            .unwrap();
        let child = program("docker-registry")
            .arg("serve")
            .arg(self.root.path().join("config.yml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let end = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(&self.host).is_err() {
            assert!(
                Instant::now() < end,
                "the registry does not start: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops it; its content stays.
    pub fn pause(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.root.path().join("log")).unwrap()
    }

    /// The tags of a repository.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let url = format!("http://{}/v2/{repository}/tags/list", self.host);
        let text = reqwest::blocking::get(url).unwrap().text().unwrap();
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        serde_json::from_value(answer["tags"].clone()).unwrap()
    }

    /// The digest of a tag in a repository.
    pub fn digest(&self, repository: &str, tag: &str) -> String {
        let copied = program("skopeo")
            .args([
                "inspect",
                "--no-tags",
                "--tls-verify=false",
                "--format={{.Digest}}",
            ])
            .arg(format!("docker://{}/{repository}:{tag}", self.host))
            .output()
            .unwrap();
        assert!(
            copied.status.success(),
            "{}",
            String::from_utf8_lossy(&copied.stderr)
        );
        String::from_utf8(copied.stdout).unwrap().trim().to_owned()
    }

    /// The number of blobs that it received.
    pub fn uploads(&self) -> usize {
        self.log().matches("\"POST /v2/").count()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
