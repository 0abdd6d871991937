//! Credentials for registries, as Docker's `config.json` and Secrets of type `kubernetes.io/dockerconfigjson` hold them.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci_client::secrets::RegistryAuth;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::Error;

/// The key that Docker stores its own registry under.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Credentials by registry.
#[derive(Clone, Default)]
pub struct Credentials(BTreeMap<String, (String, SecretString)>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "identitytoken")]
    identity_token: Option<String>,
}

impl Credentials {
    /// Reads a `config.json`. Entries without a user name and password are passed over: credential helpers run
    /// programs, and identity tokens belong to a way of asking for tokens that is not spoken here.
    ///
    /// # Errors
    ///
    /// Where it is no such document. What it holds is not part of the message.
    pub fn parse(origin: &str, document: &[u8]) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::Credentials {
            origin: origin.to_owned(),
            reason: reason.to_owned(),
        };
        let document: Document = serde_json::from_slice(document)
            .map_err(|error| wrong(&format!("is no dockerconfigjson (line {})", error.line())))?;
        let mut all = BTreeMap::new();
        for (registry, entry) in document.auths {
            let pair = match (entry.username, entry.password, entry.auth) {
                (Some(user), Some(password), _) => Some((user, password)),
                (_, _, Some(auth)) if !auth.is_empty() => {
                    let decoded = STANDARD
                        .decode(auth.trim())
                        .ok()
                        .and_then(|bytes| String::from_utf8(bytes).ok());
                    let pair = decoded
                        .as_deref()
                        .and_then(|text| text.split_once(':'))
                        .ok_or_else(|| wrong(&format!("auth of {registry} is no user:password in base64")))?;
                    Some((pair.0.to_owned(), pair.1.to_owned()))
                }
                _ => None,
            };
            match pair {
                Some((user, password)) => {
                    all.insert(host(&registry), (user, SecretString::from(password)));
                }
                None if entry.identity_token.is_some() => {
                    return Err(wrong(&format!(
                        "{registry} has an identity token, which is not supported: store a user name and a password or token"
                    )));
                }
                None => {}
            }
        }
        Ok(Self(all))
    }

    /// What to authenticate with at a registry.
    pub(super) fn at(&self, registry: &str) -> RegistryAuth {
        match self.0.get(registry) {
            Some((user, password)) => RegistryAuth::Basic(user.clone(), password.expose_secret().to_owned()),
            None => RegistryAuth::Anonymous,
        }
    }
}

/// The host and port of a key, which may be an address.
fn host(key: &str) -> String {
    if key == DOCKER_HUB {
        return "index.docker.io".to_owned();
    }
    let without_scheme = key.split_once("://").map_or(key, |(_, rest)| rest);
    without_scheme.split('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read_and_none_is_shown() {
        let document = format!(
            r#"{{"auths": {{"https://a.example/v1/": {{"auth": "{}"}}, "b.example:5000": {{"username": "u", "password": "p:w"}}, "c.example": {{}}}}, "credsStore": "x"}}"#,
            STANDARD.encode("ann:se:cret")
        );
        let read = Credentials::parse("test", document.as_bytes()).unwrap();
        assert_eq!(
            read.at("a.example"),
            RegistryAuth::Basic("ann".into(), "se:cret".into())
        );
        assert_eq!(
            read.at("b.example:5000"),
            RegistryAuth::Basic("u".into(), "p:w".into())
        );
        assert_eq!(read.at("c.example"), RegistryAuth::Anonymous);
        assert!(!format!("{read:?}").contains("cret"));
    }

    #[test]
    fn what_is_wrong_is_told_without_what_it_holds() {
        for (document, part) in [
            ("secret", "no dockerconfigjson"),
            (r#"{"auths": {"a": {"auth": "c2VjcmV0"}}}"#, "no user:password"),
            (
                r#"{"auths": {"a": {"identitytoken": "secret"}}}"#,
                "not supported",
            ),
        ] {
            let error = Credentials::parse("Secret ns/pull", document.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("Secret ns/pull: ") && error.contains(part),
                "{error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
