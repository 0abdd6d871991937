//! PatchRepositories at the API server, and `patchset generate` on a repository laid out like the
//! first users'.

use std::collections::BTreeMap;
use std::path::Path;

use assert_cmd::Command;
use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use patchset::fleet::{ReadingRules, desired_objects};
use patchset::layout::{FileKind, FilesError, FolderEntry, RepositoryFiles, RepositoryLayout};
use patchset_api::schema::faults;
use patchset_api::{ConstraintOverride, PatchRepository, PatchSet};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::constraints::corpus;
use crate::support::api_server::ApiServer;
use crate::support::git_repo::GitRepo;

const SAMPLE: &str = "config/samples/patching_v1alpha1_patchrepository.yaml";

/// What a team's repository has in addition to the releases and overrides of the corpus.
const OURS: [(&str, &str); 8] = [
    (
        "patches/glance/2025.2/0001-a.patch",
        "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n",
    ),
    (
        "patches/os-traits/2025.2/0001-b.patch",
        "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n",
    ),
    ("images/glance/Dockerfile", "FROM python-base\n"),
    ("images/keystone/Dockerfile", "FROM python-base\n"),
    ("images/horizon/Dockerfile", "FROM python-base\n"),
    ("images/placement/Dockerfile", "FROM python-base\n"),
    ("images/barbican/Dockerfile", "FROM python-base\n"),
    ("README.md", "ours\n"),
];

/// A checkout like the first users'.
fn checkout(root: &Path) -> GitRepo {
    let repo = GitRepo::create(root, "deployment");
    let mut files: Vec<(String, String)> = Vec::new();
    for release in ["2025.2", "2026.1"] {
        for file in [
            "releases/RELEASE/upper-constraints.txt",
            "releases/RELEASE/extra-packages.yaml",
            "releases/RELEASE/source-refs.yaml",
            "overrides/RELEASE/constraints.txt",
        ] {
            let file = file.replace("RELEASE", release);
            let mut text = corpus(&file);
            if file == "releases/2025.2/source-refs.yaml" {
                text.push_str("os-traits: \"3.5.0\"\n");
            }
            files.push((file, text));
        }
    }
    let corpus = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    let all: Vec<(&str, &str)> = corpus.chain(OURS).collect();
    repo.commit(&all, "everything");
    repo
}

/// The PatchRepositories of the sample.
fn samples() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SAMPLE);
    serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn generate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchset"));
    command.arg("generate").args(args);
    command
}

/// The documents that a run prints.
fn printed(command: &mut Command) -> Vec<Value> {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_saphyr::from_multiple(std::str::from_utf8(&output.stdout).unwrap()).unwrap()
}

/// Applies an object as a strict client does.
async fn apply<K>(namespace: &str, object: &Value) -> kube::Result<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let server = ApiServer::get().await;
    let api: Api<K> = Api::namespaced(server.client(), namespace);
    let mut object = object.clone();
    object["metadata"]["namespace"] = json!(namespace);
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    let params = PatchParams::apply("test").force().validation_strict();
    api.patch(&name, &params, &Patch::Apply(&object)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_samples_are_accepted_as_they_are_written() {
    let server = ApiServer::get().await;
    server.crds().await;
    let namespace = server.namespace("prepo").await;
    let samples = samples();
    assert_eq!(samples.len(), 2);
    for sample in &samples {
        assert_eq!(faults::<PatchRepository>(sample), []);
        let stored: PatchRepository = apply(&namespace, sample).await.unwrap();
        assert!(stored.spec.prune);
        // Nothing of a template is lost on the way.
        let stored = serde_json::to_value(&stored.spec).unwrap();
        assert_eq!(stored.get("template"), sample["spec"].get("template"));
        assert_eq!(stored.get("overrides"), sample["spec"].get("overrides"));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SAMPLE);
    let text = std::fs::read_to_string(path).unwrap();
    let first = text.split("---").next().unwrap();
    let lines = first.lines().filter(|line| !line.starts_with('#')).count();
    assert!(lines <= 15, "the first has {lines} lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_null_in_a_template_is_kept() {
    let server = ApiServer::get().await;
    server.crds().await;
    let namespace = server.namespace("prepo-null").await;
    let mut object = samples().remove(0);
    let pod = json!({ "spec": { "securityContext": null } });
    object["spec"]["overrides"] = json!([{ "match": { "component": "a" }, "template": {
        "metadata": { "labels": { "a": null } },
        "spec": { "candidates": null, "build": { "args": { "A": null }, "job": { "podTemplate": pod } } }
    } }]);
    let stored: PatchRepository = apply(&namespace, &object).await.unwrap();
    let stored = serde_json::to_value(&stored.spec).unwrap();
    assert_eq!(stored["overrides"], object["spec"]["overrides"]);
}

/// The address of a repository that is never read.
const URL: &str = "https://git.example.com/a";

/// Wrong fields of a spec: what is wrong, the fields, and a part of the message.
fn wrong_specs() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        (
            "no source",
            json!({ "source": {} }),
            "set exactly one of git and sourceRef",
        ),
        (
            "two sources",
            json!({ "source": { "git": { "url": URL }, "sourceRef": { "kind": "Bucket", "name": "b" } } }),
            "set exactly one of git and sourceRef",
        ),
        (
            "a password in the address",
            json!({ "source": { "git": { "url": "https://a:b@git.example.com/a" } } }),
            "put it into a Secret",
        ),
        (
            "a signed tag of a branch",
            json!({ "source": { "git": { "url": URL, "verify": { "mode": "Tag", "secretRef": { "name": "k" } } } } }),
            "set ref.tag or ref.semver, or use HEAD",
        ),
        (
            "a directory that leaves",
            json!({ "directory": "a/../.." }),
            "write a path relative to the repository's root",
        ),
        ("an unknown layout", json!({ "layout": "Flat" }), "layout"),
        (
            "a component of many",
            json!({ "layout": "ComponentRelease", "component": "glance" }),
            "to choose some, set components.include",
        ),
        (
            "no upstream",
            json!({ "upstream": { "urlTemplate": null } }),
            "set urlTemplate, or overrides",
        ),
        (
            "one component twice",
            json!({ "upstream": { "urlTemplate": "a", "overrides": [{ "component": "a" }, { "component": "a" }] } }),
            "upstream.overrides",
        ),
        (
            "constraints of an artifact",
            json!({ "source": { "sourceRef": { "kind": "Bucket", "name": "b" } }, "constraints": {} }),
            "a ConstraintOverride reads its files from Git",
        ),
    ]
}

/// The same for templates, in `template` and in `overrides`.
fn wrong_templates() -> Vec<(&'static str, Value, &'static str)> {
    let template = |spec: Value| json!({ "template": { "spec": spec } });
    vec![
        (
            "an override for all",
            json!({ "overrides": [{ "match": {}, "template": {} }] }),
            "what is for all goes into spec.template",
        ),
        (
            "a component in a template",
            template(json!({ "component": "glance" })),
            "component, release and level follow from the folders",
        ),
        (
            "an upstream in a template",
            template(json!({ "upstream": { "url": URL } })),
            "upstream.url, ref and refFrom follow",
        ),
        (
            "a place of patches in a template",
            json!({ "overrides": [{ "match": { "level": "Service" }, "template": { "spec": { "patches": { "path": "a" } } } }] }),
            "where the patches are follows from",
        ),
        (
            "the own label in a template",
            json!({ "template": { "metadata": { "labels": { "patching.c5c3.io/repository": "x" } } } }),
            "is the PatchRepository's own",
        ),
        (
            "an unknown field in a template",
            template(json!({ "bild": {} })),
            "bild",
        ),
        (
            "a text for a list in a template",
            template(json!({ "candidates": "main" })),
            "candidates",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_one_is_refused_with_what_to_write_instead() {
    let server = ApiServer::get().await;
    server.crds().await;
    let namespace = server.namespace("prepo-wrong").await;
    for (name, change, sentence) in wrong_specs().into_iter().chain(wrong_templates()) {
        let mut object = json!({
            "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchRepository", "metadata": { "name": "wrong" },
            "spec": { "source": { "git": { "url": URL } }, "upstream": { "urlTemplate": URL } }
        });
        for (field, value) in change.as_object().unwrap() {
            object["spec"][field] = value.clone();
        }
        let error = apply::<PatchRepository>(&namespace, &object).await.err();
        let error = error.map(|error| error.to_string());
        let error = error.unwrap_or_else(|| panic!("{name} was accepted"));
        assert!(error.contains(sentence), "{name}: {error}");
        let told: Vec<String> = faults::<PatchRepository>(&object)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(
            told.iter().any(|fault| fault.contains(sentence)),
            "{name}: {told:?}"
        );
    }
    let mut long = samples().remove(0);
    long["metadata"]["name"] = json!("a".repeat(64));
    let error = apply::<PatchRepository>(&namespace, &long)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("write one of at most 63 characters"), "{error}");
    let told = faults::<PatchRepository>(&long);
    assert!(
        told.iter()
            .any(|fault| fault.message.contains("at most 63 characters")),
        "{told:?}"
    );
}

/// Files of a folder, as the controller reads those of a commit.
struct FolderFiles<'a>(&'a Path);

impl RepositoryFiles for FolderFiles<'_> {
    fn entries(&self, folder: &str) -> Result<Option<Vec<FolderEntry>>, FilesError> {
        let Ok(read) = std::fs::read_dir(self.0.join(folder)) else {
            return Ok(None);
        };
        let mut entries: Vec<FolderEntry> = read
            .map(|entry| {
                let entry = entry.unwrap();
                let is_folder = entry.file_type().unwrap().is_dir();
                FolderEntry {
                    name: entry.file_name().into_string().unwrap(),
                    kind: if is_folder {
                        FileKind::Folder
                    } else {
                        FileKind::File
                    },
                }
            })
            .collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Some(entries))
    }

    fn read(&self, path: &str, _: u64) -> Result<Vec<u8>, FilesError> {
        std::fs::read(self.0.join(path)).map_err(|_| FilesError::NotFound {
            path: path.to_owned(),
        })
    }
}

/// Whatever is printed is what a PatchRepository would create, except for its owner, and the API
/// server accepts it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_is_what_would_be_made() {
    let server = ApiServer::get().await;
    server.crds().await;
    let namespace = server.namespace("generate").await;
    let root = tempfile::tempdir().unwrap();
    let repo = checkout(root.path());
    let folder = repo.work().to_str().unwrap();
    for sample in samples() {
        let mut object = sample.clone();
        object["metadata"]["namespace"] = json!(namespace);
        object["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
        let file = root.path().join("repository.yaml");
        std::fs::write(&file, object.to_string()).unwrap();
        let printed = printed(&mut generate(&[folder, "--repository", file.to_str().unwrap()]));

        let repository: PatchRepository = serde_json::from_value(object).unwrap();
        let rules = ReadingRules::new(&repository.spec).unwrap();
        let layout = RepositoryLayout::read(&FolderFiles(repo.work()), &rules.options(Some("main"))).unwrap();
        let desired = desired_objects(&repository, &layout).unwrap();
        assert!(desired.faults.is_empty(), "{:?}", desired.faults);
        let overrides = desired.constraint_overrides.iter().map(|one| {
            assert_eq!(one.owner_references().len(), 1);
            serde_json::to_value(one).unwrap()
        });
        let sets = desired
            .patch_sets
            .iter()
            .map(|one| serde_json::to_value(one).unwrap());
        let made: Vec<Value> = overrides
            .chain(sets)
            .map(|mut object| {
                object["metadata"]
                    .as_object_mut()
                    .unwrap()
                    .remove("ownerReferences")
                    .unwrap();
                object
            })
            .collect();
        assert_eq!(printed, made);
        // Eleven components of two releases, and the constraints of both.
        assert_eq!(printed.len(), 13, "{printed:#?}");
        for mut object in printed {
            object["spec"]["suspend"] = json!(true);
            let result = match object["kind"].as_str().unwrap() {
                "PatchSet" => apply::<PatchSet>(&namespace, &object).await.map(drop),
                _ => apply::<ConstraintOverride>(&namespace, &object).await.map(drop),
            };
            result.unwrap_or_else(|error| panic!("{error}: {object:#}"));
        }
    }
}

#[test]
fn options_stand_for_a_patch_repository() {
    let root = tempfile::tempdir().unwrap();
    let repo = checkout(root.path());
    let folder = repo.work().to_str().unwrap();
    let sample = &samples()[0];
    let file = root.path().join("repository.yaml");
    std::fs::write(&file, sample.to_string()).unwrap();
    let by_resource = printed(&mut generate(&[
        folder,
        "--repository",
        file.to_str().unwrap(),
        "-n",
        "team",
    ]));
    let source = "https://git.example.com/team/deployment.git";
    let upstream = "https://opendev.org/openstack/{component}";
    let options = [
        folder,
        "--name",
        "openstack",
        "--namespace",
        "team",
        "--source-url",
        source,
        "--source-secret",
        "deployment-read",
        "--branch",
        "main",
        "--upstream-url-template",
        upstream,
        "--constraints",
    ];
    assert_eq!(printed(&mut generate(&options)), by_resource);

    let template = root.path().join("template.yaml");
    std::fs::write(
        &template,
        "metadata: { labels: { of: '{component}' } }\nspec: { interval: 1h }\n",
    )
    .unwrap();
    let chosen = [
        "--component",
        "g*",
        "--release",
        "2025.2",
        "--library",
        "glance",
        "--template",
        template.to_str().unwrap(),
    ];
    let printed = printed(&mut generate(&[&options[..], &chosen].concat()));
    let sets: Vec<&Value> = printed
        .iter()
        .filter(|object| object["kind"] == "PatchSet")
        .collect();
    assert_eq!(sets.len(), 1);
    assert_eq!(
        sets[0]["metadata"]["labels"],
        json!({ "of": "glance", "patching.c5c3.io/repository": "openstack" })
    );
    assert_eq!(
        (&sets[0]["spec"]["interval"], &sets[0]["spec"]["level"]),
        (&json!("1h"), &json!("Library"))
    );
}

#[test]
fn what_is_printed_for_the_first_users_is_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let repo = checkout(root.path());
    let file = root.path().join("repository.yaml");
    std::fs::write(&file, samples()[1].to_string()).unwrap();
    let args = [
        repo.work().to_str().unwrap(),
        "--repository",
        file.to_str().unwrap(),
    ];
    let output = generate(&args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let documents: Vec<&str> = text.split("---\n").filter(|one| !one.is_empty()).collect();
    let by_name: BTreeMap<&str, &str> = documents
        .iter()
        .map(|one| {
            (
                one.lines()
                    .find_map(|line| line.strip_prefix("  name: "))
                    .unwrap_or_default(),
                *one,
            )
        })
        .collect();
    assert_eq!(by_name.len(), documents.len(), "{text}");
    let some = ["glance-2025.2", "os-traits-2025.2", "constraints-2026.1"];
    let some: Vec<&str> = some.iter().map(|name| by_name[name]).collect();
    insta::assert_snapshot!(some.join("---\n"));
}

#[test]
fn what_is_wrong_is_told_and_the_rest_is_printed() {
    let root = tempfile::tempdir().unwrap();
    let repo = checkout(root.path());
    let folder = repo.work().to_str().unwrap();
    std::fs::create_dir_all(repo.work().join("patches/nova/2025.2")).unwrap();
    std::fs::write(repo.work().join("patches/nova/2025.2/0001-a.patch"), "a").unwrap();
    let file = root.path().join("repository.yaml");
    std::fs::write(&file, samples()[0].to_string()).unwrap();
    let output = generate(&[folder, "--repository", file.to_str().unwrap()])
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("UnknownComponent: patches/nova/2025.2: nova is not in"),
        "{errors}"
    );
    assert!(
        errors.contains("11 PatchSets, 2 ConstraintOverrides, 1 faults"),
        "{errors}"
    );
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("name: glance-2025.2\n")
    );

    let refused = |args: &[&str], sentence: &str| {
        let output = generate(args).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(sentence), "{errors}");
        assert!(output.stdout.is_empty());
    };
    refused(&[folder], "--upstream-url-template");
    let documents = samples();
    let documents = documents.iter().map(|one| format!("---\n{one}\n"));
    let both = documents.collect::<Vec<_>>().concat();
    let two = root.path().join("two.yaml");
    std::fs::write(&two, both).unwrap();
    let two = two.to_str().unwrap();
    refused(
        &[folder, "--repository", two],
        "there are openstack, openstack-images: choose one with --name",
    );
    refused(
        &[folder, "--repository", two, "--name", "x"],
        "no PatchRepository x",
    );
    let mut wrong = samples().remove(0);
    wrong["spec"]["template"] = json!({ "spec": { "release": "1" } });
    std::fs::write(&file, wrong.to_string()).unwrap();
    refused(
        &[folder, "--repository", file.to_str().unwrap()],
        "component, release and level follow from the folders",
    );
    std::fs::write(&file, "a: [").unwrap();
    refused(&[folder, "--repository", file.to_str().unwrap()], "is not YAML");
}

/// The YAML of docs/operations.md.
#[test]
fn the_examples_of_the_manual_are_good() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("\n## A whole repository\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks: Vec<&str> = section
        .split("```yaml\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap())
        .collect();
    assert_eq!(blocks.len(), 2);
    let repository: Value = serde_saphyr::from_str(blocks[0]).unwrap();
    assert_eq!(faults::<PatchRepository>(&repository), []);
    assert_eq!(repository, samples()[0], "the manual has the first sample");
    // As Flux Operator fills it in.
    let set: Value = serde_saphyr::from_str(blocks[1]).unwrap();
    let object = set["spec"]["resources"][0].to_string();
    let filled = object
        .replace("<< inputs.component >>", "glance")
        .replace("<< inputs.release >>", "2025.2")
        .replace("<< inputs.release | quote >>", "2025.2");
    let object: Value = serde_json::from_str(&filled).unwrap();
    assert_eq!(faults::<PatchSet>(&object), []);
    assert_eq!(object["metadata"]["name"], "glance-2025.2");
}
