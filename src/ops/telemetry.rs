//! Structured logs, as text or JSON, on standard error.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use super::Error;

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Encoding {
    /// One JSON object per line.
    Json,
    /// Human-readable.
    Text,
}

/// The lowest level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Everything, down to single requests.
    Trace,
    /// Details that help to find a fault.
    Debug,
    /// Normal events.
    Info,
    /// Anything unusual.
    Warn,
    /// Failures.
    Error,
}

impl LogLevel {
    fn directive(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "info,patchset=debug,forge_rest=debug,git_mirrors=debug,kube=debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Whether what a module logs may be shown, whatever level is asked for.
///
/// Below `info`, other libraries log what they send and receive: credentials and the contents of
/// Secrets. There, only this program and kube are logged. The module of kube's client that logs
/// answers it cannot parse is never logged, at any level.
fn may_be_shown(target: &str, level: tracing::Level) -> bool {
    const CLIENT: &str = "kube_client::client";
    let is_in = |crate_name: &str| target.split("::").next() == Some(crate_name);
    if target == CLIENT {
        return false;
    }
    let heard = [
        "patchset",
        "forge_rest",
        "git_mirrors",
        "kube_client",
        "kube_runtime",
        "kube_core",
    ];
    let is_heard = heard.into_iter().any(is_in);
    is_heard || level <= tracing::Level::INFO
}

/// Sets up logging for the process. `RUST_LOG`, if set, overrides the level, but never shows what
/// libraries send and receive.
///
/// # Errors
///
/// Where logging was set up before.
pub fn init(level: LogLevel, encoding: Encoding) -> Result<(), Error> {
    let asked = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level.directive()));
    let filter = asked.and(filter_fn(|metadata| {
        may_be_shown(metadata.target(), *metadata.level())
    }));
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let layer = match encoding {
        Encoding::Json => layer.json().flatten_event(true).boxed(),
        Encoding::Text => layer.boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()
        .map_err(|error| Error::Logging(error.to_string()))
}

/// Logs where a panic was, without its message, which may hold what somebody sent.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "a bug in this program interrupted a piece of work");
    }));
}

#[cfg(test)]
mod tests {
    use super::may_be_shown;
    use tracing::Level;

    #[test]
    fn what_libraries_send_and_receive_is_never_shown() {
        for (target, level, expected) in [
            ("patchset::controller::run", Level::TRACE, true),
            ("git_mirrors::mirrors", Level::DEBUG, true),
            ("kube_client::client::builder", Level::DEBUG, true),
            ("kube_client::client", Level::WARN, false),
            ("kube_client::client", Level::TRACE, false),
            ("kube_clients", Level::TRACE, false),
            ("hyper::proto::h1::io", Level::TRACE, false),
            ("h2::codec::framed_write", Level::DEBUG, false),
            ("rustls::conn", Level::DEBUG, false),
            ("russh::client", Level::DEBUG, false),
            ("reqwest::connect", Level::TRACE, false),
            ("reqwest::connect", Level::WARN, true),
        ] {
            assert_eq!(may_be_shown(target, level), expected, "{target} {level}");
        }
    }
}
