//! Reads bytes as the C library does, from a buffer that may or may not end in a line feed.

use bstr::ByteSlice;

/// The length of the first line, with its line feed where there is one.
pub(super) fn line_length(bytes: &[u8]) -> usize {
    bytes.find_byte(b'\n').map_or(bytes.len(), |at| at + 1)
}

/// White space as Git sees it: space, tab, line feed, carriage return.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The byte at a place; 0 past the end, as the end of a C string.
pub(super) fn at(bytes: &[u8], place: usize) -> u8 {
    bytes.get(place).copied().unwrap_or(0)
}

/// What follows a prefix.
pub(super) fn after<'a>(bytes: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    bytes.strip_prefix(prefix)
}

/// The bytes from a place on; none past the end.
pub(super) fn from(bytes: &[u8], place: usize) -> &[u8] {
    bytes.get(place..).unwrap_or_default()
}

/// The bytes up to a place.
pub(super) fn to(bytes: &[u8], place: usize) -> &[u8] {
    bytes.get(..place).unwrap_or(bytes)
}

/// A number in a base at the start, and how many digits it has; too large ones saturate, as with
/// `strtoul`.
pub(super) fn number(bytes: &[u8], base: u32) -> (u64, usize) {
    let mut value: u64 = 0;
    let mut digits = 0;
    for byte in bytes {
        let Some(digit) = char::from(*byte).to_digit(base) else {
            break;
        };
        value = value
            .checked_mul(base.into())
            .and_then(|v| v.checked_add(digit.into()))
            .unwrap_or(u64::MAX);
        digits += 1;
    }
    (value, digits)
}
