//! A `JUnit` report: a suite for each series, one for the overrides, one for the faults.

use quick_junit::{NonSuccessKind, Report as JunitReport, TestCase, TestCaseStatus, TestSuite};

use super::super::report::{PatchRow, Report};
use super::words::{self, Quoting};
use crate::cli::error::Error;
use crate::cli::style::plain;

pub(super) fn text(report: &Report) -> Result<Vec<u8>, Error> {
    let mut junit = JunitReport::new("patchset check");
    for rows in report.patches.chunk_by(|a, b| a.folder == b.folder) {
        let folder = rows.first().map_or("", |row| row.folder.as_str());
        let mut suite = TestSuite::new(plain(folder));
        for row in rows {
            let mut case = TestCase::new(plain(&row.status.name), status(row));
            case.set_classname(plain(&format!("{}.{}", row.component, row.release)));
            suite.add_test_case(case);
        }
        junit.add_test_suite(suite);
    }
    let mut overrides = TestSuite::new("overrides");
    for row in &report.overrides {
        let status = if row.needs_attention() {
            let mut status = TestCaseStatus::skipped();
            status.set_message(plain(&row.message));
            status
        } else {
            TestCaseStatus::success()
        };
        let mut case = TestCase::new(plain(&row.package), status);
        case.set_classname(plain(&format!("overrides.{}", row.release)));
        overrides.add_test_case(case);
    }
    let mut faults = TestSuite::new("faults");
    for fault in &report.faults {
        let mut status = if fault.kind.fails() {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_type(fault.kind.as_str());
            status
        } else {
            TestCaseStatus::skipped()
        };
        status.set_message(plain(&fault.message));
        let mut case = TestCase::new(plain(&fault.path), status);
        case.set_classname(fault.kind.as_str());
        faults.add_test_case(case);
    }
    for suite in [overrides, faults] {
        if !suite.test_cases.is_empty() {
            junit.add_test_suite(suite);
        }
    }
    let text = junit
        .to_string()
        .map_err(|error| Error::Usage(format!("the JUnit report cannot be written: {error}")))?;
    let skipped = junit.skipped;
    // The first is the root's, where Jenkins' schema (junit-10.xsd) does not have it.
    Ok(text
        .replacen(&format!(" skipped=\"{skipped}\""), "", 1)
        .into_bytes())
}

fn status(row: &PatchRow) -> TestCaseStatus {
    if row.applies() {
        return TestCaseStatus::success();
    }
    let message = words::story(&row.status, Quoting::Plain);
    let mut status = if row.fails() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_type(row.status.state.as_str());
        status.set_description(format!("{message}. What to do: {}.", words::remedy(&row.status)));
        status
    } else {
        // It did not apply before the change either.
        TestCaseStatus::skipped()
    };
    status.set_message(message);
    status
}
