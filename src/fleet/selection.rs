//! Which components and releases are looked after, and how the folders are read.

use glob::Pattern;
use patchset_api::PatchRepositorySpec;
use patchset_api::common::Component;
use patchset_api::patch_repository::NameSelection;

use super::error::FleetError;
use crate::layout::{LayoutOptions, RefTemplate, Selection};

/// How the folders of a repository are read, by its spec.
#[derive(Debug)]
pub struct ReadingRules<'a> {
    spec: &'a PatchRepositorySpec,
    selection: Selection,
    ref_template: Option<RefTemplate>,
}

impl<'a> ReadingRules<'a> {
    /// Reads the patterns and the template of refs of a spec.
    ///
    /// # Errors
    ///
    /// Where one of them cannot be read.
    pub fn new(spec: &'a PatchRepositorySpec) -> Result<Self, FleetError> {
        let components = NamePatterns::new("spec.components", spec.components.as_ref())?;
        let releases = NamePatterns::new("spec.releases", spec.releases.as_ref())?;
        let template = spec.upstream.ref_template.as_deref();
        let ref_template = template
            .map(str::parse)
            .transpose()
            .map_err(|error| FleetError::field("spec.upstream.refTemplate", error))?;
        Ok(Self {
            spec,
            selection: Selection::by_rules(
                move |name| components.take(name),
                move |name| releases.take(name),
            ),
            ref_template,
        })
    }

    /// What to read. `branch` is that of the revision that is read, if it is one.
    #[must_use]
    pub fn options<'b>(&'b self, branch: Option<&'b str>) -> LayoutOptions<'b> {
        LayoutOptions {
            kind: self.spec.layout,
            directory: self.spec.directory.as_deref().unwrap_or_default(),
            branch,
            component: self.spec.component.as_ref().map(|component| component.0.as_str()),
            ref_template: self.ref_template.as_ref(),
            selection: &self.selection,
        }
    }

    /// Which components and releases are looked after.
    #[must_use]
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// The components that are libraries, where the spec names them.
    pub(super) fn libraries(&self) -> Option<&'a [Component]> {
        self.spec.libraries.as_deref()
    }
}

/// Patterns of names that are taken, and of those that are not.
struct NamePatterns {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

impl NamePatterns {
    fn new(field: &str, selection: Option<&NameSelection>) -> Result<Self, FleetError> {
        let read = |name: &str, patterns: &[String]| {
            let patterns = patterns.iter().enumerate();
            let read = patterns.map(|(at, text)| pattern(&format!("{field}.{name}[{at}]"), text));
            read.collect::<Result<Vec<Pattern>, FleetError>>()
        };
        let selection = selection.cloned().unwrap_or_default();
        Ok(Self {
            include: read("include", &selection.include)?,
            exclude: read("exclude", &selection.exclude)?,
        })
    }

    fn take(&self, name: &str) -> bool {
        let fits = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        (self.include.is_empty() || fits(&self.include)) && !fits(&self.exclude)
    }
}

/// Reads the pattern that a field has.
pub(super) fn pattern(field: &str, text: &str) -> Result<Pattern, FleetError> {
    Pattern::new(text).map_err(|error| FleetError::field(field, error))
}
