//! What subjects say of a commit's future, as `openshift/kubernetes` and other forks
//! write them.

use git_apply_engine::Oid;

use super::error::FormatError;

/// What a subject says of a commit: `UPSTREAM: <carry>: …`, `UPSTREAM: <drop>: …` or
/// `UPSTREAM: 1234: …`, also with `revert: ` or `owner/repository: ` in front of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamTag {
    /// It is kept.
    Carry,
    /// It is left out at the next rebase: it is made again there, or is not needed.
    Drop,
    /// It is this pull request of the upstream, and is kept until that is merged.
    PullRequest(u64),
}

impl UpstreamTag {
    /// Reads the tag of a subject; `None` if it has none, and an error if what follows `UPSTREAM:`
    /// is not one.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(subject: &str) -> Option<Result<Self, &'static str>> {
        let mut rest = subject.strip_prefix("UPSTREAM:")?.trim_start();
        rest = rest.strip_prefix("revert:").unwrap_or(rest).trim_start();
        let mut parts = rest.split(':').map(str::trim);
        let mut tag = parts.next().unwrap_or_default();
        let is_repository = tag.contains('/') && !tag.contains(char::is_whitespace);
        if is_repository {
            tag = parts.next().unwrap_or_default();
        }
        let known = match tag {
            "<carry>" => Some(Self::Carry),
            "<drop>" => Some(Self::Drop),
            number => number.parse().ok().map(Self::PullRequest),
        };
        let known = known.filter(|_| parts.next().is_some());
        Some(
            known.ok_or(
                "UPSTREAM: is not followed by <carry>:, <drop>: or a pull request's number; reword it",
            ),
        )
    }
}

/// What subjects mean for the patches of a branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SubjectPolicy {
    /// Nothing: every commit is a patch.
    #[default]
    Ignore,
    /// Commits marked `UPSTREAM: <drop>:` are patches while the branch is on top of the very commit
    /// that is patched, and left out otherwise. Others stay, marked or not.
    Soft,
    /// Like `Soft`, but commits without a mark are refused.
    Strict,
}

/// What happens to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is a patch.
    Kept,
    /// It is a patch, though its subject has no mark.
    Unmarked,
    /// It is left out.
    Dropped,
}

impl SubjectPolicy {
    /// Decides what happens to a commit.
    ///
    /// # Errors
    ///
    /// If its subject violates the policy.
    pub(crate) fn decide(self, commit: Oid, subject: &str, has_moved: bool) -> Result<Fate, FormatError> {
        let wrong = |problem| FormatError::Subject {
            commit,
            subject: subject.to_owned(),
            problem,
        };
        if self == Self::Ignore {
            return Ok(Fate::Kept);
        }
        match UpstreamTag::read(subject) {
            Some(Ok(UpstreamTag::Drop)) if has_moved => Ok(Fate::Dropped),
            Some(Ok(_)) => Ok(Fate::Kept),
            Some(Err(problem)) => Err(wrong(problem)),
            None if self == Self::Soft => Ok(Fate::Unmarked),
            None => Err(wrong(
                "the policy on subjects is Strict, and this one does not say what is to become of it; \
                 begin it with UPSTREAM: <carry>:, UPSTREAM: <drop>: or UPSTREAM: and a pull request's number",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read() {
        let read = |subject| UpstreamTag::read(subject);
        assert_eq!(read("UPSTREAM: <carry>: x"), Some(Ok(UpstreamTag::Carry)));
        assert_eq!(read("UPSTREAM: <drop>: x: y"), Some(Ok(UpstreamTag::Drop)));
        assert_eq!(
            read("UPSTREAM: 77870: x"),
            Some(Ok(UpstreamTag::PullRequest(77870)))
        );
        assert_eq!(read("UPSTREAM: revert: <carry>: x"), Some(Ok(UpstreamTag::Carry)));
        assert_eq!(
            read("UPSTREAM: opencontainers/runc: 1344: x"),
            Some(Ok(UpstreamTag::PullRequest(1344)))
        );
        assert!(matches!(read("UPSTREAM: <cary>: x"), Some(Err(_))));
        assert!(matches!(read("UPSTREAM: <carry> x"), Some(Err(_))));
        assert_eq!(read("Fix: UPSTREAM: <carry>: x"), None);
    }
}
