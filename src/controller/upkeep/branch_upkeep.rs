//! One writer's work on a branch: observe, decide one step, do it, and observe again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forges::{DesiredPullRequest, GitPurpose, PullRequestClient, PullRequestState, Readiness, ServerRequest};
use git_mirrors::{Freshness, RefSpec};
use jiff::Timestamp;
use patchset_api::delivery::PullRequestOptions;
use patchset_api::reason;
use patchset_api::upkeep::{Upkeep, UpkeepState};

use super::group::Group;
use super::repository::{PatchesRepository, PlanInputs, PreparedUpkeep, Pushed, ReadRepository};
use crate::controller::context::{Budget, Context, Occasion, failures};
use crate::controller::inputs::forges::{failure_of_forge, log_missing_reviewers, pull_request_client};
use crate::controller::inputs::identities::commit_author;
use crate::controller::inputs::signers::read_signer;
use crate::controller::inputs::upstreams::{RepositorySecrets, blocking, upstream};
use crate::controller::state::second_looks::UsedLooks;
use crate::controller::state::upkeeps::{BranchUpkeep, UpkeepBranch, UpkeepOrder};
use crate::ops::metrics::UpkeepAct;
use crate::plan::{Failure, Retry, Step, backoff};
use crate::upkeep::{
    ChangeId, ObservedRequest, ObservedUpkeep, RequestState, UpkeepOutcome, UpkeepPlan, UpkeepRates,
    UpkeepStep, declined_changes, next_step,
};

/// What the repository is called in messages.
const WHAT: &str = "upkeep";

/// How many steps are done at most before it is somebody else's turn.
const MOST_STEPS: u32 = 10;

/// The wait after the first lost race; longer after each further one.
const AFTER_RACE: Duration = Duration::from_millis(50);

/// How old the knowledge of the upstreams may be: their own looks are newer.
const UPSTREAMS: Freshness = Freshness::MaxAge(Duration::from_secs(24 * 60 * 60));

/// Does what there is to do for a branch, for all that wait for it, and remembers the outcome.
pub async fn look_after_branch(
    context: &Arc<Context>,
    branch: &UpkeepBranch,
    orders: &[UpkeepOrder],
) -> Arc<BranchUpkeep> {
    let began = Instant::now();
    let newer: Vec<_> = orders.iter().map(|order| order.patch_set.clone()).collect();
    let deadline = orders.iter().map(|order| order.deadline).max().unwrap_or(began);
    let former = context.upkeeps.last.get(branch);
    let group = Group::find(context, branch, &newer);
    let inputs = group
        .as_ref()
        .map(|group| group.digest(&context.referents))
        .unwrap_or_default();
    let interval = newer
        .iter()
        .filter_map(|object| object.spec.interval.get().ok())
        .min();
    let interval = interval
        .unwrap_or(backoff::LONGEST)
        .max(context.options.min_interval);
    let looks = UsedLooks::default();
    let done = match &group {
        None => Ok(Done::nothing()),
        Some(group) => {
            let work = BranchWork {
                context,
                branch,
                group,
                budget: Budget {
                    occasion: Occasion::Due,
                    freshness: UPSTREAMS,
                    longest_pin: Duration::ZERO,
                    deadline,
                    looks: &looks,
                },
            };
            Box::pin(work.run()).await
        }
    };
    let (done, lasts, failures) = match done {
        Ok(done) => {
            let lasts = done
                .until
                .map_or(interval, |until| interval.min(time_until(until)));
            (done, lasts, 0)
        }
        Err(failure) => {
            let times = former
                .as_ref()
                .map_or(0, |former| former.failures)
                .saturating_add(1);
            tracing::warn!(namespace = branch.namespace, branch = branch.branch, reason = %failure.reason,
                message = failure.message, "patches could not be looked after");
            context.metrics.count_upkeep_act(UpkeepAct::Failed);
            let wait = match failure.retry {
                Retry::After(wait) => wait.max(interval),
                Retry::Backoff | Retry::Anew | Retry::WhenChanged => {
                    backoff::after_failures(times, backoff::LONGEST).max(context.options.min_interval)
                }
            };
            let known = former.as_ref().map(|former| &former.outcome);
            let known = known.filter(|known| known.pull_request.is_some());
            let told = group.as_ref().and_then(Group::told_outcome);
            let done = Done {
                plan: UpkeepPlan::default(),
                outcome: failed(failure.message, known.or(told.as_ref())),
                until: None,
            };
            (done, wait, times)
        }
    };
    let done = Arc::new(BranchUpkeep {
        inputs,
        plan: done.plan.without_edits(),
        outcome: done.outcome,
        began,
        ended: Instant::now(),
        lasts,
        failures,
    });
    context.upkeeps.last.put(branch.clone(), Arc::clone(&done));
    done
}

/// The outcome when something could not be proposed.
pub fn failed(message: String, known: Option<&UpkeepOutcome>) -> UpkeepOutcome {
    UpkeepOutcome {
        state: UpkeepState::Failed,
        pull_request: known.and_then(|known| known.pull_request.clone()),
        branch: known.and_then(|known| known.branch.clone()),
        commit: known.and_then(|known| known.commit),
        message: Some(message),
    }
}

/// The time until then, and a moment longer.
fn time_until(until: Timestamp) -> Duration {
    let left = Duration::try_from(until.duration_since(Timestamp::now()));
    left.unwrap_or_default().saturating_add(Duration::from_secs(1))
}

/// The outcome of the work.
struct Done {
    plan: UpkeepPlan,
    outcome: UpkeepOutcome,
    /// When to look again, where that is known.
    until: Option<Timestamp>,
}

impl Done {
    fn nothing() -> Self {
        Self {
            plan: UpkeepPlan::default(),
            outcome: UpkeepOutcome {
                state: UpkeepState::Reported,
                pull_request: None,
                branch: None,
                commit: None,
                message: None,
            },
            until: None,
        }
    }
}

/// The work on one branch.
struct BranchWork<'a> {
    context: &'a Arc<Context>,
    branch: &'a UpkeepBranch,
    group: &'a Group,
    budget: Budget<'a>,
}

/// What was observed, and what is to be proposed.
struct UpkeepSituation {
    read: Arc<ReadRepository>,
    found: Option<ServerRequest>,
    declined: BTreeSet<ChangeId>,
    prepared: PreparedUpkeep,
}

/// The forge and the repository, with their logins.
struct Access {
    repository: PatchesRepository,
    client: Arc<PullRequestClient>,
    inputs: Arc<PlanInputs>,
}

impl BranchWork<'_> {
    /// Observes and does one step after the other, until there is nothing to do.
    async fn run(&self) -> Result<Done, Failure> {
        if let Some((one, other)) = self.group.disagreement() {
            return Err(Failure::stalled(
                Step::Delivery,
                reason::INVALID_SPEC,
                format!(
                    "PatchSets {one} and {other} share one upkeep.branch for two different branches that are to be changed: give one of them another upkeep.branch"
                ),
            ));
        }
        let Some((options, request)) = self
            .group
            .options()
            .and_then(|upkeep| Some((upkeep, upkeep.pull_request.as_ref()?)))
        else {
            return Ok(Done::nothing());
        };
        let access = self.access(options, request).await?;
        let mut known: Option<UpkeepSituation> = None;
        for tried in 1..=MOST_STEPS {
            let observed = self.observe(&access, known.take()).await?;
            match self.step(&access, &observed) {
                UpkeepStep::Push { .. } => {
                    if let Some(raced) = self.push(&access, &observed).await? {
                        tracing::info!(branch = self.branch.branch, raced, "another writer was faster");
                        tokio::time::sleep(AFTER_RACE.saturating_mul(tried)).await;
                    }
                }
                UpkeepStep::Open { title, body } => {
                    self.open(&access, &observed, (&title, &body)).await?;
                }
                UpkeepStep::Update { title, body } => {
                    self.update(&access, &observed, (&title, &body)).await?;
                }
                UpkeepStep::Close { word } => self.close(&access, &observed, &word).await?,
                step @ (UpkeepStep::Nothing | UpkeepStep::Wait { .. } | UpkeepStep::StandBack { .. }) => {
                    return Ok(self.done(observed, step));
                }
            }
            known = Some(observed);
        }
        Err(Failure::retried(
            Step::Delivery,
            reason::WRITE_FAILED,
            format!("{WHAT}: others keep changing the branch or the request"),
        ))
    }

    async fn access(&self, options: &Upkeep, request: &PullRequestOptions) -> Result<Access, Failure> {
        let (context, namespace) = (self.context, self.branch.namespace.as_str());
        let spec = self.group.spec();
        let git = spec.and_then(|spec| spec.patches.as_ref()?.git.as_ref());
        let secrets = RepositorySecrets {
            namespace,
            login: options
                .secret_ref
                .as_ref()
                .or(git.and_then(|git| git.secret_ref.as_ref())),
            proxy: options
                .proxy_secret_ref
                .as_ref()
                .or(git.and_then(|git| git.proxy_secret_ref.as_ref())),
        };
        let url = self.group.url();
        let signer = read_signer(&context.referents, namespace, options.signing.as_ref()).await?;
        let series = self.group.series(context, self.budget).await?;
        Ok(Access {
            repository: PatchesRepository {
                upstream: upstream(context, url, secrets, GitPurpose::Push).await?,
                base: self
                    .group
                    .base()
                    .map_or(RefSpec::Default, |base| RefSpec::Branch(base.to_owned())),
                branch: self.branch.branch.clone(),
                author: commit_author(options.author.as_ref()),
                signer,
                deadline: self.budget.deadline,
            },
            client: pull_request_client(context, namespace, url, request).await?,
            inputs: Arc::new(PlanInputs {
                namespace: namespace.to_owned(),
                facts: self.group.facts(),
                series,
            }),
        })
    }

    /// Reads the branches and the request, and makes a plan if the known one does not fit.
    async fn observe(
        &self,
        access: &Access,
        known: Option<UpkeepSituation>,
    ) -> Result<UpkeepSituation, Failure> {
        let (context, deadline) = (self.context, self.budget.deadline);
        let repository = access.repository.clone();
        let read = blocking(context, WHAT, deadline, move |mirrors| repository.read(mirrors)).await?;
        let read = Arc::new(read);
        let look = access.client.read(&self.branch.branch, &read.base_name);
        let found = self.at_forge("the pull request", look).await?;
        let declined = declined_changes(found.as_ref().map(observed_request).as_ref());
        let fits = |known: &UpkeepSituation| {
            known.read.base.commit() == read.base.commit() && known.declined == declined
        };
        let prepared = match known.filter(fits) {
            Some(known) => known.prepared,
            None => self.prepare(access, (&read, &declined)).await?,
        };
        Ok(UpkeepSituation {
            read,
            found,
            declined,
            prepared,
        })
    }

    async fn prepare(
        &self,
        access: &Access,
        (read, declined): (&Arc<ReadRepository>, &BTreeSet<ChangeId>),
    ) -> Result<PreparedUpkeep, Failure> {
        let deadline = self.budget.deadline;
        let (read, inputs, declined) = (Arc::clone(read), Arc::clone(&access.inputs), declined.clone());
        let prepared = blocking(self.context, WHAT, deadline, move |mirrors| {
            inputs.prepare(mirrors, &read.base, &declined, deadline)
        });
        prepared
            .await?
            .map_err(|error| failures::layout_failure("the patches' repository", &error))
    }

    /// What is to be done next.
    fn step(&self, access: &Access, observed: &UpkeepSituation) -> UpkeepStep {
        let PreparedUpkeep { plan, text } = &observed.prepared;
        let options = &self.context.options;
        let rates = UpkeepRates {
            between_updates: options.upkeep_update_interval,
            between_requests: options.upkeep_request_interval,
        };
        let tip = observed.read.branch.tip.clone();
        let seen = ObservedUpkeep {
            branch: observed.read.branch.clone(),
            request: observed.found.as_ref().map(observed_request),
            committer: access.repository.author.email.clone(),
            pushed: tip.filter(|tip| self.group.has_told_commit(tip)),
        };
        let step = next_step(&seen, plan, text, rates, Timestamp::now());
        let begins = matches!(step, UpkeepStep::Push { .. } | UpkeepStep::Open { .. });
        if begins && !plan.pending.is_empty() {
            // The first request is to include all that will be known in a moment.
            return UpkeepStep::Wait {
                until: None,
                reason: format!("{} of the PatchSets are being tried", plan.pending.len()),
            };
        }
        step
    }

    /// Pushes the plan; returns who was faster, if somebody was.
    async fn push(&self, access: &Access, observed: &UpkeepSituation) -> Result<Option<String>, Failure> {
        let (repository, read) = (access.repository.clone(), Arc::clone(&observed.read));
        let (plan, time) = (observed.prepared.plan.clone(), Timestamp::now());
        let pushed = blocking(self.context, WHAT, self.budget.deadline, move |mirrors| {
            repository.push(mirrors, (&read, &plan), time)
        });
        match pushed.await.map_err(|failure| failure.of_step(Step::Delivery))? {
            Pushed::Done => {
                self.context.metrics.count_upkeep_act(UpkeepAct::Pushed);
                Ok(None)
            }
            Pushed::Raced(raced) => Ok(Some(raced)),
        }
    }

    async fn open(
        &self,
        access: &Access,
        observed: &UpkeepSituation,
        text: (&str, &str),
    ) -> Result<(), Failure> {
        let request = self.desired(observed, text);
        let asked = Box::pin(access.client.ensure(&request));
        let opened = self.at_forge("opening the pull request", asked).await?;
        self.context.metrics.count_upkeep_act(UpkeepAct::Opened);
        tracing::info!(
            namespace = self.branch.namespace,
            url = opened.url,
            "a pull request for patches is open"
        );
        if let Some(missing) = &opened.missing_labels {
            tracing::warn!(
                url = opened.url,
                reason = missing.reason,
                "labels could not be added"
            );
        }
        let reviewers = self.request_options().map(|options| options.reviewers.as_slice());
        let asked = access
            .client
            .ask_for_reviews(opened.number, reviewers.unwrap_or_default());
        let asked = self.at_forge("asking for reviews", asked).await;
        log_missing_reviewers(&opened.url, &asked);
        Ok(())
    }

    async fn update(
        &self,
        access: &Access,
        observed: &UpkeepSituation,
        text: (&str, &str),
    ) -> Result<(), Failure> {
        let Some(found) = &observed.found else {
            return Ok(());
        };
        let request = self.desired(observed, text);
        let asked = Box::pin(access.client.update_read(found, &request));
        self.at_forge("updating the pull request", asked).await?;
        self.context.metrics.count_upkeep_act(UpkeepAct::Updated);
        Ok(())
    }

    async fn close(&self, access: &Access, observed: &UpkeepSituation, word: &str) -> Result<(), Failure> {
        let Some(found) = &observed.found else {
            return Ok(());
        };
        let asked = Box::pin(access.client.close_with(found.request.number, word));
        self.at_forge("closing the pull request", asked).await?;
        self.context.metrics.count_upkeep_act(UpkeepAct::Closed);
        Ok(())
    }

    fn request_options(&self) -> Option<&PullRequestOptions> {
        self.group.options()?.pull_request.as_ref()
    }

    fn desired<'a>(
        &'a self,
        observed: &'a UpkeepSituation,
        (title, body): (&'a str, &'a str),
    ) -> DesiredPullRequest<'a> {
        let options = self.request_options();
        DesiredPullRequest {
            head: &self.branch.branch,
            base: &observed.read.base_name,
            title,
            body,
            labels: options.map_or(&[][..], |options| &options.labels),
            readiness: match options {
                Some(options) if options.draft => Readiness::Draft,
                _ => Readiness::Ready,
            },
        }
    }

    async fn at_forge<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, forges::Error>>,
    ) -> Result<T, Failure> {
        let done = self.budget.limit(Step::Delivery, what, work).await?;
        done.map_err(|error| {
            let failure = failure_of_forge(&error);
            Failure {
                message: format!("upkeep.pullRequest: {}", failure.message),
                ..failure
            }
        })
    }

    /// The outcome when nothing more is to be done.
    fn done(&self, observed: UpkeepSituation, step: UpkeepStep) -> Done {
        let plan = observed.prepared.plan;
        let state_of_request = observed.found.as_ref().map(|found| found.request.state);
        let is_open = state_of_request == Some(PullRequestState::Open);
        let (state, until, message) = match step {
            UpkeepStep::StandBack { reason } => (UpkeepState::StandsBack, None, Some(reason.to_string())),
            UpkeepStep::Wait { until, reason } if is_open => (UpkeepState::Proposed, until, Some(reason)),
            UpkeepStep::Wait { until, reason } => (UpkeepState::Waiting, until, Some(reason)),
            _ if is_open => (UpkeepState::Proposed, plan.next_due, None),
            _ => match state_of_request {
                Some(PullRequestState::Merged) => (UpkeepState::Merged, plan.next_due, None),
                Some(PullRequestState::Closed) if !observed.declined.is_empty() => {
                    (UpkeepState::Closed, plan.next_due, None)
                }
                _ => (UpkeepState::Reported, plan.next_due, None),
            },
        };
        let is_there = state != UpkeepState::Reported && state != UpkeepState::Waiting;
        let page = observed.found.map(|found| found.request.url);
        Done {
            outcome: UpkeepOutcome {
                state,
                pull_request: page.filter(|page| is_there && !page.is_empty()),
                branch: is_there.then(|| self.branch.branch.clone()),
                commit: observed.read.tip.filter(|_| is_there),
                message,
            },
            plan,
            until,
        }
    }
}

/// A request, as the manners look at it.
fn observed_request(found: &ServerRequest) -> ObservedRequest {
    ObservedRequest {
        state: match found.request.state {
            PullRequestState::Open => RequestState::Open,
            PullRequestState::Merged => RequestState::Merged,
            PullRequestState::Closed => RequestState::Closed,
        },
        title: found.title.clone(),
        body: found.body.clone(),
        labels: found.labels.clone(),
    }
}
