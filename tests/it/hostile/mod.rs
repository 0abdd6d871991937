//! Hostile inputs against the real program, with 1 GiB of memory and a time limit: whatever a
//! tenant, a repository or a server sends, the program ends or answers in time, takes no more than
//! it should, and says in a short printable text what is wrong where; meanwhile a controller serves
//! its other tenants.
//!
//! This has one input of each kind, of a size that once was too much. `hack/hostile.sh` runs the
//! long form: larger ones, all tenants at once, and generated ones for the time requested.

mod artifacts;
mod bombs;
mod chance;
mod cluster;
mod constraints;
pub mod git;
mod images;
mod keys;
mod long;
mod objects;
mod offline;
mod patches;
mod process;
mod registries;
mod releases;
mod server;
mod table;
mod tenants;
pub mod upstreams;

/// The size of the inputs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Large enough to show a fault.
    Short,
    /// The largest.
    Long,
}

impl Scale {
    /// One value for each.
    pub fn pick<T>(self, short: T, long: T) -> T {
        match self {
            Self::Short => short,
            Self::Long => long,
        }
    }
}
