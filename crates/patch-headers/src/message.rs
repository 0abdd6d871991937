//! What a message says of its patch.

use std::collections::BTreeSet;

use crate::bugs::{BareNumber, Bug, Tracker};
use crate::claims::{self, Claims};
use crate::cve::Cve;
use crate::fields::{CVE_NAMES, Field, Fields};
use crate::prose;

/// The most characters of a subject in which claims are looked for.
const SUBJECT_CHARACTERS: usize = 500;

/// Where a patch comes from, from the least that is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PatchOrigin {
    /// Nobody upstream has it, or nothing says so.
    #[default]
    Unofficial,
    /// A change of upstream's, adapted: `Origin: backport`, `Upstream-Status: Backport`,
    /// `Applied-Upstream`, `(backported from commit …)`.
    Backport,
    /// A commit of upstream's as it is: `(cherry picked from commit …)`, `Origin: upstream`.
    CherryPick,
}

/// What a message says of its patch.
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
        Self::from_fields(&Fields::read(text))
    }

    /// Where a header says that the whole file comes from, whatever else it has.
    pub(crate) fn declared_origin(fields: &Fields) -> PatchOrigin {
        let mut declared = Self::default();
        for field in &fields.fields {
            declared.read_origin(field);
        }
        declared.origin
    }

    pub(crate) fn from_fields(fields: &Fields) -> Self {
        let first = |name: &str| {
            let value = fields.values(name).find(|value| !value.is_empty());
            value.map(ToOwned::to_owned)
        };
        let mut message = Self {
            subject: fields.subject(),
            author: fields.author(),
            date: first("date").and_then(|date| mailparse::dateparse(&date).ok()),
            upstream_status: first("upstream-status"),
            forwarded: first("forwarded"),
            applied_upstream: first("applied-upstream"),
            last_update: first("last-update"),
            ..Self::default()
        };
        let mut claimed = Claims::default();
        for field in &fields.fields {
            message.read_origin(field);
            match field.name.as_str() {
                "change-id" => message.add_change_id(&field.value),
                "cherry-picked-from" => message.read_pick(&format!("Cherry-picked from {}", field.value), ""),
                _ => {}
            }
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
        for (at, line) in lines.iter().enumerate() {
            message.read_pick(line, lines.get(at + 1).map_or("", String::as_str));
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
            "change-id" => return self.add_change_id(&field.value),
            "cherry-picked-from" => {
                return self.read_pick(&format!("Cherry-picked from {}", field.value), "");
            }
            _ => return,
        };
        self.origin = self.origin.max(says);
        for commit in commits_of_address(&field.value) {
            self.add_commit(commit);
        }
    }

    /// Reads a line that tells the commit which a patch was picked from.
    fn read_pick(&mut self, line: &str, next: &str) {
        let line = line.trim().trim_start_matches(['(', '[', ' ']);
        let lower = line.to_ascii_lowercase();
        let (begin, says) = [
            ("cherry picked from", PatchOrigin::CherryPick),
            ("cherry-picked from", PatchOrigin::CherryPick),
            ("manually cherry picked from", PatchOrigin::CherryPick),
            ("cherry-pick from", PatchOrigin::CherryPick),
            ("cherry pick of", PatchOrigin::CherryPick),
            ("cherry-pick of", PatchOrigin::CherryPick),
            ("this is a cherry pick of", PatchOrigin::CherryPick),
            ("this is a cherry-pick of", PatchOrigin::CherryPick),
            ("and cherry picked from", PatchOrigin::CherryPick),
            ("backported from commit", PatchOrigin::Backport),
            ("upstream commit", PatchOrigin::CherryPick),
            ("commit", PatchOrigin::CherryPick),
        ]
        .into_iter()
        .find(|(begin, _)| lower.starts_with(begin))
        .unwrap_or(("", PatchOrigin::Unofficial));
        if begin.is_empty() {
            return;
        }
        // The kernel's stable branches: a whole line `commit H upstream.`.
        if begin == "commit" && !lower.trim_end_matches('.').ends_with(" upstream") {
            return;
        }
        let rest = line.get(begin.len()..).unwrap_or_default();
        if rest.contains("://") {
            for commit in commits_of_address(rest) {
                self.origin = self.origin.max(says);
                self.add_commit(commit);
            }
            return;
        }
        let words = rest
            .split([' ', ':', ',', ')', ']', '/'])
            .chain(next.split([' ', ')']));
        for word in words.filter(|word| !word.is_empty()) {
            let word = word.trim_end_matches(['.', ';']);
            if is_commit(word) {
                self.origin = self.origin.max(says);
                self.add_commit(&word.to_ascii_lowercase());
            } else if is_change_id(word) {
                self.origin = self.origin.max(says);
                self.add_change_id(word);
            } else if ![
                "commit", "commits", "upstream", "master", "main", "change", "and", "the",
            ]
            .contains(&word.to_ascii_lowercase().as_str())
            {
                break;
            }
        }
    }

    fn add_commit(&mut self, commit: &str) {
        if !self.upstream_commits.iter().any(|known| known == commit) {
            self.upstream_commits.push(commit.to_owned());
        }
    }

    fn add_change_id(&mut self, id: &str) {
        let id = id.trim();
        if is_change_id(id) && !self.change_ids.iter().any(|known| known == id) {
            self.change_ids.push(id.to_owned());
        }
    }
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A commit, which may be shortened. A word such as `decade` is none.
fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && is_hexadecimal(text) && text.bytes().any(|byte| byte.is_ascii_digit())
}

fn is_change_id(text: &str) -> bool {
    text.strip_prefix('I')
        .is_some_and(|id| id.len() == 40 && is_hexadecimal(id))
}

/// The commits that a header names: `commit:H`, or the address of a commit's page.
fn commits_of_address(value: &str) -> Vec<&str> {
    const BEFORE: &[&str] = &[
        "commit:",
        "/commit/",
        "/commits/",
        "id=",
        "h=",
        "/+/",
        "/c/",
        "commit ",
    ];
    let end = |text: &str| text.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(text.len());
    let mut found = Vec::new();
    for begin in BEFORE {
        for (at, _) in value.match_indices(begin) {
            let rest = value.get(at + begin.len()..).unwrap_or_default();
            found.extend(rest.get(..end(rest)).filter(|commit| is_commit(commit)));
        }
    }
    let alone = value.split(['[', ']', ' ', ',']).filter(|word| is_commit(word));
    found.extend(alone);
    found
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

/// Whether a trailer of OpenStack's closes its bugs; `None` if it is none of them.
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
