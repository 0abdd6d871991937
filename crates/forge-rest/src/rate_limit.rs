//! How long a server limits requests.

use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// How long to wait where a server limits requests without saying for how long: GitHub's own rule.
const DEFAULT_WAIT: SignedDuration = SignedDuration::from_mins(1);
/// The longest wait that is believed: GitHub counts by the hour.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(1);

/// Returns until when the server limits requests, if an answer says that.
///
/// The order is that of GitHub's documentation: `retry-after`, then `x-ratelimit-reset`, else a
/// minute.
pub(super) fn rate_limited_until(
    status: StatusCode,
    headers: &HeaderMap,
    message: &str,
    now: Timestamp,
) -> Option<Timestamp> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let wait = match status {
        StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            let message = message.to_ascii_lowercase();
            if let Some(seconds) = number(RETRY_AFTER.as_str()) {
                SignedDuration::from_secs(seconds)
            } else if number("x-ratelimit-remaining") == Some(0) {
                let reset = number("x-ratelimit-reset").and_then(|at| Timestamp::from_second(at).ok());
                reset.map_or(DEFAULT_WAIT, |reset| reset.duration_since(now))
            } else if status == StatusCode::TOO_MANY_REQUESTS
                || message.contains("rate limit")
                || message.contains("abuse detection")
            {
                DEFAULT_WAIT
            } else {
                return None;
            }
        }
        _ => return None,
    };
    Some(now + wait.clamp(SignedDuration::from_secs(1), LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(403, &[("retry-after", "30"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000500")], "", Some(30))]
    #[case(429, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000500")], "", Some(500))]
    #[case(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1600000000")], "", Some(1))]
    #[case(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "soon")], "", Some(60))]
    #[case(403, &[("x-ratelimit-remaining", "9")], "You have exceeded a secondary rate limit", Some(60))]
    #[case(429, &[], "", Some(60))]
    #[case(429, &[("retry-after", "9223372036854775807")], "", Some(3600))]
    #[case(403, &[("x-ratelimit-remaining", "9")], "Resource not accessible by integration", None)]
    #[case(404, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000500")], "", None)]
    #[case(200, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000500")], "", None)]
    fn limits_are_recognised(
        #[case] status: u16,
        #[case] headers: &[(&'static str, &'static str)],
        #[case] message: &str,
        #[case] seconds: Option<i64>,
    ) {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let until = rate_limited_until(StatusCode::from_u16(status).unwrap(), &headers, message, now);
        assert_eq!(until.map(|until| until.duration_since(now).as_secs()), seconds);
    }
}
