//! The outcome for a patch in words, for every form: texts of others are quoted as the form
//! requires.

use std::fmt::Write;

use patchset_api::status::{PatchState, PatchStatus};
use patchset_api::upstream_history::UpstreamCommitStatus;

use super::super::changes::{ChangeVerdict, PatchEdit, SeriesDifference};
use super::super::report::{PatchRow, Report};
use super::markup;
use crate::cli::style::plain;
use crate::page::words;
pub(super) use crate::page::words::result;
use crate::plan::upstream_history::{commit_in_words, merged_in_words};

/// How many commits that broke patches a sentence names.
const NAMED_COMMITS: usize = 3;

/// How a form writes what others wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quoting {
    /// As it is, as far as it is printable.
    Plain,
    /// As code, in Markdown.
    Markdown,
}

impl Quoting {
    pub(super) fn text(self, text: &str) -> String {
        match self {
            Self::Plain => plain(text),
            Self::Markdown => markup::code(text),
        }
    }

    fn linked(self, text: &str, url: Option<&str>) -> String {
        match self {
            Self::Plain => plain(text),
            Self::Markdown => markup::link(&markup::code(text), url),
        }
    }

    fn commit(self, commit: &UpstreamCommitStatus) -> String {
        self.linked(&commit_in_words(commit), commit.url.as_deref())
    }
}

/// The outcome for a patch, why, and which commit caused it: the words that follow its name.
pub(super) fn story(status: &PatchStatus, quoting: Quoting) -> String {
    let mut text = result(status.state).to_owned();
    // Writing to a string does not fail.
    match (status.state, words::cause(status, |text| quoting.text(text))) {
        (PatchState::Merged, _) => text.push_str(&merged(status, quoting)),
        (_, Some(cause)) => {
            let _ = write!(text, ": {cause}");
        }
        (_, None) => {}
    }
    if let Some(reverted) = &status.reverted {
        let (merged, by) = (quoting.commit(&reverted.merged), quoting.commit(&reverted.by));
        let _ = write!(text, "; was merged as {merged}, reverted by {by}");
    }
    if let Some(commit) = broken_by(status) {
        let _ = write!(text, "; broken by {}", quoting.commit(commit));
    }
    text
}

fn broken_by(status: &PatchStatus) -> Option<&UpstreamCommitStatus> {
    status.conflict.as_ref()?.broken_by.as_ref()
}

/// By which commit upstream has a patch, as far as that is known.
fn merged(status: &PatchStatus, quoting: Quoting) -> String {
    let Some(merged) = &status.merged else {
        return String::new();
    };
    let form = if merged.differs { " in another form" } else { "" };
    let commit = merged_in_words(merged).map(|words| quoting.linked(&words, merged.url.as_deref()));
    let commit = commit.map_or_else(String::new, |commit| format!(" as {commit}"));
    form.to_owned() + &commit
}

/// What to do about a patch that does not apply.
pub(super) fn remedy(status: &PatchStatus) -> &'static str {
    words::remedy(status, "take the refreshed patch, which --fix writes")
}

/// What a change does to a series: `moves glance 31.1.0 → 31.2.0 (2025.2): 3 apply, 1 breaks: by …`.
pub(super) fn change(change: &SeriesDifference, report: &Report, quoting: Quoting) -> String {
    let (component, release) = (quoting.text(&change.component), quoting.text(&change.release));
    let quoted = |reference: &str| quoting.text(reference);
    let mut text = match (&change.from, &change.to) {
        (Some(from), Some(to)) if from != to => {
            format!("moves {component} {} → {} ({release})", quoted(from), quoted(to))
        }
        (None, Some(to)) => format!("adds {component} at {} ({release})", quoted(to)),
        (_, None) => format!("removes {component} ({release})"),
        (Some(at), Some(_)) => format!("changes the patches of {component} at {} ({release})", quoted(at)),
    };
    let rows = || report.patches.iter().filter(|row| row.folder == change.folder);
    let counts = counts(rows());
    if !counts.is_empty() {
        // Writing to a string does not fail.
        let _ = write!(text, ": {}", counts.join(", "));
    }
    let mut commits: Vec<&UpstreamCommitStatus> = Vec::new();
    for commit in rows().filter_map(|row| broken_by(&row.status)) {
        if !commits.iter().any(|known| known.commit == commit.commit) {
            commits.push(commit);
        }
    }
    if !commits.is_empty() {
        let mut named: Vec<String> = commits.iter().map(|commit| quoting.commit(commit)).collect();
        if named.len() > NAMED_COMMITS {
            let more = named.len() - NAMED_COMMITS;
            named.truncate(NAMED_COMMITS);
            named.push(format!("{more} more"));
        }
        let _ = write!(text, ": by {}", named.join(", "));
    }
    for (title, names) in edits(change, rows()) {
        let names: Vec<String> = names.into_iter().map(quoted).collect();
        let _ = write!(text, "; {title} {}", names.join(", "));
    }
    text
}

/// How many patches have each outcome; those that were so before are counted apart.
fn counts<'a>(rows: impl Iterator<Item = &'a PatchRow>) -> Vec<String> {
    let (mut apply, mut merged, mut breaks, mut still) = (0, 0, 0, 0);
    for row in rows {
        let is_worse = row
            .change
            .is_none_or(|change| change.verdict == ChangeVerdict::Worse);
        match row.status.state {
            _ if row.applies() => apply += 1,
            _ if !is_worse => still += 1,
            PatchState::Merged => merged += 1,
            _ => breaks += 1,
        }
    }
    let words = [
        (apply, "applies", "apply"),
        (merged, "is upstream", "are upstream"),
        (still, "does not apply, as before", "do not apply, as before"),
        (breaks, "breaks", "break"),
    ];
    words
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
        .collect()
}

fn edits<'a>(
    change: &'a SeriesDifference,
    rows: impl Iterator<Item = &'a PatchRow> + Clone,
) -> impl Iterator<Item = (&'static str, Vec<&'a str>)> {
    let edited = move |edit: PatchEdit| {
        let rows = rows.clone();
        rows.filter(move |row| row.change.is_some_and(|change| change.edit == edit))
            .map(|row| row.status.name.as_str())
            .collect::<Vec<_>>()
    };
    let removed = change.removed.iter().map(String::as_str).collect();
    [
        ("new:", edited(PatchEdit::Added)),
        ("changed:", edited(PatchEdit::Changed)),
        ("removed:", removed),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
}
