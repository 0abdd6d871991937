//! A build, and the digest over all that it is made from.

use std::collections::BTreeMap;

use image_references::ImageReference;
use patchset_api::build::{Build, BuildStatus, DockerfileSource};
use patchset_api::{InputsDigest, Recorded, Revision};

use super::tags::{TagError, TagValues, Tags, follow_patches_revision};
use crate::plan::inputs_hasher::InputsHasher;

/// Names the computation that builds follow from; changed if the same inputs give another image.
const COMPUTATION: &str = "build/2";

/// The name of the context that holds the constraints.
pub const CONSTRAINTS: &str = "upper-constraints";

/// What a build is made from, all of it by digests.
#[derive(Clone, Copy, Debug)]
pub(super) struct BuildInputs<'a> {
    /// The component; the name of the source's context.
    pub(super) component: &'a str,
    pub(super) release: &'a str,
    /// The upstream's ref, or its commit where it has no name.
    pub(super) ref_: &'a str,
    /// The upstream's commit.
    pub(super) commit: &'a str,
    /// The component's version, where it is known.
    pub(super) version: Option<&'a str>,
    /// How many patches the source has.
    pub(super) patches: usize,
    /// The patches' revision; `None` if they are not in Git.
    pub(super) patches_revision: Option<&'a Revision>,
    /// The build as the status has it.
    pub(super) known: Option<&'a BuildStatus>,
    /// The folder with the Dockerfile, as an image.
    pub(super) dockerfile: Option<&'a Recorded<ImageReference>>,
    /// All contexts, including that of the source.
    pub(super) contexts: &'a BTreeMap<String, Recorded<ImageReference>>,
    /// All arguments.
    pub(super) args: &'a BTreeMap<String, String>,
    /// The `forceAt` by which a build was asked for.
    pub(super) requested: Option<&'a str>,
    /// Whether all contexts are pinned, so that the digest over them says something.
    pub(super) are_known: bool,
}

/// Plans a build.
pub(super) fn plan_build(build: &Build, inputs: BuildInputs<'_>) -> Result<BuildStatus, TagError> {
    let mut platforms: Vec<String> = build
        .platforms
        .iter()
        .map(|platform| platform.0.clone())
        .collect();
    platforms.sort();
    platforms.dedup();
    let inputs_digest = inputs.are_known.then(|| digest(build, inputs, &platforms));
    let mut tags = Tags::default();
    let mut patches_revision = None;
    if let Some(image) = &build.image {
        if follow_patches_revision(image) {
            patches_revision = first_revision(&inputs, inputs_digest.as_ref());
        }
        let values = TagValues {
            version: inputs.version,
            patches: inputs.patches,
            ref_: inputs.ref_,
            commit: inputs.commit,
            release: inputs.release,
            patches_revision: patches_revision.as_ref(),
            inputs_digest: inputs_digest.as_ref(),
        };
        tags = Tags::of_image(image, values)?;
    }
    let image = build.image.as_ref();
    let target = image.zip(tags.own);
    Ok(BuildStatus {
        inputs_digest: inputs_digest.unwrap_or_default(),
        target: target.map(|(image, tag)| format!("{}:{tag}", image.repository.0).into()),
        moving_tags: tags.moving,
        sortable_tag: tags.sortable,
        patches_revision: patches_revision.map(Recorded::new),
        dockerfile: inputs.dockerfile.cloned(),
        contexts: inputs.contexts.clone(),
        args: inputs.args.clone(),
        platforms,
        requested: inputs.requested.map(ToOwned::to_owned),
        ..BuildStatus::default()
    })
}

/// The patches' revision when these inputs were first seen, so that a commit that changes none of
/// them makes no other image. Another branch does.
fn first_revision(inputs: &BuildInputs<'_>, digest: Option<&InputsDigest>) -> Option<Revision> {
    let current = inputs.patches_revision;
    let known = inputs.known.filter(|known| Some(&known.inputs_digest) == digest);
    let known = known.and_then(|known| known.patches_revision.as_ref()?.value());
    let known = known.filter(|known| current.is_some_and(|current| current.name == known.name));
    known.or(current).cloned()
}

fn digest(build: &Build, inputs: BuildInputs<'_>, platforms: &[String]) -> InputsDigest {
    let mut digest = InputsHasher::new(COMPUTATION).with(inputs.component.as_bytes());
    digest = digest.with(&inputs.contexts.len().to_be_bytes());
    for (name, image) in inputs.contexts {
        digest = digest.with(name.as_bytes()).with(image.as_bytes());
    }
    digest = digest.with(&inputs.args.len().to_be_bytes());
    for (name, value) in inputs.args {
        digest = digest.with(name.as_bytes()).with(value.as_bytes());
    }
    let source = build.dockerfile.as_ref();
    let file = source.map(DockerfileSource::file);
    let stage = source.and_then(|source| source.stage.as_deref());
    let dockerfile = inputs.dockerfile.map(Recorded::as_str);
    for part in [dockerfile, file, stage, inputs.requested] {
        digest = digest.with(part.unwrap_or_default().as_bytes());
    }
    for platform in platforms {
        digest = digest.with(platform.as_bytes());
    }
    digest.digest()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(tag: &str) -> Build {
        serde_json::from_value(json!({
            "engine": "External",
            "image": { "repository": "r:5000/glance", "tag": tag },
            "source": { "repository": "r:5000/source" },
            "dockerfile": { "inline": "FROM scratch", "file": "Containerfile", "stage": "one" },
            "platforms": ["linux/arm64", "linux/amd64", "linux/arm64"]
        }))
        .unwrap()
    }

    /// Plans with these contexts and arguments.
    fn made(tag: &str, contexts: [(&str, &str); 2], arg: &str) -> BuildStatus {
        planned(&spec(tag), contexts, arg)
    }

    /// Plans this build with these contexts and arguments.
    fn planned(build: &Build, contexts: [(&str, &str); 2], arg: &str) -> BuildStatus {
        let contexts = contexts.map(|(name, image)| (name.to_owned(), image.into()));
        let inputs = BuildInputs {
            component: "glance",
            release: "2025.2",
            ref_: "stable/2025.2",
            commit: "1f0c2d3e4f",
            version: None,
            patches: 2,
            patches_revision: None,
            known: None,
            dockerfile: Some(&"r/d@sha256:02".into()),
            contexts: &contexts.into(),
            args: &BTreeMap::from([("PIP_EXTRAS".to_owned(), arg.to_owned())]),
            requested: Some("today"),
            are_known: true,
        };
        plan_build(build, inputs).unwrap()
    }

    const CONTEXTS: [(&str, &str); 2] = [("oslo.messaging", "r/l@sha256:01"), ("glance", "r/s@sha256:00")];

    /// The digest must not change: images built earlier are found by it.
    #[test]
    fn the_inputs_digest_is_the_same_for_good() {
        let planned = made("x", CONTEXTS, "ldap");
        assert_eq!(
            planned.inputs_digest,
            InputsDigest::from("sha256:bd0eb2dfcb5273d17beb2b5764f7a54fb2fb4c3e284b869e5d7a47baee93eebe")
        );
        assert_eq!(planned.target.as_deref(), Some("r:5000/glance:x"));
        assert_eq!(planned.platforms, ["linux/amd64", "linux/arm64"]);
        assert_eq!(planned.requested.as_deref(), Some("today"));
    }

    #[test]
    fn everything_that_changes_the_image_changes_its_inputs() {
        let plain = made("x", CONTEXTS, "ldap").inputs_digest;
        let other_source = [CONTEXTS[0], ("glance", "r/s@sha256:11")];
        assert_ne!(made("x", other_source, "ldap").inputs_digest, plain);
        assert_ne!(made("x", CONTEXTS, "").inputs_digest, plain);
        let tag = made("y", CONTEXTS, "ldap");
        assert_eq!(tag.inputs_digest, plain, "the tag does not change what is in it");
    }
    /// Plans with patches of this revision, after a build.
    fn after(known: Option<&BuildStatus>, revision: &str, arg: &str) -> BuildStatus {
        let revision = revision.parse().unwrap();
        let contexts = CONTEXTS.map(|(name, image)| (name.to_owned(), image.into()));
        let inputs = BuildInputs {
            component: "glance",
            release: "2025.2",
            ref_: "stable/2025.2",
            commit: "1f0c2d3e4f",
            version: None,
            patches: 2,
            patches_revision: Some(&revision),
            known,
            dockerfile: None,
            contexts: &contexts.into(),
            args: &BTreeMap::from([("A".to_owned(), arg.to_owned())]),
            requested: None,
            are_known: true,
        };
        plan_build(&spec("{patchesBranch}-{patchesSha}"), inputs).unwrap()
    }

    #[test]
    fn a_commit_that_changes_no_input_is_no_other_image() {
        let [first, second] = ["1a", "2b"].map(|digits| format!("main@sha1:{}", digits.repeat(20)));
        let built = after(None, &first, "a");
        assert_eq!(built.target.as_deref(), Some("r:5000/glance:main-1a1a1a1"));
        assert_eq!(built.patches_revision.as_ref().unwrap().as_str(), first);
        assert_eq!(after(Some(&built), &second, "a"), built);
        // Another input, and another branch.
        let other = after(Some(&built), &second, "b");
        assert_eq!(other.target.as_deref(), Some("r:5000/glance:main-2b2b2b2"));
        let topic = format!("topic@sha1:{}", "2b".repeat(20));
        let on_topic = after(Some(&built), &topic, "a");
        assert_eq!(on_topic.target.as_deref(), Some("r:5000/glance:topic-2b2b2b2"));
        assert_eq!(on_topic.inputs_digest, built.inputs_digest);
    }

    #[test]
    fn a_status_whose_tags_follow_from_other_things_has_no_revision_of_patches() {
        let planned = serde_json::to_value(made("x", CONTEXTS, "ldap")).unwrap();
        assert!(planned.get("patchesRevision").is_none(), "{planned}");
        let image = serde_json::to_value(spec("x").image).unwrap();
        assert_eq!(image, json!({ "repository": "r:5000/glance", "tag": "x" }));
    }

    #[test]
    fn tags_that_move_follow_from_the_build_and_do_not_change_the_inputs() {
        let mut build = spec("x");
        build.image.as_mut().unwrap().moving_tags = vec!["{release}".to_owned()];
        let moved = planned(&build, CONTEXTS, "ldap");
        assert_eq!(moved.moving_tags, ["2025.2"]);
        assert_eq!(moved.inputs_digest, made("x", CONTEXTS, "ldap").inputs_digest);
    }

    #[test]
    fn the_tag_that_sorts_waits_for_its_time_and_does_not_change_the_inputs() {
        let mut build = spec("x");
        build.image.as_mut().unwrap().sortable_tag = Some("{release}-{time}".to_owned());
        let dated = planned(&build, CONTEXTS, "ldap");
        let sortable = dated.sortable_tag.unwrap();
        assert_eq!((sortable.tag.as_str(), sortable.time), ("2025.2-{time}", None));
        let plain = made("x", CONTEXTS, "ldap");
        assert_eq!(
            (dated.inputs_digest, None),
            (plain.inputs_digest, plain.sortable_tag)
        );
    }
}
