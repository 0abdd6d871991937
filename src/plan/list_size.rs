//! Keeps the lists of a status within what the API server takes.

use patchset_api::status::{OmittedPatches, PatchState, PatchStatus};
use patchset_api::upstream_history::MergedStatus;
use serde::Serialize;

/// Bytes that an object may have as JSON besides its conditions, its history and the record of who
/// manages its fields. etcd takes 1.5 MiB a request.
const OBJECT_BYTES: usize = 1_200_000;

/// The most and the least bytes of a list, whatever the spec leaves.
const MOST_LIST_BYTES: usize = 256 << 10;
const LEAST_LIST_BYTES: usize = 16 << 10;

/// How many bytes of JSON the list in an object's status may have, given the object's spec.
#[must_use]
pub fn for_list(spec: &impl Serialize) -> usize {
    OBJECT_BYTES
        .saturating_sub(json_bytes(spec))
        .clamp(LEAST_LIST_BYTES, MOST_LIST_BYTES)
}

/// Bytes of a value as JSON, with the comma behind it.
fn json_bytes(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |json| json.len().saturating_add(1))
}

/// Which entries fit into `room` bytes, the lowest ranks first, and how many bytes they leave.
fn fitting<T: Serialize>(entries: &[T], room: usize, rank: impl Fn(&T) -> u8) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|at| entries.get(*at).map(&rank));
    let mut left = room;
    let fits = |at: &usize| {
        let size = entries.get(*at).map_or(0, json_bytes);
        let fits = size <= left;
        if fits {
            left -= size;
        }
        fits
    };
    let fitting = order.into_iter().take_while(fits).collect();
    (fitting, left)
}

/// Keeps the entries that fit into `room` bytes, the lowest ranks first but in the given order, and
/// returns how many do not fit.
pub(super) fn keep<T: Serialize>(
    entries: Vec<T>,
    room: usize,
    rank: impl Fn(&T) -> u8,
) -> (Vec<T>, Option<u32>) {
    let (mut kept, _) = fitting(&entries, room, rank);
    kept.sort_unstable();
    let omitted = u32::try_from(entries.len() - kept.len()).unwrap_or(u32::MAX);
    let is_kept = |at: usize| kept.binary_search(&at).is_ok();
    let entries = entries.into_iter().enumerate();
    let entries = entries.filter_map(|(at, entry)| is_kept(at).then_some(entry));
    (entries.collect(), (omitted > 0).then_some(omitted))
}

/// Keeps as much of the patches as fits into `room` bytes, in their order: each with its state if
/// possible, then the messages, and last the lines of those that do not apply.
pub(super) fn keep_patches(
    patches: &[PatchStatus],
    room: usize,
) -> (Vec<PatchStatus>, Option<OmittedPatches>) {
    let bare: Vec<PatchStatus> = patches.iter().map(without_texts).collect();
    // However many there are, the first that does not apply keeps its lines.
    let texts = room / 4;
    let (order, left) = fitting(&bare, room - texts, attention_rank);
    let mut left = left + texts;
    let mut kept: Vec<(usize, PatchStatus)> = Vec::with_capacity(order.len());
    for at in order {
        let (Some(bare), Some(full)) = (bare.get(at), patches.get(at)) else {
            continue;
        };
        let least = json_bytes(bare);
        let more = |patch: &PatchStatus| json_bytes(patch).saturating_sub(least);
        let shown = [full.clone(), without_lines(full)]
            .into_iter()
            .find(|shown| more(shown) <= left)
            .unwrap_or_else(|| bare.clone());
        left -= more(&shown);
        kept.push((at, shown));
    }
    kept.sort_unstable_by_key(|(at, _)| *at);
    let mut omitted = OmittedPatches::default();
    for (at, patch) in patches.iter().enumerate() {
        if kept.binary_search_by_key(&at, |(at, _)| *at).is_err() {
            omitted.add(patch);
        }
    }
    let omitted = (omitted != OmittedPatches::default()).then_some(omitted);
    (kept.into_iter().map(|(_, patch)| patch).collect(), omitted)
}

/// What people have to look at comes first.
fn attention_rank(patch: &PatchStatus) -> u8 {
    match patch.state {
        PatchState::Conflict | PatchState::Malformed | PatchState::Blocked => 0,
        PatchState::Merged if patch.is_merged_differing() => 1,
        PatchState::Merged => 2,
        PatchState::Clean | PatchState::Offset => 3,
    }
}

fn without_texts(patch: &PatchStatus) -> PatchStatus {
    // The others need no upkeep.
    let is_for_upkeep = patch.state != PatchState::Clean;
    PatchStatus {
        offset: patch.offset,
        merged: patch.merged.as_ref().map(|merged| MergedStatus {
            commit: merged.commit.clone(),
            by: merged.by,
            subject: None,
            author: None,
            date: None,
            url: None,
            differs: merged.differs,
            interdiff: None,
        }),
        blob: patch.blob.clone().filter(|_| is_for_upkeep),
        since: patch.since.clone().filter(|_| is_for_upkeep),
        ..PatchStatus::new(patch.name.clone(), patch.state)
    }
}

fn without_lines(patch: &PatchStatus) -> PatchStatus {
    let mut patch = patch.clone();
    if let Some(conflict) = &mut patch.conflict {
        (conflict.expected, conflict.found, conflict.difference) = (None, None, None);
    }
    if let Some(merged) = &mut patch.merged {
        merged.interdiff = None;
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;
    use patchset_api::status::ConflictStatus;
    use patchset_api::upstream_history::Evidence;

    fn patch(number: usize, state: PatchState) -> PatchStatus {
        PatchStatus {
            subject: Some("s".repeat(500)),
            message: Some("m".repeat(500)),
            conflict: Some(ConflictStatus {
                file: "f".into(),
                expected: Some("e".repeat(2000)),
                difference: Some("d".repeat(2000)),
                ..ConflictStatus::default()
            }),
            merged: (state == PatchState::Merged).then(|| MergedStatus {
                commit: Some("1".repeat(40).into()),
                by: Evidence::ChangeId,
                subject: Some("s".repeat(500)),
                author: None,
                date: None,
                url: None,
                differs: number.is_multiple_of(2),
                interdiff: Some("i".repeat(2000)),
            }),
            ..PatchStatus::new(format!("{number:04}.patch"), state)
        }
    }

    #[test]
    fn what_does_not_apply_is_kept_and_the_rest_is_counted() {
        let state = |number| match number % 3 {
            0 => PatchState::Clean,
            1 => PatchState::Conflict,
            _ => PatchState::Merged,
        };
        let patches: Vec<PatchStatus> = (0..3000).map(|number| patch(number, state(number))).collect();
        let room = 100_000;
        let (kept, omitted) = keep_patches(&patches, room);
        assert!(json_bytes(&kept) <= room + 2, "{}", json_bytes(&kept));
        assert!(kept.is_sorted_by_key(|patch| patch.name.clone()));
        let count = |state| kept.iter().filter(|patch| patch.state == state).count();
        assert_eq!(count(PatchState::Conflict), 1000);
        let omitted = omitted.unwrap();
        for state in [PatchState::Clean, PatchState::Conflict, PatchState::Merged] {
            assert_eq!(count(state) + omitted.count(state), 1000, "{state:?}");
        }
        assert_eq!(omitted.count(PatchState::Conflict), 0);
        // What upstream has in another form comes before what it has unchanged.
        let differing = kept.iter().filter(|patch| patch.is_merged_differing()).count();
        assert_eq!(differing + usize::try_from(omitted.differing).unwrap(), 500);
        let merged = kept
            .iter()
            .filter(|patch| patch.state == PatchState::Merged)
            .count();
        assert_eq!(differing, merged.min(500));

        // A message is worth more than lines.
        let (kept, _) = keep_patches(&patches[1..2], 1600);
        let conflict = kept[0].conflict.clone().unwrap();
        assert_eq!((conflict.expected, conflict.difference), (None, None));
        assert_eq!(kept[0].message, patches[1].message);

        // With room for everything, all is listed; with room for some texts, the patches that do
        // not apply have theirs.
        assert_eq!(keep_patches(&patches, 1 << 25), (patches.clone(), None));
        let (kept, omitted) = keep_patches(&patches, 1 << 20);
        assert_eq!((kept.len(), omitted), (3000, None));
        assert_eq!(
            kept[1]
                .conflict
                .as_ref()
                .unwrap()
                .expected
                .as_ref()
                .map(String::len),
            Some(2000)
        );
        assert_eq!(
            (kept[0].message.as_ref(), kept[2999].message.as_ref()),
            (None, None)
        );
    }

    #[test]
    fn a_list_has_what_the_spec_leaves() {
        assert_eq!(for_list(&"x"), 262_144);
        assert_eq!(for_list(&"x".repeat(1_100_000)), 1_200_000 - 1_100_003);
        assert_eq!(for_list(&"x".repeat(1_500_000)), 16_384);
        let (kept, omitted) = keep(vec!["aaaa", "bbbb", "cccc"], 14, |entry| {
            u8::from(*entry != "cccc")
        });
        assert_eq!((kept, omitted), (vec!["aaaa", "cccc"], Some(1)));
    }

    #[test]
    fn a_patch_whose_texts_have_no_room_keeps_what_is_looked_up_by_it() {
        use PatchState::{Clean, Conflict, Merged, Offset};
        let patches = [Clean, Conflict, Merged, Offset].map(|state| PatchStatus {
            offset: Some(7),
            blob: Some("1".repeat(40).into()),
            since: Some(crate::plan::conditions::seconds(jiff::Timestamp::UNIX_EPOCH)),
            ..patch(2, state)
        });
        let (kept, omitted) = keep_patches(&patches, 1000);
        assert_eq!(omitted, None);
        for (kept, full) in kept.iter().zip(&patches) {
            let merged = full.merged.as_ref().map(|merged| MergedStatus {
                subject: None,
                interdiff: None,
                ..merged.clone()
            });
            let bare = PatchStatus {
                offset: Some(7),
                merged,
                ..PatchStatus::new("0002.patch", full.state)
            };
            let expected = if full.state == Clean {
                bare
            } else {
                PatchStatus {
                    blob: full.blob.clone(),
                    since: full.since.clone(),
                    ..bare
                }
            };
            assert_eq!(*kept, expected);
        }
    }
}
