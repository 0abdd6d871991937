//! The texts of an object's patches as far as this process already has them, for display. No server
//! is asked, not even the API server.

use std::time::{Duration, Instant};

use git_apply_engine::Oid;
use git_mirrors::FileLimits;
use patchset_api::PatchSet;
use patchset_api::common::GitPath;
use patchset_api::referent::ObjectKey;

use super::upstreams::{self, RepositorySecrets};
use crate::controller::context::Context;
use crate::page::resources::{AbsentTexts, PatchTexts};
use crate::plan::patch_inputs::of_config_map;

/// What one page shows of patches.
const LIMITS: FileLimits = FileLimits {
    file: 1 << 20,
    total: 4 << 20,
    count: 1000,
};

/// How long a page waits for the disk.
const READS_WITHIN: Duration = Duration::from_secs(3);

/// Reads those patches of an object that its status names by their ids. What was fetched with
/// another login than that of the object's own Secret is not visible to it. Blocks, for some
/// seconds at most.
#[must_use]
pub fn held_patches(context: &Context, object: &PatchSet) -> PatchTexts {
    let (Some(namespace), Some(status), Some(patches)) = (
        object.metadata.namespace.as_deref(),
        &object.status,
        &object.spec.patches,
    ) else {
        return PatchTexts::default();
    };
    let listed = status.patches.iter().filter_map(|patch| patch.blob.as_ref());
    let blobs: Vec<Oid> = listed.filter_map(|blob| blob.value().copied()).collect();
    if let Some(git) = &patches.git {
        return of_repository(context, namespace, git, &blobs);
    }
    if let Some(map) = &patches.config_map {
        let key = ObjectKey::new(namespace, &map.name);
        let data = context.referents.kept_config_map(&key);
        let folder = data.and_then(|data| of_config_map(&data).ok());
        let Some(folder) = folder else {
            return PatchTexts::absent(AbsentTexts::NeverKept);
        };
        let by_id = folder
            .patches
            .into_iter()
            .map(|patch| (Oid::of_blob(&patch.bytes), patch.bytes));
        return PatchTexts {
            by_blob: by_id.filter(|(blob, _)| blobs.contains(blob)).collect(),
            ..PatchTexts::absent(AbsentTexts::NeverKept)
        };
    }
    PatchTexts::absent(AbsentTexts::NeverKept)
}

fn of_repository(context: &Context, namespace: &str, git: &GitPath, blobs: &[Oid]) -> PatchTexts {
    let secrets = RepositorySecrets {
        namespace,
        login: git.secret_ref.as_ref(),
        proxy: git.proxy_secret_ref.as_ref(),
    };
    let Some(upstream) = upstreams::kept_upstream(&context.referents, &git.url, secrets) else {
        return PatchTexts::absent(AbsentTexts::NoLogin);
    };
    let deadline = Instant::now() + READS_WITHIN;
    match context.mirrors.held_blobs(&upstream, blobs, &LIMITS, deadline) {
        Ok(Some(held)) => PatchTexts {
            by_blob: held.contents,
            too_large: held.beyond_limits,
            absent: Some(AbsentTexts::NoMirror),
        },
        Ok(None) => PatchTexts::absent(AbsentTexts::NoMirror),
        Err(error) => {
            tracing::debug!(%namespace, %error, "patches cannot be shown");
            PatchTexts::absent(AbsentTexts::Unreadable)
        }
    }
}
