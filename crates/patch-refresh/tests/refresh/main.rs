//! Refreshed patches against the installed `git`: the tree of `git am --3way`, and patches that
//! `git am` takes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod generated;
mod real;
mod repository;
mod shapes;
