//! The page of a `PatchSet`.

use askama::Template;
use patchset_api::PatchSet;
use patchset_api::build::{Attempt, BuildRecord};
use patchset_api::conditions::find;
use patchset_api::reason::condition;
use patchset_api::status::{CandidateStatus, PatchSetStatus};

use super::comparison::{ComparedImages, ImageComparison, image_id};
use super::conditions::{FlowStep, duration, moment, steps};
use super::durations::add_durations;
use super::matrix::series_with_texts;
use super::patch_texts::PatchTexts;
use crate::page::frame::Frame;
use crate::page::{CommitView, HighlightBudget, RenderError, SeriesView, web_address};

/// What the page of a `PatchSet` shows.
#[derive(Clone, Debug)]
pub struct PatchSetPage {
    /// What surrounds it.
    pub frame: Frame,
    series: SeriesView,
    absent_diffs: Vec<String>,
    steps: Vec<FlowStep>,
    message: String,
    facts: Vec<(&'static str, String, Option<String>)>,
    candidates: Vec<CandidateView>,
    attempt: Option<AttemptView>,
    history: Vec<HistoryView>,
    comparison: Option<Result<ImageComparison, String>>,
}

/// The patches at a candidate ref.
#[derive(Clone, Debug)]
struct CandidateView {
    name: String,
    applied: String,
    outcome: String,
    message: Option<String>,
    broken: Vec<(String, CommitView)>,
}

/// The last attempt at a build.
#[derive(Clone, Debug)]
struct AttemptView {
    number: u32,
    name: String,
    url: Option<String>,
    started: String,
    finished: Option<String>,
    took: Option<String>,
    message: Option<String>,
    log: Option<String>,
}

/// An image that was built.
#[derive(Clone, Debug)]
struct HistoryView {
    found: String,
    reference: String,
    revision: String,
    reasons: String,
    attempts: u32,
    /// Its id in an address.
    id: String,
    /// The id of the one before.
    before: Option<String>,
}

impl PatchSetPage {
    /// The page of an object, with the texts of its patches that are at hand, and what changed
    /// between two of its images.
    #[must_use]
    pub fn new(
        frame: Frame,
        object: &PatchSet,
        texts: &PatchTexts,
        budget: &HighlightBudget<'_>,
        compared: Option<&ComparedImages>,
    ) -> Self {
        let initial = PatchSetStatus::default();
        let status = object.status.as_ref().unwrap_or(&initial);
        let ready = find(&status.conditions, condition::READY);
        let attempt = status.build.as_ref().and_then(|build| build.attempt.as_ref());
        let series = series_with_texts(object, texts, budget);
        Self {
            frame,
            absent_diffs: texts.notes(&status.patches, &series.patches),
            series,
            steps: add_durations(steps(&status.conditions), status),
            message: ready.map(|ready| ready.message.clone()).unwrap_or_default(),
            facts: facts(status),
            candidates: status.candidates.iter().map(candidate).collect(),
            attempt: attempt.map(attempt_view),
            history: history(&status.history),
            comparison: compared.map(|images| ImageComparison::new(object, images)),
        }
    }

    /// Renders the page.
    ///
    /// # Errors
    ///
    /// If the template cannot be rendered.
    pub fn render(&self) -> Result<String, RenderError> {
        PatchSetPageTemplate {
            frame: &self.frame,
            page: self,
            series: &self.series,
        }
        .render()
    }
}

/// What is built, delivered and running.
fn facts(status: &PatchSetStatus) -> Vec<(&'static str, String, Option<String>)> {
    let mut facts = Vec::new();
    if let Some(upstream) = &status.upstream {
        facts.push(("Upstream", upstream.revision.to_string(), None));
    }
    if let Some(revision) = &status.patches_revision {
        facts.push(("Patches", revision.clone(), None));
    }
    if let Some(tree) = &status.patched_tree {
        facts.push(("Patched tree", tree.to_string(), None));
    }
    if let Some(image) = &status.image {
        facts.push(("Image", image.reference.to_string(), None));
    }
    if let Some(delivered) = &status.delivered {
        let text = format!(
            "{} since {}",
            delivered.reference,
            moment(&delivered.delivered_at)
        );
        facts.push(("Delivered", text, None));
    }
    if let Some(proposed) = &status.proposed {
        let url = proposed.pull_request.as_deref().and_then(web_address);
        facts.push(("Waiting to be merged", proposed.reference.to_string(), url));
    }
    if let Some(upkeep) = &status.upkeep {
        let message = upkeep.message.as_deref().unwrap_or_default();
        let text = format!("{:?} since {} {message}", upkeep.state, moment(&upkeep.since));
        let url = upkeep.pull_request.as_deref().and_then(web_address);
        facts.push(("Upkeep", text, url));
    }
    for (name, text) in [
        ("History", &status.history_failure),
        ("Searched", &status.history_cut),
        ("Folder", &status.patches_note),
    ] {
        facts.extend(text.clone().map(|text| (name, text, None)));
    }
    facts
}

fn candidate(candidate: &CandidateStatus) -> CandidateView {
    let revision = candidate.revision.as_ref().and_then(|revision| revision.value());
    let broken = candidate.broken.iter();
    CandidateView {
        name: revision.map_or_else(|| candidate.ref_.clone(), patchset_api::Revision::short),
        applied: candidate.applied.clone().unwrap_or_default(),
        outcome: candidate.outcome.map_or_else(String::new, |outcome| {
            format!(
                "{} apply, {} merged, {} by a refresh, {} need a person",
                outcome.apply, outcome.merged, outcome.refresh, outcome.need_person
            )
        }),
        message: candidate.message.clone(),
        broken: broken
            .map(|broken| (broken.name.clone(), CommitView::from(&broken.by)))
            .collect(),
    }
}

fn attempt_view(attempt: &Attempt) -> AttemptView {
    let finished = attempt.finished_at.as_ref();
    let took = finished.map(|finished| finished.0.as_second() - attempt.started_at.0.as_second());
    AttemptView {
        number: attempt.number,
        name: attempt.name.clone(),
        url: attempt.url.as_deref().and_then(web_address),
        started: moment(&attempt.started_at),
        finished: finished.map(moment),
        took: took.map(duration),
        message: attempt.message.clone(),
        log: attempt.log_tail.clone(),
    }
}

fn history(records: &[BuildRecord]) -> Vec<HistoryView> {
    let before = records.iter().skip(1).map(|record| Some(image_id(record)));
    let before = before.chain(std::iter::once(None));
    let views = records.iter().zip(before).map(|(record, before)| {
        let reasons = record.reasons.iter().map(|reason| format!("{reason:?}"));
        HistoryView {
            found: moment(&record.found_at),
            reference: record.reference.to_string(),
            revision: record.revision.to_string(),
            reasons: reasons.collect::<Vec<_>>().join(", "),
            attempts: record.attempts,
            id: image_id(record),
            before,
        }
    });
    views.collect()
}

#[derive(Template)]
#[template(path = "patch_set.html", config = "src/page/askama.toml")]
struct PatchSetPageTemplate<'a> {
    frame: &'a Frame,
    page: &'a PatchSetPage,
    series: &'a SeriesView,
}
