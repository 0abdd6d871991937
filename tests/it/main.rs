//! Integration tests: one binary, one module per subject, with real services behind them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod actions;
mod apply;
mod argo_cd;
mod build_plan;
mod check;
mod cluster;
mod constraints;
mod controller;
mod fleet;
mod forges;
mod gate;
mod generate;
mod git_mirrors;
mod gitops_markers;
mod hostile;
mod layouts;
mod leader;
mod life;
mod monitoring;
mod node;
mod packaging;
mod page;
mod refresh;
mod sbom;
mod source_images;
mod status;
mod support;
mod upkeep;
