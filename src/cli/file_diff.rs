//! What changes in a file, as `git diff` writes it.

use std::fmt::Write as _;

use patch_refresh::unified_hunks;

/// The change of a file from its old to its new contents, for `git apply`; `None` stands for no
/// file. Empty if both are the same, and `None` if they are too large to compare.
pub(super) fn file_diff(path: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> Option<Vec<u8>> {
    let hunks = unified_hunks(before.unwrap_or_default(), after.unwrap_or_default())?;
    if before.is_some() == after.is_some() && hunks.is_empty() {
        return Some(Vec::new());
    }
    let (old, new) = (quoted("a/", path), quoted("b/", path));
    let kind = match (before, after) {
        (None, Some(_)) => "new file mode 100644\n",
        (Some(_), None) => "deleted file mode 100644\n",
        _ => "",
    };
    let names = match (before, after) {
        // An empty file has no hunks, and is named by the first line alone.
        _ if hunks.is_empty() => String::new(),
        (None, _) => format!("--- /dev/null\n+++ {new}\n"),
        (_, None) => format!("--- {old}\n+++ /dev/null\n"),
        _ => format!("--- {old}\n+++ {new}\n"),
    };
    let header = format!("diff --git {old} {new}\n{kind}{names}");
    Some([header.as_bytes(), &hunks].concat())
}

/// A name as Git writes it in a diff: in quotes where it has characters that would be misread
/// (`quote_c_style`).
fn quoted(side: &str, path: &str) -> String {
    let is_plain = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    if path.bytes().all(|byte| is_plain(byte) && byte != b' ') {
        return format!("{side}{path}");
    }
    let mut text = format!("\"{side}");
    for byte in path.bytes() {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            byte if is_plain(byte) => text.push(char::from(byte)),
            byte => {
                // Writing to a string does not fail.
                let _ = write!(text, "\\{byte:03o}");
            }
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(path: &str, before: Option<&str>, after: Option<&str>) -> String {
        let found = file_diff(path, before.map(str::as_bytes), after.map(str::as_bytes));
        String::from_utf8(found.unwrap()).unwrap()
    }

    #[test]
    fn files_come_go_and_change() {
        assert_eq!(
            diff("a b", None, Some("x\n")),
            "diff --git \"a/a b\" \"b/a b\"\nnew file mode 100644\n--- /dev/null\n+++ \"b/a b\"\n@@ -0,0 +1 @@\n+x\n"
        );
        assert_eq!(
            diff("f", Some("x"), None),
            "diff --git a/f b/f\ndeleted file mode 100644\n--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n\\ No newline at end of file\n"
        );
        assert_eq!(
            diff("f", Some(""), None),
            "diff --git a/f b/f\ndeleted file mode 100644\n"
        );
        assert_eq!(diff("f", Some("x\n"), Some("x\n")), "");
    }
}
