//! The branches of the patches' repository: what they hold, and how commits get there.

use std::collections::BTreeSet;
use std::time::Instant;

use git_mirrors::{
    BranchError, BranchUpdate, CommitAt, Error, ExpectedBranch, FileChange, Freshness, Identity, Mirrors,
    NewCommit, Oid, RefSpec, Resolved, Signer, Snapshot, Upstream,
};
use jiff::Timestamp;

use super::tried_series::{Refreshed, TriedSeries, try_changes};
use crate::layout::{EditedFiles, FileEdit, LayoutError, RepositoryEdit, TreeFiles};
use crate::upkeep::{
    BranchCommit, ChangeId, ObservedBranch, RequestText, SeriesFacts, SeriesProof, UpkeepPlan,
    WithheldChanges, plan_upkeep, request_text,
};
/// The most commits of the branch that are read.
const MOST_COMMITS: usize = 200;

/// How often a plan is made again without what would make a series worse.
const MOST_PLANS: usize = 8;

/// The patches' repository.
#[derive(Clone)]
pub struct PatchesRepository {
    pub upstream: Upstream,
    /// The branch that is to be changed.
    pub base: RefSpec,
    /// The branch that commits go to.
    pub branch: String,
    /// Who makes commits.
    pub author: Identity,
    pub signer: Option<Signer>,
    pub deadline: Instant,
}

/// What the repository holds.
pub struct ReadRepository {
    /// The name of the branch that is to be changed.
    pub base_name: String,
    pub base: Snapshot,
    pub branch: ObservedBranch,
    /// The branch's last commit.
    pub tip: Option<Oid>,
}

/// The outcome of a push.
pub enum Pushed {
    /// The branch is pushed.
    Done,
    /// Somebody else was faster, in the words of the error.
    Raced(String),
}

impl PatchesRepository {
    /// Reads the base, and what the branch has beyond it.
    ///
    /// # Errors
    ///
    /// Where the repository cannot be read, or has no such base.
    pub fn read(&self, mirrors: &Mirrors) -> Result<ReadRepository, Error> {
        let began = Instant::now();
        let (upstream, deadline) = (&self.upstream, self.deadline);
        let (onto, base) = mirrors.resolve_and_fetch(upstream, &self.base, Freshness::Now, deadline)?;
        let want = RefSpec::Branch(self.branch.clone());
        // The same look.
        let tip = match mirrors.resolve(upstream, &want, Freshness::Since(began), deadline) {
            Ok(tip) => Some(tip),
            Err(Error::RefNotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        let commits = match &tip {
            Some(tip) => self.commits(mirrors, tip, &onto)?,
            None => Vec::new(),
        };
        let base_name = base.revision().name().unwrap_or_default().to_owned();
        let tip = tip.map(|tip| tip.commit());
        Ok(ReadRepository {
            base_name,
            base,
            branch: ObservedBranch {
                tip: tip.map(|tip| tip.to_string()),
                commits,
            },
            tip,
        })
    }

    /// The commits of the branch that the base lacks, oldest first.
    fn commits(
        &self,
        mirrors: &Mirrors,
        tip: &Resolved,
        onto: &Resolved,
    ) -> Result<Vec<BranchCommit>, Error> {
        let at = |resolved| CommitAt {
            upstream: &self.upstream,
            resolved,
        };
        let found = mirrors.branch(at(tip), at(onto), MOST_COMMITS, self.deadline);
        let read = found.and_then(|branch| branch.read_commits());
        match read {
            Ok(commits) => Ok(commits
                .into_iter()
                .map(|commit| BranchCommit {
                    id: commit.id.to_string(),
                    author: commit.author.email,
                    committer: commit.committer.email,
                    message: String::from_utf8_lossy(&commit.message).into_owned(),
                })
                .collect()),
            Err(BranchError::Source(error)) => Err(error),
            // A merge, or a branch of something else: neither is made here.
            Err(BranchError::Format(error)) => Ok(vec![BranchCommit {
                id: tip.commit().to_string(),
                author: format!("somebody else ({error})"),
                committer: String::new(),
                message: String::new(),
            }]),
        }
    }

    /// Rewrites the branch: the plan's commits, on the base.
    ///
    /// # Errors
    ///
    /// Where the commits cannot be made, or the server does not take them.
    pub fn push(
        &self,
        mirrors: &Mirrors,
        (read, plan): (&ReadRepository, &UpkeepPlan),
        time: Timestamp,
    ) -> Result<Pushed, Error> {
        let commits: Vec<(Vec<FileChange>, &str)> = plan
            .commits
            .iter()
            .map(|commit| (changes_of(&commit.edit), commit.message.as_str()))
            .collect();
        let commits: Vec<NewCommit<'_>> = commits
            .iter()
            .map(|(changes, message)| NewCommit {
                changes,
                author: &self.author,
                message,
                time,
                signer: self.signer.as_ref(),
            })
            .collect();
        let made = read.base.make_commits(&commits)?;
        let update = BranchUpdate {
            branch: &self.branch,
            expected: read.tip.map_or(ExpectedBranch::Absent, ExpectedBranch::At),
            commit: &made,
        };
        match mirrors.push(&self.upstream, &update, self.deadline) {
            Ok(()) => Ok(Pushed::Done),
            Err(raced @ Error::Raced { .. }) => Ok(Pushed::Raced(raced.to_string())),
            Err(error) => Err(error),
        }
    }
}

fn changes_of(edit: &RepositoryEdit) -> Vec<FileChange> {
    let edits = edit.edits();
    edits
        .map(|edit| match edit {
            FileEdit::Write { path, bytes } => FileChange::Write {
                path: path.to_owned(),
                bytes: bytes.to_vec(),
            },
            FileEdit::Remove { path } => FileChange::Remove {
                path: path.to_owned(),
            },
        })
        .collect()
}

/// What is to be proposed.
#[derive(Clone)]
pub struct PreparedUpkeep {
    pub plan: UpkeepPlan,
    pub text: RequestText,
}

/// What a plan is made from.
pub struct PlanInputs {
    pub namespace: String,
    pub facts: Vec<SeriesFacts>,
    pub series: Vec<TriedSeries>,
}

impl PlanInputs {
    /// Plans what is to be done on the base: changes that would make a series worse are left out.
    ///
    /// # Errors
    ///
    /// Where an upstream or the repository cannot be read.
    pub fn prepare(
        &self,
        mirrors: &Mirrors,
        base: &Snapshot,
        declined: &BTreeSet<ChangeId>,
        deadline: Instant,
    ) -> Result<Result<PreparedUpkeep, LayoutError>, git_mirrors::Error> {
        let files = TreeFiles::new(base, base.tree_id());
        let refreshed = Refreshed::make(mirrors, &files, &self.series, deadline)?;
        let mut withheld = WithheldChanges {
            declined: declined.clone(),
            ..WithheldChanges::default()
        };
        let now = Timestamp::now();
        let mut left = MOST_PLANS;
        loop {
            let planned = plan_upkeep(&self.namespace, &files, &self.facts, (&refreshed, &withheld), now);
            let plan = match planned {
                Ok(plan) => plan,
                Err(error) => return Ok(Err(error)),
            };
            let proofs = self.try_changes(mirrors, &files, &plan, deadline)?;
            if !withheld.withhold_harmful(&plan, &proofs) {
                let text = request_text(&plan, &self.facts, &proofs, now);
                return Ok(Ok(PreparedUpkeep { plan, text }));
            }
            left -= 1;
            if left == 0 {
                return Ok(Err(LayoutError::TooMuch {
                    what: "the number of plans that would make a series worse".to_owned(),
                    limit: MOST_PLANS,
                }));
            }
        }
    }

    fn try_changes(
        &self,
        mirrors: &Mirrors,
        files: &TreeFiles<'_>,
        plan: &UpkeepPlan,
        deadline: Instant,
    ) -> Result<Vec<SeriesProof>, git_mirrors::Error> {
        let edit = plan.whole_edit();
        let after = EditedFiles::new(files, &edit);
        let changed = plan.patch_sets();
        let concerned = self
            .series
            .iter()
            .filter(|series| changed.contains(series.patch_set.as_str()));
        try_changes(mirrors, (files, &after), concerned, deadline)
    }
}
