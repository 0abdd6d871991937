//! The Git protocol, versions 0 to 2, over any connection: list refs, fetch one commit.

use std::io::BufRead;
use std::sync::{Arc, Mutex};

use gix_protocol::fetch::response::Acknowledgement;
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
#[cfg(feature = "keys")]
use super::ssh;
use super::{Error, Oid, Scheme};

/// What a look asks for; version 0 sends everything unasked.
const PREFIXES: [&str; 3] = ["HEAD", "refs/heads/", "refs/tags/"];

/// The most branches and tags.
const MOST_REFS: usize = 200_000;

pub(super) type AnyTransport = Box<dyn Transport + Send>;

/// A connection to a server, and what the server offers.
pub(super) struct Conversation {
    session: Arc<Session>,
    transport: AnyTransport,
    handshake: Handshake,
}

impl Conversation {
    /// Connects to fetch.
    pub(super) fn begin(session: Arc<Session>) -> Result<Self, Error> {
        let (transport, handshake) = connect(&session, Service::UploadPack)?;
        Ok(Self {
            session,
            transport,
            handshake,
        })
    }

    /// Whether the server takes another request after an answer.
    pub(super) fn takes_more(&self) -> bool {
        self.handshake.server_protocol_version == Protocol::V2
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        &self.session
    }
}

/// Lists the server's branches, tags and default branch.
pub(super) fn look(session: &Arc<Session>) -> Result<RefList, Error> {
    list(session, &PREFIXES)
}

/// Lists the server's refs whose full names begin with one of these.
pub(super) fn list(session: &Arc<Session>, wanted: &[&str]) -> Result<RefList, Error> {
    let (mut transport, mut handshake) = connect(session, Service::UploadPack)?;
    let refs = match handshake.refs.take() {
        Some(refs) => refs,
        None if handshake.server_protocol_version == Protocol::V2 => {
            let mut prefixes = RefPrefixes::new();
            prefixes.extend(wanted.iter().map(|prefix| (*prefix).into()));
            let agent = ("agent", Some(session.agent.in_protocol()));
            LsRefsCommand::new(Some(prefixes), &handshake.capabilities, agent)
                .invoke_blocking(&mut transport, &mut Discard, false)
                .map_err(|error| fault(session, &error))?
        }
        None => Vec::new(),
    };
    // The server only loses a client that is done anyway.
    let _ = gix_protocol::indicate_end_of_interaction(&mut transport, false);
    let refs = refs.into_iter().filter_map(|found| listed_ref(found, wanted));
    let refs: RefList = refs.collect();
    if refs.len() > MOST_REFS {
        return Err(Error::TooLarge {
            what: format!("the number of branches and tags of {}", session.upstream.url),
            limit: MOST_REFS.to_string(),
        });
    }
    Ok(refs)
}

/// What is fetched.
#[derive(Clone, Copy)]
pub(super) struct FetchRequest<'a> {
    pub(super) wants: &'a [Oid],
    pub(super) depth: Depth,
    /// What the server is asked to leave out.
    pub(super) filter: Option<Filter>,
    /// What happens to the request if a server does not filter.
    pub(super) unfiltered: Unfiltered,
    /// Commits that are held whole, without their history.
    ///
    /// The server leaves out what they have in common; the pack may then have deltas against their
    /// objects.
    pub(super) held: &'a [Oid],
    /// Commits whose trees are held; they are named to the server if it filters.
    pub(super) partial: &'a [Oid],
}

/// How much history is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// This many commits on each line.
    Commits(usize),
    /// The commits since a time, in seconds since the epoch.
    Since(i64),
    /// All that is not reachable from a commit, if the commit is reachable from what is wanted.
    Beyond(Oid),
    /// All that is not reachable from a commit, whether or not the commit is reachable from what is
    /// wanted. If the server lacks the commit, that is everything.
    Without(Oid),
    /// What is wanted has no history.
    NoCommits,
}

/// What a server leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// Blobs that are not asked for by their names.
    Blobs,
    /// Those of them that have 32 KiB or more.
    LargeBlobs,
    /// Trees and blobs that are not asked for by their names.
    Trees,
}

impl Filter {
    fn specification(self) -> &'static str {
        match self {
            Self::Blobs => "blob:none",
            Self::LargeBlobs => "blob:limit=32k",
            Self::Trees => "tree:0",
        }
    }
}

/// What happens to a request if a server does not filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfiltered {
    /// It fetches everything.
    Fetch,
    /// It is not made.
    Skip,
}

/// What a server answered to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetched {
    /// A pack with everything.
    Everything,
    /// A pack from which it left out what the filter says.
    Filtered,
    /// Nothing was asked for, because the server does not filter.
    NoFilter,
    /// No pack: the server lacks the commit of [`Depth::Beyond`].
    Unknown,
    /// No pack: it has that commit, and what is wanted does not lead there.
    Diverged,
}

/// Fetches a pack, of at most `largest` bytes with the data around it, and hands it to `consume`.
pub(super) fn fetch(
    conversation: &mut Conversation,
    request: &FetchRequest<'_>,
    largest: u64,
    consume: &mut dyn FnMut(&mut dyn BufRead) -> Result<(), Error>,
) -> Result<Fetched, Error> {
    let Conversation {
        session,
        transport,
        handshake,
    } = conversation;
    let session = &*session;
    let version = handshake.server_protocol_version;
    let mut features = Command::Fetch.default_features(version, &handshake.capabilities);
    // Both change the order of the answer's parts, and gain nothing in one round.
    features.retain(|(name, _)| !matches!(*name, "sideband-all" | "no-done"));
    features.push(("agent", Some(session.agent.in_protocol())));
    let has_bands = features.iter().any(|(name, _)| name.starts_with("side-band"));
    Response::check_required_features(version, &features).map_err(|error| fault(session, &error))?;
    let mut arguments = Arguments::new(version, features, false);
    // Before version 2, servers give out only objects that a ref leads to.
    let filters = version == Protocol::V2 && arguments.can_use_filter();
    let filter = request.filter.filter(|_| filters);
    if filter.is_none() && request.unfiltered == Unfiltered::Skip {
        return Ok(Fetched::NoFilter);
    }
    let is_last_word = request.ask(session, &mut arguments, filter)?;
    let said = Arc::new(Mutex::new(None::<String>));
    let mut reader = arguments
        .send(transport, is_last_word)
        .map_err(|error| fault(session, &error))?;
    let response = Response::from_line_reader(version, &mut reader, true, false)
        .map_err(|error| fault(session, &error))?;
    if !response.has_pack() && !is_last_word {
        let is_common = |answer: &Acknowledgement| matches!(answer, Acknowledgement::Common(_));
        let has_commit = response.acknowledgements().iter().any(is_common);
        return Ok(if has_commit {
            Fetched::Diverged
        } else {
            Fetched::Unknown
        });
    }
    if !response.has_pack() {
        return Err(session.protocol("the answer holds no pack"));
    }
    // Before version 2, the library takes anything but an acknowledgement for the start of the
    // pack.
    if version != Protocol::V2
        && has_bands
        && let Some(Ok(Ok(line))) = reader.peek_data_line()
        && let Some(words) = line.strip_prefix(b"ERR ")
    {
        return Err(session.declined_saying(&String::from_utf8_lossy(words)));
    }
    session.expect(largest);
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
    let fetched = filter.map_or(Fetched::Everything, |_| Fetched::Filtered);
    match (session.take_failure(), said, consumed) {
        (Some(error), _, _) => Err(error),
        (None, Some(text), Err(_)) => Err(session.declined_saying(&text)),
        (None, _, consumed) => consumed.map(|()| fetched),
    }
}

impl FetchRequest<'_> {
    /// Writes the request; returns whether the server has to answer with a pack.
    fn ask(
        &self,
        session: &Session,
        arguments: &mut Arguments,
        filter: Option<Filter>,
    ) -> Result<bool, Error> {
        let has_depth = match self.depth {
            Depth::Commits(_) => arguments.can_use_shallow(),
            Depth::Since(_) => arguments.can_use_deepen_since(),
            Depth::Beyond(_) | Depth::Without(_) | Depth::NoCommits => true,
        };
        if !has_depth {
            return Err(session.protocol("the server does not support shallow fetches"));
        }
        for want in self.wants {
            arguments.want(gix_hash::ObjectId::from(*want));
        }
        if let Some(filter) = filter {
            arguments.filter(filter.specification());
        }
        let partial = if filter.is_some() { self.partial } else { &[] };
        let haves = || {
            self.held
                .iter()
                .chain(partial)
                .copied()
                .map(gix_hash::ObjectId::from)
        };
        if arguments.can_use_shallow() {
            haves().for_each(|commit| arguments.shallow(commit));
        }
        match self.depth {
            Depth::Commits(count) => arguments.deepen(count),
            Depth::Since(seconds) => arguments.deepen_since(seconds),
            // The commit's history counts as held.
            Depth::Beyond(commit) | Depth::Without(commit) => {
                arguments.have(gix_hash::ObjectId::from(commit));
            }
            Depth::NoCommits => {}
        }
        haves().for_each(|commit| arguments.have(commit));
        Ok(!matches!(self.depth, Depth::Beyond(_)))
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
        #[cfg(not(feature = "keys"))]
        Scheme::Ssh => {
            return Err(session.refused("this program was built without SSH: build it with the feature keys"));
        }
        #[cfg(feature = "keys")]
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

/// Returns the fault that this side kept, or derives one from what the protocol's code reports.
pub(super) fn fault(session: &Session, error: &(dyn std::error::Error + 'static)) -> Error {
    if let Some(kept) = session.take_failure() {
        return kept;
    }
    let text = describe_with_causes(error);
    // Over HTTP the library mistakes the server's error line for the name of a section.
    let quoted = || Some(text.split_once("\"ERR ")?.1.split('"').next()?.to_owned());
    match declined(error).or_else(quoted) {
        Some(words) => session.declined_saying(&words),
        // Older versions of JGit send it in the band for errors before that band is agreed on.
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
    listed_ref(found, &PREFIXES)
}

fn listed_ref(found: Ref, wanted: &[&str]) -> Option<RemoteRef> {
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
    if !wanted.iter().any(|prefix| name.starts_with(prefix)) {
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
