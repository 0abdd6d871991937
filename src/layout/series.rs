//! The patches of one folder, in their order.

use std::collections::{BTreeMap, BTreeSet};

use git_apply_engine::PatchInput;

use super::fault::{FaultKind, LayoutError, LayoutFault, some_of};
use super::files::{FileKind, FilesError, FolderEntry, RepositoryFiles};
use super::links::{FolderWalk, FoundAt, other_in_words};
use super::series_file::{self, LISTS, ListSyntax};

/// How names of patches end.
const ENDINGS: [&str; 2] = [".patch", ".diff"];

/// The most faults that are kept of one folder.
const MOST_FAULTS: usize = 100;

/// How many of them a note has.
const MOST_IN_NOTE: usize = 3;

/// Prefixes of the names of files and folders that may lie beside others without being read.
const IGNORED_PREFIXES: [&str; 12] = [
    "README",
    "OWNERS",
    "CODEOWNERS",
    "MAINTAINERS",
    "AUTHORS",
    "LICENSE",
    "LICENCE",
    "COPYING",
    "NOTICE",
    "REUSE.toml",
    "CONTRIBUTING",
    "SECURITY",
];

/// The patches of one folder, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// What the order follows.
    pub order: SeriesOrder,
    /// In the order in which they apply.
    pub patches: Vec<SeriesPatch>,
    /// What is wrong in the folder.
    pub faults: Vec<LayoutFault>,
}

/// What the order of patches follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeriesOrder {
    /// The bytes of their names.
    ByName,
    /// A file that lists them.
    Listed {
        /// Its path: `series`, `.patches` or `ORDER` in the folder.
        file: String,
    },
}

/// A patch of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesPatch {
    /// Its name in the folder; a list may name one of a folder below.
    pub name: String,
    /// Where its bytes are, relative to the repository's root: what a link leads to.
    pub path: String,
    /// Leading components to remove from its names, where the list says.
    pub strip: Option<u8>,
}

/// How much of the patches is read.
#[derive(Clone, Copy, Debug)]
pub struct ContentLimits {
    /// Bytes of one patch.
    pub file: u64,
    /// Bytes of all patches together.
    pub total: u64,
    /// Number of patches.
    pub count: usize,
}

impl Default for ContentLimits {
    /// 16 MiB a patch, 64 MiB and 2,000 patches in all.
    fn default() -> Self {
        Self {
            file: 16 << 20,
            total: 64 << 20,
            count: 2000,
        }
    }
}

/// The patches of a folder with their contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderPatches {
    /// In the order in which they apply.
    pub patches: Vec<PatchInput>,
    /// What else is in the folder and is not applied, in a sentence.
    pub note: Option<String>,
}

impl FolderPatches {
    /// Reads a folder. One that does not exist has no patches.
    ///
    /// # Errors
    ///
    /// As for [`Series::read`] and [`Series::contents`].
    pub fn read(
        files: &dyn RepositoryFiles,
        folder: &str,
        limits: &ContentLimits,
    ) -> Result<Self, LayoutError> {
        match Series::read(files, folder)? {
            None => Ok(Self::default()),
            Some(series) => series.read_patches(files, limits),
        }
    }
}

/// Whether a name is that of a patch: it ends in `.patch` or `.diff`, and is not hidden.
#[must_use]
pub fn is_patch_name(name: &str) -> bool {
    !is_hidden(name) && ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Whether a shell's `*` leaves a name out.
fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

/// Whether something may lie beside others without being read: what is hidden, and what says who
/// owns a folder, or under which licence it is.
pub(super) fn is_ignored(entry: &FolderEntry) -> bool {
    let name = entry.name.as_str();
    match entry.kind {
        FileKind::Folder => is_hidden(name) || name == "LICENSES",
        _ => {
            is_hidden(name)
                || name.ends_with(".license")
                || IGNORED_PREFIXES.iter().any(|beside| {
                    name.strip_prefix(beside)
                        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_lowercase()))
                })
        }
    }
}

/// The names of the visible folders in a folder, links to folders among them.
pub(super) fn folders_in(walk: &FolderWalk<'_>, folder: &str) -> Result<Vec<String>, LayoutError> {
    let mut names = Vec::new();
    let FoundAt::Folder(path) = walk.locate(folder)? else {
        return Ok(names);
    };
    for entry in walk.entries(&path)?.iter().flat_map(|entries| entries.iter()) {
        if !is_ignored(entry)
            && let FoundAt::Folder(_) = walk.locate(&format!("{folder}/{}", entry.name))?
        {
            names.push(entry.name.clone());
        }
    }
    Ok(names)
}

impl Series {
    /// Reads what a folder has; `None` if there is no such folder. The path may also be that of one
    /// patch.
    ///
    /// The order is that of `series`, `.patches` or `ORDER` if one of them exists, else that of the
    /// names as bytes. What is wrong in the folder is in [`faults`](Self::faults).
    ///
    /// # Errors
    ///
    /// Where the path leads to neither a folder nor a patch, or the files cannot be read.
    pub fn read(files: &dyn RepositoryFiles, folder: &str) -> Result<Option<Self>, LayoutError> {
        Self::read_below(&FolderWalk::new(files, ""), folder)
    }

    /// As [`read`](Self::read), for a folder below the walk's directory.
    pub(super) fn read_below(walk: &FolderWalk<'_>, folder: &str) -> Result<Option<Self>, LayoutError> {
        let refused = |reason: &str| {
            Err(LayoutError::NoFolder {
                path: folder.to_owned(),
                reason: reason.to_owned(),
            })
        };
        match walk.locate(folder)? {
            FoundAt::Nothing => return Ok(None),
            FoundAt::File(path) => {
                let name = folder.rsplit('/').next().unwrap_or(folder);
                return if is_patch_name(name) {
                    Ok(Some(Self::single(name, path)))
                } else {
                    refused("is neither a folder nor a patch")
                };
            }
            FoundAt::Refused(reason) => return refused(&reason),
            FoundAt::Folder(_) => {}
        }
        let mut reader = FolderReader {
            walk,
            folder: folder.trim_matches('/'),
            series: Self {
                order: SeriesOrder::ByName,
                patches: Vec::new(),
                faults: Vec::new(),
            },
        };
        reader.read()?;
        Ok(Some(reader.series))
    }

    /// A series of one patch.
    fn single(name: &str, path: String) -> Self {
        Self {
            order: SeriesOrder::ByName,
            patches: vec![SeriesPatch {
                name: name.to_owned(),
                path,
                strip: None,
            }],
            faults: Vec::new(),
        }
    }

    /// Adds faults as long as there are not too many.
    fn add_faults(&mut self, faults: impl IntoIterator<Item = LayoutFault>) {
        let room = MOST_FAULTS.saturating_sub(self.faults.len());
        self.faults.extend(faults.into_iter().take(room));
    }

    /// Why the patches are not known; `None` where they are.
    #[must_use]
    pub fn blocking_fault(&self) -> Option<&LayoutFault> {
        self.faults.iter().find(|fault| fault.kind.hides_patches())
    }

    /// What is in the folder and is not applied, in a sentence; `None` where all is.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let told: Vec<String> = self
            .faults
            .iter()
            .take(MOST_IN_NOTE)
            .map(ToString::to_string)
            .collect();
        let left = self.faults.len().saturating_sub(told.len());
        let more = (left > 0).then(|| format!("and {left} more"));
        let note: Vec<String> = told.into_iter().chain(more).collect();
        (!note.is_empty()).then(|| note.join("; "))
    }

    /// Reads the patches, and notes what is not applied.
    ///
    /// # Errors
    ///
    /// As for [`contents`](Self::contents).
    pub fn read_patches(
        self,
        files: &dyn RepositoryFiles,
        limits: &ContentLimits,
    ) -> Result<FolderPatches, LayoutError> {
        Ok(FolderPatches {
            patches: self.contents(files, limits)?,
            note: self.note(),
        })
    }

    /// Reads the patches.
    ///
    /// # Errors
    ///
    /// [`LayoutError::Faulty`] if they are not known, so that none is silently left out; if there
    /// are more, or more bytes, than `limits` allow; if the files cannot be read.
    pub fn contents(
        &self,
        files: &dyn RepositoryFiles,
        limits: &ContentLimits,
    ) -> Result<Vec<PatchInput>, LayoutError> {
        if let Some(fault) = self.blocking_fault() {
            return Err(LayoutError::Faulty(fault.clone()));
        }
        if self.patches.len() > limits.count {
            return Err(LayoutError::TooMuch {
                what: "the number of patches".to_owned(),
                limit: limits.count,
            });
        }
        let mut left = limits.total;
        let mut patches = Vec::new();
        for SeriesPatch { name, path, strip } in &self.patches {
            let bytes = files.read(path, limits.file.min(left))?;
            left = left.saturating_sub(bytes.len() as u64);
            patches.push(PatchInput::new(name, bytes).with_strip(*strip));
        }
        Ok(patches)
    }
}

/// Reads one folder.
struct FolderReader<'a, 'w> {
    walk: &'a FolderWalk<'w>,
    /// Its path as it is shown.
    folder: &'a str,
    series: Series,
}

impl FolderReader<'_, '_> {
    fn read(&mut self) -> Result<(), LayoutError> {
        let entries = self.entries("")?;
        let list = LISTS
            .into_iter()
            .find(|(name, _)| entries.iter().any(|entry| is_list(entry, name)));
        match list {
            Some((name, syntax)) => self.read_list(name, syntax)?,
            None => self.read_by_name(&entries)?,
        }
        let list = list.map(|(name, _)| name);
        let listed: BTreeSet<String> = self
            .series
            .patches
            .iter()
            .map(|patch| patch.name.clone())
            .collect();
        self.add_unused_entries("", list, &listed)?;
        let folders = listed.iter().filter_map(|name| Some(name.rsplit_once('/')?.0));
        for below in folders.collect::<BTreeSet<&str>>() {
            self.add_unused_entries(below, list, &listed)?;
        }
        if self.series.patches.is_empty() && self.series.blocking_fault().is_none() {
            self.tell_no_patches(&entries);
        }
        Ok(())
    }

    /// A path below the folder.
    fn path(&self, name: &str) -> String {
        match (self.folder, name) {
            ("", name) => name.to_owned(),
            (folder, "") => folder.to_owned(),
            (folder, name) => format!("{folder}/{name}"),
        }
    }

    fn entries(&self, below: &str) -> Result<Vec<FolderEntry>, LayoutError> {
        let FoundAt::Folder(folder) = self.walk.locate(&self.path(below))? else {
            return Ok(Vec::new());
        };
        let entries = self.walk.entries(&folder)?;
        Ok(entries.map(|entries| entries.to_vec()).unwrap_or_default())
    }

    fn fault(&mut self, kind: FaultKind, name: &str, message: impl Into<String>) {
        let fault = LayoutFault::new(kind, self.path(name), message);
        self.series.add_faults([fault]);
    }

    fn read_list(&mut self, name: &str, syntax: ListSyntax) -> Result<(), LayoutError> {
        let shown = self.path(name);
        self.series.order = SeriesOrder::Listed { file: shown.clone() };
        let text = match self.walk.locate(&shown)? {
            FoundAt::File(path) => match self.walk.read(&path, series_file::LARGEST) {
                Ok(text) => text,
                Err(error @ FilesError::TooLarge { .. }) => {
                    self.fault(FaultKind::InvalidSeries, name, error.to_string());
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            },
            FoundAt::Refused(reason) => {
                self.fault(FaultKind::RefusedLink, name, reason);
                return Ok(());
            }
            FoundAt::Nothing | FoundAt::Folder(_) => {
                self.fault(FaultKind::InvalidSeries, name, "is not a file");
                return Ok(());
            }
        };
        let (listed, faults) = series_file::parse(&shown, &text, syntax);
        self.series.add_faults(faults);
        let mut seen = BTreeMap::new();
        for patch in listed {
            let mut wrong = |kind, message: String| {
                let fault = LayoutFault::new(kind, &shown, message).at_line(patch.line);
                self.series.add_faults([fault]);
            };
            if let Some(before) = seen.insert(patch.name.clone(), patch.line) {
                let message = format!("names {} a second time, after line {before}", patch.name);
                wrong(FaultKind::InvalidSeries, message);
                continue;
            }
            let path = match (self.folder, patch.name.as_str()) {
                ("", name) => name.to_owned(),
                (folder, name) => format!("{folder}/{name}"),
            };
            match self.walk.locate(&path)? {
                FoundAt::File(path) => self.series.patches.push(SeriesPatch {
                    name: patch.name,
                    path,
                    strip: patch.strip,
                }),
                FoundAt::Nothing => {
                    wrong(
                        FaultKind::MissingPatch,
                        format!("names {}, which does not exist", patch.name),
                    );
                }
                FoundAt::Folder(_) => {
                    wrong(
                        FaultKind::InvalidSeries,
                        format!("names {}, which is a folder", patch.name),
                    );
                }
                FoundAt::Refused(reason) => {
                    wrong(
                        FaultKind::RefusedLink,
                        format!("names {}, which {reason}", patch.name),
                    );
                }
            }
        }
        Ok(())
    }

    fn read_by_name(&mut self, entries: &[FolderEntry]) -> Result<(), LayoutError> {
        for entry in entries.iter().filter(|entry| is_patch_name(&entry.name)) {
            match self.walk.locate(&self.path(&entry.name))? {
                FoundAt::File(path) => self.series.patches.push(SeriesPatch {
                    name: entry.name.clone(),
                    path,
                    strip: None,
                }),
                // A fault of it is added with the unused entries.
                FoundAt::Folder(_) => {}
                FoundAt::Nothing => {
                    self.fault(FaultKind::RefusedLink, &entry.name, "is a link to nothing");
                }
                FoundAt::Refused(reason) => self.fault(FaultKind::RefusedLink, &entry.name, reason),
            }
        }
        Ok(())
    }

    /// Reports what is in the folder, or one below it, and not among the patches.
    fn add_unused_entries(
        &mut self,
        below: &str,
        list: Option<&'static str>,
        listed: &BTreeSet<String>,
    ) -> Result<(), LayoutError> {
        let told: BTreeSet<String> = self
            .series
            .faults
            .iter()
            .map(|fault| fault.path.clone())
            .collect();
        for entry in self.entries(below)? {
            let name = match below {
                "" => entry.name.clone(),
                below => format!("{below}/{}", entry.name),
            };
            let is_above_listed = || {
                let inside = format!("{name}/");
                let next = listed.range(inside.clone()..).next();
                entry.kind == FileKind::Folder && next.is_some_and(|next| next.starts_with(&inside))
            };
            if listed.contains(&name)
                || is_above_listed()
                || (below.is_empty() && list == Some(entry.name.as_str()))
                || (is_ignored(&entry) && !is_patch_name(&entry.name))
                || told.contains(&self.path(&name))
            {
                continue;
            }
            let is_patch = is_patch_name(&entry.name) && entry.kind != FileKind::Folder;
            match list {
                Some(list) if is_patch => {
                    self.fault(
                        FaultKind::NotInSeries,
                        &name,
                        format!("is not in {list}, and is not applied"),
                    );
                }
                _ if entry.kind == FileKind::Other => {
                    let kind = if is_patch {
                        FaultKind::RefusedLink
                    } else {
                        FaultKind::StrayFile
                    };
                    self.fault(kind, &name, other_in_words(&entry.name));
                }
                // The root of a repository may hold anything.
                _ if self.folder.is_empty() => {}
                _ => self.fault(
                    FaultKind::StrayFile,
                    &name,
                    "nothing reads it: patches are files that end in .patch or .diff",
                ),
            }
        }
        Ok(())
    }

    /// Reports what is there instead of patches.
    fn tell_no_patches(&mut self, entries: &[FolderEntry]) {
        let others: Vec<&str> = entries
            .iter()
            .filter(|entry| !is_ignored(entry))
            .map(|entry| entry.name.as_str())
            .collect();
        if !others.is_empty() {
            let message = format!(
                "holds no patch that is applied, but other things: {}",
                some_of(others)
            );
            self.fault(FaultKind::NoPatches, "", message);
        }
    }
}

fn is_list(entry: &FolderEntry, name: &str) -> bool {
    entry.name == name && matches!(entry.kind, FileKind::File | FileKind::Link { .. })
}
