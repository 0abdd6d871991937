//! Labels, where they are not part of a request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{About, refusal};
use super::client::{Client, ask_with};
use super::dialect::Changes;
use super::github::below;
use super::request::{LackingLabels, same_label};
use super::{Error, Kind};
use crate::rest::{Ask, Place, has_next, read};

/// How many pages of a repository's or organisation's labels are read at most.
const PAGES: u32 = 20;
/// The colour of a label that is made here: that which GitHub gives to those that it makes.
const COLOUR: &str = "#ededed";

/// How long a label that was refused is not asked for again: what is missing is mended by people.
const PAUSE: Duration = Duration::from_secs(600);
/// The most requests of which refused labels are remembered.
const MOST_REFUSED: usize = 1000;

/// The labels that requests could not be given, by their number, and when they were last asked for.
#[derive(Default)]
pub(super) struct Refused(Mutex<HashMap<u64, (Instant, LackingLabels)>>);

impl Refused {
    /// Remembers what a request lacks now.
    pub(super) fn note(&self, number: u64, lacks: Option<&LackingLabels>) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match lacks {
            None => {
                refused.remove(&number);
            }
            Some(lacks) => {
                if refused.len() >= MOST_REFUSED {
                    refused.clear();
                }
                refused.insert(number, (Instant::now(), lacks.clone()));
            }
        }
    }

    /// What a request lacked a short while ago, where that is all of these labels.
    fn lately(&self, number: u64, labels: &[String]) -> Option<LackingLabels> {
        let refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, lacks) = refused.get(&number)?;
        (asked.elapsed() < PAUSE && lacks.labels == labels).then(|| lacks.clone())
    }
}

/// When labels that were refused are asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskAgain {
    /// When some minutes have passed.
    Later,
    /// Now.
    Now,
}

/// A label of Gitea.
#[derive(Deserialize)]
struct Label {
    id: u64,
    name: String,
}

impl Client {
    /// Adds labels that a request could not be given before. Gives those that it still lacks.
    ///
    /// # Errors
    ///
    /// As for [`Client::ensure`].
    pub async fn add_labels(
        &self,
        number: u64,
        labels: &[String],
        again: AskAgain,
    ) -> Result<Option<LackingLabels>, Error> {
        let lately = self.refused.lately(number, labels);
        if let Some(lacks) = lately.filter(|_| again == AskAgain::Later) {
            return Ok(Some(lacks));
        }
        let names: Vec<&str> = labels.iter().map(String::as_str).collect();
        let lacks = self.rest.retried(|| self.add_missing(number, &names)).await?;
        self.refused.note(number, lacks.as_ref());
        Ok(lacks)
    }

    async fn add_missing(&self, number: u64, labels: &[&str]) -> Result<Option<LackingLabels>, Error> {
        if !self.dialect.takes_labels() {
            return self.label(number, labels).await;
        }
        let (place, what) = (&self.repository.place, self.named(number));
        let changes = Changes {
            labels: labels.to_vec(),
            ..Changes::default()
        };
        let url = self.dialect.one(place, number);
        let ask = ask_with(
            self.dialect.change(),
            url,
            &what,
            &self.dialect.changing(&changes),
        );
        let answer = self.rest.call(place, &ask).await?;
        if !answer.status.is_success() {
            return Err(refusal(&answer, place, &what, About::Requests));
        }
        let there = self.found(&answer, &what)?.labels;
        let missing: Vec<&str> = labels
            .iter()
            .copied()
            .filter(|label| !there.iter().any(|known| same_label(known, label)))
            .collect();
        Ok((!missing.is_empty()).then(|| self.left_out(number, &missing)))
    }

    /// Labels that a server left out without a word.
    pub(super) fn left_out(&self, number: u64, labels: &[&str]) -> LackingLabels {
        LackingLabels {
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            reason: format!(
                "{}: {} has left them out: create them in the project, or give the token a role that may",
                self.repository.place.base.host(),
                self.named(number)
            ),
        }
    }

    /// Adds labels to a request, one by one where all together are refused. Gives those that are refused: the request is open, and
    /// goes on without them.
    pub(super) async fn label(&self, number: u64, labels: &[&str]) -> Result<Option<LackingLabels>, Error> {
        let refused = match self.add(number, labels).await {
            Ok(()) => return Ok(None),
            Err(error) if is_about_labels(&error) => error,
            Err(error) => return Err(error),
        };
        let mut lacks = LackingLabels {
            labels: Vec::new(),
            reason: refused.to_string(),
        };
        for label in labels {
            // Alone it was asked for already.
            let refused = if labels.len() == 1 {
                true
            } else {
                match self.add(number, &[label]).await {
                    Ok(()) => false,
                    Err(error) if is_about_labels(&error) => true,
                    Err(error) => return Err(error),
                }
            };
            if refused {
                lacks.labels.push((*label).to_owned());
            }
        }
        Ok((!lacks.labels.is_empty()).then_some(lacks))
    }

    /// Adds labels to a request, all or none. GitHub makes those that are not there; of Gitea they are made here.
    async fn add(&self, number: u64, labels: &[&str]) -> Result<(), Error> {
        let place = &self.repository.place;
        let what = format!("the labels of {}", self.named(number));
        let labels: Vec<Value> = match place.kind {
            Kind::Gitea => self.ids(labels, &what).await?,
            Kind::GitHub | Kind::GitLab => labels.iter().map(|label| (*label).into()).collect(),
        };
        let url = below(place, &["issues", &number.to_string(), "labels"]);
        let ask = ask_with(Method::POST, url, &what, &json!({"labels": labels}));
        let answer = self.rest.call(place, &ask).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        if answer.status == StatusCode::FORBIDDEN
            && let Some(labelling) = &self.labelling
        {
            match labelling.call(place, &ask).await {
                Ok(answer) if answer.status.is_success() => return Ok(()),
                Err(error) if !is_about_labels(&error) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Err(refusal(&answer, place, &what, About::Labels))
    }

    /// Gitea's numbers of labels.
    async fn ids(&self, labels: &[&str], what: &str) -> Result<Vec<Value>, Error> {
        let place = &self.repository.place;
        let mut ids = Vec::new();
        let mut missing = labels.to_vec();
        for url in [below(place, &["labels"]), organisation(place)] {
            self.known(&url, what, &mut missing, &mut ids).await?;
        }
        for label in missing {
            let body = json!({"name": label, "color": COLOUR});
            let ask = ask_with(Method::POST, below(place, &["labels"]), what, &body);
            let answer = self.rest.call(place, &ask).await?;
            if !answer.status.is_success() {
                return Err(refusal(&answer, place, what, About::Labels));
            }
            let made: Label = read(&answer, &place.base.host(), what)?;
            ids.push(made.id.into());
        }
        Ok(ids)
    }

    /// Looks for labels in a list of those that are there.
    async fn known(
        &self,
        list: &Url,
        what: &str,
        missing: &mut Vec<&str>,
        ids: &mut Vec<Value>,
    ) -> Result<(), Error> {
        let place = &self.repository.place;
        for page in 1..=PAGES {
            if missing.is_empty() {
                return Ok(());
            }
            let mut url = list.clone();
            url.query_pairs_mut()
                .append_pair("limit", "50")
                .append_pair("page", &page.to_string());
            let answer = self.rest.call(place, &Ask::new(Method::GET, url, what)).await?;
            if answer.status.is_client_error() && *list == organisation(place) {
                // The owner is a user, or the token may not look at what the organisation has.
                return Ok(());
            }
            if !answer.status.is_success() {
                return Err(refusal(&answer, place, what, About::Labels));
            }
            let there: Vec<Label> = read(&answer, &place.base.host(), what)?;
            missing.retain(|label| {
                let known = there.iter().find(|known| same_label(&known.name, label));
                ids.extend(known.map(|known| Value::from(known.id)));
                known.is_none()
            });
            if !has_next(&answer) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Whether a server refuses labels, rather than that it was not reached, or takes no login.
fn is_about_labels(error: &Error) -> bool {
    matches!(
        error,
        Error::Forbidden { .. } | Error::NotFound { .. } | Error::Refused { .. }
    )
}

fn organisation(place: &Place) -> Url {
    place.base.at(["orgs", &place.owner, "labels"])
}
