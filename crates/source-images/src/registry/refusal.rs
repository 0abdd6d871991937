//! What refusals of a registry mean.

use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use serde::Deserialize;

use super::message::Answer;
use super::repository::Repository;
use crate::Error;

/// How much of a server's message is reported, in characters.
const LONGEST: usize = 300;

/// How much of a refusal is read, in bytes.
const LARGEST_REFUSAL: usize = 64 << 10;

/// The longest wait that a registry may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A refusal.
pub(super) struct Refusal {
    pub(super) error: Error,
    /// Whether it says that there is no such thing.
    pub(super) is_absent: bool,
    /// Whether it says that there is no such repository.
    pub(super) is_unknown_name: bool,
    /// What it says, where that may mean that a tag must not be moved.
    pub(super) immutability: Option<String>,
}

/// Whether a status is transient.
pub(super) fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

/// How long a server asks to wait (RFC 9110, section 10.2.3: seconds, or a date).
fn retry_after(text: &str) -> Option<Duration> {
    let text = text.trim();
    let seconds = if let Ok(seconds) = text.parse() {
        seconds
    } else {
        let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        let left = until.duration_since(jiff::Timestamp::now()).as_secs();
        u64::try_from(left).unwrap_or_default()
    };
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// The body of a refusal (distribution-spec, "Error Codes").
#[derive(Default, Deserialize)]
struct RefusalBody {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The meaning of an error code, if anything follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorCode {
    /// A login is missing, or not enough.
    Denied,
    /// Too much was asked for.
    TooManyRequests,
    /// There is no such repository.
    NameUnknown,
    /// There is no such manifest, or nothing at all.
    NotFound,
    /// A manifest is not accepted.
    ManifestInvalid,
    /// Any other.
    Other,
}

impl From<&str> for ErrorCode {
    fn from(code: &str) -> Self {
        match code {
            "UNAUTHORIZED" | "DENIED" => Self::Denied,
            "TOOMANYREQUESTS" => Self::TooManyRequests,
            "NAME_UNKNOWN" => Self::NameUnknown,
            "MANIFEST_UNKNOWN" | "NOT_FOUND" => Self::NotFound,
            "MANIFEST_INVALID" => Self::ManifestInvalid,
            _ => Self::Other,
        }
    }
}

impl RefusalBody {
    fn has_code(&self, code: ErrorCode) -> bool {
        let mut codes = self.errors.iter().map(|error| error.code.as_str());
        codes.any(|text| ErrorCode::from(text) == code)
    }

    /// Whether this may be the refusal to move an immutable tag, for which the specification has no
    /// code. The caller has to check whether the tag stands for something else.
    fn may_mean_immutable(&self, status: StatusCode) -> bool {
        const WORDS: [&str; 5] = [
            "immutab",        // ECR, Quay, Harbor, Docker Hub
            "overwr",         // ECR, Alibaba
            "already exists", // others
            "precondition",   // Google
            "disallowed",     // Azure: a lock
        ];
        let is_said = |error: &ErrorEntry| {
            let message = error.message.to_ascii_lowercase();
            WORDS.iter().any(|word| message.contains(word))
                // A manifest that is merely invalid is not answered with 403 (Artifactory).
                || (ErrorCode::from(error.code.as_str()) == ErrorCode::ManifestInvalid
                    && status == StatusCode::FORBIDDEN)
        };
        matches!(status.as_u16(), 409 | 412)
            || (status.is_client_error() && !is_passing(status) && self.errors.iter().any(is_said))
    }

    /// Returns the message for people.
    fn message(&self) -> String {
        let all: Vec<String> = self
            .errors
            .iter()
            .take(3)
            .map(|error| match (error.code.as_str(), error.message.as_str()) {
                (code, "") => code.to_owned(),
                ("", message) => message.to_owned(),
                (code, message) => format!("{code}: {message}"),
            })
            .collect();
        foreign_text::printable(&all.join("; "), LONGEST)
    }
}

impl Repository<'_> {
    /// Returns what an unsuccessful answer means. Only the registry's own body is read.
    pub(super) async fn refusal(&self, mut answer: Answer, what: &str) -> Refusal {
        let status = answer.status();
        let retry_after = answer.header(RETRY_AFTER.as_str()).and_then(retry_after);
        let body = if answer.is_own {
            // An unreadable body says nothing.
            self.read_body(&mut answer, LARGEST_REFUSAL, what)
                .await
                .ok()
                .flatten()
        } else {
            None
        };
        let refusal_body: RefusalBody = body
            .and_then(|body| serde_json::from_slice(&body).ok())
            .unwrap_or_default();
        let mut reason = format!("status {}", status.as_u16());
        let text = refusal_body.message();
        if !text.is_empty() {
            reason = format!("{reason}: {text}");
        }
        let is_denied = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            || refusal_body.has_code(ErrorCode::Denied);
        let is_busy = is_passing(status) || refusal_body.has_code(ErrorCode::TooManyRequests);
        let immutability = refusal_body.may_mean_immutable(status).then(|| reason.clone());
        let registry = self.image.registry().to_owned();
        let error = if is_busy {
            Error::Unavailable {
                registry,
                reason: format!("{what}: {reason}"),
                retry_after,
            }
        } else if is_denied {
            if self.login().is_none() {
                reason.push_str("; there is no login for it");
            }
            Error::Authentication {
                registry,
                repository: self.image.repository().to_owned(),
                reason,
            }
        } else {
            self.refused_error(what, &reason)
        };
        let is_unknown_name = refusal_body.has_code(ErrorCode::NameUnknown);
        let says_absent = is_unknown_name || refusal_body.has_code(ErrorCode::NotFound);
        Refusal {
            is_unknown_name: status == StatusCode::NOT_FOUND && is_unknown_name,
            immutability,
            is_absent: status == StatusCode::NOT_FOUND || (status.is_client_error() && says_absent),
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_asks_to_wait_for_seconds_or_until_a_date() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("1765432100"), Some(LONGEST_WAIT));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let later = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(40);
        let date = jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&later)
            .unwrap();
        let left = retry_after(&date).unwrap();
        assert!((30..=40).contains(&left.as_secs()), "{date}: {left:?}");
        for text in ["", "soon", "-1", "99999999999999999999999"] {
            assert_eq!(retry_after(text), None, "{text}");
        }
    }
}
