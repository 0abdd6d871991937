//! A place where a patch does not fit, side by side: what it expects, what upstream has, and what
//! the patch makes of it.

use foreign_text::printable_line;
use git_apply_engine::{Options, read_diffs};
use patchset_api::status::ConflictStatus;

use super::commit::CommitView;

/// A line of a side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideLine {
    /// The CSS class: `del` for what is missing, `add` for what is new, or none.
    pub class: &'static str,
    /// `-`, `+` or a space.
    pub sign: char,
    /// The line.
    pub text: String,
}

/// Lines that stand beside each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictRow {
    /// What the patch expects.
    pub expected: Option<SideLine>,
    /// What upstream has.
    pub found: Option<SideLine>,
    /// What the patch makes of what it expects.
    pub ours: Option<SideLine>,
}

/// The first place of a patch that does not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictView {
    /// The file and the line.
    pub place: String,
    /// The number of the hunk.
    pub hunk: Option<u32>,
    /// The line where upstream resembles it most.
    pub nearest: Option<u32>,
    /// Where it would apply with fuzz.
    pub fuzz: Option<String>,
    /// The lines; empty if they are unknown.
    pub rows: Vec<ConflictRow>,
    /// Whether the patch was at hand, so that the third side is known.
    pub has_ours: bool,
    /// The commit that changed what the patch expects.
    pub broken_by: Option<CommitView>,
}

impl ConflictView {
    /// A conflict as a status has it, with the patch where that is at hand.
    #[must_use]
    pub fn new(conflict: &ConflictStatus, patch: Option<&[u8]>) -> Self {
        let hunk = patch.and_then(|patch| hunk_lines(patch, conflict));
        let place = match conflict.line {
            Some(line) => format!("{}:{line}", conflict.file),
            None => conflict.file.clone(),
        };
        let difference = conflict.difference.as_deref().unwrap_or_default();
        Self {
            place,
            hunk: conflict.hunk,
            nearest: conflict.nearest_line.filter(|line| Some(*line) != conflict.line),
            fuzz: conflict.fuzz.map(|fuzz| fuzz.to_string()),
            has_ours: hunk.is_some(),
            rows: rows(difference, hunk.as_deref().unwrap_or_default()),
            broken_by: conflict.broken_by.as_ref().map(CommitView::from),
        }
    }
}

/// The lines of the hunk that does not fit, each with its sign in front.
fn hunk_lines(patch: &[u8], conflict: &ConflictStatus) -> Option<Vec<String>> {
    let number = usize::try_from(conflict.hunk?).ok()?;
    let files = read_diffs(patch, &Options::default()).ok()?;
    let is_named = |path: &Option<Vec<u8>>| {
        let name = path.as_deref().map(String::from_utf8_lossy);
        name.is_some_and(|name| conflict.file == name || conflict.file.ends_with(&format!("/{name}")))
    };
    let file = files
        .iter()
        .find(|file| is_named(&file.old_path) || is_named(&file.new_path))?;
    let hunk = file.hunks.get(number.checked_sub(1)?)?;
    let text = |line: &[u8]| printable_line(String::from_utf8_lossy(line).trim_end_matches('\n'));
    let lines = hunk.lines().filter(|line| !line.starts_with(b"\\")).map(text);
    Some(lines.collect())
}

/// What the patch makes of each line that it expects, and what it puts before it.
#[derive(Clone, Debug, Default)]
struct MadeLine {
    before: Vec<String>,
    line: Option<SideLine>,
}

fn line(sign: char, text: &str) -> SideLine {
    let class = match sign {
        '-' => "del",
        '+' => "add",
        _ => "",
    };
    SideLine {
        class,
        sign,
        text: text.to_owned(),
    }
}

fn rows(difference: &str, hunk: &[String]) -> Vec<ConflictRow> {
    let mut made = made_lines(hunk).into_iter();
    let mut rows = Vec::new();
    let mut lines = difference.lines().peekable();
    while let Some(next) = lines.peek().and_then(|line| line.chars().next()) {
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        if next != '-' && next != '+' {
            let text = lines.next().and_then(|line| line.get(next.len_utf8()..));
            expected.push(line(' ', text.unwrap_or_default()));
            found.push(line(' ', text.unwrap_or_default()));
        }
        while let Some(text) = lines.next_if(|line| next != ' ' && line.starts_with(['-', '+'])) {
            let side = if text.starts_with('-') {
                &mut expected
            } else {
                &mut found
            };
            let sign = if text.starts_with('-') { '-' } else { '+' };
            side.push(line(sign, text.get(1..).unwrap_or_default()));
        }
        let (mut expected, mut found) = (expected.into_iter(), found.into_iter());
        loop {
            let mut row = ConflictRow {
                expected: expected.next(),
                found: found.next(),
                ours: None,
            };
            if row.expected.is_none() && row.found.is_none() {
                break;
            }
            if row.expected.is_some()
                && let Some(MadeLine { before, line: own }) = made.next()
            {
                place_ours(&mut rows, &before);
                row.ours = own;
            }
            rows.push(row);
        }
    }
    // What follows the last line, unless lines of the difference are left out.
    let rest: Vec<MadeLine> = made.collect();
    if let [MadeLine { before, line: None }] = rest.as_slice() {
        place_ours(&mut rows, before);
    }
    rows
}

/// Puts lines that the patch adds beside those that only upstream has there, as far as these go.
fn place_ours(rows: &mut Vec<ConflictRow>, lines: &[String]) {
    let is_free = |row: &&ConflictRow| row.expected.is_none() && row.ours.is_none();
    let free = rows.iter().rev().take_while(is_free).count();
    let first = rows.len() - free;
    for (number, text) in lines.iter().enumerate() {
        let ours = Some(line('+', text));
        match rows.get_mut(first + number) {
            Some(row) => row.ours = ours,
            None => rows.push(ConflictRow {
                ours,
                ..ConflictRow::default()
            }),
        }
    }
}

/// Returns one for each line of the preimage, and one for the end.
fn made_lines(hunk: &[String]) -> Vec<MadeLine> {
    let mut made = vec![];
    let mut at = 0;
    while at < hunk.len() {
        let run = |from: usize, sign: char| {
            let lines = hunk.iter().skip(from);
            lines.take_while(|line| line.starts_with(sign)).count()
        };
        let removed = run(at, '-');
        let added = run(at + removed, '+');
        if removed + added == 0 {
            let text = hunk.get(at).and_then(|line| line.get(1..));
            made.push(MadeLine {
                before: Vec::new(),
                line: Some(line(' ', text.unwrap_or_default())),
            });
            at += 1;
            continue;
        }
        let text = |number: usize| {
            hunk.get(number)
                .and_then(|line| line.get(1..))
                .unwrap_or_default()
        };
        let new: Vec<&str> = (at + removed..at + removed + added).map(text).collect();
        for number in 0..removed {
            made.push(MadeLine {
                before: Vec::new(),
                line: new.get(number).map(|text| line('+', text)),
            });
        }
        let left: Vec<String> = new.iter().skip(removed).map(|text| (*text).to_owned()).collect();
        if !left.is_empty() {
            made.push(MadeLine {
                before: left,
                line: None,
            });
        }
        at += removed + added;
    }
    joined(made)
}

/// Moves what stands between two lines to the line that follows.
fn joined(made: Vec<MadeLine>) -> Vec<MadeLine> {
    let mut joined: Vec<MadeLine> = Vec::new();
    let mut waiting = Vec::new();
    for one in made {
        waiting.extend(one.before.iter().cloned());
        if one.line.is_some() || one.before.is_empty() {
            joined.push(MadeLine {
                before: std::mem::take(&mut waiting),
                line: one.line,
            });
        }
    }
    joined.push(MadeLine {
        before: waiting,
        line: None,
    });
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows as `expected|found|ours`.
    fn told(difference: &str, hunk: &[&str]) -> Vec<String> {
        let hunk: Vec<String> = hunk.iter().map(|line| (*line).to_owned()).collect();
        let side = |line: &Option<SideLine>| match line {
            Some(line) => format!("{}{}", line.sign, line.text),
            None => String::new(),
        };
        rows(difference, &hunk)
            .iter()
            .map(|row| format!("{}|{}|{}", side(&row.expected), side(&row.found), side(&row.ours)))
            .collect()
    }

    #[test]
    fn the_three_sides_stand_beside_each_other() {
        let rows = told(
            " one\n-two\n+TWO\n+2\n three",
            &[" one", " two", "-three", "+drei", "+new"],
        );
        assert_eq!(
            rows,
            [
                " one| one| one",
                "-two|+TWO| two",
                "|+2|",
                " three| three|+drei",
                "||+new"
            ]
        );
    }

    #[test]
    fn what_both_add_stands_beside_each_other() {
        let rows = told("-one\n+1\n+2\n two", &[" one", "+new", " two"]);
        assert_eq!(rows, ["-one|+1| one", "|+2|+new", " two| two| two"]);
    }

    #[test]
    fn lines_that_the_patch_adds_or_removes_stand_where_it_does_it() {
        let rows = told("-one\n+1\n two", &["+zero", "-one", " two", "+end"]);
        assert_eq!(rows, ["||+zero", "-one|+1|", " two| two| two", "||+end"]);
    }

    #[test]
    fn without_the_patch_two_sides_are_known() {
        assert_eq!(told(" a\n-b\n+c", &[]), [" a| a|", "-b|+c|"]);
        assert!(told("", &[" a", "+b"]).is_empty());
    }
}
