//! The patches that a source has, as mails of `git format-patch`.

use std::path::Path;
use std::time::{Duration, Instant};

use git_apply_engine::{MemoryStore, Objects, Options, WriteObjects, touched_paths};
use git_mirrors::local::LocalRepository;
use git_mirrors::{
    Branch, BranchError, CommitAt, FormatLimits, FormattedPatch, Freshness, MirrorConfig, Mirrors, RefSpec,
    RepoUrl, Resolved, SubjectPolicy, Transports, Upstream, format_series,
};
use patch_headers::{PatchIdentity, Summary};
use upstream_history::{UpstreamCommit, commit_url};

use super::dialect::{Provenance, UpstreamStanding};
use crate::cli::error::Error;
use crate::cli::git_login::GitLogins;
use crate::cli::input;
use crate::source::mirror_config;

/// How old a look at a server's refs may be.
const SHARED: Duration = Duration::from_secs(60);

/// The most patches that are taken at once.
pub(super) const MOST_PATCHES: usize = 200;

/// The most bytes of files that are kept for merges.
const MOST_BLOB_BYTES: u64 = 64 << 20;

/// The patches of a source.
pub(super) struct FetchedSource {
    pub(super) patches: Vec<SourcePatch>,
    /// The files that the patches were made for, as far as they are known.
    pub(super) blobs: MemoryStore,
}

/// One patch of a source.
pub(super) struct SourcePatch {
    /// Its subject, after which its file is named.
    pub(super) subject: String,
    pub(super) bytes: Vec<u8>,
    /// Where it comes from; `None` for a file.
    pub(super) provenance: Option<Provenance>,
}

/// Which commits of a repository are taken.
#[derive(Clone, Debug)]
pub(super) enum WantedCommits {
    /// One.
    One(RefSpec),
    /// Those reachable from one commit and not from another.
    Range { tip: RefSpec, base: RefSpec },
    /// The latest `count` that are reachable from a ref of any kind.
    Last { reference: String, count: usize },
    /// Those reachable from a ref of any kind and not from a commit.
    Since { reference: String, base: RefSpec },
}

/// Where the pages of commits are, and whether they are upstream's.
#[derive(Clone, Debug)]
pub(super) struct SourcePage {
    /// The page of what all of them belong to: a pull request, or a review.
    pub(super) whole: Option<String>,
    /// The repository's address, from which a commit's page follows.
    pub(super) repository: Option<String>,
    pub(super) standing: UpstreamStanding,
}

/// Repositories on servers.
pub(super) struct SourceServers<'a> {
    pub(super) cache: Option<&'a Path>,
    pub(super) timeout: Duration,
    pub(super) logins: GitLogins,
}

impl SourceServers<'_> {
    /// A repository's mirror, and the deadline for its use.
    fn mirrors(&self, url: &RepoUrl) -> Result<(Mirrors, Instant), Error> {
        let config = MirrorConfig {
            // A user who names an address permits its transport.
            transports: Transports::NONE.and(url.scheme()),
            ..mirror_config(input::cache(self.cache)?)
        };
        Ok((Mirrors::open(config)?, Instant::now() + self.timeout))
    }

    /// The latest patch set of a change at Gerrit, as its server lists it: its ref.
    ///
    /// # Errors
    ///
    /// Where the server cannot be asked, or has no such change.
    pub(super) fn latest_patch_set(&self, repository: &str, number: u64) -> Result<String, Error> {
        let url: RepoUrl = repository.parse()?;
        let (mirrors, deadline) = self.mirrors(&url)?;
        let prefix = format!("refs/changes/{:02}/{number}/", number % 100);
        let list = |upstream: &Upstream| mirrors.refs_below(upstream, &prefix, deadline);
        let (_, refs) = self.logins.with_upstream(&url, list)?;
        let sets = refs.iter().filter_map(|found| {
            let name = found.revision().name()?;
            Some((name.strip_prefix(&prefix)?.parse::<u64>().ok()?, name))
        });
        let (_, name) = sets
            .max()
            .ok_or_else(|| Error::Usage(format!("{repository} has no change {number}")))?;
        Ok(name.to_owned())
    }

    /// Fetches commits of a repository.
    ///
    /// # Errors
    ///
    /// If they cannot be fetched, or are not patches.
    pub(super) fn fetch(
        &self,
        repository: &str,
        wanted: &WantedCommits,
        page: &SourcePage,
    ) -> Result<FetchedSource, Error> {
        if let WantedCommits::Last { count, .. } = wanted
            && *count > MOST_PATCHES
        {
            return Err(too_many(*count));
        }
        let url: RepoUrl = repository.parse()?;
        let (mirrors, deadline) = self.mirrors(&url)?;
        let server = SourceServer {
            mirrors: &mirrors,
            deadline,
        };
        let find = |upstream: &Upstream| match server.branch(upstream, wanted) {
            Err(BranchError::Source(error)) => Err(error),
            found => Ok(found),
        };
        let (_, found) = self.logins.with_upstream(&url, find)?;
        let wrong = |error: BranchError| Error::Usage(format!("{repository}: {error}"));
        let branch = found.map_err(wrong)?;
        if branch.commits().len() > MOST_PATCHES {
            return Err(too_many(branch.commits().len()));
        }
        let formatted = branch.patches(branch.base(), SubjectPolicy::Ignore, FormatLimits::default());
        let formatted = formatted.map_err(wrong)?;
        let objects = branch.objects();
        source_of(
            formatted.patches,
            objects.map(|objects| objects as &dyn Objects),
            page,
        )
    }
}

/// A server, for one fetch.
struct SourceServer<'m> {
    mirrors: &'m Mirrors,
    deadline: Instant,
}

impl<'m> SourceServer<'m> {
    fn branch(&self, upstream: &Upstream, wanted: &WantedCommits) -> Result<Branch<'m>, BranchError> {
        let at = |resolved| CommitAt { upstream, resolved };
        match wanted {
            WantedCommits::One(commit) => {
                let commit = self.resolve(upstream, commit)?;
                self.mirrors.last_commits(at(&commit), 1, self.deadline)
            }
            WantedCommits::Last { reference, count } => {
                let tip = self.named(upstream, reference)?;
                self.mirrors.last_commits(at(&tip), *count, self.deadline)
            }
            WantedCommits::Range { tip, base } => {
                let (tip, base) = (self.resolve(upstream, tip)?, self.resolve(upstream, base)?);
                self.mirrors
                    .branch(at(&tip), at(&base), MOST_PATCHES, self.deadline)
            }
            WantedCommits::Since { reference, base } => {
                let (tip, base) = (self.named(upstream, reference)?, self.resolve(upstream, base)?);
                self.mirrors
                    .branch(at(&tip), at(&base), MOST_PATCHES, self.deadline)
            }
        }
    }

    fn resolve(&self, upstream: &Upstream, wanted: &RefSpec) -> Result<Resolved, git_mirrors::Error> {
        self.mirrors
            .resolve(upstream, wanted, Freshness::MaxAge(SHARED), self.deadline)
    }

    /// Resolves a ref of any kind.
    fn named(&self, upstream: &Upstream, reference: &str) -> Result<Resolved, git_mirrors::Error> {
        let refs = self.mirrors.refs_below(upstream, reference, self.deadline)?;
        let is_it = |found: &Resolved| found.revision().name() == Some(reference);
        refs.into_iter()
            .find(is_it)
            .ok_or_else(|| git_mirrors::Error::RefNotFound {
                url: upstream.url().to_string(),
                wanted: reference.to_owned(),
                retired: Vec::new(),
                near: Vec::new(),
            })
    }
}

fn too_many(count: usize) -> Error {
    Error::Usage(format!(
        "there are {count} commits, but at most {MOST_PATCHES} can be added at once: name fewer"
    ))
}

/// A revision of a clone, or a range `A..B` of them.
///
/// # Errors
///
/// If there is no such revision, or it is not a patch.
pub(super) fn from_clone(repository: &LocalRepository, revision: &str) -> Result<FetchedSource, Error> {
    let wrong = |error: &dyn std::fmt::Display| Error::Usage(format!("{revision}: {error}"));
    let range = match revision.split_once("..") {
        Some((base, tip)) => {
            let head = |text: &str| {
                if text.is_empty() {
                    "HEAD".to_owned()
                } else {
                    text.to_owned()
                }
            };
            let tip = head(tip.trim_start_matches('.'));
            repository.branch_range(&tip, &head(base), MOST_PATCHES)
        }
        None => repository.last_commits(revision, 1),
    };
    let range = range.map_err(|error| wrong(&error))?;
    let formatted = format_series(
        repository,
        &range,
        range.base,
        SubjectPolicy::Ignore,
        FormatLimits::default(),
    );
    let formatted = formatted.map_err(|error| wrong(&error))?;
    let page = SourcePage {
        whole: None,
        repository: repository.origin(),
        standing: UpstreamStanding::Merged,
    };
    source_of(formatted.patches, Some(repository), &page)
}

/// The patches of a file: one, or a mailbox of several.
///
/// # Errors
///
/// Where there is none in it.
pub(super) fn from_file(path: &Path, bytes: &[u8]) -> Result<FetchedSource, Error> {
    let shown = path.display();
    let mails = mails(bytes);
    if mails.len() > MOST_PATCHES {
        return Err(too_many(mails.len()));
    }
    let mut patches = Vec::new();
    for mail in mails {
        let input = git_apply_engine::PatchInput::new(shown.to_string(), mail);
        // A cover letter touches nothing.
        if touched_paths(std::slice::from_ref(&input), &Options::default()).is_empty() {
            continue;
        }
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        let stem = stem.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
        let subject = Summary::read(mail).subject.unwrap_or_else(|| stem.to_owned());
        patches.push(SourcePatch {
            subject,
            bytes: mail.to_vec(),
            provenance: None,
        });
    }
    if patches.is_empty() {
        return Err(Error::Usage(format!(
            "{shown} contains no patch: give a diff, or the output of git format-patch"
        )));
    }
    Ok(FetchedSource {
        patches,
        blobs: MemoryStore::new(),
    })
}

/// The mails of a mailbox that `git format-patch --stdout` wrote; all of it if it is not one.
fn mails(bytes: &[u8]) -> Vec<&[u8]> {
    let is_start = |line: &[u8]| {
        let rest = line.strip_prefix(b"From ").unwrap_or_default();
        let id = rest.get(..40).unwrap_or_default();
        id.len() == 40
            && id.iter().all(u8::is_ascii_hexdigit)
            && rest
                .get(40..)
                .is_some_and(|rest| rest.starts_with(b" Mon Sep 17 00:00:00 2001"))
    };
    let (mut starts, mut at) = (Vec::new(), 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if is_start(line) {
            starts.push(at);
        }
        at += line.len();
    }
    if starts.len() < 2 {
        return vec![bytes];
    }
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let mails = starts.iter().zip(ends);
    mails.filter_map(|(start, end)| bytes.get(*start..end)).collect()
}

fn source_of(
    formatted: Vec<FormattedPatch>,
    objects: Option<&dyn Objects>,
    page: &SourcePage,
) -> Result<FetchedSource, Error> {
    if formatted.is_empty() {
        return Err(Error::Usage(
            "the source contains no commit that changes a file: name a single commit".to_owned(),
        ));
    }
    let mut blobs = MemoryStore::new();
    let mut left = MOST_BLOB_BYTES;
    let mut patches = Vec::new();
    for patch in formatted {
        if let Some(objects) = objects {
            keep_blobs(&patch.bytes, objects, &mut blobs, &mut left);
        }
        patches.push(SourcePatch {
            subject: subject(&patch.name),
            provenance: Some(Provenance {
                page: commit_page(&patch, page),
                commit: patch.commit.to_string(),
                standing: page.standing,
            }),
            bytes: patch.bytes,
        });
    }
    Ok(FetchedSource { patches, blobs })
}

/// The subject in a name of `git format-patch`.
fn subject(name: &str) -> String {
    let rest = name.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    rest.strip_suffix(".patch").unwrap_or(rest).to_owned()
}

fn commit_page(patch: &FormattedPatch, page: &SourcePage) -> Option<String> {
    if page.whole.is_some() {
        return page.whole.clone();
    }
    let identity = PatchIdentity::read(&patch.bytes);
    let commit = UpstreamCommit {
        commit: patch.commit,
        subject: String::new(),
        author: String::new(),
        date: 0,
        change_id: identity.change_ids.last().cloned(),
    };
    commit_url(page.repository.as_deref()?, &commit, None)
}

/// Keeps the files that a patch was made for, so that it can be merged elsewhere.
fn keep_blobs(patch: &[u8], objects: &dyn Objects, blobs: &mut MemoryStore, left: &mut u64) {
    for line in patch.split(|byte| *byte == b'\n') {
        let id = line.strip_prefix(b"index ").and_then(|rest| rest.get(..40));
        let id = id
            .and_then(git_apply_engine::Oid::from_hex)
            .filter(|id| !id.is_null());
        let Some(id) = id.filter(|id| blobs.blob_size(*id).is_err()) else {
            continue;
        };
        // A blob that is missing, or is too large, takes no part in merges.
        let fits = objects.blob_size(id).is_ok_and(|size| size <= *left);
        if let (true, Ok(bytes)) = (fits, objects.blob(id)) {
            *left = left.saturating_sub(bytes.len() as u64);
            let _ = blobs.write_blob(&bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_taken_apart() {
        let from = format!("From {} Mon Sep 17 00:00:00 2001\n", "a".repeat(40));
        let diff = "---\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";
        let cover = format!("{from}Subject: [PATCH 0/2] Cover\n\nText\n\n");
        let one = format!("{from}Subject: [PATCH 1/2] One: it\n\n{diff}");
        let two = format!("{from}Subject: [PATCH 2/2] Two\n\n{diff}");
        let mailbox = [cover.as_str(), &one, &two].concat();
        let found = from_file(Path::new("x.mbox"), mailbox.as_bytes()).unwrap();
        let subjects: Vec<&str> = found.patches.iter().map(|patch| patch.subject.as_str()).collect();
        assert_eq!(subjects, ["One: it", "Two"]);
        assert_eq!(found.patches[1].bytes, two.as_bytes());
        let plain = from_file(Path::new("d/0007-some-fix.patch"), &diff.as_bytes()[4..]).unwrap();
        assert_eq!(plain.patches[0].subject, "some-fix");
        assert!(from_file(Path::new("x"), cover.as_bytes()).is_err());
        assert_eq!(subject("0001-Fix-it.patch"), "Fix-it");
    }
}
