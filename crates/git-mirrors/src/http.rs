//! Git over HTTP: requests with the upstream's credentials, certificates and proxy.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use guarded_egress::{
    CrossOriginPolicy, Destinations, RefusedAddress, check_redirect, describe_with_causes, find_cause,
};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, USER_AGENT};
use reqwest::{Client, ClientBuilder, Method, Request, Response, StatusCode, Url};
use secrecy::ExposeSecret;

use super::session::{Access, Session, lacks_object};
use super::{Credentials, Error, Scheme, Upstream};

/// Fewer than git and browsers follow (20: `http.c` leaves it to curl).
const MAX_REDIRECTS: usize = 5;
/// How much is read of what a server says about a status other than success, in bytes.
const MAX_COMPLAINT: usize = 4096;

/// Sends requests to one upstream.
#[derive(Clone)]
pub(super) struct HttpClient {
    pub(super) session: Arc<Session>,
    /// Where credentials belong: scheme, host and port of the upstream.
    home: Url,
    client: Client,
    /// The repository's address after redirects.
    pub(super) base: Option<String>,
    /// Where a server that redirected may lead.
    beyond: Destinations,
}

impl HttpClient {
    pub(super) fn new(session: &Arc<Session>) -> Result<Self, Error> {
        let upstream = &session.upstream;
        let home =
            Url::parse(&upstream.url.to_string()).map_err(|error| session.protocol(&error.to_string()))?;
        Ok(Self {
            client: client(session, upstream, Whose::Home)?,
            session: Arc::clone(session),
            home,
            base: None,
            beyond: Destinations::NAMED,
        })
    }

    fn at_home(&self, url: &Url) -> bool {
        url.origin() == self.home.origin()
    }

    /// Sends one request; login and client certificate go to the upstream's own host only.
    pub(super) fn send(
        &self,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        body: Option<Vec<u8>>,
    ) -> Result<Response, Error> {
        let session = &self.session;
        let at_home = self.at_home(url);
        let destinations = if at_home { Destinations::NAMED } else { self.beyond };
        destinations
            .check(url)
            .map_err(|refused| session.refused(&refused.to_string()))?;
        let client = if at_home {
            if let Some(login) = login(&session.upstream.credentials) {
                headers.insert(AUTHORIZATION, login);
            }
            self.client.clone()
        } else {
            client(session, &session.upstream, Whose::CrossOriginPolicy(self.beyond))?
        };
        let agent = HeaderValue::from_str(&session.agent.in_header());
        headers.extend(agent.ok().map(|agent| (USER_AGENT, agent)));
        let mut request = Request::new(method, url.clone());
        *request.headers_mut() = headers;
        *request.body_mut() = body.map(reqwest::Body::from);
        // If the connection ends before the request is sent, it is tried once more: the connection
        // may have been a stale one.
        if let Some(again) = request.try_clone() {
            match self.execute(&client, again)? {
                Err(error) if never_sent(&error) => {}
                outcome => return outcome.map_err(|error| self.failed(error)),
            }
        }
        self.execute(&client, request)?
            .map_err(|error| self.failed(error))
    }

    fn execute(&self, client: &Client, request: Request) -> Result<Result<Response, reqwest::Error>, Error> {
        let step = "waiting for an answer";
        self.session
            .wait(step, self.session.timeouts.idle, client.execute(request))
    }

    /// Follows redirects of a GET whose address ends in `tail`, as git does: the answer's address
    /// must end in it too, and what comes before becomes the repository's address for the requests
    /// that follow.
    pub(super) fn get_following(
        &mut self,
        url: &str,
        tail: &str,
        headers: &HeaderMap,
    ) -> Result<Response, Error> {
        let mut url = Url::parse(url).map_err(|error| self.session.protocol(&error.to_string()))?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(Method::GET, &url, headers.clone(), None)?;
            let target = match response.status() {
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => response.headers().get(LOCATION),
                _ => {
                    self.base = url.as_str().strip_suffix(tail).map(ToOwned::to_owned);
                    return self.accept(response);
                }
            };
            let target = target.and_then(|value| value.to_str().ok());
            let Some(target) = target else {
                return Err(self
                    .session
                    .protocol("the server redirects without a usable address"));
            };
            url = self.check_redirect(&url, target, tail)?;
            if url.host() != self.home.host() {
                self.session.note_led_away();
            }
            // A chain that has reached a farther server is not led back to a nearer one.
            self.beyond = self.beyond.and(Destinations::beyond(response.remote_addr()));
        }
        Err(self
            .session
            .protocol(&format!("more than {MAX_REDIRECTS} redirects")))
    }

    fn check_redirect(&self, from: &Url, location: &str, tail: &str) -> Result<Url, Error> {
        let elsewhere = if self.session.transports.allow(Scheme::Http) {
            CrossOriginPolicy::NotLessEncrypted
        } else {
            CrossOriginPolicy::OverHttps
        };
        let to = check_redirect(from, location, elsewhere)
            .map_err(|refused| self.session.refused(&refused.to_string()))?;
        if to.as_str().ends_with(tail) {
            return Ok(to);
        }
        Err(self.session.refused(&format!(
            "the server redirects to {}://{}, to something that is not a Git repository: is the address right, and is a \
             login needed?",
            to.scheme(),
            to.host_str().unwrap_or_default()
        )))
    }

    /// Turns statuses other than success into errors, with what the server says about them.
    pub(super) fn accept(&self, mut response: Response) -> Result<Response, Error> {
        let session = &self.session;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let words = self.complaint(&mut response);
        // Some versions of JGit say this with status 400 or 500.
        if lacks_object(&words) {
            return Err(session.declined_saying(&words));
        }
        let with_login = !matches!(session.upstream.credentials, Credentials::None);
        let untrusted = |sentence| Err(session.authentication(&session.with_words(sentence, &words)));
        match status {
            StatusCode::UNAUTHORIZED if with_login => {
                untrusted("the server does not accept the login (401): check the Secret that secretRef names")
            }
            StatusCode::UNAUTHORIZED => untrusted(
                "the server wants a login (401), or has no such repository: name a Secret in secretRef",
            ),
            StatusCode::FORBIDDEN => untrusted(match session.access {
                Access::Read => "the server forbids access (403): check what the login may read",
                Access::Write => {
                    "the server forbids the push (403): give the login write access to the repository"
                }
            }),
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => untrusted(
                "the proxy does not accept the login (407): check the Secret that proxySecretRef names",
            ),
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                let code = status.as_u16();
                let sentence = format!("no such repository ({code}), or the login may not see it");
                Err(session.declined(&session.with_words(&sentence, &words)))
            }
            status => {
                let sentence = session.with_words(&format!("the server answers {status}"), &words);
                let may_pass = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                Err(if may_pass {
                    session.unreachable(&sentence)
                } else {
                    session.protocol(&sentence)
                })
            }
        }
    }

    /// What a server says about a status other than success: the start of a plain text, as git
    /// shows it (`show_http_message` in remote-curl.c), or the `ERR` line of a protocol answer.
    fn complaint(&self, response: &mut Response) -> String {
        let kind = response.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_plain = kind.starts_with("text/plain");
        if !is_plain && !kind.starts_with("application/x-git-") {
            return String::new();
        }
        let mut start = Vec::new();
        while start.len() < MAX_COMPLAINT {
            let arrived = |piece: &Result<Option<Bytes>, reqwest::Error>| match piece {
                Ok(Some(piece)) => piece.len(),
                _ => 0,
            };
            let piece = self
                .session
                .transfer("reading the answer", response.chunk(), arrived);
            // What has arrived says more than why the rest has not.
            let Ok(Ok(Some(piece))) = piece else { break };
            if self.session.count_received(piece.len()).is_err() {
                break;
            }
            start.extend_from_slice(&piece);
        }
        start.truncate(MAX_COMPLAINT);
        let text = String::from_utf8_lossy(&start).into_owned();
        if is_plain {
            return text;
        }
        let line = text.split_once("ERR ").and_then(|(_, line)| line.lines().next());
        line.unwrap_or_default().to_owned()
    }

    /// Turns a failed request into an error: certificates are a matter of trust, the rest of
    /// reachability.
    pub(super) fn failed(&self, error: reqwest::Error) -> Error {
        let session = &self.session;
        if error.is_timeout() {
            return Error::Timeout {
                url: session.url(),
                step: "connecting",
            };
        }
        let error = error.without_url();
        if let Some(refused) = RefusedAddress::find(&error) {
            return session.refused(&refused.to_string());
        }
        let text = describe_with_causes(&error);
        match find_cause::<rustls::Error>(&error) {
            Some(rustls::Error::InvalidCertificate(_)) => session.authentication(&format!(
                "the server's certificate is not trusted ({text}): put its authority's certificate into ca.crt of \
                 the Secret",
            )),
            Some(rustls::Error::AlertReceived(alert)) => session.authentication(&format!(
                "the server ends the TLS handshake with {alert:?}: check tls.crt and tls.key of the Secret",
            )),
            _ if text.contains("proxy authorization required") => session.authentication(
                "the proxy does not accept the login (407): check the Secret that proxySecretRef names",
            ),
            // With TLS 1.3 a server judges the client's certificate after the handshake, and what
            // it says then may be lost with the connection.
            _ if never_sent(&error) && session.upstream.url.scheme() == Scheme::Https => session.authentication(
                "the server ends each connection after the TLS handshake: it may want another client certificate, \
                 tls.crt and tls.key of the Secret",
            ),
            _ => session.unreachable(&text),
        }
    }
}

/// Whether the connection was gone before the request left, as hyper words it.
fn never_sent(error: &reqwest::Error) -> bool {
    describe_with_causes(error).contains("operation was canceled")
}

fn login(credentials: &Credentials) -> Option<HeaderValue> {
    use base64::Engine;
    let text = match credentials {
        Credentials::None | Credentials::Ssh(_) => return None,
        Credentials::Basic { username, password } => {
            let pair = format!("{username}:{}", password.expose_secret());
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        }
        Credentials::App(app) => {
            let pair = format!("x-access-token:{}", app.token().expose_secret());
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        }
        Credentials::Bearer(token) => format!("Bearer {}", token.expose_secret()),
    };
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Whose server a client is for.
#[derive(Clone, Copy)]
enum Whose {
    /// The upstream's own.
    Home,
    /// One that the upstream's server leads to.
    CrossOriginPolicy(Destinations),
}

fn client(session: &Session, upstream: &Upstream, whose: Whose) -> Result<Client, Error> {
    guarded_egress::tls::ensure_provider();
    let certificates = match &upstream.tls.ca {
        Some(pem) => reqwest::Certificate::from_pem_bundle(pem)
            .map_err(|error| Error::Secret(describe_with_causes(&error)))?,
        None => Vec::new(),
    };
    let builder = settings(session, upstream, whose)?.tls_certs_merge(certificates.clone());
    builder
        .build()
        // A system without authorities, such as a small image, fails here. What needs none has to
        // work there.
        .or_else(|_| {
            settings(session, upstream, whose)?
                .tls_certs_only(certificates)
                .build()
                .map_err(|error| {
                    session.unreachable(&format!("no HTTP client: {}", describe_with_causes(&error)))
                })
        })
}

/// Everything but the authorities.
fn settings(session: &Session, upstream: &Upstream, whose: Whose) -> Result<ClientBuilder, Error> {
    let (destinations, identity) = match whose {
        Whose::Home => (Destinations::NAMED, upstream.tls.identity.as_ref()),
        Whose::CrossOriginPolicy(destinations) => (destinations, None),
    };
    let mut builder = destinations
        .guard(Client::builder())
        .connect_timeout(session.timeouts.connect)
        .referer(false)
        .retry(reqwest::retry::never())
        .tcp_nodelay(true);
    if let Some(pem) = identity {
        let identity = reqwest::Identity::from_pem(pem.expose_secret())
            .map_err(|_| Error::Secret("tls.crt and tls.key cannot be read".to_owned()))?;
        builder = builder.identity(identity);
    }
    if let Some(proxy) = &upstream.proxy {
        // A Secret names the proxy, whichever server is reached through it.
        Destinations::NAMED
            .check(&proxy.address)
            .map_err(|refused| session.refused(&format!("the proxy: {refused}")))?;
        let mut setting = reqwest::Proxy::all(proxy.address.clone()).map_err(|error| {
            Error::Secret(format!(
                "the proxy's address cannot be used: {}",
                describe_with_causes(&error)
            ))
        })?;
        if let Some((username, password)) = &proxy.login {
            setting = setting.basic_auth(username, password.expose_secret());
        }
        builder = builder.proxy(setting);
    }
    Ok(builder)
}

/// An answer's body, read piece by piece.
pub(super) struct Body {
    session: Arc<Session>,
    client: HttpClient,
    response: Option<Response>,
    pub(super) piece: Bytes,
}

impl Body {
    pub(super) fn new(client: &HttpClient, response: Response) -> Self {
        Self {
            session: Arc::clone(&client.session),
            client: client.clone(),
            response: Some(response),
            piece: Bytes::new(),
        }
    }

    /// The next piece; `None` at the end.
    fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(response) = &mut self.response else {
            return Ok(None);
        };
        let session = &self.session;
        let arrived = |piece: &Result<Option<Bytes>, reqwest::Error>| match piece {
            Ok(Some(piece)) => piece.len(),
            _ => 0,
        };
        let piece = session
            .transfer("reading the answer", response.chunk(), arrived)?
            .map_err(|error| self.client.failed(error))?;
        match &piece {
            Some(piece) => session.count_received(piece.len())?,
            None => self.response = None,
        }
        Ok(piece)
    }
}

impl BufRead for Body {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece.is_empty() {
            match self.next() {
                Ok(Some(piece)) => self.piece = piece,
                Ok(None) => break,
                Err(error) => return Err(self.session.keep_failure(error)),
            }
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, amount: usize) {
        self.piece.advance(amount.min(self.piece.len()));
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
