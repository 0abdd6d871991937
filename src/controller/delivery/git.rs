//! Delivers images by commits to a Git repository that Flux follows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::ResourceExt;

use super::super::context::{Context, Pace};
use super::super::upstreams::{self, blocking, resolve};
use super::NotDelivered;
use super::lanes::Lanes;
use super::request::{Clients, Wanted};
use super::round::{At, Branch, Named, Read, Step as Round, next_step};
use super::wanted::is_wanted;
use crate::api::build::ImageStatus;
use crate::api::delivery::{
    CommitAuthor, CommitStatus, Delivery, DeliveryGit, DeliveryStatus, ProposalStatus,
};
use crate::api::status::PatchSetStatus;
use crate::api::{PatchSet, reason};
use crate::deliver;
use crate::plan::delivery::image_of;
use crate::plan::{Failure, Step};
use crate::source::{
    self, Error, Expected, FileLimits, Freshness, Identity, Made, Mirrors, NewCommit, RefSpec, Signer,
    Upstream,
};

/// What the repository is called in messages.
const WHAT: &str = "delivery.git";

/// What files have to be called.
const ENDINGS: [&str; 2] = [".yaml", ".yml"];

/// How much is read of a repository.
const LIMITS: FileLimits = FileLimits {
    file: deliver::LARGEST as u64,
    total: 256 << 20,
    count: 20_000,
};

/// How often a push is tried that others come before.
const TRIES: u32 = 8;

/// The wait after the first lost race; longer after each further one.
const AFTER_RACE: Duration = Duration::from_millis(50);

/// The most objects of which is remembered where their image was seen.
const MOST_SEEN: usize = 10_000;

/// The author, where the spec names none.
const AUTHOR: (&str, &str) = ("patchset", "noreply@patching.c5c3.io");

/// Where an image is now.
#[derive(Clone, Debug)]
pub(super) enum Placed {
    /// On the branch that Flux follows, by a commit that was made now.
    Committed(CommitStatus),
    /// There already: the newest commit in which it was found.
    Found(CommitStatus),
    /// On a branch that waits to be merged into another one.
    Proposed {
        proposal: ProposalStatus,
        /// The other one.
        into: String,
        /// What is said of the newest commit.
        message: String,
    },
}

/// A repository and the branch that commits go to: one writer for each.
type Place = (String, Option<String>);

type Answer = Result<Placed, NotDelivered>;

/// What deliveries share between reconciliations. All of it can be lost.
#[derive(Default)]
pub(in crate::controller) struct Deliveries {
    lanes: Lanes<Place, Order, Answer>,
    pub(super) clients: Clients,
    /// The commit in which an image was last seen, by the uid of its `PatchSet`.
    seen: Mutex<HashMap<String, (String, String)>>,
}

impl Deliveries {
    fn saw(&self, patch_set: &PatchSet, reference: &str, commit: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST_SEEN {
            seen.clear();
        }
        seen.insert(
            patch_set.uid().unwrap_or_default(),
            (reference.to_owned(), commit.to_owned()),
        );
    }

    fn has_seen(&self, patch_set: &PatchSet, reference: &str, commit: &str) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&patch_set.uid().unwrap_or_default())
            .is_some_and(|(image, at)| image == reference && at == commit)
    }
}

/// An image that is to be delivered.
struct Order {
    patch_set: PatchSet,
    delivery: Delivery,
    git: DeliveryGit,
    image: ImageStatus,
    upstream: Upstream,
    signer: Option<Signer>,
}

impl Order {
    fn key(&self) -> (String, String) {
        (
            self.patch_set.namespace().unwrap_or_default(),
            self.patch_set.name_any(),
        )
    }
}

/// Whether the branch is where the image was delivered, or last found.
pub(super) async fn stands(
    patch_set: &PatchSet,
    context: &Arc<Context>,
    git: &DeliveryGit,
    told: &DeliveryStatus,
    pace: Pace,
) -> bool {
    let Some(there) = &told.git else { return false };
    let Ok(upstream) = upstream(patch_set, context, git).await else {
        return false;
    };
    let Ok(head) = resolve(context, WHAT, &upstream, &followed(git), pace).await else {
        return false;
    };
    let commit = head.commit().to_string();
    there.repository == upstream.url().to_string()
        && Some(there.branch.as_str()) == head.revision().name()
        && (there.commit == commit || context.deliveries.has_seen(patch_set, &told.reference, &commit))
}

/// Brings an image to the repository, together with others that go there at the same time.
pub(super) async fn deliver(
    patch_set: &PatchSet,
    context: &Arc<Context>,
    delivery: &Delivery,
    git: &DeliveryGit,
    known: &PatchSetStatus,
    image: &ImageStatus,
    pace: Pace,
) -> Answer {
    let upstream = upstream(patch_set, context, git).await?;
    let signer = signer(patch_set, context, git).await?;
    let place = (
        upstream.url().to_string(),
        git.push
            .as_ref()
            .map(|push| push.branch.clone())
            .or_else(|| git.branch.clone()),
    );
    let order = Order {
        patch_set: patch_set.clone(),
        delivery: delivery.clone(),
        git: git.clone(),
        image: image.clone(),
        upstream,
        signer,
    };
    let lanes = &context.deliveries.lanes;
    let answer = lanes.run(&place, order, |orders| all(context, orders, pace.deadline));
    let answer = Box::pin(answer).await;
    let mut placed = answer.unwrap_or_else(|| {
        Err(Failure::retried(
            Step::Delivery,
            reason::TIMED_OUT,
            format!("{WHAT}: who wrote to it was stopped; it is looked at again"),
        )
        .into())
    })?;
    let Some((push, options)) = git
        .push
        .as_ref()
        .and_then(|push| Some((push, push.pull_request.as_ref()?)))
    else {
        return Ok(placed);
    };
    let base = match &placed {
        Placed::Committed(commit) | Placed::Found(commit) => commit.branch.clone(),
        Placed::Proposed { into, .. } => into.clone(),
    };
    let wanted = Wanted {
        patch_set,
        git,
        options,
        head: &push.branch,
        base: &base,
        known: known.proposed.as_ref(),
        pace,
    };
    match &mut placed {
        Placed::Proposed {
            proposal, message, ..
        } => {
            proposal.pull_request = Some(wanted.keep(context, proposal, message).await?);
        }
        // Others may wait on the same branch.
        Placed::Found(_) if known.proposed.is_some() && !is_shared(context, patch_set, git) => {
            wanted.close(context).await?;
        }
        Placed::Committed(_) | Placed::Found(_) => {}
    }
    Ok(placed)
}

/// Whether another `PatchSet`'s image waits on the same branch.
fn is_shared(context: &Context, patch_set: &PatchSet, git: &DeliveryGit) -> bool {
    waiting(context, patch_set.namespace().as_deref(), git)
        .iter()
        .any(|((_, name), _)| *name != patch_set.name_any())
}

/// The branch that Flux follows.
fn followed(git: &DeliveryGit) -> RefSpec {
    git.branch
        .as_ref()
        .map_or(RefSpec::Default, |branch| RefSpec::Branch(branch.clone()))
}

async fn upstream(
    patch_set: &PatchSet,
    context: &Arc<Context>,
    git: &DeliveryGit,
) -> Result<Upstream, Failure> {
    let namespace = patch_set.namespace().unwrap_or_default();
    upstreams::upstream(
        &context.references,
        &namespace,
        &git.url,
        git.secret_ref.as_ref(),
        git.proxy_secret_ref.as_ref(),
    )
    .await
    .map_err(Failure::of_delivery)
}

async fn signer(
    patch_set: &PatchSet,
    context: &Arc<Context>,
    git: &DeliveryGit,
) -> Result<Option<Signer>, Failure> {
    let Some(signing) = &git.signing else {
        return Ok(None);
    };
    let namespace = patch_set.namespace().unwrap_or_default();
    let name = &signing.secret_ref.name;
    let data = context.references.secret(&namespace, name).await;
    let data = data.map_err(Failure::of_delivery)?;
    Signer::from_secret(&data).map(Some).map_err(|error| {
        Failure::retried(
            Step::Delivery,
            reason::INVALID_REFERENCE,
            format!("Secret {namespace}/{name}: {error}"),
        )
    })
}

/// Works on all orders of a place: those that ask for the same in one commit.
async fn all(context: &Arc<Context>, orders: Vec<Order>, deadline: Instant) -> Vec<Answer> {
    let mut answers: Vec<Option<Answer>> = orders.iter().map(|_| None).collect();
    while let Some(first) = answers.iter().position(Option::is_none) {
        let Some(leader) = orders.get(first) else { break };
        let alike: Vec<usize> = (first..orders.len())
            .filter(|at| {
                orders.get(*at).is_some_and(|order| {
                    order.git == leader.git && order.patch_set.namespace() == leader.patch_set.namespace()
                })
            })
            .collect();
        let group: Vec<&Order> = alike.iter().filter_map(|at| orders.get(*at)).collect();
        let given = together(context, &group, deadline).await;
        for (at, answer) in alike.into_iter().zip(given) {
            if let Some(slot) = answers.get_mut(at) {
                *slot = Some(answer);
            }
        }
    }
    answers.into_iter().flatten().collect()
}

/// Brings the images of orders that ask for the same into one commit, again after each race that was lost.
async fn together(context: &Arc<Context>, orders: &[&Order], deadline: Instant) -> Vec<Answer> {
    let mut answers: Vec<Option<Answer>> = orders.iter().map(|_| None).collect();
    let settle = |answers: &mut Vec<Option<Answer>>, failure: &Failure| {
        for slot in answers.iter_mut().filter(|slot| slot.is_none()) {
            *slot = Some(Err(failure.clone().into()));
        }
    };
    let Some(leader) = orders.first() else {
        return Vec::new();
    };
    for tried in 1..=TRIES {
        let read = {
            let (upstream, git) = (leader.upstream.clone(), leader.git.clone());
            let reading = blocking(context, WHAT, deadline, move |mirrors| {
                read(mirrors, &upstream, &git, deadline)
            });
            match reading.await {
                Ok(read) => Arc::new(read),
                Err(failure) => {
                    settle(&mut answers, &failure.of_delivery());
                    break;
                }
            }
        };
        // Asked after the branch was read: what comes after is seen by the push.
        let mut open = Vec::new();
        for (slot, order) in answers.iter_mut().zip(orders).filter(|(slot, _)| slot.is_none()) {
            match is_wanted(context, &order.patch_set, &order.delivery, &order.image).await {
                Ok(true) => open.push((slot, *order)),
                Ok(false) => *slot = Some(Err(NotDelivered::Outdated)),
                Err(failure) => *slot = Some(Err(failure.into())),
            }
        }
        let images: Vec<_> = open
            .iter()
            .map(|(_, order)| (order.key(), order.image.clone()))
            .collect();
        let beside = proposed_beside(context, leader, &images);
        let round = next_step(&read, &leader.git, &images, &beside);
        for ((slot, _), failure) in open.iter_mut().zip(&round.failures) {
            if let Some(failure) = failure {
                **slot = Some(Err(failure.clone().into()));
            }
        }
        let commit = match push(context, leader, &read, &round.step, deadline).await {
            Ok(Some(commit)) => commit,
            Ok(None) if tried < TRIES => {
                tokio::time::sleep(AFTER_RACE.saturating_mul(tried)).await;
                continue;
            }
            Ok(None) => {
                let failure = Failure::retried(
                    Step::Delivery,
                    reason::WRITE_FAILED,
                    format!(
                        "{WHAT}: others pushed to {} {TRIES} times meanwhile",
                        leader.upstream.url()
                    ),
                );
                settle(&mut answers, &failure);
                break;
            }
            Err(failure) => {
                settle(&mut answers, &failure.of_delivery());
                break;
            }
        };
        let message = match &round.step {
            Round::Commit { message, .. } => message.as_str(),
            Round::Nothing(_) | Round::Reset { .. } => {
                read.beside.as_ref().map_or("", |at| at.message.as_str())
            }
        };
        for ((slot, order), merged) in open.into_iter().zip(&round.merged) {
            if slot.is_none() {
                *slot = Some(Ok(placed(context, order, &read, &commit, message, *merged)));
            }
        }
        break;
    }
    answers.into_iter().flatten().collect()
}

/// Where an image is after a round.
fn placed(
    context: &Context,
    order: &Order,
    read: &Read,
    commit: &str,
    message: &str,
    merged: bool,
) -> Placed {
    let repository = order.upstream.url().to_string();
    let reference = order.image.reference.clone();
    match &order.git.push {
        Some(push) if !merged => {
            let proposal = ProposalStatus {
                reference,
                git: CommitStatus {
                    repository,
                    branch: push.branch.clone(),
                    commit: commit.to_owned(),
                },
                pull_request: None,
            };
            Placed::Proposed {
                proposal,
                into: read.name.clone(),
                message: message.to_owned(),
            }
        }
        push => {
            // A commit on another branch is none on this one.
            let commit = match push {
                Some(_) => read.base.snapshot.commit().to_string(),
                None => commit.to_owned(),
            };
            context.deliveries.saw(&order.patch_set, &reference, &commit);
            let is_there = commit == read.base.snapshot.commit().to_string();
            let commit = CommitStatus {
                repository,
                branch: read.name.clone(),
                commit,
            };
            if is_there {
                Placed::Found(commit)
            } else {
                Placed::Committed(commit)
            }
        }
    }
}

/// Other images that wait on the same branch to be merged: a branch that is built anew keeps them.
fn proposed_beside(context: &Context, leader: &Order, images: &[Named]) -> Vec<Named> {
    if leader.git.push.is_none() {
        return Vec::new();
    }
    let mut beside = waiting(context, leader.patch_set.namespace().as_deref(), &leader.git);
    beside.retain(|(key, _)| images.iter().all(|(other, _)| other != key));
    beside
}

/// The images of a namespace that wait to be merged, and go to a repository in this way.
fn waiting(context: &Context, namespace: Option<&str>, git: &DeliveryGit) -> Vec<Named> {
    let mut found = Vec::new();
    for object in context.patch_sets.state() {
        let Ok(object) = &object.0 else { continue };
        let delivery = object.spec.delivery.as_ref();
        let goes_there = delivery.and_then(|delivery| delivery.git.as_ref()) == Some(git);
        if object.namespace().as_deref() != namespace || !goes_there {
            continue;
        }
        let status = object.status.as_ref();
        let reference = status.and_then(|status| Some(&status.proposed.as_ref()?.reference));
        let image = reference.and_then(|reference| {
            let newest = status.and_then(|status| status.image.clone());
            newest
                .filter(|image| image.reference == *reference)
                .or_else(|| image_of(reference))
        });
        let key = (object.namespace().unwrap_or_default(), object.name_any());
        found.extend(image.map(|image| (key, image)));
    }
    found
}

/// Does what a round asks for. Gives the commit that the branch is at; nothing where somebody else was faster.
async fn push(
    context: &Arc<Context>,
    leader: &Order,
    read: &Arc<Read>,
    step: &Round,
    deadline: Instant,
) -> Result<Option<String>, Failure> {
    let (onto, branch, expected, files, message) = match step {
        Round::Nothing(commit) => return Ok(Some(commit.clone())),
        Round::Commit {
            onto,
            branch,
            expected,
            files,
            message,
        } => (
            onto,
            branch.clone(),
            *expected,
            files.clone(),
            Some(message.clone()),
        ),
        Round::Reset { branch, expected } => (&Branch::Followed, branch.clone(), *expected, Vec::new(), None),
    };
    let (read, onto) = (Arc::clone(read), *onto);
    let (upstream, signer) = (leader.upstream.clone(), leader.signer.clone());
    let author = author(leader.git.author.as_ref());
    let time = Timestamp::now();
    blocking(context, WHAT, deadline, move |mirrors| {
        let Some(at) = read.at(onto) else { return Ok(None) };
        let made = match &message {
            None => at.snapshot.as_made(),
            Some(message) => at.snapshot.make_commit(&NewCommit {
                files: &files,
                author: &author,
                message,
                time,
                signer: signer.as_ref(),
            })?,
        };
        push_once(mirrors, &upstream, &branch, expected, &made, deadline)
    })
    .await
}

fn push_once(
    mirrors: &Mirrors,
    upstream: &Upstream,
    branch: &str,
    expected: Expected,
    made: &Made,
    deadline: Instant,
) -> Result<Option<String>, source::Error> {
    match mirrors.push(upstream, branch, expected, made, deadline) {
        Ok(()) => Ok(Some(made.id.to_string())),
        Err(Error::Raced { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn author(author: Option<&CommitAuthor>) -> Identity {
    let name = author.and_then(|author| author.name.as_deref());
    Identity {
        name: name.unwrap_or(AUTHOR.0).to_owned(),
        email: author.map_or(AUTHOR.1, |author| author.email.as_str()).to_owned(),
    }
}

/// Reads the branch that Flux follows, and the one that commits go to where that is another.
fn read(
    mirrors: &Mirrors,
    upstream: &Upstream,
    git: &DeliveryGit,
    deadline: Instant,
) -> Result<Read, source::Error> {
    let branch = |want: &RefSpec| {
        let resolved = mirrors.resolve(upstream, want, Freshness::Now, deadline)?;
        let name = resolved.revision().name().unwrap_or_default().to_owned();
        let snapshot = mirrors.snapshot(upstream, &resolved, deadline)?;
        let mut files = Vec::new();
        let whole = [String::new()];
        let paths = if git.paths.is_empty() {
            &whole[..]
        } else {
            &git.paths
        };
        for path in paths {
            files.extend(snapshot.read_below(path, &ENDINGS, &LIMITS)?);
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files.dedup_by(|a, b| a.name == b.name);
        let message = snapshot.message()?;
        Ok((
            name,
            At {
                snapshot,
                files,
                message,
            },
        ))
    };
    let (name, base) = branch(&followed(git))?;
    let beside = match &git.push {
        None => None,
        Some(push) => match branch(&RefSpec::Branch(push.branch.clone())) {
            Ok((_, at)) => Some(at),
            Err(Error::RefNotFound { .. }) => None,
            Err(error) => return Err(error),
        },
    };
    Ok(Read { name, base, beside })
}
