//! `patchset apply` against the installed `git`. The engine alone is compared with it in its own
//! tests.

mod branch;
mod command;
mod history;
mod hostile;
mod messages;
mod partial;

use test_repositories::Oracle;
