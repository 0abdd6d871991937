//! Who makes commits, by the name and address that a spec gives.

use git_mirrors::Identity;
use patchset_api::delivery::CommitAuthor;

/// The author, where a spec names none.
const AUTHOR: (&str, &str) = ("patchset", "noreply@patching.c5c3.io");

/// Who makes the commits that a spec asks for.
pub fn commit_author(author: Option<&CommitAuthor>) -> Identity {
    let name = author.and_then(|author| author.name.as_deref());
    Identity {
        name: name.unwrap_or(AUTHOR.0).to_owned(),
        email: author.map_or(AUTHOR.1, |author| author.email.as_str()).to_owned(),
    }
}
