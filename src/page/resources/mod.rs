//! The pages of a cluster's resources, from their statuses.

mod conditions;
mod constraint_override;
mod filter;
mod login;
mod matrix;
mod patch_set;
mod repository;
mod search;

pub use conditions::{FlowStep, StepState};
pub use constraint_override::{ConstraintOverridePage, MergedText, OverridesPage};
pub use filter::MatrixFilter;
pub use login::LoginPage;
pub use matrix::{MatrixPage, series_of};
pub use patch_set::PatchSetPage;
pub use repository::{RepositoriesPage, RepositoryPage};
pub use search::SearchPage;
