//! Which commits were reverted by later ones.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use git_apply_engine::Oid;

use super::commit::Commit;
use super::finding::{Commits, HistoryError};
use super::message::{CommitName, RevertTarget, reverted_subject};
use super::walk::Walk;

/// The longest chain of reverts of reverts that is followed.
const LONGEST_CHAIN: usize = 64;

/// How often the ancestors of a commit are computed; after that, older commits count as ancestors.
const MOST_WALKS: usize = 512;

/// A commit of the walk that matters: it may be a patch's, or reverts another.
#[derive(Clone, Debug)]
pub(super) struct Noted {
    pub(super) number: usize,
    pub(super) commit: Commit,
    /// What it was picked from.
    pub(super) picked_from: Vec<CommitName>,
    pub(super) change_ids: Vec<String>,
    /// What it reverts.
    pub(super) reverts: Vec<RevertTarget>,
}

/// The reverts of a history.
pub(super) struct Reverts<'a> {
    walk: &'a Walk,
    commits: &'a dyn Commits,
    all: Vec<Rc<Noted>>,
    ancestors: RefCell<HashMap<usize, Rc<Vec<bool>>>>,
    walks: Cell<usize>,
    /// What reverts the commits that were looked at.
    known: RefCell<HashMap<usize, Option<Rc<Noted>>>>,
    /// All commits by id, to look up abbreviated ones.
    by_id: OnceCell<Vec<(Oid, usize)>>,
    /// The `Change-Id`s of commits that are named but are not ancestors.
    elsewhere: RefCell<HashMap<Oid, Rc<Vec<String>>>>,
}

impl<'a> Reverts<'a> {
    pub(super) fn new(walk: &'a Walk, commits: &'a dyn Commits, all: Vec<Rc<Noted>>) -> Self {
        Self {
            walk,
            commits,
            all,
            ancestors: RefCell::default(),
            walks: Cell::default(),
            known: RefCell::default(),
            by_id: OnceCell::new(),
            elsewhere: RefCell::default(),
        }
    }

    /// Returns the commit that reverted another; `None` if it still counts.
    pub(super) fn reverted_by(&self, noted: &Noted) -> Result<Option<Rc<Noted>>, HistoryError> {
        self.follow(noted, 0)
    }

    /// Whether a commit is an ancestor of another.
    pub(super) fn is_ancestor(&self, one: usize, of: usize) -> bool {
        match self.ancestors(of) {
            Some(ancestors) => ancestors.get(one).copied().unwrap_or(false),
            None => one > of,
        }
    }

    fn follow(&self, noted: &Noted, depth: usize) -> Result<Option<Rc<Noted>>, HistoryError> {
        if let Some(known) = self.known.borrow().get(&noted.number) {
            return Ok(known.clone());
        }
        if depth > LONGEST_CHAIN {
            return Ok(None);
        }
        let mut found = None;
        // The newest first.
        for revert in &self.all {
            if revert.number != noted.number
                && self.takes_back(revert, noted)?
                && self.follow(revert, depth + 1)?.is_none()
            {
                // It counts by itself, or because its revert was reverted in turn.
                found = Some(self.last_of(revert, depth + 1)?);
                break;
            }
        }
        self.known.borrow_mut().insert(noted.number, found.clone());
        Ok(found)
    }

    /// The last commit of a chain by which a revert counts: itself, or the one that restored it.
    fn last_of(&self, revert: &Rc<Noted>, depth: usize) -> Result<Rc<Noted>, HistoryError> {
        if depth > LONGEST_CHAIN {
            return Ok(Rc::clone(revert));
        }
        for against in &self.all {
            if against.number != revert.number
                && self.takes_back(against, revert)?
                && let Some(restored) = self.follow(against, depth + 1)?
            {
                return Ok(restored);
            }
        }
        Ok(Rc::clone(revert))
    }

    /// Whether a commit says that it reverts another, which is its ancestor.
    fn takes_back(&self, revert: &Noted, noted: &Noted) -> Result<bool, HistoryError> {
        for target in &revert.reverts {
            if self.is_meant(revert, target, noted)? && self.is_ancestor(noted.number, revert.number) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_meant(&self, revert: &Noted, target: &RevertTarget, noted: &Noted) -> Result<bool, HistoryError> {
        let name = &target.commit;
        if name.names(noted.commit.id) || noted.picked_from.iter().any(|from| from.agrees(name)) {
            return Ok(true);
        }
        let Some(number) = self.named(name) else {
            // A revert that was picked from another branch names the commit of that branch.
            return self.is_its_twin(revert, name, noted);
        };
        let node = self.walk.nodes.get(number);
        if !node.is_some_and(|node| node.is_merge) {
            return Ok(false);
        }
        // Reverting a merge reverts everything that it brought.
        let mainline = match &target.mainline {
            Some(mainline) => self.named(mainline),
            None => node.and_then(|node| self.walk.number(node.first_parent?)),
        };
        let is_brought = self.is_ancestor(noted.number, number);
        Ok(is_brought && mainline.is_some_and(|mainline| !self.is_ancestor(noted.number, mainline)))
    }

    fn is_its_twin(&self, revert: &Noted, name: &CommitName, noted: &Noted) -> Result<bool, HistoryError> {
        let subject = revert.commit.subject();
        if reverted_subject(&subject).is_some_and(|subject| subject == noted.commit.subject()) {
            return Ok(true);
        }
        let CommitName::Whole(id) = name else {
            return Ok(false);
        };
        let known = self.elsewhere.borrow().get(id).cloned();
        let ids = if let Some(ids) = known {
            ids
        } else {
            let named = self.commits.commit(*id)?;
            let ids = Rc::new(named.map(|commit| commit.change_ids()).unwrap_or_default());
            self.elsewhere.borrow_mut().insert(*id, Rc::clone(&ids));
            ids
        };
        Ok(ids.iter().any(|id| noted.change_ids.contains(id)))
    }

    /// The commit of the walk that a name means.
    fn named(&self, name: &CommitName) -> Option<usize> {
        let CommitName::Short(_) = name else {
            let CommitName::Whole(id) = name else { return None };
            return self.walk.number(*id);
        };
        let by_id = self.by_id.get_or_init(|| {
            let nodes = self.walk.nodes.iter().enumerate();
            let mut all: Vec<(Oid, usize)> = nodes.map(|(number, node)| (node.id, number)).collect();
            all.sort_unstable();
            all
        });
        let start = by_id.partition_point(|(id, _)| name.is_behind(*id));
        let mut found = by_id.iter().skip(start).take_while(|(id, _)| name.names(*id));
        let (_, number) = found.next()?;
        found.next().is_none().then_some(*number)
    }

    /// Which commits are ancestors of one; `None` if that was asked too often.
    fn ancestors(&self, of: usize) -> Option<Rc<Vec<bool>>> {
        if let Some(known) = self.ancestors.borrow().get(&of) {
            return Some(Rc::clone(known));
        }
        if self.walks.get() >= MOST_WALKS {
            return None;
        }
        self.walks.set(self.walks.get() + 1);
        let found = Rc::new(self.walk.ancestors(of));
        let mut kept = self.ancestors.borrow_mut();
        // Each takes a byte per commit.
        if kept.len() >= 64 {
            kept.clear();
        }
        kept.insert(of, Rc::clone(&found));
        Some(found)
    }
}
