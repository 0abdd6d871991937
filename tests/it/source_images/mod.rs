//! Source images: deterministic layers, a real registry, and real packages that install from them.

mod habits;
mod hostile;
mod installed;
mod layer;
mod logins;
mod memory;
mod push;
mod python;
mod services;
mod uploads;

use std::path::Path;
use std::process::Command as Program;

use assert_cmd::Command;
use image_references::ImageReference;
use serde_json::Value;

use crate::support::git_repo::GitRepo;
use crate::support::program::program;
use crate::support::registry::Registry;

/// `patchset source`, without the caller's own credentials.
pub fn source(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchset"));
    command
        .arg("source")
        .args(arguments)
        .env("DOCKER_CONFIG", "/nonexistent");
    command
}

/// The output of `patchset source --output json`.
pub fn told(arguments: &[&str]) -> Value {
    let assert = source(&[&["--output", "json"], arguments].concat())
        .assert()
        .success();
    serde_json::from_slice(&assert.get_output().stdout).unwrap()
}

/// An upstream with a file of each kind.
pub fn upstream(root: &Path) -> GitRepo {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let repo = GitRepo::create(root, "component");
    let long = format!("{}/{}.txt", "folder".repeat(12), "name".repeat(30));
    repo.commit(
        &[
            ("file.txt", "one\ntwo\nthree\n"),
            ("empty", ""),
            ("run.sh", "#!/bin/sh\necho run\n"),
            ("a/b/c/deep.txt", "deep\n"),
            ("a.txt", "beside the folder a\n"),
            ("\u{fc}ml\u{e4}ut \u{1f980}.txt", "names\n"),
            (&long, "long\n"),
        ],
        "base",
    );
    let work = repo.work();
    std::fs::set_permissions(work.join("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("a/b/c/deep.txt", work.join("link")).unwrap();
    symlink(format!("a/{}", "x".repeat(150)), work.join("long-link")).unwrap();
    repo.commit(&[], "modes and links");
    repo.git(&["tag", "1.2.3"]);
    repo
}

pub fn image_reference(text: &str) -> ImageReference {
    text.parse().unwrap()
}

/// Pulls an image with skopeo; returns the folder with its layer, unpacked by tar.
pub fn unpacked(registry: &Registry, reference: &str, root: &Path) -> std::path::PathBuf {
    assert!(reference.starts_with(&registry.host), "{reference}");
    let image = root.join("image");
    let pulled = program("skopeo")
        .args(["copy", "--quiet", "--src-tls-verify=false"])
        .arg(format!("docker://{reference}"))
        .arg(format!("dir:{}", image.display()))
        .output()
        .unwrap();
    assert!(
        pulled.status.success(),
        "{}",
        String::from_utf8_lossy(&pulled.stderr)
    );
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(image.join("manifest.json")).unwrap()).unwrap();
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    let tree = root.join("tree");
    std::fs::create_dir(&tree).unwrap();
    let tar = Program::new("tar")
        .args(["--extract", "--no-same-owner", "--file"])
        .arg(image.join(digest.strip_prefix("sha256:").unwrap()))
        .arg("--directory")
        .arg(&tree)
        .status()
        .unwrap();
    assert!(tar.success());
    tree
}
