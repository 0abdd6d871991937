//! Why something is built: what is different from the build before.

use git_apply_engine::Oid;
use patchset_api::build::{Build, BuildReason, BuildStatus};
use patchset_api::{PatchSet, PatchSetStatus};

use super::CONSTRAINTS;

/// The annotation by which Flux's users ask for the work to be done again.
const FORCE_AT: &str = "reconcile.fluxcd.io/forceAt";

/// Returns the `forceAt` by which a build was asked for. Removing the annotation does not bring
/// back what was built before it.
#[must_use]
pub fn last_request(patch_set: &PatchSet, known: Option<&PatchSetStatus>) -> Option<String> {
    let annotations = patch_set.metadata.annotations.as_ref();
    let before = || known?.build.as_ref()?.requested.clone();
    annotations
        .and_then(|annotations| annotations.get(FORCE_AT).cloned())
        .or_else(before)
}

/// Returns what differs between the planned build and the one in the status, given the upstream's
/// commit that is planned for.
#[must_use]
pub fn build_reasons(
    known: &PatchSetStatus,
    planned: &BuildStatus,
    build: &Build,
    component: &str,
    commit: Oid,
) -> Vec<BuildReason> {
    let Some(previous) = &known.build else {
        return vec![BuildReason::First];
    };
    if previous.inputs_digest == planned.inputs_digest && previous.target == planned.target {
        return previous.reasons.clone();
    }
    let changed = |name: &str| previous.contexts.get(name) != planned.contexts.get(name);
    let names = previous.contexts.keys().chain(planned.contexts.keys());
    let others = names.filter(|name| *name != component && *name != CONSTRAINTS && changed(name));
    let (bases, libraries): (Vec<&String>, Vec<&String>) =
        others.partition(|name| build.contexts.contains_key(*name));
    let mut reasons = Vec::new();
    if changed(component) {
        reasons.push(if has_moved(known, commit) {
            BuildReason::Upstream
        } else {
            BuildReason::Patches
        });
    }
    if !libraries.is_empty() {
        reasons.push(BuildReason::Libraries);
    }
    if changed(CONSTRAINTS) {
        reasons.push(BuildReason::Constraints);
    }
    if previous.dockerfile != planned.dockerfile {
        reasons.push(BuildReason::Dockerfile);
    }
    if !bases.is_empty() {
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

/// Whether the last build is of another commit.
///
/// If patches did not apply in between, the status is at the new commit already, and the image is
/// not.
fn has_moved(known: &PatchSetStatus, commit: Oid) -> bool {
    let before = match (&known.image, &known.upstream) {
        (Some(image), _) => image.revision.value().map(|revision| revision.commit),
        (None, Some(upstream)) => upstream.commit.value().copied(),
        (None, None) => None,
    };
    before != Some(commit)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use BuildReason::{
        Base, Config, Constraints, Dockerfile, First, Libraries, Patches, Requested, Upstream,
    };
    use image_references::{Digest, ImageReference};
    use patchset_api::status::UpstreamStatus;
    use patchset_api::{Recorded, Revision};
    use serde_json::json;

    /// A build from these contexts, as a word each: `name=reference`.
    fn built(contexts: &str) -> BuildStatus {
        let pairs = contexts.split_whitespace().map(|pair| {
            let (name, reference) = pair.split_once('=').unwrap();
            (name.to_owned(), reference.into())
        });
        let contexts: BTreeMap<String, Recorded<ImageReference>> = pairs.collect();
        BuildStatus {
            inputs_digest: format!("{contexts:?}").as_str().into(),
            target: Some("r/glance:1".into()),
            contexts,
            ..BuildStatus::default()
        }
    }

    fn spec() -> Build {
        serde_json::from_value(json!({
            "engine": "External", "source": { "repository": "r/source" },
            "contexts": { "python-base": "docker-image://r/base:1" }
        }))
        .unwrap()
    }

    /// A commit whose digits are all the same.
    fn oid(digit: &str) -> Oid {
        digit.repeat(40).parse().unwrap()
    }

    fn status(build: Option<BuildStatus>, commit: &str) -> PatchSetStatus {
        PatchSetStatus {
            build: build.map(Box::new),
            upstream: Some(UpstreamStatus::new(Revision {
                name: Some("main".to_owned()),
                commit: oid(commit),
            })),
            ..PatchSetStatus::default()
        }
    }

    const OLD: &str = "glance=a oslo=l python-base=b upper-constraints=c";

    #[test]
    fn a_build_says_what_is_different() {
        let known = status(Some(built(OLD)), "1");
        for (new, commit, expected) in [
            (
                "glance=b oslo=l python-base=b upper-constraints=c",
                "2",
                vec![Upstream],
            ),
            (
                "glance=b oslo=l python-base=b upper-constraints=c",
                "1",
                vec![Patches],
            ),
            (
                "glance=a oslo=m python-base=b upper-constraints=c",
                "1",
                vec![Libraries],
            ),
            (
                "glance=a oslo=m python-base=b upper-constraints=d",
                "1",
                vec![Libraries, Constraints],
            ),
            (
                "glance=a oslo=l python-base=c upper-constraints=e",
                "1",
                vec![Constraints, Base],
            ),
            ("glance=a", "2", vec![Libraries, Constraints, Base]),
        ] {
            let reasons = build_reasons(&known, &built(new), &spec(), "glance", oid(commit));
            assert_eq!(reasons, expected, "{new}");
        }
        let first = build_reasons(&status(None, "1"), &built(OLD), &spec(), "glance", oid("1"));
        assert_eq!(first, [First]);
    }

    #[test]
    fn what_is_no_context_is_told_too() {
        let known = status(Some(built(OLD)), "1");
        let with = |change: &dyn Fn(&mut BuildStatus)| {
            let mut planned = built(OLD);
            planned.inputs_digest = "other".into();
            change(&mut planned);
            build_reasons(&known, &planned, &spec(), "glance", oid("1"))
        };
        assert_eq!(with(&|new| new.dockerfile = Some("r/d".into())), [Dockerfile]);
        assert_eq!(with(&|new| new.requested = Some("today".into())), [Requested]);
        assert_eq!(with(&|new| new.platforms = vec!["linux/arm64".into()]), [Config]);
        assert_eq!(
            with(&|new| drop(new.args.insert("A".into(), "1".into()))),
            [Config]
        );
        assert_eq!(with(&|_| ()), [Config], "the tag alone is another one");
        let several = with(&|new| {
            new.requested = Some("today".into());
            new.args.insert("A".into(), "1".into());
        });
        assert_eq!(several, [Requested, Config]);
        let several = with(&|new| {
            new.dockerfile = Some("r/d".into());
            new.platforms = vec!["linux/arm64".into()];
        });
        assert_eq!(several, [Dockerfile, Config]);
    }

    #[test]
    fn the_same_build_keeps_its_reasons() {
        let before = BuildStatus {
            reasons: vec![Patches],
            ..built(OLD)
        };
        let known = status(Some(before), "1");
        assert_eq!(
            build_reasons(&known, &built(OLD), &spec(), "glance", oid("2")),
            [Patches]
        );
    }

    #[test]
    fn where_patches_did_not_apply_in_between_the_image_tells_the_commit() {
        let mut known = status(Some(built(OLD)), "2");
        let image = |revision: String| {
            let (built, target) = (built(OLD), "r/glance:1".parse().unwrap());
            let revision = Recorded::from(revision);
            Box::new(crate::plan::build::image(
                &built,
                &target,
                &Digest::sha256(b""),
                &revision,
            ))
        };
        known.image = Some(image(format!("main@sha1:{}", oid("1"))));
        let new = built("glance=b oslo=l python-base=b upper-constraints=c");
        let reasons = |known: &PatchSetStatus| build_reasons(known, &new, &spec(), "glance", oid("2"));
        assert_eq!(reasons(&known), [Upstream]);
        known.image = Some(image(format!("sha1:{}", oid("2"))));
        assert_eq!(reasons(&known), [Patches]);
        (known.image, known.upstream) = (None, None);
        assert_eq!(reasons(&known), [Upstream]);
    }

    #[test]
    fn what_was_asked_for_stays_where_the_annotation_is_taken_away() {
        let object = |annotations: serde_json::Value| -> PatchSet {
            serde_json::from_value(json!({
                "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet",
                "metadata": { "name": "p", "annotations": annotations },
                "spec": { "component": "glance", "release": "2025.2",
                    "upstream": { "url": "https://example.org/glance", "ref": { "tag": "1" } } }
            }))
            .unwrap()
        };
        let known = PatchSetStatus {
            build: Some(Box::new(BuildStatus {
                requested: Some("1".to_owned()),
                ..BuildStatus::default()
            })),
            ..PatchSetStatus::default()
        };
        let asked = object(json!({ FORCE_AT: "2" }));
        let plain = object(json!({}));
        assert_eq!(last_request(&asked, Some(&known)).as_deref(), Some("2"));
        assert_eq!(last_request(&plain, Some(&known)).as_deref(), Some("1"));
        assert_eq!(last_request(&plain, None), None);
    }
}
