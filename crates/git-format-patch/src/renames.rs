//! Which deleted files were renamed to new ones, by the rules of `git diff -M` (diffcore-rename.c
//! and diffcore-delta.c).

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use git_apply_engine::Oid;

use super::changes::{Change, MAX_SCORE, Side};
use super::contents::{Contents, is_binary};
use super::error::FormatError;

/// The least score of a rename.
const LEAST_SCORE: u64 = MAX_SCORE / 2;
/// The least score of files that are paired only because their names without folders match.
const LEAST_BY_BASE_NAME: u64 = LEAST_SCORE + (MAX_SCORE - LEAST_SCORE) / 2;
/// How many files on each side are compared with each other (`diff.renameLimit`).
const MOST_CANDIDATES: usize = 1000;
/// How many sources are kept for each new file.
const KEPT_FOR_EACH: usize = 4;
/// How many files with the same contents are looked at.
const MOST_IDENTICAL: usize = 100;

/// Joins deleted files with the added ones that they became.
pub(crate) fn detect(changes: Vec<Change>, contents: &Contents<'_>) -> Result<Vec<Change>, FormatError> {
    let sides = |pick: fn(&Change) -> Option<&Side>| -> Vec<Side> {
        changes.iter().filter_map(pick).cloned().collect()
    };
    let mut search = Search {
        contents,
        sources: sides(|change| match change {
            Change::Deleted(old) => Some(old),
            _ => None,
        }),
        targets: sides(|change| match change {
            Change::Added(new) => Some(new),
            _ => None,
        }),
        used: BTreeMap::new(),
        found: BTreeMap::new(),
        spans: HashMap::new(),
    };
    if search.sources.is_empty() || search.targets.is_empty() {
        return Ok(changes);
    }
    search.exact();
    search.by_base_name()?;
    search.by_similarity()?;
    Ok(search.joined(changes))
}

struct Search<'a> {
    contents: &'a Contents<'a>,
    sources: Vec<Side>,
    targets: Vec<Side>,
    /// The targets of sources.
    used: BTreeMap<usize, usize>,
    /// The sources of targets, with their scores.
    found: BTreeMap<usize, (usize, u64)>,
    /// How many bytes a file has in which spans.
    spans: HashMap<Oid, HashMap<u32, u64>>,
}

/// A source of a new file.
#[derive(Clone, Copy)]
struct Candidate {
    target: usize,
    source: usize,
    score: u64,
    has_same_base_name: bool,
}

impl Candidate {
    fn rank(&self) -> (u64, bool) {
        (self.score, self.has_same_base_name)
    }
}

impl Search<'_> {
    fn record(&mut self, target: usize, source: usize, score: u64) {
        self.used.insert(source, target);
        self.found.insert(target, (source, score));
    }

    /// Pairs files with the same contents; of several, one with the same name.
    fn exact(&mut self) {
        let mut by_id: HashMap<Oid, Vec<usize>> = HashMap::new();
        for (number, source) in self.sources.iter().enumerate() {
            by_id.entry(source.id).or_default().push(number);
        }
        for target in 0..self.targets.len() {
            let Some(new) = self.targets.get(target) else {
                continue;
            };
            let mut best = None;
            let alike = by_id.get(&new.id).map(Vec::as_slice).unwrap_or_default();
            let mut looked_at = 0;
            for source in alike {
                let Some(old) = self.sources.get(*source) else {
                    continue;
                };
                let is_of_its_kind = old.is_regular() && new.is_regular() || old.mode == new.mode;
                if !is_of_its_kind || self.used.contains_key(source) {
                    continue;
                }
                if old.base_name() == new.base_name() {
                    best = Some(*source);
                    break;
                }
                best = best.or(Some(*source));
                looked_at += 1;
                if looked_at >= MOST_IDENTICAL {
                    break;
                }
            }
            if let Some(source) = best {
                self.record(target, source, MAX_SCORE);
            }
        }
    }

    /// Pairs files whose names without folders are unique on each side.
    fn by_base_name(&mut self) -> Result<(), FormatError> {
        let only = |sides: &[Side], is_taken: &dyn Fn(usize) -> bool| {
            let mut names: HashMap<Vec<u8>, Option<usize>> = HashMap::new();
            for (number, side) in sides.iter().enumerate().filter(|(number, _)| !is_taken(*number)) {
                names
                    .entry(side.base_name().to_vec())
                    .and_modify(|only| *only = None)
                    .or_insert(Some(number));
            }
            names
        };
        let sources = only(&self.sources, &|number| self.used.contains_key(&number));
        let targets = only(&self.targets, &|number| self.found.contains_key(&number));
        let mut pairs: Vec<(usize, usize)> = sources
            .into_iter()
            .filter_map(|(name, source)| Some((source?, (*targets.get(&name)?)?)))
            .collect();
        pairs.sort_unstable();
        for (source, target) in pairs {
            let score = self.similarity(source, target, LEAST_BY_BASE_NAME)?;
            if score >= LEAST_BY_BASE_NAME {
                self.record(target, source, score);
            }
        }
        Ok(())
    }

    /// Pairs all others, the most similar first.
    fn by_similarity(&mut self) -> Result<(), FormatError> {
        let sources: Vec<usize> = (0..self.sources.len())
            .filter(|number| !self.used.contains_key(number))
            .collect();
        let targets: Vec<usize> = (0..self.targets.len())
            .filter(|number| !self.found.contains_key(number))
            .collect();
        if sources.len().saturating_mul(targets.len()) > MOST_CANDIDATES * MOST_CANDIDATES {
            return Ok(());
        }
        let mut candidates = Vec::new();
        for target in targets {
            let mut kept: Vec<Candidate> = Vec::new();
            for source in &sources {
                let score = self.similarity(*source, target, LEAST_SCORE)?;
                let names = (self.sources.get(*source), self.targets.get(target));
                let candidate = Candidate {
                    target,
                    source: *source,
                    score,
                    has_same_base_name: matches!(names, (Some(old), Some(new)) if old.base_name() == new.base_name()),
                };
                if kept.len() < KEPT_FOR_EACH {
                    kept.push(candidate);
                    continue;
                }
                // The first of the worst is replaced.
                let worst = kept
                    .iter_mut()
                    .reduce(|worst, one| if one.rank() < worst.rank() { one } else { worst });
                if let Some(worst) = worst.filter(|worst| candidate.rank() > worst.rank()) {
                    *worst = candidate;
                }
            }
            candidates.append(&mut kept);
        }
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.rank()));
        for Candidate {
            target,
            source,
            score,
            ..
        } in candidates
        {
            let is_free = !self.found.contains_key(&target) && !self.used.contains_key(&source);
            if is_free && score >= LEAST_SCORE {
                self.record(target, source, score);
            }
        }
        Ok(())
    }

    /// How much of a file another one has.
    fn similarity(&mut self, source: usize, target: usize, least: u64) -> Result<u64, FormatError> {
        let contents = self.contents;
        let (Some(old), Some(new)) = (self.sources.get(source), self.targets.get(target)) else {
            return Ok(0);
        };
        if !old.is_regular() || !new.is_regular() {
            return Ok(0);
        }
        let (old_id, new_id) = (old.id, new.id);
        let sizes = [contents.read(old)?.len(), contents.read(new)?.len()].map(as_u64);
        let (largest, smallest) = (sizes[0].max(sizes[1]), sizes[0].min(sizes[1]));
        let beyond = (largest - smallest).saturating_mul(MAX_SCORE);
        if largest.saturating_mul(MAX_SCORE - least) < beyond || sizes[1] == 0 {
            return Ok(0);
        }
        for number in [(&self.sources, source), (&self.targets, target)] {
            let Some(side) = number.0.get(number.1) else {
                continue;
            };
            if let Entry::Vacant(place) = self.spans.entry(side.id) {
                place.insert(spans(contents.read(side)?));
            }
        }
        let (Some(old), Some(new)) = (self.spans.get(&old_id), self.spans.get(&new_id)) else {
            return Ok(0);
        };
        contents.spend(old.len())?;
        let common: u64 = old
            .iter()
            .map(|(span, bytes)| new.get(span).map_or(0, |other| *other.min(bytes)))
            .sum();
        Ok(common.saturating_mul(MAX_SCORE) / largest.max(1))
    }

    /// The changes with the renames in the places of the new files.
    fn joined(mut self, changes: Vec<Change>) -> Vec<Change> {
        let (mut source, mut target) = (0, 0);
        let mut joined = Vec::new();
        for change in changes {
            match change {
                Change::Deleted(old) => {
                    if !self.used.contains_key(&source) {
                        joined.push(Change::Deleted(old));
                    }
                    source += 1;
                }
                Change::Added(new) => {
                    let origin = self.found.remove(&target);
                    let renamed =
                        origin.and_then(|(from, score)| Some((self.sources.get(from)?.clone(), score)));
                    joined.push(match renamed {
                        Some((old, score)) => Change::Renamed { old, new, score },
                        None => Change::Added(new),
                    });
                    target += 1;
                }
                change => joined.push(change),
            }
        }
        joined
    }
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// How many bytes of a file are in spans with which hash. Spans are lines, cut after 64 bytes.
///
/// What follows the last line feed or cut is not counted, as in Git up to 2.43.
fn spans(text: &[u8]) -> HashMap<u32, u64> {
    const BASE: u32 = 107_927;
    let is_text = !is_binary(text);
    let mut spans: HashMap<u32, u64> = HashMap::new();
    let (mut one, mut two, mut length) = (0_u32, 0_u32, 0_u64);
    let mut bytes = text.iter().peekable();
    while let Some(byte) = bytes.next() {
        if is_text && *byte == b'\r' && bytes.peek() == Some(&&b'\n') {
            continue;
        }
        let before = one;
        one = (one << 7) ^ (two >> 25);
        two = (two << 7) ^ (before >> 25);
        one = one.wrapping_add(u32::from(*byte));
        length += 1;
        if length < 64 && *byte != b'\n' {
            continue;
        }
        let hash = one.wrapping_add(two.wrapping_mul(0x61)) % BASE;
        *spans.entry(hash).or_default() += length;
        (one, two, length) = (0, 0, 0);
    }
    spans
}
