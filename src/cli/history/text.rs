//! The history for people.

use std::fmt::Write;

use foreign_text::printable;
use jiff::Timestamp;

use super::changes::TextChange;
use super::threads::{PatchThread, ThreadEvent, ThreadStep};
use crate::cli::style::{BAD, BOLD, DIM, GOOD, ODD, plain, styled};
use crate::cli::team::SeriesAddress;

/// Digits of a commit.
const SHORT_COMMIT: usize = 7;

/// The longest subject of a commit, in characters.
const SUBJECT_CHARACTERS: usize = 72;

/// Each patch with its events, from the newest.
pub(super) fn text(address: &SeriesAddress, threads: &[PatchThread]) -> String {
    let mut text = String::new();
    for thread in threads {
        let name = if thread.is_gone {
            format!("{DIM}{} (gone){DIM:#}", plain(&thread.name))
        } else {
            styled(BOLD, &plain(&thread.name))
        };
        let subject = thread.subject.as_deref().unwrap_or_default();
        let line = format!("{name}  {}", plain(subject));
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", line.trim_end());
        for event in thread.events.iter().rev() {
            let _ = writeln!(text, "  {}", event_line(event));
        }
        text.push('\n');
    }
    let gone = threads.iter().filter(|thread| thread.is_gone).count();
    let there = threads.len() - gone;
    let noun = if there == 1 { "patch" } else { "patches" };
    let _ = writeln!(
        text,
        "{}: {there} {noun}, {gone} gone",
        plain(&address.to_string())
    );
    text
}

fn event_line(event: &ThreadEvent) -> String {
    let date = event.date.map(day).unwrap_or_default();
    let what = match event.what {
        ThreadStep::Came => styled(GOOD, "came"),
        ThreadStep::Changed => styled(ODD, "changed"),
        ThreadStep::Renamed => styled(ODD, "renamed"),
        ThreadStep::Went => styled(BAD, "went"),
    };
    let padding = " ".repeat(7_usize.saturating_sub(match event.what {
        ThreadStep::Came | ThreadStep::Went => 4,
        ThreadStep::Changed | ThreadStep::Renamed => 7,
    }));
    let from = event.from.as_deref();
    let from = from.map_or_else(String::new, |from| format!("from {}; ", plain(from)));
    let around = match (event.what, event.text) {
        (_, Some(TextChange::AroundTheChange)) => "the same lines change; ",
        (ThreadStep::Renamed, Some(TextChange::TheChange)) => "and changed; ",
        _ => "",
    };
    format!(
        "{date}  {what}{padding}  {from}{around}{DIM}{}{DIM:#} {} ({})",
        event.commit.get(..SHORT_COMMIT).unwrap_or(&event.commit),
        printable(&event.subject, SUBJECT_CHARACTERS),
        plain(&event.author)
    )
}

/// The day, in UTC.
fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}
