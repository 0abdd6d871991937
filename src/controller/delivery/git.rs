//! Delivers images by commits to a Git repository that Flux follows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forges::GitPurpose;
use git_mirrors::{
    BranchUpdate, Error, FileChange, FileLimits, Freshness, Mirrors, NewCommit, RefSpec, SourceFile, Upstream,
};
use gitops_markers::{DeliveredImage, PatchSetName};
use image_references::ImageReference;
use jiff::Timestamp;
use kube::ResourceExt;
use patchset_api::build::ImageStatus;
use patchset_api::delivery::{CommitStatus, DeliveryGit, DeliveryStatus, ProposalStatus};
use patchset_api::{PatchSet, reason};

use super::newest_image::may_be_written;
use super::push_plan::{CommitToPush, PlannedPush, ReadBranch, ReadBranches, next_step};
use super::request::WantedPullRequest;
use crate::controller::context::failures::task_failure;
use crate::controller::context::turn::Turn;
use crate::controller::context::{Budget, Context};
use crate::controller::inputs::identities::commit_author;
use crate::controller::inputs::signers::read_signer;
use crate::controller::inputs::upstreams::{self, RepositorySecrets, blocking, resolve};
use crate::controller::state::deliveries::{
    DeliveryAnswer, DeliveryBranch, DeliveryOrder, NotDelivered, OpenChanges, Placed, patch_set_name,
};
use crate::controller::state::slots;
use crate::plan::{Failure, Step};

/// What the repository is called in messages.
const WHAT: &str = "delivery.git";

/// How the names of files have to end.
const ENDINGS: [&str; 2] = [".yaml", ".yml"];

/// How much is read of a repository.
const LIMITS: FileLimits = FileLimits {
    file: gitops_markers::MAX_FILE_BYTES as u64,
    total: 256 << 20,
    count: 20_000,
};

/// How many bytes of files with markers are kept of a branch: only these stay in memory.
const MOST_MARKED: usize = 16 << 20;

/// How often to try a push that loses races.
const TRIES: u32 = 8;

/// The wait after the first lost race; longer after each further one.
const AFTER_RACE: Duration = Duration::from_millis(50);

/// Whether the branch is where the image was delivered, or last found.
pub async fn is_in_place(turn: &Turn<'_, PatchSet>, git: &DeliveryGit, recorded: &DeliveryStatus) -> bool {
    let (patch_set, context) = (turn.object, turn.context);
    let Some(there) = &recorded.git else { return false };
    let Ok(upstream) = upstream(turn, git).await else {
        return false;
    };
    let Ok(head) = resolve(context, WHAT, &upstream, &followed_ref(git), turn.budget).await else {
        return false;
    };
    let commit = head.commit().to_string();
    there.paths == git.paths
        && there.repository == upstream.url().to_string()
        && Some(there.branch.as_str()) == head.revision().name()
        && (there.commit == commit
            || context
                .deliveries
                .has_seen(patch_set, &recorded.reference, &commit))
}

/// The newest commit of the branch that Flux follows, if that has an image that waited to be
/// merged.
pub async fn find_merged_commit(
    turn: &Turn<'_, PatchSet>,
    git: &DeliveryGit,
    proposed: &ProposalStatus,
) -> Option<CommitStatus> {
    let (patch_set, budget) = (turn.object, turn.budget);
    let upstream = upstream(turn, git).await.ok()?;
    let (repository, paths) = (upstream.url().to_string(), git.paths.clone());
    if (&proposed.git.repository, &proposed.git.paths) != (&repository, &paths) {
        return None;
    }
    let patch_set = patch_set_name(patch_set);
    let images = [proposed_image(patch_set.clone(), proposed.reference.value()?)];
    let want = followed_ref(git);
    // Other findings are to be reported even if this server does not answer.
    let now = Instant::now();
    let budget = Budget {
        deadline: now + budget.deadline.saturating_duration_since(now) / 2,
        ..budget
    };
    let looked = blocking(turn.context, WHAT, budget.deadline, move |mirrors| {
        let place = Branches {
            mirrors,
            upstream: &upstream,
            paths: &paths,
            freshness: budget.freshness,
            deadline: budget.deadline,
        };
        let (name, at) = place.read(&want, Folders::Required)?;
        let plan = gitops_markers::plan_branch(&at.tip(), &images);
        let is_there = plan.followed.contains(&patch_set)
            && !plan.changes_value_of(&patch_set)
            && !plan.faults.iter().any(|fault| fault.concerns(&patch_set));
        Ok(is_there.then_some((name, at.commit)))
    });
    // An unreachable server is reported when there is something to deliver.
    let (branch, commit) = looked.await.ok()??;
    Some(CommitStatus {
        repository,
        branch,
        commit,
        paths: git.paths.clone(),
    })
}

/// An image that was proposed, as files name it.
fn proposed_image(patch_set: PatchSetName, image: &ImageReference) -> DeliveredImage {
    DeliveredImage {
        patch_set,
        repository: image.given_name().to_owned(),
        tag: image.tag().unwrap_or_default().to_owned(),
        digest: image.digest().map(ToString::to_string).unwrap_or_default(),
        reference: image.as_given(),
        revision: String::new(),
    }
}

/// Brings an image to the repository, together with others that go there at the same time.
pub async fn deliver(turn: &Turn<'_, PatchSet>, git: &DeliveryGit, image: &ImageStatus) -> DeliveryAnswer {
    let (patch_set, context, budget) = (turn.object, turn.context, turn.budget);
    let Some(delivery) = &patch_set.spec.delivery else {
        return Err(NotDelivered::Outdated);
    };
    let upstream = upstream(turn, git).await?;
    let referents = &context.referents;
    let signer = read_signer(referents, &turn.namespace(), git.signing.as_ref()).await?;
    let pushed_to = git.push.as_ref().map(|push| push.branch.clone());
    let branch = DeliveryBranch {
        namespace: turn.namespace(),
        repository: upstream.url().to_string(),
        branch: pushed_to.or_else(|| git.branch.clone()),
    };
    let order = DeliveryOrder {
        patch_set: patch_set.clone(),
        delivery: (**delivery).clone(),
        git: git.clone(),
        image: image.clone(),
        upstream,
        signer,
        deadline: budget.deadline,
    };
    let writers = &context.deliveries.writers;
    let answer = writers.run(&branch, order, budget.deadline, |orders| {
        answer_all(context, orders)
    });
    let answer = Box::pin(answer).await;
    let mut placed = answer.unwrap_or_else(|| {
        Err(Failure::retried(
            Step::Delivery,
            reason::TIMED_OUT,
            format!("{WHAT}: its writer was stopped; it will be looked at again"),
        )
        .into())
    })?;
    with_pull_request(turn, git, &mut placed).await?;
    Ok(placed)
}

/// Makes the pull request as it should be, if one is asked for.
async fn with_pull_request(
    turn: &Turn<'_, PatchSet>,
    git: &DeliveryGit,
    placed: &mut Placed,
) -> Result<(), NotDelivered> {
    let push = git.push.as_ref();
    let Some((push, options)) = push.and_then(|push| Some((push, push.pull_request.as_ref()?))) else {
        return Ok(());
    };
    let base = match &*placed {
        Placed::Committed(commit) | Placed::Found(commit, _) => commit.branch.clone(),
        Placed::Proposed { into, .. } => into.clone(),
    };
    let status = turn.status();
    let wanted = WantedPullRequest {
        turn,
        git,
        options,
        head: &push.branch,
        base: &base,
        proposed: status.proposed.as_deref(),
    };
    match placed {
        Placed::Proposed {
            proposal,
            message,
            lacks,
            ..
        } => {
            let kept = wanted.keep(proposal, message.as_deref()).await?;
            proposal.pull_request = Some(kept.url);
            let labels = kept.lacks.as_ref().map(|lacks| lacks.labels.clone());
            proposal.missing_labels = labels.unwrap_or_default();
            *lacks = kept.lacks;
        }
        Placed::Found(_, rest @ OpenChanges::Nothing) if status.proposed.is_some() => {
            // What is delivered stays so, whatever happens to the request.
            if let Err(failure) = wanted.close().await {
                tracing::warn!(namespace = turn.namespace(), name = turn.object.name_any(), %failure,
                    "a pull request with nothing left to merge could not be closed");
                *rest = OpenChanges::Unknown;
            }
        }
        Placed::Committed(_) | Placed::Found(..) => {}
    }
    Ok(())
}

/// The branch that Flux follows.
fn followed_ref(git: &DeliveryGit) -> RefSpec {
    git.branch
        .as_ref()
        .map_or(RefSpec::Default, |branch| RefSpec::Branch(branch.clone()))
}

async fn upstream(turn: &Turn<'_, PatchSet>, git: &DeliveryGit) -> Result<Upstream, Failure> {
    let namespace = turn.namespace();
    let secrets = RepositorySecrets {
        namespace: &namespace,
        login: git.secret_ref.as_ref(),
        proxy: git.proxy_secret_ref.as_ref(),
    };
    upstreams::upstream(turn.context, &git.url, secrets, GitPurpose::Push)
        .await
        .map_err(|failure| failure.of_step(Step::Delivery))
}

/// Works on all orders of a place, those that ask for the same in one commit.
async fn answer_all(context: &Arc<Context>, orders: Vec<DeliveryOrder>) -> Vec<DeliveryAnswer> {
    let mut answers: Vec<Option<DeliveryAnswer>> = orders.iter().map(|_| None).collect();
    while let Some(first) = answers.iter().position(Option::is_none) {
        let Some(leader) = orders.get(first) else { break };
        let alike: Vec<usize> = (first..orders.len())
            .filter(|at| orders.get(*at).is_some_and(|order| order.git == leader.git))
            .collect();
        let group: Vec<&DeliveryOrder> = alike.iter().filter_map(|at| orders.get(*at)).collect();
        let given = deliver_together(context, leader, &group).await;
        for (at, answer) in alike.into_iter().zip(given) {
            if let Some(slot) = answers.get_mut(at) {
                *slot = Some(answer);
            }
        }
    }
    answers.into_iter().flatten().collect()
}

/// Brings the images of orders that ask for the same into one commit, again after each lost race.
async fn deliver_together(
    context: &Arc<Context>,
    leader: &DeliveryOrder,
    orders: &[&DeliveryOrder],
) -> Vec<DeliveryAnswer> {
    let deadline = orders
        .iter()
        .map(|order| order.deadline)
        .max()
        .unwrap_or(leader.deadline);
    let mut answers: Vec<Option<DeliveryAnswer>> = orders.iter().map(|_| None).collect();
    let batch = Batch {
        context,
        leader,
        orders,
        deadline,
    };
    for tried in 1..=TRIES {
        let chance = if tried == TRIES {
            RaceRetry::Last
        } else {
            RaceRetry::OneOfMany
        };
        match batch.attempt(&mut answers, chance).await {
            Ok(()) => break,
            Err(PushError::Raced(_)) if chance == RaceRetry::OneOfMany => {
                tokio::time::sleep(AFTER_RACE.saturating_mul(tried)).await;
            }
            Err(failed) => {
                let failure = match failed {
                    PushError::Failed(failure) => failure.of_step(Step::Delivery),
                    PushError::Raced(words) => Failure::retried(
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

/// Orders that ask for the same, and are brought into one commit.
struct Batch<'a> {
    context: &'a Arc<Context>,
    leader: &'a DeliveryOrder,
    orders: &'a [&'a DeliveryOrder],
    deadline: Instant,
}

/// Whether another attempt follows if somebody else is faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RaceRetry {
    OneOfMany,
    Last,
}

/// Why an attempt failed.
enum PushError {
    Failed(Failure),
    /// Somebody else was faster, in the words of the error.
    Raced(String),
}

impl From<Failure> for PushError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Batch<'_> {
    /// Reads the branches, decides, and pushes once.
    ///
    /// On success every order has its answer. If the push fails for good, only the orders that
    /// needed no push have one.
    async fn attempt(
        &self,
        answers: &mut [Option<DeliveryAnswer>],
        chance: RaceRetry,
    ) -> Result<(), PushError> {
        let Self {
            context,
            leader,
            orders,
            deadline,
        } = *self;
        let (upstream, git) = (leader.upstream.clone(), leader.git.clone());
        let reading = blocking(context, WHAT, deadline, move |mirrors| {
            read(mirrors, &upstream, &git, deadline)
        });
        let read = Arc::new(reading.await?);
        // Asked after the branch was read: the push detects what comes later.
        let mut open = Vec::new();
        for (slot, order) in answers.iter_mut().zip(orders).filter(|(slot, _)| slot.is_none()) {
            match may_be_written(context, &order.patch_set, &order.delivery, &order.image.reference).await {
                Ok(true) => open.push((slot, *order)),
                Ok(false) => *slot = Some(Err(NotDelivered::Outdated)),
                Err(failure) => *slot = Some(Err(failure.into())),
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        let images: Vec<DeliveredImage> = open.iter().map(|(_, order)| order.delivered_image()).collect();
        let decided = {
            let (read, git) = (Arc::clone(&read), leader.git.clone());
            // Reading YAML takes a while.
            slots::spawn_blocking(move || next_step(&read, &git, &images)).await
        };
        let step = decided.map_err(|interrupted| task_failure(&interrupted))?;
        let ours = |branch: &&ReadBranch| gitops_markers::parse_trailers(&branch.message).parent.is_some();
        let rest = if step.waits {
            OpenChanges::Waits
        } else {
            OpenChanges::Nothing
        };
        let (there, rest) = match step.push {
            PlannedPush::AlreadyAt(commit) => {
                let tip = read.beside.as_ref().filter(ours);
                (Ok((commit, tip.map(|at| at.message.clone()))), rest)
            }
            PlannedPush::Commit(commit) => {
                let message = commit.message.clone();
                match self.push(&read, commit).await {
                    Ok(commit) => (Ok((commit, Some(message))), rest),
                    Err(raced @ PushError::Raced(_)) if chance == RaceRetry::OneOfMany => return Err(raced),
                    Err(failed) => (Err(failed), OpenChanges::Unknown),
                }
            }
        };
        for ((slot, order), verdict) in open.into_iter().zip(step.verdicts) {
            *slot = match (verdict.failure, &there) {
                (Some(failure), _) => Some(Err(failure.into())),
                // An order with nothing to push does not fail with the others.
                (None, _) if verdict.is_merged => {
                    Some(Ok(Placed::Found(found_on_followed(context, order, &read), rest)))
                }
                (None, Ok((commit, message))) => {
                    Some(Ok(placement(context, order, &read, commit, message.clone())))
                }
                (None, Err(_)) => None,
            };
        }
        there.map(|_| ())
    }

    /// Makes a commit and pushes it. Returns its id.
    async fn push(&self, read: &Arc<ReadBranches>, commit: CommitToPush) -> Result<String, PushError> {
        let (context, leader, deadline) = (self.context, self.leader, self.deadline);
        let read = Arc::clone(read);
        let (upstream, signer) = (leader.upstream.clone(), leader.signer.clone());
        let author = commit_author(leader.git.author.as_ref());
        let time = Timestamp::now();
        let pushed = blocking(context, WHAT, deadline, move |mirrors| {
            let at = read.branch_at(commit.onto).unwrap_or(&read.base);
            let changes = commit.files.into_iter();
            let changes: Vec<FileChange> = changes
                .map(|(path, bytes)| FileChange::Rewrite { path, bytes })
                .collect();
            let made = at.snapshot.make_commit(&NewCommit {
                changes: &changes,
                author: &author,
                message: &commit.message,
                time,
                signer: signer.as_ref(),
            })?;
            let update = BranchUpdate {
                branch: &commit.branch,
                expected: commit.expected,
                commit: &made,
            };
            match mirrors.push(&upstream, &update, deadline) {
                Ok(()) => Ok(Ok(made.id.to_string())),
                Err(raced @ Error::Raced { .. }) => Ok(Err(raced.to_string())),
                Err(error) => Err(error),
            }
        });
        pushed.await?.map_err(PushError::Raced)
    }
}

/// An image that the followed branch has already.
fn found_on_followed(context: &Context, order: &DeliveryOrder, read: &ReadBranches) -> CommitStatus {
    let commit = &read.base.commit;
    context
        .deliveries
        .note_seen(&order.patch_set, &order.image.reference, commit);
    order.commit_at(&read.name, commit)
}

/// Where a commit puts an image.
fn placement(
    context: &Context,
    order: &DeliveryOrder,
    read: &ReadBranches,
    commit: &str,
    message: Option<String>,
) -> Placed {
    let reference = order.image.reference.clone();
    let Some(push) = &order.git.push else {
        context.deliveries.note_seen(&order.patch_set, &reference, commit);
        return Placed::Committed(order.commit_at(&read.name, commit));
    };
    Placed::Proposed {
        proposal: ProposalStatus {
            reference,
            git: order.commit_at(&push.branch, commit),
            pull_request: None,
            missing_labels: Vec::new(),
        },
        into: read.name.clone(),
        message,
        lacks: None,
    }
}

/// Reads the branch that Flux follows, and the one that commits go to if that is another.
fn read(
    mirrors: &Mirrors,
    upstream: &Upstream,
    git: &DeliveryGit,
    deadline: Instant,
) -> Result<ReadBranches, git_mirrors::Error> {
    let branches = Branches {
        mirrors,
        upstream,
        paths: &git.paths,
        freshness: Freshness::Now,
        deadline,
    };
    let (name, base) = branches.read(&followed_ref(git), Folders::Required)?;
    let beside = match &git.push {
        None => None,
        Some(push) => match branches.read(&RefSpec::Branch(push.branch.clone()), Folders::Optional) {
            Ok((_, at)) => Some(at),
            Err(Error::RefNotFound { .. }) => None,
            Err(error) => return Err(error),
        },
    };
    Ok(ReadBranches { name, base, beside })
}

/// Branches of a repository, as far as they are read.
struct Branches<'a> {
    mirrors: &'a Mirrors,
    upstream: &'a Upstream,
    paths: &'a [String],
    freshness: Freshness,
    deadline: Instant,
}

/// Whether a branch may lack the folders that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Folders {
    Required,
    Optional,
}

impl Branches<'_> {
    /// Reads one branch, with its name.
    fn read(&self, want: &RefSpec, folders_are: Folders) -> Result<(String, ReadBranch), git_mirrors::Error> {
        let snapshot = self
            .mirrors
            .fetch(self.upstream, want, self.freshness, self.deadline)?;
        let name = snapshot.revision().name().unwrap_or_default().to_owned();
        let (mut files, mut limits, mut marked_left) = (Vec::new(), LIMITS, MOST_MARKED);
        for path in &outermost_folders(self.paths) {
            let mut take = |file: SourceFile| {
                if gitops_markers::may_have_markers(&file.content) {
                    marked_left =
                        marked_left
                            .checked_sub(file.content.len())
                            .ok_or_else(|| Error::TooLarge {
                                what: "the files with markers together".to_owned(),
                                limit: format!("{} MiB", MOST_MARKED >> 20),
                            })?;
                    files.push((file.name, file.content));
                }
                Ok(())
            };
            match snapshot.read_below(path, &ENDINGS, &mut limits, &mut take) {
                // The branch is older than the folder.
                Err(Error::FileNotFound { .. }) if folders_are == Folders::Optional => {}
                read => read?,
            }
        }
        files.sort();
        let (message, parent) = snapshot.message_and_parent()?;
        let at = ReadBranch {
            commit: snapshot.commit().to_string(),
            parent: parent.map(|parent| parent.to_string()),
            snapshot,
            message,
            files,
        };
        Ok((name, at))
    }
}

/// Folders without those inside another one.
fn outermost_folders(paths: &[String]) -> Vec<String> {
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
    use super::outermost_folders;

    #[test]
    fn folders_are_read_once() {
        let of =
            |paths: &[&str]| outermost_folders(&paths.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(of(&[]), [""]);
        assert_eq!(of(&["a/", "./a", "a/b", "ab"]), ["a", "ab"]);
        assert_eq!(of(&["a", "."]), [""]);
    }
}
