//! Integration tests: one binary, one module a subject, with real parts behind them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod controller;
mod packaging;
mod source;
mod support;
