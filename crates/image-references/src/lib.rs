#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod digest;
mod reference;

pub use digest::{Digest, DigestError, Hasher};
pub use reference::{ImageReference, ReferenceError, is_docker_hub};
