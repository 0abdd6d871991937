//! Tokens of a GitHub App for reaching a repository by git.

use secrecy::SecretString;

use forge_rest::{
    ApiBaseUrl, ApiClient, AppPermissions, Error, ForgeCredentials, ForgeKind, ForgeRepository, RequestConfig,
};

const READ: AppPermissions = AppPermissions {
    requested: &[("contents", "read")],
    shown: "Contents: read",
};

const WRITE: AppPermissions = AppPermissions {
    requested: &[("contents", "write")],
    shown: "Contents: read and write",
};

/// What a repository is accessed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GitPurpose {
    /// To fetch from it.
    Fetch,
    /// To push to it as well.
    Push,
}

/// A GitHub App's access to one repository by git.
///
/// Meant to be reused: it holds the token until shortly before it expires.
pub struct GitAccess {
    rest: ApiClient,
    repository: ForgeRepository,
}

impl GitAccess {
    /// Makes the access to the repository at an address.
    ///
    /// The App's server is the one that its Secret names, or github.com: nothing is sent to any
    /// other, whatever the address says.
    ///
    /// # Errors
    ///
    /// [`Error::Address`] for an address that is not `https`, or at another server;
    /// [`Error::Invalid`] if it is not the address of a repository; [`Error::Secret`] or
    /// [`Error::Unavailable`] if TLS cannot be set up.
    pub fn new(
        config: &RequestConfig,
        git_url: &str,
        credentials: ForgeCredentials,
        purpose: GitPurpose,
    ) -> Result<Self, Error> {
        let repository = ForgeRepository::from_git_url(ForgeKind::GitHub, git_url, None)?;
        let elsewhere = |reason: String| Error::Address {
            address: repository.full_name(),
            reason,
        };
        if !git_url.trim().to_ascii_lowercase().starts_with("https://") {
            return Err(elsewhere(
                "the token of a GitHub App is sent only over https: write https://HOST/OWNER/NAME.git"
                    .to_owned(),
            ));
        }
        let github = ApiBaseUrl::parse(ForgeKind::GitHub, ApiBaseUrl::GITHUB_COM)?;
        let own = credentials.base_url().unwrap_or(&github);
        if own != repository.base_url() {
            return Err(elsewhere(format!(
                "its server's API is {}, and the Secret's GitHub App is of {own}: set githubAppBaseURL of the Secret, or name another",
                repository.base_url()
            )));
        }
        let permissions = match purpose {
            GitPurpose::Fetch => &READ,
            GitPurpose::Push => &WRITE,
        };
        Ok(Self {
            rest: ApiClient::new(config, credentials, permissions)?,
            repository,
        })
    }

    /// The token, which git takes as the password of `x-access-token`.
    ///
    /// # Errors
    ///
    /// If the App gets none; the message says what to do.
    pub async fn token(&self) -> Result<SecretString, Error> {
        self.rest.retry(|| self.rest.access_token(&self.repository)).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The proof that this side has the App's key goes only to the App's own server.
    #[test]
    fn an_app_is_of_one_server() {
        let made = std::process::Command::new("openssl")
            .args(["genrsa", "2048"])
            .output()
            .unwrap();
        let pem = String::from_utf8(made.stdout).unwrap();
        for (url, base, is_taken) in [
            ("https://github.com/acme/images.git", None, true),
            (
                "https://github.com/acme/images",
                Some("https://api.github.com"),
                true,
            ),
            (
                "https://ghe.example.org/acme/images",
                Some("https://ghe.example.org/api/v3"),
                true,
            ),
            ("https://ghe.example.org/acme/images", None, false),
            ("https://github.com.evil.example/acme/images", None, false),
            (
                "https://github.com/acme/images",
                Some("https://ghe.example.org/api/v3"),
                false,
            ),
            (
                "https://ghe.example.org:8443/acme/images",
                Some("https://ghe.example.org/api/v3"),
                false,
            ),
            ("http://github.com/acme/images.git", None, false),
            ("ssh://git@github.com/acme/images.git", None, false),
            ("git@github.com:acme/images.git", None, false),
        ] {
            let mut data = BTreeMap::from([
                ("githubAppID".to_owned(), b"7".to_vec()),
                ("githubAppInstallationID".to_owned(), b"42".to_vec()),
                ("githubAppPrivateKey".to_owned(), pem.clone().into_bytes()),
            ]);
            if let Some(base) = base {
                data.insert("githubAppBaseURL".to_owned(), base.as_bytes().to_vec());
            }
            let credentials = ForgeCredentials::from_secret(&data).unwrap();
            let access = GitAccess::new(&RequestConfig::default(), url, credentials, GitPurpose::Fetch);
            assert_eq!(access.is_ok(), is_taken, "{url} of {base:?}");
        }
    }
}
