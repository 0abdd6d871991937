//! A `PatchRepository` creates the objects that its folders ask for, and follows pushes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use patchset_api::{ConstraintOverride, PatchRepository, PatchSet};
use serde_json::{Value, json};

use super::{versions, written};
use crate::controller::patches::{install_git_repository_kind, publish};
use crate::controller::tenants::without_bounds;
use crate::controller::{BASE, GOOD, PATIENCE, Resource, Stage, condition, shown};
use crate::support::api_server::ApiServer;
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;
use crate::support::signing::SshKey;

impl Resource for PatchRepository {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn observed_generation(&self) -> Option<i64> {
        self.status.as_ref().map(|status| status.observed_generation)
    }
}

/// The components of the tests' repositories; `oslo.demo` is a library, because it has no folder
/// `images/oslo.demo`.
const COMPONENTS: [&str; 3] = ["glance", "keystone", "oslo.demo"];

/// A stage with an upstream for each component, and a repository as C5C3's.
pub struct Fleet {
    pub stage: Stage,
    pub ours: GitRepo,
    upstreams: BTreeMap<String, GitRepo>,
}

impl Fleet {
    pub async fn new(name: &str) -> Self {
        Self::on(Stage::new(name).await)
    }

    fn on(stage: Stage) -> Self {
        let ours = GitRepo::create(stage.root.path(), "ours");
        let mut fleet = Self {
            stage,
            ours,
            upstreams: BTreeMap::new(),
        };
        for component in COMPONENTS {
            fleet.add_upstream(component);
        }
        let refs = |tag: &str| -> String {
            let lines = COMPONENTS.map(|component| format!("{component}: \"{tag}\"\n"));
            lines.concat()
        };
        fleet.ours.commit(
            &[
                ("releases/2025.2/source-refs.yaml", &refs("1.0.0")),
                (
                    "releases/2025.2/upper-constraints.txt",
                    "alpha===1.0\noslo.demo===1.0.0\n",
                ),
                ("releases/2026.1/source-refs.yaml", &refs("2.0.0")),
                ("releases/2026.1/upper-constraints.txt", "alpha===2.0\n"),
                ("overrides/2025.2/constraints.txt", "alpha===1.1\n"),
                ("patches/glance/2025.2/0001-five.patch", GOOD),
                ("patches/glance/2026.1/0001-five.patch", GOOD),
                ("patches/oslo.demo/2025.2/0001-five.patch", GOOD),
                ("images/glance/Dockerfile", "FROM scratch\n"),
                ("images/keystone/Dockerfile", "FROM scratch\n"),
                ("README.md", "ours\n"),
            ],
            "patches",
        );
        fleet
    }

    /// Removes what asks for objects of 2025.2. Returns the commit.
    fn remove_older_release(&self) -> String {
        self.ours.git(&[
            "rm",
            "--quiet",
            "-r",
            "releases/2025.2",
            "patches/oslo.demo",
            "patches/glance/2025.2",
            "overrides",
        ]);
        self.ours.commit(&[], "less")
    }

    fn add_upstream(&mut self, component: &str) {
        let repo = GitRepo::create(self.stage.root.path(), component);
        repo.commit(&[("file.txt", BASE)], "base");
        repo.git(&["tag", "1.0.0"]);
        repo.commit(&[("other.txt", "x\n")], "next");
        repo.git(&["tag", "2.0.0"]);
        self.upstreams.insert(component.to_owned(), repo);
    }

    /// A minimal spec, of fifteen lines.
    pub fn spec(&self) -> Value {
        let url = self.stage.server.url("ours");
        json!({
            "source": { "git": { "url": url, "ref": { "branch": "main" } } },
            "upstream": { "urlTemplate": url.replace("ours", "{component}") },
            "template": { "metadata": { "labels": { "team": "ours" } }, "spec": { "interval": "1h" } },
            "constraints": {},
            "interval": "1s"
        })
    }

    pub async fn apply(&self, spec: &Value) {
        self.stage
            .try_apply_kind::<PatchRepository>("ours", spec)
            .await
            .unwrap();
    }

    pub async fn ready(&self, status: &str, reason: &str) -> PatchRepository {
        self.stage.ready_kind("ours", status, reason).await
    }

    async fn wait(&self, what: &str, wanted: impl Fn(&PatchRepository) -> bool) -> PatchRepository {
        self.stage.wait_kind("ours", what, wanted).await
    }

    /// Waits until the repository's status is of a commit.
    async fn at(&self, commit: &str) -> PatchRepository {
        let revision = format!("main@sha1:{commit}");
        self.wait(&revision, |object| {
            object.status.as_ref().unwrap().revision.as_ref() == Some(&revision)
        })
        .await
    }

    pub async fn names(&self) -> BTreeSet<String> {
        let all = ListParams::default();
        let patch_sets = self.stage.api::<PatchSet>().list(&all).await.unwrap();
        let overrides = self.stage.api::<ConstraintOverride>().list(&all).await.unwrap();
        let overrides = overrides.iter().map(|one| format!("co/{}", one.name_any()));
        patch_sets
            .iter()
            .map(ResourceExt::name_any)
            .chain(overrides)
            .collect()
    }

    /// Waits until exactly these objects exist.
    async fn has(&self, names: &[&str]) {
        let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let end = Instant::now() + PATIENCE;
        loop {
            let found = self.names().await;
            if found == names {
                return;
            }
            assert!(Instant::now() < end, "{found:?} instead of {names:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The resource versions of all created objects, which change with each write.
    async fn versions(&self) -> BTreeMap<String, String> {
        versions(&self.stage).await
    }

    async fn looked_at(&self, times: u64) {
        let ended = self.stage.controller.reconciliations("PatchRepository", "");
        self.stage
            .controller
            .until_reconciled("PatchRepository", "", ended + times)
            .await;
    }
}

/// The objects that the first commit asks for.
const FIRST: [&str; 8] = [
    "co/constraints-2025.2",
    "co/constraints-2026.1",
    "glance-2025.2",
    "glance-2026.1",
    "keystone-2025.2",
    "keystone-2026.1",
    "oslo.demo-2025.2",
    "oslo.demo-2026.1",
];

fn message(object: &PatchRepository) -> &str {
    &condition(object, "Ready").unwrap().message
}

/// The faults in the status, as JSON.
fn faults(object: &PatchRepository) -> String {
    let faults = object.status.as_ref().map(|status| &status.faults);
    serde_json::to_string(&faults).unwrap()
}

fn without<'a>(names: &[&'a str], gone: &[&str]) -> Vec<&'a str> {
    names
        .iter()
        .filter(|name| !gone.contains(name))
        .copied()
        .collect()
}

/// The refs of the first release after `glance` has moved.
const MOVED_REFS: &str = "glance: \"2.0.0\"\nkeystone: \"1.0.0\"\noslo.demo: \"1.0.0\"\n";

/// Moves a ref, and asserts that its object is looked at at once, although its interval is an hour,
/// and that only this object is written after these versions.
async fn assert_moved_ref_is_followed(fleet: &Fleet, before: &BTreeMap<String, String>) {
    let commit = fleet.ours.commit(
        &[("releases/2025.2/source-refs.yaml", MOVED_REFS)],
        "glance moves",
    );
    fleet.at(&commit).await;
    let moved = fleet.stage.wait("glance-2025.2", "at the moved ref", |object| {
        let upstream = object.status.as_ref().unwrap().upstream.as_ref().unwrap();
        upstream.revision.starts_with("2.0.0@sha1:")
    });
    moved.await;
    fleet.looked_at(3).await;
    let after = fleet.versions().await;
    assert_eq!(written(before, &after), ["glance-2025.2"]);
}

/// Pushes a patch that conflicts, asserts that the status names its cell, and pushes the good one
/// again.
async fn assert_conflict_is_named(fleet: &Fleet) {
    let bad = GOOD.replace(" four", " vier");
    fleet
        .ours
        .commit(&[("patches/glance/2025.2/0001-five.patch", &bad)], "bad");
    let conflicts = fleet.ready("False", "PatchConflict").await;
    assert!(
        message(&conflicts).contains("7 of 8 ready"),
        "{}",
        message(&conflicts)
    );
    assert!(
        message(&conflicts).contains("glance 2025.2"),
        "{}",
        message(&conflicts)
    );
    fleet
        .ours
        .commit(&[("patches/glance/2025.2/0001-five.patch", GOOD)], "good");
    fleet.ready("True", "Succeeded").await;
}

/// Asserts that what is changed or deleted by hand is restored.
async fn assert_put_back(fleet: &Fleet) {
    let edited = json!({ "spec": { "interval": "7m" } });
    let api = fleet.stage.api::<PatchSet>();
    api.patch("keystone-2026.1", &PatchParams::default(), &Patch::Merge(&edited))
        .await
        .unwrap();
    let put_back = fleet.stage.wait("keystone-2026.1", "put back", |object| {
        serde_json::to_value(&object.spec.interval).unwrap() == json!("1h")
    });
    put_back.await;
    let uid = api.get("keystone-2025.2").await.unwrap().uid();
    api.delete("keystone-2025.2", &DeleteParams::default())
        .await
        .unwrap();
    fleet.has(&FIRST).await;
    let again = fleet.stage.ready("keystone-2025.2", "True", "Succeeded").await;
    assert_ne!(again.uid(), uid);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_resource_becomes_all_objects_and_follows_pushes() {
    let mut fleet = Fleet::new("fleet").await;
    fleet.apply(&fleet.spec()).await;
    let ready = fleet.ready("True", "Succeeded").await;
    fleet.has(&FIRST).await;
    assert_eq!(shown(&ready, "ObjectsApplied"), "True/Succeeded");
    let counts = ready.status.as_ref().unwrap().counts.unwrap();
    assert_eq!(
        (counts.patch_sets, counts.ready, counts.constraint_overrides),
        (6, 6, 2)
    );
    assert_eq!(ready.status.as_ref().unwrap().cells.len(), 6);
    assert!(message(&ready).starts_with("6 of 6 ready"), "{}", message(&ready));
    let glance = fleet.stage.ready("glance-2025.2", "True", "Succeeded").await;
    assert_eq!(glance.labels()["team"], "ours");
    assert_eq!(glance.owner_references()[0].kind, "PatchRepository");
    assert_eq!(glance.status.as_ref().unwrap().applied.as_deref(), Some("1/1"));
    fleet
        .stage
        .ready_kind::<ConstraintOverride>("constraints-2025.2", "True", "Succeeded")
        .await;

    // Nothing is to be done, and nothing is written.
    fleet.looked_at(3).await;
    let (before, packs) = (fleet.versions().await, fleet.stage.server.packs());
    let version = fleet.wait("there", |_| true).await.resource_version();
    fleet.looked_at(3).await;
    assert_eq!(fleet.versions().await, before);
    assert_eq!(fleet.wait("there", |_| true).await.resource_version(), version);
    assert_eq!(fleet.stage.server.packs(), packs);

    assert_moved_ref_is_followed(&fleet, &before).await;

    // A patch is renamed.
    fleet.ours.git(&[
        "mv",
        "patches/glance/2026.1/0001-five.patch",
        "patches/glance/2026.1/0002-five.patch",
    ]);
    fleet.ours.commit(&[], "another name");
    let renamed = fleet.stage.wait("glance-2026.1", "with another patch", |object| {
        object.status.as_ref().unwrap().patches[0].name == "0002-five.patch"
    });
    renamed.await;

    // A component and a release are added.
    fleet.add_upstream("neutral");
    let refs = format!("{MOVED_REFS}neutral: \"1.0.0\"\n");
    fleet.ours.commit(
        &[
            ("releases/2025.2/source-refs.yaml", &refs),
            ("images/neutral/Dockerfile", "FROM scratch\n"),
            ("releases/2026.2/source-refs.yaml", "glance: \"2.0.0\"\n"),
            ("patches/neutral/2025.2/0001-five.patch", GOOD),
        ],
        "more",
    );
    let mut names = FIRST.to_vec();
    names.extend(["neutral-2025.2", "glance-2026.2"]);
    fleet.has(&names).await;
    fleet.stage.ready("neutral-2025.2", "True", "Succeeded").await;

    assert_conflict_is_named(&fleet).await;

    // A folder and its ref are removed.
    fleet
        .ours
        .git(&["rm", "--quiet", "-r", "patches/neutral", "releases/2026.2"]);
    fleet
        .ours
        .commit(&[("releases/2025.2/source-refs.yaml", MOVED_REFS)], "less");
    fleet.has(&FIRST).await;
    assert_put_back(&fleet).await;
}

/// Makes a file unreadable, then removes all folders, and checks that no object is pruned.
async fn assert_mistakes_prune_nothing(fleet: &Fleet, all: &[&str]) {
    // A file that cannot be read hides a release: its objects stay.
    fleet
        .ours
        .commit(&[("releases/2025.2/source-refs.yaml", "glance: [\n")], "broken");
    let broken = fleet.wait("broken", |object| faults(object).contains("InvalidRefs"));
    let told = faults(&broken.await);
    assert!(
        told.contains("releases/2025.2/source-refs.yaml") && told.contains("keystone-2025.2"),
        "{told}"
    );
    fleet.looked_at(2).await;
    fleet.has(all).await;
    // Removing everything counts as a mistake too.
    let folders = ["patches", "releases", "overrides", "images"];
    fleet.ours.git(&[&["rm", "--quiet", "-r"][..], &folders].concat());
    fleet.ours.commit(&[], "empty");
    let empty = fleet.ready("False", "LayoutInvalid").await;
    assert_eq!(shown(&empty, "ObjectsApplied"), "False/LayoutInvalid");
    let mut spec = fleet.spec();
    spec["layout"] = json!("ComponentRelease");
    fleet.apply(&spec).await;
    let asks_for_nothing = |object: &PatchRepository| faults(object).contains("no PatchSet at all");
    fleet.wait("asking for nothing", asks_for_nothing).await;
    fleet.looked_at(2).await;
    fleet.has(all).await;
    fleet.ours.git(&["revert", "--no-edit", "HEAD"]);
    fleet.ours.git(&["revert", "--no-edit", "HEAD~2"]);
    fleet.ready("False", "NameTaken").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_pruned_that_is_somebody_elses_or_may_be_missing_by_mistake() {
    let fleet = Fleet::new("fleet-prune").await;
    // Another owner has one of the names, and another object has a name like ours.
    let mut theirs = fleet.stage.spec();
    theirs["component"] = json!("glance");
    fleet.stage.apply("glance-2026.1", &theirs).await;
    fleet.stage.apply("glance-1999.1", &theirs).await;
    fleet.apply(&fleet.spec()).await;
    let taken = fleet.ready("False", "NameTaken").await;
    assert!(message(&taken).contains("glance 2026.1"), "{}", message(&taken));
    assert_eq!(shown(&taken, "ObjectsApplied"), "False/NameTaken");
    let mut all = FIRST.to_vec();
    all.push("glance-1999.1");
    fleet.has(&all).await;
    let alone = fleet.stage.api::<PatchSet>().get("glance-2026.1").await.unwrap();
    assert!(alone.owner_references().is_empty());
    assert_eq!(serde_json::to_value(&alone.spec.interval).unwrap(), json!("1s"));

    // A fault that stays is written once.
    fleet.looked_at(2).await;
    let version = fleet.wait("there", |_| true).await.resource_version();
    fleet.looked_at(3).await;
    assert_eq!(fleet.wait("there", |_| true).await.resource_version(), version);

    assert_mistakes_prune_nothing(&fleet, &all).await;

    // What must not be pruned is reported, and pruned once it may be.
    let mut spec = fleet.spec();
    spec["prune"] = json!(false);
    fleet.apply(&spec).await;
    // A look in progress has read the spec before.
    fleet.ready("False", "NameTaken").await;
    let commit = fleet.remove_older_release();
    let told = fleet.at(&commit).await;
    let told = faults(&told);
    assert!(
        told.contains("prune is false") && told.contains("oslo.demo-2025.2"),
        "{told}"
    );
    fleet.has(&all).await;
    // The garbage collector would delete what has an owner.
    for name in ["keystone-2026.1", "oslo.demo-2025.2"] {
        let is_free = |object: &PatchSet| object.owner_references().is_empty();
        fleet.stage.wait(name, "without an owner", is_free).await;
    }
    spec["prune"] = json!(true);
    fleet.apply(&spec).await;
    let pruned = [
        "co/constraints-2025.2",
        "glance-2025.2",
        "keystone-2025.2",
        "oslo.demo-2025.2",
    ];
    let kept = without(&all, &pruned);
    fleet.has(&kept).await;

    // A missing source prunes nothing.
    std::fs::rename(&fleet.ours.dir, fleet.ours.dir.with_extension("gone")).unwrap();
    fleet
        .wait("without its source", |object| {
            shown(object, "SourceResolved").starts_with("False")
        })
        .await;
    fleet.has(&kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_controller_loses_nothing_and_does_nothing_twice() {
    let mut fleet = Fleet::new("fleet-restart").await;
    fleet.apply(&fleet.spec()).await;
    // In the middle of its work.
    fleet.wait("begun", |object| object.status.is_some()).await;
    fleet.stage.controller.kill();
    fleet.stage.controller.restart();
    fleet.ready("True", "Succeeded").await;
    fleet.has(&FIRST).await;
    fleet.looked_at(2).await;
    let before = fleet.versions().await;
    let version = fleet.wait("there", |_| true).await.resource_version();
    let packs = fleet.stage.server.packs();
    fleet.stage.controller.kill();
    fleet.stage.controller.restart();
    fleet
        .stage
        .controller
        .until_reconciled("PatchRepository", "", 3)
        .await;
    fleet.stage.controller.until_reconciled("PatchSet", "", 6).await;
    assert_eq!(fleet.versions().await, before);
    assert_eq!(fleet.wait("there", |_| true).await.resource_version(), version);
    assert_eq!(fleet.stage.server.packs(), packs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_with_an_error_is_told_and_a_suspended_repository_rests() {
    let fleet = Fleet::new("fleet-template").await;
    let mut spec = fleet.spec();
    spec["overrides"] = json!([{
        "match": { "component": "keystone" },
        "template": { "spec": { "candidates": [{ "branch": "main", "tag": "both" }] } }
    }]);
    fleet.apply(&spec).await;
    let refused = fleet.ready("False", "TemplateInvalid").await;
    let told = faults(&refused);
    assert!(told.contains("keystone"), "{told}");
    // The others are there.
    fleet
        .has(&without(&FIRST, &["keystone-2025.2", "keystone-2026.1"]))
        .await;
    spec["overrides"] = json!([]);
    spec["suspend"] = json!(true);
    fleet.apply(&spec).await;
    fleet
        .stage
        .controller
        .until_reconciled("PatchRepository", "Suspended", 1)
        .await;
    fleet
        .ours
        .commit(&[("patches/glance/2025.2/0002-bad.patch", "nonsense\n")], "bad");
    assert_eq!(fleet.names().await.len(), FIRST.len() - 2);
    spec["suspend"] = json!(false);
    fleet.apply(&spec).await;
    fleet.has(&FIRST).await;
    let bad = fleet.ready("False", "PatchConflict").await;
    assert!(message(&bad).contains("glance 2025.2"), "{}", message(&bad));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_the_signature_that_is_asked_for_makes_and_prunes_nothing() {
    let fleet = Fleet::new("fleet-signed").await;
    let key = SshKey::new("ed25519", None);
    fleet.stage.secret("keys", &[("ann.pub", &key.public())]).await;
    let mut spec = fleet.spec();
    spec["source"]["git"]["verify"] = json!({ "secretRef": { "name": "keys" } });
    fleet.apply(&spec).await;
    let refused = fleet.ready("False", "SignatureMissing").await;
    assert_eq!(shown(&refused, "SourceVerified"), "False/SignatureMissing");
    assert!(fleet.names().await.is_empty());
    fleet.ours.signed_commit(&key.settings(), "signed");
    let ready = fleet.ready("True", "Succeeded").await;
    assert_eq!(shown(&ready, "SourceVerified"), "True/Succeeded");
    // The created objects ask for the same signature.
    let glance = fleet.stage.ready("glance-2025.2", "True", "Succeeded").await;
    assert_eq!(shown(&glance, "SourceVerified"), "True/Succeeded");
    fleet
        .ours
        .git(&["rm", "--quiet", "-r", "releases/2026.1", "patches/glance/2026.1"]);
    fleet.ours.commit(&[], "unsigned");
    fleet.ready("False", "SignatureMissing").await;
    fleet.has(&FIRST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_flux_source_publishes_becomes_objects_too() {
    let fleet = Fleet::new("fleet-flux").await;
    install_git_repository_kind(&fleet.stage.client).await;
    let files = [
        (
            "releases/2025.2/source-refs.yaml",
            "glance: \"1.0.0\"\nkeystone: \"1.0.0\"\n",
        ),
        ("patches/glance/2025.2/0001-five.patch", GOOD),
    ];
    publish(&fleet.stage, "one", &files).await;
    let mut spec = fleet.spec();
    spec["source"] = json!({ "sourceRef": { "kind": "GitRepository", "name": "deploy" } });
    spec.as_object_mut().unwrap().remove("constraints");
    spec["interval"] = json!("1h");
    fleet.apply(&spec).await;
    let ready = fleet.ready("True", "Succeeded").await;
    assert_eq!(ready.status.unwrap().revision.as_deref(), Some("main@sha1:one"));
    fleet.has(&["glance-2025.2", "keystone-2025.2"]).await;
    let glance = fleet.stage.ready("glance-2025.2", "True", "Succeeded").await;
    assert_eq!(glance.status.unwrap().applied.as_deref(), Some("1/1"));
    // So are changes to the objects, whatever the interval.
    let api = fleet.stage.api::<PatchSet>();
    api.delete("keystone-2025.2", &DeleteParams::default())
        .await
        .unwrap();
    fleet.has(&["glance-2025.2", "keystone-2025.2"]).await;
    // A new revision is taken up at once.
    let mut more = files.to_vec();
    more.push(("releases/2026.1/source-refs.yaml", "glance: \"2.0.0\"\n"));
    publish(&fleet.stage, "two", &more).await;
    fleet
        .has(&["glance-2025.2", "glance-2026.1", "keystone-2025.2"])
        .await;
}

/// Sets the repository's label for the controller that is responsible for it.
async fn into_shard(fleet: &Fleet, shard: Option<&str>) {
    let label = json!({ "metadata": { "labels": { "sharding.fluxcd.io/key": shard } } });
    fleet
        .stage
        .api::<PatchRepository>()
        .patch("ours", &PatchParams::default(), &Patch::Merge(&label))
        .await
        .unwrap();
}

/// The shards of all created objects, and the values that would change if they were created or
/// worked on again.
async fn shards_and_results(fleet: &Fleet) -> (BTreeSet<Option<String>>, BTreeMap<String, Value>) {
    let made = fleet
        .stage
        .api::<PatchSet>()
        .list(&ListParams::default())
        .await
        .unwrap();
    let shard = |made: &PatchSet| made.labels().get("sharding.fluxcd.io/key").cloned();
    let result = |made: &PatchSet| (made.name_any(), json!([made.uid(), made.status]));
    (
        made.iter().map(shard).collect(),
        made.iter().map(result).collect(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_is_in_the_repositorys_shard_and_moves_with_it() {
    let selector = |shard: &str| format!("--watch-label-selector=sharding.fluxcd.io/key={shard}");
    let stage = Stage::with("shard-fleet", &[&selector("one")], GitServer::http).await;
    let second = stage.another_controller(&[&selector("two")]).await;
    let fleet = Fleet::on(stage);
    fleet.apply(&fleet.spec()).await;
    into_shard(&fleet, Some("one")).await;
    fleet.ready("True", "Succeeded").await;
    let (shards, before) = shards_and_results(&fleet).await;
    assert_eq!(shards, BTreeSet::from([Some("one".to_owned())]));

    into_shard(&fleet, Some("two")).await;
    let end = Instant::now() + PATIENCE;
    while shards_and_results(&fleet).await.0 != BTreeSet::from([Some("two".to_owned())]) {
        assert!(Instant::now() < end, "not all moved");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    second.until_reconciled("PatchSet", "Unchanged", 6).await;
    let count = second.reconciliations("PatchRepository", "");
    second.until_reconciled("PatchRepository", "", count + 2).await;
    fleet.ready("True", "Succeeded").await;
    assert_eq!(shards_and_results(&fleet).await.1, before, "a move is no news");
    assert_eq!(second.reconciliations("PatchSet", "Changed"), 0);
    fleet.has(&FIRST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_puts_nothing_where_the_controller_does_not_see_it() {
    let options = ["--watch-label-selector=!sharding.fluxcd.io/key"];
    let fleet = Fleet::on(Stage::with("shard-template", &options, GitServer::http).await);
    let mut spec = fleet.spec();
    spec["template"]["metadata"]["labels"]["sharding.fluxcd.io/key"] = json!("one");
    fleet.apply(&spec).await;
    let refused = fleet.ready("False", "TemplateInvalid").await;
    assert!(
        message(&refused).contains("set the label sharding.fluxcd.io/key on that"),
        "{}",
        message(&refused)
    );
    assert_eq!(fleet.names().await, BTreeSet::new());
}

/// What another version of the definition may have left is not taken for an object that no folder
/// asks for.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_cannot_be_read_is_not_pruned() {
    let server = ApiServer::separate().await;
    server.crds_changed(without_bounds).await;
    let stage = Stage::on(&server, "fleet-odd", &[], GitServer::http).await;
    let fleet = Fleet::on(stage);
    let mut spec = fleet.spec();
    spec["prune"] = json!(false);
    fleet.apply(&spec).await;
    fleet.has(&FIRST).await;
    let commit = fleet.remove_older_release();
    assert!(faults(&fleet.at(&commit).await).contains("prune is false"));
    let patch_sets = fleet.stage.api::<PatchSet>();
    let odd = Patch::Merge(json!({ "spec": { "level": { "no": "level" } } }));
    patch_sets
        .patch_metadata("oslo.demo-2025.2", &PatchParams::default(), &odd)
        .await
        .unwrap();
    spec["prune"] = json!(true);
    fleet.apply(&spec).await;
    let told = fleet.wait("kept", |object| faults(object).contains("it cannot be read"));
    assert!(faults(&told.await).contains("oslo.demo-2025.2"));
    let is_there = async |name: &str| patch_sets.get_metadata_opt(name).await.unwrap().is_some();
    assert!(is_there("oslo.demo-2025.2").await);
    let end = Instant::now() + PATIENCE;
    while is_there("keystone-2025.2").await {
        assert!(Instant::now() < end, "the one that can be read is pruned");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
