//! Tests of the room as a whole: folders and a spec in, objects out.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use patchset_api::conditions::Truth;
use patchset_api::patch_repository::{MOST_CELLS, RepositoryFault};
use patchset_api::reason;
use patchset_api::{PatchRepository, PatchSet};
use serde_json::{Value, json};

use super::{ChildState, DesiredObjects, FleetError, FleetSummary, ReadingRules, desired_objects, summarize};
use crate::layout::tests::MemoryFiles;
use crate::layout::{FileKind, FilesError, FolderEntry, RepositoryFiles, RepositoryLayout};

/// Files in memory, by path.
struct FilesByPath(BTreeMap<String, String>);

impl RepositoryFiles for FilesByPath {
    fn entries(&self, folder: &str) -> Result<Option<Vec<FolderEntry>>, FilesError> {
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let mut entries: BTreeMap<&str, FileKind> = BTreeMap::new();
        for path in self.0.keys() {
            match path
                .strip_prefix(&prefix)
                .map(|rest| rest.split_once('/').ok_or(rest))
            {
                Some(Ok((name, _))) => drop(entries.insert(name, FileKind::Folder)),
                Some(Err(name)) => drop(entries.insert(name, FileKind::File)),
                None => {}
            }
        }
        let entries: Vec<FolderEntry> = entries
            .into_iter()
            .map(|(name, kind)| FolderEntry {
                name: name.to_owned(),
                kind,
            })
            .collect();
        Ok((folder.is_empty() || !entries.is_empty()).then_some(entries))
    }

    fn read(&self, path: &str, _: u64) -> Result<Vec<u8>, FilesError> {
        let found = self.0.get(path);
        found
            .map(|text| text.clone().into_bytes())
            .ok_or_else(|| FilesError::NotFound {
                path: path.to_owned(),
            })
    }
}

/// A repository as C5C3 lays it out: a service with patches, one without, and a library.
const FILES: [(&str, &str); 12] = [
    ("patches/glance/2025.2/0001-a.patch", "a"),
    ("patches/glance/2026.1/0001-a.patch", "a"),
    ("patches/oslo.messaging/2025.2/0001-b.patch", "b"),
    (
        "releases/2025.2/source-refs.yaml",
        "glance: \"31.0.0\"\nnova: stable/2025.2\noslo.messaging: \"17.1.0\"\n",
    ),
    ("releases/2025.2/upper-constraints.txt", "a===1\n"),
    ("releases/2025.2/extra-packages.yaml", "glance: {}\n"),
    ("releases/2026.1/source-refs.yaml", "glance: \"32.0.0\"\n"),
    ("releases/2026.1/upper-constraints.txt", "a===1\n"),
    ("overrides/2025.2/constraints.txt", "-glance\n"),
    ("images/glance/Dockerfile", "FROM scratch\n"),
    ("images/nova/Dockerfile", "FROM scratch\n"),
    ("README.md", "hello\n"),
];

fn files(more: &[(&str, &str)]) -> FilesByPath {
    let all = FILES.iter().chain(more);
    FilesByPath(
        all.map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect(),
    )
}

/// A PatchRepository with these fields of its spec besides source and upstream.
fn repository(spec: &Value) -> PatchRepository {
    let mut whole = json!({
        "source": { "git": {
            "url": "https://git.example.com/team/deployment.git",
            "ref": { "branch": "main" },
            "secretRef": { "name": "git" }
        } },
        "upstream": { "urlTemplate": "https://opendev.org/openstack/{component}" },
    });
    for (name, value) in spec.as_object().unwrap() {
        whole[name] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "patching.c5c3.io/v1alpha1",
        "kind": "PatchRepository",
        "metadata": { "name": "openstack", "namespace": "team", "uid": "1-2-3" },
        "spec": whole,
    }))
    .unwrap()
}

fn desired_of(files: &dyn RepositoryFiles, spec: &Value) -> Result<DesiredObjects, FleetError> {
    let repository = repository(spec);
    let rules = ReadingRules::new(&repository.spec)?;
    let layout = RepositoryLayout::read(files, &rules.options(Some("main"))).unwrap();
    desired_objects(&repository, &layout)
}

fn desired(spec: &Value) -> DesiredObjects {
    desired_of(&files(&[]), spec).unwrap()
}

fn names(desired: &DesiredObjects) -> Vec<String> {
    desired.patch_sets.iter().map(ResourceExt::name_any).collect()
}

/// The spec of a PatchSet.
fn spec_of(desired: &DesiredObjects, name: &str) -> Value {
    let mut sets = desired.patch_sets.iter();
    let found = sets.find(|set| set.name_any() == name);
    serde_json::to_value(
        &found
            .unwrap_or_else(|| panic!("no {name}: {:#?}", desired.faults))
            .spec,
    )
    .unwrap()
}

/// The faults as text.
fn faults(desired: &DesiredObjects) -> Vec<String> {
    let faults = desired.faults.iter();
    faults
        .map(
            |RepositoryFault {
                 kind, path, message, ..
             }| format!("{kind} {path}: {message}"),
        )
        .collect()
}

/// A template with an image.
fn image_template() -> Value {
    json!({ "spec": { "build": {
        "engine": "Job",
        "source": { "repository": "r.example.com/{component}-source" },
        "image": { "repository": "r.example.com/{component}", "tag": "{version}-p{patches}-{patchesBranch}-{patchesSha}" },
        "args": { "A": "b" }
    } } })
}

#[test]
fn each_component_at_each_release_is_a_patch_set() {
    let desired = desired(&json!({}));
    assert_eq!(
        names(&desired),
        [
            "glance-2025.2",
            "nova-2025.2",
            "oslo.messaging-2025.2",
            "glance-2026.1"
        ]
    );
    assert!(desired.faults.is_empty(), "{:?}", desired.faults);
    assert!(desired.constraint_overrides.is_empty());
    let git = |path: &str| {
        json!({ "git": {
            "url": "https://git.example.com/team/deployment.git", "ref": { "branch": "main" },
            "path": path, "secretRef": { "name": "git" }
        } })
    };
    assert_eq!(
        spec_of(&desired, "glance-2025.2"),
        json!({
            "component": "glance", "release": "2025.2", "level": "Service",
            "upstream": {
                "url": "https://opendev.org/openstack/glance",
                "refFrom": { "path": "releases/2025.2/source-refs.yaml" }
            },
            "patches": git("patches/glance/2025.2"),
            "mergedPatches": "Fail", "interval": "5m", "timeout": "2m"
        })
    );
    // Without patches: the folder may be added later.
    let nova = spec_of(&desired, "nova-2025.2");
    assert_eq!(nova["patches"], git("patches/nova/2025.2"));
    assert_eq!(spec_of(&desired, "oslo.messaging-2025.2")["level"], "Library");
    let metadata = &desired.patch_sets[0].metadata;
    assert_eq!(metadata.namespace.as_deref(), Some("team"));
    assert_eq!(
        metadata.labels.as_ref().unwrap()["patching.c5c3.io/repository"],
        "openstack"
    );
    let owner = &metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!(
        (owner.kind.as_str(), owner.controller),
        ("PatchRepository", Some(true))
    );
}

#[test]
fn patterns_choose_components_and_releases() {
    let chosen = |components: Value, releases: Value| {
        names(&desired(
            &json!({ "components": components, "releases": releases }),
        ))
    };
    let all = json!({});
    assert_eq!(
        chosen(
            json!({ "include": ["n*", "g?ance"] }),
            json!({ "exclude": ["2026*"] })
        ),
        ["glance-2025.2", "nova-2025.2"]
    );
    assert_eq!(
        chosen(json!({ "exclude": ["*.*", "nova"] }), all.clone()),
        ["glance-2025.2", "glance-2026.1"]
    );
    assert_eq!(chosen(json!({ "include": ["none"] }), all).len(), 0);
    let refused = desired_of(&files(&[]), &json!({ "components": { "exclude": ["ok", "[a"] } })).unwrap_err();
    assert!(
        refused.to_string().starts_with("spec.components.exclude[1]: "),
        "{refused}"
    );
}

#[test]
fn a_service_with_an_image_is_built_with_the_libraries_and_constraints_of_its_release() {
    let desired = desired(&json!({ "template": image_template(), "constraints": {} }));
    assert_eq!(faults(&desired), Vec::<String>::new());
    let glance = spec_of(&desired, "glance-2025.2");
    assert_eq!(glance["libraries"], json!([{ "name": "oslo.messaging-2025.2" }]));
    assert_eq!(glance["constraints"], json!({ "name": "constraints-2025.2" }));
    let build = &glance["build"];
    assert_eq!(build["image"]["repository"], "r.example.com/glance");
    assert_eq!(
        build["image"]["tag"],
        "{version}-p{patches}-{patchesBranch}-{patchesSha}"
    );
    assert_eq!(build["dockerfile"]["git"]["path"], "images/glance");
    assert_eq!(
        build["extraPackagesFrom"]["path"],
        "releases/2025.2/extra-packages.yaml"
    );
    // The library has the fields that are not for an image.
    let library = spec_of(&desired, "oslo.messaging-2025.2");
    assert_eq!(
        library["build"],
        json!({ "engine": "Job", "source": { "repository": "r.example.com/oslo.messaging-source" } })
    );
    assert_eq!(library.get("constraints"), None);
    // The other release has no library and no extra packages.
    let other = spec_of(&desired, "glance-2026.1");
    assert_eq!(other.get("libraries"), None);
    assert_eq!(other["constraints"], json!({ "name": "constraints-2026.1" }));
    assert_eq!(other["build"].get("extraPackagesFrom"), None);
    let overrides: Vec<Value> = desired
        .constraint_overrides
        .iter()
        .map(|object| serde_json::to_value(&object.spec).unwrap())
        .collect();
    assert_eq!(overrides.len(), 2);
    assert_eq!(
        overrides[0]["overrides"]["git"]["path"],
        "overrides/2025.2/constraints.txt"
    );
    assert_eq!(
        overrides[0]["upperConstraints"]["git"]["path"],
        "releases/2025.2/upper-constraints.txt"
    );
    assert_eq!(
        overrides[0]["upperConstraints"]["git"]["secretRef"]["name"],
        "git"
    );
    assert_eq!(overrides[1]["overrides"], json!({ "entries": [] }));
}

#[test]
fn without_an_image_there_is_nothing_to_build_with() {
    let template = json!({ "spec": { "build": { "engine": "External", "source": { "repository": "r.example.com/{component}" } } } });
    let desired = desired(&json!({ "template": template, "constraints": {} }));
    let glance = spec_of(&desired, "glance-2025.2");
    assert_eq!((glance.get("libraries"), glance.get("constraints")), (None, None));
    assert_eq!(glance["build"].get("dockerfile"), None);
}

#[test]
fn what_a_template_says_wins_over_what_is_found() {
    let mut template = image_template();
    template["spec"]["constraints"] = json!({ "name": "ours" });
    template["spec"]["libraries"] = json!([{ "name": "more" }]);
    template["spec"]["build"]["extraPackagesFrom"] = Value::Null;
    template["spec"]["build"]["dockerfile"] = json!({ "stage": "runtime" });
    let made = desired(&json!({ "template": template, "constraints": {} }));
    let glance = spec_of(&made, "glance-2025.2");
    assert_eq!(glance["constraints"], json!({ "name": "ours" }));
    assert_eq!(
        glance["libraries"],
        json!([{ "name": "oslo.messaging-2025.2" }, { "name": "more" }])
    );
    assert_eq!(glance["build"].get("extraPackagesFrom"), None);
    assert_eq!(glance["build"]["dockerfile"]["stage"], "runtime");
    assert_eq!(glance["build"]["dockerfile"]["git"]["path"], "images/glance");
    template["spec"]["build"]["dockerfile"] = json!({ "inline": "FROM x" });
    template["spec"]["libraries"] = Value::Null;
    let made = desired(&json!({ "template": template }));
    let glance = spec_of(&made, "glance-2025.2");
    assert_eq!(glance["build"]["dockerfile"], json!({ "inline": "FROM x" }));
    assert_eq!(glance.get("libraries"), None);
}

#[test]
fn libraries_are_those_that_are_named_or_that_have_no_image() {
    let levels = |files: &FilesByPath, spec: &Value| -> BTreeMap<String, Value> {
        let desired = desired_of(files, spec).unwrap();
        let sets = desired.patch_sets.iter();
        sets.map(|set| (set.name_any(), json!(set.spec.level))).collect()
    };
    let named = levels(&files(&[]), &json!({ "libraries": ["nova"] }));
    assert_eq!(
        (&named["nova-2025.2"], &named["oslo.messaging-2025.2"]),
        (&json!("Library"), &json!("Service"))
    );
    let none = levels(&files(&[]), &json!({ "libraries": [] }));
    assert_eq!(none["oslo.messaging-2025.2"], "Service");
    let mut without_images = files(&[]);
    without_images.0.retain(|path, _| !path.starts_with("images/"));
    assert_eq!(
        levels(&without_images, &json!({}))["oslo.messaging-2025.2"],
        "Service"
    );
}

#[test]
fn templates_are_laid_over_each_other_for_those_that_match() {
    let spec = json!({
        "template": {
            "metadata": { "labels": { "team": "{component}", "gone": "x" }, "annotations": { "a": "{version}" } },
            "spec": { "candidates": [{ "branch": "stable/{release}" }], "interval": "1h" }
        },
        "overrides": [
            { "match": { "component": "g*" }, "template": { "spec": { "candidates": null, "interval": "2h" } } },
            { "match": { "component": "glance", "release": "2026.*" }, "template": { "spec": { "interval": "3h" } } },
            { "match": { "component": "nova" }, "template": {
                "metadata": { "labels": { "gone": null }, "annotations": { "a": null } } } },
            { "match": { "level": "Library" }, "template": { "spec": {
                "build": { "engine": "External", "source": { "repository": "r.example.com/x" }, "args": { "A": "1" } } } } }
        ]
    });
    let desired = desired(&spec);
    assert_eq!(faults(&desired), Vec::<String>::new());
    let [glance, newer, nova, library] = [
        "glance-2025.2",
        "glance-2026.1",
        "nova-2025.2",
        "oslo.messaging-2025.2",
    ]
    .map(|name| spec_of(&desired, name));
    assert_eq!(
        (&glance["interval"], glance.get("candidates")),
        (&json!("2h"), None)
    );
    assert_eq!(newer["interval"], "3h");
    assert_eq!(nova["candidates"], json!([{ "branch": "stable/2025.2" }]));
    assert_eq!(library["build"]["args"], json!({ "A": "1" }));
    let metadata = |name: &str| {
        let set = desired
            .patch_sets
            .iter()
            .find(|set| set.name_any() == name)
            .unwrap();
        (set.labels().clone(), set.annotations().clone())
    };
    let (labels, annotations) = metadata("glance-2025.2");
    assert_eq!(
        (labels["team"].as_str(), labels["gone"].as_str()),
        ("glance", "x")
    );
    assert_eq!(annotations["a"], "31.0.0");
    let (labels, annotations) = metadata("nova-2025.2");
    assert_eq!(
        labels.keys().collect::<Vec<_>>(),
        ["patching.c5c3.io/repository", "team"]
    );
    assert!(annotations.is_empty());
}

#[test]
fn a_version_that_a_branch_does_not_name_is_told_at_its_field() {
    let template = json!({ "spec": { "build": {
        "engine": "External", "source": { "repository": "r.example.com/{component}", "version": "{version}" } } } });
    let desired = desired(&json!({ "template": template }));
    assert_eq!(names(&desired).len(), 3);
    assert_eq!(
        spec_of(&desired, "glance-2025.2")["build"]["source"]["version"],
        "31.0.0"
    );
    assert_eq!(
        faults(&desired),
        [
            "TemplateInvalid spec.template.spec.build.source.version: PatchSet nova-2025.2: asks for {version}, but stable/2025.2 of nova 2025.2 names none: set another text for it in spec.overrides"
        ]
    );
    // Its existing objects stay.
    assert!(!desired.may_be_pruned("nova-2025.2", "2025.2"));
}

#[test]
fn what_the_api_server_would_refuse_is_told_at_its_field() {
    for (spec, told) in [
        (
            json!({ "interval": "soon" }),
            "spec.template.spec.interval: PatchSet glance-2025.2: \"soon\" should match",
        ),
        (
            json!({ "nope": 1 }),
            "spec.template.spec.nope: PatchSet glance-2025.2: is unknown",
        ),
        (
            json!({ "build": { "engine": "Jop", "source": { "repository": "r.example.com/a" } } }),
            "spec.template.spec.build.engine: PatchSet glance-2025.2: unsupported value \"Jop\"",
        ),
        (
            json!({ "delivery": { "configMap": { "name": "a" } } }),
            "delivery is of an image: set build.image",
        ),
    ] {
        let desired = desired(&json!({
            "template": { "spec": spec }, "components": { "include": ["glance"] }, "releases": { "include": ["2025.2"] }
        }));
        assert!(desired.patch_sets.is_empty());
        let faults = faults(&desired);
        assert!(faults.iter().any(|fault| fault.contains(told)), "{faults:#?}");
    }
    let labels = json!({ "template": { "metadata": { "labels": { "a": "{component}/" } } } });
    let desired = desired(&labels);
    assert!(
        faults(&desired)[0]
            .starts_with("TemplateInvalid spec.template.metadata.labels.a: PatchSet glance-2025.2: ")
    );
}

#[test]
fn a_template_may_not_set_what_follows_from_the_folders() {
    for (spec, field) in [
        (json!({ "component": "x" }), "component"),
        (json!({ "release": null }), "release"),
        (json!({ "level": "Library" }), "level"),
        (
            json!({ "upstream": { "url": "https://x.example.com/y" } }),
            "upstream.url",
        ),
        (
            json!({ "upstream": { "refFrom": { "path": "a" } } }),
            "upstream.refFrom",
        ),
        (json!({ "patches": { "inline": [] } }), "patches.inline"),
    ] {
        let base = desired_of(&files(&[]), &json!({ "template": { "spec": spec } })).unwrap_err();
        assert!(
            base.to_string()
                .starts_with(&format!("spec.template.spec.{field}: follows from ")),
            "{base}"
        );
        let over = json!({ "overrides": [{ "match": { "component": "x" }, "template": { "spec": spec } }] });
        let over = desired_of(&files(&[]), &over).unwrap_err();
        assert!(
            over.to_string()
                .starts_with(&format!("spec.overrides[0].template.spec.{field}: ")),
            "{over}"
        );
    }
    let sensible = json!({ "template": { "spec": {
        "upstream": { "verify": { "secretRef": { "name": "keys" } }, "proxySecretRef": { "name": "proxy" } },
        "patches": { "strip": 2 }
    } } });
    let desired = desired(&sensible);
    let glance = spec_of(&desired, "glance-2025.2");
    assert_eq!(glance["upstream"]["verify"]["secretRef"]["name"], "keys");
    assert_eq!(glance["patches"]["strip"], 2);
    assert_eq!(glance["patches"]["git"]["path"], "patches/glance/2025.2");
}

#[test]
fn single_components_have_their_own_upstream() {
    let desired = desired(&json!({ "upstream": {
        "urlTemplate": "https://opendev.org/openstack/{component}",
        "secretRef": { "name": "all" },
        "commitUrlTemplate": "https://review.example.com/{component}/{commit}",
        "overrides": [{
            "component": "glance", "url": "https://git.example.com/mirror/glance",
            "secretRef": { "name": "own" }, "directory": "src", "strip": 0
        }]
    } }));
    let glance = spec_of(&desired, "glance-2026.1");
    assert_eq!(glance["upstream"]["url"], "https://git.example.com/mirror/glance");
    assert_eq!(glance["upstream"]["secretRef"]["name"], "own");
    assert_eq!(
        glance["upstream"]["commitUrlTemplate"],
        "https://review.example.com/glance/{commit}"
    );
    assert_eq!(
        (&glance["patches"]["directory"], &glance["patches"]["strip"]),
        (&json!("src"), &json!(0))
    );
    let nova = spec_of(&desired, "nova-2025.2");
    assert_eq!(nova["upstream"]["secretRef"]["name"], "all");
    assert_eq!(nova["patches"].get("strip"), None);
}

#[test]
fn an_upstream_that_nothing_says_is_a_fault_of_its_component() {
    let only = json!({ "upstream": { "overrides": [{ "component": "nova", "url": "https://a.example.com/nova" }] } });
    let desired = desired(&only);
    assert_eq!(names(&desired), ["nova-2025.2"]);
    assert!(
        faults(&desired)[0].contains("no url for glance"),
        "{:?}",
        faults(&desired)
    );
    let org = desired_of(
        &files(&[]),
        &json!({ "upstream": { "urlTemplate": "https://a.example.com/{org}/{component}" } }),
    );
    assert!(faults(&org.unwrap())[0].contains("asks for {org}"));
}

#[test]
fn a_ref_follows_from_the_file_or_from_the_template() {
    let more = [("patches/glance/2024.1/0001-a.patch", "a")];
    let with = |template: &str| {
        let upstream = json!({ "urlTemplate": "https://a.example.com/{component}", "refTemplate": template });
        desired_of(&files(&more), &json!({ "upstream": upstream })).unwrap()
    };
    let branch = with("stable/{release}");
    assert_eq!(
        spec_of(&branch, "glance-2024.1")["upstream"]["ref"],
        json!({ "branch": "stable/2024.1" })
    );
    assert_eq!(spec_of(&branch, "glance-2025.2")["upstream"].get("ref"), None);
    let tag = with("refs/tags/{component}-{release}");
    assert_eq!(
        spec_of(&tag, "glance-2024.1")["upstream"]["ref"],
        json!({ "tag": "glance-2024.1" })
    );
    let without = desired_of(&files(&more), &json!({})).unwrap();
    assert!(!names(&without).contains(&"glance-2024.1".to_owned()));
    assert!(faults(&without)[0].starts_with("ReleaseWithoutRefs patches/glance/2024.1: "));
    let refused = desired_of(
        &files(&[]),
        &json!({ "upstream": { "urlTemplate": "a", "refTemplate": "{x}" } }),
    )
    .unwrap_err();
    assert!(
        refused.to_string().starts_with("spec.upstream.refTemplate: "),
        "{refused}"
    );
}

#[test]
fn constraints_come_from_the_requirements_where_the_repository_has_none() {
    let mut files = files(&[]);
    files.0.remove("releases/2025.2/upper-constraints.txt");
    let constraints = json!({
        "requirements": { "url": "https://opendev.org/openstack/requirements", "secretRef": { "name": "r" } },
        "builtFromSource": ["glance"], "interval": "1h",
        "metadata": { "labels": { "release": "{release}" } }
    });
    let desired = desired_of(&files, &json!({ "constraints": constraints })).unwrap();
    assert_eq!(faults(&desired), Vec::<String>::new());
    let first = &desired.constraint_overrides[0];
    assert_eq!(first.name_any(), "constraints-2025.2");
    assert_eq!(first.labels()["release"], "2025.2");
    let spec = serde_json::to_value(&first.spec).unwrap();
    assert_eq!(
        spec["upperConstraints"]["git"],
        json!({
            "url": "https://opendev.org/openstack/requirements", "ref": { "branch": "stable/2025.2" },
            "path": "upper-constraints.txt", "secretRef": { "name": "r" }
        })
    );
    assert_eq!(
        spec["overrides"]["git"]["path"],
        "overrides/2025.2/constraints.txt"
    );
    assert_eq!(
        (&spec["interval"], &spec["builtFromSource"]),
        (&json!("1h"), &json!(["glance"]))
    );
    // Without requirements, the layout's fault is reported, and there are no constraints.
    let without = desired_of(&files, &json!({ "constraints": {} })).unwrap();
    assert_eq!(without.constraint_overrides.len(), 1);
    assert!(faults(&without)[0].starts_with("OverridesWithoutConstraints "));
}

#[test]
fn two_that_come_to_the_same_name_are_a_fault_of_the_later() {
    let more = [
        ("patches/Glance/2025.2/0001-a.patch", "a"),
        (
            "releases/2025.2/source-refs.yaml",
            "Glance: \"1\"\nglance: \"31.0.0\"\na_b: \"1\"\na-b: \"1\"\n",
        ),
    ];
    let desired = desired_of(&files(&more), &json!({})).unwrap();
    assert_eq!(names(&desired), ["a-b-2025.2", "glance-2025.2", "glance-2026.1"]);
    let glance = spec_of(&desired, "glance-2025.2");
    assert_eq!(glance["component"], "glance", "the one that is spelled so");
    let faults = faults(&desired);
    assert!(
        faults
            .iter()
            .any(|fault| fault.starts_with("NameCollision patches/Glance/2025.2: Glance 2025.2 and ")),
        "{faults:#?}"
    );
    assert!(
        faults
            .iter()
            .any(|fault| fault.contains("a_b 2025.2 and a-b 2025.2 both ask for")),
        "{faults:#?}"
    );
}

#[test]
fn nothing_is_pruned_of_a_release_whose_refs_cannot_be_read() {
    let broken = [("releases/2026.1/source-refs.yaml", "- a\n")];
    let desired = desired_of(&files(&broken), &json!({})).unwrap();
    assert!(!desired.may_be_pruned("glance-2026.1", "2026.1"));
    assert!(
        !desired.may_be_pruned("glance-2025.2", "2025.2"),
        "it is asked for"
    );
    assert!(desired.may_be_pruned("cinder-2025.2", "2025.2"));
    assert!(faults(&desired)[0].starts_with("InvalidRefs releases/2026.1/source-refs.yaml: "));
}

#[test]
fn nothing_is_pruned_of_a_release_with_a_link_to_nothing() {
    let refs = [("releases/2025.2/source-refs.yaml", "glance: stable/2025.2\n")];
    for (path, target) in [
        ("releases/2026.1", "2026.2"),
        ("releases/2026.1/source-refs.yaml", "gone.yaml"),
        ("releases/2026.1/source-refs.yaml", "source-refs.yaml"),
        ("releases/2026.1/upper-constraints.txt", "/etc/passwd"),
    ] {
        let files = MemoryFiles::new(refs).link(path, target);
        let desired = desired_of(&files, &json!({})).unwrap();
        assert!(!desired.may_be_pruned("glance-2026.1", "2026.1"), "{path}");
        assert!(desired.may_be_pruned("cinder-2025.2", "2025.2"), "{path}");
        let faults = faults(&desired);
        assert!(
            faults.iter().any(|fault| fault.contains("releases/2026.1/")
                && fault.contains("nor a link to one in the repository")),
            "{path}: {faults:#?}"
        );
    }
}

#[test]
fn paths_are_below_the_directory() {
    let moved = FilesByPath(
        files(&[])
            .0
            .into_iter()
            .map(|(path, text)| (format!("deploy/os/{path}"), text))
            .collect(),
    );
    let spec = json!({ "directory": "deploy/os/", "template": image_template(), "constraints": {} });
    let desired = desired_of(&moved, &spec).unwrap();
    let glance = spec_of(&desired, "glance-2025.2");
    assert_eq!(
        glance["patches"]["git"]["path"],
        "deploy/os/patches/glance/2025.2"
    );
    assert_eq!(
        glance["upstream"]["refFrom"]["path"],
        "deploy/os/releases/2025.2/source-refs.yaml"
    );
    assert_eq!(
        glance["build"]["dockerfile"]["git"]["path"],
        "deploy/os/images/glance"
    );
    let first = serde_json::to_value(&desired.constraint_overrides[0].spec).unwrap();
    assert_eq!(
        first["overrides"]["git"]["path"],
        "deploy/os/overrides/2025.2/constraints.txt"
    );
}

#[test]
fn a_flux_source_is_what_the_patch_sets_read() {
    let spec = json!({ "source": { "sourceRef": { "kind": "GitRepository", "name": "deployment" } } });
    let desired = desired(&spec);
    assert_eq!(
        spec_of(&desired, "glance-2025.2")["patches"],
        json!({ "sourceRef": { "kind": "GitRepository", "name": "deployment" }, "path": "patches/glance/2025.2" })
    );
}

#[test]
fn other_layouts_have_their_own_folders() {
    let of = |paths: &[&str], spec: Value| {
        let files = paths.iter().map(|path| ((*path).to_owned(), "a".to_owned()));
        let mut whole = json!({ "upstream": {
            "urlTemplate": "https://a.example.com/{component}", "refTemplate": "stable/{release}" } });
        for (name, value) in spec.as_object().unwrap() {
            whole[name] = value.clone();
        }
        let repository = repository(&whole);
        let files = FilesByPath(files.collect());
        let rules = ReadingRules::new(&repository.spec).unwrap();
        let layout = RepositoryLayout::read(&files, &rules.options(Some("stable/2025.2"))).unwrap();
        let desired = desired_objects(&repository, &layout).unwrap();
        assert_eq!(faults(&desired), Vec::<String>::new());
        let set = &desired.patch_sets[0];
        let folder = set
            .spec
            .patches
            .as_ref()
            .unwrap()
            .git
            .as_ref()
            .unwrap()
            .path
            .clone();
        (set.name_any(), folder, set.spec.upstream.url.clone())
    };
    let expected = |name: &str, folder: &str, url: &str| (name.to_owned(), folder.to_owned(), url.to_owned());
    assert_eq!(
        of(
            &["patches/2025.2/nova/1.patch"],
            json!({ "layout": "ReleaseComponent" })
        ),
        expected("nova-2025.2", "patches/2025.2/nova", "https://a.example.com/nova")
    );
    assert_eq!(
        of(
            &["patches/starlingx/nova/1.patch"],
            json!({ "layout": "OrgComponent", "upstream": {
                "urlTemplate": "https://a.example.com/{org}/{component}", "refTemplate": "{release}" } })
        ),
        expected(
            "nova-2025.2",
            "patches/starlingx/nova",
            "https://a.example.com/starlingx/nova"
        )
    );
    assert_eq!(
        of(
            &["patches/1.patch"],
            json!({ "layout": "SingleComponent", "component": "nova" })
        ),
        expected("nova-2025.2", "patches", "https://a.example.com/nova")
    );
    assert_eq!(
        of(
            &["debian/patches/1.patch"],
            json!({ "layout": "DebianPatches", "component": "nova" })
        ),
        expected("nova-2025.2", "debian/patches", "https://a.example.com/nova")
    );
}

/// A `source-refs.yaml` with `count` components.
fn many_refs(count: usize) -> String {
    let lines: Vec<String> = (0..count).map(|at| format!("c{at}: \"1\"")).collect();
    lines.join("\n")
}

#[test]
fn what_is_too_much_is_refused() {
    let refs = many_refs(5_001);
    let many = files(&[("releases/2025.2/source-refs.yaml", &refs)]);
    let error = desired_of(&many, &json!({})).unwrap_err();
    assert!(
        matches!(error, FleetError::TooMany { limit: 5_000, .. }),
        "{error}"
    );
    let large = json!({ "template": { "spec": { "build": { "args": { "A": "x".repeat(300_000) } } } } });
    let error = desired_of(&files(&[]), &large).unwrap_err();
    assert!(matches!(error, FleetError::TemplateTooLarge { .. }), "{error}");
    let refs = many_refs(200);
    let many = files(&[("releases/2025.2/source-refs.yaml", &refs)]);
    let template = json!({ "spec": { "build": {
        "engine": "External", "source": { "repository": "r.example.com/a" }, "args": { "A": "x".repeat(200_000) } } } });
    let error = desired_of(&many, &json!({ "template": template })).unwrap_err();
    assert!(matches!(error, FleetError::TooLarge { .. }), "{error}");
}

#[test]
fn the_same_folders_ask_for_the_same_objects() {
    let spec = json!({ "template": image_template(), "constraints": {} });
    let text = |desired: &DesiredObjects| serde_json::to_string(&desired.patch_sets).unwrap();
    assert_eq!(text(&desired(&spec)), text(&desired(&spec)));
}

#[test]
fn upkeep_is_handed_to_the_patch_sets_and_templates_are_laid_over_it() {
    let spec = json!({
        "upkeep": {
            "drop": "PullRequest", "after": "1h", "secretRef": { "name": "push" },
            "pullRequest": { "provider": "Gitea", "secretRef": { "name": "forge" } },
        },
        "overrides": [{
            "match": { "component": "nova" },
            "template": { "spec": { "upkeep": { "drop": "Report", "secretRef": null } } },
        }, {
            "match": { "release": "2026.1" },
            "template": { "spec": { "upkeep": null } },
        }],
    });
    let desired = desired(&spec);
    assert!(desired.faults.is_empty(), "{:?}", desired.faults);
    let upkeep = |name: &str| spec_of(&desired, name)["upkeep"].clone();
    let request = json!({ "provider": "Gitea", "secretRef": { "name": "forge" } });
    assert_eq!(
        upkeep("glance-2025.2"),
        json!({
            "drop": "PullRequest", "refresh": "Report", "renumber": "Never", "after": "1h",
            "pullRequest": request, "secretRef": { "name": "push" },
        })
    );
    assert_eq!(
        upkeep("nova-2025.2"),
        json!({
            "drop": "Report", "refresh": "Report", "renumber": "Never", "after": "1h",
            "pullRequest": request,
        })
    );
    assert_eq!(upkeep("glance-2026.1"), Value::Null);
    assert_eq!(upkeep("oslo.messaging-2025.2")["drop"], "PullRequest");
}

#[test]
fn a_summary_has_the_requests_and_what_is_to_be_done() {
    let with = |name: &str, upkeep: Value| {
        let mut set = observed(name, "True", "Succeeded");
        set.status.as_mut().unwrap().upkeep = serde_json::from_value(upkeep).unwrap();
        set
    };
    let drop = json!({ "name": "1.patch", "by": "ChangeId", "differs": false });
    let time = "2026-01-01T00:00:00Z";
    let proposed = json!({
        "state": "Proposed", "since": time, "pullRequest": "https://forge/1",
        "drops": [drop, drop], "refreshes": [{ "name": "2.patch" }],
    });
    let closed =
        json!({ "state": "Closed", "since": time, "pullRequest": "https://forge/0", "drops": [drop] });
    let sets = vec![
        with("glance-2025.1", proposed.clone()),
        with("glance-2025.2", proposed),
        with("nova-2025.2", closed),
        observed("zun-2025.2", "True", "Succeeded"),
    ];
    let upkeep = summary_of(&sets).upkeep.unwrap();
    assert_eq!(upkeep.pull_requests, ["https://forge/1"]);
    assert_eq!((upkeep.drops, upkeep.refreshes, upkeep.held), (5, 2, 1));
    assert_eq!(summary_of(&sets[3..]).upkeep, None);
}

/// A PatchSet with a Ready condition.
fn observed(name: &str, status: &str, reason: &str) -> PatchSet {
    let (component, release) = name.split_once('-').unwrap();
    serde_json::from_value(json!({
        "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet",
        "metadata": { "name": name, "generation": 2 },
        "spec": {
            "component": component, "release": release,
            "upstream": { "url": "https://a.example.com/b", "ref": { "branch": "main" } }
        },
        "status": {
            "observedGeneration": 2, "applied": "1/2",
            "conditions": [{
                "type": "Ready", "status": status, "reason": reason, "message": "m",
                "lastTransitionTime": "2026-01-01T00:00:00Z"
            }]
        }
    }))
    .unwrap()
}

fn summary_of(all: &[PatchSet]) -> FleetSummary {
    let children: Vec<_> = all.iter().map(|set| (set, ChildState::Present(set))).collect();
    summarize(&children, 3, &[])
}

#[test]
fn a_line_says_how_many_are_ready_and_which_are_not() {
    let mut all: Vec<PatchSet> = (0..78)
        .map(|at| observed(&format!("c{at}-2025.2"), "True", "Succeeded"))
        .collect();
    let ready = summary_of(&all);
    assert_eq!(
        (ready.ready, ready.message.as_str()),
        (Truth::True, "78 of 78 ready")
    );
    all.push(observed("nova-2026.1", "False", "PatchConflict"));
    all.push(observed("cinder-2025.2", "False", "PatchMalformed"));
    let summary = summary_of(&all);
    assert_eq!(
        summary.message,
        "78 of 80 ready; 2 conflict: cinder 2025.2, nova 2026.1"
    );
    assert_eq!(
        (summary.ready, summary.reason),
        (Truth::False, reason::PATCH_CONFLICT)
    );
    assert_eq!(
        (
            summary.counts.patch_sets,
            summary.counts.ready,
            summary.counts.conflicting
        ),
        (80, 78, 2)
    );
    assert_eq!(summary.counts.constraint_overrides, 3);
    let first: Vec<&str> = summary
        .cells
        .iter()
        .take(3)
        .map(|cell| cell.name.as_str())
        .collect();
    assert_eq!(first, ["cinder-2025.2", "nova-2026.1", "c0-2025.2"]);
    assert_eq!(summary.cells[0].applied.as_deref(), Some("1/2"));
    assert_eq!(summary.cells[0].reason.as_deref(), Some("PatchMalformed"));
}

#[test]
fn a_line_has_room_for_some_names_alone() {
    let mut all: Vec<PatchSet> = (0..30)
        .map(|at| observed(&format!("component{at:02}-2025.2"), "False", "PatchConflict"))
        .collect();
    all.extend((0..4).map(|at| observed(&format!("x{at}-2025.2"), "False", "BuildFailed")));
    all.push(observed("m-2025.2", "False", "PatchMerged"));
    all.push(observed("p-2025.2", "Unknown", "Building"));
    let summary = summary_of(&all);
    assert_eq!(
        summary.message,
        "0 of 36 ready; 30 conflict; 4 fail; 1 is merged upstream: m 2025.2; 1 is under way"
    );
    let few = summary_of(&all[..6]);
    assert_eq!(
        few.message,
        "0 of 6 ready; 6 conflict: component00 2025.2, component01 2025.2 and 4 more"
    );
    for count in 0..all.len() {
        let line = summary_of(&all[..count]).message;
        assert!(line.chars().count() <= 84, "{line}");
    }
}

#[test]
fn what_is_not_there_or_not_current_is_under_way() {
    let mut stale = observed("stale-2025.2", "False", "PatchConflict");
    stale.metadata.generation = Some(3);
    let taken = observed("taken-2025.2", "True", "Succeeded");
    let absent = observed("absent-2025.2", "True", "Succeeded");
    let children = [
        (&stale, ChildState::Present(&stale)),
        (&taken, ChildState::Refused(reason::NAME_TAKEN)),
        (&absent, ChildState::Absent),
    ];
    let summary = summarize(&children, 0, &[]);
    assert_eq!(
        summary.message,
        "0 of 3 ready; 1 fails: taken 2025.2; 2 are under way"
    );
    assert_eq!(
        (summary.ready, summary.reason),
        (Truth::False, reason::NAME_TAKEN)
    );
    let ready: BTreeSet<&str> = summary.cells.iter().map(|cell| cell.ready.as_str()).collect();
    assert_eq!(ready, BTreeSet::from(["False", "Unknown"]));
    let pending = summarize(&children[2..], 0, &[]);
    assert_eq!(
        (pending.ready, pending.reason),
        (Truth::Unknown, reason::PROGRESSING)
    );
}

#[test]
fn faults_keep_a_repository_from_being_ready() {
    let all = [observed("a-1", "True", "Succeeded")];
    let children = [(&all[0], ChildState::Present(&all[0]))];
    let fault = |kind: &str, path: &str| RepositoryFault {
        kind: kind.to_owned(),
        path: path.to_owned(),
        line: None,
        message: "b".to_owned(),
    };
    let stray = fault("StrayFile", "patches/notes.txt");
    let faults = [
        stray.clone(),
        fault("TemplateInvalid", "spec.template.spec.build"),
    ];
    let summary = summarize(&children, 0, &faults);
    assert_eq!(
        summary.message,
        "1 of 1 ready; 2 faults: spec.template.spec.build …"
    );
    assert_eq!(
        (summary.ready, summary.reason),
        (Truth::False, reason::TEMPLATE_INVALID)
    );
    let summary = summarize(&[], 0, &[stray]);
    assert_eq!(summary.message, "no PatchSets; 1 fault: patches/notes.txt");
    assert_eq!(summary.reason, reason::LAYOUT_INVALID);
    assert_eq!(summarize(&[], 0, &[]).ready, Truth::True);
    let left_out = fault("NotInSeries", "patches/a.patch");
    let summary = summarize(&children, 0, &[left_out]);
    assert_eq!(
        (summary.ready, summary.reason, summary.message.as_str()),
        (
            Truth::True,
            reason::NEEDS_ATTENTION,
            "1 of 1 ready; 1 fault: patches/a.patch"
        )
    );
}

#[test]
fn a_matrix_has_at_most_five_hundred_cells() {
    let all: Vec<PatchSet> = (0..510)
        .map(|at| observed(&format!("c{at:03}-2025.2"), "True", "Succeeded"))
        .collect();
    let summary = summary_of(&all);
    assert_eq!((summary.cells.len(), summary.omitted_cells), (MOST_CELLS, 10));
    assert_eq!(summary.counts.ready, 510);
}
