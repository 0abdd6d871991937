//! Shared by tests: real servers, and folders made for them.

pub mod api_server;
pub mod browser;
pub mod clouds;
pub mod crafted;
pub mod events;
pub mod fake_registry;
pub mod forge;
pub mod git_repo;
pub mod git_server;
pub mod github;
pub mod keys;
pub mod measured;
pub mod program;
pub mod prometheus;
pub mod proxy;
pub mod registry;
pub mod relay;
pub mod services;
pub mod signing;
pub mod ssh_server;
pub mod team_repository;
pub mod tls;
pub mod token_server;

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}
