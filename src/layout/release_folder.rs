//! The files of a release: `releases/<release>` and `overrides/<release>`.

use patchset_api::source_refs::SourceRefs;

/// The file that says which ref each component is built from.
pub(super) const REFS: &str = "source-refs.yaml";
/// The file with what else is installed into images.
pub(super) const EXTRA: &str = "extra-packages.yaml";
/// The release's constraints.
pub(super) const UPPER: &str = "upper-constraints.txt";
/// What is laid over them.
pub(super) const OVERRIDES: &str = "constraints.txt";

/// The files of a release. Paths are relative to the folder that holds it all.
#[derive(Clone, Debug, Default)]
pub struct ReleaseFolder {
    /// The release.
    pub name: String,
    /// What `source-refs.yaml` says.
    pub refs: Option<ReleaseRefs>,
    /// The path of `extra-packages.yaml`.
    pub extra: Option<String>,
    /// The path of `upper-constraints.txt`.
    pub upper: Option<String>,
    /// The path of `constraints.txt` with the overrides, where there are constraints for them.
    pub overrides: Option<String>,
}

/// The refs of a release's components.
#[derive(Clone, Debug, Default)]
pub struct ReleaseRefs {
    /// The path of `source-refs.yaml`.
    pub path: String,
    /// The refs and their lines; none if the file cannot be read, which is reported as a fault.
    pub refs: SourceRefs,
}
