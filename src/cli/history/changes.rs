//! What became of patches between two states of a series.

use git_apply_engine::PatchInput;

use crate::cli::team::PatchMarks;

/// A series as a tree has it.
#[derive(Default)]
pub(super) struct SeriesAtTree {
    pub(super) patches: Vec<PatchInput>,
    /// One per patch.
    pub(super) marks: Vec<PatchMarks>,
}

/// What became of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PatchEvent {
    /// Its new name; the old one if it went.
    pub(super) name: String,
    pub(super) change: PatchEventKind,
    /// What its new message is about; the old one if it went.
    pub(super) subject: Option<String>,
}

/// What became of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PatchEventKind {
    Came,
    Went,
    /// Under the same name.
    Changed(TextChange),
    /// It has another name.
    Renamed {
        from: String,
        text: TextChange,
    },
}

/// What changed in a patch's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum TextChange {
    /// Nothing.
    Nothing,
    /// Its message, or the lines around what it changes: the same lines change.
    AroundTheChange,
    /// What it changes.
    TheChange,
}

/// What became of each patch, in the new order, with those that went at the end.
///
/// A patch is identified by its name, or else by what it changes, its `Change-Id`, the commit that
/// it was taken from, or its author and subject.
pub(super) fn changes(before: &SeriesAtTree, after: &SeriesAtTree) -> Vec<PatchEvent> {
    let mut source: Vec<Option<usize>> = after
        .patches
        .iter()
        .map(|patch| before.patches.iter().position(|old| old.name == patch.name))
        .collect();
    // A name may have passed to another patch, as when a series is renumbered.
    for (at, from) in source.iter_mut().enumerate() {
        if let Some(old) = *from
            && is_another(before, old, after, at)
        {
            *from = None;
        }
    }
    let mut is_left: Vec<bool> = (0..before.patches.len())
        .map(|old| !source.contains(&Some(old)))
        .collect();
    for (at, from) in source.iter_mut().enumerate() {
        if from.is_none() {
            *from = best_match(before, &is_left, after, at);
            if let Some(slot) = from.and_then(|old| is_left.get_mut(old)) {
                *slot = false;
            }
        }
    }
    let mut events = Vec::new();
    for (at, (patch, from)) in after.patches.iter().zip(&source).enumerate() {
        let change = match from.and_then(|old| before.patches.get(old).map(|patch| (old, patch))) {
            None => PatchEventKind::Came,
            Some((number, old)) => {
                let text = text_change(before, number, after, at);
                match (old.name == patch.name, text) {
                    (true, TextChange::Nothing) => continue,
                    (true, text) => PatchEventKind::Changed(text),
                    (false, text) => PatchEventKind::Renamed {
                        from: old.name.clone(),
                        text,
                    },
                }
            }
        };
        events.push(PatchEvent {
            name: patch.name.clone(),
            subject: subject(patch),
            change,
        });
    }
    let gone = before.patches.iter().zip(is_left).filter(|(_, is_left)| *is_left);
    events.extend(gone.map(|(patch, _)| PatchEvent {
        name: patch.name.clone(),
        subject: subject(patch),
        change: PatchEventKind::Went,
    }));
    events
}

fn subject(patch: &PatchInput) -> Option<String> {
    patch_headers::Summary::read(&patch.bytes).subject
}

/// Whether a name has passed to another patch: its old patch is there under another name, or its
/// new one was.
fn is_another(before: &SeriesAtTree, old: usize, after: &SeriesAtTree, new: usize) -> bool {
    let (Some(old_marks), Some(new_marks)) = (before.marks.get(old), after.marks.get(new)) else {
        return false;
    };
    if old_marks.same_as(new_marks).is_some() {
        return false;
    }
    let is_elsewhere = |marks: &[PatchMarks], one: &PatchMarks, at: usize| {
        let others = marks.iter().enumerate().filter(|(number, _)| *number != at);
        others
            .into_iter()
            .any(|(_, other)| one.patch_id.is_some() && one.patch_id == other.patch_id)
    };
    is_elsewhere(&after.marks, old_marks, new) || is_elsewhere(&before.marks, new_marks, old)
}

/// The old patch that is most surely the new one.
fn best_match(before: &SeriesAtTree, is_left: &[bool], after: &SeriesAtTree, at: usize) -> Option<usize> {
    let (patch, marks) = (after.patches.get(at)?, after.marks.get(at)?);
    let left = || {
        let all = before.patches.iter().zip(&before.marks).zip(is_left).enumerate();
        all.filter(|(_, (_, is_left))| **is_left)
            .map(|(number, (old, _))| (number, old))
    };
    let same_bytes = left().find(|(_, (old, _))| old.bytes == patch.bytes);
    if let Some((number, _)) = same_bytes {
        return Some(number);
    }
    let known = left().filter_map(|(number, (_, old))| Some((old.same_as(marks)?, number)));
    known.min().map(|(_, number)| number)
}

fn text_change(before: &SeriesAtTree, old: usize, after: &SeriesAtTree, new: usize) -> TextChange {
    let bytes = |series: &SeriesAtTree, at: usize| series.patches.get(at).map(|patch| patch.bytes.clone());
    let id = |series: &SeriesAtTree, at: usize| series.marks.get(at).and_then(|marks| marks.patch_id);
    if bytes(before, old) == bytes(after, new) {
        TextChange::Nothing
    } else if id(before, old).is_some() && id(before, old) == id(after, new) {
        TextChange::AroundTheChange
    } else {
        TextChange::TheChange
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use git_apply_engine::Options;

    fn series(patches: &[(&str, &str)]) -> SeriesAtTree {
        let patches: Vec<PatchInput> = patches
            .iter()
            .map(|(name, into)| {
                PatchInput::new(
                    *name,
                    format!("Say {into}\n\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-b\n+{into}\n"),
                )
            })
            .collect();
        SeriesAtTree {
            marks: patches
                .iter()
                .map(|patch| PatchMarks::read(patch, &Options::default()))
                .collect(),
            patches,
        }
    }

    fn told(before: &[(&str, &str)], after: &[(&str, &str)]) -> Vec<String> {
        let events = changes(&series(before), &series(after));
        let told = events.iter().map(|event| match &event.change {
            PatchEventKind::Came => format!("{} came", event.name),
            PatchEventKind::Went => format!("{} went", event.name),
            PatchEventKind::Changed(_) => format!("{} changed", event.name),
            PatchEventKind::Renamed { from, text } => format!("{from} -> {} {text:?}", event.name),
        });
        told.collect()
    }

    #[test]
    fn patches_come_change_and_go() {
        assert_eq!(told(&[], &[("1", "x"), ("2", "y")]), ["1 came", "2 came"]);
        assert_eq!(
            told(&[("1", "x"), ("2", "y")], &[("1", "z")]),
            ["1 changed", "2 went"]
        );
    }

    #[test]
    fn a_series_that_is_numbered_anew_has_the_same_patches() {
        assert_eq!(
            told(&[("1", "x"), ("2", "y"), ("3", "z")], &[("1", "y"), ("2", "z")]),
            ["2 -> 1 Nothing", "3 -> 2 Nothing", "1 went"]
        );
        assert_eq!(
            told(&[("1", "x"), ("2", "y")], &[("1", "y"), ("2", "x")]),
            ["2 -> 1 Nothing", "1 -> 2 Nothing"]
        );
    }
}
