//! A commit of an upstream.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use patchset_api::upstream_history::{MergedStatus, UpstreamCommitStatus};

use super::text::web_address;

/// How many digits of a commit are shown.
const SHORT_COMMIT: usize = 9;

/// A commit of an upstream, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitView {
    /// Its first digits.
    pub short: String,
    /// The first line of its message.
    pub subject: String,
    /// Who wrote it.
    pub author: Option<String>,
    /// Its date.
    pub date: Option<String>,
    /// Its page on the web.
    pub url: Option<String>,
}

impl CommitView {
    /// The commit that brought a patch; `None` where that is not known.
    #[must_use]
    pub fn from_merged(merged: &MergedStatus) -> Option<Self> {
        let commit = merged.commit.as_ref()?;
        Some(Self {
            short: short(commit),
            subject: merged.subject.clone().unwrap_or_default(),
            author: merged.author.as_deref().map(name),
            date: merged.date.as_ref().map(day),
            url: merged.url.as_deref().and_then(web_address),
        })
    }
}

impl From<&UpstreamCommitStatus> for CommitView {
    fn from(commit: &UpstreamCommitStatus) -> Self {
        Self {
            short: short(&commit.commit),
            subject: commit.subject.clone(),
            author: commit.author.as_deref().map(name),
            date: commit.date.as_ref().map(day),
            url: commit.url.as_deref().and_then(web_address),
        }
    }
}

/// An author's name without the address.
fn name(author: &str) -> String {
    let name = author.split('<').next().unwrap_or_default().trim();
    if name.is_empty() { author } else { name }.to_owned()
}

fn short(commit: &str) -> String {
    commit.chars().take(SHORT_COMMIT).collect()
}

fn day(Time(time): &Time) -> String {
    time.strftime("%-d %b %Y").to_string()
}
