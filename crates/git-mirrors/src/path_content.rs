//! What is at a path of a commit, and the answers that a mirror remembers.

use std::collections::HashMap;
use std::fmt;

use super::Oid;

/// How many answers a mirror remembers; beyond that, it starts over.
const MOST_REMEMBERED: usize = 16_384;

/// What is at a path of a commit. If two within one repository are equal, reading them gives the
/// same result.
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
    /// Something that is reached by links, or has some: they may lead anywhere in the commit.
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

/// What a mirror's answer is for: a commit, the signature required of it, and a path.
pub(super) type ContentKey = (Oid, Option<String>, String);

/// The remembered answers of one mirror. They last for as long as the mirror is remembered: a
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
