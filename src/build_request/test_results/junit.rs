//! The XML of `JUnit`: each `testcase` is a test, and an element `failure`, `error` or `skipped` in it
//! says that it did not pass.

use patchset_api::image_test::TestReport;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::report::{Ending, ResultsError, count};

/// How deeply elements may be nested: suites of suites, and what a test printed.
const DEEPEST: usize = 64;

/// A test while its element is read.
struct OpenTest {
    name: String,
    ending: Ending,
    /// How deep its element is.
    depth: usize,
}

/// Reads a document, which may have other text before and after it in a log.
pub(super) fn read(bytes: &[u8]) -> Result<TestReport, ResultsError> {
    let begin = begin(bytes).ok_or(ResultsError::Missing)?;
    let mut reader = Reader::from_reader(bytes.get(begin..).unwrap_or_default());
    reader.config_mut().check_end_names = true;
    let mut report = TestReport::default();
    let (mut depth, mut open): (usize, Option<OpenTest>) = (0, None);
    loop {
        let at = reader.buffer_position();
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                depth = depth.saturating_add(1);
                if depth > DEEPEST {
                    return Err(unreadable(format!("elements are more than {DEEPEST} deep")));
                }
                begin_element(&element, depth, &mut open);
            }
            Ok(Event::Empty(element)) => {
                begin_element(&element, depth.saturating_add(1), &mut open);
                end_element(depth.saturating_add(1), &mut open, &mut report);
            }
            Ok(Event::End(_)) => {
                end_element(depth, &mut open, &mut report);
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Ok(report);
                }
            }
            Ok(Event::Eof) => return Err(unreadable("it ends within an element".to_owned())),
            Ok(_) => {}
            Err(error) => return Err(unreadable(format!("at byte {at}: {error}"))),
        }
    }
}

/// Where the document begins.
fn begin(bytes: &[u8]) -> Option<usize> {
    let is_root = |rest: &[u8]| rest.starts_with(b"<testsuites") || rest.starts_with(b"<testsuite");
    (0..bytes.len()).find(|at| bytes.get(*at..).is_some_and(is_root))
}

fn begin_element(element: &BytesStart<'_>, depth: usize, open: &mut Option<OpenTest>) {
    match (element.local_name().as_ref(), open) {
        (b"testcase", open @ None) => {
            *open = Some(OpenTest {
                name: name(element),
                ending: Ending::Passed,
                depth,
            });
        }
        (tag, Some(test)) if depth == test.depth.saturating_add(1) && test.ending == Ending::Passed => {
            test.ending = match tag {
                b"failure" => Ending::Failed,
                b"error" => Ending::Error,
                b"skipped" => Ending::Skipped,
                _ => Ending::Passed,
            };
        }
        _ => {}
    }
}

fn end_element(depth: usize, open: &mut Option<OpenTest>, report: &mut TestReport) {
    if let Some(test) = open.take_if(|test| test.depth == depth) {
        count(report, &test.name, test.ending);
    }
}

/// The name of a test, with that of its class.
fn name(element: &BytesStart<'_>) -> String {
    let attribute = |name: &str| {
        let found = element.try_get_attribute(name).ok().flatten()?;
        // An entity that is unknown stays as it is written.
        let text = String::from_utf8_lossy(&found.value);
        Some(quick_xml::escape::unescape(&text).map_or_else(|_| text.to_string(), |text| text.to_string()))
    };
    let name = attribute("name").unwrap_or_default();
    match attribute("classname").filter(|class| !class.is_empty()) {
        Some(class) => format!("{class}.{name}"),
        None => name,
    }
}

fn unreadable(why: String) -> ResultsError {
    ResultsError::Unreadable {
        format: "JUnit's XML",
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_by_how_they_ended() {
        let text = r#"collected 5 items
<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest"><testsuite name="x" errors="9" tests="99">
<testcase classname="a.B" name="passes" time="0.1"/>
<testcase classname="a.B" name="fails &lt;1&gt;"><system-out>no <![CDATA[</testcase>]]></system-out><failure message="m">x</failure></testcase>
<testcase name="errs"><error/><failure/></testcase>
<testcase classname="" name="skips"><skipped type="s"/></testcase>
<testcase classname="a" name="flaky"><flakyFailure>first</flakyFailure></testcase>
</testsuite></testsuites>
done"#;
        let report = read(text.as_bytes()).unwrap();
        assert_eq!(
            (report.tests, report.failures, report.errors, report.skipped),
            (5, 1, 1, 1)
        );
        assert_eq!(report.failed, ["a.B.fails <1>", "errs"]);
    }

    #[test]
    fn what_is_hostile_or_cut_is_refused_or_bounded() {
        assert_eq!(read(b"no results"), Err(ResultsError::Missing));
        let deep = "<testsuite>".repeat(100_000);
        let error = read(deep.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("64 deep"), "{error}");
        assert!(read(b"<testsuite><testcase name='a'/>").is_err());
        assert!(read(b"<testsuite><testcase name='a'></testsuite>").is_err());
        // Entities are not expanded.
        let bomb = b"<testsuite><testcase name='&lol;\x1b[2J'><failure/></testcase></testsuite>";
        assert_eq!(read(bomb).unwrap().failed, ["&lol;\u{fffd}[2J"]);
        let long = format!(
            "<testsuite>{}</testsuite>",
            format!("<testcase name='{}'><error/></testcase>", "n".repeat(1000)).repeat(1000)
        );
        let report = read(long.as_bytes()).unwrap();
        assert_eq!((report.errors, report.failed.len()), (1000, 20));
        assert!(report.failed.iter().all(|name| name.chars().count() <= 160));
    }
}
