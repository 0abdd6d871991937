//! Merges overrides into constraints.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

use pep440_rs::Version;
use pep508_rs::PackageName;
use sha2::{Digest, Sha256};

use super::entry::{Entry, Pin, PinOperator};
use super::error::{Collector, Unit};
use super::lines;
use super::outcome::{Cause, Outcome, OverrideState, Pinned, VersionChange};
use super::overrides::{Action, Override};
use super::{ConstraintsFile, Error, Overrides, Problems};

/// The merged constraints, and what each override did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Merged {
    /// The file. Lines that no override touches are as upstream wrote them, in their places.
    pub text: String,
    /// How many entries the file has.
    pub entries: usize,
    /// Each override in order, then each package that is built from source.
    pub outcomes: Vec<Outcome>,
}

impl Merged {
    /// Returns the file's SHA-256, as `sha256:` and 64 hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> String {
        digest(self.text.as_bytes())
    }

    /// Returns how many outcomes need a person's attention.
    #[must_use]
    pub fn need_attention(&self) -> usize {
        self.outcomes.iter().filter(|o| o.needs_attention()).count()
    }
}

/// Returns the SHA-256 of a constraints file, as `sha256:` and 64 hexadecimal digits.
#[must_use]
pub fn digest(file: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(file) {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What happens to one of upstream's entries.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Edit {
    Keep,
    Replace(String),
    Delete,
}

/// Merges overrides into constraints.
///
/// A pin replaces all entries of its package, or, if it has a marker, the one with the same marker:
/// in the place of the first, with the name as upstream spells it. A package that upstream does not
/// pin is added at the end. Packages that are built from source lose their entries, whatever an
/// override says.
///
/// # Errors
///
/// If an override with a marker would stand beside an upstream entry that holds at the same time:
/// pip and uv would find both, and nothing to install.
pub fn merge(
    base: &ConstraintsFile,
    overrides: &Overrides,
    built_from_source: &[PackageName],
) -> Result<Merged, Error> {
    let mut draft = Draft::new(base, overrides.unit, built_from_source);
    for one in overrides.list() {
        draft.apply(one);
    }
    for name in draft.from_source.clone() {
        let removes =
            |one: &Override| one.name == *name && one.action == Action::Remove && one.marker_text.is_none();
        if !overrides.list().iter().any(removes) {
            draft.remove(name);
        }
    }
    draft.finish().map_err(Error::Overrides)
}

/// What a pin asks for.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    version: &'a Version,
    downgrade: bool,
}

/// What an outcome is about.
#[derive(Clone, Copy, Debug)]
enum Subject {
    /// One of upstream's entries.
    Entry(usize),
    /// A line that is put at the end.
    Added(usize),
}

/// Upstream's constraints while overrides are applied to them.
struct Draft<'a> {
    base: &'a ConstraintsFile,
    /// Where each package's entries are.
    places: HashMap<&'a PackageName, Vec<usize>>,
    /// The packages that are built from source.
    from_source: BTreeSet<&'a PackageName>,
    /// One for each entry.
    edits: Vec<Edit>,
    /// Lines to put at the end.
    added: Vec<String>,
    outcomes: Vec<Outcome>,
    /// One for each outcome.
    subjects: Vec<Option<Subject>>,
    problems: Collector,
}

impl<'a> Draft<'a> {
    fn new(base: &'a ConstraintsFile, unit: Unit, built_from_source: &'a [PackageName]) -> Self {
        let mut places: HashMap<&PackageName, Vec<usize>> = HashMap::new();
        for (at, entry) in base.entries().iter().enumerate() {
            places.entry(&entry.name).or_default().push(at);
        }
        Self {
            base,
            places,
            from_source: built_from_source.iter().collect(),
            edits: vec![Edit::Keep; base.entries().len()],
            added: Vec::new(),
            outcomes: Vec::new(),
            subjects: Vec::new(),
            problems: Collector::new(unit),
        }
    }

    /// A package's entries with their places.
    fn entries(&self, name: &PackageName) -> Vec<(usize, &'a Entry)> {
        let places = self.places.get(name).map(Vec::as_slice).unwrap_or_default();
        places
            .iter()
            .filter_map(|at| Some((*at, self.base.entries().get(*at)?)))
            .collect()
    }

    fn edit(&mut self, at: usize, edit: Edit) {
        if let Some(slot) = self.edits.get_mut(at) {
            *slot = edit;
        }
    }

    fn apply(&mut self, one: &Override) {
        let from_source = self.from_source.contains(&one.name);
        let all = self.entries(&one.name);
        let targets: Vec<(usize, &Entry)> = all
            .iter()
            .copied()
            .filter(|(_, entry)| one.marker_text.is_none() || entry.marker == one.marker)
            .collect();
        let (state, change, to) = match &one.action {
            Action::Remove => {
                for (at, _) in &targets {
                    self.edit(*at, Edit::Delete);
                }
                let state = if targets.is_empty() {
                    OverrideState::Absent
                } else {
                    OverrideState::Removed
                };
                (state, None, None)
            }
            Action::Pin { version, downgrade } => {
                let (state, change) = if from_source {
                    (OverrideState::Redundant, None)
                } else if targets.is_empty() {
                    self.add(one, version, &all);
                    (OverrideState::Added, None)
                } else {
                    let wanted = Wanted {
                        version,
                        downgrade: *downgrade,
                    };
                    self.pin(one, wanted, &targets)
                };
                (state, change, Some(version.to_string()))
            }
        };
        self.subjects.push(match state {
            OverrideState::Added => Some(Subject::Added(self.added.len() - 1)),
            _ if from_source && to.is_some() => None,
            _ => targets.first().map(|(at, _)| Subject::Entry(*at)),
        });
        self.outcomes.push(Outcome {
            line: Some(one.line),
            package: one.spelled.clone(),
            cause: if from_source && to.is_some() {
                Cause::BuiltFromSource
            } else {
                Cause::Override
            },
            state,
            from: targets.iter().map(|(_, entry)| Pinned::from(*entry)).collect(),
            to,
            marker: one.marker_text.clone(),
            change,
            merged_line: None,
        });
    }

    /// Adds a pin beside the entries of its package, none of which may hold where it does.
    fn add(&mut self, one: &Override, version: &Version, beside: &[(usize, &Entry)]) {
        let mut beside = beside.iter().map(|(_, entry)| *entry);
        if let Some(entry) = beside.find(|entry| !entry.marker.is_disjoint(&one.marker)) {
            self.problems.add(one.line, contradiction(one, entry));
        }
        self.added
            .push(line(&one.spelled, version, one.marker_text.as_deref()));
    }

    /// Puts a pin in the place of the first of some entries, and removes the others.
    fn pin(
        &mut self,
        one: &Override,
        wanted: Wanted<'_>,
        targets: &[(usize, &Entry)],
    ) -> (OverrideState, Option<VersionChange>) {
        let entries: Vec<&Entry> = targets.iter().map(|(_, entry)| *entry).collect();
        let judged = judge(one, wanted, &entries);
        if judged.0 == OverrideState::Redundant {
            return judged;
        }
        let mut rest = targets.iter();
        if let Some((at, first)) = rest.next() {
            // The same marker keeps upstream's spelling.
            let marker = one
                .marker_text
                .as_ref()
                .map(|own| first.marker_text.as_ref().unwrap_or(own).as_str());
            self.edit(*at, Edit::Replace(line(&first.spelled, wanted.version, marker)));
        }
        for (at, _) in rest {
            self.edit(*at, Edit::Delete);
        }
        judged
    }

    /// Removes the entries of a package that is built from source.
    fn remove(&mut self, name: &PackageName) {
        let all = self.entries(name);
        for (at, _) in &all {
            self.edit(*at, Edit::Delete);
        }
        self.subjects.push(all.first().map(|(at, _)| Subject::Entry(*at)));
        self.outcomes.push(Outcome {
            line: None,
            package: all
                .first()
                .map_or_else(|| name.to_string(), |(_, entry)| entry.spelled.clone()),
            cause: Cause::BuiltFromSource,
            state: if all.is_empty() {
                OverrideState::Absent
            } else {
                OverrideState::Removed
            },
            from: all.iter().map(|(_, entry)| Pinned::from(*entry)).collect(),
            to: None,
            marker: None,
            change: None,
            merged_line: None,
        });
    }

    fn finish(self) -> Result<Merged, Problems> {
        let kept = self.edits.iter().filter(|edit| **edit != Edit::Delete).count();
        let written = Written::write(self.base, &self.edits, &self.added);
        let mut outcomes = self.outcomes;
        for (outcome, subject) in outcomes.iter_mut().zip(self.subjects) {
            outcome.merged_line = subject.and_then(|subject| written.line_of(subject));
        }
        let merged = Merged {
            text: written.text,
            entries: kept + self.added.len(),
            outcomes,
        };
        self.problems.finish(merged)
    }
}

fn line(name: &str, version: &Version, marker: Option<&str>) -> String {
    match marker {
        Some(marker) => format!("{name}==={version};{marker}"),
        None => format!("{name}==={version}"),
    }
}

fn contradiction(one: &Override, entry: &Entry) -> String {
    let marker = one.marker_text.as_deref().unwrap_or_default();
    let theirs = match &entry.marker_text {
        Some(theirs) => format!("{} where {theirs}", entry.pin),
        None => format!("{} everywhere", entry.pin),
    };
    format!(
        "{} where {marker} contradicts line {} of the upper constraints, which pins {theirs}: leave the marker out, or write the same one",
        one.spelled, entry.line
    )
}

/// Returns what a pin does to its entries, of which there is at least one.
fn judge(one: &Override, wanted: Wanted<'_>, entries: &[&Entry]) -> (OverrideState, Option<VersionChange>) {
    let Wanted { version, downgrade } = wanted;
    if let [entry] = entries
        && entry.marker == one.marker
        && is_same(&entry.pin, version)
    {
        return (OverrideState::Redundant, None);
    }
    let versions: Option<Vec<&Version>> = entries
        .iter()
        .map(|entry| match &entry.pin {
            Pin::Exact { version, .. } => version.as_ref(),
            Pin::Range(_) | Pin::Url => None,
        })
        .collect();
    let versions = versions.unwrap_or_default();
    let Some(newest) = versions.iter().max() else {
        return (OverrideState::Updated, None);
    };
    match version.cmp(newest) {
        Ordering::Less if downgrade => (OverrideState::Updated, Some(VersionChange::Downgrade)),
        Ordering::Less => (OverrideState::Outdated, Some(VersionChange::Downgrade)),
        Ordering::Equal if versions.iter().all(|other| other == newest) => (OverrideState::Updated, None),
        Ordering::Equal | Ordering::Greater => (OverrideState::Updated, Some(VersionChange::Upgrade)),
    }
}

/// Whether upstream's pin allows just this version: by its text for `===`, by PEP 440 for `==`.
fn is_same(pin: &Pin, wanted: &Version) -> bool {
    match pin {
        Pin::Exact {
            operator: PinOperator::ArbitraryEqual,
            text,
            ..
        } => text.eq_ignore_ascii_case(&wanted.to_string()),
        Pin::Exact { version, .. } => version.as_ref() == Some(wanted),
        Pin::Range(_) | Pin::Url => false,
    }
}

/// The merged file, and where things are in it.
struct Written {
    text: String,
    /// The first byte of each of upstream's entries, or where it would be.
    entries: Vec<usize>,
    /// The first byte of each line that is put at the end.
    added: Vec<usize>,
    /// The first byte of each line.
    lines: Vec<usize>,
}

impl Written {
    fn write(base: &ConstraintsFile, edits: &[Edit], added: &[String]) -> Self {
        let text = base.text();
        let mut merged = String::with_capacity(text.len() + 256);
        let mut entries = Vec::with_capacity(edits.len());
        let mut at = 0;
        for (entry, edit) in base.entries().iter().zip(edits) {
            let (cut, put, next) = match edit {
                Edit::Keep => (entry.body.start, "", entry.body.start),
                Edit::Replace(line) => (entry.body.start, line.as_str(), entry.body.end),
                Edit::Delete => (entry.whole.start, "", entry.whole.end),
            };
            merged.push_str(text.get(at..cut).unwrap_or_default());
            entries.push(merged.len());
            merged.push_str(put);
            at = next;
        }
        merged.push_str(text.get(at..).unwrap_or_default());
        let ending = if text.contains("\r\n") { "\r\n" } else { "\n" };
        if !added.is_empty() && lines::is_open(&merged) {
            merged.push_str(ending);
        }
        let mut starts = Vec::with_capacity(added.len());
        for line in added {
            starts.push(merged.len());
            merged.push_str(line);
            merged.push_str(ending);
        }
        let lines = lines::physical(&merged);
        Self {
            entries,
            added: starts,
            lines: lines.into_iter().map(|line| line.whole.start).collect(),
            text: merged,
        }
    }

    /// Returns the line that something is about, from 1; one after the last if it stood at the end.
    fn line_of(&self, subject: Subject) -> Option<usize> {
        let at = *match subject {
            Subject::Entry(entry) => self.entries.get(entry),
            Subject::Added(line) => self.added.get(line),
        }?;
        let is_behind = at == self.text.len() && !lines::is_open(&self.text);
        let begun = self.lines.partition_point(|start| *start <= at);
        Some(if is_behind { begun + 1 } else { begun })
    }
}
