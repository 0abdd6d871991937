//! Which paths may be written: the rules of `verify_path` in Git's read-cache.c, with
//! `core.protectNTFS` on and `core.protectHFS` off as they are by default on Linux.

use super::object::EntryMode;

/// How many names a path has: its folders and the file.
pub(super) fn depth(path: &[u8]) -> usize {
    super::lines::count(path, b'/') + 1
}

/// Whether a path stays in the tree and does not touch `.git`.
pub(super) fn is_safe(path: &[u8], mode: EntryMode) -> bool {
    !path.is_empty()
        && path
            .split(|b| *b == b'/')
            .all(|name| component_is_safe(name, mode))
        && !ntfs_component_hits(path, mode)
}

fn component_is_safe(name: &[u8], mode: EntryMode) -> bool {
    !(matches!(name, b"" | b"." | b"..")
        || name.eq_ignore_ascii_case(b".git")
        || (mode == EntryMode::Symlink && name.eq_ignore_ascii_case(b".gitmodules")))
}

/// Whether a component could be `.git` on NTFS, or a link `.gitmodules`.
fn ntfs_component_hits(path: &[u8], mode: EntryMode) -> bool {
    let starts = std::iter::once(0).chain(
        path.iter()
            .enumerate()
            .filter(|(_, b)| **b == b'/')
            .map(|(at, _)| at + 1),
    );
    starts
        .filter_map(|at| path.get(at..))
        .any(|rest| is_ntfs_dotgit(rest) || (mode == EntryMode::Symlink && is_ntfs_dotgitmodules(rest)))
}

fn starts_with_ignoring_case<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// `is_ntfs_dotgit` of Git's path.c.
fn is_ntfs_dotgit(text: &[u8]) -> bool {
    let Some(rest) =
        starts_with_ignoring_case(text, b".git").or_else(|| starts_with_ignoring_case(text, b"git~1"))
    else {
        return false;
    };
    match rest.iter().find(|b| !matches!(b, b'.' | b' ')) {
        None => true,
        Some(end) => matches!(end, b'/' | b'\\' | b':'),
    }
}

/// `is_ntfs_dotgitmodules` of Git's path.c.
fn is_ntfs_dotgitmodules(text: &[u8]) -> bool {
    let only_spaces_and_periods = |rest: &[u8]| match rest.iter().find(|b| !matches!(b, b'.' | b' ')) {
        None => true,
        Some(end) => *end == b':',
    };
    if let Some(rest) = starts_with_ignoring_case(text, b".gitmodules") {
        return only_spaces_and_periods(rest);
    }
    if let Some([b'1'..=b'4', rest @ ..]) = starts_with_ignoring_case(text, b"gitmod~") {
        return only_spaces_and_periods(rest);
    }
    let Some((short, rest)) = text.split_at_checked(8) else {
        return false;
    };
    let Some(tilde) = short.iter().position(|b| *b == b'~').filter(|at| *at <= 6) else {
        return false;
    };
    let (name, number) = short.split_at(tilde);
    let number = number.get(1..).unwrap_or_default();
    b"gi7eba".starts_with(&name.to_ascii_lowercase())
        && number.first().is_some_and(|b| matches!(b, b'1'..=b'9'))
        && number.iter().all(u8::is_ascii_digit)
        && only_spaces_and_periods(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safe_paths() {
        for path in [
            "a",
            "a/b",
            ".gitignore",
            "a/.gitattributes",
            "git",
            "a/git~2",
            "..a",
            "a..",
            ".github/x",
            "git~12",
            "git~1x",
            ".gitx",
            "a.git",
        ] {
            assert!(is_safe(path.as_bytes(), EntryMode::Regular), "{path}");
        }
        assert!(is_safe(b".gitmodules", EntryMode::Regular));
    }

    #[test]
    fn unsafe_paths() {
        for path in [
            "",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a/.",
            ".git",
            ".git/config",
            "a/.GIT/x",
            ".git./x",
            ".git /x",
            "git~1/x",
            "GIT~1",
            ".git:x/y",
            ".git\\x",
        ] {
            assert!(!is_safe(path.as_bytes(), EntryMode::Regular), "{path}");
        }
        for path in [
            ".gitmodules",
            ".GitModules",
            ".gitmodules .",
            "gitmod~1",
            "GI7EBA~1",
            "a/gi7eba~1",
        ] {
            assert!(!is_safe(path.as_bytes(), EntryMode::Symlink), "{path}");
            assert!(is_safe(path.as_bytes(), EntryMode::Regular), "{path}");
        }
        // Short names of NTFS: of six characters and a digit, and of the hash of `gitmodules`.
        for (path, expected) in [
            ("gitmod~4", false),
            ("gitmod~5", true),
            ("gitmod~0", true),
            ("gitmod~1 .", false),
            ("gitmod~1x", true),
            ("gitmod~1:x", false),
            (".gitmodules:x", false),
            (".gitmodulesx", true),
            ("gi7eba~9", false),
            ("gi7eba~0", true),
            ("gi7eb~10", false),
            ("gi7e~123", false),
            ("g~123456", false),
            ("gi7ebb~1", true),
            ("gi7eba~x", true),
            ("gi7eb~1x", true),
            ("gi7eba~1x", true),
            ("gi7eba~", true),
            ("gi7eba11", true),
            ("gi7ebaa~", true),
        ] {
            assert_eq!(is_safe(path.as_bytes(), EntryMode::Symlink), expected, "{path}");
        }
    }
}
