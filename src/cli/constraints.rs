//! `patchset constraints`: overrides merged into a release's upper constraints.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anstyle::Style;
use clap::{Args, ValueEnum};
use git_apply_engine::MemoryStore;
use image_references::ImageReference;
use patchset_api::constraint_override::RefusedEntry;
use patchset_api::constraint_override::{OverrideState, VersionChange};
use source_images::Pushed;
use source_images::image::{About, Image};
use source_images::layer::{self, Contents, File};
use upper_constraints::{
    Cause, ConstraintsFile, Include, Merged, Outcome, Overrides, PackageName, Pinned, merge,
};

use super::error::Error;
use super::input;
use super::output::print;
use super::registry::RegistryOptions;
use super::style::{BAD, BOLD, DIM, GOOD, ODD, plain};
use crate::plan::constraint_override::refused_by_uv;

/// Options of `patchset constraints`.
#[derive(Debug, Args)]
pub struct ConstraintsOptions {
    /// The release's constraints as upstream publishes them; - is standard input
    #[arg(long, value_name = "FILE")]
    upper_constraints: PathBuf,
    /// The overrides: package===version pins, -package removes; - is standard input
    #[arg(long, value_name = "FILE", required_unless_present = "remove")]
    overrides: Option<PathBuf>,
    /// A package that is built from source, whose pin is left out of the merged file; may be
    /// repeated
    #[arg(long, value_name = "NAME")]
    remove: Vec<PackageName>,
    /// Exit with 1 if an override needs attention (redundant, outdated or absent), if the upper
    /// constraints read another file, or if uv refuses the merged file
    #[arg(long)]
    strict: bool,
    /// Push the merged file as an image to this reference, unless it is there already, and print
    /// the pushed reference instead of the file
    #[arg(long, value_name = "IMAGE")]
    push: Option<ImageReference>,
    /// The release, for the image's labels
    #[arg(long, value_name = "RELEASE", requires = "push")]
    release: Option<String>,
    #[command(flatten)]
    registry: RegistryOptions,
    /// How to report what the overrides did
    #[arg(long, value_enum, default_value = "text")]
    output: ConstraintsOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ConstraintsOutput {
    /// The merged file on standard output, the report on standard error.
    Text,
    /// One JSON object on standard output, with the merged file in it.
    Json,
}

/// The JSON output. Other tools read it: fields may be added, not changed.
#[derive(serde::Serialize)]
struct MergeDocument<'a> {
    merged: &'a str,
    digest: String,
    entries: usize,
    #[serde(rename = "needAttention")]
    need_attention: usize,
    results: Vec<OverrideLine<'a>>,
    /// Lines of the upper constraints that read other files, which no override reaches.
    includes: &'a [Include],
    /// Entries for which uv, but not pip, refuses the merged file.
    #[serde(rename = "refusedByUv")]
    refused_by_uv: Vec<RefusedEntry>,
    /// The image by its digest, where it was pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

/// One override in the JSON output.
#[derive(serde::Serialize)]
struct OverrideLine<'a> {
    line: Option<usize>,
    package: &'a str,
    state: OverrideState,
    cause: Cause,
    from: &'a [Pinned],
    to: Option<&'a str>,
    marker: Option<&'a str>,
    change: Option<VersionChange>,
    attention: bool,
    message: String,
}

impl<'a> From<&'a Outcome> for OverrideLine<'a> {
    fn from(outcome: &'a Outcome) -> Self {
        Self {
            line: outcome.line,
            package: &outcome.package,
            state: outcome.state,
            cause: outcome.cause,
            from: &outcome.from,
            to: outcome.to.as_deref(),
            marker: outcome.marker.as_deref(),
            change: outcome.change,
            attention: outcome.needs_attention(),
            message: outcome.message(),
        }
    }
}

pub(super) fn run(options: &ConstraintsOptions) -> Result<ExitCode, Error> {
    let is_stdin = |path: &Path| path.as_os_str() == "-";
    if is_stdin(&options.upper_constraints) && options.overrides.as_deref().is_some_and(is_stdin) {
        return Err(Error::Usage(
            "standard input can be one of the two files, not both".to_owned(),
        ));
    }
    let base_bytes = input::read(&options.upper_constraints, input::LARGEST)?;
    let base = ConstraintsFile::parse(&base_bytes)?;
    let override_bytes = match &options.overrides {
        Some(path) => input::read(path, input::LARGEST)?,
        None => Vec::new(),
    };
    let merged = merge(&base, &Overrides::parse(&override_bytes)?, &options.remove)?;
    let refused = refused_by_uv(merged.text.as_bytes());
    let needs_attention = merged.need_attention() > 0 || !base.includes().is_empty() || !refused.is_empty();
    let pushed = match &options.push {
        None => None,
        Some(reference) => Some(push(options, reference, &merged)?),
    };
    match options.output {
        ConstraintsOutput::Text => {
            match &pushed {
                Some(pushed) => print(format!("{}\n", pushed.reference).as_bytes())?,
                None => print(merged.text.as_bytes())?,
            }
            anstream::eprint!("{}", report(&merged, base.includes(), &refused));
        }
        ConstraintsOutput::Json => {
            let mut text = serde_json::to_vec(&MergeDocument {
                merged: &merged.text,
                digest: merged.digest(),
                entries: merged.entries,
                need_attention: merged.need_attention(),
                results: merged.outcomes.iter().map(OverrideLine::from).collect(),
                includes: base.includes(),
                refused_by_uv: refused,
                reference: pushed.as_ref().map(|pushed| pushed.reference.to_string()),
            })?;
            text.push(b'\n');
            print(&text)?;
        }
    }
    Ok(if options.strict && needs_attention {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    })
}

/// Pushes the merged file as an image that holds just `upper-constraints.txt`, the name that builds
/// mount it under.
fn push(options: &ConstraintsOptions, reference: &ImageReference, merged: &Merged) -> Result<Pushed, Error> {
    let contents = Contents {
        tree: None,
        files: vec![File {
            name: "upper-constraints.txt".to_owned(),
            content: merged.text.clone().into_bytes(),
        }],
    };
    let about = About {
        component: Some("upper-constraints".to_owned()),
        release: options.release.clone(),
        ..About::default()
    };
    let image = Image::new(layer::measure(&MemoryStore::new(), &contents)?, &about)?;
    options.registry.run(|registry| async move {
        registry
            .push(reference, &image, &contents, Arc::new(MemoryStore::new()))
            .await
    })
}

fn report(merged: &Merged, includes: &[Include], refused: &[RefusedEntry]) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_report(&mut text, merged, includes, refused);
    text
}

fn write_report(
    out: &mut String,
    merged: &Merged,
    includes: &[Include],
    refused: &[RefusedEntry],
) -> fmt::Result {
    for outcome in &merged.outcomes {
        let style = style(outcome.state);
        let word = outcome.state.as_str();
        write!(
            out,
            "{style}{word:<9}{style:#} {BOLD}{}{BOLD:#}  {}",
            plain(&outcome.package),
            plain(&outcome.message())
        )?;
        match outcome.line {
            Some(line) => writeln!(out, "  {DIM}line {line}{DIM:#}")?,
            None => writeln!(out)?,
        }
    }
    for Include { line, text } in includes {
        writeln!(
            out,
            "{ODD}warning{ODD:#}   line {line} of the upper constraints reads another file ({}): no override reaches into it",
            plain(text)
        )?;
    }
    for entry in refused {
        writeln!(out, "{ODD}warning{ODD:#}   {}", plain(&entry.to_string()))?;
    }
    let (overrides, attention) = (
        merged.outcomes.iter().filter(|o| o.line.is_some()).count(),
        merged.need_attention(),
    );
    let style = if attention > 0 { BAD } else { GOOD };
    writeln!(
        out,
        "{overrides} override{}, {style}{attention} need{} attention{style:#}; {} entries, {}",
        if overrides == 1 { "" } else { "s" },
        if attention == 1 { "s" } else { "" },
        merged.entries,
        merged.digest()
    )
}

/// The colour of a state.
fn style(state: OverrideState) -> Style {
    if state.needs_attention() { ODD } else { GOOD }
}
