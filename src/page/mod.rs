//! The page: components × releases at a glance, and each series of patches in full.
//!
//! What is shown is made as values first ([`SeriesView`], [`OverridesView`], …), by small adapters:
//! those from the resources' statuses are here, that from `patchset check` is where its results are.
//! The templates below `templates/` make HTML of them. They are compiled into the program by
//! [`askama`], which escapes every value by itself and finds what is misspelt when it is compiled;
//! nothing of a patch or a status ever is markup. A page is whole without a script and without
//! anything from elsewhere.

mod assets;
mod commit;
mod conflict;
mod diff;
mod frame;
mod highlight;
mod matrix;
mod merged_file;
mod need;
mod needs;
#[cfg(not(feature = "highlighting"))]
mod no_syntax;
mod override_view;
mod overrides;
mod patch;
mod report;
pub mod resources;
mod series;
#[cfg(feature = "highlighting")]
mod syntax;
mod text;
pub mod words;

pub use askama::Error as RenderError;
pub use assets::{SCRIPT, STYLE, policy_of_inline};
pub use commit::CommitView;
pub use conflict::{ConflictRow, ConflictView, SideLine};
pub use diff::{DiffRun, DiffView};
pub use frame::{Frame, Section};
pub use highlight::HighlightBudget;
pub use matrix::{Matrix, MatrixRow};
pub use merged_file::{MergedFileView, MergedPart, MergedRun};
pub use need::Need;
pub use needs::Needs;
pub use override_view::OverrideView;
pub use overrides::OverridesView;
pub use patch::{Fact, PatchSource, PatchView};
pub use report::{FaultView, ReportPage};
pub use series::{SeriesView, Standing, Tally};
pub use text::{LONGEST_TEXT, TextPart, slug, web_address};
