//! Changes to several series of a team's repository, each made on top of those before it, and
//! written at once.

use git_apply_engine::PatchInput;

use super::repository::{TeamRepository, WriteMode};
use crate::cli::error::Error;
use crate::cli::output::{note, print_styled};
use crate::layout::{
    ComponentSeries, ContentLimits, EditedFiles, LayoutError, RepositoryEdit, SeriesChange, SeriesEditError,
    edit_series,
};

/// Changes that are not written yet.
pub(in crate::cli) struct TeamChanges<'t> {
    team: &'t TeamRepository,
    edit: RepositoryEdit,
    notes: Vec<String>,
}

impl<'t> TeamChanges<'t> {
    pub(in crate::cli) fn new(team: &'t TeamRepository) -> Self {
        Self {
            team,
            edit: RepositoryEdit::default(),
            notes: Vec::new(),
        }
    }

    /// A series as the changes so far leave it.
    ///
    /// # Errors
    ///
    /// Where its folder cannot be read.
    pub(in crate::cli) fn series(&self, series: &ComponentSeries) -> Result<ComponentSeries, Error> {
        let files = EditedFiles::new(self.team, &self.edit);
        Ok(series.read_again(&files, self.team.directory())?)
    }

    /// The patches of a series as the changes so far leave them.
    ///
    /// # Errors
    ///
    /// Where they are not known, or cannot be read.
    pub(in crate::cli) fn patches(&self, series: &ComponentSeries) -> Result<Vec<PatchInput>, Error> {
        let files = EditedFiles::new(self.team, &self.edit);
        let series = self.series(series)?;
        Ok(series.series.contents(&files, &ContentLimits::default())?)
    }

    /// Changes a series; returns the old and new names of renamed patches.
    ///
    /// # Errors
    ///
    /// As for [`edit_series`].
    pub(in crate::cli) fn change(
        &mut self,
        series: &ComponentSeries,
        changes: &[SeriesChange],
    ) -> Result<Vec<(String, String)>, Error> {
        let series = self.series(series)?;
        let files = EditedFiles::new(self.team, &self.edit);
        let done = edit_series(&files, self.team.directory(), &series, changes);
        let done = done.map_err(|error| match error {
            SeriesEditError::Layout(error @ LayoutError::Files(_)) => Error::Layout(error),
            error => Error::Usage(error.to_string()),
        })?;
        self.edit.merge(done.edit);
        self.notes.extend(done.notes);
        Ok(done.renamed)
    }

    /// Takes back the changes since a copy was made.
    pub(in crate::cli) fn restore(&mut self, before: (RepositoryEdit, Vec<String>)) {
        (self.edit, self.notes) = before;
    }

    /// The changes so far, to be [restored](Self::restore).
    pub(in crate::cli) fn copy(&self) -> (RepositoryEdit, Vec<String>) {
        (self.edit.clone(), self.notes.clone())
    }

    /// Writes all or nothing, or prints a diff, and reports what was done: on standard output, or
    /// on standard error if that has the diff.
    ///
    /// # Errors
    ///
    /// As for [`TeamRepository::write`].
    pub(in crate::cli) fn write(&self, mode: WriteMode, summary: &str) -> Result<(), Error> {
        self.team.write(&self.edit, mode)?;
        for text in &self.notes {
            note(text);
        }
        if mode == WriteMode::DryRun {
            anstream::eprint!("{summary}");
            return Ok(());
        }
        print_styled(summary)
    }
}
