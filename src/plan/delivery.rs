//! What is delivered of an image, and whether it may be.

use std::collections::BTreeMap;

use crate::api::build::ImageStatus;
use crate::api::delivery::{Approval, Delivery, DeliveryConfigMap};

/// The annotation by which an image is approved: its tag, digest or reference.
pub const APPROVED: &str = "patching.c5c3.io/approved";

/// What the keys of a ConfigMap begin with: what the spec says, or the component with `_` for all that a variable of
/// Flux's `postBuild` cannot have (`^[_[:alpha:]][_[:alpha:][:digit:]]*$`).
#[must_use]
pub fn prefix(config_map: &DeliveryConfigMap, component: &str) -> String {
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

/// The keys and values of an image.
#[must_use]
pub fn data(prefix: &str, image: &ImageStatus) -> BTreeMap<String, String> {
    [
        ("repository", &image.repository),
        ("tag", &image.tag),
        ("digest", &image.digest),
        ("reference", &image.reference),
    ]
    .into_iter()
    .map(|(name, value)| (format!("{prefix}_{name}"), value.clone()))
    .collect()
}

/// Whether an image may be delivered, given what was approved.
#[must_use]
pub fn is_approved(delivery: &Delivery, approved: Option<&str>, image: &ImageStatus) -> bool {
    match delivery.approval.unwrap_or_default() {
        Approval::Automatic => true,
        Approval::Manual => approved.is_some_and(|approved| {
            [&image.tag, &image.digest, &image.reference]
                .into_iter()
                .any(|name| name == approved)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(prefix(&config_map(None), "oslo.messaging"), "oslo_messaging");
        assert_eq!(prefix(&config_map(None), "3par-client"), "_3par_client");
        assert_eq!(prefix(&config_map(Some("image")), "glance"), "image");
        let data = data("glance", &image());
        assert_eq!(
            data.keys().collect::<Vec<_>>(),
            [
                "glance_digest",
                "glance_reference",
                "glance_repository",
                "glance_tag"
            ]
        );
        assert_eq!(data["glance_reference"], "r/glance:1@sha256:00");
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
