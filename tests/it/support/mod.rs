//! Real servers and repositories for the tests.

pub mod git_repo;
pub mod git_server;
pub mod proxy;
pub mod ssh_server;
pub mod tls;
