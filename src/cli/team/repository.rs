//! A team's repository on this machine: what it holds, and how it is changed.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use git_apply_engine::PatchInput;
use git_mirrors::local::LocalRepository;

use super::address::SeriesAddress;
use super::journal::{ChangeJournal, Recovered};
use crate::cli::error::Error;
use crate::cli::file_changes::{ExpectedFile, FileChange, ReadDigest, Unrecorded, change_all, read_digest};
use crate::cli::file_diff::{OldContents, file_diff};
use crate::cli::layout_options::LayoutArguments;
use crate::cli::local_files::LocalFolder;
use crate::cli::output::{note, print};
use crate::layout::{
    ComponentSeries, ContentLimits, FileEdit, FilesError, FolderEntry, LayoutError, RepositoryEdit,
    RepositoryFiles, RepositoryLayout, Selection,
};

/// A team's repository.
pub(in crate::cli) struct TeamRepository {
    folder: LocalFolder,
    layout: RepositoryLayout,
    /// What was read, by paths.
    read: Mutex<HashMap<String, ReadDigest>>,
}

/// What becomes of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum WriteMode {
    /// They are written.
    Write,
    /// They are printed as a diff for `git apply`, and all files stay as they are.
    DryRun,
}

impl WriteMode {
    /// `--dry-run`.
    pub(in crate::cli) fn new(is_dry_run: bool) -> Self {
        if is_dry_run { Self::DryRun } else { Self::Write }
    }
}

impl TeamRepository {
    /// Opens what a folder holds of the selection. `component` says whose patches they are if no
    /// folder does. Completes or takes back what a killed command had begun to write.
    ///
    /// # Errors
    ///
    /// If there is no such folder, it cannot be read as a repository of patches, or what is
    /// selected does not exist.
    pub(in crate::cli) fn open(
        dir: &Path,
        arguments: &LayoutArguments,
        component: Option<&str>,
        selection: &Selection,
    ) -> Result<Self, Error> {
        refuse_bare(dir)?;
        let folder = LocalFolder::open(dir)?;
        if let Some(git_folder) = git_folder(folder.files.root()) {
            note_recovered(ChangeJournal::recover_left_over(
                &git_folder,
                folder.files.root(),
            )?);
        }
        let (folder, layout) = arguments.read(dir, component, selection)?;
        Ok(Self {
            folder,
            layout,
            read: Mutex::default(),
        })
    }

    /// What it holds.
    pub(in crate::cli) fn layout(&self) -> &RepositoryLayout {
        &self.layout
    }

    /// The checkout, or the folder where it is in none.
    pub(in crate::cli) fn root(&self) -> &Path {
        self.folder.files.root()
    }

    /// The folder that holds it all, below the root.
    pub(in crate::cli) fn directory(&self) -> &str {
        &self.folder.path
    }

    /// The Git repository that it is in.
    ///
    /// # Errors
    ///
    /// Where it is in none, or that cannot be used.
    pub(in crate::cli) fn git(&self) -> Result<LocalRepository, Error> {
        if !self.root().join(".git").exists() {
            return Err(Error::Usage(format!(
                "{} is not in a Git repository: run this in a clone of the team's repository",
                self.root().display()
            )));
        }
        Ok(LocalRepository::open(self.root())?)
    }

    /// The patches of a component at a release.
    ///
    /// # Errors
    ///
    /// If the component, the release or their patches do not exist; suggests similar names.
    pub(in crate::cli) fn series(&self, address: &SeriesAddress) -> Result<&ComponentSeries, Error> {
        let found = self.find_series(address)?;
        found.ok_or_else(|| {
            let others = self.releases_with(&address.component);
            let others = match others.as_slice() {
                [] => format!("{} has no patches at any release", address.component),
                releases => format!("{} has patches at {}", address.component, releases.join(", ")),
            };
            Error::Usage(format!(
                "{address}: there is no folder of patches for it; {others}"
            ))
        })
    }

    /// As [`series`](Self::series); `None` if component and release exist, but no folder for
    /// patches.
    ///
    /// # Errors
    ///
    /// Where the component or the release is not there.
    pub(in crate::cli) fn find_series(
        &self,
        address: &SeriesAddress,
    ) -> Result<Option<&ComponentSeries>, Error> {
        let all = &self.layout.series;
        let is_meant = |series: &&ComponentSeries| {
            series.component == address.component && series.release == address.release
        };
        if let Some(found) = all.iter().find(is_meant) {
            return Ok(Some(found));
        }
        let releases = self.layout.releases.values();
        let refs = releases.filter_map(|release| release.refs.as_ref());
        let components: BTreeSet<String> = refs
            .flat_map(|refs| refs.refs.components())
            .map(ToOwned::to_owned)
            .chain(all.iter().map(|series| series.component.clone()))
            .collect();
        let releases: BTreeSet<String> = self
            .layout
            .releases
            .keys()
            .cloned()
            .chain(all.iter().map(|series| series.release.clone()))
            .collect();
        let parts = [
            ("component", &address.component, components),
            ("release", &address.release, releases),
        ];
        for (option, name, known) in parts {
            if !known.contains(name) {
                return Err(Error::Layout(LayoutError::NotThere {
                    option,
                    name: name.clone(),
                    known,
                }));
            }
        }
        Ok(None)
    }

    /// The releases at which a component has patches.
    pub(in crate::cli) fn releases_with(&self, component: &str) -> Vec<&str> {
        let series = self.layout.series.iter();
        let with = series.filter(|series| series.component == component && !series.series.patches.is_empty());
        with.map(|series| series.release.as_str()).collect()
    }

    /// The patches of a series with their bytes, in their order.
    ///
    /// # Errors
    ///
    /// Where they are not known, or cannot be read.
    pub(in crate::cli) fn patches(&self, series: &ComponentSeries) -> Result<Vec<PatchInput>, Error> {
        Ok(series.series.contents(self, &ContentLimits::default())?)
    }

    /// Writes changes, all or none, or prints them as a diff. If the process is killed, opening the
    /// repository again completes or takes back what was begun.
    ///
    /// # Errors
    ///
    /// If a file changed since it was read, a path leads out of the repository, or writing fails.
    pub(in crate::cli) fn write(&self, edit: &RepositoryEdit, mode: WriteMode) -> Result<(), Error> {
        let changes = edit
            .edits()
            .map(|edit| self.change(edit))
            .collect::<Result<Vec<_>, _>>()?;
        if mode == WriteMode::DryRun {
            return self.print_diff(&changes);
        }
        if changes.is_empty() {
            return Ok(());
        }
        let root = self.root();
        let Some(git_folder) = git_folder(root) else {
            return change_all(&changes, root, &mut Unrecorded);
        };
        let (mut journal, recovered) = ChangeJournal::take(&git_folder, root)?;
        note_recovered(recovered);
        match change_all(&changes, root, &mut journal) {
            // It is finished when the repository is opened again.
            Err(error) if journal.is_decided() => Err(Error::Usage(format!(
                "{error}: fix that, and run any command on the repository: it finishes what was begun"
            ))),
            done => {
                journal.remove();
                done
            }
        }
    }

    fn change<'e>(&self, edit: FileEdit<'e>) -> Result<FileChange<'e>, Error> {
        let (path, contents) = match edit {
            FileEdit::Write { path, bytes } => (path, Some(bytes)),
            FileEdit::Remove { path } => (path, None),
        };
        let path = path.strip_prefix("./").unwrap_or(path);
        self.check_path(path)?;
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = match (read.get(path), contents) {
            (Some(digest), _) => ExpectedFile::Holds(*digest),
            // A file takes the place of a link, and nothing is written through it.
            (None, Some(_)) if self.root().join(path).is_symlink() => ExpectedFile::Present,
            (None, Some(_)) => ExpectedFile::Absent,
            (None, None) => ExpectedFile::Present,
        };
        Ok(FileChange {
            shown: path.to_owned(),
            path: PathBuf::from(path),
            expected,
            contents,
        })
    }

    /// Refuses a path that could lead out of the checkout, or into its Git folder.
    fn check_path(&self, path: &str) -> Result<(), Error> {
        let is_plain = |part: Component<'_>| match part {
            Component::Normal(name) => !name.eq_ignore_ascii_case(".git"),
            _ => false,
        };
        let root = self.root();
        let mut folders = Path::new(path)
            .ancestors()
            .skip(1)
            .map(|folder| root.join(folder));
        let nearest = folders.find_map(|folder| folder.canonicalize().ok());
        let is_inside = nearest.is_some_and(|folder| folder.starts_with(root));
        if !path.is_empty() && Path::new(path).components().all(is_plain) && is_inside {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "{path} is not written: it leads out of {}",
            root.display()
        )))
    }

    fn print_diff(&self, changes: &[FileChange<'_>]) -> Result<(), Error> {
        for change in changes {
            let before = OldContents::read(&self.root().join(&change.path)).map_err(|source| Error::Io {
                path: change.shown.clone(),
                source,
            })?;
            match file_diff(&change.shown, &before, change.contents) {
                Some(diff) => print(&diff)?,
                None => note(&format!(
                    "{} changes, and is too large to be compared",
                    change.shown
                )),
            }
        }
        Ok(())
    }
}

/// Remembers what is read, so that a file that changed since is not overwritten.
impl RepositoryFiles for TeamRepository {
    fn entries(&self, folder: &str) -> Result<Option<Vec<FolderEntry>>, FilesError> {
        self.folder.files.entries(folder)
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, FilesError> {
        let bytes = self.folder.files.read(path, limit)?;
        // Decisions were made on what was read first.
        self.read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(path.to_owned())
            .or_insert_with(|| read_digest(&bytes));
        Ok(bytes)
    }
}

/// Reports what became of the changes of a killed command.
fn note_recovered(recovered: Recovered) {
    match recovered {
        Recovered::Nothing => {}
        Recovered::TakenBack => {
            note("a command was interrupted before it had written anything: nothing of it is left");
        }
        Recovered::Finished => {
            note("a command was interrupted while it wrote: what it had begun is written now");
        }
    }
}

/// The Git folder of a checkout; `None` where there is none that can be used.
fn git_folder(root: &Path) -> Option<PathBuf> {
    root.join(".git").exists().then_some(())?;
    Some(LocalRepository::open(root).ok()?.git_folder().to_owned())
}

/// Refuses a bare repository, which has no files.
fn refuse_bare(dir: &Path) -> Result<(), Error> {
    let looks_bare = dir.join("HEAD").is_file() && dir.join("objects").is_dir() && dir.join("refs").is_dir();
    if looks_bare {
        return Err(Error::Usage(format!(
            "{} is a bare Git repository, without files: clone it, and name the clone",
            dir.display()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;
    use crate::cli::file_changes::ChangeRecord;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        layout: LayoutArguments,
    }

    const FOLDER: &str = "patches/glance/2025.2";

    fn team(dir: &Path) -> TeamRepository {
        let line = Line::parse_from(["patchset"]);
        TeamRepository::open(dir, &line.layout, None, &Selection::default()).unwrap()
    }

    fn made() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("releases/2025.2/source-refs.yaml", "glance: 31.1.0\n"),
            ("patches/glance/2025.2/1.patch", "one\n"),
            ("patches/glance/2025.2/2.patch", "two\n"),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let made = std::process::Command::new("git")
            .args(["init", "--quiet"])
            .arg(dir.path())
            .status();
        assert!(made.unwrap().success());
        dir
    }

    /// The files below the folder of patches, including hidden ones.
    fn there(dir: &Path) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut folders = vec![dir.join("patches")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                    found.push((name, fs::read_to_string(&path).unwrap_or_default()));
                }
            }
        }
        found.sort();
        found
    }

    fn files(files: &[(&str, &str)]) -> Vec<(String, String)> {
        let files = files.iter();
        files
            .map(|(name, text)| (format!("{FOLDER}/{name}"), (*text).to_owned()))
            .collect()
    }

    /// Changes the first patch, removes the second, and adds one for a new release.
    fn edit() -> RepositoryEdit {
        let mut edit = RepositoryEdit::default();
        edit.write(format!("{FOLDER}/1.patch"), "ONE\n");
        edit.remove(format!("{FOLDER}/2.patch"));
        edit.write("patches/glance/2026.1/3.patch", "three\n");
        edit
    }

    fn after() -> Vec<(String, String)> {
        let mut all = files(&[("1.patch", "ONE\n")]);
        all.push(("patches/glance/2026.1/3.patch".to_owned(), "three\n".to_owned()));
        all
    }

    fn read_all(team: &TeamRepository) {
        team.patches(&team.layout().series[0]).unwrap();
    }

    #[test]
    fn changes_are_written_or_shown() {
        let dir = made();
        let before = there(dir.path());
        let team = team(dir.path());
        read_all(&team);
        team.write(&edit(), WriteMode::DryRun).unwrap();
        assert_eq!(there(dir.path()), before);
        team.write(&edit(), WriteMode::Write).unwrap();
        assert_eq!(there(dir.path()), after());
        assert!(!dir.path().join(".git/patchset-changes.json").exists());
    }

    #[test]
    fn folders_that_become_empty_go_as_git_has_none() {
        let dir = made();
        let team = team(dir.path());
        let mut edit = RepositoryEdit::default();
        edit.remove(format!("{FOLDER}/1.patch"));
        edit.remove(format!("{FOLDER}/2.patch"));
        team.write(&edit, WriteMode::Write).unwrap();
        assert!(!dir.path().join("patches").exists());
        assert!(dir.path().join("releases").exists());
    }

    #[test]
    fn nothing_is_written_over_what_was_not_read_or_changed_since() {
        let dir = made();
        let unread = team(dir.path()).write(&edit(), WriteMode::Write).unwrap_err();
        assert!(
            unread.to_string().contains("1.patch was changed in the meantime"),
            "{unread}"
        );

        let team = team(dir.path());
        read_all(&team);
        fs::write(dir.path().join(FOLDER).join("2.patch"), "by somebody else\n").unwrap();
        let before = there(dir.path());
        let changed = team.write(&edit(), WriteMode::Write).unwrap_err();
        assert!(
            changed
                .to_string()
                .contains("2.patch was changed in the meantime"),
            "{changed}"
        );
        assert_eq!(there(dir.path()), before);
        assert!(!dir.path().join("patches/glance/2026.1").exists());
    }

    #[test]
    fn nothing_is_written_outside_or_into_the_git_folder() {
        let dir = made();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("out")).unwrap();
        let team = team(dir.path());
        for path in ["../x", "/x", ".git/hooks/pre-commit", "a/../../x", "out/x", ""] {
            let mut edit = RepositoryEdit::default();
            edit.write(path, "x");
            let error = team.write(&edit, WriteMode::Write).unwrap_err().to_string();
            assert!(error.contains("leads out of"), "{path}: {error}");
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_takes_the_place_of_a_link_and_nothing_is_written_through_it() {
        let dir = made();
        fs::write(dir.path().join("shared"), "shared\n").unwrap();
        let link = dir.path().join(FOLDER).join("3.patch");
        std::os::unix::fs::symlink("../../../shared", &link).unwrap();
        let team = team(dir.path());
        read_all(&team);
        let mut edit = RepositoryEdit::default();
        edit.write(format!("{FOLDER}/3.patch"), "own\n");
        team.write(&edit, WriteMode::Write).unwrap();
        assert!(!link.is_symlink());
        assert_eq!(fs::read_to_string(&link).unwrap(), "own\n");
        assert_eq!(fs::read_to_string(dir.path().join("shared")).unwrap(), "shared\n");
    }

    /// A process that is killed after this many steps.
    struct Killed {
        journal: ChangeJournal,
        after: KilledAfter,
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum KilledAfter {
        Plan,
        Decision,
    }

    impl ChangeRecord for Killed {
        fn record_plan(&mut self, plan: &crate::cli::file_changes::ChangePlan) -> std::io::Result<()> {
            self.journal.record_plan(plan)?;
            if self.after == KilledAfter::Plan {
                // As if it had written some of the files.
                fs::create_dir(plan.root.join("patches/glance/2026.1"))?;
                fs::write(plan.root.join(&plan.writes[0].temporary), "half")?;
                return Err(std::io::Error::other("killed"));
            }
            Ok(())
        }

        fn record_decision(&mut self, plan: &crate::cli::file_changes::ChangePlan) -> std::io::Result<()> {
            self.journal.record_decision(plan)?;
            // As if it had renamed one of the files.
            let write = &plan.writes[0];
            fs::rename(plan.root.join(&write.temporary), plan.root.join(&write.path))?;
            for write in &plan.writes[1..] {
                // The rollback of this failure must not find them.
                let kept = plan.root.join("kept");
                fs::rename(plan.root.join(&write.temporary), kept)?;
            }
            Err(std::io::Error::other("killed"))
        }

        fn after_failure(&self) -> crate::cli::file_changes::AfterFailure {
            self.journal.after_failure()
        }
    }

    #[test]
    fn what_a_killed_process_had_begun_is_taken_back_or_finished() {
        for after_step in [KilledAfter::Plan, KilledAfter::Decision] {
            let dir = made();
            let before = there(dir.path());
            let team_before = team(dir.path());
            read_all(&team_before);
            let edit = edit();
            let changes: Vec<_> = edit
                .edits()
                .map(|edit| team_before.change(edit).unwrap())
                .collect();
            let root = team_before.root().to_owned();
            let (journal, _) = ChangeJournal::take(&root.join(".git"), &root).unwrap();
            let mut killed = Killed {
                journal,
                after: after_step,
            };
            change_all(&changes, &root, &mut killed).unwrap_err();
            drop(killed);
            if after_step == KilledAfter::Decision {
                let temporary = format!("patches/glance/2026.1/.patchset-{}-2", std::process::id());
                fs::create_dir_all(root.join("patches/glance/2026.1")).unwrap();
                fs::rename(root.join("kept"), root.join(temporary)).unwrap();
            }
            drop(team(dir.path()));
            let wanted = match after_step {
                KilledAfter::Plan => before,
                KilledAfter::Decision => after(),
            };
            assert_eq!(there(dir.path()), wanted);
            assert!(!root.join(".git/patchset-changes.json").exists());
            assert_eq!(
                root.join("patches/glance/2026.1").exists(),
                after_step == KilledAfter::Decision
            );
        }
    }

    #[test]
    fn two_processes_do_not_write_at_once() {
        let dir = made();
        let team = team(dir.path());
        read_all(&team);
        let root = team.root().to_owned();
        let (held, _) = ChangeJournal::take(&root.join(".git"), &root).unwrap();
        let error = team.write(&edit(), WriteMode::Write).unwrap_err().to_string();
        assert!(error.contains("another patchset command is writing"), "{error}");
        held.remove();
        team.write(&edit(), WriteMode::Write).unwrap();
        assert_eq!(there(dir.path()), after());
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is_similar() {
        let dir = made();
        let team = team(dir.path());
        let error = |text: &str| team.series(&text.parse().unwrap()).unwrap_err().to_string();
        assert!(error("glanse/2025.2").contains("did you mean glance?"));
        assert!(error("glance/2025.1").contains("did you mean 2025.2?"));
    }
}
