//! What a server's answers mean here.

use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Error;
use super::answer::Answer;
use crate::text::printable;

/// How long to wait where a server limits requests without saying for how long: GitHub's own rule.
const UNTOLD: SignedDuration = SignedDuration::from_mins(1);
/// The longest wait that is believed: GitHub counts by the hour.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);
/// How many characters of a server's message are passed on.
const MESSAGE: usize = 300;

/// Reads an answer.
pub(crate) fn read<T: DeserializeOwned>(answer: &Answer, host: &str, what: &str) -> Result<T, Error> {
    serde_json::from_slice(&answer.body).map_err(|error| unreadable(&error, host, what))
}

/// Why an answer cannot be read.
pub(crate) fn unreadable(error: &serde_json::Error, host: &str, what: &str) -> Error {
    Error::Refused {
        host: host.to_owned(),
        what: what.to_owned(),
        reason: format!(
            "its answer is none that this API gives (line {}): check the address, which is the API's and not the site's",
            error.line()
        ),
    }
}

impl Answer {
    /// Why an answer other than success is no success, and what to do about it.
    pub(crate) fn refusal(&self, host: &str, what: &str, advice: &str) -> Error {
        let (host, what) = (host.to_owned(), what.to_owned());
        let reason = match (self.message.as_str(), advice) {
            ("", "") => format!("status {}", self.status.as_u16()),
            ("", advice) => advice.to_owned(),
            (message, "") => format!("{message} (status {})", self.status.as_u16()),
            (message, advice) => format!("{message}: {advice}"),
        };
        match self.status {
            StatusCode::UNAUTHORIZED => Error::Authentication { host, what, reason },
            StatusCode::FORBIDDEN => Error::Forbidden { host, what, reason },
            StatusCode::NOT_FOUND => Error::NotFound {
                host,
                what,
                reason: advice.to_owned(),
            },
            status if status.is_redirection() => Error::Refused {
                host,
                what,
                reason: format!(
                    "it redirects (status {}): the repository was renamed or moved, write its present name; or the address is not the API's",
                    status.as_u16()
                ),
            },
            _ => Error::Refused { host, what, reason },
        }
    }
}

/// What a server says went wrong. GitHub and Gitea put a text into `message` and details into `errors`, GitLab has texts,
/// lists and objects of lists in `message`, or `error` with `error_description`.
#[derive(Deserialize)]
struct Complaint {
    #[serde(default)]
    message: Value,
    #[serde(default)]
    errors: Value,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    error_description: Value,
}

/// What a server says went wrong, in one line, without the token and without control characters.
pub(super) fn message(body: &[u8], token: &SecretString) -> String {
    let Ok(complaint) = serde_json::from_slice::<Complaint>(body) else {
        return String::new();
    };
    let mut texts = Vec::new();
    for part in [
        &complaint.message,
        &complaint.errors,
        &complaint.error,
        &complaint.error_description,
    ] {
        collect(part, &mut texts);
    }
    let mut text = String::new();
    for more in texts {
        if text.is_empty() {
            text = more;
        } else if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
    }
    let text = text.replace(token.expose_secret(), "***");
    printable(&text.replace(char::is_control, " "), MESSAGE)
}

/// The most texts of one answer that are looked at.
const TEXTS: usize = 16;

/// The texts of a part of a complaint.
fn collect(part: &Value, into: &mut Vec<String>) {
    if into.len() >= TEXTS {
        return;
    }
    let text = |key| part.get(key).and_then(Value::as_str);
    match part {
        Value::String(text) if !text.is_empty() => into.push(text.clone()),
        Value::Array(parts) => parts.iter().for_each(|part| collect(part, into)),
        // GitHub's validation of a field.
        Value::Object(_) if text("message").is_some() => into.extend(text("message").map(str::to_owned)),
        Value::Object(_) if text("code").is_some() => {
            if let (Some(field), Some(code)) = (text("field"), text("code")) {
                into.push(format!("{field} is {code}"));
            }
        }
        // GitLab's validation of fields.
        Value::Object(fields) => {
            for (field, problems) in fields {
                let mut texts = Vec::new();
                collect(problems, &mut texts);
                into.extend(texts.into_iter().map(|text| format!("{field} {text}")));
            }
        }
        _ => {}
    }
}

/// Until when the server wants no requests, where an answer says that. The order is that of GitHub's documentation:
/// `retry-after`, then `x-ratelimit-reset`, else a minute.
pub(crate) fn limited_until(
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

    #[rstest]
    #[case::gitlab(r#"{"message": "401 Unauthorized"}"#, "401 Unauthorized")]
    #[case::gitlab_list(
        r#"{"message": ["Another open merge request already exists: !1"]}"#,
        "Another open merge request already exists: !1"
    )]
    #[case::gitlab_fields(
        r#"{"message": {"title": ["can't be blank", "is odd"]}}"#,
        "title can't be blank: title is odd"
    )]
    #[case::gitlab_scope(
        r#"{"error": "insufficient_scope", "error_description": "The request requires more."}"#,
        "insufficient_scope: The request requires more."
    )]
    #[case::github_field(
        r#"{"message": "Validation Failed", "errors": [{"resource": "PullRequest", "field": "head", "code": "invalid"}]}"#,
        "Validation Failed: head is invalid"
    )]
    #[case::gitea(
        r#"{"errors": null, "message": "The target couldn't be found.", "url": "https://x/api/swagger"}"#,
        "The target couldn't be found."
    )]
    fn each_server_is_understood(#[case] body: &str, #[case] said: &str) {
        assert_eq!(message(body.as_bytes(), &SecretString::from("hidden")), said);
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
