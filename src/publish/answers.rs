//! What a registry's answers mean here.

use oci_client::Reference;
use oci_client::errors::{OciDistributionError, OciErrorCode};

use super::Error;

/// How much is told of what a server says, in characters.
const LONGEST: usize = 500;

/// Whether an answer says that there is no such image.
pub(super) fn is_absent(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) => true,
        OciDistributionError::ServerError { code, .. } => *code == 404,
        OciDistributionError::RegistryError { envelope, .. } => envelope.errors.iter().any(|error| {
            matches!(
                error.code,
                OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound
            )
        }),
        OciDistributionError::RequestError(error) => {
            error.status().is_some_and(|status| status.as_u16() == 404)
        }
        _ => false,
    }
}

/// What an error of the library means here.
pub(super) fn told(target: &Reference, what: &str, error: &OciDistributionError) -> Error {
    let registry = target.resolve_registry().to_owned();
    let authentication = || Error::Authentication {
        registry: registry.clone(),
        repository: target.repository().to_owned(),
    };
    let by_status = |code: u16, reason: String| match code {
        401 | 403 => authentication(),
        408 | 425 | 429 | 500.. => Error::Unavailable {
            registry: registry.clone(),
            reason: format!("{what}: {}", shortened(reason)),
        },
        _ => Error::Refused {
            registry: registry.clone(),
            what: what.to_owned(),
            reason: shortened(reason),
        },
    };
    match error {
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => {
            authentication()
        }
        OciDistributionError::RegistryError { envelope, .. } => {
            let denied =
                |code: &OciErrorCode| matches!(code, OciErrorCode::Unauthorized | OciErrorCode::Denied);
            if envelope.errors.iter().any(|error| denied(&error.code)) {
                return authentication();
            }
            let busy = |code: &OciErrorCode| matches!(code, OciErrorCode::Toomanyrequests);
            let code = if envelope.errors.iter().any(|error| busy(&error.code)) {
                429
            } else {
                400
            };
            by_status(code, envelope.to_string())
        }
        OciDistributionError::ServerError { code, message, .. } => {
            by_status(*code, format!("status {code} {}", message.trim()))
        }
        OciDistributionError::RequestError(error) => match error.status() {
            Some(status) => by_status(status.as_u16(), format!("status {status}")),
            None => Error::Unavailable {
                reason: format!("cannot be reached for {}{}", target.repository(), cause(error)),
                registry,
            },
        },
        OciDistributionError::IoError(error) => Error::Unavailable {
            reason: format!("{what}: {error}"),
            registry,
        },
        other => Error::Refused {
            registry,
            what: what.to_owned(),
            reason: shortened(other.to_string()),
        },
    }
}

/// The last cause of an error, without the address, which the message has already.
fn cause(error: &reqwest::Error) -> String {
    use std::error::Error as _;
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!(": {inner}");
        cause = inner.source();
    }
    text
}

/// What a server says, no longer than people read.
fn shortened(reason: String) -> String {
    match reason.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason,
    }
}
