//! What a text without a diff is, and how to get a diff from it.

/// The bytes at the start of a text that are looked at.
const LOOKED_AT: usize = 64 << 10;

/// What compressed files begin with, and what unpacks them.
const COMPRESSED: [(&[u8], &str); 5] = [
    (b"\x1f\x8b", "it is compressed with gzip: unpack it with gunzip"),
    (b"\xfd7zXZ\x00", "it is compressed with xz: unpack it with unxz"),
    (b"BZh", "it is compressed with bzip2: unpack it with bunzip2"),
    (
        b"\x28\xb5\x2f\xfd",
        "it is compressed with zstd: unpack it with unzstd",
    ),
    (b"PK\x03\x04", "it is a ZIP archive: unpack it with unzip"),
];

/// What a text is and what to do with it, as far as that can be seen.
pub(crate) fn explained(text: &[u8]) -> &'static str {
    let start = text.get(..LOOKED_AT).unwrap_or(text);
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(byte);
    let compressed = COMPRESSED.iter().find(|(magic, _)| start.starts_with(magic));
    let has_line = |begins: &[&[u8]]| {
        let mut lines = start.split(|byte| *byte == b'\n');
        lines.any(|line| begins.iter().any(|begin| line.starts_with(begin)))
    };
    if let Some((_, what)) = compressed {
        what
    } else if is_utf16(start) {
        "it is UTF-16: save it as UTF-8"
    } else if let Some(encoded) = encoded_mail(text) {
        encoded
    } else if text.len() > 64 && text.iter().all(is_base64) {
        "it looks like base64, as Gerrit gives patches; decode it with base64 --decode"
    } else if has_line(&[b"\x1b["]) {
        "it has colours (terminal escapes): make it with git diff --no-color"
    } else if has_line(&[b"diff --cc ", b"diff --combined ", b"@@@ "]) {
        "it is the combined diff of a merge, which cannot be applied: make it with git diff MERGE^1 MERGE"
    } else if is_cover_letter(start) {
        "it is a cover letter, as git format-patch --cover-letter writes it: remove it from the series"
    } else if has_summary(start) {
        "it has only the summary of --stat: make it with git format-patch, or with git diff --patch"
    } else {
        "is it empty, or cut off?"
    }
}

/// How a mail's body is encoded, and how to get its patch.
pub(crate) fn encoded_mail(text: &[u8]) -> Option<&'static str> {
    let start = text.get(..LOOKED_AT).unwrap_or(text);
    let lines = start.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut head = lines.take_while(|line| !line.is_empty());
    let encoding = head.find_map(|line| {
        let (name, value) = line.split_at_checked(b"Content-Transfer-Encoding:".len())?;
        name.eq_ignore_ascii_case(b"Content-Transfer-Encoding:")
            .then(|| value.trim_ascii())
    })?;
    if encoding.eq_ignore_ascii_case(b"base64") {
        Some("it is a mail whose body is base64: decode it with git mailinfo -u MESSAGE PATCH < MAIL")
    } else if encoding.eq_ignore_ascii_case(b"quoted-printable") {
        Some(
            "it is a mail whose body is quoted-printable: decode it with git mailinfo -u MESSAGE PATCH < MAIL",
        )
    } else {
        None
    }
}

/// Whether a text has a byte order mark of UTF-16, or nearly every second byte is zero.
fn is_utf16(text: &[u8]) -> bool {
    let zeros = |first: usize| {
        text.iter()
            .skip(first)
            .step_by(2)
            .filter(|byte| **byte == 0)
            .count()
    };
    let (even, odd) = (zeros(0), zeros(1));
    let most = text.len() / 2;
    text.starts_with(b"\xff\xfe")
        || text.starts_with(b"\xfe\xff")
        || most >= 8 && even.max(odd) >= most - most / 8 && even.min(odd) == 0
}

/// Whether a text is a mail `[PATCH 0/3]`.
fn is_cover_letter(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.any(|line| {
        let Some(subject) = line.strip_prefix(b"Subject: [") else {
            return false;
        };
        let tag = subject.split(|byte| *byte == b']').next().unwrap_or_default();
        let number = tag.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        let first = number.split(|byte| *byte == b'/').next().unwrap_or_default();
        number.len() > first.len() && !first.is_empty() && first.iter().all(|digit| *digit == b'0')
    })
}

/// Whether a text has a line like ` 2 files changed, 3 insertions(+)`.
fn has_summary(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.any(|line| {
        let mut words = line
            .strip_prefix(b" ")
            .unwrap_or_default()
            .split(|byte| *byte == b' ');
        let count = words.next().unwrap_or_default();
        let is_count = !count.is_empty() && count.iter().all(u8::is_ascii_digit);
        let files = words.next().unwrap_or_default();
        let changed = words.next().unwrap_or_default();
        is_count && files.starts_with(b"file") && changed.starts_with(b"changed")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_diff_is_named_with_the_way_to_one() {
        let utf16 = |text: &str| -> Vec<u8> { text.bytes().flat_map(|byte| [byte, 0]).collect() };
        let mail = |encoding: &str| {
            format!("From: A <a@b>\nSubject: [PATCH] S\ncontent-transfer-encoding: {encoding}\n\nZGlm\n")
                .into_bytes()
        };
        for (text, word) in [
            (b"\x1f\x8b\x08\x00".to_vec(), "gunzip"),
            (b"\xfd7zXZ\x00".to_vec(), "unxz"),
            (utf16("diff --git a/f b/f\n"), "UTF-16"),
            (mail("base64"), "whose body is base64"),
            (mail("Quoted-Printable"), "quoted-printable"),
            (b"\x1b[1mdiff --git a/f b/f\x1b[m\n".to_vec(), "--no-color"),
            (
                b"diff --cc f\nindex 1,2..3\n--- a/f\n+++ b/f\n@@@ -1,1 -1,1 +1,2 @@@\n".to_vec(),
                "combined diff",
            ),
            (
                b"From 1 Mon Sep 17 00:00:00 2001\nSubject: [PATCH v2 0/3] All\n\n f | 2 +-\n 1 file changed\n".to_vec(),
                "cover letter",
            ),
            (b" f | 2 +-\n 1 file changed, 1 insertion(+), 1 deletion(-)\n".to_vec(), "--stat"),
            (b"".to_vec(), "empty"),
            (b"Subject: [PATCH 1/3] One\n\nText.\n".to_vec(), "empty"),
        ] {
            let told = explained(&text);
            assert!(told.contains(word), "{:?}: {told}", String::from_utf8_lossy(&text));
        }
    }
}
