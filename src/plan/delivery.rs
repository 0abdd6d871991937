//! What is delivered of an image, and whether it may be.

use std::collections::BTreeMap;

use image_references::ImageReference;
use patchset_api::Recorded;
use patchset_api::build::ImageStatus;
use patchset_api::delivery::{Approval, Delivery, DeliveryConfigMap, DeliveryStatus};

/// The annotation by which an image is approved: its tag, digest or reference.
pub const APPROVED: &str = "patching.c5c3.io/approved";

/// The prefix of a ConfigMap's keys: the spec's, or the component with `_` in place of whatever a
/// variable of Flux's `postBuild` cannot have (`^[_[:alpha:]][_[:alpha:][:digit:]]*$`).
#[must_use]
pub fn key_prefix(config_map: &DeliveryConfigMap, component: &str) -> String {
    if let Some(prefix) = &config_map.prefix {
        return prefix.clone();
    }
    let name: String = component
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name
    }
}

/// The keys and values that a ConfigMap has for an image.
#[must_use]
pub fn config_map_data(prefix: &str, image: &ImageReference) -> BTreeMap<String, String> {
    [
        ("repository", image.given_name().to_owned()),
        ("tag", image.tag().unwrap_or_default().to_owned()),
        (
            "digest",
            image.digest().map(ToString::to_string).unwrap_or_default(),
        ),
        ("reference", image.as_given()),
    ]
    .into_iter()
    .map(|(name, value)| (format!("{prefix}_{name}"), value))
    .collect()
}

/// Whether the status, at that moment, allows an image to be brought to its place: it is the newest
/// one, and was delivered before or is approved; or it was delivered, and nothing newer may be.
#[must_use]
pub fn may_be_in_place(
    delivery: &Delivery,
    approved: Option<&str>,
    newest: Option<&ImageStatus>,
    delivered: Option<&DeliveryStatus>,
    reference: &Recorded<ImageReference>,
) -> bool {
    let was_delivered = delivered.is_some_and(|delivered| delivered.reference == *reference);
    match newest {
        Some(newest) if newest.reference == *reference => {
            was_delivered || is_approved(delivery, approved, newest)
        }
        Some(newest) => was_delivered && !is_approved(delivery, approved, newest),
        None => was_delivered,
    }
}

/// Whether an image may be delivered, given what was approved.
#[must_use]
pub fn is_approved(delivery: &Delivery, approved: Option<&str>, image: &ImageStatus) -> bool {
    match delivery.approval.unwrap_or_default() {
        Approval::Automatic => true,
        Approval::Manual => approved.is_some_and(|approved| {
            [image.tag.as_str(), &image.digest, &image.reference].contains(&approved)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image_references::Digest;

    fn config_map(prefix: Option<&str>) -> DeliveryConfigMap {
        DeliveryConfigMap {
            name: "images".into(),
            prefix: prefix.map(ToOwned::to_owned),
        }
    }

    fn delivery(approval: Option<Approval>) -> Delivery {
        Delivery {
            config_map: Some(config_map(None)),
            git: None,
            approval,
        }
    }

    fn image() -> ImageStatus {
        ImageStatus {
            repository: "r/glance".into(),
            tag: "1".into(),
            digest: "sha256:00".into(),
            reference: "r/glance:1@sha256:00".into(),
            revision: "main@sha1:00".into(),
            inputs_digest: "sha256:11".into(),
            ..ImageStatus::default()
        }
    }

    #[test]
    fn keys_are_variables() {
        assert_eq!(key_prefix(&config_map(None), "oslo.messaging"), "oslo_messaging");
        assert_eq!(key_prefix(&config_map(None), "3par-client"), "_3par_client");
        assert_eq!(key_prefix(&config_map(Some("image")), "glance"), "image");
        let digest = Digest::sha256(b"").to_string();
        let reference = format!("r:5000/glance:1@{digest}");
        let data = config_map_data("glance", &reference.parse().unwrap());
        let data: Vec<(&str, &str)> = data
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            data,
            [
                ("glance_digest", digest.as_str()),
                ("glance_reference", &reference),
                ("glance_repository", "r:5000/glance"),
                ("glance_tag", "1"),
            ]
        );
    }

    #[test]
    fn an_older_image_stands_only_while_no_newer_one_may() {
        let (automatic, manual) = (delivery(None), delivery(Some(Approval::Manual)));
        let (newest, older) = (image(), Recorded::from("r/glance:0@sha256:ff"));
        let told = |reference: &Recorded<ImageReference>| DeliveryStatus {
            reference: reference.clone(),
            delivered_at: crate::plan::conditions::seconds(jiff::Timestamp::UNIX_EPOCH),
            config_map: None,
            prefix: None,
            git: None,
        };
        let (first, second) = (told(&older), told(&newest.reference));
        for (delivery, approved, newest_is, delivered, reference, expected) in [
            (&automatic, None, Some(&newest), None, &newest.reference, true),
            (
                &automatic,
                None,
                Some(&newest),
                Some(&first),
                &newest.reference,
                true,
            ),
            (&automatic, None, Some(&newest), Some(&first), &older, false),
            (&automatic, None, None, Some(&first), &older, true),
            (&automatic, None, None, None, &older, false),
            (
                &manual,
                None,
                Some(&newest),
                Some(&first),
                &newest.reference,
                false,
            ),
            (&manual, None, Some(&newest), Some(&first), &older, true),
            (
                &manual,
                Some("1"),
                Some(&newest),
                Some(&first),
                &newest.reference,
                true,
            ),
            (&manual, Some("1"), Some(&newest), Some(&first), &older, false),
            (
                &manual,
                None,
                Some(&newest),
                Some(&second),
                &newest.reference,
                true,
            ),
            (&manual, None, Some(&newest), Some(&second), &older, false),
        ] {
            let may = may_be_in_place(delivery, approved, newest_is, delivered, reference);
            assert_eq!(
                may, expected,
                "{approved:?} {newest_is:?} {delivered:?} {reference}"
            );
        }
    }

    #[test]
    fn approval_is_of_one_image() {
        let manual = delivery(Some(Approval::Manual));
        assert!(is_approved(&delivery(None), None, &image()));
        assert!(!is_approved(&manual, None, &image()));
        assert!(!is_approved(&manual, Some("0"), &image()));
        for approved in ["1", "sha256:00", "r/glance:1@sha256:00"] {
            assert!(is_approved(&manual, Some(approved), &image()), "{approved}");
        }
    }
}
