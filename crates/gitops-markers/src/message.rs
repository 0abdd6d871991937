//! The message of a commit that delivers images.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::image::{DeliveredImage, PatchSetName};

/// The default template of a message.
pub const DEFAULT_MESSAGE: &str = "Deliver {images}\n\n{list}";

/// The key of the trailers that name images (git-interpret-trailers(1)).
const IMAGE_KEY: &str = "Patchset";

/// The key of the trailer with the commit that a commit on a separate branch was made on.
const PARENT_KEY: &str = "Patchset-Parent";

/// The longest message, in bytes, without its trailers.
const MAX_MESSAGE_BYTES: usize = 16 << 10;

/// How many images a subject names.
const MAX_NAMED: usize = 3;

/// How many images or files a text lists.
const MAX_LISTED: usize = 50;

/// What the trailers of a commit say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trailers {
    /// The images that wait on a branch with this commit, by their `PatchSet`.
    pub images: BTreeMap<PatchSetName, String>,
    /// The commit that this one was made on, if all commits of the branch since the followed one
    /// are this controller's.
    pub parent: Option<String>,
}

/// Reads the trailers of a message.
#[must_use]
pub fn parse_trailers(message: &str) -> Trailers {
    let mut trailers = Trailers::default();
    let last = message.trim_end().rsplit("\n\n").next().unwrap_or_default();
    for line in last.lines() {
        let Some((key, value)) = line.split_once(": ") else {
            continue;
        };
        if key == PARENT_KEY {
            trailers.parent = Some(value.trim().to_owned());
        } else if key == IMAGE_KEY
            && let Some((name, reference)) = value.split_once(' ')
            && let Ok(patch_set) = name.parse()
        {
            trailers.images.insert(patch_set, reference.trim().to_owned());
        }
    }
    trailers
}

/// Why there is no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// A name in braces that means nothing.
    #[error("{{{0}}} is unknown; there are {{images}}, {{list}} and {{files}}")]
    Unknown(String),
    /// An unmatched brace.
    #[error("it has an unmatched brace")]
    Braces,
    /// There is no first line.
    #[error("it begins with an empty line, but the first line is the subject")]
    NoSubject,
    /// It holds a control character.
    #[error("it holds a control character")]
    Control,
    /// It is too long.
    #[error("it makes a message of more than {MAX_MESSAGE_BYTES} bytes")]
    TooLong,
}

/// Writes a message from a template: `{images}` stands for the components with their tags, in one
/// line, `{list}` for a line per image with its `PatchSet`, reference and upstream revision, and
/// `{files}` for a line per changed file.
///
/// Trailers that name each image follow, and then the given ones.
///
/// # Errors
///
/// If the template is invalid, or makes no message.
pub fn commit_message(
    template: &str,
    images: &[&DeliveredImage],
    files: &[&str],
    given: &Trailers,
) -> Result<String, MessageError> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}').ok_or(MessageError::Braces)?;
        text.push_str(before);
        match name {
            "images" => text.push_str(&image_names(images)),
            "list" => text.push_str(&image_lines(images)),
            "files" => {
                let lines: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
                text.push_str(&shorten_list(lines));
            }
            other => return Err(MessageError::Unknown(other.chars().take(50).collect())),
        }
        rest = tail;
    }
    text.push_str(rest);
    if template
        .replace("{images}", "")
        .replace("{list}", "")
        .replace("{files}", "")
        .contains('}')
    {
        return Err(MessageError::Braces);
    }
    let text = text.trim_end();
    if text.is_empty() || text.starts_with(char::is_whitespace) {
        return Err(MessageError::NoSubject);
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(MessageError::Control);
    }
    if text.len() > MAX_MESSAGE_BYTES {
        return Err(MessageError::TooLong);
    }
    let mut message = format!("{text}\n\n");
    let mut references = given.images.clone();
    let delivered = images.iter();
    references.extend(delivered.map(|image| (image.patch_set.clone(), image.reference.clone())));
    for (patch_set, reference) in references {
        // Writing to a string does not fail.
        let _ = writeln!(message, "{IMAGE_KEY}: {patch_set} {reference}");
    }
    if let Some(parent) = &given.parent {
        let _ = writeln!(message, "{PARENT_KEY}: {parent}");
    }
    Ok(message)
}

/// Joins lines, at most [`MAX_LISTED`].
fn shorten_list(mut lines: Vec<String>) -> String {
    if let Some(more) = lines.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        lines.truncate(MAX_LISTED);
        lines.push(format!("… and {more} more"));
    }
    lines.join("\n")
}

fn image_names(images: &[&DeliveredImage]) -> String {
    let mut names: Vec<String> = images
        .iter()
        .take(MAX_NAMED)
        .map(|image| format!("{} {}", image.patch_set.name, image.tag))
        .collect();
    if let Some(more) = images.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
        names.push(format!("{more} more"));
    }
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

fn image_lines(images: &[&DeliveredImage]) -> String {
    let lines: Vec<String> = images
        .iter()
        .map(|image| {
            format!(
                "- {}: {} from {}",
                image.patch_set, image.reference, image.revision
            )
        })
        .collect();
    shorten_list(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::tests::image;

    #[test]
    fn a_message_names_what_is_delivered() {
        let (glance, nova) = (image("glance", "1"), image("nova", "2"));
        let images = [&glance, &nova];
        assert_eq!(
            commit_message(DEFAULT_MESSAGE, &images, &["a.yaml"], &Trailers::default()).unwrap(),
            "Deliver glance 1 and nova 2\n\n\
            - ours/glance: r/glance:1@sha256:00 from 31.0.0@sha1:00\n\
            - ours/nova: r/nova:2@sha256:00 from 31.0.0@sha1:00\n\n\
            Patchset: ours/glance r/glance:1@sha256:00\nPatchset: ours/nova r/nova:2@sha256:00\n"
        );
        let more = Trailers {
            images: BTreeMap::from([(PatchSetName::new("ours", "other"), "r/other:1@sha256:00".into())]),
            parent: Some("abc".into()),
        };
        let read = parse_trailers(&commit_message("x", &images, &[], &more).unwrap());
        assert_eq!((read.images.len(), read.parent.as_deref()), (3, Some("abc")));
        assert_eq!(
            read.images[&PatchSetName::new("ours", "glance")],
            "r/glance:1@sha256:00"
        );
        for other in [
            "",
            "Patchset: in/the subject\n\nand a text",
            "Merge branch 'x'\n\nPatchsets: a/b c\n",
            "x\n\nPatchset: a/b/c d\n",
        ] {
            assert_eq!(parse_trailers(other), Trailers::default(), "{other}");
        }
        let one = image("a", "1");
        let long = commit_message("x\n\n{list}\n{files}", &vec![&one; 500], &vec!["f"; 500], &more).unwrap();
        assert_eq!(long.matches("… and 450 more").count(), 2);
        let many = [&one; 5];
        let message = commit_message(
            "images: {images}\n\n{files}\n",
            &many,
            &["a.yaml", "b.yaml"],
            &Trailers::default(),
        )
        .unwrap();
        assert!(message.starts_with("images: a 1, a 1, a 1 and 2 more\n\na.yaml\nb.yaml\n\nPatchset: "));
    }

    #[test]
    fn lists_are_cut_where_they_are_too_long() {
        let one = image("a", "1");
        for (count, expected) in [
            (1, "a 1"),
            (2, "a 1 and a 1"),
            (3, "a 1, a 1 and a 1"),
            (4, "a 1, a 1, a 1 and 1 more"),
        ] {
            let message = commit_message("{images}", &vec![&one; count], &[], &Trailers::default());
            let message = message.unwrap();
            assert_eq!(message.lines().next(), Some(expected));
        }
        for (count, lines, more) in [(50, 51, 0), (51, 52, 1)] {
            let files = vec!["f"; count];
            let message = commit_message("x\n{files}", &[], &files, &Trailers::default()).unwrap();
            assert_eq!(message.trim_end().lines().count(), lines);
            assert_eq!(message.matches("… and 1 more").count(), more);
        }
    }

    #[test]
    fn what_makes_no_message_is_told() {
        let one = image("a", "1");
        let made = |template: &str| commit_message(template, &[&one], &[], &Trailers::default());
        assert_eq!(made("{nope}"), Err(MessageError::Unknown("nope".into())));
        assert_eq!(made("{images"), Err(MessageError::Braces));
        assert_eq!(made("images}"), Err(MessageError::Braces));
        assert_eq!(made("{files}"), Err(MessageError::NoSubject));
        assert_eq!(made("\nlate"), Err(MessageError::NoSubject));
        assert_eq!(made("bell \u{7}"), Err(MessageError::Control));
        assert!(made(&"a".repeat(MAX_MESSAGE_BYTES)).is_ok());
        assert_eq!(
            made(&"a".repeat(MAX_MESSAGE_BYTES + 1)),
            Err(MessageError::TooLong)
        );
    }
}
