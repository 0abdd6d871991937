//! The tags of an image, by the templates of its spec.

use patchset_api::build::{ImageTarget, SortableTag};
use patchset_api::{InputsDigest, Revision};

use crate::plan::build::TIME;

/// The longest tag (OCI distribution-spec).
const LONGEST_TAG: usize = 128;

/// How many digits of the inputs digest are in a tag.
const INPUTS_DIGITS: usize = 12;

/// How many digits of the commit are in a tag.
const COMMIT_DIGITS: usize = 7;

/// Why a field of `build.image` gives no tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("build.image.{field}: {fault}")]
pub struct TagError {
    /// The field, as the spec has it.
    pub field: &'static str,
    /// What is wrong with it.
    pub fault: TagFault,
}

/// What is wrong with the template of a tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagFault {
    /// A name in braces that means nothing.
    #[error(
        "{{{0}}} is unknown; there are {{version}}, {{patches}}, {{ref}}, {{sha}}, {{patchesBranch}}, {{patchesSha}}, {{release}} and {{inputs}}, and {{time}} for sortableTag"
    )]
    Unknown(String),
    /// The version is asked for, but unknown.
    #[error(
        "it asks for {{version}}, but the upstream's ref is not a tag that names one: set build.source.version, or use {{ref}}"
    )]
    NoVersion,
    /// The patches' commit is asked for, but they are not in Git.
    #[error(
        "it asks for the commit of the patches' repository, but the patches are in none whose commit is known: set patches.git, or patches.sourceRef with a GitRepository, or leave it out"
    )]
    NoPatchesCommit,
    /// The patches' branch is asked for, but their commit was named by itself.
    #[error(
        "it asks for the branch of the patches' repository, but its commit was named without one: set patches.git.ref.branch, or leave it out"
    )]
    NoPatchesBranch,
    /// An unmatched brace.
    #[error("it has an unmatched brace")]
    Braces,
    /// A moving tag is the image's own.
    #[error("it makes {0:?}, which is the image's own tag, and that never moves")]
    Moving(String),
    /// The time is asked for in a tag that cannot have it.
    #[error(
        "{{time}} is only for build.image.sortableTag: the image's own tag has to be the same for the same inputs, and tags that move need none"
    )]
    Time,
    /// The result is not a tag.
    #[error(
        "it makes {0:?}, which is not a valid tag: letters, digits, '_', '.' and '-', at most {LONGEST_TAG}"
    )]
    Invalid(String),
}

/// Makes an error of a field of `build.image`.
fn in_field(field: &'static str) -> impl Fn(TagFault) -> TagError {
    move |fault| TagError { field, fault }
}

/// What the variables of templates stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct TagValues<'a> {
    pub(super) version: Option<&'a str>,
    pub(super) patches: usize,
    pub(super) ref_: &'a str,
    pub(super) commit: &'a str,
    pub(super) release: &'a str,
    /// The patches' revision; `None` if they are not in Git.
    pub(super) patches_revision: Option<&'a Revision>,
    /// The digest over the build's inputs; `None` if these are not known.
    pub(super) inputs_digest: Option<&'a InputsDigest>,
}

/// The tags of an image. A tag that contains unknown inputs is missing, and all are if the image's
/// own is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tags {
    /// The image's own.
    pub(super) own: Option<String>,
    pub(super) moving: Vec<String>,
    /// With the variable for the time in it.
    pub(super) sortable: Option<SortableTag>,
}

impl Tags {
    pub(super) fn of_image(image: &ImageTarget, values: TagValues<'_>) -> Result<Self, TagError> {
        let own = make_tag(image.tag(), values, None).map_err(in_field("tag"))?;
        let mut sortable = None;
        if let Some(template) = &image.sortable_tag {
            // Only with a time does it show whether it is a valid tag.
            make_tag(template, values, Some("00000000000000")).map_err(in_field("sortableTag"))?;
            let made = fill_template(template, values, Some(TIME)).map_err(in_field("sortableTag"))?;
            sortable = Some(SortableTag {
                tag: made,
                time: None,
            })
            .filter(|_| is_known(template, values));
        }
        let mut moving = Vec::new();
        let moves = image.moving_tags_from.is_empty()
            || image
                .moving_tags_from
                .iter()
                .any(|branch| Ok(branch.as_str()) == values.patches_branch());
        if !image.moving_tags_from.is_empty() {
            values.patches_branch().map_err(in_field("movingTagsFrom"))?;
        }
        for template in &image.moving_tags {
            let made = make_tag(template, values, None).map_err(in_field("movingTags"))?;
            if made == own {
                return Err(in_field("movingTags")(TagFault::Moving(made)));
            }
            moving.extend(Some(made).filter(|_| moves && is_known(template, values)));
        }
        if !is_known(image.tag(), values) {
            return Ok(Self::default());
        }
        moving.sort();
        moving.dedup();
        Ok(Self {
            own: Some(own),
            moving,
            sortable,
        })
    }
}

/// Whether the tags of an image follow from the patches' revision.
pub(super) fn follow_patches_revision(image: &ImageTarget) -> bool {
    let templates = [Some(image.tag()), image.sortable_tag.as_deref()]
        .into_iter()
        .flatten();
    let mut templates = templates.chain(image.moving_tags.iter().map(String::as_str));
    !image.moving_tags_from.is_empty()
        || templates.any(|template| template.contains("{patchesBranch}") || template.contains("{patchesSha}"))
}

impl<'a> TagValues<'a> {
    fn patches_commit(&self) -> Result<&'a Revision, TagFault> {
        self.patches_revision.ok_or(TagFault::NoPatchesCommit)
    }

    fn patches_branch(&self) -> Result<&'a str, TagFault> {
        let name = self.patches_commit()?.name.as_deref();
        name.ok_or(TagFault::NoPatchesBranch)
    }
}

fn is_known(template: &str, values: TagValues<'_>) -> bool {
    values.inputs_digest.is_some() || !template.contains("{inputs}")
}

fn make_tag(template: &str, values: TagValues<'_>, time: Option<&str>) -> Result<String, TagFault> {
    let tag = fill_template(template, values, time)?;
    let is_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let starts_well = tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if tag.contains('}') {
        return Err(TagFault::Braces);
    }
    if !starts_well || tag.len() > LONGEST_TAG || !tag.chars().all(is_char) {
        return Err(TagFault::Invalid(tag));
    }
    Ok(tag)
}

/// Fills in the variables of a template. Unknown inputs become zeros.
fn fill_template(template: &str, values: TagValues<'_>, time: Option<&str>) -> Result<String, TagFault> {
    let digits = |text: &str, n: usize| text.chars().take(n).collect::<String>();
    let mut tag = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}').ok_or(TagFault::Braces)?;
        tag.push_str(before);
        tag.push_str(&match name {
            "version" => values.version.ok_or(TagFault::NoVersion)?.replace('+', "-"),
            "patches" => values.patches.to_string(),
            "ref" => values.ref_.replace('/', "-"),
            "sha" => digits(values.commit, COMMIT_DIGITS),
            "patchesBranch" => values.patches_branch()?.replace('/', "-"),
            "patchesSha" => {
                let revision = values.patches_commit()?;
                digits(&revision.commit.to_string(), COMMIT_DIGITS)
            }
            "release" => values.release.to_owned(),
            "inputs" => match values.inputs_digest {
                Some(digest) => digest.digits(INPUTS_DIGITS),
                None => "0".repeat(INPUTS_DIGITS),
            },
            "time" => time.ok_or(TagFault::Time)?.to_owned(),
            other => return Err(TagFault::Unknown(other.to_owned())),
        });
        rest = tail;
    }
    tag.push_str(rest);
    Ok(tag)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use patchset_api::build::ImageRepository;

    static DIGEST: LazyLock<InputsDigest> = LazyLock::new(|| "sha256:0123456789abcdef".into());

    fn values() -> TagValues<'static> {
        TagValues {
            version: Some("31.0.0"),
            patches: 2,
            ref_: "stable/2025.2",
            commit: "1f0c2d3e4f",
            release: "2025.2",
            patches_revision: None,
            inputs_digest: Some(&DIGEST),
        }
    }

    fn image(tag: &str, moving: &[&str], sortable: Option<&str>) -> ImageTarget {
        ImageTarget {
            repository: ImageRepository("r:5000/glance".into()),
            tag: Some(tag.into()),
            moving_tags: moving.iter().map(ToString::to_string).collect(),
            moving_tags_from: Vec::new(),
            sortable_tag: sortable.map(ToOwned::to_owned),
        }
    }

    fn own(tag: &str) -> Result<String, TagError> {
        Tags::of_image(&image(tag, &[], None), values()).map(|tags| tags.own.unwrap())
    }

    #[test]
    fn tags_are_made_by_their_template() {
        for (template, made) in [
            (
                "{version}-p{patches}-{ref}-{sha}",
                "31.0.0-p2-stable-2025.2-1f0c2d3",
            ),
            ("{release}_{inputs}", "2025.2_0123456789ab"),
        ] {
            assert_eq!(own(template).as_deref(), Ok(made));
        }
        let mut untold = image("x", &[], None);
        untold.tag = None;
        let by_default = Tags::of_image(&untold, values()).unwrap().own.unwrap();
        assert_eq!(by_default, "stable-2025.2-p2-0123456789ab");
        let local = TagValues {
            version: Some("1.0+ours"),
            ..values()
        };
        let tags = Tags::of_image(&image("{version}", &["b", "a", "b"], None), local).unwrap();
        assert_eq!(tags.own.as_deref(), Some("1.0-ours"));
        assert_eq!(tags.moving, ["a", "b"]);
    }

    #[test]
    fn what_makes_no_tag_is_refused() {
        for (template, fault) in [
            ("{nope}", TagFault::Unknown("nope".into())),
            ("{version", TagFault::Braces),
            ("a}", TagFault::Braces),
            ("{time}", TagFault::Time),
            ("-{version}", TagFault::Invalid("-31.0.0".into())),
        ] {
            assert_eq!(own(template), Err(in_field("tag")(fault)));
        }
        assert_eq!(own(&"a".repeat(128)).unwrap().len(), 128);
        let error = own(&"a".repeat(129)).unwrap_err();
        assert!(
            error.to_string().starts_with("build.image.tag: it makes"),
            "{error}"
        );
        let unknown = TagValues {
            version: None,
            ..values()
        };
        let made = Tags::of_image(&image("{version}", &[], None), unknown);
        assert_eq!(made, Err(in_field("tag")(TagFault::NoVersion)));
        let refused = |image: &ImageTarget| Tags::of_image(image, values()).unwrap_err();
        let in_moving = in_field("movingTags");
        assert_eq!(refused(&image("x", &["{time}"], None)), in_moving(TagFault::Time));
        assert_eq!(
            refused(&image("2025.2", &["{release}"], None)),
            in_moving(TagFault::Moving("2025.2".into()))
        );
        let expected = in_field("sortableTag")(TagFault::Invalid("-00000000000000".into()));
        assert_eq!(refused(&image("x", &[], Some("-{time}"))), expected);
    }

    #[test]
    fn a_tag_that_tells_inputs_is_missing_where_these_are_not_known() {
        let unknown = TagValues {
            inputs_digest: None,
            ..values()
        };
        let templates = [
            image("x-{inputs}", &["m"], Some("{time}")),
            image("x", &["m", "m-{inputs}"], Some("{time}-{inputs}")),
            image("x", &["m"], Some("{time}-{sha}")),
        ];
        let made = templates.map(|image| Tags::of_image(&image, unknown).unwrap());
        assert_eq!(made[0], Tags::default());
        let known = Tags {
            own: Some("x".to_owned()),
            moving: vec!["m".to_owned()],
            sortable: None,
        };
        assert_eq!(made[1], known);
        let sortable = SortableTag {
            tag: "{time}-1f0c2d3".to_owned(),
            time: None,
        };
        let sortable = Some(sortable);
        assert_eq!(made[2], Tags { sortable, ..known });
        // Its own faults show all the same.
        let invalid = Tags::of_image(&image("-{inputs}", &[], None), unknown).unwrap_err();
        let fault = TagFault::Invalid("-000000000000".into());
        assert_eq!(invalid, in_field("tag")(fault));
    }
    fn revision(name: Option<&str>) -> Revision {
        Revision {
            name: name.map(ToOwned::to_owned),
            commit: "abcdef0123456789abcdef0123456789abcdef01".parse().unwrap(),
        }
    }

    #[test]
    fn tags_may_tell_branch_and_commit_of_the_patches() {
        let main = revision(Some("team/main"));
        let values = TagValues {
            patches_revision: Some(&main),
            ..values()
        };
        let composite = image("{version}-p{patches}-{patchesBranch}-{patchesSha}", &[], None);
        assert!(follow_patches_revision(&composite));
        let tags = Tags::of_image(&composite, values).unwrap();
        assert_eq!(tags.own.as_deref(), Some("31.0.0-p2-team-main-abcdef0"));
        assert!(!follow_patches_revision(&image(
            "{version}-{sha}",
            &["{ref}"],
            Some("{time}")
        )));
        for one in [
            image("x", &["{patchesSha}"], None),
            image("x", &[], Some("{time}-{patchesBranch}")),
        ] {
            assert!(follow_patches_revision(&one));
        }
    }

    #[test]
    fn moving_tags_move_from_some_branches_alone() {
        let mut target = image("{patchesSha}", &["{version}", "{release}"], None);
        target.moving_tags_from = vec!["main".to_owned(), "team/main".to_owned()];
        assert!(follow_patches_revision(&target));
        for (branch, moving) in [("team/main", 2), ("main", 2), ("topic", 0), ("team-main", 0)] {
            let revision = revision(Some(branch));
            let values = TagValues {
                patches_revision: Some(&revision),
                ..values()
            };
            let tags = Tags::of_image(&target, values).unwrap();
            assert_eq!(tags.moving.len(), moving, "{branch}");
            assert_eq!(tags.own.as_deref(), Some("abcdef0"));
        }
    }

    #[test]
    fn patches_without_a_commit_or_a_branch_make_no_such_tag() {
        let unnamed = revision(None);
        let without_branch = TagValues {
            patches_revision: Some(&unnamed),
            ..values()
        };
        let mut moving = image("x", &["m"], None);
        moving.moving_tags_from = vec!["main".to_owned()];
        for (target, field, needs_branch) in [
            (image("{patchesSha}", &[], None), "tag", false),
            (image("{patchesBranch}", &[], None), "tag", true),
            (moving, "movingTagsFrom", true),
        ] {
            let error = Tags::of_image(&target, values()).unwrap_err();
            assert_eq!(error, in_field(field)(TagFault::NoPatchesCommit));
            let made = Tags::of_image(&target, without_branch);
            let expected = needs_branch.then(|| in_field(field)(TagFault::NoPatchesBranch));
            assert_eq!(made.err(), expected);
        }
    }
}
