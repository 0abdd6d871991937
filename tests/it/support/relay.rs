//! A way to a server that a test can cut and mend, and that may be slow or break.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A port that leads to a server, until it is cut.
pub struct Relay {
    pub address: SocketAddr,
    state: Arc<State>,
}

/// The properties of a line, for what is sent to the server.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// The most that it carries, in bytes a second.
    pub rate: Option<u64>,
    /// After how many bytes the next connections that send more break.
    pub breaks: VecDeque<u64>,
}

struct State {
    server: SocketAddr,
    rate: Option<u64>,
    breaks: Mutex<VecDeque<u64>>,
    is_cut: AtomicBool,
    is_over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Relay {
    pub fn start(server: SocketAddr) -> Self {
        Self::over(Line::default(), server)
    }

    /// A port that leads to a server over such a line.
    pub fn over(line: Line, server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            server,
            rate: line.rate,
            breaks: Mutex::new(line.breaks),
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
    fn pass_on(self: &Arc<Self>, client: &TcpStream) -> Option<()> {
        if self.is_cut.load(Ordering::SeqCst) {
            return None;
        }
        let server = TcpStream::connect(self.server).ok()?;
        let clones = [client.try_clone().ok()?, server.try_clone().ok()?];
        self.open.lock().unwrap().extend(clones);
        let (mut sending, mut to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
        let state = Arc::clone(self);
        std::thread::spawn(move || {
            let _ = state.carry(&mut sending, &mut to_server);
            end(&sending, &to_server);
        });
        let (mut answering, mut to_client) = (server, client.try_clone().ok()?);
        std::thread::spawn(move || {
            let _ = io::copy(&mut answering, &mut to_client);
            end(&answering, &to_client);
        });
        if self.is_cut.load(Ordering::SeqCst) {
            self.end_all();
        }
        Some(())
    }

    /// Forwards what is sent to the server, as the line does.
    fn carry(&self, from: &mut TcpStream, to: &mut TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        let mut carried = 0;
        let begun = Instant::now();
        loop {
            let length = from.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            carried += length as u64;
            {
                let mut breaks = self.breaks.lock().unwrap();
                if breaks.front().is_some_and(|most| carried > *most) {
                    breaks.pop_front();
                    return Ok(());
                }
            }
            if let Some(rate) = self.rate {
                let due = Duration::from_millis(carried * 1000 / rate);
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
            }
            to.write_all(&buffer[..length])?;
        }
    }

    fn end_all(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn end(from: &TcpStream, to: &TcpStream) {
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        self.cut();
        let _ = TcpStream::connect(self.address);
    }
}
