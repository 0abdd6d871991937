//! The patches for people.

use std::fmt::Write;

use comfy_table::ContentArrangement;

use super::rows::{ListedSeries, PatchListing};
use crate::cli::style::{BOLD, DIM, ODD, plain, styled};
use crate::cli::table;

const HEADER: [&str; 7] = ["PATCH", "STATE", "SUBJECT", "FIXES", "UPSTREAM", "AGE", "ALSO IN"];

/// How many bugs and CVE numbers, and how many releases, a line names.
const NAMED: usize = 4;

/// The most characters of what is said about upstream.
const UPSTREAM_CHARACTERS: usize = 60;

/// A table per series and a summary, at most `width` characters wide.
pub(super) fn text(rows: &[ListedSeries], arrangement: &ContentArrangement, width: Option<u16>) -> String {
    let mut text = String::new();
    for series in rows {
        let at = series
            .reference
            .as_deref()
            .map_or_else(String::new, |name| format!(" {DIM}at {}{DIM:#}", plain(name)));
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{BOLD}{} {}{BOLD:#}{at}",
            plain(&series.component),
            plain(&series.release)
        );
        let (header, lines) = used_columns(series.patches.iter().map(line).collect());
        text.push_str(&table::lines_within(&header, lines, arrangement, width));
        text.push('\n');
    }
    text.push_str(&summary(rows));
    text
}

/// The columns that are not empty in every line.
fn used_columns(lines: Vec<[String; 7]>) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let is_used: Vec<bool> = (0..HEADER.len())
        .map(|column| {
            lines
                .iter()
                .any(|line| line.get(column).is_some_and(|cell| !cell.is_empty()))
        })
        .collect();
    let header = HEADER.into_iter().zip(&is_used).filter(|(_, is_used)| **is_used);
    let lines = lines.into_iter().map(|line| {
        let cells = line.into_iter().zip(&is_used).filter(|(_, is_used)| **is_used);
        cells.map(|(cell, _)| cell).collect()
    });
    (header.map(|(title, _)| title).collect(), lines.collect())
}

fn line(patch: &PatchListing) -> [String; 7] {
    let fixes = patch.bugs.iter().map(|bug| bug.short.as_str());
    let fixes = patch.cves.iter().map(String::as_str).chain(fixes);
    [
        plain(&patch.name),
        patch.state.map_or_else(String::new, table::state),
        plain(patch.subject.as_deref().unwrap_or_default()),
        some_of(fixes.map(plain).collect()),
        foreign_text::printable(&patch.upstream_in_words, UPSTREAM_CHARACTERS),
        patch.age_days.map_or_else(String::new, age),
        also_in(patch),
    ]
}

fn also_in(patch: &PatchListing) -> String {
    let releases = patch.same_in.iter().map(|same| {
        let release = plain(&same.release);
        if same.differs_in.is_empty() {
            release
        } else {
            format!("{release} {}", styled(ODD, "(differs)"))
        }
    });
    some_of(releases.collect())
}

/// The first of some texts, and how many more there are.
fn some_of(mut texts: Vec<String>) -> String {
    let more = texts.len().saturating_sub(NAMED);
    texts.truncate(NAMED);
    if more > 0 {
        texts.push(format!("{more} more"));
    }
    texts.join(", ")
}

/// An age, in the unit that suits it.
fn age(days: i64) -> String {
    match days {
        0..60 => format!("{days} d"),
        60..730 => format!("{} mo", days / 30),
        _ => format!("{} y", days / 365),
    }
}

fn summary(rows: &[ListedSeries]) -> String {
    let patches = rows.iter().flat_map(|series| &series.patches);
    let count = patches.clone().count();
    let noun = |count: usize, one: &'static str, many: &'static str| if count == 1 { one } else { many };
    let mut text = format!(
        "{count} {} in {} series",
        noun(count, "patch", "patches"),
        rows.len()
    );
    let cves = patches.clone().filter(|patch| !patch.cves.is_empty()).count();
    if cves > 0 {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "; {cves} {} to resolve a CVE",
            noun(cves, "claims", "claim")
        );
    }
    let differing = patches.filter(|patch| patch.same_in.iter().any(|same| !same.differs_in.is_empty()));
    let differing = differing.count();
    if differing > 0 {
        let _ = write!(
            text,
            "; {differing} {} in another release",
            noun(differing, "differs", "differ")
        );
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_it_may_be() {
        let patch = PatchListing {
            name: "0001-keep-the-thing-that-was-taken-away.patch".to_owned(),
            subject: Some("Keep the thing that was taken away by a change upstream".to_owned()),
            cves: ["CVE-2024-32498", "CVE-2024-32499"]
                .map(ToOwned::to_owned)
                .to_vec(),
            upstream_in_words: "not yet proposed, because nobody has had the time for it".to_owned(),
            age_days: Some(210),
            ..PatchListing::default()
        };
        let rows = [ListedSeries {
            component: "glance".to_owned(),
            release: "2025.2".to_owned(),
            reference: Some("31.1.0".to_owned()),
            upstream: None,
            folder: "patches/glance/2025.2".to_owned(),
            patches: vec![patch],
        }];
        let shown = text(&rows, &ContentArrangement::Dynamic, Some(80));
        let plain = anstream::adapter::strip_str(&shown).to_string();
        assert!(plain.lines().all(|line| line.chars().count() <= 80), "{plain}");
        assert!(plain.contains("7 mo"), "{plain}");
        assert!(
            plain.ends_with("1 patch in 1 series; 1 claims to resolve a CVE\n"),
            "{plain}"
        );
    }

    #[test]
    fn ages_are_told_as_far_as_they_matter() {
        assert_eq!(
            [0, 59, 60, 729, 730].map(age),
            ["0 d", "59 d", "2 mo", "24 mo", "2 y"]
        );
    }
}
