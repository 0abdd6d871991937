//! What is at a path of a commit, and the answers to that which a mirror remembers.

use std::collections::HashMap;
use std::fmt;

use super::Oid;

/// How many answers a mirror remembers; beyond that, it begins anew.
const MOST_REMEMBERED: usize = 16_384;

/// What is at a path of a commit. Where two of one repository are equal, reading them gives the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathContent {
    /// Nothing is there.
    Absent,
    /// A file.
    File {
        /// Its blob.
        blob: Oid,
    },
    /// A folder without links.
    Folder {
        /// Its tree.
        tree: Oid,
    },
    /// What is reached by links, or has some: they may lead anywhere in the commit.
    Linked {
        /// The commit's tree.
        root: Oid,
    },
}

impl fmt::Display for PathContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::File { blob } => write!(f, "blob {blob}"),
            Self::Folder { tree } => write!(f, "tree {tree}"),
            Self::Linked { root } => write!(f, "root {root}"),
        }
    }
}

/// What a mirror's answers were to: a commit, the signature that it had to have, and a path.
pub(super) type ContentKey = (Oid, Option<String>, String);

/// The answers that are remembered of one mirror. They hold for as long as it is asked for: a
/// commit's contents do not change.
#[derive(Debug, Default)]
pub(super) struct KnownContents(HashMap<ContentKey, PathContent>);

impl KnownContents {
    pub(super) fn get(&self, key: &ContentKey) -> Option<PathContent> {
        self.0.get(key).copied()
    }

    pub(super) fn insert(&mut self, key: ContentKey, content: PathContent) {
        if self.0.len() >= MOST_REMEMBERED {
            self.0.clear();
        }
        self.0.insert(key, content);
    }
}
