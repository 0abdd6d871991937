//! Tokens of an App's installation: limited to one repository, and kept until shortly before they
//! expire.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::answer::ApiAnswer;
use super::credentials::{ForgeCredentials, ForgeLogin};
use super::github_app::GitHubApp;
use super::http::HttpSender;
use super::request::ApiRequest;
use super::{ApiBaseUrl, Error, ForgeKind, ForgeRepository};

/// How long before it expires a token stops being used.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// How many repositories' tokens are kept.
const MOST_TOKENS: usize = 256;

/// What an App's tokens may do.
#[derive(Debug)]
pub struct AppPermissions {
    /// As the API names it: permissions and their access.
    pub requested: &'static [(&'static str, &'static str)],
    /// As the App's page names it.
    pub shown: &'static str,
}

/// The login, and the tokens that it got.
pub(super) struct Authorization {
    login: ForgeLogin,
    base_url: Option<ApiBaseUrl>,
    permissions: &'static AppPermissions,
    /// Held while a token is asked for, so that many who need one ask once.
    tokens: tokio::sync::Mutex<HashMap<ForgeRepository, InstallationToken>>,
}

struct InstallationToken {
    secret: SecretString,
    ends: Timestamp,
}

/// A token as GitHub gives it.
#[derive(Deserialize)]
struct GrantedToken {
    token: String,
    expires_at: Timestamp,
}

impl Authorization {
    pub(super) fn new(credentials: ForgeCredentials, permissions: &'static AppPermissions) -> Self {
        Self {
            login: credentials.login,
            base_url: credentials.base_url,
            permissions,
            tokens: tokio::sync::Mutex::default(),
        }
    }

    /// Returns the token to send to a repository's server.
    pub(super) async fn token(
        &self,
        http: &HttpSender,
        repository: &ForgeRepository,
    ) -> Result<SecretString, Error> {
        let app = match &self.login {
            ForgeLogin::Token(token) => return Ok(token.clone()),
            ForgeLogin::App(app) => app,
        };
        if repository.kind != ForgeKind::GitHub {
            return Err(Error::Secret(format!(
                "it is for a GitHub App, which {} does not support: put an access token into the key token",
                repository.kind
            )));
        }
        if self
            .base_url
            .as_ref()
            .is_some_and(|base| *base != repository.base_url)
        {
            return Err(Error::Secret(format!(
                "its githubAppBaseURL is a different server from {}, where {} is",
                repository.base_url,
                repository.full_name()
            )));
        }
        let mut tokens = self.tokens.lock().await;
        let soon = Timestamp::now() + MARGIN;
        if let Some(token) = tokens.get(repository).filter(|token| token.ends > soon) {
            return Ok(token.secret.clone());
        }
        let granted = request_token(http, app, repository, self.permissions).await?;
        let secret = SecretString::from(granted.token);
        tokens.retain(|_, token| token.ends > soon);
        if tokens.len() >= MOST_TOKENS {
            tokens.clear();
        }
        let token = InstallationToken {
            secret: secret.clone(),
            ends: granted.expires_at,
        };
        tokens.insert(repository.clone(), token);
        Ok(secret)
    }

    /// Drops a token that the server did not accept.
    ///
    /// Returns whether another can be had.
    pub(super) async fn forget(&self, repository: &ForgeRepository, refused: &SecretString) -> bool {
        if matches!(self.login, ForgeLogin::Token(_)) {
            return false;
        }
        let mut tokens = self.tokens.lock().await;
        // Another task may have got a new one in between.
        let is_refused = |token: &InstallationToken| token.secret.expose_secret() == refused.expose_secret();
        if tokens.get(repository).is_some_and(is_refused) {
            tokens.remove(repository);
        }
        true
    }
}

/// Asks for a token that has these permissions for one repository, and nothing else.
async fn request_token(
    http: &HttpSender,
    app: &GitHubApp,
    repository: &ForgeRepository,
    permissions: &AppPermissions,
) -> Result<GrantedToken, Error> {
    let what = format!(
        "installation {} of GitHub App {}, for {}",
        app.installation,
        app.id,
        repository.full_name()
    );
    let proof = app
        .signed_token(Timestamp::now())
        .map_err(|_| Error::Secret("githubAppPrivateKey cannot sign".to_owned()))?;
    let installation = app.installation.to_string();
    let requested = permissions.requested.iter().copied();
    let body = serde_json::json!({
        "repositories": [repository.name],
        "permissions": requested.collect::<BTreeMap<_, _>>(),
    });
    let host = repository.base_url.host();
    let url = repository
        .base_url
        .endpoint(["app", "installations", &installation, "access_tokens"]);
    let request = ApiRequest::new(Method::POST, url, &what).with_json(&body);
    let answer = http.send_with_token(repository.kind, &request, &proof).await?;
    if !answer.status.is_success() {
        return Err(answer.refusal(&host, &what, &token_advice(&answer, permissions)));
    }
    let granted: GrantedToken = answer.read_json(&host, &what)?;
    if granted.token.is_empty() || !granted.token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::Refused {
            host,
            what,
            reason: "the answer holds no token".to_owned(),
        });
    }
    Ok(granted)
}

/// What to do if an App gets no token.
fn token_advice(answer: &ApiAnswer, permissions: &AppPermissions) -> String {
    let shown = permissions.shown;
    let message = answer.message.to_ascii_lowercase();
    match answer.status {
        StatusCode::UNAUTHORIZED => {
            "check githubAppID and githubAppPrivateKey of the Secret, and this machine's clock".to_owned()
        }
        StatusCode::FORBIDDEN if message.contains("suspended") => {
            "the App's installation has to be unsuspended".to_owned()
        }
        StatusCode::FORBIDDEN => {
            format!("check that the App is installed there, with the repository permission {shown}")
        }
        StatusCode::NOT_FOUND => {
            "check githubAppInstallationID of the Secret, and that the App is still installed there"
                .to_owned()
        }
        _ => format!("install the App for this repository, with the repository permission {shown}"),
    }
}
