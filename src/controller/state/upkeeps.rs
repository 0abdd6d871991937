//! What the upkeep of patches shares between reconciliations: who writes to a branch, and what was
//! last found there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use patchset_api::{InputsDigest, PatchSet};

use super::batched_writers::BatchedWriters;
use super::recent::Recent;
use crate::upkeep::{UpkeepOutcome, UpkeepPlan};

/// For how many branches the last look is remembered.
const MOST: usize = 4_096;

/// A namespace, a repository in the form that is the same however it is reached, and the branch
/// that commits go to: one writer for each. Those of another namespace have logins of their own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpkeepBranch {
    pub namespace: String,
    pub repository: String,
    pub branch: String,
}

/// A `PatchSet` whose series is to be looked after, with its newest status.
pub struct UpkeepOrder {
    pub patch_set: PatchSet,
    pub deadline: Instant,
}

/// What was found and done for a branch.
#[derive(Debug)]
pub struct BranchUpkeep {
    /// A digest over what it follows from, but for the repository and the forge.
    pub inputs: InputsDigest,
    pub plan: UpkeepPlan,
    pub outcome: UpkeepOutcome,
    pub began: Instant,
    pub ended: Instant,
    /// How long it stands after that, if there is no news.
    pub lasts: Duration,
    /// How often in a row it failed.
    pub failures: u32,
}

/// What the upkeep of patches shares between reconciliations. All of it can be lost.
#[derive(Default)]
pub struct Upkeeps {
    pub writers: BatchedWriters<UpkeepBranch, UpkeepOrder, Arc<BranchUpkeep>>,
    pub last: Recent<UpkeepBranch, Arc<BranchUpkeep>, MOST>,
}
