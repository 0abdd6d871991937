//! The command line: options, commands, rendering.
//!
//! Data goes to standard output, everything else to standard error. Exit status 0
//! means success, 1 that something needs attention, 2 wrong usage or an I/O error.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Carry patches on software that you do not own.
#[derive(Debug, Parser)]
#[command(name = "patchset", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {}

/// Why a command could not give its answer.
///
/// Every variant ends the process with exit status 2.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or writing a file failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Cli {
    /// Runs the command that was asked for and gives the process's exit status.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.command {}
    }
}
