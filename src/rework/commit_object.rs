//! The commit that stands for a patch in a working tree: the same patch on the same commit is the
//! same commit, byte for byte.

use git_apply_engine::Oid;
use patch_headers::{CommitText, WrittenAt};

/// The commit that stands for a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchCommit {
    /// Who wrote it, and when, as a commit has it.
    pub author: String,
    /// Its message.
    pub message: String,
}

/// The author of patches that do not say who wrote them.
const NOBODY: (&str, &str) = ("unknown", "unknown@localhost");

impl PatchCommit {
    /// Reads what a patch says of itself. `undated` is the time of a patch that does not say when
    /// it was written, in seconds since the epoch.
    #[must_use]
    pub fn read(name: &str, text: &CommitText, undated: i64) -> Self {
        let written = text.written.unwrap_or(WrittenAt {
            seconds: undated,
            offset_minutes: 0,
        });
        let plain = |text: Option<&String>, absent: &str| {
            let is_plain = |c: &char| !matches!(c, '<' | '>' | '\n' | '\0');
            let text: String = text
                .map(String::as_str)
                .unwrap_or_default()
                .chars()
                .filter(is_plain)
                .collect();
            match text.trim() {
                "" => absent.to_owned(),
                text => text.to_owned(),
            }
        };
        let minutes = written.offset_minutes.unsigned_abs();
        let sign = if written.offset_minutes < 0 { '-' } else { '+' };
        let author_name = plain(text.author_name.as_ref().or(text.author_email.as_ref()), NOBODY.0);
        Self {
            author: format!(
                "{author_name} <{}> {} {sign}{:02}{:02}",
                plain(text.author_email.as_ref(), NOBODY.1),
                written.seconds.max(0),
                minutes / 60,
                minutes % 60
            ),
            message: commit_message(name, text),
        }
    }

    /// The commit's object.
    #[must_use]
    pub fn object(&self, tree: Oid, parent: Oid) -> Vec<u8> {
        let Self { author, message } = self;
        format!("tree {tree}\nparent {parent}\nauthor {author}\ncommitter {author}\n\n{message}").into_bytes()
    }
}

/// The message of the commit that stands for a patch: what it says, or the name of its file.
#[must_use]
pub fn commit_message(name: &str, text: &CommitText) -> String {
    // Git ends messages at a NUL.
    let message = text.message.replace('\0', "");
    if !message.trim().is_empty() {
        return message;
    }
    let base = name.rsplit('/').next().unwrap_or(name);
    let stem = base.trim_end_matches(".patch").trim_end_matches(".diff");
    format!("{stem}\n")
}
