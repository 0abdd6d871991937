//! What a list of conditions says, as kstatus and Flux's tools read it.

use std::str::FromStr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::reason::Reason;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It is not known yet.
    Unknown,
}

impl Truth {
    /// The truth as the API spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A condition's status that the API conventions do not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not True, False or Unknown")]
pub struct UnknownTruth(String);

impl FromStr for Truth {
    type Err = UnknownTruth;

    fn from_str(text: &str) -> Result<Self, UnknownTruth> {
        let all = [Self::True, Self::False, Self::Unknown];
        let found = all.into_iter().find(|truth| truth.as_str() == text);
        found.ok_or_else(|| UnknownTruth(text.to_owned()))
    }
}

/// The condition of a type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Whether a condition holds; `None` if it is absent or has a status that this version does not
/// know.
#[must_use]
pub fn truth(conditions: &[Condition], type_: &str) -> Option<Truth> {
    find(conditions, type_)?.status.parse().ok()
}

/// The reason of a condition; `None` if it is absent or has one that this version does not know.
#[must_use]
pub fn reason(conditions: &[Condition], type_: &str) -> Option<Reason> {
    find(conditions, type_)?.reason.parse().ok()
}

/// Whether a condition is present and True.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    truth(conditions, type_) == Some(Truth::True)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn condition(type_: &str, status: &str, reason: &str) -> Condition {
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn conditions_are_found_by_their_type() {
        let list = [
            condition("A", "True", "Succeeded"),
            condition("B", "Unknown", "TimedOut"),
        ];
        assert_eq!(find(&list, "B"), Some(&list[1]));
        assert_eq!(truth(&list, "A"), Some(Truth::True));
        assert_eq!(truth(&list, "B"), Some(Truth::Unknown));
        assert_eq!(super::reason(&list, "B"), Some(crate::reason::TIMED_OUT));
        assert_eq!((truth(&list, "C"), super::reason(&list, "C")), (None, None));
        assert!(is_true(&list, "A") && !is_true(&list, "B") && !is_true(&list, "C"));
    }

    #[test]
    fn what_another_version_wrote_is_nothing_that_this_one_acts_on() {
        let list = [condition("A", "Maybe", "Odd")];
        assert_eq!((truth(&list, "A"), super::reason(&list, "A")), (None, None));
        let error = "Maybe".parse::<Truth>().unwrap_err().to_string();
        assert_eq!(error, "\"Maybe\" is not True, False or Unknown");
    }
}
