//! `patchset apply` against the installed `git`. The engine alone is compared with it in its own
//! tests.

mod command;
mod history;
mod hostile;
mod messages;
mod partial;

#[path = "../../../crates/git-apply-engine/tests/apply/oracle.rs"]
#[allow(dead_code)]
mod oracle;

use oracle::Oracle;
