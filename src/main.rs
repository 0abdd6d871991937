//! Parses the command line, installs the TLS provider, and exits with the command's status.

use std::process::ExitCode;
#[cfg(feature = "controller")]
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use patchset::cli;
#[cfg(feature = "controller")]
use patchset::controller;

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
    Offline(Box<cli::OfflineCommand>),
    /// Run the controller, in or out of a cluster
    #[cfg(feature = "controller")]
    Controller(Box<controller::ControllerOptions>),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages of all commands into a folder
    #[command(hide = true)]
    Man {
        /// The folder, which must exist
        #[arg(value_name = "DIR")]
        folder: std::path::PathBuf,
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
        #[cfg(feature = "controller")]
        Command::Controller(options) => match run_controller(*options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::from(2)
            }
        },
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "patchset", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        Command::Man { folder } => match clap_mangen::generate_to(Cli::command(), &folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {}: {error}", folder.display());
                ExitCode::from(2)
            }
        },
    }
}

#[cfg(feature = "controller")]
/// How long tasks have to end after the controller has. Threads that are still busy then are left
/// behind.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(feature = "controller")]
fn run_controller(options: controller::ControllerOptions) -> Result<(), controller::Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(controller::Error::Runtime)?;
    let result = runtime.block_on(controller::run(options));
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    result
}
