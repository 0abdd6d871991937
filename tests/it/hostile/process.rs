//! The program with a limit on its memory, measured: how long it takes, and its peak memory.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::support::measured::peak_of;

/// How much a process may allocate: the memory limit of the chart.
const MEMORY: u64 = 1 << 30;
/// The interval between looks at a process.
const LOOK: Duration = Duration::from_millis(5);
/// The most output of a process that is kept, in bytes.
const KEPT: u64 = 16 << 20;

/// `patchset`, limited to 1 GiB by the kernel; another build of it if `PATCHSET_HOSTILE_PROGRAM` is
/// set.
pub fn limited() -> Command {
    let program = std::env::var_os("PATCHSET_HOSTILE_PROGRAM");
    let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_patchset").into());
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--data={MEMORY}"))
        .args(["--core=0", "--"])
        .arg(program)
        .env_remove("RUST_LOG")
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null());
    command
}

/// The CPU time of a process so far, in seconds; nothing once it has ended. On a busy machine, this
/// is the clock that shows what an input costs.
pub fn computed(pid: u32) -> Option<f64> {
    const TICKS: f64 = 100.0;
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Its name, in brackets, may hold spaces (proc(5)).
    let (_, fields) = text.rsplit_once(") ")?;
    let ticks = |at: usize| fields.split(' ').nth(at)?.parse::<u32>().ok();
    Some(f64::from(ticks(11)? + ticks(12)?) / TICKS)
}

/// The peak memory of a process so far, in MiB; `None` once it has ended.
pub fn peak(pid: u32) -> Option<u64> {
    Some(peak_of(pid)?.div_ceil(1024))
}

/// Resets [`peak`] to the current memory of the process.
pub fn forget_peak(pid: u32) {
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// How a process ended.
pub struct Ended {
    /// `None` if it had to be killed.
    pub status: Option<ExitStatus>,
    pub seconds: f64,
    /// Its CPU time.
    pub computed: f64,
    /// In MiB.
    pub peak: u64,
    /// What it wrote to standard output.
    pub output: String,
    /// What it wrote to standard error.
    pub errors: String,
}

impl Ended {
    /// What is wrong with how it ended.
    pub fn fault(&self, codes: &[i32]) -> Option<String> {
        let Some(status) = self.status else {
            return Some(format!(
                "had to be killed after {:.0} s, {:.0} s of work",
                self.seconds, self.computed
            ));
        };
        match (status.signal(), status.code()) {
            (Some(signal), _) => Some(format!("ended by signal {signal}")),
            (None, Some(code)) if codes.contains(&code) => None,
            (None, code) => Some(format!("exit status {code:?} instead of one of {codes:?}")),
        }
    }
}

/// Runs a command to its end, or until a limit on CPU time or on time is reached.
pub fn run(command: &mut Command, compute: f64, wait: Duration) -> Ended {
    let [output, errors] = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
    let append = |file: &tempfile::NamedTempFile| File::options().append(true).open(file.path()).unwrap();
    let begin = Instant::now();
    let mut child = command
        .stdout(append(&output))
        .stderr(append(&errors))
        .process_group(0)
        .spawn()
        .expect("prlimit (util-linux) is installed");
    let (mut most, mut worked) = (0, 0.0);
    let status = loop {
        most = most.max(peak(child.id()).unwrap_or_default());
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        worked = computed(child.id()).unwrap_or(worked);
        if worked > compute || begin.elapsed() > wait {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(LOOK);
    };
    let seconds = begin.elapsed().as_secs_f64();
    let read = |file: &tempfile::NamedTempFile| {
        let mut text = Vec::new();
        let file = File::open(file.path()).unwrap();
        file.take(KEPT).read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    };
    Ended {
        status,
        seconds,
        computed: worked,
        peak: most,
        output: read(&output),
        errors: read(&errors),
    }
}

#[test]
fn what_takes_more_than_the_limit_is_noticed() {
    let take = |mib: u32| {
        let script = format!("text = b'x' * ({mib} << 20)");
        let mut command = Command::new("prlimit");
        command.args([&format!("--data={MEMORY}"), "--", "python3", "-c", &script]);
        run(&mut command, 60.0, Duration::from_secs(120))
    };
    let some = take(300);
    assert_eq!(some.fault(&[0]), None);
    assert!((300..400).contains(&some.peak), "{} MiB", some.peak);
    assert!(take(1100).fault(&[0]).is_some());
}
