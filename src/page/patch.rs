//! One patch.

use foreign_text::printable;
use patch_headers::{PatchHeaders, PatchOrigin};
use patchset_api::status::{PatchState, PatchStatus};

use super::commit::CommitView;
use super::conflict::ConflictView;
use super::diff::DiffView;
use super::highlight::HighlightBudget;
use super::need::Need;
use super::text::{LONGEST_TEXT, web_address};
use super::words;

/// What a patch says of itself: a name and a value, with an address where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The name.
    pub name: &'static str,
    /// The value.
    pub value: String,
    /// Where to read about it.
    pub url: Option<String>,
}

impl Fact {
    fn new(name: &'static str, value: impl AsRef<str>) -> Self {
        Self {
            name,
            value: printable(value.as_ref(), LONGEST_TEXT),
            url: None,
        }
    }

    fn with_url(self, url: Option<&str>) -> Self {
        Self {
            url: url.and_then(web_address),
            ..self
        }
    }
}

/// The bytes of a patch, where they are at hand.
#[derive(Clone, Copy, Debug)]
pub struct PatchSource<'a> {
    /// The patch.
    pub bytes: &'a [u8],
    /// Whether its diff is shown: a page is bounded.
    pub is_shown: bool,
    /// How much of it may be coloured.
    pub budget: &'a HighlightBudget<'a>,
}

/// One patch of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchView {
    /// The id of its place on the page.
    pub id: String,
    /// Its file's name.
    pub name: String,
    /// Where its file is on the web.
    pub url: Option<String>,
    /// Its state.
    pub state: PatchState,
    /// The same in words.
    pub result: &'static str,
    /// Why it does not apply.
    pub cause: Option<String>,
    /// What to do about it; empty for nothing.
    pub remedy: &'static str,
    /// Who has to do something.
    pub need: Need,
    /// The first line of its message.
    pub subject: String,
    /// Who wrote it.
    pub author: String,
    /// What else it says of itself.
    pub facts: Vec<Fact>,
    /// How many lines away it applies.
    pub offset: Option<i64>,
    /// Where it does not fit.
    pub conflict: Option<ConflictView>,
    /// The commit by which upstream has it, and the difference where that is another form.
    pub merged: Option<CommitView>,
    /// Whether upstream has it in another form.
    pub differs: bool,
    /// That difference.
    pub interdiff: Option<DiffView>,
    /// The commits that brought it to upstream and took it back.
    pub reverted: Option<(CommitView, CommitView)>,
    /// Its message and diffs, where they are at hand.
    pub diff: Option<DiffView>,
}

impl PatchView {
    /// A patch as a status reports it. `refreshed` says how to get a refreshed one.
    #[must_use]
    pub fn new(
        id: String,
        status: &PatchStatus,
        source: Option<PatchSource<'_>>,
        refreshed: &'static str,
    ) -> Self {
        let bytes = source.map(|source| source.bytes);
        let conflict = status.conflict.as_ref();
        let merged = status.merged.as_ref();
        let reverted = status.reverted.as_ref();
        Self {
            id,
            name: printable(&status.name, LONGEST_TEXT),
            url: None,
            state: status.state,
            result: words::result(status.state),
            cause: (!status.applies() && status.state != PatchState::Merged)
                .then(|| words::cause(status, str::to_owned))
                .flatten(),
            remedy: words::remedy(status, refreshed),
            need: Need::new(status),
            subject: status.subject.clone().unwrap_or_default(),
            author: status.author.clone().unwrap_or_default(),
            facts: bytes.map_or_else(|| told_facts(status), |bytes| facts(&status.name, bytes)),
            offset: status.offset,
            conflict: conflict.map(|conflict| ConflictView::new(conflict, bytes)),
            merged: merged.and_then(CommitView::from_merged),
            differs: status.is_merged_differing(),
            interdiff: merged
                .and_then(|merged| merged.interdiff.as_deref())
                .map(DiffView::from_text),
            reverted: reverted.map(|reverted| (CommitView::from(&reverted.merged), (&reverted.by).into())),
            diff: source
                .filter(|source| source.is_shown)
                .map(|source| DiffView::read(source.bytes, source.budget)),
        }
    }

    /// The commit that broke it.
    #[must_use]
    pub fn broken_by(&self) -> Option<&CommitView> {
        let reverted = self.reverted.as_ref().map(|(_, by)| by);
        let broken = self.conflict.as_ref()?.broken_by.as_ref();
        broken.or(reverted)
    }

    /// The text that a search covers.
    #[must_use]
    pub fn searched_text(&self) -> String {
        let mut text = format!("{} {} {}", self.name, self.subject, self.author);
        for fact in &self.facts {
            text.push(' ');
            text.push_str(&fact.value);
        }
        for commit in self.merged.iter().chain(self.broken_by()) {
            for part in [&*commit.short, &*commit.subject] {
                text.push(' ');
                text.push_str(part);
            }
        }
        text
    }

    /// The author's name, without an address.
    #[must_use]
    pub fn author_name(&self) -> &str {
        self.author.split('<').next().unwrap_or_default().trim()
    }
}

/// What a patch's headers say, as far as a status has it.
fn told_facts(status: &PatchStatus) -> Vec<Fact> {
    let mut facts = Vec::new();
    facts.extend(status.cves.iter().map(|cve| Fact::new("Resolves", cve)));
    let bugs = status.bugs.iter();
    facts.extend(bugs.map(|bug| Fact::new("Bug", bug).with_url(Some(bug))));
    for (name, value) in [
        ("Origin", &status.origin),
        ("Upstream-Status", &status.upstream_status),
        ("Forwarded", &status.forwarded),
    ] {
        let value = value.as_deref();
        facts.extend(value.map(|value| Fact::new(name, value).with_url(Some(value))));
    }
    facts
}

/// What a patch's headers say.
fn facts(name: &str, patch: &[u8]) -> Vec<Fact> {
    let headers = PatchHeaders::read(name, patch);
    let mut facts = Vec::new();
    let cves = headers.cves.iter();
    facts.extend(cves.map(|cve| Fact::new("Resolves", cve.as_str())));
    facts.extend(headers.bugs().into_iter().map(|bug| {
        let tracker = bug.tracker.name().unwrap_or_default();
        Fact::new("Bug", format!("{tracker} {}", bug.id)).with_url(bug.url.as_deref())
    }));
    match headers.origin {
        PatchOrigin::Unofficial => {}
        PatchOrigin::Backport => facts.push(Fact::new("Origin", "an upstream change, adapted")),
        PatchOrigin::CherryPick => facts.push(Fact::new("Origin", "an upstream commit")),
    }
    let commits = headers.upstream_commits().into_iter();
    facts.extend(commits.map(|commit| Fact::new("Upstream commit", commit)));
    let changes = headers.change_ids().into_iter();
    facts.extend(changes.map(|change| Fact::new("Change-Id", change)));
    for message in &headers.messages {
        let told = [
            ("Upstream-Status", &message.upstream_status),
            ("Forwarded", &message.forwarded),
            ("Applied-Upstream", &message.applied_upstream),
            ("Last-Update", &message.last_update),
        ];
        let told = told.into_iter();
        facts.extend(told.filter_map(|(name, value)| {
            let value = value.as_deref()?;
            Some(Fact::new(name, value).with_url(Some(value)))
        }));
    }
    facts
}
