//! What is reported of the tests that a test consists of, and why it cannot be.

use foreign_text::printable;
use patchset_api::image_test::TestReport;

/// How many names of failed tests are reported.
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

/// How one of the tests of a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Passed,
    Failed,
    Error,
    Skipped,
}

/// Counts one more.
pub(super) fn count(report: &mut TestReport, name: &str, ending: Ending) {
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
