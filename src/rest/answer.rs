//! An answer as it came.

use reqwest::header::HeaderMap;
use reqwest::{StatusCode, Url};

use super::Error;
use crate::egress::Destinations;

/// An answer other than that the server fails or wants no requests.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// What the server says went wrong, in one line without secrets; empty where nothing did.
    pub(crate) message: String,
    /// Where it leads, where it redirects; or why that is not followed.
    pub(crate) elsewhere: Option<Result<Lead, Error>>,
}

/// Where a server leads with a redirect.
#[derive(Clone, Debug)]
pub(crate) struct Lead {
    /// The address, which may be a secret.
    pub(crate) url: Url,
    /// What may be connected to for it.
    pub(super) destinations: Destinations,
}
