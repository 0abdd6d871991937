//! What identifies a patch in another version of its series.

use std::fmt::Write;

use git_apply_engine::{FileDiff, Options, PatchInput, read_diffs};
use patch_headers::{CommitText, PatchIdentity};

use super::commit_object::commit_message;

/// What identifies a patch, and what it does, without line numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchFingerprint {
    /// Its file's name.
    pub name: String,
    /// The first line of its message; its name where it has none.
    pub subject: String,
    pub(super) message: String,
    pub(super) author: Option<String>,
    pub(super) change_ids: Vec<String>,
    /// The commit that it was made from.
    pub(super) commit: Option<String>,
    pub(super) files: Vec<ChangedFile>,
}

/// What a patch does to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChangedFile {
    /// The file after the patch; before it, where it is deleted.
    pub(super) path: String,
    /// What is done besides changing lines, in words of a diff: new, deleted, renamed, modes.
    pub(super) kind: String,
    pub(super) hunks: Vec<ChangedHunk>,
}

/// What a hunk does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChangedHunk {
    /// The line where its preimage starts, from 1.
    pub(super) line: u64,
    /// Its lines with their markers and line feeds.
    pub(super) lines: Vec<Vec<u8>>,
}

impl ChangedHunk {
    /// The removed and added lines.
    pub(super) fn changes(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.lines.iter().map(Vec::as_slice);
        lines.filter(|line| line.starts_with(b"-") || line.starts_with(b"+"))
    }
}

impl PatchFingerprint {
    /// Reads a patch. What cannot be read as one changes nothing.
    #[must_use]
    pub fn read(patch: &PatchInput, options: &Options) -> Self {
        let text = CommitText::read(&patch.bytes);
        let identity = PatchIdentity::read(&patch.bytes);
        let diffs = read_diffs(&patch.bytes, &patch.options(options)).unwrap_or_default();
        let message = commit_message(&patch.name, &text);
        Self {
            name: patch.name.clone(),
            subject: patch_headers::subject(&message),
            message: normal_message(&message),
            author: text.author_email,
            change_ids: identity.change_ids,
            commit: identity.commit,
            files: diffs.iter().map(changed_file).collect(),
        }
    }

    /// All removed and added lines.
    pub(super) fn changes(&self) -> impl Iterator<Item = &[u8]> {
        let hunks = self.files.iter().flat_map(|file| &file.hunks);
        hunks.flat_map(ChangedHunk::changes)
    }

    /// Message and diffs without line numbers and ids of blobs, for a comparison of both.
    pub(super) fn comparable(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Some(author) = &self.author {
            text.extend_from_slice(format!(" ## Author: {author} ##\n").as_bytes());
        }
        for line in self.message.lines() {
            text.extend_from_slice(format!("    {line}\n").as_bytes());
        }
        for file in &self.files {
            text.extend_from_slice(format!(" ## {}{} ##\n", file.path, file.kind).as_bytes());
            for hunk in &file.hunks {
                text.extend_from_slice(b"@@\n");
                for line in &hunk.lines {
                    text.extend_from_slice(line);
                    if !line.ends_with(b"\n") {
                        text.push(b'\n');
                    }
                }
            }
        }
        text
    }
}

/// A message with its first paragraph in one line, as a mail has it, without white space at the ends
/// of lines.
fn normal_message(message: &str) -> String {
    let text = message.trim();
    let body = text.split_once("\n\n").map_or("", |(_, body)| body);
    let lines: Vec<&str> = body.trim().lines().map(str::trim_end).collect();
    format!("{}\n\n{}", patch_headers::subject(text), lines.join("\n"))
}

fn changed_file(diff: &FileDiff<'_>) -> ChangedFile {
    let path = diff.new_path.as_ref().or(diff.old_path.as_ref());
    let shown = |path: &Vec<u8>| String::from_utf8_lossy(path).into_owned();
    // Writing to a string does not fail.
    let mut kind = String::new();
    match (&diff.old_path, &diff.new_path) {
        (None, _) => kind.push_str(" (new)"),
        (_, None) => kind.push_str(" (deleted)"),
        (Some(old), Some(new)) if old != new => kind = format!(" (from {})", shown(old)),
        _ => {}
    }
    if diff.old_mode != diff.new_mode && diff.old_mode != 0 && diff.new_mode != 0 {
        let _ = write!(kind, " (mode {:o} => {:o})", diff.old_mode, diff.new_mode);
    }
    if diff.is_binary {
        let _ = write!(kind, " (binary {})", String::from_utf8_lossy(diff.new_id));
    }
    ChangedFile {
        path: path.map(shown).unwrap_or_default(),
        kind,
        hunks: diff
            .hunks
            .iter()
            .map(|hunk| ChangedHunk {
                line: hunk.old_start,
                lines: hunk.lines().map(<[u8]>::to_vec).collect(),
            })
            .collect(),
    }
}
