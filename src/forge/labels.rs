//! Labels, where they are not part of a request.

use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{About, refusal};
use super::client::{Client, ask_with};
use super::github::below;
use super::request::same_label;
use super::{Error, Kind};
use crate::rest::{Ask, Place, has_next, read};

/// How many pages of a repository's or organisation's labels are read at most.
const PAGES: u32 = 20;
/// The colour of a label that is made here: that which GitHub gives to those that it makes.
const COLOUR: &str = "#ededed";

/// A label of Gitea.
#[derive(Deserialize)]
struct Label {
    id: u64,
    name: String,
}

impl Client {
    /// Adds labels to a request. GitHub makes those that are not there; of Gitea they are made here.
    pub(super) async fn label(&self, number: u64, labels: &[&str]) -> Result<(), Error> {
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
            Ok(())
        } else {
            Err(refusal(&answer, place, &what, About::Labels))
        }
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

fn organisation(place: &Place) -> Url {
    place.base.at(["orgs", &place.owner, "labels"])
}
