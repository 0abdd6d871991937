//! Applies one patch to a tree, by the rules of `check_patch` and `write_out_results` in Git's
//! apply.c for `git apply --cached`.

use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;

use super::budget::{Budget, Exceeded, bytes};
use super::folder::Leaf;
use super::lines::Lines;
use super::made::MadeFile;
use super::nearest;
use super::object::{EntryMode, ObjectError, Oid};
use super::overlay::{Cache, Overlay, Undo};
use super::parse::{BinaryHunk, Content, Direction, FilePatch, Hunk, Side, Tri, apply_delta, result_size};
use super::patched_file::PatchedFile;
use super::path;
use super::place;
use super::report::{FileReport, HunkOutcome, HunkReport};

/// The bits of a mode that say what kind of entry it is.
const KIND: u32 = 0o170_000;
const SYMLINK: u32 = 0o120_000;
const REGULAR: u32 = 0o100_644;

/// The result of applying a patch to a tree.
pub(super) struct Attempt {
    /// The files, in the patch's order.
    pub(super) files: Vec<FileReport>,
    /// Why it does not apply.
    pub(super) problem: Option<Problem>,
}

/// Why a patch, or the diff of one of its files, does not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) kind: ProblemKind,
    pub(super) message: String,
}

/// What kind of problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProblemKind {
    /// The tree is not what the patch expects.
    Conflict,
    /// The patch asks for what no tree can give.
    Refused,
    /// It would take more memory or work than is allowed.
    TooLarge,
}

/// What a patch is applied for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The tree after it, and a report on everything that does not fit.
    Report,
    /// The tree after it, and where its hunks went. Stops at the first fault.
    Place,
    /// The tree after it. Stops at the first fault.
    Apply,
    /// Whether it would apply. Leaves the overlay unchanged, and stops at the first fault.
    Try,
}

enum Failed {
    Store(ObjectError),
    Problem(Problem),
}

impl Purpose {
    /// Whether hunks are reported.
    fn tells_hunks(self) -> bool {
        matches!(self, Self::Report | Self::Place)
    }
}

impl From<ObjectError> for Failed {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::TooLarge { .. } => too_large(error.to_string()),
            error => Self::Store(error),
        }
    }
}

fn too_large(message: String) -> Failed {
    Failed::Problem(Problem {
        kind: ProblemKind::TooLarge,
        message,
    })
}

/// Turns an exceeded limit into a failure that names the file.
fn exceeded(patch: &FilePatch<'_>) -> impl Fn(Exceeded) -> Failed {
    let name = patch.name();
    move |exceeded| too_large(format!("{}: {exceeded}", lossy(name)))
}

fn conflict<T>(message: impl Into<String>) -> Result<T, Failed> {
    Err(Failed::Problem(Problem {
        kind: ProblemKind::Conflict,
        message: message.into(),
    }))
}

fn refused<T>(message: impl Into<String>) -> Result<T, Failed> {
    Err(Failed::Problem(Problem {
        kind: ProblemKind::Refused,
        message: message.into(),
    }))
}

/// What earlier diffs of the same patch did to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// A diff that is still to come deletes or renames it.
    WillGo,
    /// A diff deleted or renamed it.
    Gone,
    /// The diff with this number left it.
    Left(usize),
}

/// A file's contents before its diff is applied.
#[derive(Default)]
struct Preceding {
    contents: Bytes,
    /// The blob with these contents, unless a diff of the same patch made them.
    blob: Option<Oid>,
}

/// What the patch does to a symbolic link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LinkChange {
    goes_away: bool,
    in_result: bool,
}

/// The check of one patch against a tree.
struct Check<'c, 'o, 'p> {
    cache: &'c Cache<'o>,
    overlay: &'c Overlay,
    budget: &'c Budget,
    direction: Direction,
    purpose: Purpose,
    patches: Vec<FilePatch<'p>>,
    seen: HashMap<Vec<u8>, Seen>,
    links: HashMap<Vec<u8>, LinkChange>,
    /// What each diff left; `None` if a later diff changed that further.
    results: Vec<Option<MadeFile>>,
}

/// Applies a patch to the overlay, or leaves the overlay unchanged and says why.
pub(super) fn apply(
    cache: &Cache<'_>,
    overlay: &mut Overlay,
    patches: Vec<FilePatch<'_>>,
    direction: Direction,
    purpose: Purpose,
) -> Result<Attempt, ObjectError> {
    let mut check = Check::new(cache, overlay, patches, direction, purpose);
    let mut files = Vec::with_capacity(check.patches.len());
    let mut problem: Option<Problem> = None;
    for number in 0..check.patches.len() {
        let mut hunks = Vec::new();
        let failure = match check.check_patch(number, &mut hunks) {
            Ok(()) => None,
            Err(Failed::Problem(problem)) => Some(problem),
            Err(Failed::Store(error)) => return Err(error),
        };
        if let Some(patch) = check.patches.get(number)
            && purpose.tells_hunks()
        {
            files.push(file_report(patch, failure.as_ref(), hunks));
        }
        check.results.resize(number + 1, None);
        let is_last = failure
            .as_ref()
            .is_some_and(|failure| failure.kind == ProblemKind::TooLarge || purpose != Purpose::Report);
        problem = problem.or(failure);
        if is_last {
            break;
        }
    }
    let (patches, results) = (check.patches, check.results);
    if problem.is_none() {
        problem = match write(cache, overlay, &patches, results, purpose)? {
            Ok(steps) if purpose == Purpose::Try => {
                overlay.take_back(cache, steps)?;
                None
            }
            Ok(steps) => {
                overlay.settle(cache, steps);
                None
            }
            Err(problem) => Some(problem),
        };
    }
    Ok(Attempt { files, problem })
}

/// The report on a file of a patch for which only the files are reported.
pub(super) fn touched_file(patch: &FilePatch<'_>) -> FileReport {
    file_report(patch, None, Vec::new())
}

fn file_report(patch: &FilePatch<'_>, failure: Option<&Problem>, hunks: Vec<HunkReport>) -> FileReport {
    let text = |name: &Option<Vec<u8>>| name.as_deref().map(lossy);
    let (old, new) = (text(&patch.old_name), text(&patch.new_name));
    let change = patch.change();
    let shown = new.or_else(|| old.clone()).unwrap_or_default();
    FileReport {
        old_path: old.filter(|old| *old != shown),
        path: shown,
        change,
        error: failure.map(|problem| problem.message.clone()),
        hunks,
    }
}

impl<'c, 'o, 'p> Check<'c, 'o, 'p> {
    fn new(
        cache: &'c Cache<'o>,
        overlay: &'c Overlay,
        patches: Vec<FilePatch<'p>>,
        direction: Direction,
        purpose: Purpose,
    ) -> Self {
        let mut seen = HashMap::new();
        let mut links: HashMap<Vec<u8>, LinkChange> = HashMap::new();
        for patch in &patches {
            if let Some(old) = &patch.old_name {
                if patch.new_name.is_none() || patch.is_rename {
                    seen.insert(old.clone(), Seen::WillGo);
                }
                if patch.old_mode & KIND == SYMLINK && (patch.is_rename || patch.is_delete == Tri::Yes) {
                    links.entry(old.clone()).or_default().goes_away = true;
                }
            }
            if let Some(new) = &patch.new_name
                && patch.new_mode & KIND == SYMLINK
            {
                links.entry(new.clone()).or_default().in_result = true;
            }
        }
        Self {
            cache,
            overlay,
            budget: cache.budget(),
            direction,
            purpose,
            patches,
            seen,
            links,
            results: Vec::new(),
        }
    }

    /// `check_patch`.
    fn check_patch(&mut self, number: usize, hunks: &mut Vec<HunkReport>) -> Result<(), Failed> {
        let Some(mut patch) = self.patches.get(number).cloned() else {
            return Ok(());
        };
        let result = self.make_file(&mut patch, hunks);
        let made = match result {
            Ok(made) => made,
            Err(failed) => {
                if let Some(slot) = self.patches.get_mut(number) {
                    *slot = patch;
                }
                return Err(failed);
            }
        };
        self.release_previous(&patch);
        if let Some(new) = &patch.new_name {
            self.seen.insert(new.clone(), Seen::Left(number));
        }
        if let Some(old) = patch
            .old_name
            .as_ref()
            .filter(|_| patch.new_name.is_none() || patch.is_rename)
        {
            self.seen.insert(old.clone(), Seen::Gone);
        }
        let verdict = if patch.is_delete == Tri::Yes && !made.contents.is_empty() {
            conflict(format!(
                "{}: the patch deletes the file, but would leave contents in it",
                lossy(patch.name())
            ))
        } else {
            Ok(())
        };
        if let Some(slot) = self.patches.get_mut(number) {
            *slot = patch;
        }
        self.results.push(Some(made));
        verdict
    }

    fn make_file(&self, patch: &mut FilePatch<'p>, hunks: &mut Vec<HunkReport>) -> Result<MadeFile, Failed> {
        let leaf = self.check_preimage(patch)?;
        let replaces = patch
            .new_name
            .as_ref()
            .and_then(|new| self.seen.get(new))
            .is_some_and(|seen| matches!(seen, Seen::WillGo | Seen::Gone));
        if let Some(new) = &patch.new_name
            && (patch.is_new == Tri::Yes || patch.is_rename || patch.is_copy)
        {
            if !replaces && self.overlay.leaf(self.cache, new)?.is_some() {
                return conflict(format!(
                    "{}: already exists{}",
                    lossy(new),
                    patch.epoch_note().unwrap_or_default()
                ));
            }
            if patch.new_mode == 0 {
                patch.new_mode = if patch.is_new == Tri::Yes {
                    REGULAR
                } else {
                    patch.old_mode
                };
            }
        }
        if let (Some(old), Some(_)) = (&patch.old_name, &patch.new_name) {
            if patch.new_mode == 0 {
                patch.new_mode = patch.old_mode;
            }
            if (patch.old_mode ^ patch.new_mode) & KIND != 0 {
                return conflict(format!(
                    "{}: the new mode {:o} is of a different kind from the old mode {:o}",
                    lossy(old),
                    patch.new_mode,
                    patch.old_mode
                ));
            }
        }
        check_paths(patch)?;
        if patch.is_delete == Tri::No
            && let Some(new) = &patch.new_name
            && self.is_beyond_symlink(new)?
        {
            return refused(format!("{}: the path leads through a symbolic link", lossy(new)));
        }
        self.apply_data(patch, leaf, hunks)
    }

    /// What an earlier diff of this patch left under the old name (`previous_patch`).
    fn previous(&self, patch: &FilePatch<'_>) -> Result<Option<usize>, Failed> {
        if patch.is_copy || patch.is_rename {
            return Ok(None);
        }
        match patch.old_name.as_ref().and_then(|old| self.seen.get(old)) {
            None | Some(Seen::WillGo) => Ok(None),
            Some(Seen::Left(number)) => Ok(Some(*number)),
            Some(Seen::Gone) => conflict(format!(
                "{}: an earlier part of the patch renamed or deleted it",
                lossy(patch.name())
            )),
        }
    }

    /// Drops what an earlier diff left under the name if this one replaces it: it is never written.
    fn release_previous(&mut self, patch: &FilePatch<'_>) {
        let stays = patch.new_name == patch.old_name && patch.is_delete != Tri::Yes;
        let Ok(Some(previous)) = self.previous(patch) else {
            return;
        };
        let is_file = |patch: &FilePatch<'_>| EntryMode::from_bits(patch.new_mode) != EntryMode::Gitlink;
        if stays
            && self.patches.get(previous).is_some_and(is_file)
            && let Some(made) = self.results.get_mut(previous).and_then(Option::take)
        {
            self.budget.release(made.held_bytes());
        }
    }

    /// `check_preimage`: finds the old file, and fills in what the header does not say.
    fn check_preimage(&self, patch: &mut FilePatch<'p>) -> Result<Option<Leaf>, Failed> {
        let Some(old) = patch.old_name.clone() else {
            return Ok(None);
        };
        let (mode, leaf) = if let Some(previous) = self.previous(patch)? {
            (
                self.patches.get(previous).map_or(0, |previous| previous.new_mode),
                None,
            )
        } else {
            match self.overlay.leaf(self.cache, &old)? {
                Some(leaf) => (leaf.mode.bits(), Some(leaf)),
                None if patch.is_new == Tri::Unknown => {
                    patch.is_new = Tri::Yes;
                    patch.is_delete = Tri::No;
                    patch.old_name = None;
                    return Ok(None);
                }
                None => {
                    let why = self.why_missing(patch, &old).unwrap_or_default();
                    return conflict(format!("{}: does not exist{why}", lossy(&old)));
                }
            }
        };
        if patch.is_new == Tri::Unknown {
            patch.is_new = Tri::No;
        }
        if patch.old_mode == 0 {
            patch.old_mode = mode;
        }
        if (mode ^ patch.old_mode) & KIND != 0 {
            return conflict(format!(
                "{}: is {}, not {}",
                lossy(&old),
                kind(mode),
                kind(patch.old_mode)
            ));
        }
        if patch.new_mode == 0 && patch.is_delete == Tri::No {
            patch.new_mode = mode;
        }
        Ok(leaf)
    }

    /// Why a file does not exist, as far as the tree shows it.
    fn why_missing(&self, patch: &FilePatch<'_>, name: &[u8]) -> Option<String> {
        if self.purpose != Purpose::Report {
            return None;
        }
        let leaf = |name: &[u8]| self.overlay.leaf(self.cache, name).ok().flatten();
        let first = self.overlay.first_leaf(self.cache, name).ok().flatten();
        if let Some((depth, _)) = first.filter(|(_, leaf)| leaf.mode == EntryMode::Gitlink) {
            let above: Vec<&[u8]> = name.split(|byte| *byte == b'/').take(depth).collect();
            return Some(format!(
                ": {} is a submodule, whose files are in a repository of its own: patch that one",
                lossy(&above.join(&b'/'))
            ));
        }
        let mut others = patch.names_by_strip().into_iter();
        let (strip, there) = others.find(|(_, other)| other != name && leaf(other).is_some())?;
        Some(format!(
            "; with -p{strip} it is {}, which does: set strip to {strip}",
            lossy(&there)
        ))
    }

    /// `path_is_beyond_symlink`.
    fn is_beyond_symlink(&self, path: &[u8]) -> Result<bool, Failed> {
        // There is nothing below a file, so at most one folder of the path is a link in the tree.
        let link = self
            .overlay
            .first_leaf(self.cache, path)?
            .filter(|(_, leaf)| leaf.mode == EntryMode::Symlink);
        let folders = path.iter().enumerate().filter(|(_, b)| **b == b'/');
        let folders: Vec<&[u8]> = folders
            .filter_map(|(place, _)| path.get(..place).filter(|above| !above.is_empty()))
            .collect();
        let links = |above: &[u8]| {
            if self.links.is_empty() {
                return LinkChange::default();
            }
            self.budget.count(bytes(above.len()));
            self.links.get(above).copied().unwrap_or_default()
        };
        for above in folders.into_iter().rev() {
            let change = links(above);
            if change.in_result {
                return Ok(true);
            }
            if !change.goes_away && link.is_some_and(|(depth, _)| depth == path::depth(above)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `apply_data`: the file after the patch.
    fn apply_data(
        &self,
        patch: &FilePatch<'p>,
        leaf: Option<Leaf>,
        reports: &mut Vec<HunkReport>,
    ) -> Result<MadeFile, Failed> {
        let before = match (self.previous(patch)?, leaf) {
            (Some(previous), _) => Preceding {
                contents: self.left_by(previous),
                blob: None,
            },
            (None, Some(leaf)) => Preceding {
                contents: self.read(patch, leaf)?,
                blob: (leaf.mode != EntryMode::Gitlink).then_some(leaf.id),
            },
            (None, None) => Preceding::default(),
        };
        match &*patch.content {
            Content::Text(hunks) if hunks.is_empty() => Ok(before.contents.into()),
            Content::Text(hunks) => self.apply_hunks(patch, before, hunks, reports),
            Content::Binary(forward, backward) => self
                .apply_binary(patch, &before.contents, forward.as_ref(), backward.as_ref())
                .map(MadeFile::from),
        }
    }

    /// The contents that an earlier diff of this patch left.
    fn left_by(&self, number: usize) -> Bytes {
        let made = self.results.get(number).and_then(Option::as_ref);
        made.map(|made| made.contents.clone()).unwrap_or_default()
    }

    fn apply_hunks(
        &self,
        patch: &FilePatch<'p>,
        before: Preceding,
        hunks: &[Hunk<'p>],
        reports: &mut Vec<HunkReport>,
    ) -> Result<MadeFile, Failed> {
        let exceeded = exceeded(patch);
        let lines = match before.blob.and_then(|id| self.cache.kept_lines(id)) {
            Some(known) => known,
            None => Rc::new(Lines::new(before.contents, self.budget).map_err(&exceeded)?),
        };
        let mut image = PatchedFile::new(Rc::clone(&lines), self.budget).map_err(&exceeded)?;
        for (at, hunk) in hunks.iter().enumerate() {
            let outcome = match place::place(&mut image, hunk, self.direction).map_err(&exceeded)? {
                Ok(placed) => placed,
                Err(old) => {
                    // Further attempts look at the same lines.
                    if let Some(id) = before.blob {
                        self.cache.keep_lines(id, &lines);
                    }
                    if self.purpose != Purpose::Report {
                        return conflict("a hunk does not fit");
                    }
                    HunkOutcome::Rejected(Box::new(nearest::rejection(&image, hunk, &old)))
                }
            };
            if self.purpose.tells_hunks() {
                self.budget.hold_all::<HunkReport>(1).map_err(&exceeded)?;
                reports.push(HunkReport {
                    number: at + 1,
                    patch_line: hunk.line,
                    old_start: hunk.start(Side::Old, self.direction),
                    outcome,
                });
            }
        }
        let mut rejected = reports.iter().filter_map(|report| match &report.outcome {
            HunkOutcome::Rejected(rejection) => Some((report, rejection)),
            HunkOutcome::Placed { .. } => None,
        });
        let Some((first, rejection)) = rejected.next() else {
            return self.placed_file(patch, before.blob, &image);
        };
        let count = 1 + rejected.count();
        let ends = rejection.line_ends().or_else(|| rejection.white_space());
        conflict(format!(
            "{}: {count} of {} hunks do not fit, the first is hunk {} (line {} of the patch){}",
            lossy(patch.name()),
            hunks.len(),
            first.number,
            first.patch_line,
            ends.map(|ends| format!("; {ends}")).unwrap_or_default()
        ))
    }

    /// A file whose hunks are in place.
    fn placed_file(
        &self,
        patch: &FilePatch<'_>,
        base: Option<Oid>,
        image: &PatchedFile<'_>,
    ) -> Result<MadeFile, Failed> {
        let changes = image.changes();
        let size = bytes(changes.size());
        self.check_size(patch, size)?;
        let exceeded = exceeded(patch);
        self.budget.spend(size).map_err(&exceeded)?;
        let base = base.filter(|_| changes.are_small());
        let kept = base.map_or(0, |_| changes.held_bytes());
        self.budget.hold(size.saturating_add(kept)).map_err(&exceeded)?;
        Ok(MadeFile {
            contents: image.contents(&changes),
            changes: base.map(|base| (base, changes)),
        })
    }

    fn read(&self, patch: &FilePatch<'_>, leaf: Leaf) -> Result<Bytes, Failed> {
        if leaf.mode == EntryMode::Gitlink {
            return Ok(format!("Subproject commit {}\n", leaf.id).into());
        }
        self.read_blob(patch, leaf.id)
    }

    /// Reads a blob if its size is allowed.
    fn read_blob(&self, patch: &FilePatch<'_>, id: Oid) -> Result<Bytes, Failed> {
        let known = self.overlay.known_blob(self.cache, id);
        let size = match &known {
            Some(known) => bytes(known.len()),
            None => self.overlay.blob_size(self.cache, id)?,
        };
        self.check_size(patch, size)?;
        let exceeded = exceeded(patch);
        self.budget.spend(size).map_err(&exceeded)?;
        if let Some(known) = known {
            return Ok(known);
        }
        let held = self.overlay.held_by_reading(self.cache, id, size);
        self.budget.hold(held).map_err(&exceeded)?;
        let blob = self.overlay.blob(self.cache, id)?;
        self.budget.release(held.saturating_sub(size));
        Ok(blob)
    }

    fn check_size(&self, patch: &FilePatch<'_>, size: u64) -> Result<(), Failed> {
        let limit = self.budget.limits().file_bytes;
        if size <= limit {
            return Ok(());
        }
        Err(too_large(format!(
            "{}: has {size} bytes, more than the {limit} that are allowed",
            lossy(patch.name())
        )))
    }

    /// `apply_binary`.
    fn apply_binary(
        &self,
        patch: &FilePatch<'_>,
        before: &Bytes,
        forward: Option<&BinaryHunk>,
        backward: Option<&BinaryHunk>,
    ) -> Result<Bytes, Failed> {
        let name = lossy(patch.name());
        let hunk = match self.direction {
            Direction::Forward => forward,
            Direction::Reverse => backward,
        };
        let (Some(old), Some(new)) = (Oid::from_hex(patch.old_id), Oid::from_hex(patch.new_id)) else {
            return conflict(format!(
                "{name}: a binary change needs an index line with full object ids"
            ));
        };
        if patch.old_name.is_some() {
            let id = self.id_of(patch, before)?;
            if id != old {
                return conflict(format!(
                    "{name}: the binary change is for {old}, and the file is {id}"
                ));
            }
        } else if !before.is_empty() {
            return conflict(format!("{name}: the binary change is for an empty file"));
        }
        if new.is_null() {
            return Ok(Bytes::new());
        }
        match self.read_blob(patch, new) {
            Ok(known) => return Ok(known),
            Err(Failed::Store(ObjectError::NotFound(_))) => {}
            Err(Failed::Store(ObjectError::WrongKind(id))) => {
                return conflict(format!("{name}: {id} should be a file, but is not a blob"));
            }
            Err(error) => return Err(error),
        }
        let after = match hunk {
            Some(BinaryHunk::Literal(contents)) => contents.clone(),
            Some(BinaryHunk::Delta(delta)) => self.apply_delta(patch, before, delta)?,
            None if forward.is_some() => {
                return conflict(format!("{name}: the binary change has no hunk that reverses it"));
            }
            None => {
                return conflict(format!(
                    "{name}: the patch only says that binary files differ; make it with git diff --binary"
                ));
            }
        };
        let id = self.id_of(patch, &after)?;
        if id != new {
            return conflict(format!(
                "{name}: the binary change gives {id}, not {new} as it says"
            ));
        }
        Ok(after)
    }

    fn apply_delta(&self, patch: &FilePatch<'_>, before: &[u8], delta: &[u8]) -> Result<Bytes, Failed> {
        let does_not_fit = || conflict(format!("{}: the binary delta does not fit", lossy(patch.name())));
        let Some(size) = result_size(before, delta) else {
            return does_not_fit();
        };
        self.check_size(patch, size)?;
        let exceeded = exceeded(patch);
        self.budget.spend(size).map_err(&exceeded)?;
        self.budget.hold(size).map_err(&exceeded)?;
        match apply_delta(before, delta) {
            Some(contents) => Ok(contents.into()),
            None => does_not_fit(),
        }
    }

    fn id_of(&self, patch: &FilePatch<'_>, contents: &[u8]) -> Result<Oid, Failed> {
        self.budget
            .spend(bytes(contents.len()))
            .map_err(exceeded(patch))?;
        Ok(Oid::of_blob(contents))
    }
}

/// `check_unsafe_path`.
fn check_paths(patch: &FilePatch<'_>) -> Result<(), Failed> {
    let deletes = patch.is_delete != Tri::No;
    let creates = patch.is_new != Tri::No;
    let old = patch
        .old_name
        .as_ref()
        .filter(|_| deletes || !(creates || patch.is_copy));
    let new = patch.new_name.as_ref().filter(|_| !deletes);
    for (name, mode) in [(old, patch.old_mode), (new, patch.new_mode)] {
        if let Some(name) = name.filter(|name| !path::is_safe(name, EntryMode::from_bits(mode))) {
            return refused(format!(
                "the path {:?} is not allowed: it leaves the tree or touches .git",
                lossy(name)
            ));
        }
    }
    Ok(())
}

/// `write_out_results`: all removals, then all additions. Returns the steps for undoing it.
fn write(
    cache: &Cache<'_>,
    overlay: &mut Overlay,
    patches: &[FilePatch<'_>],
    results: Vec<Option<MadeFile>>,
    purpose: Purpose,
) -> Result<Result<Vec<Undo>, Problem>, ObjectError> {
    for name in patches
        .iter()
        .flat_map(|patch| [&patch.old_name, &patch.new_name])
    {
        match name.as_ref().map_or(Ok(()), |name| overlay.open(cache, name)) {
            Ok(()) => {}
            Err(error @ ObjectError::TooLarge { .. }) => {
                return Ok(Err(Problem {
                    kind: ProblemKind::TooLarge,
                    message: error.to_string(),
                }));
            }
            Err(error) => return Err(error),
        }
    }
    let mut undo: Vec<Undo> = Vec::new();
    for patch in patches {
        let stays = patch.is_delete != Tri::Yes && (patch.is_new == Tri::Yes || patch.is_copy);
        if let Some(old) = patch.old_name.as_ref().filter(|_| !stays) {
            undo.push(overlay.remove(cache, old)?);
        }
    }
    for (patch, made) in patches.iter().zip(results) {
        let (Some(new), Some(made)) = (
            patch.new_name.as_ref().filter(|_| patch.is_delete != Tri::Yes),
            made,
        ) else {
            continue;
        };
        let written = match mode_and_commit(patch, &made.contents) {
            // This is undone, so it need not be hashed.
            Ok((mode, None)) if purpose == Purpose::Try => {
                let id = Oid::from_bytes([0; 20]);
                overlay.put(cache, new, Leaf { mode, id })?
            }
            Ok((mode, None)) => overlay.put_made(cache, new, mode, made)?,
            Ok((mode, Some(id))) => overlay.put(cache, new, Leaf { mode, id })?,
            Err(message) => {
                overlay.take_back(cache, undo)?;
                return Ok(Err(Problem {
                    kind: ProblemKind::Conflict,
                    message,
                }));
            }
        };
        let Some(step) = written else {
            overlay.take_back(cache, undo)?;
            return Ok(Err(Problem {
                kind: ProblemKind::Conflict,
                message: format!(
                    "{}: a file is where a folder should be, or a folder where the file should be",
                    lossy(new)
                ),
            }));
        };
        undo.push(step);
    }
    Ok(Ok(undo))
}

/// `add_index_file`: the mode of what is written, and the commit if it is a submodule.
fn mode_and_commit(patch: &FilePatch<'_>, contents: &[u8]) -> Result<(EntryMode, Option<Oid>), String> {
    let mode = match EntryMode::from_bits(if patch.new_mode == 0 {
        REGULAR
    } else {
        patch.new_mode
    }) {
        EntryMode::Tree => EntryMode::Gitlink,
        mode => mode,
    };
    if mode != EntryMode::Gitlink {
        return Ok((mode, None));
    }
    let id = contents
        .strip_prefix(b"Subproject commit ")
        .and_then(|rest| rest.get(..40))
        .and_then(Oid::from_hex);
    id.map(|id| (mode, Some(id)))
        .ok_or_else(|| format!("{}: no commit is given for the submodule", lossy(patch.name())))
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn kind(mode: u32) -> &'static str {
    match mode & KIND {
        0o120_000 => "a symbolic link",
        0o160_000 => "a submodule",
        0o040_000 => "a folder",
        _ => "a file",
    }
}
