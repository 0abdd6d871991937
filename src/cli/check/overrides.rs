//! The constraints of a release, with their overrides.

use patchset_api::source_refs::SourceRefs;
use upper_constraints::{ConstraintsFile, Outcome, Overrides, PackageName, merge};

use super::changes::ChangeVerdict;
use super::report::{MergedConstraints, OverrideRow, Report};
use crate::cli::input;
use crate::layout::{
    FaultKind, LayoutError, LayoutFault, ReleaseFolder, RepositoryFiles, Selection, read_file,
};
use crate::plan::constraint_override::refused_by_uv;

/// Keeps only the findings that the base does not have, and says what got worse or better.
pub(super) fn compare(found: &mut Report, base: Option<&Report>) {
    let before = base.map_or(&[][..], |base| &base.overrides);
    found.overrides.retain_mut(|row| {
        let old = before.iter().find(|old| old.package == row.package);
        if old.is_some_and(|old| (old.state, &old.message) == (row.state, &row.message)) {
            return false;
        }
        row.verdict = Some(ChangeVerdict::new(old.map(|old| !old.attention), !row.attention));
        true
    });
}

/// Checks the overrides of a release. `directory` is the folder that holds it all.
pub(super) fn check(
    release: &ReleaseFolder,
    files: &dyn RepositoryFiles,
    directory: &str,
    selection: &Selection,
) -> Report {
    let mut found = Report::default();
    let Some(upper) = &release.upper else {
        return found;
    };
    let overrides_path = release.overrides.as_ref().unwrap_or(upper);
    let (base, overrides) = match read_both(release, upper, files, directory) {
        Ok(both) => both,
        Err(faults) => {
            found.faults.extend(faults);
            return found;
        }
    };
    if base.entries().is_empty() && base.includes().is_empty() {
        found.faults.push(LayoutFault {
            kind: FaultKind::InvalidConstraints,
            path: upper.to_owned(),
            line: None,
            message: "pins nothing".to_owned(),
        });
    }
    let merged = match merge(&base, &overrides, &[]) {
        Ok(merged) => merged,
        Err(error) => {
            found.faults.extend(merge_faults(&error, upper, overrides_path));
            return found;
        }
    };
    let rows: Vec<OverrideRow> = merged
        .outcomes
        .iter()
        .map(|outcome| override_row(release, outcome))
        .collect();
    let told = rows.iter().filter(|row| selection.has_component(&row.package));
    found.overrides = told.cloned().collect();
    found.merged.insert(
        release.name.clone(),
        MergedConstraints {
            text: merged.text.clone(),
            overrides: rows,
        },
    );
    for entry in refused_by_uv(merged.text.as_bytes()) {
        found.faults.push(LayoutFault::new(
            FaultKind::RefusedByUv,
            upper.as_str(),
            entry.to_string(),
        ));
    }
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

/// Reads what upstream pins and what overrides it.
fn read_both(
    release: &ReleaseFolder,
    upper: &String,
    files: &dyn RepositoryFiles,
    directory: &str,
) -> Result<(ConstraintsFile, Overrides), Vec<LayoutFault>> {
    let overrides_path = release.overrides.as_ref().unwrap_or(upper);
    let read = |kind, path: &String| {
        read_file(files, directory, path, input::LARGEST)
            .map_err(|error| vec![unreadable_file(kind, path, &error)])
    };
    let base = ConstraintsFile::parse(&read(FaultKind::InvalidConstraints, upper)?);
    let overrides = match &release.overrides {
        None => Overrides::parse(b""),
        Some(path) => Overrides::parse(&read(FaultKind::InvalidOverrides, path)?),
    };
    match (base, overrides) {
        (Ok(base), Ok(overrides)) => Ok((base, overrides)),
        (base, overrides) => {
            let errors = [base.err(), overrides.err()].into_iter().flatten();
            Err(errors
                .flat_map(|error| merge_faults(&error, upper, overrides_path))
                .collect())
        }
    }
}

fn override_row(release: &ReleaseFolder, outcome: &Outcome) -> OverrideRow {
    OverrideRow {
        release: release.name.clone(),
        package: outcome.package.clone(),
        line: outcome.line,
        state: outcome.state,
        attention: outcome.needs_attention(),
        message: outcome.message(),
        from: outcome.from_text(),
        to: outcome.to.clone(),
        merged_line: outcome.merged_line,
        verdict: None,
    }
}

fn unreadable_file(kind: FaultKind, path: &str, error: &LayoutError) -> LayoutFault {
    LayoutFault {
        kind,
        path: path.to_owned(),
        line: None,
        message: error.to_string(),
    }
}

fn merge_faults(error: &upper_constraints::Error, upper: &str, overrides: &str) -> Vec<LayoutFault> {
    let (kind, path) = match error {
        upper_constraints::Error::Constraints(_) => (FaultKind::InvalidConstraints, upper),
        upper_constraints::Error::Overrides(_) => (FaultKind::InvalidOverrides, overrides),
    };
    let problems = error.problems().iter();
    problems
        .map(|problem| LayoutFault {
            kind,
            path: path.to_owned(),
            line: Some(problem.line),
            message: problem.message.clone(),
        })
        .collect()
}

/// Components that are built from source but that the merged constraints still pin.
fn still_pinned(refs: &SourceRefs, merged: &[u8], path: &str, selection: &Selection) -> Vec<LayoutFault> {
    let Ok(merged) = ConstraintsFile::parse(merged) else {
        return Vec::new();
    };
    let components = refs.components().filter(|name| selection.has_component(name));
    components
        .filter_map(|component| {
            let name: PackageName = component.parse().ok()?;
            let entry = merged.entries().iter().find(|entry| entry.name == name)?;
            Some(LayoutFault {
                kind: FaultKind::StillPinned,
                path: path.to_owned(),
                line: None,
                message: format!(
                    "{component} is built from source and pinned to {}, which pip and uv refuse: add -{component} to the overrides",
                    entry.pin
                ),
            })
        })
        .collect()
}
