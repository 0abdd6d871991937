//! Which patch is which in two versions of a series.

use std::collections::HashMap;
use std::hash::Hash;

use super::fingerprint::PatchFingerprint;
use super::line_count::LineCount;

/// How many of the lines that two patches change have to be the same, in percent, for one to be
/// taken for the other if nothing else decides.
const LEAST_COMMON: usize = 50;

/// Returns for each new patch which old one it is; `None` for one that was added.
///
/// `known` has pairs that are certain, by their numbers among old and new ones. The others are
/// paired by what identifies them, the most certain first: the commit that they were made from, the
/// same `Change-Id`s, message, subject with author, changed lines, name, and finally by most of the
/// changed lines. A key that several patches share is skipped in a first round, and matched in
/// order in a second.
#[must_use]
pub fn pair_patches(
    old: &[PatchFingerprint],
    new: &[PatchFingerprint],
    known: &[(usize, usize)],
) -> Vec<Option<usize>> {
    let mut pairing = Pairing {
        old,
        new,
        of_old: vec![None; old.len()],
        of_new: vec![None; new.len()],
    };
    for (old, new) in known {
        pairing.pair(*old, *new);
    }
    for repeated in [Repeated::PassedOver, Repeated::InOrder] {
        pairing.by_key(repeated, |patch| {
            Some((&patch.message, patch.comparable())).filter(|key| !key.1.is_empty())
        });
        pairing.by_key(repeated, |patch| patch.commit.clone());
        pairing.by_key(repeated, |patch| {
            Some(&patch.change_ids).filter(|ids| !ids.is_empty())
        });
        pairing.by_key(repeated, |patch| {
            Some(&patch.message).filter(|message| !message.is_empty())
        });
        pairing.by_key(repeated, |patch| Some((&patch.subject, &patch.author)));
        pairing.by_key(repeated, |patch| {
            let lines: Vec<&[u8]> = patch.changes().collect();
            Some(lines).filter(|lines| !lines.is_empty())
        });
        pairing.by_key(repeated, |patch| {
            Some(&patch.name).filter(|name| !name.is_empty())
        });
    }
    pairing.by_lines();
    pairing.of_new
}

/// What to do with a key that several patches of a side share.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeated {
    PassedOver,
    InOrder,
}

struct Pairing<'a> {
    old: &'a [PatchFingerprint],
    new: &'a [PatchFingerprint],
    of_old: Vec<Option<usize>>,
    of_new: Vec<Option<usize>>,
}

impl<'a> Pairing<'a> {
    fn pair(&mut self, old: usize, new: usize) {
        if let (Some(to_new @ None), Some(to_old @ None)) =
            (self.of_old.get_mut(old), self.of_new.get_mut(new))
        {
            (*to_new, *to_old) = (Some(new), Some(old));
        }
    }

    fn unpaired<'p>(
        patches: &'p [PatchFingerprint],
        paired: &'p [Option<usize>],
    ) -> impl Iterator<Item = (usize, &'p PatchFingerprint)> {
        let all = patches.iter().zip(paired).enumerate();
        all.filter(|(_, (_, paired))| paired.is_none())
            .map(|(at, (patch, _))| (at, patch))
    }

    fn by_key<K: Eq + Hash>(&mut self, repeated: Repeated, key: impl Fn(&'a PatchFingerprint) -> Option<K>) {
        let (old, new) = (self.old, self.new);
        let mut places: HashMap<K, [Vec<usize>; 2]> = HashMap::new();
        let sides = [(old, &self.of_old), (new, &self.of_new)];
        for (side, (patches, paired)) in sides.into_iter().enumerate() {
            let left: Vec<usize> = Self::unpaired(patches, paired).map(|(at, _)| at).collect();
            for at in left {
                if let Some(key) = patches.get(at).and_then(&key)
                    && let Some(places) = places.entry(key).or_default().get_mut(side)
                {
                    places.push(at);
                }
            }
        }
        for [old, new] in places.into_values() {
            if repeated == Repeated::PassedOver && (old.len() != 1 || new.len() != 1) {
                continue;
            }
            for (old, new) in old.into_iter().zip(new) {
                self.pair(old, new);
            }
        }
    }

    /// Pairs those with the most lines in common, the most similar first.
    fn by_lines(&mut self) {
        let mut found = Vec::new();
        let counted = |patch: &'a PatchFingerprint| patch.changes().collect::<LineCount<'a>>();
        let new: Vec<(usize, LineCount<'a>)> = Self::unpaired(self.new, &self.of_new)
            .map(|(at, _)| at)
            .filter_map(|at| Some((at, counted(self.new.get(at)?))))
            .collect();
        let left_of_old: Vec<usize> = Self::unpaired(self.old, &self.of_old).map(|(at, _)| at).collect();
        for old_at in left_of_old {
            let Some(patch) = self.old.get(old_at) else {
                continue;
            };
            let old_lines = counted(patch);
            for (new_at, new_lines) in &new {
                let most = old_lines.total().max(new_lines.total());
                if most == 0 {
                    continue;
                }
                let percent = old_lines.common(new_lines) * 100 / most;
                if percent >= LEAST_COMMON {
                    found.push((usize::MAX - percent, old_at, *new_at));
                }
            }
        }
        found.sort_unstable();
        for (_, old, new) in found {
            self.pair(old, new);
        }
    }
}
