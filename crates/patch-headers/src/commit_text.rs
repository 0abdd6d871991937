//! The text of the commit that stands for a patch: its author and message.

use crate::change_ids::subject;
use crate::fields::{Fields, without_tags};
use crate::split;

/// The text of the commit that stands for a patch, as `git am` reads it if the patch is a mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitText {
    /// The author's name.
    pub author_name: Option<String>,
    /// The author's address, without brackets.
    pub author_email: Option<String>,
    /// When it was written.
    pub written: Option<WrittenAt>,
    /// Subject and body, with a line feed at the end; empty if the patch has neither. For a
    /// mailbox, the messages of all its mails.
    pub message: String,
    /// The form in which the patch has it.
    pub form: HeadForm,
}

/// The form in which a patch has its message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeadForm {
    /// As a mail with a subject.
    Mail,
    /// As several mails.
    Mailbox,
    /// As a text, which is the commit's message from its first line that does not begin with `#`.
    #[default]
    Text,
}

/// A time with its author's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenAt {
    /// Seconds since the epoch.
    pub seconds: i64,
    /// How many minutes the clock there was ahead of UTC.
    pub offset_minutes: i32,
}

impl CommitText {
    /// Reads a patch.
    #[must_use]
    pub fn read(patch: &[u8]) -> Self {
        let parts = split::all(patch);
        let Some(first) = parts.first() else {
            return Self::default();
        };
        let fields = Fields::read(first.text.as_bytes());
        let (name, email) = fields.author().as_deref().map(person).unwrap_or_default();
        let written = fields.date().map(|seconds| WrittenAt {
            seconds,
            offset_minutes: fields.values("date").find_map(offset).unwrap_or(0),
        });
        let (message, form) = match mail_message(first) {
            Some(message) if parts.len() == 1 => (message, HeadForm::Mail),
            Some(message) => {
                let rest = parts.iter().skip(1).filter_map(mail_message);
                let all: Vec<String> = std::iter::once(message).chain(rest).collect();
                (all.join("\n"), HeadForm::Mailbox)
            }
            None => (plain_message(first), HeadForm::Text),
        };
        Self {
            author_name: name,
            author_email: email,
            written,
            message,
            form,
        }
    }
}

/// Returns the subject and body of a mail; `None` if it has no subject.
fn mail_message(part: &split::Part) -> Option<String> {
    let text = part.message();
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let is_subject = |line: &str| {
        line.get(..8)
            .is_some_and(|name| name.eq_ignore_ascii_case("subject:"))
    };
    if !head.lines().any(is_subject) {
        return None;
    }
    let fields = Fields::read(text.as_bytes());
    let subject = subject(without_tags(fields.values("subject").next()?));
    let body = without_author(body);
    Some(joined(&subject, body))
}

fn joined(subject: &str, body: &str) -> String {
    let lines: Vec<&str> = body.lines().map(str::trim_end).collect();
    let body = lines.join("\n");
    match body.trim_matches('\n') {
        "" => format!("{subject}\n"),
        body => format!("{subject}\n\n{body}\n"),
    }
}

/// Returns a body without the author's headers at its start, as a mail sent by someone else has.
fn without_author(body: &str) -> &str {
    let is_header = |line: &str| {
        ["from:", "date:", "subject:"].iter().any(|name| {
            line.get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name))
        })
    };
    let text = body.trim_start_matches('\n');
    match text.split_once("\n\n") {
        Some((head, rest)) if head.lines().all(is_header) => rest,
        _ => body,
    }
}

/// Returns the text of a patch without a subject, from its first line that is not a comment.
fn plain_message(part: &split::Part) -> String {
    let text = part.message();
    let is_skipped = |line: &&str| line.starts_with('#') || line.trim().is_empty();
    let lines: Vec<&str> = text.lines().skip_while(is_skipped).map(str::trim_end).collect();
    match lines.join("\n").trim_matches('\n') {
        "" => String::new(),
        message => format!("{message}\n"),
    }
}

/// The name and the address of `Name <address>`.
fn person(text: &str) -> (Option<String>, Option<String>) {
    let filled = |text: &str| {
        let text = text.trim().trim_matches('"').trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    match text.rsplit_once('<') {
        Some((name, rest)) => (filled(name), filled(rest.split('>').next().unwrap_or(rest))),
        None if text.contains('@') => (None, filled(text)),
        None => (filled(text), None),
    }
}

/// The zone of a date such as `Tue, 1 Apr 2025 10:00:00 +0200`, in minutes.
fn offset(date: &str) -> Option<i32> {
    let zone = date.split_whitespace().find(|word| {
        word.len() == 5
            && word.starts_with(['+', '-'])
            && word
                .get(1..)
                .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    })?;
    let number: i32 = zone.get(1..)?.parse().ok()?;
    let minutes = number / 100 * 60 + number % 100;
    Some(if zone.starts_with('-') { -minutes } else { minutes })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";

    fn read(head: &str) -> CommitText {
        CommitText::read(format!("{head}{DIFF}").as_bytes())
    }

    #[test]
    fn a_mail_is_read_as_git_am_reads_it() {
        let text = read(
            "From 1f0c000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n\
             From: =?UTF-8?q?J=C3=B6rg?= <j@example.org>\nDate: Tue, 1 Apr 2025 10:00:00 -0730\n\
             Subject: [PATCH 1/2] [api] Fix the\n thing\n\nBody\n\nChange-Id: I1\n---\nnot this\n x | 2 +-\n\n",
        );
        assert_eq!(text.author_name.as_deref(), Some("J\u{f6}rg"));
        assert_eq!(text.author_email.as_deref(), Some("j@example.org"));
        let written = WrittenAt {
            seconds: 1_743_528_600,
            offset_minutes: -450,
        };
        assert_eq!(text.written, Some(written));
        assert_eq!(text.message, "[api] Fix the thing\n\nBody\n\nChange-Id: I1\n");
        assert_eq!(text.form, HeadForm::Mail);
    }

    #[test]
    fn the_author_of_a_mail_that_another_sent_is_no_part_of_the_message() {
        let text = read("From: S <s@x>\nSubject: [PATCH] S\n\nFrom: A <a@x>\n\nBody\n---\n");
        assert_eq!(text.author_email.as_deref(), Some("a@x"));
        assert_eq!(text.message, "S\n\nBody\n");
    }

    #[test]
    fn a_text_is_the_message_without_the_notices_above_it() {
        let text =
            read("# SPDX-License-Identifier: Apache-2.0\n#\n\nUpstream status: not proposed.\nMore.\n\n");
        assert_eq!(text.message, "Upstream status: not proposed.\nMore.\n");
        assert_eq!(text.form, HeadForm::Text);
        let dep3 = read("Description: Fix it\n more\nAuthor: A B <a@x>\n\n");
        assert_eq!(dep3.message, "Description: Fix it\n more\nAuthor: A B <a@x>\n");
        assert_eq!(dep3.author_name.as_deref(), Some("A B"));
        assert_eq!(read("").message, "");
    }

    #[test]
    fn a_mailbox_has_the_messages_of_all_its_mails() {
        let mail = |subject: &str| {
            format!(
                "From {} Mon Sep 17 00:00:00 2001\nFrom: A <a@x>\nSubject: [PATCH] {subject}\n\nBody\n---\n{DIFF}",
                "1".repeat(40)
            )
        };
        let text = CommitText::read([mail("One"), mail("Two")].concat().as_bytes());
        assert_eq!(text.message, "One\n\nBody\n\nTwo\n\nBody\n");
        assert_eq!(text.form, HeadForm::Mailbox);
    }
}
