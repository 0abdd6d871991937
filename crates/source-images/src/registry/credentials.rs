//! Credentials for registries, as Docker's `config.json` and Secrets of type
//! `kubernetes.io/dockerconfigjson` hold them.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image_references::{ImageReference, is_docker_hub};
use secrecy::SecretString;
use serde::Deserialize;

use crate::Error;

/// The name used here for Docker Hub, whichever of its names a key has.
const DOCKER_HUB: &str = "index.docker.io";

/// Credentials by registry, or by registry and path.
#[derive(Clone, Default)]
pub struct Credentials(Vec<(LoginKey, Login)>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

/// What to log in with.
#[derive(Clone)]
pub(super) enum Login {
    /// A user's name and password, or what stands for a password.
    Password { user: String, password: SecretString },
    /// A refresh token, which a token server takes in place of these (`docker login` of Azure's
    /// registries).
    IdentityToken(SecretString),
}

/// What credentials are for, as the kubelet reads it (`BasicDockerKeyring` in
/// `pkg/credentialprovider/keyring.go`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LoginKey {
    /// The host, in whose labels `*` and `?` are wildcards.
    host: String,
    port: String,
    /// The start of the repository, without slashes around it; empty for all.
    path: String,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    auths: BTreeMap<String, RegistryLogin>,
}

#[derive(Deserialize)]
struct RegistryLogin {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "identitytoken")]
    identity_token: Option<String>,
}

impl Credentials {
    /// Reads a `config.json`. Entries without credentials are skipped: credential helpers run
    /// programs.
    ///
    /// # Errors
    ///
    /// If it is not such a document. Its contents are not part of the message.
    pub fn parse(origin: &str, document: &[u8]) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::Credentials {
            origin: origin.to_owned(),
            reason: reason.to_owned(),
        };
        let document: Document = serde_json::from_slice(document)
            .map_err(|error| wrong(&format!("is not a dockerconfigjson (line {})", error.line())))?;
        let mut all = Vec::new();
        for (registry, entry) in document.auths {
            let is_wrong = |()| {
                let registry = foreign_text::printable(&registry, 200);
                wrong(&format!("auth of {registry} is not user:password in base64"))
            };
            if let Some(login) = entry.login().map_err(is_wrong)? {
                all.push((LoginKey::read(&registry), login));
            }
        }
        // Longer paths of a host come first, and a host before a pattern for several.
        all.sort_by(|(a, _), (b, _)| b.cmp(a));
        Ok(Self(all))
    }

    /// Adds a user's name and password for a registry. Existing entries for a repository take
    /// precedence.
    pub fn add_password(&mut self, registry: &str, user: String, password: SecretString) {
        self.0
            .push((LoginKey::read(registry), Login::Password { user, password }));
    }

    /// Adds an identity token for a registry. Existing entries for a repository take precedence.
    pub fn add_identity_token(&mut self, registry: &str, token: SecretString) {
        self.0
            .push((LoginKey::read(registry), Login::IdentityToken(token)));
    }

    /// Whether there is a login for a repository.
    #[must_use]
    pub fn has_login(&self, image: &ImageReference) -> bool {
        self.login(image.registry(), image.repository()).is_some()
    }

    /// Returns the login for a repository: the first in the kubelet's order that applies to it.
    pub(super) fn login(&self, registry: &str, repository: &str) -> Option<&Login> {
        let registry = LoginKey::read(registry);
        let found = self
            .0
            .iter()
            .find(|(key, _)| key.applies_to(&registry, repository));
        found.map(|(_, login)| login)
    }
}

impl RegistryLogin {
    /// What the entry holds; the error is for an `auth` that cannot be read.
    fn login(self) -> Result<Option<Login>, ()> {
        if let Some(token) = self.identity_token.filter(|token| !token.is_empty()) {
            return Ok(Some(Login::IdentityToken(token.into())));
        }
        let (user, password) = match (self.username, self.password, self.auth) {
            (Some(user), Some(password), _) => (user, password),
            (_, _, Some(auth)) if !auth.is_empty() => {
                let decoded = STANDARD.decode(auth.trim()).map_err(drop)?;
                let decoded = String::from_utf8(decoded).map_err(drop)?;
                let (user, password) = decoded.split_once(':').ok_or(())?;
                (user.to_owned(), password.to_owned())
            }
            _ => return Ok(None),
        };
        let password = SecretString::from(password);
        Ok(Some(Login::Password { user, password }))
    }
}

impl LoginKey {
    /// Reads a key of `auths`: a host with or without a scheme, a port, a path.
    fn read(text: &str) -> Self {
        let without_scheme = ["https://", "http://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .unwrap_or(text);
        let (address, path) = without_scheme.split_once('/').unwrap_or((without_scheme, ""));
        // The API's own version is not part of the path.
        let path = match path.split_once('/') {
            Some(("v1" | "v2", rest)) => rest,
            _ if matches!(path, "v1" | "v2") => "",
            _ => path,
        };
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (address, ""),
        };
        let host = host.to_ascii_lowercase();
        Self {
            host: if is_docker_hub(&host) {
                DOCKER_HUB.to_owned()
            } else {
                host
            },
            port: port.to_owned(),
            path: path.trim_end_matches('/').to_owned(),
        }
    }

    /// Whether credentials of this key apply to a repository. Unlike the kubelet's, a path matches
    /// whole components: `team` is not for `team-b/image`.
    fn applies_to(&self, registry: &Self, repository: &str) -> bool {
        let is_below = || match repository.strip_prefix(&self.path) {
            Some(rest) => self.path.is_empty() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        };
        let (patterns, labels) = (self.host.split('.'), registry.host.split('.'));
        self.port == registry.port
            && patterns.clone().count() == labels.clone().count()
            && patterns
                .zip(labels)
                .all(|(pattern, label)| matches_pattern(pattern, label))
            && is_below()
    }
}

/// Whether a label matches a pattern with `*` (any characters) and `?` (one).
fn matches_pattern(pattern: &str, label: &str) -> bool {
    let (pattern, label) = (pattern.as_bytes(), label.as_bytes());
    let (mut at, mut in_label) = (0, 0);
    // Where to resume if what follows the last star does not match: one character later.
    let mut star = None;
    while let Some(byte) = label.get(in_label) {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                star = Some((at, in_label));
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                at += 1;
                in_label += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (at, in_label) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern
        .get(at..)
        .unwrap_or_default()
        .iter()
        .all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn shown(credentials: &Credentials, registry: &str, repository: &str) -> String {
        match credentials.login(registry, repository) {
            None => String::new(),
            Some(Login::Password { user, password }) => format!("{user}:{}", password.expose_secret()),
            Some(Login::IdentityToken(token)) => format!("token {}", token.expose_secret()),
        }
    }

    #[test]
    fn all_forms_are_read_and_none_is_shown() {
        let document = format!(
            r#"{{"auths": {{"https://a.example/v1/": {{"auth": "{}"}}, "b.example:5000": {{"username": "u", "password": "p:w"}}, "c.example": {{}},
                "d.example": {{"auth": "{}", "identitytoken": "hidden"}}}}, "credsStore": "x"}}"#,
            STANDARD.encode("ann:se:cret"),
            STANDARD.encode("00000000-0000-0000-0000-000000000000:"),
        );
        let read = Credentials::parse("test", document.as_bytes()).unwrap();
        assert_eq!(shown(&read, "a.example", "x"), "ann:se:cret");
        assert_eq!(shown(&read, "b.example:5000", "x"), "u:p:w");
        assert_eq!(shown(&read, "b.example", "x"), "");
        assert_eq!(shown(&read, "c.example", "x"), "");
        assert_eq!(shown(&read, "d.example", "x"), "token hidden");
        let debug = format!("{read:?}");
        assert!(!debug.contains("cret") && !debug.contains("hidden"), "{debug}");
    }

    /// As in the tests of the kubelet's keyring, except for the ends of paths.
    #[test]
    fn credentials_are_for_what_the_kubelet_takes_them_for() {
        for (key, registry, repository, expected) in [
            ("r.example", "r.example", "a/b", true),
            ("r.example", "R.Example", "a/b", true),
            ("r.example", "r.example:5000", "a", false),
            ("r.example:5000", "r.example:5000", "a", true),
            ("[fc00::A]:5000", "[FC00::a]:5000", "a", true),
            ("[fc00::a]", "[fc00::A]", "a", true),
            ("[fc00::a]", "[fc00::a]:5000", "a", false),
            ("r.example/team", "r.example", "team/a", true),
            ("r.example/team/", "r.example", "team/a", true),
            ("r.example/team/a", "r.example", "team/a", true),
            ("r.example/team", "r.example", "other/a", false),
            ("r.example/team", "r.example", "team-b/a", false),
            ("r.example/team/a", "r.example", "team", false),
            ("https://r.example/v2/team", "r.example", "team/a", true),
            ("https://r.example/v2/", "r.example", "team/a", true),
            ("*.example", "r.example", "a", true),
            ("*.example", "x.r.example", "a", false),
            ("*.*.example", "x.r.example", "a", true),
            ("reg*y.example", "registry.example", "a", true),
            ("reg*y.example", "registries.example", "a", false),
            ("r?.example", "r1.example", "a", true),
            ("*", "r.example", "a", false),
            ("*.example/team", "r.example", "team/a", true),
            ("*.example:*", "r.example:5000", "a", false),
            ("https://index.docker.io/v1/", "docker.io", "library/a", true),
            ("docker.io", "docker.io", "library/a", true),
            ("registry-1.docker.io", "docker.io", "library/a", true),
            ("index.docker.io/ann", "docker.io", "ann/a", true),
            ("docker.io/ann", "docker.io", "library/a", false),
            ("evil.example/r.example", "r.example", "a", false),
        ] {
            let document = format!(r#"{{"auths": {{"{key}": {{"username": "u", "password": "p"}}}}}}"#);
            let read = Credentials::parse("test", document.as_bytes()).unwrap();
            let found = read.login(registry, repository).is_some();
            assert_eq!(found, expected, "{key} for {registry}/{repository}");
        }
    }

    #[test]
    fn the_most_specific_one_is_taken() {
        let document = r#"{"auths": {
            "r.example": {"username": "all", "password": ""}, "*.example": {"username": "glob", "password": ""},
            "r.example/team": {"username": "team", "password": ""}, "r.example/team/a": {"username": "image", "password": ""}
        }}"#;
        let read = Credentials::parse("test", document.as_bytes()).unwrap();
        for (registry, repository, user) in [
            ("r.example", "x", "all:"),
            ("r.example", "team/b", "team:"),
            ("r.example", "team/a", "image:"),
            ("other.example", "team/a", "glob:"),
        ] {
            assert_eq!(
                shown(&read, registry, repository),
                user,
                "{registry}/{repository}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_what_it_holds() {
        for (document, part) in [
            ("secret", "not a dockerconfigjson"),
            (r#"{"auths": {"a": {"auth": "c2VjcmV0"}}}"#, "not user:password"),
            (r#"{"auths": {"a": {"auth": "%secret%"}}}"#, "not user:password"),
            (
                r#"{"auths": {"a": {"identitytoken": ["secret"]}}}"#,
                "not a dockerconfigjson",
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
