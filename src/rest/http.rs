//! Requests: bounded in time and size, never to a host that is not meant, and none while the server wants none.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION, RANGE, USER_AGENT,
};
use reqwest::{Client, ClientBuilder, Method, Request, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};

use super::answer::{Answer, Lead};
use super::answers::{limited_until, message};
use super::base::host;
use super::{Config, Error, Kind};
use crate::egress::{Destinations, Elsewhere, RefusedAddress, check_redirect};

/// The largest answer that is read, in bytes: a page of runs or pull requests has some 20 KB for each.
const LARGEST: usize = 8 << 20;
/// Where GitLab takes personal, project and group access tokens.
const PRIVATE_TOKEN: HeaderName = HeaderName::from_static("private-token");
const AGENT: &str = concat!("patchset/", env!("CARGO_PKG_VERSION"));
/// The version that github.com and all supported Enterprise Servers know of GitHub's API. Later ones do not take `return_run_details`.
const VERSION: HeaderValue = HeaderValue::from_static("2022-11-28");

/// Sends requests.
pub(crate) struct Http {
    client: Client,
    /// What clients are made of for the servers that others lead to.
    config: Config,
    certificates: Vec<reqwest::Certificate>,
    /// Until when a host wants no requests.
    limited: Mutex<HashMap<String, Timestamp>>,
}

/// One request.
pub(crate) struct Ask<'a> {
    method: Method,
    url: Url,
    /// What it is about, for messages.
    what: &'a str,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) etag: Option<HeaderValue>,
    /// Whether it must not be done twice.
    pub(crate) once: bool,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(method: Method, url: Url, what: &'a str) -> Self {
        Self {
            method,
            url,
            what,
            body: None,
            etag: None,
            once: false,
        }
    }
}

/// What a request is for.
pub(crate) struct Purpose<'a> {
    /// What it is about, for messages.
    pub(crate) what: &'a str,
    /// What is sent that no message may hold.
    pub(crate) secret: &'a SecretString,
    /// Whether it must not be done twice.
    pub(crate) once: bool,
}

impl Http {
    pub(crate) fn new(config: &Config, authorities: Option<&[u8]>) -> Result<Self, Error> {
        crate::tls::ensure_provider();
        let certificates = match authorities {
            Some(pem) => reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|_| Error::Secret("ca.crt holds no PEM certificate".to_owned()))?,
            None => Vec::new(),
        };
        Ok(Self {
            client: client(config, &certificates, Destinations::NAMED)?,
            config: config.clone(),
            certificates,
            limited: Mutex::default(),
        })
    }

    /// Asks a server.
    pub(crate) async fn ask(&self, kind: Kind, ask: &Ask<'_>, token: &SecretString) -> Result<Answer, Error> {
        self.allow(&ask.url, Destinations::NAMED)?;
        let purpose = Purpose {
            what: ask.what,
            secret: token,
            once: ask.once,
        };
        self.send(request(kind, ask, token)?, &purpose).await
    }

    /// Sends a request that has its login already.
    pub(crate) async fn send(&self, mut request: Request, purpose: &Purpose<'_>) -> Result<Answer, Error> {
        let url = request.url().clone();
        self.allow(&url, Destinations::NAMED)?;
        request
            .headers_mut()
            .insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let Purpose { what, secret, once } = *purpose;
        let host = host(&url);
        let until = self.limited().get(&host).copied();
        if let Some(until) = until.filter(|until| *until > Timestamp::now()) {
            return Err(Error::Limited { host, until });
        }
        let failed = |reason: String| {
            let what = what.to_owned();
            let host = host.clone();
            if once {
                Error::Ambiguous { host, what, reason }
            } else {
                Error::Unavailable { host, what, reason }
            }
        };
        let mut response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(error) if RefusedAddress::find(&error).is_some() => return Err(refused(&host, &error)),
            // Without a connection nothing was sent.
            Err(error) if error.is_connect() => {
                return Err(Error::Unavailable {
                    host,
                    what: what.to_owned(),
                    reason: causes(error),
                });
            }
            Err(error) => return Err(failed(causes(error))),
        };
        let status = response.status();
        let elsewhere = self.lead(&url, &response, Destinations::NAMED);
        let headers = std::mem::take(response.headers_mut());
        let body = match body(&mut response).await {
            Ok(Some(body)) => body,
            // The status has told already whether it was done.
            _ if once => Vec::new(),
            Ok(None) => {
                return Err(Error::TooLarge {
                    what: format!("{host}'s answer for {what}"),
                    limit: format!("{LARGEST} bytes"),
                });
            }
            Err(error) => return Err(failed(causes(error))),
        };
        let message = if status.is_success() {
            String::new()
        } else {
            message(&body, secret)
        };
        if let Some(until) = limited_until(status, &headers, &message, Timestamp::now()) {
            self.limited().insert(host.clone(), until);
            return Err(Error::Limited { host, until });
        }
        if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
            return Err(failed(format!("status {} {message}", status.as_u16())));
        }
        Ok(Answer {
            status,
            headers,
            body,
            message,
            elsewhere,
        })
    }

    /// Reads where an answer leads: over https, or to a host that may be spoken to without TLS, and to no network that is closer
    /// than the server's. `None` where it does not redirect, or gives no address.
    fn lead(&self, from: &Url, response: &Response, known: Destinations) -> Option<Result<Lead, Error>> {
        let location = response.headers().get(LOCATION)?.to_str().ok()?;
        if !response.status().is_redirection() {
            return None;
        }
        let to = from.join(location).ok()?;
        let elsewhere = if to.scheme() == "http" && self.config.plain_http.allows(&host(&to)) {
            Elsewhere::NotLessEncrypted
        } else {
            Elsewhere::OverHttps
        };
        let url = check_redirect(from, location, elsewhere).map_err(|refused| Error::Address {
            address: format!("{}://{}", to.scheme(), host(&to)),
            reason: refused.to_string(),
        });
        Some(url.map(|url| Lead {
            url,
            destinations: known.and(Destinations::beyond(response.remote_addr())),
        }))
    }

    /// Gets what a server redirected to, from some byte on where one is given; or where that leads, or the status of a
    /// refusal. Such an address is itself a secret: it is in no message, and no login is sent.
    pub(crate) async fn fetch(&self, lead: &Lead, what: &str, from: Option<u64>) -> Result<Fetched, Error> {
        let url = &lead.url;
        self.allow(url, lead.destinations)?;
        let unavailable = |reason| Error::Unavailable {
            host: host(url),
            what: what.to_owned(),
            reason,
        };
        let mut request = Request::new(Method::GET, url.clone());
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(Ok(range)) = from.map(|from| HeaderValue::from_str(&format!("bytes={from}-"))) {
            headers.insert(RANGE, range);
        }
        // No connection of another rule is used again.
        let client = client(&self.config, &self.certificates, lead.destinations)?;
        let response = client
            .execute(request)
            .await
            .map_err(|error| match RefusedAddress::find(&error) {
                Some(_) => refused(&host(url), &error),
                None => unavailable(causes(error)),
            })?;
        match response.status() {
            status if status.is_success() => Ok(Fetched::There(response)),
            status if status.is_redirection() => match self.lead(url, &response, lead.destinations) {
                Some(further) => further.map(Fetched::Elsewhere),
                None => Ok(Fetched::Refused(status)),
            },
            status if status.is_server_error() => Err(unavailable(format!("status {}", status.as_u16()))),
            status => Ok(Fetched::Refused(status)),
        }
    }

    fn limited(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        self.limited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an address may be spoken to.
    fn allow(&self, url: &Url, destinations: Destinations) -> Result<(), Error> {
        let refused = |reason: &str| {
            Err(Error::Address {
                address: format!("{}://{}", url.scheme(), host(url)),
                reason: reason.to_owned(),
            })
        };
        if let Err(closer) = destinations.check(url) {
            return refused(&closer.to_string());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refused("its address holds a login");
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.config.plain_http.allows(&host(url)) => Ok(()),
            _ => refused("it is not encrypted, and not among the hosts that may be spoken to without TLS"),
        }
    }
}

/// What was fetched from where a server leads.
pub(crate) enum Fetched {
    /// What is there.
    There(Response),
    /// Another redirect.
    Elsewhere(Lead),
    /// A status that says no.
    Refused(StatusCode),
}

/// An address that a name stands for and that is not connected to.
fn refused(host: &str, error: &reqwest::Error) -> Error {
    let refused = RefusedAddress::find(error);
    Error::Address {
        address: host.to_owned(),
        reason: refused.map(ToString::to_string).unwrap_or_default(),
    }
}

fn client(
    config: &Config,
    certificates: &[reqwest::Certificate],
    destinations: Destinations,
) -> Result<Client, Error> {
    settings(config, destinations)
        .tls_certs_merge(certificates.iter().cloned())
        .build()
        // A system without authorities, as small images are, fails here. What needs none shall work there.
        .or_else(|_| {
            settings(config, destinations)
                .tls_certs_only(certificates.iter().cloned())
                .build()
        })
        .map_err(|error| Error::Unavailable {
            host: "this machine".to_owned(),
            what: "an HTTP client".to_owned(),
            reason: causes(error),
        })
}

fn settings(config: &Config, destinations: Destinations) -> ClientBuilder {
    destinations
        .guard(Client::builder())
        .connect_timeout(config.connect_timeout)
        .timeout(config.timeout)
        .retry(reqwest::retry::never())
        .referer(false)
}

fn request(kind: Kind, ask: &Ask<'_>, token: &SecretString) -> Result<Request, Error> {
    let mut request = Request::new(ask.method.clone(), ask.url.clone());
    let token = token.expose_secret();
    let (name, login, accept) = match kind {
        Kind::GitHub => (
            AUTHORIZATION,
            format!("Bearer {token}"),
            "application/vnd.github+json",
        ),
        Kind::GitLab => (PRIVATE_TOKEN, token.to_owned(), "application/json"),
        Kind::Gitea => (AUTHORIZATION, format!("token {token}"), "application/json"),
    };
    let mut login = HeaderValue::from_str(&login)
        .map_err(|_| Error::Secret("the token holds characters that no token has".to_owned()))?;
    login.set_sensitive(true);
    let headers = request.headers_mut();
    headers.insert(name, login);
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    if kind == Kind::GitHub {
        headers.insert("x-github-api-version", VERSION);
    }
    if let Some(etag) = &ask.etag {
        headers.insert(IF_NONE_MATCH, etag.clone());
    }
    if let Some(body) = &ask.body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(body.clone().into());
    }
    Ok(request)
}

/// An answer's body; `None` where it is too large.
async fn body(response: &mut Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > LARGEST {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

/// An error with its causes, without the address, which may be a secret.
pub(crate) fn causes(error: reqwest::Error) -> String {
    use std::error::Error as _;
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}
