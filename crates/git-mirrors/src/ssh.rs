//! Git over SSH: one connection, one `git-upload-pack` or `git-receive-pack`, host keys strictly
//! from the Secret.

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes};
use russh::client::{self, AuthResult, Handle};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{AlgorithmKind, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Preferred};
use secrecy::ExposeSecret;
use tokio::sync::mpsc;

use super::gate::locked;
use super::known_hosts::HostKeys;
use super::private_key::{self, Unreadable};
use super::session::Session;
use super::{Credentials, Error, SshCredentials};

/// Pieces of the answer that may wait to be read; beyond that, the server is held back.
const QUEUE: usize = 16;
/// How much of the error output of the server's command is kept.
const MAX_COMPLAINT: usize = 4096;
/// How many of a server's algorithms an error names.
const MOST_OFFERED: usize = 5;

/// Connects, logs in and starts a service's program.
pub(super) fn open(session: &Arc<Session>, program: &str) -> Result<(SshReader, SshWriter), Error> {
    let Credentials::Ssh(credentials) = &session.upstream.credentials else {
        return Err(Error::Secret(
            "an ssh address needs a Secret with identity (the private key) and known_hosts".to_owned(),
        ));
    };
    let key = read_key(credentials)?;
    let url = &session.upstream.url;
    let hosts = HostKeys::for_host(&credentials.known_hosts, url.host(), url.port());
    if let Some(reason) = hosts.why_untrusted() {
        return Err(session.authentication(reason));
    }
    let mut handle = connect(session, hosts)?;
    log_in(session, &mut handle, key)?;
    let channel = session
        .wait(
            "opening the SSH session",
            session.timeouts.connect,
            handle.channel_open_session(),
        )?
        .map_err(|error| session.unreachable(&error.to_string()))?;
    let command = format!(
        "{program} '{}'",
        url.path().replace('\'', "'\\''").replace('!', "'\\!'")
    );
    session
        .wait("starting Git on the server", session.timeouts.idle, async {
            // Many servers drop it, and then speak an older version of the protocol.
            channel.set_env(false, "GIT_PROTOCOL", "version=2").await?;
            channel.exec(true, command).await
        })?
        .map_err(|error| session.unreachable(&error.to_string()))?;
    let (read, write) = channel.split();
    let (send, pieces) = mpsc::channel(QUEUE);
    let complaint = Arc::new(Mutex::new(Vec::new()));
    session
        .runtime()
        .spawn(forward_output(read, send, Arc::clone(&complaint)));
    Ok((
        SshReader {
            session: Arc::clone(session),
            pieces,
            piece: Bytes::new(),
            complaint,
        },
        SshWriter {
            session: Arc::clone(session),
            channel: write,
            _connection: handle,
        },
    ))
}

fn read_key(credentials: &SshCredentials) -> Result<PrivateKey, Error> {
    let passphrase = credentials.passphrase.as_ref().map(ExposeSecret::expose_secret);
    private_key::read(credentials.identity.expose_secret(), passphrase).map_err(|error| {
        let reason = match error {
            Unreadable::Costly(reason) => reason,
            Unreadable::Locked => {
                "cannot be read: it needs a passphrase: put that into the key password".to_owned()
            }
            _ if passphrase.is_some() => {
                "cannot be read: is it a private key, and is password its passphrase?".to_owned()
            }
            Unreadable::Malformed | Unreadable::Passphrase => {
                "cannot be read: is it a private key in OpenSSH or PEM form, without a passphrase?".to_owned()
            }
        };
        Error::Secret(format!("the Secret cannot be used: identity {reason}"))
    })
}

fn connect(session: &Arc<Session>, hosts: HostKeys) -> Result<Handle<Client>, Error> {
    let url = &session.upstream.url;
    let config = client::Config {
        preferred: Preferred {
            key: Cow::Owned(hosts.algorithms()),
            ..Preferred::default()
        },
        // Each wait here has its own limit, which comes first; this one reaps a connection that was
        // abandoned half-made.
        inactivity_timeout: Some(session.timeouts.idle.saturating_mul(4)),
        ..client::Config::default()
    };
    let refusal = Arc::new(Mutex::new(None));
    let handler = Client {
        hosts,
        refusal: Arc::clone(&refusal),
    };
    let limit = session.timeouts.connect;
    let stream = session
        .wait(
            "connecting",
            limit,
            guarded_egress::connect(url.host(), url.port()),
        )?
        .map_err(|error| session.not_connected(&error))?;
    let handshake = client::connect_stream(Arc::new(config), stream, handler);
    let connected = session.wait("connecting", limit, handshake)?;
    let refused = locked(&refusal).take();
    connected.map_err(|error| match (refused, error) {
        (Some(fingerprint), _) => session.authentication(&format!(
            "the server's host key {fingerprint} is not in known_hosts of the Secret: the server changed its key, or \
             this is a different server",
        )),
        (None, russh::Error::NoCommonAlgo { kind, theirs, .. }) => {
            session.authentication(&nothing_in_common(&kind, &theirs))
        }
        (None, error) => session.unreachable(&error.to_string()),
    })
}

/// Why there is no connection to a server that offers nothing supported here, and what to do.
fn nothing_in_common(kind: &AlgorithmKind, theirs: &[String]) -> String {
    let theirs = theirs.iter().map(String::as_str);
    // These are listed among the key exchanges, but are none (RFC 8308, OpenSSH's strict key
    // exchange).
    let is_sign = |name: &&str| name.starts_with("kex-strict-") || name.starts_with("ext-info-");
    let mut offered: Vec<&str> = theirs.filter(|name| !is_sign(name)).collect();
    let rests_on_sha1 = |name: &&str| name.contains("sha1") || matches!(*name, "ssh-rsa" | "ssh-dss");
    let is_of_sha1 = offered.iter().all(rests_on_sha1);
    if offered.len() > MOST_OFFERED {
        offered.truncate(MOST_OFFERED);
        offered.push("...");
    }
    let advice = match kind {
        _ if is_of_sha1 => {
            "these rest on SHA-1, which is not accepted here, and are all that older servers have, such as Azure DevOps \
             Server: update the server, or use its https address with a token"
        }
        AlgorithmKind::Key => {
            "known_hosts of the Secret lists no key of these kinds: add the server's present ones"
        }
        AlgorithmKind::Kex | AlgorithmKind::Cipher | AlgorithmKind::Mac | AlgorithmKind::Compression => {
            "update the server or its settings, or use its https address with a token"
        }
    };
    let what = match kind {
        AlgorithmKind::Key => "kind of host key",
        AlgorithmKind::Kex => "key exchange",
        AlgorithmKind::Cipher => "cipher",
        AlgorithmKind::Mac => "MAC",
        AlgorithmKind::Compression => "compression",
    };
    let offered = offered.join(", ");
    format!("there is no {what} in common with the server, which offers {offered}: {advice}")
}

fn log_in(session: &Session, handle: &mut Handle<Client>, key: PrivateKey) -> Result<(), Error> {
    let user = session.upstream.url.user();
    let rsa = key.algorithm().is_rsa();
    let outcome = session.wait("logging in", session.timeouts.idle, async {
        let hash = if rsa {
            let best = handle.best_supported_rsa_hash().await?.flatten();
            best.or(Some(HashAlg::Sha256))
        } else {
            None
        };
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        handle.authenticate_publickey(user, key).await
    })?;
    match outcome {
        Ok(AuthResult::Success) => Ok(()),
        Ok(AuthResult::Failure { .. }) => Err(session.authentication(
            "the server does not accept the key: is its public half registered there, and is the address's user \
             right?",
        )),
        Err(error) => Err(session.unreachable(&error.to_string())),
    }
}

/// Checks the server's key.
struct Client {
    hosts: HostKeys,
    refusal: Arc<Mutex<Option<String>>>,
}

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            return Ok(false);
        };
        let trusted = self.hosts.trusts(key);
        if !trusted {
            let fingerprint = format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256));
            *locked(&self.refusal) = Some(fingerprint);
        }
        Ok(trusted)
    }
}

/// Passes on what the command writes, and keeps the start of its error output.
async fn forward_output(
    mut channel: ChannelReadHalf,
    pieces: mpsc::Sender<Bytes>,
    complaint: Arc<Mutex<Vec<u8>>>,
) {
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                let sent = pieces.send(data).await;
                if sent.is_err() {
                    return;
                }
            }
            ChannelMsg::ExtendedData { data, .. } => {
                let mut kept = locked(&complaint);
                let room = MAX_COMPLAINT.saturating_sub(kept.len());
                kept.extend_from_slice(&data[..data.len().min(room)]);
            }
            ChannelMsg::Failure => {
                let mut kept = locked(&complaint);
                kept.extend_from_slice(b"the server does not run Git for this user");
                return;
            }
            ChannelMsg::Close => return,
            _ => {}
        }
    }
}

/// What the command writes.
pub(super) struct SshReader {
    session: Arc<Session>,
    pieces: mpsc::Receiver<Bytes>,
    piece: Bytes,
    complaint: Arc<Mutex<Vec<u8>>>,
}

impl io::Read for SshReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let session = &self.session;
        while self.piece.is_empty() {
            let arrived = |piece: &Option<Bytes>| piece.as_ref().map_or(0, Bytes::len);
            match session.transfer("reading the answer", self.pieces.recv(), arrived) {
                Ok(Some(piece)) => {
                    session
                        .count_received(piece.len())
                        .map_err(|error| session.keep_failure(error))?;
                    self.piece = piece;
                }
                Ok(None) => {
                    let words = std::mem::take(&mut *locked(&self.complaint));
                    let words = String::from_utf8_lossy(&words).into_owned();
                    return match words.trim() {
                        "" => Ok(0),
                        words => Err(session.keep_failure(session.declined_saying(words))),
                    };
                }
                Err(timeout) => return Err(session.keep_failure(timeout)),
            }
        }
        let count = buffer.len().min(self.piece.len());
        buffer[..count].copy_from_slice(&self.piece[..count]);
        self.piece.advance(count);
        Ok(count)
    }
}

/// What the command reads; the connection ends with it.
pub(super) struct SshWriter {
    session: Arc<Session>,
    channel: ChannelWriteHalf<client::Msg>,
    _connection: Handle<Client>,
}

impl io::Write for SshWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let session = &self.session;
        let bytes = Bytes::copy_from_slice(buffer);
        match session.transfer("writing", self.channel.data_bytes(bytes), |_| buffer.len()) {
            Ok(Ok(())) => Ok(buffer.len()),
            Ok(Err(error)) => Err(session.keep_failure(session.unreachable(&error.to_string()))),
            Err(timeout) => Err(session.keep_failure(timeout)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
