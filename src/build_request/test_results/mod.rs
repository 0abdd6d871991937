//! The results of the tests that a test consists of, read from the log of its pod, with bounds on
//! all of it.

mod junit;
mod printed;
mod report;
mod subunit;

use patchset_api::image_test::{TestReport, TestResultsFormat};
pub use printed::{MOST_COMPRESSED, MOST_RESULTS, PrintedResults, RESULTS_BEGIN, RESULTS_END, printed_lines};
pub use report::ResultsError;

/// Reads results.
///
/// # Errors
///
/// If they are not results, or were cut.
pub fn read_results(bytes: &[u8], format: TestResultsFormat) -> Result<TestReport, ResultsError> {
    match format {
        TestResultsFormat::JUnit => junit::read(bytes),
        TestResultsFormat::Subunit => subunit::read(bytes),
    }
}
