//! Servers that answer wrongly, in a separate thread.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use tokio::sync::oneshot;

/// A server; stopped when dropped.
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Starts it on a free loopback port.
    pub fn start(app: Router) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.spawn(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, app).await
            });
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        });
        Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Host and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A start, then one byte `count` times.
pub fn filled(start: impl Into<Bytes>, byte: u8, count: u64) -> Body {
    let (start, piece) = (start.into(), Bytes::from(vec![byte; 1 << 16]));
    let pieces = (0..count.div_ceil(1 << 16)).map(move |_| Ok::<_, std::io::Error>(piece.clone()));
    Body::from_stream(futures::stream::iter(std::iter::once(Ok(start)).chain(pieces)))
}

/// A start, then a byte from time to time, forever.
pub fn dripping(start: impl Into<Bytes>, pause: Duration) -> Body {
    let start = futures::stream::iter([Ok::<_, std::io::Error>(start.into())]);
    let drops = futures::stream::unfold((), move |()| async move {
        tokio::time::sleep(pause).await;
        Some((Ok(Bytes::from_static(b" ")), ()))
    });
    Body::from_stream(futures::StreamExt::chain(start, drops))
}
