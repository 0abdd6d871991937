//! The folders of a team's repository: which have patches and for what, in which order the patches
//! apply, and what is wrong there.
//!
//! Whatever reads folders reads them here, so that every command and the controller see the same;
//! files come in through [`RepositoryFiles`], from a Git tree, a local folder or a Flux artifact.

mod auto;
mod edit;
mod fault;
mod files;
mod links;
mod list_edit;
mod patch_name;
mod ref_template;
mod release_folder;
mod repository;
mod selection;
mod series;
mod series_edit;
mod series_file;
mod tree_files;

pub use edit::{EditedFiles, FileEdit, RepositoryEdit};
pub use fault::{FaultKind, LayoutError, LayoutFault};
pub use files::{FileKind, FilesError, FolderEntry, RepositoryFiles};
pub use list_edit::ListEditError;
pub use patch_name::{NextNames, PatchFileName, PatchNameError};
pub use ref_template::{RefTemplate, RefTemplateError, release_of_branch};
pub use release_folder::{ReleaseFolder, ReleaseRefs};
pub use repository::{ComponentSeries, LayoutOptions, RepositoryLayout, folder_without_links, read_file};
pub use selection::Selection;
pub use series::{ContentLimits, FolderPatches, Series, SeriesOrder, SeriesPatch, is_patch_name};
pub use series_edit::{SeriesChange, SeriesEdit, SeriesEditError, edit_series};
pub use tree_files::TreeFiles;

#[cfg(test)]
mod edit_tests;
#[cfg(test)]
pub(crate) mod tests;
