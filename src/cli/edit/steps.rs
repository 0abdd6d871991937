//! `patchset edit --continue`, `--skip` and `--abort`: on from a patch that waits for the user.

use std::path::Path;
use std::process::ExitCode;

use git_apply_engine::Oid;

use super::git_tree::GitTree;
use super::picking::Picking;
use super::state::EditState;
use super::telling::finish;
use crate::cli::error::Error;
use crate::cli::output::print_styled;
use crate::cli::style::BOLD;
use crate::cli::team::SeriesAddress;

/// What is done with a patch that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextStep {
    /// The user's resolution is taken.
    GoOn,
    /// It is left out.
    Skip,
    /// The working tree is removed.
    Abort,
}

/// Does a step in the working tree that a folder is in. `series` names whose patches are meant, if
/// given.
pub(super) fn run(folder: &Path, series: Option<&SeriesAddress>, step: NextStep) -> Result<ExitCode, Error> {
    let tree = GitTree::open(folder)?;
    let state = EditState::read(&tree)?;
    if let Some(address) = series
        && (address.component != state.component || address.release != state.release)
    {
        return Err(Error::Usage(format!(
            "{} has the patches of {}/{}, not of {address}",
            tree.folder().display(),
            state.component,
            state.release
        )));
    }
    let Some(waiting) = state.waiting else {
        return Err(Error::Usage(format!(
            "no patch is waiting in {}: all are commits; write them back with patchset export {}/{} --from {}",
            tree.folder().display(),
            state.component,
            state.release,
            tree.folder().display()
        )));
    };
    if step == NextStep::Abort {
        tree.remove()?;
        print_styled(&format!("{} was removed\n", tree.folder().display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let patches = state.read_patches(&tree)?;
    let mut picking = Picking {
        tree: &tree,
        repository: tree.repository()?,
        summary: format!(
            "{BOLD}{}/{}{BOLD:#} on {} in {}\n",
            state.component,
            state.release,
            state.reference,
            tree.folder().display()
        ),
        state,
        patches,
    };
    let next = if step == NextStep::Skip {
        skip(&mut picking, waiting)?;
        waiting + 1
    } else {
        solved(&mut picking, waiting)?
    };
    let progress = picking.go_on(next)?;
    finish(&picking, progress)
}

/// Leaves out the patch that waits.
fn skip(picking: &mut Picking<'_>, at: usize) -> Result<(), Error> {
    let tree = picking.tree;
    if tree.is_picking() {
        // `rerere` must not replay what was tried.
        tree.git(&["rerere", "clear"])?;
        tree.git(&["cherry-pick", "--quit"])?;
    }
    tree.git(&["reset", "--hard", "--quiet", &picking.state.head])?;
    if let Some(patch) = picking.state.patches.get_mut(at) {
        patch.commit = None;
    }
    picking.state.waiting = None;
    picking.state.write(tree)
}

/// Takes the user's resolution of the patch that waits, and returns the number of the next one.
fn solved(picking: &mut Picking<'_>, at: usize) -> Result<usize, Error> {
    let tree = picking.tree;
    let name = picking
        .patches
        .get(at)
        .map(|patch| patch.name.clone())
        .unwrap_or_default();
    let before: Oid = tree.commit(&picking.state.head)?;
    let head = tree.commit("HEAD")?;
    if !tree.is_picking() {
        if let Some(what) = tree.under_way() {
            return Err(Error::Usage(format!(
                "{what} is under way in {}: finish or abort it first",
                tree.folder().display()
            )));
        }
        refuse_changes(tree)?;
        if head == before {
            // The user took the pick back: it is tried again.
            return Ok(at);
        }
        tree.git(&["merge-base", "--is-ancestor", &before.to_string(), "HEAD"])
            .map_err(|_| {
                Error::Usage(format!(
                    "HEAD of {} is not on top of {}, where {name} belongs: git reset --hard {} and solve it again, or create a new working tree",
                    tree.folder().display(),
                    picking.state.head,
                    picking.state.head
                ))
            })?;
        if let Some(patch) = picking.state.patches.get_mut(at) {
            patch.commit = Some(head.to_string());
        }
        picking.state.head = head.to_string();
        return Ok(at + 1);
    }
    let unmerged = tree.git(&["diff", "--name-only", "--diff-filter=U"])?;
    if !unmerged.is_empty() {
        let files: Vec<&str> = unmerged.lines().collect();
        return Err(Error::Usage(format!(
            "{name} is not solved: {} in {}; solve it and git add it, or --skip the patch",
            files.join(", "),
            tree.folder().display()
        )));
    }
    refuse_changes_that_are_not_added(tree)?;
    // A line of equals signs alone may as well be under a heading.
    let markers = ["--cached", "--name-only", "-G", "^(<<<<<<<|>>>>>>>) "];
    let marked = tree.git(&[&["diff"], &markers[..]].concat())?;
    if let Some(file) = marked.lines().next() {
        return Err(Error::Usage(format!(
            "{name}: a leftover conflict marker was added in {file}: solve it, and git add the file again"
        )));
    }
    tree.git(&["rerere"])?;
    let written: Oid = tree
        .git(&["write-tree"])?
        .parse()
        .map_err(|_| Error::Usage("git write-tree gave no id".to_owned()))?;
    if written == picking.repository.tree_of(&before.to_string())? {
        return Err(Error::Usage(format!(
            "nothing is left of {name}: leave it out with patchset edit --skip"
        )));
    }
    let commit = picking.record(at, written, before)?;
    tree.git(&["update-ref", "-m", "patchset edit", "HEAD", &commit.to_string()])?;
    tree.git(&["cherry-pick", "--quit"])?;
    picking.state.head = commit.to_string();
    picking.summary.push_str("    ");
    picking.summary.push_str(&crate::cli::style::plain(&name));
    picking.summary.push_str(
        "  solved
",
    );
    Ok(at + 1)
}

fn refuse_changes_that_are_not_added(tree: &GitTree) -> Result<(), Error> {
    let changed = tree.git(&["diff", "--name-only"])?;
    if changed.is_empty() {
        return Ok(());
    }
    let files: Vec<&str> = changed.lines().collect();
    Err(Error::Usage(format!(
        "{} changed and is not added: git add it, or undo the change",
        files.join(", ")
    )))
}

/// Refuses a working tree with changes of files that are in no commit.
fn refuse_changes(tree: &GitTree) -> Result<(), Error> {
    let changed = tree.git(&["status", "--porcelain", "--untracked-files=no"])?;
    if changed.is_empty() {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{} has uncommitted changes: commit them (git commit --amend), or undo them",
        tree.folder().display()
    )))
}
