//! The causes of a client's error.

use std::error::Error;
use std::io;

/// Returns an error and its causes, the outermost first. `source` skips the error inside an
/// [`io::Error`]; this does not.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let below = |error: &'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(held) => Some(held),
            None => error.source(),
        }
    };
    std::iter::successors(Some(error), move |error| below(*error))
}

/// Returns the first error of a type among an error and its causes.
#[must_use]
pub fn find_cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// Joins an error and its causes into one text; causes that repeat the text before them are left
/// out.
#[must_use]
pub fn describe_with_causes(error: &(dyn Error + 'static)) -> String {
    causes(error).fold(String::new(), |text, cause| match cause.to_string() {
        cause if text.is_empty() => cause,
        cause if text.contains(&cause) => text,
        cause => format!("{text}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reach, RefusedAddress};

    #[derive(Debug, thiserror::Error)]
    #[error("outside")]
    struct Outside(#[source] io::Error);

    #[test]
    fn a_cause_is_found_through_errors_of_io() {
        let refused = RefusedAddress {
            host: "127.0.0.1".to_owned(),
            reach: Reach::Loopback,
        };
        let error = Outside(io::Error::other(io::Error::other(refused.clone())));
        assert_eq!(find_cause(&error), Some(&refused));
        assert!(find_cause::<std::fmt::Error>(&error).is_none());
    }

    #[test]
    fn what_an_error_repeats_of_its_cause_is_said_once() {
        let refused = io::Error::other("refused");
        assert_eq!(
            describe_with_causes(&Outside(io::Error::other(refused))),
            "outside: refused"
        );
    }
}
