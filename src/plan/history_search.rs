//! The search for what upstream did with the patches of a series: which ones it merged, which
//! commit broke the others, and which of them a refresh mends. Callers supply the upstream's
//! objects and say how much of them may be read.

use git_apply_engine::{ObjectError, Objects, Oid, Options, PatchInput, PatchReport, PatchState, Sequence};
use patch_refresh::{
    FindBlob, PatchHint, PatchRefresh, Presence, RefreshError, RefreshHints, RefreshOptions, refresh_series,
};
use upstream_history::{
    Bounds, Commits, HistoryError, Judged, Range, apply_findings, find_breaker, find_merged,
};

use super::upstream_history::PatchHistory;

/// A series that was applied to a tree.
#[derive(Clone, Copy, Debug)]
pub struct AppliedPatches<'a> {
    /// The patches.
    pub patches: &'a [PatchInput],
    /// How they are read.
    pub options: &'a Options,
    /// What each was applied to.
    pub sequence: Sequence,
}

/// The history of a commit, to be searched for patches that do not apply there.
pub struct HistorySearch<'a, S> {
    /// The upstream's commits, trees and files.
    pub store: &'a S,
    /// The commit that the series was applied to.
    pub tip: Oid,
    /// The series.
    pub series: AppliedPatches<'a>,
    /// For each patch, the commit on which it last applied, where known.
    pub last_applied: &'a [Option<Oid>],
    /// How much of the history is searched.
    pub bounds: Bounds,
    /// How many patches get a search for the commit that broke them.
    pub most_breakers: usize,
    /// Where to find the blobs that patches name; `None` if no refresh is to be tried.
    pub refresh_from: Option<&'a dyn FindBlob>,
}

/// Why a search found less than there may be.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Commits could not be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The patches could not be refreshed.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
}

impl<S: Commits + Objects> HistorySearch<'_, S> {
    /// Searches, and puts what upstream has into the reports on the patches. What was found before
    /// a step failed is kept.
    pub fn run(&self, reports: &mut [PatchReport]) -> (Vec<PatchHistory>, Option<SearchError>) {
        let mut found = vec![PatchHistory::default(); reports.len()];
        let failure = self.fill(reports, &mut found).err();
        (found, failure)
    }

    fn fill(&self, reports: &mut [PatchReport], found: &mut [PatchHistory]) -> Result<(), SearchError> {
        let AppliedPatches { patches, options, .. } = self.series;
        let judged = Judged::series(patches, reports, options);
        let findings = find_merged(self.store, self.store, self.tip, &judged, &self.bounds)?;
        apply_findings(reports, &findings);
        for (found, finding) in found.iter_mut().zip(findings) {
            found.finding = finding;
        }
        self.find_breakers(reports, found)?;
        self.find_refreshes(reports, found)
    }

    fn find_breakers(&self, reports: &[PatchReport], found: &mut [PatchHistory]) -> Result<(), SearchError> {
        let judged = Judged::series(self.series.patches, reports, self.series.options);
        let broken = judged
            .iter()
            .zip(found)
            .enumerate()
            .filter(|(_, (judged, _))| judged.report.state == PatchState::Conflict);
        for (at, (_, found)) in broken.take(self.most_breakers) {
            let first = match self.series.sequence {
                Sequence::Stacked => 0,
                Sequence::Independent => at,
            };
            let until = judged.get(first..=at).unwrap_or_default();
            let range = Range {
                tip: self.tip,
                since: self.last_applied.get(at).copied().flatten(),
            };
            found.broken_by = find_breaker(self.store, self.store, range, until, &self.bounds)?;
        }
        Ok(())
    }

    fn find_refreshes(&self, reports: &[PatchReport], found: &mut [PatchHistory]) -> Result<(), SearchError> {
        let Some(blobs) = self.refresh_from else {
            return Ok(());
        };
        let last_applied = self.last_applied.iter();
        let last_applied: Vec<_> = last_applied
            .map(|last| last.and_then(|commit| self.tree(commit).ok()))
            .collect();
        let refresh = SeriesRefresh {
            objects: self.store,
            base: self.tree(self.tip)?,
            series: self.series,
            reports,
            last_applied: &last_applied,
            blobs,
        };
        let refreshed = refresh.run(&RefreshOptions::default())?;
        for (found, refreshed) in found.iter_mut().zip(refreshed) {
            found.refresh = refreshed.outcome.status();
            found.fuzz = refreshed.fuzz;
        }
        Ok(())
    }

    /// The tree of a known commit.
    fn tree(&self, commit: Oid) -> Result<Oid, HistoryError> {
        let known = self.store.commit(commit)?;
        known
            .map(|known| known.tree)
            .ok_or(HistoryError::Object(ObjectError::NotFound(commit)))
    }
}

/// Finds the blobs that `index` lines name in full, where the store has them or can get them.
pub struct FullIds<'a>(pub &'a dyn Objects);

impl FindBlob for FullIds<'_> {
    fn find_blob(&self, prefix: &str) -> Result<Option<Oid>, ObjectError> {
        let Ok(id) = prefix.parse() else {
            return Ok(None);
        };
        Ok(self.0.blob_size(id).ok().map(|_| id))
    }
}

/// An applied series that is to be refreshed.
pub struct SeriesRefresh<'a> {
    /// The upstream's trees and files.
    pub objects: &'a dyn Objects,
    /// The tree that the series was applied to.
    pub base: Oid,
    /// The series.
    pub series: AppliedPatches<'a>,
    /// The report on each patch: what upstream has is left out.
    pub reports: &'a [PatchReport],
    /// For each patch, the tree on which it last applied, where known.
    pub last_applied: &'a [Option<Oid>],
    /// Where to find the blobs that patches name.
    pub blobs: &'a dyn FindBlob,
}

impl SeriesRefresh<'_> {
    /// Refreshes the patches that can be.
    ///
    /// # Errors
    ///
    /// If objects cannot be read.
    pub fn run(&self, options: &RefreshOptions) -> Result<Vec<PatchRefresh>, RefreshError> {
        let AppliedPatches {
            patches,
            options: engine,
            sequence,
        } = self.series;
        let options = RefreshOptions {
            engine: engine.clone(),
            ..options.clone()
        };
        let hints = self.reports.iter().enumerate().map(|(at, report)| PatchHint {
            last_applied: self.last_applied.get(at).copied().flatten(),
            presence: match report.state {
                PatchState::Merged => Presence::Merged,
                _ => Presence::Unknown,
            },
        });
        let hints: Vec<PatchHint> = hints.collect();
        let size = match sequence {
            Sequence::Stacked => patches.len().max(1),
            Sequence::Independent => 1,
        };
        let mut refreshed = Vec::with_capacity(patches.len());
        for (patches, hints) in patches.chunks(size).zip(hints.chunks(size)) {
            let hints = RefreshHints {
                blobs: Some(self.blobs),
                patches: hints,
            };
            refreshed.extend(refresh_series(
                self.objects,
                self.base,
                patches,
                &hints,
                &options,
            )?);
        }
        Ok(refreshed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use git_apply_engine::{EntryMode, MemoryStore, apply};
    use patch_refresh::{RefreshKind, RefreshOutcome, RefreshState};
    use upstream_history::Commit;

    /// An upstream whose commits each leave a file `f`.
    #[derive(Default)]
    struct FileHistory {
        objects: MemoryStore,
        commits: HashMap<Oid, Commit>,
    }

    impl FileHistory {
        fn add_commit(&mut self, parent: Option<Oid>, file: &str) -> Oid {
            let files = [("f", EntryMode::Regular, file)];
            let tree = self.objects.add_files(files).unwrap();
            let parent = parent.map_or_else(String::new, |parent| format!("parent {parent}\n"));
            let who = format!("A <a@example.org> {} +0000", 1_700_000_000 + self.commits.len());
            let raw = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\nChange\n");
            let id = Oid::of_blob(raw.as_bytes());
            let commit = Commit::parse(id, raw.as_bytes()).unwrap();
            self.commits.insert(id, commit);
            id
        }
    }

    impl Commits for FileHistory {
        fn commit(&self, id: Oid) -> Result<Option<Commit>, HistoryError> {
            Ok(self.commits.get(&id).cloned())
        }
    }

    test_repositories::objects_of_field!(FileHistory, objects);

    #[test]
    fn patches_are_refreshed_as_they_are_read() {
        let mut store = MemoryStore::new();
        let file = "new\none\ntwo\nthree\n";
        let base = store.add_files([("sub/f", EntryMode::Regular, file)]).unwrap();
        // Paths without a leading letter, below a folder.
        let engine = Options {
            strip: Some(0),
            directory: "sub".into(),
            ..Options::default()
        };
        let patch = "--- f\n+++ f\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n";
        let patches = [PatchInput::new("p", patch)];
        let applied = apply(&store, base, &patches, Sequence::Stacked, &engine).unwrap();
        let blobs = FullIds(&store);
        let refresh = SeriesRefresh {
            objects: &store,
            base,
            series: AppliedPatches {
                patches: &patches,
                options: &engine,
                sequence: Sequence::Stacked,
            },
            reports: applied.patches(),
            last_applied: &[],
            blobs: &blobs,
        };
        let refreshed = refresh.run(&RefreshOptions::default()).unwrap();
        let RefreshOutcome::Refreshed { how, .. } = &refreshed[0].outcome else {
            panic!("{refreshed:?}");
        };
        // It begins at the first line, where the file has another one.
        assert_eq!(*how, RefreshKind::Fuzz);
    }

    #[test]
    fn what_broke_patches_is_looked_for_as_often_as_it_may() {
        let mut store = FileHistory::default();
        let first = store.add_commit(None, "zero\none\ntwo\nthree\nfour\nfive\n");
        let second = store.add_commit(Some(first), "zero\none\nzwei\nthree\nfour\nfive\n");
        let tip = store.add_commit(Some(second), "zero\none\nzwei\nthree\nfour\nV\n");
        let tree = store.commits[&tip].tree;
        let hunk =
            |start: u32, lines: &str| format!("--- a/f\n+++ b/f\n@@ -{start},3 +{start},3 @@\n{lines}");
        let patches = [
            PatchInput::new("clean", hunk(3, " zwei\n-three\n+3\n four\n")),
            PatchInput::new("two", hunk(2, " one\n-two\n+2\n three\n")),
            PatchInput::new("five", hunk(4, " three\n four\n-five\n+5\n")),
        ];
        let options = Options::default();
        let applied = apply(&store, tree, &patches, Sequence::Independent, &options).unwrap();
        let found = |most_breakers| {
            let blobs = FullIds(&store);
            let search = HistorySearch {
                store: &store,
                tip,
                series: AppliedPatches {
                    patches: &patches,
                    options: &options,
                    sequence: Sequence::Independent,
                },
                last_applied: &[None, Some(first), None],
                bounds: Bounds::default(),
                most_breakers,
                refresh_from: Some(&blobs),
            };
            let (found, failure) = search.run(&mut applied.patches().to_vec());
            assert!(failure.is_none(), "{failure:?}");
            found
        };
        let broken_by = |most_breakers| {
            let found = found(most_breakers);
            let commits = found
                .iter()
                .map(|found| found.broken_by.as_ref().map(|commit| commit.commit));
            commits.collect::<Vec<_>>()
        };
        assert_eq!(broken_by(0), [None, None, None]);
        assert_eq!(broken_by(1), [None, Some(second), None]);
        assert_eq!(broken_by(9), [None, Some(second), Some(tip)]);
        let refreshes: Vec<_> = found(0)
            .iter()
            .map(|found| found.refresh.map(|refresh| refresh.state))
            .collect();
        let impossible = Some(RefreshState::Impossible);
        assert_eq!(refreshes, [None, impossible, impossible]);
    }

    #[test]
    fn what_upstream_has_in_another_form_is_not_refreshed() {
        let mut store = MemoryStore::new();
        let base = store
            .add_files([("f", EntryMode::Regular, "one\nzwei\n")])
            .unwrap();
        let patches = [PatchInput::new(
            "p",
            "--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n",
        )];
        let options = Options::default();
        let applied = apply(&store, base, &patches, Sequence::Stacked, &options).unwrap();
        let mut reports = applied.patches().to_vec();
        let outcome = |reports: &[PatchReport]| {
            let refresh = SeriesRefresh {
                objects: &store,
                base,
                series: AppliedPatches {
                    patches: &patches,
                    options: &options,
                    sequence: Sequence::Stacked,
                },
                reports,
                last_applied: &[],
                blobs: &FullIds(&store),
            };
            refresh.run(&RefreshOptions::default()).unwrap().remove(0).outcome
        };
        assert!(matches!(outcome(&reports), RefreshOutcome::Impossible { .. }));
        reports[0].state = PatchState::Merged;
        assert_eq!(outcome(&reports), RefreshOutcome::Merged);
    }

    #[test]
    fn blobs_are_found_by_full_ids_alone() {
        let mut store = MemoryStore::new();
        store.add_files([("f", EntryMode::Regular, "text")]).unwrap();
        let id = Oid::of_blob(b"text");
        let found = |prefix: &str| FullIds(&store).find_blob(prefix).unwrap();
        assert_eq!(found(&id.to_string()), Some(id));
        assert_eq!(found(&id.to_string()[..39]), None);
        assert_eq!(found(&Oid::of_blob(b"another").to_string()), None);
    }
}
