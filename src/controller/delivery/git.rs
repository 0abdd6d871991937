//! Delivers images by commits to a Git repository that Flux follows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::ResourceExt;

use super::request::Wanted;
use super::round::{At, Commit, Read, next_step};
use super::wanted::is_wanted;
use crate::api::build::ImageStatus;
use crate::api::delivery::{
    CommitAuthor, CommitStatus, Delivery, DeliveryGit, DeliveryStatus, ProposalStatus,
};
use crate::api::status::PatchSetStatus;
use crate::api::{PatchSet, reason};
use crate::controller::context::failures::of_task;
use crate::controller::context::{Context, Pace};
use crate::controller::inputs::upstreams::{self, Secrets, blocking, resolve};
use crate::controller::state::deliveries::{Answer, NotDelivered, Order, Placed, Rest};
use crate::controller::state::turns;
use crate::deliver::{self, Named};
use crate::forge::GitPurpose;
use crate::plan::delivery::image_of;
use crate::plan::{Failure, Step};
use crate::source::{
    self, Error, FileLimits, Freshness, Identity, Mirrors, NewCommit, RefSpec, Signer, Upstream,
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

/// The author, where the spec names none.
const AUTHOR: (&str, &str) = ("patchset", "noreply@patching.c5c3.io");

/// Whether the branch is where the image was delivered, or last found.
pub async fn stands(
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
    there.paths == git.paths
        && there.repository == upstream.url().to_string()
        && Some(there.branch.as_str()) == head.revision().name()
        && (there.commit == commit || context.deliveries.has_seen(patch_set, &told.reference, &commit))
}

/// The newest commit of the branch that Flux follows, where that has an image that waited to be merged.
pub async fn merged(
    patch_set: &PatchSet,
    context: &Arc<Context>,
    git: &DeliveryGit,
    proposed: &ProposalStatus,
    pace: Pace,
) -> Option<CommitStatus> {
    let upstream = upstream(patch_set, context, git).await.ok()?;
    let (repository, paths) = (upstream.url().to_string(), git.paths.clone());
    if (&proposed.git.repository, &proposed.git.paths) != (&repository, &paths) {
        return None;
    }
    let key = (patch_set.namespace().unwrap_or_default(), patch_set.name_any());
    let images = [(key.clone(), image_of(&proposed.reference))];
    let want = followed(git);
    // What else was found is to be told also where this server says nothing.
    let now = Instant::now();
    let pace = Pace {
        deadline: now + pace.deadline.saturating_duration_since(now) / 2,
        ..pace
    };
    let looked = blocking(context, WHAT, pace.deadline, move |mirrors| {
        let (name, at) = branch(
            mirrors,
            &upstream,
            &paths,
            &want,
            pace.freshness,
            pace.deadline,
            true,
        )?;
        let plan = deliver::planned(&at.tip(), &images);
        let is_there = plan.followed.contains(&key)
            && !plan.changes(&key.0, &key.1)
            && !plan.faults.iter().any(|fault| fault.concerns(&key.0, &key.1));
        Ok(is_there.then_some((name, at.commit)))
    });
    // A server that is away is told where something is to be delivered.
    let (branch, commit) = looked.await.ok()??;
    Some(CommitStatus {
        repository,
        branch,
        commit,
        paths: git.paths.clone(),
    })
}

/// Brings an image to the repository, together with others that go there at the same time.
pub async fn deliver(
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
        patch_set.namespace().unwrap_or_default(),
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
        deadline: pace.deadline,
    };
    let lanes = &context.deliveries.lanes;
    let answer = lanes.run(&place, order, pace.deadline, |orders| all(context, orders));
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
        Placed::Committed(commit) | Placed::Found(commit, _) => commit.branch.clone(),
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
            proposal,
            message,
            lacks,
            ..
        } => {
            let kept = wanted.keep(context, proposal, message.as_deref()).await?;
            proposal.pull_request = Some(kept.url);
            let labels = kept.lacks.as_ref().map(|lacks| lacks.labels.clone());
            proposal.missing_labels = labels.unwrap_or_default();
            *lacks = kept.lacks;
        }
        Placed::Found(_, rest @ Rest::Nothing) if known.proposed.is_some() => {
            // What is delivered stays so, whatever becomes of the request.
            if let Err(failure) = wanted.close(context).await {
                tracing::warn!(namespace = patch_set.namespace(), name = patch_set.name_any(), %failure,
                    "a pull request that asks for nothing could not be closed");
                *rest = Rest::Unknown;
            }
        }
        Placed::Committed(_) | Placed::Found(..) => {}
    }
    Ok(placed)
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
    let secrets = Secrets {
        namespace: &namespace,
        login: git.secret_ref.as_ref(),
        proxy: git.proxy_secret_ref.as_ref(),
    };
    upstreams::upstream(context, &git.url, secrets, GitPurpose::Push)
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
    // A passphrase takes its time.
    let read = turns::spawn_blocking(move || Signer::from_secret(&data)).await;
    let read = read.map_err(|interrupted| of_task(&interrupted).of_delivery())?;
    read.map(Some).map_err(|error| {
        Failure::retried(
            Step::Delivery,
            reason::INVALID_REFERENCE,
            format!("Secret {namespace}/{name}: {error}"),
        )
    })
}

/// Works on all orders of a place: those that ask for the same in one commit.
async fn all(context: &Arc<Context>, orders: Vec<Order>) -> Vec<Answer> {
    let mut answers: Vec<Option<Answer>> = orders.iter().map(|_| None).collect();
    while let Some(first) = answers.iter().position(Option::is_none) {
        let Some(leader) = orders.get(first) else { break };
        let alike: Vec<usize> = (first..orders.len())
            .filter(|at| orders.get(*at).is_some_and(|order| order.git == leader.git))
            .collect();
        let group: Vec<&Order> = alike.iter().filter_map(|at| orders.get(*at)).collect();
        let given = together(context, leader, &group).await;
        for (at, answer) in alike.into_iter().zip(given) {
            if let Some(slot) = answers.get_mut(at) {
                *slot = Some(answer);
            }
        }
    }
    answers.into_iter().flatten().collect()
}

/// Brings the images of orders that ask for the same into one commit, again after each race that was lost.
async fn together(context: &Arc<Context>, leader: &Order, orders: &[&Order]) -> Vec<Answer> {
    let deadline = orders
        .iter()
        .map(|order| order.deadline)
        .max()
        .unwrap_or(leader.deadline);
    let mut answers: Vec<Option<Answer>> = orders.iter().map(|_| None).collect();
    for tried in 1..=TRIES {
        let is_last = tried == TRIES;
        match attempt(context, leader, orders, &mut answers, deadline, is_last).await {
            Ok(()) => break,
            Err(Attempt::Raced(_)) if !is_last => {
                tokio::time::sleep(AFTER_RACE.saturating_mul(tried)).await;
            }
            Err(failed) => {
                let failure = match failed {
                    Attempt::Failed(failure) => failure.of_delivery(),
                    Attempt::Raced(words) => Failure::retried(
                        Step::Delivery,
                        reason::WRITE_FAILED,
                        format!("{WHAT}: {words}, {TRIES} times"),
                    ),
                };
                for slot in answers.iter_mut().filter(|slot| slot.is_none()) {
                    *slot = Some(Err(failure.clone().into()));
                }
                break;
            }
        }
    }
    answers.into_iter().flatten().collect()
}

/// Why an attempt came to nothing.
enum Attempt {
    Failed(Failure),
    /// Somebody else was faster, as it was told.
    Raced(String),
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Reads, decides and pushes once. All orders have their answers then; where the push fails for good, those that need none.
async fn attempt(
    context: &Arc<Context>,
    leader: &Order,
    orders: &[&Order],
    answers: &mut [Option<Answer>],
    deadline: Instant,
    is_last: bool,
) -> Result<(), Attempt> {
    let (upstream, git) = (leader.upstream.clone(), leader.git.clone());
    let reading = blocking(context, WHAT, deadline, move |mirrors| {
        read(mirrors, &upstream, &git, deadline)
    });
    let read = Arc::new(reading.await?);
    // Asked after the branch was read: what comes after is seen by the push.
    let mut open = Vec::new();
    for (slot, order) in answers.iter_mut().zip(orders).filter(|(slot, _)| slot.is_none()) {
        match is_wanted(context, &order.patch_set, &order.delivery, &order.image.reference).await {
            Ok(true) => open.push((slot, *order)),
            Ok(false) => *slot = Some(Err(NotDelivered::Outdated)),
            Err(failure) => *slot = Some(Err(failure.into())),
        }
    }
    if open.is_empty() {
        return Ok(());
    }
    let images: Vec<Named> = open
        .iter()
        .map(|(_, order)| (order.key(), order.image.clone()))
        .collect();
    let decided = {
        let (read, git) = (Arc::clone(&read), leader.git.clone());
        // Reading YAML takes a while.
        turns::spawn_blocking(move || next_step(&read, &git, &images)).await
    };
    let step = decided.map_err(|interrupted| of_task(&interrupted))?;
    let ours = |at: &&At| deliver::trailers(&at.message).parent.is_some();
    let rest = if step.waits { Rest::Waits } else { Rest::Nothing };
    let (there, rest) = match step.push {
        Err(commit) => {
            let tip = read.beside.as_ref().filter(ours);
            (Ok((commit, tip.map(|at| at.message.clone()))), rest)
        }
        Ok(commit) => {
            let message = commit.message.clone();
            match push(context, leader, &read, commit, deadline).await {
                Ok(commit) => (Ok((commit, Some(message))), rest),
                Err(raced @ Attempt::Raced(_)) if !is_last => return Err(raced),
                Err(failed) => (Err(failed), Rest::Unknown),
            }
        }
    };
    for (((slot, order), failure), merged) in open.into_iter().zip(step.failures).zip(step.merged) {
        *slot = match (failure, &there) {
            (Some(failure), _) => Some(Err(failure.into())),
            // Who has nothing to push does not fail with the others.
            (None, _) if merged => Some(Ok(Placed::Found(found(context, order, &read), rest))),
            (None, Ok((commit, message))) => Some(Ok(placed(context, order, &read, commit, message.clone()))),
            (None, Err(_)) => None,
        };
    }
    there.map(|_| ())
}

/// An image that the followed branch has already.
fn found(context: &Context, order: &Order, read: &Read) -> CommitStatus {
    let commit = &read.base.commit;
    context
        .deliveries
        .saw(&order.patch_set, &order.image.reference, commit);
    order.at(&read.name, commit)
}

/// Where an image is by a commit.
fn placed(context: &Context, order: &Order, read: &Read, commit: &str, message: Option<String>) -> Placed {
    let reference = order.image.reference.clone();
    let Some(push) = &order.git.push else {
        context.deliveries.saw(&order.patch_set, &reference, commit);
        return Placed::Committed(order.at(&read.name, commit));
    };
    Placed::Proposed {
        proposal: ProposalStatus {
            reference,
            git: order.at(&push.branch, commit),
            pull_request: None,
            missing_labels: Vec::new(),
        },
        into: read.name.clone(),
        message,
        lacks: None,
    }
}

/// Makes a commit and pushes it. Gives its id.
async fn push(
    context: &Arc<Context>,
    leader: &Order,
    read: &Arc<Read>,
    commit: Commit,
    deadline: Instant,
) -> Result<String, Attempt> {
    let read = Arc::clone(read);
    let (upstream, signer) = (leader.upstream.clone(), leader.signer.clone());
    let author = author(leader.git.author.as_ref());
    let time = Timestamp::now();
    let pushed = blocking(context, WHAT, deadline, move |mirrors| {
        let at = read.at(commit.onto).unwrap_or(&read.base);
        let made = at.snapshot.make_commit(&NewCommit {
            files: &commit.files,
            author: &author,
            message: &commit.message,
            time,
            signer: signer.as_ref(),
        })?;
        match mirrors.push(&upstream, &commit.branch, commit.expected, &made, deadline) {
            Ok(()) => Ok(Ok(made.id.to_string())),
            Err(raced @ Error::Raced { .. }) => Ok(Err(raced.to_string())),
            Err(error) => Err(error),
        }
    });
    pushed.await?.map_err(Attempt::Raced)
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
    let look = |want: &RefSpec, is_followed| {
        branch(
            mirrors,
            upstream,
            &git.paths,
            want,
            Freshness::Now,
            deadline,
            is_followed,
        )
    };
    let (name, base) = look(&followed(git), true)?;
    let beside = match &git.push {
        None => None,
        Some(push) => match look(&RefSpec::Branch(push.branch.clone()), false) {
            Ok((_, at)) => Some(at),
            Err(Error::RefNotFound { .. }) => None,
            Err(error) => return Err(error),
        },
    };
    Ok(Read { name, base, beside })
}

/// Reads one branch, with its name. One that is not followed may lack the folders.
fn branch(
    mirrors: &Mirrors,
    upstream: &Upstream,
    paths: &[String],
    want: &RefSpec,
    freshness: Freshness,
    deadline: Instant,
    is_followed: bool,
) -> Result<(String, At), source::Error> {
    let snapshot = mirrors.fetch(upstream, want, freshness, deadline)?;
    let name = snapshot.revision().name().unwrap_or_default().to_owned();
    let (mut files, mut limits) = (Vec::new(), LIMITS);
    for path in &folders(paths) {
        let found = match snapshot.read_below(path, &ENDINGS, &limits) {
            // A branch from before the folder.
            Err(Error::FileNotFound { .. }) if !is_followed => continue,
            found => found?,
        };
        let bytes: usize = found.iter().map(|file| file.content.len()).sum();
        limits.total = limits.total.saturating_sub(bytes as u64);
        limits.count = limits.count.saturating_sub(found.len());
        let marked = found
            .into_iter()
            .filter(|file| deliver::may_have_markers(&file.content));
        files.extend(marked.map(|file| (file.name, file.content)));
    }
    let (message, parent) = snapshot.about()?;
    let at = At {
        commit: snapshot.commit().to_string(),
        parent: parent.map(|parent| parent.to_string()),
        snapshot,
        message,
        files,
    };
    Ok((name, at))
}

/// Folders without those that are in another one.
fn folders(paths: &[String]) -> Vec<String> {
    let plain = |path: &String| {
        let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
        parts.collect::<Vec<_>>().join("/")
    };
    let mut all: Vec<String> = paths.iter().map(plain).collect();
    if all.is_empty() {
        all.push(String::new());
    }
    all.sort();
    all.dedup();
    let is_in = |inner: &str, outer: &str| {
        let below = inner.strip_prefix(outer);
        inner != outer && (outer.is_empty() || below.is_some_and(|rest| rest.starts_with('/')))
    };
    let kept = all
        .iter()
        .filter(|path| !all.iter().any(|other| is_in(path, other)));
    kept.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::folders;

    #[test]
    fn folders_are_read_once() {
        let of = |paths: &[&str]| folders(&paths.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(of(&[]), [""]);
        assert_eq!(of(&["a/", "./a", "a/b", "ab"]), ["a", "ab"]);
        assert_eq!(of(&["a", "."]), [""]);
    }
}
