//! What to push, given what a repository has.

use crate::api::delivery::DeliveryGit;
use crate::api::reason;
use crate::deliver::{self, DEFAULT_MESSAGE, Delivered, Named, Onto, Plan, Round, Tip, Trailers};
use crate::plan::{Failure, Step as Part};
use crate::source::{ExpectedBranch, Snapshot};

/// A branch as it is.
pub struct At {
    pub snapshot: Snapshot,
    pub commit: String,
    pub parent: Option<String>,
    /// What is said of its newest commit.
    pub message: String,
    /// Its files with markers.
    pub files: Vec<(String, Vec<u8>)>,
}

impl At {
    pub fn tip(&self) -> Tip<'_> {
        Tip {
            commit: &self.commit,
            parent: self.parent.as_deref(),
            message: &self.message,
            files: &self.files,
        }
    }
}

/// The branches as they are.
pub struct Read {
    /// The name of the branch that Flux follows.
    pub name: String,
    pub base: At,
    /// The branch that commits go to, where it is another and there already.
    pub beside: Option<At>,
}

impl Read {
    pub fn at(&self, branch: Onto) -> Option<&At> {
        match branch {
            Onto::Followed => Some(&self.base),
            Onto::Beside => self.beside.as_ref(),
        }
    }
}

/// A commit to make and push.
pub struct Commit {
    /// What it is made on.
    pub onto: Onto,
    /// Where it goes, and what has to be there.
    pub branch: String,
    pub expected: ExpectedBranch,
    pub files: Vec<(String, Vec<u8>)>,
    pub message: String,
}

/// What to push, and what that means for each image.
pub struct Step {
    /// The commit; nothing where this commit has it all.
    pub push: Result<Commit, String>,
    /// Why an image cannot be delivered.
    pub failures: Vec<Option<Failure>>,
    /// Whether the followed branch has it already.
    pub merged: Vec<bool>,
    /// Whether something waits on the branch beside after that.
    pub waits: bool,
}

/// Decides, given the images that are to be delivered.
pub fn next_step(read: &Read, git: &DeliveryGit, images: &[Named]) -> Step {
    let base = read.base.tip();
    let first = deliver::planned(&base, images);
    let mut failures: Vec<Option<Failure>> = images
        .iter()
        .map(|((namespace, name), _)| fault_of(&first, read, git, namespace, name))
        .collect();
    let merged = images
        .iter()
        .map(|((namespace, name), _)| !first.changes(namespace, name))
        .collect();
    let beside = git.push.as_ref().map(|_| read.beside.as_ref().map(At::tip));
    let (kept, round) = loop {
        let kept: Vec<Named> = images
            .iter()
            .zip(&failures)
            .filter(|(_, failure)| failure.is_none())
            .map(|(image, _)| image.clone())
            .collect();
        match deliver::round(&base, beside.as_ref().map(Option::as_ref), &kept) {
            // The others go on without those.
            Err(lacks) => {
                for (slot, (key, _)) in failures.iter_mut().zip(images) {
                    if let Some(path) = lacks.get(key) {
                        *slot = Some(lacking(read, git, path));
                    }
                }
            }
            Ok(round) => break (kept, round),
        }
    };
    let head = || Err(read.base.commit.clone());
    let mut fail = |failure: Failure| {
        for slot in failures.iter_mut().filter(|slot| slot.is_none()) {
            *slot = Some(failure.clone());
        }
    };
    let (push, waits) = match round {
        Round::Nothing { at, waits } => (Err(read.at(at).unwrap_or(&read.base).commit.clone()), waits),
        Round::Commit {
            onto,
            plan,
            trailers,
            waits,
        } => match message(git, &kept, &plan, &trailers) {
            Ok(message) => (
                Ok(Commit {
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
                (head(), true)
            }
        },
    };
    Step {
        push,
        failures,
        merged,
        waits,
    }
}

/// Why the branch that commits go to cannot take a `PatchSet`'s image.
fn lacking(read: &Read, git: &DeliveryGit, path: &str) -> Failure {
    let branch = git.push.as_ref().map_or("", |push| push.branch.as_str());
    Failure::stalled(
        Part::Delivery,
        reason::MARKER_NOT_FOUND,
        format!(
            "{}: {branch} lacks a marker of {path} that {name} has: merge {name} into it, or delete it",
            git.url,
            name = read.name
        ),
    )
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
            "{}: no YAML file{below} on {} (of at most 5 MiB) has a marker of this PatchSet: write # {{\"$patchset\": \"{namespace}:{name}\"}} behind the image's value",
            git.url, read.name
        ),
    ))
}

fn message(git: &DeliveryGit, images: &[Named], plan: &Plan, trailers: &Trailers) -> Result<String, Failure> {
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
    deliver::message(template, &delivered, &files, trailers).map_err(|error| {
        Failure::stalled(
            Part::Delivery,
            reason::INVALID_SPEC,
            format!("delivery.git.message: {error}"),
        )
    })
}
