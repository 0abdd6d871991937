//! Branches as patches, held against `git format-patch` and `git am`.

mod bounds;
mod generated;
mod repository;
mod shapes;
