//! What `patchset list` tells of each patch.

use git_apply_engine::PatchInput;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use patch_headers::{Bug, Cve, PatchHeaders, PatchOrigin, Summary, Tracker};
use patchset_api::status::{ConflictStatus, PatchState, PatchStatus};
use patchset_api::upstream_history::{MergedStatus, RevertedStatus};

use crate::cli::team::SameBy;

/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;

/// Digits of a commit for people.
const SHORT_COMMIT: usize = 7;

/// The JSON output. Other tools read it: fields may be added, not changed.
#[derive(serde::Serialize)]
pub(super) struct ListDocument<'a> {
    pub(super) series: &'a [ListedSeries],
}

/// The patches of a component at a release.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct ListedSeries {
    pub(super) component: String,
    pub(super) release: String,
    /// What the component is built from.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<String>,
    /// The address of its upstream, where that was looked at and has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upstream: Option<String>,
    /// Relative to the folder that holds it all.
    pub(super) folder: String,
    pub(super) patches: Vec<PatchListing>,
}

/// One patch. What is not known is absent.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PatchListing {
    pub(super) name: String,
    /// What becomes of it, where its upstream was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<PatchState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) conflict: Option<ConflictStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) merged: Option<MergedStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reverted: Option<RevertedStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) author: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) bugs: Vec<ListedBug>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) cves: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upstream_status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) forwarded: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) applied_upstream: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) change_ids: Vec<String>,
    /// The commits of upstream that it was taken from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) upstream_commits: Vec<String>,
    /// When it was written, by `Date` or `Last-Update`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) date: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) age_days: Option<i64>,
    /// The other releases that have it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) same_in: Vec<SamePatch>,
    /// In a few words, where it stands with upstream.
    #[serde(skip)]
    pub(super) upstream_in_words: String,
}

/// A bug that a patch claims to resolve.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct ListedBug {
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tracker: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    /// As people write it.
    #[serde(skip)]
    pub(super) short: String,
}

/// The same patch in another release.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SamePatch {
    pub(super) release: String,
    /// Its name there.
    pub(super) name: String,
    pub(super) by: SameBy,
    /// The files in which it changes something else there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) differs_in: Vec<String>,
}

impl PatchListing {
    /// What a patch says of itself.
    pub(super) fn new(patch: &PatchInput, now: Timestamp) -> Self {
        let headers = PatchHeaders::read(&patch.name, &patch.bytes);
        let summary = Summary::read(&patch.bytes);
        let last_update = || {
            let date: Date = headers.last_update()?.trim().parse().ok()?;
            Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
        };
        let date = headers
            .date()
            .and_then(|seconds| Timestamp::from_second(seconds).ok());
        let date = date.or_else(last_update);
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        let listed = |texts: Vec<&str>| texts.into_iter().map(ToOwned::to_owned).collect();
        Self {
            name: patch.name.clone(),
            subject: summary.subject,
            author: summary.author,
            bugs: headers.bugs().into_iter().map(ListedBug::new).collect(),
            cves: headers.cves.iter().map(Cve::to_string).collect(),
            origin: headers.origin_in_words(),
            upstream_status: owned(headers.upstream_status()),
            forwarded: owned(headers.forwarded()),
            applied_upstream: owned(headers.applied_upstream()),
            change_ids: listed(headers.change_ids()),
            upstream_commits: listed(headers.upstream_commits()),
            date,
            age_days: date.map(|date| (now.as_second() - date.as_second()).max(0) / DAY),
            upstream_in_words: upstream_in_words(&headers),
            ..Self::default()
        }
    }

    /// Adds what became of it.
    pub(super) fn take_status(&mut self, status: &PatchStatus) {
        self.state = Some(status.state);
        self.message.clone_from(&status.message);
        self.conflict.clone_from(&status.conflict);
        self.merged.clone_from(&status.merged);
        self.reverted.clone_from(&status.reverted);
    }
}

impl ListedBug {
    fn new(bug: &Bug) -> Self {
        let short = match bug.tracker {
            Tracker::Launchpad => format!("LP#{}", bug.id),
            Tracker::RedHatBugzilla => format!("rhbz#{}", bug.id),
            Tracker::Debian => format!("Debian#{}", bug.id),
            Tracker::GitHub | Tracker::GitLab | Tracker::Unnamed => bug.id.clone(),
        };
        Self {
            id: bug.id.clone(),
            tracker: bug.tracker.name(),
            url: bug.url.clone(),
            short,
        }
    }
}

/// Where a patch stands with upstream, by the header that says most.
fn upstream_in_words(headers: &PatchHeaders) -> String {
    let said = headers
        .upstream_status()
        .map(|status| status.trim_end_matches('.').to_owned())
        .or_else(|| Some(format!("applied: {}", headers.applied_upstream()?)))
        .or_else(|| Some(format!("forwarded: {}", headers.forwarded()?)));
    said.unwrap_or_else(|| {
        let what = match headers.origin {
            PatchOrigin::CherryPick => "cherry-pick",
            PatchOrigin::Backport => "backport",
            PatchOrigin::Unofficial => return String::new(),
        };
        match headers.upstream_commits().first() {
            Some(commit) => format!("{what} of {}", commit.get(..SHORT_COMMIT).unwrap_or(commit)),
            None => what.to_owned(),
        }
    })
}
