//! `patchset refresh`: refreshes patches in their files: those of a team's repository for what
//! their components are built from, or files for a revision of a local repository.

mod options;
mod render;
mod replace;
mod team;

use std::collections::HashSet;
use std::path::Path;
use std::process::ExitCode;

use super::error::Error;
use super::file_diff::{OldContents, file_diff};
use super::local_refresh::JudgedPatches;
use super::output::{self, print, print_styled};
use super::partial_clone;
use super::patch_files;
use super::upstream_history::{RefreshTrial, SeriesAtCommit, SeriesHistory};
use git_apply_engine::{PatchInput, Sequence};
use git_mirrors::local::LocalRepository;
pub use options::RefreshOptions;
use options::{RefreshOutput, needs_nobody};
use patch_refresh::{PatchRefresh, RefreshOutcome};
use render::{FilesWritten, RefreshLine, RefreshedSeries};
use replace::Replacement;

use crate::plan::history_search::AppliedPatches;

pub(super) fn run(options: &RefreshOptions) -> Result<ExitCode, Error> {
    match (&options.repo, &options.revision) {
        (Some(repository), Some(revision)) => refresh_files(options, repository, revision),
        _ => team::refresh(options),
    }
}

/// Refreshes files of patches for a revision of a local repository.
fn refresh_files(options: &RefreshOptions, repository: &Path, revision: &str) -> Result<ExitCode, Error> {
    let repository = LocalRepository::open(repository)?;
    let base = repository.tree_of(revision)?;
    let engine = options.team.paths.engine();
    let patches = patch_files::read_all(&options.patches, engine.limits.patch_bytes)?;
    check_files(&patches)?;
    options
        .partial_clone
        .fetch(&repository, base, &patches, &engine)?;
    let series = git_apply_engine::apply(&repository, base, &patches, Sequence::Stacked, &engine)
        .map_err(|error| partial_clone::explained(&repository, error))?;
    let mut reports = series.into_patches();
    let applied = AppliedPatches {
        patches: &patches,
        options: &engine,
        sequence: Sequence::Stacked,
    };
    let searched = SeriesAtCommit {
        tip: repository.commit_of(revision),
        applied,
        refresh: RefreshTrial::Skipped,
    };
    let history = options.history.search(&repository, &searched, &mut reports)?;
    let judged = JudgedPatches {
        repository: &repository,
        base,
        applied,
        reports: &reports,
        last_applied: options.history.last_applied(&repository)?,
    };
    let refreshed = judged.refresh(options.fuzz)?;
    if options.dry_run {
        print_diff(options.output, &patches, &refreshed)?;
    } else {
        replace::replace_all(replacements(&patches, &refreshed))?;
    }
    print_outcome(options, &refreshed, &history)?;
    Ok(if refreshed.iter().all(needs_nobody) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// Refuses what cannot be written in place.
fn check_files(patches: &[PatchInput]) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for patch in patches {
        if patch.name == "-" {
            return Err(Error::Usage(
                "standard input cannot be refreshed: name the patches' files".to_owned(),
            ));
        }
        let path = std::fs::canonicalize(&patch.name).map_err(|source| Error::Io {
            path: patch.name.clone(),
            source,
        })?;
        if !seen.insert(path) {
            return Err(Error::Usage(format!("{} is given twice", patch.name)));
        }
    }
    Ok(())
}

/// The files that change, with what they are to hold.
fn replacements<'a>(
    patches: &'a [PatchInput],
    refreshed: &'a [PatchRefresh],
) -> impl Iterator<Item = Replacement<'a>> {
    patches
        .iter()
        .zip(refreshed)
        .filter_map(|(old, new)| match &new.outcome {
            RefreshOutcome::Refreshed { patch, .. } => Some(Replacement {
                path: old.name.as_ref(),
                old: &old.bytes,
                new: patch,
            }),
            _ => None,
        })
}

/// Prints what would change in the files, for `git apply` in the current folder, or else in the root
/// of the checkout that a file is in.
fn print_diff(
    output: RefreshOutput,
    patches: &[PatchInput],
    refreshed: &[PatchRefresh],
) -> Result<(), Error> {
    if output == RefreshOutput::Json {
        return Ok(());
    }
    for change in replacements(patches, refreshed) {
        let path = path_in_diff(change.path).map_err(|source| Error::Io {
            path: change.path.display().to_string(),
            source,
        })?;
        let before = OldContents::File(change.old.to_vec());
        match file_diff(&path, &before, Some(change.new)) {
            Some(diff) => print(&diff)?,
            None => output::note(&format!("{path} changes, and is too large to be compared")),
        }
    }
    Ok(())
}

/// The file that is replaced, not a link to it, relative to where the diff is applied.
fn path_in_diff(path: &Path) -> std::io::Result<String> {
    let (file, here) = (path.canonicalize()?, std::env::current_dir()?.canonicalize()?);
    let checkout = file.ancestors().find(|above| above.join(".git").exists());
    let root = if file.starts_with(&here) {
        Some(here.as_path())
    } else {
        checkout
    };
    let inside = root
        .and_then(|root| file.strip_prefix(root).ok())
        .unwrap_or(&file);
    Ok(inside.to_string_lossy().into_owned())
}

/// Reports what became of the patches: on standard output, or on standard error beside a diff.
fn print_outcome(
    options: &RefreshOptions,
    refreshed: &[PatchRefresh],
    history: &SeriesHistory,
) -> Result<(), Error> {
    if let Some(note) = &history.note {
        output::note(note);
    }
    if options.output == RefreshOutput::Json {
        let mut text = Vec::new();
        for (number, patch) in refreshed.iter().enumerate() {
            serde_json::to_writer(&mut text, &RefreshLine::new(patch, history.fields(number)))?;
            text.push(b'\n');
        }
        return print(&text);
    }
    let outcome = RefreshedSeries {
        refreshed,
        history,
        written: if options.dry_run {
            FilesWritten::None
        } else {
            FilesWritten::Refreshed
        },
    };
    let text = render::text(&outcome);
    if options.dry_run {
        anstream::eprint!("{text}");
        return Ok(());
    }
    print_styled(&text)
}
