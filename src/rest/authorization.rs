//! Tokens of an App's installation: limited to one repository, and kept until shortly before they end.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::answer::Answer;
use super::answers::read;
use super::app::App;
use super::credentials::Login;
use super::http::{Ask, Http};
use super::{BaseUrl, Credentials, Error, Kind, Place};

/// How long before its end a token is used no more.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// How many repositories' tokens are kept.
const KEPT: usize = 256;

/// What an App's tokens may do.
pub(crate) struct Permissions {
    /// As the API names it: permissions and their access.
    pub(crate) wanted: &'static [(&'static str, &'static str)],
    /// As the App's page names it.
    pub(crate) shown: &'static str,
}

/// The login, and the tokens that it got.
pub(super) struct Authorization {
    login: Login,
    base: Option<BaseUrl>,
    permissions: &'static Permissions,
    /// Held while a token is asked for, so that many who need one ask once.
    tokens: tokio::sync::Mutex<HashMap<Key, Token>>,
}

/// What a token is good for.
#[derive(PartialEq, Eq, Hash)]
struct Key(BaseUrl, String, String);

impl Key {
    fn of(place: &Place) -> Self {
        Self(place.base.clone(), place.owner.clone(), place.name.clone())
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
    pub(super) fn new(credentials: Credentials, permissions: &'static Permissions) -> Self {
        Self {
            login: credentials.login,
            base: credentials.base,
            permissions,
            tokens: tokio::sync::Mutex::default(),
        }
    }

    /// What to send to a repository's server.
    pub(super) async fn token(&self, http: &Http, place: &Place) -> Result<SecretString, Error> {
        let app = match &self.login {
            Login::Token(token) => return Ok(token.clone()),
            Login::App(app) => app,
        };
        if place.kind != Kind::GitHub {
            return Err(Error::Secret(format!(
                "it is for a GitHub App, which {} does not know: it needs an access token as token",
                place.kind
            )));
        }
        if self.base.as_ref().is_some_and(|base| *base != place.base) {
            return Err(Error::Secret(format!(
                "its githubAppBaseURL is another server than {}, which {} is at",
                place.base,
                place.full_name()
            )));
        }
        let mut tokens = self.tokens.lock().await;
        let key = Key::of(place);
        let soon = Timestamp::now() + MARGIN;
        if let Some(token) = tokens.get(&key).filter(|token| token.ends > soon) {
            return Ok(token.secret.clone());
        }
        let granted = exchange(http, app, place, self.permissions).await?;
        let secret = SecretString::from(granted.token);
        tokens.retain(|_, token| token.ends > soon);
        if tokens.len() >= KEPT {
            tokens.clear();
        }
        let token = Token {
            secret: secret.clone(),
            ends: granted.expires_at,
        };
        tokens.insert(key, token);
        Ok(secret)
    }

    /// Drops a token that the server did not take. Whether another can be had.
    pub(super) async fn forget(&self, place: &Place, refused: &SecretString) -> bool {
        if matches!(self.login, Login::Token(_)) {
            return false;
        }
        let mut tokens = self.tokens.lock().await;
        let key = Key::of(place);
        // Somebody else may have got a new one in between.
        let same = |token: &Token| token.secret.expose_secret() == refused.expose_secret();
        if tokens.get(&key).is_some_and(same) {
            tokens.remove(&key);
        }
        true
    }
}

/// Asks for a token that has these permissions for one repository, and nothing else.
async fn exchange(
    http: &Http,
    app: &App,
    place: &Place,
    permissions: &Permissions,
) -> Result<Granted, Error> {
    let what = format!(
        "installation {} of GitHub App {}, for {}",
        app.installation,
        app.id,
        place.full_name()
    );
    let proof = app
        .token(Timestamp::now())
        .map_err(|_| Error::Secret("githubAppPrivateKey cannot sign".to_owned()))?;
    let installation = app.installation.to_string();
    let wanted = permissions.wanted.iter().copied();
    let body = serde_json::json!({
        "repositories": [place.name],
        "permissions": wanted.collect::<BTreeMap<_, _>>(),
    });
    let url = place
        .base
        .at(["app", "installations", &installation, "access_tokens"]);
    let mut ask = Ask::new(Method::POST, url, &what);
    ask.body = Some(body.to_string().into_bytes());
    let answer = http.ask(place.kind, &ask, &proof).await?;
    if !answer.status.is_success() {
        return Err(answer.refusal(&place.base.host(), &what, &advice(&answer, permissions)));
    }
    let granted: Granted = read(&answer, &place.base.host(), &what)?;
    if granted.token.is_empty() || !granted.token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::Refused {
            host: place.base.host(),
            what,
            reason: "the answer holds no token".to_owned(),
        });
    }
    Ok(granted)
}

/// What to do where an App gets no token.
fn advice(answer: &Answer, permissions: &Permissions) -> String {
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
