//! Patch-ids as `git patch-id --stable` computes them (`get_one_patchid` in Git's
//! builtin/patch-id.c): the same for a change wherever it stands, whatever its white space.

use sha1::{Digest, Sha1};

/// The stable patch-id of a diff, as `git patch-id --stable` prints it.
pub type PatchId = [u8; 20];

/// What the next line is expected to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// A file's header.
    Header,
    /// This many lines of a hunk, before and after; a hunk's header if none are left.
    Hunk { before: i64, after: i64 },
    /// Binary contents.
    Binary,
}

/// Sums the hashes of files, so that their order does not matter.
struct Sum {
    total: PatchId,
    hash: Sha1,
    bytes: usize,
}

impl Sum {
    fn add(&mut self, text: &[u8]) {
        self.bytes += text.len();
        self.hash.update(text);
    }

    /// `flush_one_hunk`.
    fn end_file(&mut self) {
        let mut carry = 0_u16;
        for (byte, more) in self.total.iter_mut().zip(self.hash.finalize_reset()) {
            carry += u16::from(*byte) + u16::from(more);
            [*byte, _] = carry.to_le_bytes();
            carry >>= 8;
        }
    }
}

/// The patch-id of the first patch in a text; `None` if there is no diff in it.
pub(super) fn stable(text: &[u8]) -> Option<PatchId> {
    let mut lines = text.split_inclusive(|byte| *byte == b'\n').peekable();
    while lines.peek().is_some() {
        let mut sum = Sum {
            total: [0; 20],
            hash: Sha1::new(),
            bytes: 0,
        };
        read_one(&mut lines, &mut sum);
        if sum.bytes > 0 {
            sum.end_file();
            return Some(sum.total);
        }
    }
    None
}

/// Returns the stable patch-id of a patch: the same if the same lines change, wherever they stand
/// and whatever text surrounds the diff. `None` if there is no diff in it.
///
/// A plain diff without `diff` lines has the same id as with them; Git gives it none.
#[must_use]
pub fn patch_id(patch: &[u8]) -> Option<PatchId> {
    stable(patch).or_else(|| stable(&with_diff_lines(patch)))
}

/// A plain diff with the line `diff --git` before the header of each file.
fn with_diff_lines(patch: &[u8]) -> Vec<u8> {
    let lines: Vec<&[u8]> = patch.split_inclusive(|byte| *byte == b'\n').collect();
    let mut text = Vec::with_capacity(patch.len());
    for (at, line) in lines.iter().enumerate() {
        let name = |line: &[u8], mark: &[u8]| -> Option<Vec<u8>> {
            let name = line.strip_prefix(mark)?;
            let end = name.iter().position(|byte| b"\t\r\n".contains(byte));
            Some(name.get(..end.unwrap_or(name.len()))?.to_vec())
        };
        let next = lines.get(at + 1).copied().unwrap_or_default();
        let opens = lines.get(at + 2).is_some_and(|line| line.starts_with(b"@@ -"));
        if let (Some(old), Some(new), true) = (name(line, b"--- "), name(next, b"+++ "), opens) {
            text.extend([b"diff --git ", old.as_slice(), b" ", &new, b"\n"].concat());
        }
        text.extend_from_slice(line);
    }
    text
}

/// Reads to the end of a patch.
fn read_one<'a>(lines: &mut impl Iterator<Item = &'a [u8]>, sum: &mut Sum) {
    let mut state = State::Header;
    let mut ids: (Vec<u8>, Vec<u8>) = Default::default();
    for line in lines {
        // A line is a C string.
        let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
        let marked = [&b"commit "[..], b"From "]
            .iter()
            .find_map(|mark| line.strip_prefix(*mark));
        if marked.is_none() && line.starts_with(b"\\ ") && line.len() > 12 {
            continue;
        }
        if starts_with_id(marked.unwrap_or(line)) {
            return;
        }
        if sum.bytes == 0 && !line.starts_with(b"diff ") {
            continue;
        }
        if state == State::Header {
            if line.starts_with(b"GIT binary patch") || line.starts_with(b"Binary files") {
                state = State::Binary;
                sum.hash.update(&ids.0);
                sum.hash.update(&ids.1);
                sum.end_file();
                continue;
            } else if let Some(index) = line.strip_prefix(b"index ") {
                ids = read_index(index).unwrap_or(ids);
                continue;
            } else if line.starts_with(b"--- ") {
                state = State::Hunk { before: 1, after: 1 };
            } else if !line.first().is_some_and(u8::is_ascii_alphabetic) {
                return;
            }
        }
        if state == State::Binary {
            if !line.starts_with(b"diff ") {
                continue;
            }
            state = State::Header;
            // The header of a file after a binary one is skipped, as in Git.
            continue;
        }
        if state == (State::Hunk { before: 0, after: 0 }) {
            if line.starts_with(b"@@ -") {
                state = read_hunk_header(line);
                continue;
            }
            if !line.starts_with(b"diff ") {
                return;
            }
            sum.end_file();
            state = State::Header;
        }
        if let State::Hunk { before, after } = &mut state {
            let first = line.first().copied().unwrap_or_default();
            *before -= i64::from(first == b'-' || first == b' ');
            *after -= i64::from(first == b'+' || first == b' ');
        }
        let visible: Vec<u8> = line
            .iter()
            .copied()
            .filter(|byte| !b" \t\n\r".contains(byte))
            .collect();
        sum.add(&visible);
    }
}

fn starts_with_id(text: &[u8]) -> bool {
    text.get(..40)
        .is_some_and(|start| start.iter().all(u8::is_ascii_hexdigit))
}

/// The two ids of an `index` line.
fn read_index(index: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let dots = index.windows(2).position(|pair| pair == b"..")?;
    let (old, rest) = (index.get(..dots)?, index.get(dots + 2..)?);
    let end = rest
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(rest.len().saturating_sub(1));
    Some((old.to_vec(), rest.get(..end)?.to_vec()))
}

/// `scan_hunk_header`: how many lines the hunk has on each side.
fn read_hunk_header(line: &[u8]) -> State {
    let text = String::from_utf8_lossy(line.get(4..).unwrap_or_default());
    let count = |text: &str| -> i64 {
        let range: &str = text
            .split(|c: char| !c.is_ascii_digit() && c != ',')
            .next()
            .unwrap_or_default();
        match range.split_once(',') {
            Some((_, count)) => count.parse().unwrap_or(0),
            None => 1,
        }
    };
    let (old, new) = text.split_once(" +").unwrap_or((&text, "0,0"));
    State::Hunk {
        before: count(old),
        after: count(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUNK: &str = "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@ def f\n a\n-b\n+c\n";

    #[test]
    fn a_plain_diff_has_the_id_that_it_has_in_a_mail() {
        let plain = patch_id(format!("Use c.\n\n{HUNK}").as_bytes());
        let mail = format!(
            "From 1f0c000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n\
             Subject: [PATCH] Use c\n\n---\n x | 2 +-\n\ndiff --git a/x b/x\nindex 1..2 100644\n{}-- \n2.43.0\n",
            HUNK.replace("-1,2 +1,2", "-41,2 +41,2")
        );
        assert!(plain.is_some());
        assert_eq!(plain, patch_id(mail.as_bytes()));
        assert_ne!(plain, patch_id(HUNK.replace("+c", "+d").as_bytes()));
        assert_eq!(patch_id(b"nothing\n"), None);
    }
}
