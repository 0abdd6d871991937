//! Branches as patches, held against `git format-patch` and `git am`.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod bounds;
mod generated;
mod repository;
mod shapes;
