//! The messages of a patch: what is before each diff, decoded.

use mailparse::MailHeaderMap;

use crate::fields::is_header_of_patch;

/// The most bytes of a message that are read.
const MESSAGE_BYTES: usize = 64 << 10;

/// The most messages of a file that are read.
const MESSAGES: usize = 1000;

/// A message, and whether a diff follows it.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) text: Vec<u8>,
    pub(crate) has_diff: bool,
}

/// All messages of a file. What is before its first mail belongs to that.
pub(crate) fn all(patch: &[u8]) -> Vec<Part> {
    let mails = mails(patch).into_iter().take(MESSAGES);
    let mut parts: Vec<Part> = mails.map(|mail| until_diff(&decoded(mail))).collect();
    let is_preamble = parts.first().is_some_and(|part| !part.has_diff) && !is_from_line(patch);
    if is_preamble && parts.len() > 1 {
        let preamble = parts.remove(0);
        if let Some(part) = parts.first_mut() {
            part.text = [&preamble.text, &b"\n"[..], &part.text].concat();
        }
    }
    parts
}

/// The first message of a file.
pub(crate) fn first(patch: &[u8]) -> Vec<u8> {
    all(patch).into_iter().next().unwrap_or_default().text
}

/// The mails of a mailbox without their `From ` lines, cut at [`MESSAGE_BYTES`]; the whole file
/// where it is none.
fn mails(patch: &[u8]) -> Vec<&[u8]> {
    let mut starts = Vec::new();
    let mut place = 0;
    for line in patch.split_inclusive(|byte| *byte == b'\n') {
        if is_from_line(line) {
            starts.push((place, place + line.len()));
        } else if place == 0 {
            starts.push((0, 0));
        }
        place += line.len();
    }
    let ends = starts.iter().skip(1).map(|(end, _)| *end).chain([patch.len()]);
    let bounds = starts.iter().map(|(_, start)| *start).zip(ends);
    bounds
        .map(|(start, end)| {
            patch
                .get(start..end.min(start + MESSAGE_BYTES))
                .unwrap_or_default()
        })
        .collect()
}

/// `From 1f0c… Mon Sep 17 00:00:00 2001`, by the rule of `git mailsplit`: a time and a year.
fn is_from_line(text: &[u8]) -> bool {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Some(rest) = line.strip_prefix(b"From ") else {
        return false;
    };
    let Ok(rest) = std::str::from_utf8(rest) else {
        return false;
    };
    let mut words = rest.split_whitespace().rev();
    let is_year = |word: &str| word.len() == 4 && word.parse().is_ok_and(|year: u16| year > 1990);
    let is_time = |word: &str| {
        word.split(':').count() >= 2 && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b':')
    };
    words.next().is_some_and(is_year) && words.next().is_some_and(is_time)
}

/// A mail with its body as it was before it was encoded.
fn decoded(mail: &[u8]) -> Vec<u8> {
    let head_length = mail
        .windows(2)
        .position(|two| two == b"\n\n")
        .map_or(mail.len(), |end| end + 2);
    let encoding = mail.get(..head_length).and_then(|head| {
        let (headers, _) = mailparse::parse_headers(head).ok()?;
        headers.get_first_value("Content-Transfer-Encoding")
    });
    let is_encoded =
        encoding.is_some_and(|name| ["base64", "quoted-printable"].contains(&name.to_lowercase().trim()));
    if !is_encoded {
        return mail.to_vec();
    }
    // What is cut off may end within a group of base64.
    let whole_lines = mail
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(mail.len(), |end| end + 1);
    let body = mail.get(..whole_lines).and_then(|mail| {
        let parsed = mailparse::parse_mail(mail).ok()?;
        parsed.get_body().ok()
    });
    match (mail.get(..head_length), body) {
        (Some(head), Some(body)) => [head, body.as_bytes()].concat(),
        _ => mail.to_vec(),
    }
}

/// What is before the first diff, or before the line `---` that ends a message, and the headers on
/// the patch between that and the diff.
fn until_diff(mail: &[u8]) -> Part {
    let lines: Vec<&[u8]> = mail.split_inclusive(|byte| *byte == b'\n').collect();
    let mut text = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let next = lines.get(at + 1).copied().unwrap_or_default();
        let starts = begins_diff(line, next) || (at == 0 && line.starts_with(b"diff "));
        if starts {
            let has_diff = true;
            return Part { text, has_diff };
        }
        if line.trim_ascii_end() == b"---" {
            let rest = lines.get(at + 1..).unwrap_or_default();
            let end = rest.windows(2).position(|two| begins_diff(two[0], two[1]));
            for line in rest.iter().take(end.unwrap_or(rest.len())) {
                if is_header_of_patch(line) {
                    text.extend_from_slice(line);
                }
            }
            return Part {
                text,
                has_diff: end.is_some(),
            };
        }
        text.extend_from_slice(line);
    }
    Part {
        text,
        has_diff: false,
    }
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
