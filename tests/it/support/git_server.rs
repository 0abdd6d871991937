//! Git servers on loopback ports: `git http-backend` behind HTTP or HTTPS, `sshd`, and
//! `git daemon`.
//!
//! Each stops when dropped.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use base64::Engine;
use tokio::sync::oneshot;

/// What an HTTP server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Answers with this status.
    Status(u16),
    /// Stops sending packs after this many bytes, and keeps the connection open.
    StallPack(usize),
    /// Closes the connection after this many bytes of a pack.
    CutPack(usize),
    /// Flips bits in one byte of a pack.
    FlipPack(usize),
    /// Declines this many packs with such an answer, in which `OID` stands for the wanted object.
    Decline {
        /// How many packs; the next is sent.
        times: usize,
        /// The answer's status.
        status: u16,
        /// The message, in one line of the protocol.
        words: &'static str,
    },
    /// Misreads requests for packs.
    Misread(Misreading),
    /// Accepts a push, ignores it, and sends this in place of the report.
    InPlaceOfReport(&'static str),
    /// Serves readers, and answers pushes with a status and a text.
    RefusePush {
        /// The answer's status.
        status: u16,
        /// The type of the text.
        kind: &'static str,
        /// The text.
        text: &'static str,
    },
}

/// How a server misreads a request for a pack (gitprotocol-v2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misreading {
    /// Filters nothing.
    Unfiltered,
    /// Leaves all trees out.
    WithoutTrees,
    /// Leaves out the last wanted object.
    OneLess,
    /// Sends only the wanted object to a client that says what it has.
    TipAlone,
}

impl Misreading {
    /// The request that git gets instead.
    fn rewrite(self, body: &[u8]) -> Vec<u8> {
        let mut lines: Vec<&[u8]> = Vec::new();
        let mut rest = body;
        while rest.len() >= 4 {
            let digits = std::str::from_utf8(&rest[..4]).expect("a length");
            let length = usize::from_str_radix(digits, 16).expect("a length").max(4);
            let (line, behind) = rest.split_at(length);
            lines.push(line);
            rest = behind;
        }
        let is = |line: &[u8], start: &[u8]| line.get(4..).is_some_and(|line| line.starts_with(start));
        match self {
            Self::Unfiltered => lines.retain(|line| !is(line, b"filter ")),
            Self::WithoutTrees => {
                for line in &mut lines {
                    if is(line, b"filter ") {
                        *line = b"0011filter tree:0";
                    }
                }
            }
            Self::OneLess => {
                let last = lines.iter().rposition(|line| is(line, b"want ")).expect("a want");
                lines.remove(last);
            }
            Self::TipAlone if lines.iter().any(|line| is(line, b"have ")) => {
                lines.retain(|line| !is(line, b"have ") && !is(line, b"done"));
                let flush = lines.iter().rposition(|line| *line == b"0000").expect("an end");
                lines.splice(flush..flush, [b"000cdeepen 1".as_slice(), b"0008done"]);
            }
            Self::TipAlone => {}
        }
        lines.concat()
    }
}

/// Counts of requests.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests of any kind.
    pub requests: AtomicUsize,
    /// Lists of refs.
    pub looks: AtomicUsize,
    /// Packs.
    pub packs: AtomicUsize,
    /// Bytes of all answers' bodies.
    pub sent: AtomicU64,
    /// Requests with an `Authorization`.
    pub with_login: AtomicUsize,
}

/// A server certificate, and the authority that clients must come from.
pub struct ServerTls {
    /// PEM certificate.
    pub certificate: String,
    /// PEM private key.
    pub key: String,
    /// PEM certificate of the clients' authority; none where clients need no certificate.
    pub client_authority: Option<String>,
}

/// Settings of an HTTP server that is not running yet.
pub struct HttpBuilder {
    root: PathBuf,
    login: Option<String>,
    tls: Option<ServerTls>,
    redirect: Option<String>,
    versions: bool,
    address: Ipv4Addr,
    pages: Vec<(String, String)>,
}

struct Shared {
    root: PathBuf,
    login: Option<String>,
    redirect: Option<String>,
    versions: bool,
    pages: Vec<(String, String)>,
    counts: Arc<Counts>,
    fault: Arc<Mutex<Fault>>,
}

/// A running server.
pub struct GitServer {
    address: SocketAddr,
    scheme: &'static str,
    counts: Arc<Counts>,
    fault: Arc<Mutex<Fault>>,
    running: Running,
}

enum Running {
    Thread {
        stop: Option<oneshot::Sender<()>>,
        thread: Option<std::thread::JoinHandle<()>>,
    },
    Process(Child),
}

impl GitServer {
    /// An HTTP server of the repositories below `root`.
    pub fn http(root: impl Into<PathBuf>) -> HttpBuilder {
        HttpBuilder {
            root: root.into(),
            login: None,
            tls: None,
            redirect: None,
            versions: true,
            address: Ipv4Addr::LOCALHOST,
            pages: Vec::new(),
        }
    }

    /// A `git daemon` for the repositories below `root`.
    pub fn daemon(root: &Path) -> Self {
        let (port, child) = start_on_free_port(|port| {
            Command::new("git")
                .args(["daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1"])
                .arg(format!("--port={port}"))
                .arg(format!("--base-path={}", root.display()))
                .stderr(Stdio::null())
                .spawn()
                .expect("git daemon starts")
        });
        Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            scheme: "git",
            counts: Arc::default(),
            fault: Arc::new(Mutex::new(Fault::None)),
            running: Running::Process(child),
        }
    }

    /// The address of a repository, `NAME` without `.git`.
    pub fn url(&self, name: &str) -> String {
        format!("{}://{}/{name}.git", self.scheme, self.host())
    }

    /// Host and port.
    pub fn host(&self) -> String {
        match self.scheme {
            // A certificate's name, and a separate origin for redirects.
            "https" if self.address.ip().is_loopback() => format!("localhost:{}", self.address.port()),
            _ => self.address.to_string(),
        }
    }

    /// The requests so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The number of lists of refs so far.
    pub fn looks(&self) -> usize {
        self.counts.looks.load(Ordering::SeqCst)
    }

    /// The number of packs so far.
    pub fn packs(&self) -> usize {
        self.counts.packs.load(Ordering::SeqCst)
    }

    /// Makes the server do something wrong.
    pub fn fail(&self, fault: Fault) {
        *self.fault.lock().expect("no panic") = fault;
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        match &mut self.running {
            Running::Thread { stop, thread } => {
                if let Some(stop) = stop.take() {
                    let _ = stop.send(());
                }
                if let Some(thread) = thread.take() {
                    let _ = thread.join();
                }
            }
            Running::Process(child) => end(child),
        }
    }
}

impl HttpBuilder {
    /// Requires a user and password.
    pub fn basic(mut self, user: &str, password: &str) -> Self {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        self.login = Some(format!("Basic {pair}"));
        self
    }

    /// Requires a token.
    pub fn bearer(mut self, token: &str) -> Self {
        self.login = Some(format!("Bearer {token}"));
        self
    }

    /// Speaks TLS.
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Redirects every request to the same path below another address.
    pub fn redirect(mut self, to: &str) -> Self {
        self.redirect = Some(to.to_owned());
        self
    }

    /// Listens at an address other than loopback.
    pub fn at(mut self, address: Ipv4Addr) -> Self {
        self.address = address;
        self
    }

    /// Answers with a text if a request's path and query begin like this: the API of a forge that
    /// has the repositories.
    pub fn page(mut self, begin: &str, text: &str) -> Self {
        self.pages.push((begin.to_owned(), text.to_owned()));
        self
    }

    /// Knows only version 0 of the protocol.
    pub fn version_0(mut self) -> Self {
        self.versions = false;
        self
    }

    /// Starts the server on a free port.
    pub fn start(self) -> GitServer {
        let listener = TcpListener::bind((self.address, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let counts = Arc::<Counts>::default();
        let fault = Arc::new(Mutex::new(Fault::None));
        let shared = Arc::new(Shared {
            root: self.root,
            login: self.login,
            redirect: self.redirect,
            versions: self.versions,
            pages: self.pages,
            counts: Arc::clone(&counts),
            fault: Arc::clone(&fault),
        });
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let (stop, stopped) = oneshot::channel();
        let tls = self.tls.map(acceptor);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.spawn(async move {
                let app = axum::Router::new().fallback(answer).with_state(shared);
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                match tls {
                    None => axum::serve(listener, app).await,
                    Some(acceptor) => axum::serve(TlsListener { listener, acceptor }, app).await,
                }
            });
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        });
        GitServer {
            address,
            scheme,
            counts,
            fault,
            running: Running::Thread {
                stop: Some(stop),
                thread: Some(thread),
            },
        }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let counts = &shared.counts;
    counts.requests.fetch_add(1, Ordering::SeqCst);
    if parts.headers.contains_key(header::AUTHORIZATION) {
        counts.with_login.fetch_add(1, Ordering::SeqCst);
    }
    let fault = *shared.fault.lock().expect("no panic");
    if let Some(refusal) = refusal(&shared, &parts, fault) {
        return refusal;
    }
    let asked = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let mut pages = shared.pages.iter();
    if let Some((_, text)) = pages.find(|(begin, _)| asked.starts_with(begin.as_str())) {
        return Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(text.clone()))
            .expect("a response");
    }
    let body = axum::body::to_bytes(body, 16 << 20).await.expect("a body");
    if let Fault::InPlaceOfReport(words) = fault
        && parts.uri.path().ends_with("/git-receive-pack")
    {
        return Response::builder()
            .header(header::CONTENT_TYPE, "application/x-git-receive-pack-result")
            .body(Body::from(format!("{:04x}{words}0000", words.len() + 4)))
            .expect("a response");
    }
    let mut body = body;
    let text = String::from_utf8_lossy(&body).into_owned();
    let pack = parts.uri.path().ends_with("/git-upload-pack") && text.contains("want ");
    let version_0 = !shared.versions || !parts.headers.contains_key("git-protocol");
    if text.contains("command=ls-refs") || (version_0 && parts.method == Method::GET) {
        counts.looks.fetch_add(1, Ordering::SeqCst);
    }
    if pack {
        counts.packs.fetch_add(1, Ordering::SeqCst);
    }
    if let Fault::Decline {
        times: times @ 1..,
        status,
        words,
    } = fault
        && pack
    {
        let left = Fault::Decline {
            times: times - 1,
            status,
            words,
        };
        *shared.fault.lock().expect("no panic") = left;
        return decline(status, words, &text);
    }
    if let Fault::Misread(misreading) = fault
        && pack
    {
        body = misreading.rewrite(&body).into();
    }
    let (status, headers, answer) = tokio::task::spawn_blocking({
        let shared = Arc::clone(&shared);
        move || backend(&shared, &parts, &body)
    })
    .await
    .expect("git http-backend runs");
    counts.sent.fetch_add(answer.len() as u64, Ordering::SeqCst);
    let mut response = Response::builder().status(status);
    for (name, value) in &headers {
        response = response.header(name, value);
    }
    response
        .body(if pack {
            spoil(answer, fault)
        } else {
            Body::from(answer)
        })
        .expect("a response")
}

/// The answer before the request's body is read.
fn refusal(shared: &Shared, parts: &Parts, fault: Fault) -> Option<Response<Body>> {
    if let Some(base) = &shared.redirect {
        let target = format!("{base}{}", parts.uri.path_and_query().expect("a path"));
        let answer = Response::builder()
            .status(StatusCode::FOUND)
            .header(header::LOCATION, target)
            .body(Body::empty())
            .expect("a response");
        return Some(answer);
    }
    if let Some(wanted) = &shared.login
        && parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            != Some(wanted)
    {
        let answer = Response::builder()
            .status(StatusCode::UNAUTHORIZED)
            .header(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")
            .body(Body::from("who are you?"))
            .expect("a response");
        return Some(answer);
    }
    if let Fault::Status(status) = fault {
        let answer = Response::builder()
            .status(status)
            .body(Body::empty())
            .expect("a response");
        return Some(answer);
    }
    if let Fault::RefusePush { status, kind, text } = fault
        && parts.uri.to_string().contains("git-receive-pack")
    {
        let answer = Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(text))
            .expect("a response");
        return Some(answer);
    }
    None
}

/// Declines to send what a request wants.
fn decline(status: u16, words: &str, request: &str) -> Response<Body> {
    let wanted = request.split_once("want ").expect("a want").1;
    let line = words.replace("OID", &wanted[..40]);
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/x-git-upload-pack-result")
        .body(Body::from(format!("{:04x}{line}", line.len() + 4)))
        .expect("a response")
}

/// Makes a pack's transfer go wrong.
fn spoil(answer: Vec<u8>, fault: Fault) -> Body {
    // A server reports progress before the pack, of a length unknown beforehand.
    let begin = answer.windows(4).position(|bytes| bytes == b"PACK").unwrap_or(0);
    let at = match fault {
        Fault::StallPack(at) | Fault::CutPack(at) => (begin + at).min(answer.len()),
        Fault::FlipPack(at) => {
            let mut answer = answer;
            let at = (begin + at).min(answer.len() - 1);
            answer[at] ^= 0x55;
            return Body::from(answer);
        }
        Fault::None
        | Fault::Status(_)
        | Fault::Decline { .. }
        | Fault::Misread(_)
        | Fault::InPlaceOfReport(_)
        | Fault::RefusePush { .. } => {
            return Body::from(answer);
        }
    };
    let start = Bytes::from(answer).slice(..at);
    let rest = futures::stream::once(async move {
        if matches!(fault, Fault::StallPack(_)) {
            std::future::pending::<()>().await;
        }
        // Time for the start to leave before the connection ends.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err(std::io::Error::other("cut"))
    });
    let start = futures::stream::once(async move { Ok(start) });
    Body::from_stream(futures::StreamExt::chain(start, rest))
}

/// Runs `git http-backend` as RFC 3875 says.
fn backend(
    shared: &Shared,
    parts: &axum::http::request::Parts,
    body: &[u8],
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &shared.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(kind) = header("content-type") {
        command.env("CONTENT_TYPE", kind);
    }
    if let Some(encoding) = header("content-encoding") {
        command.env("HTTP_CONTENT_ENCODING", encoding);
    }
    if let Some(version) = header("git-protocol").filter(|_| shared.versions) {
        command
            .env("HTTP_GIT_PROTOCOL", version)
            .env("GIT_PROTOCOL", version);
    }
    let mut child = command.spawn().expect("git http-backend starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // Requests are far smaller than a pipe's buffer, or are read before the answer begins.
    let _ = stdin.write_all(body);
    drop(stdin);
    let output = child.wait_with_output().expect("git http-backend ends").stdout;
    let end = output
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("headers");
    let mut status = StatusCode::OK;
    let mut headers = HeaderMap::new();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(':').expect("a header");
        match name {
            "Status" => status = value.trim()[..3].parse().expect("a status"),
            name => {
                let name: header::HeaderName = name.parse().expect("a name");
                headers.insert(name, value.trim().parse().expect("a value"));
            }
        }
    }
    (status, headers, output[end + 4..].to_vec())
}

/// Accepts connections with TLS.
pub struct TlsListener {
    /// The source of connections.
    pub listener: tokio::net::TcpListener,
    /// The acceptor made by [`acceptor`].
    pub acceptor: tokio_rustls::TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else {
                continue;
            };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Accepts connections with TLS.
pub fn acceptor(tls: ServerTls) -> tokio_rustls::TlsAcceptor {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match tls.client_authority {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
                roots.add(certificate.expect("a certificate")).expect("a root");
            }
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                    .build()
                    .expect("a verifier");
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = CertificateDer::pem_slice_iter(tls.certificate.as_bytes())
        .map(|certificate| certificate.expect("a certificate"))
        .collect();
    let key = PrivateKeyDer::from_pem_slice(tls.key.as_bytes()).expect("a key");
    let config = builder.with_single_cert(chain, key).expect("a pair");
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

/// A free port of the loopback interface that no other process gets by chance: it is never returned
/// twice in this process, and is below those that the scripts of clusters take (20000 to 32000),
/// and those that the kernel gives to connections and to servers that ask for any (32768 and up).
pub fn free_port() -> u16 {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 8_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Processes that run at the same time begin at different ports.
    let first = std::process::id().wrapping_mul(389);
    (0..COUNT)
        .map(|_| first.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % COUNT + FIRST)
        .map(|port| u16::try_from(port).expect("a port"))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port")
}

/// Starts a process that listens on a port, and waits until it does; tries another port if one has
/// been taken.
pub fn start_on_free_port(start: impl Fn(u16) -> Child) -> (u16, Child) {
    for _ in 0..5 {
        let port = free_port();
        let mut child = start(port);
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            let answers = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            // Another server that took the port first may be the one that answers; then this one
            // has ended.
            if child.try_wait().expect("a child").is_some() {
                break;
            }
            if answers {
                return (port, child);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        end(&mut child);
    }
    panic!("no server came up");
}

/// Ends a process and its children.
pub fn end(child: &mut Child) {
    // git daemon passes its work to another process, which ends only with the first one's signal.
    let _ = Command::new("kill").arg(child.id().to_string()).status();
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
}
