//! What a message says about its patch.

use std::collections::BTreeSet;

use crate::bugs::{BareNumber, Bug, Tracker};
use crate::change_ids;
use crate::claims::{self, Claims};
use crate::cve::Cve;
use crate::fields::{self, CVE_NAMES, Field, Fields};
use crate::origin::PatchOrigin;
use crate::picks::{commits_of_address, is_commit, picks};
use crate::prose;

/// The most characters of a subject in which claims are looked for.
const SUBJECT_CHARACTERS: usize = 500;

/// What a message says about its patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// What [`Summary::subject`](crate::Summary::subject) says.
    pub subject: Option<String>,
    /// `From` or `Author`.
    pub author: Option<String>,
    /// `Date`, in seconds since the epoch.
    pub date: Option<i64>,
    /// Where it comes from.
    pub origin: PatchOrigin,
    /// The commits of upstream that it was taken from, in lower-case hexadecimal of 7 to 64 digits.
    pub upstream_commits: Vec<String>,
    /// Gerrit's ids of the change: `I` and 40 hexadecimal digits, the same in every branch.
    pub change_ids: Vec<String>,
    /// The bugs that it claims to resolve.
    pub bugs: BTreeSet<Bug>,
    /// The vulnerabilities that it claims to resolve.
    pub cves: BTreeSet<Cve>,
    /// DEP-3's `Origin` as it is written, such as `upstream, https://…`.
    pub origin_header: Option<String>,
    /// Yocto's `Upstream-Status`, or `Upstream status` as a sentence.
    pub upstream_status: Option<String>,
    /// DEP-3's `Forwarded`: `no`, `not-needed`, or an address.
    pub forwarded: Option<String>,
    /// DEP-3's `Applied-Upstream`: a version, an address or a commit.
    pub applied_upstream: Option<String>,
    /// DEP-3's `Last-Update`, a date.
    pub last_update: Option<String>,
}

impl Message {
    /// Reads the message of a commit, or the head of a patch, without any diff.
    #[must_use]
    pub fn read(text: &[u8]) -> Self {
        Self::from_fields(&Fields::read(text), &fields::body(&String::from_utf8_lossy(text)))
    }

    /// Returns the origin that a header declares for the whole file, whatever else it has.
    pub(crate) fn declared_origin(fields: &Fields) -> PatchOrigin {
        let mut declared = Self::default();
        for field in &fields.fields {
            declared.read_origin(field);
        }
        declared.origin
    }

    /// Reads what a message's fields say, and its notes and footers, which are in its body.
    pub(crate) fn from_fields(fields: &Fields, body: &str) -> Self {
        let first = |name: &str| {
            let value = fields.values(name).find(|value| !value.is_empty());
            value.map(ToOwned::to_owned)
        };
        let mut message = Self {
            subject: fields.subject(),
            author: fields.author(),
            date: fields.date(),
            origin_header: first("origin"),
            upstream_status: first("upstream-status"),
            forwarded: first("forwarded"),
            applied_upstream: first("applied-upstream"),
            last_update: first("last-update"),
            ..Self::default()
        };
        let mut claimed = Claims::default();
        for field in &fields.fields {
            message.read_origin(field);
            claimed.extend(claims_of_field(field));
        }
        let mut lines = fields.prose.clone();
        for description in fields.values("description") {
            lines.push(String::new());
            lines.extend(
                description
                    .lines()
                    .skip(1)
                    .map(|line| line.trim_start_matches('.').to_owned()),
            );
        }
        message.read_notes(body);
        for line in &lines {
            claimed.extend(openstack_line(line).unwrap_or_default());
        }
        let subject = message.subject.clone().unwrap_or_default();
        let subject: String = subject.chars().take(SUBJECT_CHARACTERS).collect();
        let is_revert = subject.to_lowercase().starts_with("revert ")
            || lines.iter().any(|line| line.starts_with("This reverts commit "));
        if !is_revert {
            let descriptions = fields
                .values("description")
                .filter_map(|text| text.lines().next());
            for line in descriptions.chain([subject.as_str()]) {
                claimed.extend(claims::of_subject(line));
            }
            for sentence in prose::sentences(&lines) {
                let inner = sentence.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
                claimed.extend(inner.map(claims::tag).unwrap_or_default());
                claimed.extend(claims::of_sentence(&sentence));
            }
        }
        (message.bugs, message.cves) = (claimed.bugs, claimed.cves);
        message
    }

    fn read_origin(&mut self, field: &Field) {
        let lower = field.value.to_lowercase();
        let says = match field.name.as_str() {
            "origin" if lower.starts_with("upstream") => PatchOrigin::CherryPick,
            "upstream-status" if lower.starts_with("cherry") => PatchOrigin::CherryPick,
            "origin" | "upstream-status" if lower.starts_with("backport") => PatchOrigin::Backport,
            "applied-upstream" if !["no", ""].contains(&lower.as_str()) => PatchOrigin::Backport,
            "cherry-picked-from" => {
                return self.read_notes(&format!("-\n\nCherry-picked from {}", field.value));
            }
            _ => return,
        };
        self.origin = self.origin.max(says);
        for commit in commits_of_address(&field.value) {
            self.add_commit(commit);
        }
    }

    /// Takes what the notes and footers of a message name.
    fn read_notes(&mut self, text: &str) {
        for id in change_ids::all_change_ids(text) {
            self.add_change_id(id);
        }
        for pick in picks(text) {
            // A short id without a digit is a word.
            let is_id = |commit: &String| commit.len() == 40 || is_commit(commit);
            let commits: Vec<String> = pick.commits.into_iter().filter(is_id).collect();
            if !commits.is_empty() || !pick.change_ids.is_empty() {
                self.origin = self.origin.max(pick.origin);
            }
            for commit in commits {
                self.add_commit(commit);
            }
            for id in pick.change_ids {
                self.add_change_id(id);
            }
        }
    }

    fn add_commit(&mut self, commit: String) {
        if !self.upstream_commits.contains(&commit) {
            self.upstream_commits.push(commit);
        }
    }

    fn add_change_id(&mut self, id: String) {
        if !self.change_ids.contains(&id) {
            self.change_ids.push(id);
        }
    }
}

fn claims_of_field(field: &Field) -> Claims {
    let (name, value) = (field.name.as_str(), field.value.as_str());
    match name {
        name if CVE_NAMES.contains(&name) => {
            let list = claims::of_list(value, BareNumber::Unnamed);
            Claims {
                cves: list.cves,
                ..Claims::default()
            }
        }
        "fix" | "fixes" | "fixed" | "resolve" | "resolves" | "resolved" => {
            bug_word(value).unwrap_or_else(|| claims::of_closing_trailer(value, BareNumber::Unnamed))
        }
        "close" | "closes" | "closed" => {
            bug_word(value).unwrap_or_else(|| claims::of_closing_trailer(value, BareNumber::Debian))
        }
        "bug" => addresses(value, BareNumber::Unnamed),
        _ => match name.strip_prefix("bug-") {
            Some(vendor) => addresses(value, number_of_vendor(vendor)),
            None => match openstack_trailer(name) {
                Some(true) => claims::of_list(value, BareNumber::Launchpad),
                _ => Claims::default(),
            },
        },
    }
}

/// `Closes: bug #42`, as OpenStack's Gerrit reads it.
fn bug_word(value: &str) -> Option<Claims> {
    let (word, number) = value.split_once(|c: char| " #:".contains(c))?;
    let number = number.trim_start_matches([' ', '#', ':']);
    let is_one = word.eq_ignore_ascii_case("bug") && number.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then(|| claims::of_list(number, BareNumber::Launchpad))
}

fn number_of_vendor(vendor: &str) -> BareNumber {
    match vendor {
        "debian" => BareNumber::Vendor(Tracker::Debian),
        "ubuntu" | "launchpad" | "lp" => BareNumber::Launchpad,
        "redhat" | "fedora" | "rhel" => BareNumber::Vendor(Tracker::RedHatBugzilla),
        _ => BareNumber::Unnamed,
    }
}

/// Bugs of DEP-3's headers: addresses, or what is written.
fn addresses(value: &str, bare: BareNumber) -> Claims {
    let mut found = Claims::default();
    for word in value
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.is_empty())
    {
        let named = word.rsplit('/').next().unwrap_or(word);
        if let Ok(cve) = named.parse() {
            found.cves.insert(cve);
            continue;
        }
        let bug = if word.contains("://") {
            Bug::by_address(word)
        } else {
            Bug::from_word(word, bare).or_else(|| {
                word.bytes()
                    .all(|byte| byte.is_ascii_digit())
                    .then(|| Bug::unnamed(word))
            })
        };
        match bug {
            Some(bug) => drop(found.bugs.insert(bug)),
            None => break,
        }
    }
    found
}

/// Whether an OpenStack trailer closes its bugs; `None` if it is no such trailer.
fn openstack_trailer(name: &str) -> Option<bool> {
    let begin = name.strip_suffix("bug").or_else(|| name.strip_suffix("bugs"))?;
    let begin = begin.trim_matches(['-', '_', ' ']);
    let verbs = [
        "close", "closes", "closed", "fix", "fixes", "fixed", "resolve", "resolves", "resolved",
    ];
    if verbs.contains(&begin) {
        Some(true)
    } else {
        [
            "partial",
            "partially",
            "related",
            "partially-closes",
            "partially-fixes",
        ]
        .contains(&begin)
        .then_some(false)
    }
}

/// A whole line such as `Closes-Bug #42` or `fixes bug 42`, by the rule of OpenStack's Gerrit.
fn openstack_line(line: &str) -> Option<Claims> {
    let lower = line.trim().to_ascii_lowercase();
    let at = lower.find("bug")?;
    let (name, rest) = lower.split_at_checked(at + 3)?;
    let rest = rest.strip_prefix('s').unwrap_or(rest);
    let number = rest.trim_start_matches([' ', '#', ':']);
    let is_whole = rest.len() > number.len()
        && !number.is_empty()
        && number
            .trim_end_matches('.')
            .bytes()
            .all(|byte| byte.is_ascii_digit());
    (is_whole && openstack_trailer(&name.replace(' ', "-")) == Some(true))
        .then(|| claims::of_list(number, BareNumber::Launchpad))
}
