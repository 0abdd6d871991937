//! Integration tests: one binary, one module a subject, with real parts behind them.

mod source;
mod support;
