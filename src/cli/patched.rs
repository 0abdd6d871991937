//! The component of a command's documents, and its patches.

use std::path::PathBuf;

use clap::Args;

use super::error::Error;
use super::patch_files;
use crate::patch::{Limits, PatchInput};
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
    /// Patches, or folders whose *.patch are taken in alphabetical order
    #[arg(value_name = "PATCH|DIR")]
    patches: Vec<PathBuf>,
}

impl PatchedOptions {
    /// Reads the patches.
    pub(super) fn read(&self) -> Result<Patched, Error> {
        let read = patch_files::read_all(&self.patches, Limits::default().patch_bytes)?;
        let patches = read.into_iter().map(|patch| PatchInput {
            name: patch_files::base_name(&patch.name).to_owned(),
            ..patch
        });
        Ok(Patched {
            component: PatchedComponent {
                name: self.component.clone(),
                version: self.version.clone(),
                purl: self.purl.clone(),
                revision: None,
                release: None,
            },
            patches: patches.collect(),
            left_out: Vec::new(),
        })
    }
}
