//! The one door to a team's repository on this machine, for all commands on it: its options, what it
//! holds, the upstreams of its components, and how it is changed.

mod address;
mod changes;
mod component;
mod journal;
mod open_series;
mod options;
mod repository;
mod same_patch;
mod upstreams;

pub use address::{NoSeriesAddress, SeriesAddress};
pub(super) use changes::TeamChanges;
pub(super) use component::{ComponentCommit, ComponentRepository};
pub(super) use open_series::OpenSeries;
pub use options::{PatchPathArguments, TeamOptions, UpstreamArguments};
pub(super) use repository::{TeamRepository, WriteMode};
pub(super) use same_patch::{PatchMarks, SameBy};
pub(super) use upstreams::Upstreams;
