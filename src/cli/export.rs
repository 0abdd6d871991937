//! `patchset export`: writes the commits of a working tree back into the files of their patches.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use git_apply_engine::{Oid, Options, PatchInput, PatchState, Sequence};
use git_format_patch::{FormatLimits, SubjectPolicy, first_parent_range, format_series};
use git_mirrors::local::LocalRepository;
use patch_headers::{CommitText, HeadForm};
use upstream_history::{Commit, Commits};

use super::edit::{EditState, GitTree, default_folder};
use super::error::Error;
use super::output::{note, print_styled};
use super::style::{BOLD, DIM, GOOD, ODD, plain};
use super::team::{SeriesAddress, TeamOptions, TeamRepository, WriteMode};
use crate::layout::{ComponentSeries, NextNames, SeriesChange, edit_series};
use crate::rework::{ChangedPatch, HeadChange, PatchCommit, PatchFingerprint, pair_patches, write_back};

/// Options of `patchset export`.
#[derive(Debug, Args)]
pub struct ExportOptions {
    #[command(flatten)]
    team: TeamOptions,
    /// The component and the release, for instance glance/2025.2
    #[arg(value_name = "COMPONENT/RELEASE")]
    series: SeriesAddress,
    /// The working tree that patchset edit made [default: COMPONENT-RELEASE beside the team's
    /// repository]
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
    /// Leave the files alone, and print what would change in them as a diff
    #[arg(long)]
    dry_run: bool,
}

/// A commit of the working tree.
struct TreeCommit {
    commit: Commit,
    /// The tree before it.
    before: Oid,
    /// The commit as `git format-patch` writes it; nothing where it changes nothing.
    mail: Option<Vec<u8>>,
}

/// A patch of the series as it is to be.
struct ExportedPatch {
    input: PatchInput,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unchanged,
    Changed,
    New,
}

pub(super) fn run(options: &ExportOptions) -> Result<ExitCode, Error> {
    let address = &options.series;
    let selection = address.selection();
    let team = options.team.open(Some(&address.component), &selection)?;
    let series = team.series(address)?;
    let folder = match &options.from {
        Some(folder) => folder.clone(),
        None => default_folder(options.team.dir(), address)?,
    };
    if !folder.is_dir() {
        return Err(Error::Usage(format!(
            "{}: there is no such folder: make it with patchset edit {address}, or name it with --from",
            folder.display()
        )));
    }
    let tree = GitTree::open(&folder)?;
    let state = EditState::read(&tree)?;
    let patches = team.patches(series)?;
    check_tree(&tree, &state, address)?;
    refuse_other_patches(&tree, &state, &patches, address)?;
    let export = Export {
        repository: tree.repository()?,
        engine: options.team.paths.engine(),
        state: &state,
        patches: &patches,
    };
    let commits = export.commits(&tree)?;
    let exported = export.patches(series, &commits)?;
    export.check_tree(&commits, &exported)?;
    let (changes, order) = changes(&patches, &exported);
    let made = write_changes(&team, series, changes, &order)?;
    let mode = WriteMode::new(options.dry_run);
    team.write(&made.edit, mode)?;
    for text in &made.notes {
        note(text);
    }
    let summary = outcome_text(series, &patches, &exported, &made.renamed, mode);
    if mode == WriteMode::DryRun {
        anstream::eprint!("{summary}");
    } else {
        print_styled(&summary)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses a working tree that belongs to another series, or is not ready.
fn check_tree(tree: &GitTree, state: &EditState, address: &SeriesAddress) -> Result<(), Error> {
    let shown = tree.folder().display();
    let refused = |text: String| Err(Error::Usage(format!("{shown} {text}")));
    if state.component != address.component || state.release != address.release {
        return refused(format!(
            "has the patches of {}/{}, not of {address}",
            state.component, state.release
        ));
    }
    if let Some(waiting) = state.waiting {
        let name = state.patches.get(waiting).map(|patch| patch.name.as_str());
        return refused(format!(
            "is not done: {} waits; continue with patchset edit --continue --into {shown}",
            name.unwrap_or("a patch")
        ));
    }
    if let Some(what) = tree.under_way() {
        return refused(format!("has {what} under way: finish or abort it first"));
    }
    let changed = tree.git(&["status", "--porcelain", "--untracked-files=no"])?;
    if !changed.is_empty() {
        return refused(
            "has uncommitted changes: commit them (git commit --amend for the last patch), or undo them"
                .to_owned(),
        );
    }
    Ok(())
}

/// Refuses patches that changed in the repository since the working tree was made.
fn refuse_other_patches(
    tree: &GitTree,
    state: &EditState,
    patches: &[PatchInput],
    address: &SeriesAddress,
) -> Result<(), Error> {
    let then = state.read_patches(tree)?;
    if then == patches {
        return Ok(());
    }
    let is_other = |patch: &&PatchInput| !then.contains(patch);
    let is_gone = |patch: &&PatchInput| patches.iter().all(|now| now.name != patch.name);
    let what = match (patches.iter().find(is_other), then.iter().find(is_gone)) {
        (Some(patch), _) => format!("{} is new or changed", patch.name),
        (None, Some(patch)) => format!("{} is gone", patch.name),
        (None, None) => "their order differs".to_owned(),
    };
    Err(Error::Usage(format!(
        "the patches of {address} changed in the repository since {} was made: {what}; create a new one with patchset edit, and carry your commits over with git cherry-pick",
        tree.folder().display()
    )))
}

struct Export<'a> {
    repository: LocalRepository,
    engine: Options,
    state: &'a EditState,
    patches: &'a [PatchInput],
}

impl Export<'_> {
    /// The commits of the working tree on top of what the series was put on.
    fn commits(&self, tree: &GitTree) -> Result<Vec<TreeCommit>, Error> {
        let base: Oid = tree.commit(&self.state.base)?;
        let limits = FormatLimits::default();
        let shown = tree.folder().display().to_string();
        let wrong = |error: &dyn std::fmt::Display| Error::Usage(format!("{shown}: {error}"));
        let other = format!("{} ({})", self.state.reference, self.state.base);
        let range = first_parent_range(
            &self.repository,
            tree.commit("HEAD")?,
            &|commit| commit == base,
            limits.commits,
            &other,
        )
        .map_err(|error| wrong(&error))?;
        let formatted = format_series(&self.repository, &range, base, SubjectPolicy::Ignore, limits)
            .map_err(|error| wrong(&error))?;
        let mut mails = formatted.patches.into_iter().peekable();
        let mut before = self.repository.tree_of(&base.to_string())?;
        let mut commits = Vec::new();
        for id in range.commits {
            let commit = self
                .repository
                .commit(id)
                .map_err(|error| wrong(&error))?
                .ok_or_else(|| wrong(&format!("there is no commit {id}")))?;
            let after = commit.tree;
            let mail = mails.next_if(|mail| mail.commit == id).map(|mail| mail.bytes);
            commits.push(TreeCommit { commit, before, mail });
            before = after;
        }
        Ok(commits)
    }

    /// The series as the commits have it.
    fn patches(&self, series: &ComponentSeries, commits: &[TreeCommit]) -> Result<Vec<ExportedPatch>, Error> {
        let old: Vec<PatchFingerprint> = self
            .patches
            .iter()
            .map(|patch| PatchFingerprint::read(patch, &self.engine))
            .collect();
        let new: Vec<PatchFingerprint> = commits.iter().map(fingerprint).collect();
        let mut known = Vec::new();
        for (at, patch) in self.state.patches.iter().enumerate() {
            let is_it = |commit: &TreeCommit| patch.commit == Some(commit.commit.id.to_string());
            known.extend(commits.iter().position(is_it).map(|commit| (at, commit)));
        }
        let pairs = pair_patches(&old, &new, &known);
        let mut names = NextNames::after(&series.series);
        let mut exported = Vec::new();
        for (commit, pair) in commits.iter().zip(pairs) {
            let original = pair.and_then(|at| self.patches.get(at));
            match (original, &commit.mail) {
                (Some(original), _) if self.is_unchanged(original, commit) => exported.push(ExportedPatch {
                    input: original.clone(),
                    fate: Fate::Unchanged,
                }),
                (Some(original), Some(mail)) => exported.push(ExportedPatch {
                    input: PatchInput {
                        bytes: self.changed_file(original, commit, mail)?,
                        ..original.clone()
                    },
                    fate: Fate::Changed,
                }),
                (None, Some(mail)) => exported.push(ExportedPatch {
                    input: PatchInput::new(names.next_for(&commit.commit.subject()).as_str(), mail.clone()),
                    fate: Fate::New,
                }),
                // A commit that changes nothing is no patch.
                (_, None) => {}
            }
        }
        Ok(exported)
    }

    fn text_of(&self, patch: &PatchInput) -> (CommitText, PatchCommit) {
        let text = CommitText::read(&patch.bytes);
        let commit = PatchCommit::read(&patch.name, &text, self.state.undated());
        (text, commit)
    }

    fn says_the_same(&self, patch: &PatchInput, commit: &Commit) -> bool {
        let (_, expected) = self.text_of(patch);
        let author = &commit.author;
        let who = format!("{} <{}> {} ", author.name, author.email, author.seconds);
        expected.author.starts_with(&who) && expected.message.trim_end() == commit.text().trim_end()
    }

    /// Whether a patch's file does and says what a commit does and says.
    fn is_unchanged(&self, patch: &PatchInput, commit: &TreeCommit) -> bool {
        self.says_the_same(patch, &commit.commit) && self.does_the_same(patch, commit)
    }

    fn does_the_same(&self, patch: &PatchInput, commit: &TreeCommit) -> bool {
        let applied = git_apply_engine::apply(
            &self.repository,
            commit.before,
            std::slice::from_ref(patch),
            Sequence::Stacked,
            &self.engine,
        );
        let Ok(applied) = applied else { return false };
        let Some(report) = applied.patches().first() else {
            return false;
        };
        match report.state {
            PatchState::Clean | PatchState::Offset => applied.tree() == commit.commit.tree,
            // Upstream has it: the commit is empty, and nothing says what becomes of the file.
            _ => {
                let id = commit.commit.id.to_string();
                let mut known = self.state.patches.iter();
                let is_known =
                    known.any(|known| known.name == patch.name && known.commit.as_ref() == Some(&id));
                commit.before == commit.commit.tree && (is_known || report.state == PatchState::Merged)
            }
        }
    }

    /// The file of a patch whose commit changed.
    fn changed_file(
        &self,
        original: &PatchInput,
        commit: &TreeCommit,
        mail: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let (text, expected) = self.text_of(original);
        let message = commit.commit.text();
        let old = if text.message.trim().is_empty() {
            ""
        } else {
            expected.message.as_str()
        };
        let head = match text.form {
            _ if self.says_the_same(original, &commit.commit) => HeadChange::Kept,
            // A head of this form does not name the author.
            HeadForm::Text if expected.message.trim_end() == message.trim_end() => HeadChange::Kept,
            form => HeadChange::Message {
                form,
                old,
                new: &message,
            },
        };
        let changed = ChangedPatch {
            original,
            options: &self.engine,
            mail,
            before: commit.before,
            after: commit.commit.tree,
            head,
        };
        write_back(&self.repository, &changed).map_err(|error| Error::Usage(error.to_string()))
    }

    /// Applies what would be written: it has to give the working tree's last commit.
    fn check_tree(&self, commits: &[TreeCommit], exported: &[ExportedPatch]) -> Result<(), Error> {
        let Some((first, last)) = commits.first().zip(commits.last()) else {
            return Ok(());
        };
        let patches: Vec<PatchInput> = exported.iter().map(|patch| patch.input.clone()).collect();
        let series = git_apply_engine::apply(
            &self.repository,
            first.before,
            &patches,
            Sequence::Stacked,
            &self.engine,
        )?;
        let is_fine = |state| matches!(state, PatchState::Clean | PatchState::Offset | PatchState::Merged);
        if series.tree() == last.commit.tree {
            return Ok(());
        }
        let wrong = series.patches().iter().find(|report| !is_fine(report.state));
        let what = wrong.map_or_else(
            || "the patches give a different tree from that of the commits".to_owned(),
            |report| {
                format!(
                    "{}: {}",
                    report.name,
                    report.error.as_deref().unwrap_or("does not apply")
                )
            },
        );
        Err(Error::Usage(format!("nothing was written: {what}")))
    }
}

/// What identifies a commit.
fn fingerprint(commit: &TreeCommit) -> PatchFingerprint {
    let bytes = commit.mail.clone().unwrap_or_else(|| {
        let text = commit.commit.text();
        let (subject, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let author = &commit.commit.author;
        format!(
            "From: {} <{}>\nSubject: [PATCH] {}\n\n{body}\n---\n",
            author.name,
            author.email,
            subject.replace('\n', " ")
        )
        .into_bytes()
    });
    PatchFingerprint::read(&PatchInput::new("", bytes), &Options::default())
}

/// The changes to make to the series, and the names in their new order.
fn changes(patches: &[PatchInput], exported: &[ExportedPatch]) -> (Vec<SeriesChange>, Vec<String>) {
    let is_kept = |patch: &&PatchInput| exported.iter().any(|kept| kept.input.name == patch.name);
    let gone = patches.iter().filter(|patch| !is_kept(patch));
    let mut changes: Vec<SeriesChange> = gone
        .map(|patch| SeriesChange::Drop {
            name: patch.name.clone(),
        })
        .collect();
    for patch in exported {
        let (name, bytes) = (patch.input.name.clone(), patch.input.bytes.clone());
        match patch.fate {
            Fate::Unchanged => {}
            Fate::Changed => changes.push(SeriesChange::Replace { name, bytes }),
            Fate::New => {
                if let Ok(name) = name.parse() {
                    changes.push(SeriesChange::Add { name, bytes });
                }
            }
        }
    }
    let order = exported.iter().map(|patch| patch.input.name.clone()).collect();
    (changes, order)
}

fn write_changes(
    team: &TeamRepository,
    series: &ComponentSeries,
    mut changes: Vec<SeriesChange>,
    order: &[String],
) -> Result<crate::layout::SeriesEdit, Error> {
    if !is_in_order(series, &changes, order) {
        changes.push(SeriesChange::Reorder {
            names: order.to_vec(),
        });
    }
    edit_series(team, team.directory(), series, &changes).map_err(|error| Error::Usage(error.to_string()))
}

/// Whether the order is right without a reorder: existing patches keep theirs, and new ones are
/// where they are added.
fn is_in_order(series: &ComponentSeries, changes: &[SeriesChange], order: &[String]) -> bool {
    let dropped = |name: &String| {
        changes
            .iter()
            .any(|change| matches!(change, SeriesChange::Drop { name: gone } if gone == name))
    };
    let mut names: Vec<String> = series
        .series
        .patches
        .iter()
        .map(|patch| patch.name.clone())
        .collect();
    names.retain(|name| !dropped(name));
    for change in changes {
        if let SeriesChange::Add { name, .. } = change {
            names.push(name.to_string());
        }
    }
    if series.series.order == crate::layout::SeriesOrder::ByName {
        names.sort_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
    }
    names == order
}

/// What became of the patches, in words.
fn outcome_text(
    series: &ComponentSeries,
    patches: &[PatchInput],
    exported: &[ExportedPatch],
    renamed: &[(String, String)],
    mode: WriteMode,
) -> String {
    let mut text = format!("{BOLD}{}{BOLD:#}\n", plain(&series.folder));
    // Writing to a string does not fail.
    for patch in exported {
        let name = plain(&patch.input.name);
        let _ = match patch.fate {
            Fate::Unchanged => writeln!(text, "    {DIM}unchanged{DIM:#}  {name}"),
            Fate::Changed => writeln!(text, "    {ODD}changed{ODD:#}    {name}"),
            Fate::New => writeln!(text, "    {GOOD}new{GOOD:#}        {name}"),
        };
    }
    for patch in patches {
        if exported.iter().all(|kept| kept.input.name != patch.name) {
            let _ = writeln!(text, "    {ODD}dropped{ODD:#}    {}", plain(&patch.name));
        }
    }
    for (from, to) in renamed {
        let _ = writeln!(
            text,
            "    {ODD}renamed{ODD:#}    {} to {}",
            plain(from),
            plain(to)
        );
    }
    let count = |fate| exported.iter().filter(|patch| patch.fate == fate).count();
    let all_same =
        count(Fate::Unchanged) == patches.len() && exported.len() == patches.len() && renamed.is_empty();
    let _ = match (mode, all_same) {
        (_, true) => writeln!(text, "{GOOD}nothing changed{GOOD:#}"),
        (WriteMode::Write, false) => writeln!(text, "{GOOD}written{GOOD:#}"),
        (WriteMode::DryRun, false) => writeln!(text, "{GOOD}would be written{GOOD:#}"),
    };
    text
}
