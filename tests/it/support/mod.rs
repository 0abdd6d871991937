//! Real parts for the tests to run against.

pub mod api_server;
pub mod program;
