//! The commit that a change is compared to, and what its folders have.

use std::collections::BTreeMap;
use std::path::Path;

use git_apply_engine::PatchInput;
use git_mirrors::local::LocalRepository;

use super::overrides;
use super::report::{BaseCommit, Report};
use super::task::{Baseline, readable_series};
use crate::cli::error::Error;
use crate::layout::{LayoutError, LayoutFault, LayoutOptions, RepositoryLayout, TreeFiles};

/// What the base has of what was selected.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) commit: BaseCommit,
    /// By component and release.
    pub(super) series: BTreeMap<(String, String), BaseSeries>,
    /// What the overrides result in, by release.
    pub(super) overrides: BTreeMap<String, Report>,
    pub(super) faults: Vec<LayoutFault>,
    /// What is to be known of the comparison.
    pub(super) notes: Vec<String>,
}

/// The patches of a component at a release in the base, as far as they can be read.
#[derive(Debug)]
pub(super) struct BaseSeries {
    pub(super) folder: String,
    pub(super) reference: Option<String>,
    pub(super) patches: Vec<PatchInput>,
}

impl BaseSeries {
    pub(super) fn baseline(&self) -> Baseline {
        match &self.reference {
            Some(reference) if !self.patches.is_empty() => Baseline::Series {
                reference: reference.clone(),
                patches: self.patches.clone(),
            },
            _ => Baseline::Absent,
        }
    }
}

impl Base {
    /// Reads the base of a checkout: the last commit that it has in common with `revision`, so that
    /// what others did since is not reported as part of this change.
    ///
    /// # Errors
    ///
    /// Where the folder is in no repository, or there is no such revision.
    pub(super) fn read(root: &Path, revision: &str, options: &LayoutOptions<'_>) -> Result<Self, Error> {
        let repository = LocalRepository::open(root)?;
        let usage = |message: &str| Error::Usage(format!("--base {revision}: {message}"));
        let named = repository
            .commit_of(revision)
            .ok_or_else(|| usage("the repository has no such commit: fetch it first"))?;
        let head = repository
            .commit_of("HEAD")
            .ok_or_else(|| usage("the repository has no commit yet"))?;
        let mut notes = Vec::new();
        let commit = repository.merge_base(named, head).unwrap_or_else(|| {
            notes.push(format!(
                "no common commit of {revision} and HEAD is known (is the clone shallow?): compared to {revision} itself"
            ));
            named
        });
        let tree = repository.tree_of(&commit.to_string())?;
        let files = TreeFiles::new(&repository, tree);
        let mut base = Self {
            commit: BaseCommit {
                revision: revision.to_owned(),
                commit: commit.to_string(),
            },
            series: BTreeMap::new(),
            overrides: BTreeMap::new(),
            faults: Vec::new(),
            notes,
        };
        match RepositoryLayout::read(&files, options) {
            Ok(layout) => base.fill(&layout, &files, options),
            Err(LayoutError::Files(error)) => return Err(LayoutError::Files(error).into()),
            Err(error) => base
                .notes
                .push(format!("nothing is compared to {revision}: {error}")),
        }
        Ok(base)
    }

    fn fill(&mut self, layout: &RepositoryLayout, files: &TreeFiles<'_>, options: &LayoutOptions<'_>) {
        self.faults.extend(layout.faults.iter().cloned());
        for series in &layout.series {
            let patches = match readable_series(series, files) {
                Ok(patches) => patches.unwrap_or_default(),
                Err(fault) => {
                    self.faults.push(fault);
                    continue;
                }
            };
            let key = (series.component.clone(), series.release.clone());
            let series = BaseSeries {
                folder: series.folder.clone(),
                reference: series.reference.clone(),
                patches,
            };
            self.series.insert(key, series);
        }
        for release in layout.releases.values() {
            let mut found = overrides::check(release, files, options.directory, options.selection);
            self.faults.append(&mut found.faults);
            self.overrides.insert(release.name.clone(), found);
        }
    }
}
