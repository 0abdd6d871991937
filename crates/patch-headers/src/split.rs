//! The messages of a patch: what is before each diff, decoded.

use std::borrow::Cow;

use mailparse::MailHeaderMap;
use memchr::memmem;

use crate::change_ids::subject;
use crate::fields::is_header_of_patch;

/// The most bytes of a message that are read.
const MESSAGE_BYTES: usize = 64 << 10;

/// The most messages of a file that are read.
const MESSAGES: usize = 1000;

/// A message, and whether a diff follows it.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// The commit that it belongs to: from the line `From `, or from what `git show` prints.
    pub(crate) commit: Option<String>,
    /// The message in the form of a mail, or without headers, with `\n` at the ends of its lines.
    pub(crate) text: String,
    /// How many bytes of the text are the message; the rest are headers that stand after `---`.
    pub(crate) message_length: usize,
    pub(crate) has_diff: bool,
}

/// Returns all messages of a file. Text before its first mail belongs to that mail.
pub(crate) fn all(patch: &[u8]) -> Vec<Part> {
    let mails = mails(patch).into_iter().take(MESSAGES);
    let mut parts: Vec<Part> = mails.map(Part::read).collect();
    let is_preamble = parts.first().is_some_and(|part| !part.has_diff) && !is_from_line(patch);
    if is_preamble && parts.len() > 1 {
        let preamble = parts.remove(0);
        if let Some(part) = parts.first_mut() {
            part.text = [&preamble.text, "\n", &part.text].concat();
            part.message_length += preamble.text.len() + 1;
        }
    }
    parts
}

/// The first message of a file.
pub(crate) fn first(patch: &[u8]) -> Part {
    all(patch).into_iter().next().unwrap_or_default()
}

impl Part {
    /// Reads one mail of a mailbox, or a file that is not a mailbox.
    fn read(mail: &[u8]) -> Self {
        let line = mail
            .split_inclusive(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        let (commit, mail) = if is_from_line(line) {
            let id = line.strip_prefix(b"From ").and_then(whole_id);
            (id, mail.get(line.len()..).unwrap_or_default())
        } else {
            (None, mail)
        };
        let (text, message_length, has_diff) = until_diff(&decoded(mail));
        let (commit, text, message_length) = match text.strip_prefix("commit ").and_then(shown_by_git) {
            Some((shown, text)) => {
                let length = text.len();
                (Some(shown), text, length)
            }
            None => (commit, text, message_length),
        };
        Self {
            commit,
            text,
            message_length,
            has_diff,
        }
    }

    /// Returns the text without what stands after `---`.
    pub(crate) fn message(&self) -> &str {
        self.text.get(..self.message_length).unwrap_or(&self.text)
    }
}

/// The id with which a text begins.
fn whole_id(text: &[u8]) -> Option<String> {
    let word = text.split(u8::is_ascii_whitespace).next()?;
    let word = std::str::from_utf8(word).ok()?;
    let is_id = word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| word.to_ascii_lowercase())
}

/// What `git show` and `git log -p` print after `commit `: the commit, and the rest as a mail.
fn shown_by_git(text: &str) -> Option<(String, String)> {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let commit = whole_id(first.as_bytes())?;
    let (headers, body) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let value = |names: [&str; 2]| {
        let mut lines = headers.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(key, _)| names.contains(key));
        found.map_or("", |(_, value)| value.trim())
    };
    let (author, date) = (value(["Author", "Author"]), value(["AuthorDate", "Date"]));
    let lines = body.lines().map(|line| line.strip_prefix("    ").unwrap_or(line));
    let body = lines.collect::<Vec<_>>().join("\n");
    let rest = body.split_once("\n\n").map_or("", |(_, rest)| rest);
    let subject = subject(&body);
    Some((
        commit,
        format!("From: {author}\nDate: {date}\nSubject: {subject}\n\n{rest}\n"),
    ))
}

/// A line of a message as text: UTF-8, else Latin-1.
fn readable(line: &[u8]) -> String {
    let end = line.strip_suffix(b"\n").map_or("", |_| "\n");
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok(text) => format!("{text}{end}"),
        Err(_) => line
            .iter()
            .map(|byte| char::from(*byte))
            .chain(end.chars())
            .collect(),
    }
}

/// Returns the mails of a mailbox, cut at [`MESSAGE_BYTES`]; the whole file if it is not one.
fn mails(patch: &[u8]) -> Vec<&[u8]> {
    if patch.is_empty() {
        return Vec::new();
    }
    let lines = memmem::find_iter(patch, b"\nFrom ").map(|end| end + 1);
    let mails = lines.filter(|start| patch.get(*start..).is_some_and(is_from_line));
    let starts: Vec<usize> = std::iter::once(0).chain(mails).collect();
    let ends = starts.iter().skip(1).copied().chain([patch.len()]);
    let bounds = starts.iter().zip(ends);
    bounds
        .map(|(&start, end)| {
            patch
                .get(start..end.min(start + MESSAGE_BYTES))
                .unwrap_or_default()
        })
        .collect()
}

/// `From 1f0c… Mon Sep 17 00:00:00 2001`, by the rule of `git mailsplit`: a time and a year.
fn is_from_line(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"From ") else {
        return false;
    };
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Ok(rest) = std::str::from_utf8(line) else {
        return false;
    };
    let mut words = rest.split_whitespace().rev();
    let is_year = |word: &str| word.len() == 4 && word.parse().is_ok_and(|year: u16| year > 1990);
    let is_time = |word: &str| {
        word.split(':').count() >= 2 && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b':')
    };
    words.next().is_some_and(is_year) && words.next().is_some_and(is_time)
}

/// Returns a mail with its body decoded.
fn decoded(mail: &[u8]) -> Cow<'_, [u8]> {
    // Nothing is read from a diff.
    if mail.starts_with(b"diff ") {
        return mail.into();
    }
    let head_length = memmem::find(mail, b"\n\n").map_or(mail.len(), |end| end + 2);
    let encoding = mail.get(..head_length).and_then(|head| {
        let (headers, _) = mailparse::parse_headers(head).ok()?;
        headers.get_first_value("Content-Transfer-Encoding")
    });
    let is_encoded =
        encoding.is_some_and(|name| ["base64", "quoted-printable"].contains(&name.to_lowercase().trim()));
    if !is_encoded {
        return mail.into();
    }
    // What was cut may end within a group of base64.
    let whole_lines = mail
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(mail.len(), |end| end + 1);
    let body = mail.get(..whole_lines).and_then(|mail| {
        let parsed = mailparse::parse_mail(mail).ok()?;
        parsed.get_body().ok()
    });
    match (mail.get(..head_length), body) {
        (Some(head), Some(body)) => [head, body.as_bytes()].concat().into(),
        _ => mail.into(),
    }
}

/// Returns what is before the first diff, or before the line `---` that ends a message, with the
/// headers between that line and the diff; how many bytes stand before those headers; and whether
/// there is a diff.
fn until_diff(mail: &[u8]) -> (String, usize, bool) {
    if mail.starts_with(b"diff ") {
        return (String::new(), 0, true);
    }
    let mut lines = mail.split_inclusive(|byte| *byte == b'\n').peekable();
    let (mut text, mut message_length) = (String::new(), None);
    while let Some(line) = lines.next() {
        let next = lines.peek().copied();
        let is_diff = match message_length {
            None => begins_diff(line, next.unwrap_or_default()),
            Some(_) => next.is_some_and(|next| begins_diff(line, next)),
        };
        if is_diff {
            let length = message_length.unwrap_or(text.len());
            return (text, length, true);
        }
        match message_length {
            None if line.trim_ascii_end() == b"---" => message_length = Some(text.len()),
            Some(_) if !is_header_of_patch(line) => {}
            _ => text.push_str(&readable(line)),
        }
    }
    let length = message_length.unwrap_or(text.len());
    (text, length, false)
}

/// Whether a line begins a diff: a message may have one that only looks like it.
fn begins_diff(line: &[u8], next: &[u8]) -> bool {
    const AFTER_DIFF: &[&[u8]] = &[
        b"index ",
        b"--- ",
        b"old mode ",
        b"new mode ",
        b"new file ",
        b"deleted file ",
        b"similarity ",
        b"dissimilarity ",
        b"rename ",
        b"copy ",
        b"GIT binary ",
        b"Binary files ",
        b"@@ ",
        b"+",
    ];
    let is_followed_by = |begins: &[&[u8]]| begins.iter().any(|begin| next.starts_with(begin));
    if line.starts_with(b"diff ") {
        is_followed_by(AFTER_DIFF)
    } else if line.starts_with(b"--- ") {
        is_followed_by(&[b"+++ "])
    } else if line.starts_with(b"Index: ") {
        next.is_empty() || is_followed_by(&[b"====", b"--- ", b"diff "])
    } else {
        line.starts_with(b"@@ -")
    }
}
