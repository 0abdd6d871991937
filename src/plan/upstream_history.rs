//! What upstream did with patches that do not apply, in the words of the status.

use foreign_text::{printable, printable_lines};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use patchset_api::status::{PatchSetStatus, PatchState, PatchStatus};
use patchset_api::upstream_history::{
    Evidence, FuzzyFit, MergedStatus, RefreshStatus, RevertedStatus, UpstreamCommitStatus,
};
use patchset_api::{Recorded, Revision};
use upstream_history::{Difference, Finding, Merged, UpstreamCommit, commit_url};

use super::conditions;
use super::texts::shortened;

/// The longest interdiff of a patch, in characters, and how many patches of a series have theirs.
const INTERDIFF_CHARACTERS: usize = 8 << 10;
const DETAILED_INTERDIFFS: usize = 10;

/// The longest address of a commit, in characters.
const URL_CHARACTERS: usize = 2048;

/// The longest subject of a commit in a message, in characters.
const MESSAGE_SUBJECT: usize = 80;

/// Digits of a commit in a message.
pub(super) const SHORT_COMMIT: usize = 7;

/// How many seconds older a commit may be than the date of the patch it contains: clocks differ.
pub const CLOCK_SLACK: i64 = 24 * 60 * 60;

/// How many seconds back a server's history is searched if nothing says when a patch was written.
pub const UNDATED: i64 = 400 * 24 * 60 * 60;

/// The first second of the year 10000: the API takes no later times.
const END_OF_TIMES: i64 = 253_402_300_800;

/// What was found out about one patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchHistory {
    /// What upstream did with it.
    pub finding: Finding,
    /// The commit that changed what its first rejected hunk expects.
    pub broken_by: Option<UpstreamCommit>,
    /// What a refresh would make of it; `None` if that was not tried.
    pub refresh: Option<RefreshStatus>,
    /// Where it would apply with fuzz; `None` if that was not tried.
    pub fuzz: Option<FuzzyFit>,
}

impl PatchHistory {
    /// Whether upstream has the patch.
    #[must_use]
    pub fn is_merged(&self) -> bool {
        matches!(self.finding, Finding::Merged(_))
    }
}

impl Default for PatchHistory {
    fn default() -> Self {
        Self {
            finding: Finding::Absent,
            broken_by: None,
            refresh: None,
            fuzz: None,
        }
    }
}

/// Where people read about the commits of an upstream.
#[derive(Clone, Copy, Debug)]
pub struct CommitLinks<'a> {
    /// The upstream's address.
    pub upstream: &'a str,
    /// `spec.upstream.commitUrlTemplate`.
    pub template: Option<&'a str>,
}

/// Adds to each patch of a series what upstream did with it. `history` has the same patches in the
/// same order.
pub fn add_history(patches: &mut [PatchStatus], history: &[PatchHistory], links: CommitLinks<'_>) {
    let mut interdiffs = 0;
    for (patch, found) in patches.iter_mut().zip(history) {
        match &found.finding {
            Finding::Merged(merged) => {
                take_merged(patch, merged, links);
                if let Some(told) = &mut patch.merged
                    && told.interdiff.is_some()
                {
                    interdiffs += 1;
                    if interdiffs > DETAILED_INTERDIFFS {
                        told.interdiff = None;
                    }
                }
            }
            Finding::Reverted { merged, reverted_by } => {
                patch.reverted = Some(RevertedStatus {
                    merged: commit_status(merged, links),
                    by: commit_status(reverted_by, links),
                });
            }
            Finding::Absent => {}
        }
        if let Some(conflict) = &mut patch.conflict {
            conflict.broken_by = found
                .broken_by
                .as_ref()
                .map(|commit| commit_status(commit, links));
            conflict.fuzz = found.fuzz;
        }
        if may_be_merged(patch.state) {
            patch.refresh = found.refresh;
        }
    }
}

/// Whether a patch in this state may be upstream nonetheless.
#[must_use]
pub fn may_be_merged(state: PatchState) -> bool {
    matches!(state, PatchState::Conflict | PatchState::Blocked)
}

fn take_merged(patch: &mut PatchStatus, merged: &Merged, links: CommitLinks<'_>) {
    if !may_be_merged(patch.state) && patch.state != PatchState::Merged {
        return;
    }
    let commit = merged.commit.as_ref().map(|commit| commit_status(commit, links));
    let (differs, interdiff, why) = match &merged.difference {
        Difference::Same => (false, None, None),
        Difference::Differs { interdiff, shortened } => {
            let text = conditions::shortened(&printable_lines(interdiff), INTERDIFF_CHARACTERS);
            let is_cut = *shortened && !text.ends_with('…');
            (true, Some(if is_cut { text + "…" } else { text }), None)
        }
        Difference::Unknown { why } => (true, None, Some(shortened(why))),
    };
    if merged.by != Evidence::Reverse {
        let form = match (&why, differs) {
            (Some(why), _) => format!("; its change could not be compared: {why}"),
            (None, true) => "; its change differs from the patch's".to_owned(),
            (None, false) => String::new(),
        };
        let named = commit.as_ref();
        let named = named.map(|commit| format!(" as {}", commit_in_words(commit)));
        let message = format!(
            "upstream merged it{}, found by {}{form}",
            named.unwrap_or_default(),
            evidence_in_words(merged.by)
        );
        patch.message = Some(shortened(&message));
    }
    let known = commit.as_ref();
    patch.merged = Some(MergedStatus {
        commit: known.map(|commit| commit.commit.clone()),
        by: merged.by,
        subject: known.map(|commit| commit.subject.clone()),
        author: known.and_then(|commit| commit.author.clone()),
        date: known.and_then(|commit| commit.date.clone()),
        url: known.and_then(|commit| commit.url.clone()),
        differs,
        interdiff,
    });
    patch.state = PatchState::Merged;
    (patch.conflict, patch.refresh) = (None, None);
}

/// How it is known that upstream has a patch, in words.
#[must_use]
pub fn evidence_in_words(by: Evidence) -> &'static str {
    match by {
        Evidence::Reverse => "taking it back",
        Evidence::Commit => "its own commit",
        Evidence::CherryPick => "what it was picked from",
        Evidence::ChangeId => "its Change-Id",
        Evidence::PatchId => "its changes (git patch-id)",
        Evidence::Authorship => "its author, date and subject",
    }
}

/// A commit as the status has it. Its texts are foreign: made printable, and bounded.
fn commit_status(commit: &UpstreamCommit, links: CommitLinks<'_>) -> UpstreamCommitStatus {
    let author = shortened(&commit.author);
    let url = commit_url(links.upstream, commit, links.template);
    UpstreamCommitStatus {
        commit: Recorded::new(commit.commit),
        subject: shortened(&commit.subject),
        author: (!author.is_empty()).then_some(author),
        date: date(commit.date),
        change_id: commit.change_id.as_deref().map(shortened),
        url: url.map(|url| printable(&url, URL_CHARACTERS)),
    }
}

/// A commit's date; `None` if the API does not take it.
fn date(seconds: i64) -> Option<Time> {
    let is_representable = (0..END_OF_TIMES).contains(&seconds);
    is_representable
        .then(|| Timestamp::from_second(seconds).ok().map(Time))
        .flatten()
}

/// A commit in words: `3f2a1bc 'Refactor the manager' (5 May 2025)`.
#[must_use]
pub fn commit_in_words(commit: &UpstreamCommitStatus) -> String {
    status_in_words(&commit.commit, &commit.subject, commit.date.as_ref())
}

/// The commit by which upstream has a patch, in words; `None` if it is not known.
#[must_use]
pub fn merged_in_words(merged: &MergedStatus) -> Option<String> {
    let subject = merged.subject.as_deref().unwrap_or_default();
    let commit = merged.commit.as_deref()?;
    Some(status_in_words(commit, subject, merged.date.as_ref()))
}

fn status_in_words(commit: &str, subject: &str, date: Option<&Time>) -> String {
    let subject = printable(subject, MESSAGE_SUBJECT);
    in_words(commit, &subject, date.map(|Time(date)| *date))
}

/// A commit in words, like [`commit_in_words`]. The subject has to be printable and bounded.
#[must_use]
pub fn in_words(commit: &str, subject: &str, date: Option<Timestamp>) -> String {
    let short: String = commit.chars().take(SHORT_COMMIT).collect();
    let date = date.map(|date| format!(" ({})", date.strftime("%-d %b %Y")));
    format!("{short} '{subject}'{}", date.unwrap_or_default())
}

/// The last revision of the upstream on which a patch of this name applied, according to a status.
#[must_use]
pub fn last_applied<'a>(previous: &'a PatchSetStatus, name: &str) -> Option<&'a Recorded<Revision>> {
    let known = previous.patches.iter().find(|patch| patch.name == name)?;
    if known.applies() {
        previous.upstream.as_ref().map(|upstream| &upstream.revision)
    } else {
        known.last_applied.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use git_apply_engine::Oid;
    use patchset_api::status::ConflictStatus;

    const LINKS: CommitLinks<'_> = CommitLinks {
        upstream: "https://opendev.org/openstack/demo",
        template: None,
    };

    fn commit(subject: &str) -> UpstreamCommit {
        UpstreamCommit {
            commit: Oid::from_bytes([0x3f; 20]),
            subject: subject.to_owned(),
            author: "A <a@example.org>".to_owned(),
            date: 1_746_403_200,
            change_id: Some(format!("I{}", "5".repeat(40))),
        }
    }

    fn patch(state: PatchState) -> PatchStatus {
        PatchStatus {
            message: Some("why".to_owned()),
            conflict: Some(ConflictStatus {
                file: "f".to_owned(),
                hunk: Some(1),
                line: Some(1),
                ..ConflictStatus::default()
            }),
            ..PatchStatus::new("0001.patch", state)
        }
    }

    fn merged(by: Evidence, difference: Difference) -> PatchHistory {
        PatchHistory {
            finding: Finding::Merged(Merged {
                commit: Some(commit("Refactor the manager")),
                by,
                difference,
            }),
            ..PatchHistory::default()
        }
    }

    #[test]
    fn what_is_merged_is_no_conflict() {
        let mut patches = [patch(PatchState::Conflict)];
        add_history(
            &mut patches,
            &[merged(Evidence::ChangeId, Difference::Same)],
            LINKS,
        );
        let [told] = patches;
        assert_eq!(
            (told.state, &told.conflict, told.is_merged_differing()),
            (PatchState::Merged, &None, false)
        );
        assert_eq!(
            told.message.as_deref(),
            Some("upstream merged it as 3f3f3f3 'Refactor the manager' (5 May 2025), found by its Change-Id")
        );
        let merged = told.merged.unwrap();
        assert_eq!((merged.by, merged.differs), (Evidence::ChangeId, false));
        assert_eq!(merged.date.unwrap().0.to_string(), "2025-05-05T00:00:00Z");
    }

    #[test]
    fn what_cannot_be_compared_counts_as_another_form() {
        let unknown = Difference::Unknown {
            why: "a file is too large".to_owned(),
        };
        let mut patches = [patch(PatchState::Blocked)];
        add_history(&mut patches, &[merged(Evidence::Commit, unknown)], LINKS);
        assert!(patches[0].is_merged_differing());
        let message = patches[0].message.as_deref().unwrap();
        assert!(
            message.ends_with("could not be compared: a file is too large"),
            "{message}"
        );
    }

    #[test]
    fn a_patch_that_applies_or_cannot_be_read_is_never_merged() {
        for state in [PatchState::Clean, PatchState::Offset, PatchState::Malformed] {
            let mut patches = [patch(state)];
            add_history(
                &mut patches,
                &[merged(Evidence::ChangeId, Difference::Same)],
                LINKS,
            );
            assert_eq!(patches, [patch(state)]);
        }
    }

    #[test]
    fn what_others_wrote_is_bounded_and_printable() {
        let hostile = UpstreamCommit {
            subject: "\u{1b}[2J\u{202e}".repeat(100_000),
            author: "\0".repeat(1 << 20),
            date: i64::MAX,
            change_id: Some("\n".repeat(1 << 20)),
            ..commit("")
        };
        let mut patches = [patch(PatchState::Conflict), patch(PatchState::Conflict)];
        let interdiff = Difference::Differs {
            interdiff: "+\u{1b}\r\n".repeat(1 << 18),
            shortened: true,
        };
        let history = [
            PatchHistory {
                finding: Finding::Merged(Merged {
                    commit: Some(hostile.clone()),
                    by: Evidence::Authorship,
                    difference: interdiff,
                }),
                ..PatchHistory::default()
            },
            PatchHistory {
                finding: Finding::Reverted {
                    merged: hostile.clone(),
                    reverted_by: hostile.clone(),
                },
                broken_by: Some(hostile),
                refresh: None,
                fuzz: None,
            },
        ];
        add_history(&mut patches, &history, LINKS);
        let json = serde_json::to_string(&patches).unwrap();
        assert!(json.len() < 64 << 10, "{} bytes", json.len());
        for told in ["\\u001b", "\\u0000", "\u{202e}"] {
            assert!(!json.contains(told), "{told:?}");
        }
        assert_eq!(patches[0].merged.as_ref().unwrap().date, None);
        let interdiff = patches[0].merged.as_ref().unwrap().interdiff.as_ref().unwrap();
        assert!(
            interdiff.ends_with('…') && interdiff.starts_with("+\u{fffd}"),
            "{interdiff:.20}"
        );
    }

    #[test]
    fn histories_are_searched_from_a_day_before_a_patch_or_for_400_days() {
        assert_eq!((CLOCK_SLACK, UNDATED), (86_400, 34_560_000));
    }

    #[test]
    fn an_interdiff_that_is_cut_says_so_once() {
        for (interdiff, shortened, expected) in [
            ("+a", false, "+a"),
            ("+a", true, "+a…"),
            ("+a…", true, "+a…"),
            ("+a…", false, "+a…"),
        ] {
            let difference = Difference::Differs {
                interdiff: interdiff.to_owned(),
                shortened,
            };
            let mut patches = [patch(PatchState::Conflict)];
            add_history(&mut patches, &[merged(Evidence::ChangeId, difference)], LINKS);
            let told = patches[0].merged.as_ref().unwrap();
            assert_eq!((told.interdiff.as_deref(), told.differs), (Some(expected), true));
            let message = patches[0].message.as_deref().unwrap();
            assert!(
                message.ends_with("; its change differs from the patch's"),
                "{message}"
            );
        }
    }

    #[test]
    fn the_first_ten_interdiffs_are_told() {
        let differs = |_| {
            let difference = Difference::Differs {
                interdiff: "+a".to_owned(),
                shortened: false,
            };
            merged(Evidence::ChangeId, difference)
        };
        let history: Vec<PatchHistory> = (0..12).map(differs).collect();
        let mut patches = vec![patch(PatchState::Conflict); 12];
        add_history(&mut patches, &history, LINKS);
        let told = patches.iter().map(|patch| patch.merged.as_ref().unwrap());
        let told: Vec<bool> = told.map(|merged| merged.interdiff.is_some()).collect();
        assert_eq!(told, [[true; 10].as_slice(), &[false; 2]].concat());
    }

    #[test]
    fn a_commit_is_told_as_far_as_it_says_something() {
        let told = |commit: UpstreamCommit| {
            let mut patches = [patch(PatchState::Conflict)];
            let history = PatchHistory {
                broken_by: Some(commit),
                ..PatchHistory::default()
            };
            add_history(&mut patches, &[history], LINKS);
            patches[0].conflict.as_ref().unwrap().broken_by.clone().unwrap()
        };
        let known = told(commit("Refactor"));
        assert_eq!(known.commit.as_str(), "3f".repeat(20));
        assert_eq!(known.subject, "Refactor");
        assert_eq!(known.author.as_deref(), Some("A <a@example.org>"));
        assert_eq!(known.change_id, Some(format!("I{}", "5".repeat(40))));
        assert_eq!(commit_in_words(&known), "3f3f3f3 'Refactor' (5 May 2025)");
        let bare = told(UpstreamCommit {
            author: String::new(),
            date: -1,
            change_id: None,
            ..commit("Refactor")
        });
        assert_eq!((bare.author, bare.change_id), (None, None));
        assert_eq!(bare.date, None);
    }

    #[test]
    fn what_was_taken_back_or_is_not_there_is_not_merged() {
        let reverted = PatchHistory {
            finding: Finding::Reverted {
                merged: commit("Take it"),
                reverted_by: commit("Revert it"),
            },
            ..PatchHistory::default()
        };
        assert!(merged(Evidence::ChangeId, Difference::Same).is_merged());
        assert!(!reverted.is_merged() && !PatchHistory::default().is_merged());
        let mut patches = [patch(PatchState::Conflict)];
        add_history(&mut patches, &[reverted], LINKS);
        let told = patches[0].reverted.as_ref().unwrap();
        assert_eq!(
            (told.merged.subject.as_str(), told.by.subject.as_str()),
            ("Take it", "Revert it")
        );
        assert_eq!(patches[0].state, PatchState::Conflict);
    }
}
