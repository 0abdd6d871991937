//! No caller waits for longer than is worthwhile, because of another caller's impatience, or past
//! the end of the process.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use git_mirrors::{Error, Freshness, MirrorConfig, Mirrors, Pace, RefSpec, Timeouts};

use super::{anonymous, config, mirrors, soon};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;

fn main_branch() -> RefSpec {
    RefSpec::Branch("main".to_owned())
}

/// Listens, and serves each connection by its number; reports each.
fn listen(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> (u16, Receiver<usize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, accepted) = channel();
    std::thread::spawn(move || {
        let serve = std::sync::Arc::new(serve);
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let serve = std::sync::Arc::clone(&serve);
            std::thread::spawn(move || serve(number, stream));
            if send.send(number).is_err() {
                return;
            }
        }
    });
    (port, accepted)
}

/// Stays silent until the other side disconnects.
fn silent(mut stream: TcpStream) {
    while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {}
}

fn pass_on(client: TcpStream, port: u16) {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let (mut server, mut client) = (server, client);
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
}

#[test]
fn the_short_deadline_of_one_is_no_failure_of_another() {
    let root = tempfile::tempdir().unwrap();
    GitRepo::create(root.path(), "repo").commit(&[("a", "1\n")], "one");
    let server = GitServer::http(root.path()).start();
    let behind: u16 = server.host().rsplit_once(':').unwrap().1.parse().unwrap();
    let (port, accepted) = listen(move |number, stream| match number {
        0 => silent(stream),
        _ => pass_on(stream, behind),
    });
    let upstream = anonymous(&format!("http://127.0.0.1:{port}/repo.git"));
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    std::thread::scope(|scope| {
        let short = scope.spawn(|| {
            let deadline = Instant::now() + Duration::from_secs(3);
            mirrors.resolve(&upstream, &main_branch(), Freshness::Now, deadline)
        });
        accepted.recv().unwrap();
        // It waits behind the call that looks.
        let patient = mirrors.resolve(&upstream, &main_branch(), Freshness::Now, soon());
        assert!(matches!(short.join().unwrap(), Err(Error::Timeout { .. })));
        patient.unwrap();
    });
}

#[test]
fn what_waits_ends_with_the_process() {
    let (port, accepted) = listen(|_, stream| silent(stream));
    let cache = tempfile::tempdir().unwrap();
    let patient = Mirrors::open(MirrorConfig {
        timeouts: Timeouts {
            idle: Duration::from_secs(3600),
            ..Timeouts::default()
        },
        ..config(cache.path())
    })
    .unwrap();
    let upstream = anonymous(&format!("git://127.0.0.1:{port}/x"));
    let deadline = Instant::now() + Duration::from_secs(3600);
    let look = || patient.resolve(&upstream, &main_branch(), Freshness::Now, deadline);
    std::thread::scope(|scope| {
        // One that looks, and two that wait for it.
        let waiting: Vec<_> = (0..3).map(|_| scope.spawn(look)).collect();
        accepted.recv().unwrap();
        patient.close();
        for waiting in waiting {
            let error = waiting.join().unwrap().unwrap_err().to_string();
            assert!(
                error.contains("ending") || error.contains("waiting for another look"),
                "{error}"
            );
        }
    });
    assert!(look().unwrap_err().to_string().contains("ending"));
}

#[test]
fn a_server_that_drips_is_left() {
    let drip = |mut stream: TcpStream, start: &[u8]| {
        let _ = stream.write_all(start);
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let (git, _git) = listen(move |_, stream| drip(stream, b"fff0"));
    let (http, _http) = listen(move |_, mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let start = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\
                      Content-Length: 100000\r\n\r\nfff0";
        drip(stream, start);
    });
    let cache = tempfile::tempdir().unwrap();
    let mirrors = Mirrors::open(MirrorConfig {
        timeouts: Timeouts {
            pace: Pace {
                bytes: 1 << 10,
                window: Duration::from_secs(1),
            },
            ..Timeouts::default()
        },
        ..config(cache.path())
    })
    .unwrap();
    for address in [
        format!("git://127.0.0.1:{git}/x"),
        format!("http://127.0.0.1:{http}/x"),
    ] {
        let error = mirrors
            .resolve(&anonymous(&address), &main_branch(), Freshness::Now, soon())
            .unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
        assert!(error.to_string().contains("next to nothing"), "{error}");
    }
}

#[test]
fn what_comes_before_a_pack_has_an_end() {
    let (port, _accepted) = listen(|_, mut stream| {
        let first = format!(
            "{} HEAD\0multi_ack_detailed side-band-64k shallow",
            "1".repeat(40)
        );
        let _ = write!(stream, "{:04x}{first}", first.len() + 4);
        let line = format!("{} refs/heads/a\n", "1".repeat(40));
        let line = format!("{:04x}{line}", line.len() + 4);
        while stream.write_all(line.as_bytes()).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let cache = tempfile::tempdir().unwrap();
    let mirrors = Mirrors::open(MirrorConfig {
        timeouts: Timeouts {
            talk: Duration::from_secs(2),
            ..Timeouts::default()
        },
        ..config(cache.path())
    })
    .unwrap();
    let upstream = anonymous(&format!("git://127.0.0.1:{port}/x"));
    let error = mirrors
        .resolve(&upstream, &main_branch(), Freshness::Now, soon())
        .unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
}
