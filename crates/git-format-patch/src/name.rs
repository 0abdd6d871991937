//! The name of a patch's file (`fmt_output_subject` and `format_sanitized_subject` in Git's
//! log-tree.c and pretty.c).

use bstr::ByteSlice;

/// The longest name with its ending, and the byte that Git's buffer ends with.
const LONGEST: usize = 64;
const ENDING: &str = ".patch";

/// The name of the patch with a number, by the first line of its message.
pub(crate) fn file_name(number: usize, message: &[u8]) -> String {
    patch_file_name(&format!("{number:04}-"), message)
}

/// Returns what `git format-patch` calls a patch's file: `prefix`, which is the number and a `-`,
/// and the first line of its message. A name has at most 63 bytes; only a longer prefix makes it
/// longer.
#[must_use]
pub fn patch_file_name(prefix: &str, message: &[u8]) -> String {
    let end = message.find_byte(b'\n').unwrap_or(message.len());
    let room = (LONGEST - ENDING.len() - 1).saturating_sub(prefix.len());
    let mut subject = sanitized(message.get(..end).unwrap_or_default());
    subject.truncate(room);
    format!("{prefix}{subject}{ENDING}")
}

/// A text of letters, digits, dots and underscores, with `-` for all else.
fn sanitized(text: &[u8]) -> String {
    let mut name = String::new();
    let mut at_start = true;
    let mut has_gap = false;
    for byte in text {
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_')) {
            has_gap = true;
            continue;
        }
        if *byte == b'.' && !has_gap && name.ends_with('.') {
            continue;
        }
        if has_gap && !at_start {
            name.push('-');
        }
        at_start = false;
        has_gap = false;
        name.push(char::from(*byte));
    }
    name.trim_end_matches(['.', '-']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_git_makes_them() {
        for (subject, name) in [
            ("Fix it", "0001-Fix-it.patch"),
            ("  [a] b.. c...d.", "0001-a-b.-c.d.patch"),
            ("", "0001-.patch"),
            ("ä", "0001-.patch"),
            (
                "A subject that is far too long to be the name of any file at all",
                "0001-A-subject-that-is-far-too-long-to-be-the-name-of-any.patch",
            ),
        ] {
            assert_eq!(file_name(1, subject.as_bytes()), name);
        }
        assert_eq!(file_name(12_345, b"x\ny"), "12345-x.patch");
    }
}
