//! What a refusal means here, and what to do about it.

use forge_rest::ApiAnswer;
use reqwest::StatusCode;

use super::{Error, Workflow};

/// What a request was about, which decides the advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ActionsSubject {
    /// A workflow.
    Workflow,
    /// A run or a job of one.
    Run,
}

/// Turns an answer other than success into an error.
pub(super) fn refusal(answer: &ApiAnswer, workflow: &Workflow, what: &str, subject: ActionsSubject) -> Error {
    let advice = match answer.status {
        StatusCode::UNAUTHORIZED => {
            "check that the Secret's token is one of this server, and has not expired"
        }
        StatusCode::FORBIDDEN => advice_where_forbidden(&answer.message),
        StatusCode::NOT_FOUND => match subject {
            ActionsSubject::Workflow => {
                "check the names, that the file is on the default branch, and that the token may read and write Actions of this repository: GitHub hides what a token may not see"
            }
            ActionsSubject::Run => {
                "it was deleted, or the token may not read Actions of this repository (GitHub hides what a token may not see)"
            }
        },
        _ => advice_by_message(&answer.message),
    };
    answer.refusal(&workflow.repository.host(), what, advice)
}

fn advice_where_forbidden(message: &str) -> &'static str {
    let message = message.to_ascii_lowercase();
    if message.contains("not accessible by") || message.contains("must have admin rights") {
        "give the App or the token the repository permission Actions: read and write"
    } else if message.contains("saml") {
        "authorize the token for the organisation's single sign-on"
    } else if message.contains("suspended") {
        "the App's installation has to be unsuspended"
    } else {
        "check what the token may do with Actions of this repository"
    }
}

fn advice_by_message(message: &str) -> &'static str {
    let message = message.to_ascii_lowercase();
    if message.contains("workflow_dispatch' trigger") {
        "add workflow_dispatch to `on` of the workflow's file, at this branch or tag"
    } else if message.contains("unexpected input") {
        "declare the inputs request_id and build under `on.workflow_dispatch` of the workflow's file"
    } else if message.contains("required input") {
        "the workflow may require no inputs other than request_id and build"
    } else if message.contains("no ref found") {
        "check the branch or tag"
    } else if message.contains("disabled workflow") {
        "enable the workflow"
    } else {
        ""
    }
}
