//! Integration tests: one binary, one module a subject, with real parts behind them.

mod apply;
mod cluster;
mod controller;
mod packaging;
mod source;
mod support;
