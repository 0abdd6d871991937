//! The constraints of a release, with their overrides.

use super::report::{OverrideRow, Report};
use crate::api::source_refs::SourceRefs;
use crate::cli::input;
use crate::cli::local_files::LocalFolder;
use crate::constraints::{self, ConstraintsFile, Overrides, PackageName, merge};
use crate::layout::{FaultKind, LayoutFault, ReleaseFolder, Selection, read_file};

pub(super) fn check(release: &ReleaseFolder, folder: &LocalFolder, selection: &Selection) -> Report {
    let mut found = Report::default();
    let Some(upper) = &release.upper else {
        return found;
    };
    let overrides_path = release.overrides.as_ref().unwrap_or(upper);
    let read = |path: &str| read_file(&folder.files, &folder.path, path, input::LARGEST);
    let base = match read(upper) {
        Ok(bytes) => ConstraintsFile::parse(&bytes),
        Err(error) => {
            let kind = FaultKind::InvalidConstraints;
            found
                .faults
                .push(LayoutFault::new(kind, upper, error.to_string()));
            return found;
        }
    };
    let overrides = match release.overrides.as_deref().map(read) {
        None => Overrides::parse(b""),
        Some(Ok(bytes)) => Overrides::parse(&bytes),
        Some(Err(error)) => {
            let kind = FaultKind::InvalidOverrides;
            found
                .faults
                .push(LayoutFault::new(kind, overrides_path, error.to_string()));
            return found;
        }
    };
    let (base, overrides) = match (base, overrides) {
        (Ok(base), Ok(overrides)) => (base, overrides),
        (base, overrides) => {
            for error in [base.err(), overrides.err()].into_iter().flatten() {
                found.faults.extend(merge_faults(&error, upper, overrides_path));
            }
            return found;
        }
    };
    if base.entries().is_empty() && base.includes().is_empty() {
        let kind = FaultKind::InvalidConstraints;
        found.faults.push(LayoutFault::new(kind, upper, "pins nothing"));
    }
    let merged = match merge(&base, &overrides, &[]) {
        Ok(merged) => merged,
        Err(error) => {
            found.faults.extend(merge_faults(&error, upper, overrides_path));
            return found;
        }
    };
    let outcomes = merged.outcomes.iter();
    found.overrides = outcomes
        .filter(|outcome| selection.has_component(&outcome.package))
        .map(|outcome| OverrideRow {
            release: release.name.clone(),
            package: outcome.package.clone(),
            line: outcome.line,
            state: outcome.state,
            attention: outcome.needs_attention(),
            message: outcome.message(),
        })
        .collect();
    if let Some(refs) = &release.refs {
        found.faults.extend(still_pinned(
            &refs.refs,
            merged.text.as_bytes(),
            overrides_path,
            selection,
        ));
    }
    found
}

fn merge_faults(error: &constraints::Error, upper: &str, overrides: &str) -> Vec<LayoutFault> {
    let (kind, path) = match error {
        constraints::Error::Constraints(_) => (FaultKind::InvalidConstraints, upper),
        constraints::Error::Overrides(_) => (FaultKind::InvalidOverrides, overrides),
    };
    let problems = error.problems().iter();
    problems
        .map(|problem| LayoutFault::new(kind, path, &problem.message).at_line(problem.line))
        .collect()
}

/// Components that are built from source, and that the merged constraints pin all the same.
fn still_pinned(refs: &SourceRefs, merged: &[u8], path: &str, selection: &Selection) -> Vec<LayoutFault> {
    let Ok(merged) = ConstraintsFile::parse(merged) else {
        return Vec::new();
    };
    let components = refs.components().filter(|name| selection.has_component(name));
    components
        .filter_map(|component| {
            let name: PackageName = component.parse().ok()?;
            let entry = merged.entries().iter().find(|entry| entry.name == name)?;
            let message = format!(
                "{component} is built from source and pinned to {}, which pip and uv refuse: add -{component} to the overrides",
                entry.pin
            );
            Some(LayoutFault::new(FaultKind::StillPinned, path, message))
        })
        .collect()
}
