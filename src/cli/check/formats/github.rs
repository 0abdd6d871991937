//! Workflow commands of GitHub Actions, and the summary of a step.
//!
//! The rules are those of the runner: a line that begins with `::` is a command; in its text `%`,
//! carriage returns and line feeds are escaped, in its properties also `:` and `,`
//! (`actions/toolkit`, `command.ts`). An older form, `##[command]`, is read anywhere in a line.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;

use foreign_text::printable;

use super::super::report::Report;
use super::annotations::{Annotation, AnnotationLevel};
use super::links::Links;
use super::markdown;
use crate::cli::error::Error;

/// How many annotations of each level of a step are shown.
const SHOWN: usize = 10;

/// The longest text of an annotation, in characters.
const LONGEST: usize = 4096;

/// What a summary may have, in bytes.
const LARGEST_SUMMARY: usize = 1 << 20;

/// The variable with the file that a step's summary goes to.
const SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// The annotations as commands, at most as many as are shown.
pub(super) fn commands(annotations: &[Annotation], links: &Links) -> String {
    let mut text = String::new();
    for level in [AnnotationLevel::Error, AnnotationLevel::Warning] {
        let all: Vec<&Annotation> = annotations.iter().filter(|one| one.level == level).collect();
        let shown = if all.len() > SHOWN { SHOWN - 1 } else { all.len() };
        for one in all.iter().take(shown) {
            let file = property(&links.path(&one.path));
            let (line, title) = (one.line, property(&one.title));
            let message = data(&one.message);
            let name = command(level);
            // Writing to a string does not fail.
            let _ = writeln!(text, "::{name} file={file},line={line},title={title}::{message}");
        }
        if shown < all.len() {
            let name = command(level);
            let more = all.len() - shown;
            let _ = writeln!(
                text,
                "::{name} title=patchset check::{more} more: see the summary"
            );
        }
    }
    text
}

fn command(level: AnnotationLevel) -> &'static str {
    match level {
        AnnotationLevel::Error => "error",
        AnnotationLevel::Warning => "warning",
    }
}

/// Escapes the text of a command.
fn data(text: &str) -> String {
    let text = printable(text, LONGEST).replace('%', "%25");
    text.replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// A text that the runner shows without reading commands in it.
pub(super) fn literal(text: &str) -> String {
    let token = uuid::Uuid::new_v4().simple().to_string();
    format!("::stop-commands::{token}\n{text}::{token}::\n")
}

/// Adds the results to the summary of the step, where there is one, and as far as it has room.
pub(super) fn add_summary(report: &Report, links: &Links) -> Result<(), Error> {
    let Some(path) = std::env::var_os(SUMMARY).filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let failed = |source| Error::Io {
        path: format!("{SUMMARY}: {}", path.display()),
        source,
    };
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(failed)?;
    let held = usize::try_from(file.metadata().map_err(failed)?.len()).unwrap_or(usize::MAX);
    let room = LARGEST_SUMMARY.saturating_sub(held);
    let text = markdown::text(report, links, room);
    file.write_all(text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotation(number: usize) -> Annotation {
        Annotation {
            level: AnnotationLevel::Error,
            path: format!("patches/a,b:{number}\n::error::x"),
            line: 3,
            kind: "Conflict".to_owned(),
            subject: String::new(),
            title: "100%\r\n::set-env name=A::b".to_owned(),
            message: "a\n::add-mask::x%".to_owned(),
        }
    }

    #[test]
    fn a_text_of_others_is_no_command() {
        assert_eq!(
            commands(&[annotation(1)], &Links::default()),
            "::error file=patches/a%2Cb%3A1 %3A%3Aerror%3A%3Ax,line=3,title=100%25 %3A%3Aset-env \
             name=A%3A%3Ab::a ::add-mask::x%25\n"
        );
    }

    #[test]
    fn no_more_are_written_than_are_shown() {
        let many: Vec<Annotation> = (0..25).map(annotation).collect();
        let text = commands(&many, &Links::default());
        assert_eq!(text.lines().count(), SHOWN);
        assert!(
            text.ends_with("title=patchset check::16 more: see the summary\n"),
            "{text}"
        );
        assert_eq!(commands(&many[..10], &Links::default()).lines().count(), SHOWN);
    }
}
