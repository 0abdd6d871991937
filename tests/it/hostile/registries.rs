//! Answers of a registry and of its token server, by `patchset source --push`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, Response, StatusCode, response::Builder};

use super::offline::Offline;
use super::server::{Server, dripping, filled};
use super::table;
use crate::controller::BASE;
use crate::support::git_repo::GitRepo;

/// A link-local address, which must never be contacted: not that of any cloud's metadata, so that a
/// failing test does not contact that.
const METADATA: &str = "http://169.254.77.77/latest/meta-data";

/// What a registry does wrong, by name and in words, and the acceptable exit statuses of a push.
pub const ODD: &[(&str, &str, &[i32])] = &[
    ("token-line-feed", "a token with a line feed", &[2]),
    ("token-huge", "a token answer of 600 MiB", &[2]),
    ("token-deep", "a token answer of 100,000 lists", &[2]),
    ("token-dripping", "a token answer without an end, slowly", &[2]),
    ("realm-metadata", "a token server at a link-local address", &[2]),
    ("realm-odd", "a token server that is no URL", &[2]),
    (
        "created-without-location",
        "a manifest put without Location, which is right",
        &[0],
    ),
    ("location-odd", "an upload to what is no URL", &[2]),
    ("location-metadata", "an upload to a link-local address", &[2]),
    ("location-none", "an upload to nowhere", &[2]),
    ("manifest-metadata", "a manifest at a link-local address", &[2]),
    ("manifest-circle", "a manifest that leads to itself", &[2]),
    ("manifest-endless", "a manifest without an end", &[2]),
    ("manifest-dripping", "a manifest without an end, slowly", &[2]),
    ("digest-odd", "a digest with a terminal's commands", &[2]),
    ("error-long", "an error of 64 MiB", &[2]),
    ("error-escapes", "an error with a terminal's commands", &[2]),
];

/// A registry that does one of these.
pub fn serve(name: &'static str) -> Server {
    let host = Arc::new(std::sync::OnceLock::<String>::new());
    let server = Server::start(Router::new().fallback({
        let host = Arc::clone(&host);
        move |request: Request| {
            let host = Arc::clone(&host);
            async move { answer(name, host.get().map_or("", String::as_str), request).await }
        }
    }));
    host.set(server.host()).unwrap();
    server
}

fn json_error(status: u16, message: &str) -> (Builder, Body) {
    let body = serde_json::json!({ "errors": [{ "code": "DENIED", "message": message }] });
    (Response::builder().status(status), Body::from(body.to_string()))
}

async fn answer(name: &str, host: &str, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let (answer, body) = if path == "/token" {
        token(name)
    } else if !parts.headers.contains_key("authorization") {
        let realm = match name {
            "realm-metadata" => METADATA.to_owned(),
            "realm-odd" => "http://[".to_owned(),
            _ => format!("http://{host}/token"),
        };
        let challenge =
            format!("Bearer realm=\"{realm}\",service=\"hostile\",scope=\"repository:image:pull,push\"");
        let answer = Response::builder()
            .status(401)
            .header("www-authenticate", challenge);
        (answer, Body::empty())
    } else if path == "/v2/" {
        (Response::builder(), Body::empty())
    } else {
        // The upload is read, so that the client does not wait for it.
        let mut stream = body.into_data_stream();
        while let Some(Ok(_)) = futures::StreamExt::next(&mut stream).await {}
        registry(name, host, &parts.method, path)
    };
    answer.body(body).unwrap()
}

fn token(name: &str) -> (Builder, Body) {
    let body = match name {
        "token-line-feed" => Body::from("{\"token\":\"a\\nb\"}"),
        "token-huge" => filled("{\"token\":\"", b'x', 600 << 20),
        "token-deep" => Body::from(format!("{{\"token\":\"x\",\"more\":{}", "[".repeat(100_000))),
        "token-dripping" => dripping("{", Duration::from_secs(1)),
        _ => Body::from("{\"token\":\"good\"}"),
    };
    (
        Response::builder().header("content-type", "application/json"),
        body,
    )
}

fn registry(name: &str, host: &str, method: &Method, path: &str) -> (Builder, Body) {
    let is_manifest = path.contains("/manifests/");
    let status = |status: u16| (Response::builder().status(status), Body::empty());
    if is_manifest && (*method == Method::GET || *method == Method::HEAD) {
        let to = |target: String| {
            (
                Response::builder().status(307).header("location", target),
                Body::empty(),
            )
        };
        return match name {
            "manifest-metadata" => to(format!("{METADATA}/iam")),
            "manifest-circle" => to(format!("http://{host}{path}")),
            "manifest-endless" => (Response::builder(), filled("{", b' ', 600 << 20)),
            "manifest-dripping" => (Response::builder(), dripping("{", Duration::from_secs(1))),
            "digest-odd" => {
                let answer =
                    Response::builder().header("docker-content-digest", "sha256:[31m\u{9b}2J".as_bytes());
                (answer, Body::from("{}"))
            }
            "error-long" => (
                Response::builder().status(403),
                filled("{\"errors\":[{\"message\":\"", b'x', 64 << 20),
            ),
            "error-escapes" => json_error(403, "\x1b[2J\x1b]0;title\x07\r\nno"),
            _ => status(404),
        };
    }
    match (method, is_manifest) {
        (&Method::POST, _) => {
            let to = match name {
                "location-odd" => "http://[::not/a url".to_owned(),
                "location-metadata" => format!("{METADATA}/upload"),
                "location-none" => return status(202),
                _ => format!("http://{host}{path}1?state=x"),
            };
            (
                Response::builder().status(202).header("location", to),
                Body::empty(),
            )
        }
        (&Method::PUT, true) if name == "created-without-location" => status(201),
        (&Method::PUT | &Method::PATCH, _) => {
            let to = format!("http://{host}{path}");
            (
                Response::builder()
                    .status(StatusCode::CREATED)
                    .header("location", to),
                Body::empty(),
            )
        }
        _ => status(404),
    }
}

/// A push to one of these.
fn push(name: &'static str, input: &str, codes: &'static [i32]) -> Offline {
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "demo");
    repo.commit(&[("file.txt", BASE)], "base");
    let server = serve(name);
    let arguments = vec![
        "--repo".into(),
        repo.dir.clone().into(),
        "--ref=main".into(),
        "--plain-http".into(),
        server.host().into(),
        "--push".into(),
        format!("{}/image:1", server.host()).into(),
    ];
    Offline {
        input: format!("registry: {input}"),
        command: "source",
        arguments,
        home: root.path().to_owned(),
        codes,
        names: &["127.0.0.1"],
        ground: Box::new((root, repo, server)),
    }
}

/// Pushes to all of them except those that drip: the command line abandons these after five
/// attempts of two minutes, the controller after `spec.timeout`.
pub fn known() -> impl Iterator<Item = Offline> {
    let odd = ODD.iter().filter(|(name, ..)| !name.ends_with("-dripping"));
    odd.map(|(name, input, codes)| push(name, input, codes))
}

#[test]
fn are_asked_within_bounds() {
    let rows: Vec<_> = known().map(Offline::run).collect();
    table::check(&rows);
}
