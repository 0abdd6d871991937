//! Many objects that read from one repository, and the resource that makes them.

mod identity;
mod many;
pub mod repository;
