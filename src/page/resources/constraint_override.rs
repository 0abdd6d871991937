//! The pages of `ConstraintOverride`s.

use askama::Template;
use kube::ResourceExt;
use patchset_api::ConstraintOverride;
use patchset_api::conditions::{find, is_true};
use patchset_api::constraint_override::{ConstraintOverrideStatus, OverrideState, OverrideStatus};
use patchset_api::reason::condition;

use super::conditions::{FlowStep, steps};
use crate::page::frame::{Frame, object_address};
use crate::page::{MergedFileView, OverrideView, OverridesView, RenderError, slug};

/// The merged file, as far as it can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergedText {
    /// The file.
    Held(String),
    /// The controller does not have it in memory.
    NotHeld,
    /// The viewer may not read ConfigMaps.
    NotAllowed,
}

/// What the page of a `ConstraintOverride` shows.
#[derive(Clone, Debug)]
pub struct ConstraintOverridePage {
    /// What surrounds it.
    pub frame: Frame,
    steps: Vec<FlowStep>,
    message: String,
    overrides: OverridesView,
    merged: Option<String>,
    /// Why the file itself is not shown.
    is_missing: &'static str,
}

/// Whether a person should look at an override.
fn needs_attention(state: OverrideState) -> bool {
    matches!(
        state,
        OverrideState::Redundant | OverrideState::Outdated | OverrideState::Absent
    )
}

fn override_view((number, result): (usize, &OverrideStatus)) -> OverrideView {
    OverrideView {
        package: result.package.clone(),
        state: result.state,
        from: result.from.clone(),
        to: result.to.clone(),
        attention: needs_attention(result.state),
        message: result.message.clone(),
        line: result.line.and_then(|line| usize::try_from(line).ok()),
        anchor: format!("override-{}", number + 1),
    }
}

fn overrides_of(object: &ConstraintOverride) -> OverridesView {
    let initial = ConstraintOverrideStatus::default();
    let status = object.status.as_ref().unwrap_or(&initial);
    OverridesView {
        id: slug(&object.name_any()),
        release: object.spec.release.0.clone(),
        overrides: status.results.iter().enumerate().map(override_view).collect(),
        omitted: status
            .omitted_results
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or_default(),
        merged: None,
    }
}

impl ConstraintOverridePage {
    /// The page of an object.
    #[must_use]
    pub fn new(frame: Frame, object: &ConstraintOverride, merged: &MergedText) -> Self {
        let initial = ConstraintOverrideStatus::default();
        let status = object.status.as_ref().unwrap_or(&initial);
        let ready = find(&status.conditions, condition::READY);
        let mut overrides = overrides_of(object);
        let is_missing = match merged {
            MergedText::Held(text) => {
                overrides.merged = Some(MergedFileView::new("merged", text, &overrides.overrides));
                ""
            }
            MergedText::NotHeld => "The controller does not have it in memory at this moment.",
            MergedText::NotAllowed => "It is shown to those who may list ConfigMaps in this namespace.",
        };
        Self {
            frame,
            steps: steps(&status.conditions),
            message: ready.map(|ready| ready.message.clone()).unwrap_or_default(),
            overrides,
            is_missing,
            merged: status.config_map.as_ref().map(|file| {
                format!(
                    "ConfigMap {}, key {}: {} pins, {}",
                    file.name, file.key, file.entries, file.digest
                )
            }),
        }
    }

    /// Renders the page.
    ///
    /// # Errors
    ///
    /// If the template cannot be rendered.
    pub fn render(&self) -> Result<String, RenderError> {
        OverrideTemplate {
            frame: &self.frame,
            page: self,
            one: &self.overrides,
        }
        .render()
    }
}

#[derive(Template)]
#[template(path = "constraint_override.html", config = "src/page/askama.toml")]
struct OverrideTemplate<'a> {
    frame: &'a Frame,
    page: &'a ConstraintOverridePage,
    one: &'a OverridesView,
}

/// The `ConstraintOverride`s of a cluster: name, address, release, how many need attention, and
/// what Ready says.
#[derive(Clone, Debug)]
pub struct OverridesPage {
    /// What surrounds it.
    pub frame: Frame,
    rows: Vec<ListedOverrides>,
}

#[derive(Clone, Debug)]
struct ListedOverrides {
    href: String,
    name: String,
    release: String,
    overrides: usize,
    attention: usize,
    is_ready: bool,
    message: String,
}

impl OverridesPage {
    /// The page of objects.
    pub fn new<'a>(frame: Frame, objects: impl Iterator<Item = &'a ConstraintOverride>) -> Self {
        let rows = objects.map(|object| {
            let overrides = overrides_of(object);
            let conditions = object.status.as_ref().map(|status| status.conditions.as_slice());
            let conditions = conditions.unwrap_or_default();
            let ready = find(conditions, condition::READY);
            let namespace = object.namespace().unwrap_or_default();
            ListedOverrides {
                href: object_address("constraintoverrides", &namespace, &object.name_any()),
                name: format!("{namespace}/{}", object.name_any()),
                release: overrides.release.clone(),
                attention: overrides.attention(),
                overrides: overrides.overrides.len() + overrides.omitted,
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
        OverridesTemplate {
            frame: &self.frame,
            rows: &self.rows,
        }
        .render()
    }
}

#[derive(Template)]
#[template(path = "constraint_overrides.html", config = "src/page/askama.toml")]
struct OverridesTemplate<'a> {
    frame: &'a Frame,
    rows: &'a [ListedOverrides],
}
