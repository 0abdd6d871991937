//! Media types of manifests and indexes: the image-spec's, and Docker's.

/// A manifest.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An image for several platforms, or a list of referrers.
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's manifest.
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's index.
pub(super) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
