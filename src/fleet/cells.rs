//! Which components at which releases a repository's folders ask for.

use std::collections::{BTreeMap, BTreeSet};

use patchset_api::patch_set::Level;

use super::selection::ReadingRules;
use crate::layout::{ComponentSeries, RepositoryLayout};

/// A component at a release.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell<'a> {
    pub(super) component: &'a str,
    pub(super) release: &'a str,
    pub(super) level: Level,
    pub(super) series: Option<&'a ComponentSeries>,
    /// The path of the `source-refs.yaml` that sets the ref, relative to the folder that holds it
    /// all; `None` if the template of refs sets it.
    pub(super) refs_path: Option<&'a str>,
}

impl<'a> Cell<'a> {
    /// All cells, by release and component.
    pub(super) fn all(layout: &'a RepositoryLayout, rules: &ReadingRules<'a>) -> Vec<Self> {
        let mut found: BTreeMap<(&str, &str), Self> = BTreeMap::new();
        let selection = rules.selection();
        for (release, folder) in &layout.releases {
            let refs = folder.refs.iter();
            for (component, path) in refs.flat_map(|refs| {
                let named = refs.refs.components().filter(|name| refs.refs.get(name).is_ok());
                named.map(|name| (name, refs.path.as_str()))
            }) {
                if selection.has_component(component) && selection.has_release(release) {
                    let cell = Self {
                        component,
                        release,
                        level: Level::Service,
                        series: None,
                        refs_path: Some(path),
                    };
                    found.insert((release, component), cell);
                }
            }
        }
        for series in layout.series.iter().filter(|series| series.reference.is_some()) {
            let cell = found.entry((&series.release, &series.component)).or_insert(Self {
                component: &series.component,
                release: &series.release,
                level: Level::Service,
                series: None,
                refs_path: None,
            });
            cell.series = Some(series);
        }
        let libraries = libraries(layout, rules);
        let mut cells: Vec<Self> = found.into_values().collect();
        for cell in &mut cells {
            if libraries.contains(cell.component) {
                cell.level = Level::Library;
            }
        }
        cells
    }

    /// What the cell is, in words.
    pub(super) fn describe(&self) -> String {
        format!("{} {}", self.component, self.release)
    }
}

/// The components that are libraries: those that are named, or else, if the repository has images,
/// those with patches but no image.
fn libraries<'a>(layout: &'a RepositoryLayout, rules: &ReadingRules<'a>) -> BTreeSet<&'a str> {
    if let Some(named) = rules.libraries() {
        return named.iter().map(|name| name.0.as_str()).collect();
    }
    let patched = layout.series.iter().filter(|one| !one.series.patches.is_empty());
    let patched = patched.map(|one| one.component.as_str());
    patched
        .filter(|name| !layout.images.is_empty() && !layout.images.contains(*name))
        .collect()
}
