//! The component of a command's documents, and its patches.

use std::path::PathBuf;

use clap::Args;
use git_apply_engine::Limits;

use super::error::Error;
use super::patch_files;
use crate::sbom::{Patched, PatchedComponent};

/// A component and its patches.
#[derive(Debug, Args)]
pub struct PatchedOptions {
    /// The component that is patched
    #[arg(long, value_name = "NAME")]
    component: String,
    /// Its version
    #[arg(id = "component_version", long = "component-version", value_name = "VERSION")]
    version: String,
    /// Its package URL [default: pkg:pypi/NAME@VERSION]
    #[arg(long, value_name = "PURL")]
    purl: Option<String>,
    /// Patches, or folders of them
    #[arg(value_name = "PATCH|DIR")]
    patches: Vec<PathBuf>,
}

impl PatchedOptions {
    /// Reads the patches.
    pub(super) fn read(&self) -> Result<Patched, Error> {
        let patches = patch_files::read_named(&self.patches, Limits::default().patch_bytes)?;
        Ok(Patched {
            component: PatchedComponent {
                name: self.component.clone(),
                version: self.version.clone(),
                purl: self.purl.clone(),
                revision: None,
                release: None,
            },
            patches,
            left_out: Vec::new(),
        })
    }
}
