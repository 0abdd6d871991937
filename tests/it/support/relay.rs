//! A way to a server that a test can cut and mend.

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A port that leads to a server, until it is cut.
pub struct Relay {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    server: SocketAddr,
    is_cut: AtomicBool,
    is_over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Relay {
    pub fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            server,
            is_cut: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let accepting = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.is_over.load(Ordering::SeqCst) {
                    return;
                }
                accepting.pass_on(&client);
            }
        });
        Self { address, state }
    }

    /// Ends all connections, and lets none begin.
    pub fn cut(&self) {
        self.state.is_cut.store(true, Ordering::SeqCst);
        self.state.end_all();
    }

    /// Lets connections begin again.
    pub fn mend(&self) {
        self.state.is_cut.store(false, Ordering::SeqCst);
    }
}

impl State {
    fn pass_on(&self, client: &TcpStream) -> Option<()> {
        if self.is_cut.load(Ordering::SeqCst) {
            return None;
        }
        let server = TcpStream::connect(self.server).ok()?;
        let clones = [client.try_clone().ok()?, server.try_clone().ok()?];
        self.open.lock().unwrap().extend(clones);
        for (mut from, mut to) in [
            (client.try_clone().ok()?, server.try_clone().ok()?),
            (server, client.try_clone().ok()?),
        ] {
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
                let _ = from.shutdown(Shutdown::Both);
            });
        }
        if self.is_cut.load(Ordering::SeqCst) {
            self.end_all();
        }
        Some(())
    }

    fn end_all(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        self.cut();
        let _ = TcpStream::connect(self.address);
    }
}
