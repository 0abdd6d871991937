//! A repository of a registry: where it is, whose login is for it, and what errors say of it.

use guarded_egress::{Destinations, RefusedAddress, causes};
use http::Method;
use image_references::{ImageReference, ReferenceError};
use reqwest::RequestBuilder;
use url::Url;

use super::client::Registry;
use super::credentials::Login;
use crate::Error;

/// How much of a connection's error is reported, in characters.
const LONGEST: usize = 300;

/// What is done in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Pull,
    /// Also for the looks before a push: to clients that may not push, registries answer
    /// differently about what does not exist yet.
    Push,
}

impl Access {
    pub(super) fn actions(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }
}

/// A repository of a registry.
#[derive(Clone, Copy)]
pub(crate) struct Repository<'a> {
    pub(super) registry: &'a Registry,
    pub(super) image: &'a ImageReference,
    pub(super) access: Access,
}

impl Registry {
    /// The repository of an image.
    pub(crate) fn repository<'a>(&'a self, image: &'a ImageReference, access: Access) -> Repository<'a> {
        Repository {
            registry: self,
            image,
            access,
        }
    }
}

impl<'a> Repository<'a> {
    /// The image whose repository it is.
    pub(crate) fn image(&self) -> &'a ImageReference {
        self.image
    }

    /// An address of the registry's API.
    pub(super) fn api(&self, path: &str) -> Result<Url, Error> {
        let scheme = if self.registry.is_plain(self.image) {
            "http"
        } else {
            "https"
        };
        let text = format!("{scheme}://{}/v2/{path}", self.image.api_host());
        text.parse().map_err(|error| {
            let reason = format!("its registry has no address: {error}");
            ReferenceError::new(&self.image.to_string(), reason).into()
        })
    }

    /// An address of the repository's part of the API.
    pub(super) fn url(&self, path: &str) -> Result<Url, Error> {
        self.api(&format!("{}/{path}", self.image.repository()))
    }

    pub(super) fn login(&self) -> Option<&'a Login> {
        let credentials = &self.registry.credentials;
        credentials.login(self.image.registry(), self.image.repository())
    }

    /// A request to an address that may be connected to.
    pub(super) fn request(
        &self,
        method: Method,
        url: &Url,
        rule: Destinations,
        what: &str,
    ) -> Result<RequestBuilder, Error> {
        rule.check(url)
            .map_err(|error| self.refused_error(what, &error.to_string()))?;
        let client = self
            .registry
            .client(rule)
            .map_err(|error| self.refused_error(what, &error))?;
        Ok(client.request(method, url.clone()))
    }

    pub(super) fn refused_error(&self, what: &str, reason: &str) -> Error {
        Error::Refused {
            registry: self.image.registry().to_owned(),
            what: what.to_owned(),
            reason: reason.to_owned(),
        }
    }

    pub(super) fn unavailable_error(&self, reason: String) -> Error {
        Error::Unavailable {
            registry: self.image.registry().to_owned(),
            reason,
            retry_after: None,
        }
    }

    /// The error for an answer that does not arrive in time.
    pub(super) fn timeout_error(&self, what: &str) -> Error {
        let seconds = self.registry.config.timeout.as_secs();
        self.unavailable_error(format!(
            "{what}: no answer, or nothing more of one, within {seconds} s"
        ))
    }

    /// The error for a request that failed in transit.
    pub(super) fn connection_error(&self, what: &str, error: &reqwest::Error) -> Error {
        if let Some(refused) = RefusedAddress::find(error) {
            return self.refused_error(what, &refused.to_string());
        }
        // The last cause alone: the others have the address, which may hold a secret.
        let cause = causes(error).last().map(ToString::to_string).unwrap_or_default();
        let cause = foreign_text::printable(&cause, LONGEST);
        self.unavailable_error(format!(
            "cannot be reached for {}: {cause}",
            self.image.repository()
        ))
    }
}
