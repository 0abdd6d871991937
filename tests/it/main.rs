//! Integration tests: one binary, one module a subject, with real parts behind them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(
    clippy::too_many_lines,
    reason = "a test tells one story from its beginning to its end"
)]

mod actions;
mod apply;
mod build_plan;
mod check;
mod cluster;
mod constraints;
mod controller;
mod deliver;
mod fleet;
mod forge;
mod gate;
mod generate;
mod hostile;
mod layouts;
mod leader;
mod life;
mod monitoring;
mod node;
mod packaging;
mod publish;
mod refresh;
mod sbom;
mod source;
mod status;
mod support;
