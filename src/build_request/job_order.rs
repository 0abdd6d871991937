//! One attempt at an image: what its Job is made from.

use std::collections::BTreeMap;
use std::time::Duration;

use image_references::ImageReference;
use patchset_api::build::Builder;
use patchset_api::{InputsDigest, Recorded};
use serde_json::Value;

/// One attempt at an image.
#[derive(Clone, Debug)]
pub struct JobOrder<'a> {
    /// The `PatchSet`'s name.
    pub patch_set: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// Its reference as the owner.
    pub owner: Value,
    /// The number of the attempt, from 1.
    pub number: u32,
    /// The digest over everything that the image is built from.
    pub inputs_digest: &'a InputsDigest,
    /// The image to push, by its tag.
    pub target: &'a Recorded<ImageReference>,
    /// The folder with the Dockerfile, as an image by its digest.
    pub dockerfile: &'a Recorded<ImageReference>,
    /// The Dockerfile's name in it.
    pub file: &'a str,
    /// The stage to build.
    pub stage: Option<&'a str>,
    /// The named contexts, by their digests.
    pub contexts: &'a BTreeMap<String, Recorded<ImageReference>>,
    /// The build arguments.
    pub args: &'a BTreeMap<String, String>,
    /// The platforms.
    pub platforms: &'a [String],
    /// The image's labels.
    pub labels: BTreeMap<String, String>,
    /// How long it may take.
    pub timeout: Duration,
    /// How long it is kept when it is over.
    pub keep: Duration,
    /// The Secret of type `kubernetes.io/dockerconfigjson`.
    pub secret: Option<&'a str>,
    /// The registries without TLS.
    pub plain_http: &'a [String],
    /// The program.
    pub builder: Builder,
    /// The program's image.
    pub image: &'a str,
    /// The repository that keeps layers.
    pub cache: Option<&'a str>,
    /// The service account that its pods run as; that of the namespace where absent.
    pub service_account: Option<&'a str>,
    /// What is laid over the pod template.
    pub pod_template: Option<&'a Value>,
}
