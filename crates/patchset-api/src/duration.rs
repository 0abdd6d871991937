//! Durations as Flux writes them.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest duration that is accepted: a year. It keeps sums of durations far from overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A duration such as `90s`, `5m` or `1h30m`, in the syntax of Go's `time.ParseDuration` that
/// Flux's resources allow.
///
/// The text is kept as written, and parsed by [`FluxDuration::get`] when it is needed: one object
/// with an invalid duration must not prevent all others from being listed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FluxDuration(
    #[schemars(length(max = 32), regex(pattern = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"))] String,
);

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration of at most a year: write for instance 90s, 5m or 1h30m")]
pub struct DurationError {
    text: String,
}

impl FluxDuration {
    /// Wraps a text without parsing it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The duration.
    ///
    /// # Errors
    ///
    /// If the text is not a duration, or is longer than a year.
    pub fn get(&self) -> Result<Duration, DurationError> {
        parse(&self.0)
            .filter(|d| *d <= LONGEST)
            .ok_or_else(|| DurationError { text: self.0.clone() })
    }
}

impl fmt::Display for FluxDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number_ends = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_ends);
        let unit_ends = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_ends);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_flux_reads() {
        for (text, millis) in [
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("1.5m", 90_000),
            ("250ms", 250),
            ("0s", 0),
        ] {
            assert_eq!(
                FluxDuration::new(text).get(),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for text in [
            "",
            "5",
            "5d",
            "m",
            "-5m",
            "5 m",
            "1..5s",
            "999999999999999h",
            "9000h",
        ] {
            assert!(FluxDuration::new(text).get().is_err(), "{text}");
        }
    }
}
