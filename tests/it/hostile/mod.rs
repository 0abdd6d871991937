//! Hostile inputs against the real program, with 1 GiB of memory and a clock: whatever a tenant, a
//! repository or a server sends, the program ends or answers in time, takes no more than it should,
//! and says in a short printable text what is wrong where; and a controller serves its other
//! tenants meanwhile.
//!
//! Here stand one input of each kind, of a size that was once too much. `hack/hostile.sh` runs the
//! long form: larger ones, all tenants at once, and generated ones for as long as it is told.

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

/// How large inputs are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Large enough that a fault shows.
    Short,
    /// As large as it gets.
    Long,
}

impl Scale {
    /// A number for each.
    pub fn pick<T>(self, short: T, long: T) -> T {
        match self {
            Self::Short => short,
            Self::Long => long,
        }
    }
}
