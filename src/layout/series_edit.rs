//! Changes to the patches of one series: what happens to their files, and to the list that sets
//! their order.
//!
//! A change affects this series alone. What other folders have through links to its files stays the
//! same: if a link's file changes, a file with the old bytes takes the link's place.

use std::collections::{BTreeMap, BTreeSet};

use foreign_text::printable;

use super::edit::{EditedFiles, FileEdit, RepositoryEdit};
use super::fault::{LayoutError, some_of};
use super::files::{FileKind, FilesError, RepositoryFiles};
use super::links::{FolderWalk, FoundAt};
use super::list_edit::{ListEdit, ListEditError};
use super::patch_name::{LeadingNumber, PatchFileName};
use super::repository::ComponentSeries;
use super::series::{ContentLimits, SeriesOrder};

/// A change to a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeriesChange {
    /// A patch is removed, with its line in the list and its licence's file (`NAME.license`).
    Drop {
        /// Its name in the series.
        name: String,
    },
    /// A patch has other bytes.
    Replace {
        /// Its name in the series.
        name: String,
        /// The whole content of its file.
        bytes: Vec<u8>,
    },
    /// A patch is added, after the others if a list sets the order, else where its name puts it.
    Add {
        /// The name of its file.
        name: PatchFileName,
        /// The whole content of its file.
        bytes: Vec<u8>,
    },
    /// A patch is renamed, in the folder where it is.
    Rename {
        /// Its name in the series.
        name: String,
        /// Its new name, without a folder.
        to: PatchFileName,
    },
    /// The patches apply in this order. If names set the order, they get new numbers.
    Reorder {
        /// The names of all patches.
        names: Vec<String>,
    },
    /// The numbers that names begin with follow each other without gaps.
    Renumber,
}

/// What happens to the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesEdit {
    /// The files.
    pub edit: RepositoryEdit,
    /// The names in the series that patches had, and those that they get, in their order.
    pub renamed: Vec<(String, String)>,
    /// Notes on links and on the order, in sentences.
    pub notes: Vec<String>,
}

/// Why a series cannot be changed this way.
#[derive(Debug, thiserror::Error)]
pub enum SeriesEditError {
    /// No patch has that name.
    #[error("{folder} has no patch {}; {}", printable(.name, 200), known_patches(.name, .known))]
    NoSuchPatch {
        /// The series' folder.
        folder: String,
        /// What was asked for.
        name: String,
        /// The patches that there are.
        known: Vec<String>,
    },
    /// Something has that name already.
    #[error("{folder}/{} already exists: choose another name", printable(.name, 200))]
    Exists {
        /// The series' folder.
        folder: String,
        /// The name.
        name: String,
    },
    /// Names set the order, and the new names would give another one.
    #[error(
        "{folder}: names set the order of the patches, and with these {} would come before {}: choose other names, or write the order into a file series",
        printable(.second, 200), printable(.first, 200)
    )]
    Order {
        /// The series' folder.
        folder: String,
        /// What is to come first.
        first: String,
        /// What would come before it.
        second: String,
    },
    /// An order that does not have exactly the existing patches.
    #[error("{folder}: an order names each patch once, and this one does not: {}", printable(.name, 200))]
    NoOrder {
        /// The series' folder.
        folder: String,
        /// A patch that is not there, is left out or named twice.
        name: String,
    },
    /// The list cannot be changed this way.
    #[error(transparent)]
    List(#[from] ListEditError),
    /// The patches are not known, or the files cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl From<FilesError> for SeriesEditError {
    fn from(error: FilesError) -> Self {
        Self::Layout(error.into())
    }
}

/// The similar patches, or else all known ones.
fn known_patches(name: &str, known: &[String]) -> String {
    let base = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let wanted = base(name);
    let stem = wanted.trim_end_matches(".patch").trim_end_matches(".diff");
    let mut similar: Vec<&String> = known
        .iter()
        .filter(|known| !stem.is_empty() && base(known).contains(stem))
        .collect();
    if similar.is_empty() {
        let likeness = |known: &str| strsim::jaro_winkler(&wanted, &base(known));
        similar.extend(known.iter().filter(|known| likeness(known) > 0.85));
        similar.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    }
    let similar = similar.into_iter().take(3).map(|name| printable(name, 200));
    let similar: Vec<String> = similar.collect();
    if similar.is_empty() {
        return format!("it has {}", some_of(known.iter().map(String::as_str)));
    }
    format!("did you mean {}?", similar.join(" or "))
}

/// Works out what happens to the files when a series is changed.
///
/// `directory` is the folder of the repository that the layout was read from. The changes are made
/// one after the other, and name patches as those before left them. The series' folder may be new.
///
/// # Errors
///
/// If a change names a patch that does not exist, or a name that is taken; if the names would give
/// another order; if the patches are not known, as a fault of the series says.
pub fn edit_series(
    files: &dyn RepositoryFiles,
    directory: &str,
    series: &ComponentSeries,
    changes: &[SeriesChange],
) -> Result<SeriesEdit, SeriesEditError> {
    if let Some(fault) = series.series.blocking_fault() {
        return Err(LayoutError::Faulty(fault.clone()).into());
    }
    let walk = FolderWalk::new(files, "");
    let mut editor = SeriesEditor {
        files,
        root: join(directory, &series.folder),
        folder: real_folder(&walk, &join(directory, &series.folder))?,
        walk: &walk,
        series,
        patches: series
            .series
            .patches
            .iter()
            .map(|patch| EditedPatch {
                name: patch.name.clone(),
                origin: Some(patch.name.clone()),
                bytes: None,
            })
            .collect(),
        dropped: Vec::new(),
        notes: Vec::new(),
    };
    for change in changes {
        editor.change(change)?;
    }
    editor.finish()
}

/// A patch as it will be.
struct EditedPatch {
    name: String,
    /// Its current name; `None` for a new one.
    origin: Option<String>,
    /// The new content of its file; `None` to keep what it has.
    bytes: Option<Vec<u8>>,
}

struct SeriesEditor<'a, 'w> {
    files: &'a dyn RepositoryFiles,
    walk: &'a FolderWalk<'w>,
    series: &'a ComponentSeries,
    /// The series' folder below the repository's root, as it is named.
    root: String,
    /// The same without links.
    folder: String,
    patches: Vec<EditedPatch>,
    /// The names of the patches that are removed.
    dropped: Vec<String>,
    notes: Vec<String>,
}

impl SeriesEditor<'_, '_> {
    fn is_by_name(&self) -> bool {
        self.series.series.order == SeriesOrder::ByName
    }

    fn shown_folder(&self) -> String {
        match self.series.folder.as_str() {
            "" => "the root".to_owned(),
            folder => folder.to_owned(),
        }
    }

    fn find(&self, name: &str) -> Result<usize, SeriesEditError> {
        let found = self.patches.iter().position(|patch| patch.name == name);
        found.ok_or_else(|| SeriesEditError::NoSuchPatch {
            folder: self.shown_folder(),
            name: name.to_owned(),
            known: self.patches.iter().map(|patch| patch.name.clone()).collect(),
        })
    }

    fn refuse_taken(&self, name: &str) -> Result<(), SeriesEditError> {
        if self.patches.iter().all(|patch| patch.name != name) {
            return Ok(());
        }
        Err(SeriesEditError::Exists {
            folder: self.shown_folder(),
            name: name.to_owned(),
        })
    }

    fn change(&mut self, change: &SeriesChange) -> Result<(), SeriesEditError> {
        match change {
            SeriesChange::Drop { name } => {
                let at = self.find(name)?;
                self.dropped.extend(self.patches.remove(at).origin);
            }
            SeriesChange::Replace { name, bytes } => {
                let at = self.find(name)?;
                if let Some(patch) = self.patches.get_mut(at) {
                    patch.bytes = Some(bytes.clone());
                }
            }
            SeriesChange::Add { name, bytes } => self.add(name, bytes)?,
            SeriesChange::Rename { name, to } => {
                let at = self.find(name)?;
                let to = join(
                    name.rsplit_once('/').map_or("", |(folder, _)| folder),
                    to.as_str(),
                );
                if to != *name {
                    self.refuse_taken(&to)?;
                }
                if let Some(patch) = self.patches.get_mut(at) {
                    patch.name = to;
                }
            }
            SeriesChange::Reorder { names } => self.reorder(names)?,
            SeriesChange::Renumber => self.renumber(),
        }
        Ok(())
    }

    fn add(&mut self, name: &PatchFileName, bytes: &[u8]) -> Result<(), SeriesEditError> {
        self.refuse_taken(name.as_str())?;
        let mut at = self.patches.len();
        if self.is_by_name() {
            let is_before = |patch: &EditedPatch| patch.name.as_bytes() < name.as_str().as_bytes();
            at = self.patches.partition_point(is_before);
        }
        if let Some(next) = self.patches.get(at) {
            self.notes.push(format!(
                "{name} comes before {}: names set the order of the patches, byte by byte",
                printable(&next.name, 200)
            ));
        }
        let patch = EditedPatch {
            name: name.to_string(),
            origin: None,
            bytes: Some(bytes.to_vec()),
        };
        self.patches.insert(at, patch);
        Ok(())
    }

    fn reorder(&mut self, names: &[String]) -> Result<(), SeriesEditError> {
        let wrong = |name: &str| SeriesEditError::NoOrder {
            folder: self.shown_folder(),
            name: name.to_owned(),
        };
        let mut places = BTreeMap::new();
        for (at, name) in names.iter().enumerate() {
            self.find(name)?;
            if places.insert(name.as_str(), at).is_some() {
                return Err(wrong(name));
            }
        }
        if let Some(left_out) = self
            .patches
            .iter()
            .find(|patch| !places.contains_key(patch.name.as_str()))
        {
            return Err(wrong(&left_out.name));
        }
        let is_other = |(patch, name): (&EditedPatch, &String)| patch.name != *name;
        let is_changed = self.patches.iter().zip(names).any(is_other);
        self.patches
            .sort_by_key(|patch| places.get(patch.name.as_str()).copied());
        if is_changed && self.is_by_name() {
            self.renumber();
        }
        Ok(())
    }

    /// Gives each name that begins with a number the number of its place, with as many digits as
    /// the longest has. A series that begins with 0 still does.
    fn renumber(&mut self) {
        let base = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
        let names: Vec<String> = self.patches.iter().map(|patch| base(&patch.name)).collect();
        let numbers: Vec<_> = names.iter().map(|name| LeadingNumber::read(name)).collect();
        let lowest = numbers.iter().flatten().map(|found| found.number).min();
        let start = usize::from(lowest != Some(0));
        let last = (start + names.len()).saturating_sub(1).to_string();
        let digits = numbers.iter().flatten().map(|found| found.digits).max();
        let width = digits.unwrap_or(0).max(last.len());
        for ((at, patch), number) in self.patches.iter_mut().enumerate().zip(&numbers) {
            if let Some(LeadingNumber { rest, .. }) = number {
                let folder = patch.name.rsplit_once('/').map_or("", |(folder, _)| folder);
                patch.name = join(folder, &format!("{:0width$}{rest}", start + at));
            }
        }
    }

    /// Where the file or link of a patch is, without links on the way.
    fn entry(&self, name: &str) -> Result<String, SeriesEditError> {
        let Some((folder, name)) = name.rsplit_once('/') else {
            return Ok(join(&self.folder, name));
        };
        let folder = real_folder(self.walk, &join(&self.root, folder))?;
        Ok(join(&folder, name))
    }

    fn finish(mut self) -> Result<SeriesEdit, SeriesEditError> {
        self.check_order()?;
        let mut edit = RepositoryEdit::default();
        let mut renamed = Vec::new();
        for name in &self.dropped {
            let entry = self.entry(name)?;
            if let Some(license) = self.license_of(&entry)? {
                edit.remove(license);
            }
            edit.remove(entry);
        }
        let mut written = Vec::new();
        for patch in &self.patches {
            let Some(origin) = &patch.origin else {
                let bytes = patch.bytes.clone().unwrap_or_default();
                written.push((self.entry(&patch.name)?, bytes));
                continue;
            };
            let is_moved = *origin != patch.name;
            if !is_moved && patch.bytes.is_none() {
                continue;
            }
            let from = self.entry(origin)?;
            let to = self.entry(&patch.name)?;
            let bytes = match &patch.bytes {
                Some(bytes) => bytes.clone(),
                None => self.read(&from)?,
            };
            self.notes.extend(self.note_link(&from)?);
            if is_moved {
                renamed.push((origin.clone(), patch.name.clone()));
                if let Some(license) = self.license_of(&from)? {
                    written.push((format!("{to}.license"), self.read(&license)?));
                    edit.remove(license);
                }
                edit.remove(from);
            }
            written.push((to, bytes));
        }
        self.refuse_written_over(&edit, &written)?;
        for (path, bytes) in written {
            edit.write(path, bytes);
        }
        self.edit_list(&mut edit)?;
        let mut edit = edit.without_no_changes(self.files)?;
        self.keep_links(&mut edit)?;
        Ok(SeriesEdit {
            edit,
            renamed,
            notes: self.notes,
        })
    }

    /// Checks that the names, if they set the order, give the one that is wanted.
    fn check_order(&self) -> Result<(), SeriesEditError> {
        if !self.is_by_name() {
            return Ok(());
        }
        let pairs = self.patches.iter().zip(self.patches.iter().skip(1));
        for (first, second) in pairs {
            if first.name.as_bytes() >= second.name.as_bytes() {
                return Err(SeriesEditError::Order {
                    folder: self.shown_folder(),
                    first: first.name.clone(),
                    second: second.name.clone(),
                });
            }
        }
        Ok(())
    }

    /// Refuses to overwrite an existing file that is not among those that move.
    fn refuse_written_over(
        &self,
        edit: &RepositoryEdit,
        written: &[(String, Vec<u8>)],
    ) -> Result<(), SeriesEditError> {
        let mut own = BTreeSet::new();
        for patch in &self.patches {
            own.extend(patch.origin.as_ref().map(|name| self.entry(name)).transpose()?);
        }
        for (path, _) in written {
            let is_free = own.contains(path) || edit.at(path).is_some();
            if !is_free && self.walk.kind_at(path)?.is_some() {
                return Err(SeriesEditError::Exists {
                    folder: self.shown_folder(),
                    name: path.rsplit('/').next().unwrap_or(path).to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The bytes of what an entry of the folder is, or leads to.
    fn read(&self, entry: &str) -> Result<Vec<u8>, SeriesEditError> {
        let limit = ContentLimits::default().file;
        match self.walk.locate(entry)? {
            FoundAt::File(path) => Ok(self.files.read(&path, limit)?),
            _ => Err(FilesError::NotFound {
                path: entry.to_owned(),
            }
            .into()),
        }
    }

    /// The file of a patch's licence, as REUSE has it, where there is one.
    fn license_of(&self, entry: &str) -> Result<Option<String>, SeriesEditError> {
        let path = format!("{entry}.license");
        let kind = self.walk.kind_at(&path)?;
        Ok(matches!(kind, Some(FileKind::File | FileKind::Link { .. })).then_some(path))
    }

    /// The note if a patch of the series is a link and changes.
    fn note_link(&self, entry: &str) -> Result<Option<String>, SeriesEditError> {
        let Some(FileKind::Link { target }) = self.walk.kind_at(entry)? else {
            return Ok(None);
        };
        Ok(Some(format!(
            "{} was a link to {}, and becomes a file: what it led to stays as it is",
            printable(entry, 200),
            printable(&target, 200)
        )))
    }

    fn edit_list(&mut self, edit: &mut RepositoryEdit) -> Result<(), SeriesEditError> {
        let SeriesOrder::Listed { file } = &self.series.series.order else {
            return Ok(());
        };
        let name = file.rsplit('/').next().unwrap_or(file);
        let entry = join(&self.folder, name);
        let text = self.read(&entry)?;
        let list = ListEdit::read(file, &text)?;
        let order = self.patches.iter().map(|patch| {
            let origin = patch.origin.as_deref();
            (origin, patch.name.as_str())
        });
        let changed = list.write(&order.collect::<Vec<_>>())?;
        if changed != text {
            self.notes.extend(self.note_link(&entry)?);
            edit.write(entry, changed);
        }
        Ok(())
    }

    /// Keeps what links of other folders lead to.
    fn keep_links(&mut self, edit: &mut RepositoryEdit) -> Result<(), SeriesEditError> {
        let changed: Vec<String> = edit
            .edits()
            .map(|edit| match edit {
                FileEdit::Write { path, .. } | FileEdit::Remove { path } => path.to_owned(),
            })
            .collect();
        // No link leads to what is only new.
        let mut is_any_there = false;
        for path in &changed {
            is_any_there = is_any_there || self.walk.kind_at(path)?.is_some();
        }
        if !is_any_there {
            return Ok(());
        }
        let links = self.links()?;
        let edited = EditedFiles::new(self.files, edit);
        let after = FolderWalk::new(&edited, "");
        let mut kept = Vec::new();
        for link in links.into_iter().filter(|link| edit.at(link).is_none()) {
            match self.walk.locate(&link)? {
                FoundAt::Folder(folder) => {
                    let inside = format!("{folder}/");
                    if changed.iter().any(|path| path.starts_with(&inside)) {
                        self.notes.push(format!(
                            "{} is a link to {}: what changes there changes for both",
                            printable(&link, 200),
                            printable(&folder, 200)
                        ));
                    }
                }
                FoundAt::File(there) => {
                    let found = after.locate(&link)?;
                    let is_same = edit.at(&there).is_none() && found == FoundAt::File(there);
                    if !is_same && let Some(bytes) = self.content_to_keep(&link, &edited, found)? {
                        self.notes.push(format!(
                            "{} was a link to what changes, and becomes a file with what it led to",
                            printable(&link, 200)
                        ));
                        kept.push((link, bytes));
                    }
                }
                FoundAt::Nothing | FoundAt::Refused(_) => {}
            }
        }
        for (link, bytes) in kept {
            edit.write(link, bytes);
        }
        Ok(())
    }

    /// What a link leads to now, if that is not what it leads to once all is changed.
    fn content_to_keep(
        &self,
        link: &str,
        edited: &EditedFiles<'_>,
        found: FoundAt,
    ) -> Result<Option<Vec<u8>>, SeriesEditError> {
        let before = self.read(link)?;
        let after = match found {
            FoundAt::File(path) => Some(edited.read(&path, ContentLimits::default().file)?),
            _ => None,
        };
        Ok((after.as_ref() != Some(&before)).then_some(before))
    }

    /// The links in the folders of all patches.
    fn links(&self) -> Result<Vec<String>, SeriesEditError> {
        let mut links = Vec::new();
        let top = match self.series.folder.split_once('/') {
            // All patches are below this folder.
            Some(("patches", _)) => self.series.folder.split('/').next(),
            _ => None,
        };
        let depth = self.root.len().saturating_sub(self.series.folder.len());
        let above = self.root.get(..depth).unwrap_or_default();
        let mut folders = vec![match top {
            Some(top) => real_folder(self.walk, &join(above, top))?,
            None => self.folder.clone(),
        }];
        while let Some(folder) = folders.pop() {
            let entries = self.walk.entries(&folder)?;
            for entry in entries.iter().flat_map(|entries| entries.iter()) {
                let path = join(&folder, &entry.name);
                match entry.kind {
                    FileKind::Folder if top.is_some() => folders.push(path),
                    FileKind::Link { .. } => links.push(path),
                    _ => {}
                }
            }
        }
        links.sort();
        Ok(links)
    }
}

fn join(folder: &str, name: &str) -> String {
    match (folder.trim_end_matches('/'), name) {
        ("" | ".", name) => name.to_owned(),
        (folder, "") => folder.to_owned(),
        (folder, name) => format!("{folder}/{name}"),
    }
}

/// A folder with links resolved, even if the end of it does not exist yet.
fn real_folder(walk: &FolderWalk<'_>, folder: &str) -> Result<String, SeriesEditError> {
    let refused = |reason: String| {
        SeriesEditError::Layout(LayoutError::NoFolder {
            path: folder.to_owned(),
            reason,
        })
    };
    let (mut there, mut new) = (folder, "");
    loop {
        match walk.locate(there)? {
            FoundAt::Folder(found) => return Ok(join(&found, new.trim_start_matches('/'))),
            FoundAt::Refused(reason) => return Err(refused(reason)),
            FoundAt::File(_) => return Err(refused("is a file".to_owned())),
            FoundAt::Nothing => {
                let at = there.rfind('/').unwrap_or(0);
                there = folder.get(..at).unwrap_or_default();
                new = folder.get(at..).unwrap_or_default();
            }
        }
    }
}
