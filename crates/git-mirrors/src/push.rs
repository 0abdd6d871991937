//! Pushes a commit (git's `gitprotocol-pack(5)`, "Pushing data to a server").

use std::io::{BufRead, Read, Write};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use gix_transport::Service;
use gix_transport::client::{MessageKind, WriteMode};
use gix_transport::packetline::blocking_io::encode;

use super::commit::MadeCommit;
use super::gate::locked;
use super::refs::RemoteRef;
use super::session::Session;
use super::wire::{AnyTransport, connect, fault, remote_ref};
use super::{Error, Oid};

/// The largest report that is read, in bytes.
const LARGEST_REPORT: u64 = 64 << 10;
/// How much of what hooks say is kept, in bytes.
const LARGEST_SAYING: usize = 4 << 10;

/// The state that a push requires of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedBranch {
    /// At this commit.
    At(Oid),
    /// It does not exist.
    Absent,
}

/// A branch to move to another commit.
#[derive(Clone, Copy, Debug)]
pub struct BranchUpdate<'a> {
    /// The branch, without `refs/heads/`.
    pub branch: &'a str,
    /// The state that it has to be in before.
    pub expected: ExpectedBranch,
    /// The commit that it moves to.
    ///
    /// The objects that the server lacks are sent with it.
    pub commit: &'a MadeCommit,
}

/// Pushes, if the branch is still what it was.
///
/// The server compares once more.
///
/// After [`Error::Unreachable`] and [`Error::Timeout`] the branch may or may not have moved.
pub(super) fn push(session: &Arc<Session>, update: &BranchUpdate<'_>) -> Result<(), Error> {
    let name = format!("refs/heads/{}", update.branch);
    let (mut transport, mut handshake) = connect(session, Service::ReceivePack)?;
    let refs = handshake.refs.take().unwrap_or_default();
    let there = refs
        .into_iter()
        .filter_map(remote_ref)
        .find(|RemoteRef { name: found, .. }| *found == name)
        .map(|found| found.target);
    let expected = match update.expected {
        ExpectedBranch::At(commit) => Some(commit),
        ExpectedBranch::Absent => None,
    };
    if there != expected {
        return Err(raced(session, update, "it is at another commit"));
    }
    let offers = |feature: &str| handshake.capabilities.contains(feature);
    if !offers("report-status") {
        return Err(session.protocol("the server does not report the result of a push"));
    }
    let mut features = vec!["report-status".to_owned()];
    let framing = if offers("side-band-64k") {
        features.push("side-band-64k".to_owned());
        ReportFraming::Sideband
    } else {
        ReportFraming::Plain
    };
    features.extend(offers("object-format").then(|| "object-format=sha1".to_owned()));
    features.extend(offers("agent").then(|| format!("agent={}", session.agent.in_protocol())));
    let old = expected.map_or_else(|| "0".repeat(40), |commit| commit.to_string());
    let command = format!("{old} {} {name}\0 {}", update.commit.id, features.join(" "));
    session.expect(LARGEST_REPORT);
    let (report, said) = exchange(session, &mut transport, &command, &update.commit.pack, framing)?;
    judge(session, update, &name, &report, &said)
}

/// How the report is framed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReportFraming {
    /// In lines of its own within the band for data, beside what hooks say.
    Sideband,
    /// Without a band.
    Plain,
}

/// Sends the command and the pack, and reads the report and what hooks said.
fn exchange(
    session: &Arc<Session>,
    transport: &mut AnyTransport,
    command: &str,
    pack: &[u8],
    framing: ReportFraming,
) -> Result<(Vec<u8>, String), Error> {
    let kept = |error: &(dyn std::error::Error + 'static)| fault(session, error);
    let request = transport
        .request(WriteMode::Binary, MessageKind::Flush, false)
        .map_err(|error| kept(&error))?;
    let (mut writer, mut reader) = request.into_parts();
    let mut send = || -> std::io::Result<()> {
        encode::data_to_write(command.as_bytes(), &mut writer)?;
        encode::flush_to_write(&mut writer)?;
        writer.write_all(pack)?;
        writer.flush()
    };
    send().map_err(|error| kept(&error))?;
    drop(writer);
    let said = Arc::new(Mutex::new(Vec::new()));
    if framing == ReportFraming::Sideband {
        reader.set_progress_handler(Some(Box::new({
            let said = Arc::clone(&said);
            move |_, text| {
                let mut said = locked(&said);
                let room = LARGEST_SAYING.saturating_sub(said.len());
                said.extend_from_slice(&text[..text.len().min(room)]);
                ControlFlow::Continue(())
            }
        })));
    }
    let mut report = Vec::new();
    let read = (&mut reader as &mut dyn BufRead)
        .take(LARGEST_REPORT)
        .read_to_end(&mut report);
    let said = String::from_utf8_lossy(&locked(&said)).into_owned();
    if let Err(error) = read {
        let fault = kept(&error);
        // What was said is more telling than that the connection ended after it.
        if said.trim().is_empty() || !matches!(fault, Error::Protocol { .. }) {
            return Err(fault);
        }
    }
    let report = match framing {
        ReportFraming::Sideband => unframed(&report).unwrap_or_default(),
        ReportFraming::Plain => report,
    };
    Ok((report, said))
}

/// The contents of pkt-lines, up to the flush packet.
fn unframed(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut lines = Vec::new();
    loop {
        let (length, rest) = bytes.split_at_checked(4)?;
        let length = usize::from_str_radix(std::str::from_utf8(length).ok()?, 16).ok()?;
        if length == 0 {
            return Some(lines);
        }
        let (line, rest) = rest.split_at_checked(length.checked_sub(4)?)?;
        lines.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            lines.push(b'\n');
        }
        bytes = rest;
    }
}

/// Reads the report: `unpack ok`, and `ok` or `ng` with a reason for the ref.
fn judge(
    session: &Session,
    update: &BranchUpdate<'_>,
    name: &str,
    report: &[u8],
    said: &str,
) -> Result<(), Error> {
    let report = String::from_utf8_lossy(report);
    let rejected = |reason: &str| {
        let said = said.trim();
        let reason = match said {
            "" => reason.to_owned(),
            said => format!("{reason}: {said}"),
        };
        Error::Rejected {
            url: session.url(),
            branch: update.branch.to_owned(),
            reason: session.quote_server(&reason),
        }
    };
    let mut unpacked = false;
    for line in report.lines() {
        if let Some(result) = line.strip_prefix("unpack ") {
            if result != "ok" {
                return Err(rejected(&format!("it cannot unpack the commit ({result})")));
            }
            unpacked = true;
        } else if line.strip_prefix("ok ") == Some(name) && unpacked {
            return Ok(());
        } else if let Some(reason) = line
            .strip_prefix("ng ")
            .and_then(|rest| rest.strip_prefix(name)?.strip_prefix(' '))
        {
            return Err(if is_race(reason) {
                raced(session, update, reason)
            } else {
                rejected(reason)
            });
        }
    }
    // What a hook or the server said is more telling than that no report follows.
    match said.trim() {
        "" => Err(session.protocol("the report does not say what became of the branch")),
        said if is_race(said) => Err(raced(session, update, said)),
        _ => Err(rejected("it gives no report")),
    }
}

/// Whether a refusal means that another push was faster (git's receive-pack.c,
/// refs/files-backend.c).
fn is_race(reason: &str) -> bool {
    const WORDS: [&str; 7] = [
        "failed to update ref",
        "cannot lock ref",
        "failed to lock",
        "fetch first",
        "stale info",
        "reference already exists",
        "incorrect old value provided",
    ];
    WORDS.iter().any(|word| reason.contains(word))
}

fn raced(session: &Session, update: &BranchUpdate<'_>, reason: &str) -> Error {
    Error::Raced {
        url: session.url(),
        branch: update.branch.to_owned(),
        reason: session.quote_server(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::unframed;

    #[test]
    fn a_report_is_taken_out_of_its_lines() {
        assert_eq!(
            unframed(b"000eunpack ok\n0016ok refs/heads/main0000rest").unwrap(),
            b"unpack ok\nok refs/heads/main\n"
        );
        for wrong in [
            &b""[..],
            b"000eunpack ok\n",
            b"00",
            b"0003",
            b"ffffx",
            b"zzzz",
            b"-001",
        ] {
            assert_eq!(unframed(wrong), None);
        }
    }
}
