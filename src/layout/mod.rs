//! The folders of a team's repository: which have patches and for what, in which order the patches
//! apply, and what is wrong there.
//!
//! Whatever reads folders reads them here, so that every command and the controller see the same:
//! files come in by [`RepositoryFiles`], from a Git tree, a local folder or a Flux artifact.

mod auto;
mod fault;
mod files;
mod links;
mod ref_template;
mod release_folder;
mod repository;
mod selection;
mod series;
mod series_file;

pub use fault::{FaultKind, LayoutError, LayoutFault};
pub use files::{FileKind, FilesError, FolderEntry, RepositoryFiles};
pub use ref_template::{RefTemplate, RefTemplateError, release_of_branch};
pub use release_folder::{ReleaseFolder, ReleaseRefs};
pub use repository::{ComponentSeries, LayoutOptions, RepositoryLayout, read_file};
pub use selection::Selection;
pub use series::{ContentLimits, Series, SeriesOrder, SeriesPatch, is_patch_name};
