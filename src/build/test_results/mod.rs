//! What a test wrote of the tests that it is made of: read from the log of its pod, with bounds on
//! all of it.

mod junit;
mod printed;
mod subunit;

pub use printed::{MOST_COMPRESSED, MOST_RESULTS, PrintedResults, RESULTS_BEGIN, RESULTS_END, printed_lines};

use crate::api::image_test::{TestReport, TestResultsFormat};
use crate::text::printable;

/// How many names of tests that failed are told.
const MOST_NAMES: usize = 20;

/// The longest name of one, in characters.
const LONGEST_NAME: usize = 160;

/// Why results cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResultsError {
    /// There are none.
    #[error("it wrote no results: no file is at results.path, or the log has none")]
    Missing,
    /// There are more than is read.
    #[error("its results have more than {most} bytes: have it write fewer, for instance without output")]
    TooLarge {
        /// Bytes that are read.
        most: usize,
    },
    /// They are not what the spec says.
    #[error("its results cannot be read as {format}: {why}")]
    Unreadable {
        /// The format.
        format: &'static str,
        /// What is wrong, and where.
        why: String,
    },
}

/// Reads results.
///
/// # Errors
///
/// Where they are none, or cut.
pub fn read_results(bytes: &[u8], format: TestResultsFormat) -> Result<TestReport, ResultsError> {
    match format {
        TestResultsFormat::JUnit => junit::read(bytes),
        TestResultsFormat::Subunit => subunit::read(bytes),
    }
}

/// How a test of a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Passed,
    Failed,
    Error,
    Skipped,
}

/// Counts one more.
fn count(report: &mut TestReport, name: &str, ending: Ending) {
    report.tests = report.tests.saturating_add(1);
    let counter = match ending {
        Ending::Passed => return,
        Ending::Skipped => {
            report.skipped = report.skipped.saturating_add(1);
            return;
        }
        Ending::Failed => &mut report.failures,
        Ending::Error => &mut report.errors,
    };
    *counter = counter.saturating_add(1);
    if report.failed.len() < MOST_NAMES {
        report.failed.push(printable(name, LONGEST_NAME));
    }
}
