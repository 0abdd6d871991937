#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod bugs;
mod change_ids;
mod claims;
mod commit_text;
mod cve;
mod fields;
mod identity;
mod message;
mod origin;
mod picks;
mod prose;
mod split;

use std::collections::BTreeSet;

pub use bugs::{Bug, Tracker};
pub use change_ids::{all_change_ids, change_ids, subject};
pub use commit_text::{CommitText, HeadForm, WrittenAt};
pub use cve::{Cve, NotACve};
pub use identity::PatchIdentity;
pub use message::Message;
pub use origin::PatchOrigin;
pub use picks::{Pick, picks};

/// The bytes at the start of a patch in which [`Summary::read`] looks.
pub const SUMMARY_BYTES: usize = 16 << 10;

/// The subject and author of a patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// `Subject`, `Description`, or the first line that is neither a header nor a notice of licence
    /// or copyright; without `[PATCH 1/2]` and the like.
    pub subject: Option<String>,
    /// `From` or `Author`.
    pub author: Option<String>,
}

impl Summary {
    /// Reads them from the first message of a patch.
    #[must_use]
    pub fn read(patch: &[u8]) -> Self {
        let start = patch.get(..SUMMARY_BYTES).unwrap_or(patch);
        let message = split::first(start).text;
        let fields = fields::Fields::read(message.as_bytes());
        Self {
            subject: fields.subject(),
            author: fields.author(),
        }
    }
}

/// What a patch says about itself: in the messages around its diffs, and in its file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchHeaders {
    /// Its messages in order: one, or several where it is a mailbox, such as the `.patch` of a pull
    /// request.
    pub messages: Vec<Message>,
    /// Where it comes from: by a header such as `Origin` of any message, or else by every message
    /// that has a diff.
    pub origin: PatchOrigin,
    /// The vulnerabilities that it claims to resolve.
    pub cves: BTreeSet<Cve>,
}

impl PatchHeaders {
    /// Reads a patch, whose file has this name.
    ///
    /// Vulnerabilities in the name count where no message has a `CVE` header.
    #[must_use]
    pub fn read(file_name: &str, patch: &[u8]) -> Self {
        let parts = split::all(patch);
        let (mut messages, mut origins) = (Vec::new(), Vec::new());
        let (mut has_cve_header, mut declared) = (false, PatchOrigin::default());
        for part in &parts {
            let fields = fields::Fields::read(part.text.as_bytes());
            has_cve_header |= fields.has_cve_header();
            declared = declared.max(Message::declared_origin(&fields));
            let message = Message::from_fields(&fields, &fields::body(&part.text));
            origins.push((part.has_diff, message.origin));
            messages.push(message);
        }
        let mut cves: BTreeSet<Cve> = messages
            .iter()
            .flat_map(|message| message.cves.iter().cloned())
            .collect();
        if !has_cve_header {
            cves.extend(cve::claimed_by_file_name(file_name));
        }
        let any_diff = origins.iter().any(|(has_diff, _)| *has_diff);
        let counted = origins.iter().filter(|(has_diff, _)| *has_diff || !any_diff);
        Self {
            origin: counted
                .map(|(_, origin)| *origin)
                .min()
                .unwrap_or_default()
                .max(declared),
            messages,
            cves,
        }
    }

    /// Returns the upstream commits that its messages name as what it was taken from, without
    /// duplicates.
    #[must_use]
    pub fn upstream_commits(&self) -> Vec<&str> {
        without_repetition(self.messages.iter().flat_map(|message| &message.upstream_commits))
    }

    /// Returns Gerrit's ids of its changes, without duplicates.
    #[must_use]
    pub fn change_ids(&self) -> Vec<&str> {
        without_repetition(self.messages.iter().flat_map(|message| &message.change_ids))
    }

    /// Where it comes from in the words of DEP-3: its `Origin` as it is written, or else the commit
    /// that a note names, such as `backport, commit:867d1dd8…`.
    #[must_use]
    pub fn origin_in_words(&self) -> Option<String> {
        let header = self
            .messages
            .iter()
            .find_map(|message| message.origin_header.as_ref());
        let kind = match self.origin {
            PatchOrigin::Unofficial => return header.cloned(),
            PatchOrigin::Backport => "backport",
            PatchOrigin::CherryPick => "upstream",
        };
        let note = || Some(format!("{kind}, commit:{}", self.upstream_commits().first()?));
        header.cloned().or_else(note)
    }

    /// Its status upstream: Yocto's `Upstream-Status`, or the sentence `Upstream status`.
    #[must_use]
    pub fn upstream_status(&self) -> Option<&str> {
        self.first(|message| message.upstream_status.as_deref())
    }

    /// DEP-3's `Forwarded`.
    #[must_use]
    pub fn forwarded(&self) -> Option<&str> {
        self.first(|message| message.forwarded.as_deref())
    }

    /// DEP-3's `Applied-Upstream`.
    #[must_use]
    pub fn applied_upstream(&self) -> Option<&str> {
        self.first(|message| message.applied_upstream.as_deref())
    }

    /// When it was written: `Date` of its first message in seconds since the epoch.
    #[must_use]
    pub fn date(&self) -> Option<i64> {
        self.messages.first()?.date
    }

    /// DEP-3's `Last-Update`, as it is written.
    #[must_use]
    pub fn last_update(&self) -> Option<&str> {
        self.first(|message| message.last_update.as_deref())
    }

    fn first<'a>(&'a self, value: impl Fn(&'a Message) -> Option<&'a str>) -> Option<&'a str> {
        self.messages.iter().find_map(value)
    }

    /// The bugs that it claims to resolve.
    #[must_use]
    pub fn bugs(&self) -> BTreeSet<&Bug> {
        self.messages.iter().flat_map(|message| &message.bugs).collect()
    }
}

fn without_repetition<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    let texts = texts.map(String::as_str);
    texts.filter(|text| seen.insert(*text)).collect()
}
