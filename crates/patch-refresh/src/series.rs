//! Refreshes a series, each patch on what the ones before it left.

use std::collections::HashMap;

use git_apply_engine::{ObjectError, Objects, Oid, PatchInput};

use super::applying::Refresher;
use super::options::{RefreshHints, RefreshOptions};
use super::outcome::PatchRefresh;
use super::scratch::Scratch;
use super::work::Work;

/// Why a series could not be refreshed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    /// The store failed.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A patch cannot be read, or would take too much.
    #[error("{name}: {message}")]
    Unreadable {
        /// Its name.
        name: String,
        /// Why, in a sentence.
        message: String,
    },
    /// There are more patches than allowed.
    #[error("there are {count} patches, more than the {limit} that are allowed")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
}

/// Refreshes each patch of a series for a tree, on what the refreshed ones before it left.
///
/// A patch that the tree has is left out; one that cannot be refreshed says why, and the others go
/// on without it. Nothing is written. Each returned patch was applied to its tree once more, and
/// goes where it says.
///
/// # Errors
///
/// If the store fails, or there are more patches than
/// [`Limits::patches`](git_apply_engine::Limits::patches).
pub fn refresh_series(
    objects: &dyn Objects,
    base_tree: Oid,
    patches: &[PatchInput],
    hints: &RefreshHints<'_>,
    options: &RefreshOptions,
) -> Result<Vec<PatchRefresh>, RefreshError> {
    let limit = options.engine.limits.patches;
    if patches.len() > limit {
        return Err(RefreshError::TooMany {
            count: patches.len(),
            limit,
        });
    }
    let work = Work::new(options.limits, options.engine.limits.effort);
    let mut refresher = Refresher {
        scratch: Scratch::over(objects, &work),
        patches,
        hints,
        options,
        engine: options.engine.clone(),
        work: &work,
        replays: HashMap::new(),
    };
    let mut refreshed = Vec::with_capacity(patches.len());
    let mut tree = base_tree;
    for (at, patch) in patches.iter().enumerate() {
        let patch = refresher.refresh(tree, at, patch)?;
        tree = patch.tree;
        refreshed.push(patch);
    }
    Ok(refreshed)
}
