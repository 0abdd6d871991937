//! The forms in which a check's results are told to people and to other tools.

mod annotations;
mod github;
mod gitlab;
mod html;
mod junit;
mod links;
mod markdown;
mod markup;
mod table;
mod words;

use std::path::PathBuf;

use super::report::{Report, Strictness};
use crate::cli::error::Error;
use crate::cli::local_files::LocalFolder;
use crate::cli::output::print;
use links::Links;

/// A form of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// For people.
    Table,
    /// One JSON object.
    Json,
    /// Annotations, as workflow commands of GitHub Actions, and a summary of the step.
    Github,
    /// A Code Quality report.
    Gitlab,
    /// A `JUnit` report.
    Junit,
    /// A table and a list, as GitHub and GitLab render them.
    Markdown,
    /// A page in one file, for a browser.
    Html,
}

impl Format {
    const NAMES: [(&'static str, Self); 7] = [
        ("table", Self::Table),
        ("json", Self::Json),
        ("github", Self::Github),
        ("gitlab", Self::Gitlab),
        ("junit", Self::Junit),
        ("markdown", Self::Markdown),
        ("html", Self::Html),
    ];
}

/// Where the results go, and in which form: a value of `--output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Output {
    format: Format,
    /// `None` for standard output.
    file: Option<PathBuf>,
}

impl std::str::FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, file) = match text.split_once('=') {
            None => (text, None),
            Some((_, "")) => return Err("name a file after the =".to_owned()),
            Some((name, file)) => (name, Some(PathBuf::from(file))),
        };
        let known = Format::NAMES.into_iter().find(|(known, _)| *known == name);
        match known {
            Some((_, format)) => Ok(Self { format, file }),
            None => Err(format!(
                "there is no such format; the formats are {}",
                Format::NAMES.map(|(name, _)| name).join(", ")
            )),
        }
    }
}

/// Refuses outputs that would mix on standard output: only annotations may follow a table there.
///
/// # Errors
///
/// If there are more than that.
pub(super) fn check(outputs: &[Output]) -> Result<(), Error> {
    let printed: Vec<Format> = outputs
        .iter()
        .filter(|output| output.file.is_none())
        .map(|output| output.format)
        .collect();
    match printed.as_slice() {
        [] | [_] | [Format::Table, Format::Github] => Ok(()),
        _ => Err(Error::Usage(
            "more than one --output goes to standard output: name files, such as --output junit=report.xml; only --output table --output github go together".to_owned(),
        )),
    }
}

/// Writes all outputs. `folder` is the one that was checked.
///
/// # Errors
///
/// Where one cannot be written.
pub(super) fn write(
    outputs: &[Output],
    report: &Report,
    folder: &LocalFolder,
    strictness: Strictness,
) -> Result<(), Error> {
    let links = Links::new(folder, |name| std::env::var(name).ok());
    let is_shared = outputs
        .iter()
        .any(|output| output.format == Format::Github && output.file.is_none());
    for output in outputs {
        let text = match (output.format, &output.file) {
            (Format::Table, None) if is_shared => {
                print(github::literal(&table::text(report)).as_bytes())?;
                continue;
            }
            (Format::Table, None) => {
                table::print(report)?;
                continue;
            }
            (Format::Table, Some(_)) => table::text(report).into_bytes(),
            (Format::Json, _) => {
                let mut text = serde_json::to_vec(report)?;
                text.push(b'\n');
                text
            }
            (Format::Github, _) => {
                github::add_summary(report, &links)?;
                github::commands(&annotations::annotations(report, strictness), &links).into_bytes()
            }
            (Format::Gitlab, _) => gitlab::text(&annotations::annotations(report, strictness), &links)?,
            (Format::Junit, _) => junit::text(report)?,
            (Format::Html, _) => html::text(report, folder, &links)?,
            (Format::Markdown, _) => markdown::text(report, &links, markdown::LARGEST).into_bytes(),
        };
        match &output.file {
            None => print(&text)?,
            Some(path) => std::fs::write(path, text).map_err(|source| Error::Io {
                path: path.display().to_string(),
                source,
            })?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_a_form_and_maybe_a_file() {
        let parsed = |text: &str| text.parse::<Output>();
        assert_eq!(
            parsed("junit=a=b.xml"),
            Ok(Output {
                format: Format::Junit,
                file: Some("a=b.xml".into())
            })
        );
        assert!(parsed("xml").unwrap_err().contains("the formats are table, json"));
        assert!(parsed("json=").unwrap_err().contains("name a file"));
        let all = |texts: &[&str]| texts.iter().map(|text| parsed(text).unwrap()).collect::<Vec<_>>();
        for good in [
            &["json"][..],
            &["table", "github"],
            &["json=a", "junit=b", "markdown"],
        ] {
            assert!(check(&all(good)).is_ok(), "{good:?}");
        }
        for bad in [&["json", "table"][..], &["table", "table"], &["github", "table"]] {
            assert!(check(&all(bad)).is_err(), "{bad:?}");
        }
    }
}
