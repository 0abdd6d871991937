//! The client.

use reqwest::{Method, Url};
use serde_json::Value;

use super::answers::{About, refusal, says_that_it_is_there, says_that_there_is_none};
use super::dialect::{Changes, Dialect, Found, Which, dialect};
use super::labels::Refused;
use super::request::{Draft, body, branches};
use super::title::changed_title;
use super::{Config, Credentials, Error, PullRequest, Repository, Request, State};
use crate::rest::{self, Answer, Ask, Permissions, has_next, unreadable};

/// What the tokens of a GitHub App are for.
const PERMISSIONS: Permissions = Permissions {
    wanted: &[("contents", "read"), ("pull_requests", "write")],
    shown: "Pull requests: read and write and Contents: read",
};

/// The same for making labels. A token that asks for what the App was not given is refused, so it is a token of its own.
const LABELLING: Permissions = Permissions {
    wanted: &[
        ("contents", "read"),
        ("pull_requests", "write"),
        ("issues", "write"),
    ],
    shown: "Issues: read and write, Pull requests: read and write and Contents: read",
};

/// A client for the requests of one repository.
///
/// It is meant to be kept: it holds the tokens of a GitHub App, and sends nothing while the server wants no requests.
pub struct Client {
    pub(super) rest: rest::Client,
    /// What makes labels where a GitHub App may.
    pub(super) labelling: Option<rest::Client>,
    pub(super) repository: Repository,
    pub(super) dialect: &'static dyn Dialect,
    /// Labels that requests could not be given.
    pub(super) refused: Refused,
}

impl Client {
    /// Makes a client.
    ///
    /// # Errors
    ///
    /// [`Error::Secret`] or [`Error::Unavailable`] where TLS cannot be set up.
    pub fn new(config: &Config, repository: Repository, credentials: Credentials) -> Result<Self, Error> {
        let labelling = credentials
            .is_app()
            .then(|| rest::Client::new(config, credentials.clone(), &LABELLING))
            .transpose()?;
        Ok(Self {
            rest: rest::Client::new(config, credentials, &PERMISSIONS)?,
            labelling,
            dialect: dialect(repository.kind()),
            repository,
            refused: Refused::default(),
        })
    }

    /// Has a request be open between two branches, with this title and text and at least these labels. What is as it
    /// should be is not written. One that was closed is not opened again: there is a new one then. Where labels cannot be added,
    /// it is open without them, and says so ([`PullRequest::lacks`]).
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] where there is nothing to merge or a branch is not there; where [`Error::is_transient`], it
    /// may be repeated as it is.
    pub async fn ensure(&self, request: &Request<'_>) -> Result<PullRequest, Error> {
        let draft = Draft::new(self.repository.kind(), request)?;
        self.rest.retried(|| self.ensure_once(&draft)).await
    }

    async fn ensure_once(&self, draft: &Draft<'_>) -> Result<PullRequest, Error> {
        let (head, base) = (draft.head, draft.base);
        if let Some(found) = self.look(head, base, Which::Open).await? {
            return self.update(found, draft).await;
        }
        let place = &self.repository.place;
        let what = self.between(head, base);
        let url = self.dialect.all(place);
        let ask = ask_with(Method::POST, url, &what, &self.dialect.opening(draft));
        let answer = self.rest.call(place, &ask).await?;
        if answer.status.is_success() {
            let opened = self.found(&answer, &what)?;
            return self.complete(opened, draft).await;
        }
        if !says_that_it_is_there(&answer) {
            return Err(refusal(&answer, place, &what, About::Opening));
        }
        match self.look(head, base, Which::Open).await? {
            Some(found) => self.update(found, draft).await,
            None => Err(Error::Unavailable {
                host: place.base.host(),
                what,
                reason: format!("{} (and it is not found)", answer.message),
            }),
        }
    }

    /// The newest request between two branches, in whatever state. `None` where there never was one.
    ///
    /// # Errors
    ///
    /// As for [`Client::ensure`].
    pub async fn find(&self, head: &str, base: &str) -> Result<Option<PullRequest>, Error> {
        branches(head, base)?;
        let found = self.rest.retried(|| self.look(head, base, Which::Any)).await?;
        Ok(found.map(|found| found.request))
    }

    /// Closes a request. One that is not open stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] where there is no such request; others as for [`Client::ensure`].
    pub async fn close(&self, number: u64) -> Result<(), Error> {
        self.rest.retried(|| self.close_once(number)).await
    }

    async fn close_once(&self, number: u64) -> Result<(), Error> {
        if self.state(number).await? != State::Open {
            return Ok(());
        }
        let place = &self.repository.place;
        let what = self.named(number);
        let url = self.dialect.one(place, number);
        let ask = ask_with(self.dialect.change(), url, &what, &self.dialect.closing());
        let answer = self.rest.call(place, &ask).await?;
        // It may have been merged or closed in between.
        if answer.status.is_success() || self.state(number).await? != State::Open {
            return Ok(());
        }
        Err(refusal(&answer, place, &what, About::Requests))
    }

    async fn state(&self, number: u64) -> Result<State, Error> {
        let what = self.named(number);
        let answer = self
            .get(self.dialect.one(&self.repository.place, number), &what)
            .await?;
        if !answer.status.is_success() {
            return Err(refusal(&answer, &self.repository.place, &what, About::Requests));
        }
        Ok(self.found(&answer, &what)?.request.state)
    }

    /// The newest request between two branches.
    async fn look(&self, head: &str, base: &str, which: Which) -> Result<Option<Found>, Error> {
        let place = &self.repository.place;
        let what = self.between(head, base);
        for state in self.dialect.states(which) {
            // One that is there for certain, though maybe not the newest.
            let mut other = None;
            for page in 1..=self.dialect.pages() {
                let url = self.dialect.list(place, head, base, state, page);
                let answer = self.get(url, &what).await?;
                if !answer.status.is_success() {
                    return Err(refusal(&answer, place, &what, About::Requests));
                }
                let listed = self.dialect.listed(&answer.body, head, base);
                let listed = listed.map_err(|error| unreadable(&error, &place.base.host(), &what))?;
                if let Some(found) = listed.into_iter().max_by_key(|found| found.request.number) {
                    return Ok(Some(found));
                }
                if !has_next(&answer) {
                    other = None;
                    break;
                }
                if page > 1 {
                    continue;
                }
                let Some(url) = self.dialect.any(place, head, base) else {
                    continue;
                };
                // Long lists are not read where there is nothing in them.
                let answer = self.get(url, &what).await?;
                if says_that_there_is_none(&answer) {
                    return Ok(None);
                }
                if answer.status.is_success() {
                    other = Some(self.found(&answer, &what)?);
                }
            }
            let fits = |found: &Found| which == Which::Any || found.request.state == State::Open;
            if let Some(found) = other.filter(fits) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Changes what is not as it should be.
    async fn update(&self, mut found: Found, draft: &Draft<'_>) -> Result<PullRequest, Error> {
        let place = &self.repository.place;
        let mut changes = Changes {
            title: changed_title(place.kind, &found, &draft.title),
            body: (body(&found.body) != draft.body).then_some(draft.body.as_str()),
            labels: Vec::new(),
        };
        if self.dialect.takes_labels() {
            changes.labels = draft.missing(&found.labels);
        }
        if changes != Changes::default() {
            let what = self.named(found.request.number);
            let url = self.dialect.one(place, found.request.number);
            let changing = self.dialect.changing(&changes);
            let ask = ask_with(self.dialect.change(), url, &what, &changing);
            let answer = self.rest.call(place, &ask).await?;
            if !answer.status.is_success() {
                return Err(refusal(&answer, place, &what, About::Requests));
            }
            if !changes.labels.is_empty() {
                found.labels = self.found(&answer, &what)?.labels;
            }
        }
        self.complete(found, draft).await
    }

    /// Adds the labels that a request lacks, where they are not part of it.
    async fn complete(&self, found: Found, draft: &Draft<'_>) -> Result<PullRequest, Error> {
        let missing = draft.missing(&found.labels);
        let number = found.request.number;
        let lacks = if missing.is_empty() {
            None
        } else if self.dialect.takes_labels() {
            Some(self.left_out(number, &missing))
        } else {
            self.label(number, &missing).await?
        };
        self.refused.note(number, lacks.as_ref());
        Ok(PullRequest {
            lacks,
            ..found.request
        })
    }

    async fn get(&self, url: Url, what: &str) -> Result<Answer, Error> {
        let ask = Ask::new(Method::GET, url, what);
        self.rest.call(&self.repository.place, &ask).await
    }

    pub(super) fn found(&self, answer: &Answer, what: &str) -> Result<Found, Error> {
        let found = self.dialect.found(&answer.body);
        found.map_err(|error| unreadable(&error, &self.repository.place.base.host(), what))
    }

    fn between(&self, head: &str, base: &str) -> String {
        let noun = self.dialect.noun();
        format!("{noun} from {head} to {base} of {}", self.repository.full_name())
    }

    /// A request as messages name it.
    pub(super) fn named(&self, number: u64) -> String {
        let noun = self.dialect.noun();
        format!("{noun} {number} of {}", self.repository.full_name())
    }
}

/// A request with a body.
pub(super) fn ask_with<'a>(method: Method, url: Url, what: &'a str, body: &Value) -> Ask<'a> {
    let mut ask = Ask::new(method, url, what);
    ask.body = Some(body.to_string().into_bytes());
    ask
}
