//! Asks people to review requests.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::Error;
use super::labels::is_refusal;
use super::refusal::RefusedOperation;
use super::request::same_label as same_name;
use super::server::Server;
use forge_rest::{ApiRequest, ForgeKind, invalid_input};

/// The most people who are asked.
const MAX_REVIEWERS: usize = 50;
/// The longest name, in characters.
const MAX_NAME_CHARACTERS: usize = 255;

/// People who could not be asked to review a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingReviewers {
    /// Their names.
    pub reviewers: Vec<String>,
    /// Why, and what to do.
    pub reason: String,
}

/// A user of GitLab.
#[derive(Deserialize)]
struct GitLabUser {
    id: u64,
    username: String,
}

/// Who is to review a merge request of GitLab.
#[derive(Deserialize)]
struct GitLabReviewers {
    reviewers: Option<Vec<GitLabUser>>,
}

/// Asks people to review requests of one repository.
pub(super) struct Reviewers<'a> {
    pub(super) server: &'a Server,
}

impl Reviewers<'_> {
    /// Asks all together, and one by one if that is refused. Returns those who could not be asked.
    pub(super) async fn ask(
        &self,
        number: u64,
        reviewers: &[String],
    ) -> Result<Option<MissingReviewers>, Error> {
        let names = valid_names(reviewers)?;
        if names.is_empty() {
            return Ok(None);
        }
        if self.server.repository.kind() == ForgeKind::GitLab {
            return self.ask_gitlab(number, &names).await;
        }
        let Some(refusal) = refusal_of_reviews(self.ask_all(number, &names).await)? else {
            return Ok(None);
        };
        let mut refused = Vec::new();
        for name in &names {
            // A single one was already asked alone.
            if names.len() == 1 || refusal_of_reviews(self.ask_all(number, &[*name]).await)?.is_some() {
                refused.push((*name).to_owned());
            }
        }
        Ok((!refused.is_empty()).then(|| MissingReviewers {
            reviewers: refused,
            reason: refusal.to_string(),
        }))
    }

    async fn ask_all(&self, number: u64, names: &[&str]) -> Result<(), Error> {
        let server = self.server;
        let what = self.what(number);
        let is_team = |name: &&&str| name.contains('/');
        let people: Vec<&&str> = names.iter().filter(|name| !is_team(name)).collect();
        let teams = names.iter().filter(is_team);
        let teams: Vec<&str> = teams
            .filter_map(|name| name.rsplit_once('/').map(|(_, team)| team))
            .collect();
        let url = server.repository.endpoint(&[
            server.dialect.collection(),
            &number.to_string(),
            "requested_reviewers",
        ]);
        let body = json!({"reviewers": people, "team_reviewers": teams});
        let answer = server.post(url, &what, &body).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(server.refusal(&answer, &what, RefusedOperation::Reviews))
    }

    /// Asks at GitLab, which takes users by number, and replaces the existing reviewers.
    async fn ask_gitlab(&self, number: u64, names: &[&str]) -> Result<Option<MissingReviewers>, Error> {
        let server = self.server;
        let (what, host) = (self.what(number), server.repository.host());
        let url = server.dialect.request_url(&server.repository, number);
        let answer = server.get(url.clone(), &what).await?;
        if !answer.status.is_success() {
            return Err(server.refusal(&answer, &what, RefusedOperation::Reviews));
        }
        let there: GitLabReviewers = answer.read_json(&host, &what)?;
        let there = there.reviewers.unwrap_or_default();
        let mut ids: Vec<u64> = there.iter().map(|user| user.id).collect();
        let is_there = |name: &str| there.iter().any(|user| same_name(&user.username, name));
        for name in names.iter().filter(|name| !is_there(name)) {
            let mut url = server.repository.base_url().endpoint(["users"]);
            url.query_pairs_mut().append_pair("username", name);
            let answer = server.get(url, &what).await?;
            if !answer.status.is_success() {
                return Err(server.refusal(&answer, &what, RefusedOperation::Reviews));
            }
            let users: Vec<GitLabUser> = answer.read_json(&host, &what)?;
            let found = users.iter().find(|user| same_name(&user.username, name));
            ids.extend(found.map(|user| user.id));
        }
        let mut asked = there;
        if ids.len() > asked.len() {
            let request = ApiRequest::new(Method::PUT, url, &what);
            let request = request.with_json(&json!({"reviewer_ids": ids}));
            let answer = server.client.send(&server.repository, &request).await?;
            if !answer.status.is_success() {
                return Err(server.refusal(&answer, &what, RefusedOperation::Reviews));
            }
            let told: GitLabReviewers = answer.read_json(&host, &what)?;
            asked = told.reviewers.unwrap_or_default();
        }
        let is_asked = |name: &&&str| asked.iter().any(|user| same_name(&user.username, name));
        let missing = names.iter().filter(|name| !is_asked(name));
        let missing: Vec<String> = missing.map(|name| (*name).to_owned()).collect();
        Ok((!missing.is_empty()).then(|| MissingReviewers {
            reviewers: missing,
            reason: format!(
                "{host}: {what} are left out: they are not members of the project, or it allows only one reviewer"
            ),
        }))
    }

    fn what(&self, number: u64) -> String {
        format!("the reviewers of {}", self.server.request_name(number))
    }
}

/// Separates a refusal of reviewers, `Some`, from other errors.
fn refusal_of_reviews(result: Result<(), Error>) -> Result<Option<Error>, Error> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if is_refusal(&error) => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

/// Returns each name once.
fn valid_names(reviewers: &[String]) -> Result<Vec<&str>, Error> {
    if reviewers.len() > MAX_REVIEWERS {
        return Err(invalid_input(
            "list of reviewers",
            "the list",
            "it has more than 50",
        ));
    }
    let mut names: Vec<&str> = Vec::new();
    for name in reviewers {
        let name = name.trim().trim_start_matches('@');
        let outside = |c: char| c.is_control() || c.is_whitespace();
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARACTERS || name.contains(outside) {
            return Err(invalid_input(
                "reviewer",
                name,
                "write a user's name, or a team's as owner/team",
            ));
        }
        if !names.iter().any(|known| same_name(known, name)) {
            names.push(name);
        }
    }
    Ok(names)
}
