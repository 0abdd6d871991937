//! The report in GitHub Flavored Markdown: one table of how many patches apply for each component
//! and release, then what needs a person.

use std::collections::{BTreeMap, BTreeSet};

use super::super::report::{OverrideRow, PatchRow, Report};
use super::links::Links;
use super::markup::{cell, code, link};
use super::table;
use super::words::{self, Quoting};
use crate::layout::LayoutFault;

/// The largest report, in bytes: what GitHub takes for the summary of a step.
pub(super) const LARGEST: usize = 1 << 20;

/// Bytes that are kept for saying that something is left out.
const RESERVE: usize = 128;

/// A text of bounded size.
struct Bounded {
    text: String,
    limit: usize,
    left_out: usize,
}

impl Bounded {
    /// Adds lines that only make sense as a whole.
    fn push(&mut self, lines: &str) {
        if self.left_out == 0 && self.text.len() + lines.len() + RESERVE <= self.limit {
            self.text.push_str(lines);
        } else {
            self.left_out += 1;
        }
    }

    fn end(mut self) -> String {
        if self.left_out > 0 {
            let more = format!(
                "\n… and {} more lines, for which there is no room.\n",
                self.left_out
            );
            if self.text.len() + more.len() <= self.limit {
                self.text.push_str(&more);
            }
        }
        self.text
    }
}

/// The report, of at most so many bytes.
pub(super) fn text(report: &Report, links: &Links, limit: usize) -> String {
    let mut out = Bounded {
        text: String::new(),
        limit,
        left_out: 0,
    };
    let mark = if report.ok { "✅" } else { "❌" };
    out.push(&format!(
        "## {mark} patchset check\n\n{}\n",
        table::summary_in_words(report)
    ));
    if let Some(base) = &report.base {
        let (revision, commit) = (code(&base.revision), base.commit.get(..7).unwrap_or_default());
        out.push(&format!("\nCompared to {revision} ({commit}):\n\n"));
        if report.changes.is_empty() {
            out.push("- no patches, refs or overrides are changed\n");
        }
    }
    for change in &report.changes {
        out.push(&format!(
            "- {}\n",
            words::change(change, report, Quoting::Markdown)
        ));
    }
    matrix(&mut out, report);
    let needy = report.patches.iter().filter(|row| row.fails());
    section(
        &mut out,
        "Patches that need a person",
        needy.map(|row| patch(row, links)),
    );
    let faults = report.faults.iter();
    section(&mut out, "Faults", faults.map(|found| fault(found, links)));
    let overrides = report.overrides.iter().filter(|row| row.needs_attention());
    section(
        &mut out,
        "Overrides that need attention",
        overrides.map(|row| override_(row, links)),
    );
    let changed = report.overrides.iter();
    let changed = changed.filter(|row| row.verdict.is_some() && !row.needs_attention());
    section(
        &mut out,
        "Overrides that are changed",
        changed.map(|row| override_(row, links)),
    );
    let mended = report.mended.iter();
    section(&mut out, "Mended", mended.map(|found| fault(found, links)));
    let notes = report.notes.iter();
    section(&mut out, "Notes", notes.map(|note| code(note)));
    out.end()
}

fn section(out: &mut Bounded, title: &str, items: impl Iterator<Item = String>) {
    for (number, item) in items.enumerate() {
        let title = if number == 0 {
            format!("\n### {title}\n\n")
        } else {
            String::new()
        };
        out.push(&format!("{title}- {item}\n"));
    }
}

/// How many patches of a series apply.
#[derive(Clone, Copy, Default)]
struct AppliedCount {
    applied: usize,
    total: usize,
    failing: usize,
}

fn matrix(out: &mut Bounded, report: &Report) {
    let mut cells: BTreeMap<(&str, &str), AppliedCount> = BTreeMap::new();
    let mut releases = BTreeSet::new();
    for row in &report.patches {
        releases.insert(row.release.as_str());
        let cell = cells.entry((&row.component, &row.release)).or_default();
        cell.total += 1;
        cell.applied += usize::from(row.applies());
        cell.failing += usize::from(row.fails());
    }
    if cells.is_empty() {
        return;
    }
    let heads: Vec<String> = releases.iter().map(|release| cell(release)).collect();
    let rules = "| --- ".repeat(heads.len() + 1);
    out.push(&format!("\n| component | {} |\n{rules}|\n", heads.join(" | ")));
    let components: BTreeSet<&str> = cells.keys().map(|(component, _)| *component).collect();
    for component in components {
        let row: Vec<String> = releases
            .iter()
            .map(|release| match cells.get(&(component, *release)) {
                None => String::new(),
                Some(cell) => {
                    let mark = match (cell.failing, cell.applied == cell.total) {
                        (0, true) => "✅",
                        (0, false) => "⚠️",
                        _ => "❌",
                    };
                    format!("{mark} {}/{}", cell.applied, cell.total)
                }
            })
            .collect();
        out.push(&format!("| {} | {} |\n", cell(component), row.join(" | ")));
    }
}

fn place(path: &str, line: Option<usize>, links: &Links) -> String {
    let shown = match line {
        Some(line) => format!("{path}:{line}"),
        None => path.to_owned(),
    };
    link(&code(&shown), links.url(path, line).as_deref())
}

fn patch(row: &PatchRow, links: &Links) -> String {
    let status = &row.status;
    format!(
        "{} {}. **What to do:** {}.",
        place(&row.path, row.line, links),
        words::story(status, Quoting::Markdown),
        words::remedy(status)
    )
}

fn fault(fault: &LayoutFault, links: &Links) -> String {
    let place = place(&fault.path, fault.line, links);
    format!("{place} {:?}: {}", fault.kind, code(&fault.message))
}

fn override_(row: &OverrideRow, links: &Links) -> String {
    let path = format!("overrides/{}/constraints.txt", row.release);
    let place = place(&path, row.line, links);
    format!("{place} {}: {}", code(&row.package), code(&row.message))
}
