//! Why commands fail.

/// Why a command could not give its answer.
///
/// Every variant ends the process with exit status 2.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or writing a file failed.
    #[error("{path}: {source}")]
    Io {
        /// The file, or what stands for it.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The request is wrong, or does not fit what is there.
    #[error("{0}")]
    Usage(String),
    /// A PatchSet of a manifest cannot be planned.
    #[error("PatchSet {name}: {source}")]
    PatchSet {
        /// Its name.
        name: String,
        /// Why.
        source: Box<Error>,
    },
    /// A team's folders cannot be read.
    #[error(transparent)]
    Layout(#[from] crate::layout::LayoutError),
    /// An upstream cannot be used.
    #[error(transparent)]
    Source(#[from] git_mirrors::Error),
    /// A folder cannot be read.
    #[error(transparent)]
    Folder(#[from] git_mirrors::folder::FolderError),
    /// An image cannot be made or pushed.
    #[error(transparent)]
    Publish(#[from] source_images::Error),
    /// A document of components cannot be made.
    #[cfg(feature = "sbom")]
    #[error(transparent)]
    Sbom(#[from] crate::sbom::Error),
    /// A page could not be made.
    #[error("cannot make the page: {0}")]
    Page(#[from] crate::page::RenderError),
    /// A value could not be written as YAML.
    #[error("cannot write YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
    /// A value could not be written as JSON.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A local repository cannot be used.
    #[error(transparent)]
    Repository(#[from] git_mirrors::local::LocalError),
    /// What was found cannot be put together.
    #[error(transparent)]
    Plan(#[from] crate::plan::Failure),
    /// The patches could not be examined.
    #[error(transparent)]
    Patch(#[from] git_apply_engine::Error),
    /// The patches could not be refreshed.
    #[error(transparent)]
    Refresh(#[from] patch_refresh::RefreshError),
    /// The constraints or overrides cannot be merged.
    #[error(transparent)]
    Constraints(#[from] upper_constraints::Error),
    /// The result could not be written into the repository.
    #[error("cannot write into the repository: {0}")]
    Write(#[from] git_apply_engine::ObjectError),
}
