//! Logins, read from Secrets with Flux's keys.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::github_app::GitHubApp;
use super::{ApiBaseUrl, Error, ForgeKind};

/// How this side authenticates: by an access token, or as a GitHub App.
///
/// `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct ForgeCredentials {
    pub(super) login: ForgeLogin,
    pub(super) base_url: Option<ApiBaseUrl>,
    /// PEM certificates of authorities that are trusted besides the system's.
    pub(super) authorities: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(super) enum ForgeLogin {
    Token(SecretString),
    App(GitHubApp),
}

impl ForgeCredentials {
    /// Whether they are those of a GitHub App.
    #[must_use]
    pub fn is_app(&self) -> bool {
        matches!(self.login, ForgeLogin::App(_))
    }

    /// Reads `githubAppID`, `githubAppInstallationID`, `githubAppPrivateKey` and, where it is not
    /// github.com, `githubAppBaseURL`; or an access token as one of `token`, `password` and
    /// `bearerToken`.
    ///
    /// `ca.crt` is for servers whose certificate no public authority signed. Other keys are
    /// ignored, and so is `password` beside `identity`, where it is the SSH key's.
    ///
    /// # Errors
    ///
    /// [`Error::Secret`] where keys are missing, contradict each other, or do not hold what they
    /// should. What they hold is not part of the message.
    pub fn from_secret(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, Error> {
        let authorities = data.get("ca.crt").filter(|pem| !pem.is_empty()).cloned();
        if let Some(pem) = &authorities {
            let certificates = reqwest::Certificate::from_pem_bundle(pem);
            if !certificates.is_ok_and(|found| !found.is_empty()) {
                return Err(unusable_secret("ca.crt holds no PEM certificate"));
            }
        }
        let mut tokens = Vec::new();
        for key in ["token", "password", "bearerToken"] {
            if key == "password" && data.contains_key("identity") {
                continue;
            }
            if let Some(token) = text_of_key(data, key)? {
                tokens.push((key, token));
            }
        }
        let is_app = data.keys().any(|key| key.starts_with("githubApp"));
        let (login, base_url) = match (is_app, tokens.as_slice()) {
            (true, []) => read_app(data)?,
            (true, [(key, _), ..]) => {
                return Err(unusable_secret(&format!(
                    "the keys of a GitHub App cannot be combined with {key}: keep one of the two"
                )));
            }
            (false, [(key, token)]) => {
                if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(unusable_secret(&format!(
                        "{key} contains characters that no token has"
                    )));
                }
                (ForgeLogin::Token(token.as_str().into()), None)
            }
            (false, []) => {
                return Err(unusable_secret(
                    "it needs githubAppID, githubAppInstallationID and githubAppPrivateKey, or an access token as token",
                ));
            }
            (false, [(one, _), (other, _), ..]) => {
                return Err(unusable_secret(&format!(
                    "{one} cannot be combined with {other}: keep one of the two"
                )));
            }
        };
        Ok(Self {
            login,
            base_url,
            authorities,
        })
    }

    /// The server that the Secret names.
    ///
    /// Repositories elsewhere are refused.
    #[must_use]
    pub fn base_url(&self) -> Option<&ApiBaseUrl> {
        self.base_url.as_ref()
    }
}

fn read_app(data: &BTreeMap<String, Vec<u8>>) -> Result<(ForgeLogin, Option<ApiBaseUrl>), Error> {
    let needed = |key: &str| {
        text_of_key(data, key)?
            .ok_or_else(|| unusable_secret(&format!("a GitHub App also needs the key {key}")))
    };
    let id = needed("githubAppID")?;
    if id.len() > 100
        || !id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
    {
        return Err(unusable_secret(
            "githubAppID is neither an App's number nor its client ID",
        ));
    }
    let installation = needed("githubAppInstallationID")?
        .parse()
        .map_err(|_| unusable_secret("githubAppInstallationID is not a number"))?;
    let key = needed("githubAppPrivateKey")?;
    let base = text_of_key(data, "githubAppBaseURL")?
        .map(|address| ApiBaseUrl::parse(ForgeKind::GitHub, &address))
        .transpose()
        .map_err(|error| unusable_secret(&format!("githubAppBaseURL: {error}")))?;
    let app = GitHubApp::new(id, installation, key.as_bytes()).ok_or_else(|| {
        unusable_secret("githubAppPrivateKey is not an RSA private key in PEM: use the file that GitHub gave for the App as it is")
    })?;
    Ok((ForgeLogin::App(app), base))
}

/// Returns a key's text without the space around it; `None` if that is empty.
fn text_of_key(data: &BTreeMap<String, Vec<u8>>, key: &str) -> Result<Option<String>, Error> {
    let Some(bytes) = data.get(key) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(bytes).map_err(|_| unusable_secret(&format!("{key} is not text")))?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

fn unusable_secret(reason: &str) -> Error {
    Error::Secret(reason.to_owned())
}
