//! Applies one patch to a tree, by the rules of `check_patch` and `write_out_results` in Git's apply.c for
//! `git apply --cached`.

use std::collections::HashMap;

use bytes::Bytes;

use super::object::{EntryMode, ObjectError, Oid};
use super::options::Limits;
use super::overlay::{Cache, Leaf, Overlay, Undo};
use super::parse::{BinaryHunk, Content, FilePatch, Tri, apply_delta};
use super::path;
use super::place::Image;
use super::report::{Change, Fate, FileReport, HunkReport};

/// The bits of a mode that say what kind of entry it is.
const KIND: u32 = 0o170_000;
const SYMLINK: u32 = 0o120_000;
const REGULAR: u32 = 0o100_644;

/// How a patch ended on a tree.
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
}

enum Failed {
    Store(ObjectError),
    Problem(Problem),
}

impl From<ObjectError> for Failed {
    fn from(error: ObjectError) -> Self {
        Self::Store(error)
    }
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
    limits: &'c Limits,
    reverse: bool,
    patches: Vec<FilePatch<'p>>,
    seen: HashMap<Vec<u8>, Seen>,
    links: HashMap<Vec<u8>, LinkChange>,
    results: Vec<Bytes>,
}

/// Applies a patch to the overlay, or leaves the overlay as it is and tells why.
pub(super) fn apply(
    cache: &Cache<'_>,
    overlay: &mut Overlay,
    patches: Vec<FilePatch<'_>>,
    limits: &Limits,
    reverse: bool,
) -> Result<Attempt, ObjectError> {
    let mut check = Check::new(cache, overlay, limits, reverse, patches);
    let mut files = Vec::with_capacity(check.patches.len());
    let mut problem: Option<Problem> = None;
    for number in 0..check.patches.len() {
        let mut hunks = Vec::new();
        let failure = match check.one(number, &mut hunks) {
            Ok(()) => None,
            Err(Failed::Problem(problem)) => Some(problem),
            Err(Failed::Store(error)) => return Err(error),
        };
        if let Some(patch) = check.patches.get(number) {
            files.push(file_report(patch, failure.as_ref(), hunks));
        }
        check.results.resize(number + 1, Bytes::new());
        problem = problem.or(failure);
    }
    let (patches, results) = (check.patches, check.results);
    if problem.is_none() {
        problem = write(cache, overlay, &patches, results)?;
    }
    Ok(Attempt { files, problem })
}

fn file_report(patch: &FilePatch<'_>, failure: Option<&Problem>, hunks: Vec<HunkReport>) -> FileReport {
    let text = |name: &Option<Vec<u8>>| name.as_deref().map(lossy);
    let (old, new) = (text(&patch.old_name), text(&patch.new_name));
    let change = match patch {
        _ if patch.is_new == Tri::Yes => Change::Create,
        _ if patch.is_delete == Tri::Yes => Change::Delete,
        _ if patch.is_copy => Change::Copy,
        _ if patch.is_rename => Change::Rename,
        _ => Change::Modify,
    };
    let shown = match change {
        Change::Delete => old.clone().or(new),
        _ => new.or_else(|| old.clone()),
    };
    let shown = shown.unwrap_or_default();
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
        limits: &'c Limits,
        reverse: bool,
        patches: Vec<FilePatch<'p>>,
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
            limits,
            reverse,
            patches,
            seen,
            links,
            results: Vec::new(),
        }
    }

    /// `check_patch`.
    fn one(&mut self, number: usize, hunks: &mut Vec<HunkReport>) -> Result<(), Failed> {
        let Some(mut patch) = self.patches.get(number).cloned() else {
            return Ok(());
        };
        let result = self.one_of(&mut patch, hunks);
        let contents = match result {
            Ok(contents) => contents,
            Err(failed) => {
                if let Some(slot) = self.patches.get_mut(number) {
                    *slot = patch;
                }
                return Err(failed);
            }
        };
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
        let leaves_contents = patch.is_delete == Tri::Yes && !contents.is_empty();
        let name = lossy(patch.name());
        if let Some(slot) = self.patches.get_mut(number) {
            *slot = patch;
        }
        self.results.push(contents);
        if leaves_contents {
            return conflict(format!(
                "{name}: the patch deletes the file, but would leave contents in it"
            ));
        }
        Ok(())
    }

    fn one_of(&self, patch: &mut FilePatch<'p>, hunks: &mut Vec<HunkReport>) -> Result<Bytes, Failed> {
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
                return conflict(format!("{}: already exists", lossy(new)));
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
                    "{}: the new mode {:o} is of another kind than the old mode {:o}",
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
                None => return conflict(format!("{}: does not exist", lossy(&old))),
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

    /// `path_is_beyond_symlink`.
    fn is_beyond_symlink(&self, path: &[u8]) -> Result<bool, Failed> {
        for (place, _) in path
            .iter()
            .enumerate()
            .rev()
            .filter(|(place, b)| **b == b'/' && *place > 0)
        {
            let Some(above) = path.get(..place) else { continue };
            let change = self.links.get(above).copied().unwrap_or_default();
            if change.in_result {
                return Ok(true);
            }
            if change.goes_away {
                continue;
            }
            if self
                .overlay
                .leaf(self.cache, above)?
                .is_some_and(|leaf| leaf.mode == EntryMode::Symlink)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `apply_data`: the contents after the patch.
    fn apply_data(
        &self,
        patch: &FilePatch<'p>,
        leaf: Option<Leaf>,
        reports: &mut Vec<HunkReport>,
    ) -> Result<Bytes, Failed> {
        let before = match (self.previous(patch)?, leaf) {
            (Some(previous), _) => self.results.get(previous).cloned().unwrap_or_default(),
            (None, Some(leaf)) => self.read(patch, leaf)?,
            (None, None) => Bytes::new(),
        };
        let hunks = match &patch.content {
            Content::Text(hunks) => hunks,
            Content::Binary(forward, backward) => {
                let hunk = if self.reverse {
                    backward.as_ref()
                } else {
                    forward.as_ref()
                };
                return self.apply_binary(patch, &before, forward.is_some(), hunk);
            }
        };
        if hunks.is_empty() {
            return Ok(before);
        }
        let mut image = Image::new(&before);
        for (at, hunk) in hunks.iter().enumerate() {
            reports.push(image.apply(hunk, at + 1, self.reverse));
        }
        let rejected = reports
            .iter()
            .filter(|report| matches!(report.fate, Fate::Rejected(_)));
        match rejected.clone().next() {
            None => Ok(image.contents().into()),
            Some(first) => {
                let ends = match &first.fate {
                    Fate::Rejected(rejection) => rejection.line_ends(),
                    Fate::Placed { .. } => None,
                };
                conflict(format!(
                    "{}: {} of {} hunks do not fit, the first is hunk {} (line {} of the patch){}",
                    lossy(patch.name()),
                    rejected.count(),
                    hunks.len(),
                    first.number,
                    first.patch_line,
                    ends.map(|ends| format!("; {ends}")).unwrap_or_default()
                ))
            }
        }
    }

    fn read(&self, patch: &FilePatch<'_>, leaf: Leaf) -> Result<Bytes, Failed> {
        if leaf.mode == EntryMode::Gitlink {
            return Ok(format!("Subproject commit {}\n", leaf.id).into());
        }
        let size = self.overlay.blob_size(self.cache, leaf.id)?;
        if size > self.limits.file_bytes {
            return refused(format!(
                "{}: has {size} bytes, more than the {} that are allowed",
                lossy(patch.name()),
                self.limits.file_bytes
            ));
        }
        Ok(self.overlay.blob(self.cache, leaf.id)?)
    }

    /// `apply_binary`.
    fn apply_binary(
        &self,
        patch: &FilePatch<'_>,
        before: &Bytes,
        has_hunks: bool,
        hunk: Option<&BinaryHunk>,
    ) -> Result<Bytes, Failed> {
        let name = lossy(patch.name());
        let (Some(old), Some(new)) = (Oid::from_hex(patch.old_id), Oid::from_hex(patch.new_id)) else {
            return conflict(format!(
                "{name}: a binary change needs an index line with full object ids"
            ));
        };
        if patch.old_name.is_some() {
            let id = Oid::of_blob(before);
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
        match self.overlay.blob(self.cache, new) {
            Ok(known) => return Ok(known),
            Err(ObjectError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let after = match hunk {
            Some(BinaryHunk::Literal(contents)) => Bytes::copy_from_slice(contents),
            Some(BinaryHunk::Delta(delta)) => match apply_delta(before, delta, self.limits.file_bytes) {
                Some(contents) => contents.into(),
                None => return conflict(format!("{name}: the binary delta does not fit")),
            },
            None if has_hunks => {
                return conflict(format!(
                    "{name}: the binary change has no hunk that takes it back"
                ));
            }
            None => {
                return conflict(format!(
                    "{name}: the patch only says that binary files differ; make it with git diff --binary"
                ));
            }
        };
        let id = Oid::of_blob(&after);
        if id != new {
            return conflict(format!(
                "{name}: the binary change gives {id} and not {new} as it says"
            ));
        }
        Ok(after)
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
        if let Some(name) = name.filter(|name| !path::is_safe(name, mode & KIND == SYMLINK)) {
            return refused(format!(
                "the path {:?} is not allowed: it leaves the tree or touches .git",
                lossy(name)
            ));
        }
    }
    Ok(())
}

/// `write_out_results`: first all that goes, then all that comes.
fn write(
    cache: &Cache<'_>,
    overlay: &mut Overlay,
    patches: &[FilePatch<'_>],
    results: Vec<Bytes>,
) -> Result<Option<Problem>, ObjectError> {
    let mut undo: Vec<Undo> = Vec::new();
    for patch in patches {
        let stays = patch.is_delete != Tri::Yes && (patch.is_new == Tri::Yes || patch.is_copy);
        if let Some(old) = patch.old_name.as_ref().filter(|_| !stays) {
            undo.push(overlay.remove(cache, old)?);
        }
    }
    for (patch, contents) in patches.iter().zip(results) {
        let Some(new) = patch.new_name.as_ref().filter(|_| patch.is_delete != Tri::Yes) else {
            continue;
        };
        let written = match leaf_of(overlay, patch, contents) {
            Ok(leaf) => overlay.put(cache, new, leaf)?.ok_or_else(|| {
                format!(
                    "{}: a file stands in the place of a folder, or a folder in its own",
                    lossy(new)
                )
            }),
            Err(message) => Err(message),
        };
        match written {
            Ok(step) => undo.push(step),
            Err(message) => {
                for step in undo.into_iter().rev() {
                    overlay.undo(cache, &step)?;
                }
                return Ok(Some(Problem {
                    kind: ProblemKind::Conflict,
                    message,
                }));
            }
        }
    }
    Ok(None)
}

/// `add_index_file`.
fn leaf_of(overlay: &mut Overlay, patch: &FilePatch<'_>, contents: Bytes) -> Result<Leaf, String> {
    let mode = match EntryMode::from_bits(if patch.new_mode == 0 {
        REGULAR
    } else {
        patch.new_mode
    }) {
        EntryMode::Tree => EntryMode::Gitlink,
        mode => mode,
    };
    if mode != EntryMode::Gitlink {
        return Ok(Leaf {
            mode,
            id: overlay.add_blob(contents),
        });
    }
    let id = contents
        .strip_prefix(b"Subproject commit ")
        .and_then(|rest| rest.get(..40))
        .and_then(Oid::from_hex);
    id.map(|id| Leaf { mode, id })
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
