//! `GIT binary patch` sections: base 85 and zlib, and the deltas of Git's packs.

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::scan::{after, at, from, line_length, number, to};

/// One binary hunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BinaryHunk {
    /// The contents.
    Literal(Vec<u8>),
    /// A delta from the preimage.
    Delta(Vec<u8>),
}

/// What was read.
pub(super) enum Parsed {
    /// A hunk, and how many bytes it takes.
    Hunk(BinaryHunk, usize),
    /// Something else stands here.
    None,
    /// A hunk that cannot be read.
    Corrupt,
    /// A hunk of more bytes than allowed.
    TooLarge(u64),
}

const ALPHABET: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/// Reads a hunk of at most `limit` bytes: a line with method and size, lines of base 85, and an empty line.
pub(super) fn parse_hunk(text: &[u8], limit: u64) -> Parsed {
    let (is_delta, digits) = match (after(text, b"delta "), after(text, b"literal ")) {
        (Some(digits), _) => (true, digits),
        (None, Some(digits)) => (false, digits),
        (None, None) => return Parsed::None,
    };
    let (size, _) = number(digits, 10);
    if size > limit {
        return Parsed::TooLarge(size);
    }
    let mut used = line_length(text);
    let mut data = Vec::new();
    loop {
        let line = from(text, used);
        let length = line_length(line);
        if length == 1 {
            used += 1;
            break;
        }
        if !decode_line(to(line, length), &mut data) {
            return Parsed::Corrupt;
        }
        used += length;
    }
    match inflate(&data, size) {
        Some(bytes) if is_delta => Parsed::Hunk(BinaryHunk::Delta(bytes), used),
        Some(bytes) => Parsed::Hunk(BinaryHunk::Literal(bytes), used),
        None => Parsed::Corrupt,
    }
}

/// Decodes a line: a letter for the number of bytes, groups of five characters, and the line's last byte.
fn decode_line(line: &[u8], data: &mut Vec<u8>) -> bool {
    if line.len() < 7 || !(line.len() - 2).is_multiple_of(5) {
        return false;
    }
    let room = (line.len() - 2) / 5 * 4;
    let count = match at(line, 0) {
        letter @ b'A'..=b'Z' => usize::from(letter - b'A') + 1,
        letter @ b'a'..=b'z' => usize::from(letter - b'a') + 27,
        _ => return false,
    };
    if room < count || count + 4 <= room {
        return false;
    }
    let mut left = count;
    for group in from(line, 1).chunks_exact(5) {
        let Some(value) = decode_group(group) else {
            return false;
        };
        let bytes = value.to_be_bytes();
        let take = left.min(4);
        data.extend_from_slice(to(&bytes, take));
        left -= take;
    }
    left == 0
}

fn decode_group(group: &[u8]) -> Option<u32> {
    group.iter().try_fold(0_u32, |value, byte| {
        let digit = ALPHABET
            .iter()
            .position(|c| c == byte)
            .and_then(|d| u32::try_from(d).ok())?;
        value.checked_mul(85)?.checked_add(digit)
    })
}

/// Inflates to exactly `size` bytes.
fn inflate(data: &[u8], size: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut decoder = ZlibDecoder::new(data).take(size.checked_add(1)?);
    decoder.read_to_end(&mut bytes).ok()?;
    (u64::try_from(bytes.len()).ok()? == size).then_some(bytes)
}

/// Applies a delta of Git's pack format (`patch_delta` in Git's patch-delta.c), for a result of at most `limit` bytes.
pub(crate) fn apply_delta(source: &[u8], delta: &[u8], limit: u64) -> Option<Vec<u8>> {
    if delta.len() < 4 {
        return None;
    }
    let mut rest = delta;
    if delta_size(&mut rest)? != u64::try_from(source.len()).ok()? {
        return None;
    }
    let size = delta_size(&mut rest)?;
    if size > limit {
        return None;
    }
    let size = usize::try_from(size).ok()?;
    let mut result = Vec::with_capacity(size.min(1 << 20));
    while let Some((command, tail)) = rest.split_first() {
        rest = tail;
        let piece = if command & 0x80 != 0 {
            let mut field = |bits: u8, first: u8| {
                (0..bits).try_fold(0_usize, |value, bit| {
                    if command & (1 << (first + bit)) == 0 {
                        return Some(value);
                    }
                    let (byte, tail) = rest.split_first()?;
                    rest = tail;
                    Some(value | usize::from(*byte) << (8 * bit))
                })
            };
            let (offset, length) = (field(4, 0)?, field(3, 4)?);
            let length = if length == 0 { 0x1_0000 } else { length };
            source.get(offset..offset.checked_add(length)?)?
        } else {
            let length = usize::from(*command);
            if length == 0 || length > rest.len() {
                return None;
            }
            let (piece, tail) = rest.split_at(length);
            rest = tail;
            piece
        };
        if piece.len() > size - result.len() {
            return None;
        }
        result.extend_from_slice(piece);
    }
    (result.len() == size).then_some(result)
}

fn delta_size(rest: &mut &[u8]) -> Option<u64> {
    let (mut size, mut shift) = (0_u64, 0);
    loop {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        if shift < 64 {
            size |= u64::from(byte & 0x7f) << shift;
        }
        shift += 7;
        if byte & 0x80 == 0 {
            return Some(size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas() {
        let delta = [5, 7, 0x80 | 0x10, 5, 2, b'!', b'?'];
        assert_eq!(apply_delta(b"hello", &delta, 100).unwrap(), b"hello!?");
        assert_eq!(apply_delta(b"hell", &delta, 100), None);
        assert_eq!(apply_delta(b"hello", &delta, 6), None);
        assert_eq!(apply_delta(b"hello", &[5, 7, 0, 0, 0], 100), None);
        assert_eq!(apply_delta(b"hello", &[5, 9, 0x91, 1, 5], 100), None);
    }

    #[test]
    fn groups_that_overflow_are_refused() {
        assert_eq!(decode_group(b"|NsC0"), Some(u32::MAX));
        assert_eq!(decode_group(b"|NsC1"), None);
        assert_eq!(decode_group(b"0000 "), None);
    }
}
