//! What a server's refusal means here, and what to do about it.

use reqwest::StatusCode;

use super::Error;
use forge_rest::{ApiAnswer, ForgeKind, ForgeRepository};

/// What was refused, to choose the advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusedOperation {
    /// To read or change existing requests.
    Requests,
    /// To open a request.
    Opening,
    /// To add labels.
    Labels,
    /// To ask for reviews.
    Reviews,
    /// To read or write comments.
    Comments,
}

/// Whether an answer says that a request between the two branches already exists: 422 from GitHub,
/// 409 from the others.
pub(super) fn says_that_it_exists(answer: &ApiAnswer) -> bool {
    matches!(
        answer.status,
        StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY
    ) && answer.message.to_ascii_lowercase().contains("already exists")
}

/// Whether Gitea says that there is no such request, rather than that it knows of no such address.
pub(super) fn says_that_there_is_none(answer: &ApiAnswer) -> bool {
    answer.status == StatusCode::NOT_FOUND && answer.message.contains("target couldn't be found")
}

/// Describes why an answer is not a success.
pub(super) fn refusal(
    answer: &ApiAnswer,
    repository: &ForgeRepository,
    what: &str,
    operation: RefusedOperation,
) -> Error {
    let message = answer.message.to_ascii_lowercase();
    let advice = match answer.status {
        StatusCode::UNAUTHORIZED => {
            "check that the Secret's token is one of this server, and has not expired"
        }
        StatusCode::FORBIDDEN if message.contains("saml") => {
            "authorize the token for the organisation's single sign-on"
        }
        StatusCode::FORBIDDEN if message.contains("suspended") => {
            "the App's installation has to be unsuspended"
        }
        StatusCode::FORBIDDEN => advice_where_forbidden(repository.kind(), operation),
        StatusCode::NOT_FOUND => advice_where_not_found(repository.kind(), operation),
        StatusCode::UNPROCESSABLE_ENTITY if operation == RefusedOperation::Reviews => {
            "only someone who may read the repository, and has not opened the request, can be asked for a review"
        }
        _ => advice_by_message(&message),
    };
    answer.refusal(&repository.host(), what, advice)
}

fn advice_where_forbidden(kind: ForgeKind, operation: RefusedOperation) -> &'static str {
    match (kind, operation) {
        // Since 2025 `Pull requests: write` adds only existing labels.
        (ForgeKind::GitHub, RefusedOperation::Labels) => {
            "create the label in the repository, or give the App or the token the repository permission Issues: read and write, which is needed to create it"
        }
        (ForgeKind::Gitea, RefusedOperation::Comments) => {
            "give the token the scopes write:issue and write:repository, which comments need"
        }
        (ForgeKind::GitHub, _) => {
            "give the App or the token the repository permissions Pull requests: read and write and Contents: read, or a classic token the scope repo"
        }
        (ForgeKind::GitLab, _) => {
            "give the token the scope api, and its owner the role Developer in the project"
        }
        (ForgeKind::Gitea, RefusedOperation::Labels) => {
            "give the token the scopes write:issue and write:repository, which labels need, and its owner write access to the repository"
        }
        (ForgeKind::Gitea, _) => {
            "give the token the scope write:repository, and its owner write access to the repository"
        }
    }
}

fn advice_where_not_found(kind: ForgeKind, operation: RefusedOperation) -> &'static str {
    match (kind, operation) {
        (ForgeKind::GitHub, _) => {
            "check the repository's name, and that the App or the token has the repository permissions Pull requests: read and write and Contents: read: GitHub hides what a token may not see"
        }
        (ForgeKind::GitLab, _) => {
            "check the project's path, that merge requests are enabled there, and that the token has the scope api and its owner the role Developer: GitLab hides what a token may not see"
        }
        (ForgeKind::Gitea, RefusedOperation::Opening) => {
            "check that both branches exist, that pull requests are enabled in the repository, and that the token has the scope write:repository"
        }
        (ForgeKind::Gitea, _) => {
            "check the repository's name, that pull requests are enabled there, and that the token has the scope write:repository: Gitea hides what a token may not see"
        }
    }
}

fn advice_by_message(message: &str) -> &'static str {
    if message.contains("no commits between") || message.contains("no changes between") {
        "there is nothing to merge: if a merged one was reverted, delete the branch to merge from, and it is created again"
    } else if message.contains("head is invalid") || message.contains("source branch") {
        "check that the branch to merge from was pushed"
    } else if message.contains("base is invalid") || message.contains("target branch") {
        "check the branch to merge into"
    } else {
        ""
    }
}
