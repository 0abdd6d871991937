//! The messages of the commits that drop and refresh patches.

use std::fmt::Write;

use patch_refresh::{FileOutcome, MergeBase};
use patchset_api::upstream_history::{Evidence, MergedStatus, RefreshKind};

use super::change::{ChangeKind, PlannedChange};
use super::marker::CommitMark;
use super::quoted::{Room, block_in_message, in_message, plain_address};
use super::refreshed::MovedFile;
use super::same_patch::PatchElsewhere;
use crate::plan::upstream_history::evidence_in_words;

/// The longest name of a patch in a subject and in a text, in characters.
const SUBJECT_NAME: usize = 60;
pub(super) const NAME: usize = 120;

/// The longest subject of a patch or commit, in characters.
pub(super) const SUBJECT: usize = 120;

/// The most files, names and releases that a text lists.
pub(super) const MOST_LISTED: usize = 10;

/// How much of a difference a message has.
const DIFFERENCE: Room = Room {
    lines: 60,
    characters: 4000,
};

/// Writes a commit's message: what happens to which patch of which component and release, and why.
pub(super) fn commit_message(change: &PlannedChange, mark: &CommitMark) -> String {
    let mut text = String::new();
    let verb = match &change.kind {
        ChangeKind::Drop { .. } => "drop",
        ChangeKind::Refresh { .. } => "refresh",
    };
    let name = in_message(&change.name_in_commit, SUBJECT_NAME);
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{} {}: {verb} {name}\n",
        change.component,
        change.releases.join(", ")
    );
    if let Some(subject) = &change.subject {
        let _ = writeln!(text, "The patch is \"{}\".\n", in_message(subject, SUBJECT));
    }
    match &change.kind {
        ChangeKind::Drop { merged, elsewhere } => {
            write_drop(&mut text, change, merged);
            for place in elsewhere.iter().take(MOST_LISTED) {
                let _ = writeln!(text, "\nIt stays in {}.", elsewhere_in_words(place, in_message));
            }
        }
        ChangeKind::Refresh {
            how,
            files,
            range_diff,
            applies_as_it_is,
        } => {
            let _ = writeln!(text, "{}\n", refresh_in_words(*how, *applies_as_it_is));
            for file in files.iter().take(MOST_LISTED) {
                let _ = writeln!(text, "- {}", file_in_words(file, in_message));
            }
            match range_diff {
                Some(diff) => {
                    let _ = writeln!(
                        text,
                        "\nBetween the patch as it was and as it is now, but for line numbers:\n\n{}",
                        block_in_message(diff, DIFFERENCE)
                    );
                }
                None => text.push_str("\nNothing but line numbers changes in the patch.\n"),
            }
        }
    }
    for line in besides(change, in_message) {
        let _ = writeln!(text, "\n{line}.");
    }
    let _ = writeln!(text, "\n{mark}");
    text
}

fn write_drop(text: &mut String, change: &PlannedChange, merged: &MergedStatus) {
    let upstream = change
        .upstream
        .as_deref()
        .map(|upstream| in_message(upstream, NAME));
    let at = upstream
        .map(|upstream| format!(" at {upstream}"))
        .unwrap_or_default();
    match &merged.commit {
        Some(commit) => {
            let date = merged.date.as_ref();
            let date = date.map(|date| format!(", {}", date.0.strftime("%-d %b %Y")));
            let _ = writeln!(
                text,
                "Upstream{at} has it as {} \"{}\"{}.",
                in_message(commit.as_str(), 40),
                in_message(merged.subject.as_deref().unwrap_or_default(), SUBJECT),
                date.unwrap_or_default()
            );
            if let Some(url) = merged.url.as_deref().and_then(plain_address) {
                let _ = writeln!(text, "{url}");
            }
        }
        None => {
            let _ = writeln!(text, "Upstream{at} has it; its commit was not found.");
        }
    }
    let _ = writeln!(text, "\n{}", known_by(merged));
    if let Some(interdiff) = merged.interdiff.as_ref().filter(|_| merged.differs) {
        let _ = writeln!(
            text,
            "\nFrom the patch to upstream's change:\n\n{}",
            block_in_message(interdiff, DIFFERENCE)
        );
    }
}

/// How it is known that upstream has a patch, and whether its change is the same.
pub(super) fn known_by(merged: &MergedStatus) -> String {
    if merged.by == Evidence::Reverse && !merged.differs {
        return "The patch applies in reverse: upstream has every line of it.".to_owned();
    }
    let form = match (merged.differs, &merged.interdiff) {
        (false, _) => "upstream's change is the same",
        (true, Some(_)) => "upstream's change differs from the patch's",
        (true, None) => "upstream's change differs from the patch's, or could not be compared",
    };
    format!("Known by {}; {form}.", evidence_in_words(merged.by))
}

/// Why and how a patch is refreshed.
pub(super) fn refresh_in_words(how: RefreshKind, applies_as_it_is: bool) -> &'static str {
    match (how, applies_as_it_is) {
        (RefreshKind::Offset, _) => "It applies, some lines away from where it says.",
        (RefreshKind::ThreeWay, true) => "It applies with an offset, and merges three-way.",
        (RefreshKind::ThreeWay, false) => {
            "It does not apply as it is. It merges three-way with what upstream changed, without a conflict."
        }
        (RefreshKind::Fuzz, true) => "It applies with an offset, and with lines of context passed over.",
        (RefreshKind::Fuzz, false) => {
            "It does not apply as it is. It does with lines of context passed over, as GNU patch does: read it before you merge."
        }
    }
}

/// How foreign text is shown.
pub(super) type Quote = fn(&str, usize) -> String;

/// What was done for a file of a patch.
pub(super) fn file_in_words(file: &MovedFile, quote: Quote) -> String {
    let path = quote(&file.path, NAME);
    match &file.outcome {
        FileOutcome::Offset { lines } => {
            let way = if *lines < 0 { "up" } else { "down" };
            let lines = lines.unsigned_abs();
            let unit = if lines == 1 { "line" } else { "lines" };
            format!("{path}: moved {way} by {lines} {unit} at most")
        }
        FileOutcome::ThreeWay { base } => {
            let base = match base {
                MergeBase::IndexLine => "the file that its index line names",
                MergeBase::LastApplied => "the file on which it applied last",
            };
            format!("{path}: merged three-way from {base}")
        }
        FileOutcome::Fuzz { lines } => {
            format!("{path}: fuzz {lines}, lines of context at the ends of a hunk passed over")
        }
        FileOutcome::LeftOut => format!("{path}: left out, upstream has it"),
        FileOutcome::Impossible { reason } => format!("{path}: {}", quote(reason, NAME)),
    }
}

/// Where a patch stays, and why.
pub(super) fn elsewhere_in_words(place: &PatchElsewhere, quote: Quote) -> String {
    format!(
        "{} as {} ({}): {}",
        place.release,
        quote(&place.name, NAME),
        place.known_by,
        place.why
    )
}

/// What else changes, in sentences without their full stop.
pub(super) fn besides(change: &PlannedChange, quote: Quote) -> Vec<String> {
    let mut lines = Vec::new();
    if !change.renamed.is_empty() {
        let shown = change.renamed.iter().take(MOST_LISTED);
        let mut names: Vec<String> = shown
            .map(|(from, to)| format!("{} is {}", quote(from, NAME), quote(to, NAME)))
            .collect();
        if let Some(more) = change
            .renamed
            .len()
            .checked_sub(MOST_LISTED)
            .filter(|more| *more > 0)
        {
            names.push(format!("and {more} more"));
        }
        lines.push(format!("Renumbered: {}", names.join(", ")));
    }
    let notes = change.notes.iter().take(MOST_LISTED);
    lines.extend(notes.map(|note| quote(note, 400)));
    lines
}
