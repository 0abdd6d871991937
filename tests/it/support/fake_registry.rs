//! A test registry in memory: honest unless it is given other habits, such as those of a service or
//! of an attacker.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use axum::http::request::Parts as Head;
use axum::http::{HeaderMap, Method, Response, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use serde_json::{Value, json};

use super::crafted::digest;
use super::git_server::{ServerTls, TlsListener, acceptor};

/// The login that is accepted if one is required.
pub const USER: &str = "ann";
pub const PASSWORD: &str = "hidden-password";
/// The identity token that is accepted in its place.
pub const IDENTITY_TOKEN: &str = "hidden-identity";

/// The login that is required.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Asks {
    #[default]
    Nothing,
    Basic,
    /// The same, without saying so.
    BasicUntold,
    /// The same for writes; reads need none, and see nothing without it.
    BasicToWrite,
    /// A token of this realm; of the registry's own one if that is a path or empty.
    Bearer(String),
}

/// The body of an answer.
#[derive(Clone, Debug)]
pub enum Content {
    Bytes(Vec<u8>),
    /// This many bytes of white space.
    Blank(usize),
    /// None: the connection is closed.
    HangUp,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Says {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub content: Content,
}

impl Says {
    pub fn new(status: u16, text: &str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::Bytes(text.as_bytes().to_vec()),
        }
    }

    /// No answer: the connection is closed.
    pub fn hang_up() -> Self {
        Self {
            content: Content::HangUp,
            ..Self::new(500, "")
        }
    }

    pub fn with(mut self, header: &'static str, value: &str) -> Self {
        self.headers.push((header, value.to_owned()));
        self
    }
}

/// An answer in place of an honest registry's.
#[derive(Clone, Debug)]
pub struct Habit {
    pub method: Method,
    /// A part of the path.
    pub path: String,
    pub says: Says,
    /// Whether the request is carried out all the same.
    pub is_done: bool,
    /// How many times; then the habit is over.
    pub times: usize,
}

impl Habit {
    /// A permanent habit.
    pub fn instead(method: Method, path: &str, says: Says) -> Self {
        Self {
            method,
            path: path.to_owned(),
            says,
            is_done: false,
            times: usize::MAX,
        }
    }

    /// The same, with the request carried out.
    pub fn after(method: Method, path: &str, says: Says) -> Self {
        Self {
            is_done: true,
            ..Self::instead(method, path, says)
        }
    }

    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }
}

/// The peculiarities of a service.
#[derive(Clone, Debug)]
pub struct Profile {
    pub asks: Asks,
    /// The header, or the identity token, that is accepted; ann's if absent.
    pub login: Option<String>,
    /// The service that tokens are for.
    pub service: &'static str,
    /// The status and code for missing content when the login may only pull; without it, a plain
    /// not found.
    pub hides_from_readers: Option<(u16, &'static str)>,
    /// The answer to an upload to a repository that is not among [`State::repositories`]; without
    /// it all exist.
    pub needs_repository: Option<Says>,
    /// Whether the answer to a manifest has a `Location`.
    pub tells_location: bool,
    /// Whether it lists attached documents by itself, and says so.
    pub lists_referrers: bool,
    /// The answer to a push of a manifest under an existing tag.
    pub keeps_tags: Option<Says>,
    pub uploads: Uploads,
    /// The host where blobs are read, over https.
    pub blobs_at: Option<String>,
    pub habits: Vec<Habit>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            asks: Asks::Nothing,
            login: None,
            service: "test",
            hides_from_readers: None,
            needs_repository: None,
            tells_location: true,
            lists_referrers: false,
            keeps_tags: None,
            uploads: Uploads {
                location: "/v2/REPOSITORY/blobs/uploads/session?state=x%2By",
                parts: Parts::Refused,
            },
            blobs_at: None,
            habits: Vec::new(),
        }
    }
}

/// How blobs are sent.
#[derive(Clone, Copy, Debug)]
pub struct Uploads {
    /// The address; ORIGIN, REPOSITORY and ID are replaced. The query has to come back unchanged.
    pub location: &'static str,
    pub parts: Parts,
}

/// What is accepted besides whole blobs, and kept of an interrupted upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// Nothing.
    Refused,
    /// Parts, but the received length is not reported.
    Untold,
    /// Parts of this many bytes.
    Taken(usize),
}

/// A received request.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    /// Including the query.
    pub path: String,
    pub login: Option<String>,
    pub content_type: Option<String>,
    pub content_range: Option<String>,
}

/// The content of the registry.
#[derive(Default)]
pub struct State {
    pub profile: Profile,
    pub seen: Vec<Seen>,
    pub blobs: HashMap<String, Vec<u8>>,
    /// Media type and bytes, by repository and tag or digest.
    pub manifests: HashMap<(String, String), (String, Vec<u8>)>,
    pub repositories: Vec<String>,
    /// Uploads by their path.
    pub uploads: HashMap<String, Vec<u8>>,
    /// After how many bytes the connections of the next longer uploads are closed.
    pub cuts: VecDeque<u64>,
}

/// A registry; stopped when dropped.
pub struct FakeRegistry {
    /// Host and port.
    pub host: String,
    state: Arc<Mutex<State>>,
    _runtime: Running,
}

/// A server in a separate thread.
pub struct Running(Option<tokio::runtime::Runtime>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Serves on an address of this machine, over TLS if given.
pub fn serve(app: axum::Router, at: std::net::IpAddr, tls: Option<ServerTls>) -> (SocketAddr, Running) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let listener = TcpListener::bind((at, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        match tls.map(acceptor) {
            None => axum::serve(listener, app).await,
            Some(acceptor) => axum::serve(TlsListener { listener, acceptor }, app).await,
        }
    });
    (address, Running(Some(runtime)))
}

impl FakeRegistry {
    /// A registry without TLS on loopback.
    pub fn start(profile: Profile) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), profile, None)
    }

    /// A registry with TLS at `localhost`.
    pub fn with_tls(profile: Profile, tls: ServerTls) -> Self {
        let started = Self::at(Ipv4Addr::LOCALHOST.into(), profile, Some(tls));
        let host = started.host.replace("127.0.0.1", "localhost");
        Self { host, ..started }
    }

    pub fn at(ip: std::net::IpAddr, profile: Profile, tls: Option<ServerTls>) -> Self {
        let state = Arc::new(Mutex::new(State {
            profile,
            ..State::default()
        }));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::clone(&state);
        let app = axum::Router::new().fallback(move |request: axum::extract::Request| {
            let shared = Arc::clone(&shared);
            async move {
                let (head, body) = request.into_parts();
                let cut = shared.lock().unwrap().cut(&head.method, &head.headers);
                let body = received(body, cut).await;
                let mut state = shared.lock().unwrap();
                let says = match body {
                    Ok(body) => state.answer(scheme, &head, &body),
                    Err(part) => state.cut_off(&head, &part),
                };
                drop(state);
                wire(says)
            }
        });
        let (address, running) = serve(app, ip, tls);
        Self {
            host: address.to_string(),
            state,
            _runtime: running,
        }
    }

    /// The content, for a server that answers in its place.
    pub fn shared(&self) -> Arc<Mutex<State>> {
        Arc::clone(&self.state)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Adds a habit.
    pub fn habit(&self, habit: Habit) {
        self.state().profile.habits.push(habit);
    }

    /// Stores an image with a label and one layer; returns its digest.
    pub fn image(&self, repository: &str, tag: Option<&str>, inputs: &str, layer: &[u8]) -> String {
        let config = json!({
            "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] },
            "config": { "Labels": { "patching.c5c3.io/inputs": inputs } }
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": super::crafted::MANIFEST,
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(&config), "size": config.len() },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(layer), "size": layer.len() }],
        });
        let manifest = manifest.to_string().into_bytes();
        let named = digest(&manifest);
        let mut state = self.state();
        state.blobs.insert(digest(&config), config);
        state.blobs.insert(digest(layer), layer.to_vec());
        for name in tag.into_iter().chain([named.as_str()]) {
            let value = (super::crafted::MANIFEST.to_owned(), manifest.clone());
            state
                .manifests
                .insert((repository.to_owned(), name.to_owned()), value);
        }
        named
    }

    /// The manifest of a tag or digest, if it exists.
    pub fn manifest(&self, repository: &str, name: &str) -> Option<Value> {
        let state = self.state();
        let (_, bytes) = state.manifests.get(&(repository.to_owned(), name.to_owned()))?;
        serde_json::from_slice(bytes).ok()
    }

    /// The number of requests with a method and a part of the path.
    pub fn count(&self, method: &Method, path: &str) -> usize {
        let state = self.state();
        let all = state.seen.iter();
        all.filter(|seen| seen.method == *method && seen.path.contains(path))
            .count()
    }
}

pub fn wire(says: Says) -> Response<Body> {
    let mut answer = Response::builder().status(says.status);
    for (name, value) in says.headers {
        answer = answer.header(name, value);
    }
    let body = match says.content {
        Content::Bytes(bytes) => Body::from(bytes),
        Content::Blank(size) => {
            let chunk = Bytes::from(vec![b' '; 65_536]);
            let chunks = size.div_ceil(65_536);
            Body::from_stream(futures::stream::iter(
                (0..chunks).map(move |_| Ok::<_, std::io::Error>(chunk.clone())),
            ))
        }
        // The connection's task ends, without output on standard error.
        Content::HangUp => std::panic::resume_unwind(Box::new("the connection ends")),
    };
    answer.body(body).unwrap()
}

/// A body, or the part of it that arrived before it was cut off.
async fn received(body: Body, cut: Option<u64>) -> Result<Vec<u8>, Vec<u8>> {
    let mut stream = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(piece) = stream.next().await {
        let Ok(piece) = piece else { return Err(whole) };
        whole.extend_from_slice(&piece);
        if let Some(cut) = cut.filter(|cut| whole.len() as u64 >= *cut) {
            whole.truncate(usize::try_from(cut).unwrap());
            return Err(whole);
        }
    }
    Ok(whole)
}

/// The repository in a path.
fn repository_of(path: &str) -> Option<&str> {
    let below = path.strip_prefix("/v2/")?;
    ["/manifests/", "/blobs/", "/referrers/"]
        .iter()
        .find_map(|part| Some(below.split_once(part)?.0))
}

impl State {
    fn cut(&mut self, method: &Method, headers: &HeaderMap) -> Option<u64> {
        let length = headers
            .get("content-length")?
            .to_str()
            .ok()?
            .parse::<u64>()
            .ok()?;
        let is_upload = matches!(*method, Method::PUT | Method::PATCH);
        let is_long = self.cuts.front().is_some_and(|cut| length > *cut);
        (is_upload && is_long).then(|| self.cuts.pop_front()).flatten()
    }

    fn cut_off(&mut self, head: &Head, part: &[u8]) -> Says {
        self.see(head);
        if self.profile.uploads.parts != Parts::Refused {
            let kept = self.uploads.entry(head.uri.path().to_owned()).or_default();
            kept.extend_from_slice(part);
        }
        Says::hang_up()
    }

    /// Records a request; returns its login.
    fn see(&mut self, head: &Head) -> Option<String> {
        let Head {
            method, uri, headers, ..
        } = head;
        let header = |name: &str| Some(headers.get(name)?.to_str().unwrap().to_owned());
        let login = header("authorization");
        self.seen.push(Seen {
            method: method.clone(),
            path: uri.path_and_query().unwrap().to_string(),
            login: login.clone(),
            content_type: header("content-type"),
            content_range: header("content-range"),
        });
        login
    }

    pub fn answer(&mut self, scheme: &str, head: &Head, body: &[u8]) -> Says {
        let login = self.see(head);
        let Head {
            method, uri, headers, ..
        } = head;
        let path = uri.path_and_query().unwrap().to_string();
        let request = Request {
            origin: format!("{scheme}://{}", headers["host"].to_str().unwrap()),
            method,
            uri,
            range: headers
                .get("content-range")
                .map(|range| range.to_str().unwrap().to_owned()),
            body,
            login: login.unwrap_or_default(),
        };
        let has =
            |habit: &&mut Habit| habit.method == *method && path.contains(&habit.path) && habit.times > 0;
        if let Some(habit) = self.profile.habits.iter_mut().find(has) {
            habit.times -= usize::from(habit.times != usize::MAX);
            let says = habit.says.clone();
            if habit.is_done {
                self.honest(&request);
            }
            return says;
        }
        let realm = match &self.profile.asks {
            Asks::Bearer(realm) if realm.starts_with('/') => realm.clone(),
            _ => "/token".to_owned(),
        };
        if uri.path() == realm {
            return given(&request, &self.profile);
        }
        match self.complaint(&request, &realm) {
            None => self.honest(&request),
            Some(complaint) => complaint,
        }
    }

    /// The answer to a request without permission.
    fn complaint(&self, request: &Request<'_>, realm: &str) -> Option<Says> {
        let unknown = || complaint(401, "UNAUTHORIZED", "who are you?");
        let asked = |challenge: &str| unknown().with("www-authenticate", challenge);
        let is_read = matches!(*request.method, Method::GET | Method::HEAD);
        let is_known = request.login == self.profile.login.clone().unwrap_or_else(basic);
        let path = request.uri.path();
        match &self.profile.asks {
            Asks::Nothing => None,
            Asks::Basic => (!is_known).then(|| asked("Basic realm=\"test\"")),
            Asks::BasicUntold => (!is_known).then(unknown),
            Asks::BasicToWrite if is_known || (is_read && path == "/v2/") => None,
            Asks::BasicToWrite if is_read => Some(complaint(404, "MANIFEST_UNKNOWN", "manifest unknown")),
            Asks::BasicToWrite => Some(asked("Basic realm=\"test\"")),
            Asks::Bearer(elsewhere) => {
                let actions = if is_read { "pull" } else { "pull,push" };
                let repository = repository_of(path);
                let suffices = match repository {
                    None => request.login.starts_with("Bearer "),
                    Some(name) => {
                        let wanted = format!("Bearer for repository:{name}:{actions}");
                        request.login.starts_with(&wanted)
                    }
                };
                let realm = if elsewhere.is_empty() || elsewhere.starts_with('/') {
                    format!("{}{realm}", request.origin)
                } else {
                    elsewhere.clone()
                };
                let scope = repository.map_or_else(String::new, |name| {
                    format!(",scope=\"repository:{name}:{actions}\"")
                });
                let service = self.profile.service;
                (!suffices).then(|| asked(&format!("Bearer realm=\"{realm}\",service=\"{service}\"{scope}")))
            }
        }
    }

    fn honest(&mut self, request: &Request<'_>) -> Says {
        let (method, uri) = (request.method, request.uri);
        let path = uri.path().strip_prefix("/v2/").unwrap_or(uri.path());
        if path.is_empty() {
            return Says::new(200, "{}");
        }
        let repository = repository_of(uri.path()).unwrap_or_default().to_owned();
        if let Some(says) = &self.profile.needs_repository
            && !repository.is_empty()
            && !self.repositories.contains(&repository)
        {
            return match *method {
                Method::POST => says.clone(),
                _ => complaint(404, "NAME_UNKNOWN", "no such repository"),
            };
        }
        if let Some((repository, name)) = path.split_once("/manifests/") {
            let key = (repository.to_owned(), name.to_owned());
            return if method == Method::PUT {
                self.put_manifest(request, key)
            } else {
                self.manifest_answer(request, &key)
            };
        }
        if path.ends_with("/blobs/uploads/") {
            let id = self.seen.len().to_string();
            let location = self
                .profile
                .uploads
                .location
                .replace("ORIGIN", &request.origin)
                .replace("REPOSITORY", &repository)
                .replace("ID", &id);
            let begun = location.replace(&request.origin, "");
            let (begun, _) = begun.split_once('?').unwrap_or((&begun, ""));
            self.uploads.insert(begun.to_owned(), Vec::new());
            return Says::new(202, "").with("location", &location);
        }
        if path.contains("/blobs/uploads/") || self.uploads.contains_key(uri.path()) {
            return self.upload(request);
        }
        let found = path
            .split_once("/blobs/")
            .and_then(|(_, digest)| self.blobs.get(digest));
        match (found, &self.profile.blobs_at) {
            (None, _) => complaint(404, "BLOB_UNKNOWN", "blob unknown"),
            (Some(_), Some(host)) if method == Method::GET => {
                Says::new(307, "").with("location", &format!("https://{host}{}", uri.path()))
            }
            (Some(bytes), _) => Says {
                content: Content::Bytes(bytes.clone()),
                ..Says::new(200, "")
            },
        }
    }

    fn manifest_answer(&self, request: &Request<'_>, key: &(String, String)) -> Says {
        match (self.manifests.get(key), self.profile.hides_from_readers) {
            (None, Some((status, code))) if !request.login.contains("push") => {
                complaint(status, code, "not for you")
            }
            (None, _) => complaint(404, "MANIFEST_UNKNOWN", "manifest unknown"),
            (Some((media_type, bytes)), _) => Says::new(200, &String::from_utf8_lossy(bytes))
                .with("content-type", media_type)
                .with("docker-content-digest", &digest(bytes)),
        }
    }

    fn put_manifest(&mut self, request: &Request<'_>, key: (String, String)) -> Says {
        let is_tag = !key.1.contains(':');
        if let Some(says) = &self.profile.keeps_tags
            && is_tag
            && self.manifests.contains_key(&key)
        {
            return says.clone();
        }
        let value: Value = serde_json::from_slice(request.body).unwrap_or_default();
        let media_type = value["mediaType"].as_str().unwrap_or_default().to_owned();
        let stored = (media_type, request.body.to_vec());
        let by_digest = (key.0.clone(), digest(request.body));
        self.manifests.insert(by_digest, stored.clone());
        self.manifests.insert(key, stored);
        let mut says = Says::new(201, "");
        if self.profile.tells_location {
            says = says.with("location", request.uri.path());
        }
        match value["subject"]["digest"].as_str() {
            Some(subject) if self.profile.lists_referrers => says.with("oci-subject", subject),
            _ => says,
        }
    }

    fn upload(&mut self, request: &Request<'_>) -> Says {
        let Uploads { location, parts } = self.profile.uploads;
        let path = request.uri.path().to_owned();
        let query = request.uri.query().unwrap_or_default();
        let own_query = location.split_once('?').map_or("", |(_, query)| query);
        if !query.starts_with(own_query) {
            return complaint(400, "BLOB_UPLOAD_INVALID", "another state");
        }
        let there = match own_query {
            "" => path.clone(),
            query => format!("{path}?{query}"),
        };
        let range = |length: usize| format!("0-{}", length.saturating_sub(1));
        let kept = self.uploads.entry(path.clone()).or_default();
        match (request.method, parts) {
            (&Method::GET, Parts::Taken(_)) => Says::new(204, "")
                .with("location", &there)
                .with("range", &range(kept.len())),
            (&Method::GET, _) => complaint(404, "BLOB_UPLOAD_UNKNOWN", "unknown"),
            (&Method::PATCH, Parts::Refused) => complaint(400, "UNSUPPORTED", "no parts"),
            (&Method::PATCH, _) => {
                let most = if let Parts::Taken(most) = parts {
                    most
                } else {
                    usize::MAX
                };
                let begin = request.range.as_deref().and_then(|range| range.split('-').next());
                if begin.is_some_and(|begin| begin != kept.len().to_string()) || request.body.len() > most {
                    return complaint(416, "BLOB_UPLOAD_INVALID", "another range")
                        .with("location", &there)
                        .with("range", &range(kept.len()));
                }
                kept.extend_from_slice(request.body);
                Says::new(202, "")
                    .with("location", &there)
                    .with("range", &range(kept.len()))
            }
            _ => {
                let whole = [kept.as_slice(), request.body].concat();
                let named = digest(&whole);
                let wanted = query.split("digest=").nth(1).unwrap_or_default();
                if wanted.replace("%3A", ":") != named {
                    return complaint(400, "DIGEST_INVALID", "it is another");
                }
                self.uploads.remove(&path);
                self.blobs.insert(named, whole);
                Says::new(201, "")
            }
        }
    }
}

/// A request with its context.
struct Request<'a> {
    /// Scheme, host and port.
    origin: String,
    method: &'a Method,
    uri: &'a Uri,
    range: Option<String>,
    body: &'a [u8],
    /// Empty if there is none.
    login: String,
}

/// The header that ann sends.
pub fn basic() -> String {
    format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")))
}

/// A refusal in the form of the specification.
pub fn complaint(status: u16, code: &str, message: &str) -> Says {
    let body = json!({ "errors": [{ "code": code, "message": message }] });
    Says::new(status, &body.to_string())
}

/// A token that states what it is for.
fn given(request: &Request<'_>, profile: &Profile) -> Says {
    let query = request.uri.query().unwrap_or_default();
    let form = String::from_utf8_lossy(request.body);
    let wanted = profile.login.clone().unwrap_or_else(basic);
    let token = profile.login.as_deref().unwrap_or(IDENTITY_TOKEN);
    let is_known = request.login == wanted || form.contains(&format!("refresh_token={token}"));
    if !is_known {
        return Says::new(401, "{}");
    }
    let fields: HashMap<String, String> = url::form_urlencoded::parse(format!("{query}&{form}").as_bytes())
        .into_owned()
        .collect();
    assert_eq!(fields["service"], profile.service);
    Says::new(
        200,
        &json!({ "token": format!("for {}", fields["scope"]) }).to_string(),
    )
}

/// An address that must never be connected to.
pub struct Trap {
    /// Host and port.
    pub host: String,
    hits: Arc<AtomicUsize>,
}

impl Trap {
    pub fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let hits = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&hits);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for _ in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { host, hits }
    }

    /// The number of connections.
    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}
