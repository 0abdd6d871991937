//! The mail around a patch (`pretty_print_commit` in Git's pretty.c, for mails).

use bstr::ByteSlice;
use jiff::Timestamp;

use super::raw_commit::{RawCommit, first_line, is_space, skip_blank_lines, title};

/// The widest line of a header.
const WIDTH: usize = 78;
/// The widest line with encoded words (RFC 2047).
const ENCODED_WIDTH: usize = 76;

/// What comes before the diffstat, including the line `---`.
pub(crate) fn head(commit: &RawCommit) -> Vec<u8> {
    let mut text = format!("From {} Mon Sep 17 00:00:00 2001\n", commit.id).into_bytes();
    sender(&mut text, &commit.author);
    let (title, body) = title(skip_blank_lines(&commit.message));
    text.extend_from_slice(b"Subject: [PATCH] ");
    if needs_encoding(&title) {
        encode(&mut text, &title, Place::Subject);
    } else {
        let column = last_line_length(&text);
        wrap(&mut text, &title, column);
    }
    text.push(b'\n');
    if commit.message.iter().copied().any(is_no_ascii) {
        text.extend_from_slice(
            b"MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n",
        );
    }
    text.push(b'\n');
    let start = text.len();
    add_body(&mut text, body);
    let end = text.trim_end_with(|c| u8::try_from(c).is_ok_and(is_space)).len();
    text.truncate(end);
    text.push(b'\n');
    if text.len() <= start {
        text.push(b'\n');
    }
    text.extend_from_slice(b"---\n");
    text
}

/// The lines of a message, without white space at their ends.
fn add_body(text: &mut Vec<u8>, body: &[u8]) {
    let mut rest = skip_blank_lines(body);
    while !rest.is_empty() {
        let (line, behind) = first_line(rest);
        text.extend_from_slice(line);
        text.push(b'\n');
        rest = behind;
    }
}

/// `From:` and `Date:`; nothing where the commit does not say who wrote it.
fn sender(text: &mut Vec<u8>, author: &[u8]) {
    let Some((name, rest)) = author.split_once_str(b"<") else {
        return;
    };
    let Some((mail, _)) = rest.split_once_str(b">") else {
        return;
    };
    let name = name.trim_end_with(|c| u8::try_from(c).is_ok_and(is_space));
    text.extend_from_slice(b"From: ");
    let column = last_line_length(text);
    let mut width = WIDTH;
    if needs_encoding(name) {
        encode(text, name, Place::Address);
        width = ENCODED_WIDTH;
    } else if name.iter().any(|byte| b"()<>[]:;@,.\"\\".contains(byte)) {
        wrap(text, &in_quotes(name), column);
    } else {
        wrap(text, name, column);
    }
    if width < last_line_length(text) + " <".len() + mail.len() + ">".len() {
        text.push(b'\n');
    }
    text.extend([b" <", mail, b">\n"].concat());
    let dates = author.rsplit_once_str(b">").map_or(&b""[..], |(_, dates)| dates);
    text.extend_from_slice(format!("Date: {}\n", date(dates)).as_bytes());
}

fn in_quotes(name: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    for byte in name {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(*byte);
    }
    quoted.push(b'"');
    quoted
}

/// `SECONDS +HHMM` as RFC 2822 writes it; the epoch where it cannot be read.
fn date(dates: &[u8]) -> String {
    let mut fields = dates.fields().filter_map(|field| field.to_str().ok());
    let seconds = fields.next().and_then(|seconds| seconds.parse::<i64>().ok());
    // Git takes any zone below the largest number, even one of several days.
    let zone = fields
        .next()
        .and_then(|zone| zone.parse::<i32>().ok())
        .filter(|zone| seconds.is_some() && zone.checked_abs().is_some_and(|zone| zone < i32::MAX))
        .unwrap_or(0);
    let minutes = i64::from(zone / 100 * 60 + zone % 100);
    let local = seconds.unwrap_or(0).saturating_add(60 * minutes);
    let local = Timestamp::from_second(local).unwrap_or_default();
    format!("{} {zone:+05}", local.strftime("%a, %-d %b %Y %H:%M:%S"))
}

/// Whether Git treats a byte as not ASCII: the escape character too.
fn is_no_ascii(byte: u8) -> bool {
    !byte.is_ascii() || byte == 0x1b
}

fn needs_encoding(text: &[u8]) -> bool {
    text.iter().any(|byte| is_no_ascii(*byte) || *byte == b'\n') || text.contains_str("=?")
}

/// Where an encoded text is, which decides what stays unencoded (RFC 2047, section 5).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Subject,
    Address,
}

impl Place {
    fn is_special(self, byte: u8) -> bool {
        let is_printable = byte.is_ascii_graphic();
        match self {
            Self::Subject => !is_printable || matches!(byte, b'=' | b'?' | b'_'),
            Self::Address => !(byte.is_ascii_alphanumeric() || b"!*+-/".contains(&byte)),
        }
    }
}

/// Adds a text as encoded words, none of which ends within a character (`add_rfc2047`).
fn encode(text: &mut Vec<u8>, given: &[u8], place: Place) {
    const START: &[u8] = b"=?UTF-8?q?";
    let mut column = last_line_length(text) + START.len();
    text.extend_from_slice(START);
    let mut rest = given;
    while let Some(first) = rest.first() {
        let length = character(rest);
        let is_special = length > 1 || place.is_special(*first);
        let encoded = if is_special { 3 * length } else { 1 };
        if column + encoded + 2 > ENCODED_WIDTH {
            text.extend_from_slice(b"?=\n =?UTF-8?q?");
            column = START.len() + 1;
        }
        let (bytes, behind) = rest.split_at(length);
        for byte in bytes {
            if is_special {
                text.extend_from_slice(format!("={byte:02X}").as_bytes());
            } else {
                text.push(*byte);
            }
        }
        column += encoded;
        rest = behind;
    }
    text.extend_from_slice(b"?=");
}

/// How many bytes the first character has; 1 if it is not valid.
fn character(text: &[u8]) -> usize {
    let (found, length) = bstr::decode_utf8(text);
    found.map_or(1, |_| length).max(1)
}

fn last_line_length(text: &[u8]) -> usize {
    text.len() - text.rfind_byte(b'\n').map_or(0, |at| at + 1)
}

/// Adds a text that starts at a column, broken at white space before it is too wide, with a space
/// at the start of further lines (`strbuf_add_wrapped_text` in Git's utf8.c).
fn wrap(out: &mut Vec<u8>, text: &[u8], column: usize) {
    let width = i64::try_from(WIDTH).unwrap_or(i64::MAX);
    let mut reached = i64::try_from(column).unwrap_or(i64::MAX);
    let (mut start, mut at) = (0, 0);
    let mut space = Some(0);
    loop {
        let byte = text.get(at).copied();
        if let Some(byte) = byte.filter(|byte| !is_space(*byte)) {
            // Git counts a control character as -1 columns.
            reached += if byte.is_ascii_control() { -1 } else { 1 };
            at += 1;
            continue;
        }
        match space {
            Some(space_at) if reached > width => {
                out.push(b'\n');
                let skips = text.get(space_at).is_some_and(|byte| is_space(*byte));
                at = space_at + usize::from(skips);
                start = at;
                space = None;
                reached = 1;
            }
            _ => {
                if byte.is_none() && at == start {
                    return;
                }
                if space.is_none() {
                    out.push(b' ');
                }
                let from = space.unwrap_or(start);
                out.extend_from_slice(text.get(from..at).unwrap_or_default());
                let Some(byte) = byte else { return };
                space = Some(at);
                if byte == b'\t' {
                    reached |= 7;
                }
                reached += 1;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_git() {
        for (dates, written) in [
            ("1700000000 +0530", "Wed, 15 Nov 2023 03:43:20 +0530"),
            ("1700000000 -0330", "Tue, 14 Nov 2023 18:43:20 -0330"),
            ("1700000000 +2630", "Thu, 16 Nov 2023 00:43:20 +2630"),
            ("1700000000 -9999", "Fri, 10 Nov 2023 17:34:20 -9999"),
            ("1700000000 +12345", "Mon, 20 Nov 2023 01:58:20 +12345"),
            ("1700000000 +2147483647", "Tue, 14 Nov 2023 22:13:20 +0000"),
            ("1700000000 -2147483648", "Tue, 14 Nov 2023 22:13:20 +0000"),
            ("1700000000 +99999999999", "Tue, 14 Nov 2023 22:13:20 +0000"),
            ("9223372036854775807 +9959", "Thu, 1 Jan 1970 00:00:00 +9959"),
            ("then +0100", "Thu, 1 Jan 1970 00:00:00 +0000"),
            ("", "Thu, 1 Jan 1970 00:00:00 +0000"),
        ] {
            assert_eq!(date(dates.as_bytes()), written, "{dates}");
        }
    }
}
