//! A registry of the test's own, in memory: honest as far as it is not told to have other habits, such as those of a service, or of
//! somebody who wants to do harm.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Response, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::crafted::digest;
use super::git_server::{ServerTls, TlsListener, acceptor};

/// The login that is taken where one is asked for.
pub const USER: &str = "ann";
pub const PASSWORD: &str = "hidden-password";
/// The identity token that is taken in its place.
pub const IDENTITY_TOKEN: &str = "hidden-identity";

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Asks {
    #[default]
    Nothing,
    Basic,
    /// A token of this realm; of its own one where that is empty.
    Bearer(String),
}

/// The body of an answer.
#[derive(Clone, Debug)]
pub enum Content {
    Bytes(Vec<u8>),
    /// So many bytes of white space.
    Blank(usize),
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

    pub fn with(mut self, header: &'static str, value: &str) -> Self {
        self.headers.push((header, value.to_owned()));
        self
    }
}

/// What is said instead of what an honest registry says.
#[derive(Clone, Debug)]
pub struct Habit {
    pub method: Method,
    /// A part of the path.
    pub path: String,
    pub says: Says,
    /// Whether the request is done all the same.
    pub is_done: bool,
    /// How often; the habit is over then.
    pub times: usize,
}

impl Habit {
    /// A habit for good.
    pub fn instead(method: Method, path: &str, says: Says) -> Self {
        Self {
            method,
            path: path.to_owned(),
            says,
            is_done: false,
            times: usize::MAX,
        }
    }

    /// The same for what is done all the same.
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

/// What a service does its own way.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    pub asks: Asks,
    /// Whether it lists what is attached by itself, and says so.
    pub lists_referrers: bool,
    pub habits: Vec<Habit>,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    /// With the query.
    pub path: String,
    pub login: Option<String>,
    pub content_type: Option<String>,
}

/// What it has.
#[derive(Default)]
pub struct State {
    pub profile: Profile,
    pub seen: Vec<Seen>,
    pub blobs: HashMap<String, Vec<u8>>,
    /// Media type and bytes, by repository and tag or digest.
    pub manifests: HashMap<(String, String), (String, Vec<u8>)>,
}

/// A registry; stopped when dropped.
pub struct FakeRegistry {
    /// Host and port.
    pub host: String,
    state: Arc<Mutex<State>>,
    _runtime: Running,
}

/// A server in a thread of its own.
pub struct Running(Option<tokio::runtime::Runtime>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Serves on an address of this machine, over TLS where that is given.
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
        let app =
            axum::Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                let shared = Arc::clone(&shared);
                async move {
                    let mut state = shared.lock().unwrap();
                    let says = state.answer(scheme, &method, &uri, &headers, &body);
                    wire(says)
                }
            });
        let app = app.layer(axum::extract::DefaultBodyLimit::disable());
        let (address, running) = serve(app, ip, tls);
        Self {
            host: address.to_string(),
            state,
            _runtime: running,
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Takes up a habit.
    pub fn habit(&self, habit: Habit) {
        self.state().profile.habits.push(habit);
    }

    /// Puts an image with a label and one layer there, and gives its digest.
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

    /// The manifest of a tag or digest, where there is one.
    pub fn manifest(&self, repository: &str, name: &str) -> Option<Value> {
        let state = self.state();
        let (_, bytes) = state.manifests.get(&(repository.to_owned(), name.to_owned()))?;
        serde_json::from_slice(bytes).ok()
    }

    /// How many requests came by a method for a part of the path.
    pub fn count(&self, method: &Method, path: &str) -> usize {
        let state = self.state();
        let all = state.seen.iter();
        all.filter(|seen| seen.method == *method && seen.path.contains(path))
            .count()
    }
}

fn wire(says: Says) -> Response<Body> {
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
    };
    answer.body(body).unwrap()
}

impl State {
    fn answer(&mut self, scheme: &str, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Says {
        let path = uri.path_and_query().unwrap().to_string();
        let header = |name: &str| Some(headers.get(name)?.to_str().unwrap().to_owned());
        let login = header("authorization");
        self.seen.push(Seen {
            method: method.clone(),
            path: path.clone(),
            login: login.clone(),
            content_type: header("content-type"),
        });
        let has =
            |habit: &&mut Habit| habit.method == *method && path.contains(&habit.path) && habit.times > 0;
        if let Some(habit) = self.profile.habits.iter_mut().find(has) {
            habit.times -= usize::from(habit.times != usize::MAX);
            let says = habit.says.clone();
            if habit.is_done {
                self.honest(method, uri, body);
            }
            return says;
        }
        let host = headers["host"].to_str().unwrap();
        if uri.path() == "/token" {
            return given(uri, login.as_deref(), body);
        }
        let challenge = match &self.profile.asks {
            Asks::Nothing => None,
            Asks::Basic => (login.as_deref() != Some(&basic())).then(|| "Basic realm=\"test\"".to_owned()),
            Asks::Bearer(realm) => {
                let realm = match realm.as_str() {
                    "" => format!("{scheme}://{host}/token"),
                    realm => realm.to_owned(),
                };
                let actions = match *method {
                    Method::GET | Method::HEAD => "pull",
                    _ => "pull,push",
                };
                let held = login.unwrap_or_default();
                let suffices = uri.path() == "/v2/" || held.contains(actions);
                (!held.starts_with("Bearer ") || !suffices)
                    .then(|| format!("Bearer realm=\"{realm}\",service=\"test\""))
            }
        };
        match challenge {
            None => self.honest(method, uri, body),
            Some(challenge) => {
                complaint(401, "UNAUTHORIZED", "who are you?").with("www-authenticate", &challenge)
            }
        }
    }

    fn honest(&mut self, method: &Method, uri: &Uri, body: &[u8]) -> Says {
        let path = uri.path().strip_prefix("/v2/").unwrap_or_default();
        if path.is_empty() {
            return Says::new(200, "{}");
        }
        if let Some((repository, name)) = path.split_once("/manifests/") {
            let key = (repository.to_owned(), name.to_owned());
            if method == Method::PUT {
                let text = String::from_utf8_lossy(body).into_owned();
                let value: Value = serde_json::from_slice(body).unwrap_or_default();
                let media_type = value["mediaType"].as_str().unwrap_or_default().to_owned();
                let by_digest = (key.0.clone(), digest(body));
                self.manifests
                    .insert(by_digest, (media_type.clone(), text.clone().into_bytes()));
                self.manifests.insert(key, (media_type, text.into_bytes()));
                let says = Says::new(201, "").with("location", uri.path());
                return match value["subject"]["digest"].as_str() {
                    Some(subject) if self.profile.lists_referrers => says.with("oci-subject", subject),
                    _ => says,
                };
            }
            return match self.manifests.get(&key) {
                None => complaint(404, "MANIFEST_UNKNOWN", "manifest unknown"),
                Some((media_type, bytes)) => Says::new(200, &String::from_utf8_lossy(bytes))
                    .with("content-type", media_type)
                    .with("docker-content-digest", &digest(bytes)),
            };
        }
        if path.ends_with("/blobs/uploads/") {
            return Says::new(202, "").with("location", &format!("{}session?state=x%2By", uri.path()));
        }
        if path.contains("/blobs/uploads/") {
            let wanted = uri
                .query()
                .unwrap_or_default()
                .split("digest=")
                .nth(1)
                .unwrap_or_default();
            let named = digest(body);
            if wanted.replace("%3A", ":") != named || !uri.query().unwrap().starts_with("state=x%2By&") {
                return complaint(400, "DIGEST_INVALID", "it is another");
            }
            self.blobs.insert(named, body.to_vec());
            return Says::new(201, "");
        }
        let found = path
            .split_once("/blobs/")
            .and_then(|(_, digest)| self.blobs.get(digest));
        match found {
            None => complaint(404, "BLOB_UNKNOWN", "blob unknown"),
            Some(bytes) => Says {
                content: Content::Bytes(bytes.clone()),
                ..Says::new(200, "")
            },
        }
    }
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

/// A token that says itself what it is for.
fn given(uri: &Uri, login: Option<&str>, body: &[u8]) -> Says {
    let query = uri.query().unwrap_or_default();
    let form = String::from_utf8_lossy(body);
    let is_known = login == Some(&basic()) || form.contains(&format!("refresh_token={IDENTITY_TOKEN}"));
    if !is_known {
        return Says::new(401, "{}");
    }
    let fields: HashMap<String, String> = url::form_urlencoded::parse(format!("{query}&{form}").as_bytes())
        .into_owned()
        .collect();
    assert_eq!(fields["service"], "test");
    Says::new(
        200,
        &json!({ "token": format!("for {}", fields["scope"]) }).to_string(),
    )
}

/// An address that nobody may connect to.
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

    /// How many connections came.
    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}
