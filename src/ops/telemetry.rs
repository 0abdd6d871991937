//! Structured logs, as text or JSON, on standard error.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use super::Error;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Encoding {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The least important level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// All, down to single requests.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What happens.
    Info,
    /// What is odd.
    Warn,
    /// What failed.
    Error,
}

impl Level {
    fn directive(self) -> &'static str {
        match self {
            Self::Trace => "trace,hyper=info,h2=info,rustls=info,tower=info",
            Self::Debug => "info,patchset=debug,kube=debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Sets up logging for the process. `RUST_LOG`, where it is set, overrules the level.
///
/// # Errors
///
/// Where logging was set up before.
pub fn init(level: Level, encoding: Encoding) -> Result<(), Error> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level.directive()));
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match encoding {
        Encoding::Json => builder.json().flatten_event(true).try_init(),
        Encoding::Text => builder.try_init(),
    }
    .map_err(|error| Error::Logging(error.to_string()))
}
