//! Inputs of commands that need no cluster.

use std::any::Any;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::process::{self, limited};
use super::table::{LONGEST, Row, faults_of_report};

/// The most memory that a command may use, in MiB.
pub const MOST: u64 = 300;

/// The longest report on patches or a repository, in bytes: a line for each of many files or hunks
/// is fine.
const MOST_REPORT: usize = 8 << 20;

/// A command, and the outcomes allowed for it.
pub struct Offline {
    /// What is odd about the input, with its size.
    pub input: String,
    pub command: &'static str,
    pub arguments: Vec<OsString>,
    /// Where its caches and configuration are.
    pub home: PathBuf,
    /// The acceptable exit statuses.
    pub codes: &'static [i32],
    /// Words of which one must be in the output.
    pub names: &'static [&'static str],
    /// Folders and servers that it needs.
    pub ground: Box<dyn Any + Send>,
}

/// How much CPU time a command may take, in seconds: the largest inputs take a tenth of it in a
/// release build, and a quarter of it in a debug build.
const COMPUTE: f64 = if cfg!(debug_assertions) { 180.0 } else { 60.0 };
/// How long it may take in total, including what it waits for, on a busy machine.
const WAIT: Duration = Duration::from_secs(300);

impl Offline {
    /// Runs it.
    pub fn run(self) -> Row {
        let mut command = limited();
        command
            .arg(self.command)
            .args(&self.arguments)
            .env("HOME", &self.home)
            .env("XDG_CACHE_HOME", self.home.join("cache"))
            .env("DOCKER_CONFIG", &self.home);
        let ended = process::run(&mut command, COMPUTE, WAIT);
        // Merged constraints are no message.
        let report = if self.command == "constraints" {
            ""
        } else {
            &ended.output
        };
        let said = format!("{}{report}", ended.errors);
        let mut faults: Vec<String> = ended.fault(self.codes).into_iter().collect();
        faults.extend(faults_of_report(&said, self.names));
        if ended.errors.len() > LONGEST {
            faults.push(format!("says {} bytes", ended.errors.len()));
        }
        if report.len() > MOST_REPORT {
            faults.push(format!("reports {} bytes", report.len()));
        }
        if ended.peak > MOST {
            faults.push(format!("takes {} MiB, more than {MOST}", ended.peak));
        }
        drop(self.ground);
        Row {
            input: self.input,
            by: self.command,
            said,
            seconds: ended.seconds,
            computed: ended.computed,
            peak: ended.peak,
            faults,
        }
    }
}
