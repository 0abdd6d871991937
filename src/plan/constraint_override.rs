//! The status of a `ConstraintOverride`, derived from what was observed.

use foreign_text::{is_plain, printable};
use jiff::Timestamp;
use patchset_api::conditions::{self, Truth};
use patchset_api::constraint_override::{
    MergedFile, OverrideState, OverrideStatus, RefusedEntry, UpstreamPin,
};
use patchset_api::reason::{self, Reason, condition};
use patchset_api::{ConstraintOverrideSpec, ConstraintOverrideStatus, InputsDigest};
use upper_constraints::{ConstraintsFile, Include, Merged, Outcome, Overrides, PackageName, Pinned};

use super::failure::Step;
use super::lifecycle::{self, AskedFor, Next, Settling, SignaturePolicy, Verdict};
use super::list_size;
use super::texts::shortened;

/// The largest merged file in bytes. A ConfigMap holds 1 MiB with all its keys.
const LARGEST: usize = (1 << 20) - 1024;

/// How many of the entries that make uv refuse a file are listed.
const MOST_REFUSED: usize = 20;

/// What the sources say; known before anything is merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConstraintSources {
    /// The revision of the upper constraints.
    pub upper_constraints: String,
    /// The revision of the overrides.
    pub overrides: String,
    /// A digest over all that the result follows from.
    pub inputs_digest: InputsDigest,
    /// Who signed the sources, in words, where that was checked.
    pub signatures: Option<String>,
}

/// What merging gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeDecision {
    /// The merged file is written.
    Merged(Summary),
    /// There is nothing to write, and a person has to change something.
    Refused(MergeRefusal),
}

/// What the status says of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Where the merged file is.
    pub file: MergedFile,
    /// Each override, and each package that is built from source.
    pub results: Vec<OverrideStatus>,
    /// How many more there are that the list has no room for.
    pub omitted_results: Option<u32>,
    /// How many overrides there are.
    pub overrides: u32,
    /// How many of them need attention.
    pub need_attention: u32,
    /// Entries that make uv refuse the merged file.
    pub refused_by_uv: Vec<RefusedEntry>,
}

/// Why there is no merged file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeRefusal {
    /// The conditions' reason.
    pub reason: Reason,
    /// What, where, and what to do.
    pub message: String,
}

impl From<upper_constraints::Error> for MergeRefusal {
    fn from(error: upper_constraints::Error) -> Self {
        Self {
            reason: match &error {
                upper_constraints::Error::Constraints(_) => reason::INVALID_CONSTRAINTS,
                upper_constraints::Error::Overrides(_) => reason::INVALID_OVERRIDES,
            },
            message: error.to_string(),
        }
    }
}

/// Merges both files as a spec asks for; the overrides' file is ignored if the spec has entries.
///
/// # Errors
///
/// If one cannot be read, or the merged file cannot stand alone.
pub fn merge_files(
    spec: &ConstraintOverrideSpec,
    base: &[u8],
    overrides: &[u8],
) -> Result<Merged, MergeRefusal> {
    let base = ConstraintsFile::parse(base)?;
    let overrides = match &spec.overrides.entries {
        Some(entries) => Overrides::from_entries(entries.iter().map(Into::into))?,
        None => Overrides::parse(overrides)?,
    };
    let from_source: Vec<PackageName> = spec
        .built_from_source
        .iter()
        // The schema allows only names.
        .filter_map(|name| name.0.parse().ok())
        .collect();
    let merged = upper_constraints::merge(&base, &overrides, &from_source)?;
    can_stand_alone(base.includes(), &merged)?;
    Ok(merged)
}

/// Checks that a merged file can stand alone in a ConfigMap.
///
/// # Errors
///
/// If upstream's file reads other files, or the merged one is too large.
fn can_stand_alone(includes: &[Include], merged: &Merged) -> Result<(), MergeRefusal> {
    if let Some(Include { line, text }) = includes.first() {
        return Err(MergeRefusal {
            reason: reason::INVALID_CONSTRAINTS,
            message: format!(
                "upper constraints: line {line} reads another file ({text}), but the merged file stands alone: put its contents there"
            ),
        });
    }
    if merged.text.len() > LARGEST {
        return Err(MergeRefusal {
            reason: reason::TOO_LARGE,
            message: format!(
                "the merged constraints have {} bytes, more than the {LARGEST} that a ConfigMap holds",
                merged.text.len()
            ),
        });
    }
    Ok(())
}

/// What the status says of a merge into a key of a ConfigMap, with a list of results of at most
/// `room` bytes.
#[must_use]
pub fn summary(merged: &Merged, config_map: &str, key: &str, room: usize) -> Summary {
    // A package that is built from source and that upstream does not pin is not worth a line.
    let is_told = |outcome: &&Outcome| outcome.line.is_some() || outcome.state == OverrideState::Removed;
    let outcomes = merged.outcomes.iter().filter(is_told);
    let results = outcomes.map(|outcome| OverrideStatus {
        package: outcome.package.clone(),
        state: outcome.state,
        from: outcome.from_text().as_deref().map(shortened),
        upstream_pins: outcome.from.iter().map(upstream_pin).collect(),
        to: outcome.to.as_deref().map(value),
        marker: outcome.marker.as_deref().map(shortened),
        line: outcome.merged_line.and_then(|line| u32::try_from(line).ok()),
        change: outcome.change,
        message: shortened(&outcome.message()),
    });
    let needs_attention = |result: &OverrideStatus| u8::from(!result.state.needs_attention());
    let (results, omitted_results) = list_size::keep(results.collect(), room, needs_attention);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Summary {
        file: MergedFile {
            name: config_map.to_owned(),
            key: key.to_owned(),
            digest: merged.digest(),
            entries: count(merged.entries),
        },
        results,
        omitted_results,
        overrides: count(merged.outcomes.iter().filter(|o| o.line.is_some()).count()),
        need_attention: count(merged.need_attention()),
        refused_by_uv: bounded(refused_by_uv(merged.text.as_bytes())),
    }
}

/// The first few entries, with their texts cut to what a status takes.
fn bounded(entries: Vec<RefusedEntry>) -> Vec<RefusedEntry> {
    let first = entries.into_iter().take(MOST_REFUSED);
    let bounded = first.map(|entry| RefusedEntry {
        package: shortened(&entry.package),
        version: shortened(&entry.version),
        ..entry
    });
    bounded.collect()
}

/// The entries of a merged file that pip accepts and that make uv refuse the file.
#[must_use]
pub fn refused_by_uv(merged: &[u8]) -> Vec<RefusedEntry> {
    let Ok(file) = ConstraintsFile::parse(merged) else {
        return Vec::new();
    };
    let refused = file.refused_by_uv().map(|entry| RefusedEntry {
        line: u32::try_from(entry.line).unwrap_or(u32::MAX),
        package: entry.spelled.clone(),
        version: entry.pin.to_string(),
    });
    refused.collect()
}

fn upstream_pin(pinned: &Pinned) -> UpstreamPin {
    UpstreamPin {
        version: value(&pinned.version),
        marker: pinned.marker.as_deref().map(value),
    }
}

/// A value as the status takes it: whole. A list that it makes too long loses entries.
fn value(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else {
        printable(text, usize::MAX)
    }
}

/// The merged file in the status, if the last merge succeeded.
#[must_use]
pub fn current_merged_file(previous: &ConstraintOverrideStatus) -> Option<&MergedFile> {
    last_refusal(previous)
        .is_none()
        .then_some(previous.config_map.as_ref())
        .flatten()
}

/// The status after an attempt, and when to make the next.
#[must_use]
pub fn settle(
    previous: &ConstraintOverrideStatus,
    asked: AskedFor<'_>,
    policy: SignaturePolicy,
    now: Timestamp,
    outcome: lifecycle::Outcome<ConstraintSources, MergeDecision>,
) -> (ConstraintOverrideStatus, Next) {
    let mut settling = Settling::from_previous(previous, asked, now);
    let signatures = outcome
        .sources()
        .and_then(|sources| sources.signatures.as_deref());
    settling.mark_verified(policy, signatures);
    let verdict = match outcome {
        lifecycle::Outcome::Failed(failure, sources) => {
            if let Some(sources) = sources {
                settling.mark_resolved(&describe_sources(&sources));
            }
            return settling.into_failed(&failure);
        }
        lifecycle::Outcome::Unchanged(sources) => {
            settling.mark_resolved(&describe_sources(&sources));
            record_sources(&mut settling.status, sources);
            last_refusal(previous).unwrap_or_else(|| verdict(&settling.status))
        }
        lifecycle::Outcome::Done(sources, decision) => {
            settling.mark_resolved(&describe_sources(&sources));
            record_sources(&mut settling.status, sources);
            match decision {
                MergeDecision::Refused(MergeRefusal { reason, message }) => Verdict {
                    truth: Truth::False,
                    reason,
                    ready: reason,
                    message,
                },
                MergeDecision::Merged(summary) => {
                    take_summary(&mut settling.status, summary);
                    verdict(&settling.status)
                }
            }
        }
    };
    settling.into_judged(Step::Constraints, &verdict)
}

fn describe_sources(sources: &ConstraintSources) -> String {
    format!(
        "upper constraints at {}, overrides at {}",
        sources.upper_constraints, sources.overrides
    )
}

fn record_sources(status: &mut ConstraintOverrideStatus, sources: ConstraintSources) {
    status.upper_constraints_revision = Some(sources.upper_constraints);
    status.overrides_revision = Some(sources.overrides);
    status.inputs_digest = Some(sources.inputs_digest);
}

fn take_summary(status: &mut ConstraintOverrideStatus, summary: Summary) {
    status.config_map = Some(summary.file);
    status.results = summary.results;
    status.omitted_results = summary.omitted_results;
    status.overrides = Some(summary.overrides);
    status.need_attention = Some(summary.need_attention);
    status.refused_by_uv = summary.refused_by_uv;
}

/// The verdict of the last merge, if it left no file to write.
///
/// A failure to write the file is no verdict: the next attempt merges again.
fn last_refusal(previous: &ConstraintOverrideStatus) -> Option<Verdict> {
    const REFUSALS: [Reason; 3] = [
        reason::INVALID_CONSTRAINTS,
        reason::INVALID_OVERRIDES,
        reason::TOO_LARGE,
    ];
    let merged = conditions::find(&previous.conditions, condition::CONSTRAINTS_MERGED)?;
    let reason = merged.reason.parse().ok()?;
    let is_refusal = merged.status.parse() == Ok(Truth::False) && REFUSALS.contains(&reason);
    is_refusal.then(|| Verdict {
        truth: Truth::False,
        reason,
        ready: reason,
        message: merged.message.clone(),
    })
}

/// The verdict on merged constraints. They are good even if an override is useless, which is
/// reported.
fn verdict(status: &ConstraintOverrideStatus) -> Verdict {
    let overrides = status.overrides.unwrap_or_default();
    let entries = status.config_map.as_ref().map_or(0, |file| file.entries);
    let merged = match overrides {
        0 => format!("no overrides; {entries} packages are pinned"),
        1 => format!("1 override merged; {entries} packages are pinned"),
        n => format!("{n} overrides merged; {entries} packages are pinned"),
    };
    let merged = match status.omitted_results {
        None => merged,
        Some(n) => format!("{merged}; status.results has no room for {n} more"),
    };
    let merged = match status.refused_by_uv.first() {
        None => merged,
        Some(first) => format!("{merged}; {first}"),
    };
    let mut needy = status
        .results
        .iter()
        .filter(|result| result.state.needs_attention());
    let (reason, message) = match (status.need_attention.unwrap_or_default(), needy.next()) {
        (0, _) | (_, None) if status.refused_by_uv.is_empty() => (reason::SUCCEEDED, merged),
        (0, _) | (_, None) => (reason::NEEDS_ATTENTION, merged),
        (1, Some(one)) => (
            reason::NEEDS_ATTENTION,
            format!("{merged}; 1 needs attention: {}: {}", one.package, one.message),
        ),
        (n, Some(first)) => (
            reason::NEEDS_ATTENTION,
            format!(
                "{merged}; {n} need attention, the first: {}: {}",
                first.package, first.message
            ),
        ),
    };
    Verdict {
        truth: Truth::True,
        reason,
        ready: reason,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::lifecycle::Outcome::{Done, Unchanged};
    use super::lifecycle::has_results_of;
    use super::*;

    fn sources() -> ConstraintSources {
        ConstraintSources {
            upper_constraints: "main@sha1:aa".to_owned(),
            overrides: "sha256:bb".to_owned(),
            inputs_digest: "digest".into(),
            signatures: None,
        }
    }

    /// The decision on a merge into `f` of the ConfigMap `c`.
    fn merged(base: &str, overrides: &str) -> MergeDecision {
        let base = ConstraintsFile::parse(base.as_bytes()).unwrap();
        let overrides = Overrides::parse(overrides.as_bytes()).unwrap();
        let merged = upper_constraints::merge(&base, &overrides, &[]).unwrap();
        MergeDecision::Merged(summary(&merged, "c", "f", 1 << 18))
    }

    fn settled(
        previous: &ConstraintOverrideStatus,
        outcome: lifecycle::Outcome<ConstraintSources, MergeDecision>,
    ) -> ConstraintOverrideStatus {
        let asked = AskedFor {
            generation: 1,
            requested_at: None,
        };
        let policy = SignaturePolicy::NotRequired;
        settle(previous, asked, policy, Timestamp::UNIX_EPOCH, outcome).0
    }

    fn message<'s>(status: &'s ConstraintOverrideStatus, kind: &str) -> &'s str {
        &conditions::find(&status.conditions, kind).unwrap().message
    }

    #[test]
    fn what_cannot_stand_alone_in_a_config_map_is_refused() {
        let spec = serde_json::from_value(serde_json::json!({
            "release": "2025.2",
            "upperConstraints": { "git": { "url": "https://x/requirements", "ref": { "branch": "main" },
                "path": "upper-constraints.txt" } },
            "overrides": { "entries": [] },
        }))
        .unwrap();
        let merge = |base: &str| merge_files(&spec, base.as_bytes(), b"");
        assert!(merge("oslo.config===9.7.0\n").is_ok());
        let refused = merge("oslo.config===9.7.0\n-c more.txt\n").unwrap_err();
        assert_eq!(refused.reason, reason::INVALID_CONSTRAINTS);
        assert!(
            refused.message.contains("line 2 reads another file"),
            "{refused:?}"
        );
        let longest = |packages: usize| {
            let pins = (0..packages).map(|number| format!("package-{number:07}===1.0.0\n"));
            pins.collect::<String>()
        };
        let each = longest(1).len();
        assert!(merge(&longest(LARGEST / each)).is_ok());
        let refused = merge(&longest(LARGEST / each + 1)).unwrap_err();
        assert_eq!(refused.reason, reason::TOO_LARGE);
    }

    fn refusal(reason: Reason) -> MergeDecision {
        MergeDecision::Refused(MergeRefusal {
            reason,
            message: "line 1 is none".to_owned(),
        })
    }

    #[test]
    fn what_was_resolved_is_told() {
        let new = ConstraintOverrideStatus::default();
        let done = settled(&new, Done(sources(), merged("a===1\n", "a===2\n")));
        for status in [&done, &settled(&done, Unchanged(sources()))] {
            let told = message(status, condition::SOURCE_RESOLVED);
            assert_eq!(told, "upper constraints at main@sha1:aa, overrides at sha256:bb");
            assert_eq!(status.upper_constraints_revision.as_deref(), Some("main@sha1:aa"));
            assert_eq!(status.overrides_revision.as_deref(), Some("sha256:bb"));
            assert!(has_results_of(status, &"digest".into()));
            assert!(!has_results_of(status, &"other".into()));
            assert_eq!(current_merged_file(status).unwrap().name, "c");
        }
    }

    #[test]
    fn a_verdict_counts_the_overrides_and_names_the_first_that_needs_attention() {
        let told = |base: &str, overrides: &str| {
            let status = settled(
                &ConstraintOverrideStatus::default(),
                Done(sources(), merged(base, overrides)),
            );
            (message(&status, condition::READY).to_owned(), status)
        };
        let (text, status) = told("a===1\npytz===2004d\n", "");
        assert_eq!(
            text,
            "no overrides; 2 packages are pinned; line 2 of the merged file, pytz===2004d, is not a PEP 440 \
             version: uv refuses the file, pip accepts it"
        );
        let ready = conditions::reason(&status.conditions, condition::READY);
        assert_eq!(ready, Some(reason::NEEDS_ATTENTION));
        let (text, status) = told("a===1\n", "");
        assert_eq!(text, "no overrides; 1 packages are pinned");
        let ready = conditions::reason(&status.conditions, condition::READY);
        assert_eq!(ready, Some(reason::SUCCEEDED));
        let base = "a===1\nb===1\n";
        assert_eq!(
            told(base, "a===2\n").0,
            "1 override merged; 2 packages are pinned"
        );
        assert_eq!(
            told(base, "a===2\nb===2\n").0,
            "2 overrides merged; 2 packages are pinned"
        );
        // What upstream already pins like this is redundant.
        let (text, status) = told(base, "a===1\nb===2\n");
        let first = &status.results[0];
        assert_eq!((first.package.as_str(), status.need_attention), ("a", Some(1)));
        let rest = format!("1 needs attention: a: {}", first.message);
        assert_eq!(text, format!("2 overrides merged; 2 packages are pinned; {rest}"));
        let (text, status) = told(base, "a===1\nb===1\n");
        let rest = format!("2 need attention, the first: a: {}", status.results[0].message);
        assert_eq!(text, format!("2 overrides merged; 2 packages are pinned; {rest}"));
    }

    #[test]
    fn a_package_that_is_built_from_source_is_told_where_upstream_pins_it() {
        let base = ConstraintsFile::parse(b"a===1\nb===1\n").unwrap();
        let overrides = Overrides::parse(b"b===2\n").unwrap();
        let from_source = ["a", "c"].map(|name| name.parse().unwrap());
        let merged = upper_constraints::merge(&base, &overrides, &from_source).unwrap();
        let told = summary(&merged, "c", "f", 1 << 18);
        let mut states: Vec<(&str, OverrideState)> = told
            .results
            .iter()
            .map(|result| (result.package.as_str(), result.state))
            .collect();
        states.sort_by_key(|(package, _)| *package);
        assert_eq!(
            states,
            [("a", OverrideState::Removed), ("b", OverrideState::Updated)]
        );
        assert_eq!(told.overrides, 1);
    }

    #[test]
    fn a_refusal_stays_while_the_inputs_do() {
        let new = ConstraintOverrideStatus::default();
        let before = settled(&new, Done(sources(), merged("a===1\n", "a===2\n")));
        for reason in [
            reason::INVALID_CONSTRAINTS,
            reason::INVALID_OVERRIDES,
            reason::TOO_LARGE,
        ] {
            let refused = settled(&before, Done(sources(), refusal(reason)));
            assert_eq!(current_merged_file(&refused), None);
            let again = settled(&refused, Unchanged(sources()));
            for status in [refused, again] {
                let ready = conditions::find(&status.conditions, condition::READY).unwrap();
                assert_eq!(
                    (ready.status.as_str(), ready.message.as_str()),
                    ("False", "line 1 is none")
                );
                assert_eq!(ready.reason.parse(), Ok(reason));
            }
        }
    }

    #[test]
    fn what_needs_attention_is_listed_where_not_all_is() {
        let told = |room| {
            let base = ConstraintsFile::parse(b"a===1\nb===1\nc===1\n").unwrap();
            let overrides = Overrides::parse(b"a===2\nb===1\nc===2\n").unwrap();
            let merged = upper_constraints::merge(&base, &overrides, &[]).unwrap();
            summary(&merged, "c", "f", room)
        };
        let all = told(1 << 18);
        assert_eq!((all.results.len(), all.omitted_results), (3, None));
        let room = serde_json::to_vec(&all.results[1]).unwrap().len() + 1;
        let some = told(room);
        assert_eq!(some.results, all.results[1..2]);
        assert_eq!(some.omitted_results, Some(2));
        assert_eq!((some.overrides, some.need_attention), (3, 1));
    }

    #[test]
    fn versions_and_markers_of_an_override_are_told_whole() {
        let marker = format!("os_name=='{}'", "x".repeat(490));
        let base = format!("a===1;{marker}\na===1;os_name=='y'\n");
        let MergeDecision::Merged(told) = merged(&base, "a===2\n") else {
            panic!("it is refused");
        };
        let [result] = &told.results[..] else {
            panic!("{told:?}");
        };
        assert_eq!(result.to.as_deref(), Some("2"));
        let pins = [marker.as_str(), "os_name=='y'"].map(|marker| UpstreamPin {
            version: "1".to_owned(),
            marker: Some(marker.to_owned()),
        });
        assert_eq!(result.upstream_pins, pins);
        assert_eq!(value("a\u{1b}b"), "a\u{fffd}b");
    }

    #[test]
    fn entries_that_uv_refuses_are_told_up_to_a_number_and_a_length() {
        let long = "x".repeat(600);
        let entries = (0..25).map(|number| format!("p{number}{long}===v{long}\n"));
        let base = entries.collect::<Vec<_>>().concat();
        let MergeDecision::Merged(told) = merged(&base, "") else {
            panic!("it is refused");
        };
        assert_eq!(told.refused_by_uv.len(), 20);
        let short = "x".repeat(500);
        for (number, entry) in told.refused_by_uv.iter().enumerate() {
            assert_eq!(entry.line as usize, number + 1);
            for (text, begin) in [
                (&entry.package, format!("p{number}")),
                (&entry.version, "v".to_owned()),
            ] {
                assert!(text.starts_with(&(begin + &short)), "{text}");
                assert_eq!(text.chars().count(), 512);
            }
        }
    }
}
