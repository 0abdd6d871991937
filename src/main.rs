//! Parses the command line, installs the TLS provider, and exits with the command's status.

use std::process::ExitCode;

use clap::Parser;
use patchset::cli::Cli;

fn main() -> ExitCode {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: a TLS provider was already installed");
        return ExitCode::from(2);
    }
    Cli::parse().run()
}
