//! Plans for people, for tools, and as commands.

use std::fmt::{self, Write};

use patchset_api::build::{Build, BuildStatus, SortableTag};
use patchset_api::image_test::{ImageTest, OnTestFailure, TestOrigin};
use patchset_api::status::{PatchState, PatchStatus};
use serde_json::{Value, json};

use super::image::RegistryImage;
use super::planning::Planned;
use crate::cli::error::Error;
use crate::cli::style::{BAD, BOLD, DIM, GOOD, ODD, plain};
use crate::plan::build::{INPUTS_LABEL, TIME};
use crate::recipe::Recipe;

/// For people.
pub(super) fn text(planned: &Planned<'_>, image: Option<&RegistryImage>) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_text(&mut out, planned, image);
    out
}

fn write_text(out: &mut String, planned: &Planned<'_>, image: Option<&RegistryImage>) -> fmt::Result {
    for library in &planned.libraries {
        write_patches(out, library)?;
    }
    write_patches(out, planned)?;
    let Some(recipe) = &planned.recipe else {
        return writeln!(
            out,
            "{BAD}not built{BAD:#}  patches do not apply; patchset apply says why"
        );
    };
    let build = &recipe.build;
    writeln!(out)?;
    if let Some(image) = &planned.spec.image {
        write_row(
            out,
            "image",
            build.target.as_deref().unwrap_or(&image.repository.0),
        )?;
    }
    for tag in &build.moving_tags {
        write_row(out, "also", tag)?;
    }
    if let Some(sortable) = &build.sortable_tag {
        write_row(out, "also", &sortable_tag(sortable))?;
    }
    if recipe.unpinned.is_empty() {
        write_row(out, "inputs", build.inputs_digest.as_str())?;
    }
    for reason in &build.reasons {
        write_row(out, "reason", &format!("{reason:?}"))?;
    }
    if let Some(dockerfile) = &build.dockerfile {
        write_row(out, "dockerfile", dockerfile)?;
    }
    for (name, reference) in &build.contexts {
        write_row(out, "context", &format!("{name} = {reference}"))?;
    }
    for (name, value) in &build.args {
        write_row(out, "argument", &format!("{name}={value}"))?;
    }
    for platform in &build.platforms {
        write_row(out, "platform", platform)?;
    }
    for test in &planned.spec.tests {
        write_row(out, "test", &test_in_words(test))?;
    }
    if !recipe.unpinned.is_empty() {
        writeln!(
            out,
            "{ODD}unknown{ODD:#}     {}: {} named by tag, and what that stands for was not looked up",
            plain(&unknown_parts(planned.spec)),
            plain(&unpinned_contexts(recipe)),
        )?;
    }
    match image {
        None => Ok(()),
        Some(RegistryImage::Absent) => {
            write_row(out, "registry", "the image does not exist yet: it would be built")
        }
        Some(RegistryImage::Built { digest }) => writeln!(
            out,
            "{GOOD}registry{GOOD:#}    the image exists, built from these inputs: nothing would be built ({digest})"
        ),
        Some(RegistryImage::TagTaken {
            digest,
            inputs_digest,
        }) => writeln!(
            out,
            "{BAD}registry{BAD:#}    the tag is on another image ({digest}), built from {}: use {{inputs}} in build.image.tag",
            plain(inputs_digest.as_deref().unwrap_or("unknown inputs"))
        ),
    }
}

/// What is run, and where, before the image counts.
fn test_in_words(test: &ImageTest) -> String {
    let place = match (&test.image, test.from) {
        (Some(image), TestOrigin::Source) => format!("in {image}, over the patched source"),
        _ => "in the image".to_owned(),
    };
    let failure = match test.on_failure() {
        OnTestFailure::Block => "",
        OnTestFailure::Report => "; a failure is only reported",
    };
    let words: Vec<String> = test
        .command
        .iter()
        .chain(&test.args)
        .map(|word| quote_word(word))
        .collect();
    format!("{} {place}: {}{failure}", test.name, words.join(" "))
}

/// The inputs digest and the tags that contain it.
fn unknown_parts(spec: &Build) -> String {
    let mut untold = vec!["the inputs digest"];
    if let Some(image) = &spec.image {
        let tells = |template: &&String| template.contains("{inputs}");
        untold.extend(Some("the tag").filter(|_| image.tag().contains("{inputs}")));
        let further = image.moving_tags.iter().chain(&image.sortable_tag);
        untold.extend(further.filter(tells).map(String::as_str));
    }
    untold.join(" and ")
}

/// The sortable tag, with a placeholder for a time that is not known.
fn sortable_tag(sortable: &SortableTag) -> String {
    match sortable.time {
        Some(_) => sortable.tag.clone(),
        None => format!(
            "{}, with the time (UTC) since when the controller wants the image",
            sortable.tag.replace(TIME, "YYYYMMDDhhmmss")
        ),
    }
}

/// The contexts that are not pinned, with their verb.
fn unpinned_contexts(recipe: &Recipe) -> String {
    let names: Vec<&str> = recipe.unpinned.iter().map(String::as_str).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", names.join(", "))
}

fn repository(target: &str) -> String {
    target
        .rsplit_once(':')
        .map_or(target, |(repository, _)| repository)
        .to_owned()
}

fn write_row(out: &mut String, what: &str, value: &str) -> fmt::Result {
    writeln!(out, "{DIM}{what:<10}{DIM:#}  {}", plain(value))
}

fn write_patches(out: &mut String, planned: &Planned<'_>) -> fmt::Result {
    writeln!(
        out,
        "{BOLD}{}{BOLD:#}  {DIM}{}{DIM:#}",
        plain(&planned.name),
        plain(&planned.revision)
    )?;
    for patch in &planned.patches {
        let style = match patch.state {
            PatchState::Clean => GOOD,
            PatchState::Offset | PatchState::Merged => ODD,
            PatchState::Conflict | PatchState::Malformed | PatchState::Blocked => BAD,
        };
        write!(
            out,
            "{style}{:<10}{style:#}  {}",
            patch.state.as_str(),
            plain(&patch.name)
        )?;
        if let Some(message) = &patch.message {
            write!(out, "  {DIM}{}{DIM:#}", plain(message))?;
        }
        writeln!(out)?;
    }
    if planned.patches.is_empty() {
        writeln!(out, "{DIM}no patches{DIM:#}")?;
    }
    Ok(())
}

/// The JSON output. Other tools read it: fields may be added, not changed.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanDocument<'a> {
    name: &'a str,
    applies: bool,
    revision: &'a str,
    patches: &'a [PatchStatus],
    libraries: Vec<LibraryDocument<'a>>,
    /// As the status of the PatchSet has it. Lacks `inputsDigest` and the tags that contain it if
    /// contexts are not pinned, and the sortable tag if its time is not known.
    build: Option<Value>,
    /// The tests of the image, as the PatchSet has them.
    tests: &'a [ImageTest],
    /// The contexts whose tags were not looked up.
    unpinned: Vec<&'a str>,
    /// Whether the registry has the image, where that was asked.
    image: Option<&'a RegistryImage>,
}

/// A library.
#[derive(serde::Serialize)]
struct LibraryDocument<'a> {
    name: &'a str,
    revision: &'a str,
    patches: &'a [PatchStatus],
}

/// For tools.
pub(super) fn json(planned: &Planned<'_>, image: Option<&RegistryImage>) -> Result<String, Error> {
    let libraries = planned.libraries.iter().map(|library| LibraryDocument {
        name: &library.name,
        revision: &library.revision,
        patches: &library.patches,
    });
    let recipe = planned.recipe.as_ref();
    let unpinned = recipe.into_iter().flat_map(|recipe| &recipe.unpinned);
    let document = PlanDocument {
        name: &planned.name,
        applies: planned.applies(),
        revision: &planned.revision,
        patches: &planned.patches,
        libraries: libraries.collect(),
        build: recipe.map(known_status),
        tests: &planned.spec.tests,
        unpinned: unpinned.map(String::as_str).collect(),
        image,
    };
    let mut text = serde_json::to_string(&document)?;
    text.push('\n');
    Ok(text)
}

/// What is known of a build's status.
fn known_status(recipe: &Recipe) -> Value {
    let build = &recipe.build;
    let is_dated = |sortable: &SortableTag| sortable.time.is_some();
    let mut value = json!(BuildStatus {
        sortable_tag: build.sortable_tag.clone().filter(is_dated),
        ..build.clone()
    });
    if let Value::Object(fields) = &mut value
        && !recipe.unpinned.is_empty()
    {
        fields.remove("inputsDigest");
    }
    value
}

/// A command for buildah.
pub(super) fn buildah(planned: &Planned<'_>) -> Result<String, Error> {
    let (build, target) = require_buildable(planned)?;
    let mut words = vec!["buildah".to_owned(), "build".to_owned()];
    if build.platforms.is_empty() {
        words.push(format!("--tag={target}"));
    } else {
        words.push(format!("--platform={}", build.platforms.join(",")));
        words.push(format!("--manifest={target}"));
    }
    words.push(format!("--label={INPUTS_LABEL}={}", build.inputs_digest));
    if let Some((file, stage)) = dockerfile(planned) {
        words.push(format!("--file={file}"));
        words.extend(stage.iter().map(|stage| format!("--target={stage}")));
    }
    for (name, reference) in &build.contexts {
        words.push(format!("--build-context={name}=docker://{reference}"));
    }
    for (name, value) in &build.args {
        words.push(format!("--build-arg={name}={value}"));
    }
    words.push(".".to_owned());
    let push: &[&str] = if build.platforms.is_empty() {
        &["buildah", "push"]
    } else {
        &["buildah", "manifest", "push", "--all"]
    };
    let mut text = shell_command(&words);
    for tag in std::iter::once(target.to_owned()).chain(
        build
            .moving_tags
            .iter()
            .map(|tag| format!("{}:{tag}", repository(target))),
    ) {
        let mut words: Vec<String> = push.iter().map(|word| (*word).to_owned()).collect();
        words.extend([target.to_owned(), format!("docker://{tag}")]);
        text.push_str(&shell_command(&words));
    }
    Ok(text)
}

/// A command for buildctl.
pub(super) fn buildctl(planned: &Planned<'_>) -> Result<String, Error> {
    let (build, target) = require_buildable(planned)?;
    let mut words: Vec<String> = [
        "buildctl",
        "build",
        "--frontend=dockerfile.v0",
        "--local=context=.",
    ]
    .map(ToOwned::to_owned)
    .to_vec();
    words.push("--local=dockerfile=.".to_owned());
    let mut option = |text: String| words.push(format!("--opt={text}"));
    if let Some((file, stage)) = dockerfile(planned) {
        option(format!("filename={file}"));
        if let Some(stage) = stage {
            option(format!("target={stage}"));
        }
    }
    if !build.platforms.is_empty() {
        option(format!("platform={}", build.platforms.join(",")));
    }
    option(format!("label:{INPUTS_LABEL}={}", build.inputs_digest));
    for (name, reference) in &build.contexts {
        option(format!("context:{name}=docker-image://{reference}"));
    }
    for (name, value) in &build.args {
        option(format!("build-arg:{name}={value}"));
    }
    let names: Vec<String> = std::iter::once(target.to_owned())
        .chain(
            build
                .moving_tags
                .iter()
                .map(|tag| format!("{}:{tag}", repository(target))),
        )
        .collect();
    // The exporter's options are fields of CSV: several names are one field.
    let names = match names.as_slice() {
        [one] => format!("name={one}"),
        several => format!("\"name={}\"", several.join(",")),
    };
    words.push(format!("--output=type=image,{names},push=true"));
    Ok(shell_command(&words))
}

/// The Dockerfile's name in its folder, and the stage.
fn dockerfile<'a>(planned: &Planned<'a>) -> Option<(&'a str, Option<&'a str>)> {
    let source = planned.spec.dockerfile.as_ref()?;
    Some((source.file(), source.stage.as_deref()))
}

/// Requires a build of an image whose inputs are known.
fn require_buildable<'a>(planned: &'a Planned<'_>) -> Result<(&'a BuildStatus, &'a str), Error> {
    let refused = |why: &str| Error::Usage(format!("PatchSet {}: {why}", planned.name));
    let recipe = planned
        .recipe
        .as_ref()
        .ok_or_else(|| refused("patches do not apply: there is nothing to build"))?;
    if planned.spec.image.is_none() {
        return Err(refused(
            "only its source is published: set build.image to build one",
        ));
    }
    let target = recipe.build.target.as_deref();
    target
        .filter(|_| recipe.unpinned.is_empty())
        .map(|target| (&recipe.build, target))
        .ok_or_else(|| {
            refused(&format!(
                "{} named by tag: leave out --offline to look up what it is built from",
                unpinned_contexts(recipe)
            ))
        })
}

/// A command for a POSIX shell, one word a line.
fn shell_command(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote_word(word)).collect();
    format!("{}\n", quoted.join(" \\\n  "))
}

fn quote_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_program_as_they_are() {
        assert_eq!(quote_word("--build-arg=A=b"), "--build-arg=A=b");
        assert_eq!(quote_word("A=it's $x"), r"'A=it'\''s $x'");
        assert_eq!(quote_word(""), "''");
    }
}
