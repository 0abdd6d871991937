//! The title and the text of the pull request.

use git_apply_engine::Oid;
use jiff::Timestamp;
use patchset_api::status::{PatchState, PatchStatus};
use patchset_api::upkeep::HANDS_OFF_LABEL;
use patchset_api::upstream_history::{MergedStatus, RefreshKind};

use super::change::{ChangeKind, PlannedChange, UpkeepPlan};
use super::change_id::digest;
use super::facts::SeriesFacts;
use super::left_alone::LeftAlone;
use super::marker::UpkeepMarker;
use super::message::{
    MOST_LISTED, NAME, SUBJECT, besides, elsewhere_in_words, file_in_words, known_by, refresh_in_words,
};
use super::proof::{SeriesProof, SeriesResult};
use super::quoted::{Room, block, code, link};

/// The most bytes of a text. GitHub keeps 65,536 characters.
const MOST_BYTES: usize = 56_000;

/// The most bytes of one section, so that each gets its share.
const SECTION_BYTES: usize = 16_000;

/// How much of a diff is shown, and of all diffs together.
const DIFFERENCE: Room = Room {
    lines: 80,
    characters: 4000,
};

/// The most components that a title names.
const MOST_NAMED: usize = 3;

/// Digits of a commit or tree.
const SHORT: usize = 10;

/// A request's title and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestText {
    /// One line that names only components and releases.
    pub title: String,
    /// Markdown, with an [`UpkeepMarker`] at its end.
    pub body: String,
    /// What the marker says.
    pub marker: UpkeepMarker,
}

/// Writes a request's title and text. Foreign text is shown, and nothing in it takes effect.
#[must_use]
pub fn request_text(
    plan: &UpkeepPlan,
    facts: &[SeriesFacts],
    proofs: &[SeriesProof],
    now: Timestamp,
) -> RequestText {
    let title = title(plan);
    let sections = [
        introduction(plan),
        table(plan, facts, proofs),
        changes(plan, ChangeSection::Dropped),
        changes(plan, ChangeSection::Refreshed),
        for_a_person(plan, facts),
        left_alone(plan),
        manners(plan),
    ];
    let sections: Vec<String> = sections
        .into_iter()
        .filter(|section| !section.is_empty())
        .collect();
    let body = sections.join("\n\n");
    let marker = UpkeepMarker {
        namespace: plan.namespace.clone(),
        title: title_digest(&title),
        text: digest("upkeep-text/v1", [title.as_bytes(), body.as_bytes()]),
        at: now,
        changes: plan.changes(),
    };
    RequestText {
        body: format!("{body}\n\n{marker}"),
        title,
        marker,
    }
}

/// The digest that shows whether a title was changed.
pub(super) fn title_digest(title: &str) -> String {
    digest("upkeep-title/v1", [title.trim().as_bytes()])
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChangeSection {
    Dropped,
    Refreshed,
}

impl ChangeSection {
    fn has(self, change: &PlannedChange) -> bool {
        matches!(
            (self, &change.kind),
            (Self::Dropped, ChangeKind::Drop { .. }) | (Self::Refreshed, ChangeKind::Refresh { .. })
        )
    }
}

fn count(plan: &UpkeepPlan, section: ChangeSection) -> usize {
    let commits = plan.commits.iter();
    commits.filter(|commit| section.has(&commit.change)).count()
}

fn patches(count: usize) -> String {
    let unit = if count == 1 { "patch" } else { "patches" };
    format!("{count} {unit}")
}

/// For instance `glance 2025.2, nova 2025.1: drop 2 patches, refresh 1`.
fn title(plan: &UpkeepPlan) -> String {
    let mut series: Vec<String> = Vec::new();
    for commit in &plan.commits {
        let change = &commit.change;
        let name = format!("{} {}", change.component, change.releases.join(", "));
        if !series.contains(&name) {
            series.push(name);
        }
    }
    if let Some(more) = series.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
        series.truncate(MOST_NAMED);
        series.push(format!("{more} more"));
    }
    let (drops, refreshes) = (
        count(plan, ChangeSection::Dropped),
        count(plan, ChangeSection::Refreshed),
    );
    let what = match (drops, refreshes) {
        (drops, 0) => format!("drop {}", patches(drops)),
        (0, refreshes) => format!("refresh {}", patches(refreshes)),
        (drops, refreshes) => format!("drop {}, refresh {refreshes}", patches(drops)),
    };
    foreign_text::printable(&format!("{}: {what}", series.join(", ")), 200)
}

fn introduction(plan: &UpkeepPlan) -> String {
    let (drops, refreshes) = (
        count(plan, ChangeSection::Dropped),
        count(plan, ChangeSection::Refreshed),
    );
    let mut parts = Vec::new();
    if drops > 0 {
        parts.push(format!("drops {} that upstream has", patches(drops)));
    }
    if refreshes > 0 {
        parts.push(format!("refreshes {} that moved", patches(refreshes)));
    }
    format!("Upstream moved on. This {}, a commit each.", parts.join(", and "))
}

/// The affected `PatchSet`s before and after.
fn table(plan: &UpkeepPlan, facts: &[SeriesFacts], proofs: &[SeriesProof]) -> String {
    let affected = plan.patch_sets();
    let mut rows = BoundedEntries::new(SECTION_BYTES / 2, "PatchSets");
    for proof in proofs
        .iter()
        .filter(|proof| affected.contains(proof.patch_set.as_str()))
    {
        let known = facts.iter().find(|facts| facts.patch_set == proof.patch_set);
        rows.add(format!(
            "| {} | {} | {} | {} |",
            code(&proof.patch_set, 253),
            applies(&proof.before),
            applies(&proof.after),
            tree(proof, known)
        ));
    }
    let (rows, more) = rows.finish("\n");
    if rows.is_empty() {
        return String::new();
    }
    let more = more.map(|more| format!("\n\n{more}")).unwrap_or_default();
    format!(
        "| PatchSet | applies now | applies with this | patched tree |\n| --- | --- | --- | --- |\n{rows}{more}"
    )
}

fn applies(result: &SeriesResult) -> String {
    let upstream = match result.merged {
        0 => String::new(),
        merged => format!(", {merged} upstream"),
    };
    format!("{} of {}{upstream}", result.applies, result.total)
}

fn tree(proof: &SeriesProof, facts: Option<&SeriesFacts>) -> String {
    let short = |tree: Oid| code(tree.to_string().get(..SHORT).unwrap_or_default(), SHORT);
    let (before, after) = (proof.before.tree, proof.after.tree);
    if before != after {
        return format!("{} → {}: more patches apply", short(before), short(after));
    }
    let was_built = facts.is_some_and(|facts| facts.patched_tree == Some(before));
    match facts {
        Some(facts) if facts.builds && was_built => {
            format!("identical tree: no build will run ({})", short(after))
        }
        Some(facts) if facts.builds => {
            format!("identical tree ({}), built once all patches pass", short(after))
        }
        _ => format!("identical tree ({})", short(after)),
    }
}

fn changes(plan: &UpkeepPlan, section: ChangeSection) -> String {
    let mut entries = BoundedEntries::new(SECTION_BYTES, "changes, which the commits tell");
    let concerned = plan.commits.iter().map(|commit| &commit.change);
    for change in concerned.filter(|change| section.has(change)) {
        let entry = match &change.kind {
            ChangeKind::Drop { .. } => drop_entry,
            ChangeKind::Refresh { .. } => refresh_entry,
        };
        if !entries.add(entry(change, Differences::Shown)) {
            entries.add_instead(entry(change, Differences::LeftOut));
        }
    }
    let (entries, more) = entries.finish("\n\n");
    if entries.is_empty() {
        return String::new();
    }
    let heading = match section {
        ChangeSection::Dropped => "Dropped",
        ChangeSection::Refreshed => "Refreshed",
    };
    let more = more.map(|more| format!("\n\n{more}")).unwrap_or_default();
    format!("### {heading}\n\n{entries}{more}")
}

/// The heading of a change: what it is about.
fn entry_heading(change: &PlannedChange) -> String {
    let subject = change
        .subject
        .as_deref()
        .map(|subject| format!(": {}", code(subject, SUBJECT)));
    format!(
        "**{} {}** {}{}\n",
        change.component,
        change.releases.join(", "),
        code(&change.name, NAME),
        subject.unwrap_or_default()
    )
}

/// Whether an entry includes the diff of its change, which may be long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Differences {
    Shown,
    LeftOut,
}

fn drop_entry(change: &PlannedChange, differences: Differences) -> String {
    let ChangeKind::Drop { merged, elsewhere } = &change.kind else {
        return String::new();
    };
    let mut lines = vec![entry_heading(change)];
    lines.push(format!("- {}", upstream_commit(change, merged)));
    lines.push(format!("- {}", known_by(merged)));
    for place in elsewhere.iter().take(MOST_LISTED) {
        lines.push(format!("- It stays in {}.", elsewhere_in_words(place, code)));
    }
    if let Some(more) = elsewhere.len().checked_sub(MOST_LISTED).filter(|more| *more > 0) {
        lines.push(format!("- It stays in {more} more."));
    }
    lines.extend(besides(change, code).iter().map(|line| format!("- {line}.")));
    if let Some(interdiff) = merged
        .interdiff
        .as_ref()
        .filter(|_| merged.differs && differences == Differences::Shown)
    {
        lines.push(details(
            "What only upstream's change has (<code>+</code>), and what only the patch has (<code>-</code>)",
            interdiff,
        ));
    }
    lines.join("\n")
}

fn upstream_commit(change: &PlannedChange, merged: &MergedStatus) -> String {
    let upstream = change
        .upstream
        .as_deref()
        .map(|upstream| format!(" at {}", code(upstream, NAME)));
    let upstream = upstream.unwrap_or_default();
    let Some(commit) = &merged.commit else {
        return format!("Upstream{upstream} has it; its commit was not found.");
    };
    let short: String = commit.as_str().chars().take(SHORT).collect();
    let date = merged
        .date
        .as_ref()
        .map(|date| format!(" ({})", date.0.strftime("%-d %b %Y")));
    format!(
        "Upstream{upstream} has it as {} {}{}.",
        link(&code(&short, SHORT), merged.url.as_deref()),
        code(merged.subject.as_deref().unwrap_or_default(), SUBJECT),
        date.unwrap_or_default()
    )
}

fn refresh_entry(change: &PlannedChange, differences: Differences) -> String {
    let ChangeKind::Refresh {
        how,
        files,
        range_diff,
        applies_as_it_is,
    } = &change.kind
    else {
        return String::new();
    };
    let mut lines = vec![entry_heading(change)];
    lines.push(format!("- {}", refresh_in_words(*how, *applies_as_it_is)));
    let shown = files.iter().take(MOST_LISTED);
    lines.extend(shown.map(|file| format!("- {}", file_in_words(file, code))));
    if let Some(more) = files.len().checked_sub(MOST_LISTED).filter(|more| *more > 0) {
        lines.push(format!("- {more} more files"));
    }
    lines.extend(besides(change, code).iter().map(|line| format!("- {line}.")));
    match range_diff {
        None => lines.push("- Nothing but line numbers changes in the patch.".to_owned()),
        Some(diff) if differences == Differences::Shown => {
            lines.push(details(
                "From the patch as it is to the new one, but for line numbers",
                diff,
            ));
        }
        Some(_) => {}
    }
    lines.join("\n")
}

/// A collapsed diff. The empty lines make servers read the Markdown in it.
fn details(summary: &str, difference: &str) -> String {
    format!(
        "\n<details><summary>{summary}</summary>\n\n{}\n\n</details>",
        block("diff", difference, DIFFERENCE)
    )
}

/// What a person should look at before merging, and what is left to mend by hand.
fn for_a_person(plan: &UpkeepPlan, facts: &[SeriesFacts]) -> String {
    let mut lines = BoundedEntries::new(SECTION_BYTES / 2, "patches");
    for commit in &plan.commits {
        let change = &commit.change;
        let name = format!(
            "{} {} {}",
            change.component,
            change.releases.join(", "),
            code(&change.name, NAME)
        );
        match &change.kind {
            ChangeKind::Drop { merged, .. } if merged.differs => {
                lines.add(format!(
                    "- {name} is dropped for another change of upstream: is that enough?"
                ));
            }
            ChangeKind::Refresh {
                how: RefreshKind::Fuzz,
                ..
            } => {
                lines.add(format!(
                    "- {name} was placed with fuzz: is it in the right place?"
                ));
            }
            ChangeKind::Drop { .. } | ChangeKind::Refresh { .. } => {}
        }
    }
    let affected = plan.patch_sets();
    let planned = |facts: &SeriesFacts, patch: &PatchStatus| {
        let mut changes = plan.commits.iter().map(|commit| &commit.change);
        changes.any(|change| change.name == patch.name && change.patch_sets.contains(&facts.patch_set))
    };
    for facts in facts
        .iter()
        .filter(|facts| affected.contains(facts.patch_set.as_str()))
    {
        let failing = facts.patches.iter().filter(|patch| {
            matches!(
                patch.state,
                PatchState::Conflict | PatchState::Blocked | PatchState::Malformed
            ) && !planned(facts, patch)
        });
        for patch in failing {
            lines.add(format!(
                "- {} {} {} still does not apply{}",
                facts.component,
                facts.release,
                code(&patch.name, NAME),
                broken_by(patch)
            ));
        }
    }
    let (lines, more) = lines.finish("\n");
    if lines.is_empty() {
        return String::new();
    }
    let more = more.map(|more| format!("\n- {more}")).unwrap_or_default();
    format!("### For a person\n\n{lines}{more}")
}

fn broken_by(patch: &PatchStatus) -> String {
    let broken = patch
        .conflict
        .as_ref()
        .and_then(|conflict| conflict.broken_by.as_ref());
    let Some(commit) = broken else {
        return String::new();
    };
    let short: String = commit.commit.as_str().chars().take(SHORT).collect();
    format!(
        ": {} {} changed what it expects",
        link(&code(&short, SHORT), commit.url.as_deref()),
        code(&commit.subject, SUBJECT)
    )
}

fn left_alone(plan: &UpkeepPlan) -> String {
    let mut lines = BoundedEntries::new(SECTION_BYTES / 2, "patches");
    let told = plan.left_alone.iter().filter(|left| left.reason.needs_person());
    for LeftAlone {
        patch_set,
        name,
        reason,
    } in told
    {
        let reason = foreign_text::printable(&reason.to_string(), 400);
        lines.add(format!(
            "- {} {}: {}",
            code(patch_set, 253),
            code(name, NAME),
            code(&reason, 400)
        ));
    }
    let (lines, more) = lines.finish("\n");
    if lines.is_empty() {
        return String::new();
    }
    let more = more.map(|more| format!("\n- {more}")).unwrap_or_default();
    format!("### Left alone\n\n{lines}{more}")
}

fn manners(plan: &UpkeepPlan) -> String {
    format!(
        "---\n\npatchset keeps this up to date for the PatchSets of namespace {}. It leaves it to you once you \
         push a commit to the branch, change the title, or add the label {}. Close it, and what it \
         proposes is not proposed again until upstream or the patches change.",
        code(&plan.namespace, 63),
        code(HANDS_OFF_LABEL, 100)
    )
}

/// Entries, as many as there is room for.
struct BoundedEntries {
    entries: Vec<String>,
    room: usize,
    omitted: usize,
    what: &'static str,
}

impl BoundedEntries {
    fn new(room: usize, what: &'static str) -> Self {
        Self {
            entries: Vec::new(),
            room,
            omitted: 0,
            what,
        }
    }

    /// Adds an entry; returns whether there was room for it.
    fn add(&mut self, entry: String) -> bool {
        let size = entry.len() + 2;
        if size > self.room {
            self.omitted += 1;
            return false;
        }
        self.room -= size;
        self.entries.push(entry);
        true
    }

    /// Adds a shorter form of the entry that there was no room for.
    fn add_instead(&mut self, entry: String) {
        self.omitted = self.omitted.saturating_sub(1);
        self.add(entry);
    }

    /// The entries, and how many there was no room for.
    fn finish(self, separator: &str) -> (String, Option<String>) {
        let more = (self.omitted > 0).then(|| format!("… and {} more {}", self.omitted, self.what));
        (self.entries.join(separator), more)
    }
}

/// The sections together stay below what servers keep.
const _: () = assert!(SECTION_BYTES * 3 + SECTION_BYTES / 2 <= MOST_BYTES);
