//! Credentials, TLS material and proxies, read from Secrets with Flux's keys.

use std::collections::BTreeMap;

use foreign_text::printable;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::{Error, RepoUrl, Scheme};

/// How much of what a server says is passed on, in characters.
const LONGEST_SAYING: usize = 400;

/// The data of a Secret.
pub type SecretData = BTreeMap<String, Vec<u8>>;

/// How this side proves who it is.
///
/// `Debug` shows no secret.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// HTTP basic authentication.
    Basic {
        /// The user.
        username: String,
        /// The password or access token.
        password: SecretString,
    },
    /// An HTTP bearer token.
    Bearer(SecretString),
    /// A token of a GitHub App's installation.
    App(Installation),
    /// An SSH key, and the hosts that it may be used with.
    Ssh(SshCredentials),
}

/// A token of a GitHub App's installation, which git can use for an hour at most, and its App.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The App's keys in the Secret.
    ///
    /// They stay, while tokens change.
    keys: BTreeMap<String, SecretSlice<u8>>,
    token: SecretString,
}

impl Installation {
    /// Takes the data of the Secret with the App's keys, and the token that was obtained with them.
    #[must_use]
    pub fn new(data: &SecretData, token: SecretString) -> Self {
        let keys = data.iter().filter(|(key, _)| is_app_key(key));
        Self {
            keys: keys
                .map(|(key, value)| (key.clone(), value.clone().into()))
                .collect(),
            token,
        }
    }

    /// The token.
    pub(super) fn token(&self) -> &SecretString {
        &self.token
    }
}

fn is_app_key(key: &str) -> bool {
    key.starts_with("githubApp")
}

/// An SSH private key and the known hosts.
#[derive(Clone, Debug)]
pub struct SshCredentials {
    /// The private key in OpenSSH, PKCS#8 or PEM form.
    pub identity: SecretString,
    /// The private key's passphrase.
    pub passphrase: Option<SecretString>,
    /// Lines as in `~/.ssh/known_hosts`; no other host is talked to.
    pub known_hosts: String,
}

/// Certificates beyond the system's.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// PEM certificates of authorities that are trusted besides the system's.
    pub ca: Option<Vec<u8>>,
    /// The client's certificate chain and private key, PEM.
    pub identity: Option<SecretSlice<u8>>,
}

/// An HTTP, HTTPS or SOCKS5 proxy.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// The proxy's address, without user information.
    pub address: url::Url,
    /// Login at the proxy.
    pub login: Option<(String, SecretString)>,
}

impl Credentials {
    /// Reads `identity` and `known_hosts` (`password` is then the key's passphrase), `bearerToken`,
    /// or `username` and `password`, as Flux's GitRepository does.
    ///
    /// # Errors
    ///
    /// [`Error::Secret`] where keys are missing, contradict each other or are not text.
    pub fn from_secret(data: &SecretData) -> Result<Self, Error> {
        if data.keys().any(|key| is_app_key(key)) {
            return Err(secret(
                "the keys of a GitHub App have to be exchanged for a token first: use username and password with an access token, or bearerToken",
            ));
        }
        if let Some(identity) = text(data, "identity")? {
            let known_hosts = text(data, "known_hosts")?.ok_or_else(|| {
                secret("identity is set without known_hosts: add the output of `ssh-keyscan HOST` after checking it")
            })?;
            return Ok(Self::Ssh(SshCredentials {
                identity: identity.into(),
                passphrase: text(data, "password")?.map(SecretString::from),
                known_hosts,
            }));
        }
        match (
            text(data, "bearerToken")?,
            text(data, "username")?,
            text(data, "password")?,
        ) {
            (None, None, None) => Ok(Self::None),
            (Some(token), None, None) => {
                let token = token.trim();
                if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(secret(
                        "bearerToken is empty or contains characters that no token has",
                    ));
                }
                Ok(Self::Bearer(token.to_owned().into()))
            }
            (Some(_), _, _) => Err(secret(
                "bearerToken cannot be combined with username and password: keep one of the two",
            )),
            (None, Some(username), Some(password)) => {
                if username.contains(':') || username.chars().any(char::is_control) {
                    return Err(secret("username contains a colon or a control character"));
                }
                Ok(Self::Basic {
                    username,
                    password: password.into(),
                })
            }
            (None, Some(_), None) => Err(secret("username is set without password")),
            (None, None, Some(_)) => Err(secret("password is set without username")),
        }
    }

    fn check_scheme(&self, url: &RepoUrl) -> Result<(), Error> {
        match (url.scheme(), self) {
            (Scheme::Ssh, Self::Ssh(_))
            | (Scheme::Https | Scheme::Http, Self::None | Self::Basic { .. } | Self::Bearer(_))
            | (Scheme::Https, Self::App(_))
            | (Scheme::Git, Self::None) => Ok(()),
            (_, Self::App(_)) => Err(secret(
                "the token of a GitHub App is sent only over https: write https://HOST/OWNER/NAME.git",
            )),
            (Scheme::Ssh, _) => Err(secret(
                "an ssh address needs a Secret with identity (the private key) and known_hosts",
            )),
            (Scheme::Https | Scheme::Http, Self::Ssh(_)) => Err(secret(
                "identity is for ssh addresses: an http address takes username and password, or bearerToken",
            )),
            (Scheme::Git, _) => Err(secret(
                "git:// does not support a login: use https:// or ssh://, or remove secretRef",
            )),
        }
    }

    /// Every secret text in here, for cleaning what servers say.
    fn secrets(&self) -> Vec<&str> {
        match self {
            Self::None => Vec::new(),
            Self::Basic { password, .. } => vec![password.expose_secret()],
            Self::Bearer(token) => vec![token.expose_secret()],
            Self::App(app) => vec![app.token.expose_secret()],
            Self::Ssh(ssh) => ssh.passphrase.iter().map(ExposeSecret::expose_secret).collect(),
        }
    }
}

impl Tls {
    /// Reads `ca.crt`, `tls.crt` and `tls.key` (or their older names `caFile`, `certFile`,
    /// `keyFile`).
    ///
    /// # Errors
    ///
    /// [`Error::Secret`] where one half of the client's pair is missing, or the PEM cannot be read.
    pub fn from_secret(data: &SecretData) -> Result<Self, Error> {
        let either = |new: &str, old: &str| data.get(new).or_else(|| data.get(old)).filter(|v| !v.is_empty());
        let ca = either("ca.crt", "caFile").cloned();
        if let Some(pem) = &ca {
            let certificates = reqwest::Certificate::from_pem_bundle(pem);
            if !certificates.is_ok_and(|found| !found.is_empty()) {
                return Err(secret("ca.crt holds no PEM certificate"));
            }
        }
        let identity = match (either("tls.crt", "certFile"), either("tls.key", "keyFile")) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                let pem = [certificate.as_slice(), b"\n", key].concat();
                reqwest::Identity::from_pem(&pem).map_err(|_| {
                    secret("tls.crt and tls.key hold no PEM certificate and private key that can be read")
                })?;
                Some(pem.into())
            }
            (Some(_), None) => return Err(secret("tls.crt is set without tls.key")),
            (None, Some(_)) => return Err(secret("tls.key is set without tls.crt")),
        };
        Ok(Self { ca, identity })
    }
}

impl Proxy {
    /// Reads `address`, and `username` and `password` where the proxy asks for them.
    ///
    /// # Errors
    ///
    /// [`Error::Secret`] where the address is missing, no `http`, `https` or `socks5` address, or
    /// holds a login.
    pub fn from_secret(data: &SecretData) -> Result<Self, Error> {
        let address =
            text(data, "address")?.ok_or_else(|| secret("a proxy's Secret needs the key address"))?;
        let address = url::Url::parse(address.trim())
            .map_err(|error| secret(&format!("the proxy's address cannot be read: {error}")))?;
        if !matches!(address.scheme(), "http" | "https" | "socks5" | "socks5h")
            || address.host_str().is_none()
        {
            return Err(secret(
                "the proxy's address must be http://, https:// or socks5://",
            ));
        }
        if !address.username().is_empty() || address.password().is_some() {
            return Err(secret(
                "the proxy's address contains a login: move it to the keys username and password",
            ));
        }
        let login = match (text(data, "username")?, text(data, "password")?) {
            (Some(username), password) => Some((username, password.unwrap_or_default().into())),
            (None, None) => None,
            (None, Some(_)) => return Err(secret("the proxy's password is set without username")),
        };
        Ok(Self { address, login })
    }
}

/// A repository, and what is needed to reach it.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub(super) url: RepoUrl,
    pub(super) credentials: Credentials,
    pub(super) tls: Tls,
    pub(super) proxy: Option<Proxy>,
}

impl Upstream {
    /// An upstream that asks for no login.
    #[must_use]
    pub fn anonymous(url: RepoUrl) -> Self {
        Self {
            url,
            credentials: Credentials::None,
            tls: Tls::default(),
            proxy: None,
        }
    }

    /// An upstream with the data of the Secrets that `secretRef` and `proxySecretRef` name.
    ///
    /// # Errors
    ///
    /// [`Error::Secret`] where a Secret cannot be read or does not fit the address's scheme.
    pub fn new(
        url: RepoUrl,
        secret_data: Option<&SecretData>,
        proxy: Option<&SecretData>,
    ) -> Result<Self, Error> {
        let credentials = secret_data.map_or(Ok(Credentials::None), Credentials::from_secret)?;
        Self::with_credentials(url, credentials, secret_data, proxy)
    }

    /// An upstream with a token of a GitHub App's installation, whose keys the Secret has.
    ///
    /// # Errors
    ///
    /// As for [`Upstream::new`], and where the address is not `https`.
    pub fn by_app(
        url: RepoUrl,
        secret_data: &SecretData,
        installation: Installation,
        proxy: Option<&SecretData>,
    ) -> Result<Self, Error> {
        Self::with_credentials(url, Credentials::App(installation), Some(secret_data), proxy)
    }

    fn with_credentials(
        url: RepoUrl,
        credentials: Credentials,
        secret_data: Option<&SecretData>,
        proxy: Option<&SecretData>,
    ) -> Result<Self, Error> {
        let tls = secret_data.map_or(Ok(Tls::default()), Tls::from_secret)?;
        credentials.check_scheme(&url)?;
        let proxy = proxy.map(Proxy::from_secret).transpose()?;
        if proxy.is_some() && !matches!(url.scheme(), Scheme::Https | Scheme::Http) {
            return Err(secret(
                "a proxy serves http and https addresses only: remove proxySecretRef",
            ));
        }
        Ok(Self {
            url,
            credentials,
            tls,
            proxy,
        })
    }

    /// The address.
    #[must_use]
    pub fn url(&self) -> &RepoUrl {
        &self.url
    }

    /// Replaces every secret in a text that came from outside, and makes it one bounded printable
    /// line.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let login = self.proxy.iter().filter_map(|proxy| proxy.login.as_ref());
        let secrets = self.credentials.secrets().into_iter();
        for secret in secrets.chain(login.map(|(_, password)| password.expose_secret())) {
            if !secret.is_empty() {
                text = text.replace(secret, "***");
            }
        }
        printable(&text.replace(char::is_control, " "), LONGEST_SAYING)
    }

    /// Feeds everything that decides whom a conversation is with, who is trusted there, and what it
    /// gives to whom.
    ///
    /// Readers for whom all of this is the same share what is remembered of the upstream; no others
    /// do.
    ///
    /// The patterns name every field, so that a new one has to be decided on here.
    pub(super) fn identity(&self, mut feed: impl FnMut(&[u8])) {
        let mut field = |bytes: &[u8]| {
            feed(&(bytes.len() as u64).to_le_bytes());
            feed(bytes);
        };
        let Self {
            url,
            credentials,
            tls: Tls { ca, identity },
            proxy,
        } = self;
        field(url.identity().as_bytes());
        match credentials {
            Credentials::None => field(b"none"),
            Credentials::Basic { username, password } => {
                field(b"basic");
                field(username.as_bytes());
                field(password.expose_secret().as_bytes());
            }
            Credentials::Bearer(token) => {
                field(b"bearer");
                field(token.expose_secret().as_bytes());
            }
            // Another token of the same App gives access to the same; without the App's keys there
            // is none.
            Credentials::App(Installation { keys, token: _ }) => {
                field(b"app");
                for (key, value) in keys {
                    field(key.as_bytes());
                    field(value.expose_secret());
                }
            }
            Credentials::Ssh(SshCredentials {
                identity,
                passphrase,
                known_hosts,
            }) => {
                field(b"ssh");
                field(identity.expose_secret().as_bytes());
                field(
                    passphrase
                        .as_ref()
                        .map_or("", ExposeSecret::expose_secret)
                        .as_bytes(),
                );
                field(known_hosts.as_bytes());
            }
        }
        field(ca.as_deref().unwrap_or_default());
        field(identity.as_ref().map_or(&[][..], ExposeSecret::expose_secret));
        match proxy {
            None => field(b"direct"),
            Some(Proxy { address, login }) => {
                field(b"proxy");
                field(address.as_str().as_bytes());
                if let Some((username, password)) = login {
                    field(username.as_bytes());
                    field(password.expose_secret().as_bytes());
                }
            }
        }
    }
}

fn text(data: &SecretData, key: &str) -> Result<Option<String>, Error> {
    match data.get(key) {
        None => Ok(None),
        Some(bytes) if bytes.is_empty() => Ok(None),
        Some(bytes) => match String::from_utf8(bytes.clone()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(secret(&format!("{key} is not text"))),
        },
    }
}

fn secret(reason: &str) -> Error {
    Error::Secret(format!("the Secret cannot be used: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(pairs: &[(&str, &str)]) -> SecretData {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
            .collect()
    }

    fn identity(url: &str, secret: &[(&str, &str)], proxy: Option<&[(&str, &str)]>) -> Vec<u8> {
        let url = url.parse().unwrap();
        let proxy = proxy.map(data);
        let upstream = Upstream::new(url, Some(&data(secret)), proxy.as_ref()).unwrap();
        let mut fed = Vec::new();
        upstream.identity(|bytes| fed.extend_from_slice(bytes));
        fed
    }

    #[test]
    fn everything_that_decides_whom_one_talks_to_is_part_of_the_identity() {
        let authority = || {
            let key = rcgen::KeyPair::generate().unwrap();
            rcgen::CertificateParams::new(Vec::new())
                .unwrap()
                .self_signed(&key)
                .unwrap()
                .pem()
        };
        let (one, other) = (authority(), authority());
        let https = "https://example.org/a.git";
        let ssh = "ssh://git@example.org/a.git";
        let mut seen = vec![
            identity(https, &[], None),
            identity(https, &[("ca.crt", &one)], None),
            identity(https, &[("ca.crt", &other)], None),
            identity(https, &[("username", "a"), ("password", "b")], None),
            identity(https, &[("bearerToken", "b")], None),
            identity(https, &[], Some(&[("address", "http://proxy")])),
            identity(https, &[], Some(&[("address", "http://proxy2")])),
            identity(
                https,
                &[],
                Some(&[("address", "http://proxy"), ("username", "a")]),
            ),
            identity(
                https,
                &[],
                Some(&[("address", "http://proxy"), ("username", "a"), ("password", "b")]),
            ),
            identity(ssh, &[("identity", "k"), ("known_hosts", "a")], None),
            identity(ssh, &[("identity", "k"), ("known_hosts", "b")], None),
            identity(
                ssh,
                &[("identity", "k"), ("known_hosts", "a"), ("password", "p")],
                None,
            ),
            identity(
                "ssh://ann@example.org/a.git",
                &[("identity", "k"), ("known_hosts", "a")],
                None,
            ),
        ];
        let by_app = |app: &[(&str, &str)], token: &str| {
            let data = data(app);
            let installation = Installation::new(&data, token.to_owned().into());
            let upstream = Upstream::by_app(https.parse().unwrap(), &data, installation, None).unwrap();
            let mut fed = Vec::new();
            upstream.identity(|bytes| fed.extend_from_slice(bytes));
            fed
        };
        let app = [
            ("githubAppID", "1"),
            ("githubAppInstallationID", "2"),
            ("githubAppPrivateKey", "k"),
        ];
        for changed in 0..=app.len() {
            let mut app = app;
            if let Some((_, value)) = app.get_mut(changed) {
                *value = "3";
            }
            seen.push(by_app(&app, "t"));
            assert_eq!(by_app(&app, "another"), *seen.last().unwrap());
        }
        assert_eq!(identity("https://example.org:443/a.git", &[], None), seen[0]);
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
