//! The pages of `PatchRepository`s.

use askama::Template;
use kube::ResourceExt;
use patchset_api::PatchRepository;
use patchset_api::conditions::{Truth, find, is_true};
use patchset_api::patch_repository::{PatchRepositoryStatus, RepositoryCell};
use patchset_api::reason::condition;

use super::conditions::{FlowStep, steps};
use crate::page::frame::{Frame, object_address};
use crate::page::{FaultView, RenderError};

/// What the page of a `PatchRepository` shows.
#[derive(Clone, Debug)]
pub struct RepositoryPage {
    /// What surrounds it.
    pub frame: Frame,
    steps: Vec<FlowStep>,
    message: String,
    counts: Vec<(&'static str, u32)>,
    cells: Vec<CellRow>,
    omitted: u32,
    faults: Vec<FaultView>,
}

#[derive(Clone, Debug)]
struct CellRow {
    href: String,
    component: String,
    release: String,
    applied: String,
    is_ready: bool,
    reason: String,
    tag: String,
}

fn cell_row(namespace: &str, cell: &RepositoryCell) -> CellRow {
    CellRow {
        href: object_address("patchsets", namespace, &cell.name),
        component: cell.component.clone(),
        release: cell.release.clone(),
        applied: cell.applied.clone().unwrap_or_default(),
        is_ready: cell.ready.parse() == Ok(Truth::True),
        reason: cell.reason.clone().unwrap_or_default(),
        tag: cell.tag.clone().unwrap_or_default(),
    }
}

impl RepositoryPage {
    /// The page of an object.
    #[must_use]
    pub fn new(frame: Frame, object: &PatchRepository) -> Self {
        let initial = PatchRepositoryStatus::default();
        let status = object.status.as_ref().unwrap_or(&initial);
        let namespace = object.namespace().unwrap_or_default();
        let ready = find(&status.conditions, condition::READY);
        let counts = status.counts.unwrap_or_default();
        Self {
            frame,
            steps: steps(&status.conditions),
            message: ready.map(|ready| ready.message.clone()).unwrap_or_default(),
            counts: vec![
                ("PatchSets", counts.patch_sets),
                ("ConstraintOverrides", counts.constraint_overrides),
                ("ready", counts.ready),
                ("conflicting", counts.conflicting),
                ("merged", counts.merged),
                ("failing", counts.failing),
                ("under way", counts.pending),
            ],
            cells: status.cells.iter().map(|one| cell_row(&namespace, one)).collect(),
            omitted: status.omitted_cells.unwrap_or_default(),
            faults: status
                .faults
                .iter()
                .map(|fault| FaultView {
                    kind: fault.kind.clone(),
                    place: match fault.line {
                        Some(line) => format!("{}:{line}", fault.path),
                        None => fault.path.clone(),
                    },
                    url: None,
                    message: fault.message.clone(),
                    fails: true,
                })
                .collect(),
        }
    }

    /// Renders the page.
    ///
    /// # Errors
    ///
    /// If the template cannot be rendered.
    pub fn render(&self) -> Result<String, RenderError> {
        RepositoryTemplate {
            frame: &self.frame,
            page: self,
        }
        .render()
    }
}

#[derive(Template)]
#[template(path = "repository.html", config = "src/page/askama.toml")]
struct RepositoryTemplate<'a> {
    frame: &'a Frame,
    page: &'a RepositoryPage,
}

/// The `PatchRepository`s of a cluster.
#[derive(Clone, Debug)]
pub struct RepositoriesPage {
    /// What surrounds it.
    pub frame: Frame,
    rows: Vec<RepositoryRow>,
}

#[derive(Clone, Debug)]
struct RepositoryRow {
    href: String,
    name: String,
    url: String,
    is_ready: bool,
    message: String,
}

impl RepositoriesPage {
    /// The page of objects.
    pub fn new<'a>(frame: Frame, objects: impl Iterator<Item = &'a PatchRepository>) -> Self {
        let rows = objects.map(|object| {
            let conditions = object.status.as_ref().map(|status| status.conditions.as_slice());
            let conditions = conditions.unwrap_or_default();
            let ready = find(conditions, condition::READY);
            let namespace = object.namespace().unwrap_or_default();
            RepositoryRow {
                href: object_address("patchrepositories", &namespace, &object.name_any()),
                name: format!("{namespace}/{}", object.name_any()),
                url: object
                    .status
                    .as_ref()
                    .and_then(|status| status.revision.clone())
                    .unwrap_or_default(),
                is_ready: is_true(conditions, condition::READY),
                message: ready.map(|ready| ready.message.clone()).unwrap_or_default(),
            }
        });
        Self {
            frame,
            rows: rows.collect(),
        }
    }

    /// Renders the page.
    ///
    /// # Errors
    ///
    /// If the template cannot be rendered.
    pub fn render(&self) -> Result<String, RenderError> {
        RepositoriesTemplate {
            frame: &self.frame,
            rows: &self.rows,
        }
        .render()
    }
}

#[derive(Template)]
#[template(path = "repositories.html", config = "src/page/askama.toml")]
struct RepositoriesTemplate<'a> {
    frame: &'a Frame,
    rows: &'a [RepositoryRow],
}
