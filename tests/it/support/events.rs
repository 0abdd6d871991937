//! The endpoint of Flux's notification controller: it keeps what is posted, and gives the
//! configured replies.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;

use super::program::program;

/// How a request is answered.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    /// With this status.
    Status(u16),
    /// With 202, after this time.
    After(Duration),
}

/// A received request.
#[derive(Clone, Debug)]
pub struct Posted {
    pub at: Instant,
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Whether it was answered with 202.
    pub taken: bool,
}

struct Kept {
    posted: Vec<Posted>,
    replies: VecDeque<Reply>,
    /// The status of all other replies.
    status: u16,
}

/// A server; it ends with its runtime.
pub struct EventServer {
    pub address: String,
    kept: Arc<Mutex<Kept>>,
}

impl EventServer {
    /// Gives these replies to the first requests, and 202 to all later ones.
    pub async fn start(replies: &[Reply]) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let kept = Arc::new(Mutex::new(Kept {
            posted: Vec::new(),
            replies: replies.iter().copied().collect(),
            status: 202,
        }));
        let app = axum::Router::new().fallback(answer).with_state(Arc::clone(&kept));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, kept }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// Answers all later requests with this status.
    pub fn refuse(&self, status: u16) {
        self.kept().status = status;
    }

    /// Gives these replies to the next requests, and 202 to all later ones.
    pub fn answer(&self, replies: &[Reply]) {
        let mut kept = self.kept();
        kept.replies.extend(replies);
        kept.status = 202;
    }

    pub fn posted(&self) -> Vec<Posted> {
        self.kept().posted.clone()
    }

    /// Waits until an accepted event fits; returns it as read by Flux's own type.
    pub async fn event(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let taken = self.posted().into_iter().filter(|posted| posted.taken);
            let found = taken
                .map(|posted| posted.body)
                .find(|body| fits(&serde_json::from_slice(body).unwrap()));
            if let Some(body) = found {
                return read_by_flux(body).await;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "no event {what} among {:#?}",
                self.posted()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn answer(
    State(kept): State<Arc<Mutex<Kept>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let reply = {
        let mut kept = kept.lock().unwrap();
        let reply = kept.replies.pop_front().unwrap_or(Reply::Status(kept.status));
        kept.posted.push(Posted {
            at: Instant::now(),
            method,
            uri,
            headers,
            body: body.to_vec(),
            taken: matches!(reply, Reply::Status(202)),
        });
        reply
    };
    match reply {
        Reply::Status(status) => StatusCode::from_u16(status).unwrap(),
        Reply::After(wait) => {
            tokio::time::sleep(wait).await;
            StatusCode::ACCEPTED
        }
    }
}

/// The event as read by Flux's own Go type: unknown fields and broken rules are refused.
async fn read_by_flux(body: Vec<u8>) -> Value {
    let read = tokio::task::spawn_blocking(move || {
        use std::io::Write;
        let mut child = program("flux-event")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&body).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}: {}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&body)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    });
    read.await.unwrap()
}
