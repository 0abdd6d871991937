//! The images that a build takes as its contexts: the patched source, the constraints, the folder with the Dockerfile.
//!
//! What is published and what is only planned are described here alike, so that both have the same digests.

use std::sync::Arc;

use pep440_rs::Version;

use super::Error;
use super::image::{About, Image};
use super::layer::{self, Contents, File};
use super::python::{VersionFile, distribution, version_file};
use super::registry::ImageReference;
use super::{Pushed, Registry};
use crate::patch::{LayeredStore, MemoryStore, Objects, Series};

/// The file in the context that holds the constraints, by the name that builds mount it under.
const CONSTRAINTS_FILE: &str = "upper-constraints.txt";

/// Digits of an image's digest in its tag.
const DIGITS: usize = 12;

/// An image with its name, and with what its layer is written from.
pub struct SourceImage {
    /// The name to push it under: its tag is made from what is in it.
    pub name: String,
    /// The image.
    pub image: Image,
    /// The name of the Python distribution that it is the source of, where it is one.
    pub distribution: Option<String>,
    contents: Contents,
    objects: Arc<dyn Objects + Send + Sync>,
}

impl SourceImage {
    /// The image by its digest, as builders take it, whether or not it was pushed yet.
    ///
    /// # Errors
    ///
    /// [`Error::Reference`] where its repository is none.
    pub fn reference(&self) -> Result<String, Error> {
        Ok(ImageReference::parse(&self.name)?.by_digest(&self.image.manifest.1))
    }

    /// Pushes it, unless the registry has it already.
    ///
    /// # Errors
    ///
    /// As for [`Registry::push`].
    pub async fn push(self, registry: &Registry) -> Result<Pushed, Error> {
        registry
            .push(&self.name, &self.image, &self.contents, self.objects)
            .await
    }
}

/// Describes the source image of a patched tree. `about` says what is known of it besides the tree.
///
/// # Errors
///
/// Where the tree cannot be read or is refused.
pub fn patched(
    repository: &str,
    base: Arc<dyn Objects + Send + Sync>,
    series: &Series,
    version: Option<&Version>,
    about: About,
) -> Result<SourceImage, Error> {
    let mut objects = LayeredStore::over(base);
    let tree = series.write(&mut objects)?;
    let files = match version_file(&objects, tree, version)? {
        VersionFile::Add(files) => files,
        VersionFile::NotNeeded | VersionFile::Unknown { .. } => Vec::new(),
    };
    let contents = Contents {
        tree: Some(tree),
        files,
    };
    let about = About {
        tree: Some(tree.to_string()),
        ..about
    };
    let distribution = distribution(&objects, tree)?;
    // The tree and what is said of it: another revision with the same tree is another image with the same layer.
    let prefix = format!("{repository}:tree-{tree}-");
    Ok(SourceImage {
        distribution,
        ..described(&prefix, contents, Arc::new(objects), &about)?
    })
}

/// Describes the image of merged constraints. `component` is the name of the context.
///
/// # Errors
///
/// Where the file is too large.
pub fn constraints(
    repository: &str,
    component: &str,
    release: &str,
    text: String,
) -> Result<SourceImage, Error> {
    let contents = Contents {
        tree: None,
        files: vec![File {
            name: CONSTRAINTS_FILE.to_owned(),
            content: text.into_bytes(),
        }],
    };
    let about = About {
        component: Some(component.to_owned()),
        release: Some(release.to_owned()),
        ..About::default()
    };
    described(
        &format!("{repository}:constraints-"),
        contents,
        Arc::new(MemoryStore::new()),
        &about,
    )
}

/// Describes the image of the folder with the Dockerfile.
///
/// # Errors
///
/// Where the folder cannot be read or is refused.
pub fn dockerfile(
    repository: &str,
    contents: Contents,
    objects: Arc<dyn Objects + Send + Sync>,
) -> Result<SourceImage, Error> {
    let about = About {
        component: Some("dockerfile".to_owned()),
        ..About::default()
    };
    described(&format!("{repository}:dockerfile-"), contents, objects, &about)
}

fn described(
    prefix: &str,
    contents: Contents,
    objects: Arc<dyn Objects + Send + Sync>,
    about: &About,
) -> Result<SourceImage, Error> {
    let layer = layer::measure(&*objects, &contents)?;
    let image = Image::new(layer, about).map_err(|error| Error::Write(error.into()))?;
    let digits: String = image
        .manifest
        .1
        .trim_start_matches("sha256:")
        .chars()
        .take(DIGITS)
        .collect();
    Ok(SourceImage {
        name: format!("{prefix}{digits}"),
        image,
        distribution: None,
        contents,
        objects,
    })
}
