//! Files that a source gives out, and the limits on them.

use super::Error;

/// A file of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name; for files below a folder, their path from the root.
    pub name: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// How much may be read at once.
#[derive(Clone, Copy, Debug)]
pub struct FileLimits {
    /// Bytes of one file.
    pub file: u64,
    /// Bytes of all files together.
    pub total: u64,
    /// Number of files.
    pub count: usize,
}

impl Default for FileLimits {
    /// 16 MiB a file, 64 MiB and 2,000 files in all.
    fn default() -> Self {
        Self {
            file: 16 << 20,
            total: 64 << 20,
            count: 2000,
        }
    }
}

/// Writes a path below a tree in its plain form: `a/b`, or nothing for the tree itself.
///
/// # Errors
///
/// [`Error::Path`] for absolute paths, `..`, backslashes and control characters.
pub fn plain_path(path: &str) -> Result<String, Error> {
    let wrong = |reason: &str| Error::Path {
        path: path.chars().filter(|c| !c.is_control()).take(200).collect(),
        reason: reason.to_owned(),
    };
    if path.starts_with('/') {
        return Err(wrong("starts with '/': write it relative to the root"));
    }
    if path.chars().any(|c| c.is_control() || c == '\\') {
        return Err(wrong("contains a backslash or control characters"));
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(wrong("leads out of the tree: write it without '..'")),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}
