//! Checks a pack as it arrives, before libgit2 reads it: how many objects it holds, and how large
//! they and the results of deltas are (git's gitformat-pack(5)).
//!
//! libgit2 trusts the sizes in a pack, and resolves deltas in memory. A chain of deltas in 16 KB
//! can expand to gigabytes, so the sizes are checked here.

use flate2::{Decompress, FlushDecompress, Status};

use super::Error;
use super::error::bytes;

/// The most objects: the largest trees have some 400,000, and libgit2 keeps 150 bytes for each.
pub(super) const MOST_OBJECTS: u32 = 500_000;
/// The largest tree, commit or tag, in bytes: 16 MiB are a folder of 400,000 files.
pub(super) const LARGEST_TREE: u64 = 16 << 20;
/// The size of the buffer for inflated bytes, which are discarded.
const SCRATCH: usize = 64 << 10;
/// The most bytes that two sizes take.
const LONGEST_SIZES: usize = 20;

/// Bounds on what a pack holds, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackLimits {
    /// The pack itself.
    pub(super) packed: u64,
    /// One object, whole or made from a delta.
    pub(super) object: u64,
    /// All objects and deltas together.
    pub(super) unpacked: u64,
}

/// Reads a pack in pieces.
pub(super) struct PackCheck {
    limits: PackLimits,
    part: PackPart,
    inflate: Decompress,
    scratch: Vec<u8>,
    objects_left: u32,
    packed: u64,
    unpacked: u64,
}

enum PackPart {
    /// `PACK`, a version and the number of objects.
    Header(Vec<u8>),
    /// Kind and size of an object.
    Entry(Option<ObjectHeader>),
    /// How far back the base of a delta is.
    Offset(ObjectHeader),
    /// The id of a delta's base, and how many bytes of it are missing.
    Base(ObjectHeader, usize),
    /// Deflated bytes.
    Data(InflatedObject),
    /// The pack's checksum, and how many bytes of it are missing.
    Trailer(usize),
}

/// What an object's header says.
#[derive(Clone, Copy)]
struct ObjectHeader {
    kind: u8,
    size: u64,
    shift: u32,
}

/// An object that is being inflated.
struct InflatedObject {
    size: u64,
    seen: u64,
    /// The start of a delta, until its two sizes are read.
    delta: Option<Vec<u8>>,
}

const COMMIT: u8 = 1;
const TREE: u8 = 2;
const BLOB: u8 = 3;
const TAG: u8 = 4;
const OFFSET_DELTA: u8 = 6;
const REF_DELTA: u8 = 7;

impl PackCheck {
    pub(super) fn new(limits: PackLimits) -> Self {
        Self {
            limits,
            part: PackPart::Header(Vec::new()),
            inflate: Decompress::new(true),
            scratch: vec![0; SCRATCH],
            objects_left: 0,
            packed: 0,
            unpacked: 0,
        }
    }

    /// Reads the next piece of the pack.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], before anything of that size is made; [`Error::Corrupt`].
    pub(super) fn read(&mut self, mut piece: &[u8]) -> Result<(), Error> {
        self.packed += piece.len() as u64;
        if self.packed > self.limits.packed {
            return Err(too_large("the pack", bytes(self.limits.packed)));
        }
        while !piece.is_empty() {
            piece = self.step(piece)?;
        }
        Ok(())
    }

    /// Consumes something at the front, and returns the rest.
    fn step<'a>(&mut self, piece: &'a [u8]) -> Result<&'a [u8], Error> {
        let Some((&first, rest)) = piece.split_first() else {
            return Ok(piece);
        };
        match &mut self.part {
            PackPart::Header(header) => {
                header.push(first);
                if let Some((start, count)) = header.split_at_checked(8)
                    && let Ok(count) = <[u8; 4]>::try_from(count)
                {
                    if !matches!(start, b"PACK\0\0\0\x02" | b"PACK\0\0\0\x03") {
                        return Err(damaged("it does not begin like a pack"));
                    }
                    self.objects_left = u32::from_be_bytes(count);
                    if self.objects_left > MOST_OBJECTS {
                        return Err(too_large(
                            "the number of objects in the pack",
                            MOST_OBJECTS.to_string(),
                        ));
                    }
                    self.next_object();
                }
                Ok(rest)
            }
            PackPart::Entry(entry) => {
                let entry = match *entry {
                    None => ObjectHeader {
                        kind: first >> 4 & 7,
                        size: u64::from(first & 15),
                        shift: 4,
                    },
                    Some(entry) => ObjectHeader {
                        size: entry.size | varint_part(first, entry.shift)?,
                        shift: entry.shift + 7,
                        ..entry
                    },
                };
                self.part = match (first & 0x80 != 0, entry.kind) {
                    (true, _) => PackPart::Entry(Some(entry)),
                    (false, OFFSET_DELTA) => PackPart::Offset(entry),
                    (false, REF_DELTA) => PackPart::Base(entry, 20),
                    (false, COMMIT | TREE | BLOB | TAG) => {
                        self.check_object(&entry)?;
                        PackPart::Data(InflatedObject::new(entry.size, None))
                    }
                    (false, _) => return Err(damaged("it has an object of an unknown kind")),
                };
                Ok(rest)
            }
            PackPart::Offset(entry) => {
                if first & 0x80 == 0 {
                    let entry = *entry;
                    self.begin_delta(&entry)?;
                }
                Ok(rest)
            }
            PackPart::Base(entry, missing) => {
                let taken = (*missing).min(piece.len());
                *missing -= taken;
                if *missing == 0 {
                    let entry = *entry;
                    self.begin_delta(&entry)?;
                }
                Ok(piece.get(taken..).unwrap_or_default())
            }
            PackPart::Data(_) => self.inflate(piece),
            PackPart::Trailer(missing) => {
                let taken = (*missing).min(piece.len());
                if taken == 0 {
                    return Err(damaged("it continues after its end"));
                }
                *missing -= taken;
                Ok(piece.get(taken..).unwrap_or_default())
            }
        }
    }

    fn next_object(&mut self) {
        self.part = match self.objects_left.checked_sub(1) {
            None => PackPart::Trailer(20),
            Some(left) => {
                self.objects_left = left;
                PackPart::Entry(None)
            }
        };
    }

    fn begin_delta(&mut self, entry: &ObjectHeader) -> Result<(), Error> {
        self.add(entry.size)?;
        self.part = PackPart::Data(InflatedObject::new(entry.size, Some(Vec::new())));
        Ok(())
    }

    /// Inflates what has arrived of an object.
    fn inflate<'a>(&mut self, piece: &'a [u8]) -> Result<&'a [u8], Error> {
        let PackPart::Data(data) = &mut self.part else {
            return Ok(piece);
        };
        let (read_before, written_before) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(piece, &mut self.scratch, FlushDecompress::None)
            .map_err(|_| damaged("an object cannot be inflated"))?;
        let taken = usize::try_from(self.inflate.total_in() - read_before).unwrap_or(usize::MAX);
        let made = usize::try_from(self.inflate.total_out() - written_before).unwrap_or(usize::MAX);
        data.seen += made as u64;
        if data.seen > data.size {
            return Err(damaged("an object is larger than it says"));
        }
        let sizes = data.take_sizes(self.scratch.get(..made).unwrap_or_default())?;
        let (seen, size, lacks_sizes) = (data.seen, data.size, data.delta.is_some());
        if let Some((source, target)) = sizes {
            self.check_delta(size, source, target)?;
        }
        if status == Status::StreamEnd {
            if seen != size || lacks_sizes && sizes.is_none() {
                return Err(damaged("an object is smaller than it says"));
            }
            self.inflate.reset(true);
            self.next_object();
        } else if taken == 0 && made == 0 {
            return Err(damaged("an object does not end"));
        }
        Ok(piece.get(taken..).unwrap_or_default())
    }

    fn check_object(&mut self, entry: &ObjectHeader) -> Result<(), Error> {
        let (what, limit) = match entry.kind {
            BLOB => ("a file in the pack", self.limits.object),
            _ => (
                "a tree, commit or tag in the pack",
                LARGEST_TREE.min(self.limits.object),
            ),
        };
        if entry.size > limit {
            return Err(too_large(what, bytes(limit)));
        }
        self.add(entry.size)
    }

    /// Checks the memory that resolving a delta takes: libgit2 holds its base, the delta itself and
    /// the result.
    fn check_delta(&mut self, size: u64, source: u64, target: u64) -> Result<(), Error> {
        let limit = self.limits.object;
        if target > limit || source > limit || size.saturating_add(source).saturating_add(target) > 2 * limit
        {
            return Err(too_large(
                "a file in the pack that is kept as a change of another",
                bytes(limit),
            ));
        }
        self.add(target)
    }

    fn add(&mut self, size: u64) -> Result<(), Error> {
        self.unpacked = self.unpacked.saturating_add(size);
        if self.unpacked > self.limits.unpacked {
            return Err(too_large(
                "what is in the pack, unpacked,",
                bytes(self.limits.unpacked),
            ));
        }
        Ok(())
    }
}

impl InflatedObject {
    fn new(size: u64, delta: Option<Vec<u8>>) -> Self {
        Self { size, seen: 0, delta }
    }

    /// The sizes of a delta's base and result, once they are inflated.
    fn take_sizes(&mut self, made: &[u8]) -> Result<Option<(u64, u64)>, Error> {
        let Some(start) = &mut self.delta else {
            return Ok(None);
        };
        let room = LONGEST_SIZES.saturating_sub(start.len());
        start.extend_from_slice(made.get(..made.len().min(room)).unwrap_or_default());
        let sizes = match varint(start)? {
            Some((source, rest)) => varint(rest)?.map(|(target, _)| (source, target)),
            None => None,
        };
        if sizes.is_some() {
            self.delta = None;
        }
        Ok(sizes)
    }
}

/// A number in groups of seven bits, the lowest first, and what follows it; `None` if it is
/// incomplete.
fn varint(bytes: &[u8]) -> Result<Option<(u64, &[u8])>, Error> {
    let (mut number, mut shift) = (0, 0);
    let mut rest = bytes;
    while let Some((&first, behind)) = rest.split_first() {
        number |= varint_part(first, shift)?;
        shift += 7;
        rest = behind;
        if first & 0x80 == 0 {
            return Ok(Some((number, rest)));
        }
    }
    Ok(None)
}

fn varint_part(byte: u8, shift: u32) -> Result<u64, Error> {
    let part = u64::from(byte & 0x7f);
    // No size has more than 63 bits.
    if shift > 56 {
        return Err(damaged("it has an impossible size"));
    }
    Ok(part << shift)
}

fn too_large(what: &str, limit: String) -> Error {
    Error::TooLarge {
        what: what.to_owned(),
        limit,
    }
}

fn damaged(reason: &str) -> Error {
    Error::Corrupt {
        what: "the pack".to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LIMITS: PackLimits = PackLimits {
        packed: 1 << 20,
        object: 1 << 20,
        unpacked: 3 << 20,
    };

    fn number(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
            number >>= 7;
        }
        bytes.push(u8::try_from(number).unwrap());
        bytes
    }

    fn entry(kind: u8, size: u64, between: &[u8], content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind << 4 | u8::try_from(size & 15).unwrap()];
        if size > 15 {
            bytes[0] |= 0x80;
            bytes.extend(number(size >> 4));
        }
        bytes.extend_from_slice(between);
        let mut deflate = flate2::write::ZlibEncoder::new(bytes, flate2::Compression::fast());
        deflate.write_all(content).unwrap();
        deflate.finish().unwrap()
    }

    fn pack(entries: &[Vec<u8>]) -> Vec<u8> {
        let count = u32::try_from(entries.len()).unwrap().to_be_bytes();
        [&b"PACK\0\0\0\x02"[..], &count, &entries.concat(), &[0; 20]].concat()
    }

    fn read(pack: &[u8], piece: usize) -> Result<(), Error> {
        let mut check = PackCheck::new(LIMITS);
        pack.chunks(piece).try_for_each(|piece| check.read(piece))
    }

    #[test]
    fn what_a_pack_says_is_checked_however_it_is_cut() {
        let blob = |size: usize| entry(BLOB, size as u64, &[], &vec![0; size]);
        let delta = |source, target| {
            let content = [number(source), number(target), vec![1, 2, 3]].concat();
            (content.len() as u64, content)
        };
        let (size, small) = delta(10, 20);
        let (big_size, big) = delta(10, 2 << 20);
        let fine = pack(&[
            blob(10),
            entry(OFFSET_DELTA, size, &[0x81, 5], &small),
            entry(REF_DELTA, size, &[7; 20], &small),
            blob(0),
            blob(100_000),
        ]);
        let half = pack(&[entry(BLOB, 11, &[], &[0; 10])]);
        let more = pack(&[entry(BLOB, 9, &[], &[0; 10])]);
        let many = [&b"PACK\0\0\0\x02"[..], &(MOST_OBJECTS + 1).to_be_bytes()].concat();
        for piece in [1, 7, 1000, usize::MAX] {
            read(&fine, piece).unwrap();
            for (bytes, part) in [
                (&pack(&[blob((1 << 20) + 1)]), "a file in the pack"),
                (&pack(&[entry(TREE, 17 << 20, &[], b"")]), "a tree"),
                (
                    &pack(&[entry(OFFSET_DELTA, big_size, &[5], &big)]),
                    "a change of another",
                ),
                (
                    &pack(&[blob(1 << 20), blob(1 << 20), blob(1 << 20), blob(1)]),
                    "unpacked",
                ),
                (&many, "number of objects"),
                (&half, "smaller than it says"),
                (&more, "larger than it says"),
                (
                    &pack(&[entry(REF_DELTA, 1, &[0; 20], &[0x80])]),
                    "smaller than it says",
                ),
                (&pack(&[entry(5, 1, &[], b"x")]), "unknown kind"),
                (&[fine.clone(), vec![0]].concat(), "after its end"),
                (&b"PACK\0\0\0\x09\0\0\0\0".to_vec(), "does not begin"),
                (&pack(&[[vec![0xbf], vec![0xff; 12]].concat()]), "impossible size"),
            ] {
                let error = read(bytes, piece).unwrap_err().to_string();
                assert!(error.contains(part), "{part}: {error}");
            }
        }
    }
}
