//! The files of a patch in three versions, for whoever merges them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use git_apply_engine::{
    EntryMode, FileReport, HunkOutcome, MemoryStore, ObjectError, Objects, Oid, Options, PatchInput,
    PatchReport, Results, Sequence, apply,
};

use super::applying::Stop;
use super::bases::BaseSearch;
use super::compare::{Sliders, changes, lines};
use super::fuzz::{FuzzyHunk, LineKind};
use super::layout::{Layout, Section};
use super::merge::is_binary;
use super::options::{FindBlob, RefreshHints, RefreshOptions};
use super::outcome::MergeBase;
use super::scratch::Scratch;
use super::series::RefreshError;
use super::work::Work;

/// How many lines around the nearest place of a hunk are searched for where it begins and ends.
const NEIGHBOURS: usize = 12;

/// What is known besides the tree. The default is that nothing is.
#[derive(Clone, Copy, Default)]
pub struct ThreeWayHints<'a> {
    /// Finds the blobs that `index` lines name.
    pub blobs: Option<&'a dyn FindBlob>,
    /// The tree before the patch where it last applied.
    pub last_applied: Option<Oid>,
}

/// A file at one side of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileVersion {
    /// A regular file, an executable one, or a link.
    pub mode: EntryMode,
    /// Its contents.
    pub contents: Vec<u8>,
}

/// Where the version for which a patch was made comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionSource {
    /// The diff applies: it is the existing file.
    Ours,
    /// The `index` line names it.
    IndexLine,
    /// It is that of the tree where the series last applied.
    LastApplied,
    /// It is not known: the existing file, with the lines that the patch expects put where they fit
    /// best.
    Reconstructed,
    /// The diff is of binary contents, and the file for which it was made is not known.
    Unknown,
}

impl VersionSource {
    /// Returns the name, such as `IndexLine`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ours => "Ours",
            Self::IndexLine => "IndexLine",
            Self::LastApplied => "LastApplied",
            Self::Reconstructed => "Reconstructed",
            Self::Unknown => "Unknown",
        }
    }
}

/// A path that a patch touches, in three versions; `None` means that there is no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreeWayFile {
    /// The path.
    pub path: Vec<u8>,
    /// The file for which the patch was made.
    pub base: Option<FileVersion>,
    /// The existing file.
    pub ours: Option<FileVersion>,
    /// The base with the patch.
    pub theirs: Option<FileVersion>,
    /// Where the base comes from.
    pub source: VersionSource,
    /// Why the diff does not apply to the existing file.
    pub error: Option<String>,
}

/// Returns the files that a patch touches, in the versions that a three-way merge takes, ordered by
/// path.
///
/// If a diff applies, the base is the existing file. Otherwise it is the file for which the diff
/// was made, by its `index` line or the tree where the series last applied, and if neither is
/// known, what the hunks say of it.
///
/// # Errors
///
/// If the store fails, or the patch cannot be read or takes more than `options` allow.
pub fn three_way_files(
    objects: &dyn Objects,
    tree: Oid,
    patch: &PatchInput,
    hints: ThreeWayHints<'_>,
    options: &RefreshOptions,
) -> Result<Vec<ThreeWayFile>, RefreshError> {
    let engine = patch.options(&options.engine).into_owned();
    let work = Work::new(options.limits, options.engine.limits.effort);
    let layout = Layout::read(&patch.bytes, &engine).map_err(|message| RefreshError::Unreadable {
        name: patch.name.clone(),
        message,
    })?;
    let refresh_hints = RefreshHints {
        blobs: hints.blobs,
        patches: &[],
    };
    let mut merge = ThreeWay {
        scratch: Scratch::over(objects, &work),
        bases: BaseSearch {
            hints: &refresh_hints,
            options: &engine,
            work: &work,
            tree: hints.last_applied,
        },
        engine: &engine,
        files: BTreeMap::new(),
    };
    merge.read_ours(tree, &layout)?;
    for section in &layout.sections {
        merge.add(section).map_err(|stop| match stop {
            Stop::Store(error) => RefreshError::Object(error),
            Stop::Exceeded(message) => RefreshError::Unreadable {
                name: patch.name.clone(),
                message,
            },
        })?;
    }
    Ok(merge.files.into_values().collect())
}

/// The outcome of one diff of a patch.
enum DiffOutcome {
    /// It applies: the file at each of its paths after it, `None` if there is none.
    Applied(BTreeMap<Vec<u8>, Option<FileVersion>>),
    /// It does not apply.
    Refused(PatchReport),
}

struct ThreeWay<'a> {
    scratch: Scratch<'a>,
    bases: BaseSearch<'a>,
    engine: &'a Options,
    files: BTreeMap<Vec<u8>, ThreeWayFile>,
}

impl ThreeWay<'_> {
    /// Reads the existing files at all paths that the patch touches.
    fn read_ours(&mut self, tree: Oid, layout: &Layout<'_>) -> Result<(), ObjectError> {
        let paths: BTreeSet<&[u8]> = layout.sections.iter().flat_map(Section::paths).collect();
        for path in paths {
            let found = self.scratch.file(tree, path)?;
            let file = found.filter(|file| file.mode != EntryMode::Gitlink);
            let ours = match file {
                Some(file) => Some(FileVersion {
                    mode: file.mode,
                    contents: self.scratch.blob(file.id)?.to_vec(),
                }),
                None => None,
            };
            let file = ThreeWayFile {
                path: path.to_vec(),
                base: ours.clone(),
                ours: ours.clone(),
                theirs: ours,
                source: VersionSource::Ours,
                error: None,
            };
            self.files.insert(path.to_vec(), file);
        }
        Ok(())
    }

    fn add(&mut self, section: &Section<'_>) -> Result<(), Stop> {
        let report = match self.apply_diff(section)? {
            DiffOutcome::Applied(after) => {
                for (path, version) in after {
                    if let Some(file) = self.files.get_mut(&path) {
                        file.theirs = version;
                    }
                }
                return Ok(());
            }
            DiffOutcome::Refused(report) => report,
        };
        let error = report.error.clone().unwrap_or_default();
        let diff = &section.diff;
        let mode = |bits: u32| match EntryMode::from_bits(bits) {
            mode @ (EntryMode::Executable | EntryMode::Symlink) => mode,
            _ => EntryMode::Regular,
        };
        let base = self.bases.find(&self.scratch, section)?.into_iter().next();
        let (source, before, patched) = match base {
            Some(base) => {
                let source = match base.kind {
                    MergeBase::IndexLine => VersionSource::IndexLine,
                    MergeBase::LastApplied => VersionSource::LastApplied,
                };
                (source, base.contents, base.patched)
            }
            None if diff.is_binary => (VersionSource::Unknown, Vec::new(), Vec::new()),
            None => {
                let (before, patched) = self.reconstructed(section, report.files.first());
                (VersionSource::Reconstructed, before, patched)
            }
        };
        let old_mode = mode(if diff.old_mode == 0 {
            diff.new_mode
        } else {
            diff.old_mode
        });
        let new_mode = mode(if diff.new_mode == 0 {
            diff.old_mode
        } else {
            diff.new_mode
        });
        let is_known = source != VersionSource::Unknown;
        let version = |mode, contents| is_known.then_some(FileVersion { mode, contents });
        let mut set = |path: &Vec<u8>, base: Option<FileVersion>, theirs: Option<FileVersion>| {
            if let Some(file) = self.files.get_mut(path) {
                file.source = source;
                file.error.get_or_insert_with(|| error.clone());
                if is_known {
                    (file.base, file.theirs) = (base, theirs);
                }
            }
        };
        match (&diff.old_path, &diff.new_path) {
            (Some(old), Some(new)) if old == new => {
                set(old, version(old_mode, before), version(new_mode, patched));
            }
            (Some(old), Some(new)) => {
                set(old, version(old_mode, before), None);
                set(new, None, version(new_mode, patched));
            }
            (Some(old), None) => set(old, version(old_mode, before), None),
            (None, Some(new)) => set(new, None, version(new_mode, patched)),
            (None, None) => {}
        }
        Ok(())
    }

    /// Applies the diff to the versions that the diffs before it in the patch left.
    fn apply_diff(&self, section: &Section<'_>) -> Result<DiffOutcome, Stop> {
        let mut store = MemoryStore::new();
        let there = self.files.values().filter_map(|file| {
            let version = file.theirs.as_ref()?;
            Some((file.path.as_slice(), version.mode, version.contents.as_slice()))
        });
        let tree = store
            .add_files(there)
            .map_err(|error| Stop::Exceeded(error.to_string()))?;
        let mut options = self.engine.clone();
        options.reverse = false;
        options.limits.effort = self.bases.work.left_for_applying();
        options.results = Results::Needed;
        let patch = [PatchInput::new("", section.text())];
        let series = apply(&store, tree, &patch, Sequence::Stacked, &options)
            .map_err(|error| Stop::Exceeded(error.to_string()))?;
        self.bases.work.note_applying(series.effort());
        let report = series
            .patches()
            .first()
            .cloned()
            .ok_or_else(|| Stop::Exceeded("it was not applied".to_owned()))?;
        if !report.applies() {
            return Ok(DiffOutcome::Refused(report));
        }
        let tree = series.write(&mut store)?;
        let files = store.list_files(tree)?;
        let mut after = BTreeMap::new();
        for path in section.paths() {
            let version = match files.get(path) {
                Some((mode, id)) => Some(FileVersion {
                    mode: *mode,
                    contents: store.blob(*id)?.to_vec(),
                }),
                None => None,
            };
            after.insert(path.to_vec(), version);
        }
        Ok(DiffOutcome::Applied(after))
    }

    /// The file for which a diff was made and the file after it, as far as the hunks say.
    fn reconstructed(&self, section: &Section<'_>, report: Option<&FileReport>) -> (Vec<u8>, Vec<u8>) {
        let hunks = section.hunks();
        let ours = section
            .diff
            .old_path
            .as_ref()
            .and_then(|path| self.files.get(path)?.theirs.as_ref())
            .map(|version| version.contents.as_slice())
            .filter(|contents| !is_binary(contents));
        let Some(ours) = ours else {
            let side = |removed| {
                let parts = hunks.iter().map(|hunk| side_of(hunk, removed));
                parts.collect::<Vec<_>>().concat()
            };
            return (side(LineKind::Removed), side(LineKind::Added));
        };
        let file = lines(ours);
        let reports = report.map_or(&[][..], |report| &report.hunks);
        let mut places: Vec<(Range<usize>, &FuzzyHunk<'_>)> = Vec::new();
        // How many lines the hunks that fit have added, less those removed.
        let mut grown = 0_i64;
        for (at, hunk) in hunks.iter().enumerate() {
            let place = match reports.get(at).map(|report| &report.outcome) {
                Some(HunkOutcome::Placed { line, .. }) => {
                    let start = in_file(*line, grown, file.len());
                    let (old, new) = (count(hunk, LineKind::Removed), count(hunk, LineKind::Added));
                    grown += i64::try_from(new).unwrap_or(0) - i64::try_from(old).unwrap_or(0);
                    start..(start + old).min(file.len())
                }
                Some(HunkOutcome::Rejected(rejection)) => {
                    if let Some(nearest) = &rejection.nearest {
                        let start = in_file(nearest.line, grown, file.len());
                        self.resembling(&file, start, hunk)
                    } else {
                        let start = in_file(rejection.line, grown, file.len());
                        start..start
                    }
                }
                None => {
                    let start = usize::try_from(hunk.old_start).unwrap_or(1);
                    let start = in_file(start, grown, file.len());
                    start..start
                }
            };
            places.push((place, hunk));
        }
        places.sort_by_key(|(place, _)| (place.start, place.end));
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let mut done = 0;
        for (place, hunk) in places {
            let start = place.start.max(done);
            let kept = file.get(done..start).unwrap_or_default().concat();
            before.extend_from_slice(&kept);
            after.extend_from_slice(&kept);
            before.extend(side_of(hunk, LineKind::Removed));
            after.extend(side_of(hunk, LineKind::Added));
            done = place.end.max(start);
        }
        let rest = file.get(done..).unwrap_or_default().concat();
        before.extend_from_slice(&rest);
        after.extend_from_slice(&rest);
        (before, after)
    }

    /// The lines of a file that are in place of a hunk's preimage, near a place that resembles it:
    /// from the first line that both have to the last.
    fn resembling(&self, file: &[&[u8]], near: usize, hunk: &FuzzyHunk<'_>) -> Range<usize> {
        let expected = side_of(hunk, LineKind::Removed);
        let length = count(hunk, LineKind::Removed);
        let window = near.saturating_sub(NEIGHBOURS)..(near + length + NEIGHBOURS).min(file.len());
        let whole = near..(near + length).min(file.len());
        let shown = file.get(window.clone()).unwrap_or_default().concat();
        let Ok(found) = changes(&expected, &shown, Sliders::Down, self.bases.work) else {
            return whole;
        };
        let (mut start, mut end) = (window.start, window.end);
        if let Some(first) = found.first().filter(|change| change.before.start == 0) {
            start = window.start + first.after.end.saturating_sub(first.before.len());
        }
        if let Some(last) = found.last().filter(|change| change.before.end == length) {
            let kept = last.before.len().min(last.after.len());
            end = window.start + last.after.start + kept;
        }
        if start <= end { start..end } else { whole }
    }
}

/// A line of the file with hunks in it, from 1, as one of the file without them, from 0.
fn in_file(line: usize, grown: i64, most: usize) -> usize {
    let line = i64::try_from(line).unwrap_or(i64::MAX).saturating_sub(1);
    usize::try_from(line.saturating_sub(grown)).unwrap_or(0).min(most)
}

fn is_on(kind: LineKind, side: LineKind) -> bool {
    kind == LineKind::Context || kind == side
}

/// A hunk's lines before it is applied (`Removed`) or after (`Added`).
fn side_of(hunk: &FuzzyHunk<'_>, side: LineKind) -> Vec<u8> {
    let lines = hunk.lines.iter().filter(|(kind, _)| is_on(*kind, side));
    lines.flat_map(|(_, line)| line.iter().copied()).collect()
}

fn count(hunk: &FuzzyHunk<'_>, side: LineKind) -> usize {
    hunk.lines.iter().filter(|(kind, _)| is_on(*kind, side)).count()
}
