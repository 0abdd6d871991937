//! Finds the commits of an upstream that are a series' patches.

use std::collections::HashMap;
use std::rc::Rc;

use git_apply_engine::{Objects, Oid, PatchState};

use super::by_change::ByChange;
use super::commit::Commit;
use super::difference::{Upstream, compare};
use super::finding::{Bounds, Commits, Difference, Evidence, Finding, HistoryError, Judged, Merged};
use super::message::{self, CommitName, FEWEST_DIGITS};
use super::patch_mail::{Authorship, PatchOrigin, origin};
use super::reverts::{Noted, Reverts};
use super::walk::Walk;

/// The most commits that are compared with a patch if several may be it.
const MOST_COMPARED: usize = 8;

/// The most candidates for a patch that are kept for one reason.
const MOST_CANDIDATES: usize = 256;

/// The most reverts of a history that are kept, from the newest.
const MOST_REVERTS: usize = 8192;

/// Finds out what upstream did with each patch of a series that does not apply at a commit.
///
/// Only ancestors of `tip` count. Patches that apply, and those that cannot be read, are not looked
/// for: they are [`Finding::Absent`]. If none is left, nothing is read at all.
///
/// # Errors
///
/// If commits cannot be read. Missing trees and blobs make a finding less certain, and are no
/// error.
pub fn find_merged(
    commits: &dyn Commits,
    objects: &dyn Objects,
    tip: Oid,
    series: &[Judged<'_>],
    bounds: &Bounds,
) -> Result<Vec<Finding>, HistoryError> {
    let mut findings: Vec<Finding> = series.iter().map(|_| Finding::Absent).collect();
    let wanted: Vec<Wanted<'_>> = series
        .iter()
        .enumerate()
        .filter(|(_, judged)| is_looked_for(judged.report.state))
        .map(|(number, judged)| Wanted::new(number, *judged))
        .collect();
    if wanted.is_empty() {
        return Ok(findings);
    }
    let mut needles = Needles::new(&wanted);
    let walk = Walk::from(commits, tip, bounds, |number, commit| {
        needles.look_at(number, commit);
    })?;
    let reverts = Reverts::new(&walk, commits, std::mem::take(&mut needles.reverts));
    let upstream = Upstream {
        commits,
        objects,
        bounds,
    };
    let search = Search { upstream, reverts };
    let mut by_change = ByChange::new(upstream, &walk);
    for (wanted, candidates) in wanted.iter().zip(&needles.candidates) {
        if let Some(finding) = findings.get_mut(wanted.number) {
            *finding = search.find(wanted, candidates, &mut by_change)?;
        }
    }
    Ok(findings)
}

/// Whether a patch in this state is looked for: it does not apply, and can be read.
#[must_use]
pub fn is_looked_for(state: PatchState) -> bool {
    matches!(
        state,
        PatchState::Conflict | PatchState::Blocked | PatchState::Merged
    )
}

/// A patch that is looked for.
struct Wanted<'a> {
    /// Its number in the series.
    number: usize,
    judged: Judged<'a>,
    origin: PatchOrigin,
}

impl<'a> Wanted<'a> {
    fn new(number: usize, judged: Judged<'a>) -> Self {
        Self {
            number,
            judged,
            origin: origin(&judged.patch.bytes),
        }
    }
}

/// The commits that may be a patch, newest first, by the reason.
#[derive(Default)]
struct Candidates {
    /// Its own commit.
    own: Vec<Rc<Noted>>,
    /// Picked from its own commit.
    of_own: Vec<Rc<Noted>>,
    /// Those of each group that it was picked from.
    picks: Vec<Vec<Rc<Noted>>>,
    /// Those of each of its `Change-Id`s.
    change_ids: Vec<Vec<Rc<Noted>>>,
    authorship: Vec<Rc<Noted>>,
}

/// Why a commit may be a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Own,
    OfOwn,
    Pick(usize),
    ChangeId(usize),
    Authorship,
}

/// What is looked for in messages, indexed for fast lookup.
#[derive(Default)]
struct Needles {
    /// Commits that patches name, by the first digits, which every name has.
    names: HashMap<[u8; FEWEST_DIGITS], Vec<(CommitName, usize, Reason)>>,
    change_ids: HashMap<String, Vec<(usize, Reason)>>,
    authorship: HashMap<Authorship, Vec<usize>>,
    candidates: Vec<Candidates>,
    reverts: Vec<Rc<Noted>>,
}

impl Needles {
    fn new(wanted: &[Wanted<'_>]) -> Self {
        let mut needles = Self::default();
        for (at, Wanted { origin, .. }) in wanted.iter().enumerate() {
            let own = origin.commit.map(|own| (CommitName::Whole(own), Reason::Own));
            let picks = origin.picks.iter().enumerate();
            let picks = picks.flat_map(|(group, names)| {
                let names = names.iter().cloned();
                names.map(move |name| (name, Reason::Pick(group)))
            });
            for (name, reason) in own.into_iter().chain(picks) {
                let same = needles.names.entry(name.first_digits()).or_default();
                same.push((name, at, reason));
            }
            for (number, id) in origin.change_ids.iter().enumerate() {
                let reasons = needles.change_ids.entry(id.clone()).or_default();
                reasons.push((at, Reason::ChangeId(number)));
            }
            if let Some(authorship) = &origin.authorship {
                needles.authorship.entry(authorship.clone()).or_default().push(at);
            }
            needles.candidates.push(Candidates {
                picks: vec![Vec::new(); origin.picks.len()],
                change_ids: vec![Vec::new(); origin.change_ids.len()],
                ..Candidates::default()
            });
        }
        needles
    }

    /// The patches that name a commit, and why.
    fn naming(&self, name: &CommitName) -> impl Iterator<Item = (usize, Reason)> {
        let same = self.names.get(&name.first_digits()).into_iter().flatten();
        let name = name.clone();
        same.filter(move |(other, ..)| other.agrees(&name))
            .map(|(_, at, reason)| (*at, *reason))
    }

    /// Keeps a commit if it may be a patch, or reverts another one.
    fn look_at(&mut self, number: usize, commit: &Commit) {
        let noted = note(number, commit);
        let mut reasons: Vec<(usize, Reason)> = Vec::new();
        reasons.extend(self.naming(&CommitName::Whole(commit.id)));
        // The message of a merge is about what it merges, which is found by itself.
        if commit.parents.len() > 1 {
            reasons.retain(|(_, reason)| *reason == Reason::Own);
        } else {
            self.look_at_message(&noted, &mut reasons);
        }
        let is_revert = !noted.reverts.is_empty() && self.reverts.len() < MOST_REVERTS;
        if reasons.is_empty() && !is_revert {
            return;
        }
        let noted = Rc::new(noted);
        for (at, reason) in reasons {
            let Some(candidates) = self.candidates.get_mut(at) else {
                continue;
            };
            let list = match reason {
                Reason::Own => Some(&mut candidates.own),
                Reason::OfOwn => Some(&mut candidates.of_own),
                Reason::Pick(group) => candidates.picks.get_mut(group),
                Reason::ChangeId(id) => candidates.change_ids.get_mut(id),
                Reason::Authorship => Some(&mut candidates.authorship),
            };
            if let Some(list) = list
                && list.len() < MOST_CANDIDATES
                && list.last().is_none_or(|last| last.number != number)
            {
                list.push(Rc::clone(&noted));
            }
        }
        if is_revert {
            self.reverts.push(noted);
        }
    }

    fn look_at_message(&self, noted: &Noted, reasons: &mut Vec<(usize, Reason)>) {
        let commit = &noted.commit;
        for from in &noted.picked_from {
            reasons.extend(self.naming(from).map(|(at, reason)| match reason {
                Reason::Own => (at, Reason::OfOwn),
                other => (at, other),
            }));
        }
        for id in &noted.change_ids {
            reasons.extend(self.change_ids.get(id).into_iter().flatten());
        }
        if !self.authorship.is_empty() {
            let authorship = Authorship {
                email: commit.author.email.to_ascii_lowercase(),
                seconds: commit.author.seconds,
                subject: commit.subject(),
            };
            let found = self.authorship.get(&authorship).into_iter().flatten();
            reasons.extend(found.map(|at| (*at, Reason::Authorship)));
        }
    }
}

/// Reads what a commit's message says about others.
fn note(number: usize, commit: &Commit) -> Noted {
    let text = commit.text();
    let lower = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    Noted {
        number,
        picked_from: if says(&["cherry", "backport", "upstream"]) {
            let picks = patch_headers::picks(&text).into_iter();
            let commits = picks.flat_map(|pick| pick.commits);
            commits.filter_map(|id| CommitName::parse(&id)).collect()
        } else {
            Vec::new()
        },
        change_ids: if says(&["change-id", "/id/i"]) {
            patch_headers::change_ids(&text)
        } else {
            Vec::new()
        },
        reverts: if says(&["revert"]) {
            message::reverts(&text)
        } else {
            Vec::new()
        },
        commit: commit.clone(),
    }
}

/// The state of the commits that may be a patch, or a part of it.
enum Standing {
    /// There are none.
    Absent,
    /// These count.
    There(Vec<Rc<Noted>>),
    /// The newest was reverted.
    Reverted(Rc<Noted>, Rc<Noted>),
}

struct Search<'a> {
    upstream: Upstream<'a>,
    reverts: Reverts<'a>,
}

impl Search<'_> {
    /// What upstream did with a patch.
    fn find(
        &self,
        wanted: &Wanted<'_>,
        candidates: &Candidates,
        by_change: &mut ByChange<'_>,
    ) -> Result<Finding, HistoryError> {
        let own = std::slice::from_ref(&candidates.own);
        let of_own = std::slice::from_ref(&candidates.of_own);
        let ways = [
            (Evidence::Commit, own),
            (Evidence::CherryPick, of_own),
            (Evidence::CherryPick, candidates.picks.as_slice()),
            (Evidence::ChangeId, candidates.change_ids.as_slice()),
        ];
        let mut gone = None;
        for (by, parts) in ways {
            if let Some(merged) = self.merged_by(wanted, by, parts, &mut gone)? {
                return Ok(merged);
            }
        }
        // The likely ones first, which spares a look at all commits.
        for likely in [candidates.authorship.as_slice(), &[]] {
            let same = by_change.find(&wanted.judged, likely)?.into_iter();
            let same: Vec<Rc<Noted>> = same
                .map(|(number, commit)| Rc::new(note(number, &commit)))
                .collect();
            let same = std::slice::from_ref(&same);
            if let Some(merged) = self.merged_by(wanted, Evidence::PatchId, same, &mut gone)? {
                return Ok(merged);
            }
        }
        let authorship: Vec<Rc<Noted>> = by_authorship(wanted, candidates, by_change)?;
        let authorship = std::slice::from_ref(&authorship);
        if let Some(merged) = self.merged_by(wanted, Evidence::Authorship, authorship, &mut gone)? {
            return Ok(merged);
        }
        Ok(match gone {
            _ if wanted.judged.report.state == PatchState::Merged => Finding::Merged(Merged {
                commit: None,
                by: Evidence::Reverse,
                difference: Difference::Same,
            }),
            Some((merged, reverted_by)) => Finding::Reverted {
                merged: merged.commit.described(),
                reverted_by: reverted_by.commit.described(),
            },
            None => Finding::Absent,
        })
    }

    /// Returns the finding if every part of a patch is there, for one reason.
    fn merged_by(
        &self,
        wanted: &Wanted<'_>,
        by: Evidence,
        parts: &[Vec<Rc<Noted>>],
        gone: &mut Option<(Rc<Noted>, Rc<Noted>)>,
    ) -> Result<Option<Finding>, HistoryError> {
        let mut there = Vec::new();
        for part in parts {
            match self.standing(part)? {
                Standing::There(found) => there.push(found),
                Standing::Reverted(merged, by) => {
                    gone.get_or_insert((merged, by));
                    return Ok(None);
                }
                Standing::Absent => return Ok(None),
            }
        }
        let Some((commit, difference)) = self.closest(wanted, by, &there)? else {
            return Ok(None);
        };
        // What applies in reverse is there unchanged.
        let (by, difference) = match wanted.judged.report.state {
            PatchState::Merged => (Evidence::Reverse, Difference::Same),
            _ => (by, difference),
        };
        Ok(Some(Finding::Merged(Merged {
            commit: Some(commit.commit.described()),
            by,
            difference,
        })))
    }

    /// Returns which of some commits, all with the same change, count. If one is reverted, so are
    /// those that precede the revert.
    fn standing(&self, part: &[Rc<Noted>]) -> Result<Standing, HistoryError> {
        let mut taken_back = Vec::new();
        for noted in part {
            if let Some(revert) = self.reverts.reverted_by(noted)? {
                taken_back.push((Rc::clone(noted), revert));
            }
        }
        let counts = |noted: &&Rc<Noted>| {
            taken_back.iter().all(|(gone, revert)| {
                gone.number != noted.number && !self.reverts.is_ancestor(noted.number, revert.number)
            })
        };
        let there: Vec<Rc<Noted>> = part.iter().filter(counts).map(Rc::clone).collect();
        Ok(match taken_back.into_iter().next() {
            _ if !there.is_empty() => Standing::There(there),
            Some((merged, revert)) => Standing::Reverted(merged, revert),
            None => Standing::Absent,
        })
    }

    /// Returns which of the commits that count to report, and how its change differs from the
    /// patch: of several for the same part, the one with the same change, else the newest.
    fn closest(
        &self,
        wanted: &Wanted<'_>,
        by: Evidence,
        parts: &[Vec<Rc<Noted>>],
    ) -> Result<Option<(Rc<Noted>, Difference)>, HistoryError> {
        if let [part] = parts {
            let mut first = None;
            for noted in part.iter().take(MOST_COMPARED) {
                let difference = compare(self.upstream, &wanted.judged, &[&noted.commit])?;
                if difference == Difference::Same {
                    return Ok(Some((Rc::clone(noted), difference)));
                }
                first.get_or_insert((Rc::clone(noted), difference));
            }
            // The least certain reason does not count if it holds for several.
            return Ok(first.filter(|_| by != Evidence::Authorship || part.len() == 1));
        }
        let mut all: Vec<Rc<Noted>> = parts
            .iter()
            .filter_map(|part| part.first().map(Rc::clone))
            .collect();
        // Oldest first, each once.
        all.sort_by_key(|noted| std::cmp::Reverse(noted.number));
        all.dedup_by_key(|noted| noted.number);
        let commits: Vec<&Commit> = all.iter().map(|noted| &noted.commit).collect();
        let Some(newest) = all.last() else {
            return Ok(None);
        };
        let difference = compare(self.upstream, &wanted.judged, &commits)?;
        Ok(Some((Rc::clone(newest), difference)))
    }
}

/// The commits with the patch's author, date and subject that may be the whole of it: they touch
/// all its files, and are not known to be a part of it.
fn by_authorship(
    wanted: &Wanted<'_>,
    candidates: &Candidates,
    by_change: &mut ByChange<'_>,
) -> Result<Vec<Rc<Noted>>, HistoryError> {
    let mut found = Vec::new();
    for noted in &candidates.authorship {
        let is_part = noted
            .change_ids
            .iter()
            .any(|id| wanted.origin.change_ids.contains(id));
        if !is_part && by_change.touches_all(&wanted.judged, &noted.commit)? {
            found.push(Rc::clone(noted));
        }
    }
    Ok(found)
}
