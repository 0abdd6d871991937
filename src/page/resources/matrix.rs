//! The matrix of a cluster.

use std::cell::Cell;

use askama::Template;
use kube::ResourceExt;
use patchset_api::PatchSet;
use patchset_api::conditions::{Truth, find};
use patchset_api::reason::condition;
use patchset_api::status::{PatchSetStatus, PatchState, PatchStatus};

use super::conditions::moment;
use super::filter::{MatrixFilter, STATES, choices};
use super::patch_texts::{PatchTexts, SHOWN_BYTES};
use crate::page::frame::{Frame, object_address};
use crate::page::{
    HighlightBudget, Matrix, Needs, PatchSource, PatchView, RenderError, SeriesView, Standing, Tally, slug,
};

/// How to get a refreshed patch without a folder at hand.
pub(super) const REFRESHED: &str = "take the refreshed patch: patchset refresh writes it";

/// A `PatchSet` as its cell and its patches.
#[must_use]
pub fn series_of(object: &PatchSet) -> SeriesView {
    series_with(object, |_| None)
}

/// The same, with the texts of its patches.
pub(super) fn series_with_texts(
    object: &PatchSet,
    texts: &PatchTexts,
    budget: &HighlightBudget<'_>,
) -> SeriesView {
    let left = Cell::new(SHOWN_BYTES);
    series_with(object, |patch| {
        let bytes = texts.find(object, patch)?;
        // The same text may be that of many patches.
        let after = left.get().checked_sub(bytes.len());
        left.set(after.unwrap_or(left.get()));
        Some(PatchSource {
            bytes,
            is_shown: after.is_some(),
            budget,
        })
    })
}

fn series_with<'a>(
    object: &PatchSet,
    source: impl Fn(&PatchStatus) -> Option<PatchSource<'a>>,
) -> SeriesView {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let initial = PatchSetStatus::default();
    let status = object.status.as_ref().unwrap_or(&initial);
    let id = slug(&format!("{namespace}_{name}"));
    let patches: Vec<PatchView> = status
        .patches
        .iter()
        .enumerate()
        .map(|(at, patch)| PatchView::new(format!("p{}", at + 1), patch, source(patch), REFRESHED))
        .collect();
    let mut tally = Tally::count(status.patches.iter().map(|patch| patch.state));
    for state in PatchState::ALL {
        let omitted = status.omitted_patches.map_or(0, |omitted| omitted.count(state));
        tally.add(state, omitted);
    }
    let ready = find(&status.conditions, condition::READY);
    let is_working = find(&status.conditions, condition::RECONCILING).is_some();
    let of_patches = SeriesView::standing_of_patches(&patches);
    let readiness = ready.and_then(|ready| ready.status.parse().ok());
    let standing = match (of_patches, readiness, is_working) {
        (Standing::Person | Standing::Tool, ..) => of_patches,
        (_, Some(Truth::False), false) => Standing::Person,
        (_, Some(Truth::False), true) => Standing::Tool,
        (_, Some(Truth::True), false) => Standing::Good,
        _ => Standing::Pending,
    };
    SeriesView {
        href: object_address("patchsets", &namespace, &name),
        id,
        namespace: Some(namespace),
        component: object.spec.component.0.clone(),
        release: object.spec.release.0.clone(),
        reference: status
            .upstream
            .as_ref()
            .and_then(|upstream| upstream.short_revision.clone()),
        folder: None,
        standing,
        failure: ready
            .filter(|_| readiness == Some(Truth::False) && of_patches == Standing::Good)
            .map(|ready| format!("{}: {}", ready.reason, ready.message)),
        tally,
        tag: status.image.as_ref().map(|image| image.tag.clone()),
        since: ready.map(|ready| format!("since {}", moment(&ready.last_transition_time))),
        patches,
        omitted: status.omitted_patches.map_or(0, |omitted| omitted.total()),
    }
}

/// What the matrix of a cluster shows.
#[derive(Clone, Debug)]
pub struct MatrixPage {
    /// What surrounds it.
    pub frame: Frame,
    /// Which part of it is shown.
    pub filter: MatrixFilter,
    /// All series that the viewer may list.
    pub series: Vec<SeriesView>,
}

impl MatrixPage {
    /// Renders the page.
    ///
    /// # Errors
    ///
    /// If the template cannot be rendered.
    pub fn render(&self) -> Result<String, RenderError> {
        let namespaces = choices(self.series.iter().filter_map(|one| one.namespace.as_deref()));
        let mut shown: Vec<SeriesView> = self
            .series
            .iter()
            .filter(|series| self.filter.lets_through(series))
            .cloned()
            .collect();
        if namespaces.len() < 2 {
            for series in &mut shown {
                series.namespace = None;
            }
        }
        let persons = shown
            .iter()
            .filter(|one| one.standing == Standing::Person)
            .count();
        MatrixTemplate {
            frame: &self.frame,
            filter: &self.filter,
            total: self.series.len(),
            components: choices(self.series.iter().map(|one| one.component.as_str())),
            releases: choices(self.series.iter().map(|one| one.release.as_str())),
            namespaces,
            states: STATES,
            needs: Needs::find(&shown),
            failing: shown.iter().filter(|one| one.failure.is_some()).collect(),
            matrix: Matrix::arrange(&shown),
            verdict: match (persons, shown.len()) {
                (_, 0) => "Nothing to see here.".to_owned(),
                (0, _) => "Nothing needs a person.".to_owned(),
                (1, all) => format!("1 of {all} series needs a person."),
                (count, all) => format!("{count} of {all} series need a person."),
            },
        }
        .render()
    }
}

#[derive(Template)]
#[template(path = "cluster_matrix.html", config = "src/page/askama.toml")]
struct MatrixTemplate<'a> {
    frame: &'a Frame,
    filter: &'a MatrixFilter,
    total: usize,
    components: Vec<String>,
    releases: Vec<String>,
    namespaces: Vec<String>,
    states: [Standing; 4],
    needs: Needs<'a>,
    failing: Vec<&'a SeriesView>,
    matrix: Matrix<'a>,
    verdict: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_has_a_bound_over_all_its_patches() {
        let names = ["1.patch", "2.patch", "3.patch"];
        let content = "+\n".repeat(SHOWN_BYTES / 4);
        let object: PatchSet = serde_json::from_value(json!({
            "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet",
            "metadata": { "name": "p", "namespace": "ours" },
            "spec": {
                "component": "glance", "release": "2025.2",
                "upstream": { "url": "https://example.org/glance", "ref": { "tag": "1" } },
                "patches": { "inline": names.map(|name| json!({ "name": name, "content": content })) }
            },
            "status": { "patches": names.map(|name| json!({ "name": name, "state": "Clean" })) }
        }))
        .unwrap();
        let texts = PatchTexts::default();
        let series = series_with_texts(&object, &texts, &HighlightBudget::new(0, &|| false));
        let shown: Vec<bool> = series.patches.iter().map(|patch| patch.diff.is_some()).collect();
        assert_eq!(shown, [true, true, false]);
        let statuses = &object.status.as_ref().unwrap().patches;
        assert_eq!(
            texts.notes(statuses, &series.patches),
            ["The diff of 1 patch is not shown: a page shows at most 4 MiB of patches."]
        );
    }
}
