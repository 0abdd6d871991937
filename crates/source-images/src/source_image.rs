//! The images that a build takes as its contexts: the patched source, the constraints, the folder
//! with the Dockerfile.
//!
//! Images that are published and images that are only planned are described alike, so that both
//! have the same digests.

use std::sync::Arc;

use git_apply_engine::{LayeredStore, MemoryStore, Objects, Series};
use image_references::ImageReference;
use pep440_rs::Version;

use super::Error;
use super::image::{About, Image};
use super::layer::{self, Contents, File};
use super::python::{VersionFile, distribution_name, version_file};
use super::{Pushed, Registry};

/// The file in the context that holds the constraints, by the name that builds mount it under.
const CONSTRAINTS_FILE: &str = "upper-constraints.txt";

/// How many digits of its digest an image's tag has.
const DIGITS: usize = 12;

/// An image with its name, and with what its layer is written from.
pub struct SourceImage {
    /// The reference that it is pushed as; the tag is made from its contents.
    pub target: ImageReference,
    /// The image.
    pub image: Image,
    /// The name of the Python distribution that it is the source of, where it is one.
    pub distribution: Option<String>,
    contents: Contents,
    objects: Arc<dyn Objects + Send + Sync>,
}

impl SourceImage {
    /// Describes an image. Its tag is a prefix and the first digits of its digest.
    fn describe(
        repository: &ImageReference,
        prefix: &str,
        contents: Contents,
        objects: Arc<dyn Objects + Send + Sync>,
        about: &About,
    ) -> Result<Self, Error> {
        let layer = layer::measure(&*objects, &contents)?;
        let image = Image::new(layer, about).map_err(|error| Error::Write(error.into()))?;
        let digits = image.digest().digits().get(..DIGITS).unwrap_or_default();
        Ok(Self {
            target: repository.with_tag(&format!("{prefix}{digits}"))?,
            image,
            distribution: None,
            contents,
            objects,
        })
    }

    /// The image by its digest, as builders take it, whether or not it was pushed yet.
    #[must_use]
    pub fn reference(&self) -> ImageReference {
        self.target.with_digest(self.image.digest())
    }

    /// Pushes it, unless the registry has it already.
    ///
    /// # Errors
    ///
    /// As for [`Registry::push`].
    pub async fn push(self, registry: &Registry) -> Result<Pushed, Error> {
        registry
            .push(&self.target, &self.image, &self.contents, self.objects)
            .await
    }
}

/// Describes the source image of a patched tree. `about` says what is known of it besides the tree.
///
/// # Errors
///
/// Where the tree cannot be read or is refused.
pub fn describe_patched_tree(
    repository: &ImageReference,
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
    let distribution = distribution_name(&objects, tree)?;
    // The tree and what is said of it: another revision with the same tree is another image with
    // the same layer.
    let prefix = format!("tree-{tree}-");
    Ok(SourceImage {
        distribution,
        ..SourceImage::describe(repository, &prefix, contents, Arc::new(objects), &about)?
    })
}

/// Describes the image of merged constraints. `component` is the name of the context.
///
/// # Errors
///
/// Where the file is too large.
pub fn describe_constraints(
    repository: &ImageReference,
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
    let objects = Arc::new(MemoryStore::new());
    SourceImage::describe(repository, "constraints-", contents, objects, &about)
}

/// Describes the image of the folder with the Dockerfile.
///
/// # Errors
///
/// Where the folder cannot be read or is refused.
pub fn describe_folder(
    repository: &ImageReference,
    contents: Contents,
    objects: Arc<dyn Objects + Send + Sync>,
) -> Result<SourceImage, Error> {
    let about = About {
        component: Some("dockerfile".to_owned()),
        ..About::default()
    };
    SourceImage::describe(repository, "dockerfile-", contents, objects, &about)
}
