//! What deliveries share between reconciliations: who writes to a repository, and what was seen
//! there.

use std::time::Instant;

use forges::{MissingLabels, PullRequestClient};
use git_mirrors::{Signer, Upstream};
use gitops_markers::{DeliveredImage, PatchSetName};
use kube::ResourceExt;
use patchset_api::PatchSet;
use patchset_api::build::ImageStatus;
use patchset_api::delivery::{CommitStatus, Delivery, DeliveryGit, ProposalStatus};

use super::batched_writers::BatchedWriters;
use super::recent::{ClientCache, Recent};
use crate::plan::Failure;

/// For how many objects to remember where their image was seen.
const MOST_SEEN: usize = 10_000;

/// Why an image is not where it should be.
pub enum NotDelivered {
    /// Another image, or another place, is asked for by now.
    Outdated,
    /// Something kept it from there.
    Failed(Failure),
}

impl From<Failure> for NotDelivered {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Where an image is now.
#[derive(Clone, Debug)]
pub enum Placed {
    /// On the branch that Flux follows, by a commit that was made now.
    Committed(CommitStatus),
    /// There already: the newest commit in which it was found, and what is on the branch that
    /// commits go to.
    Found(CommitStatus, OpenChanges),
    /// On a branch that waits to be merged into another one.
    Proposed {
        proposal: ProposalStatus,
        /// The other one.
        into: String,
        /// The message of the newest commit, if this controller made it.
        message: Option<String>,
        /// The labels that the pull request could not be given.
        lacks: Option<MissingLabels>,
    },
}

/// What is on the branch that commits go to, beside an image that is on the followed one already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenChanges {
    /// Nothing that waits to be merged.
    Nothing,
    /// Something that waits.
    Waits,
    /// What should be there could not be put there.
    Unknown,
}

/// A branch that commits go to, which has one writer. Other namespaces have their own logins, and
/// wait for nothing here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryBranch {
    pub namespace: String,
    /// The repository's address.
    pub repository: String,
    /// `None` for the server's default branch.
    pub branch: Option<String>,
}

pub type DeliveryAnswer = Result<Placed, NotDelivered>;

/// What deliveries share between reconciliations. All of it can be lost.
#[derive(Default)]
pub struct Deliveries {
    pub writers: BatchedWriters<DeliveryBranch, DeliveryOrder, DeliveryAnswer>,
    pub clients: ClientCache<PullRequestClient>,
    /// The commit in which an image was last seen, by the uid of its `PatchSet`.
    seen: Recent<String, (String, String), MOST_SEEN>,
}

impl Deliveries {
    /// Notes that an image was seen in a commit.
    pub fn note_seen(&self, patch_set: &PatchSet, reference: &str, commit: &str) {
        let place = (reference.to_owned(), commit.to_owned());
        self.seen.put(patch_set.uid().unwrap_or_default(), place);
    }

    /// Whether that commit is the one in which an image was last seen.
    pub fn has_seen(&self, patch_set: &PatchSet, reference: &str, commit: &str) -> bool {
        let seen = self.seen.get(&patch_set.uid().unwrap_or_default());
        seen.is_some_and(|(image, at)| image == reference && at == commit)
    }
}

/// A `PatchSet`, as files and messages name it.
pub fn patch_set_name(patch_set: &PatchSet) -> PatchSetName {
    PatchSetName {
        namespace: patch_set.namespace().unwrap_or_default(),
        name: patch_set.name_any(),
    }
}

/// An image that is to be delivered.
pub struct DeliveryOrder {
    pub patch_set: PatchSet,
    pub delivery: Delivery,
    pub git: DeliveryGit,
    pub image: ImageStatus,
    pub upstream: Upstream,
    pub signer: Option<Signer>,
    pub deadline: Instant,
}

impl DeliveryOrder {
    /// The image, as files and messages name it.
    pub fn delivered_image(&self) -> DeliveredImage {
        let image = &self.image;
        DeliveredImage {
            patch_set: patch_set_name(&self.patch_set),
            repository: image.repository.clone(),
            tag: image.tag.clone(),
            digest: image.digest.to_string(),
            reference: image.reference.to_string(),
            revision: image.revision.to_string(),
        }
    }

    /// A commit of the repository.
    pub fn commit_at(&self, branch: &str, commit: &str) -> CommitStatus {
        CommitStatus {
            repository: self.upstream.url().to_string(),
            branch: branch.to_owned(),
            commit: commit.to_owned(),
            paths: self.git.paths.clone(),
        }
    }
}
