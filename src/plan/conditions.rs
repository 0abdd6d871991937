//! Makes a list of conditions as kstatus and Flux's tools read it.

use foreign_text::printable_lines;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use patchset_api::conditions::Truth;
use patchset_api::reason::Reason;

/// The longest message that a condition carries, in characters.
const LONGEST_MESSAGE: usize = 1024;

/// Conditions under change, for one generation at one time.
#[derive(Debug)]
pub struct Conditions {
    list: Vec<Condition>,
    generation: i64,
    now: Timestamp,
}

impl Conditions {
    /// Starts from the existing conditions. `now` is cut to whole seconds, because the API keeps no
    /// more.
    #[must_use]
    pub fn from_previous(previous: &[Condition], generation: i64, now: Timestamp) -> Self {
        let Time(now) = seconds(now);
        Self {
            list: previous.to_vec(),
            generation,
            now,
        }
    }

    /// Sets a condition. Its time changes only with its truth, as the API conventions ask. The
    /// message may quote foreign text: it is bounded, and cleaned of what a terminal would obey.
    pub fn set(&mut self, type_: &str, truth: Truth, reason: Reason, message: &str) {
        let position = self.list.iter().position(|c| c.type_ == type_);
        let since = position
            .and_then(|at| self.list.get(at))
            .filter(|c| c.status == truth.as_str())
            .map_or(Time(self.now), |c| c.last_transition_time.clone());
        let condition = Condition {
            type_: type_.to_owned(),
            status: truth.as_str().to_owned(),
            reason: reason.to_string(),
            message: shortened(&printable_lines(message), LONGEST_MESSAGE),
            observed_generation: Some(self.generation),
            last_transition_time: since,
        };
        match position.and_then(|at| self.list.get_mut(at)) {
            Some(slot) => *slot = condition,
            None => self.list.push(condition),
        }
    }

    /// Removes a condition, if it is set.
    pub fn remove(&mut self, type_: &str) {
        self.list.retain(|c| c.type_ != type_);
    }

    /// The conditions, in the order of their types so that equal ones compare as equal.
    #[must_use]
    pub fn into_list(mut self) -> Vec<Condition> {
        self.list.sort_by(|a, b| a.type_.cmp(&b.type_));
        self.list
    }
}

/// A time in whole seconds, because the API keeps no more.
#[must_use]
pub fn seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// A text, cut to at most `longest` characters; a cut one ends in `…`.
#[must_use]
pub fn shortened(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let kept = text.chars().take(longest.saturating_sub(1));
    kept.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use patchset_api::conditions::{self, find, truth};
    use patchset_api::reason;

    use super::*;

    #[test]
    fn time_changes_only_with_truth() {
        let first = Timestamp::from_second(1_000).unwrap();
        let later = Timestamp::from_millisecond(2_000_500).unwrap();
        let mut conditions = Conditions::from_previous(&[], 1, first);
        conditions.set("Ready", Truth::True, reason::SUCCEEDED, "one");
        let before = conditions.into_list();

        let mut same = Conditions::from_previous(&before, 2, later);
        same.set("Ready", Truth::True, reason::SUCCEEDED, "two");
        let same = same.into_list();
        assert_eq!(same[0].last_transition_time, Time(first));
        assert_eq!(
            (same[0].message.as_str(), same[0].observed_generation),
            ("two", Some(2))
        );

        let mut other = Conditions::from_previous(&before, 2, later);
        other.set("Ready", Truth::False, reason::PATCH_CONFLICT, "three");
        assert_eq!(
            other.into_list()[0].last_transition_time.0.as_millisecond(),
            2_000_000
        );
    }

    #[test]
    fn a_condition_is_set_and_removed_by_its_type() {
        let mut conditions = Conditions::from_previous(&[], 1, Timestamp::UNIX_EPOCH);
        for (type_, value) in [("B", Truth::False), ("A", Truth::True), ("C", Truth::Unknown)] {
            conditions.set(type_, value, reason::SUCCEEDED, "m");
        }
        conditions.set("B", Truth::Unknown, reason::TIMED_OUT, "n");
        conditions.remove("C");
        conditions.remove("absent");
        let list = conditions.into_list();
        let types: Vec<&str> = list.iter().map(|one| one.type_.as_str()).collect();
        assert_eq!(types, ["A", "B"]);
        assert_eq!(find(&list, "B").unwrap().message, "n");
        assert_eq!(truth(&list, "A"), Some(Truth::True));
        assert_eq!(truth(&list, "B"), Some(Truth::Unknown));
        assert_eq!(conditions::reason(&list, "B"), Some(reason::TIMED_OUT));
    }

    #[test]
    fn a_text_that_is_cut_has_the_longest_length_with_its_ellipsis() {
        for (text, longest, expected) in [
            ("\u{e4}bc", 4, "\u{e4}bc"),
            ("\u{e4}bc", 3, "\u{e4}bc"),
            ("\u{e4}bcd", 3, "\u{e4}b…"),
            ("ab", 1, "…"),
            ("", 0, ""),
        ] {
            assert_eq!(shortened(text, longest), expected);
        }
    }

    #[test]
    fn a_terminal_obeys_no_message() {
        let mut conditions = Conditions::from_previous(&[], 1, Timestamp::UNIX_EPOCH);
        conditions.set(
            "Ready",
            Truth::False,
            reason::UNREACHABLE,
            "one\ntwo\u{1b}[2J\u{202e}",
        );
        assert_eq!(conditions.into_list()[0].message, "one\ntwo\u{fffd}[2J\u{fffd}");
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let mut conditions = Conditions::from_previous(&[], 1, Timestamp::UNIX_EPOCH);
        conditions.set("Ready", Truth::False, reason::UNREACHABLE, &"ä".repeat(5000));
        assert_eq!(conditions.into_list()[0].message.chars().count(), LONGEST_MESSAGE);
    }
}
