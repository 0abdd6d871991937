//! `patchset vex`: which vulnerabilities an image's patches resolve, as an `OpenVEX` document.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use image_references::ImageReference;
use jiff::Timestamp;

use super::error::Error;
use super::output::{note, print};
use super::patched::PatchedOptions;
use super::registry::RegistryOptions;
use crate::sbom::{ATTESTATION_TYPE, Issued, PREDICATE_ANNOTATION, PREDICATE_TYPE, Resolutions};

/// Options of `patchset vex`.
#[derive(Debug, Args)]
pub struct VexOptions {
    /// The image that has the patches, by digest; with --attach, also by tag
    #[arg(long, value_name = "IMAGE")]
    image: ImageReference,
    #[command(flatten)]
    patched: PatchedOptions,
    /// Who makes the statements: a person or an organization
    #[arg(long, value_name = "NAME", default_value = "patchset")]
    author: String,
    /// When the statements are made, for instance 2026-05-04T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    timestamp: Option<Timestamp>,
    /// Attach the document to the image in its registry as an in-toto attestation, and print what
    /// it was attached as
    #[arg(long)]
    attach: bool,
    #[command(flatten)]
    registry: RegistryOptions,
}

pub(super) fn run(options: &VexOptions) -> Result<ExitCode, Error> {
    let resolutions = Resolutions::by_patches([&options.patched.read()?])?;
    if resolutions.is_empty() {
        note("no patch claims to resolve a vulnerability: there is nothing to state");
        return Ok(ExitCode::SUCCESS);
    }
    let issued = Issued {
        author: options.author.clone(),
        time: options.timestamp.unwrap_or_else(Timestamp::now),
    };
    if !options.attach {
        let mut document = resolutions.document(&options.image, &issued)?;
        document.push(b'\n');
        print(&document)?;
        return Ok(ExitCode::SUCCESS);
    }
    let image = by_digest(options)?;
    let attestation = resolutions.attestation(&image, &issued)?;
    let annotations = BTreeMap::from([(PREDICATE_ANNOTATION, PREDICATE_TYPE)]);
    let attached = options.registry.run(|registry| async move {
        let attached = registry.attach_annotated(&image, ATTESTATION_TYPE, &attestation, &annotations);
        attached.await
    })?;
    print(format!("{attached}\n").as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The image by its digest, which the registry is asked for where it is not given.
fn by_digest(options: &VexOptions) -> Result<ImageReference, Error> {
    let image = &options.image;
    if let Some(digest) = image.digest() {
        return Ok(image.with_digest(digest));
    }
    let found = options
        .registry
        .run(|registry| async move { registry.inspect(image).await })?;
    let found = found.ok_or_else(|| Error::Usage(format!("{image}: there is no such image")))?;
    Ok(image.with_digest(&found.digest))
}
