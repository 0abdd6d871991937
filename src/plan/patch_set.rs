//! The status of a `PatchSet`, derived from what was observed.

use foreign_text::printable;
use jiff::Timestamp;
use patchset_api::InputsDigest;
use patchset_api::build::{BuildRecord, BuildStatus, ImageStatus, RecordedPatch};
use patchset_api::delivery::{DeliveryStatus, ProposalStatus};
use patchset_api::patch_set::MergedPatches;
use patchset_api::reason::{self, Reason, condition};
use patchset_api::status::{CandidateStatus, PatchSetStatus, PatchState, PatchStatus, UpstreamStatus};
use patchset_api::upstream_history::RevertedStatus;

use super::build::{is_built, is_planned_image};
use super::conditions::{self, Truth};
use super::failure::{Failure, Step};
use super::image_test::{TestsVerdict, tests_verdict};
use super::lifecycle::{AskedFor, Next, Outcome, Settling, SignaturePolicy, Verdict, has_results_of};
use super::list_size;
use super::report;
use super::upstream_history::{commit_in_words, last_applied, merged_in_words};

/// The longest note on the folder of the patches, in characters.
const LONGEST_NOTE: usize = 400;

/// How many images the history keeps.
const HISTORY: usize = 5;

/// Bytes of the patches' names and ids that an image of the history has.
const RECORDED_BYTES: usize = 8 << 10;

/// Digits of a patch's id there.
const RECORDED_DIGITS: usize = 12;

/// The sources of an attempt, which are known before any patch is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The upstream.
    pub upstream: UpstreamStatus,
    /// The revision of the patches.
    pub patches_revision: Option<String>,
    /// A digest over all that the result follows from.
    pub inputs_digest: InputsDigest,
    /// By whom the sources are signed, in words, where that was looked at.
    pub signatures: Option<String>,
}

/// What applying the series gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyResult {
    /// Each patch, in order.
    pub patches: Vec<PatchStatus>,
    /// The tree after all patches that apply.
    pub tree: String,
    /// Why upstream's history could not be searched for those that do not.
    pub history_failure: Option<String>,
    /// What their folder has besides, and is not applied.
    pub note: Option<String>,
    /// How far upstream's history was searched, where it was cut.
    pub history_cut: Option<String>,
}

/// The result of an attempt, step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchSetProgress {
    /// What applying the series gave; nothing where the status has it already.
    pub checked: Option<ApplyResult>,
    /// What became of the candidates; nothing where the status has it already.
    pub candidates: Option<Vec<CandidateStatus>>,
    /// What became of the build.
    pub built: BuildOutcome,
    /// What became of the delivery of the image that was built.
    pub delivered: DeliveryOutcome,
    /// Where an image is that waited to be merged, and was.
    pub merged_delivery: Option<DeliveryStatus>,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// None is asked for, it was done before, or there is nothing to deliver yet.
    Nothing,
    /// It is about to be done, or for a later attempt: why.
    Later(String),
    /// Somebody has to agree first.
    Held(String),
    /// It is on a branch that somebody has to merge; where it is delivered besides; a sentence.
    /// What was delivered before by Git stays.
    Proposed {
        /// Where it waits.
        proposal: ProposalStatus,
        /// Where it is delivered besides.
        besides: Option<DeliveryStatus>,
        /// The same in a sentence.
        message: String,
    },
    /// It is where it should be; what was proposed before and is not settled yet.
    Done(DeliveryStatus, Option<ProposalStatus>),
    /// It could not be done; where it is delivered besides.
    Failed(Failure, Option<DeliveryStatus>),
}

/// What a build waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The reason of the condition.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
    /// When to look again.
    pub next: Next,
}

impl Pending {
    /// What is waited for.
    pub fn new(reason: Reason, message: impl Into<String>, next: Next) -> Self {
        Self {
            reason,
            message: message.into(),
            next,
        }
    }
}

/// What became of the build that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildOutcome {
    /// None is asked for, or patches do not apply: what was built before stays.
    Nothing,
    /// What is asked for cannot be planned yet. What was planned before stays.
    Waiting(Pending),
    /// The source is published, and no image is asked for.
    Published(BuildStatus),
    /// The source is published, and the image is awaited.
    Awaited {
        /// What is built.
        plan: BuildStatus,
        /// What is waited for.
        pending: Pending,
    },
    /// The registry has the image, and it does not count yet: it is tested.
    Testing {
        /// What is built, with the image and its tests.
        plan: BuildStatus,
        /// What is waited for.
        pending: Pending,
    },
    /// The registry has the image.
    Image(BuildStatus, Box<ImageStatus>),
    /// A step could not be done. What was planned before it is told.
    Failed(Failure, Option<BuildStatus>),
}

/// What the spec asks of the results.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// Where the patches are to be, in words; nothing where the spec asks for none.
    pub patches_location: Option<&'a str>,
    /// `spec.mergedPatches`.
    pub merged_patches: MergedPatches,
    /// Whether there is a `spec.build`.
    pub builds: bool,
    /// Whether the image is tested.
    pub tests: bool,
    /// Whether there is a `spec.delivery`.
    pub delivers: bool,
    /// Whether something has to be signed.
    pub signatures: SignaturePolicy,
    /// Bytes that the list of patches may have in the status, by [`list_size::for_list`].
    pub list_bytes: usize,
}

/// Whether results that were computed from these inputs stand in the status already.
#[must_use]
pub fn results_are_current(previous: &PatchSetStatus, inputs_digest: &InputsDigest) -> bool {
    has_results_of(previous, inputs_digest)
        && conditions::truth(&previous.conditions, condition::PATCHES_APPLICABLE)
            .is_some_and(|truth| truth != Truth::Unknown)
}

/// Whether the build in the status was planned from the inputs in the status: the last attempt came
/// that far.
#[must_use]
pub fn is_planned(status: &PatchSetStatus) -> bool {
    // While a run is cancelled (BuildCancelling), the status has the previous build.
    const PLANNED: [Reason; 7] = [
        reason::SUCCEEDED,
        reason::STOCK_INSTALLED,
        reason::IMAGE_UNREADABLE,
        reason::AWAITING_IMAGE,
        reason::BUILDING,
        reason::BUILD_QUEUED,
        reason::BUILD_FAILED,
    ];
    conditions::reason(&status.conditions, condition::IMAGE_BUILT)
        .is_some_and(|reason| PLANNED.contains(&reason))
}

/// Whether the image of a build is there, as far as the last look at the registry tells.
#[must_use]
pub fn image_is_current(status: &PatchSetStatus, build: &BuildStatus) -> bool {
    is_built(status, build) && conditions::is_true(&status.conditions, condition::IMAGE_BUILT)
}

/// The status after an attempt, and when to make the next.
#[must_use]
pub fn settle(
    previous: &PatchSetStatus,
    asked: AskedFor<'_>,
    policy: Policy<'_>,
    now: Timestamp,
    outcome: Outcome<Sources, PatchSetProgress>,
) -> (PatchSetStatus, Next) {
    let mut settling = Settling::from_previous(previous, asked, now);
    let signatures = match &outcome {
        Outcome::Failed(_, None) => None,
        Outcome::Failed(_, Some(sources)) | Outcome::Unchanged(sources) | Outcome::Done(sources, _) => {
            sources.signatures.as_deref()
        }
    };
    settling.mark_verified(policy.signatures, signatures);
    let (built, delivered) = match outcome {
        Outcome::Failed(failure, sources) => {
            if let Some(sources) = sources {
                settling.mark_resolved(&describe_sources(&sources));
            }
            return settling.into_failed(&failure);
        }
        Outcome::Unchanged(sources) => {
            settling.mark_resolved(&describe_sources(&sources));
            record_sources(&mut settling.status, sources);
            (BuildOutcome::Nothing, DeliveryOutcome::Nothing)
        }
        Outcome::Done(
            sources,
            PatchSetProgress {
                checked,
                candidates,
                built,
                delivered,
                merged_delivery,
            },
        ) => {
            settling.mark_resolved(&describe_sources(&sources));
            record_sources(&mut settling.status, sources);
            if let Some(checked) = checked {
                record_apply_result(&mut settling.status, checked, previous, (policy, now));
            }
            if let Some(candidates) = candidates {
                settling.status.candidates = candidates;
            }
            if let Some(merged) = merged_delivery {
                record_merged_delivery(&mut settling, merged);
            }
            (built, delivered)
        }
    };
    if !policy.delivers {
        settling.drop_step(Step::Delivery);
        (settling.status.delivered, settling.status.proposed) = (None, None);
    }
    let verdict = verdict(&settling.status, policy);
    if !policy.builds {
        settling.drop_step(Step::Build);
        settling.drop_step(Step::Test);
        (settling.status.build, settling.status.image) = (None, None);
        settling.status.history.clear();
        return settling.into_judged(Step::Patches, &verdict);
    }
    if verdict.truth != Truth::True {
        return settling.into_judged(Step::Patches, &verdict);
    }
    settling.mark_done(Step::Patches, &verdict);
    settle_build(settling, policy, &verdict, (built, delivered), now)
}

/// The status after a build, its tests and the delivery, where all patches apply.
fn settle_build(
    mut settling: Settling<'_, PatchSetStatus>,
    policy: Policy<'_>,
    series: &Verdict,
    (built, delivered): (BuildOutcome, DeliveryOutcome),
    now: Timestamp,
) -> (PatchSetStatus, Next) {
    match record_build(&mut settling.status, built, now) {
        BuildEnd::Done => {}
        BuildEnd::Failed(failure) => {
            if failure.step == Step::Test {
                let built = untested_image_verdict(&settling.status, series);
                settling.mark_done(Step::Build, &built);
            }
            return settling.into_failed(&failure);
        }
        BuildEnd::Waiting(pending) => {
            settling.drop_step(Step::Test);
            let (status, _) = settling.into_waiting(Step::Build, pending.reason, &pending.message);
            return (status, pending.next);
        }
        BuildEnd::Testing(pending) => {
            let built = untested_image_verdict(&settling.status, series);
            settling.mark_done(Step::Build, &built);
            let (status, _) = settling.into_waiting(Step::Test, pending.reason, &pending.message);
            return (status, pending.next);
        }
    }
    let mut built = built_verdict(&settling.status, series);
    if policy.tests && settling.status.image.is_some() {
        mark_tested(&mut settling, &mut built);
    } else {
        settling.drop_step(Step::Test);
    }
    if !policy.delivers {
        return settling.into_judged(Step::Build, &built);
    }
    settling.mark_done(Step::Build, &built);
    settle_delivery(settling, delivered, &built)
}

/// The verdict on a build whose image is there and does not count.
fn untested_image_verdict(status: &PatchSetStatus, series: &Verdict) -> Verdict {
    let build = status.build.as_ref();
    let awaiting = build.and_then(|build| build.tests.as_ref()?.awaiting.as_ref());
    let target = build.and_then(|build| build.target.as_deref());
    let image = awaiting.map_or(target, |image| Some(image.reference.as_str()));
    Verdict {
        reason: reason::SUCCEEDED,
        message: format!("{}; built is {}", series.message, image.unwrap_or_default()),
        ..*series
    }
}

/// Tells what came of the tests of an image that counts.
fn mark_tested(settling: &mut Settling<'_, PatchSetStatus>, built: &mut Verdict) {
    let build = settling.status.build.as_ref();
    let tests = tests_verdict(build.and_then(|build| build.tests.as_ref()));
    let (truth, reason, message) = match tests {
        TestsVerdict::Passed(message) => (Truth::True, reason::SUCCEEDED, message),
        TestsVerdict::Reported(message) => {
            built.ready = reason::NEEDS_ATTENTION;
            built.message = format!("{}; of its tests some failed: {message}", built.message);
            (Truth::False, reason::TEST_FAILED, message)
        }
    };
    let verdict = Verdict {
        truth,
        reason,
        ready: built.ready,
        message,
    };
    settling.mark_done(Step::Test, &verdict);
}

/// How a build ends for the status.
enum BuildEnd {
    /// The image is there, or none is asked for.
    Done,
    Failed(Failure),
    /// What is waited for.
    Waiting(Pending),
    /// The image is there, and what is waited for is the end of a test.
    Testing(Pending),
}

/// Puts what became of the build into a status.
fn record_build(status: &mut PatchSetStatus, built: BuildOutcome, now: Timestamp) -> BuildEnd {
    match built {
        BuildOutcome::Failed(failure, planned) => {
            let rejected = planned.as_ref().and_then(|build| build.rejected.as_ref());
            // An image that counted is dropped when a look into it rejects it.
            if let (Some(rejected), Some(image)) = (rejected, &status.image)
                && rejected.digest == image.digest
            {
                status.image = None;
            }
            status.build = planned.map(Box::new).or(status.build.take());
            return BuildEnd::Failed(failure);
        }
        BuildOutcome::Waiting(pending) => return BuildEnd::Waiting(pending),
        BuildOutcome::Published(build) => {
            status.build = Some(Box::new(build));
            status.image = None;
        }
        BuildOutcome::Awaited { plan, pending } => {
            // An image that is awaited is not in the registry, even where it was before.
            status.image = status
                .image
                .take()
                .filter(|image| !is_planned_image(image, &plan));
            status.build = Some(Box::new(plan));
            return BuildEnd::Waiting(pending);
        }
        BuildOutcome::Testing { plan, pending } => {
            status.build = Some(Box::new(plan));
            return BuildEnd::Testing(pending);
        }
        BuildOutcome::Image(build, image) => {
            remember_image(status, &build, &image, now);
            status.build = Some(Box::new(build));
            status.image = Some(image);
        }
        BuildOutcome::Nothing => {}
    }
    BuildEnd::Done
}

/// The status after a delivery, where the image is there.
fn settle_delivery(
    mut settling: Settling<'_, PatchSetStatus>,
    delivered: DeliveryOutcome,
    built: &Verdict,
) -> (PatchSetStatus, Next) {
    match delivered {
        DeliveryOutcome::Failed(failure, besides) => {
            settling.status.delivered = besides.map(Box::new).or(settling.status.delivered);
            settling.into_failed(&failure)
        }
        DeliveryOutcome::Later(message) => {
            settling.into_waiting(Step::Delivery, reason::PROGRESSING, &message)
        }
        DeliveryOutcome::Held(message) => {
            let (status, _) = settling.into_waiting(Step::Delivery, reason::AWAITING_APPROVAL, &message);
            // The annotation that approves is seen at once.
            (status, Next::Interval)
        }
        DeliveryOutcome::Proposed {
            proposal,
            besides,
            message,
        } => {
            settling.status.proposed = Some(Box::new(proposal));
            if let Some(besides) = besides {
                let before = settling.status.delivered.take();
                settling.status.delivered = Some(Box::new(DeliveryStatus {
                    git: before.and_then(|before| before.git),
                    ..besides
                }));
            }
            let (status, _) = settling.into_waiting(Step::Delivery, reason::AWAITING_MERGE, &message);
            (status, Next::Interval)
        }
        DeliveryOutcome::Done(delivered, proposed) => {
            settling.status.delivered = Some(Box::new(delivered));
            settling.status.proposed = proposed.map(Box::new);
            delivered_as(settling, built)
        }
        DeliveryOutcome::Nothing => delivered_as(settling, built),
    }
}

/// Tells that what waited to be merged was, whatever becomes of the next image.
fn record_merged_delivery(settling: &mut Settling<'_, PatchSetStatus>, merged: DeliveryStatus) {
    let verdict = Verdict {
        truth: Truth::True,
        reason: reason::SUCCEEDED,
        ready: reason::SUCCEEDED,
        message: format!("{}, delivered {}", merged.reference, place_of(&merged)),
    };
    settling.mark_done(Step::Delivery, &verdict);
    settling.status.delivered = Some(Box::new(merged));
    settling.status.proposed = None;
}

/// Where an image was delivered, in words.
fn place_of(delivered: &DeliveryStatus) -> String {
    let map = delivered
        .config_map
        .iter()
        .map(|name| format!("to ConfigMap {name}"));
    let git = delivered
        .git
        .iter()
        .map(|git| format!("as {}@sha1:{} of {}", git.branch, git.commit, git.repository));
    map.chain(git).collect::<Vec<_>>().join(" and ")
}

/// The status where nothing is left to be delivered.
fn delivered_as(settling: Settling<'_, PatchSetStatus>, built: &Verdict) -> (PatchSetStatus, Next) {
    let message = match settling.status.delivered.as_deref().map(place_of) {
        Some(told) => format!("{}, delivered {told}", built.message),
        None => built.message.clone(),
    };
    settling.into_judged(Step::Delivery, &Verdict { message, ..*built })
}

/// The verdict where the image is there, or the source alone is asked for.
fn built_verdict(status: &PatchSetStatus, series: &Verdict) -> Verdict {
    let mut ready = series.ready;
    let mut message = match &status.image {
        Some(image) => format!("{}; the image is {}", series.message, image.reference),
        None => format!("{}; the source is published", series.message),
    };
    if let Some(why) = status
        .image
        .as_ref()
        .and_then(|image| image.sbom_failure.as_ref())
    {
        ready = reason::NEEDS_ATTENTION;
        message = format!(
            "{message}; the document on its patches could not be attached, and will be tried again: {why}"
        );
    }
    Verdict {
        reason: reason::SUCCEEDED,
        ready,
        message,
        ..*series
    }
}

/// Puts an image that was not told before into the history.
fn remember_image(status: &mut PatchSetStatus, build: &BuildStatus, image: &ImageStatus, now: Timestamp) {
    let before = status.image.as_ref().map(|image| &image.reference);
    // One that had vanished is there again.
    let last = status.history.first().map(|record| &record.reference);
    if before.or(last) == Some(&image.reference) {
        return;
    }
    let (patches, omitted_patches) = recorded_patches(status);
    let record = BuildRecord {
        inputs_digest: image.inputs_digest.clone(),
        revision: image.revision.clone(),
        reasons: build.reasons.clone(),
        reference: image.reference.clone(),
        found_at: conditions::seconds(now),
        attempts: build.attempt.as_ref().map_or(0, |attempt| attempt.number),
        omitted_patches,
        patches: Some(patches),
    };
    status.history.insert(0, record);
    status.history.truncate(HISTORY);
}

/// The patches of a series that apply, as far as there is room for them, and how many more do.
fn recorded_patches(status: &PatchSetStatus) -> (Vec<RecordedPatch>, Option<u32>) {
    let mut left = RECORDED_BYTES;
    let applied = status.patches.iter().filter(|patch| patch.applies());
    let recorded: Vec<RecordedPatch> = applied
        .clone()
        .map_while(|patch| {
            let blob = patch.blob.as_ref()?.as_str().chars();
            let recorded = RecordedPatch {
                name: patch.name.clone(),
                blob: blob.take(RECORDED_DIGITS).collect(),
            };
            left = left.checked_sub(recorded.name.len() + RECORDED_DIGITS)?;
            Some(recorded)
        })
        .collect();
    let unlisted = status.omitted_patches.map_or(0, |omitted| {
        omitted.count(PatchState::Clean) + omitted.count(PatchState::Offset)
    });
    let omitted = u32::try_from(applied.count() - recorded.len() + unlisted).unwrap_or(u32::MAX);
    (recorded, (omitted > 0).then_some(omitted))
}

fn describe_sources(sources: &Sources) -> String {
    match &sources.patches_revision {
        Some(patches) => format!("upstream at {}, patches at {patches}", sources.upstream.revision),
        None => format!("upstream at {}", sources.upstream.revision),
    }
}

fn record_sources(status: &mut PatchSetStatus, sources: Sources) {
    status.upstream = Some(sources.upstream);
    status.patches_revision = sources.patches_revision;
    status.inputs_digest = Some(sources.inputs_digest);
}

fn record_apply_result(
    status: &mut PatchSetStatus,
    mut checked: ApplyResult,
    previous: &PatchSetStatus,
    (policy, now): (Policy<'_>, Timestamp),
) {
    report::add_since(&mut checked.patches, &previous.patches, now);
    for patch in checked.patches.iter_mut().filter(|patch| !patch.applies()) {
        patch.last_applied = last_applied(previous, &patch.name).cloned();
    }
    let passing = checked
        .patches
        .iter()
        .filter(|p| allows_ready(p, policy.merged_patches))
        .count();
    status.applied = Some(format!("{passing}/{}", checked.patches.len()));
    status.patched_tree = (passing == checked.patches.len()).then_some(checked.tree);
    (status.patches, status.omitted_patches) = list_size::keep_patches(&checked.patches, policy.list_bytes);
    status.history_failure = checked.history_failure;
    status.patches_note = checked.note.map(|note| printable(&note, LONGEST_NOTE));
    status.history_cut = checked.history_cut;
}

/// Whether all patches of a series let their `PatchSet` be ready.
#[must_use]
pub fn all_allow_ready(patches: &[PatchStatus], merged: MergedPatches) -> bool {
    patches.iter().all(|patch| allows_ready(patch, merged))
}

/// Whether a patch lets its `PatchSet` be ready.
fn allows_ready(patch: &PatchStatus, merged: MergedPatches) -> bool {
    match (patch.state, merged) {
        (PatchState::Merged, MergedPatches::Skip) => !patch.is_merged_differing(),
        (PatchState::Merged, MergedPatches::SkipDiffering) => true,
        _ => patch.applies(),
    }
}

/// How many patches that upstream has let their `PatchSet` be ready, listed or not.
fn count_skipped(status: &PatchSetStatus, merged: MergedPatches) -> usize {
    let upstream = status.count(PatchState::Merged);
    match merged {
        MergedPatches::Fail => 0,
        MergedPatches::Skip => upstream.saturating_sub(status.count_differing()),
        MergedPatches::SkipDiffering => upstream,
    }
}

/// The verdict on a series.
fn verdict(status: &PatchSetStatus, policy: Policy<'_>) -> Verdict {
    let revision = status
        .upstream
        .as_ref()
        .map_or("the upstream", |u| u.revision.as_str());
    let total: usize = PatchState::ALL.iter().map(|state| status.count(*state)).sum();
    let has = |state| status.count(state) > 0;
    let skipped = count_skipped(status, policy.merged_patches);
    // Those that do not apply are listed first, so that one is where there are any.
    let failing = status
        .patches
        .iter()
        .find(|p| !allows_ready(p, policy.merged_patches));
    let Some(first) = failing else {
        let (reason, message) = match total {
            0 => (
                reason::NO_PATCHES,
                match policy.patches_location {
                    Some(place) => {
                        format!("no patches are carried on {revision}: {place} has no *.patch or *.diff")
                    }
                    None => format!("no patches are carried on {revision}"),
                } + &folder_note(status),
            ),
            _ => (reason::SUCCEEDED, all_apply(status, total, revision)),
        };
        return Verdict {
            truth: Truth::True,
            reason,
            ready: reason::SUCCEEDED,
            message,
        };
    };
    let (reason, state) = if has(PatchState::Conflict) {
        (reason::PATCH_CONFLICT, PatchState::Conflict)
    } else if has(PatchState::Malformed) {
        (reason::PATCH_MALFORMED, PatchState::Malformed)
    } else if status.count(PatchState::Merged) > skipped {
        (reason::PATCH_MERGED, PatchState::Merged)
    } else {
        (reason::PATCH_CONFLICT, PatchState::Blocked)
    };
    let fails = |patch: &&PatchStatus| patch.state == state && !allows_ready(patch, policy.merged_patches);
    let first = status.patches.iter().find(fails).unwrap_or(first);
    let applied = status.count(PatchState::Clean) + status.count(PatchState::Offset) + skipped;
    Verdict {
        truth: Truth::False,
        reason,
        ready: reason,
        message: format!(
            "{applied} of {total} patches apply to {revision}: {}{}{}{}",
            first_failure(first, policy.merged_patches),
            not_searched(status),
            omitted_patches_note(status),
            folder_note(status)
        ),
    }
}

/// How many patches the list has no room for, in words.
fn omitted_patches_note(status: &PatchSetStatus) -> String {
    match status.omitted_patches.map_or(0, |omitted| omitted.total()) {
        0 => String::new(),
        n => format!("; status.patches has no room for {n} more"),
    }
}

fn all_apply(status: &PatchSetStatus, total: usize, revision: &str) -> String {
    let count = |state| status.count(state);
    let message = match total {
        1 => format!("1 patch applies to {revision}"),
        n => format!("{n} of {n} patches apply to {revision}"),
    };
    let mut remarks = Vec::new();
    if count(PatchState::Offset) > 0 {
        remarks.push(format!("{} with an offset", count(PatchState::Offset)));
    }
    if count(PatchState::Merged) > 0 {
        remarks.push(format!(
            "{} already upstream and skipped",
            count(PatchState::Merged)
        ));
    }
    let message = match remarks.as_slice() {
        [] => message,
        _ => format!("{message} ({})", remarks.join(", ")),
    };
    message + &omitted_patches_note(status) + &folder_note(status)
}

/// What the folder of the patches has besides, in words.
fn folder_note(status: &PatchSetStatus) -> String {
    match &status.patches_note {
        None => String::new(),
        Some(note) => format!("; in their folder: {note}"),
    }
}

/// Why upstream's history could not be searched, in words.
fn not_searched(status: &PatchSetStatus) -> String {
    match (&status.history_failure, &status.history_cut) {
        (None, None) => String::new(),
        (Some(why), _) => format!("; upstream's history could not be searched: {why}"),
        (None, Some(cut)) => format!("; of upstream's history {cut}"),
    }
}

fn first_failure(patch: &PatchStatus, merged: MergedPatches) -> String {
    let name = &patch.name;
    match (patch.state, &patch.conflict, &patch.message) {
        (PatchState::Merged, _, _) => first_merged(patch, merged),
        (PatchState::Conflict, Some(conflict), _) => {
            let place = match (conflict.hunk, conflict.line, &patch.message) {
                (Some(hunk), Some(line), _) => {
                    format!(
                        "{name} conflicts in {}, hunk {hunk} at line {line}",
                        conflict.file
                    )
                }
                (_, _, Some(message)) => format!("{name} conflicts: {message}"),
                (_, _, None) => format!("{name} conflicts in {}", conflict.file),
            };
            let broken = conflict.broken_by.as_ref();
            let broken = broken.map(|commit| format!(", broken by {}", commit_in_words(commit)));
            let reverted = patch.reverted.as_ref().map(|RevertedStatus { merged, by }| {
                let (merged, by) = (commit_in_words(merged), commit_in_words(by));
                format!("; upstream had merged it as {merged}, and reverted that by {by}")
            });
            let fuzz = conflict.fuzz.map(|fuzz| format!("; it {fuzz}"));
            [Some(place), broken, fuzz, reverted]
                .into_iter()
                .flatten()
                .collect()
        }
        (_, _, Some(message)) => format!("{name}: {message}"),
        (state, _, None) => format!("{name}: {}", state.as_str()),
    }
}

/// What to do with a patch that upstream has.
fn first_merged(patch: &PatchStatus, policy: MergedPatches) -> String {
    let name = &patch.name;
    let Some(commit) = patch.merged.as_ref().and_then(merged_in_words) else {
        return format!("{name} is already upstream, remove it");
    };
    match (patch.is_merged_differing(), policy) {
        (false, _) => format!("{name} was merged upstream as {commit}: remove it"),
        (true, MergedPatches::Skip) => format!(
            "{name} was merged upstream in another form as {commit}: look at the difference and remove it, or \
             set mergedPatches to SkipDiffering"
        ),
        (true, _) => format!("{name} was merged upstream in another form as {commit}: remove it"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plan::lifecycle::{
        Streak, begin_generation, has_verified_results_of, is_verified, wait_before_next,
    };
    use image_references::{Digest, ImageReference};
    use patchset_api::build::{RejectedImage, Rejection};
    use patchset_api::delivery::CommitStatus;
    use patchset_api::image_test::ImageTestsStatus;
    use patchset_api::status::{ConflictStatus, OmittedPatches};
    use patchset_api::upstream_history::{Evidence, FuzzyFit, MergedStatus, UpstreamCommitStatus};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const POLICY: Policy<'_> = Policy {
        patches_location: None,
        merged_patches: MergedPatches::Fail,
        builds: false,
        tests: false,
        delivers: false,
        signatures: SignaturePolicy::NotRequired,
        list_bytes: 1 << 18,
    };

    fn sources(digest: &str) -> Sources {
        Sources {
            upstream: UpstreamStatus {
                revision: format!("main@sha1:{digest}").as_str().into(),
                short_revision: None,
                commit: digest.into(),
            },
            patches_revision: None,
            inputs_digest: digest.into(),
            signatures: None,
        }
    }

    fn patch(state: PatchState) -> PatchStatus {
        PatchStatus {
            message: Some("why".into()),
            ..PatchStatus::new("0001.patch", state)
        }
    }

    fn checked(states: &[PatchState]) -> PatchSetProgress {
        let patches = states.iter().map(|state| patch(*state)).collect();
        PatchSetProgress {
            delivered: DeliveryOutcome::Nothing,
            merged_delivery: None,
            checked: Some(ApplyResult {
                patches,
                tree: "tree".into(),
                history_failure: None,
                note: None,
                history_cut: None,
            }),
            candidates: Some(Vec::new()),
            built: BuildOutcome::Nothing,
        }
    }

    fn asked(generation: i64) -> AskedFor<'static> {
        AskedFor {
            generation,
            requested_at: None,
        }
    }

    fn after(
        previous: &PatchSetStatus,
        outcome: Outcome<Sources, PatchSetProgress>,
    ) -> (PatchSetStatus, Next) {
        settle(previous, asked(1), POLICY, NOW, outcome)
    }

    fn shown(status: &PatchSetStatus) -> Vec<String> {
        status
            .conditions
            .iter()
            .map(|c| format!("{}={}/{}", c.type_, c.status, c.reason))
            .collect()
    }

    #[test]
    fn a_new_generation_is_announced_once() {
        let begun = begin_generation(&PatchSetStatus::default(), 1, NOW).unwrap();
        assert_eq!(
            shown(&begun),
            ["Ready=Unknown/Progressing", "Reconciling=True/Progressing"]
        );
        assert_eq!(begun.observed_generation, -1);
        assert_eq!(begin_generation(&begun, 1, NOW), None);
        assert!(begin_generation(&begun, 2, NOW).is_some());
    }

    #[test]
    fn the_same_outcome_again_changes_nothing() {
        let outcome = || Outcome::Done(sources("a"), checked(&[PatchState::Clean, PatchState::Offset]));
        let (status, next) = after(&PatchSetStatus::default(), outcome());
        assert_eq!(next, Next::Interval);
        let later = Timestamp::from_second(1_000_000).unwrap();
        assert_eq!(settle(&status, asked(1), POLICY, later, outcome()).0, status);
        assert!(results_are_current(&status, &"a".into()) && !results_are_current(&status, &"b".into()));
        assert_eq!(
            settle(&status, asked(1), POLICY, later, Outcome::Unchanged(sources("a"))).0,
            status
        );
    }

    #[test]
    fn each_state_has_its_reason() {
        use PatchState::{Blocked, Clean, Conflict, Malformed, Merged};
        for (states, reason) in [
            (&[Clean, Conflict, Blocked][..], "PatchConflict"),
            (&[Malformed, Merged], "PatchMalformed"),
            (&[Merged, Clean], "PatchMerged"),
            (&[Blocked], "PatchConflict"),
        ] {
            let (status, next) = after(
                &PatchSetStatus::default(),
                Outcome::Done(sources("a"), checked(states)),
            );
            let expected = [
                format!("PatchesApplicable=False/{reason}"),
                format!("Ready=False/{reason}"),
                "SourceResolved=True/Succeeded".to_owned(),
                format!("Stalled=True/{reason}"),
            ];
            assert_eq!((shown(&status), next), (expected.to_vec(), Next::Interval));
            assert_eq!(status.patched_tree, None);
        }
    }

    fn merged(name: &str, differs: bool) -> PatchStatus {
        PatchStatus {
            name: name.into(),
            merged: Some(MergedStatus {
                commit: Some(("3f2a1bc".repeat(5) + "00000").into()),
                by: Evidence::ChangeId,
                subject: Some("Refactor the manager".into()),
                author: None,
                date: Some(conditions::seconds(
                    Timestamp::from_second(1_746_403_200).unwrap(),
                )),
                url: None,
                differs,
                interdiff: None,
            }),
            ..patch(PatchState::Merged)
        }
    }

    #[test]
    fn a_policy_says_which_of_the_merged_patches_are_left_out() {
        use MergedPatches::{Fail, Skip, SkipDiffering};
        let same = "same.patch was merged upstream as 3f2a1bc 'Refactor the manager' (5 May 2025): remove it";
        let other = "other.patch was merged upstream in another form as 3f2a1bc 'Refactor the manager' \
                     (5 May 2025): ";
        // Whether all is listed or not, the verdict is the same.
        for room in [1 << 18, 200] {
            for (policy, applied, message) in [
                (Fail, "1/3", Some(same.to_owned())),
                (Skip, "2/3", Some(format!("{other}look at the difference"))),
                (SkipDiffering, "3/3", None),
            ] {
                let mut progress = checked(&[PatchState::Clean]);
                let list = &mut progress.checked.as_mut().unwrap().patches;
                list.extend([merged("same.patch", false), merged("other.patch", true)]);
                let policy = Policy {
                    merged_patches: policy,
                    list_bytes: room,
                    ..POLICY
                };
                let outcome = Outcome::Done(sources("a"), progress);
                let (status, _) = settle(&PatchSetStatus::default(), asked(1), policy, NOW, outcome);
                assert_eq!(status.applied.as_deref(), Some(applied), "{policy:?}");
                assert_eq!(status.patched_tree.is_some(), message.is_none(), "{policy:?}");
                let ready = conditions::find(&status.conditions, condition::READY).unwrap();
                match message {
                    None => assert_eq!(ready.status, "True"),
                    Some(_) if room < 1000 => assert_eq!(ready.reason, "PatchMerged"),
                    Some(message) => assert!(ready.message.contains(&message), "{}", ready.message),
                }
            }
        }
    }

    #[test]
    fn where_a_patch_applied_last_is_remembered_while_it_does_not() {
        let at = |previous: &PatchSetStatus, commit: &str, state| {
            after(previous, Outcome::Done(sources(commit), checked(&[state]))).0
        };
        let last = |status: &PatchSetStatus| status.patches[0].last_applied.clone();
        let a = at(&PatchSetStatus::default(), "a", PatchState::Clean);
        assert_eq!(last(&a), None);
        let b = at(&a, "b", PatchState::Offset);
        let c = at(&b, "c", PatchState::Conflict);
        assert_eq!(last(&c).as_deref(), Some("main@sha1:b"));
        let d = at(&c, "d", PatchState::Merged);
        assert_eq!(last(&d).as_deref(), Some("main@sha1:b"));
        // Settled twice in one reconciliation, it is told twice.
        assert_eq!(at(&d, "d", PatchState::Merged), d);
        assert_eq!(last(&at(&d, "e", PatchState::Clean)), None);
        let never = at(&PatchSetStatus::default(), "a", PatchState::Conflict);
        assert_eq!(last(&never), None);
    }

    #[test]
    fn a_patch_is_as_it_is_since_it_was_first_seen_so() {
        let after = |previous: &PatchSetStatus, second, state| {
            let mut progress = checked(&[state]);
            if let Some(checked) = &mut progress.checked {
                checked.patches[0].blob = Some("1".repeat(40).into());
            }
            let now = Timestamp::from_second(second).unwrap();
            settle(
                previous,
                asked(1),
                POLICY,
                now,
                Outcome::Done(sources("a"), progress),
            )
            .0
        };
        let since = |status: &PatchSetStatus| status.patches[0].since.as_ref().unwrap().0.as_second();
        let first = after(&PatchSetStatus::default(), 100, PatchState::Merged);
        assert_eq!(since(&first), 100);
        let second = after(&first, 200, PatchState::Merged);
        assert_eq!(since(&second), 100);
        assert_eq!(since(&after(&second, 300, PatchState::Clean)), 300);
    }

    #[test]
    fn an_image_of_the_history_has_the_patches_that_are_in_it_as_far_as_there_is_room() {
        let series = |states: &[PatchState]| {
            let mut patches = checked(states).checked.unwrap().patches;
            for (number, patch) in patches.iter_mut().enumerate() {
                patch.name = format!("{number:04}.patch");
                patch.blob = Some(format!("{number:040x}").into());
            }
            PatchSetStatus {
                patches,
                ..PatchSetStatus::default()
            }
        };
        let status = series(&[PatchState::Clean, PatchState::Merged, PatchState::Offset]);
        let (recorded, omitted) = recorded_patches(&status);
        let names: Vec<&str> = recorded.iter().map(|patch| patch.name.as_str()).collect();
        assert_eq!((names, omitted), (vec!["0000.patch", "0002.patch"], None));
        assert_eq!(recorded[1].blob, "0".repeat(RECORDED_DIGITS));

        let mut status = series(&[PatchState::Clean; 1000]);
        status.omitted_patches = Some(OmittedPatches {
            offset: 7,
            conflict: 9,
            ..OmittedPatches::default()
        });
        let (recorded, omitted) = recorded_patches(&status);
        let bytes: usize = recorded
            .iter()
            .map(|patch| patch.name.len() + patch.blob.len())
            .sum();
        assert!(bytes <= RECORDED_BYTES && bytes > RECORDED_BYTES / 2, "{bytes}");
        assert_eq!(
            omitted.map(|omitted| omitted as usize + recorded.len()),
            Some(1007)
        );
        // One whose id is not known ends what is recorded, and is counted.
        let mut status = series(&[PatchState::Clean; 3]);
        status.patches[1].blob = None;
        let (recorded, omitted) = recorded_patches(&status);
        assert_eq!((recorded.len(), omitted), (1, Some(2)));
    }

    #[test]
    fn patches_without_room_in_the_list_count() {
        let states = [vec![PatchState::Clean; 900], vec![PatchState::Conflict; 600]].concat();
        let policy = Policy {
            list_bytes: 20_000,
            ..POLICY
        };
        let settled = |previous: &PatchSetStatus, outcome| settle(previous, asked(1), policy, NOW, outcome).0;
        let status = settled(
            &PatchSetStatus::default(),
            Outcome::Done(sources("a"), checked(&states)),
        );
        assert!(serde_json::to_vec(&status.patches).unwrap().len() <= policy.list_bytes);
        assert!(
            status
                .patches
                .iter()
                .all(|patch| patch.state == PatchState::Conflict)
        );
        assert_eq!(status.applied.as_deref(), Some("900/1500"));
        assert_eq!(
            status.count(PatchState::Clean) + status.count(PatchState::Conflict),
            1500
        );
        let ready = conditions::find(&status.conditions, condition::READY).unwrap();
        assert!(
            ready.message.starts_with("900 of 1500 patches apply"),
            "{}",
            ready.message
        );
        let omitted = 1500 - status.patches.len();
        assert!(
            ready.message.ends_with(&format!("no room for {omitted} more")),
            "{}",
            ready.message
        );
        // What the status tells is enough to tell it again.
        assert_eq!(settled(&status, Outcome::Unchanged(sources("a"))), status);
    }

    #[test]
    fn a_failure_keeps_the_last_result_whole() {
        let (good, _) = after(
            &PatchSetStatus::default(),
            Outcome::Done(sources("a"), checked(&[PatchState::Clean])),
        );
        let failure = Failure::retried(Step::Patches, reason::STORAGE_FAILED, "disk");
        let (status, next) = after(&good, Outcome::Failed(failure, Some(sources("b"))));
        assert_eq!(next, Next::Backoff);
        assert_eq!(
            (
                &status.upstream,
                &status.patches,
                &status.patched_tree,
                &status.inputs_digest
            ),
            (
                &good.upstream,
                &good.patches,
                &good.patched_tree,
                &good.inputs_digest
            )
        );
        assert_eq!(
            shown(&status)[1..3],
            [
                "Ready=False/StorageFailed",
                "Reconciling=True/ProgressingWithRetry"
            ]
        );
    }

    #[test]
    fn what_is_not_signed_leaves_the_last_result_until_it_is() {
        let policy = Policy {
            signatures: SignaturePolicy::Required,
            ..POLICY
        };
        let after =
            |previous: &PatchSetStatus, policy, outcome| settle(previous, asked(1), policy, NOW, outcome);
        let signed = Sources {
            signatures: Some("commit a is signed by k".to_owned()),
            ..sources("a")
        };
        let done = Outcome::Done(signed, checked(&[PatchState::Clean]));
        let (good, _) = after(&PatchSetStatus::default(), policy, done);
        assert_eq!(shown(&good)[3], "SourceVerified=True/Succeeded");
        assert!(is_verified(&good, SignaturePolicy::Required));
        let has_results =
            |digest: &str| has_verified_results_of(&good, &digest.into(), SignaturePolicy::Required);
        assert!(has_results("a") && !has_results("b"));
        let failure = Failure::stalled(Step::Verification, reason::SIGNATURE_MISSING, "no");
        let (refused, next) = after(&good, policy, Outcome::Failed(failure, Some(sources("b"))));
        assert_eq!(next, Next::Interval);
        assert_eq!(
            shown(&refused),
            [
                "PatchesApplicable=True/Succeeded",
                "Ready=False/SignatureMissing",
                "SourceResolved=True/Succeeded",
                "SourceVerified=False/SignatureMissing",
                "Stalled=True/SignatureMissing"
            ]
        );
        assert_eq!(
            (&refused.upstream, &refused.patched_tree, &refused.inputs_digest),
            (&good.upstream, &good.patched_tree, &good.inputs_digest)
        );
        // Back at what was good, it has to be verified again before that counts.
        assert!(
            results_are_current(&refused, &"a".into()) && !is_verified(&refused, SignaturePolicy::Required)
        );
        let (plain, _) = after(&refused, POLICY, Outcome::Unchanged(sources("a")));
        assert!(is_verified(&plain, SignaturePolicy::NotRequired));
        assert!(conditions::find(&plain.conditions, condition::SOURCE_VERIFIED).is_none());
    }

    const DELIVERED: Policy<'_> = Policy {
        builds: true,
        delivers: true,
        ..POLICY
    };

    /// A build of `r:5000/glance:1`, and its image.
    fn built() -> (BuildStatus, ImageStatus) {
        let build = BuildStatus {
            inputs_digest: "inputs".into(),
            target: Some("r:5000/glance:1".into()),
            ..BuildStatus::default()
        };
        let target: ImageReference = "r:5000/glance:1".parse().unwrap();
        let digest = Digest::sha256(b"image");
        let image = super::super::build::image(&build, &target, &digest, &"main@sha1:a".into());
        (build, image)
    }

    /// What becomes of a series that applies.
    fn with(policy: Policy<'_>, built: BuildOutcome, delivered: DeliveryOutcome) -> (PatchSetStatus, Next) {
        let progress = PatchSetProgress {
            built,
            delivered,
            ..checked(&[PatchState::Clean])
        };
        let outcome = Outcome::Done(sources("a"), progress);
        settle(&PatchSetStatus::default(), asked(1), policy, NOW, outcome)
    }

    fn told<'a>(status: &'a PatchSetStatus, condition: &str) -> (&'a str, &'a str, &'a str) {
        let told = conditions::find(&status.conditions, condition).unwrap();
        (&told.status, &told.reason, &told.message)
    }

    #[test]
    fn an_image_that_is_tested_is_built_and_does_not_count() {
        let (mut plan, image) = built();
        plan.tests = Some(ImageTestsStatus {
            awaiting: Some(Box::new(image.clone())),
            ..ImageTestsStatus::default()
        });
        let pending = Pending::new(reason::TESTING, "unit runs", Next::Soon);
        let policy = Policy {
            tests: true,
            ..DELIVERED
        };
        let testing = BuildOutcome::Testing { plan, pending };
        let (status, next) = with(policy, testing, DeliveryOutcome::Nothing);
        let series = "1 patch applies to main@sha1:a";
        let message = format!("{series}; built is {}", image.reference.as_str());
        assert_eq!(
            told(&status, condition::IMAGE_BUILT),
            ("True", "Succeeded", message.as_str())
        );
        let tested = told(&status, condition::IMAGE_TESTED);
        assert_eq!(tested, ("Unknown", "Testing", "unit runs"));
        assert_eq!((status.image, next), (None, Next::Soon));
    }

    #[test]
    fn an_image_without_its_document_needs_attention() {
        let (plan, mut image) = built();
        image.sbom_failure = Some("the registry refused it".to_owned());
        let reference = image.reference.as_str().to_owned();
        let found = BuildOutcome::Image(plan, Box::new(image));
        let policy = Policy {
            delivers: false,
            ..DELIVERED
        };
        let (status, _) = with(policy, found, DeliveryOutcome::Nothing);
        let message = format!(
            "1 patch applies to main@sha1:a; the image is {reference}; the document on its patches could \
             not be attached, and will be tried again: the registry refused it"
        );
        assert_eq!(
            told(&status, condition::READY),
            ("True", "NeedsAttention", message.as_str())
        );
        let built = told(&status, condition::IMAGE_BUILT);
        assert_eq!((built.0, built.1), ("True", "Succeeded"));
    }

    #[test]
    fn what_is_proposed_leaves_the_commit_that_was_delivered() {
        let (plan, image) = built();
        let commit = |commit: &str| CommitStatus {
            repository: "https://example.org/fleet".to_owned(),
            branch: "main".to_owned(),
            commit: commit.to_owned(),
            paths: Vec::new(),
        };
        let delivered = |git, config_map: Option<&str>| DeliveryStatus {
            reference: image.reference.clone(),
            delivered_at: conditions::seconds(NOW),
            config_map: config_map.map(ToOwned::to_owned),
            prefix: None,
            git,
        };
        let merged = delivered(Some(commit("aa")), None);
        let found = BuildOutcome::Image(plan, Box::new(image.clone()));
        let proposal = ProposalStatus {
            reference: image.reference.clone(),
            git: commit("bb"),
            pull_request: None,
            missing_labels: Vec::new(),
        };
        let progress = PatchSetProgress {
            built: found.clone(),
            merged_delivery: Some(merged.clone()),
            delivered: DeliveryOutcome::Proposed {
                proposal: proposal.clone(),
                besides: Some(delivered(None, Some("images"))),
                message: "it waits".to_owned(),
            },
            ..checked(&[PatchState::Clean])
        };
        let outcome = Outcome::Done(sources("a"), progress);
        let (status, next) = settle(&PatchSetStatus::default(), asked(1), DELIVERED, NOW, outcome);
        assert_eq!(status.proposed.as_deref(), Some(&proposal));
        assert_eq!(
            status.delivered.as_deref(),
            Some(&delivered(Some(commit("aa")), Some("images")))
        );
        assert_eq!(
            told(&status, condition::DELIVERED),
            ("Unknown", "AwaitingMerge", "it waits")
        );
        assert_eq!(next, Next::Interval);

        let progress = PatchSetProgress {
            built: found,
            merged_delivery: Some(merged.clone()),
            ..checked(&[PatchState::Clean])
        };
        let outcome = Outcome::Done(sources("a"), progress);
        let (status, _) = settle(&status, asked(1), DELIVERED, NOW, outcome);
        assert_eq!(
            (status.delivered.as_deref(), status.proposed.as_deref()),
            (Some(&merged), None)
        );
        let place = "delivered as main@sha1:aa of https://example.org/fleet";
        let message = told(&status, condition::DELIVERED).2;
        assert!(message.ends_with(place), "{message}");
    }

    #[test]
    fn what_only_a_person_can_mend_is_stalled() {
        let failure = Failure::stalled(Step::Source, reason::ACCESS_DENIED, "no");
        let (status, next) = after(&PatchSetStatus::default(), Outcome::Failed(failure, None));
        assert_eq!(next, Next::Change);
        assert_eq!(
            shown(&status),
            [
                "Ready=False/AccessDenied",
                "SourceResolved=False/AccessDenied",
                "Stalled=True/AccessDenied"
            ]
        );
    }

    #[test]
    fn no_interval_is_a_busy_loop() {
        assert_eq!(
            wait_before_next(Next::Interval, Duration::ZERO, Streak::default()),
            Some(Duration::from_secs(1))
        );
        assert_eq!(
            wait_before_next(Next::Change, Duration::ZERO, Streak::default()),
            None
        );
    }

    #[test]
    fn an_image_is_current_while_it_is_the_planned_one_and_was_found() {
        let (plan, image) = built();
        let policy = Policy {
            delivers: false,
            ..DELIVERED
        };
        let found = BuildOutcome::Image(plan.clone(), Box::new(image));
        let (status, _) = with(policy, found, DeliveryOutcome::Nothing);
        assert!(image_is_current(&status, &plan) && is_planned(&status));
        let other = BuildStatus {
            inputs_digest: "other".into(),
            ..plan.clone()
        };
        assert!(!image_is_current(&status, &other));
        let failure = Failure::retried(Step::Build, reason::UNREACHABLE, "no answer");
        let outcome = Outcome::Failed(failure, Some(sources("a")));
        let (unknown, _) = settle(&status, asked(1), policy, NOW, outcome);
        assert!(!image_is_current(&unknown, &plan) && !is_planned(&unknown));
        assert!(!is_planned(&PatchSetStatus::default()));
    }

    #[test]
    fn an_image_whose_test_fails_is_built() {
        let (plan, _) = built();
        let failed = |step| {
            let failure = Failure::stalled(step, reason::BUILD_FAILED, "no");
            let failed = BuildOutcome::Failed(failure, Some(plan.clone()));
            with(DELIVERED, failed, DeliveryOutcome::Nothing).0
        };
        let status = failed(Step::Test);
        let message = "1 patch applies to main@sha1:a; built is r:5000/glance:1";
        assert_eq!(
            told(&status, condition::IMAGE_BUILT),
            ("True", "Succeeded", message)
        );
        assert_eq!(
            told(&status, condition::IMAGE_TESTED),
            ("False", "BuildFailed", "no")
        );
        let status = failed(Step::Build);
        assert_eq!(
            told(&status, condition::IMAGE_BUILT),
            ("False", "BuildFailed", "no")
        );
        assert!(conditions::find(&status.conditions, condition::IMAGE_TESTED).is_none());
    }

    #[test]
    fn an_image_of_a_source_without_patches_is_built_as_any_other() {
        let (plan, image) = built();
        let pending = Pending::new(reason::TESTING, "it runs", Next::Soon);
        let is_built = BuildOutcome::Image(plan.clone(), Box::new(image));
        for built in [is_built, BuildOutcome::Testing { plan, pending }] {
            let progress = PatchSetProgress {
                built,
                ..checked(&[])
            };
            let outcome = Outcome::Done(sources("a"), progress);
            let (status, _) = settle(&PatchSetStatus::default(), asked(1), DELIVERED, NOW, outcome);
            assert_eq!(told(&status, condition::PATCHES_APPLICABLE).1, "NoPatches");
            assert_eq!(told(&status, condition::IMAGE_BUILT).1, "Succeeded");
        }
    }

    #[test]
    fn those_that_apply_are_counted_with_those_that_are_skipped() {
        use PatchState::{Clean, Conflict, Merged, Offset};
        let patches = [Clean, Offset, Merged, Conflict].map(patch);
        assert!(all_allow_ready(&patches[..3], MergedPatches::Skip));
        assert!(!all_allow_ready(&patches[..3], MergedPatches::Fail));
        assert!(!all_allow_ready(&patches, MergedPatches::Skip));
        let policy = Policy {
            merged_patches: MergedPatches::Skip,
            ..POLICY
        };
        let outcome = Outcome::Done(sources("a"), checked(&[Clean, Offset, Offset, Merged, Conflict]));
        let (status, _) = settle(&PatchSetStatus::default(), asked(1), policy, NOW, outcome);
        let message = told(&status, condition::READY).2;
        assert!(
            message.starts_with("4 of 5 patches apply to main@sha1:a: "),
            "{message}"
        );
    }

    #[test]
    fn what_applies_is_told_with_its_exceptions() {
        use PatchState::{Clean, Merged, Offset};
        let policy = Policy {
            patches_location: Some("patches/glance"),
            merged_patches: MergedPatches::Skip,
            ..POLICY
        };
        for (states, note, expected) in [
            (&[Clean][..], None, "1 patch applies to main@sha1:a"),
            (&[Clean, Clean], None, "2 of 2 patches apply to main@sha1:a"),
            (
                &[Clean, Offset, Merged],
                Some("1 more"),
                "3 of 3 patches apply to main@sha1:a (1 with an offset, 1 already upstream and skipped); \
                 in their folder: 1 more",
            ),
            (
                &[],
                Some("1 more"),
                "no patches are carried on main@sha1:a: patches/glance has no *.patch or *.diff; \
                 in their folder: 1 more",
            ),
        ] {
            let mut progress = checked(states);
            progress.checked.as_mut().unwrap().note = note.map(ToOwned::to_owned);
            let outcome = Outcome::Done(sources("a"), progress);
            let (status, _) = settle(&PatchSetStatus::default(), asked(1), policy, NOW, outcome);
            assert_eq!(told(&status, condition::READY).2, expected);
        }
    }

    #[test]
    fn the_first_patch_that_does_not_apply_is_told_with_its_place_and_its_cause() {
        let commit = |digit: &str, subject: &str| UpstreamCommitStatus {
            commit: digit.repeat(40).into(),
            subject: subject.into(),
            author: None,
            date: None,
            change_id: None,
            url: None,
        };
        let somewhere = ConflictStatus {
            file: "f".into(),
            ..ConflictStatus::default()
        };
        let there = ConflictStatus {
            hunk: Some(2),
            line: Some(7),
            ..somewhere.clone()
        };
        let caused = ConflictStatus {
            broken_by: Some(commit("1", "Break it")),
            fuzz: Some(FuzzyFit { lines: 1, line: 9 }),
            ..there.clone()
        };
        let reverted = RevertedStatus {
            merged: commit("2", "Take it"),
            by: commit("3", "Revert it"),
        };
        let place = "0001.patch conflicts in f, hunk 2 at line 7";
        let conflict = PatchState::Conflict;
        for (state, conflict, message, reverted, expected) in [
            (conflict, Some(there), Some("why"), None, place),
            (
                conflict,
                Some(somewhere.clone()),
                Some("why"),
                None,
                "0001.patch conflicts: why",
            ),
            (conflict, Some(somewhere), None, None, "0001.patch conflicts in f"),
            (
                conflict,
                Some(caused),
                None,
                Some(reverted),
                &format!(
                    "{place}, broken by 1111111 'Break it'; it applies with fuzz 1 at line 9: refresh it; upstream \
                     had merged it as 2222222 'Take it', and reverted that by 3333333 'Revert it'"
                ),
            ),
            (PatchState::Blocked, None, Some("why"), None, "0001.patch: why"),
            (PatchState::Malformed, None, None, None, "0001.patch: Malformed"),
        ] {
            let mut progress = checked(&[state]);
            let patch = &mut progress.checked.as_mut().unwrap().patches[0];
            patch.message = message.map(ToOwned::to_owned);
            (patch.conflict, patch.reverted) = (conflict, reverted);
            let (status, _) = after(&PatchSetStatus::default(), Outcome::Done(sources("a"), progress));
            let expected = format!("0 of 1 patches apply to main@sha1:a: {expected}");
            assert_eq!(told(&status, condition::READY).2, expected);
        }
    }

    #[test]
    fn a_history_that_was_not_searched_is_told() {
        let told_of = |failure: Option<&str>, cut: Option<&str>| {
            let mut progress = checked(&[PatchState::Conflict]);
            let found = progress.checked.as_mut().unwrap();
            found.history_failure = failure.map(ToOwned::to_owned);
            found.history_cut = cut.map(ToOwned::to_owned);
            let (status, _) = after(&PatchSetStatus::default(), Outcome::Done(sources("a"), progress));
            let message = told(&status, condition::READY).2;
            let (_, rest) = message.split_once("0001.patch: why").unwrap();
            rest.to_owned()
        };
        assert_eq!(told_of(None, None), "");
        let failed = "; upstream's history could not be searched: no answer";
        assert_eq!(told_of(Some("no answer"), Some("a part")), failed);
        assert_eq!(
            told_of(None, Some("a part was seen")),
            "; of upstream's history a part was seen"
        );
    }

    #[test]
    fn an_image_tells_its_tests_where_there_are_any() {
        let (plan, image) = built();
        let found = BuildOutcome::Image(plan.clone(), Box::new(image));
        let settled = |tests, built| {
            let policy = Policy {
                tests,
                delivers: false,
                ..DELIVERED
            };
            let (status, _) = with(policy, built, DeliveryOutcome::Nothing);
            assert_eq!(told(&status, condition::READY).1, "Succeeded");
            let tested = conditions::find(&status.conditions, condition::IMAGE_TESTED);
            tested.map(|tested| tested.message.clone())
        };
        let by_run = Some("the workflow's run is its test".to_owned());
        assert_eq!(settled(true, found.clone()), by_run);
        assert_eq!(settled(false, found), None);
        assert_eq!(settled(true, BuildOutcome::Published(plan)), None);
    }

    #[test]
    fn an_image_that_is_rejected_counts_no_more() {
        let (plan, image) = built();
        let rejected = |digest: &[u8]| {
            let found = BuildOutcome::Image(plan.clone(), Box::new(image.clone()));
            let (before, _) = with(DELIVERED, found, DeliveryOutcome::Nothing);
            let planned = BuildStatus {
                rejected: Some(RejectedImage {
                    digest: Digest::sha256(digest).to_string().as_str().into(),
                    reason: Rejection::StockInstalled,
                    message: "it is the stock one".to_owned(),
                    installed: Vec::new(),
                }),
                ..plan.clone()
            };
            let failure = Failure::stalled(Step::Build, reason::STOCK_INSTALLED, "it is the stock one");
            let progress = PatchSetProgress {
                built: BuildOutcome::Failed(failure, Some(planned.clone())),
                ..checked(&[PatchState::Clean])
            };
            let outcome = Outcome::Done(sources("a"), progress);
            let (status, _) = settle(&before, asked(1), DELIVERED, NOW, outcome);
            assert_eq!(status.build.as_deref(), Some(&planned));
            status.image.map(|image| *image)
        };
        assert_eq!(rejected(b"image"), None);
        assert_eq!(rejected(b"another"), Some(image.clone()));
    }

    #[test]
    fn what_was_resolved_is_told_with_the_patches_where_they_have_a_revision() {
        for (patches, expected) in [
            (None, "upstream at main@sha1:a"),
            (
                Some("ours@sha1:b"),
                "upstream at main@sha1:a, patches at ours@sha1:b",
            ),
        ] {
            let sources = Sources {
                patches_revision: patches.map(ToOwned::to_owned),
                ..sources("a")
            };
            let outcome = Outcome::Done(sources, checked(&[PatchState::Clean]));
            let (status, _) = after(&PatchSetStatus::default(), outcome);
            assert_eq!(told(&status, condition::SOURCE_RESOLVED).2, expected);
        }
    }

    #[test]
    fn a_delivery_is_told_as_far_as_it_came() {
        let (plan, image) = built();
        let place = |config_map: Option<&str>, commit: Option<&str>| DeliveryStatus {
            reference: image.reference.clone(),
            delivered_at: conditions::seconds(NOW),
            config_map: config_map.map(ToOwned::to_owned),
            prefix: None,
            git: commit.map(|commit| CommitStatus {
                repository: "https://e/fleet".to_owned(),
                branch: "main".to_owned(),
                commit: commit.to_owned(),
                paths: Vec::new(),
            }),
        };
        let told_of = |delivered| {
            let found = BuildOutcome::Image(plan.clone(), Box::new(image.clone()));
            let (status, next) = with(DELIVERED, found, delivered);
            let (truth, reason, message) = told(&status, condition::DELIVERED);
            let told = format!("{truth}/{reason}: {message}");
            (told, status.delivered.map(|delivered| *delivered), next)
        };
        let text = |text: &str| text.to_owned();
        assert_eq!(
            told_of(DeliveryOutcome::Later(text("soon"))),
            (text("Unknown/Progressing: soon"), None, Next::Soon)
        );
        assert_eq!(
            told_of(DeliveryOutcome::Held(text("approve it"))),
            (text("Unknown/AwaitingApproval: approve it"), None, Next::Interval)
        );
        let failure = Failure::retried(Step::Delivery, reason::UNREACHABLE, "no answer");
        let besides = Some(place(Some("images"), None));
        assert_eq!(
            told_of(DeliveryOutcome::Failed(failure, besides.clone())),
            (text("False/Unreachable: no answer"), besides, Next::Backoff)
        );
        let applies = format!("1 patch applies to main@sha1:a; the image is {}", image.reference);
        assert_eq!(
            told_of(DeliveryOutcome::Nothing),
            (format!("True/Succeeded: {applies}"), None, Next::Interval)
        );
        for (config_map, commit, expected) in [
            (Some("images"), None, "to ConfigMap images"),
            (None, Some("bb"), "as main@sha1:bb of https://e/fleet"),
            (
                Some("images"),
                Some("bb"),
                "to ConfigMap images and as main@sha1:bb of https://e/fleet",
            ),
        ] {
            let place = place(config_map, commit);
            assert_eq!(
                told_of(DeliveryOutcome::Done(place.clone(), None)),
                (
                    format!("True/Succeeded: {applies}, delivered {expected}"),
                    Some(place),
                    Next::Interval
                )
            );
        }
    }

    #[test]
    fn the_history_has_the_last_five_images_once_each() {
        let (plan, image) = built();
        let found = |status: &mut PatchSetStatus, name: &str, second| {
            let image = ImageStatus {
                reference: format!("r:5000/glance:1@{}", Digest::sha256(name.as_bytes()))
                    .as_str()
                    .into(),
                ..image.clone()
            };
            let now = Timestamp::from_second(second).unwrap();
            record_build(
                status,
                BuildOutcome::Image(plan.clone(), Box::new(image.clone())),
                now,
            );
            assert_eq!(status.image.as_deref(), Some(&image));
        };
        let times = |status: &PatchSetStatus| -> Vec<i64> {
            let history = status.history.iter();
            history.map(|record| record.found_at.0.as_second()).collect()
        };
        let mut status = PatchSetStatus::default();
        found(&mut status, "one", 1);
        found(&mut status, "one", 2);
        assert_eq!(times(&status), [1]);
        // One that had vanished is there again.
        let pending = Pending::new(reason::BUILDING, "it builds", Next::Soon);
        let awaited = BuildOutcome::Awaited {
            plan: plan.clone(),
            pending: pending.clone(),
        };
        record_build(&mut status, awaited, NOW);
        assert_eq!(
            (status.image.as_deref(), status.build.as_deref()),
            (None, Some(&plan))
        );
        found(&mut status, "one", 3);
        assert_eq!(times(&status), [1]);
        // Of another plan, the image before stays until there is the next.
        let other = BuildStatus {
            inputs_digest: "other".into(),
            ..plan.clone()
        };
        record_build(&mut status, BuildOutcome::Awaited { plan: other, pending }, NOW);
        assert!(status.image.is_some());
        for second in 4..9 {
            found(&mut status, &second.to_string(), second);
        }
        assert_eq!(times(&status), [8, 7, 6, 5, 4]);
    }
}
