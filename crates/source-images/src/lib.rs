#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

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
mod registry;
pub mod source_image;
mod tags;
mod timed_store;

pub use error::Error;
pub use inspect::InspectedImage;
pub use push::Pushed;
pub use reading::{Installed, Layers};
pub use registry::{Credentials, Registry, RegistryConfig};
pub use timed_store::TimedStore;
