//! What to push, given what a repository has.

use git_mirrors::{ExpectedBranch, Snapshot};
use gitops_markers::{
    BranchTip, CommitBase, CommitDecision, DEFAULT_MESSAGE, DeliveredImage, EditPlan, PatchSetName,
    PushTarget, Trailers, commit_message, decide_commit, plan_branch,
};
use patchset_api::delivery::DeliveryGit;
use patchset_api::reason;

use crate::plan::{Failure, Step};

/// A branch as it was read.
pub struct ReadBranch {
    pub snapshot: Snapshot,
    pub commit: String,
    pub parent: Option<String>,
    /// The message of its newest commit.
    pub message: String,
    /// Its files with markers.
    pub files: Vec<(String, Vec<u8>)>,
}

impl ReadBranch {
    pub fn tip(&self) -> BranchTip<'_> {
        BranchTip {
            commit: &self.commit,
            parent: self.parent.as_deref(),
            message: &self.message,
            files: &self.files,
        }
    }
}

/// The branches as they were read.
pub struct ReadBranches {
    /// The name of the branch that Flux follows.
    pub name: String,
    pub base: ReadBranch,
    /// The branch that commits go to, if it is another one and exists already.
    pub beside: Option<ReadBranch>,
}

impl ReadBranches {
    pub fn branch_at(&self, branch: CommitBase) -> Option<&ReadBranch> {
        match branch {
            CommitBase::Followed => Some(&self.base),
            CommitBase::Beside => self.beside.as_ref(),
        }
    }
}

/// A commit to make and push.
pub struct CommitToPush {
    /// What it is made on.
    pub onto: CommitBase,
    /// Where it goes, and what has to be there.
    pub branch: String,
    pub expected: ExpectedBranch,
    pub files: Vec<(String, Vec<u8>)>,
    pub message: String,
}

/// What to push.
pub enum PlannedPush {
    Commit(CommitToPush),
    /// Nothing: this commit already has it all.
    AlreadyAt(String),
}

/// What a push means for an image.
pub struct ImageVerdict {
    /// Why it cannot be delivered.
    pub failure: Option<Failure>,
    /// Whether the followed branch has it already.
    pub is_merged: bool,
}

/// What to push, and what that means for each image.
pub struct PushPlan {
    pub push: PlannedPush,
    pub verdicts: Vec<ImageVerdict>,
    /// Whether something then waits on the other branch.
    pub waits: bool,
}

/// Decides, given the images that are to be delivered.
pub fn next_step(read: &ReadBranches, git: &DeliveryGit, images: &[DeliveredImage]) -> PushPlan {
    let base = read.base.tip();
    let first = plan_branch(&base, images);
    let mut failures: Vec<Option<Failure>> = images
        .iter()
        .map(|image| fault_of(&first, read, git, &image.patch_set))
        .collect();
    let target = match &git.push {
        None => PushTarget::Followed,
        Some(_) => PushTarget::Beside(read.beside.as_ref().map(ReadBranch::tip)),
    };
    let (kept, decision) = loop {
        let kept: Vec<DeliveredImage> = images
            .iter()
            .zip(&failures)
            .filter(|(_, failure)| failure.is_none())
            .map(|(image, _)| image.clone())
            .collect();
        match decide_commit(&base, target, &kept) {
            // The others go on without those.
            Err(missing) => {
                for (slot, image) in failures.iter_mut().zip(images) {
                    if let Some(path) = missing.get(&image.patch_set) {
                        *slot = Some(missing_marker(read, git, path));
                    }
                }
            }
            Ok(decision) => break (kept, decision),
        }
    };
    let mut fail = |failure: Failure| {
        for slot in failures.iter_mut().filter(|slot| slot.is_none()) {
            *slot = Some(failure.clone());
        }
    };
    let (push, waits) = match decision {
        CommitDecision::Nothing { at, waits } => (
            PlannedPush::AlreadyAt(read.branch_at(at).unwrap_or(&read.base).commit.clone()),
            waits,
        ),
        CommitDecision::Commit {
            base: onto,
            plan,
            trailers,
            waits,
        } => match message_of_commit(git, &kept, &plan, &trailers) {
            Ok(message) => (
                PlannedPush::Commit(CommitToPush {
                    onto,
                    branch: git
                        .push
                        .as_ref()
                        .map_or_else(|| read.name.clone(), |push| push.branch.clone()),
                    expected: match (&git.push, &read.beside) {
                        (None, _) => ExpectedBranch::At(read.base.snapshot.commit()),
                        (Some(_), Some(at)) => ExpectedBranch::At(at.snapshot.commit()),
                        (Some(_), None) => ExpectedBranch::Absent,
                    },
                    files: plan.files,
                    message,
                }),
                waits,
            ),
            Err(failure) => {
                fail(failure);
                (PlannedPush::AlreadyAt(read.base.commit.clone()), true)
            }
        },
    };
    let verdicts = images.iter().zip(failures).map(|(image, failure)| ImageVerdict {
        failure,
        is_merged: !first.changes_value_of(&image.patch_set),
    });
    PushPlan {
        push,
        verdicts: verdicts.collect(),
        waits,
    }
}

/// Why the branch that commits go to cannot take a `PatchSet`'s image.
fn missing_marker(read: &ReadBranches, git: &DeliveryGit, path: &str) -> Failure {
    let branch = git.push.as_ref().map_or("", |push| push.branch.as_str());
    Failure::stalled(
        Step::Delivery,
        reason::MARKER_NOT_FOUND,
        format!(
            "{}: {branch} lacks a marker in {path} that {name} has: merge {name} into it, or delete it",
            git.url,
            name = read.name
        ),
    )
}

/// Why a `PatchSet`'s markers cannot be followed.
fn fault_of(
    plan: &EditPlan,
    read: &ReadBranches,
    git: &DeliveryGit,
    patch_set: &PatchSetName,
) -> Option<Failure> {
    if let Some(fault) = plan.faults.iter().find(|fault| fault.concerns(patch_set)) {
        return Some(Failure::stalled(
            Step::Delivery,
            reason::INVALID_MARKER,
            format!("{}: {}", git.url, fault),
        ));
    }
    if plan.followed.contains(patch_set) {
        return None;
    }
    let below = match git.paths.as_slice() {
        [] => String::new(),
        paths => format!(" below {}", paths.join(", ")),
    };
    Some(Failure::stalled(
        Step::Delivery,
        reason::MARKER_NOT_FOUND,
        format!(
            "{}: no YAML file{below} on {} (of at most 5 MiB) has a marker of this PatchSet: write # {{\"$patchset\": \"{}:{}\"}} after the image's value",
            git.url, read.name, patch_set.namespace, patch_set.name
        ),
    ))
}

fn message_of_commit(
    git: &DeliveryGit,
    images: &[DeliveredImage],
    plan: &EditPlan,
    trailers: &Trailers,
) -> Result<String, Failure> {
    let delivered: Vec<&DeliveredImage> = images
        .iter()
        .filter(|image| plan.changes_value_of(&image.patch_set))
        .collect();
    let files: Vec<&str> = plan.files.iter().map(|(path, _)| path.as_str()).collect();
    let template = git.message.as_deref().unwrap_or(DEFAULT_MESSAGE);
    commit_message(template, &delivered, &files, trailers).map_err(|error| {
        Failure::stalled(
            Step::Delivery,
            reason::INVALID_SPEC,
            format!("delivery.git.message: {error}"),
        )
    })
}
