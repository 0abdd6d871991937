//! What an image is built from, what it is called, and whether it is there.

use std::collections::BTreeMap;

use super::inputs::Inputs;
use crate::api::PatchSetStatus;
use crate::api::build::{Build, BuildReason, BuildStatus, DockerfileSource, ImageStatus};

/// The label of an image that says what it was built from.
pub const INPUTS_LABEL: &str = "patching.c5c3.io/inputs";

/// The annotation by which Flux's users ask for the work to be done again.
pub const FORCE_AT: &str = "reconcile.fluxcd.io/forceAt";

/// Names the computation that builds follow from; changed where the same inputs give another image.
const COMPUTATION: &str = "build/2";

/// The longest tag (OCI distribution-spec).
const LONGEST_TAG: usize = 128;

/// What is known of a `PatchSet` when its source was published.
#[derive(Clone, Copy, Debug)]
pub struct Published<'a> {
    /// The component; the name of the source's context.
    pub component: &'a str,
    /// The release.
    pub release: &'a str,
    /// The upstream's ref, or its commit where it has no name.
    pub ref_: &'a str,
    /// The upstream's commit.
    pub commit: &'a str,
    /// The component's version, where it is known.
    pub version: Option<&'a str>,
    /// How many patches the source has.
    pub patches: usize,
    /// The source image by its digest.
    pub source: &'a str,
    /// The folder with the Dockerfile, as an image by its digest.
    pub dockerfile: Option<&'a str>,
    /// The other contexts, by their digests.
    pub contexts: &'a BTreeMap<String, String>,
    /// The `forceAt` by which a build was asked for.
    pub requested: Option<&'a str>,
    /// Arguments that were read; those of the spec win over them.
    pub args: &'a BTreeMap<String, String>,
}

/// The name of the context that holds the constraints.
pub const CONSTRAINTS: &str = "upper-constraints";

/// Why a tag cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// A name in braces that means nothing.
    #[error(
        "build.image.tag: {{{0}}} is unknown; there are {{version}}, {{patches}}, {{ref}}, {{sha}}, {{release}} and {{inputs}}"
    )]
    Unknown(String),
    /// The version is asked for and not known.
    #[error(
        "build.image.tag asks for {{version}}, and the upstream's ref names none: set build.source.version, or use {{ref}}"
    )]
    NoVersion,
    /// A brace without its partner.
    #[error("build.image.tag has a brace without its partner")]
    Braces,
    /// A tag that moves is that of the image.
    #[error("build.image.movingTags makes {0:?}, which is the image's own tag, and that never moves")]
    Moving(String),
    /// What came out is no tag.
    #[error(
        "build.image.tag makes {0:?}, which is no tag: letters, digits, '_', '.' and '-', at most {LONGEST_TAG}"
    )]
    Invalid(String),
}

/// Plans a build.
///
/// # Errors
///
/// Where the tag cannot be made.
pub fn plan(build: &Build, published: Published<'_>) -> Result<BuildStatus, TagError> {
    let mut contexts = published.contexts.clone();
    contexts.insert(published.component.to_owned(), published.source.to_owned());
    let mut args = published.args.clone();
    args.extend(build.args.clone());
    let mut platforms: Vec<String> = build
        .platforms
        .iter()
        .map(|platform| platform.0.clone())
        .collect();
    platforms.sort();
    platforms.dedup();
    let mut inputs = Inputs::new(COMPUTATION).with(published.component.as_bytes());
    for map in [&contexts, &args] {
        inputs = inputs.with(&map.len().to_be_bytes());
        for (name, value) in map {
            inputs = inputs.with(name.as_bytes()).with(value.as_bytes());
        }
    }
    let file = build.dockerfile.as_ref().map(DockerfileSource::file);
    let stage = build
        .dockerfile
        .as_ref()
        .and_then(|source| source.stage.as_deref());
    for part in [published.dockerfile, file, stage, published.requested] {
        inputs = inputs.with(part.unwrap_or_default().as_bytes());
    }
    for platform in &platforms {
        inputs = inputs.with(platform.as_bytes());
    }
    let inputs_digest = inputs.digest();
    let (mut target, mut moving_tags) = (None, Vec::new());
    if let Some(image) = &build.image {
        let tag = tag(image.tag(), published, &inputs_digest)?;
        for template in &image.moving_tags {
            let made = self::tag(template, published, &inputs_digest)?;
            if made == tag {
                return Err(TagError::Moving(made));
            }
            moving_tags.push(made);
        }
        moving_tags.sort();
        moving_tags.dedup();
        target = Some(format!("{}:{tag}", image.repository.0));
    }
    Ok(BuildStatus {
        inputs_digest,
        target,
        moving_tags,
        dockerfile: published.dockerfile.map(ToOwned::to_owned),
        contexts,
        args,
        platforms,
        requested: published.requested.map(ToOwned::to_owned),
        ..BuildStatus::default()
    })
}

/// By what a build was asked for. Taking the annotation away does not bring back what was built before it.
#[must_use]
pub fn requested(
    annotations: Option<&BTreeMap<String, String>>,
    known: Option<&PatchSetStatus>,
) -> Option<String> {
    let before = || known?.build.as_ref()?.requested.clone();
    annotations
        .and_then(|annotations| annotations.get(FORCE_AT).cloned())
        .or_else(before)
}

/// What is different from the build before, given whether the upstream's commit is another one.
#[must_use]
pub fn reasons(
    previous: Option<&BuildStatus>,
    planned: &BuildStatus,
    build: &Build,
    component: &str,
    upstream_moved: bool,
) -> Vec<BuildReason> {
    let Some(previous) = previous else {
        return vec![BuildReason::First];
    };
    if previous.inputs_digest == planned.inputs_digest && previous.target == planned.target {
        return previous.reasons.clone();
    }
    let changed = |name: &str| previous.contexts.get(name) != planned.contexts.get(name);
    let any_changed = |is_base: bool| {
        let names = previous.contexts.keys().chain(planned.contexts.keys());
        names
            .filter(|name| *name != component && *name != CONSTRAINTS)
            .any(|name| build.contexts.contains_key(name) == is_base && changed(name))
    };
    let mut reasons = Vec::new();
    if changed(component) {
        reasons.push(if upstream_moved {
            BuildReason::Upstream
        } else {
            BuildReason::Patches
        });
    }
    if any_changed(false) {
        reasons.push(BuildReason::Libraries);
    }
    if changed(CONSTRAINTS) {
        reasons.push(BuildReason::Constraints);
    }
    if previous.dockerfile != planned.dockerfile {
        reasons.push(BuildReason::Dockerfile);
    }
    if any_changed(true) {
        reasons.push(BuildReason::Base);
    }
    if previous.requested != planned.requested {
        reasons.push(BuildReason::Requested);
    }
    if previous.args != planned.args || previous.platforms != planned.platforms || reasons.is_empty() {
        reasons.push(BuildReason::Config);
    }
    reasons
}

fn tag(template: &str, published: Published<'_>, inputs_digest: &str) -> Result<String, TagError> {
    let digits = |text: &str, n: usize| text.chars().take(n).collect::<String>();
    let mut tag = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}').ok_or(TagError::Braces)?;
        tag.push_str(before);
        tag.push_str(&match name {
            "version" => published.version.ok_or(TagError::NoVersion)?.replace('+', "-"),
            "patches" => published.patches.to_string(),
            "ref" => published.ref_.replace('/', "-"),
            "sha" => digits(published.commit, 7),
            "release" => published.release.to_owned(),
            "inputs" => digits(inputs_digest.trim_start_matches("sha256:"), 12),
            other => return Err(TagError::Unknown(other.to_owned())),
        });
        rest = tail;
    }
    tag.push_str(rest);
    let is_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let starts_well = tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if tag.contains('}') {
        return Err(TagError::Braces);
    }
    if !starts_well || tag.len() > LONGEST_TAG || !tag.chars().all(is_char) {
        return Err(TagError::Invalid(tag));
    }
    Ok(tag)
}

/// Whether the image that the status tells was built from these inputs.
#[must_use]
pub fn is_built(status: &PatchSetStatus, build: &BuildStatus) -> bool {
    status.image.as_ref().is_some_and(|image| {
        image.inputs_digest == build.inputs_digest
            && Some(format!("{}:{}", image.repository, image.tag)) == build.target
            && image.moving_tags == build.moving_tags
    })
}

/// The image as the status tells it, once the registry has it.
#[must_use]
pub fn image(build: &BuildStatus, target: &str, digest: &str, revision: &str) -> ImageStatus {
    let (repository, tag) = target.rsplit_once(':').unwrap_or((target, "latest"));
    ImageStatus {
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        digest: digest.to_owned(),
        reference: format!("{target}@{digest}"),
        moving_tags: build.moving_tags.clone(),
        revision: revision.to_owned(),
        inputs_digest: build.inputs_digest.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::build::{ContextImage, Engine, ImageRepository, ImageTarget, SourceTarget};

    static NONE: BTreeMap<String, String> = BTreeMap::new();

    fn published() -> Published<'static> {
        Published {
            component: "glance",
            release: "2025.2",
            ref_: "stable/2025.2",
            commit: "1f0c2d3e4f",
            version: Some("31.0.0"),
            patches: 2,
            source: "r/s@sha256:00",
            dockerfile: None,
            contexts: &NONE,
            args: &NONE,
            requested: None,
        }
    }

    fn build(tag: &str) -> Build {
        let repository = ImageRepository("r:5000/glance".into());
        Build {
            engine: Engine::External,
            image: Some(ImageTarget {
                repository: repository.clone(),
                tag: Some(tag.into()),
                moving_tags: Vec::new(),
            }),
            source: SourceTarget {
                repository,
                version: None,
            },
            dockerfile: None,
            contexts: BTreeMap::new(),
            platforms: Vec::new(),
            extra_packages_from: None,
            args: BTreeMap::new(),
            secret_ref: None,
            timeout: None,
            retries: None,
            job: None,
            github_actions: None,
        }
    }

    #[test]
    fn tags_by_template() {
        let made = |tag: &str| plan(&build(tag), published()).map(|plan| plan.target.unwrap());
        assert_eq!(
            made("{version}-p{patches}-{ref}-{sha}").unwrap(),
            "r:5000/glance:31.0.0-p2-stable-2025.2-1f0c2d3"
        );
        let mut untold = build("x");
        untold.image.as_mut().unwrap().tag = None;
        let by_default = plan(&untold, published()).unwrap().target.unwrap();
        assert!(
            by_default.starts_with("r:5000/glance:stable-2025.2-p2-"),
            "{by_default}"
        );
        assert_eq!(made("{nope}"), Err(TagError::Unknown("nope".into())));
        assert_eq!(made("{version"), Err(TagError::Braces));
        assert_eq!(made("a}"), Err(TagError::Braces));
        assert!(matches!(made("-{version}"), Err(TagError::Invalid(_))));
        assert!(matches!(made(&"a".repeat(129)), Err(TagError::Invalid(_))));
        let unknown = Published {
            version: None,
            ..published()
        };
        assert_eq!(plan(&build("{version}"), unknown), Err(TagError::NoVersion));
    }

    #[test]
    fn everything_that_changes_the_image_changes_its_inputs() {
        let digest = |build: &Build, published| plan(build, published).unwrap().inputs_digest;
        let plain = digest(&build("x"), published());
        assert_eq!(
            digest(&build("y"), published()),
            plain,
            "the tag does not change what is in it"
        );
        let mut with_args = build("x");
        with_args.args.insert("PIP_EXTRAS".into(), "ldap".into());
        assert_ne!(digest(&with_args, published()), plain);
        let other_source = Published {
            source: "r/s@sha256:11",
            ..published()
        };
        assert_ne!(digest(&build("x"), other_source), plain);
    }

    #[test]
    fn a_build_says_what_is_different() {
        use BuildReason::{Base, Config, Constraints, First, Libraries, Patches, Upstream};
        let contexts = |library: &str, constraints: &str| {
            BTreeMap::from([
                ("python-base".to_owned(), constraints.replace('d', "c")),
                ("oslo.messaging".to_owned(), library.to_owned()),
                (CONSTRAINTS.to_owned(), constraints.to_owned()),
            ])
        };
        let planned = |source, contexts: &BTreeMap<String, String>, arg: &str| {
            let mut build = build("x");
            build.args.insert("A".into(), arg.into());
            let published = Published {
                source,
                contexts,
                ..published()
            };
            plan(&build, published).unwrap()
        };
        let old = planned("a", &contexts("l", "c"), "1");
        let mut build = build("x");
        let base = ContextImage("docker-image://r/base:1".into());
        build.contexts.insert("python-base".into(), base);
        assert_eq!(reasons(None, &old, &build, "glance", true), [First]);
        for (new, moved, expected) in [
            (planned("b", &contexts("l", "c"), "1"), true, vec![Upstream]),
            (planned("b", &contexts("l", "c"), "1"), false, vec![Patches]),
            (planned("a", &contexts("m", "c"), "1"), false, vec![Libraries]),
            (
                planned("a", &contexts("m", "d"), "2"),
                false,
                vec![Libraries, Constraints, Config],
            ),
            (
                planned("a", &contexts("l", "e"), "1"),
                false,
                vec![Constraints, Base],
            ),
            (
                planned("a", &NONE, "1"),
                false,
                vec![Libraries, Constraints, Base],
            ),
            (planned("a", &contexts("l", "c"), "2"), true, vec![Config]),
        ] {
            assert_eq!(reasons(Some(&old), &new, &build, "glance", moved), expected);
        }
        let again = BuildStatus {
            reasons: vec![Patches],
            ..old.clone()
        };
        assert_eq!(reasons(Some(&again), &old, &build, "glance", true), [Patches]);
    }
}
