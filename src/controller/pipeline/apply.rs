//! Applies a series to the upstream's tree and to the candidates'.

use std::sync::Arc;
use std::time::Instant;

use super::resolve::{Candidate, Gathered};
use crate::api::reason;
use crate::api::status::CandidateStatus;
use crate::controller::context::{Context, failures};
use crate::controller::inputs::patches;
use crate::controller::inputs::upstreams::blocking;
use crate::patch::{self, Options, PatchInput, Sequence, Series};
use crate::plan::patch_set::Checked;
use crate::plan::{Failure, Step, report};
use crate::source::{Resolved, Upstream};

/// Reads the patches, fetches the trees where they are not held, and applies.
pub async fn check(
    gathered: Gathered,
    context: &Arc<Context>,
    deadline: Instant,
) -> Result<Checked, Failure> {
    let options = Arc::new(options(&gathered));
    let Gathered {
        upstream,
        resolved,
        located,
        candidates,
        ..
    } = gathered;
    let patches = Arc::new(patches::read(context, located, deadline).await?);
    let series = apply(
        context,
        "the upstream",
        &upstream,
        resolved,
        &patches,
        &options,
        deadline,
    )
    .await?;
    let mut results = Vec::new();
    for Candidate { name, resolved } in candidates {
        let revision = resolved
            .as_ref()
            .ok()
            .map(|resolved| resolved.revision().to_string());
        let applied = match resolved {
            Ok(resolved) => {
                apply(
                    context,
                    "the candidate",
                    &upstream,
                    resolved,
                    &patches,
                    &options,
                    deadline,
                )
                .await
            }
            Err(failure) => Err(failure),
        };
        results.push(match applied {
            Ok(series) => report::candidate(name, revision, series.patches()),
            Err(failure) => CandidateStatus {
                ref_: name,
                revision,
                applied: None,
                merged: Vec::new(),
                omitted_merged: None,
                message: Some(failure.message),
            },
        });
    }
    Ok(Checked {
        patches: report::patches(series.patches()),
        tree: series.tree().to_string(),
        candidates: results,
    })
}

/// How the spec wants the patches to be read.
pub fn options(gathered: &Gathered) -> Options {
    Options {
        strip: gathered.strip.map(usize::from),
        directory: gathered.directory.clone().unwrap_or_default().into(),
        ..Options::default()
    }
}

async fn apply(
    context: &Arc<Context>,
    what: &'static str,
    upstream: &Upstream,
    resolved: Resolved,
    patches: &Arc<Vec<PatchInput>>,
    options: &Arc<Options>,
    deadline: Instant,
) -> Result<Series, Failure> {
    let (upstream, patches, options) = (upstream.clone(), Arc::clone(patches), Arc::clone(options));
    let applied = blocking(context, what, deadline, move |mirrors| {
        let snapshot = mirrors.snapshot(&upstream, &resolved, deadline)?;
        let tree = snapshot.tree_id();
        Ok(patch::apply(
            &snapshot,
            tree,
            &patches,
            Sequence::Stacked,
            &options,
        ))
    })
    .await?;
    applied.map_err(|error| {
        let message = format!("{what}: {error}");
        match error {
            patch::Error::Object(error) => failures::of_object(Step::Patches, &error, message),
            patch::Error::TooMany { .. } => Failure::stalled(Step::Patches, reason::TOO_LARGE, message),
        }
    })
}
