//! The pages of a cluster's resources, from their statuses.

mod comparison;
mod conditions;
mod constraint_override;
mod durations;
mod filter;
mod login;
mod matrix;
mod patch_set;
mod patch_texts;
mod repository;
mod search;

pub use comparison::ComparedImages;
pub use conditions::{FlowStep, StepState};
pub use constraint_override::{ConstraintOverridePage, MergedText, OverridesPage};
pub use filter::MatrixFilter;
pub use login::LoginPage;
pub use matrix::{MatrixPage, series_of};
pub use patch_set::PatchSetPage;
pub use patch_texts::{AbsentTexts, PatchTexts};
pub use repository::{RepositoriesPage, RepositoryPage};
pub use search::SearchPage;
