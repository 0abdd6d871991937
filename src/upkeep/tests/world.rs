//! Series, statuses and refreshes in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use git_apply_engine::Oid;
use jiff::Timestamp;
use patchset_api::Recorded;
use patchset_api::status::{ConflictStatus, PatchState, PatchStatus};
use patchset_api::upkeep::{Renumbering, UpkeepAction};
use patchset_api::upstream_history::{
    Evidence, MergedStatus, RefreshKind, RefreshState, RefreshStatus, UpstreamCommitStatus,
};

use crate::layout::FileEdit;
use crate::layout::tests::MemoryFiles;
use crate::plan::conditions::seconds;
use crate::upkeep::{
    RefreshedPatch, RefreshedPatches, SeriesFacts, SeriesPolicy, SeriesProof, SeriesResult, UpkeepPlan,
    WithheldChanges, plan_upkeep,
};

/// When patches are first seen in their state, and when the plan is made: two days later.
pub(super) const SEEN: i64 = 1_746_403_200;
pub(super) const DAY: i64 = 24 * 60 * 60;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(super) fn now() -> Timestamp {
    at(SEEN + 2 * DAY)
}

/// A patch as a mail.
pub(super) fn mail(subject: &str) -> String {
    format!(
        "From: A <a@example.org>\nSubject: [PATCH] {subject}\n\n---\n--- a/{subject}\n+++ b/{subject}\n@@ -1 +1 @@\n-a\n+b\n"
    )
}

/// A patch in a state, as a status lists it.
pub(super) fn patch(name: &str, bytes: &str, state: PatchState) -> PatchStatus {
    PatchStatus {
        subject: Some(format!("Subject of {name}")),
        blob: Some(Recorded::new(Oid::of_blob(bytes.as_bytes()))),
        since: Some(seconds(at(SEEN))),
        ..serde_json::from_value(serde_json::json!({ "name": name, "state": state })).unwrap()
    }
}

/// One that upstream has.
pub(super) fn merged(name: &str, bytes: &str, by: Evidence) -> PatchStatus {
    PatchStatus {
        merged: Some(MergedStatus {
            commit: Some(Recorded::new(Oid::from_bytes([0x3f; 20]))),
            by,
            subject: Some("Fix the scrubber".to_owned()),
            author: Some("A <a@example.org>".to_owned()),
            date: Some(seconds(at(SEEN))),
            url: Some("https://opendev.org/openstack/glance/commit/3f3f3f3f".to_owned()),
            differs: false,
            interdiff: None,
        }),
        ..patch(name, bytes, PatchState::Merged)
    }
}

/// One that upstream has in another form.
pub(super) fn tweaked(name: &str, bytes: &str, interdiff: Option<&str>) -> PatchStatus {
    let mut patch = merged(name, bytes, Evidence::ChangeId);
    if let Some(merged) = &mut patch.merged {
        merged.differs = true;
        merged.interdiff = interdiff.map(ToOwned::to_owned);
    }
    patch
}

/// One that moved.
pub(super) fn moved(name: &str, bytes: &str) -> PatchStatus {
    PatchStatus {
        refresh: Some(RefreshStatus {
            state: RefreshState::Available,
            by: Some(RefreshKind::Offset),
        }),
        ..patch(name, bytes, PatchState::Offset)
    }
}

/// One that does not apply, for a commit of upstream.
pub(super) fn broken(name: &str, bytes: &str) -> PatchStatus {
    PatchStatus {
        conflict: Some(ConflictStatus {
            file: "f".to_owned(),
            hunk: Some(1),
            line: Some(1),
            broken_by: Some(UpstreamCommitStatus {
                commit: Recorded::new(Oid::from_bytes([0xbb; 20])),
                subject: "Rework the store".to_owned(),
                url: Some("https://opendev.org/openstack/glance/commit/bbbb".to_owned()),
                ..UpstreamCommitStatus::default()
            }),
            ..ConflictStatus::default()
        }),
        ..patch(name, bytes, PatchState::Conflict)
    }
}

/// A `PatchSet` that proposes all, for the folder `patches/<component>/<release>`.
pub(super) fn facts(component: &str, release: &str, patches: Vec<PatchStatus>) -> SeriesFacts {
    SeriesFacts {
        patch_set: format!("{component}-{release}"),
        component: component.to_owned(),
        release: release.to_owned(),
        folder: format!("patches/{component}/{release}"),
        policy: SeriesPolicy {
            drop: UpkeepAction::PullRequest,
            refresh: UpkeepAction::PullRequest,
            renumber: Renumbering::Never,
            after: Duration::from_secs(24 * 60 * 60),
        },
        upstream: Some(format!("stable/{release}@1f0c2d3")),
        is_current: true,
        builds: true,
        patched_tree: None,
        patches,
        omitted: 0,
        declined: BTreeSet::new(),
        status: None,
    }
}

/// Refreshed patches, by `PatchSet` and name.
#[derive(Default)]
pub(super) struct Refreshes(pub(super) BTreeMap<(String, String), RefreshedPatch>);

impl Refreshes {
    pub(super) fn with(mut self, patch_set: &str, name: &str, made: RefreshedPatch) -> Self {
        self.0.insert((patch_set.to_owned(), name.to_owned()), made);
        self
    }
}

impl RefreshedPatches for Refreshes {
    fn refreshed(&self, patch_set: &str, patch: &str) -> Option<&RefreshedPatch> {
        self.0.get(&(patch_set.to_owned(), patch.to_owned()))
    }
}

/// A plan without refreshes, and nothing withheld.
pub(super) fn planned(files: &MemoryFiles, facts: &[SeriesFacts]) -> UpkeepPlan {
    planned_with(files, facts, &Refreshes::default(), &WithheldChanges::default())
}

pub(super) fn planned_with(
    files: &MemoryFiles,
    facts: &[SeriesFacts],
    refreshes: &Refreshes,
    withheld: &WithheldChanges,
) -> UpkeepPlan {
    plan_upkeep("ours", files, facts, (refreshes, withheld), now()).unwrap()
}

/// The changes of the commits: a line per file, and a line of dashes after each commit.
pub(super) fn edits(plan: &UpkeepPlan) -> Vec<String> {
    let mut lines = Vec::new();
    for commit in &plan.commits {
        lines.extend(commit.edit.edits().map(|edit| match edit {
            FileEdit::Write { path, bytes } => {
                format!("{path} = {}", String::from_utf8_lossy(bytes).trim_end())
            }
            FileEdit::Remove { path } => format!("{path} goes"),
        }));
        lines.push("--".to_owned());
    }
    lines
}

/// What is left alone: `PatchSet name: reason`.
pub(super) fn left(plan: &UpkeepPlan) -> Vec<String> {
    let left = plan.left_alone.iter();
    left.map(|left| format!("{} {}: {}", left.patch_set, left.name, left.reason))
        .collect()
}

pub(super) fn result(applies: usize, total: usize, tree: u8) -> SeriesResult {
    SeriesResult {
        applies,
        merged: 0,
        total,
        tree: Oid::from_bytes([tree; 20]),
    }
}

pub(super) fn proof(patch_set: &str, before: SeriesResult, after: SeriesResult) -> SeriesProof {
    SeriesProof {
        patch_set: patch_set.to_owned(),
        before,
        after,
    }
}
