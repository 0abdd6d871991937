//! Requests: bounded in time and size, never to an unintended host, and none while the server
//! limits them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use reqwest::header::{HeaderValue, LOCATION, RANGE};
use reqwest::{Certificate, Client, ClientBuilder, Method, Request, Response, StatusCode, Url};
use secrecy::SecretString;

use super::answer::{ApiAnswer, RedirectTarget};
use super::base_url::host_and_port;
use super::error_body::error_message;
use super::rate_limit::rate_limited_until;
use super::request::{ApiRequest, Idempotence, RequestPurpose};
use super::{Error, ForgeKind, RequestConfig};
use guarded_egress::{CrossOriginPolicy, Destinations, RefusedAddress, check_redirect, describe_with_causes};

/// The largest answer that is read, in bytes: a page of runs or pull requests has some 20 KB for
/// each.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// Sends requests: each bounded in time and size, none to an unintended host, and none while a host
/// limits them.
#[derive(Debug)]
pub struct HttpSender {
    client: Client,
    /// The settings of clients for servers that others redirect to.
    config: RequestConfig,
    certificates: Vec<Certificate>,
    /// Until when a host limits requests.
    limited_hosts: Mutex<HashMap<String, Timestamp>>,
}

impl HttpSender {
    /// Makes a sender that trusts these authorities, in PEM, besides the system's.
    ///
    /// # Errors
    ///
    /// [`Error::Secret`] or [`Error::Unavailable`] where TLS cannot be set up.
    pub fn new(config: &RequestConfig, authorities: Option<&[u8]>) -> Result<Self, Error> {
        guarded_egress::tls::ensure_provider();
        let certificates = match authorities {
            Some(pem) => Certificate::from_pem_bundle(pem)
                .map_err(|_| Error::Secret("ca.crt holds no PEM certificate".to_owned()))?,
            None => Vec::new(),
        };
        Ok(Self {
            client: client(config, &certificates, Destinations::NAMED)?,
            config: config.clone(),
            certificates,
            limited_hosts: Mutex::default(),
        })
    }

    /// Sends a request to the API of a server of some kind, with a token.
    pub(super) async fn send_with_token(
        &self,
        kind: ForgeKind,
        request: &ApiRequest<'_>,
        token: &SecretString,
    ) -> Result<ApiAnswer, Error> {
        self.check_address(&request.url, Destinations::NAMED)?;
        let purpose = RequestPurpose {
            what: request.what,
            secret: token,
            idempotence: request.idempotence,
        };
        self.send(request.with_login(kind, token)?, &purpose).await
    }

    /// Sends a request that has its login already.
    ///
    /// # Errors
    ///
    /// [`Error::Address`] if nothing is sent to the server, [`Error::Limited`] while it limits
    /// requests, [`Error::Unavailable`] or [`Error::Ambiguous`] if it is unreachable or fails,
    /// [`Error::TooLarge`] for its answer.
    pub async fn send(&self, request: Request, purpose: &RequestPurpose<'_>) -> Result<ApiAnswer, Error> {
        let url = request.url().clone();
        self.check_address(&url, Destinations::NAMED)?;
        let host = host_and_port(&url);
        self.check_limit(&host)?;
        let mut response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(error) if RefusedAddress::find(&error).is_some() => {
                return Err(refused_address(&host, &error));
            }
            // Without a connection nothing was sent.
            Err(error) if error.is_connect() => {
                return Err(Error::Unavailable {
                    host,
                    what: purpose.what.to_owned(),
                    reason: describe_failure(error),
                });
            }
            Err(error) => return Err(purpose.failure(host, describe_failure(error))),
        };
        let status = response.status();
        let redirect = self.redirect_target(&url, &response, Destinations::NAMED);
        let headers = std::mem::take(response.headers_mut());
        let body = match read_body(&mut response).await {
            Ok(Some(body)) => body,
            // The status already says whether it was done.
            _ if purpose.idempotence == Idempotence::NotIdempotent => Vec::new(),
            Ok(None) => {
                return Err(Error::TooLarge {
                    what: format!("{host}'s answer for {}", purpose.what),
                    limit: format!("{MAX_ANSWER_BYTES} bytes"),
                });
            }
            Err(error) => return Err(purpose.failure(host, describe_failure(error))),
        };
        let message = if status.is_success() {
            String::new()
        } else {
            error_message(&body, purpose.secret)
        };
        if let Some(until) = rate_limited_until(status, &headers, &message, Timestamp::now()) {
            self.limited_hosts().insert(host.clone(), until);
            return Err(Error::Limited { host, until });
        }
        if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
            let reason = format!("status {} {message}", status.as_u16());
            return Err(purpose.failure(host, reason));
        }
        Ok(ApiAnswer {
            status,
            headers,
            body,
            message,
            redirect,
        })
    }

    /// Returns where an answer redirects: over https, or to a host that may be used without TLS,
    /// and to no network closer than the server's. `None` if it does not redirect, or gives no
    /// address.
    fn redirect_target(
        &self,
        from: &Url,
        response: &Response,
        known: Destinations,
    ) -> Option<Result<RedirectTarget, Error>> {
        let location = response.headers().get(LOCATION)?.to_str().ok()?;
        if !response.status().is_redirection() {
            return None;
        }
        let to = from.join(location).ok()?;
        let elsewhere = if to.scheme() == "http" && self.config.plain_http.allows(&host_and_port(&to)) {
            CrossOriginPolicy::NotLessEncrypted
        } else {
            CrossOriginPolicy::OverHttps
        };
        let url = check_redirect(from, location, elsewhere).map_err(|refused| Error::Address {
            address: format!("{}://{}", to.scheme(), host_and_port(&to)),
            reason: refused.to_string(),
        });
        Some(url.map(|url| RedirectTarget {
            url,
            destinations: known.and(Destinations::beyond(response.remote_addr())),
        }))
    }

    /// Fetches what a server redirected to, from `first_byte` on if given. Returns that, a further
    /// redirect, or the status of a refusal.
    ///
    /// Such an address is itself a secret: it is in no message, and no login is sent.
    ///
    /// # Errors
    ///
    /// [`Error::Address`] where nothing is sent there, [`Error::Unavailable`] where it is not
    /// reached or fails.
    pub async fn fetch(
        &self,
        target: &RedirectTarget,
        what: &str,
        first_byte: Option<u64>,
    ) -> Result<Fetched, Error> {
        let url = &target.url;
        self.check_address(url, target.destinations)?;
        let unavailable = |reason| Error::Unavailable {
            host: host_and_port(url),
            what: what.to_owned(),
            reason,
        };
        let mut request = Request::new(Method::GET, url.clone());
        let range = first_byte.map(|first| HeaderValue::from_str(&format!("bytes={first}-")));
        if let Some(Ok(range)) = range {
            request.headers_mut().insert(RANGE, range);
        }
        // Connections made under another rule are not reused.
        let client = client(&self.config, &self.certificates, target.destinations)?;
        let response = client
            .execute(request)
            .await
            .map_err(|error| match RefusedAddress::find(&error) {
                Some(_) => refused_address(&host_and_port(url), &error),
                None => unavailable(describe_failure(error)),
            })?;
        match response.status() {
            status if status.is_success() => Ok(Fetched::Found(response)),
            status if status.is_redirection() => {
                match self.redirect_target(url, &response, target.destinations) {
                    Some(further) => further.map(Fetched::Redirected),
                    None => Ok(Fetched::Refused(status)),
                }
            }
            status if status.is_server_error() => Err(unavailable(format!("status {}", status.as_u16()))),
            status => Ok(Fetched::Refused(status)),
        }
    }

    fn limited_hosts(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        self.limited_hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_limit(&self, host: &str) -> Result<(), Error> {
        match self.limited_hosts().get(host) {
            Some(until) if *until > Timestamp::now() => Err(Error::Limited {
                host: host.to_owned(),
                until: *until,
            }),
            _ => Ok(()),
        }
    }

    /// Whether requests may be sent to an address.
    fn check_address(&self, url: &Url, destinations: Destinations) -> Result<(), Error> {
        let refused = |reason: &str| {
            Err(Error::Address {
                address: format!("{}://{}", url.scheme(), host_and_port(url)),
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
            "http" if self.config.plain_http.allows(&host_and_port(url)) => Ok(()),
            _ => refused("it is not encrypted, and not among the hosts that may be contacted without TLS"),
        }
    }
}

/// What was fetched from where a redirect leads.
#[derive(Debug)]
pub enum Fetched {
    /// What is there.
    Found(Response),
    /// Another redirect.
    Redirected(RedirectTarget),
    /// The status of a refusal.
    Refused(StatusCode),
}

/// The error for a name whose address is not connected to.
fn refused_address(host: &str, error: &reqwest::Error) -> Error {
    let refused = RefusedAddress::find(error);
    Error::Address {
        address: host.to_owned(),
        reason: refused.map(ToString::to_string).unwrap_or_default(),
    }
}

fn client(
    config: &RequestConfig,
    certificates: &[Certificate],
    destinations: Destinations,
) -> Result<Client, Error> {
    client_settings(config, destinations)
        .tls_certs_merge(certificates.iter().cloned())
        .build()
        // A system without authorities, such as a small image, fails here. What needs none should
        // work there.
        .or_else(|_| {
            client_settings(config, destinations)
                .tls_certs_only(certificates.iter().cloned())
                .build()
        })
        .map_err(|error| Error::Unavailable {
            host: "this machine".to_owned(),
            what: "an HTTP client".to_owned(),
            reason: describe_failure(error),
        })
}

fn client_settings(config: &RequestConfig, destinations: Destinations) -> ClientBuilder {
    destinations
        .guard(Client::builder())
        .user_agent(config.user_agent)
        .connect_timeout(config.connect_timeout)
        .timeout(config.timeout)
        .retry(reqwest::retry::never())
        .referer(false)
}

/// An answer's body; `None` where it is too large.
async fn read_body(response: &mut Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > MAX_ANSWER_BYTES {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

impl RequestPurpose<'_> {
    /// What a failure means after the request was sent.
    fn failure(&self, host: String, reason: String) -> Error {
        let what = self.what.to_owned();
        match self.idempotence {
            Idempotence::Idempotent => Error::Unavailable { host, what, reason },
            Idempotence::NotIdempotent => Error::Ambiguous { host, what, reason },
        }
    }
}

/// Describes why a request failed, with all causes, and without its address, which may be a secret.
#[must_use]
pub fn describe_failure(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    describe_with_causes(&error.without_url())
}
