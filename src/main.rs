//! Parses the command line, installs the TLS provider, and exits with the command's status.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use patchset::cli;

/// Carry patches on software that you do not own.
#[derive(Debug, Parser)]
#[command(name = "patchset", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Offline(cli::Command),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("error: a TLS provider was already installed");
        return ExitCode::from(2);
    }
    match Cli::parse().command {
        Command::Offline(command) => command.run(),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "patchset", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}
