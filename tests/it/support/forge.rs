//! A test server that plays GitHub, GitLab or Gitea: the part of their APIs for pull requests, and
//! the state behind it.
//!
//! It is as strict as they are: other logins, versions, branches and types are refused in the same
//! way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use forges::ForgeKind;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::git_server::{ServerTls, TlsListener, acceptor};
use super::github::{listen, verified};

/// The access token that is accepted.
pub const TOKEN: &str = "token_0123456789hidden";

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is answered with this instead of being carried out.
    Instead(u16, Vec<(&'static str, String)>, String),
    /// It is carried out, and answered with this status.
    After(u16),
    /// It is carried out, and never answered.
    Silence,
    /// It is answered with this many bytes.
    Flood(usize),
    /// The same is opened by another client before it is carried out.
    Race,
}

/// A pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    pub number: u64,
    pub head: String,
    pub base: String,
    pub title: String,
    pub body: String,
    pub labels: Vec<String>,
    /// `open`, `locked`, `merged` or `closed`.
    pub state: &'static str,
    /// Whether the head is of a fork.
    pub is_fork: bool,
    /// GitHub's field; the others have it in the title.
    pub is_draft: bool,
    /// Those asked for a review; teams have a leading slash.
    pub reviewers: Vec<String>,
    pub comments: Vec<String>,
}

/// A received request.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub target: String,
    pub login: Option<String>,
    pub body: String,
}

/// What the server holds, and how it behaves.
pub struct State {
    pub branches: Vec<String>,
    /// The branches whose content `main` has.
    pub merged: Vec<String>,
    pub pulls: Vec<Pull>,
    pub labels: Vec<(u64, String)>,
    /// Labels of the organisation; none if the owner is a user.
    pub shared_labels: Option<Vec<(u64, String)>>,
    pub faults: Vec<(Method, Fault)>,
    pub requests: Vec<Seen>,
    /// The App's number and its public key, PEM.
    pub app: Option<(String, String)>,
    /// What the App may do; a token that asks for more is refused.
    pub app_permissions: Vec<&'static str>,
    pub granted: Vec<(String, Value)>,
    /// Whether a Gitea is as old as 1.19.
    pub is_old: bool,
    /// Whether the token may make missing labels: GitHub's `Issues: write`, Gitea's `write:issue`,
    /// a role of GitLab.
    pub may_make_labels: bool,
    /// Gitea's `WORK_IN_PROGRESS_PREFIXES`.
    pub draft_prefixes: Vec<String>,
    /// Those who can be asked for a review; teams have a leading slash.
    pub reviewers: Vec<String>,
}

/// A running server.
pub struct Forge {
    pub kind: ForgeKind,
    pub host: String,
    /// The repository's Git address.
    pub git_url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Clone)]
struct Served {
    kind: ForgeKind,
    state: Arc<Mutex<State>>,
}

impl Forge {
    /// A server without TLS. It ends with the test's runtime.
    pub async fn start(kind: ForgeKind) -> Self {
        let (listener, address) = listen().await;
        let forge = Self::new(kind, "http", &address.to_string());
        let app = forge.app();
        tokio::spawn(async move { axum::serve(listener, app).await });
        forge
    }

    /// The same with TLS, as `localhost`.
    pub async fn with_tls(kind: ForgeKind, tls: ServerTls) -> Self {
        let (listener, address) = listen().await;
        let acceptor = acceptor(tls);
        let forge = Self::new(kind, "https", &format!("localhost:{}", address.port()));
        let app = forge.app();
        tokio::spawn(async move { axum::serve(TlsListener { listener, acceptor }, app).await });
        forge
    }

    fn new(kind: ForgeKind, scheme: &str, host: &str) -> Self {
        let state = State {
            branches: ["main", "patchset/prod", "release/1.0"]
                .map(str::to_owned)
                .to_vec(),
            merged: Vec::new(),
            pulls: Vec::new(),
            labels: vec![(3, "bug".to_owned()), (4, "Images".to_owned())],
            shared_labels: None,
            faults: Vec::new(),
            requests: Vec::new(),
            app: None,
            app_permissions: vec!["contents", "pull_requests"],
            granted: Vec::new(),
            is_old: false,
            may_make_labels: true,
            draft_prefixes: ["WIP:", "[WIP]"].map(str::to_owned).to_vec(),
            reviewers: ["ann", "ben", "/core"].map(str::to_owned).to_vec(),
        };
        Self {
            kind,
            host: host.to_owned(),
            git_url: format!("{scheme}://{host}/{}.git", path(kind)),
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn app(&self) -> axum::Router {
        let served = Served {
            kind: self.kind,
            state: Arc::clone(&self.state),
        };
        axum::Router::new().fallback(serve).with_state(served)
    }

    /// The server's state.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Has the next request with a method go wrong.
    pub fn fault(&self, method: Method, fault: Fault) {
        self.state().faults.push((method, fault));
    }

    /// The number of requests that change something.
    pub fn writes(&self) -> usize {
        let state = self.state();
        state
            .requests
            .iter()
            .filter(|seen| seen.method != Method::GET)
            .count()
    }

    /// Adds a pull request opened by another user.
    pub fn add(&self, head: &str, base: &str, state: &'static str) -> u64 {
        self.state().add(head, base, state)
    }
}

impl State {
    fn add(&mut self, head: &str, base: &str, state: &'static str) -> u64 {
        let number = self.pulls.len() as u64 + 1;
        self.pulls.push(Pull {
            number,
            head: head.to_owned(),
            base: base.to_owned(),
            title: "by hand".to_owned(),
            body: String::new(),
            labels: Vec::new(),
            state,
            is_fork: false,
            is_draft: false,
            reviewers: Vec::new(),
            comments: Vec::new(),
        });
        number
    }

    fn pull(&mut self, number: &str) -> Option<&mut Pull> {
        self.pulls
            .iter_mut()
            .find(|pull| pull.number.to_string() == number)
    }

    /// Whether a label may be put on a request: it exists, or may be made.
    fn may_put(&self, label: &str) -> bool {
        let is_there = |(_, name): &(u64, String)| name.eq_ignore_ascii_case(label);
        self.may_make_labels || self.labels.iter().any(is_there)
    }

    fn open(&self, head: &str, base: &str) -> Option<u64> {
        let same =
            |pull: &&Pull| pull.state == "open" && !pull.is_fork && pull.head == head && pull.base == base;
        self.pulls.iter().find(same).map(|pull| pull.number)
    }
}

/// The repository's path.
pub fn path(kind: ForgeKind) -> &'static str {
    match kind {
        ForgeKind::GitLab => "infra/apps/gitops",
        ForgeKind::GitHub | ForgeKind::Gitea => "acme/gitops",
    }
}

type Answer = (StatusCode, HeaderMap, Body);

fn answer(status: u16, body: &Value) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    let status = StatusCode::from_u16(status).unwrap();
    (status, headers, Body::from(body.to_string()))
}

fn says(status: u16, message: &str) -> Answer {
    answer(status, &json!({"message": message}))
}

async fn serve(
    Shared(served): Shared<Served>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fault = {
        let mut state = served.state.lock().unwrap();
        let login = headers
            .get("private-token")
            .or_else(|| headers.get(header::AUTHORIZATION));
        state.requests.push(Seen {
            method: method.clone(),
            target: uri.path_and_query().unwrap().to_string(),
            login: login.map(|value| value.to_str().unwrap().to_owned()),
            body: String::from_utf8(body.to_vec()).unwrap(),
        });
        let found = state.faults.iter().position(|(of, _)| *of == method);
        found.map(|index| state.faults.remove(index).1)
    };
    match &fault {
        Some(Fault::Instead(status, sent, body)) => {
            let mut answer = answer(*status, &Value::Null);
            for (name, value) in sent {
                answer.1.insert(*name, value.parse().unwrap());
            }
            answer.2 = Body::from(body.clone());
            return answer.into_response();
        }
        Some(Fault::Flood(bytes)) => return vec![b' '; *bytes].into_response(),
        Some(Fault::Race) => {
            served.state.lock().unwrap().add("patchset/prod", "main", "open");
        }
        _ => {}
    }
    let done = handle(&served, &method, &uri, &headers, &body);
    match fault {
        Some(Fault::After(status)) => says(status, "").into_response(),
        Some(Fault::Silence) => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            done.into_response()
        }
        _ => done.into_response(),
    }
}

fn decoded(text: &str) -> String {
    let pair = format!("x={}", text.replace('+', "%2B"));
    let (_, value) = url::form_urlencoded::parse(pair.as_bytes()).next().unwrap();
    value.into_owned()
}

fn handle(served: &Served, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Answer {
    let state = &mut *served.state.lock().unwrap();
    let path = uri.path();
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let header = |name: &str| {
        headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
            .to_owned()
    };
    let body: Value = if body.is_empty() {
        Value::Null
    } else {
        assert_eq!(header("content-type"), "application/json");
        serde_json::from_slice(body).unwrap()
    };
    let (root, login) = match served.kind {
        ForgeKind::GitHub => ("/api/v3/", header("authorization")),
        ForgeKind::GitLab => ("/api/v4/", header("private-token")),
        ForgeKind::Gitea => ("/api/v1/", header("authorization")),
    };
    let Some(path) = path.strip_prefix(root) else {
        return (StatusCode::OK, HeaderMap::new(), Body::from("<html>"));
    };
    let segments: Vec<String> = path.split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match served.kind {
        ForgeKind::GitHub => {
            if header("user-agent").is_empty() {
                return says(403, "Request forbidden by administrative rules.");
            }
            if header("x-github-api-version") != "2022-11-28" {
                return says(400, "Unknown API version");
            }
            let login = login.strip_prefix("Bearer ").unwrap_or_default();
            if let ["app", "installations", id, "access_tokens"] = segments.as_slice() {
                return grant(state, id, login, body);
            }
            if login != TOKEN && !state.granted.iter().any(|(token, _)| token == login) {
                return says(401, "Bad credentials");
            }
            if let Some((_, asked)) = state.granted.iter().find(|(token, _)| token == login) {
                state.may_make_labels = asked["permissions"]["issues"] == "write";
            }
            github(state, method, &segments, &query, &body)
        }
        ForgeKind::GitLab => {
            if login != TOKEN {
                return says(401, "401 Unauthorized");
            }
            gitlab(state, method, &segments, &query, &body)
        }
        ForgeKind::Gitea => {
            if login != format!("token {TOKEN}") {
                return says(401, "invalid username, password or token");
            }
            gitea(state, method, &segments, &query, &body)
        }
    }
}

/// A page of a list, with the link to the next.
fn paged(items: &[Value], query: &HashMap<String, String>, size: &str, most: usize) -> Answer {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
    let size = number(size).unwrap_or(20).min(most);
    let page = number("page").unwrap_or(1);
    let part: Vec<_> = items.iter().skip((page - 1) * size).take(size).collect();
    let mut answer = answer(200, &json!(part));
    if page * size < items.len() {
        let link = "<https://x/?page=2>; rel=\"next\", <https://x/?page=9>; rel=\"last\"";
        answer.1.insert(header::LINK, link.parse().unwrap());
    }
    answer
}

fn newest(state: &State, fits: impl Fn(&Pull) -> bool, wire: impl Fn(&Pull) -> Value) -> Vec<Value> {
    let pulls = state.pulls.iter().rev();
    pulls.filter(|pull| fits(pull)).map(wire).collect()
}

fn text<'a>(body: &'a Value, field: &str) -> Option<&'a str> {
    let value = &body[field];
    assert!(value.is_null() || value.is_string(), "{field} is no text");
    value.as_str()
}

/// Whether a title begins with a prefix, in any case.
fn is_draft(title: &str, prefixes: &[&str]) -> bool {
    let title = title.to_lowercase();
    prefixes
        .iter()
        .any(|prefix| title.starts_with(&prefix.to_lowercase()))
}

/// The comments on a request, if it exists, and a new one.
fn comments(pull: Option<&mut Pull>, method: &Method, body: &Value) -> Answer {
    let Some(pull) = pull else {
        return says(404, "Not Found");
    };
    if method == Method::POST {
        pull.comments.push(text(body, "body").unwrap().to_owned());
        return answer(201, &json!({"id": 1, "body": text(body, "body")}));
    }
    let wire = pull
        .comments
        .iter()
        .map(|comment| json!({"id": 1, "body": comment}));
    answer(200, &wire.collect())
}

/// GitHub's and Gitea's request for reviews: from everyone named, or from no one.
fn ask_for_reviews(state: &mut State, number: &str, body: &Value) -> Answer {
    let list = |field: &str, prefix: &str| -> Vec<String> {
        let names = body[field].as_array().unwrap().iter();
        names
            .map(|name| format!("{prefix}{}", name.as_str().unwrap()))
            .collect()
    };
    let names = [list("reviewers", ""), list("team_reviewers", "/")].concat();
    if !names.iter().all(|name| state.reviewers.contains(name)) {
        return says(
            422,
            "Reviews may only be requested from collaborators. One or more of the users or teams you specified is not a collaborator of the acme/gitops repository.",
        );
    }
    let Some(pull) = state.pull(number) else {
        return says(404, "Not Found");
    };
    for name in names {
        if !pull.reviewers.contains(&name) {
            pull.reviewers.push(name);
        }
    }
    answer(201, &json!({"number": pull.number}))
}

/// GitHub's and Gitea's edit of a pull request.
fn edit(pull: &mut Pull, body: &Value) {
    if let Some(draft) = body["draft"].as_bool() {
        pull.is_draft = draft;
    }
    if let Some(title) = text(body, "title") {
        title.clone_into(&mut pull.title);
    }
    if let Some(body) = text(body, "body") {
        body.clone_into(&mut pull.body);
    }
    if text(body, "state") == Some("closed") {
        pull.state = "closed";
    }
}

fn github(
    state: &mut State,
    method: &Method,
    segments: &[&str],
    query: &HashMap<String, String>,
    body: &Value,
) -> Answer {
    let wire = |pull: &Pull| {
        let branch = |name: &str, repo: u64| json!({"ref": name, "label": format!("acme:{name}"), "sha": "0", "repo": {"id": repo, "full_name": "acme/gitops"}});
        let is_open = pull.state == "open";
        json!({
            "id": 1_000 + pull.number, "number": pull.number, "html_url": format!("https://github.example.org/acme/gitops/pull/{}", pull.number),
            "state": if is_open { "open" } else { "closed" }, "locked": false, "draft": pull.is_draft,
            "merged_at": (pull.state == "merged").then_some("2026-01-02T03:04:05Z"),
            "title": pull.title, "body": Some(&pull.body).filter(|body| !body.is_empty()),
            "labels": pull.labels.iter().map(|name| json!({"id": 1, "name": name, "color": "ededed"})).collect::<Vec<_>>(),
            "head": branch(&pull.head, if pull.is_fork { 8 } else { 7 }), "base": branch(&pull.base, 7),
        })
    };
    let ["repos", "acme", "gitops", rest @ ..] = segments else {
        return says(404, "Not Found");
    };
    let invalid = |errors: Value| answer(422, &json!({"message": "Validation Failed", "errors": errors}));
    match (method.as_str(), rest) {
        ("GET", ["pulls"]) => {
            let head = query.get("head").and_then(|head| head.split_once(':'));
            let fits = |pull: &Pull| {
                (query["state"] == "all" || pull.state == "open")
                    && head.is_none_or(|(owner, head)| owner == "acme" && pull.head == head)
                    && query.get("base").is_none_or(|base| pull.base == *base)
            };
            assert_eq!((&*query["sort"], &*query["direction"]), ("created", "desc"));
            paged(&newest(state, fits, wire), query, "per_page", 100)
        }
        ("POST", ["pulls"]) => {
            let (head, base) = (text(body, "head").unwrap(), text(body, "base").unwrap());
            for (field, branch) in [("head", head), ("base", base)] {
                if !state.branches.iter().any(|known| known == branch) {
                    return invalid(json!([{"resource": "PullRequest", "field": field, "code": "invalid"}]));
                }
            }
            let custom = |message: String| {
                invalid(json!([{"resource": "PullRequest", "code": "custom", "message": message}]))
            };
            if state.merged.iter().any(|branch| branch == head) {
                return custom(format!("No commits between {base} and {head}"));
            }
            if state.open(head, base).is_some() {
                return custom(format!("A pull request already exists for acme:{head}."));
            }
            let number = state.add(head, base, "open");
            let pull = state.pull(&number.to_string()).unwrap();
            edit(pull, body);
            answer(201, &wire(pull))
        }
        ("GET", ["pulls", number]) => match state.pull(number) {
            None => says(404, "Not Found"),
            Some(pull) => {
                let mut told = wire(pull);
                told["merged"] = (pull.state == "merged").into();
                answer(200, &told)
            }
        },
        ("PATCH", ["pulls", number]) => {
            let pull = state.pull(number).unwrap();
            edit(pull, body);
            answer(200, &wire(pull))
        }
        ("POST", ["pulls", number, "requested_reviewers"]) => ask_for_reviews(state, number, body),
        ("GET" | "POST", ["issues", number, "comments"]) => comments(state.pull(number), method, body),
        ("POST", ["issues", number, "labels"]) => {
            let labels = body["labels"].as_array().unwrap().iter();
            let labels: Vec<String> = labels.map(|label| label.as_str().unwrap().to_owned()).collect();
            if !labels.iter().all(|label| state.may_put(label)) {
                let error = json!({"resource": "Repository", "field": "label", "code": "unauthorized"});
                let message = "You do not have permission to create labels on this repository.";
                return answer(
                    403,
                    &json!({"message": message, "errors": [error], "status": "403"}),
                );
            }
            state.pull(number).unwrap().labels.extend(labels);
            answer(200, &json!([]))
        }
        _ => says(404, "Not Found"),
    }
}

/// A merge request as GitLab sends it; the id of a reviewer follows from the place in `known`.
fn gitlab_wire(pull: &Pull, known: &[String]) -> Value {
    json!({
        "id": 1_000 + pull.number, "iid": pull.number, "project_id": 7, "title": pull.title, "description": pull.body,
        "state": if pull.state == "open" { "opened" } else { pull.state }, "labels": pull.labels, "draft": is_draft(&pull.title, &["draft:", "[draft]", "(draft)"]),
        "source_branch": pull.head, "target_branch": pull.base, "target_project_id": 7,
        "source_project_id": if pull.is_fork { 8 } else { 7 },
        "reviewers": pull.reviewers.iter().map(|name| json!({"id": 50 + known.iter().position(|known| known == name).unwrap(), "username": name})).collect::<Vec<_>>(),
        "web_url": format!("https://gitlab.example.org/infra/apps/gitops/-/merge_requests/{}", pull.number),
    })
}

/// The labels that a merge request gets: those that may not be made are silently left out.
fn gitlab_labels(state: &State, body: &Value) -> Vec<String> {
    let asked = text(body, "labels").or_else(|| text(body, "add_labels"));
    let asked = asked.unwrap_or_default().split(',');
    asked
        .filter(|label| !label.is_empty() && state.may_put(label))
        .map(str::to_owned)
        .collect()
}

/// Sets a merge request's description: commands are carried out and removed from the text.
fn gitlab_describe(pull: &mut Pull, text: &str) {
    let mut kept = Vec::new();
    for line in text.lines() {
        match line.trim() {
            "/close" => pull.state = "closed",
            _ => kept.push(line),
        }
    }
    kept.join("\n").trim_end().clone_into(&mut pull.body);
}

/// Opens a merge request, if its branches exist and it is the only one.
fn gitlab_open(state: &mut State, body: &Value) -> Answer {
    let (Some(head), Some(base)) = (text(body, "source_branch"), text(body, "target_branch")) else {
        return answer(400, &json!({"error": "source_branch is missing"}));
    };
    for (what, branch) in [("Source", head), ("Target", base)] {
        if !state.branches.iter().any(|known| known == branch) {
            return answer(
                409,
                &json!({"message": [format!("{what} branch \"{branch}\" does not exist")]}),
            );
        }
    }
    if let Some(number) = state.open(head, base) {
        let message = format!("Another open merge request already exists for this source branch: !{number}");
        return answer(409, &json!({"message": [message]}));
    }
    let labels = gitlab_labels(state, body);
    let known = state.reviewers.clone();
    let number = state.add(head, base, "open");
    let pull = state.pull(&number.to_string()).unwrap();
    text(body, "title").unwrap().clone_into(&mut pull.title);
    gitlab_describe(pull, text(body, "description").unwrap_or_default());
    pull.labels.extend(labels);
    answer(201, &gitlab_wire(pull, &known))
}

/// Changes the sent fields of a merge request.
fn gitlab_edit(state: &mut State, number: &str, body: &Value) -> Answer {
    let labels = gitlab_labels(state, body);
    let known = state.reviewers.clone();
    let pull = state.pull(number).unwrap();
    if let Some(title) = text(body, "title") {
        title.clone_into(&mut pull.title);
    }
    if let Some(body) = text(body, "description") {
        gitlab_describe(pull, body);
    }
    pull.labels.extend(labels);
    if let Some(ids) = body["reviewer_ids"].as_array() {
        let names = ids
            .iter()
            .map(|id| usize::try_from(id.as_u64().unwrap()).unwrap() - 50);
        pull.reviewers = names.map(|at| known[at].clone()).collect();
    }
    if text(body, "state_event") == Some("close") && pull.state == "open" {
        pull.state = "closed";
    }
    answer(200, &gitlab_wire(pull, &known))
}

fn gitlab(
    state: &mut State,
    method: &Method,
    segments: &[&str],
    query: &HashMap<String, String>,
    body: &Value,
) -> Answer {
    let known = state.reviewers.clone();
    let wire = |pull: &Pull| gitlab_wire(pull, &known);
    if let ["users"] = segments {
        let known = state.reviewers.iter().enumerate();
        let users = known.filter(|(_, name)| **name == query["username"]);
        return answer(
            200,
            &users
                .map(|(at, name)| json!({"id": 50 + at, "username": name}))
                .collect(),
        );
    }
    let ["projects", "infra/apps/gitops", "merge_requests", rest @ ..] = segments else {
        return says(404, "404 Project Not Found");
    };
    match (method.as_str(), rest) {
        ("GET", []) => {
            let wanted = match &*query["state"] {
                "opened" => "open",
                other => other,
            };
            let fits = |pull: &Pull| {
                (wanted == "all" || pull.state == wanted)
                    && pull.head == query["source_branch"]
                    && pull.base == query["target_branch"]
            };
            paged(&newest(state, fits, wire), query, "per_page", 100)
        }
        ("POST", []) => gitlab_open(state, body),
        ("GET", [number]) => match state.pull(number) {
            None => says(404, "404 Not found"),
            Some(pull) => answer(200, &wire(pull)),
        },
        ("GET" | "POST", [number, "notes"]) => comments(state.pull(number), method, body),
        ("PUT", [number]) => gitlab_edit(state, number, body),
        _ => says(404, "404 Not Found"),
    }
}

/// A function that writes pull requests as Gitea sends them, with the current state.
fn gitea_wire(state: &State) -> impl Fn(&Pull) -> Value + use<> {
    let branches = state.branches.clone();
    let prefixes = state.draft_prefixes.clone();
    move |pull: &Pull| {
        let is_there = branches.contains(&pull.head);
        let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
        json!({
            "id": 1_000 + pull.number, "number": pull.number, "title": pull.title, "body": pull.body,
            "draft": is_draft(&pull.title, &prefixes),
            "html_url": format!("https://gitea.example.org/acme/gitops/pulls/{}", pull.number),
            "state": if pull.state == "open" { "open" } else { "closed" }, "merged": pull.state == "merged",
            "merged_at": (pull.state == "merged").then_some("2026-01-02T03:04:05Z"),
            "labels": pull.labels.iter().map(|name| json!({"id": 1, "name": name, "color": "ededed"})).collect::<Vec<_>>(),
            "base": {"label": pull.base, "ref": pull.base, "sha": "0", "repo_id": 7, "repo": {"id": 7}},
            "head": {
                "label": pull.head, "ref": if is_there { pull.head.clone() } else { format!("refs/pull/{}/head", pull.number) },
                "sha": "0", "repo_id": 7, "repo": {"id": if pull.is_fork { 8 } else { 7 }},
            },
        })
    }
}

/// A label as Gitea sends it.
fn gitea_label((id, name): &(u64, String)) -> Value {
    json!({"id": id, "name": name, "color": "ededed"})
}

/// Gitea's answer if something does not exist.
fn gitea_not_found() -> Answer {
    answer(
        404,
        &json!({"errors": null, "message": "The target couldn't be found.", "url": "https://x/api/swagger"}),
    )
}

/// Opens a pull request, if its branches exist and it is the only one.
fn gitea_open(state: &mut State, body: &Value) -> Answer {
    let (head, base) = (text(body, "head").unwrap(), text(body, "base").unwrap());
    if ![head, base]
        .iter()
        .all(|branch| state.branches.iter().any(|known| known == branch))
    {
        return gitea_not_found();
    }
    if let Some(number) = state.open(head, base) {
        let message = format!(
            "pull request already exists for these targets [id: {number}, issue_id: {number}, head_repo_id: 7, base_repo_id: 7, head_branch: {head}, base_branch: {base}]"
        );
        return says(409, &message);
    }
    let wire = gitea_wire(state);
    let number = state.add(head, base, "open");
    let pull = state.pull(&number.to_string()).unwrap();
    edit(pull, body);
    answer(201, &wire(pull))
}

/// Makes a label, if the token may do so.
fn gitea_make_label(state: &mut State, body: &Value) -> Answer {
    if !state.may_make_labels {
        return says(
            403,
            "token does not have at least one of required scope(s), required=[write:issue], token scope=write:repository",
        );
    }
    let name = text(body, "name").unwrap().to_owned();
    assert!(text(body, "color").unwrap().starts_with('#'));
    let made = (100 + state.labels.len() as u64, name);
    let told = gitea_label(&made);
    state.labels.push(made);
    answer(201, &told)
}

/// Puts labels on a pull request by their ids.
fn gitea_put_labels(state: &mut State, number: &str, body: &Value) -> Answer {
    let ids = body["labels"].as_array().unwrap().iter();
    let ids: Vec<_> = ids.map(|id| id.as_u64().unwrap()).collect();
    let known = state.labels.iter().chain(state.shared_labels.iter().flatten());
    let names: Vec<_> = known
        .filter(|(id, _)| ids.contains(id))
        .map(|(_, name)| name.clone())
        .collect();
    assert_eq!(names.len(), ids.len());
    state.pull(number).unwrap().labels.extend(names);
    answer(200, &json!([]))
}

fn gitea(
    state: &mut State,
    method: &Method,
    segments: &[&str],
    query: &HashMap<String, String>,
    body: &Value,
) -> Answer {
    let wire = gitea_wire(state);
    let rest = match segments {
        ["orgs", "acme", "labels"] => {
            return match &state.shared_labels {
                Some(labels) => answer(200, &labels.iter().map(gitea_label).collect()),
                None => gitea_not_found(),
            };
        }
        ["repos", "acme", "gitops", rest @ ..] => rest,
        _ => return gitea_not_found(),
    };
    match (method.as_str(), rest) {
        ("GET", ["pulls"]) => {
            let base = query.get("base_branch").filter(|_| !state.is_old);
            let fits = |pull: &Pull| {
                (query["state"] == "all" || pull.state == "open")
                    && base.is_none_or(|base| pull.base == *base)
            };
            paged(&newest(state, fits, wire), query, "limit", 50)
        }
        ("GET", ["pulls", base, head]) => {
            if state.is_old {
                let body = Body::from("404 page not found\n");
                return (StatusCode::NOT_FOUND, HeaderMap::new(), body);
            }
            let mut pulls = state.pulls.iter();
            match pulls.find(|pull| !pull.is_fork && pull.head == *head && pull.base == *base) {
                None => gitea_not_found(),
                Some(pull) => answer(200, &wire(pull)),
            }
        }
        ("POST", ["pulls"]) => gitea_open(state, body),
        ("GET", ["pulls", number]) => match state.pull(number) {
            None => gitea_not_found(),
            Some(pull) => answer(200, &wire(pull)),
        },
        ("POST", ["pulls", number, "requested_reviewers"]) => ask_for_reviews(state, number, body),
        ("GET" | "POST", ["issues", number, "comments"]) => comments(state.pull(number), method, body),
        ("PATCH", ["pulls", number]) => {
            let pull = state.pull(number).unwrap();
            if pull.state == "merged" && body["state"].is_string() {
                return says(
                    412,
                    "cannot change state of this pull request, it was already merged",
                );
            }
            edit(pull, body);
            answer(201, &wire(pull))
        }
        ("GET", ["labels"]) => {
            let labels: Vec<_> = state.labels.iter().map(gitea_label).collect();
            paged(&labels, query, "limit", 50)
        }
        ("POST", ["labels"]) => gitea_make_label(state, body),
        ("POST", ["issues", number, "labels"]) => gitea_put_labels(state, number, body),
        _ => gitea_not_found(),
    }
}

fn grant(state: &mut State, installation: &str, proof: &str, asked: Value) -> Answer {
    let Some((id, key)) = &state.app else {
        return says(404, "Integration not found");
    };
    let claims = verified(proof, key);
    if claims.is_none_or(|claims| claims["iss"] != **id) {
        return says(401, "A JSON web token could not be decoded");
    }
    if installation != "42" {
        return says(404, "Not Found");
    }
    if asked["repositories"] != json!(["gitops"]) {
        return says(
            422,
            "There is at least one repository that does not exist or is not accessible to the parent installation.",
        );
    }
    let permissions = asked["permissions"].as_object().unwrap();
    if !permissions
        .keys()
        .all(|name| state.app_permissions.contains(&name.as_str()))
    {
        return says(
            422,
            "The permissions requested are not granted to this installation.",
        );
    }
    let token = format!("ghs_{}hidden", state.granted.len());
    let ends = Timestamp::now() + SignedDuration::from_hours(1);
    let told = json!({"token": token, "expires_at": ends.to_string()});
    state.granted.push((token, asked));
    answer(201, &told)
}
