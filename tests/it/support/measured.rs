//! A process and its peak memory.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may run.
const PATIENCE: Duration = Duration::from_secs(300);

/// The outcome of a process.
#[derive(Debug)]
pub struct Measured {
    /// The exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// The peak resident memory, in KiB.
    pub peak: u64,
}

/// Runs a command to its end while measuring its memory.
pub fn run(command: &mut Command) -> Measured {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(File::create(file("stdout")).unwrap())
        .stderr(File::create(file("stderr")).unwrap())
        .spawn()
        .unwrap();
    let (end, mut peak) = (Instant::now() + PATIENCE, 0);
    let status = loop {
        peak = peak_of(child.id()).unwrap_or(0).max(peak);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it does not end: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let read = |name: &str| String::from_utf8_lossy(&std::fs::read(file(name)).unwrap()).into_owned();
    Measured {
        code: status.code(),
        stdout: read("stdout"),
        stderr: read("stderr"),
        peak,
    }
}

/// The peak resident memory of a process so far, in KiB; `None` if it has ended, or is about to
/// begin: a process that was just spawned shows the memory of the tests, which it shares until the
/// kernel has put its own in place.
pub fn peak_of(process: u32) -> Option<u64> {
    let program = std::fs::read_link(format!("/proc/{process}/exe")).ok()?;
    if program == std::fs::read_link("/proc/self/exe").ok()? {
        return None;
    }
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
