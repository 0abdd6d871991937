//! A path in what a repository has at a commit, or in what a Flux source publishes, and what
//! identifies it before it is read.

use std::sync::Arc;
use std::time::Instant;

use git_mirrors::{Artifact, ArtifactLimits, FileLimits, PathContent, Resolved, Upstream, plain_path};
use patchset_api::common::GitPath;
use patchset_api::reason;

use super::branch::BranchLocation;
use super::upstreams::{self, blocking};
use crate::controller::context::{Budget, Context};
use crate::layout::{TreeFiles, read_file};
use crate::plan::{Failure, Step};
use crate::recipe::Located;

/// A file or folder that was found, and not necessarily read yet.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there are a few for each reconciliation under way"
)]
pub enum InputLocation {
    /// In a repository.
    Git {
        upstream: Upstream,
        /// The commit.
        resolved: Resolved,
        path: String,
        /// What is there: other commits may have the same.
        content: PathContent,
    },
    /// In a Flux source's artifact.
    Artifact {
        /// The artifact, and the path in it.
        artifact: Artifact,
        /// Its revision, as Flux names it.
        revision: String,
    },
    /// The commits of a branch.
    Branch(BranchLocation),
}

/// Contents that may be given in place of something that has to be read.
pub trait GivenContents {
    /// A digest over the contents.
    fn digest(&self) -> String;
}

impl InputLocation {
    /// Finds a path in a repository, and what is there. `what` names the repository in messages.
    ///
    /// # Errors
    ///
    /// If the repository is not available, or the commit is not signed as the spec asks for.
    pub async fn in_git(
        context: &Arc<Context>,
        namespace: &str,
        what: &str,
        git: &GitPath,
        budget: Budget<'_>,
    ) -> Result<Self, Failure> {
        let (upstream, resolved) = upstreams::repository(context, namespace, what, git, budget).await?;
        let path = git.path.clone();
        let content = upstreams::content(context, what, (&upstream, &resolved), &path, budget.deadline);
        Ok(Self::Git {
            content: content.await?,
            upstream,
            resolved,
            path,
        })
    }

    /// The revision of what is read, as the location names it.
    pub fn revision(&self) -> String {
        match self {
            Self::Git { resolved, .. } => resolved.revision().to_string(),
            Self::Artifact { revision, .. } => revision.clone(),
            Self::Branch(branch) => branch.tip.revision().to_string(),
        }
    }

    /// The branch that is read; `None` if it is not a branch, or a Flux source does not name it.
    pub fn branch(&self) -> Option<String> {
        let resolved = match self {
            Self::Git { resolved, .. } => resolved,
            Self::Branch(branch) => &branch.tip,
            Self::Artifact { revision, .. } => {
                let (name, _) = revision.split_once("@sha1:")?;
                return Some(name.to_owned());
            }
        };
        let revision = resolved.revision();
        let name = revision.name().filter(|_| revision.tag().is_none());
        name.map(ToOwned::to_owned)
    }

    /// Kind, contents and path: what identifies what is read there.
    pub fn identity(&self) -> Vec<String> {
        match self {
            Self::Git {
                resolved,
                path,
                content,
                ..
            } => {
                let git = ["git".to_owned(), content.to_string(), path.clone()];
                // Whether the commit is signed is checked where the content is found.
                git.into_iter().chain(resolved.requirement()).collect()
            }
            Self::Artifact { artifact, .. } => {
                let Artifact { digest, path, .. } = artifact;
                vec!["artifact".to_owned(), digest.clone(), path.clone()]
            }
            Self::Branch(branch) => branch.identity(),
        }
    }

    /// What identifies the file at another path of the same commit; `None` if the whole is
    /// identified anyway.
    ///
    /// # Errors
    ///
    /// If the repository is not available, or the commit is not signed as the spec asks for.
    pub async fn content_beside(
        &self,
        context: &Arc<Context>,
        what: &str,
        path: &str,
        deadline: Instant,
    ) -> Result<Option<String>, Failure> {
        let Self::Git {
            upstream, resolved, ..
        } = self
        else {
            return Ok(None);
        };
        let content = upstreams::content(context, what, (upstream, resolved), path, deadline).await?;
        Ok(Some(content.to_string()))
    }

    /// Reads the file there.
    pub async fn read(
        &self,
        context: &Arc<Context>,
        what: &str,
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let path = match self {
            Self::Git { path, .. } => path,
            Self::Artifact { artifact, .. } => &artifact.path,
            Self::Branch(_) => "",
        };
        self.read_beside(context, what, path, deadline).await
    }

    /// Reads the file at another path there.
    pub async fn read_beside(
        &self,
        context: &Arc<Context>,
        what: &str,
        path: &str,
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let path = path.to_owned();
        match self.clone() {
            Self::Git {
                upstream, resolved, ..
            } => {
                blocking(context, what, deadline, move |mirrors| {
                    let snapshot = mirrors.snapshot(&upstream, &resolved, deadline)?;
                    let limits = FileLimits::default();
                    let read = snapshot.read_file(&path, &limits);
                    if let Err(git_mirrors::Error::Path { .. } | git_mirrors::Error::FileNotFound { .. }) =
                        read
                    {
                        // A link on the way may lead to a file.
                        let files = TreeFiles::new(&snapshot, snapshot.tree_id());
                        return match read_file(&files, "", &plain_path(&path)?, limits.file) {
                            Ok(content) => Ok(content),
                            Err(_) => read,
                        };
                    }
                    read
                })
                .await
            }
            Self::Artifact { artifact, .. } => {
                let name = path.clone();
                let files = blocking(context, what, deadline, move |mirrors| {
                    let file = Artifact {
                        path,
                        suffix: String::new(),
                        ..artifact
                    };
                    mirrors.fetch_artifact(&file, &ArtifactLimits::default(), deadline)
                })
                .await?;
                files.into_iter().next().map(|file| file.content).ok_or_else(|| {
                    Failure::retried(
                        Step::Source,
                        reason::PATH_NOT_FOUND,
                        format!("the artifact has no {name}"),
                    )
                })
            }
            Self::Branch(_) => Err(Failure::stalled(
                Step::Source,
                reason::INVALID_SPEC,
                format!("{what}: there are no files next to the commits of patches.branch"),
            )),
        }
    }
}

impl<T: GivenContents> Located<InputLocation, T> {
    /// The revision: what the location calls it, or a digest of the contents.
    pub fn revision(&self) -> String {
        match self {
            Self::At(location) => location.revision(),
            Self::Given(contents) => contents.digest(),
        }
    }

    /// What identifies the contents, for the digest over all inputs.
    pub fn identity(&self) -> Vec<String> {
        match self {
            Self::At(location) => location.identity(),
            Self::Given(contents) => vec!["given".to_owned(), contents.digest()],
        }
    }

    /// Checks the signature that the repository has to have; returns who signed it, in words.
    /// `None` if none is asked for.
    ///
    /// # Errors
    ///
    /// If it is not signed as it has to be, or is not available.
    pub async fn signatures(
        &self,
        context: &Arc<Context>,
        what: &str,
        deadline: Instant,
    ) -> Result<Option<String>, Failure> {
        match self {
            Self::At(InputLocation::Git {
                upstream, resolved, ..
            }) => upstreams::signatures(context, what, upstream, resolved, deadline).await,
            Self::At(InputLocation::Branch(branch)) => {
                upstreams::signatures(context, what, &branch.upstream, &branch.tip, deadline).await
            }
            Self::At(InputLocation::Artifact { .. }) | Self::Given(_) => Ok(None),
        }
    }
}
