//! Whether the planned image exists, and since when it has been the wanted one.

use image_references::{Digest, ImageReference};
use jiff::{SignedDuration, Timestamp};
use patchset_api::build::{Build, BuildStatus, ImageStatus};
use patchset_api::{PatchSetStatus, Recorded, Revision};

use super::conditions::seconds;

/// The label of an image that says what it was built from.
pub const INPUTS_LABEL: &str = "patching.c5c3.io/inputs";

/// Puts a time into the sortable tag: the moment when its image became the wanted one. The time
/// stays the same for as long as the image is wanted.
///
/// An image that became the wanted one later always has a later time, even if a clock was put back
/// or two become it within a second.
pub fn set_tag_time(planned: &mut BuildStatus, known: &PatchSetStatus, now: Timestamp) {
    let time = known_time(planned, known).unwrap_or_else(|| {
        let latest = former_times(planned, known).map(|former| former.time).max();
        let next = latest.and_then(|latest| latest.checked_add(SignedDuration::from_secs(1)).ok());
        next.map_or(now, |next| next.max(now))
    });
    put_time(planned, time);
}

/// Puts the time into the sortable tag if the status has it because the image is already the wanted
/// one.
pub fn set_tag_time_if_known(planned: &mut BuildStatus, known: &PatchSetStatus) {
    if let Some(time) = known_time(planned, known) {
        put_time(planned, time);
    }
}

fn put_time(planned: &mut BuildStatus, time: Timestamp) {
    if let Some(sortable) = &mut planned.sortable_tag {
        let digits = time.strftime("%Y%m%d%H%M%S").to_string();
        sortable.tag = sortable.tag.replace(TIME, &digits);
        sortable.time = Some(seconds(time));
    }
}

/// When an image became the wanted one, according to the status.
struct FormerTime {
    /// Whether it is the one that is planned.
    is_planned: bool,
    time: Timestamp,
}

fn former_times(planned: &BuildStatus, known: &PatchSetStatus) -> impl Iterator<Item = FormerTime> {
    let (inputs, target) = (&planned.inputs_digest, &planned.target);
    let of_build = known.build.as_ref().and_then(|build| {
        Some(FormerTime {
            is_planned: build.inputs_digest == *inputs && build.target == *target,
            time: build.sortable_tag.as_ref()?.time.as_ref()?.0,
        })
    });
    let of_image = known.image.as_ref().and_then(|image| {
        Some(FormerTime {
            is_planned: is_planned_image(image, planned),
            time: image.sortable_tag.as_ref()?.time.as_ref()?.0,
        })
    });
    of_build.into_iter().chain(of_image)
}

fn known_time(planned: &BuildStatus, known: &PatchSetStatus) -> Option<Timestamp> {
    let mut former = former_times(planned, known);
    former.find(|former| former.is_planned).map(|former| former.time)
}

/// The variable for the time in a sortable tag.
pub const TIME: &str = "{time}";

/// Whether the image in the status was built from these inputs and has the wanted further tags.
#[must_use]
pub fn is_built(status: &PatchSetStatus, build: &BuildStatus) -> bool {
    status.image.as_ref().is_some_and(|image| {
        is_planned_image(image, build)
            && image.moving_tags == build.moving_tags
            && image.sortable_tag == build.sortable_tag
    })
}

/// Whether an image is the one that is planned.
#[must_use]
pub fn is_planned_image(image: &ImageStatus, build: &BuildStatus) -> bool {
    let target = build.target.as_ref().and_then(Recorded::value);
    image.inputs_digest == build.inputs_digest
        && target
            .is_some_and(|target| target.given_name() == image.repository && target.tag() == Some(&image.tag))
}

/// The image as the status records it, once the registry has it.
#[must_use]
pub fn image(
    build: &BuildStatus,
    target: &ImageReference,
    digest: &Digest,
    revision: &Recorded<Revision>,
) -> ImageStatus {
    ImageStatus {
        repository: target.given_name().to_owned(),
        tag: target.tag().unwrap_or_default().to_owned(),
        digest: Recorded::new(digest.clone()),
        reference: target.pinned_to(digest).as_given().into(),
        moving_tags: build.moving_tags.clone(),
        sortable_tag: build.sortable_tag.clone(),
        revision: revision.clone(),
        inputs_digest: build.inputs_digest.clone(),
        installed: None,
        sbom: None,
        sbom_failure: None,
    }
}

/// Whether nothing is left to do for a built image: it was looked into and tested, and has the
/// document on its patches, as far as the spec asks for that.
#[must_use]
pub fn is_complete(build: &Build, planned: &BuildStatus, image: &ImageStatus) -> bool {
    (!build.is_checked() || image.installed.is_some())
        && (!build.has_sbom() || image.sbom.is_some())
        && tests_are_over(build, planned)
}

/// Whether no test of an image is left to run or keeps it from counting.
fn tests_are_over(build: &Build, planned: &BuildStatus) -> bool {
    match &planned.tests {
        None => build.tests.is_empty(),
        Some(tests) => tests.awaiting.is_none() && tests.results.len() == build.tests.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use patchset_api::build::SortableTag;
    use patchset_api::image_test::ImageTestsStatus;

    /// A plan from some inputs with a sortable tag, whose time is not filled in yet.
    fn undated(inputs: &str) -> BuildStatus {
        BuildStatus {
            inputs_digest: inputs.into(),
            target: Some(format!("r:5000/glance:{inputs}").into()),
            sortable_tag: Some(SortableTag {
                tag: "2025.2-{time}-1f0c2d3".to_owned(),
                time: None,
            }),
            ..BuildStatus::default()
        }
    }

    /// The same at a second of 1970.
    fn dated(inputs: &str, known: &PatchSetStatus, second: i64) -> BuildStatus {
        let mut planned = undated(inputs);
        set_tag_time(&mut planned, known, Timestamp::from_second(second).unwrap());
        planned
    }

    fn sortable(planned: &BuildStatus) -> &str {
        &planned.sortable_tag.as_ref().unwrap().tag
    }

    /// The status with the image of a build.
    fn built(planned: &BuildStatus) -> PatchSetStatus {
        let target = planned.target.as_ref().unwrap().value().unwrap();
        PatchSetStatus {
            image: Some(Box::new(image(
                planned,
                target,
                &Digest::sha256(b""),
                &"main".into(),
            ))),
            build: Some(Box::new(planned.clone())),
            ..PatchSetStatus::default()
        }
    }

    #[test]
    fn a_time_stays_while_its_image_is_wanted_and_is_later_for_each_next_one() {
        let first = dated("a", &PatchSetStatus::default(), 100);
        assert_eq!(sortable(&first), "2025.2-19700101000140-1f0c2d3");
        let known = built(&first);
        assert_eq!(sortable(&dated("a", &known, 200)), sortable(&first));

        // That also holds before the image exists.
        let awaited = PatchSetStatus {
            build: Some(Box::new(first.clone())),
            ..PatchSetStatus::default()
        };
        assert_eq!(sortable(&dated("a", &awaited, 200)), sortable(&first));

        // An unfinished build took nothing from the previous image.
        let mut asked = known.clone();
        asked.build = Some(Box::new(dated("b", &known, 300)));
        assert_eq!(
            sortable(asked.build.as_ref().unwrap()),
            "2025.2-19700101000500-1f0c2d3"
        );
        assert_eq!(sortable(&dated("a", &asked, 400)), sortable(&first));

        // A finished one makes the earlier image a later one, even if the clock was set back.
        let second = built(asked.build.as_ref().unwrap());
        assert_eq!(
            sortable(&dated("a", &second, 400)),
            "2025.2-19700101000640-1f0c2d3"
        );
        assert_eq!(sortable(&dated("a", &second, 0)), "2025.2-19700101000501-1f0c2d3");
    }

    #[test]
    fn a_time_is_put_in_without_a_clock_only_where_the_image_is_the_wanted_one() {
        let first = dated("a", &PatchSetStatus::default(), 100);
        let known = built(&first);
        let plan = |inputs: &str| {
            let mut planned = undated(inputs);
            set_tag_time_if_known(&mut planned, &known);
            planned
        };
        assert_eq!(plan("a").sortable_tag, first.sortable_tag);
        assert_eq!(sortable(&plan("b")), "2025.2-{time}-1f0c2d3");
        assert_eq!(plan("b").sortable_tag.unwrap().time, None);
    }

    #[test]
    fn the_planned_image_has_its_inputs_repository_and_tag() {
        let planned = dated("a", &PatchSetStatus::default(), 100);
        let image = built(&planned).image.unwrap();
        assert!(is_planned_image(&image, &planned));
        let differs = |change: fn(&mut ImageStatus)| {
            let mut other = image.clone();
            change(&mut other);
            !is_planned_image(&other, &planned)
        };
        assert!(differs(|image| image.inputs_digest = "b".into()));
        assert!(differs(|image| image.repository = "r:5000/nova".into()));
        assert!(differs(|image| image.tag = "b".into()));
        let without_target = BuildStatus {
            target: None,
            ..planned.clone()
        };
        assert!(!is_planned_image(&image, &without_target));
    }

    #[test]
    fn an_image_is_complete_once_it_was_looked_into_has_its_document_and_was_tested() {
        let mut build: Build = serde_json::from_value(serde_json::json!({
            "engine": "External",
            "image": { "repository": "r:5000/glance", "tag": "x" },
            "source": { "repository": "r:5000/source" },
            "check": "Installed",
            "sbom": "Attach"
        }))
        .unwrap();
        let mut planned = dated("a", &PatchSetStatus::default(), 100);
        let mut image = built(&planned).image.unwrap();
        assert!(!is_complete(&build, &planned, &image));
        image.installed = Some(Vec::new());
        assert!(!is_complete(&build, &planned, &image), "it has no document");
        image.sbom = Some(Recorded::new(Digest::sha256(b"")));
        assert!(is_complete(&build, &planned, &image));
        image.installed = None;
        assert!(!is_complete(&build, &planned, &image), "it was not looked into");
        image.installed = Some(Vec::new());

        // A test without a result, and an image that waits for one.
        let test = serde_json::json!({ "name": "unit", "from": "Image", "command": ["true"] });
        build.tests = vec![serde_json::from_value(test).unwrap()];
        assert!(!is_complete(&build, &planned, &image));
        planned.tests = Some(ImageTestsStatus::default());
        assert!(!is_complete(&build, &planned, &image));
        build.tests.clear();
        assert!(is_complete(&build, &planned, &image));
        planned.tests = Some(ImageTestsStatus {
            awaiting: Some(image.clone()),
            ..ImageTestsStatus::default()
        });
        assert!(!is_complete(&build, &planned, &image));
    }
}
