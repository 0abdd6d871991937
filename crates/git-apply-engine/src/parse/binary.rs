//! `GIT binary patch` sections: base 85 and zlib, and the deltas of Git's packs.

use std::io::Read;

use bytes::Bytes;
use flate2::read::ZlibDecoder;

use super::scan::{after, at, from, line_length, number, to};
use crate::budget::{Budget, Exceeded, bytes};

/// One binary hunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BinaryHunk {
    /// The contents.
    Literal(Bytes),
    /// A delta from the preimage.
    Delta(Bytes),
}

/// The result of reading a hunk.
pub(super) enum Parsed {
    /// A hunk, and how many bytes it takes.
    Hunk(BinaryHunk, usize),
    /// The text is something else.
    None,
    /// A hunk that cannot be read.
    Corrupt,
    /// A hunk of more bytes than a file may have.
    TooLarge(u64),
    /// A hunk of more bytes than may be held, or inflated.
    Exceeded(Exceeded),
}

const ALPHABET: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/// The digit of each byte in [`ALPHABET`].
const DIGITS: [Option<u8>; 256] = {
    let mut digits = [None; 256];
    let mut digit = 0;
    while digit < ALPHABET.len() {
        #[allow(clippy::cast_possible_truncation, reason = "there are 85 digits")]
        {
            digits[ALPHABET[digit] as usize] = Some(digit as u8);
        }
        digit += 1;
    }
    digits
};

/// Reads a hunk: a line with method and size, lines of base 85, and an empty line.
pub(super) fn parse_hunk(text: &[u8], budget: &Budget) -> Parsed {
    let limit = budget.limits().file_bytes;
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
    // The decoded bytes are released below; the inflated ones stay as long as the patch.
    let decoded = bytes(data.len());
    let counted = budget
        .spend(decoded.saturating_add(size))
        .and_then(|()| budget.hold(decoded.saturating_add(size)));
    if let Err(exceeded) = counted {
        return Parsed::Exceeded(exceeded);
    }
    let inflated = inflate(&data, size);
    budget.release(decoded);
    match inflated {
        Some(contents) if is_delta => Parsed::Hunk(BinaryHunk::Delta(contents), used),
        Some(contents) => Parsed::Hunk(BinaryHunk::Literal(contents), used),
        None => Parsed::Corrupt,
    }
}

/// Decodes a line: a letter for the number of bytes, groups of five characters, and the line's last
/// byte.
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
        let digit = (*DIGITS.get(usize::from(*byte))?)?;
        value.checked_mul(85)?.checked_add(digit.into())
    })
}

/// Inflates to exactly `size` bytes.
fn inflate(data: &[u8], size: u64) -> Option<Bytes> {
    // A byte more than wanted, so that the decoder sees the end without growing the buffer.
    let mut contents = Vec::with_capacity(usize::try_from(size).ok()?.checked_add(1)?);
    let mut decoder = ZlibDecoder::new(data).take(size.checked_add(1)?);
    decoder.read_to_end(&mut contents).ok()?;
    (bytes(contents.len()) == size).then(|| contents.into())
}

/// The size of a delta's result, if the delta is for a source of this size.
pub(crate) fn result_size(source: &[u8], delta: &[u8]) -> Option<u64> {
    let mut rest = delta;
    (delta.len() >= 4 && delta_size(&mut rest)? == bytes(source.len())).then_some(())?;
    delta_size(&mut rest)
}

/// Applies a delta of Git's pack format (`patch_delta` in Git's patch-delta.c). Allocates
/// [`result_size`] bytes up front.
pub(crate) fn apply_delta(source: &[u8], delta: &[u8]) -> Option<Vec<u8>> {
    let size = usize::try_from(result_size(source, delta)?).ok()?;
    let mut rest = delta;
    let _ = (delta_size(&mut rest)?, delta_size(&mut rest)?);
    let mut result = Vec::with_capacity(size);
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
        assert_eq!(apply_delta(b"hello", &delta).unwrap(), b"hello!?");
        assert_eq!(apply_delta(b"hell", &delta), None);
        assert_eq!(result_size(b"hello", &delta), Some(7));
        assert_eq!(apply_delta(b"hello", &[5, 7, 0, 0, 0]), None);
        assert_eq!(apply_delta(b"hello", &[5, 9, 0x91, 1, 5]), None);
    }

    /// Each field of a copy: four bytes of offset and three of length, all optional.
    #[test]
    fn a_delta_copies_from_any_offset_any_length() {
        let source: Vec<u8> = (0..0x0003_0000_u32).map(|at| (at % 251) as u8).collect();
        let size = |mut left: usize| {
            let mut bytes = Vec::new();
            while left >= 0x80 {
                bytes.push((left % 0x80).to_le_bytes()[0] | 0x80);
                left /= 0x80;
            }
            bytes.push(left.to_le_bytes()[0]);
            bytes
        };
        for (copy, offset, length) in [
            (&[0x80][..], 0, 0x1_0000),
            (&[0x91, 3, 7], 3, 7),
            (&[0x92, 3, 7], 0x300, 7),
            (&[0x94, 2, 7], 0x2_0000, 7),
            (&[0xa0, 2], 0, 0x200),
            (&[0xc0, 1], 0, 0x1_0000),
            (&[0xb1, 1, 2, 3], 1, 0x302),
            (&[0x93, 1, 2, 4], 0x201, 4),
        ] {
            let delta = [&size(source.len()), &size(length), copy].concat();
            let expected = source.get(offset..offset + length).unwrap();
            assert_eq!(result_size(&source, &delta), Some(length as u64), "{copy:?}");
            assert_eq!(
                apply_delta(&source, &delta).as_deref(),
                Some(expected),
                "{copy:?}"
            );
        }
        // An offset of four bytes exceeds the source.
        let beyond = [&size(source.len()), &size(7), &[0x98, 1, 7][..]].concat();
        assert_eq!(apply_delta(&source, &beyond), None);
    }

    #[test]
    fn a_delta_is_for_its_source_and_has_its_size() {
        assert_eq!(apply_delta(b"", &[0, 2, 2, b'a', b'b']).unwrap(), b"ab");
        for wrong in [
            // Shorter than any delta, another source, too much, too little, cut off.
            &[0, 1, 1][..],
            &[1, 2, 2, b'a', b'b'],
            &[0, 1, 2, b'a', b'b'],
            &[0, 3, 2, b'a', b'b'],
            &[0, 2, 3, b'a', b'b'],
            &[0, 2, 2, b'a'],
            &[0, 0x80, 0x80, 0x80],
            &[0, 2, 0, b'a', b'b'],
        ] {
            assert_eq!(apply_delta(b"", wrong), None, "{wrong:?}");
        }
    }

    /// A line is a letter for the number of its bytes, and a group of five for every four of them.
    #[test]
    fn lines_of_base_85_have_the_length_that_they_say() {
        let decoded = |line: &[u8]| {
            let mut data = Vec::new();
            decode_line(line, &mut data).then_some(data)
        };
        // 0xffffffff is `|NsC0`, zeros are `00000`.
        assert_eq!(decoded(b"A|NsC0\n").unwrap(), [0xff]);
        assert_eq!(decoded(b"D|NsC0\n").unwrap(), [0xff; 4]);
        assert_eq!(decoded(b"E|NsC000000\n").unwrap(), [0xff, 0xff, 0xff, 0xff, 0]);
        let longest = [&b"z"[..], &b"00000".repeat(13), b"\n"].concat();
        assert_eq!(decoded(&longest).unwrap(), [0; 52]);
        let of_z = [&b"Z"[..], &b"00000".repeat(7), b"\n"].concat();
        assert_eq!(decoded(&of_z).unwrap(), [0; 26]);
        let of_a = [&b"a"[..], &b"00000".repeat(7), b"\n"].concat();
        assert_eq!(decoded(&of_a).unwrap(), [0; 27]);
        for wrong in [
            &b"E|NsC0\n"[..],
            b"D|NsC000000\n",
            b"A|NsC\n",
            b"A|NsC00\n",
            b"A\n",
            b"0|NsC0\n",
            b"A NsC0\n",
        ] {
            assert_eq!(decoded(wrong), None, "{}", wrong.escape_ascii());
        }
    }

    #[test]
    fn groups_that_overflow_are_refused() {
        assert_eq!(decode_group(b"|NsC0"), Some(u32::MAX));
        assert_eq!(decode_group(b"|NsC1"), None);
        assert_eq!(decode_group(b"0000 "), None);
    }
}
