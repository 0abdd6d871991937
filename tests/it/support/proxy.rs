//! An HTTP proxy: `CONNECT` and absolute addresses, with an optional login.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine;

/// A running proxy.
pub struct Proxy {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    passed_on: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts a proxy that requires the login.
    pub fn start(user: &str, password: &str) -> Self {
        Self::leading(user, password, ToOwned::to_owned)
    }

    /// Starts a proxy that connects to this host and port, whatever the request.
    pub fn start_to(user: &str, password: &str, host: &str) -> Self {
        let host = host.to_owned();
        Self::leading(user, password, move |_| host.clone())
    }

    /// Starts a proxy that connects to where a rule leads, given the requested host and port.
    pub fn leading(user: &str, password: &str, to: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let to = Arc::new(to);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let login = format!("Basic {pair}");
        let (stop, passed_on) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        std::thread::spawn({
            let (stop, passed_on) = (Arc::clone(&stop), Arc::clone(&passed_on));
            move || {
                for stream in listener.incoming().flatten() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let (login, passed_on) = (login.clone(), Arc::clone(&passed_on));
                    let to = Arc::clone(&to);
                    std::thread::spawn(move || serve(stream, &login, &passed_on, &*to));
                }
            }
        });
        Self {
            address,
            stop,
            passed_on,
        }
    }

    /// The proxy's address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The number of requests passed on.
    pub fn passed_on(&self) -> usize {
        self.passed_on.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(client: TcpStream, login: &str, passed_on: &AtomicUsize, to: &dyn Fn(&str) -> String) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut client = client;
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut headers = String::new();
    let mut known = false;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "proxy-authorization" => known = value.trim() == login,
            "connection" | "proxy-connection" => {}
            _ => headers.push_str(&line),
        }
    }
    if !known {
        client
            .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .ok()?;
        return None;
    }
    passed_on.fetch_add(1, Ordering::SeqCst);
    let mut words = first.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let server = if method == "CONNECT" {
        let server = TcpStream::connect(to(target)).ok()?;
        client
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .ok()?;
        server
    } else {
        let rest = target.strip_prefix("http://")?;
        let (host, path) = rest.split_at(rest.find('/')?);
        let mut server = TcpStream::connect(host).ok()?;
        write!(
            server,
            "{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"
        )
        .ok()?;
        server
    };
    let mut to_server = server.try_clone().ok()?;
    std::thread::spawn(move || {
        let mut piece = [0; 16384];
        while let Ok(count @ 1..) = reader.read(&mut piece) {
            if to_server.write_all(&piece[..count]).is_err() {
                break;
            }
        }
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let mut server = server;
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    Some(())
}
