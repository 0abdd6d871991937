//! The engine's report in the words of the status.

use std::collections::HashMap;

use foreign_text::{printable, printable_line};
use git_apply_engine::{Oid, PatchInput, PatchReport, Rejection};
use jiff::Timestamp;
use patch_headers::PatchHeaders;
use patchset_api::status::{CandidateStatus, ConflictStatus, PatchState, PatchStatus};
use patchset_api::upstream_history::{
    BrokenPatch, CandidateOutcome, Evidence, MergedStatus, RefreshKind, RefreshState, RefreshStatus,
};
use patchset_api::{Recorded, Revision};

use super::conditions::{self, seconds};
use super::difference::{LineSide, compare};
use super::list_size;
use super::texts::shortened;
use super::upstream_history::commit_in_words;

/// The most conflicts of a series whose lines go into the status; the status of an object is
/// bounded.
const DETAILED_CONFLICTS: usize = 20;

/// The most lines and characters of each side of a conflict.
const SHOWN_LINES: usize = 24;
const SHOWN_CHARACTERS: usize = 2048;

/// The longest name of a patch, in characters.
const NAME_CHARACTERS: usize = 256;

/// How many bytes at the start of a patch are searched for headers.
const HEADER_BYTES: usize = 64 << 10;

/// The longest value of a header, in characters, and the most bugs and CVE numbers of a patch.
const HEADER_CHARACTERS: usize = 256;
const MOST_CLAIMS: usize = 8;

/// Bytes of the names of patches that a candidate has already. There may be 16 candidates.
const MERGED_BYTES: usize = 4 << 10;

/// Bytes of the patches that a candidate breaks, with the commits that did it.
const BROKEN_BYTES: usize = 8 << 10;

/// The evidence that a patch applies in reverse.
fn taken_back() -> MergedStatus {
    MergedStatus {
        commit: None,
        by: Evidence::Reverse,
        subject: None,
        author: None,
        date: None,
        url: None,
        differs: false,
        interdiff: None,
    }
}

/// The status of each patch of a series.
#[must_use]
pub fn patches(reports: &[PatchReport]) -> Vec<PatchStatus> {
    let mut detailed = 0;
    reports
        .iter()
        .map(|report| {
            let mut conflict = conflict(report);
            if let Some(conflict) = &mut conflict {
                detailed += 1;
                if detailed > DETAILED_CONFLICTS {
                    (conflict.expected, conflict.found, conflict.difference) = (None, None, None);
                }
            }
            PatchStatus {
                subject: report.subject.as_deref().map(shortened),
                author: report.author.as_deref().map(shortened),
                offset: (report.state == PatchState::Offset).then(|| report.largest_offset()),
                message: report.error.as_deref().map(shortened),
                conflict,
                merged: (report.state == PatchState::Merged).then(taken_back),
                refresh: (report.state == PatchState::Offset).then_some(RefreshStatus {
                    state: RefreshState::Available,
                    by: Some(RefreshKind::Offset),
                }),
                ..PatchStatus::new(shown_name(&report.name), report.state)
            }
        })
        .collect()
}

/// Adds to each patch the id of its bytes. `inputs` has the same patches in the same order.
pub fn add_ids(patches: &mut [PatchStatus], inputs: &[PatchInput]) {
    for (patch, input) in patches.iter_mut().zip(inputs) {
        patch.blob = Some(Recorded::new(Oid::of_blob(&input.bytes)));
    }
}

/// Adds to each patch what its headers and message say. `inputs` has the same patches in the same
/// order.
pub fn add_headers(patches: &mut [PatchStatus], inputs: &[PatchInput]) {
    for (patch, input) in patches.iter_mut().zip(inputs) {
        let start = input.bytes.get(..HEADER_BYTES).unwrap_or(&input.bytes);
        let headers = PatchHeaders::read(&input.name, start);
        let text = |text: &str| printable(text, HEADER_CHARACTERS);
        let bugs = headers.bugs().into_iter().take(MOST_CLAIMS);
        let cves = headers.cves.iter().take(MOST_CLAIMS);
        patch.origin = headers.origin_in_words().as_deref().map(text);
        patch.upstream_status = headers.upstream_status().map(text);
        patch.forwarded = headers.forwarded().map(text);
        patch.bugs = bugs
            .map(|bug| text(bug.url.as_ref().unwrap_or(&bug.id)))
            .collect();
        patch.cves = cves.map(|cve| text(cve.as_str())).collect();
    }
}

/// Adds to each patch since when it has been in this state with the same bytes, under this name or,
/// if it was renamed, another.
pub fn add_since(patches: &mut [PatchStatus], previous: &[PatchStatus], now: Timestamp) {
    let mut known: HashMap<(Option<&str>, &str), &PatchStatus> = HashMap::new();
    for patch in previous {
        if let Some(blob) = patch.blob.as_ref().map(Recorded::as_str) {
            known.entry((Some(&patch.name), blob)).or_insert(patch);
            known.entry((None, blob)).or_insert(patch);
        }
    }
    for patch in patches {
        let Some(blob) = patch.blob.as_ref().map(Recorded::as_str) else {
            continue;
        };
        let before = known
            .get(&(Some(patch.name.as_str()), blob))
            .or_else(|| known.get(&(None, blob)));
        let same = before.filter(|before| {
            before.state == patch.state && before.is_merged_differing() == patch.is_merged_differing()
        });
        let since = same.and_then(|before| before.since.clone());
        patch.since = Some(since.unwrap_or_else(|| seconds(now)));
    }
}

/// The same patches against a candidate, and why upstream's history could not be searched, where
/// that failed.
#[must_use]
pub fn candidate(
    ref_: String,
    revision: Option<Recorded<Revision>>,
    patches: &[PatchStatus],
    history_failure: Option<String>,
) -> CandidateStatus {
    let mut outcome = CandidateOutcome::default();
    for patch in patches {
        let refresh = patch.refresh.map(|refresh| refresh.state);
        *match patch.state {
            PatchState::Clean | PatchState::Offset => &mut outcome.apply,
            PatchState::Merged => &mut outcome.merged,
            _ if refresh == Some(RefreshState::Needed) => &mut outcome.refresh,
            PatchState::Conflict | PatchState::Malformed | PatchState::Blocked => &mut outcome.need_person,
        } += 1;
    }
    let merged = patches.iter().filter(|patch| patch.state == PatchState::Merged);
    let merged = merged.map(|patch| patch.name.clone()).collect();
    let (merged, omitted_merged) = list_size::keep(merged, MERGED_BYTES, |_| 0);
    let failing = patches
        .iter()
        .find(|patch| !patch.applies() && patch.state != PatchState::Merged);
    let broken = patches.iter().filter_map(|patch| {
        let by = patch.conflict.as_ref()?.broken_by.clone()?;
        Some(BrokenPatch {
            name: patch.name.clone(),
            by,
        })
    });
    let (broken, _) = list_size::keep(broken.collect(), BROKEN_BYTES, |_| 0);
    CandidateStatus {
        ref_,
        revision,
        applied: Some(format!("{}/{}", outcome.apply, patches.len())),
        merged,
        omitted_merged,
        outcome: Some(outcome),
        broken,
        history_failure,
        history_cut: None,
        message: failing.map(|patch| shortened(&at_candidate(patch))),
    }
}

/// Where a patch does not fit a candidate, in words.
fn at_candidate(patch: &PatchStatus) -> String {
    let name = &patch.name;
    match patch
        .conflict
        .as_ref()
        .map(|conflict| (conflict.hunk, conflict.line, conflict))
    {
        Some((Some(hunk), Some(line), conflict)) => {
            let broken = conflict.broken_by.as_ref();
            let broken = broken.map(|commit| format!(", broken by {}", commit_in_words(commit)));
            let fuzz = conflict.fuzz.map(|fuzz| format!("; it {fuzz}"));
            let file = &conflict.file;
            format!(
                "{name}: {file} hunk {hunk} at line {line}{}{}",
                broken.unwrap_or_default(),
                fuzz.unwrap_or_default()
            )
        }
        _ => format!("{name}: {}", patch.message.as_deref().unwrap_or_default()),
    }
}

/// The first place of a patch that does not fit.
fn conflict(report: &PatchReport) -> Option<ConflictStatus> {
    if !matches!(report.state, PatchState::Conflict | PatchState::Blocked) {
        return None;
    }
    if let Some((file, hunk, rejection)) = report.first_rejected() {
        let found = rejection
            .nearest
            .as_ref()
            .map_or(&rejection.found, |nearest| &nearest.found);
        return Some(ConflictStatus {
            file: shortened(file.old_path.as_deref().unwrap_or(&file.path)),
            hunk: u32::try_from(hunk.number).ok(),
            line: u32::try_from(rejection.line).ok(),
            expected: Some(shown(&rejection.expected)),
            found: Some(shown(found)),
            difference: difference(rejection),
            nearest_line: rejection
                .nearest
                .as_ref()
                .and_then(|nearest| u32::try_from(nearest.line).ok()),
            ..ConflictStatus::default()
        });
    }
    let file = report.files.iter().find(|file| file.error.is_some())?;
    Some(ConflictStatus {
        file: shortened(file.old_path.as_deref().unwrap_or(&file.path)),
        ..ConflictStatus::default()
    })
}

/// What a hunk expects and what the file has, line by line; `None` if it expects nothing.
fn difference(rejection: &Rejection) -> Option<String> {
    let lines: Vec<String> = compare(rejection)
        .iter()
        .map(|line| match line.side {
            LineSide::Both => format!(" {}", line.text),
            LineSide::Expected => format!("-{}", line.text),
            LineSide::Found => format!("+{}", line.text),
        })
        .collect();
    (!rejection.expected.is_empty()).then(|| shown(&lines))
}

fn shown(lines: &[String]) -> String {
    let lines = lines.iter().take(SHOWN_LINES).map(|line| printable_line(line));
    conditions::shortened(&lines.collect::<Vec<_>>().join("\n"), SHOWN_CHARACTERS)
}

/// The name of a patch as the status has it.
#[must_use]
pub fn shown_name(name: &str) -> String {
    printable(name, NAME_CHARACTERS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use git_apply_engine::{EntryMode, MemoryStore, Options, Sequence, apply};
    use patchset_api::upstream_history::{FuzzyFit, UpstreamCommitStatus};

    fn patches(names: &[(&str, &str, PatchState)]) -> Vec<PatchStatus> {
        let bare = |name: &str, state| serde_json::json!({ "name": name, "state": state });
        let mut made: Vec<PatchStatus> = names
            .iter()
            .map(|(name, _, state)| serde_json::from_value(bare(name, *state)).unwrap())
            .collect();
        let inputs: Vec<PatchInput> = names
            .iter()
            .map(|(name, bytes, _)| PatchInput::new(*name, *bytes))
            .collect();
        add_ids(&mut made, &inputs);
        made
    }

    fn times(patches: &[PatchStatus]) -> Vec<i64> {
        let since = patches
            .iter()
            .map(|patch| patch.since.as_ref().unwrap().0.as_second());
        since.collect()
    }

    #[test]
    fn names_are_shown_as_far_as_they_are_short_and_printable() {
        assert_eq!(shown_name("0001-one.patch"), "0001-one.patch");
        assert!(!shown_name("0001\u{1b}[2J.patch").contains('\u{1b}'));
        let long = "x".repeat(2 * NAME_CHARACTERS);
        assert_eq!(shown_name(&long).chars().count(), NAME_CHARACTERS);
    }

    #[test]
    fn the_first_conflicts_are_told_with_their_lines_and_all_with_their_places() {
        let mut store = MemoryStore::new();
        let tree = store.add_files([("f", EntryMode::Regular, "one\nTWO\nthree\n")]);
        let patch = "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n one\n-two\n+new\n three\n";
        let inputs: Vec<PatchInput> = (0..=DETAILED_CONFLICTS)
            .map(|number| PatchInput::new(number.to_string(), patch))
            .collect();
        let options = Options::default();
        let applied = apply(&store, tree.unwrap(), &inputs, Sequence::Independent, &options);
        let told = super::patches(applied.unwrap().patches());
        let conflicts: Vec<&ConflictStatus> = told
            .iter()
            .map(|patch| patch.conflict.as_ref().unwrap())
            .collect();
        let (last, detailed) = conflicts.split_last().unwrap();
        for conflict in detailed {
            assert_eq!(conflict.expected.as_deref(), Some("one\ntwo\nthree"));
            assert_eq!(conflict.found.as_deref(), Some("one\nTWO\nthree"));
            assert_eq!(conflict.difference.as_deref(), Some(" one\n-two\n+TWO\n three"));
        }
        let bare = ConflictStatus {
            expected: None,
            found: None,
            difference: None,
            ..detailed[0].clone()
        };
        assert_eq!((**last).clone(), bare);
        assert_eq!(
            (bare.file.as_str(), bare.hunk, bare.line),
            ("f", Some(1), Some(1))
        );
    }

    #[test]
    fn a_patch_is_told_with_what_it_says_of_itself_and_how_it_fits() {
        let mut store = MemoryStore::new();
        let moved = "first\nnew\nlines\none\ntwo\nthree\n";
        let files = [("f", moved), ("merged", "b\n"), ("far", "x\n1\n2\n3\nold\n")];
        let tree = store.add_files(files.map(|(path, text)| (path, EntryMode::Regular, text)));
        let inputs = [
            "From: A. Author <a@example.org>\nSubject: [PATCH 1/2] Say two louder\n\n---\n\
             --- a/f\n+++ b/f\n@@ -2,3 +2,3 @@\n one\n-two\n+TWO\n three\n",
            "--- a/merged\n+++ b/merged\n@@ -1 +1 @@\n-a\n+b\n",
            "--- a/far\n+++ b/far\n@@ -1,4 +1,4 @@\n 1\n 2\n 3\n-gone\n+new\n",
            "no patch",
        ];
        let inputs: Vec<PatchInput> = inputs
            .iter()
            .enumerate()
            .map(|(number, patch)| PatchInput::new(number.to_string(), *patch))
            .collect();
        let options = Options::default();
        let applied = apply(&store, tree.unwrap(), &inputs, Sequence::Independent, &options);
        let patches = super::patches(applied.unwrap().patches());
        let [offset, merged, conflict, malformed] = patches.as_slice() else {
            panic!("{patches:?}")
        };
        assert_eq!(offset.subject.as_deref(), Some("Say two louder"));
        assert_eq!(offset.author.as_deref(), Some("A. Author <a@example.org>"));
        assert_eq!((offset.state, offset.offset), (PatchState::Offset, Some(2)));
        let refresh = offset.refresh.as_ref().unwrap();
        assert_eq!(
            (refresh.state, refresh.by),
            (RefreshState::Available, Some(RefreshKind::Offset))
        );
        assert!(offset.merged.is_none() && offset.message.is_none());
        assert_eq!(merged.merged.as_ref().unwrap().by, Evidence::Reverse);
        assert_eq!((&merged.offset, &merged.refresh), (&None, &None));
        let place = conflict.conflict.as_ref().unwrap();
        assert_eq!((place.line, place.nearest_line), (Some(1), Some(2)));
        let why = malformed.message.as_deref();
        assert_eq!(why, Some("there is no diff in it: is it empty, or cut off?"));
    }

    #[test]
    fn a_patch_is_as_it_is_while_neither_its_bytes_nor_its_state_change() {
        use PatchState::{Clean, Conflict, Merged};
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut first = patches(&[("1.patch", "a", Merged), ("2.patch", "b", Clean)]);
        add_since(&mut first, &[], at(100));
        assert_eq!(times(&first), [100, 100]);

        let mut same = patches(&[("1.patch", "a", Merged), ("2.patch", "b", Clean)]);
        add_since(&mut same, &first, at(200));
        assert_eq!(same, first);

        // A renamed patch is the same; one with other bytes or in another state is not.
        let mut moved = patches(&[
            ("3.patch", "a", Merged),
            ("2.patch", "b", Conflict),
            ("1.patch", "c", Merged),
        ]);
        add_since(&mut moved, &first, at(300));
        assert_eq!(times(&moved), [100, 300, 300]);

        // Two with the same bytes are distinguished by name.
        let mut twins = patches(&[("1.patch", "a", Merged), ("2.patch", "a", Clean)]);
        add_since(&mut twins, &[], at(400));
        let mut again = patches(&[("1.patch", "a", Clean), ("2.patch", "a", Clean)]);
        add_since(&mut again, &twins, at(500));
        assert_eq!(times(&again), [500, 400]);
    }

    #[test]
    fn what_has_an_offset_can_be_refreshed_and_what_is_there_is_upstream() {
        let mut store = MemoryStore::new();
        let file = "-\n-\nzero\none\ntwo\nthree\nfour\n";
        let tree = store.add_files([("f", EntryMode::Regular, file)]).unwrap();
        let hunk = |old: &str, new: &str| {
            format!("--- a/f\n+++ b/f\n@@ -2,3 +2,3 @@\n one\n-{old}\n+{new}\n three\n")
        };
        let inputs = [("two", "TWO"), ("TWO", "two")].map(|(old, new)| PatchInput::new("p", hunk(old, new)));
        let options = Options::default();
        let applied = apply(&store, tree, &inputs, Sequence::Independent, &options).unwrap();
        let [moved, there] = &super::patches(applied.patches())[..] else {
            panic!("{applied:?}");
        };
        assert_eq!((moved.state, moved.offset), (PatchState::Offset, Some(2)));
        assert_eq!((there.state, there.offset), (PatchState::Merged, None));
        let refresh = RefreshStatus {
            state: RefreshState::Available,
            by: Some(RefreshKind::Offset),
        };
        assert_eq!((moved.refresh, there.refresh), (Some(refresh), None));
        assert_eq!(moved.merged, None);
        let merged = there.merged.as_ref().unwrap();
        assert_eq!((merged.by, merged.differs), (Evidence::Reverse, false));
    }

    fn commit(subject: &str) -> UpstreamCommitStatus {
        UpstreamCommitStatus {
            commit: "1".repeat(40).into(),
            subject: subject.to_owned(),
            author: None,
            date: None,
            change_id: None,
            url: None,
        }
    }

    /// A candidate's status for these patches.
    fn candidate_of(patches: &[PatchStatus]) -> CandidateStatus {
        candidate("stable".to_owned(), None, patches, Some("no answer".to_owned()))
    }

    #[test]
    fn a_candidate_counts_what_becomes_of_each_patch() {
        use PatchState::{Blocked, Clean, Conflict, Malformed, Merged, Offset};
        let conflict = |name: &str, refresh| PatchStatus {
            refresh: Some(RefreshStatus {
                state: refresh,
                by: None,
            }),
            conflict: Some(ConflictStatus {
                broken_by: Some(commit("Break it")),
                ..ConflictStatus::default()
            }),
            message: Some("why".to_owned()),
            ..PatchStatus::new(name, Conflict)
        };
        let found = candidate_of(&[
            PatchStatus::new("clean", Clean),
            PatchStatus::new("offset", Offset),
            PatchStatus::new("merged", Merged),
            conflict("mendable", RefreshState::Needed),
            conflict("hopeless", RefreshState::Impossible),
            PatchStatus::new("blocked", Blocked),
            PatchStatus::new("malformed", Malformed),
        ]);
        let outcome = CandidateOutcome {
            apply: 2,
            merged: 1,
            refresh: 1,
            need_person: 3,
        };
        assert_eq!(found.outcome, Some(outcome));
        assert_eq!(found.applied.as_deref(), Some("2/7"));
        assert_eq!(
            (found.merged, found.omitted_merged),
            (vec!["merged".to_owned()], None)
        );
        let broken: Vec<&str> = found.broken.iter().map(|broken| broken.name.as_str()).collect();
        assert_eq!(broken, ["mendable", "hopeless"]);
        assert_eq!(found.message.as_deref(), Some("mendable: why"));
        assert_eq!(found.history_failure.as_deref(), Some("no answer"));
        let good = candidate_of(&[
            PatchStatus::new("clean", Clean),
            PatchStatus::new("merged", Merged),
        ]);
        assert_eq!(good.message, None);
    }

    #[test]
    fn the_lists_of_a_candidate_are_bounded() {
        let name = |number: usize| format!("{number:0100}");
        let merged: Vec<PatchStatus> = (0..200)
            .map(|number| PatchStatus::new(name(number), PatchState::Merged))
            .collect();
        let found = candidate_of(&merged);
        let bytes: usize = found.merged.iter().map(String::len).sum();
        assert!((3800..=4096).contains(&bytes), "{bytes}");
        assert_eq!(
            found.omitted_merged.map(|n| n as usize + found.merged.len()),
            Some(200)
        );
        let broken: Vec<PatchStatus> = (0..200)
            .map(|number| PatchStatus {
                conflict: Some(ConflictStatus {
                    broken_by: Some(commit(&"s".repeat(100))),
                    ..ConflictStatus::default()
                }),
                ..PatchStatus::new(name(number), PatchState::Conflict)
            })
            .collect();
        let bytes = serde_json::to_vec(&candidate_of(&broken).broken).unwrap().len();
        assert!((7500..=8192 + 2).contains(&bytes), "{bytes}");
    }

    #[test]
    fn where_a_patch_does_not_fit_a_candidate_is_told_with_its_cause() {
        let there = ConflictStatus {
            file: "f".into(),
            hunk: Some(2),
            line: Some(7),
            ..ConflictStatus::default()
        };
        let caused = ConflictStatus {
            broken_by: Some(commit("Break it")),
            fuzz: Some(FuzzyFit { lines: 1, line: 9 }),
            ..there.clone()
        };
        let somewhere = ConflictStatus {
            line: None,
            ..there.clone()
        };
        for (conflict, expected) in [
            (None, "p: why"),
            (Some(somewhere), "p: why"),
            (Some(there), "p: f hunk 2 at line 7"),
            (
                Some(caused),
                "p: f hunk 2 at line 7, broken by 1111111 'Break it'; it applies with fuzz 1 at line 9: refresh it",
            ),
        ] {
            let patch = PatchStatus {
                message: Some("why".to_owned()),
                conflict,
                ..PatchStatus::new("p", PatchState::Conflict)
            };
            assert_eq!(candidate_of(&[patch]).message.as_deref(), Some(expected));
        }
    }
}
