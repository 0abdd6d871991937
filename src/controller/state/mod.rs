//! What outlives a reconciliation: the watches' stores, slots, pins, caches, and the writers of
//! branches.

pub mod api_server;
pub mod batched_writers;
pub mod build_log;
pub mod build_places;
pub mod contents;
pub mod deliveries;
pub mod dependents;
pub mod github_apps;
pub mod job_status;
pub mod jobs;
pub mod locking;
pub mod look_requests;
pub mod memory;
pub mod nudges;
pub mod pins;
pub mod rates;
pub mod recent;
pub mod referents;
pub mod registry_logins;
pub mod repositories;
pub mod second_looks;
pub mod slots;
pub mod upkeeps;
pub mod workflows;
