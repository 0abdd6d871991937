//! What a server says went wrong.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use foreign_text::printable;

/// How many characters of a server's message are passed on.
const MAX_MESSAGE_CHARACTERS: usize = 300;

/// What a server says went wrong. GitHub and Gitea put a text into `message` and details into
/// `errors`, GitLab has texts, lists and objects of lists in `message`, or `error` with
/// `error_description`.
#[derive(Deserialize)]
struct ErrorBody {
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
pub(super) fn error_message(body: &[u8], token: &SecretString) -> String {
    let Ok(error) = serde_json::from_slice::<ErrorBody>(body) else {
        return String::new();
    };
    let mut texts = Texts {
        token: token.expose_secret(),
        found: Vec::new(),
        fields: Vec::new(),
    };
    for part in [
        &error.message,
        &error.errors,
        &error.error,
        &error.error_description,
    ] {
        texts.collect(part);
    }
    let mut text = String::new();
    for more in texts.found {
        if text.is_empty() {
            text = more;
        } else if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
    }
    printable(&text, MAX_MESSAGE_CHARACTERS)
}

/// The most texts of one answer that are read.
const MAX_TEXTS: usize = 16;

/// The texts of an error.
struct Texts<'a> {
    token: &'a str,
    found: Vec<String>,
    /// The fields that are being read, the outermost first.
    fields: Vec<&'a str>,
}

impl<'a> Texts<'a> {
    /// Collects the texts of a part of an error.
    fn collect(&mut self, part: &'a Value) {
        if self.found.len() >= MAX_TEXTS {
            return;
        }
        let text_of = |key| part.get(key).and_then(Value::as_str);
        match part {
            Value::String(text) if !text.is_empty() => self.add(text),
            Value::Array(parts) => parts.iter().for_each(|part| self.collect(part)),
            // GitHub's validation of a field.
            Value::Object(_) if text_of("message").is_some() => {
                self.add(text_of("message").unwrap_or_default());
            }
            Value::Object(_) if text_of("code").is_some() => {
                if let (Some(field), Some(code)) = (text_of("field"), text_of("code")) {
                    self.add(&format!("{field} is {code}"));
                }
            }
            // GitLab's validation of fields.
            Value::Object(fields) => {
                for (field, problems) in fields {
                    self.fields.push(field);
                    self.collect(problems);
                    self.fields.pop();
                }
            }
            _ => {}
        }
    }

    /// Adds a text with the fields that it is about, shortened: a field's name may be as long as
    /// the answer.
    fn add(&mut self, text: &str) {
        let text = [self.fields.as_slice(), &[text]].concat().join(" ");
        let text = text.replace(self.token, "***").replace(char::is_control, " ");
        self.found.push(printable(&text, MAX_MESSAGE_CHARACTERS));
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

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
        assert_eq!(
            error_message(body.as_bytes(), &SecretString::from("hidden")),
            said
        );
    }

    #[test]
    fn messages_are_one_line_without_the_token() {
        let token = SecretString::from("ghp_hidden");
        let body = br#"{"message": "Bad\n\u001b[31m ghp_hidden", "errors": [{"message": "one"}, "two", {"code": "x"}]}"#;
        assert_eq!(error_message(body, &token), "Bad [31m ***: one: two");
        let long = format!(r#"{{"message": "{}ghp_hidden"}}"#, "x".repeat(295));
        assert!(!error_message(long.as_bytes(), &token).contains("ghp"));
        assert_eq!(error_message(b"<html>", &token), "");
        assert_eq!(
            error_message(br#"{"message": "a", "errors": "b"}"#, &token),
            "a: b"
        );
    }

    #[test]
    fn only_the_first_texts_are_read() {
        let token = SecretString::from("hidden");
        let first: Vec<String> = (100..116).map(|field| format!("f{field} x")).collect();
        let fields: Vec<String> = (100..400).map(|field| format!(r#""f{field}": "x""#)).collect();
        let flat = format!(r#"{{"message": {{{}}}, "error": "y"}}"#, fields.join(", "));
        assert_eq!(error_message(flat.as_bytes(), &token), first.join(": "));
        let deep = format!(r#"{{"message": {{"a": {{"b": [{{{}}}]}}}}}}"#, fields.join(", "));
        let first: Vec<String> = first.iter().map(|text| format!("a b {text}")).collect();
        assert_eq!(error_message(deep.as_bytes(), &token), first.join(": "));
    }
}
