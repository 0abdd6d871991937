//! What identifies a patch.

use crate::change_ids::{all_change_ids, subject};
use crate::fields::{self, Fields, without_tags};
use crate::picks::{origins, picks};
use crate::split;

/// The most bytes in front of a diff that are read.
const IDENTITY_BYTES: usize = 256 << 10;

/// What the first message of a patch says that identifies the same change elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchIdentity {
    /// The commit that it was made from: 40 hexadecimal digits.
    pub commit: Option<String>,
    /// What it was taken from, by notes and headers, in groups that are one change each: commits
    /// in lower-case hexadecimal of 7 to 64 digits.
    pub picks: Vec<Vec<String>>,
    /// The `Change-Id`s, all of which have to be found.
    pub change_ids: Vec<String>,
    /// The author's address alone, in lower case: how a name is spelled differs between mail and
    /// commit.
    pub author_address: Option<String>,
    /// When it was written, in seconds since the epoch.
    pub date: Option<i64>,
    /// The subject given by a header, in one line.
    pub subject: Option<String>,
}

impl PatchIdentity {
    /// Reads what is in front of the first diff.
    #[must_use]
    pub fn read(patch: &[u8]) -> Self {
        let part = split::first(patch.get(..IDENTITY_BYTES).unwrap_or(patch));
        let fields = Fields::read(part.text.as_bytes());
        let body = fields::body(&part.text);
        let notes = picks(&body).into_iter().map(|pick| pick.commits);
        let origins = origins(&part.text).into_iter().map(|commit| vec![commit]);
        let named = ["subject", "description"];
        let named = named.iter().find_map(|name| fields.values(name).next());
        Self {
            commit: part.commit,
            picks: notes
                .filter(|commits| !commits.is_empty())
                .chain(origins)
                .collect(),
            change_ids: all_change_ids(&body),
            author_address: fields.author().as_deref().and_then(address),
            date: fields.date(),
            subject: named.map(|text| subject(without_tags(text))),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const DIFF: &str = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-Change-Id: I1\n+b\n";

    fn identity(patch: &str) -> PatchIdentity {
        PatchIdentity::read(patch.as_bytes())
    }

    #[test]
    fn mails_of_format_patch() {
        let found = identity(&format!(
            "From {A} Mon Sep 17 00:00:00 2001\nFrom: =?UTF-8?q?J=C3=B6rg?= <J@Example.org>\n\
             Date: Tue, 1 Apr 2025 10:00:00 +0200\nSubject: [PATCH 1/2] [api] Fix the\n thing\n\n\
             Body\n\nChange-Id: I{A}\n(cherry picked from commit {A})\n---\n x | 2 +-\n\n{DIFF}"
        ));
        assert_eq!(found.commit.as_deref(), Some(A));
        assert_eq!(found.change_ids, [format!("I{A}")]);
        assert_eq!(found.picks, [[A]]);
        assert_eq!(found.author_address.as_deref(), Some("j@example.org"));
        assert_eq!(found.date, Some(1_743_494_400));
        assert_eq!(found.subject.as_deref(), Some("[api] Fix the thing"));
    }

    #[test]
    fn the_author_of_a_sent_mail_stands_in_its_body() {
        let found = identity(&format!(
            "From: Sender <s@x>\nDate: Wed, 2 Apr 2025 10:00:00 +0200\nSubject: [PATCH] S\n\n\
             From: Author <a@x>\nDate: Tue, 1 Apr 2025 10:00:00 +0200\n\nBody\n---\n{DIFF}"
        ));
        assert_eq!(found.author_address.as_deref(), Some("a@x"));
        assert_eq!(found.date, Some(1_743_494_400));
        assert_eq!(found.subject.as_deref(), Some("S"));
    }

    #[test]
    fn what_git_show_prints() {
        let found = identity(&format!(
            "commit {A}\nAuthor: A B <a@x>\nDate:   Tue Apr 1 10:00:00 2025 +0200\n\n    S\n    more\n\n    Body\n\n    Change-Id: I{A}\n\n{DIFF}"
        ));
        assert_eq!(found.commit.as_deref(), Some(A));
        assert_eq!(found.change_ids, [format!("I{A}")]);
        assert_eq!(found.date, Some(1_743_494_400));
        assert_eq!(found.subject.as_deref(), Some("S more"));
    }

    #[test]
    fn patches_without_headers() {
        assert_eq!(identity(DIFF), PatchIdentity::default());
        let noted = format!("# SPDX: x\n#\nUpstream status: not yet proposed.\n\nChange-Id: I{A}\n\n{DIFF}");
        assert_eq!(identity(&noted).change_ids, [format!("I{A}")]);
        let dep3 = identity(&format!(
            "Description: S\n more\nAuthor: A <a@x>\nOrigin: upstream, https://x/commit/{A}\n\n{DIFF}"
        ));
        assert_eq!(dep3.picks, [[A]]);
        assert_eq!((dep3.subject.as_deref(), dep3.date), (Some("S more"), None));
    }

    /// Some old mails name no encoding.
    #[test]
    fn latin1_is_read_as_such() {
        let patch = [&b"From: J\xf6rg <j@x>\nSubject: F\xfcr\n\n"[..], DIFF.as_bytes()].concat();
        assert_eq!(PatchIdentity::read(&patch).subject.as_deref(), Some("F\u{fc}r"));
    }
}
