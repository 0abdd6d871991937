//! What an image is built from: given all that was found for it, the source images that the build
//! takes, and the build.
//!
//! The controller and `patchset build-plan` only find the inputs; what follows from them is decided
//! here, so that both arrive at the same digests. [`Recipe::describe`] is the entry point.

mod build;
mod contexts;
pub mod dockerfile;
mod found;
pub mod libraries;
mod located;
pub mod pins;
mod reasons;
mod tags;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use image_references::ImageReference;
use patchset_api::build::BuildStatus;
use patchset_api::{Recorded, Revision, reason};
use pep440_rs::Version;
use source_images::image::{About, PatchId};
use source_images::python::component_version;
use source_images::source_image::{self, SourceImage};

pub use build::CONSTRAINTS;
pub use contexts::read_arguments;
pub use found::{BaseImage, BuildFindings, FolderContents, FoundUpstream, Library};
pub use located::Located;
pub use reasons::{build_reasons, last_request};
pub use tags::{TagError, TagFault};

use crate::plan::{Failure, Step};

/// An image that a build takes, and which part it is.
pub struct RecipePart {
    /// Which part.
    pub kind: PartKind,
    /// The image.
    pub image: SourceImage,
}

/// Which part of a build an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// The patched tree.
    Source,
    /// The folder with the Dockerfile.
    Dockerfile,
    /// The constraints.
    Constraints,
}

impl fmt::Display for PartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "the source",
            Self::Dockerfile => "the Dockerfile",
            Self::Constraints => "the constraints",
        })
    }
}

/// What is built, and from what.
pub struct Recipe {
    /// The component: the name of the context that its source is.
    pub component: String,
    /// The images to publish, in this order.
    pub parts: Vec<RecipePart>,
    /// The build as the status has it, without what follows from earlier ones. If `unpinned` names
    /// a context, the inputs are unknown: the digest over them is empty, and tags that would
    /// contain it are missing.
    pub build: BuildStatus,
    /// The contexts that are named by a tag whose image was not looked up.
    pub unpinned: BTreeSet<String>,
}

/// Why there is no recipe.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// An image cannot be described.
    #[error(transparent)]
    Image(#[from] source_images::Error),
    /// What was found does not fit together.
    #[error(transparent)]
    Plan(#[from] Failure),
}

impl Recipe {
    /// Describes the images that a build takes, and plans it.
    ///
    /// # Errors
    ///
    /// Where a tree cannot be read or is refused, the version is not one, contexts do not fit
    /// together, what is built from source would stay pinned, or a tag cannot be made.
    pub fn describe(found: BuildFindings<'_>) -> Result<Self, RecipeError> {
        let (spec, build) = (found.spec, found.build);
        let component = &spec.component.0;
        let repository: ImageReference = build
            .source
            .repository
            .0
            .parse()
            .map_err(source_images::Error::from)?;
        let version = component_version(build.source.version.as_deref(), found.upstream.tag.as_deref())
            .map_err(|text| {
                let message = format!("build.source.version: {text:?} is not a version (PEP 440)");
                invalid_spec(message)
            })?;
        let source = source_image::describe_patched_tree(
            &repository,
            found.upstream.objects.clone(),
            found.series,
            version.as_ref(),
            source_labels(&found, version.as_ref()),
        )?;
        let own = source.distribution.clone().map(|name| (component.clone(), name));
        let of_libraries = found.libraries.iter().filter_map(Library::distribution);
        let distributions: BTreeMap<String, String> = of_libraries.chain(own).collect();
        let mut args = found.arguments;
        args.extend(build.args.clone());
        let bases = found.bases.iter();
        let bases = bases.map(|(name, image)| (name.clone(), image.to_recorded()));
        let contexts = contexts::assemble_contexts(contexts::ContextInputs {
            component,
            libraries: found.libraries,
            distributions: &distributions,
            bases: &bases.collect(),
            constraints: found.constraints,
            args: &args,
        })?;
        let (mut images, mut parts) = (contexts.images, Vec::new());
        let reference = add_part(&mut parts, PartKind::Source, source);
        images.insert(component.clone(), reference);
        let mut dockerfile = None;
        if let Some(FolderContents { contents, objects }) = found.dockerfile {
            let image = source_image::describe_folder(&repository, contents, objects)?;
            dockerfile = Some(add_part(&mut parts, PartKind::Dockerfile, image));
        }
        if let Some(text) = contexts.constraints {
            let image = source_image::describe_constraints(&repository, CONSTRAINTS, &spec.release.0, text)?;
            let reference = add_part(&mut parts, PartKind::Constraints, image);
            images.insert(CONSTRAINTS.to_owned(), reference);
        }
        let unpinned = found.bases.iter().filter(|(_, image)| !image.is_pinned());
        let unpinned: BTreeSet<String> = unpinned.map(|(name, _)| name.clone()).collect();
        let Revision { name, commit } = &found.upstream.revision;
        let commit = commit.to_string();
        let planned = build::plan_build(
            build,
            build::BuildInputs {
                component,
                release: &spec.release.0,
                ref_: name.as_ref().unwrap_or(&commit),
                commit: &commit,
                version: version.as_ref().map(ToString::to_string).as_deref(),
                patches: found.patches.len(),
                patches_revision: found.patches_revision.as_ref(),
                known: found.known,
                dockerfile: dockerfile.as_ref(),
                contexts: &images,
                args: &args,
                requested: found.requested,
                are_known: unpinned.is_empty(),
            },
        );
        let planned = planned.map_err(|error| invalid_spec(error.to_string()))?;
        Ok(Self {
            component: component.clone(),
            parts,
            build: BuildStatus {
                distributions,
                ..planned
            },
            unpinned,
        })
    }
}

/// Adds a part, and returns the reference to its image by digest.
fn add_part(parts: &mut Vec<RecipePart>, kind: PartKind, image: SourceImage) -> Recorded<ImageReference> {
    let reference = Recorded::new(image.reference());
    parts.push(RecipePart { kind, image });
    reference
}

/// What the source image says of itself besides its tree.
fn source_labels(found: &BuildFindings<'_>, version: Option<&Version>) -> About {
    About {
        component: Some(found.spec.component.0.clone()),
        release: Some(found.spec.release.0.clone()),
        source: Some(found.upstream.url.clone()),
        revision: Some(found.upstream.revision.to_string()),
        version: version.map(ToString::to_string),
        tree: None,
        patches: found
            .patches
            .iter()
            .map(|patch| PatchId::new(&patch.name, &patch.bytes))
            .collect(),
    }
}

fn invalid_spec(message: String) -> Failure {
    Failure::stalled(Step::Build, reason::INVALID_SPEC, message)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use git_apply_engine::{EntryMode, MemoryStore, Options, PatchInput, Sequence, apply};
    use patchset_api::reason::Reason;
    use patchset_api::{InputsDigest, PatchSetSpec};
    use serde_json::{Value, json};

    const PATCH: &str = "--- a/file\n+++ b/file\n@@ -1 +1 @@\n-a\n+b\n";
    const REVISION: &str = "1.0.0@sha1:1f0c2d3e4f1f0c2d3e4f1f0c2d3e4f1f0c2d3e4f";
    const BASE: &str = "r/base@sha256:0000000000000000000000000000000000000000000000000000000000000002";
    const LIBRARY: &str = "r/source@sha256:0000000000000000000000000000000000000000000000000000000000000001";

    /// Describes the findings for a build after `change`.
    fn described(change: impl FnOnce(&mut OwnedFindings)) -> Result<Recipe, RecipeError> {
        let mut given = OwnedFindings::new();
        change(&mut given);
        let spec: PatchSetSpec = serde_json::from_value(given.spec).unwrap();
        let mut store = MemoryStore::new();
        let files = given.files.iter();
        let tree = store
            .add_files(files.map(|(name, text)| (*name, EntryMode::Regular, *text)))
            .unwrap();
        let patches = [PatchInput::new("0001-b.patch", PATCH)];
        let series = apply(&store, tree, &patches, Sequence::Stacked, &Options::default()).unwrap();
        let source = spec.build.as_ref().unwrap().dockerfile.as_ref();
        Recipe::describe(BuildFindings {
            spec: &spec,
            build: spec.build.as_ref().unwrap(),
            upstream: FoundUpstream {
                url: "https://example.org/demo".to_owned(),
                revision: REVISION.parse().unwrap(),
                tag: given.tag,
                objects: Arc::new(store),
            },
            patches: &patches,
            patches_revision: None,
            known: None,
            series: &series,
            arguments: given.arguments,
            dockerfile: source.map(|source| dockerfile::files_of_spec(source).into()),
            libraries: &given.libraries,
            constraints: given.constraints.as_deref(),
            bases: given.bases,
            requested: given.requested.as_deref(),
        })
    }

    struct OwnedFindings {
        spec: Value,
        files: Vec<(&'static str, &'static str)>,
        tag: Option<String>,
        arguments: BTreeMap<String, String>,
        libraries: Vec<Library>,
        constraints: Option<Vec<u8>>,
        bases: BTreeMap<String, BaseImage>,
        requested: Option<String>,
    }

    impl OwnedFindings {
        fn new() -> Self {
            Self {
                spec: json!({
                    "component": "demo", "release": "2025.2",
                    "upstream": { "url": "https://example.org/demo", "ref": { "tag": "1.0.0" } },
                    "build": {
                        "engine": "External",
                        "image": { "repository": "r/demo", "tag": "{version}-p{patches}-{inputs}" },
                        "source": { "repository": "r/source" },
                        "dockerfile": { "inline": "FROM scratch\n" },
                        "args": { "A": "of the spec" }
                    }
                }),
                files: vec![("file", "a\n"), ("setup.cfg", "[metadata]\nname = big-demo\n")],
                tag: Some("1.0.0".to_owned()),
                arguments: BTreeMap::from([
                    ("A".to_owned(), "read".to_owned()),
                    ("B".to_owned(), "read".to_owned()),
                ]),
                libraries: vec![Library {
                    name: "lib".to_owned(),
                    component: "my-lib".to_owned(),
                    source: LIBRARY.into(),
                    distribution: Some("My_Lib".to_owned()),
                }],
                constraints: Some(b"alpha===1\nbig_demo===0.9\nmy.lib===2\n".to_vec()),
                bases: BTreeMap::from([("base".to_owned(), BaseImage::Pinned(BASE.parse().unwrap()))]),
                requested: None,
            }
        }
    }

    /// A change to the findings.
    type Change = fn(&mut OwnedFindings);

    fn digest(change: impl FnOnce(&mut OwnedFindings)) -> InputsDigest {
        described(change).unwrap().build.inputs_digest
    }

    fn reason(change: impl FnOnce(&mut OwnedFindings)) -> Reason {
        match described(change) {
            Err(RecipeError::Plan(failure)) => failure.reason,
            Err(RecipeError::Image(error)) => panic!("{error}"),
            Ok(_) => panic!("it was described"),
        }
    }

    #[test]
    fn a_build_takes_the_images_of_all_its_parts() {
        let recipe = described(|_| ()).unwrap();
        let kinds: Vec<String> = recipe.parts.iter().map(|part| part.kind.to_string()).collect();
        assert_eq!(kinds, ["the source", "the Dockerfile", "the constraints"]);
        let references: Vec<String> = recipe
            .parts
            .iter()
            .map(|part| part.image.reference().to_string())
            .collect();
        let build = &recipe.build;
        let contexts: Vec<(&str, &str)> = build
            .contexts
            .iter()
            .map(|(name, image)| (name.as_str(), image.as_str()))
            .collect();
        assert_eq!(
            contexts,
            [
                ("base", BASE),
                ("demo", references[0].as_str()),
                ("my-lib", LIBRARY),
                (CONSTRAINTS, references[2].as_str()),
            ]
        );
        assert_eq!(build.dockerfile.as_ref(), Some(&references[1].as_str().into()));
        assert_eq!(build.distributions["demo"], "big-demo");
        assert_eq!(build.distributions["my-lib"], "My_Lib");
        assert_eq!(build.args["A"], "of the spec");
        assert_eq!(build.args["B"], "read");
        let digits = build.inputs_digest.digits(12);
        assert_eq!(build.target, Some(format!("r/demo:1.0.0-p1-{digits}").into()));
        assert_eq!(recipe.component, "demo");
        assert!(recipe.unpinned.is_empty());
        let labels = &recipe.parts[0].image.image.labels;
        assert_eq!(
            labels["org.opencontainers.image.source"],
            "https://example.org/demo"
        );
        assert_eq!(labels["org.opencontainers.image.revision"], REVISION);
        assert_eq!(labels["org.opencontainers.image.version"], "1.0.0");
        assert!(labels["patching.c5c3.io/patches"].contains("0001-b.patch"));
    }

    #[test]
    fn all_that_is_found_is_part_of_the_digest_over_the_inputs() {
        let plain = digest(|_| ());
        assert_eq!(digest(|_| ()), plain, "the same gives another digest");
        let changes: [(&str, Change); 9] = [
            ("tree", |given| given.files.push(("more", "x\n"))),
            ("argument", |given| {
                given.arguments.insert("B".into(), "other".into());
            }),
            ("argument of the spec", |given| {
                given.spec["build"]["args"]["A"] = json!("x");
            }),
            ("library", |given| {
                given.libraries[0].source = LIBRARY.replace('1', "2").into();
            }),
            ("constraints", |given| {
                given.constraints = Some(b"alpha===2\n".to_vec());
            }),
            ("base", |given| {
                let other = BaseImage::Pinned(BASE.replace("0002", "0003").parse().unwrap());
                given.bases.insert("base".into(), other);
            }),
            ("Dockerfile", |given| {
                given.spec["build"]["dockerfile"]["inline"] = json!("FROM x\n");
            }),
            ("stage", |given| {
                given.spec["build"]["dockerfile"]["stage"] = json!("one");
            }),
            ("request", |given| given.requested = Some("today".into())),
        ];
        for (what, change) in changes {
            assert_ne!(digest(change), plain, "{what}");
        }
        // Neither its tag is part of it, nor an argument that the spec replaces, nor a pin that is
        // removed.
        let same: [Change; 3] = [
            |given| given.spec["build"]["image"]["tag"] = json!("x"),
            |given| drop(given.arguments.insert("A".into(), "other".into())),
            |given| given.constraints = Some(b"alpha===1\nmy_lib===3\n".to_vec()),
        ];
        for change in same {
            assert_eq!(digest(change), plain);
        }
    }

    #[test]
    fn what_cannot_be_built_is_said() {
        use patchset_api::reason::{INVALID_CONSTRAINTS, INVALID_SPEC, STILL_PINNED};
        let changes: [(Reason, Change); 6] = [
            (INVALID_SPEC, |given| {
                given.spec["build"]["source"]["version"] = json!("no version");
            }),
            (INVALID_SPEC, |given| given.tag = None),
            (INVALID_SPEC, |given| given.libraries[0].component = "demo".into()),
            (INVALID_SPEC, |given| {
                given.spec["build"]["image"]["tag"] = json!("{nope}");
            }),
            (INVALID_CONSTRAINTS, |given| {
                given.constraints = Some(b"a b\n".to_vec());
            }),
            (STILL_PINNED, |given| {
                let pinned = "big-demo==0.9".to_owned();
                given.arguments.insert("PIP_PACKAGES".into(), pinned);
            }),
        ];
        for (expected, change) in changes {
            assert_eq!(reason(change), expected);
        }
    }

    #[test]
    fn a_library_is_its_source_alone() {
        let recipe = described(|given| {
            given.spec["build"] = json!({ "engine": "External", "source": { "repository": "r/source" } });
            (given.constraints, given.bases) = (None, BTreeMap::new());
            given.libraries.clear();
        })
        .unwrap();
        assert_eq!(recipe.parts.len(), 1);
        assert_eq!(recipe.build.target, None);
        assert_eq!(recipe.build.contexts.len(), 1);
    }

    #[test]
    fn inputs_are_not_known_where_a_tag_was_not_looked_up() {
        let recipe = described(|given| {
            given.spec["build"]["image"]["movingTags"] = json!(["{release}"]);
            let unpinned = BaseImage::Unpinned("r/base:1".parse().unwrap());
            given.bases.insert("base".into(), unpinned);
        })
        .unwrap();
        assert_eq!(recipe.unpinned, BTreeSet::from(["base".to_owned()]));
        assert_eq!(recipe.build.inputs_digest, InputsDigest::default());
        assert_eq!(recipe.build.target, None);
        assert!(recipe.build.moving_tags.is_empty());
        assert_eq!(recipe.build.contexts["base"].as_str(), "r/base:1");
    }
}
