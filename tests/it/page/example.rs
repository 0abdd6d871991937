//! A typical team's repository for the page: five components, three releases, and every outcome
//! that a patch can have.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An author and a time.
#[derive(Clone, Copy)]
struct Person(&'static str, &'static str, &'static str);

const MIRIAM: Person = Person("Miriam Okafor", "miriam@example.org", "2026-09-03T10:12:00Z");
const JONAS: Person = Person("Jonas Lindqvist", "jonas@example.net", "2026-11-18T16:40:00Z");
const AIKO: Person = Person("Aiko Tanaka", "aiko@example.com", "2026-11-20T08:05:00Z");

/// A team's repository, and the clones of its upstreams.
pub struct Example {
    pub folder: tempfile::TempDir,
    pub upstreams: tempfile::TempDir,
}

/// A module of a service.
fn module(service: &str) -> String {
    format!(
        r#""""Requests of {service}, as its API takes them."""

import logging

LOG = logging.getLogger(__name__)
TIMEOUT = 30
RETRIES = 3


def prepare(request, context):
    """Check a request before anything is done for it."""
    if not request.headers:
        raise ValueError("no headers")
    LOG.debug("request of %s", context.project_id)
    return dict(request.headers)


def send(client, request, context):
    headers = prepare(request, context)
    for attempt in range(RETRIES):
        answer = client.send(request.url, headers, timeout=TIMEOUT)
        if answer.status < 500:
            return answer
        LOG.warning("attempt %d of %d failed", attempt + 1, RETRIES)
    return answer


def close(client):
    client.close()
"#
    )
}

fn git(folder: &Path, person: Person, args: &[&str]) -> String {
    let Person(name, mail, date) = person;
    let output = Command::new("git")
        .args(["-c", "commit.gpgsign=false", "-c", "gc.auto=0"])
        .args(args)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_AUTHOR_NAME", name)
        .env("GIT_AUTHOR_EMAIL", mail)
        .env("GIT_AUTHOR_DATE", date)
        .env("GIT_COMMITTER_NAME", name)
        .env("GIT_COMMITTER_EMAIL", mail)
        .env("GIT_COMMITTER_DATE", date)
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {err}");
    String::from_utf8(output.stdout).unwrap()
}

/// The clone of a component, with what people do to it.
struct Clone_<'a> {
    folder: &'a Path,
    file: String,
}

impl Clone_<'_> {
    fn change(&self, person: Person, from: &str, to: &str, message: &str) {
        let path = self.folder.join(&self.file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        git(
            self.folder,
            person,
            &["commit", "--quiet", "--all", "--message", message],
        );
    }

    /// A patch on a tag, as `git format-patch` writes it.
    fn patch(&self, tag: &str, changes: &[(&str, &str)], message: &str) -> String {
        git(self.folder, MIRIAM, &["checkout", "--quiet", tag]);
        for (from, to) in changes {
            self.change(MIRIAM, from, to, message);
        }
        let patch = git(
            self.folder,
            MIRIAM,
            &["format-patch", "--stdout", "--zero-commit", "-1"],
        );
        git(self.folder, MIRIAM, &["checkout", "--quiet", "main"]);
        patch
    }
}

const TIMEOUT: (&str, &str) = ("TIMEOUT = 30", "TIMEOUT = 90");
const HEADERS: (&str, &str) = (
    "    if not request.headers:\n        raise ValueError(\"no headers\")\n",
    "    if not request.headers:\n        LOG.info(\"a request without headers\")\n        return {}\n",
);
const RETRIES: (&str, &str) = (
    "        LOG.warning(\"attempt %d of %d failed\", attempt + 1, RETRIES)\n",
    "        LOG.warning(\"attempt %d of %d failed: %d\", attempt + 1, RETRIES, answer.status)\n",
);
const CLOSE: (&str, &str) = ("    client.close()\n", "    client.drain()\n    client.close()\n");

impl Example {
    pub fn new() -> Self {
        let example = Self {
            folder: tempfile::tempdir().unwrap(),
            upstreams: tempfile::tempdir().unwrap(),
        };
        for component in ["cinder", "glance", "keystone", "neutron", "nova"] {
            example.component(component);
        }
        for release in ["2025.1", "2025.2", "2026.1"] {
            let tag = |component: &str| match (component, release) {
                ("glance" | "nova", "2026.1") => "32.0.0",
                ("nova", "2025.2") | ("neutron", "2026.1") => "31.1.0",
                _ => "31.0.0",
            };
            let refs = ["cinder", "glance", "keystone", "neutron", "nova"]
                .map(|component| format!("{component}: \"{}\"\n", tag(component)));
            example.write(&format!("releases/{release}/source-refs.yaml"), &refs.concat());
        }
        example.write(
            "releases/2026.1/upper-constraints.txt",
            "oslo.messaging===17.1.0\nrequests===2.32.4\nurllib3===2.5.0\n",
        );
        example.write(
            "overrides/2026.1/constraints.txt",
            "requests===2.32.4\nurllib3===2.5.1\n",
        );
        example
    }

    /// A component with its history, and its patches for every release.
    fn component(&self, name: &str) {
        let folder = self.upstreams.path().join(name);
        std::fs::create_dir_all(folder.join(name).join("api")).unwrap();
        let file = format!("{name}/api/requests.py");
        std::fs::write(folder.join(&file), module(name)).unwrap();
        git(&folder, MIRIAM, &["init", "--quiet", "--initial-branch=main"]);
        git(&folder, MIRIAM, &["add", "--all"]);
        git(&folder, MIRIAM, &["commit", "--quiet", "--message", "Begin"]);
        git(&folder, MIRIAM, &["tag", "31.0.0"]);
        let clone = Clone_ {
            folder: &folder,
            file,
        };
        let timeout = clone.patch(
            "31.0.0",
            &[TIMEOUT],
            "Wait longer for slow stores\n\nOurs answers within a minute.\n\nForwarded: not-needed",
        );
        let headers = clone.patch(
            "31.0.0",
            &[HEADERS],
            "Take requests without headers\n\nHealth checks of the load balancers have none.\n\nCloses-Bug: #2104311",
        );
        let retries = clone.patch(
            "31.0.0",
            &[RETRIES],
            "Say with which status an attempt failed\n\nCVE: CVE-2026-21877\nChange-Id: I6f1c0d3a9b8e7f6a5d4c3b2a1908f7e6d5c4b3a2",
        );
        let close = clone.patch("31.0.0", &[CLOSE], "Drain a client before it is closed");
        let folder_of = |release: &str| format!("patches/{name}/{release}");
        for release in ["2025.1", "2025.2", "2026.1"] {
            if name == "keystone" && release == "2025.1" {
                continue;
            }
            let folder = folder_of(release);
            self.write(
                &format!("{folder}/0001-wait-longer-for-slow-stores.patch"),
                &timeout,
            );
            self.write(
                &format!("{folder}/0002-take-requests-without-headers.patch"),
                &headers,
            );
            self.write(&format!("{folder}/0003-say-with-which-status.patch"), &retries);
            if name == "nova" {
                self.write(&format!("{folder}/0004-drain-a-client.patch"), &close);
            }
        }
        clone.change(
            JONAS,
            RETRIES.0,
            RETRIES.1,
            "Say with which status an attempt failed\n\nChange-Id: I6f1c0d3a9b8e7f6a5d4c3b2a1908f7e6d5c4b3a2",
        );
        git(&folder, JONAS, &["tag", "31.1.0"]);
        clone.change(
            AIKO,
            "    if not request.headers:\n        raise ValueError(\"no headers\")\n    LOG.debug",
            "    headers = request.headers or {}\n    if \"X-Project-Id\" not in headers:\n        raise Unauthorized()\n    LOG.debug",
            "Refuse requests that name no project",
        );
        clone.change(
            AIKO,
            "\"\"\"Requests of",
            "# SPDX-License-Identifier: Apache-2.0\n\"\"\"Requests of",
            "Say which licence it has",
        );
        git(&folder, AIKO, &["tag", "32.0.0"]);
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("team-patches")
    }

    /// Writes the report of a check of it.
    pub fn report(&self, to: &Path) {
        let output = Command::new(env!("CARGO_BIN_EXE_patchset"))
            .arg("check")
            .arg(self.root())
            .arg("--upstream")
            .arg(self.upstreams.path())
            .arg(format!("--output=html={}", to.display()))
            .env_remove("GITHUB_SERVER_URL")
            .env_remove("CI_PROJECT_URL")
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{err}");
    }
}
