//! `patchset apply` against the installed `git`. The engine's own tests compare the engine alone
//! with it.

mod branch;
mod command;
mod history;
mod hostile;
mod messages;
mod partial;

use test_repositories::Oracle;
