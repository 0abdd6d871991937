//! Which value a comment marks.

use foreign_text::printable;
use granit_parser::ScalarStyle;

use super::stream::{Comment, Scalar, Stream};

const NO_VALUE: &str =
    "there is no value before it on its line: write the marker after the value that it marks";
/// Why a template cannot be edited.
pub(super) const TEMPLATE: &str = "it is a template ({{ … }}) and not YAML itself: mark its values file";

/// The scalar that a comment marks.
pub(super) fn marked_scalar<'a>(
    text: &str,
    stream: &'a Stream,
    comment: &Comment,
) -> Result<&'a Scalar, String> {
    let hash = comment.bytes.start - 1;
    let line_start = text[..hash].rfind(['\n', '\r']).map_or(0, |end| end + 1);
    let after = stream.scalars.partition_point(|scalar| scalar.bytes.start < hash);
    let scalar = after
        .checked_sub(1)
        .and_then(|index| stream.scalars.get(index))
        .filter(|scalar| scalar.bytes.end <= hash)
        .filter(|scalar| scalar.bytes.end > line_start)
        .ok_or(NO_VALUE)?;
    if matches!(scalar.style, ScalarStyle::Literal | ScalarStyle::Folded) {
        return Err("the value is a block of text: write it on one line, before the marker".to_owned());
    }
    if text[scalar.bytes.clone()].contains(['\n', '\r']) {
        return Err("the value spans several lines: write it on one line, before the marker".to_owned());
    }
    if let Some(tag) = &scalar.other_tag {
        return Err(format!(
            "the value's tag {} says that it is not a string: remove the tag",
            printable(tag, 100)
        ));
    }
    if text[line_start..comment.bytes.end].contains(['\u{85}', '\u{2028}', '\u{2029}']) {
        return Err("the line has a character at which some readers end it: remove it".to_owned());
    }
    let is_odd = |name: &str| {
        !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    let words = text[line_start..scalar.bytes.start.max(line_start)]
        .split_whitespace()
        .rev();
    let mut properties = words.take_while(|word| word.starts_with(['&', '!']));
    if properties.any(|word| word.strip_prefix('&').is_some_and(is_odd)) {
        return Err(
            "the name of the value's anchor ends earlier for some readers: use only letters, digits, _ and -"
                .to_owned(),
        );
    }
    if scalar.value.starts_with("ENC[AES256_GCM,") {
        return Err("the value is encrypted by SOPS: mark one that is not".to_owned());
    }
    let between = &text[scalar.bytes.end..hash];
    match between.trim_start_matches([' ', '\t', ',']).chars().next() {
        None => Ok(scalar),
        Some('}') if between.contains("}}") => Err(TEMPLATE.to_owned()),
        Some(']' | '}') => {
            Err("it is after a list or a map: write it after the value that it marks".to_owned())
        }
        Some(_) => Err(NO_VALUE.to_owned()),
    }
}
