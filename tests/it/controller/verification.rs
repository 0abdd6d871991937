//! What has to be signed, and what happens if it is not.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use patchset_api::{ConstraintOverride, PatchSet};
use serde_json::{Value, json};

use super::{BASE, GOOD, PATIENCE, Stage, assert_well_formed, build, condition, inline, shown};
use crate::support::api_server::ApiServer;
use crate::support::git_repo::GitRepo;
use crate::support::program::program;
use crate::support::registry::Registry;
use crate::support::signing::{GpgHome, SshKey};

fn message<K: super::Resource>(object: &K) -> String {
    condition(object, "SourceVerified").unwrap().message.clone()
}

/// Everything in a status except the conditions, their summary, and the observed generation.
fn results(object: &PatchSet) -> Value {
    let mut status = serde_json::to_value(object.status.as_ref().unwrap()).unwrap();
    let fields = status.as_object_mut().unwrap();
    fields.remove("conditions");
    fields.remove("summary");
    fields.remove("observedGeneration");
    status
}

/// Waits until the upstream was looked at this many more times.
async fn looked_at(stage: &Stage, times: usize) {
    let (before, end) = (stage.server.looks(), Instant::now() + PATIENCE);
    while stage.server.looks() < before + times {
        assert!(Instant::now() < end, "the upstream is not looked at");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_of_a_commit_that_is_not_signed_by_a_trusted_key() {
    let registry = Registry::open();
    let stage = build::stage("signed", &registry).await;
    let (key, other) = (SshKey::new("ed25519", None), SshKey::new("ed25519", None));
    stage.secret("keys", &[("ann.pub", &key.public())]).await;
    let id = stage.upstream.signed_commit(&key.settings(), "signed");
    let mut spec = build::spec(&stage, &registry);
    spec["upstream"]["ref"] = json!({ "branch": "main" });
    spec["upstream"]["verify"] = json!({ "secretRef": { "name": "keys" } });
    spec["build"].as_object_mut().unwrap().remove("image");
    stage.apply("demo", &spec).await;
    let good = stage.ready("demo", "True", "Succeeded").await;
    assert_well_formed(&good);
    assert_eq!(shown(&good, "SourceVerified"), "True/Succeeded");
    let told = message(&good);
    let expected = format!("the upstream: commit {id} is signed by SSH key SHA256:");
    assert!(told.starts_with(&expected), "{told}");
    let uploads = registry.uploads();
    assert!(uploads > 0);

    let unsigned = stage
        .upstream
        .commit(&[("file.txt", &format!("{BASE}eleven\n"))], "unsigned");
    let refused = stage.ready("demo", "False", "SignatureMissing").await;
    assert_well_formed(&refused);
    assert_eq!(shown(&refused, "SourceVerified"), "False/SignatureMissing");
    assert_eq!(shown(&refused, "Stalled"), "True/SignatureMissing");
    assert!(message(&refused).contains(&format!("commit {unsigned} has no signature")));
    assert_eq!(results(&refused), results(&good), "the last good result stays");
    // It is looked at again each interval, and held commits are not fetched again.
    let packs = stage.server.packs();
    looked_at(&stage, 3).await;
    assert_eq!(stage.server.packs(), packs);

    stage.upstream.signed_commit(&other.settings(), "a stranger's");
    let refused = stage.ready("demo", "False", "UnknownSigner").await;
    assert_eq!(results(&refused), results(&good));
    assert_eq!(registry.uploads(), uploads, "an unverified source was published");

    // An added key is taken up at once, and so is a removed one.
    spec["interval"] = json!("1h");
    stage.apply("demo", &spec).await;
    let refused = stage.ready("demo", "False", "UnknownSigner").await;
    assert_eq!(results(&refused), results(&good));
    let both = [("ann.pub", key.public()), ("bob.pub", other.public())];
    let both = both.each_ref().map(|(name, key)| (*name, key.as_str()));
    stage.secret("keys", &both).await;
    let newer = stage.ready("demo", "True", "Succeeded").await;
    assert_well_formed(&newer);
    assert_ne!(results(&newer)["upstream"], results(&good)["upstream"]);
    assert!(registry.uploads() > uploads);
    stage.secret("keys", &[both[0], ("bob.pub", "# gone")]).await;
    let refused = stage.ready("demo", "False", "UnknownSigner").await;
    assert_eq!(results(&refused), results(&newer));

    // Without a requirement nothing is reported.
    spec["upstream"].as_object_mut().unwrap().remove("verify");
    stage.apply("demo", &spec).await;
    let plain = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(shown(&plain, "SourceVerified"), "-");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_good_is_good_again() {
    let stage = Stage::new("signed-back").await;
    let key = SshKey::new("ed25519", None);
    stage
        .secret(
            "keys",
            &[("allowed_signers", &format!("ann@example.org {}", key.public()))],
        )
        .await;
    let id = stage.upstream.signed_commit(&key.settings(), "signed");
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["upstream"]["verify"] = json!({ "mode": "HEAD", "secretRef": { "name": "keys" } });
    stage.apply("demo", &spec).await;
    let good = stage.ready("demo", "True", "Succeeded").await;
    assert!(
        message(&good).ends_with("(ann@example.org)"),
        "{}",
        message(&good)
    );
    stage.upstream.commit(&[], "unsigned");
    stage.ready("demo", "False", "SignatureMissing").await;
    stage.upstream.git(&["update-ref", "refs/heads/main", &id]);
    let again = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(shown(&again, "SourceVerified"), "True/Succeeded");
    assert_eq!(shown(&again, "Stalled"), "-");
    assert_eq!(results(&again), results(&good));
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_that_are_not_signed_say_nothing_of_the_upstream() {
    let stage = Stage::new("signed-patches").await;
    let home = GpgHome::with_key("ed25519", "sign", "never", None);
    let settings = home.settings();
    let ours = GitRepo::create(stage.root.path(), "ours");
    let refs = |tag: &str| format!("demo: {tag}\n");
    ours.commit(
        &[("p/0001-five.patch", GOOD), ("refs.yaml", &refs("1.0.0"))],
        "unsigned",
    );
    let verify = json!({ "secretRef": { "name": "keys" } });
    let spec = json!({
        "component": "demo", "release": "2025.2", "interval": "1s",
        "upstream": { "url": stage.server.url("upstream"), "refFrom": { "path": "refs.yaml" },
            "verify": { "mode": "Tag", "secretRef": { "name": "keys" } } },
        "patches": { "git": { "url": stage.server.url("ours"), "path": "p", "verify": verify } }
    });
    stage.apply("demo", &spec).await;
    let missing = stage.ready("demo", "False", "ReferenceNotFound").await;
    assert_eq!(shown(&missing, "SourceVerified"), "False/ReferenceNotFound");
    stage.secret("keys", &[("team.asc", &home.export())]).await;
    let refused = stage.ready("demo", "False", "SignatureMissing").await;
    assert!(message(&refused).contains("the patches' repository"));
    assert_eq!(refused.status.as_ref().unwrap().upstream, None);

    // The tag 1.0.0 is a lightweight one.
    ours.signed_commit(&settings, "signed");
    let lightweight = |object: &PatchSet| message(object).contains("tag 1.0.0 has no signature");
    stage.wait("demo", "waiting for a signed tag", lightweight).await;
    stage
        .upstream
        .git_with(&settings, &["tag", "-s", "-m", "signed", "2.0.0"]);
    std::fs::write(ours.work().join("refs.yaml"), refs("2.0.0")).unwrap();
    ours.git(&["add", "--all", "--force"]);
    ours.signed_commit(&settings, "to the signed tag");
    let good = stage.ready("demo", "True", "Succeeded").await;
    let key = &home.fingerprints()[0];
    let commit = ours.git(&["rev-parse", "main"]);
    assert_eq!(
        message(&good),
        format!(
            "the upstream: tag 2.0.0 is signed by OpenPGP key {key}; \
             the patches' repository: commit {commit} is signed by OpenPGP key {key}"
        )
    );
    let status = good.status.unwrap();
    assert_eq!(status.applied.as_deref(), Some("1/1"));
    assert!(status.upstream.unwrap().revision.starts_with("2.0.0@sha1:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn overrides_that_are_not_signed_are_not_merged() {
    let stage = Stage::new("signed-overrides").await;
    let key = SshKey::new("ecdsa", None);
    stage.secret("keys", &[("ann.pub", &key.public())]).await;
    let ours = GitRepo::create(stage.root.path(), "ours");
    let put = |text: &str| {
        std::fs::write(ours.work().join("overrides.txt"), text).unwrap();
        ours.git(&["add", "--all", "--force"]);
    };
    put("alpha===1.1\n");
    ours.signed_commit(&key.settings(), "signed");
    let spec = json!({
        "release": "2025.2", "interval": "1s",
        "upperConstraints": { "inline": "alpha===1.0\n" },
        "overrides": { "git": { "url": stage.server.url("ours"), "path": "overrides.txt",
            "verify": { "secretRef": { "name": "keys" } } } }
    });
    stage
        .try_apply_kind::<ConstraintOverride>("co", &spec)
        .await
        .unwrap();
    let good: ConstraintOverride = stage.ready_kind("co", "True", "Succeeded").await;
    assert!(
        message(&good).starts_with("the overrides: commit "),
        "{}",
        message(&good)
    );
    let file = |object: &ConstraintOverride| object.status.as_ref().unwrap().config_map.clone().unwrap();
    put("alpha===6.6\n");
    ours.commit(&[], "unsigned");
    let refused: ConstraintOverride = stage.ready_kind("co", "False", "SignatureMissing").await;
    assert_well_formed(&refused);
    assert_eq!(shown(&refused, "ConstraintsMerged"), "True/Succeeded");
    assert_eq!(file(&refused), file(&good));
    stage.secret("keys", &[("ann.pub", "nonsense")]).await;
    let unreadable: ConstraintOverride = stage.ready_kind("co", "False", "InvalidReference").await;
    assert!(
        message(&unreadable).contains("ann.pub line 1 is neither"),
        "{}",
        message(&unreadable)
    );
    stage.secret("keys", &[("ann.pub", &key.public())]).await;
    ours.signed_commit(&key.settings(), "signed");
    let newer: ConstraintOverride = stage.ready_kind("co", "True", "Succeeded").await;
    assert_ne!(file(&newer), file(&good));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_example_works_as_it_is_written() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let mut sections = docs.split("\n## ");
    let section = sections
        .find(|section| section.starts_with("Signed sources\n"))
        .unwrap();
    let block = |language: &str| {
        let (_, rest) = section.split_once(&format!("```{language}\n")).unwrap();
        rest.split_once("```").unwrap().0.to_owned()
    };
    let stage = Stage::new("signed-docs").await;
    let home = GpgHome::empty();
    let name = "Release Team <release-team@example.com>";
    home.run(None, &["--quick-gen-key", name, "ed25519", "sign", "never"]);
    let by_team = home.settings();
    stage
        .upstream
        .git_with(&by_team, &["tag", "-s", "-m", "signed", "31.0.1"]);
    let ann = SshKey::new("ed25519", None);
    let ours = GitRepo::create(stage.root.path(), "ours");
    ours.commit(&[("patches/glance/2025.2/0001-five.patch", GOOD)], "patches");
    ours.signed_commit(&ann.settings(), "signed");

    std::fs::create_dir(home.path().join(".ssh")).unwrap();
    let public = ann.path().with_extension("pub");
    std::fs::copy(public, home.path().join(".ssh/id_ed25519.pub")).unwrap();
    let kubeconfig = home.path().join("kubeconfig");
    ApiServer::get().await.kubeconfig(&kubeconfig);
    let kubectl = program("kubectl");
    let folder = Path::new(kubectl.get_program())
        .parent()
        .unwrap()
        .display()
        .to_string();
    let choose = format!(
        "kubectl config set-context --current --namespace {}",
        stage.namespace
    );
    let done = Command::new("sh")
        .args(["-euc", &format!("{choose}\n{}", block("sh"))])
        .current_dir(home.path())
        .env("HOME", home.path())
        .env("GNUPGHOME", home.path())
        .env("KUBECONFIG", &kubeconfig)
        .env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap()))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    let manifest = block("yaml")
        .replace(
            "https://git.example.com/mirror/glance.git",
            &stage.server.url("upstream"),
        )
        .replace(
            "https://git.example.com/team/patches.git",
            &stage.server.url("ours"),
        );
    let manifest: Value = serde_saphyr::from_str(&manifest).unwrap();
    let mut spec = manifest["spec"].clone();
    spec["component"] = json!("glance");
    spec["release"] = json!("2025.2");
    stage.apply("glance", &spec).await;
    let good = stage.ready("glance", "True", "Succeeded").await;
    let told = message(&good);
    assert!(told.contains("tag 31.0.1 is signed by OpenPGP key "), "{told}");
    assert!(told.ends_with("(ann@example.com)"), "{told}");
}
