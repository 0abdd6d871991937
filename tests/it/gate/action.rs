//! `action.yml`, `.pre-commit-hooks.yaml` and `hack/release.sh`, by running their steps.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::{Team, patch, printed};
use crate::support::program::python;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(root().join(path)).unwrap()).unwrap()
}

/// What a runner provides to the steps of an action.
struct Runner {
    temp: tempfile::TempDir,
    inputs: BTreeMap<String, String>,
    github: BTreeMap<&'static str, String>,
}

/// The results of the steps.
struct Ran {
    output: Output,
    outputs: BTreeMap<String, String>,
    summary: String,
}

impl Runner {
    /// With these inputs, and the defaults of the others.
    fn new(inputs: &[(&str, &str)]) -> Self {
        let defaults = yaml("action.yml")["inputs"].as_object().unwrap().clone();
        let defaults = defaults.into_iter().map(|(name, input)| {
            let default = input["default"].as_str().unwrap_or_default().to_owned();
            (name, default)
        });
        let mut inputs_given: BTreeMap<String, String> = defaults.collect();
        for (name, value) in inputs {
            let known = inputs_given.insert((*name).to_owned(), (*value).to_owned());
            assert!(known.is_some(), "action.yml has no input {name}");
        }
        Self {
            temp: tempfile::tempdir().unwrap(),
            inputs: inputs_given,
            github: [
                ("action_path", root().display().to_string()),
                ("action_ref", "main".to_owned()),
                ("action_repository", "team/patchset".to_owned()),
                ("base_ref", String::new()),
            ]
            .into(),
        }
    }

    /// A value with its expressions replaced.
    fn filled(&self, text: &str, steps: &BTreeMap<String, BTreeMap<String, String>>) -> String {
        let expression = regex::Regex::new(r"\$\{\{ ([\w.]+) \}\}").unwrap();
        let filled = expression.replace_all(text, |found: &regex::Captures<'_>| {
            let parts: Vec<&str> = found[1].split('.').collect();
            match parts.as_slice() {
                ["inputs", name] => self.inputs[*name].clone(),
                ["github", name] => self.github[*name].clone(),
                ["steps", step, "outputs", name] => steps[*step].get(*name).cloned().unwrap_or_default(),
                other => panic!("{other:?}"),
            }
        });
        filled.into_owned()
    }

    /// Runs the steps in a work tree, until one fails.
    fn run(&self, workspace: &Path, set: &[(&str, &str)]) -> Ran {
        let action = yaml("action.yml");
        let summary = self.temp.path().join("summary");
        let mut steps = BTreeMap::new();
        let mut last = None;
        for step in action["runs"]["steps"].as_array().unwrap() {
            let id = step["id"].as_str().unwrap();
            assert_eq!(step["shell"], "bash");
            let script = self.temp.path().join(format!("{id}.sh"));
            fs::write(&script, step["run"].as_str().unwrap()).unwrap();
            let written = self.temp.path().join(format!("{id}.output"));
            fs::write(&written, "").unwrap();
            let given = step["env"].as_object().unwrap().iter();
            let output = Command::new("bash")
                // As the runner does with `shell: bash`.
                .args(["--noprofile", "--norc", "-eo", "pipefail"])
                .arg(&script)
                .current_dir(workspace)
                .envs(given.map(|(name, value)| (name, self.filled(value.as_str().unwrap(), &steps))))
                .env("RUNNER_TEMP", self.temp.path())
                .env("GITHUB_OUTPUT", &written)
                .env("GITHUB_STEP_SUMMARY", &summary)
                .env("GITHUB_RUN_ID", "1")
                .env("GITHUB_SERVER_URL", "https://example.org")
                .env("XDG_CACHE_HOME", self.temp.path())
                .envs(set.iter().copied())
                .output()
                .unwrap();
            let text = fs::read_to_string(written).unwrap();
            let pairs = text.lines().map(|line| line.split_once('=').unwrap());
            let outputs: BTreeMap<String, String> = pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            let failed = !output.status.success();
            steps.insert(id.to_owned(), outputs);
            last = Some(output);
            if failed {
                break;
            }
        }
        let declared = action["outputs"].as_object().unwrap().iter();
        let outputs = declared.map(|(name, output)| {
            let value = output["value"].as_str().unwrap();
            let known = value.contains("steps.check") && !steps.contains_key("check");
            let value = if known {
                String::new()
            } else {
                self.filled(value, &steps)
            };
            (name.clone(), value)
        });
        Ran {
            outputs: outputs.collect(),
            output: last.unwrap(),
            summary: fs::read_to_string(summary).unwrap_or_default(),
        }
    }
}

/// A release made by `hack/release.sh`, laid out as on a server, with a script that runs the
/// command under test: the command itself is too large to be packed often.
fn release(folder: &Path) -> PathBuf {
    let out = folder.join("v0.1.0");
    let binary = folder.join("patchset");
    let script = format!("#!/bin/sh\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_patchset"));
    fs::write(&binary, script).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let packed = Command::new(root().join("hack/release.sh"))
        .arg("--binary")
        .arg(&binary)
        .arg(&out)
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .unwrap();
    printed(&packed, 0);
    out
}

#[test]
fn inputs_are_in_variables_and_never_in_a_script() {
    for step in yaml("action.yml")["runs"]["steps"].as_array().unwrap() {
        let run = step["run"].as_str().unwrap();
        assert!(!run.contains("${{"), "{run}");
    }
}

#[test]
fn a_release_is_the_same_each_time_and_the_action_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = release(folder.path());
    let name = "patchset-0.1.0-x86_64-unknown-linux-musl.tar.gz";
    let packed = fs::read(out.join(name)).unwrap();
    let again = tempfile::tempdir().unwrap();
    assert!(packed == fs::read(release(again.path()).join(name)).unwrap());
    let listed = Command::new("tar")
        .arg("-tvzf")
        .arg(out.join(name))
        .output()
        .unwrap();
    let listed = printed(&listed, 0);
    for file in [
        "-rwxr-xr-x 0/0",
        "/bin/patchset\n",
        "/share/man/man1/patchset-check.1\n",
        "/share/man/man1/patchset.1\n",
        "/share/bash-completion/completions/patchset\n",
        "/share/zsh/site-functions/_patchset\n",
        "/share/fish/vendor_completions.d/patchset.fish\n",
        "/LICENSE\n",
        "2023-11-14",
    ] {
        assert!(listed.contains(file), "{file}: {listed}");
    }

    let team = Team::new();
    let upstreams = team.upstreams.path().to_str().unwrap();
    let releases = format!("file://{}", folder.path().display());
    let set = [("PATCHSET_RELEASES", releases.as_str())];
    let runner = Runner::new(&[("upstream", upstreams), ("version", "v0.1.0")]);
    let ran = runner.run(team.root(), &set);
    let text = printed(&ran.output, 0);
    assert!(text.contains("4 of 4 patches apply"), "{text}");
    assert_eq!((&*ran.outputs["ok"], &*ran.outputs["fixed"]), ("true", "false"));
    assert!(ran.summary.contains("✅ patchset check"), "{}", ran.summary);
    let report = fs::read(&ran.outputs["report"]).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&report).unwrap()["ok"], true);

    // A tarball that does not match the checksums, or is not among them, is not run.
    for sums in [
        "0000000000000000000000000000000000000000000000000000000000000000  ",
        "# ",
    ] {
        fs::write(out.join("SHA256SUMS"), format!("{sums}{name}\n")).unwrap();
        let ran = runner.run(team.root(), &set);
        let text = printed(&ran.output, 2);
        assert!(
            text.contains("is not what SHA256SUMS says: nothing is run"),
            "{text}"
        );
    }
    for (version, told) in [
        ("v9.9.9", "there is no release v9.9.9"),
        ("../x", "version is no release"),
        ("$(touch pwned)", "version is no release"),
    ] {
        let ran = Runner::new(&[("upstream", upstreams), ("version", version)]).run(team.root(), &set);
        assert!(printed(&ran.output, 2).contains(told), "{version}");
    }
}

/// Runs the action with the command under test in place of a release.
fn act(team: &Team, inputs: &[(&str, &str)], base_ref: &str) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    release(folder.path());
    let releases = format!("file://{}", folder.path().display());
    let upstreams = team.upstreams.path().to_str().unwrap();
    let given = [&[("upstream", upstreams), ("version", "v0.1.0")], inputs].concat();
    let mut runner = Runner::new(&given);
    runner.github.insert("base_ref", base_ref.to_owned());
    runner.run(
        team.root(),
        &[("PATCHSET_RELEASES", &releases), ("GITHUB_REF_NAME", "7/merge")],
    )
}

#[test]
fn a_pull_request_is_compared_to_its_target() {
    let team = Team::new();
    team.git(&["switch", "--quiet", "--create", "move"]);
    team.move_glance();
    team.commit("Move glance");
    let fix = team.upstreams.path().join("fix");
    let inputs = [
        ("fix", fix.to_str().unwrap()),
        ("args", "--component\nglance\n--release=2025.2\n"),
    ];
    // The first parent, where the target branch was not fetched.
    for is_fetched in [false, true] {
        if is_fetched {
            team.git(&["update-ref", "refs/remotes/origin/main", "main"]);
            fs::remove_dir_all(&fix).unwrap();
        }
        let ran = act(&team, &inputs, "main");
        let text = printed(&ran.output, 1);
        assert!(
            text.contains("::error file=releases/2025.2/source-refs.yaml,line=2,"),
            "{text}"
        );
        assert!(text.contains("moves glance 1.0 → 1.1 (2025.2)"), "{text}");
        assert_eq!((&*ran.outputs["ok"], &*ran.outputs["fixed"]), ("false", "true"));
        assert!(
            ran.summary.contains("- moves `glance` `1.0` → `1.1` (`2025.2`)"),
            "{}",
            ran.summary
        );
        assert!(fix.join("fix.diff").is_file());
    }
    // Everything, on request.
    let ran = act(&team, &[("base", "none")], "main");
    assert!(!printed(&ran.output, 1).contains("moves glance"));
}

#[test]
fn an_input_is_no_code() {
    let team = Team::new();
    for name in ["upstream", "directory", "base", "args", "fix"] {
        let hostile = "$(touch pwned); `touch pwned`; \"'; touch pwned #";
        let ran = act(&team, &[(name, hostile)], "");
        // As the name of a new folder it is valid.
        let status = if name == "fix" { 0 } else { 2 };
        assert_eq!(ran.output.status.code(), Some(status), "{name}");
        assert!(!team.root().join("pwned").exists(), "{name}");
        let _ = fs::remove_dir_all(team.root().join(hostile));
    }
}

#[test]
fn the_hook_runs_as_pre_commit_does() {
    let team = Team::new();
    let hooks = tempfile::tempdir().unwrap();
    fs::copy(
        root().join(".pre-commit-hooks.yaml"),
        hooks.path().join(".pre-commit-hooks.yaml"),
    )
    .unwrap();
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .args(["-c", "user.name=T", "-c", "user.email=t@example.org"])
            .args(args)
            .current_dir(hooks.path())
            .output();
        printed(&output.unwrap(), 0)
    };
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", "Hooks"]);
    let rev = git(&["rev-parse", "HEAD"]);
    let config = format!(
        "repos:\n- repo: {}\n  rev: {}\n  hooks:\n  - id: patchset-check\n    args: [--upstream, {}]\n",
        hooks.path().display(),
        rev.trim(),
        team.upstreams.path().display()
    );
    team.write(".pre-commit-config.yaml", &config);
    team.commit("Use the hook");
    let run = || {
        team.git(&["add", "--all"]);
        let bin = Path::new(env!("CARGO_BIN_EXE_patchset")).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        python("pre-commit")
            .arg("run")
            .current_dir(team.root())
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("PRE_COMMIT_HOME", team.upstreams.path().join("pre-commit"))
            .output()
            .unwrap()
    };
    team.write("notes", "of no concern\n");
    assert!(printed(&run(), 0).contains("Skipped"));
    team.write(
        "patches/keystone/2025.2/0002-eight.patch",
        &patch("eight", "ACHT"),
    );
    assert!(printed(&run(), 0).contains("Passed"));
    team.move_glance();
    let told = printed(&run(), 1);
    assert!(
        told.contains("moves glance 1.0 → 1.1 (2025.2)") && told.contains("exit code: 1"),
        "{told}"
    );
}
