//! A real OpenStack package installs from its source image with the right version, without Git.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command as Program;

use super::{source, told, unpacked};
use crate::support::git_repo::GitRepo;
use crate::support::program::{cached, program};
use crate::support::registry::Registry;

#[test]
fn a_real_package_installs_from_a_source_image_with_its_version() {
    let root = tempfile::tempdir().unwrap();
    // The corpus has the released trees, with the PKG-INFO that the Git trees lack.
    let corpus = cached("corpus/oslo.messaging.git");
    let work = root.path().join("work");
    let git = |arguments: &[&str]| {
        let output = Program::new("git")
            .args([
                "-c",
                "user.name=Tester",
                "-c",
                "user.email=tester@example.org",
                "-c",
                "advice.detachedHead=false",
            ])
            .args(arguments)
            .current_dir(root.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    git(&[
        "clone",
        "--quiet",
        "--branch",
        "17.3.0",
        corpus.to_str().unwrap(),
        "work",
    ]);
    git(&["-C", "work", "rm", "-rq", "PKG-INFO", "oslo.messaging.egg-info"]);
    git(&["-C", "work", "commit", "--quiet", "--message", "As in Git"]);
    git(&["-C", "work", "tag", "--delete", "17.3.0"]);
    git(&["-C", "work", "tag", "17.3.0"]);

    let registry = Registry::open();
    let reference = format!("{}/oslo.messaging-source:17.3.0", registry.host);
    let pushed = told(&[
        "--repo",
        work.to_str().unwrap(),
        "--ref",
        "17.3.0",
        "--plain-http",
        &registry.host,
        "--push",
        &reference,
    ]);
    assert_eq!(pushed["version"], "17.3.0");
    let tree = unpacked(&registry, pushed["reference"].as_str().unwrap(), root.path());
    assert!(!tree.join(".git").exists());
    assert_eq!(
        std::fs::read_to_string(tree.join("PKG-INFO")).unwrap(),
        "Metadata-Version: 2.1\nName: oslo.messaging\nVersion: 17.3.0\n"
    );

    assert_eq!(installed_version(root.path(), &tree, "oslo.messaging"), "17.3.0");

    // All of it is installed: the same files as from the released archive, which has its own lists
    // of them.
    let released = root.path().join("released");
    std::fs::create_dir(&released).unwrap();
    git(&[
        "clone",
        "--quiet",
        "--branch",
        "17.3.0",
        corpus.to_str().unwrap(),
        "released",
    ]);
    std::fs::remove_dir_all(released.join(".git")).unwrap();
    let expected = installed_files(root.path(), "a", &released);
    assert!(expected.len() > 70, "{expected:?}");
    assert_eq!(installed_files(root.path(), "b", &tree), expected);
}

/// The files that uv installs from a folder, without its installation records.
fn installed_files(root: &Path, name: &str, tree: &Path) -> BTreeSet<String> {
    let target = root.join(name);
    let output = program("uv")
        .args(["pip", "install", "--quiet", "--no-deps", "--target"])
        .args([&target, tree])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let found = Program::new("find")
        .args([".", "-type", "f"])
        .current_dir(&target)
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    let is_own = |path: &&str| !path.contains(".dist-info/") && !path.contains("__pycache__");
    found.lines().filter(is_own).map(ToOwned::to_owned).collect()
}

/// Installs a folder with uv and without Git; returns the version that Python then sees.
fn installed_version(root: &Path, tree: &Path, package: &str) -> String {
    let environment = root.join("venv");
    let python = environment.join("bin/python");
    let uv = |arguments: &[&str], path: &Path| {
        let output = program("uv")
            .args(arguments)
            .arg(path)
            .env_remove("PBR_VERSION")
            .env_remove("SETUPTOOLS_SCM_PRETEND_VERSION")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    uv(&["venv", "--quiet"], &environment);
    uv(
        &[
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--python",
            python.to_str().unwrap(),
        ],
        tree,
    );
    let version = Program::new(python)
        .args([
            "-c",
            "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))",
            package,
        ])
        .output()
        .unwrap();
    String::from_utf8(version.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_package_of_setuptools_scm_installs_with_its_version() {
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "demo");
    repo.commit(
        &[
            (
                "pyproject.toml",
                "[build-system]\nrequires = [\"setuptools\", \"setuptools-scm\"]\nbuild-backend = \"setuptools.build_meta\"\n\n[project]\nname = \"demo-scm\"\ndynamic = [\"version\"]\n\n[tool.setuptools_scm]\n",
            ),
            ("demo_scm/__init__.py", ""),
        ],
        "demo",
    );
    repo.git(&["tag", "v3.2.1"]);
    let registry = Registry::open();
    let reference = format!("{}/demo:3.2.1", registry.host);
    let git = repo.dir.to_str().unwrap();
    let pushed = told(&[
        "--repo",
        git,
        "--ref",
        "v3.2.1",
        "--plain-http",
        &registry.host,
        "--push",
        &reference,
    ]);
    let tree = unpacked(&registry, pushed["reference"].as_str().unwrap(), root.path());
    assert_eq!(installed_version(root.path(), &tree, "demo-scm"), "3.2.1");
}

#[test]
fn a_package_whose_version_nobody_knows_is_warned_of() {
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "demo");
    repo.commit(&[("setup.cfg", "[metadata]\nname = demo\n")], "demo");
    let git = repo.dir.to_str().unwrap();
    let warned = source(&["--repo", git, "--ref", "main"]).assert().success();
    let text = String::from_utf8_lossy(&warned.get_output().stderr).into_owned();
    assert!(
        text.contains("demo takes its version from Git") && text.contains("--component-version"),
        "{text}"
    );
    let told = told(&["--repo", git, "--ref", "main", "--component-version", "1.0.dev3"]);
    assert_eq!(told["version"], "1.0.dev3");
}
