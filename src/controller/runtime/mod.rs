//! The process, and the loop of each kind of object: watch, attempt, settle, write, tell.

mod objects;
mod orphaned_runs;
mod owners;
mod process;
mod pushes;
mod reconciler;
mod second_looks;
mod triggers;
mod unreadable;
mod work_queue;

pub use process::run;
