//! A test server that plays GitHub: the part of its REST API that starts and follows workflow runs,
//! and the state behind it.
//!
//! It is strict where GitHub is: unknown keys, inputs, tokens, versions and signatures are refused.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::git_server::{ServerTls, TlsListener, acceptor};
use super::program::program;

/// The access token that is accepted.
pub const TOKEN: &str = "ghp_0123456789hidden";
/// The signature in the addresses of logs.
pub const SIGNATURE: &str = "signature-hidden";

/// A server's handling of `return_run_details`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Details {
    /// It returns the run.
    Told,
    /// It does not know the key, and ignores it.
    Ignored,
    /// It refuses unknown keys.
    Refused,
}

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is answered with this instead of being carried out.
    Instead(u16, Vec<(&'static str, String)>, String),
    /// It is carried out, and answered with this status.
    After(u16),
    /// It is carried out, and never answered.
    Silence,
    /// It is carried out, and the connection closed.
    Cut,
    /// It is carried out, and the answer's body ends too early.
    CutBody,
    /// It is answered with this many bytes.
    Flood(usize),
}

/// A run.
#[derive(Clone, Debug)]
pub struct Run {
    pub id: u64,
    pub title: String,
    pub created: Timestamp,
    pub status: &'static str,
    pub conclusion: Option<&'static str>,
    /// Its successive states, one for each look.
    pub script: Vec<(&'static str, Option<&'static str>)>,
    pub inputs: Value,
    pub jobs: Value,
}

/// A token of an App's installation.
pub struct Granted {
    pub token: String,
    pub asked: Value,
    pub ends: Timestamp,
}

/// A received request.
pub struct Seen {
    pub path: String,
    pub login: Option<String>,
    /// Whether it was charged to the rate limit.
    pub charged: bool,
}

/// What the server holds, and how it behaves.
pub struct State {
    pub details: Details,
    pub has_trigger: bool,
    pub inputs: Vec<&'static str>,
    pub runs: Vec<Run>,
    pub faults: Vec<(&'static str, Fault)>,
    pub requests: Vec<Seen>,
    /// The App's number and its public key, PEM.
    pub app: Option<(String, String)>,
    pub granted: Vec<Granted>,
    /// How long an installation token is valid, in seconds.
    pub lifetime: i64,
    /// Job logs by job.
    pub logs: HashMap<u64, String>,
    /// Whether the log host serves ranges.
    pub gives_parts: bool,
    /// Requests that the logs' host got: their `Authorization` and `Range`.
    pub fetched: Vec<(Option<String>, Option<String>)>,
    /// Where logs are redirected to, instead of the logs' host.
    pub logs_elsewhere: Option<String>,
    /// Whether cancelled runs continue.
    pub cancels_late: bool,
}

/// A running server.
pub struct GitHub {
    pub host: String,
    pub logs_host: String,
    pub base: String,
    state: Arc<Mutex<State>>,
}

#[derive(Clone)]
struct Served {
    state: Arc<Mutex<State>>,
    logs: String,
}

impl GitHub {
    /// A server without TLS, and its host of logs on another port. Both end with the test's
    /// runtime.
    pub async fn start() -> Self {
        let (listener, address) = listen().await;
        let mut github = Self::with_logs().await;
        let app = github.app();
        tokio::spawn(async move { axum::serve(listener, app).await });
        github.host = address.to_string();
        github.base = format!("http://{address}/api/v3");
        github
    }

    /// The same with TLS, as `localhost`.
    pub async fn with_tls(tls: ServerTls) -> Self {
        let (listener, address) = listen().await;
        let acceptor = acceptor(tls);
        let mut github = Self::with_logs().await;
        let app = github.app();
        tokio::spawn(async move { axum::serve(TlsListener { listener, acceptor }, app).await });
        github.host = format!("localhost:{}", address.port());
        github.base = format!("https://{}/api/v3", github.host);
        github
    }

    async fn with_logs() -> Self {
        let state = State {
            details: Details::Told,
            has_trigger: true,
            inputs: vec!["request_id", "build"],
            runs: Vec::new(),
            faults: Vec::new(),
            requests: Vec::new(),
            app: None,
            granted: Vec::new(),
            lifetime: 3600,
            logs: HashMap::new(),
            gives_parts: true,
            fetched: Vec::new(),
            logs_elsewhere: None,
            cancels_late: false,
        };
        let state = Arc::new(Mutex::new(state));
        let (listener, address) = listen().await;
        let app = axum::Router::new().fallback(log).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            host: String::new(),
            logs_host: address.to_string(),
            base: String::new(),
            state,
        }
    }

    fn app(&self) -> axum::Router {
        let served = Served {
            state: Arc::clone(&self.state),
            logs: format!("http://{}", self.logs_host),
        };
        axum::Router::new().fallback(serve).with_state(served)
    }

    /// The server's state.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Makes the next request whose path ends like this go wrong.
    pub fn fault(&self, path: &'static str, fault: Fault) {
        self.state().faults.push((path, fault));
    }

    /// The number of requests whose path ends like this.
    pub fn count(&self, path: &str) -> usize {
        let state = self.state();
        state
            .requests
            .iter()
            .filter(|seen| seen.path.ends_with(path))
            .count()
    }
}

pub async fn listen() -> (tokio::net::TcpListener, SocketAddr) {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

impl Run {
    /// A queued run.
    pub fn new(id: u64, title: &str, created: Timestamp) -> Self {
        Self {
            id,
            title: title.to_owned(),
            created,
            status: "queued",
            conclusion: None,
            script: Vec::new(),
            inputs: Value::Null,
            jobs: json!([]),
        }
    }

    fn wire(&self) -> Value {
        json!({
            "id": self.id, "name": "Build", "display_title": self.title, "event": "workflow_dispatch",
            "status": self.status, "conclusion": self.conclusion, "created_at": self.created.to_string(),
            "run_started_at": self.created.to_string(), "updated_at": self.created.to_string(),
            "html_url": format!("https://github.example.org/acme/images/actions/runs/{}", self.id),
            "repository": {"full_name": "acme/images"}, "run_attempt": 1,
        })
    }
}

type Answer = (StatusCode, HeaderMap, Body);

fn answer(status: u16, body: &Value) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    let body = if body.is_null() {
        Body::empty()
    } else {
        Body::from(body.to_string())
    };
    (StatusCode::from_u16(status).unwrap(), headers, body)
}

fn complaint(status: u16, message: &str) -> Answer {
    answer(
        status,
        &json!({"message": message, "documentation_url": "https://docs.github.com/rest"}),
    )
}

async fn serve(
    Shared(served): Shared<Served>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    let fault = {
        let mut state = served.state.lock().unwrap();
        let found = state.faults.iter().position(|(end, _)| path.ends_with(end));
        found.map(|index| state.faults.remove(index).1)
    };
    let mut done = match fault {
        Some(Fault::Instead(status, sent, body)) => {
            let mut answer = answer(status, &Value::Null);
            for (name, value) in sent {
                answer.1.insert(name, value.parse().unwrap());
            }
            answer.2 = Body::from(body);
            note(&served, &uri, &headers, true);
            return answer.into_response();
        }
        Some(Fault::Flood(bytes)) => (StatusCode::OK, HeaderMap::new(), Body::from(vec![b' '; bytes])),
        _ => handle(&served, &method, &uri, &headers, &body),
    };
    let charged = done.0 != StatusCode::NOT_MODIFIED;
    note(&served, &uri, &headers, charged);
    match fault {
        Some(Fault::After(status)) => done = answer(status, &Value::Null),
        Some(Fault::Silence) => tokio::time::sleep(std::time::Duration::from_secs(600)).await,
        // The connection's task ends, and with it the connection; no message is printed.
        Some(Fault::Cut) => std::panic::resume_unwind(Box::new(())),
        Some(Fault::CutBody) => {
            // The beginning has to be on its way before the connection ends.
            let rest = futures::stream::once(async {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                Err("cut")
            });
            let start = futures::stream::iter([Ok(Bytes::from_static(b"{\"workf"))]);
            done.2 = Body::from_stream(futures::StreamExt::chain(start, rest));
        }
        _ => {}
    }
    done.into_response()
}

fn headers_login(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?;
    Some(value.to_str().unwrap().to_owned())
}

fn note(served: &Served, uri: &Uri, headers: &HeaderMap, charged: bool) {
    served.state.lock().unwrap().requests.push(Seen {
        path: uri.path().to_owned(),
        login: headers_login(headers),
        charged,
    });
}

fn handle(served: &Served, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Answer {
    let state = &mut *served.state.lock().unwrap();
    if !headers.contains_key(header::USER_AGENT) {
        return complaint(403, "Request forbidden by administrative rules.");
    }
    if headers
        .get("x-github-api-version")
        .is_none_or(|version| version != "2022-11-28")
    {
        return complaint(400, "Unknown API version");
    }
    let path = uri.path();
    // As on api.github.com, and on Enterprise Servers.
    let path = match path.strip_prefix("/api/v3/") {
        None => path.strip_prefix('/').filter(|path| path.starts_with("app/")),
        path => path,
    };
    let Some(path) = path else {
        return answer(404, &json!("<html>"));
    };
    let segments: Vec<_> = path.split('/').collect();
    let login = headers_login(headers).unwrap_or_default();
    let login = login.strip_prefix("Bearer ").unwrap_or_default();
    if let ["app", "installations", id, "access_tokens"] = segments.as_slice() {
        return grant(state, id, login, body);
    }
    let now = Timestamp::now();
    let granted = state.granted.iter().find(|granted| granted.token == login);
    if login != TOKEN && granted.is_none_or(|granted| granted.ends <= now) {
        return complaint(401, "Bad credentials");
    }
    let ["repos", "acme", "images", "actions", rest @ ..] = segments.as_slice() else {
        return complaint(404, "Not Found");
    };
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    match (method.as_str(), rest) {
        ("POST", ["workflows", "build.yaml", "dispatches"]) => dispatch(state, body),
        ("GET", ["workflows", "build.yaml", "runs"]) => list(state, &query),
        ("GET", ["runs", id]) => look(state, id, headers),
        ("POST", ["runs", id, "cancel"]) => cancel(state, id),
        ("GET", ["runs", id, "jobs"]) => match run(state, id) {
            Some(run) => answer(200, &json!({"total_count": 0, "jobs": run.jobs})),
            None => complaint(404, "Not Found"),
        },
        ("GET", ["jobs", id, "logs"]) => {
            let id = id.parse().unwrap();
            if !state.logs.contains_key(&id) {
                return complaint(404, "Not Found");
            }
            let host = state.logs_elsewhere.as_ref().unwrap_or(&served.logs);
            let mut answer = answer(302, &Value::Null);
            let location = format!("{host}/{id}?sig={SIGNATURE}");
            answer.1.insert(header::LOCATION, location.parse().unwrap());
            answer
        }
        _ => complaint(404, "Not Found"),
    }
}

fn run<'a>(state: &'a mut State, id: &str) -> Option<&'a mut Run> {
    state.runs.iter_mut().find(|run| run.id.to_string() == id)
}

fn dispatch(state: &mut State, body: &[u8]) -> Answer {
    let body: Value = serde_json::from_slice(body).unwrap();
    let wants_details = body["return_run_details"] == true;
    if wants_details && state.details == Details::Refused {
        return complaint(
            400,
            "Invalid request.\n\n\"return_run_details\" is not a permitted key.",
        );
    }
    let known = ["ref", "inputs", "return_run_details"];
    if body
        .as_object()
        .unwrap()
        .keys()
        .any(|key| !known.contains(&key.as_str()))
    {
        return complaint(400, "Invalid request.");
    }
    if body["ref"] != "main" {
        return complaint(
            422,
            &format!("No ref found for: {}", body["ref"].as_str().unwrap()),
        );
    }
    if !state.has_trigger {
        return complaint(422, "Workflow does not have 'workflow_dispatch' trigger");
    }
    let inputs = body["inputs"].as_object().unwrap();
    let unknown: Vec<_> = inputs
        .keys()
        .filter(|key| !state.inputs.contains(&key.as_str()))
        .collect();
    if !unknown.is_empty() {
        return complaint(422, &format!("Unexpected inputs provided: {unknown:?}"));
    }
    let id = 1_000 + state.runs.len() as u64;
    let title = format!("Build {}", inputs["request_id"].as_str().unwrap());
    let mut run = Run::new(id, &title, Timestamp::now());
    run.inputs = body["inputs"].clone();
    state.runs.push(run);
    if wants_details && state.details == Details::Told {
        return answer(
            200,
            &json!({"workflow_run_id": id, "run_url": "https://x", "html_url": "https://y"}),
        );
    }
    answer(204, &Value::Null)
}

fn list(state: &State, query: &HashMap<String, String>) -> Answer {
    assert_eq!(query["event"], "workflow_dispatch");
    let since: Timestamp = query["created"].strip_prefix(">=").unwrap().parse().unwrap();
    let (page, size): (usize, usize) = (query["page"].parse().unwrap(), query["per_page"].parse().unwrap());
    let mut runs: Vec<_> = state.runs.iter().filter(|run| run.created >= since).collect();
    runs.sort_by_key(|run| std::cmp::Reverse((run.created, run.id)));
    let found: Vec<_> = runs
        .iter()
        .skip((page - 1) * size)
        .take(size)
        .map(|run| run.wire())
        .collect();
    let mut answer = answer(200, &json!({"total_count": runs.len(), "workflow_runs": found}));
    if page * size < runs.len() {
        let link = "<https://x/?page=2>; rel=\"next\", <https://x/?page=9>; rel=\"last\"";
        answer.1.insert(header::LINK, link.parse().unwrap());
    }
    answer
}

fn look(state: &mut State, id: &str, headers: &HeaderMap) -> Answer {
    let Some(run) = run(state, id) else {
        return complaint(404, "Not Found");
    };
    if !run.script.is_empty() {
        (run.status, run.conclusion) = run.script.remove(0);
    }
    let etag = format!("W/\"{}-{}\"", run.status, run.conclusion.unwrap_or_default());
    let mut answer = if headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| *known == etag)
    {
        answer(304, &Value::Null)
    } else {
        answer(200, &run.wire())
    };
    answer.1.insert(header::ETAG, etag.parse().unwrap());
    answer
}

fn cancel(state: &mut State, id: &str) -> Answer {
    if state.cancels_late {
        return answer(202, &json!({}));
    }
    match run(state, id) {
        None => complaint(404, "Not Found"),
        Some(run) if run.status == "completed" => {
            complaint(409, "Cannot cancel a workflow run that is completed.")
        }
        Some(run) => {
            (run.status, run.conclusion) = ("completed", Some("cancelled"));
            answer(202, &json!({}))
        }
    }
}

fn grant(state: &mut State, installation: &str, proof: &str, body: &[u8]) -> Answer {
    let Some((id, key)) = &state.app else {
        return complaint(404, "Integration not found");
    };
    let Some(claims) = verified(proof, key) else {
        return complaint(401, "A JSON web token could not be decoded");
    };
    let now = Timestamp::now().as_second();
    let (from, to) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    if claims["iss"] != **id || from > now || to <= now || to > now + 600 {
        return complaint(401, "'Expiration time' claim ('exp') is too far in the future");
    }
    if installation != "42" {
        return complaint(404, "Not Found");
    }
    let asked: Value = serde_json::from_slice(body).unwrap();
    if asked["repositories"] != json!(["images"]) {
        return complaint(
            422,
            "There is at least one repository that does not exist or is not accessible to the parent installation.",
        );
    }
    let token = format!("ghs_{}hidden", state.granted.len());
    let ends = Timestamp::now() + SignedDuration::from_secs(state.lifetime);
    let told = json!({"token": token, "expires_at": ends.to_string(), "permissions": asked["permissions"]});
    state.granted.push(Granted { token, asked, ends });
    answer(201, &told)
}

/// An RSA key in the form of a GitHub App's, and its public key, PEM.
pub fn keys(form: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let openssl = |arguments: &[&str]| {
        let output = program("openssl")
            .current_dir(folder.path())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        String::from_utf8(output.stdout).unwrap()
    };
    openssl(&["genrsa", "-out", "made", "2048"]);
    let private = openssl(&[&["rsa", "-in", "made"], form].concat());
    (private, openssl(&["rsa", "-in", "made", "-pubout"]))
}

/// The claims of a token, if openssl verifies the key owner's signature.
pub fn verified(token: &str, public_key: &str) -> Option<Value> {
    let (message, signature) = token.rsplit_once('.')?;
    let (head, claims) = message.split_once('.')?;
    let part = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
    if part(head)?["alg"] != "RS256" {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(content).unwrap();
        path
    };
    let status = program("openssl")
        .args(["dgst", "-sha256", "-verify"])
        .arg(file("key", public_key.as_bytes()))
        .arg("-signature")
        .arg(file("signature", &URL_SAFE_NO_PAD.decode(signature).ok()?))
        .arg(file("message", message.as_bytes()))
        .output()
        .unwrap()
        .status;
    status.success().then(|| part(claims))?
}

/// The log host: it accepts only signed addresses, and refuses a request that also has a login, as
/// Azure's does.
async fn log(Shared(state): Shared<Arc<Mutex<State>>>, uri: Uri, headers: HeaderMap) -> Response {
    let state = &mut *state.lock().unwrap();
    let text = |name| Some(headers.get(name)?.to_str().unwrap().to_owned());
    state.fetched.push((headers_login(&headers), text(header::RANGE)));
    if headers.contains_key(header::AUTHORIZATION) || uri.query() != Some(&format!("sig={SIGNATURE}")) {
        return (StatusCode::UNAUTHORIZED, "<Error>AuthenticationFailed</Error>").into_response();
    }
    let id = uri.path().trim_start_matches('/').parse().unwrap_or_default();
    let Some(log) = state.logs.get(&id).filter(|log| !log.is_empty()) else {
        return (StatusCode::NOT_FOUND, "<Error>BlobNotFound</Error>").into_response();
    };
    match text(header::RANGE).filter(|_| state.gives_parts) {
        None => log.clone().into_response(),
        Some(range) => {
            let from = range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap();
            let from: usize = from.parse().unwrap();
            (StatusCode::PARTIAL_CONTENT, log[from..].to_owned()).into_response()
        }
    }
}
