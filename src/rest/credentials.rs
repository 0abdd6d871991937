//! Logins, read from Secrets with Flux's keys.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::app::App;
use super::{BaseUrl, Error};

/// The data of a Secret.
pub type SecretData = BTreeMap<String, Vec<u8>>;

/// How this side proves who it is: by an access token, or as a GitHub App. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub(super) login: Login,
    pub(super) base: Option<BaseUrl>,
    /// PEM certificates of authorities that are trusted besides the system's.
    pub(super) authorities: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(super) enum Login {
    Token(SecretString),
    App(App),
}

impl Credentials {
    /// Whether they are those of a GitHub App.
    pub(crate) fn is_app(&self) -> bool {
        matches!(self.login, Login::App(_))
    }

    /// Reads `githubAppID`, `githubAppInstallationID`, `githubAppPrivateKey` and, where it is not github.com,
    /// `githubAppBaseURL`; or an access token as one of `token`, `password` and `bearerToken`. `ca.crt` is for servers whose
    /// certificate no public authority signed. Other keys are passed over, and `password` beside `identity`, where it is
    /// the SSH key's.
    ///
    /// # Errors
    ///
    /// [`Error::Secret`] where keys are missing, contradict each other, or do not hold what they should. What they hold
    /// is not part of the message.
    pub fn from_secret(data: &SecretData) -> Result<Self, Error> {
        let authorities = data.get("ca.crt").filter(|pem| !pem.is_empty()).cloned();
        if let Some(pem) = &authorities {
            let certificates = reqwest::Certificate::from_pem_bundle(pem);
            if !certificates.is_ok_and(|found| !found.is_empty()) {
                return Err(secret("ca.crt holds no PEM certificate"));
            }
        }
        let mut tokens = Vec::new();
        for key in ["token", "password", "bearerToken"] {
            if key == "password" && data.contains_key("identity") {
                continue;
            }
            if let Some(token) = text(data, key)? {
                tokens.push((key, token));
            }
        }
        let is_app = data.keys().any(|key| key.starts_with("githubApp"));
        let (login, base) = match (is_app, tokens.as_slice()) {
            (true, []) => app(data)?,
            (true, [(key, _), ..]) => {
                return Err(secret(&format!(
                    "the keys of a GitHub App cannot stand beside {key}: keep one of the two"
                )));
            }
            (false, [(key, token)]) => {
                if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(secret(&format!("{key} holds characters that no token has")));
                }
                (Login::Token(token.as_str().into()), None)
            }
            (false, []) => {
                return Err(secret(
                    "it needs githubAppID, githubAppInstallationID and githubAppPrivateKey, or an access token as token",
                ));
            }
            (false, [(one, _), (other, _), ..]) => {
                return Err(secret(&format!(
                    "{one} cannot stand beside {other}: keep one of the two"
                )));
            }
        };
        Ok(Self {
            login,
            base,
            authorities,
        })
    }

    /// The server that the Secret names. Repositories elsewhere are refused.
    #[must_use]
    pub fn base_url(&self) -> Option<&BaseUrl> {
        self.base.as_ref()
    }
}

fn app(data: &SecretData) -> Result<(Login, Option<BaseUrl>), Error> {
    let needed = |key: &str| {
        text(data, key)?.ok_or_else(|| secret(&format!("a GitHub App needs {key} beside its other keys")))
    };
    let id = needed("githubAppID")?;
    if id.len() > 100
        || !id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
    {
        return Err(secret("githubAppID is neither an App's number nor its client ID"));
    }
    let installation = needed("githubAppInstallationID")?
        .parse()
        .map_err(|_| secret("githubAppInstallationID is no number"))?;
    let key = needed("githubAppPrivateKey")?;
    let base = text(data, "githubAppBaseURL")?
        .map(|address| BaseUrl::parse(&address))
        .transpose()
        .map_err(|error| secret(&format!("githubAppBaseURL: {error}")))?;
    let app = App::new(id, installation, key.as_bytes()).ok_or_else(|| {
        secret("githubAppPrivateKey holds no RSA private key in PEM: put the file that GitHub gave for the App in as it is")
    })?;
    Ok((Login::App(app), base))
}

/// A key's text without the space around it, or nothing where that is empty.
fn text(data: &SecretData, key: &str) -> Result<Option<String>, Error> {
    let Some(bytes) = data.get(key) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(bytes).map_err(|_| secret(&format!("{key} is not text")))?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

fn secret(reason: &str) -> Error {
    Error::Secret(reason.to_owned())
}
