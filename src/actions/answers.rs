//! What a server's answers mean here.

use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Error;
use super::http::Answer;

/// How long to wait where a server limits requests without saying for how long: GitHub's own rule.
const UNTOLD: SignedDuration = SignedDuration::from_mins(1);
/// The longest wait that is believed: GitHub counts by the hour.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);
/// How many characters of a server's message are passed on.
const MESSAGE: usize = 300;

/// What a request was about, for what to advise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A token for an App's installation.
    App,
    /// A workflow.
    Workflow,
    /// A run or a job of one.
    Run,
}

/// Reads an answer.
pub(super) fn read<T: DeserializeOwned>(answer: &Answer, host: &str, what: &str) -> Result<T, Error> {
    serde_json::from_slice(&answer.body).map_err(|error| Error::Refused {
        host: host.to_owned(),
        what: what.to_owned(),
        reason: format!(
            "its answer is none of GitHub's (line {}): check the address, which is the API's and not the site's",
            error.line()
        ),
    })
}

impl Answer {
    /// Why an answer other than success is no success.
    pub(super) fn refusal(&self, host: &str, what: &str, about: About) -> Error {
        let (host, what) = (host.to_owned(), what.to_owned());
        let reason = |hint: &str| match (self.message.as_str(), hint) {
            ("", "") => format!("status {}", self.status.as_u16()),
            ("", hint) => hint.to_owned(),
            (message, "") => format!("{message} (status {})", self.status.as_u16()),
            (message, hint) => format!("{message}: {hint}"),
        };
        match self.status {
            StatusCode::UNAUTHORIZED => Error::Authentication {
                reason: reason(match about {
                    About::App => {
                        "check githubAppID and githubAppPrivateKey of the Secret, and this machine's clock"
                    }
                    _ => "check that the Secret's token is one of this server, and has not expired",
                }),
                host,
                what,
            },
            StatusCode::FORBIDDEN => Error::Forbidden {
                reason: reason(forbidden(&self.message, about)),
                host,
                what,
            },
            StatusCode::NOT_FOUND => Error::NotFound {
                host,
                what,
                reason: match about {
                    About::App => {
                        "check githubAppInstallationID of the Secret, and that the App is still installed there"
                    }
                    About::Workflow => {
                        "check the names, that the file is on the default branch, and that the token may read and write Actions of this repository: GitHub hides what a token may not see"
                    }
                    About::Run => {
                        "it was deleted, or the token may not read Actions of this repository (GitHub hides what a token may not see)"
                    }
                },
            },
            status if status.is_redirection() => Error::Refused {
                host,
                what,
                reason: format!(
                    "it redirects (status {}): the repository was renamed or moved, write its present name; or the address is not the API's",
                    status.as_u16()
                ),
            },
            _ => Error::Refused {
                reason: reason(refused(&self.message, about)),
                host,
                what,
            },
        }
    }
}

fn forbidden(message: &str, about: About) -> &'static str {
    let message = message.to_ascii_lowercase();
    if message.contains("not accessible by") || message.contains("must have admin rights") {
        "give the App or the token the repository permission Actions: read and write"
    } else if message.contains("saml") {
        "authorize the token for the organisation's single sign-on"
    } else if message.contains("suspended") {
        "the App's installation has to be unsuspended"
    } else if about == About::App {
        "check that the App is installed there, with the repository permission Actions: read and write"
    } else {
        "check what the token may do with Actions of this repository"
    }
}

fn refused(message: &str, about: About) -> &'static str {
    let message = message.to_ascii_lowercase();
    if about == About::App {
        "install the App for this repository, with the repository permission Actions: read and write"
    } else if message.contains("workflow_dispatch' trigger") {
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

#[derive(Deserialize)]
struct Complaint {
    message: Option<String>,
    #[serde(default)]
    errors: serde_json::Value,
}

/// What a server says went wrong, in one line, without the token and without control characters.
pub(super) fn message(body: &[u8], token: &SecretString) -> String {
    let Ok(complaint) = serde_json::from_slice::<Complaint>(body) else {
        return String::new();
    };
    let mut text = complaint.message.unwrap_or_default();
    let errors = match &complaint.errors {
        serde_json::Value::Array(errors) => errors.as_slice(),
        one => std::slice::from_ref(one),
    };
    for error in errors {
        let more = error.as_str().or_else(|| error.get("message")?.as_str());
        if let Some(more) = more.filter(|more| !text.contains(more)) {
            text = format!("{text}: {more}");
        }
    }
    let text = text.replace(token.expose_secret(), "***");
    let words: Vec<_> = text
        .split(|c: char| c.is_control() || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ").chars().take(MESSAGE).collect()
}

/// Until when the server wants no requests, where an answer says that. The order is that of GitHub's documentation:
/// `retry-after`, then `x-ratelimit-reset`, else a minute.
pub(super) fn limited_until(
    status: StatusCode,
    headers: &HeaderMap,
    message: &str,
    now: Timestamp,
) -> Option<Timestamp> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let wait = match status {
        StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            let message = message.to_ascii_lowercase();
            if let Some(seconds) = number(RETRY_AFTER.as_str()) {
                SignedDuration::from_secs(seconds)
            } else if number("x-ratelimit-remaining") == Some(0) {
                let reset = number("x-ratelimit-reset").and_then(|at| Timestamp::from_second(at).ok());
                reset.map_or(UNTOLD, |reset| reset.duration_since(now))
            } else if status == StatusCode::TOO_MANY_REQUESTS
                || message.contains("rate limit")
                || message.contains("abuse detection")
            {
                UNTOLD
            } else {
                return None;
            }
        }
        _ => return None,
    };
    Some(now + wait.clamp(SignedDuration::from_secs(1), LONGEST))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(403, &[("retry-after", "30"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000500")], "", Some(30))]
    #[case(429, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000500")], "", Some(500))]
    #[case(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1600000000")], "", Some(1))]
    #[case(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "soon")], "", Some(60))]
    #[case(403, &[("x-ratelimit-remaining", "9")], "You have exceeded a secondary rate limit", Some(60))]
    #[case(429, &[], "", Some(60))]
    #[case(429, &[("retry-after", "9223372036854775807")], "", Some(3600))]
    #[case(403, &[("x-ratelimit-remaining", "9")], "Resource not accessible by integration", None)]
    #[case(404, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000500")], "", None)]
    #[case(200, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000500")], "", None)]
    fn limits_are_recognised(
        #[case] status: u16,
        #[case] headers: &[(&'static str, &'static str)],
        #[case] message: &str,
        #[case] seconds: Option<i64>,
    ) {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let until = limited_until(StatusCode::from_u16(status).unwrap(), &headers, message, now);
        assert_eq!(until.map(|until| until.duration_since(now).as_secs()), seconds);
    }

    #[test]
    fn messages_are_one_line_without_the_token() {
        let token = SecretString::from("ghp_hidden");
        let body = br#"{"message": "Bad\n\u001b[31m ghp_hidden", "errors": [{"message": "one"}, "two", {"code": "x"}]}"#;
        assert_eq!(message(body, &token), "Bad [31m ***: one: two");
        let long = format!(r#"{{"message": "{}ghp_hidden"}}"#, "x".repeat(295));
        assert!(!message(long.as_bytes(), &token).contains("ghp"));
        assert_eq!(message(b"<html>", &token), "");
        assert_eq!(message(br#"{"message": "a", "errors": "b"}"#, &token), "a: b");
    }
}
