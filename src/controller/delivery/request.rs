//! Keeps a pull request open for what waits on a branch.

use std::sync::Arc;

use forges::{
    AskAgain, DesiredPullRequest, Error, MissingLabels, PullRequestClient, PullRequestState, Readiness,
};
use patchset_api::delivery::{DeliveryGit, ProposalStatus, PullRequestOptions};
use patchset_api::{PatchSet, reason};

use crate::controller::context::turn::Turn;
use crate::controller::inputs::forges::{failure_of_forge, log_missing_reviewers, pull_request_client};
use crate::plan::{Failure, Step};

/// The title if the newest commit of the branch is somebody else's.
const DEFAULT_TITLE: &str = "Deliver images";

/// A pull request that is open.
pub struct OpenPullRequest {
    /// Its address.
    pub url: String,
    /// The labels that it could not be given.
    pub lacks: Option<MissingLabels>,
}

/// A pull request that is wanted.
pub struct WantedPullRequest<'a> {
    pub turn: &'a Turn<'a, PatchSet>,
    pub git: &'a DeliveryGit,
    pub options: &'a PullRequestOptions,
    /// The branch that commits go to, and the one that they should be merged into.
    pub head: &'a str,
    pub base: &'a str,
    /// What the status says about it.
    pub proposed: Option<&'a ProposalStatus>,
}

impl WantedPullRequest<'_> {
    /// Keeps it open, with title and text of a commit's message if that is new; returns it. One for
    /// the same image that somebody closed stays closed, unless a look is requested.
    pub async fn keep(
        &self,
        proposal: &ProposalStatus,
        message: Option<&str>,
    ) -> Result<OpenPullRequest, Failure> {
        let client = self.client().await?;
        let former = self
            .proposed
            .filter(|former| former.reference == proposal.reference);
        let address = former.and_then(|former| former.pull_request.as_ref());
        let is_asked = self.turn.budget.is_asked_for();
        if message.is_none() || (address.is_some() && !is_asked) {
            let found = self.in_time(client.find(self.head, self.base)).await?;
            if let Some(found) = found {
                let is_recorded = address == Some(&found.url);
                // People's edits to its title and text stay until this controller makes a new
                // commit.
                let is_same = message.is_none() || former.is_some_and(|former| former.git == proposal.git);
                match found.state {
                    PullRequestState::Open if is_same && (is_recorded || message.is_none()) => {
                        let lacks = self.add_missing_labels(&client, found.number).await;
                        return Ok(OpenPullRequest {
                            url: found.url,
                            lacks,
                        });
                    }
                    PullRequestState::Closed if is_recorded && !is_asked => {
                        return Err(Failure::stalled(
                            Step::Delivery,
                            reason::PULL_REQUEST_CLOSED,
                            format!(
                                "{} was closed without being merged: reopen it, or ask for another with the annotation reconcile.fluxcd.io/requestedAt",
                                found.url
                            ),
                        ));
                    }
                    PullRequestState::Open | PullRequestState::Closed | PullRequestState::Merged => {}
                }
            }
        }
        let message = message.unwrap_or(DEFAULT_TITLE);
        let (title, body) = message.split_once('\n').unwrap_or((message, ""));
        let request = DesiredPullRequest {
            head: self.head,
            base: self.base,
            title,
            body: body.trim(),
            labels: &self.options.labels,
            readiness: if self.options.draft {
                Readiness::Draft
            } else {
                Readiness::Ready
            },
        };
        let asked = Box::pin(client.ensure(&request));
        let kept = self.in_time(asked).await?;
        // Reviewers are asked only once: people may have removed somebody.
        if address != Some(&kept.url) {
            let asked = client.ask_for_reviews(kept.number, &self.options.reviewers);
            let asked = self.in_time(asked).await;
            log_missing_reviewers(&kept.url, &asked);
        }
        Ok(OpenPullRequest {
            url: kept.url,
            lacks: kept.missing_labels,
        })
    }

    /// Adds the labels that the status says are missing; those that people took away stay away.
    async fn add_missing_labels(&self, client: &PullRequestClient, number: u64) -> Option<MissingLabels> {
        let missing = self.proposed.map_or(&[][..], |proposed| &proposed.missing_labels);
        let wanted = &self.options.labels;
        let missing: Vec<String> = missing
            .iter()
            .filter(|label| wanted.iter().any(|wanted| wanted.trim() == *label))
            .cloned()
            .collect();
        if missing.is_empty() {
            return None;
        }
        let again = if self.turn.budget.is_asked_for() {
            AskAgain::Now
        } else {
            AskAgain::Later
        };
        let added = self.in_time(client.add_labels(number, &missing, again)).await;
        // Apart from them, the request is as it should be.
        added.unwrap_or_else(|failure| {
            Some(MissingLabels {
                labels: missing,
                reason: failure.message,
            })
        })
    }

    /// Closes it if it is open: what it asks for is there, or is not wanted any more.
    pub async fn close(&self) -> Result<(), Failure> {
        let client = self.client().await?;
        let found = self.in_time(client.find(self.head, self.base)).await?;
        match found.filter(|found| found.state == PullRequestState::Open) {
            Some(found) => self.in_time(client.close(found.number)).await,
            None => Ok(()),
        }
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        let done = self
            .turn
            .budget
            .limit(Step::Delivery, "the pull request", work)
            .await?;
        done.map_err(|error| of_this(&failure_of_forge(&error)))
    }

    async fn client(&self) -> Result<Arc<PullRequestClient>, Failure> {
        let (context, namespace) = (self.turn.context, self.turn.namespace());
        let client = pull_request_client(context, &namespace, &self.git.url, self.options).await;
        client.map_err(|failure| {
            // The failure of a Secret names it.
            if failure.reason == reason::INVALID_SPEC {
                of_this(&failure)
            } else {
                failure
            }
        })
    }
}

/// The failure, prefixed with the field that asks for the request.
fn of_this(failure: &Failure) -> Failure {
    Failure {
        message: format!("delivery.git.push.pullRequest: {}", failure.message),
        ..failure.clone()
    }
}
