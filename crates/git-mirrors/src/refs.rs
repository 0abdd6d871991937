//! Which commit a ref stands for: branches, tags, commits and version ranges over what a server
//! lists.

use std::fmt;
use std::sync::Arc;

use foreign_text::is_plain;
use semver::{Version, VersionReq};

use super::{Error, Oid, Requirement};

pub(super) const HEADS: &str = "refs/heads/";
pub(super) const TAGS: &str = "refs/tags/";
const HEAD: &str = "HEAD";
/// The longest name, in bytes: a file system takes no more in one part.
const LONGEST_NAME: usize = 1024;
/// How many similar names an error lists.
const NEAR: usize = 5;
/// How many names are compared for that, and how long they may be.
const COMPARED: usize = 10_000;
const LONGEST_COMPARED: usize = 100;

/// What to look for in an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RefSpec {
    /// A branch, with or without `refs/heads/`.
    Branch(String),
    /// A tag, with or without `refs/tags/`; an annotated one stands for its commit.
    Tag(String),
    /// A commit's SHA-1: 40 hexadecimal digits, or at least 7 if a branch or tag points to it.
    Commit(String),
    /// The highest tag within a range of semantic versions.
    Semver(VersionRange),
    /// A tag, else a branch, else a commit of that name: a value of `source-refs.yaml`.
    Any(String),
    /// The branch that the server calls `HEAD`.
    Default,
}

impl fmt::Display for RefSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch(name) => write!(f, "branch {name}"),
            Self::Tag(name) => write!(f, "tag {name}"),
            Self::Commit(sha) => write!(f, "commit {sha}"),
            Self::Semver(range) => write!(f, "tag within {range}"),
            Self::Any(name) => write!(f, "tag, branch or commit {name}"),
            Self::Default => f.write_str("default branch"),
        }
    }
}

/// A range of semantic versions.
///
/// Comparators are joined by commas or spaces. A bare full version means exactly that version, as
/// in Flux; `1.x`, `^1.2`, `~1.2` and `>=1.2 <2` have their usual meaning. Prereleases are left out
/// unless a comparator names one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VersionRange {
    text: String,
    requirement: VersionReq,
}

impl std::str::FromStr for VersionRange {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |reason: String| Error::RefInvalid {
            wanted: format!("version range {text:?}"),
            reason,
        };
        if text.contains("||") {
            return Err(invalid(
                "alternatives with || are not supported: write one range".to_owned(),
            ));
        }
        let mut comparators = Vec::new();
        let mut operator = String::new();
        for word in text.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
            // An operator may stand apart from its version.
            operator.push_str(word);
            if word.ends_with(['<', '>', '=', '^', '~']) {
                continue;
            }
            comparators.push(comparator(&std::mem::take(&mut operator)));
        }
        if comparators.is_empty() || !operator.is_empty() {
            return Err(invalid("write a range such as >=31.0.0, <32".to_owned()));
        }
        let requirement = VersionReq::parse(&comparators.join(", "))
            .map_err(|error| invalid(format!("{error}; write a range such as >=31.0.0, <32")))?;
        Ok(Self {
            text: text.to_owned(),
            requirement,
        })
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Writes one comparator as the semver crate reads it: no leading `v`, and `=` before a bare full
/// version.
fn comparator(word: &str) -> String {
    let start = word.find(|c: char| !"<>=^~".contains(c)).unwrap_or(word.len());
    let (operator, version) = word.split_at(start);
    let version = version.strip_prefix('v').unwrap_or(version);
    let bare = operator.is_empty() && Version::parse(version).is_ok();
    format!("{}{version}", if bare { "=" } else { operator })
}

/// Reads a tag as a version: a leading `v` is left out, missing parts count as zero.
fn version(tag: &str) -> Option<Version> {
    let text = tag.strip_prefix('v').unwrap_or(tag);
    Version::parse(text).ok().or_else(|| {
        let parts: Vec<u64> = text
            .split('.')
            .map(|part| part.parse().ok())
            .collect::<Option<_>>()?;
        match *parts.as_slice() {
            [major] => Some(Version::new(major, 0, 0)),
            [major, minor] => Some(Version::new(major, minor, 0)),
            _ => None,
        }
    })
}

/// Where a commit was found, in Flux's form: `stable/2025.2@sha1:…`, or `sha1:…` for a commit named
/// by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revision {
    name: Option<String>,
    is_tag: bool,
    commit: Oid,
}

impl Revision {
    /// The branch or tag without its prefix; none for a commit named by itself.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The tag without its prefix; none for a branch, and for a commit named by itself.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.name().filter(|_| self.is_tag)
    }

    /// The commit.
    #[must_use]
    pub fn commit(&self) -> Oid {
        self.commit
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}@")?;
        }
        write!(f, "sha1:{}", self.commit)
    }
}

/// A ref that was resolved to a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub(super) revision: Revision,
    /// What to ask the server for: the tag object of an annotated tag, because older servers give
    /// out only what a ref points to.
    pub(super) want: Oid,
    /// What has to be signed before anything of the commit is read.
    pub(super) requirement: Option<Arc<Requirement>>,
}

impl Resolved {
    /// The revision in Flux's form.
    #[must_use]
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The commit.
    #[must_use]
    pub fn commit(&self) -> Oid {
        self.revision.commit
    }

    /// Adds a requirement: nothing of the commit is read unless it is met.
    #[must_use]
    pub fn requiring(self, requirement: Arc<Requirement>) -> Self {
        Self {
            requirement: Some(requirement),
            ..self
        }
    }

    /// Whether a signature is asked for.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.requirement.is_some()
    }

    /// What identifies the verdict on its signature besides the commit; `None` where no signature
    /// is asked for.
    #[must_use]
    pub fn verification(&self) -> Option<String> {
        let requirement = self.requirement.as_ref()?;
        let name = self.revision.tag().unwrap_or_default();
        Some(format!("{} {} {name}", requirement.digest(), self.want))
    }

    /// What identifies the keys and the mode of the required signature, whatever was resolved;
    /// `None` if none is required.
    #[must_use]
    pub fn requirement(&self) -> Option<String> {
        self.requirement.as_ref().map(|requirement| requirement.digest())
    }

    /// The annotated tag that has to be held too.
    pub(super) fn needed_tag(&self) -> Option<Oid> {
        let requirement = self.requirement.as_ref()?;
        (requirement.needs_tag() && self.want != self.commit()).then_some(self.want)
    }

    /// A commit that is named by itself.
    #[must_use]
    pub fn pinned(commit: Oid) -> Self {
        Self {
            revision: Revision {
                name: None,
                is_tag: false,
                commit,
            },
            want: commit,
            requirement: None,
        }
    }
}

/// A ref as a server lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteRef {
    /// The full name, for instance `refs/heads/main`.
    pub(super) name: String,
    /// What it points to.
    pub(super) target: Oid,
    /// The same with annotated tags followed.
    pub(super) peeled: Oid,
    /// The full name of the ref that a symbolic one leads to.
    pub(super) symbolic: Option<String>,
}

impl RemoteRef {
    /// Whether the name is one that Git allows, and that may be shown (git-check-ref-format(1)).
    pub(super) fn is_named_well(&self) -> bool {
        let fine = |name: &str| name.len() <= LONGEST_NAME && is_plain(name);
        fine(&self.name) && self.symbolic.as_deref().is_none_or(fine)
    }
}

/// The refs of a server.
///
/// They are kept for as long as a look serves, and a repository has many, so all names are in one
/// text.
#[derive(Debug, Default)]
pub(super) struct RefList {
    pub(super) names: String,
    pub(super) entries: Vec<ListEntry>,
    /// The full name of the branch that `HEAD` leads to.
    pub(super) default_branch: Option<String>,
}

/// A ref in a [`RefList`], whose names are in one text.
#[derive(Debug)]
pub(super) struct ListEntry {
    /// Where its name ends; it begins where the one before ends.
    pub(super) name_end: usize,
    pub(super) target: Oid,
    pub(super) peeled: Oid,
}

/// A ref of a [`RefList`].
#[derive(Clone, Copy, Debug)]
struct ListedRef<'a> {
    name: &'a str,
    target: Oid,
    peeled: Oid,
}

impl RefList {
    /// The number of refs.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What it takes in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.names.capacity() + self.entries.capacity() * size_of::<ListEntry>()
    }

    /// All refs, each by its full name.
    pub(super) fn by_full_names(&self) -> impl Iterator<Item = Resolved> {
        self.iter().map(|found| resolved(found.name, &found))
    }

    fn iter(&self) -> impl Iterator<Item = ListedRef<'_>> {
        let mut begin = 0;
        self.entries.iter().map(move |entry| {
            let name = self.names.get(begin..entry.name_end).unwrap_or_default();
            begin = entry.name_end;
            ListedRef {
                name,
                target: entry.target,
                peeled: entry.peeled,
            }
        })
    }
}

impl FromIterator<RemoteRef> for RefList {
    fn from_iter<I: IntoIterator<Item = RemoteRef>>(refs: I) -> Self {
        let mut list = Self::default();
        for found in refs {
            if found.name == HEAD {
                list.default_branch = found.symbolic;
            }
            list.names.push_str(&found.name);
            list.entries.push(ListEntry {
                name_end: list.names.len(),
                target: found.target,
                peeled: found.peeled,
            });
        }
        list.names.shrink_to_fit();
        list.entries.shrink_to_fit();
        list
    }
}

/// Finds what a [`RefSpec`] stands for in a server's list.
///
/// `held` finds commits by an abbreviated SHA-1 in a repository that is the caller's own. What a
/// mirror holds is there because others asked for it, and is not searched.
pub(super) fn find(
    url: &dyn fmt::Display,
    refs: &RefList,
    want: &RefSpec,
    held: &dyn Fn(&str) -> Vec<Oid>,
) -> Result<Resolved, Error> {
    let by_name = |prefix: &str, name: &str| {
        let short = name.strip_prefix(prefix).unwrap_or(name);
        refs.iter()
            .find(|found| found.name.strip_prefix(prefix) == Some(short))
            .map(|found| resolved(short, &found))
    };
    let missing = |prefixes: &[&str], name: &str| Error::RefNotFound {
        url: url.to_string(),
        wanted: want.to_string(),
        retired: retired(name, &|full| refs.iter().any(|found| found.name == full)),
        near: similar_names(refs, prefixes, name),
    };
    match want {
        RefSpec::Branch(name) => by_name(HEADS, name).ok_or_else(|| missing(&[HEADS], name)),
        RefSpec::Tag(name) => by_name(TAGS, name).ok_or_else(|| missing(&[TAGS], name)),
        RefSpec::Commit(sha) => commit(url, refs, sha, held),
        RefSpec::Semver(range) => highest(refs, range).ok_or_else(|| Error::RefNotFound {
            url: url.to_string(),
            wanted: want.to_string(),
            retired: Vec::new(),
            near: newest(refs),
        }),
        RefSpec::Any(name) => match by_name(TAGS, name).or_else(|| by_name(HEADS, name)) {
            Some(found) => Ok(found),
            None if is_hex(name) && name.len() >= 7 => commit(url, refs, name, held),
            None => Err(missing(&[TAGS, HEADS], name)),
        },
        RefSpec::Default => {
            let default = refs.iter().find(|found| found.name == HEAD);
            let default = default.ok_or_else(|| missing(&[HEADS], "main"))?;
            let name = refs.default_branch.as_deref().unwrap_or(HEAD);
            Ok(resolved(name.strip_prefix(HEADS).unwrap_or(name), &default))
        }
    }
}

/// Reads a commit that is named in full, which needs no server to resolve.
pub(super) fn full_commit(want: &RefSpec) -> Result<Option<Oid>, Error> {
    match want {
        RefSpec::Commit(sha) if sha.len() < 7 || sha.len() > 40 || !is_hex(sha) => Err(Error::RefInvalid {
            wanted: want.to_string(),
            reason: "write the SHA-1: 40 hexadecimal digits, or at least 7 of them".to_owned(),
        }),
        RefSpec::Commit(sha) if sha.len() == 40 => Ok(sha.parse().ok()),
        _ => Ok(None),
    }
}

fn resolved(name: &str, found: &ListedRef<'_>) -> Resolved {
    Resolved {
        revision: Revision {
            name: Some(name.to_owned()),
            is_tag: found.name.starts_with(TAGS),
            commit: found.peeled,
        },
        want: found.target,
        requirement: None,
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn commit(
    url: &dyn fmt::Display,
    refs: &RefList,
    sha: &str,
    held: &dyn Fn(&str) -> Vec<Oid>,
) -> Result<Resolved, Error> {
    let sha = sha.to_ascii_lowercase();
    let listed = refs
        .iter()
        .find(|found| sha.len() == 40 && found.peeled.to_string() == sha);
    if let Some(found) = listed {
        return Ok(Resolved {
            want: found.target,
            ..Resolved::pinned(found.peeled)
        });
    }
    if sha.len() == 40 {
        return match sha.parse() {
            Ok(oid) => Ok(Resolved::pinned(oid)),
            Err(_) => Err(not_found(url, &sha)),
        };
    }
    let mut candidates: Vec<(Oid, Oid)> = refs
        .iter()
        .filter(|found| found.peeled.to_string().starts_with(&sha))
        .map(|found| (found.peeled, found.target))
        .chain(held(&sha).into_iter().map(|oid| (oid, oid)))
        .collect();
    candidates.sort_unstable();
    candidates.dedup_by_key(|(peeled, _)| *peeled);
    match candidates.as_slice() {
        [] => Err(Error::RefInvalid {
            wanted: format!("commit {sha}"),
            reason: "no branch or tag ends in a commit that starts like this, and Git servers do not look up others \
                     by their first digits: write all 40"
                .to_owned(),
        }),
        [(peeled, target)] => Ok(Resolved {
            want: *target,
            ..Resolved::pinned(*peeled)
        }),
        many => Err(Error::RefInvalid {
            wanted: format!("commit {sha}"),
            reason: format!("stands for {} commits: write more digits", many.len()),
        }),
    }
}

pub(super) fn not_found(url: &dyn fmt::Display, sha: &str) -> Error {
    Error::RefNotFound {
        url: url.to_string(),
        wanted: format!("commit {sha}"),
        retired: Vec::new(),
        near: Vec::new(),
    }
}

fn tags(refs: &RefList) -> impl Iterator<Item = (&str, Version, ListedRef<'_>)> {
    refs.iter().filter_map(|found| {
        let name = found.name.strip_prefix(TAGS)?;
        Some((name, version(name)?, found))
    })
}

/// The highest version within the range; among tags that differ only in spelling, the first by
/// name.
fn highest(refs: &RefList, range: &VersionRange) -> Option<Resolved> {
    tags(refs)
        .filter(|(_, version, _)| range.requirement.matches(version))
        .max_by(|(name_a, a, _), (name_b, b, _)| a.cmp(b).then(name_b.cmp(name_a)))
        .map(|(name, _, found)| resolved(name, &found))
}

fn newest(refs: &RefList) -> Vec<String> {
    let mut all: Vec<_> = tags(refs).collect();
    all.sort_by(|(_, a, _), (_, b, _)| b.cmp(a));
    all.into_iter()
        .take(NEAR)
        .map(|(name, ..)| name.to_owned())
        .collect()
}

/// What remains of a retired branch `stable/2024.2`, by OpenStack's conventions: the branch
/// `unmaintained/2024.2`, or the tags `2024.2-eom` and `2024.2-eol`.
pub(super) fn retired(branch: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let branch = branch.strip_prefix(HEADS).unwrap_or(branch);
    let branch = branch.strip_prefix("origin/").unwrap_or(branch);
    let release = ["stable/", "unmaintained/"]
        .iter()
        .find_map(|prefix| branch.strip_prefix(prefix));
    let Some(release) = release.filter(|release| !release.is_empty()) else {
        return Vec::new();
    };
    let names = [
        (HEADS, "branch", format!("unmaintained/{release}")),
        (TAGS, "tag", format!("{release}-eol")),
        (TAGS, "tag", format!("{release}-eom")),
    ];
    let there = names
        .into_iter()
        .filter(|(prefix, _, name)| exists(&format!("{prefix}{name}")));
    there.map(|(_, kind, name)| format!("{kind} {name}")).collect()
}

/// The names that share most with the wanted one.
fn similar_names(refs: &RefList, prefixes: &[&str], name: &str) -> Vec<String> {
    let pairs = |text: &str| -> Vec<(char, char)> {
        let chars: Vec<char> = text.to_lowercase().chars().take(LONGEST_COMPARED).collect();
        chars.iter().copied().zip(chars.iter().copied().skip(1)).collect()
    };
    let wanted = pairs(name);
    let mut scored: Vec<(usize, &str)> = refs
        .iter()
        .filter_map(|found| prefixes.iter().find_map(|prefix| found.name.strip_prefix(prefix)))
        .filter(|candidate| candidate.len() <= LONGEST_COMPARED)
        .take(COMPARED)
        .map(|candidate| {
            // Dice's coefficient over pairs of characters, in thousandths.
            let mut left = pairs(candidate);
            let total = left.len() + wanted.len();
            let mut shared = 0;
            for pair in &wanted {
                if let Some(at) = left.iter().position(|other| other == pair) {
                    left.swap_remove(at);
                    shared += 1;
                }
            }
            (2000 * shared / total.max(1), candidate)
        })
        .filter(|(score, _)| *score >= 300)
        .collect();
    scored.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    scored
        .into_iter()
        .take(NEAR)
        .map(|(_, name)| name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(name: &str, byte: u8) -> RemoteRef {
        RemoteRef {
            name: name.to_owned(),
            target: Oid::from_bytes([byte; 20]),
            peeled: Oid::from_bytes([byte; 20]),
            symbolic: None,
        }
    }

    #[test]
    fn a_list_is_found_in_as_it_was_given_and_takes_little() {
        let head = RemoteRef {
            symbolic: Some("refs/heads/trunk".to_owned()),
            ..remote("HEAD", 1)
        };
        let list: RefList = [head, remote("refs/heads/trunk", 1), remote("refs/tags/1.0.0", 2)]
            .into_iter()
            .collect();
        let found =
            |want| find(&"x", &list, &want, &|_| Vec::new()).map(|found| found.revision().to_string());
        assert_eq!(
            found(RefSpec::Default),
            Ok(format!("trunk@sha1:{}", "01".repeat(20)))
        );
        assert_eq!(
            found(RefSpec::Tag("1.0.0".into())),
            Ok(format!("1.0.0@sha1:{}", "02".repeat(20)))
        );
        assert_eq!(
            found(RefSpec::Any("trunk".into())),
            Ok(format!("trunk@sha1:{}", "01".repeat(20)))
        );
        let many: RefList = (0..100_000)
            .map(|number| remote(&format!("refs/tags/{number}"), 3))
            .collect();
        assert!(many.bytes() < 8 << 20, "{} bytes", many.bytes());
    }

    #[test]
    fn a_retired_branch_is_told_with_what_there_is_of_it() {
        let list: RefList = [
            "refs/tags/2024.2-eol",
            "refs/tags/2024.1-eom",
            "refs/heads/unmaintained/2024.1",
            "refs/heads/stable/2025.1",
        ]
        .into_iter()
        .map(|name| remote(name, 1))
        .collect();
        let told = |name: &str| {
            let want = RefSpec::Branch(name.to_owned());
            find(&"x", &list, &want, &|_| Vec::new()).unwrap_err().to_string()
        };
        assert!(told("stable/2024.2").contains("; the branch was retired: there is tag 2024.2-eol"));
        let both = told("stable/2024.1");
        assert!(
            both.contains("there is branch unmaintained/2024.1 and tag 2024.1-eom"),
            "{both}"
        );
        assert!(!told("stable/2025.2").contains("retired"));
    }

    #[test]
    fn names_that_a_terminal_obeys_are_none() {
        for (name, fine) in [
            ("refs/tags/1.0.0", true),
            ("refs/tags/1.0.0\u{1b}[2J", false),
            ("refs/tags/\u{202e}1", false),
            (&format!("refs/tags/{}", "x".repeat(2000)), false),
        ] {
            assert_eq!(remote(name, 1).is_named_well(), fine, "{name:?}");
        }
    }
}
