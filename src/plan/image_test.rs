//! Which test of an image is next, and the results of those that ran.

use foreign_text::printable_lines;
use image_references::Digest;
use jiff::Timestamp;
use patchset_api::build::{Attempt, Build, BuildStatus, ImageStatus, RunConclusion};
use patchset_api::image_test::{
    ImageTest, ImageTestRecord, ImageTestStatus, ImageTestsStatus, OnTestFailure, TestOutcome, TestReport,
};
use patchset_api::{InputsDigest, Recorded};

use super::attempt::{AttemptState, begin_attempt, end_attempt, forgive_failures};
use super::build::is_planned_image;
use super::conditions::{seconds, shortened};
use super::inputs_hasher::InputsHasher;

/// Names the computation behind a test's digest; changed when the same test is run in another way.
const COMPUTATION: &str = "image-test/1";

/// How many results of former tests are kept: those of some images with all their tests.
const HISTORY: usize = 24;

/// The longest sentence on a test, in characters.
const LONGEST_MESSAGE: usize = 400;

/// How many failed tests a sentence names.
const MOST_NAMED: usize = 3;

/// A test of a spec, and what identifies it.
#[derive(Clone, Debug)]
pub struct PlannedTest<'a> {
    /// The test.
    pub test: &'a ImageTest,
    /// The content of the file that is handed over; `None` if none is.
    pub excludes: Option<String>,
    /// A digest over what is run.
    pub test_digest: InputsDigest,
}

impl<'a> PlannedTest<'a> {
    /// A test with what it takes besides the image.
    ///
    /// How often it is retried and what its failure means have no part in its digest.
    #[must_use]
    pub fn new(test: &'a ImageTest, source: Option<&str>, excludes: Option<String>) -> Self {
        let run = ImageTest {
            name: String::new(),
            retries: None,
            on_failure: None,
            ..test.clone()
        };
        let source = source.filter(|_| test.source_path().is_some());
        let test_digest = InputsHasher::new(COMPUTATION)
            .with_json(&run)
            .with(source.unwrap_or_default().as_bytes())
            .with(excludes.as_deref().unwrap_or_default().as_bytes())
            .digest();
        Self {
            test,
            excludes,
            test_digest,
        }
    }

    /// A digest over what is run and the image that it is run on.
    #[must_use]
    pub fn run_digest(&self, image: &Recorded<Digest>) -> InputsDigest {
        InputsHasher::new(COMPUTATION)
            .with(image.as_str().as_bytes())
            .with(self.test_digest.as_str().as_bytes())
            .digest()
    }
}

/// Whether another try of what failed is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormerFailures {
    /// Failed tests stay failed.
    Stand,
    /// Failed tests run again.
    AreForgiven,
}

/// What is to be done for the tests of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextTest {
    /// All ran, and none that failed keeps the image from counting.
    AllOver,
    /// The test with this number, from 0, failed and keeps the image from counting.
    Blocked(usize),
    /// The test with this number is to be run, or runs.
    Run(usize),
}

/// Brings the results in line with the requested tests, and says what is next. A known result of
/// the same test of the same image stands, whatever happened in between.
pub fn next_test(
    tests: &[PlannedTest<'_>],
    image: &Recorded<Digest>,
    status: &mut ImageTestsStatus,
    former: FormerFailures,
) -> NextTest {
    let known = std::mem::take(&mut status.results);
    let mut next = NextTest::AllOver;
    for (at, planned) in tests.iter().enumerate() {
        let is_same =
            |known: &&ImageTestStatus| known.image == *image && known.test_digest == planned.test_digest;
        let mut result = known
            .iter()
            .find(is_same)
            .cloned()
            .or_else(|| remembered(planned, image, &status.history))
            .unwrap_or_else(|| new_result(planned, image));
        result.name.clone_from(&planned.test.name);
        if result.outcome == TestOutcome::Failed && former == FormerFailures::AreForgiven {
            result = forgiven(result);
        }
        if next == NextTest::AllOver {
            next = match (result.outcome, planned.test.on_failure()) {
                (TestOutcome::Pending, _) => NextTest::Run(at),
                (TestOutcome::Failed, OnTestFailure::Block) => NextTest::Blocked(at),
                (TestOutcome::Failed, OnTestFailure::Report) | (TestOutcome::Passed, _) => next,
            };
        }
        status.results.push(result);
    }
    next
}

fn new_result(planned: &PlannedTest<'_>, image: &Recorded<Digest>) -> ImageTestStatus {
    ImageTestStatus {
        name: planned.test.name.clone(),
        image: image.clone(),
        test_digest: planned.test_digest.clone(),
        outcome: TestOutcome::Pending,
        attempt: None,
        message: None,
        report: None,
    }
}

/// The result that the history has of a test of an image.
fn remembered(
    planned: &PlannedTest<'_>,
    image: &Recorded<Digest>,
    history: &[ImageTestRecord],
) -> Option<ImageTestStatus> {
    let mut history = history.iter();
    let record =
        history.find(|record| record.image == *image && record.test_digest == planned.test_digest)?;
    Some(ImageTestStatus {
        outcome: record.outcome,
        message: Some(record.message.clone()),
        // Another attempt gets another number: the Job of the last one may still exist.
        attempt: Some(Attempt {
            finished_at: Some(record.finished_at.clone()),
            failures: u32::from(record.outcome == TestOutcome::Failed),
            ..begin_attempt(record.attempts, record.job.clone(), None, record.finished_at.0)
        }),
        ..new_result(planned, image)
    })
}

/// A failed test, reset to run again.
fn forgiven(result: ImageTestStatus) -> ImageTestStatus {
    ImageTestStatus {
        outcome: TestOutcome::Pending,
        attempt: result.attempt.map(forgive_failures),
        message: None,
        report: None,
        ..result
    }
}

/// How an attempt at a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestEnd {
    /// What became of its Job.
    pub job: AttemptState,
    /// Its report on the tests that it consists of, or why that cannot be read; `None` if the spec
    /// does not ask for one.
    pub report: Option<Result<TestReport, String>>,
}

/// Records the end of an attempt in a result. A test that passed is over; one that failed is over
/// when [`give_up`] says so.
///
/// A Job that succeeded counts as failed if it reports that tests failed, or that none ran: an exit
/// code is easily lost on its way.
pub fn end_test(result: &mut ImageTestStatus, end: TestEnd, now: Timestamp) {
    let Some(mut attempt) = result.attempt.take() else {
        return;
    };
    let (report, unread) = match end.report {
        Some(Ok(report)) => (Some(report), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    let told = report.as_ref().and_then(told_failure);
    let failure = match (&end.job, told.or(unread)) {
        (AttemptState::Succeeded, None) => None,
        (AttemptState::Succeeded, Some(why)) => Some(AttemptState::Failed { why, log: None }),
        (AttemptState::Failed { log, .. }, Some(why)) if report.is_some() => Some(AttemptState::Failed {
            why,
            log: log.clone(),
        }),
        (other, _) => Some(other.clone()),
    };
    match failure {
        None => {
            attempt.finished_at.get_or_insert(seconds(now));
            (attempt.message, attempt.log_tail) = (None, None);
            result.outcome = TestOutcome::Passed;
            result.message = Some(passed(report.as_ref()));
        }
        Some(failure) => {
            attempt = end_attempt(attempt, &failure, "", now);
            result.message.clone_from(&attempt.message);
        }
    }
    result.report = report;
    result.attempt = Some(attempt);
}

/// The failure that a report shows, in words.
fn told_failure(report: &TestReport) -> Option<String> {
    if report.tests == 0 {
        return Some("it ran no tests".to_owned());
    }
    let broken = report.broken();
    if broken == 0 {
        return None;
    }
    let named: Vec<&str> = report
        .failed
        .iter()
        .take(MOST_NAMED)
        .map(String::as_str)
        .collect();
    let more = usize::try_from(broken)
        .unwrap_or(usize::MAX)
        .saturating_sub(named.len());
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "{broken} of {} tests failed: {}{more}",
        report.tests,
        named.join(", ")
    ))
}

/// That a test passed, in words.
fn passed(report: Option<&TestReport>) -> String {
    match report {
        None => "passed".to_owned(),
        Some(TestReport {
            tests, skipped: 0, ..
        }) => format!("passed, {tests} tests"),
        Some(TestReport { tests, skipped, .. }) => {
            format!("passed, {tests} tests, {skipped} of them skipped")
        }
    }
}

/// Ends a test that failed in all its attempts.
pub fn give_up(result: &mut ImageTestStatus) {
    result.outcome = TestOutcome::Failed;
}

/// Puts a test that is over into the history, in place of an older record of the same test.
pub fn remember_test(status: &mut ImageTestsStatus, at: usize, now: Timestamp) {
    let Some(result) = status
        .results
        .get(at)
        .filter(|result| result.outcome != TestOutcome::Pending)
    else {
        return;
    };
    let attempt = result.attempt.as_ref();
    let record = ImageTestRecord {
        image: result.image.clone(),
        test_digest: result.test_digest.clone(),
        outcome: result.outcome,
        job: attempt.map(|attempt| attempt.name.clone()).unwrap_or_default(),
        attempts: attempt.map_or(0, |attempt| attempt.number),
        finished_at: seconds(now),
        message: shortened(
            &printable_lines(result.message.as_deref().unwrap_or_default()),
            LONGEST_MESSAGE,
        ),
    };
    status
        .history
        .retain(|known| (&known.image, &known.test_digest) != (&record.image, &record.test_digest));
    status.history.insert(0, record);
    status.history.truncate(HISTORY);
}

/// The tests of a plan that follows another: all of them if the same is built, otherwise only the
/// history.
#[must_use]
pub fn carried_on(before: Option<&BuildStatus>, is_same: bool) -> Option<ImageTestsStatus> {
    let before = before?.tests.as_ref()?;
    if is_same {
        return Some(before.clone());
    }
    (!before.history.is_empty()).then(|| ImageTestsStatus {
        history: before.history.clone(),
        ..ImageTestsStatus::default()
    })
}

/// The planned image that was found, and does not count until it is tested.
#[must_use]
pub fn awaiting_image(planned: &BuildStatus) -> Option<Box<ImageStatus>> {
    let image = planned.tests.as_ref()?.awaiting.clone()?;
    is_planned_image(&image, planned).then(|| {
        Box::new(ImageStatus {
            moving_tags: planned.moving_tags.clone(),
            sortable_tag: planned.sortable_tag.clone(),
            ..*image
        })
    })
}

/// Whether a build asks for tests.
#[must_use]
pub fn is_tested(build: &Build) -> bool {
    let actions = build.github_actions.as_ref();
    !build.tests.is_empty() || actions.is_some_and(|actions| actions.conclusion() == RunConclusion::Test)
}

/// The test results of an image that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestsVerdict {
    /// All passed.
    Passed(String),
    /// Some failed that do not block.
    Reported(String),
}

/// The test results of an image that counts, in a sentence.
#[must_use]
pub fn tests_verdict(tests: Option<&ImageTestsStatus>) -> TestsVerdict {
    let results = tests.map_or(&[][..], |tests| &tests.results);
    if results.is_empty() {
        return TestsVerdict::Passed("the workflow's run is its test".to_owned());
    }
    let told: Vec<String> = results
        .iter()
        .map(|result| {
            format!(
                "{}: {}",
                result.name,
                result.message.as_deref().unwrap_or_default()
            )
        })
        .collect();
    let told = told.join("; ");
    if results.iter().any(|result| result.outcome == TestOutcome::Failed) {
        TestsVerdict::Reported(told)
    } else {
        TestsVerdict::Passed(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::attempt::{Decision, decide_next};
    use image_references::ImageReference;
    use patchset_api::built_image::SortableTag;
    use serde_json::{Value, json};

    fn test(fields: &Value) -> ImageTest {
        let mut test = json!({ "name": "unit", "from": "Image", "command": ["tox"] });
        for (name, value) in fields.as_object().unwrap() {
            test[name] = value.clone();
        }
        serde_json::from_value(test).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn image(name: &str) -> Recorded<Digest> {
        Recorded::new(Digest::sha256(name.as_bytes()))
    }

    fn failed(why: &str) -> TestEnd {
        TestEnd {
            job: AttemptState::Failed {
                why: why.to_owned(),
                log: Some("log".to_owned()),
            },
            report: None,
        }
    }

    /// Runs the next test to an end.
    fn run(status: &mut ImageTestsStatus, at_test: usize, end: TestEnd) {
        let result = &mut status.results[at_test];
        result.outcome = TestOutcome::Pending;
        result.attempt = Some(begin_attempt(1, "job-1".into(), None, at(0)));
        end_test(result, end, at(10));
        if result.outcome == TestOutcome::Pending {
            give_up(result);
        }
        remember_test(status, at_test, at(10));
    }

    const PASSED: TestEnd = TestEnd {
        job: AttemptState::Succeeded,
        report: None,
    };

    #[test]
    fn tests_run_in_their_order_and_the_first_that_blocks_is_the_last() {
        let tests = [
            test(&json!({ "name": "a" })),
            test(&json!({ "name": "b", "command": ["b"], "onFailure": "Report" })),
            test(&json!({ "name": "c", "command": ["c"] })),
            test(&json!({ "name": "d", "command": ["d"] })),
        ];
        let tests: Vec<PlannedTest<'_>> = tests
            .iter()
            .map(|test| PlannedTest::new(test, None, None))
            .collect();
        let (image, stand) = (image("one"), FormerFailures::Stand);
        let mut status = ImageTestsStatus::default();
        assert_eq!(next_test(&tests, &image, &mut status, stand), NextTest::Run(0));
        assert_eq!(next_test(&tests, &image, &mut status, stand), NextTest::Run(0));
        run(&mut status, 0, PASSED);
        assert_eq!(next_test(&tests, &image, &mut status, stand), NextTest::Run(1));
        run(&mut status, 1, failed("no"));
        assert_eq!(next_test(&tests, &image, &mut status, stand), NextTest::Run(2));
        run(&mut status, 2, failed("never"));
        assert_eq!(
            next_test(&tests, &image, &mut status, stand),
            NextTest::Blocked(2)
        );
        assert_eq!(status.results[2].message.as_deref(), Some("never"));
        status.results[2].report = Some(TestReport::default());
        // Another try is requested: what passed is not run again.
        let forgiven = FormerFailures::AreForgiven;
        assert_eq!(next_test(&tests, &image, &mut status, forgiven), NextTest::Run(1));
        let again = &status.results[2];
        assert_eq!((&again.message, &again.report), (&None, &None));
        assert_eq!(
            decide_next(status.results[2].attempt.as_ref(), 0, at(10)),
            Decision::Start(2)
        );
        run(&mut status, 1, PASSED);
        for number in [2, 3] {
            assert_eq!(
                next_test(&tests, &image, &mut status, stand),
                NextTest::Run(number)
            );
            run(&mut status, number, PASSED);
        }
        assert_eq!(next_test(&tests, &image, &mut status, stand), NextTest::AllOver);
        let told = "a: passed; b: passed; c: passed; d: passed";
        assert_eq!(tests_verdict(Some(&status)), TestsVerdict::Passed(told.into()));
        run(&mut status, 1, failed("no"));
        assert_eq!(next_test(&tests, &image, &mut status, stand), NextTest::AllOver);
        let told = "a: passed; b: no; c: passed; d: passed";
        assert_eq!(tests_verdict(Some(&status)), TestsVerdict::Reported(told.into()));
    }

    #[test]
    fn the_same_test_of_the_same_image_does_not_run_twice() {
        let (first, second) = (image("one"), image("two"));
        let unit = test(&json!({}));
        let tests = [PlannedTest::new(&unit, None, Some("a\n".to_owned()))];
        let stand = FormerFailures::Stand;
        let mut status = ImageTestsStatus::default();
        next_test(&tests, &first, &mut status, stand);
        run(&mut status, 0, PASSED);
        assert_eq!(next_test(&tests, &second, &mut status, stand), NextTest::Run(0));
        run(&mut status, 0, failed("broken"));
        // Back to what was tested before: from the history, whether passed or failed.
        let failures =
            |status: &ImageTestsStatus| status.results[0].attempt.as_ref().map(|attempt| attempt.failures);
        assert_eq!(next_test(&tests, &first, &mut status, stand), NextTest::AllOver);
        assert_eq!(failures(&status), Some(0));
        assert_eq!(
            next_test(&tests, &second, &mut status, stand),
            NextTest::Blocked(0)
        );
        assert_eq!(failures(&status), Some(1));
        assert_eq!(status.results[0].message.as_deref(), Some("broken"));
        next_test(&tests, &second, &mut status, FormerFailures::AreForgiven);
        assert_eq!(
            decide_next(status.results[0].attempt.as_ref(), 0, at(10)),
            Decision::Start(2)
        );
        assert_eq!(status.history.len(), 2);
        // A change that does not affect what is run makes no other test; any other change does.
        let patient = test(&json!({ "name": "other", "retries": 5, "onFailure": "Report" }));
        let same = PlannedTest::new(&patient, Some("r/s@sha256:00"), Some("a\n".to_owned()));
        assert_eq!(same.test_digest, tests[0].test_digest);
        for other in [
            PlannedTest::new(&unit, None, None),
            PlannedTest::new(
                &test(&json!({ "env": { "A": "b" } })),
                None,
                Some("a\n".to_owned()),
            ),
            PlannedTest::new(&test(&json!({ "timeout": "2h" })), None, Some("a\n".to_owned())),
            PlannedTest::new(
                &test(&json!({ "sourcePath": "/s" })),
                None,
                Some("a\n".to_owned()),
            ),
        ] {
            assert_ne!(other.test_digest, tests[0].test_digest, "{other:?}");
        }
        let mounted = test(&json!({ "sourcePath": "/s" }));
        let [one, two] =
            ["r/s@sha256:00", "r/s@sha256:11"].map(|source| PlannedTest::new(&mounted, Some(source), None));
        assert_ne!(one.test_digest, two.test_digest);
        assert_ne!(one.run_digest(&first), one.run_digest(&second));
    }

    /// A report in which one test was skipped.
    fn report(tests: u32, failures: u32, errors: u32) -> TestReport {
        TestReport {
            tests,
            failures,
            errors,
            skipped: 1,
            failed: (0..failures + errors)
                .take(20)
                .map(|at| format!("t{at}"))
                .collect(),
        }
    }

    /// The first attempt at a test, which ended like this.
    fn after_attempt(job: &AttemptState, report: Option<Result<TestReport, String>>) -> ImageTestStatus {
        let unit = test(&json!({}));
        let mut result = new_result(&PlannedTest::new(&unit, None, None), &image("one"));
        result.attempt = Some(begin_attempt(1, "job-1".into(), None, at(0)));
        let job = job.clone();
        end_test(&mut result, TestEnd { job, report }, at(10));
        result
    }

    #[test]
    fn a_test_passes_by_its_exit_code_and_its_report() {
        for (report, message) in [
            (None, "passed"),
            (Some(Ok(report(7, 0, 0))), "passed, 7 tests, 1 of them skipped"),
        ] {
            let result = after_attempt(&AttemptState::Succeeded, report);
            assert_eq!(result.outcome, TestOutcome::Passed, "{message}");
            assert_eq!(result.message.as_deref(), Some(message));
            assert_eq!(
                result.attempt.map(|attempt| attempt.failures),
                Some(0),
                "{message}"
            );
        }
    }

    #[test]
    fn a_test_fails_by_its_exit_code_or_its_report() {
        const CODE: &str = "it ended with exit code 1";
        let exit = AttemptState::Failed {
            why: CODE.into(),
            log: Some("log".into()),
        };
        let (done, gone) = (AttemptState::Succeeded, AttemptState::Gone);
        let unread = || Some(Err("no file".to_owned()));
        for (job, report, message) in [
            (&done, Some(Ok(report(0, 0, 0))), "it ran no tests"),
            (&done, Some(Ok(report(7, 1, 0))), "1 of 7 tests failed: t0"),
            (&done, unread(), "no file"),
            (
                &exit,
                Some(Ok(report(7, 3, 2))),
                "5 of 7 tests failed: t0, t1, t2 and 2 more",
            ),
            (&exit, Some(Ok(report(7, 0, 0))), CODE),
            (&exit, unread(), CODE),
            (&exit, None, CODE),
            (&gone, None, "job-1 was deleted before it ended"),
        ] {
            let result = after_attempt(job, report);
            assert_eq!(result.message.as_deref(), Some(message));
            let attempt = result.attempt.as_ref();
            assert_eq!(decide_next(attempt, 0, at(10)), Decision::GiveUp, "{message}");
            assert_eq!(attempt.map(|attempt| attempt.failures), Some(1), "{message}");
        }
    }

    #[test]
    fn the_history_is_bounded_and_of_what_is_over() {
        let mut status = ImageTestsStatus::default();
        let unit = test(&json!({}));
        let tests = [PlannedTest::new(&unit, None, None)];
        for number in 0..100 {
            next_test(
                &tests,
                &image(&number.to_string()),
                &mut status,
                FormerFailures::Stand,
            );
            // An unfinished one is not remembered.
            remember_test(&mut status, 0, at(number));
            run(&mut status, 0, failed(&"long ".repeat(1000)));
        }
        assert_eq!(status.history.len(), HISTORY);
        assert!(
            status
                .history
                .iter()
                .all(|record| record.message.chars().count() <= LONGEST_MESSAGE)
        );
        assert_eq!(status.history[0].image, image("99"));
    }

    #[test]
    fn an_image_that_awaits_its_tests_gets_the_tags_of_the_plan() {
        let mut planned = BuildStatus {
            inputs_digest: "inputs".into(),
            target: Some("r:5000/glance:1".into()),
            ..BuildStatus::default()
        };
        let digest = Digest::sha256(b"image");
        let target: ImageReference = "r:5000/glance:1".parse().unwrap();
        let revision = "main@sha1:aa".into();
        let found = crate::plan::build::image(&planned, &target, &digest, &revision);
        planned.moving_tags = vec!["stable".to_owned()];
        planned.sortable_tag = Some(SortableTag {
            tag: "1-{time}".to_owned(),
            time: None,
        });
        planned.tests = Some(ImageTestsStatus {
            awaiting: Some(Box::new(found.clone())),
            ..ImageTestsStatus::default()
        });
        let awaiting = awaiting_image(&planned).unwrap();
        assert_eq!(
            (&awaiting.moving_tags, &awaiting.sortable_tag, &awaiting.digest),
            (&planned.moving_tags, &planned.sortable_tag, &found.digest)
        );
        // One of another plan does not count.
        planned.inputs_digest = "others".into();
        assert_eq!(awaiting_image(&planned), None);
    }

    #[test]
    fn another_build_keeps_the_history_alone() {
        let mut before = BuildStatus::default();
        assert_eq!(carried_on(Some(&before), true), None);
        assert_eq!(carried_on(None, true), None);
        let unit = test(&json!({}));
        let mut status = ImageTestsStatus::default();
        next_test(
            &[PlannedTest::new(&unit, None, None)],
            &image("one"),
            &mut status,
            FormerFailures::Stand,
        );
        run(&mut status, 0, PASSED);
        before.tests = Some(status.clone());
        assert_eq!(carried_on(Some(&before), true), Some(status.clone()));
        let other = carried_on(Some(&before), false).unwrap();
        assert_eq!((other.results.len(), &other.history), (0, &status.history));
    }

    #[test]
    fn a_build_is_tested_by_jobs_or_by_its_workflow() {
        let tested = |more: Value| {
            let mut build = json!({ "engine": "Job", "source": { "repository": "r/source" } });
            for (name, value) in more.as_object().unwrap() {
                build[name] = value.clone();
            }
            is_tested(&serde_json::from_value(build).unwrap())
        };
        let workflow = |conclusion: &str| {
            json!({ "githubActions": {
                "repository": "o/r", "workflow": "w.yaml", "secretRef": { "name": "s" }, "conclusion": conclusion
            } })
        };
        let unit = json!({ "name": "unit", "from": "Image", "command": ["tox"] });
        assert!(tested(json!({ "tests": [unit] })));
        assert!(tested(workflow("Test")));
        assert!(!tested(workflow("Ignore")));
        assert!(!tested(json!({})));
    }
}
