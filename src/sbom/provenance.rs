//! Where a patch comes from and what it resolves, as its headers say.

use std::collections::BTreeSet;

use mailparse::MailHeaderMap;

/// The most bytes at the start of a patch in which headers are looked for.
const HEADER_BYTES: usize = 64 << 10;

/// What kind of patch it is, as `CycloneDX` divides them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum PatchOrigin {
    /// Nobody upstream has it, or nothing says so.
    Unofficial,
    /// A change of upstream's from another version.
    Backport,
    /// A commit of upstream's as it is: `(cherry picked from commit …)`.
    CherryPick,
}

/// Something that a patch resolves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub enum Issue {
    /// A bug on Launchpad, by its number: `Closes-Bug`, `Partial-Bug`.
    Launchpad(u64),
    /// A bug anywhere else, by its address: DEP-3's `Bug`.
    Bug(String),
    /// A vulnerability, by its CVE number.
    Cve(String),
}

/// What a patch's headers say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// What kind of patch it is.
    pub kind: PatchOrigin,
    /// The commits that it was picked from.
    pub commits: Vec<String>,
    /// Gerrit's `Change-Id`, which stays the same in every branch.
    pub change_id: Option<String>,
    /// What it resolves.
    pub issues: BTreeSet<Issue>,
}

impl Provenance {
    /// Reads the headers and message of `git format-patch`, DEP-3 and Yocto patches, up to the
    /// first diff.
    #[must_use]
    pub fn from_patch(patch: &[u8]) -> Self {
        let mut provenance = Self {
            kind: PatchOrigin::Unofficial,
            commits: Vec::new(),
            change_id: None,
            issues: BTreeSet::new(),
        };
        for line in message(patch).lines() {
            provenance.read(line.trim());
        }
        provenance
    }

    fn read(&mut self, line: &str) {
        self.issues.extend(cves(line));
        if let Some(commit) = line
            .strip_prefix("(cherry picked from commit ")
            .and_then(|rest| rest.split([')', ' ']).next())
            .filter(|commit| commit.len() >= 7 && commit.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            self.kind = PatchOrigin::CherryPick;
            self.commits.push(commit.to_ascii_lowercase());
            return;
        }
        let Some((name, value)) = line.split_once(':') else {
            return;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "change-id" => {
                let is_id = |id: &&str| {
                    id.strip_prefix('I')
                        .is_some_and(|hex| hex.len() == 40 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
                };
                self.change_id = Some(value)
                    .filter(is_id)
                    .map(ToOwned::to_owned)
                    .or(self.change_id.take());
            }
            "closes-bug" | "partial-bug" => self.issues.extend(launchpad(value)),
            "bug" => self.issues.extend(address(value)),
            name if name.starts_with("bug-") => self.issues.extend(address(value)),
            "origin" | "upstream-status"
                if self.kind == PatchOrigin::Unofficial
                    && value.to_ascii_lowercase().starts_with("backport") =>
            {
                self.kind = PatchOrigin::Backport;
            }
            _ => {}
        }
    }
}

/// Headers and message: everything before the first diff.
fn message(patch: &[u8]) -> String {
    let start = patch.get(..HEADER_BYTES).unwrap_or(patch);
    let text = String::from_utf8_lossy(start);
    let is_diff = |line: &str| {
        ["diff ", "Index: ", "--- ", "@@ "]
            .iter()
            .any(|begin| line.starts_with(begin))
            || line == "---"
    };
    let end: usize = text
        .split_inclusive('\n')
        .take_while(|line| !is_diff(line.trim_end()))
        .map(str::len)
        .sum();
    let head = text.get(..end).unwrap_or_default();
    // The message may be encoded for mail; headers of DEP-3 are told as they stand.
    let mail = match head.strip_prefix("From ") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, mail)| mail),
        None => head,
    };
    let Ok(parsed) = mailparse::parse_mail(mail.as_bytes()) else {
        return head.to_owned();
    };
    match (
        parsed.headers.get_first_value("Content-Transfer-Encoding"),
        parsed.get_body(),
    ) {
        (Some(_), Ok(body)) => {
            let subject = parsed.headers.get_first_value("Subject").unwrap_or_default();
            format!("{subject}\n{body}")
        }
        _ => head.to_owned(),
    }
}

/// The CVE numbers in a line: `CVE-`, a year, and four or more digits.
fn cves(line: &str) -> Vec<Issue> {
    let upper = line.to_ascii_uppercase();
    let mut found = Vec::new();
    for (at, _) in upper.match_indices("CVE-") {
        let Some(rest) = upper.get(at + 4..) else { continue };
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let year = digits(rest);
        let Some(number) = rest.get(year..).and_then(|rest| rest.strip_prefix('-')) else {
            continue;
        };
        let length = digits(number);
        if year == 4
            && length >= 4
            && let Some(number) = number.get(..length)
            && let Some(year) = rest.get(..4)
        {
            found.push(Issue::Cve(format!("CVE-{year}-{number}")));
        }
    }
    found
}

/// `#1234567`, `LP#1234567`, `lp:1234567`, or the number alone; several with commas.
fn launchpad(value: &str) -> Vec<Issue> {
    let numbers = value.split([',', ' ']).filter_map(|part| {
        let digits = part.trim_start_matches(|c: char| !c.is_ascii_digit());
        let digits = digits.trim_end_matches(|c: char| !c.is_ascii_digit());
        digits.parse().ok().map(Issue::Launchpad)
    });
    numbers.collect()
}

fn address(value: &str) -> Option<Issue> {
    let url = url::Url::parse(value).ok()?;
    let allowed =
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    if !allowed {
        return None;
    }
    let on_launchpad = url.host_str() == Some("bugs.launchpad.net");
    let number = url
        .path_segments()
        .and_then(|mut parts| parts.next_back()?.parse().ok());
    Some(match number {
        Some(number) if on_launchpad => Issue::Launchpad(number),
        _ => Issue::Bug(url.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_openstack_backport() {
        let patch = "From 1f0c Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: [PATCH] Fix CVE-2024-32498 and cve-2025-1234\n\n\
            Body.\n\nCloses-Bug: #2059809\nPartial-bug: LP#1, #2\nRelated-Bug: #3\n\
            Change-Id: I0123456789abcdef0123456789abcdef01234567\n(cherry picked from commit 867d1dd8b6e4f5b5fbb6b8a0b2a4c8d1e2f3a4b5)\n---\n file | 2 +-\n\
            diff --git a/x b/x\n+Closes-Bug: #99\n";
        let read = Provenance::from_patch(patch.as_bytes());
        assert_eq!(read.kind, PatchOrigin::CherryPick);
        assert_eq!(read.commits, ["867d1dd8b6e4f5b5fbb6b8a0b2a4c8d1e2f3a4b5"]);
        assert_eq!(
            read.change_id.as_deref(),
            Some("I0123456789abcdef0123456789abcdef01234567")
        );
        assert_eq!(
            read.issues.into_iter().collect::<Vec<_>>(),
            [
                Issue::Launchpad(1),
                Issue::Launchpad(2),
                Issue::Launchpad(2_059_809),
                Issue::Cve("CVE-2024-32498".into()),
                Issue::Cve("CVE-2025-1234".into())
            ]
        );
    }

    #[test]
    fn dep3_yocto_and_bare_diffs() {
        let dep3 = "Description: x\nOrigin: backport, https://example.org/c\nBug: https://bugs.launchpad.net/glance/+bug/77\nBug-Debian: https://bugs.debian.org/1\nBug: javascript:x\n\n--- a/x\n+++ b/x\n";
        let read = Provenance::from_patch(dep3.as_bytes());
        assert_eq!(read.kind, PatchOrigin::Backport);
        assert_eq!(
            read.issues.into_iter().collect::<Vec<_>>(),
            [
                Issue::Launchpad(77),
                Issue::Bug("https://bugs.debian.org/1".into())
            ]
        );
        let yocto = Provenance::from_patch(b"From: A\nSubject: y\n\nUpstream-Status: Backport [https://x]\nCVE: CVE-2023-12345\n\nIndex: x\n");
        assert_eq!((yocto.kind, yocto.issues.len()), (PatchOrigin::Backport, 1));
        let bare = Provenance::from_patch(b"diff --git a/x b/x\n+CVE-2023-12345\n");
        assert_eq!((bare.kind, bare.issues.len()), (PatchOrigin::Unofficial, 0));
        assert_eq!(Provenance::from_patch(b"\xff\x00").kind, PatchOrigin::Unofficial);
    }

    #[test]
    fn encoded_messages_are_read() {
        let mail = "From 1 Mon Sep 17 00:00:00 2001\nFrom: A\nSubject: [PATCH] x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: quoted-printable\n\nJ=C3=B6rg\nCloses-Bug: =2342\n\n---\ndiff --git a/x b/x\n";
        assert_eq!(
            Provenance::from_patch(mail.as_bytes())
                .issues
                .into_iter()
                .collect::<Vec<_>>(),
            [Issue::Launchpad(42)]
        );
    }
}
