//! The manners of a request: what to do next, given the current state.
//!
//! Each step leaves what the next one follows from, so that a controller that is killed after any
//! of them continues where it was: a push leaves the trailers of the commits ([`CommitMark`]), a
//! request the comment in its text ([`UpkeepMarker`]).

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use patchset_api::upkeep::HANDS_OFF_LABEL;

use super::change::UpkeepPlan;
use super::change_id::ChangeId;
use super::left_alone::LeftAloneReason;
use super::marker::{CommitMark, UpkeepMarker};
use super::request_text::{RequestText, title_digest};

/// How far clocks may be apart.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// What makes a request a draft at the start of its title, where servers have no field for it.
const DRAFT_PREFIXES: [&str; 5] = ["draft:", "[draft]", "(draft)", "wip:", "[wip]"];

/// What was observed of the branch and its request.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedUpkeep {
    /// The branch.
    pub branch: ObservedBranch,
    /// The newest request from the branch into the base, open or not.
    pub request: Option<ObservedRequest>,
    /// The mail address that the controller commits with: any other is a person's.
    pub committer: String,
    /// The last commit that the controller pushed, according to statuses: a branch that ends with
    /// it is the controller's own.
    pub pushed: Option<String>,
}

/// The branch that the commits go to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedBranch {
    /// Its last commit; `None` where there is no such branch.
    pub tip: Option<String>,
    /// Its commits that the base lacks, oldest first; beyond a hundred, the last are enough.
    pub commits: Vec<BranchCommit>,
}

/// A commit of the branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchCommit {
    /// Its id.
    pub id: String,
    /// The mail address of its author.
    pub author: String,
    /// The mail address of who committed it.
    pub committer: String,
    /// Its message.
    pub message: String,
}

/// An existing request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedRequest {
    /// Its state.
    pub state: RequestState,
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// Its labels.
    pub labels: Vec<String>,
}

/// The state of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// It can be merged.
    Open,
    /// It was merged.
    Merged,
    /// It was closed without being merged.
    Closed,
}

/// How often something may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpkeepRates {
    /// The least time between two changes to a request.
    pub between_updates: Duration,
    /// The least time between two openings of one.
    pub between_requests: Duration,
}

impl Default for UpkeepRates {
    /// An hour between changes, and six between requests: at most four a day.
    fn default() -> Self {
        Self {
            between_updates: Duration::from_secs(60 * 60),
            between_requests: Duration::from_secs(6 * 60 * 60),
        }
    }
}

/// Why a branch or request is left to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StandBackReason {
    /// The request has the label `patchset/hands-off`.
    Label,
    /// The request has a different title.
    Title,
    /// The text of the request has no marker.
    Text,
    /// The branch has a commit of somebody else.
    ForeignCommit {
        /// The commit.
        commit: String,
        /// The mail address of its author.
        author: String,
    },
    /// Branch and request belong to the `PatchSet`s of another namespace.
    OtherNamespace {
        /// The namespace.
        namespace: String,
    },
}

impl fmt::Display for StandBackReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label => write!(f, "the pull request has the label {HANDS_OFF_LABEL}: remove it to have it kept up to date"),
            Self::Title => f.write_str(
                "somebody changed the title of the pull request: merge or close it, or give it its former title",
            ),
            Self::Text => f.write_str(
                "somebody replaced the text of the pull request: merge or close it",
            ),
            Self::ForeignCommit { commit, author } => {
                let short: String = commit.chars().take(10).collect();
                let author = foreign_text::printable(author, 100);
                write!(
                    f,
                    "the branch has commit {short} of {author}: merge the pull request, or remove the commit or the branch"
                )
            }
            Self::OtherNamespace { namespace } => {
                let namespace = foreign_text::printable(namespace, 63);
                write!(
                    f,
                    "the branch belongs to the PatchSets of namespace {namespace}: name another one in upkeep.branch"
                )
            }
        }
    }
}

/// What is done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpkeepStep {
    /// All is in its place, or there is nothing to do.
    Nothing,
    /// Something will be done: when, where that is known, and why not yet.
    Wait {
        /// When to look again.
        until: Option<Timestamp>,
        /// Why, in a sentence.
        reason: String,
    },
    /// The branch is rewritten: the plan's commits, on the base.
    Push {
        /// The commit that the branch has to be at; `None` if it must not exist.
        replaces: Option<String>,
    },
    /// A request is opened.
    Open {
        /// Its title.
        title: String,
        /// Its text.
        body: String,
    },
    /// The open request gets another title or text.
    Update {
        /// Its title.
        title: String,
        /// Its text.
        body: String,
    },
    /// The open request is closed, with a comment.
    Close {
        /// The comment, in Markdown.
        word: String,
    },
    /// A person has taken over.
    StandBack {
        /// Why.
        reason: StandBackReason,
    },
}

/// The changes that a person declined by closing the request, to be withheld from the plan.
#[must_use]
pub fn declined_changes(request: Option<&ObservedRequest>) -> BTreeSet<ChangeId> {
    let closed = request.filter(|request| request.state == RequestState::Closed);
    // One that the controller closed says in its marker that it proposes nothing.
    let marker = closed.and_then(|request| UpkeepMarker::read(&request.body));
    marker.into_iter().flat_map(|marker| marker.changes).collect()
}

/// Decides what to do next, given what was observed. The caller does it, observes and asks again.
#[must_use]
pub fn next_step(
    observed: &ObservedUpkeep,
    plan: &UpkeepPlan,
    text: &RequestText,
    rates: UpkeepRates,
    now: Timestamp,
) -> UpkeepStep {
    if let Some(reason) = stands_back(observed, plan) {
        return UpkeepStep::StandBack { reason };
    }
    let open = observed
        .request
        .as_ref()
        .filter(|request| request.state == RequestState::Open);
    let Some(open) = open else {
        return without_request(observed, plan, text, rates, now);
    };
    if !plan.pending.is_empty() {
        let names: Vec<&str> = plan.pending.iter().take(3).map(String::as_str).collect();
        return UpkeepStep::Wait {
            until: None,
            reason: format!(
                "{} of the PatchSets are being tried: {}",
                plan.pending.len(),
                names.join(", ")
            ),
        };
    }
    let marker = UpkeepMarker::read(&open.body);
    if plan.is_empty() {
        // This shows whoever finds it closed that no person declined it.
        return match marker.filter(|marker| !marker.changes.is_empty()) {
            Some(marker) => UpkeepStep::Update {
                title: open.title.clone(),
                body: marker.withdrawn(&open.body),
            },
            None => UpkeepStep::Close {
                word: closing_word(plan),
            },
        };
    }
    let is_pushed = content_of(&observed.branch) == Some(plan.content());
    let is_told = marker
        .as_ref()
        .is_some_and(|marker| marker.text == text.marker.text);
    if is_pushed && is_told {
        return UpkeepStep::Nothing;
    }
    let last = marker.map(|marker| marker.at);
    if let Some(until) = not_before(last, rates.between_updates, now) {
        return UpkeepStep::Wait {
            until: Some(until),
            reason: "the pull request was changed a short time ago".to_owned(),
        };
    }
    if is_pushed {
        UpkeepStep::Update {
            title: text.title.clone(),
            body: text.body.clone(),
        }
    } else {
        UpkeepStep::Push {
            replaces: observed.branch.tip.clone(),
        }
    }
}

/// What is done where no request is open.
fn without_request(
    observed: &ObservedUpkeep,
    plan: &UpkeepPlan,
    text: &RequestText,
    rates: UpkeepRates,
    now: Timestamp,
) -> UpkeepStep {
    if plan.is_empty() {
        return match plan.next_due {
            Some(until) => UpkeepStep::Wait {
                until: Some(until),
                reason: "it has not stayed this way for long enough".to_owned(),
            },
            None => UpkeepStep::Nothing,
        };
    }
    let told = observed.request.as_ref();
    let told = told.and_then(|request| UpkeepMarker::read(&request.body));
    let last = told.map(|marker| marker.at);
    if let Some(until) = not_before(last, rates.between_requests, now) {
        return UpkeepStep::Wait {
            until: Some(until),
            reason: "the last pull request was opened or changed a short time ago".to_owned(),
        };
    }
    if content_of(&observed.branch) == Some(plan.content()) {
        UpkeepStep::Open {
            title: text.title.clone(),
            body: text.body.clone(),
        }
    } else {
        UpkeepStep::Push {
            replaces: observed.branch.tip.clone(),
        }
    }
}

/// When something may be done again; `None` if it may be at once. A time in the future is ignored:
/// whoever writes the text must not be able to block this for good.
fn not_before(last: Option<Timestamp>, between: Duration, now: Timestamp) -> Option<Timestamp> {
    let last = last?;
    let latest = now.checked_add(SKEW).unwrap_or(Timestamp::MAX);
    let until = last.checked_add(between).unwrap_or(Timestamp::MAX);
    (last <= latest && until > now).then_some(until)
}

/// The digest over all that the branch changes, from the trailer of its last commit.
fn content_of(branch: &ObservedBranch) -> Option<&str> {
    let last = branch.commits.last()?;
    let (_, content) = last.message.trim_end().rsplit_once(' ')?;
    CommitMark::read(&last.message).is_some().then_some(content)
}

/// Why branch and request are left to people.
fn stands_back(observed: &ObservedUpkeep, plan: &UpkeepPlan) -> Option<StandBackReason> {
    if let Some(request) = &observed.request {
        let has_label = request
            .labels
            .iter()
            .any(|label| label.trim().eq_ignore_ascii_case(HANDS_OFF_LABEL));
        if has_label && request.state != RequestState::Merged {
            return Some(StandBackReason::Label);
        }
        if request.state == RequestState::Open {
            let Some(marker) = UpkeepMarker::read(&request.body) else {
                return Some(StandBackReason::Text);
            };
            if marker.namespace != plan.namespace {
                return Some(StandBackReason::OtherNamespace {
                    namespace: marker.namespace,
                });
            }
            if title_digest(without_draft(&request.title)) != marker.title {
                return Some(StandBackReason::Title);
            }
        }
    }
    let is_pushed = observed.pushed.is_some() && observed.branch.tip == observed.pushed;
    observed.branch.commits.iter().find_map(|commit| {
        let is_own = is_pushed
            || [&commit.author, &commit.committer]
                .into_iter()
                .all(|address| *address == observed.committer);
        match CommitMark::read(&commit.message).filter(|_| is_own) {
            None => Some(StandBackReason::ForeignCommit {
                commit: commit.id.clone(),
                author: commit.author.clone(),
            }),
            Some(mark) if mark.namespace != plan.namespace => Some(StandBackReason::OtherNamespace {
                namespace: mark.namespace,
            }),
            Some(_) => None,
        }
    })
}

/// A title without what makes its request a draft.
fn without_draft(title: &str) -> &str {
    let mut rest = title.trim();
    let starts = |rest: &str, prefix: &&str| {
        rest.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    while let Some(prefix) = DRAFT_PREFIXES.iter().find(|prefix| starts(rest, prefix)) {
        rest = rest.get(prefix.len()..).unwrap_or_default().trim_start();
    }
    rest
}

/// The closing comment when nothing is left to do.
fn closing_word(plan: &UpkeepPlan) -> String {
    let is_gone = |reason: &LeftAloneReason| {
        matches!(
            reason,
            LeftAloneReason::GoneSince | LeftAloneReason::ChangedSince | LeftAloneReason::FolderGone
        )
    };
    let mut reasons = plan.left_alone.iter().map(|left| &left.reason);
    if reasons.any(is_gone) {
        "Nothing is left to do here: the base has what this proposed, or the patches are elsewhere by now. \
         Closed by patchset; anything new will be proposed in a request of its own."
            .to_owned()
    } else {
        "Nothing is left to do here: the base has what this proposed, or upstream and the PatchSets no \
         longer ask for it. Closed by patchset; anything new will be proposed in a request of its own."
            .to_owned()
    }
}
