//! Why something could not be done at a server.

use jiff::Timestamp;

use foreign_text::printable;

/// Why something could not be done at a server.
///
/// No message holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Secret cannot be used.
    #[error("the Secret cannot be used: {0}")]
    Secret(String),
    /// A name or an address is invalid.
    #[error("{text:?} is not a valid {what}: {reason}")]
    Invalid {
        /// What it should be.
        what: &'static str,
        /// As it was given, shortened.
        text: String,
        /// Why it is not, and what to write.
        reason: &'static str,
    },
    /// Nothing is sent to this address.
    #[error("{address} is not contacted: {reason}")]
    Address {
        /// Scheme and host.
        address: String,
        /// Why.
        reason: String,
    },
    /// The server does not accept the login (401).
    #[error("{host} refuses the login (401) for {what}: {reason}")]
    Authentication {
        /// The server.
        host: String,
        /// What was asked for.
        what: String,
        /// What it said, and what to do.
        reason: String,
    },
    /// The login may not do that (403).
    #[error("{host} forbids (403) {what}: {reason}")]
    Forbidden {
        /// The server.
        host: String,
        /// What was asked for.
        what: String,
        /// What it said, and what to do.
        reason: String,
    },
    /// There is no such thing, or the login may not see it (404).
    #[error("{host} finds no {what} (404): {reason}")]
    NotFound {
        /// The server.
        host: String,
        /// What was asked for.
        what: String,
        /// What to do.
        reason: String,
    },
    /// The server answers, but does not do what it is asked for.
    #[error("{host} refuses {what}: {reason}")]
    Refused {
        /// The server.
        host: String,
        /// What was asked for.
        what: String,
        /// What it said, and what to do.
        reason: String,
    },
    /// The server accepts no requests before a point in time. Until then none is sent.
    #[error("{host} limits the rate of requests: nothing is sent before {until}")]
    Limited {
        /// The server.
        host: String,
        /// When to ask again.
        until: Timestamp,
    },
    /// The server cannot be reached, or fails. The request had no effect, or does no harm twice.
    #[error("{host}: {what}: {reason}")]
    Unavailable {
        /// The server.
        host: String,
        /// What was asked for.
        what: String,
        /// What happened.
        reason: String,
    },
    /// A request that must not be repeated was sent, and the answer does not say whether it had an
    /// effect: look for that before sending it again.
    #[error("{host}: {what}: {reason}; whether it was done is not known, and has to be checked")]
    Ambiguous {
        /// The server.
        host: String,
        /// What was asked for.
        what: String,
        /// What happened.
        reason: String,
    },
    /// Something is larger than what is sent or read.
    #[error("{what} is more than {limit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit.
        limit: String,
    },
}

impl Error {
    /// Whether another attempt may succeed without anyone changing anything, once
    /// [`Error::Limited`]'s time has come.
    ///
    /// `false` for [`Error::Ambiguous`], where another attempt may have the effect a second time.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Limited { .. })
    }
}

/// Returns [`Error::Invalid`], with the text shortened.
#[must_use]
pub fn invalid_input(what: &'static str, text: &str, reason: &'static str) -> Error {
    Error::Invalid {
        what,
        text: printable(text, 100),
        reason,
    }
}
