//! What can go wrong with a source, and what each fault asks of the caller.

use std::fmt;

/// A fault of a source.
///
/// No text here contains a credential: addresses are shown without user information, and what a
/// server says is truncated and stripped of control characters and of the upstream's own secrets.
/// Values are cheap to clone, because callers that waited for one look share its outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be parsed, or contains something that does not belong there.
    #[error("the address {url} {reason}")]
    Address {
        /// The address without user information.
        url: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },
    /// The controller's settings or the protocol's rules forbid what was asked for.
    #[error("{url}: {reason}")]
    Refused {
        /// The address without user information.
        url: String,
        /// Which rule, and what to do.
        reason: String,
    },
    /// A Secret has keys that are missing, contradict each other or cannot be read.
    #[error("{0}")]
    Secret(String),
    /// No connection, a broken one, or an answer such as 503.
    #[error("{url}: cannot be reached: {reason}")]
    Unreachable {
        /// The address without user information.
        url: String,
        /// What the system, the proxy or the server said.
        reason: String,
    },
    /// The time for the step or for the whole call ran out.
    #[error("{url}: no answer in time while {step}")]
    Timeout {
        /// The address without user information.
        url: String,
        /// The step that took too long.
        step: &'static str,
    },
    /// One of the two sides does not trust the other: login, key, host key or certificate.
    #[error("{url}: authentication failed: {reason}")]
    Authentication {
        /// The address without user information.
        url: String,
        /// Who refused what, and what to check.
        reason: String,
    },
    /// The server answered and declined: no such repository, no such object.
    #[error("{url}: the server declined: {reason}")]
    Declined {
        /// The address without user information.
        url: String,
        /// The server's words, truncated and cleaned.
        reason: String,
    },
    /// The upstream has no such branch, tag, version or commit.
    #[error("{url}: no {wanted}{}{}", RetiredBranch(.retired), SimilarNames(.near))]
    RefNotFound {
        /// The address without user information.
        url: String,
        /// What was looked for, for instance `branch stable/2025.2`.
        wanted: String,
        /// What remains of a retired branch, for instance `tag 2024.2-eol`.
        retired: Vec<String>,
        /// Similar names that exist, the likeliest first.
        near: Vec<String>,
    },
    /// The server does not give out the commit that it listed: the branch or tag moved after the
    /// look.
    #[error("{url}: {name} moved after it was looked at: the server does not give out {commit} (any more)")]
    Moved {
        /// The address without user information.
        url: String,
        /// The branch or tag.
        name: String,
        /// The commit's SHA-1.
        commit: String,
    },
    /// A ref's value or a version range is malformed, or fits more than one commit.
    #[error("{wanted}: {reason}")]
    RefInvalid {
        /// The value.
        wanted: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },
    /// The answer does not follow the Git protocol.
    #[error("{url}: not a usable Git answer: {reason}")]
    Protocol {
        /// The address without user information.
        url: String,
        /// What was unexpected.
        reason: String,
    },
    /// Something exceeds a limit.
    #[error("{what} is larger than the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit with its unit.
        limit: String,
    },
    /// What a server sent is damaged, or is not what it claims to be.
    #[error("{url}: the server's pack cannot be used: {reason}")]
    BadPack {
        /// The address without user information.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What is stored on disk, or what arrived, is damaged.
    ///
    /// A damaged mirror is rebuilt by the next call.
    #[error("{what} is damaged: {reason}")]
    Corrupt {
        /// What is damaged.
        what: String,
        /// How the damage was noticed.
        reason: String,
    },
    /// The revision has no such file or folder.
    #[error("no {path} at {revision}")]
    FileNotFound {
        /// The path as asked for.
        path: String,
        /// Where it was looked for.
        revision: String,
    },
    /// The path leaves the tree, or leads to something other than what was asked for.
    #[error("{path}: {reason}")]
    Path {
        /// The path as asked for.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// What was resolved is not signed as required.
    #[error("{url}: {reason}")]
    Unverified {
        /// The address without user information.
        url: String,
        /// What is wrong with the signature.
        fault: SignatureFault,
        /// What is signed and how, in a sentence.
        reason: String,
    },
    /// The given author cannot be written into a commit.
    #[error("the commit's author {name:?} <{email}> cannot be written: {reason}")]
    Author {
        /// The name.
        name: String,
        /// The mail address.
        email: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },
    /// A push came too late: the branch moved while the commit was being made.
    #[error("{url}: {branch} moved while a commit was made on it ({reason})")]
    Raced {
        /// The address without user information.
        url: String,
        /// The branch.
        branch: String,
        /// The server's words, truncated and cleaned, or what was seen.
        reason: String,
    },
    /// The server rejects a commit: a hook or a rule of the branch forbids it.
    #[error("{url}: {branch} does not accept the commit: {reason}")]
    Rejected {
        /// The address without user information.
        url: String,
        /// The branch.
        branch: String,
        /// The server's words, truncated and cleaned.
        reason: String,
    },
    /// The local disk failed.
    #[error("{path}: {reason}")]
    Io {
        /// The file or folder.
        path: String,
        /// What the system said.
        reason: String,
    },
}

/// What a fault asks of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Goes away by itself: retry with backoff.
    Transient,
    /// A person must change a Secret or a server's access list: retry slowly.
    Authentication,
    /// The ref, file or repository does not exist: retry at the interval, it may appear.
    NotFound,
    /// The object's own text is wrong or forbidden: nothing to retry until it changes.
    Invalid,
    /// A limit of this process: nothing to retry until the limit or the source changes.
    TooLarge,
    /// Stored or received data is damaged: the next call fetches it again, so retry at once.
    Corrupt,
}

/// What is wrong with a required signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureFault {
    /// There is none.
    Missing,
    /// None of the keys made it.
    UnknownSigner,
    /// It does not match what was signed, or proves nothing.
    Invalid,
    /// The keys cannot be read.
    Keys,
}

impl Error {
    /// What this fault asks of the caller.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Io { .. } | Self::Protocol { .. } => {
                Class::Transient
            }
            Self::Raced { .. } | Self::Moved { .. } => Class::Transient,
            // As with a login, a person has to allow it.
            Self::Authentication { .. } | Self::Rejected { .. } => Class::Authentication,
            Self::Declined { .. } | Self::RefNotFound { .. } | Self::FileNotFound { .. } => Class::NotFound,
            Self::Address { .. }
            | Self::Refused { .. }
            | Self::Secret(_)
            | Self::RefInvalid { .. }
            | Self::Unverified { .. }
            | Self::Author { .. }
            | Self::Path { .. } => Class::Invalid,
            Self::TooLarge { .. } => Class::TooLarge,
            Self::Corrupt { .. } | Self::BadPack { .. } => Class::Corrupt,
        }
    }

    pub(super) fn io(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Io {
            path: path.display().to_string(),
            reason: error.to_string(),
        }
    }
}

/// The tail of a sentence that lists similar names.
struct SimilarNames<'a>(&'a [String]);

/// What remains of a retired branch.
pub(super) struct RetiredBranch<'a>(pub(super) &'a [String]);

impl fmt::Display for RetiredBranch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            names => write!(f, "; the branch was retired: there is {}", names.join(" and ")),
        }
    }
}

impl fmt::Display for SimilarNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            names => write!(f, "; similar: {}", names.join(", ")),
        }
    }
}

/// Formats a number of bytes for display.
pub(super) fn bytes(count: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    match count {
        n if n >= MIB && n % MIB == 0 => format!("{} MiB", n / MIB),
        n if n >= KIB && n % KIB == 0 => format!("{} KiB", n / KIB),
        n => format!("{n} bytes"),
    }
}
