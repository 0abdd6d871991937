//! The Git protocol, versions 0 to 2, over whatever connects: list refs, fetch one commit.

use std::io::BufRead;
use std::sync::{Arc, Mutex};

use gix_protocol::fetch::{Arguments, Response};
use gix_protocol::handshake::Ref;
use gix_protocol::ls_refs::RefPrefixes;
use gix_protocol::{Command, Handshake, LsRefsCommand};
use gix_transport::client::blocking_io::{ExtendedBufRead, Transport, http};
use gix_transport::client::git::{ConnectMode, blocking_io::Connection};
use gix_transport::{Protocol, Service};
use gix_utils::progress::Discard;
use guarded_egress::{causes, describe_with_causes};

use super::gate::locked;
use super::http::HttpClient;
use super::refs::{RefList, RemoteRef};
use super::session::{Reader, Session, Writer, lacks_object};
use super::{Error, Oid, Scheme, ssh};

/// What a look asks for; version 0 sends everything unasked.
const PREFIXES: [&str; 3] = ["HEAD", "refs/heads/", "refs/tags/"];

/// The most branches and tags.
const MOST_REFS: usize = 200_000;

pub(super) type AnyTransport = Box<dyn Transport>;

/// Lists the server's branches, tags and default branch.
pub(super) fn look(session: &Arc<Session>) -> Result<RefList, Error> {
    let (mut transport, mut handshake) = connect(session, Service::UploadPack)?;
    let refs = match handshake.refs.take() {
        Some(refs) => refs,
        None if handshake.server_protocol_version == Protocol::V2 => {
            let mut prefixes = RefPrefixes::new();
            prefixes.extend(PREFIXES.map(Into::into));
            let agent = ("agent", Some(session.agent.in_protocol()));
            LsRefsCommand::new(Some(prefixes), &handshake.capabilities, agent)
                .invoke_blocking(&mut transport, &mut Discard, false)
                .map_err(|error| fault(session, &error))?
        }
        None => Vec::new(),
    };
    // The server only loses a client that is done anyway.
    let _ = gix_protocol::indicate_end_of_interaction(&mut transport, false);
    let refs: RefList = refs.into_iter().filter_map(remote_ref).collect();
    if refs.len() > MOST_REFS {
        return Err(Error::TooLarge {
            what: format!("the number of branches and tags of {}", session.upstream.url),
            limit: MOST_REFS.to_string(),
        });
    }
    Ok(refs)
}

/// Fetches `want` with depth 1 and hands the pack, of at most `largest_pack` bytes, to `consume`.
///
/// The server is told of the commits in `held`, so that it leaves out what they have in common; the
/// pack may then have deltas against their objects.
pub(super) fn fetch(
    session: &Arc<Session>,
    want: Oid,
    held: &[Oid],
    largest_pack: u64,
    consume: &mut dyn FnMut(&mut dyn BufRead) -> Result<(), Error>,
) -> Result<(), Error> {
    let (mut transport, handshake) = connect(session, Service::UploadPack)?;
    let version = handshake.server_protocol_version;
    let mut features = Command::Fetch.default_features(version, &handshake.capabilities);
    // Both change the order of the answer's parts, and gain nothing in one round.
    features.retain(|(name, _)| !matches!(*name, "sideband-all" | "no-done"));
    features.push(("agent", Some(session.agent.in_protocol())));
    let has_bands = features.iter().any(|(name, _)| name.starts_with("side-band"));
    Response::check_required_features(version, &features).map_err(|error| fault(session, &error))?;
    let mut arguments = Arguments::new(version, features, false);
    if !arguments.can_use_shallow() {
        return Err(session.protocol("the server has no shallow fetch"));
    }
    arguments.want(gix_hash::ObjectId::from(want));
    for commit in held {
        arguments.shallow(gix_hash::ObjectId::from(*commit));
    }
    arguments.deepen(1);
    for commit in held {
        arguments.have(gix_hash::ObjectId::from(*commit));
    }
    let said = Arc::new(Mutex::new(None::<String>));
    let mut reader = arguments
        .send(&mut transport, true)
        .map_err(|error| fault(session, &error))?;
    let response = Response::from_line_reader(version, &mut reader, true, false)
        .map_err(|error| fault(session, &error))?;
    if !response.has_pack() {
        return Err(session.protocol("the answer holds no pack"));
    }
    // Before version 2, the library takes what is no acknowledgement for the start of the pack.
    if version != Protocol::V2
        && has_bands
        && let Some(Ok(Ok(line))) = reader.peek_data_line()
        && let Some(words) = line.strip_prefix(b"ERR ")
    {
        return Err(session.declined_saying(&String::from_utf8_lossy(words)));
    }
    session.expect(largest_pack);
    reader.set_progress_handler(Some(Box::new({
        let said = Arc::clone(&said);
        move |is_error, text| {
            if is_error {
                let text = String::from_utf8_lossy(text).into_owned();
                *locked(&said) = Some(text);
            }
            std::ops::ControlFlow::Continue(())
        }
    })));
    let consumed = consume(&mut reader);
    let said = locked(&said).take();
    match (session.take_failure(), said, consumed) {
        (Some(error), _, _) => Err(error),
        (None, Some(text), Err(_)) => Err(session.declined_saying(&text)),
        (None, _, consumed) => consumed,
    }
}

/// Connects, and reads what the server offers for a service.
pub(super) fn connect(session: &Arc<Session>, service: Service) -> Result<(AnyTransport, Handshake), Error> {
    let url = &session.upstream.url;
    session.transports.check(url)?;
    let mut transport: AnyTransport = match url.scheme() {
        Scheme::Https | Scheme::Http => {
            let address = gix_transport_url(session)?;
            Box::new(http::Transport::new_http(
                HttpClient::new(session)?,
                address,
                Protocol::V2,
                false,
            ))
        }
        Scheme::Ssh => {
            let (reader, writer) = ssh::open(session, service.as_str())?;
            Box::new(Connection::new(
                reader,
                writer,
                Protocol::V2,
                url.path(),
                None::<(String, _)>,
                ConnectMode::Process,
                false,
            ))
        }
        Scheme::Git => {
            let (reader, writer) = daemon(session)?;
            Box::new(Connection::new(
                reader,
                writer,
                Protocol::V2,
                url.path(),
                Some((url.host(), url.explicit_port())),
                ConnectMode::Daemon,
                false,
            ))
        }
    };
    let handshake = gix_protocol::handshake(&mut transport, service, |_| Ok(None), Vec::new(), &mut Discard)
        .map_err(|error| fault(session, &error))?;
    let format = handshake.capabilities.capability("object-format");
    if format.is_some_and(|format| format.value().is_some_and(|value| value != "sha1")) {
        return Err(session.protocol("the repository uses SHA-256 object names, which are not supported"));
    }
    Ok((transport, handshake))
}

fn gix_transport_url(session: &Session) -> Result<gix_url::Url, Error> {
    gix_url::Url::try_from(session.url().as_str()).map_err(|error| session.protocol(&error.to_string()))
}

type TcpHalves = (
    Reader<tokio::net::tcp::OwnedReadHalf>,
    Writer<tokio::net::tcp::OwnedWriteHalf>,
);

fn daemon(session: &Arc<Session>) -> Result<TcpHalves, Error> {
    let url = &session.upstream.url;
    let stream = session
        .wait(
            "connecting",
            session.timeouts.connect,
            guarded_egress::connect(url.host(), url.port()),
        )?
        .map_err(|error| session.not_connected(&error))?;
    let (read, write) = stream.into_split();
    Ok((
        Reader {
            session: Arc::clone(session),
            inner: read,
        },
        Writer {
            session: Arc::clone(session),
            inner: write,
        },
    ))
}

/// Gives the fault that this side kept, or reads one out of what the protocol's code reports.
pub(super) fn fault(session: &Session, error: &(dyn std::error::Error + 'static)) -> Error {
    if let Some(kept) = session.take_failure() {
        return kept;
    }
    let text = describe_with_causes(error);
    // Over HTTP the library takes the server's error line for the name of a section.
    let quoted = || Some(text.split_once("\"ERR ")?.1.split('"').next()?.to_owned());
    match declined(error).or_else(quoted) {
        Some(words) => session.declined_saying(&words),
        // JGit's older versions send it in the band for errors, before there is one.
        None if lacks_object(&text) => session.declined_saying(&text),
        None => session.malformed(&text),
    }
}

/// Finds the server's own `ERR` line.
fn declined(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    type Line = gix_transport::packetline::read::Error;
    causes(error).find_map(|error| {
        let line = error.downcast_ref::<Line>().or_else(|| {
            error
                .downcast_ref::<gix_error::Error>()
                .and_then(|error| error.downcast_any_ref::<Line>())
        });
        line.map(|line| line.message.to_string())
    })
}

pub(super) fn remote_ref(found: Ref) -> Option<RemoteRef> {
    let (name, target, peeled, symbolic) = match found {
        Ref::Peeled {
            full_ref_name,
            tag,
            object,
        } => (full_ref_name, tag, object, None),
        Ref::Direct {
            full_ref_name,
            object,
        } => (full_ref_name, object, object, None),
        Ref::Symbolic {
            full_ref_name,
            target,
            tag,
            object,
        } => (full_ref_name, tag.unwrap_or(object), object, Some(target)),
        Ref::Unborn { .. } => return None,
    };
    let name = String::from_utf8(name.into()).ok()?;
    if !PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return None;
    }
    let found = RemoteRef {
        name,
        target: Oid::from_bytes(target.as_slice().try_into().ok()?),
        peeled: Oid::from_bytes(peeled.as_slice().try_into().ok()?),
        symbolic: symbolic.and_then(|target| String::from_utf8(target.into()).ok()),
    };
    found.is_named_well().then_some(found)
}
