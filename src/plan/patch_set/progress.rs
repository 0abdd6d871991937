//! The results of an attempt's steps, and what the spec asks of them.

use git_apply_engine::Oid;
use patchset_api::InputsDigest;
use patchset_api::build::{BuildStatus, ImageStatus};
use patchset_api::delivery::{DeliveryStatus, ProposalStatus};
use patchset_api::patch_set::MergedPatches;
use patchset_api::reason::Reason;
use patchset_api::status::{CandidateStatus, PatchStatus, UpstreamStatus};

use crate::plan::failure::Failure;
use crate::plan::lifecycle::{Next, SignaturePolicy};

/// The sources of an attempt, which are known before any patch is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The upstream.
    pub upstream: UpstreamStatus,
    /// The revision of the patches.
    pub patches_revision: Option<String>,
    /// A digest over all that the result follows from.
    pub inputs_digest: InputsDigest,
    /// Who signed the sources, in words, where that was checked.
    pub signatures: Option<String>,
}

/// What applying the series gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyResult {
    /// Each patch, in order.
    pub patches: Vec<PatchStatus>,
    /// The tree after all patches that apply.
    pub tree: Oid,
    /// Why upstream's history could not be searched for those that do not.
    pub history_failure: Option<String>,
    /// What else their folder has that is not applied.
    pub note: Option<String>,
    /// How far upstream's history was searched, where it was cut.
    pub history_cut: Option<String>,
}

/// The result of an attempt, step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchSetProgress {
    /// The result of applying the series; `None` if the status already has it.
    pub checked: Option<ApplyResult>,
    /// The status of each candidate; `None` if the status already has it.
    pub candidates: Option<Vec<CandidateStatus>>,
    /// The outcome of the build.
    pub built: BuildOutcome,
    /// The outcome of delivering the image that was built.
    pub delivered: DeliveryOutcome,
    /// Where the image is whose proposed delivery was merged.
    pub merged_delivery: Option<DeliveryStatus>,
}

/// The outcome of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// None is asked for, it was done before, or there is nothing to deliver yet.
    Nothing,
    /// It is about to be done, or left for a later attempt; with why.
    Later(String),
    /// A person has to agree first.
    Held(String),
    /// It is on a branch that a person has to merge. What was delivered by Git before stays.
    Proposed {
        /// Where it waits.
        proposal: ProposalStatus,
        /// Where else it is delivered.
        besides: Option<DeliveryStatus>,
        /// The same in a sentence.
        message: String,
    },
    /// It is where it should be; with an earlier proposal that is not settled yet.
    Done(DeliveryStatus, Option<ProposalStatus>),
    /// It could not be done; with where else it is delivered.
    Failed(Failure, Option<DeliveryStatus>),
}

/// What a build waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The reason of the condition.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
    /// When to look again.
    pub next: Next,
}

impl Pending {
    /// A wait, with its reason, a sentence, and when to look again.
    pub fn new(reason: Reason, message: impl Into<String>, next: Next) -> Self {
        Self {
            reason,
            message: message.into(),
            next,
        }
    }
}

/// The outcome of the requested build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildOutcome {
    /// None is asked for, or patches do not apply: what was built before stays.
    Nothing,
    /// What is asked for cannot be planned yet. What was planned before stays.
    Waiting(Pending),
    /// The source is published, and no image is asked for.
    Published(BuildStatus),
    /// The source is published, and the image is awaited.
    Awaited {
        /// What is built.
        plan: BuildStatus,
        /// What it waits for.
        pending: Pending,
    },
    /// The registry has the image, which does not count yet: it is being tested.
    Testing {
        /// What is built, with the image and its tests.
        plan: BuildStatus,
        /// What it waits for.
        pending: Pending,
    },
    /// The registry has the image.
    Image(BuildStatus, Box<ImageStatus>),
    /// A step could not be done; with what was planned before it.
    Failed(Failure, Option<BuildStatus>),
}

/// What the spec asks of the results.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// Where the patches should be, in words; `None` if the spec asks for none.
    pub patches_location: Option<&'a str>,
    /// `spec.mergedPatches`.
    pub merged_patches: MergedPatches,
    /// Whether there is a `spec.build`.
    pub builds: bool,
    /// Whether the image is tested.
    pub tests: bool,
    /// Whether there is a `spec.delivery`.
    pub delivers: bool,
    /// Whether something has to be signed.
    pub signatures: SignaturePolicy,
    /// Bytes that the list of patches may have in the status, by
    /// [`for_list`](crate::plan::list_size::for_list).
    pub list_bytes: usize,
}
