//! What an image is built from, what it is called, and whether it is there.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::conditions::seconds;
use super::inputs::Inputs;
use crate::api::build::{Build, BuildReason, BuildStatus, DockerfileSource, ImageStatus, SortableTag};
use crate::api::{InputsDigest, PatchSetStatus};

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
        "build.image.tag asks for {{version}}, and the upstream's ref is no tag that names one: set build.source.version, or use {{ref}}"
    )]
    NoVersion,
    /// A brace without its partner.
    #[error("build.image.tag has a brace without its partner")]
    Braces,
    /// A tag that moves is that of the image.
    #[error("build.image.movingTags makes {0:?}, which is the image's own tag, and that never moves")]
    Moving(String),
    /// The time is asked for in a tag that is not for it.
    #[error(
        "{{time}} is for build.image.sortableTag alone: the image's own tag has to be the same for the same inputs, and tags that move need none"
    )]
    Time,
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
    let (mut target, mut moving_tags, mut sortable_tag) = (None, Vec::new(), None);
    if let Some(image) = &build.image {
        let tag = tag(image.tag(), published, &inputs_digest, None)?;
        if let Some(template) = &image.sortable_tag {
            // Whether it is a tag shows with a time.
            self::tag(template, published, &inputs_digest, Some("00000000000000"))?;
            sortable_tag = Some(SortableTag {
                tag: filled(template, published, &inputs_digest, Some(TIME))?,
                time: None,
            });
        }
        for template in &image.moving_tags {
            let made = self::tag(template, published, &inputs_digest, None)?;
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
        sortable_tag,
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

/// Puts the time into the tag that sorts: since when its image is the wanted one, which stays while it is.
///
/// An image that became the wanted one later always has a later time, also where a clock was put back or two become it
/// within a second.
pub fn date(planned: &mut BuildStatus, known: &PatchSetStatus, now: Timestamp) {
    let Some(sortable) = &mut planned.sortable_tag else {
        return;
    };
    let (inputs, target) = (&planned.inputs_digest, &planned.target);
    let of_build = known.build.as_ref().and_then(|build| {
        let is_same = build.inputs_digest == *inputs && build.target == *target;
        Some((is_same, build.sortable_tag.as_ref()?.time.as_ref()?.0))
    });
    let of_image = known.image.as_ref().and_then(|image| {
        let named = Some(format!("{}:{}", image.repository, image.tag));
        let is_same = image.inputs_digest == *inputs && named == *target;
        Some((is_same, image.sortable_tag.as_ref()?.time.as_ref()?.0))
    });
    let former = [of_build, of_image].into_iter().flatten();
    let kept = former.clone().find(|(is_same, _)| *is_same).map(|(_, time)| time);
    let time = kept.unwrap_or_else(|| {
        let latest = former.map(|(_, time)| time).max();
        let next = latest.and_then(|latest| latest.checked_add(SignedDuration::from_secs(1)).ok());
        next.map_or(now, |next| next.max(now))
    });
    sortable.tag = sortable
        .tag
        .replace(TIME, &time.strftime("%Y%m%d%H%M%S").to_string());
    sortable.time = Some(seconds(time));
}

/// The variable for the time.
const TIME: &str = "{time}";

fn tag(
    template: &str,
    published: Published<'_>,
    inputs_digest: &InputsDigest,
    time: Option<&str>,
) -> Result<String, TagError> {
    let tag = filled(template, published, inputs_digest, time)?;
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

/// A template with values in the place of its variables.
fn filled(
    template: &str,
    published: Published<'_>,
    inputs_digest: &InputsDigest,
    time: Option<&str>,
) -> Result<String, TagError> {
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
            "inputs" => inputs_digest.digits(12),
            "time" => time.ok_or(TagError::Time)?.to_owned(),
            other => return Err(TagError::Unknown(other.to_owned())),
        });
        rest = tail;
    }
    tag.push_str(rest);
    Ok(tag)
}

/// Whether the image that the status tells was built from these inputs, and its further tags are those that are wanted.
#[must_use]
pub fn is_built(status: &PatchSetStatus, build: &BuildStatus) -> bool {
    status.image.as_ref().is_some_and(|image| {
        is_of(image, build)
            && image.moving_tags == build.moving_tags
            && image.sortable_tag == build.sortable_tag
    })
}

/// Whether an image is the one that is planned.
#[must_use]
pub fn is_of(image: &ImageStatus, build: &BuildStatus) -> bool {
    image.inputs_digest == build.inputs_digest
        && Some(format!("{}:{}", image.repository, image.tag)) == build.target
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
        sortable_tag: build.sortable_tag.clone(),
        revision: revision.to_owned(),
        inputs_digest: build.inputs_digest.clone(),
        installed: None,
        sbom: None,
        sbom_failure: None,
    }
}

/// Whether nothing is left to do about an image that was built: it was looked into, and has the document on its
/// patches, as far as the spec asks for that.
#[must_use]
pub fn is_complete(build: &Build, image: &ImageStatus) -> bool {
    (!build.is_checked() || image.installed.is_some()) && (!build.has_sbom() || image.sbom.is_some())
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
                sortable_tag: None,
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
            provider: None,
            service_account_name: None,
            timeout: None,
            retries: None,
            job: None,
            github_actions: None,
            check: None,
            sbom: None,
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

    /// A plan with a tag that sorts, from a source, at a second of 1970.
    fn dated(source: &str, known: &PatchSetStatus, second: i64) -> BuildStatus {
        let mut build = build("{inputs}");
        build.image.as_mut().unwrap().sortable_tag = Some("{release}-{time}-{sha}".into());
        let published = Published {
            source,
            ..published()
        };
        let mut planned = plan(&build, published).unwrap();
        assert_eq!(
            planned.sortable_tag.as_ref().unwrap().tag,
            "2025.2-{time}-1f0c2d3"
        );
        date(&mut planned, known, Timestamp::from_second(second).unwrap());
        planned
    }

    fn sortable(planned: &BuildStatus) -> &str {
        &planned.sortable_tag.as_ref().unwrap().tag
    }

    /// The status with the image of a build.
    fn built(planned: &BuildStatus) -> PatchSetStatus {
        let target = planned.target.as_deref().unwrap();
        PatchSetStatus {
            image: Some(image(planned, target, "sha256:00", "main")),
            build: Some(planned.clone()),
            ..PatchSetStatus::default()
        }
    }

    #[test]
    fn a_time_stays_while_its_image_is_wanted_and_is_later_for_each_next_one() {
        let first = dated("a", &PatchSetStatus::default(), 100);
        assert_eq!(sortable(&first), "2025.2-19700101000140-1f0c2d3");
        let known = built(&first);
        assert_eq!(sortable(&dated("a", &known, 200)), sortable(&first));

        // A build that did not come to an end took nothing from the image before.
        let mut asked = known.clone();
        asked.build = Some(dated("b", &known, 300));
        assert_eq!(
            sortable(asked.build.as_ref().unwrap()),
            "2025.2-19700101000500-1f0c2d3"
        );
        assert_eq!(sortable(&dated("a", &asked, 400)), sortable(&first));

        // One that did makes the image of before a later one, even where the clock was put back.
        let second = built(asked.build.as_ref().unwrap());
        assert_eq!(
            sortable(&dated("a", &second, 400)),
            "2025.2-19700101000640-1f0c2d3"
        );
        assert_eq!(sortable(&dated("a", &second, 0)), "2025.2-19700101000501-1f0c2d3");
    }

    #[test]
    fn only_the_tag_that_sorts_has_a_time() {
        assert_eq!(plan(&build("{time}"), published()), Err(TagError::Time));
        let mut moving = build("x");
        moving.image.as_mut().unwrap().moving_tags = vec!["{time}".into()];
        assert_eq!(plan(&moving, published()), Err(TagError::Time));
        let mut invalid = build("x");
        invalid.image.as_mut().unwrap().sortable_tag = Some("-{time}".into());
        let expected = TagError::Invalid("-00000000000000".into());
        assert_eq!(plan(&invalid, published()), Err(expected));
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
