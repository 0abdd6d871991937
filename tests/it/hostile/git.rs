//! A Git server over HTTP that sends any refs and packs (gitprotocol-v2).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{Method, Response, header};

use super::server::{Server, dripping, filled};
use crate::support::hex;

/// The start of a line of 65,520 bytes.
pub const LONG_LINE: &[u8] = b"fff0# service=git-upload-pack";

/// What it sends as lists of refs.
#[derive(Clone)]
pub enum Refs {
    /// Lines of the protocol.
    Lines(Bytes),
    /// One line repeated up to this many bytes.
    Same(Bytes, u64),
    /// A byte each second.
    Dripping,
}

/// A forged repository.
#[derive(Clone)]
pub struct Repository {
    pub refs: Refs,
    /// A commit and everything that comes with it.
    pub commit: [u8; 20],
    pub pack: Bytes,
}

impl Repository {
    /// The tag 1.0.0, which is a commit of a pack.
    pub fn with_pack(commit: [u8; 20], pack: Vec<u8>) -> Self {
        let lines = [
            reference(&commit, "refs/heads/main"),
            reference(&commit, "refs/tags/1.0.0"),
        ];
        Self {
            refs: Refs::Lines(lines.concat().into()),
            commit,
            pack: pack.into(),
        }
    }

    /// A list of refs, without what they lead to.
    pub fn with_refs(refs: Refs) -> Self {
        Self {
            refs,
            commit: [0x11; 20],
            pack: Bytes::new(),
        }
    }
}

/// A line of the protocol.
pub fn line(text: &[u8]) -> Vec<u8> {
    [format!("{:04x}", text.len() + 4).as_bytes(), text].concat()
}

/// A line of a list of refs.
pub fn reference(object: &[u8; 20], name: &str) -> Vec<u8> {
    line(format!("{} {name}\n", hex(object)).as_bytes())
}

/// Serves repositories as `http://HOST/NAME`, with or without `.git`.
pub fn serve(repositories: BTreeMap<String, Repository>) -> Server {
    let repositories = Arc::new(repositories);
    Server::start(Router::new().fallback(move |request: Request| {
        let repositories = Arc::clone(&repositories);
        async move { answer(&repositories, request).await }
    }))
}

async fn answer(repositories: &BTreeMap<String, Repository>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let name = parts.uri.path().split('/').nth(1).unwrap_or_default();
    let Some(repository) = repositories.get(name.trim_end_matches(".git")) else {
        return Response::builder().status(404).body(Body::empty()).unwrap();
    };
    let kind = |kind: &str| format!("application/x-git-upload-pack-{kind}");
    if parts.method == Method::GET {
        let mut text = line(b"# service=git-upload-pack\n");
        text.extend(b"0000");
        for capability in [
            "version 2",
            "agent=hostile",
            "ls-refs=unborn",
            "fetch=shallow",
            "object-format=sha1",
        ] {
            text.extend(line(format!("{capability}\n").as_bytes()));
        }
        text.extend(b"0000");
        return Response::builder()
            .header(header::CONTENT_TYPE, kind("advertisement"))
            .body(text.into())
            .unwrap();
    }
    let asked = axum::body::to_bytes(body, 16 << 20).await.unwrap_or_default();
    let body = if String::from_utf8_lossy(&asked).contains("command=ls-refs") {
        match &repository.refs {
            Refs::Lines(lines) => Body::from([lines, &b"0000"[..]].concat()),
            Refs::Same(line, total) => repeated(line, *total),
            Refs::Dripping => dripping(Bytes::from_static(LONG_LINE), Duration::from_secs(1)),
        }
    } else {
        Body::from(fetched(repository))
    };
    Response::builder()
        .header(header::CONTENT_TYPE, kind("result"))
        .body(body)
        .unwrap()
}

/// One line many times, in larger pieces.
fn repeated(line: &Bytes, total: u64) -> Body {
    let piece = Bytes::from(line.repeat((1 << 16) / line.len() + 1));
    let count = total.div_ceil(piece.len() as u64);
    let pieces = (0..count).map(move |_| Ok::<_, std::io::Error>(piece.clone()));
    let end = std::iter::once(Ok(Bytes::from_static(b"0000")));
    Body::from_stream(futures::stream::iter(pieces.chain(end)))
}

/// An answer to `fetch`: the commit is shallow, the pack comes by the side band.
fn fetched(repository: &Repository) -> Vec<u8> {
    let mut text = line(b"shallow-info\n");
    text.extend(line(format!("shallow {}\n", hex(&repository.commit)).as_bytes()));
    text.extend(b"0001");
    text.extend(line(b"packfile\n"));
    for piece in repository.pack.chunks(65_515) {
        text.extend(line(&[b"\x01", piece].concat()));
    }
    text.extend(b"0000");
    text
}

/// A server that answers everything with `mib` MiB of one letter.
pub fn serve_nothing(mib: u64) -> Server {
    Server::start(Router::new().fallback(move || async move { filled(Bytes::new(), b'x', mib << 20) }))
}
