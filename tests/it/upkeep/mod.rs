//! Pull requests to the patches' repository: a controller against a real API server, real Git
//! servers, and a test forge.

mod failures;
mod manners;
mod story;
mod tenants;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use forges::ForgeKind;
use patchset_api::PatchSet;
use patchset_api::upkeep::{UpkeepState, UpkeepStatus};
use serde_json::{Value, json};

use crate::controller::{BASE, GOOD, PATIENCE, Stage};
use crate::support::forge::{Forge, Pull, TOKEN, path};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;

/// The branch for the commits.
pub const BRANCH: &str = "patchset/upkeep";

/// The mail address of the commits' author.
pub const ROBOT: &str = "robot@example.org";

/// When upstreams and the team began, in seconds since the epoch: commit ids depend on it.
const BEGAN: i64 = 1_748_736_000;

/// Options that allow requests as fast as the tests make them.
pub const FAST: [&str; 2] = ["--upkeep-update-interval=1s", "--upkeep-request-interval=1s"];

/// The releases, each with the branch of the upstreams.
const RELEASES: [(&str, &str); 3] = [
    ("2025.1", "stable/2025.1"),
    ("2025.2", "stable/2025.2"),
    ("master", "main"),
];

/// A team's repository and the upstreams of its components.
pub struct Team {
    pub stage: Stage,
    pub repository: GitRepo,
    pub forge: Forge,
    upstreams: BTreeMap<&'static str, GitRepo>,
    releases: Vec<(&'static str, &'static str)>,
}

fn change_id(component: &str) -> String {
    let digit = component.len() % 10;
    format!("I{}", digit.to_string().repeat(40))
}

/// A component's patch on line 5 of its file.
pub fn patch(component: &str) -> String {
    format!(
        "From 1111111111111111111111111111111111111111 Mon Sep 17 00:00:00 2001\n\
         From: Ann Author <ann@example.org>\nDate: Mon, 5 May 2025 00:00:00 +0000\n\
         Subject: [PATCH] Say five louder in {component}\n\nChange-Id: {id}\n---\n\
         diff --git a/{component}.py b/{component}.py\n--- a/{component}.py\n+++ b/{component}.py\n\
         @@ -3,5 +3,5 @@\n three\n four\n-five\n+FIVE\n six\n seven\n",
        id = change_id(component)
    )
}

/// The name of a component's `PatchSet` for a release.
pub fn name(component: &str, release: &str) -> String {
    format!("{component}-{release}")
}

impl Team {
    /// A team of one component and release, whose requests come at once.
    pub async fn small(name: &str) -> Self {
        Self::with(Stage::with(name, &FAST, GitServer::http).await, &["heat"], 1).await
    }

    /// A team of some components and releases, each with one patch.
    pub async fn with(stage: Stage, components: &[&'static str], releases: usize) -> Self {
        let forge = Forge::start(ForgeKind::Gitea).await;
        forge.state().branches.push(BRANCH.to_owned());
        let repository = GitRepo::create(stage.root.path(), path(ForgeKind::Gitea));
        repository.git(&["config", "http.receivepack", "true"]);
        let releases = RELEASES[RELEASES.len() - releases..].to_vec();
        let mut files = vec![("README".to_owned(), "Our patches.\n".to_owned())];
        let mut upstreams = BTreeMap::new();
        for component in components {
            let upstream = GitRepo::create(stage.root.path(), component);
            for setting in ["uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"] {
                upstream.git(&["config", setting, "true"]);
            }
            upstream.commit_at(Some(BEGAN), &[(&format!("{component}.py"), BASE)], "Begin");
            for (_, branch) in releases.iter().filter(|(_, branch)| *branch != "main") {
                upstream.git(&["branch", branch]);
            }
            upstreams.insert(*component, upstream);
            for (release, _) in &releases {
                files.push((file(component, release), patch(component)));
            }
        }
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        repository.commit_at(Some(BEGAN), &files, "Carry patches");
        stage.secret("token", &[("token", TOKEN)]).await;
        Self {
            stage,
            repository,
            forge,
            upstreams,
            releases,
        }
    }

    /// The upkeep that is requested: everything is proposed.
    pub fn upkeep(&self) -> Value {
        json!({
            "drop": "PullRequest", "refresh": "PullRequest", "after": "1s",
            "author": { "name": "Robot", "email": ROBOT },
            "pullRequest": {
                "provider": "Gitea", "secretRef": { "name": "token" },
                "apiUrl": format!("http://{}/api/v1", self.forge.host), "labels": ["patches"], "reviewers": ["ann"]
            }
        })
    }

    pub fn spec(&self, component: &str, release: &str) -> Value {
        let branch = RELEASES.iter().find(|(known, _)| *known == release).unwrap().1;
        json!({
            "component": component, "release": release, "interval": "2s",
            "upstream": {
                "url": self.stage.server.url(component), "ref": { "branch": branch },
                "commitUrlTemplate": "https://review.example.org/q/{commit}"
            },
            "patches": { "git": {
                "url": self.stage.server.url(path(ForgeKind::Gitea)), "ref": { "branch": "main" },
                "path": format!("patches/{component}/{release}")
            } },
            "upkeep": self.upkeep()
        })
    }

    /// The names of all `PatchSet`s.
    pub fn names(&self) -> Vec<String> {
        let components = self.upstreams.keys();
        components
            .flat_map(|component| self.releases.iter().map(|(release, _)| name(component, release)))
            .collect()
    }

    /// Makes all `PatchSet`s, and waits until they are ready.
    pub async fn apply(&self) {
        for component in self.upstreams.keys() {
            for (release, _) in &self.releases {
                let spec = self.spec(component, release);
                self.stage.apply(&name(component, release), &spec).await;
            }
        }
        for name in self.names() {
            self.stage.ready(&name, "True", "Succeeded").await;
        }
    }

    /// Makes an upstream commit for a release, some time after the last one; returns the commit.
    pub fn upstream_commits(&self, component: &str, release: &str, (text, message): (&str, &str)) -> String {
        let upstream = &self.upstreams[component];
        let branch = RELEASES.iter().find(|(known, _)| *known == release).unwrap().1;
        upstream.git(&["checkout", "--force", "--quiet", branch]);
        let count: i64 = upstream.git(&["rev-list", "--count", "HEAD"]).parse().unwrap();
        let time = BEGAN + 86_400 * count;
        upstream.commit_at(Some(time), &[(&format!("{component}.py"), text)], message)
    }

    /// Merges a component's patch upstream in some form; returns the commit.
    pub fn upstream_merges(&self, component: &str, release: &str, text: &str) -> String {
        let message = format!(
            "Say five louder in {component}\n\nReviewed.\n\nChange-Id: {}",
            change_id(component)
        );
        self.upstream_commits(component, release, (text, &message))
    }

    /// The pull requests.
    pub fn pulls(&self) -> Vec<Pull> {
        self.forge.state().pulls.clone()
    }

    /// The subjects of the branch's commits that the base does not have, oldest first.
    pub fn proposed(&self) -> Vec<String> {
        let log = self
            .repository
            .git(&["log", "--reverse", "--format=%s", &format!("main..{BRANCH}")]);
        log.lines().map(str::to_owned).collect()
    }

    /// Merges the branch, as people do on a forge.
    pub fn merge(&self) {
        self.repository.git(&["checkout", "--force", "--quiet", "main"]);
        self.repository
            .git(&["merge", "--quiet", "--no-ff", "--message", "Merge it", BRANCH]);
        self.forge.state().pulls.last_mut().unwrap().state = "merged";
    }

    /// Commits to the base, as people do.
    pub fn commit_to_base(&self, files: &[(&str, Option<&str>)], message: &str) -> String {
        self.commit_to("main", files, message)
    }

    /// Commits to a branch, as people do.
    pub fn commit_to(&self, branch: &str, files: &[(&str, Option<&str>)], message: &str) -> String {
        self.repository.git(&["checkout", "--force", "--quiet", branch]);
        for (path, _) in files.iter().filter(|(_, text)| text.is_none()) {
            std::fs::remove_file(self.repository.work().join(path)).unwrap();
        }
        let written: Vec<(&str, &str)> = files
            .iter()
            .filter_map(|(path, text)| Some((*path, (*text)?)))
            .collect();
        self.repository.commit(&written, message)
    }

    /// Waits until a `PatchSet`'s upkeep satisfies a condition; returns it.
    pub async fn upkeep_of(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&UpkeepStatus) -> bool,
    ) -> UpkeepStatus {
        let found = self
            .stage
            .wait(name, what, |object| upkeep(object).is_some_and(&wanted))
            .await;
        upkeep(&found).unwrap().clone()
    }

    /// Waits until a `PatchSet`'s upkeep is in a state; returns it.
    pub async fn in_state(&self, name: &str, state: UpkeepState) -> UpkeepStatus {
        self.upkeep_of(name, state.as_str(), |upkeep| upkeep.state == state)
            .await
    }
}

/// Creates a `PatchSet` on a stage's upstream whose one patch is proposed for dropping.
pub async fn propose_drop(stage: &Stage, name: &str) {
    let forge = Forge::start(ForgeKind::Gitea).await;
    forge.state().branches.push(BRANCH.to_owned());
    let repository = GitRepo::create(stage.root.path(), path(ForgeKind::Gitea));
    repository.git(&["config", "http.receivepack", "true"]);
    let reversed = GOOD.replace("-five\n+FIVE", "-FIVE\n+five");
    repository.commit(&[("patches/0001.patch", &reversed)], "Carry a patch");
    stage.secret("forge", &[("token", TOKEN)]).await;
    let mut spec = stage.spec_with(&json!({ "git": {
        "url": stage.server.url(path(ForgeKind::Gitea)), "ref": { "branch": "main" }, "path": "patches"
    } }));
    spec["mergedPatches"] = json!("Skip");
    spec["upkeep"] = json!({
        "drop": "PullRequest", "after": "1s",
        "pullRequest": {
            "provider": "Gitea", "secretRef": { "name": "forge" },
            "apiUrl": format!("http://{}/api/v1", forge.host)
        }
    });
    stage.apply(name, &spec).await;
    let is_proposed =
        |object: &PatchSet| upkeep(object).is_some_and(|upkeep| upkeep.state == UpkeepState::Proposed);
    stage.wait(name, "proposed", is_proposed).await;
}

/// The path of a component's patch for a release.
pub fn file(component: &str, release: &str) -> String {
    format!("patches/{component}/{release}/0001-louder.patch")
}

pub fn upkeep(object: &PatchSet) -> Option<&UpkeepStatus> {
    object.status.as_ref()?.upkeep.as_deref()
}

/// Waits until a condition holds.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
