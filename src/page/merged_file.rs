//! A merged constraints file, with what overrides made of it.

use std::collections::BTreeMap;

use foreign_text::printable_line;
use patchset_api::constraint_override::OverrideState;

use super::override_view::OverrideView;

/// How many lines are shown before and after what an override did.
const CONTEXT: usize = 3;

/// Fewer unchanged lines than this are not worth a click.
const LEAST_COLLAPSED: usize = 4;

/// The most bytes of unchanged lines that are shown; what exceeds them is counted.
const MOST_BYTES: usize = 512 << 10;

/// The most characters of a line that are shown.
const LONGEST_LINE: usize = 1000;

/// Lines as upstream has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergedRun {
    /// How many lines there are.
    pub count: usize,
    /// Their text, with numbers.
    pub text: String,
    /// How many of them are left out.
    pub omitted: usize,
}

/// A part of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergedPart {
    /// Lines as upstream has them, near what an override did.
    Near(MergedRun),
    /// Lines as upstream has them, far from that.
    Far {
        /// The id of its place on the page.
        id: String,
        /// The lines.
        run: MergedRun,
    },
    /// What an override did.
    Override {
        /// The id of its place on the page; empty where it is in the line before.
        id: String,
        /// The CSS class: `add`, `del`, or none.
        class: &'static str,
        /// The line, with its number and sign.
        text: String,
        /// What the override did, in a word.
        state: &'static str,
    },
}

/// A merged file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergedFileView {
    /// How many lines it has.
    pub lines: usize,
    /// Its parts, in order.
    pub parts: Vec<MergedPart>,
}

impl MergedFileView {
    /// Arranges a file; the ids of its parts start with `id`.
    #[must_use]
    pub fn new(id: &str, text: &str, overrides: &[OverrideView]) -> Self {
        // Lines end where they do for pip.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let lines: Vec<&str> = text.lines().collect();
        let mut marks: BTreeMap<usize, Vec<&OverrideView>> = BTreeMap::new();
        for one in overrides {
            if let Some(line) = one.line.filter(|line| (1..=lines.len() + 1).contains(line)) {
                marks.entry(line).or_default().push(one);
            }
        }
        let mut writer = MergedFileWriter {
            id,
            width: lines.len().to_string().len(),
            lines: &lines,
            room: MOST_BYTES,
            parts: Vec::new(),
        };
        let mut from = 1;
        for (line, overrides) in &marks {
            writer.push_unchanged(from, *line);
            from = *line;
            for one in overrides {
                if writer.push_override(*line, one) {
                    from = line + 1;
                }
            }
        }
        writer.push_unchanged(from, lines.len() + 1);
        Self {
            parts: writer.parts,
            lines: lines.len(),
        }
    }
}

/// Makes the parts, one after the other.
struct MergedFileWriter<'a> {
    id: &'a str,
    /// Digits of a line's number.
    width: usize,
    lines: &'a [&'a str],
    /// Bytes of unchanged lines that may still be shown.
    room: usize,
    parts: Vec<MergedPart>,
}

impl MergedFileWriter<'_> {
    fn line(&self, number: usize) -> String {
        let line = number.checked_sub(1).and_then(|at| self.lines.get(at));
        shown(line.copied().unwrap_or_default())
    }

    /// Pushes the lines from `from` up to, but not including, `to`.
    fn push_unchanged(&mut self, from: usize, to: usize) {
        let is_first = self.parts.is_empty();
        let is_last = to > self.lines.len();
        let start = if is_first { from } else { (from + CONTEXT).min(to) };
        let end = if is_last {
            to
        } else {
            to.saturating_sub(CONTEXT).max(start)
        };
        if end - start < LEAST_COLLAPSED {
            self.push_near(from, to);
            return;
        }
        self.push_near(from, start);
        let run = self.run(start, end);
        let id = format!("{}-from-{start}", self.id);
        self.parts.push(MergedPart::Far { id, run });
        self.push_near(end, to);
    }

    fn push_near(&mut self, from: usize, to: usize) {
        if from < to {
            let run = self.run(from, to);
            self.parts.push(MergedPart::Near(run));
        }
    }

    fn run(&mut self, from: usize, to: usize) -> MergedRun {
        let mut run = MergedRun {
            count: to - from,
            ..MergedRun::default()
        };
        for number in from..to {
            let line = format!("{number:>width$}   {}\n", self.line(number), width = self.width);
            if line.len() > self.room {
                self.room = 0;
                run.omitted += 1;
            } else {
                self.room -= line.len();
                run.text.push_str(&line);
            }
        }
        run
    }

    /// Pushes what an override did; returns whether the line itself is among it.
    fn push_override(&mut self, number: usize, one: &OverrideView) -> bool {
        let width = self.width;
        let before = || {
            format!(
                "{:>width$} − {} {}",
                "",
                one.package,
                one.from.as_deref().unwrap_or_default()
            )
        };
        let after = |sign: char| format!("{number:>width$} {sign} {}", self.line(number));
        let rows = match one.state {
            OverrideState::Removed => vec![("del", before())],
            OverrideState::Updated | OverrideState::Outdated => vec![("del", before()), ("add", after('+'))],
            OverrideState::Added => vec![("add", after('+'))],
            OverrideState::Redundant | OverrideState::Absent => vec![("", after('='))],
        };
        let has_line = one.state != OverrideState::Removed;
        let last = rows.len() - 1;
        for (at, (class, text)) in rows.into_iter().enumerate() {
            self.parts.push(MergedPart::Override {
                id: if at == 0 {
                    one.anchor.clone()
                } else {
                    String::new()
                },
                class,
                text,
                state: if at == last { one.state.as_str() } else { "" },
            });
        }
        has_line
    }
}

/// A line made fit for a page: an address in it that may hold a login is left out.
fn shown(line: &str) -> String {
    let printed = printable_line(line);
    let mut shown = String::with_capacity(printed.len());
    for word in printed.split_inclusive(char::is_whitespace) {
        match word.find("://") {
            Some(at) if word.contains(['@', '?']) => {
                shown.push_str(word.get(..at).unwrap_or_default());
                shown.push_str("://…");
                let end = word.trim_end().len();
                shown.push_str(word.get(end..).unwrap_or_default());
            }
            _ => shown.push_str(word),
        }
    }
    match shown.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => shown.get(..end).unwrap_or_default().to_owned() + "…",
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upper_constraints::{ConstraintsFile, Overrides, merge};

    /// The result of upstream and overrides, each part as lines of text.
    fn view(base: &str, overrides: &str) -> Vec<String> {
        let base = ConstraintsFile::parse(base.as_bytes()).unwrap();
        let merged = merge(&base, &Overrides::parse(overrides.as_bytes()).unwrap(), &[]).unwrap();
        let outcomes = merged.outcomes.iter().enumerate();
        let views: Vec<OverrideView> = outcomes
            .map(|(number, outcome)| OverrideView {
                package: outcome.package.clone(),
                state: outcome.state,
                from: outcome.from_text(),
                to: outcome.to.clone(),
                attention: outcome.needs_attention(),
                message: outcome.message(),
                line: outcome.merged_line,
                anchor: format!("o{number}"),
            })
            .collect();
        let view = MergedFileView::new("m", &merged.text, &views);
        let parts = view.parts.into_iter().map(|part| match part {
            MergedPart::Near(run) => run.text,
            MergedPart::Far { id, run } => format!("[{id}: {}]", run.count),
            MergedPart::Override { id, text, state, .. } => format!("{id}: {text} ({state})"),
        });
        parts.collect()
    }

    #[test]
    fn each_override_stands_at_its_line_and_what_is_far_is_folded() {
        let base = (1..=30)
            .map(|n| format!("p{n}===1\n"))
            .collect::<Vec<_>>()
            .concat();
        let base = base.replace("p20===1\n", "P20==1 # a comment\n");
        let overrides = "p10===2\n-p11\np20===0.9\np21===1\nnew===3\n-gone\n-p30\n";
        assert_eq!(
            view(&base, overrides),
            [
                "[m-from-1: 6]",
                " 7   p7===1\n 8   p8===1\n 9   p9===1\n",
                "o0:    − p10 1 ()",
                ": 10 + p10===2 (Updated)",
                "o1:    − p11 1 (Removed)",
                "11   p12===1\n12   p13===1\n13   p14===1\n14   p15===1\n15   p16===1\n16   p17===1\n17   p18===1\n18   p19===1\n",
                "o2:    − p20 1 ()",
                ": 19 + P20===0.9 # a comment (Outdated)",
                "o3: 20 = p21===1 (Redundant)",
                "21   p22===1\n22   p23===1\n23   p24===1\n24   p25===1\n25   p26===1\n26   p27===1\n27   p28===1\n28   p29===1\n",
                "o4: 29 + new===3 (Added)",
                "o6:    − p30 1 (Removed)",
            ]
        );
    }

    #[test]
    fn a_file_without_changes_is_folded_and_what_is_removed_at_its_end_is_told() {
        assert_eq!(
            view("a===1\nb===1\n", "-b\n"),
            ["1   a===1\n", "o0:   − b 1 (Removed)"]
        );
        assert_eq!(view("b===1", "-b\n"), ["o0:   − b 1 (Removed)"]);
        let base = (1..=9)
            .map(|n| format!("p{n}===1\r\n"))
            .collect::<Vec<_>>()
            .concat();
        assert_eq!(view(&base, ""), ["[m-from-1: 9]"]);
    }

    #[test]
    fn an_address_that_may_hold_a_login_is_not_shown() {
        for (line, expected) in [
            ("a @ https://u:p@example.org/a.whl ; x", "a @ https://… ; x"),
            ("--index-url=https://h/simple?token=t", "--index-url=https://…"),
            ("# see https://example.org/1", "# see https://example.org/1"),
        ] {
            assert_eq!(shown(line), expected);
        }
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let lines = (0..2000).map(|n| format!("p{n}===1 # {}\n", "x".repeat(900)));
        let text = lines.collect::<Vec<_>>().concat();
        let view = MergedFileView::new("m", &text, &[]);
        let shown: usize = view
            .parts
            .iter()
            .map(|part| match part {
                MergedPart::Near(run) | MergedPart::Far { run, .. } => run.text.len(),
                MergedPart::Override { .. } => 0,
            })
            .sum();
        assert!(shown <= MOST_BYTES, "{shown}");
        let MergedPart::Far { run, .. } = &view.parts[0] else {
            panic!("{:?}", view.parts[0])
        };
        assert_eq!(run.count, 2000);
        assert_eq!(run.omitted, 2000 - run.text.lines().count());
    }
}
