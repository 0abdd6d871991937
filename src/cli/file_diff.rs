//! What changes in a file, as `git diff` writes it.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use patch_refresh::unified_hunks;

/// What there is at a path before it changes.
#[derive(Clone, Debug)]
pub(super) enum OldContents {
    Nothing,
    /// The bytes of a file.
    File(Vec<u8>),
    /// What a link leads to.
    Link(Vec<u8>),
}

impl OldContents {
    /// Reads what there is. Links are not followed.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is neither a file nor a link.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::Nothing),
            Err(error) => Err(error),
            Ok(found) if found.is_symlink() => Ok(Self::Link(
                fs::read_link(path)?.into_os_string().into_encoded_bytes(),
            )),
            Ok(_) => Ok(Self::File(fs::read(path)?)),
        }
    }
}

const FILE: &str = "100644";
const LINK: &str = "120000";

/// The change of a file or link to a file's new contents, for `git apply`; `None` stands for no
/// file. Empty if both are the same, and `None` if they are too large to compare.
pub(super) fn file_diff(path: &str, before: &OldContents, after: Option<&[u8]>) -> Option<Vec<u8>> {
    match before {
        OldContents::Nothing => change(path, None, after, FILE),
        OldContents::File(before) => change(path, Some(before), after, FILE),
        // Git changes the type of a file in two steps.
        OldContents::Link(target) => {
            let mut text = change(path, Some(target), None, LINK)?;
            if after.is_some() {
                text.extend(change(path, None, after, FILE)?);
            }
            Some(text)
        }
    }
}

fn change(path: &str, before: Option<&[u8]>, after: Option<&[u8]>, mode: &str) -> Option<Vec<u8>> {
    let hunks = unified_hunks(before.unwrap_or_default(), after.unwrap_or_default())?;
    if before.is_some() == after.is_some() && hunks.is_empty() {
        return Some(Vec::new());
    }
    let (old, new) = (quoted("a/", path), quoted("b/", path));
    let kind = match (before, after) {
        (None, Some(_)) => format!("new file mode {mode}\n"),
        (Some(_), None) => format!("deleted file mode {mode}\n"),
        _ => String::new(),
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
        let before = before.map_or(OldContents::Nothing, |text| OldContents::File(text.into()));
        let found = file_diff(path, &before, after.map(str::as_bytes));
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
        let link = OldContents::Link("g".into());
        let diff = |after: Option<&str>| {
            String::from_utf8(file_diff("f", &link, after.map(str::as_bytes)).unwrap()).unwrap()
        };
        let gone = "diff --git a/f b/f\ndeleted file mode 120000\n--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-g\n\\ No newline at end of file\n";
        assert_eq!(diff(None), gone);
        let file = "diff --git a/f b/f\nnew file mode 100644\n--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+x\n";
        assert_eq!(diff(Some("x\n")), format!("{gone}{file}"));
    }
}
