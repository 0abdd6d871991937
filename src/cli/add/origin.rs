//! Where a source's patches are for each release, and how they are fetched: each once.

use std::collections::HashMap;

use git_mirrors::RefSpec;
use git_mirrors::local::LocalRepository;

use super::dialect::UpstreamStanding;
use super::fetched::{FetchedSource, SourcePage, SourceServers, WantedCommits, from_clone, from_file};
use super::options::AddOptions;
use super::source::{AddedSource, PullRequest, Review, ReviewName};
use super::targets::ReleaseTarget;
use super::trial::Trial;
use super::web::{PullBase, ReviewFacts, WebClient};
use crate::cli::error::Error;
use crate::cli::git_login::GitLogins;
use crate::cli::input;
use crate::cli::output::note;
use crate::cli::team::{ComponentCommit, ComponentRepository};
use crate::layout::{RepositoryFiles, TreeFiles, release_of_branch};

/// The file that says which Gerrit a repository's changes are at.
const GIT_REVIEW: &str = ".gitreview";

/// Something to take patches from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum PatchPlace {
    /// What the user named, the same for all releases.
    Named,
    /// A revision of the component's own repository.
    Revision,
    /// A change at Gerrit.
    Review {
        /// The repository's address.
        repository: String,
        /// The ref of a patch set.
        reference: String,
        /// The change's page.
        page: String,
        /// Whether upstream has it.
        is_merged: bool,
        /// What to report about it.
        note: Option<String>,
    },
}

impl PatchPlace {
    /// What to report about it.
    pub(super) fn note(&self) -> Option<String> {
        match self {
            Self::Review { note, .. } => note.clone(),
            Self::Named | Self::Revision => None,
        }
    }
}

/// The places of a source, and what was fetched of them.
pub(super) struct PatchOrigins<'a> {
    options: &'a AddOptions,
    source: &'a AddedSource,
    servers: SourceServers<'a>,
    web: WebClient,
    /// What is known about a change at Gerrit: its server, the change, and its backports.
    reviews: Option<(String, Vec<ReviewFacts>)>,
    fetched: HashMap<PatchPlace, FetchedSource>,
}

impl<'a> PatchOrigins<'a> {
    pub(super) fn new(options: &'a AddOptions, source: &'a AddedSource) -> Result<Self, Error> {
        let upstream = &options.team.upstream;
        Ok(Self {
            options,
            source,
            servers: SourceServers {
                cache: upstream.cache_dir(),
                timeout: upstream.timeout(),
                logins: GitLogins::default(),
            },
            web: WebClient::new(upstream.timeout())?,
            reviews: None,
            fetched: HashMap::new(),
        })
    }

    /// The candidates for a release, the best first: the backport of a change for its branch, then
    /// the change itself.
    ///
    /// # Errors
    ///
    /// If the change's server is not known, or the change is not there.
    pub(super) fn candidates(
        &mut self,
        target: &ReleaseTarget,
        upstream: &ComponentCommit<'_>,
    ) -> Result<Vec<PatchPlace>, Error> {
        let review = match self.source {
            AddedSource::Review(review) => review,
            AddedSource::Revision(_) if self.options.from.is_none() => return Ok(vec![PatchPlace::Revision]),
            _ => return Ok(vec![PatchPlace::Named]),
        };
        self.look_up(review, upstream)?;
        let Some((server, all)) = &self.reviews else {
            return Ok(Vec::new());
        };
        let named = named_review(review, all);
        let is_for = |found: &&ReviewFacts| {
            found.branch == target.reference || release_of_branch(&found.branch) == target.series.release
        };
        let mut backports: Vec<&ReviewFacts> = all.iter().filter(is_for).collect();
        // Merged ones first, then the newest.
        backports.sort_by_key(|found| (!found.is_merged(), u64::MAX - found.number));
        let mut places: Vec<PatchPlace> = Vec::new();
        for found in backports.into_iter().chain(named) {
            let is_named = named.is_some_and(|named| named.number == found.number);
            let note = (!is_named).then(|| {
                let state = if found.is_merged() { "merged" } else { "still open" };
                format!(
                    "by its backport for {}, change {}, {state}",
                    found.branch, found.number
                )
            });
            let place = PatchPlace::Review {
                repository: format!("{server}/{}", found.project),
                reference: self.patch_set(server, found, review)?,
                page: format!("{server}/c/{}/+/{}", found.project, found.number),
                is_merged: found.is_merged(),
                note,
            };
            if !places.contains(&place) {
                places.push(place);
            }
        }
        Ok(places)
    }

    /// The ref of the patch set to take.
    fn patch_set(&self, server: &str, found: &ReviewFacts, review: &Review) -> Result<String, Error> {
        if let ReviewName::Number {
            number,
            patch_set: Some(patch_set),
        } = review.change
            && number == found.number
        {
            return Ok(format!("refs/changes/{:02}/{number}/{patch_set}", number % 100));
        }
        if let Some(reference) = found.reference() {
            return Ok(reference.to_owned());
        }
        let repository = format!("{server}/{}", found.project);
        self.servers.latest_patch_set(&repository, found.number)
    }

    /// Asks Gerrit for the change and its backports, once.
    fn look_up(&mut self, review: &Review, upstream: &ComponentCommit<'_>) -> Result<(), Error> {
        if self.reviews.is_some() {
            return Ok(());
        }
        let given = review.server.clone().or_else(|| self.options.gerrit.clone());
        let server = match given {
            Some(server) => server,
            None => git_review(upstream)?.ok_or_else(|| {
                Error::Usage(format!(
                    "{}: the upstream has no {GIT_REVIEW} that names its Gerrit: give --gerrit, or the change's page",
                    self.options.source
                ))
            })?,
        };
        let server = server.trim_end_matches('/').to_owned();
        let project = review.project.as_deref();
        let found = match self.web.reviews(&server, project, &review.change) {
            Ok(found) => found,
            Err(error) => self.known_by_git(review, &error)?,
        };
        let mut all = found;
        if let ReviewName::Number { .. } = review.change
            && let Some(only) = all.first()
            && !only.change_id.is_empty()
        {
            let backports = ReviewName::ChangeId(only.change_id.clone());
            match self.web.reviews(&server, Some(&only.project), &backports) {
                Ok(found) => all.extend(found),
                Err(error) => note(&format!("the change's backports could not be looked up: {error}")),
            }
        }
        let mut seen = Vec::new();
        all.retain(|found| {
            let is_new = !seen.contains(&found.number);
            seen.push(found.number);
            is_new && found.status != "ABANDONED"
        });
        if all.is_empty() {
            return Err(Error::Usage(format!(
                "{}: {server} has no such change, or it was abandoned",
                self.options.source
            )));
        }
        self.reviews = Some((server, all));
        Ok(())
    }

    /// Falls back on what the address of the change's page says, if the server's API fails.
    fn known_by_git(&self, review: &Review, error: &str) -> Result<Vec<ReviewFacts>, Error> {
        match (&review.project, &review.change) {
            (Some(project), ReviewName::Number { number, .. }) => {
                note(&format!(
                    "whether the change is merged, and which backports it has, could not be looked up: {error}"
                ));
                Ok(vec![ReviewFacts::by_page(*number, project)])
            }
            _ => Err(Error::Usage(format!("{}: {error}", self.options.source))),
        }
    }

    /// The patches of a place.
    ///
    /// # Errors
    ///
    /// If they cannot be fetched.
    pub(super) fn fetch(
        &mut self,
        place: &PatchPlace,
        trial: &Trial<'_>,
        target: &ReleaseTarget,
    ) -> Result<&FetchedSource, Error> {
        if !self.fetched.contains_key(place) {
            let fetched = self.fetch_new(place, trial, target)?;
            self.fetched.insert(place.clone(), fetched);
        }
        self.fetched
            .get(place)
            .ok_or_else(|| Error::Usage("nothing was fetched".to_owned()))
    }

    fn fetch_new(
        &self,
        place: &PatchPlace,
        trial: &Trial<'_>,
        target: &ReleaseTarget,
    ) -> Result<FetchedSource, Error> {
        if let PatchPlace::Review {
            repository,
            reference,
            page,
            is_merged,
            ..
        } = place
        {
            let page = SourcePage {
                whole: Some(page.clone()),
                repository: None,
                standing: if *is_merged {
                    UpstreamStanding::Merged
                } else {
                    UpstreamStanding::Proposed
                },
            };
            let wanted = WantedCommits::Last {
                reference: reference.clone(),
                count: 1,
            };
            return self.servers.fetch(repository, &wanted, &page);
        }
        match self.source {
            AddedSource::File(path) => {
                let bytes = input::read(path, input::LARGEST)?;
                if bytes.len() as u64 > input::LARGEST {
                    return Err(Error::Usage(format!(
                        "{} has more than {} bytes",
                        path.display(),
                        input::LARGEST
                    )));
                }
                from_file(path, &bytes)
            }
            AddedSource::Commit { repository, commit } => {
                let wanted = WantedCommits::One(RefSpec::Commit(commit.clone()));
                self.servers
                    .fetch(repository, &wanted, &by_repository(repository))
            }
            AddedSource::PullRequest(pull) => self.fetch_pull_request(pull),
            AddedSource::Revision(revision) => self.fetch_revision(revision, trial, target),
            AddedSource::Review(_) => Err(Error::Usage("a change has a place of its own".to_owned())),
        }
    }

    fn fetch_pull_request(&self, pull: &PullRequest) -> Result<FetchedSource, Error> {
        let repository = format!("{}/{}", pull.site, pull.path);
        let reference = pull.reference();
        let facts = self.web.pull_request(pull);
        let is_merged = facts.as_ref().is_ok_and(|facts| facts.is_merged);
        let wanted = match facts {
            Ok(facts) => match facts.base {
                PullBase::Count(count) => WantedCommits::Last { reference, count },
                PullBase::Commit(base) => WantedCommits::Since {
                    reference,
                    base: RefSpec::Commit(base),
                },
            },
            Err(error) => {
                note(&format!(
                    "{} {} is assumed to be based on the default branch: {error}",
                    pull.forge.request_noun(),
                    pull.number
                ));
                WantedCommits::Since {
                    reference,
                    base: RefSpec::Default,
                }
            }
        };
        let page = SourcePage {
            whole: Some(self.options.source.clone()),
            repository: None,
            standing: if is_merged {
                UpstreamStanding::Merged
            } else {
                UpstreamStanding::Proposed
            },
        };
        self.servers.fetch(&repository, &wanted, &page)
    }

    fn fetch_revision(
        &self,
        revision: &str,
        trial: &Trial<'_>,
        target: &ReleaseTarget,
    ) -> Result<FetchedSource, Error> {
        if let Some(from) = &self.options.from {
            let folder = std::path::Path::new(from);
            if folder.is_dir() {
                let mut fetched = from_clone(&LocalRepository::open(folder)?, revision)?;
                for patch in &mut fetched.patches {
                    // Nothing says whose repository that is.
                    if let Some(provenance) = &mut patch.provenance {
                        provenance.standing = UpstreamStanding::Elsewhere;
                    }
                }
                return Ok(fetched);
            }
            if !from.contains(':') {
                return Err(Error::Usage(format!("--from {from}: there is no such folder")));
            }
            let page = SourcePage {
                standing: UpstreamStanding::Elsewhere,
                ..by_repository(from)
            };
            return self.servers.fetch(from, &revisions(revision), &page);
        }
        let organisation = target.series.organisation.as_deref();
        let component = trial
            .upstreams
            .component(&target.series.component, organisation)?;
        match component {
            ComponentRepository::Clone(path) => from_clone(&LocalRepository::open(&path)?, revision),
            ComponentRepository::Served(served) => {
                let page = by_repository(&served.url);
                self.servers.fetch(&served.url, &revisions(revision), &page)
            }
        }
    }
}

impl PullRequest {
    /// The ref of its commits.
    fn reference(&self) -> String {
        use super::source::PullForge;
        match self.forge {
            PullForge::GitHub | PullForge::Gitea => format!("refs/pull/{}/head", self.number),
            PullForge::GitLab => format!("refs/merge-requests/{}/head", self.number),
        }
    }
}

/// The commits that a revision of a repository on a server stands for: one, or a range `A..B`.
fn revisions(text: &str) -> WantedCommits {
    match text.split_once("..") {
        Some((base, tip)) => WantedCommits::Range {
            tip: RefSpec::Any(tip.trim_start_matches('.').to_owned()),
            base: RefSpec::Any(base.to_owned()),
        },
        None => WantedCommits::One(RefSpec::Any(text.to_owned())),
    }
}

fn by_repository(repository: &str) -> SourcePage {
    SourcePage {
        whole: None,
        repository: Some(repository.to_owned()),
        standing: UpstreamStanding::Merged,
    }
}

/// The change that was named: the one of that number, or the one that the others are backports of.
fn named_review<'r>(review: &Review, all: &'r [ReviewFacts]) -> Option<&'r ReviewFacts> {
    match &review.change {
        ReviewName::Number { number, .. } => all.iter().find(|found| found.number == *number),
        ReviewName::ChangeId(_) => {
            let is_main = |found: &&ReviewFacts| ["master", "main", "devel"].contains(&found.branch.as_str());
            all.iter().find(is_main).or_else(|| all.first())
        }
    }
}

/// The Gerrit that the upstream's `.gitreview` names.
fn git_review(upstream: &ComponentCommit<'_>) -> Result<Option<String>, Error> {
    let files = TreeFiles::new(upstream, upstream.tree_id());
    let text = match files.read(GIT_REVIEW, 1 << 16) {
        Ok(text) => text,
        Err(crate::layout::FilesError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(crate::layout::LayoutError::Files(error).into()),
    };
    let text = String::from_utf8_lossy(&text);
    let host = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "host").then(|| value.trim().to_owned())
    });
    let is_host = |host: &String| {
        let is_fit = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
        !host.is_empty() && host.chars().all(is_fit)
    };
    Ok(host.filter(is_host).map(|host| format!("https://{host}")))
}
