//! Source images: patched trees and merged constraints as OCI images, by content.
//!
//! An image has one layer that holds just the tree. Builders take it as a named context
//! (`docker-image://REGISTRY/glance-source@sha256:…`). The same tree gives the same digest everywhere, so that a
//! registry which has it is sent nothing.
//!
//! [`Registry::installed`] reads back what the images that were built from them have installed.
//!
//! [`layer`], [`image`], [`source_image`] and [`installed`] are pure, [`Registry`] does the I/O: [`registry`] speaks the
//! protocol, and `push`, `inspect`, `tags`, `attach` and `reading` are what is done by it.

mod attach;
mod error;
pub mod image;
mod inspect;
pub mod installed;
pub mod layer;
mod layer_stream;
mod listing;
mod push;
pub mod python;
mod reading;
pub mod registry;
pub mod source_image;
mod tags;
mod timed_store;

pub use error::Error;
pub use inspect::Found;
pub use push::Pushed;
pub use reading::{Installed, Layers};
pub use registry::{
    Credentials, Digest, DigestError, ImageReference, ReferenceError, Registry, RegistryConfig,
};
pub use timed_store::TimedStore;
