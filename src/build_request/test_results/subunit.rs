//! subunit, version 2: packets with the state of one test each, as its specification defines them
//! (<https://github.com/testing-cabal/subunit>). What stands between packets is skipped.

use std::collections::BTreeMap;

use flate2::Crc;
use patchset_api::image_test::TestReport;

use super::report::{Ending, ResultsError, count};

/// The first byte of a packet.
const SIGNATURE: u8 = 0xb3;

/// The version, in the upper four bits of the flags.
const VERSION: u16 = 0x2;

/// Bits of the flags.
const HAS_TEST: u16 = 0x0800;
const HAS_TIME: u16 = 0x0200;

/// The length of signature, flags, length and checksum.
const SHORTEST: usize = 8;

/// Bytes of the checksum.
const CHECKSUM: usize = 4;

/// The longest packet in bytes (subunit's protocol, version 2).
const LONGEST: usize = 4 << 20;

/// The most bytes that are checked and turn out to be no packet: what a test prints between its
/// packets looks like the beginning of one now and then.
const MOST_IN_VAIN: usize = 64 << 20;

/// Reads a stream of packets.
pub(super) fn read(bytes: &[u8]) -> Result<TestReport, ResultsError> {
    let mut tests: BTreeMap<&str, Option<Ending>> = BTreeMap::new();
    let (mut rest, mut has_packets, mut left) = (bytes, false, MOST_IN_VAIN);
    while let Some((first, after)) = rest.split_first() {
        let possible = (*first == SIGNATURE)
            .then(|| PossiblePacket::read(rest))
            .flatten();
        let Some(packet) = possible.and_then(PossiblePacket::packet) else {
            let checked = possible.map_or(0, |possible| possible.whole.len());
            left = left
                .checked_sub(checked)
                .ok_or_else(|| ResultsError::Unreadable {
                    format: "subunit",
                    why: "too much of it looks like packets, and has wrong checksums".to_owned(),
                })?;
            rest = after;
            continue;
        };
        has_packets = true;
        rest = rest.get(packet.bytes..).unwrap_or_default();
        if let (Some(test), Some(state)) = (packet.test, packet.state) {
            // The last ending counts; a beginning is not an ending.
            let known = tests.entry(test).or_default();
            if let TestState::Ended(ending) = state {
                *known = Some(ending);
            }
        }
    }
    if !has_packets {
        return Err(ResultsError::Missing);
    }
    let mut report = TestReport::default();
    for (name, ending) in tests {
        // A test that began and did not end took its process with it.
        count(&mut report, name, ending.unwrap_or(Ending::Error));
    }
    Ok(report)
}

/// What a packet says of a test.
#[derive(Clone, Copy)]
enum TestState {
    Began,
    Ended(Ending),
}

/// The parts of a packet that are used.
struct Packet<'a> {
    /// Its length in bytes.
    bytes: usize,
    test: Option<&'a str>,
    /// What it says of the test.
    state: Option<TestState>,
}

/// What may be a packet, by its first bytes.
#[derive(Clone, Copy)]
struct PossiblePacket<'a> {
    flags: u16,
    whole: &'a [u8],
    /// What follows the length.
    rest: &'a [u8],
}

impl<'a> PossiblePacket<'a> {
    /// What the bytes begin with.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let flags = u16::from_be_bytes([*bytes.get(1)?, *bytes.get(2)?]);
        let (length, rest) = number(bytes.get(3..)?)?;
        let header = bytes.len().checked_sub(rest.len())?;
        let whole = bytes.get(..length)?;
        let is_packet = flags >> 12 == VERSION && (SHORTEST..=LONGEST).contains(&length);
        is_packet.then_some(Self {
            flags,
            whole,
            rest: whole.get(header..)?,
        })
    }

    /// The packet; `None` if the checksum or the content is wrong.
    fn packet(self) -> Option<Packet<'a>> {
        let Self { flags, whole, rest } = self;
        let (content, checksum) = whole.split_at_checked(whole.len().checked_sub(CHECKSUM)?)?;
        let mut crc = Crc::new();
        crc.update(content);
        if crc.sum().to_be_bytes() != checksum {
            return None;
        }
        let mut rest = rest.get(..rest.len().checked_sub(CHECKSUM)?)?;
        if flags & HAS_TIME != 0 {
            let (_, after) = number(rest.get(4..)?)?;
            rest = after;
        }
        let mut test = None;
        if flags & HAS_TEST != 0 {
            let (length, after) = number(rest)?;
            test = Some(std::str::from_utf8(after.get(..length)?).ok()?);
        }
        Some(Packet {
            bytes: whole.len(),
            test,
            state: state(flags),
        })
    }
}

fn state(flags: u16) -> Option<TestState> {
    match flags & 0x7 {
        0x2 => Some(TestState::Began),
        // Passed, or failed as it was expected to.
        0x3 | 0x7 => Some(TestState::Ended(Ending::Passed)),
        // It passed although it was expected to fail.
        0x4 | 0x6 => Some(TestState::Ended(Ending::Failed)),
        0x5 => Some(TestState::Ended(Ending::Skipped)),
        // No state, or only that the test exists.
        _ => None,
    }
}

/// A number of one to four bytes, the first two bits of which say how many more follow.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let first = *bytes.first()?;
    let more = usize::from(first >> 6);
    let (digits, rest) = bytes.split_at_checked(more.saturating_add(1))?;
    let value = digits
        .iter()
        .fold(0_usize, |value, digit| (value << 8) | usize::from(*digit));
    Some((value & ((1_usize << (more * 8 + 6)) - 1), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of a test with a state, as python-subunit writes it.
    fn written(test: &str, state: u16) -> Vec<u8> {
        let flags = 0x2000 | HAS_TEST | HAS_TIME | state;
        let mut body = 1_u32.to_be_bytes().to_vec();
        // Nanoseconds in four bytes.
        body.extend((0xc000_0000_u32 | 7).to_be_bytes());
        body.extend((0x4000_u16 | u16::try_from(test.len()).unwrap()).to_be_bytes());
        body.extend(test.as_bytes());
        let length = u16::try_from(1 + 2 + 2 + body.len() + 4).unwrap();
        let mut packet = vec![SIGNATURE];
        packet.extend(flags.to_be_bytes());
        packet.extend((0x4000 | length).to_be_bytes());
        packet.extend(body);
        let mut crc = Crc::new();
        crc.update(&packet);
        packet.extend(crc.sum().to_be_bytes());
        packet
    }

    #[test]
    fn tests_are_counted_by_how_they_ended() {
        let mut stream = b"some text \xb3\x29 of others\n".to_vec();
        for (test, state) in [
            ("a", 1),
            ("a", 2),
            ("a", 3),
            ("b", 2),
            ("b", 6),
            ("c", 5),
            ("d", 7),
            ("e", 4),
            ("f", 2),
            ("g", 1),
        ] {
            stream.extend(written(test, state));
            stream.extend(b"printed\n");
        }
        let report = read(&stream).unwrap();
        assert_eq!(
            (report.tests, report.failures, report.errors, report.skipped),
            (6, 2, 1, 1)
        );
        assert_eq!(report.failed, ["b", "e", "f"]);
    }

    #[test]
    fn what_only_looks_like_packets_is_not_checked_without_end() {
        let claim = |length: usize| {
            let length = 0xc000_0000 | u32::try_from(length).unwrap();
            [&[SIGNATURE, 0x20, 0x00][..], &length.to_be_bytes()].concat()
        };
        let end = [written("a", 3), vec![b' '; LONGEST]].concat();
        let of = |claim: Vec<u8>, times| read(&[claim.repeat(times), end.clone()].concat());
        let error = of(claim(LONGEST), 17).unwrap_err().to_string();
        assert!(error.contains("looks like packets"), "{error}");
        assert_eq!(of(claim(LONGEST), 16).unwrap().tests, 1);
        assert_eq!(of(claim(LONGEST + 1), 1000).unwrap().tests, 1);
    }

    /// Output of `python -m subunit.run` of python-subunit 1.4.6, without what tests printed.
    #[test]
    fn a_stream_of_subunit_itself_is_read() {
        const HEX: &str = "\
            b32b02276b08a748f00c27d816746573745f73616d706c652e542e746573745f626164d43d387eb32b06276b\
            08a748f00ee6f816746573745f73616d706c652e542e746573745f62616457e7f4e3b32b02276b08a748f140\
            db3016746573745f73616d706c652e542e746573745f657272ff94ca97b32b06276b08a748f14192c8167465\
            73745f73616d706c652e542e746573745f657272c93b05aab32b02266b08a748f148e1e015746573745f7361\
            6d706c652e542e746573745f6f6b947ddd0bb32b03266b08a748f149726815746573745f73616d706c652e54\
            2e746573745f6f6ba1cd1a96b32b02286b08a748f149dbe017746573745f73616d706c652e542e746573745f\
            736b6970ac230172b32b05286b08a748f14a223017746573745f73616d706c652e542e746573745f736b6970\
            af84d9d1b32b02266b08a748f14ca2d015746573745f73616d706c652e542e746573745f75782606f5bcb32b\
            04266b08a748f14d086015746573745f73616d706c652e542e746573745f75787a983198b32b02296b08a748\
            f14d75c018746573745f73616d706c652e542e746573745f786661696c2bd717e3b32b07296b08a748f14ddf\
            3818746573745f73616d706c652e542e746573745f786661696cb727dc11";
        let report = read(&hex::decode(HEX).unwrap()).unwrap();
        assert_eq!(
            (report.tests, report.failures, report.errors, report.skipped),
            (6, 3, 0, 1)
        );
        assert_eq!(
            report.failed,
            [
                "test_sample.T.test_bad",
                "test_sample.T.test_err",
                "test_sample.T.test_ux"
            ]
        );
    }

    #[test]
    fn what_is_hostile_or_cut_is_passed_over() {
        assert_eq!(read(b""), Err(ResultsError::Missing));
        let whole = written("a", 6);
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]), Err(ResultsError::Missing), "{cut}");
        }
        let mut broken = whole.clone();
        broken[12] ^= 1;
        assert_eq!(read(&broken), Err(ResultsError::Missing));
        // Each length that a packet may claim, with nothing after it.
        for claimed in [0_u32, 0x3f, 0x4000, 0xbfff_ffff, 0xffff_ffff] {
            let mut packet = vec![SIGNATURE, 0x29, 0x03];
            packet.extend(claimed.to_be_bytes());
            assert_eq!(read(&packet), Err(ResultsError::Missing), "{claimed}");
        }
        assert_eq!(read(&vec![SIGNATURE; 100_000]), Err(ResultsError::Missing));
    }
}
