//! Tokens of an App's installation: limited to one repository, and kept until shortly before they end.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::answers::{About, read};
use super::app::App;
use super::credentials::Login;
use super::http::{Ask, Http};
use super::{BaseUrl, Credentials, Error, Workflow};

/// How long before its end a token is used no more.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// How many repositories' tokens are kept.
const KEPT: usize = 256;

/// The login, and the tokens that it got.
pub(super) struct Authorization {
    login: Login,
    base: Option<BaseUrl>,
    /// Held while a token is asked for, so that many who need one ask once.
    tokens: tokio::sync::Mutex<HashMap<Place, Token>>,
}

/// What a token is good for.
#[derive(PartialEq, Eq, Hash)]
struct Place(BaseUrl, String, String);

impl Place {
    fn of(workflow: &Workflow) -> Self {
        let Workflow {
            base,
            owner,
            repository,
            ..
        } = workflow;
        Self(base.clone(), owner.clone(), repository.clone())
    }
}

struct Token {
    secret: SecretString,
    ends: Timestamp,
}

#[derive(Deserialize)]
struct Granted {
    token: String,
    expires_at: Timestamp,
}

impl Authorization {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self {
            login: credentials.login,
            base: credentials.base,
            tokens: tokio::sync::Mutex::default(),
        }
    }

    /// What to send to a workflow's server.
    pub(super) async fn token(&self, http: &Http, workflow: &Workflow) -> Result<SecretString, Error> {
        if self.base.as_ref().is_some_and(|base| *base != workflow.base) {
            return Err(Error::Secret(format!(
                "its githubAppBaseURL is another server than {}, which the workflow is at",
                workflow.base
            )));
        }
        let app = match &self.login {
            Login::Token(token) => return Ok(token.clone()),
            Login::App(app) => app,
        };
        let mut tokens = self.tokens.lock().await;
        let place = Place::of(workflow);
        let soon = Timestamp::now() + MARGIN;
        if let Some(token) = tokens.get(&place).filter(|token| token.ends > soon) {
            return Ok(token.secret.clone());
        }
        let granted = exchange(http, app, workflow).await?;
        let secret = SecretString::from(granted.token);
        tokens.retain(|_, token| token.ends > soon);
        if tokens.len() >= KEPT {
            tokens.clear();
        }
        let token = Token {
            secret: secret.clone(),
            ends: granted.expires_at,
        };
        tokens.insert(place, token);
        Ok(secret)
    }

    /// Drops a token that the server did not take. Whether another can be had.
    pub(super) async fn forget(&self, workflow: &Workflow, refused: &SecretString) -> bool {
        if matches!(self.login, Login::Token(_)) {
            return false;
        }
        let mut tokens = self.tokens.lock().await;
        let place = Place::of(workflow);
        // Somebody else may have got a new one in between.
        let same = |token: &Token| token.secret.expose_secret() == refused.expose_secret();
        if tokens.get(&place).is_some_and(same) {
            tokens.remove(&place);
        }
        true
    }
}

/// Asks for a token that may start, follow and cancel runs of one repository, and nothing else.
async fn exchange(http: &Http, app: &App, workflow: &Workflow) -> Result<Granted, Error> {
    let what = format!(
        "installation {} of GitHub App {}, for {}",
        app.installation,
        app.id,
        workflow.full_name()
    );
    let proof = app
        .token(Timestamp::now())
        .map_err(|_| Error::Secret("githubAppPrivateKey cannot sign".to_owned()))?;
    let installation = app.installation.to_string();
    let body = serde_json::json!({
        "repositories": [workflow.repository],
        "permissions": {"actions": "write"},
    });
    let mut ask = Ask::new(
        Method::POST,
        workflow
            .base
            .at(["app", "installations", &installation, "access_tokens"]),
        &what,
    );
    ask.body = Some(body.to_string().into_bytes());
    let answer = http.ask(&ask, &proof).await?;
    if !answer.status.is_success() {
        return Err(answer.refusal(&workflow.base.host(), &what, About::App));
    }
    let granted: Granted = read(&answer, &workflow.base.host(), &what)?;
    if granted.token.is_empty() || !granted.token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::Refused {
            host: workflow.base.host(),
            what,
            reason: "the answer holds no token".to_owned(),
        });
    }
    Ok(granted)
}
