//! The page: components × releases at a glance, and each series of patches in full.
//!
//! Small adapters turn what is shown into values first ([`SeriesView`], [`OverridesView`], …):
//! those from the resources' statuses are here, the one from `patchset check` is next to its
//! results. The templates in `templates/` turn the values into HTML. [`askama`] compiles them into
//! the program, escapes every value by itself, and finds misspelt names at compile time; nothing
//! from a patch or a status is ever markup. A page is complete without a script and loads nothing
//! from elsewhere.

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
