//! An HTTP server on loopback that answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A server, for as long as the process runs.
pub struct Server {
    pub address: SocketAddr,
    answers: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let answers = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let shared = Arc::clone(&answers);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, &shared);
            }
        });
        Self { address, answers }
    }

    /// Sets the answers from here on, each whole but for `HTTP/1.1 `; the last one is repeated.
    pub fn set(&self, mut answers: Vec<Vec<u8>>) {
        answers.reverse();
        *self.answers.lock().expect("no panic") = answers;
    }
}

/// An answer with a body.
#[allow(dead_code)]
pub fn ok(kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn answer(stream: TcpStream, answers: &Mutex<Vec<Vec<u8>>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some(told) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = told.trim().parse().unwrap_or(0);
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    let next = {
        let mut answers = answers.lock().expect("no panic");
        if answers.len() > 1 { answers.pop() } else { answers.first().cloned() }
    };
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 ")?;
    stream.write_all(&next.unwrap_or_default())
}
