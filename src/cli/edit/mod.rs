//! `patchset edit`: a working tree with the patches of a component at a release as commits.

mod git_tree;
mod picking;
mod state;
mod steps;
mod telling;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::error::Error;
use super::style::BOLD;
use super::team::{ComponentRepository, SeriesAddress, TeamOptions};
use git_apply_engine::{Oid, PatchInput, Sequence, read_diffs};
use git_mirrors::local::LocalRepository;
pub(in crate::cli) use git_tree::GitTree;
use git_tree::TreeOrigin;
use picking::Picking;
pub(in crate::cli) use state::EditState;
use state::EditedSeriesPatch;
use steps::NextStep;
use telling::finish;
use upstream_history::Commits;

/// Options of `patchset edit`.
#[derive(Debug, Args)]
pub struct EditOptions {
    #[command(flatten)]
    team: TeamOptions,
    /// The component and the release, for instance glance/2025.2
    #[arg(value_name = "COMPONENT/RELEASE", required_unless_present = "step")]
    series: Option<SeriesAddress>,
    /// The folder of the working tree, which must not exist yet [default: COMPONENT-RELEASE beside
    /// the team's repository; with --continue, --skip and --abort: the current folder]
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// Apply the patches to this tag, branch or commit [default: what the release is built from]
    #[arg(long = "ref", value_name = "REF", conflicts_with = "step")]
    reference: Option<String>,
    /// Make a worktree of the component's clone instead of a separate clone
    #[arg(long, conflicts_with = "step")]
    worktree: bool,
    #[command(flatten)]
    step: EditStep,
}

/// What to do with a working tree that stopped at a patch with a conflict.
#[derive(Clone, Debug, Args)]
#[group(id = "step", multiple = false)]
pub struct EditStep {
    /// Continue with the patches, after the conflict was resolved and added
    #[arg(long = "continue")]
    go_on: bool,
    /// Leave out the patch that has the conflict, and continue with the others
    #[arg(long)]
    skip: bool,
    /// Give up, and remove the working tree
    #[arg(long)]
    abort: bool,
}

pub(super) fn run(options: &EditOptions) -> Result<ExitCode, Error> {
    let step = &options.step;
    let next = [
        (step.go_on, NextStep::GoOn),
        (step.skip, NextStep::Skip),
        (step.abort, NextStep::Abort),
    ];
    if let Some((_, next)) = next.into_iter().find(|(is_asked, _)| *is_asked) {
        let folder = options.into.as_deref().unwrap_or(Path::new("."));
        return steps::run(folder, options.series.as_ref(), next);
    }
    let Some(address) = &options.series else {
        return Err(Error::Usage("name the series as COMPONENT/RELEASE".to_owned()));
    };
    begin(options, address)
}

/// The folder of a series' working tree where none is named: beside the team's repository.
pub(in crate::cli) fn default_folder(team_folder: &Path, address: &SeriesAddress) -> Result<PathBuf, Error> {
    let io = |source| Error::Io {
        path: team_folder.display().to_string(),
        source,
    };
    let whole = std::fs::canonicalize(team_folder).map_err(io)?;
    let checkout = whole.ancestors().find(|above| above.join(".git").exists());
    let checkout = checkout.unwrap_or(&whole);
    let beside = checkout.parent().unwrap_or(checkout);
    Ok(beside.join(format!("{}-{}", address.component, address.release)))
}

fn begin(options: &EditOptions, address: &SeriesAddress) -> Result<ExitCode, Error> {
    let selection = address.selection();
    let team = options.team.open(Some(&address.component), &selection)?;
    let series = team.series(address)?;
    let patches = team.patches(series)?;
    let engine = options.team.paths.engine();
    for patch in &patches {
        read_diffs(&patch.bytes, &patch.options(&engine))
            .map_err(|error| Error::Usage(format!("{}/{}: {error}", series.folder, patch.name)))?;
    }
    let usual = series.reference.clone();
    let reference = options.reference.clone().or_else(|| usual.clone()).ok_or_else(|| {
        Error::Usage(format!(
            "{address}: nothing says what it is built from: name its ref with --ref, or in releases/{}/source-refs.yaml",
            address.release
        ))
    })?;
    let folder = match &options.into {
        Some(folder) => folder.clone(),
        None => default_folder(options.team.dir(), address)?,
    };
    refuse_taken(&folder, address)?;
    let upstreams = options
        .team
        .upstream
        .require("a working tree is made from the component's repository")?;
    let component = upstreams.component(&series.component, series.organisation.as_deref())?;
    let origin = match (&component, options.worktree) {
        (ComponentRepository::Clone(path), true) => TreeOrigin::Worktree(path),
        (ComponentRepository::Clone(path), false) => TreeOrigin::Clone(path),
        (ComponentRepository::Served(_), true) => {
            return Err(Error::Usage(
                "--worktree: the component's repository is on a server; name a folder of clones with --upstream"
                    .to_owned(),
            ));
        }
        (ComponentRepository::Served(served), false) => TreeOrigin::Url(&served.url),
    };
    let (tree, base) = GitTree::make(&folder, &origin, &reference, options.team.upstream.timeout())?;
    let begun = BegunEdit {
        options,
        address,
        reference: &reference,
        usual: usual.as_deref(),
        patches,
    };
    let outcome = begun.pick(&tree, base);
    if outcome.is_err() {
        // No work was done there yet.
        let _ = tree.remove();
    }
    outcome
}

fn refuse_taken(folder: &Path, address: &SeriesAddress) -> Result<(), Error> {
    let is_empty = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if !folder.exists() || is_empty {
        return Ok(());
    }
    let shown = folder.display();
    Err(Error::Usage(format!(
        "{shown} already exists: continue in it (patchset edit --continue --into {shown}, patchset export {address} --from {shown}), remove it, or name another folder with --into"
    )))
}

/// A series of which a working tree is made.
struct BegunEdit<'a> {
    options: &'a EditOptions,
    address: &'a SeriesAddress,
    reference: &'a str,
    /// What the release is built from.
    usual: Option<&'a str>,
    patches: Vec<PatchInput>,
}

impl BegunEdit<'_> {
    fn pick(self, tree: &GitTree, base: Oid) -> Result<ExitCode, Error> {
        let repository = tree.repository()?;
        let Self {
            options,
            address,
            reference,
            usual,
            patches,
        } = self;
        let engine = options.team.paths.engine();
        let mut state = EditState::new(&address.component, &address.release, reference, base.to_string());
        state.strip = engine.strip;
        state.directory = engine.directory.to_string();
        let commit = repository.commit(base).ok().flatten();
        state.undated = commit.map_or(0, |commit| commit.committer.seconds);
        let last_applied = match usual.filter(|usual| *usual != reference) {
            Some(usual) => trees_before(&repository, usual, &patches, &engine),
            None => Vec::new(),
        };
        for (at, patch) in patches.iter().enumerate() {
            state.patches.push(EditedSeriesPatch {
                name: patch.name.clone(),
                strip: patch.strip,
                commit: None,
                last_applied: last_applied.get(at).map(Oid::to_string),
            });
        }
        EditState::keep_patches(tree, &patches)?;
        // Only in a clone of its own: others who share a clone would find the branch in their way.
        if tree.folder().join(".git").is_dir() {
            let branch = format!("refs/heads/patchset-{}", address.release);
            tree.git(&["update-ref", &branch, &base.to_string()])?;
            tree.git(&["symbolic-ref", "HEAD", &branch])?;
        }
        let mut picking = Picking {
            tree,
            repository,
            state,
            patches,
            summary: format!(
                "{BOLD}{address}{BOLD:#} on {reference} ({}) in {}\n",
                short(base),
                tree.folder().display()
            ),
        };
        let progress = picking.go_on(0)?;
        finish(&picking, progress)
    }
}

fn short(id: Oid) -> String {
    id.to_string().chars().take(12).collect()
}

/// The trees before each patch on a ref where the series last applied, as far as they are known.
fn trees_before(
    repository: &LocalRepository,
    reference: &str,
    patches: &[PatchInput],
    engine: &git_apply_engine::Options,
) -> Vec<Oid> {
    let Ok(mut tree) = repository.tree_of_ref(reference) else {
        return Vec::new();
    };
    let Ok(mut store) = LocalRepository::open(repository.git_folder()) else {
        return Vec::new();
    };
    let mut trees = Vec::new();
    for patch in patches {
        trees.push(tree);
        let applied = git_apply_engine::apply(
            repository,
            tree,
            std::slice::from_ref(patch),
            Sequence::Stacked,
            engine,
        );
        let Some(written) = applied.ok().and_then(|series| series.write(&mut store).ok()) else {
            break;
        };
        tree = written;
    }
    trees
}
