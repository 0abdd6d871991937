//! Source images: patched trees and merged constraints as OCI images, by content.
//!
//! An image has one layer that holds just the tree. Builders take it as a named context
//! (`docker-image://REGISTRY/glance-source@sha256:…`). The same tree gives the same digest everywhere, so that a
//! registry which has it is sent nothing.
//!
//! [`Registry::installed`] reads back what the images that were built from them have installed.
//!
//! [`layer`], [`image`], [`source_image`] and [`installed`] are pure, [`Registry`] does the I/O.

mod answers;
pub mod base;
mod credentials;
mod error;
pub mod image;
pub mod installed;
pub mod layer;
mod manifest;
pub mod python;
mod reading;
mod registry;
pub mod source_image;
mod upload;

pub use credentials::Credentials;
pub use error::Error;
pub use reading::{Installed, Layers};
pub use registry::{Found, Pushed, Registry, RegistryConfig};
