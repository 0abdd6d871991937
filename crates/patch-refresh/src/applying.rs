//! Applies patches one by one, and keeps what they make.

use std::collections::HashMap;

use git_apply_engine::{Error, ObjectError, Oid, Options, PatchInput, PatchReport, Sequence, Series, apply};

use super::options::{RefreshHints, RefreshOptions};
use super::scratch::Scratch;
use super::work::{Exceeded, Work};

/// Why work on a patch stops.
pub(crate) enum Stop {
    /// The store failed.
    Store(ObjectError),
    /// It would take too much.
    Exceeded(String),
}

impl From<Exceeded> for Stop {
    fn from(exceeded: Exceeded) -> Self {
        Self::Exceeded(exceeded.to_string())
    }
}

impl From<ObjectError> for Stop {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::TooLarge { .. } => Self::Exceeded(error.to_string()),
            error => Self::Store(error),
        }
    }
}

/// What all patches of a series share.
pub(crate) struct Refresher<'a> {
    pub(crate) scratch: Scratch<'a>,
    pub(crate) patches: &'a [PatchInput],
    pub(crate) hints: &'a RefreshHints<'a>,
    pub(crate) options: &'a RefreshOptions,
    /// How the patch at hand is read and applied.
    pub(crate) engine: Options,
    pub(crate) work: &'a Work,
    /// The trees that the first patches of the series leave, by the tree where the series once
    /// applied.
    pub(crate) replays: HashMap<Oid, Vec<Oid>>,
}

/// A patch that was applied on its own.
pub(crate) struct Applied {
    pub(crate) report: PatchReport,
    series: Series,
}

impl Refresher<'_> {
    /// Applies a patch to a tree. Nothing is written.
    pub(crate) fn apply(&self, tree: Oid, bytes: Vec<u8>, engine: &Options) -> Result<Applied, Stop> {
        let mut options = engine.clone();
        options.reverse = false;
        options.limits.effort = self.work.left_for_applying();
        let patches = [PatchInput::new("", bytes)];
        let series = match apply(&self.scratch, tree, &patches, Sequence::Stacked, &options) {
            Ok(series) => series,
            Err(Error::Object(error)) => return Err(error.into()),
            Err(error) => return Err(Stop::Exceeded(error.to_string())),
        };
        self.work.note_applying(series.effort());
        match series.patches().first().cloned() {
            Some(report) => Ok(Applied { report, series }),
            None => Err(Stop::Exceeded("it was not applied".to_owned())),
        }
    }

    /// Keeps the tree after a patch for the patches after it.
    pub(crate) fn keep(&mut self, applied: &Applied) -> Result<Oid, Stop> {
        Ok(applied.series.write(&mut self.scratch)?)
    }

    /// The tree before the patch at a place of the series, on a tree where the series once applied;
    /// `None` if the store lacks what that needs, or it would take too much.
    pub(crate) fn replay(&mut self, base: Oid, at: usize) -> Result<Option<Oid>, Stop> {
        let mut trees = self.replays.remove(&base).unwrap_or_else(|| vec![base]);
        let patches = self.patches;
        for patch in patches.iter().take(at).skip(trees.len() - 1) {
            let last = trees.last().copied().unwrap_or(base);
            match self.replayed(last, patch) {
                Ok(tree) => trees.push(tree),
                Err(Stop::Store(error @ ObjectError::Interrupted(_))) => return Err(error.into()),
                Err(_) => break,
            }
        }
        let tree = trees.get(at).copied();
        self.replays.insert(base, trees);
        Ok(tree)
    }

    fn replayed(&mut self, tree: Oid, patch: &PatchInput) -> Result<Oid, Stop> {
        let applied = self.apply(tree, patch.bytes.clone(), &patch.options(&self.options.engine))?;
        if applied.report.applies() {
            self.keep(&applied)
        } else {
            Ok(tree)
        }
    }
}
