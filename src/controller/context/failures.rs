//! What errors of repositories and of servers' APIs mean for an object.

use std::time::Duration;

use git_apply_engine::ObjectError;
use git_mirrors::{Class, SignatureFault};
use jiff::Timestamp;
use patchset_api::reason::{self, Reason};

use super::panics::Panicked;
use crate::layout::{FilesError, LayoutError};
use crate::plan::{Failure, Retry, Step};

/// The failure for a mirror's error, prefixed with what it was about.
pub fn mirror_failure(what: &str, error: &git_mirrors::Error) -> Failure {
    let (reason, retry) = classify(error);
    let step = match error {
        git_mirrors::Error::Unverified { .. } => Step::Verification,
        _ => Step::Source,
    };
    Failure {
        step,
        reason,
        message: format!("{what}: {error}"),
        retry,
    }
}

/// The failure for folders that cannot be read as patches, prefixed with what they belong to.
pub fn layout_failure(what: &str, error: &LayoutError) -> Failure {
    if let LayoutError::Files(FilesError::Unreadable { source, .. }) = error {
        if let Some(error) = source.downcast_ref::<git_mirrors::Error>() {
            return mirror_failure(what, error);
        }
        if let Some(found) = source.downcast_ref::<ObjectError>() {
            return object_failure(Step::Source, found, format!("{what}: {error}"));
        }
    }
    let message = format!("{what}: {error}");
    match error {
        LayoutError::TooMuch { .. } | LayoutError::Files(FilesError::TooLarge { .. }) => {
            Failure::stalled(Step::Patches, reason::TOO_LARGE, message)
        }
        LayoutError::Files(FilesError::NotFound { .. }) => {
            Failure::retried(Step::Source, reason::PATH_NOT_FOUND, message)
        }
        LayoutError::Files(FilesError::Unreadable { .. }) => {
            Failure::retried(Step::Source, reason::STORAGE_FAILED, message)
        }
        // Looked at again with the next look at the repository.
        _ => Failure::stalled(Step::Patches, reason::LAYOUT_INVALID, message),
    }
}

/// The conditions' reason for an error, and what may make it go away.
fn classify(error: &git_mirrors::Error) -> (Reason, Retry) {
    use git_mirrors::Error as E;
    let reason = match error {
        E::Address { .. } | E::RefInvalid { .. } | E::Author { .. } | E::Path { .. } => reason::INVALID_SPEC,
        E::Refused { .. } => reason::ACCESS_DENIED,
        E::Unverified { fault, .. } => match fault {
            SignatureFault::Missing => reason::SIGNATURE_MISSING,
            SignatureFault::UnknownSigner => reason::UNKNOWN_SIGNER,
            SignatureFault::Invalid => reason::INVALID_SIGNATURE,
            SignatureFault::Keys => reason::INVALID_REFERENCE,
        },
        E::Secret(_) => reason::INVALID_REFERENCE,
        E::Timeout { .. } => reason::TIMED_OUT,
        E::Authentication { .. } => reason::AUTHENTICATION_FAILED,
        E::Declined { .. } => reason::REPOSITORY_NOT_FOUND,
        E::RefNotFound { .. } | E::Moved { .. } => reason::REF_NOT_FOUND,
        E::FileNotFound { .. } => reason::PATH_NOT_FOUND,
        E::Rejected { .. } => reason::PUSH_REJECTED,
        E::Raced { .. } => reason::WRITE_FAILED,
        E::TooLarge { .. } => reason::TOO_LARGE,
        E::Corrupt { .. } | E::Io { .. } => reason::STORAGE_FAILED,
        _ => reason::UNREACHABLE,
    };
    let retry = match error {
        // The contents of a Secret may change without the spec.
        E::Secret(_) => Retry::Backoff,
        E::Moved { .. } => Retry::Anew,
        _ => match error.class() {
            Class::Invalid => Retry::WhenChanged,
            Class::Transient | Class::Authentication | Class::NotFound | Class::TooLarge | Class::Corrupt => {
                Retry::Backoff
            }
        },
    };
    (reason, retry)
}

/// The failure of a step for an error of a server's API; `refused` is the reason if the server
/// refuses the request.
pub fn forge_failure(step: Step, refused: Reason, error: &forge_rest::Error) -> Failure {
    use forge_rest::Error as E;
    let message = error.to_string();
    let retried = |reason| Failure::retried(step, reason, message.clone());
    match error {
        E::Invalid { .. } | E::Address { .. } => Failure::stalled(step, reason::INVALID_SPEC, message),
        E::TooLarge { .. } => Failure::stalled(step, reason::TOO_LARGE, message),
        E::Secret(_) => retried(reason::INVALID_REFERENCE),
        E::Authentication { .. } => retried(reason::AUTHENTICATION_FAILED),
        E::Forbidden { .. } => retried(reason::ACCESS_DENIED),
        E::NotFound { .. } => retried(reason::REFERENCE_NOT_FOUND),
        E::Refused { .. } => retried(refused),
        E::Unavailable { .. } | E::Ambiguous { .. } => retried(reason::UNREACHABLE),
        E::Limited { until, .. } => {
            let wait = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
            Failure {
                retry: Retry::After(wait.max(Duration::from_secs(1))),
                ..retried(reason::RATE_LIMITED)
            }
        }
    }
}

/// The failure for a task that panicked or was cancelled. A panic's message is not reported: it may
/// hold what somebody sent.
pub fn task_failure(error: &tokio::task::JoinError) -> Failure {
    if error.is_panic() {
        return Panicked.into();
    }
    Failure::retried(Step::Source, reason::STORAGE_FAILED, "the work was interrupted")
}

/// The failure for an object of a repository that is not available. One that is too large stays so
/// until an input changes.
pub fn object_failure(step: Step, error: &ObjectError, message: String) -> Failure {
    match error {
        ObjectError::TooLarge { .. } => Failure::stalled(step, reason::TOO_LARGE, message),
        ObjectError::Interrupted(_) => Failure::retried(
            step,
            reason::TIMED_OUT,
            "the tree was not fully read within spec.timeout: set a longer one, or take files out of the tree",
        ),
        ObjectError::NotFound(_) | ObjectError::WrongKind(_) | ObjectError::Failed { .. } => {
            Failure::retried(step, reason::STORAGE_FAILED, message)
        }
    }
}

/// What an error of a registry means for an object.
pub fn registry_failure(error: &source_images::Error) -> Failure {
    use source_images::Error as E;
    let message = error.to_string();
    match error {
        E::Authentication { .. } => Failure::retried(Step::Build, reason::AUTHENTICATION_FAILED, message),
        E::Unavailable { .. } => Failure::retried(Step::Build, reason::UNREACHABLE, message),
        E::TagTaken { .. } | E::TagImmutable { .. } => {
            Failure::retried(Step::Build, reason::TAG_TAKEN, message)
        }
        E::Hostile { .. } | E::TooLarge { .. } => Failure::stalled(Step::Build, reason::TOO_LARGE, message),
        E::Reference { .. } => Failure::stalled(Step::Build, reason::INVALID_SPEC, message),
        E::Credentials { .. } => Failure::retried(Step::Build, reason::INVALID_REFERENCE, message),
        E::Refused { .. } | E::NotListed { .. } => {
            Failure::retried(Step::Build, reason::REGISTRY_REFUSED, message)
        }
        E::Unreadable { .. } => Failure::stalled(Step::Build, reason::IMAGE_UNREADABLE, message),
        E::Object(error) => object_failure(Step::Build, error, message),
        E::Write(_) => Failure::retried(Step::Build, reason::STORAGE_FAILED, message),
    }
}
