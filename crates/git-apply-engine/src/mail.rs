//! What the mail around a patch says: subject and author.

use mailparse::{MailHeaderMap, parse_headers};

/// The most bytes at the start of a patch in which its headers are looked for.
const HEADER_BYTES: usize = 16 << 10;

/// What looking for them costs at most, in units of effort.
pub(super) const COST: u64 = 16 * HEADER_BYTES as u64;

/// The headers of a patch that a report shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Headers {
    pub(super) subject: Option<String>,
    pub(super) author: Option<String>,
}

/// Reads the headers of `git format-patch` (RFC 5322 with RFC 2047), or those of DEP-3.
pub(super) fn headers(patch: &[u8]) -> Headers {
    let start = patch.get(..HEADER_BYTES).unwrap_or(patch);
    let start = match start.strip_prefix(b"From ") {
        Some(rest) => rest
            .iter()
            .position(|b| *b == b'\n')
            .and_then(|at| rest.get(at + 1..))
            .unwrap_or_default(),
        None => start,
    };
    if [&b"diff "[..], b"--- ", b"Index: "]
        .iter()
        .any(|diff| start.starts_with(diff))
    {
        return Headers::default();
    }
    let Ok((headers, _)) = parse_headers(start) else {
        return Headers::default();
    };
    let first = |names: [&str; 2]| {
        let value = names.iter().find_map(|name| headers.get_first_value(name))?;
        let line = value.lines().next().unwrap_or_default().trim().to_owned();
        (!line.is_empty()).then_some(line)
    };
    Headers {
        subject: first(["Subject", "Description"]).map(|subject| without_tags(&subject).to_owned()),
        author: first(["From", "Author"]),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_patch() {
        let patch = b"From 1f0c Mon Sep 17 00:00:00 2001\nFrom: =?UTF-8?q?J=C3=B6rg?= <j@example.org>\n\
            Date: x\nSubject: [PATCH 1/2] Fix the\n thing\n\nBody\n---\ndiff --git a/x b/x\n";
        let headers = headers(patch);
        assert_eq!(headers.subject.as_deref(), Some("Fix the thing"));
        assert_eq!(headers.author.as_deref(), Some("J\u{f6}rg <j@example.org>"));
    }

    #[test]
    fn dep3_and_bare_diffs() {
        let dep3 = headers(b"Description: Use foo\n More of it.\nAuthor: A <a@b>\n\n--- a/x\n+++ b/x\n");
        assert_eq!(
            (dep3.author.as_deref(), dep3.subject.is_some()),
            (Some("A <a@b>"), true)
        );
        assert_eq!(headers(b"diff --git a/x b/x\nSubject: no\n"), Headers::default());
        assert_eq!(headers(b"\xff\xfe\x00"), Headers::default());
    }
}
