//! What upstream did with patches that do not apply, as commands search for it and report it.

use std::fmt::{self, Write};
use std::time::Instant;

use clap::Args;
use foreign_text::{printable, printable_line};
use git_apply_engine::{Objects, Oid, PatchInput, PatchReport};
use git_mirrors::local::LocalRepository;
use git_mirrors::{History, HistoryBounds, HistoryExtent, HistorySince, Mirrors, Resolved, Upstream};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use patch_refresh::FindBlob;
use upstream_history::{
    Bounds, Commits, Difference, Evidence, Finding, Merged, UpstreamCommit, commit_url, is_looked_for,
    oldest_date,
};

use super::error::Error;
use super::local_refresh::Blobs;
use super::style::{DIM, ODD, plain};
use crate::plan::history_search::{AppliedPatches, FullIds, HistorySearch, SearchError};
use crate::plan::upstream_history::{CLOCK_SLACK, PatchHistory, UNDATED};

/// The longest interdiff that is told whole, in bytes.
const INTERDIFF_BYTES: usize = 1 << 20;

/// The most lines of an interdiff in the report for people.
const SHOWN_LINES: usize = 60;

/// The longest subject in a line, in characters.
const SUBJECT_CHARACTERS: usize = 100;

/// Options of commands that look for patches in an upstream's history.
#[derive(Clone, Debug, Args)]
pub(super) struct HistoryOptions {
    /// How far back to search upstream's history for patches that do not apply: a date, such as
    /// 2025-05-01, or a revision on which they applied [default: when the patches were written,
    /// according to their headers]
    #[arg(long, value_name = "DATE|REV", conflicts_with = "no_history")]
    since: Option<String>,
    /// Do not search upstream's history for patches that do not apply
    #[arg(long)]
    no_history: bool,
    /// The commit on which the patches are known to have applied.
    #[arg(skip)]
    applied_on: Option<Oid>,
}

/// How far back a history is searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Since {
    /// In seconds since the epoch.
    seconds: Option<i64>,
    /// The revision on which the patches applied.
    commit: Option<Oid>,
}

/// What was found about a series.
#[derive(Debug, Default)]
pub(super) struct SeriesHistory {
    /// One per patch; empty if it was not searched.
    pub(super) patches: Vec<PatchHistory>,
    /// The upstream's address.
    pub(super) upstream: Option<String>,
    /// Why it is incomplete, in a sentence.
    pub(super) note: Option<String>,
}

/// A repository on a server.
pub(super) struct MirroredUpstream<'a> {
    pub(super) mirrors: &'a Mirrors,
    pub(super) upstream: &'a Upstream,
    pub(super) resolved: &'a Resolved,
    /// When to give up.
    pub(super) deadline: Instant,
}

/// A series that was applied to a commit or a tree.
pub(super) struct SeriesAtCommit<'a> {
    /// The commit; `None` for a tree, which has no history.
    pub(super) tip: Option<Oid>,
    pub(super) applied: AppliedPatches<'a>,
    /// Whether the search tries what a refresh makes of the patches.
    pub(super) refresh: RefreshTrial,
}

/// Whether a search tries what a refresh makes of patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefreshTrial {
    Tried,
    Skipped,
}

impl HistoryOptions {
    /// These options, for patches that applied on a commit: what breaks them came after it,
    /// whenever they were written.
    pub(super) fn after(&self, commit: Oid) -> Self {
        Self {
            applied_on: Some(commit),
            ..self.clone()
        }
    }

    /// Searches a local repository for patches that do not apply, and puts what upstream has into
    /// their reports. Reads nothing if all apply.
    ///
    /// # Errors
    ///
    /// If the bound is neither a date nor a revision. A failed search is only noted.
    pub(super) fn search(
        &self,
        repository: &LocalRepository,
        series: &SeriesAtCommit<'_>,
        reports: &mut [PatchReport],
    ) -> Result<SeriesHistory, Error> {
        let Some(tip) = series.tip else {
            return Ok(SeriesHistory::default());
        };
        let since = self.since(repository)?;
        if !self.is_needed(reports) {
            return Ok(SeriesHistory::default());
        }
        let mut history = SeriesHistory {
            upstream: repository.origin(),
            ..SeriesHistory::default()
        };
        let failure;
        (history.patches, failure) = search(repository, &Blobs(repository), (series, tip), reports, since);
        history.note = failure.map(not_searched);
        if repository.is_shallow() && history.note.is_none() {
            history.note = Some(
                "the clone is shallow: upstream's history was searched as far as it goes; \
                 git fetch --unshallow gets the rest"
                    .to_owned(),
            );
        }
        Ok(history)
    }

    /// The tree of the revision on which the patches applied, where one is given.
    ///
    /// # Errors
    ///
    /// Where the bound is neither a date nor a revision.
    pub(super) fn last_applied(&self, repository: &LocalRepository) -> Result<Option<Oid>, Error> {
        let commit = self.since(repository)?.commit;
        let commit = commit.and_then(|id| repository.commit(id).ok().flatten());
        Ok(commit.map(|commit| commit.tree))
    }

    fn is_needed(&self, reports: &[PatchReport]) -> bool {
        !self.no_history && reports.iter().any(|report| is_looked_for(report.state))
    }

    /// Searches the history of a repository on a server, as [`search`](Self::search) does, but only
    /// to a date, as no revision is in every repository.
    ///
    /// # Errors
    ///
    /// If the bound is not a date.
    pub(super) fn search_mirror(
        &self,
        mirror: &MirroredUpstream<'_>,
        series: &SeriesAtCommit<'_>,
        reports: &mut [PatchReport],
    ) -> Result<SeriesHistory, Error> {
        let Some(tip) = series.tip else {
            return Ok(SeriesHistory::default());
        };
        let given = match &self.since {
            Some(given) => Some(seconds(given).ok_or_else(|| {
                Error::Usage(format!(
                    "--since {given}: this is not a date, such as 2025-05-01, and no one revision fits all repositories on a server"
                ))
            })?),
            None => None,
        };
        if !self.is_needed(reports) {
            return Ok(SeriesHistory::default());
        }
        let oldest = given.or_else(|| oldest_date(&looked_for(series.applied.patches, reports)));
        let since = oldest.unwrap_or_else(|| Timestamp::now().as_second() - UNDATED);
        let (fetched_since, since) = match (given, self.applied_on) {
            (None, Some(commit)) => (
                HistorySince::Commit(commit),
                Since {
                    seconds: None,
                    commit: Some(commit),
                },
            ),
            _ => (
                HistorySince::Date(since - CLOCK_SLACK),
                Since {
                    seconds: Some(since),
                    commit: None,
                },
            ),
        };
        let bounds = HistoryBounds::since(fetched_since);
        let MirroredUpstream {
            mirrors,
            upstream,
            resolved,
            deadline,
        } = mirror;
        let mut history = SeriesHistory {
            upstream: Some(upstream.url().to_string()),
            ..SeriesHistory::default()
        };
        match mirrors.history(upstream, resolved, bounds, *deadline) {
            Ok(fetched) => {
                let failure;
                (history.patches, failure) =
                    search(&fetched, &FullIds(&fetched), (series, tip), reports, since);
                let because = |error| {
                    fetched
                        .fetch_failure()
                        .map_or_else(|| not_searched(error), not_searched)
                };
                history.note = failure.map(because).or_else(|| cut(&fetched));
            }
            Err(error) => history.note = Some(not_searched(error)),
        }
        Ok(history)
    }

    fn since(&self, repository: &LocalRepository) -> Result<Since, Error> {
        let Some(given) = &self.since else {
            return Ok(Since {
                seconds: None,
                commit: self.applied_on,
            });
        };
        if let Some(seconds) = seconds(given) {
            return Ok(Since {
                seconds: Some(seconds),
                commit: None,
            });
        }
        let commit = repository.commit_of(given);
        let commit = commit.and_then(|id| repository.commit(id).ok().flatten());
        match commit {
            Some(commit) => Ok(Since {
                seconds: Some(commit.committer.seconds),
                commit: Some(commit.id),
            }),
            None => Err(Error::Usage(format!(
                "--since {given}: this is neither a date, such as 2025-05-01, nor a commit of the repository"
            ))),
        }
    }
}

/// Reads a date, or a time as RFC 3339 has it.
fn seconds(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_second());
    }
    let date: Date = text.parse().ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

/// The patches that upstream's history is searched for.
fn looked_for(patches: &[PatchInput], reports: &[PatchReport]) -> Vec<PatchInput> {
    let judged = patches.iter().zip(reports);
    let judged = judged.filter(|(_, report)| is_looked_for(report.state));
    judged.map(|(patch, _)| patch.clone()).collect()
}

/// Searches the history of a repository, and notes why there may be more than was found.
fn search<S: Commits + Objects>(
    store: &S,
    blobs: &dyn FindBlob,
    (series, tip): (&SeriesAtCommit<'_>, Oid),
    reports: &mut [PatchReport],
    since: Since,
) -> (Vec<PatchHistory>, Option<SearchError>) {
    let oldest = oldest_date(&looked_for(series.applied.patches, reports));
    let bound = match (since.seconds, since.commit) {
        (Some(seconds), _) => Some(seconds),
        (None, None) => oldest,
        // The patches may be older than the commit, or refreshed after it. Where the commit is not
        // among those known, all of them are newer.
        (None, Some(commit)) => {
            let known = store.commit(commit).ok().flatten();
            known.map(|known| {
                let date = known.committer.seconds;
                oldest.map_or(date, |oldest| oldest.min(date))
            })
        }
    };
    let search = HistorySearch {
        store,
        tip,
        series: series.applied,
        last_applied: &vec![since.commit; reports.len()],
        bounds: Bounds {
            since: bound,
            interdiff_bytes: INTERDIFF_BYTES,
            ..Bounds::default()
        },
        most_breakers: usize::MAX,
        refresh_from: (series.refresh == RefreshTrial::Tried).then_some(blobs),
    };
    search.run(reports)
}

/// A note that a history was cut.
fn cut(history: &History<'_>) -> Option<String> {
    (history.extent() == HistoryExtent::Cut).then(|| {
        format!(
            "only the latest {} commits of upstream's history were searched: the rest is beyond what is fetched, or the server gives no more",
            history.len()
        )
    })
}

/// A note that a search failed.
fn not_searched(error: impl fmt::Display) -> String {
    format!("upstream's history could not be searched: {error}")
}

/// A commit of the upstream, as JSON has it.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CommitFields<'a> {
    commit: Oid,
    subject: &'a str,
    author: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// That upstream has a patch, as JSON has it.
#[derive(serde::Serialize)]
pub(super) struct MergedFields<'a> {
    by: Evidence,
    #[serde(flatten)]
    commit: Option<CommitFields<'a>>,
    differs: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    interdiff: Option<&'a str>,
}

/// That upstream took a patch back, as JSON has it.
#[derive(serde::Serialize)]
pub(super) struct RevertedFields<'a> {
    merged: CommitFields<'a>,
    by: CommitFields<'a>,
}

/// What upstream did with a patch, as JSON has it; what does not hold is absent.
#[derive(Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HistoryFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    merged: Option<MergedFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reverted: Option<RevertedFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broken_by: Option<CommitFields<'a>>,
}

impl SeriesHistory {
    /// What was found of a patch by its number, as JSON has it.
    pub(super) fn fields(&self, number: usize) -> HistoryFields<'_> {
        let Some(PatchHistory {
            finding, broken_by, ..
        }) = self.patches.get(number)
        else {
            return HistoryFields::default();
        };
        let commit = |commit| self.commit_fields(commit);
        let mut fields = HistoryFields {
            broken_by: broken_by.as_ref().map(commit),
            ..HistoryFields::default()
        };
        match finding {
            Finding::Merged(merged) => {
                fields.merged = Some(MergedFields {
                    by: merged.by,
                    commit: merged.commit.as_ref().map(commit),
                    differs: merged.difference.differs(),
                    interdiff: match &merged.difference {
                        Difference::Differs { interdiff, .. } => Some(interdiff),
                        Difference::Same | Difference::Unknown { .. } => None,
                    },
                });
            }
            Finding::Reverted { merged, reverted_by } => {
                fields.reverted = Some(RevertedFields {
                    merged: commit(merged),
                    by: commit(reverted_by),
                });
            }
            Finding::Absent => {}
        }
        fields
    }

    fn commit_fields<'a>(&self, commit: &'a UpstreamCommit) -> CommitFields<'a> {
        let upstream = self.upstream.as_deref();
        CommitFields {
            commit: commit.commit,
            subject: &commit.subject,
            author: &commit.author,
            date: Timestamp::from_second(commit.date)
                .ok()
                .map(|date| date.to_string()),
            change_id: commit.change_id.as_deref(),
            url: upstream.and_then(|upstream| commit_url(upstream, commit, None)),
        }
    }

    /// Writes what was found of a patch by its number, for people.
    pub(super) fn write(&self, out: &mut String, number: usize) -> fmt::Result {
        let Some(PatchHistory {
            finding, broken_by, ..
        }) = self.patches.get(number)
        else {
            return Ok(());
        };
        match finding {
            Finding::Merged(merged) => write_merged(out, merged)?,
            Finding::Reverted { merged, reverted_by } => writeln!(
                out,
                "    was merged as {}, reverted by {}",
                in_words(merged),
                in_words(reverted_by)
            )?,
            Finding::Absent => {}
        }
        match broken_by {
            Some(commit) => writeln!(out, "    broken by {}", in_words(commit)),
            None => Ok(()),
        }
    }
}

fn write_merged(out: &mut String, merged: &Merged) -> fmt::Result {
    let Some(commit) = &merged.commit else {
        return Ok(());
    };
    write!(out, "    merged as {}{}", in_words(commit), evidence(merged.by))?;
    match &merged.difference {
        Difference::Same => writeln!(out),
        Difference::Unknown { why } => writeln!(out, "; whether it differs is not known: {}", plain(why)),
        Difference::Differs { interdiff, .. } => {
            writeln!(out, ", and {ODD}upstream's differs{ODD:#}:")?;
            for line in interdiff.lines().take(SHOWN_LINES) {
                writeln!(out, "      {}", printable_line(line))?;
            }
            if interdiff.lines().count() > SHOWN_LINES {
                writeln!(out, "      {DIM}… in full with --output json{DIM:#}")?;
            }
            Ok(())
        }
    }
}

/// How it is known that upstream has a patch, in words.
fn evidence(by: Evidence) -> &'static str {
    match by {
        Evidence::Reverse => "",
        Evidence::Commit => ", the patch's own commit",
        Evidence::CherryPick => ", by a note on a cherry-pick",
        Evidence::ChangeId => ", by its Change-Id",
        Evidence::PatchId => ", by its patch-id",
        Evidence::Authorship => ", by its author, date and subject",
    }
}

/// A commit in words: `3f2a1bc 'Refactor the manager' (5 May 2025)`.
fn in_words(commit: &UpstreamCommit) -> String {
    let date = Timestamp::from_second(commit.date).ok();
    let subject = printable(&commit.subject, SUBJECT_CHARACTERS);
    crate::plan::upstream_history::in_words(&commit.commit.to_string(), &subject, date)
}
