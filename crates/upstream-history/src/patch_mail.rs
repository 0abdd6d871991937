//! By what the patch of somebody can be known again: what the mail around its diff says.

use git_apply_engine::{Oid, PatchInput};
use mailparse::MailHeaderMap;

use super::commit::decoded;
use super::message::{self, CommitName};

/// The most bytes in front of a diff that are read.
const MESSAGE_BYTES: usize = 256 << 10;

/// What a patch says of where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PatchOrigin {
    /// The commit that it was made of.
    pub(super) commit: Option<Oid>,
    /// What it was picked from, in groups that are one change each.
    pub(super) picks: Vec<Vec<CommitName>>,
    /// The `Change-Id`s that all have to be there.
    pub(super) change_ids: Vec<String>,
    /// Author's name and address, date and subject.
    pub(super) authorship: Option<Authorship>,
}

/// Who wrote something when, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Authorship {
    /// The address alone: how a name is spelled differs between mail and commit.
    pub(super) email: String,
    pub(super) seconds: i64,
    pub(super) subject: String,
}

/// Headers and message of a patch.
struct Mail {
    commit: Option<Oid>,
    author: Option<String>,
    date: Option<String>,
    subject: Option<String>,
    body: String,
}

/// Reads what stands in front of the diff.
pub(super) fn origin(patch: &[u8]) -> PatchOrigin {
    let text = decoded(preamble(patch), true);
    let mail = mail_of(&text);
    let written = mail.date.as_deref().and_then(seconds);
    let email = mail.author.as_deref().and_then(address);
    let subject = mail.subject.unwrap_or_default();
    // Footers stand behind the first paragraph, and in a mail that is its subject.
    let first = if subject.is_empty() { "-" } else { &subject };
    let message = format!("{first}\n\n{}", mail.body);
    let mut picks = message::cherry_picks(&message);
    picks.extend(message::origins(&text).into_iter().map(|name| vec![name]));
    PatchOrigin {
        commit: mail.commit,
        picks,
        change_ids: message::all_change_ids(&message),
        authorship: match (email, written) {
            (Some(email), Some(seconds)) if !subject.is_empty() => Some(Authorship {
                email,
                seconds,
                subject: subject.clone(),
            }),
            _ => None,
        },
    }
}

/// Returns when a patch was written, by its own headers, in seconds since the epoch.
#[must_use]
pub fn date_written(patch: &PatchInput) -> Option<i64> {
    mail_of(&decoded(preamble(&patch.bytes), true))
        .date
        .as_deref()
        .and_then(seconds)
}

/// Returns the oldest of the dates at which patches were written, in seconds since the epoch: what
/// upstream has of them came after it. `None` if one has no date.
#[must_use]
pub fn oldest_date(patches: &[PatchInput]) -> Option<i64> {
    let dates: Option<Vec<i64>> = patches.iter().map(date_written).collect();
    dates?.into_iter().min()
}

/// What stands in front of the first diff.
fn preamble(patch: &[u8]) -> &[u8] {
    let start = patch.get(..MESSAGE_BYTES).unwrap_or(patch);
    let mut end = 0;
    for line in start.split_inclusive(|byte| *byte == b'\n') {
        let is_diff = [
            &b"diff --git "[..],
            b"diff -",
            b"Index: ",
            b"--- a/",
            b"--- /dev/null",
        ]
        .iter()
        .any(|diff| line.starts_with(diff));
        if is_diff {
            break;
        }
        end += line.len();
    }
    start.get(..end).unwrap_or(start)
}

fn mail_of(text: &str) -> Mail {
    match text.strip_prefix("commit ") {
        Some(rest) => shown_by_git(rest),
        None => mail(text),
    }
}

/// What `git format-patch` writes, and anything else with headers in front or without.
fn mail(text: &str) -> Mail {
    let (commit, rest) = match text.strip_prefix("From ") {
        Some(line) => {
            let (line, rest) = line.split_once('\n').unwrap_or((line, ""));
            let id = line.split_whitespace().next().unwrap_or_default();
            (Oid::from_hex(id.as_bytes()).filter(|id| !id.is_null()), rest)
        }
        None => (None, text),
    };
    let nothing = |body: &str| Mail {
        commit,
        author: None,
        date: None,
        subject: None,
        body: body.to_owned(),
    };
    let Ok((headers, length)) = mailparse::parse_headers(rest.as_bytes()) else {
        return nothing(rest);
    };
    let first = |names: &[&str]| names.iter().find_map(|name| headers.get_first_value(name));
    let subject = first(&["Subject", "Description"]);
    if subject.is_none() && first(&["From", "Author"]).is_none() {
        return nothing(rest);
    }
    let mut mail = Mail {
        commit,
        author: first(&["From", "Author"]),
        date: first(&["Date"]),
        subject: subject.map(|subject| message::subject(without_tags(&subject))),
        body: rest.get(length..).unwrap_or_default().to_owned(),
    };
    take_headers_of_body(&mut mail);
    // Behind a line of dashes stands what is no part of the message.
    if let Some(end) = mail.body.find("\n---\n") {
        mail.body.truncate(end + 1);
    }
    // DEP-3 has its fields, and footers may be among them.
    let is_dep3 = headers.get_first_value("Subject").is_none();
    if is_dep3 {
        let fields = rest.get(..length).unwrap_or_default();
        mail.body = format!("{fields}\n{}", mail.body);
    }
    mail
}

/// The author's headers that `git format-patch --from` puts at the start of the body.
fn take_headers_of_body(mail: &mut Mail) {
    let mut body = mail.body.trim_start_matches('\n');
    while let Some((line, rest)) = body.split_once('\n') {
        if let Some(author) = line.strip_prefix("From: ") {
            mail.author = Some(author.to_owned());
        } else if let Some(date) = line.strip_prefix("Date: ") {
            mail.date = Some(date.to_owned());
        } else if let Some(subject) = line.strip_prefix("Subject: ") {
            mail.subject = Some(without_tags(subject).to_owned());
        } else {
            break;
        }
        body = rest;
    }
    mail.body = body.to_owned();
}

/// What `git show` and `git log -p` print, behind `commit `.
fn shown_by_git(text: &str) -> Mail {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let id = first.split_whitespace().next().unwrap_or_default();
    let (headers, body) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let value = |names: [&str; 2]| {
        headers.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            names.contains(&key).then(|| value.trim().to_owned())
        })
    };
    let body: String = body
        .lines()
        .flat_map(|line| [line.strip_prefix("    ").unwrap_or(line), "\n"])
        .collect();
    let body_start = body.find("\n\n").map_or(body.len(), |end| end + 2);
    Mail {
        commit: Oid::from_hex(id.as_bytes()).filter(|id| !id.is_null()),
        author: value(["Author", "Author"]),
        date: value(["AuthorDate", "Date"]),
        subject: Some(message::subject(&body)),
        body: body.get(body_start..).unwrap_or_default().to_owned(),
    }
}

/// Removes `[PATCH 1/2]` and the like.
fn without_tags(subject: &str) -> &str {
    let mut rest = subject.trim_start();
    while let Some((tag, tail)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'))
        && tag.to_ascii_uppercase().contains("PATCH")
    {
        rest = tail.trim_start();
    }
    rest
}

/// The address in `Name <address>`, in lower case; the whole where there are no brackets.
fn address(person: &str) -> Option<String> {
    let inner = match person.rsplit_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(rest),
        None => person,
    };
    let inner = inner.trim();
    (!inner.is_empty()).then(|| inner.to_ascii_lowercase())
}

/// A date of a mail, or of `git show`: `Tue Apr 1 10:00:00 2025 +0200`.
fn seconds(date: &str) -> Option<i64> {
    if let Ok(seconds) = mailparse::dateparse(date) {
        return Some(seconds);
    }
    let fields: Vec<&str> = date.split_whitespace().collect();
    let [_, month, day, time, year, offset] = fields.as_slice() else {
        return None;
    };
    mailparse::dateparse(&format!("{day} {month} {year} {time} {offset}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const DIFF: &str = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-Change-Id: I1\n+b\n";

    #[test]
    fn mails_of_format_patch() {
        let patch = format!(
            "From {A} Mon Sep 17 00:00:00 2001\nFrom: =?UTF-8?q?J=C3=B6rg?= <J@Example.org>\n\
             Date: Tue, 1 Apr 2025 10:00:00 +0200\nSubject: [PATCH 1/2] [api] Fix the\n thing\n\n\
             Body\n\nChange-Id: I{A}\n(cherry picked from commit {A})\n---\n x | 2 +-\n\n{DIFF}"
        );
        let origin = origin(patch.as_bytes());
        assert_eq!(origin.commit.unwrap().to_string(), A);
        assert_eq!(origin.change_ids, [format!("I{A}")]);
        assert_eq!(origin.picks.len(), 1);
        let authorship = origin.authorship.unwrap();
        assert_eq!(
            (
                authorship.email.as_str(),
                authorship.seconds,
                authorship.subject.as_str()
            ),
            ("j@example.org", 1_743_494_400, "[api] Fix the thing")
        );
    }

    #[test]
    fn the_author_of_a_sent_mail_stands_in_its_body() {
        let patch = format!(
            "From: Sender <s@x>\nDate: Wed, 2 Apr 2025 10:00:00 +0200\nSubject: [PATCH] S\n\nFrom: Author <a@x>\n\nBody\n---\n{DIFF}"
        );
        assert_eq!(origin(patch.as_bytes()).authorship.unwrap().email, "a@x");
    }

    #[test]
    fn what_git_show_prints() {
        let patch = format!(
            "commit {A}\nAuthor: A B <a@x>\nDate:   Tue Apr 1 10:00:00 2025 +0200\n\n    S\n    more\n\n    Body\n\n    Change-Id: I{A}\n\n{DIFF}"
        );
        let origin = origin(patch.as_bytes());
        assert_eq!(origin.commit.unwrap().to_string(), A);
        assert_eq!(origin.change_ids, [format!("I{A}")]);
        let authorship = origin.authorship.unwrap();
        assert_eq!(
            (authorship.seconds, authorship.subject.as_str()),
            (1_743_494_400, "S more")
        );
    }

    #[test]
    fn patches_without_headers() {
        assert_eq!(origin(DIFF.as_bytes()), PatchOrigin::default());
        let noted = format!("# SPDX: x\n#\nUpstream status: not yet proposed.\n\nChange-Id: I{A}\n\n{DIFF}");
        assert_eq!(origin(noted.as_bytes()).change_ids, [format!("I{A}")]);
        let dep3 = format!(
            "Description: S\n more\nAuthor: A <a@x>\nOrigin: upstream, https://x/commit/{A}\n\n{DIFF}"
        );
        let origin = origin(dep3.as_bytes());
        assert_eq!(origin.picks, [[CommitName::Whole(A.parse().unwrap())]]);
        assert_eq!(origin.authorship, None);
    }
}
