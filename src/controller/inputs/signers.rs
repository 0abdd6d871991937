//! Keys that commits are signed with.

use std::sync::Arc;

use git_mirrors::Signer;
use patchset_api::delivery::Signing;

use super::secrets::NamedSecret;
use crate::controller::context::failures::task_failure;
use crate::controller::state::referents::Referents;
use crate::controller::state::slots;
use crate::plan::{Failure, Step};

/// Reads the key that a spec names; `None` where it names none.
///
/// # Errors
///
/// A failure of the delivery where there is no such Secret, or no key in it that can be used.
pub async fn read_signer(
    referents: &Referents,
    namespace: &str,
    signing: Option<&Signing>,
) -> Result<Option<Signer>, Failure> {
    let Some(signing) = signing else {
        return Ok(None);
    };
    let secret = NamedSecret::read(referents, namespace, &signing.secret_ref).await;
    let secret = secret.map_err(|failure| failure.of_step(Step::Delivery))?;
    let data = Arc::clone(secret.data());
    // A passphrase takes a while.
    let read = slots::spawn_blocking(move || Signer::from_secret(&data)).await;
    let read = read.map_err(|interrupted| task_failure(&interrupted).of_step(Step::Delivery))?;
    read.map(Some)
        .map_err(|error| secret.unusable(Step::Delivery, &error))
}
