//! Refuses what has to be signed, in a build that cannot check signatures.

use std::fmt;

use crate::store::Store;
use crate::{Error, Resolved, SignatureFault};

/// Refuses what was resolved if it has to be signed.
///
/// # Errors
///
/// [`Error::Unverified`].
pub(crate) fn check(
    _store: &Store,
    resolved: &Resolved,
    url: &dyn fmt::Display,
) -> Result<Option<String>, Error> {
    match &resolved.requirement {
        None => Ok(None),
        Some(requirement) => Err(Error::Unverified {
            url: url.to_string(),
            fault: SignatureFault::Keys,
            reason: format!(
                "{}: this program was built without signatures: build it with the feature keys",
                requirement.source
            ),
        }),
    }
}
