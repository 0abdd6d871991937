//! Whether a reworked series loses something.

use git_apply_engine::{Options, PatchInput};
use patch_refresh::unified_hunks;
use serde::Serialize;

use super::fingerprint::{ChangedFile, ChangedHunk, PatchFingerprint};
use super::line_count::LineCount;
use super::pairing::pair_patches;

/// The most lines of a lost hunk that are reported.
const MOST_LINES: usize = 20;

/// Two versions of a series side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeriesComparison {
    /// The patches: those of the new version in their order, with those that are gone where they
    /// were.
    pub patches: Vec<ComparedPatch>,
}

/// A patch in both versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComparedPatch {
    /// Its number and name in the old version, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<(usize, String)>,
    /// Its number and name in the new version, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<(usize, String)>,
    /// Its subject, from the new version if it is there.
    pub subject: String,
    /// How both are related.
    pub relation: PatchRelation,
    /// What changed, as a diff of messages and diffs without line numbers; `None` if both are the
    /// same or one is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
    /// What the new version does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostPart>,
}

/// How two versions of a patch are related.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PatchRelation {
    /// It says and does the same.
    Same,
    /// It says or does something else.
    Changed,
    /// It is in the old version alone.
    Gone,
    /// It is in the new version alone.
    New,
}

/// A part of an old patch that the new version does not have as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LostPart {
    /// The file.
    pub path: String,
    /// The line where the hunk's preimage started; `None` if everything that was done to the file
    /// is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What became of it.
    pub fate: HunkFate,
    /// The lines that no patch of the new version has.
    pub lines: Vec<String>,
}

/// What became of a hunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HunkFate {
    /// None of its lines is in the new version.
    Gone,
    /// Some of its lines are.
    Partly,
    /// None of its lines is, and another hunk has taken its place.
    Replaced,
    /// Another patch, or another file, has all of it.
    Moved {
        /// The patch that has it.
        patch: String,
        /// The file.
        path: String,
    },
}

impl SeriesComparison {
    /// The patches that lost something.
    pub fn losses(&self) -> impl Iterator<Item = &ComparedPatch> {
        self.patches.iter().filter(|patch| {
            let is_gone = |part: &LostPart| part.fate == HunkFate::Gone;
            patch.lost.iter().any(is_gone) || (patch.relation == PatchRelation::Gone && !patch.is_moved())
        })
    }
}

impl ComparedPatch {
    /// Whether all that it did is in other patches of the new version.
    #[must_use]
    pub fn is_moved(&self) -> bool {
        let is_moved = |part: &LostPart| matches!(part.fate, HunkFate::Moved { .. });
        !self.lost.is_empty() && self.lost.iter().all(is_moved)
    }
}

/// Compares two versions of a series.
///
/// Only the lines that patches remove and add count, wherever they are, so that a patch carried
/// over to different context loses nothing. A hunk is gone if none of its lines is left.
#[must_use]
pub fn compare_series(old: &[PatchInput], new: &[PatchInput], options: &Options) -> SeriesComparison {
    let read = |patches: &[PatchInput]| -> Vec<PatchFingerprint> {
        let patches = patches.iter();
        patches
            .map(|patch| PatchFingerprint::read(patch, options))
            .collect()
    };
    let (old, new) = (read(old), read(new));
    let pairs = pair_patches(&old, &new, &[]);
    let numbered = |at: usize, patch: &PatchFingerprint| (at + 1, patch.name.clone());
    let gone: Vec<usize> = (0..old.len()).filter(|at| !pairs.contains(&Some(*at))).collect();
    let mut gone = gone.into_iter().peekable();
    let mut compared = SeriesComparison { patches: Vec::new() };
    let add_gone = |at: usize, compared: &mut SeriesComparison| {
        if let Some(patch) = old.get(at) {
            compared.patches.push(ComparedPatch {
                old: Some(numbered(at, patch)),
                new: None,
                subject: patch.subject.clone(),
                relation: PatchRelation::Gone,
                difference: None,
                lost: lost_parts(patch, None, &new),
            });
        }
    };
    for (new_at, patch) in new.iter().enumerate() {
        let before = pairs.get(new_at).copied().flatten();
        while let (Some(at), Some(before)) = (gone.peek().copied(), before) {
            if at > before {
                break;
            }
            gone.next();
            add_gone(at, &mut compared);
        }
        let old_patch = before.and_then(|at| Some((at, old.get(at)?)));
        let Some((at, old_patch)) = old_patch else {
            compared.patches.push(ComparedPatch {
                old: None,
                new: Some(numbered(new_at, patch)),
                subject: patch.subject.clone(),
                relation: PatchRelation::New,
                difference: None,
                lost: Vec::new(),
            });
            continue;
        };
        let (before, after) = (old_patch.comparable(), patch.comparable());
        let is_same = before == after;
        let difference = || {
            let hunks = unified_hunks(&before, &after)?;
            Some(String::from_utf8_lossy(&hunks).into_owned())
        };
        compared.patches.push(ComparedPatch {
            old: Some(numbered(at, old_patch)),
            new: Some(numbered(new_at, patch)),
            subject: patch.subject.clone(),
            relation: if is_same {
                PatchRelation::Same
            } else {
                PatchRelation::Changed
            },
            difference: (!is_same).then(difference).flatten(),
            lost: lost_parts(old_patch, Some(new_at), &new),
        });
    }
    for at in gone {
        add_gone(at, &mut compared);
    }
    compared
}

/// What of an old patch the new version does not have where it was.
fn lost_parts(old: &PatchFingerprint, paired: Option<usize>, new: &[PatchFingerprint]) -> Vec<LostPart> {
    let own = paired.and_then(|at| new.get(at));
    let mut lost = Vec::new();
    for file in &old.files {
        let own_files: Vec<&ChangedFile> = own
            .iter()
            .flat_map(|patch| patch.files.iter().filter(|other| other.path == file.path))
            .collect();
        if file.hunks.is_empty() {
            // A name, a mode or binary contents alone.
            let is_there = |patch: &PatchFingerprint| {
                let mut files = patch.files.iter();
                files.any(|other| other.path == file.path && other.kind == file.kind)
            };
            if !own.is_some_and(is_there) {
                lost.push(LostPart {
                    path: file.path.clone(),
                    line: None,
                    fate: moved_to(new, |other| other.path == file.path && other.kind == file.kind)
                        .unwrap_or(HunkFate::Gone),
                    lines: vec![format!("{}{}", file.path, file.kind)],
                });
            }
            continue;
        }
        let mut parts: Vec<LostPart> = Vec::new();
        for hunk in &file.hunks {
            parts.extend(lost_hunk(file, hunk, &own_files, new));
        }
        let all_gone =
            parts.len() == file.hunks.len() && parts.iter().all(|part| part.fate == HunkFate::Gone);
        if all_gone && own_files.is_empty() {
            let lines = parts.into_iter().flat_map(|part| part.lines).take(MOST_LINES);
            lost.push(LostPart {
                path: file.path.clone(),
                line: None,
                fate: HunkFate::Gone,
                lines: lines.collect(),
            });
        } else {
            lost.extend(parts);
        }
    }
    lost
}

fn lost_hunk(
    file: &ChangedFile,
    hunk: &ChangedHunk,
    own_files: &[&ChangedFile],
    new: &[PatchFingerprint],
) -> Option<LostPart> {
    let lines: Vec<&[u8]> = telling(hunk);
    let wanted: LineCount<'_> = lines.iter().copied().collect();
    let own: LineCount<'_> = own_files.iter().flat_map(|file| lines_of(file)).collect();
    let common = wanted.common(&own);
    if common == wanted.total() {
        return None;
    }
    let has_all = |other: &ChangedFile| {
        let there: LineCount<'_> = lines_of(other).collect();
        wanted.common(&there) == wanted.total()
    };
    let fate = moved_to(new, has_all).unwrap_or(if common > 0 {
        HunkFate::Partly
    } else if is_replaced(hunk, file, own_files) {
        HunkFate::Replaced
    } else {
        HunkFate::Gone
    });
    let everywhere: Vec<&[u8]> = own_files.iter().flat_map(|file| lines_of(file)).collect();
    let missing = lines.iter().filter(|line| !everywhere.contains(line));
    Some(LostPart {
        path: file.path.clone(),
        line: Some(hunk.line),
        fate,
        lines: missing
            .take(MOST_LINES)
            .map(|line| String::from_utf8_lossy(line).trim_end().to_owned())
            .collect(),
    })
}

/// Whether a hunk that does something else stands where a hunk stood: it shares context with it, and
/// no line that it changes is one that the old patch changed in the file.
fn is_replaced(hunk: &ChangedHunk, file: &ChangedFile, own_files: &[&ChangedFile]) -> bool {
    let context = |hunk: &ChangedHunk| -> Vec<Vec<u8>> {
        let lines = hunk.lines.iter();
        let says_something =
            |line: &&Vec<u8>| line.starts_with(b" ") && line.iter().any(u8::is_ascii_alphanumeric);
        lines.filter(says_something).cloned().collect()
    };
    let (own_context, old) = (context(hunk), lines_of(file).collect::<LineCount<'_>>());
    let mut hunks = own_files.iter().flat_map(|file| &file.hunks);
    hunks.any(|other| {
        let changes: LineCount<'_> = other.changes().collect();
        changes.common(&old) == 0 && context(other).iter().any(|line| own_context.contains(line))
    })
}

/// The lines that identify a hunk: those with a letter or digit, or all if none has.
fn telling(hunk: &ChangedHunk) -> Vec<&[u8]> {
    let says_something = |line: &&[u8]| line.iter().any(u8::is_ascii_alphanumeric);
    let telling: Vec<&[u8]> = hunk.changes().filter(says_something).collect();
    if telling.is_empty() {
        hunk.changes().collect()
    } else {
        telling
    }
}

fn lines_of(file: &ChangedFile) -> impl Iterator<Item = &[u8]> {
    file.hunks.iter().flat_map(ChangedHunk::changes)
}

/// The first patch of the new version with such a file.
fn moved_to(new: &[PatchFingerprint], is_it: impl Fn(&ChangedFile) -> bool) -> Option<HunkFate> {
    new.iter().find_map(|patch| {
        let file = patch.files.iter().find(|file| is_it(file))?;
        Some(HunkFate::Moved {
            patch: patch.name.clone(),
            path: file.path.clone(),
        })
    })
}
