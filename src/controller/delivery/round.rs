//! What to push, given what a repository has.

use crate::api::build::ImageStatus;
use crate::api::delivery::DeliveryGit;
use crate::api::reason;
use crate::deliver::{self, DEFAULT_MESSAGE, Delivered, Plan};
use crate::plan::{Failure, Step as Part};
use crate::source::{Expected, Snapshot, SourceFile};

/// An image with the namespace and name of its `PatchSet`.
pub(super) type Named = ((String, String), ImageStatus);

/// A branch as it is.
pub(super) struct At {
    pub(super) snapshot: Snapshot,
    pub(super) files: Vec<SourceFile>,
    /// What is said of its newest commit.
    pub(super) message: String,
}

/// The branches as they are.
pub(super) struct Read {
    /// The name of the branch that Flux follows.
    pub(super) name: String,
    pub(super) base: At,
    /// The branch that commits go to, where it is another and there already.
    pub(super) beside: Option<At>,
}

/// One of the two branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Branch {
    /// The one that Flux follows.
    Followed,
    /// The one that commits go to.
    Beside,
}

impl Read {
    pub(super) fn at(&self, branch: Branch) -> Option<&At> {
        match branch {
            Branch::Followed => Some(&self.base),
            Branch::Beside => self.beside.as_ref(),
        }
    }
}

/// What to push.
pub(super) enum Step {
    /// Nothing: this commit has it all.
    Nothing(String),
    /// A commit.
    Commit {
        /// What it is made on.
        onto: Branch,
        /// Where it goes, and what has to be there.
        branch: String,
        expected: Expected,
        files: Vec<(String, Vec<u8>)>,
        message: String,
    },
    /// The followed branch's commit: what was proposed is not wanted any more.
    Reset { branch: String, expected: Expected },
}

/// What to push, and what that means for each image.
pub(super) struct Round {
    pub(super) step: Step,
    /// Why an image cannot be delivered.
    pub(super) failures: Vec<Option<Failure>>,
    /// Whether the followed branch has it already.
    pub(super) merged: Vec<bool>,
}

/// Decides, given the images that are to be delivered, and others that wait on the same branch.
pub(super) fn next_step(read: &Read, git: &DeliveryGit, images: &[Named], beside: &[Named]) -> Round {
    let first = planned(&read.base, images);
    let mut failures: Vec<Option<Failure>> = images
        .iter()
        .map(|((namespace, name), _)| fault_of(&first, read, git, namespace, name))
        .collect();
    let kept: Vec<Named> = images
        .iter()
        .zip(&failures)
        .filter(|(_, failure)| failure.is_none())
        .map(|(image, _)| image.clone())
        .chain(beside.iter().cloned())
        .collect();
    let base = planned(&read.base, &kept);
    let merged = images
        .iter()
        .map(|((namespace, name), _)| !base.changes(namespace, name))
        .collect();
    let step = match step(read, git, &kept, base) {
        Ok(step) => step,
        Err(failure) => {
            for slot in failures.iter_mut().filter(|slot| slot.is_none()) {
                *slot = Some(failure.clone());
            }
            Step::Nothing(read.base.snapshot.commit().to_string())
        }
    };
    Round {
        step,
        failures,
        merged,
    }
}

fn step(read: &Read, git: &DeliveryGit, kept: &[Named], base: Plan) -> Result<Step, Failure> {
    let head = read.base.snapshot.commit();
    let commit = |onto, branch: &str, expected, plan: Plan| {
        Ok(Step::Commit {
            onto,
            branch: branch.to_owned(),
            expected,
            message: message(git, kept, &plan)?,
            files: plan.files,
        })
    };
    let nothing = || Ok(Step::Nothing(head.to_string()));
    let Some(push) = &git.push else {
        return if base.files.is_empty() {
            nothing()
        } else {
            commit(Branch::Followed, &read.name, Expected::At(head), base)
        };
    };
    let Some(at) = &read.beside else {
        return if base.files.is_empty() {
            nothing()
        } else {
            commit(Branch::Followed, &push.branch, Expected::Absent, base)
        };
    };
    let there = planned(at, kept);
    let expected = Expected::At(at.snapshot.commit());
    if there.files.is_empty() {
        return Ok(Step::Nothing(at.snapshot.commit().to_string()));
    }
    match (base.files.is_empty(), deliver::is_ours(&at.message)) {
        (true, true) => Ok(Step::Reset {
            branch: push.branch.clone(),
            expected,
        }),
        (true, false) => nothing(),
        (false, true) => commit(Branch::Followed, &push.branch, expected, base),
        // What others did on the branch stays.
        (false, false) => commit(Branch::Beside, &push.branch, expected, there),
    }
}

fn planned(at: &At, images: &[Named]) -> Plan {
    let files = at
        .files
        .iter()
        .map(|file| (file.name.as_str(), file.content.as_slice()));
    deliver::plan(files, |namespace, name| {
        let mut images = images.iter();
        images
            .find(|((in_namespace, called), _)| in_namespace == namespace && called == name)
            .map(|(_, image)| image)
    })
}

/// Why a `PatchSet`'s markers cannot be followed.
fn fault_of(plan: &Plan, read: &Read, git: &DeliveryGit, namespace: &str, name: &str) -> Option<Failure> {
    if let Some(fault) = plan.faults.iter().find(|fault| fault.concerns(namespace, name)) {
        return Some(Failure::stalled(
            Part::Delivery,
            reason::INVALID_MARKER,
            format!("{}: {}", git.url, fault.told()),
        ));
    }
    if plan.followed.contains(&(namespace.to_owned(), name.to_owned())) {
        return None;
    }
    let below = match git.paths.as_slice() {
        [] => String::new(),
        paths => format!(" below {}", paths.join(", ")),
    };
    Some(Failure::stalled(
        Part::Delivery,
        reason::MARKER_NOT_FOUND,
        format!(
            "{}: no YAML file{below} on {} has a marker of this PatchSet: write # {{\"$patchset\": \"{namespace}:{name}\"}} behind the image's value",
            git.url, read.name
        ),
    ))
}

fn message(git: &DeliveryGit, images: &[Named], plan: &Plan) -> Result<String, Failure> {
    let delivered: Vec<Delivered<'_>> = images
        .iter()
        .filter(|((namespace, name), _)| plan.changes(namespace, name))
        .map(|((namespace, name), image)| Delivered {
            namespace,
            name,
            image,
        })
        .collect();
    let files: Vec<&str> = plan.files.iter().map(|(path, _)| path.as_str()).collect();
    let template = git.message.as_deref().unwrap_or(DEFAULT_MESSAGE);
    deliver::message(template, &delivered, &files).map_err(|error| {
        Failure::stalled(
            Part::Delivery,
            reason::INVALID_SPEC,
            format!("delivery.git.message: {error}"),
        )
    })
}
