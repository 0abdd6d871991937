//! Refreshed patches against the installed `git`: the tree of `git am --3way`, and patches that
//! `git am` takes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod generated;
mod real;
mod repository;
mod shapes;

#[path = "../../../git-apply-engine/tests/apply/oracle.rs"]
#[allow(dead_code)]
mod oracle;

#[path = "../../../git-apply-engine/tests/apply/store.rs"]
mod store;
