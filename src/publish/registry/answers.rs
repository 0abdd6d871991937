//! What refusals of a registry mean.

use std::error::Error as StdError;
use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use serde::Deserialize;

use super::exchange::{Answer, Repository};
use crate::egress::RefusedAddress;
use crate::publish::Error;

/// How much is told of what a server says, in characters.
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
}

/// The body of a refusal (distribution-spec, "Error Codes").
#[derive(Default, Deserialize)]
struct Said {
    errors: Vec<SaidError>,
}

#[derive(Deserialize)]
struct SaidError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Said {
    fn has(&self, codes: &[&str]) -> bool {
        self.errors
            .iter()
            .any(|error| codes.contains(&error.code.as_str()))
    }

    /// What people read of it.
    fn text(&self) -> String {
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
        crate::text::printable(&all.join("; "), LONGEST)
    }
}

impl Repository<'_> {
    /// What an answer that is no success means. Of its body only the registry's own is read.
    pub(super) async fn refusal(&self, mut answer: Answer, what: &str) -> Refusal {
        let status = answer.status();
        let retry_after = answer
            .header(RETRY_AFTER.as_str())
            .and_then(|text| text.trim().parse().ok())
            .map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
        let body = if answer.is_own {
            // What cannot be read says nothing.
            self.read(&mut answer, LARGEST_REFUSAL, what).await.ok().flatten()
        } else {
            None
        };
        let said: Said = body
            .and_then(|body| serde_json::from_slice(&body).ok())
            .unwrap_or_default();
        let mut reason = format!("status {}", status.as_u16());
        let text = said.text();
        if !text.is_empty() {
            reason = format!("{reason}: {text}");
        }
        let is_denied = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            || said.has(&["UNAUTHORIZED", "DENIED"]);
        let is_busy = status.is_server_error()
            || matches!(status.as_u16(), 408 | 425 | 429)
            || said.has(&["TOOMANYREQUESTS"]);
        let registry = self.image.registry().to_owned();
        let error = if is_busy {
            Error::Unavailable {
                registry,
                reason: format!("{what}: {reason}"),
                retry_after,
            }
        } else if is_denied {
            Error::Authentication {
                registry,
                repository: self.image.repository().to_owned(),
                reason,
            }
        } else {
            self.refused(what, &reason)
        };
        Refusal {
            is_absent: status == StatusCode::NOT_FOUND
                || (status.is_client_error() && said.has(&["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"])),
            error,
        }
    }

    pub(super) fn refused(&self, what: &str, reason: &str) -> Error {
        Error::Refused {
            registry: self.image.registry().to_owned(),
            what: what.to_owned(),
            reason: reason.to_owned(),
        }
    }

    pub(super) fn unavailable(&self, reason: String) -> Error {
        Error::Unavailable {
            registry: self.image.registry().to_owned(),
            reason,
            retry_after: None,
        }
    }

    /// Nothing came in time.
    pub(super) fn silent(&self, what: &str) -> Error {
        let seconds = self.registry.config.timeout.as_secs();
        self.unavailable(format!(
            "{what}: no answer, or nothing more of one, within {seconds} s"
        ))
    }

    /// A request that failed on the way.
    pub(super) fn unreached(&self, what: &str, error: &reqwest::Error) -> Error {
        if let Some(refused) = RefusedAddress::find(error) {
            return self.refused(what, &refused.to_string());
        }
        let mut cause: &dyn StdError = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        // The last cause alone: the others have the address, which may hold a secret.
        let cause = crate::text::printable(&cause.to_string(), LONGEST);
        self.unavailable(format!(
            "cannot be reached for {}: {cause}",
            self.image.repository()
        ))
    }
}
