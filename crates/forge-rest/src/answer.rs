//! An answer as it came, and what it means.

use reqwest::header::{HeaderMap, LINK};
use reqwest::{StatusCode, Url};
use serde::de::DeserializeOwned;

use super::Error;
use guarded_egress::Destinations;

/// An answer, unless the server fails or limits requests.
#[derive(Debug)]
pub struct ApiAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, of at most 8 MiB.
    pub body: Vec<u8>,
    /// What the server says went wrong, in one line without secrets; empty where nothing did.
    pub message: String,
    /// Where it redirects; or why that is not followed.
    pub redirect: Option<Result<RedirectTarget, Error>>,
}

/// Where a redirect leads.
#[derive(Clone, Debug)]
pub struct RedirectTarget {
    /// The address, which may be a secret.
    pub url: Url,
    /// Where it may connect to.
    pub(super) destinations: Destinations,
}

impl ApiAnswer {
    /// Reads the body as JSON, for messages that name the server and what was asked for.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] where it is not what this API gives.
    pub fn read_json<T: DeserializeOwned>(&self, host: &str, what: &str) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| unreadable_answer(&error, host, what))
    }

    /// Whether a list continues, by RFC 8288's `Link`.
    #[must_use]
    pub fn has_next_page(&self) -> bool {
        let links = self.headers.get_all(LINK).iter();
        links
            .filter_map(|link| link.to_str().ok())
            .any(|link| link.contains("rel=\"next\""))
    }

    /// Describes why an answer is not a success, and what to do about it.
    #[must_use]
    pub fn refusal(&self, host: &str, what: &str, advice: &str) -> Error {
        let (host, what) = (host.to_owned(), what.to_owned());
        let reason = match (self.message.as_str(), advice) {
            ("", "") => format!("status {}", self.status.as_u16()),
            ("", advice) => advice.to_owned(),
            (message, "") => format!("{message} (status {})", self.status.as_u16()),
            (message, advice) => format!("{message}: {advice}"),
        };
        match self.status {
            StatusCode::UNAUTHORIZED => Error::Authentication { host, what, reason },
            StatusCode::FORBIDDEN => Error::Forbidden { host, what, reason },
            StatusCode::NOT_FOUND => Error::NotFound {
                host,
                what,
                reason: advice.to_owned(),
            },
            status if status.is_redirection() => Error::Refused {
                host,
                what,
                reason: format!(
                    "it redirects (status {}): the repository was renamed or moved (write its present name), or the address is not the API's",
                    status.as_u16()
                ),
            },
            _ => Error::Refused { host, what, reason },
        }
    }
}

/// Why an answer cannot be read.
#[must_use]
pub fn unreadable_answer(error: &serde_json::Error, host: &str, what: &str) -> Error {
    Error::Refused {
        host: host.to_owned(),
        what: what.to_owned(),
        reason: format!(
            "its answer is not one that this API gives (line {}): check the address, which has to be the API's, not the site's",
            error.line()
        ),
    }
}
