//! A conflict as people read it: what a hunk expects and what the file has, line by line.

use std::borrow::Cow;

use git_apply_engine::{HunkOutcome, PatchReport, Rejection};
use gix_imara_diff::{Algorithm, Diff, InternedInput};
use serde::Serialize;

/// Where a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LineSide {
    /// The hunk expects it, and it is there.
    Both,
    /// The hunk expects it, and it is not there.
    Expected,
    /// It is there, and the hunk does not expect it.
    Found,
}

/// A line of a conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComparedLine<'a> {
    /// Where it stands.
    pub side: LineSide,
    /// Its number in the file, from 1; that of the line after it if the file lacks it.
    pub line: usize,
    /// The line. If the two sides differ in white space alone, it is made visible: `→` is a tab,
    /// `·` a space and `␍` a carriage return.
    pub text: Cow<'a, str>,
}

/// A hunk that does not fit, compared with the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HunkDifference<'a> {
    /// The file.
    pub file: &'a str,
    /// The hunk's number in the file's diff, from 1.
    pub hunk: usize,
    /// Its lines.
    pub lines: Vec<ComparedLine<'a>>,
}

/// The hunks of a patch that do not fit, compared with their files.
#[must_use]
pub fn differences(report: &PatchReport) -> Vec<HunkDifference<'_>> {
    let hunks = report.files.iter().flat_map(|file| {
        let hunks = file.hunks.iter();
        hunks.map(|hunk| (file.old_path.as_deref().unwrap_or(&file.path), hunk))
    });
    let compared = hunks.filter_map(|(file, hunk)| match &hunk.outcome {
        HunkOutcome::Rejected(rejection) if !rejection.expected.is_empty() => Some(HunkDifference {
            file,
            hunk: hunk.number,
            lines: compare(rejection),
        }),
        _ => None,
    });
    compared.collect()
}

/// Compares what a hunk expects with the place that resembles it most, or else with the place where
/// it was expected. Lines of the file around the hunk are left out.
#[must_use]
pub fn compare(rejection: &Rejection) -> Vec<ComparedLine<'_>> {
    let expected: Vec<&str> = rejection.expected.iter().map(String::as_str).collect();
    let window = rejection.nearest.as_ref().map(|nearest| {
        let around = [&nearest.before, &nearest.found, &nearest.after];
        let lines = around.into_iter().flatten().map(String::as_str).collect();
        (nearest.line - nearest.before.len(), lines)
    });
    let (first, found): (usize, Vec<&str>) = window.unwrap_or_else(|| {
        let found = rejection.found.iter().map(String::as_str);
        (rejection.line, found.collect())
    });
    let mut lines = aligned(&expected, &found, first);
    // Lines around the hunk may be left out, except those in place of expected lines.
    trim(&mut lines);
    lines.reverse();
    trim(&mut lines);
    lines.reverse();
    let mut lines = paired(&lines);
    if rejection.line_ends().is_some() || rejection.white_space().is_some() {
        for line in lines.iter_mut().filter(|line| line.side != LineSide::Both) {
            let shown = line.text.replace('\t', "→").replace(' ', "·");
            line.text = shown.replace('\r', "␍").into();
        }
    }
    lines
}

/// All lines of both sides, aligned.
fn aligned<'a>(expected: &[&'a str], found: &[&'a str], first: usize) -> Vec<ComparedLine<'a>> {
    let mut input = InternedInput::default();
    input.update_before(expected.iter().copied());
    input.update_after(found.iter().copied());
    let diff = Diff::compute(Algorithm::Myers, &input);
    let mut lines = Vec::with_capacity(expected.len() + found.len());
    let (mut next, mut here) = (0, 0);
    let line = |side, at: usize, text: &'a str| ComparedLine {
        side,
        line: first + at,
        text: text.into(),
    };
    let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let ends = (place(u32::MAX), place(u32::MAX));
    let changes = diff.hunks().map(|hunk| {
        let range = |range: std::ops::Range<u32>| place(range.start)..place(range.end);
        (range(hunk.before), range(hunk.after))
    });
    for (removed, added) in changes.chain([(ends.0..ends.0, ends.1..ends.1)]) {
        while next < removed.start.min(expected.len()) {
            lines.extend(expected.get(next).map(|&text| line(LineSide::Both, here, text)));
            (next, here) = (next + 1, here + 1);
        }
        let gone = expected.get(removed).unwrap_or_default();
        let come = found.get(added).unwrap_or_default();
        lines.extend(gone.iter().map(|&text| line(LineSide::Expected, here, text)));
        for &text in come {
            lines.push(line(LineSide::Found, here, text));
            here += 1;
        }
        next += gone.len();
    }
    lines
}

/// Removes the leading lines that only the file has, except as many as the hunk has there that the
/// file lacks.
fn trim(lines: &mut Vec<ComparedLine<'_>>) {
    let start = lines
        .iter()
        .take_while(|line| line.side != LineSide::Both)
        .count();
    if start == lines.len() {
        return;
    }
    let found = |line: &&ComparedLine<'_>| line.side == LineSide::Found;
    let all = lines.iter().take(start).filter(found).count();
    let mut surplus = all.saturating_sub(start - all);
    lines.retain(|line| {
        let is_surplus = line.side == LineSide::Found && surplus > 0;
        surplus -= usize::from(is_surplus);
        !is_surplus
    });
}

/// Puts each expected line next to the one in its place, where there are as many of both.
fn paired<'a>(lines: &[ComparedLine<'a>]) -> Vec<ComparedLine<'a>> {
    let is_both = |line: &ComparedLine<'_>| line.side == LineSide::Both;
    let runs = lines.chunk_by(|one, other| is_both(one) == is_both(other));
    let mut result = Vec::with_capacity(lines.len());
    for run in runs {
        let side = |side| {
            run.iter()
                .filter(move |line: &&ComparedLine<'_>| line.side == side)
        };
        let (expected, found) = (side(LineSide::Expected), side(LineSide::Found));
        if run.first().is_some_and(is_both) || expected.clone().count() != found.clone().count() {
            result.extend(run.iter().cloned());
            continue;
        }
        for (expected, found) in expected.zip(found) {
            let line = found.line;
            result.extend([
                ComparedLine {
                    line,
                    ..expected.clone()
                },
                found.clone(),
            ]);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use git_apply_engine::{EntryMode, MemoryStore, Options, PatchInput, Sequence, apply};

    #[test]
    fn a_hunk_whose_lines_were_left_out_has_no_difference() {
        let mut store = MemoryStore::new();
        let tree = store.add_files([("f", EntryMode::Regular, "one\n")]).unwrap();
        let patch = PatchInput::new("p", "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-two\n+new\n");
        let differences_within = |report_bytes: u64| {
            let mut options = Options::default();
            options.limits.report_bytes = report_bytes;
            let patches = std::slice::from_ref(&patch);
            let series = apply(&store, tree, patches, Sequence::Stacked, &options).unwrap();
            assert!(!series.patches()[0].applies());
            differences(&series.patches()[0]).len()
        };
        assert_eq!((differences_within(1 << 20), differences_within(0)), (1, 0));
    }

    /// A conflict of a hunk that expects these lines and changes the marked one.
    fn shown(file: &str, expected: &[&str], changed: &str) -> Vec<String> {
        let mut store = MemoryStore::new();
        let files = [("f", EntryMode::Regular, file)];
        let tree = store.add_files(files).unwrap();
        let lines: String = expected
            .iter()
            .map(|line| {
                if *line == changed {
                    format!("-{line}\n+changed\n")
                } else {
                    format!(" {line}\n")
                }
            })
            .collect();
        let count = expected.len();
        let patch = format!("--- a/f\n+++ b/f\n@@ -1,{count} +1,{count} @@\n{lines}");
        let series = apply(
            &store,
            tree,
            &[PatchInput::new("p", patch)],
            Sequence::Stacked,
            &Options::default(),
        )
        .unwrap();
        let report = &series.patches()[0];
        let all = differences(report);
        assert_eq!(all.len(), 1, "{report:?}");
        let side = |line: &ComparedLine<'_>| match line.side {
            LineSide::Both => ' ',
            LineSide::Expected => '-',
            LineSide::Found => '+',
        };
        let told = all[0].lines.iter();
        told.map(|line| format!("{}{}{}", line.line, side(line), line.text))
            .collect()
    }

    #[test]
    fn an_inserted_line_is_one_difference() {
        let file = "zero\none\ntwo\nnew\nthree\nfour\nfive\nsix\nseven\n";
        let told = shown(file, &["one", "two", "three", "four", "five", "six"], "four");
        assert_eq!(
            told,
            ["2 one", "3 two", "4+new", "5 three", "6 four", "7 five", "8 six"]
        );
        // Near its start, where the rest of the hunk follows in its place.
        let file = "zero\none\nnew\ntwo\nthree\nfour\nfive\nsix\nseven\n";
        let told = shown(file, &["one", "two", "three", "four", "five", "six"], "four");
        assert_eq!(
            told,
            ["2 one", "3+new", "4 two", "5 three", "6 four", "7 five", "8 six"]
        );
    }

    #[test]
    fn changed_and_missing_lines_stand_where_they_belong() {
        let file = "zero\none\nTWO\nthree\nfive\nsix\nseven\n";
        let told = shown(file, &["one", "two", "three", "four", "five"], "three");
        assert_eq!(told, ["2 one", "3-two", "3+TWO", "4 three", "5-four", "5 five"]);
        // The first and the last line.
        let told = shown("a\nB\nc\nD\ne\n", &["b", "c", "d"], "c");
        assert_eq!(told, ["2-b", "2+B", "3 c", "4-d", "4+D"]);
    }

    #[test]
    fn what_is_expected_in_place_of_fewer_lines_stands_where_the_first_of_them_is() {
        let file = "zero\none\nnew\nfour\nfive\nsix\n";
        let told = shown(file, &["one", "two", "three", "four", "five"], "four");
        assert_eq!(told, ["2 one", "3-two", "3-three", "3+new", "4 four", "5 five"]);
    }

    #[test]
    fn white_space_is_visible_where_nothing_else_differs() {
        let told = shown("one\n\ttwo\nthree\n", &["one", "    two", "three"], "three");
        assert_eq!(told, ["1 one", "2-····two", "2+→two", "3 three"]);
        let told = shown("one\r\ntwo\r\nthree\r\n", &["one", "two", "three"], "two");
        assert_eq!(
            told,
            ["1-one", "1+one␍", "2-two", "2+two␍", "3-three", "3+three␍"]
        );
    }
}
