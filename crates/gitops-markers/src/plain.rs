//! Whether a text can stand in YAML without quotes, and is read as a string by every reader.

use std::sync::LazyLock;

use regex::Regex;

/// Words that YAML 1.1 or 1.2 reads as something other than a string, in lower case.
const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"];

/// Matches plain scalars that are not a string to go-yaml 2 and 3 (their `resolve.go`), YAML 1.1 as
/// `PyYAML` reads it, or YAML 1.2 (10.3.2). Lengths and ranges are ignored: what is too large for a
/// number is quoted too.
static NOT_A_STRING: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let integer = "[-+]?(0x[0-9a-fA-F_]+|0b[01_]+|0[0-7_]*|[1-9][0-9_]*)|0o[0-7]+";
    let sixty = "[-+]?([1-9][0-9_]*(:[0-5]?[0-9])+|[0-9][0-9_]*(:[0-5]?[0-9])+\\.[0-9_]*)";
    let float = "[-+]?(\\.[0-9][0-9_]*|[0-9][0-9_]*(\\.[0-9_]*)?)([eE][-+]?[0-9]+)?";
    let named = "[-+]?\\.(inf|Inf|INF|nan|NaN|NAN)";
    let time = "([Tt]|[ \\t]+)[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}([.,][0-9]*)?([ \\t]*(Z|[-+][0-9]{1,2}(:?[0-9]{2})?))?";
    let date = format!("[0-9]{{4}}-[0-9]{{1,2}}-[0-9]{{1,2}}({time})?");
    let word = "(?i:y|yes|n|no|true|false|on|off|null)";
    Regex::new(&format!(
        "^({integer}|{sixty}|{float}|{named}|{date}|{word}|~||=|<<)$"
    ))
    .ok()
});

/// Matches numbers of go-yaml, which removes all `_` first, and takes a sign after `0b` and `0o`.
static NUMBER_OF_GO: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let integer = "[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0[0-7]*|[1-9][0-9]*)";
    let float = "[-+]?(\\.[0-9]+|[0-9]+(\\.[0-9]*)?)([eE][-+]?[0-9]+)?";
    Regex::new(&format!("^({integer}|{float}|0b[-+]?[01]+|0o[-+]?[0-7]+)$")).ok()
});

/// Whether a plain scalar is a string to every reader that counts.
pub(super) fn reads_as_string(text: &str) -> bool {
    let matches = |pattern: &LazyLock<Option<Regex>>, text: &str| {
        pattern.as_ref().is_none_or(|pattern| pattern.is_match(text))
    };
    let may_be_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'));
    !(matches(&NOT_A_STRING, text) || may_be_number && matches(&NUMBER_OF_GO, &text.replace('_', "")))
}

/// Whether a text can be written without quotes, and is read as a string, for readers of YAML 1.1
/// (<https://yaml.org/type/>) and 1.2.
///
/// `false` if that is not certain: quotes do no harm.
pub(super) fn is_safe_plain(text: &str) -> bool {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@' | '+');
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    starts_well
        && text.chars().all(is_safe)
        && !text.ends_with(':')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
        && !may_be_number(text)
        && !may_be_date(text)
        && reads_as_string(text)
}

/// Integers in all bases and of base 60, and floats: anything that begins with a digit and has no
/// letter besides those of a number.
fn may_be_number(text: &str) -> bool {
    let rest = text.trim_start_matches(['+', '-']);
    let is_based = |prefix: &str| {
        let digits = rest.strip_prefix(prefix);
        digits.is_some_and(|digits| digits.chars().all(|c| c.is_ascii_hexdigit() || c == '_'))
    };
    let is_decimal = |c: char| c.is_ascii_digit() || matches!(c, '_' | '.' | ':' | 'e' | 'E' | '+' | '-');
    let first = rest.trim_start_matches('.');
    first.starts_with(|c: char| c.is_ascii_digit() || c == '_')
        && (["0x", "0X", "0o", "0b", "0B"].into_iter().any(is_based) || rest.chars().all(is_decimal))
}

/// `2001-12-14`, with whatever follows.
fn may_be_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let is_number = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()))
    };
    is_number(parts.next())
        && is_number(parts.next())
        && parts
            .next()
            .is_some_and(|day| day.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_string_to_every_reader_is_told_from_the_rest() {
        for text in [
            "1.20",
            "0362525",
            "706798e8",
            "true",
            "y",
            "=",
            "<<",
            "~",
            ".inf",
            "-.INF",
            ".NaN",
            "0O17",
            "0_b11",
            "0_x1f",
            "0_o17",
            "0b-0",
            "1_000",
            "190:20:30",
            "2001-12-14",
            "2001-1-1t1:2:3Z",
            "+1",
            "-1",
            "1.",
            ".5",
            "",
        ] {
            assert!(!reads_as_string(text), "{text}");
            assert!(!is_safe_plain(text), "{text}");
        }
        for text in [
            "1.2.3",
            "31.0.0-p2",
            "latest",
            "1f0c2d3",
            "0x",
            "0b2",
            "12e",
            "2025.2",
            "1:2:3:x",
            "a=b",
        ] {
            assert_eq!(reads_as_string(text), text != "2025.2", "{text}");
        }
    }

    #[test]
    fn what_may_be_read_otherwise_is_no_string() {
        for text in [
            "",
            "1",
            "1.10",
            "2025",
            "1e3",
            "1E+3",
            "0x1F",
            "0o17",
            "0b11",
            "017",
            "1_000",
            "190:20:30",
            "1.",
            "2001-12-14",
            "2001-12-14t21:59:43.10-05:00",
            // Some reader might take these for more than text.
            "2001-12-1x",
            "1.2.3",
            "1:2:3.",
            "0o9",
            "0o9a_",
            "_1",
            "yes",
            "No",
            "TRUE",
            "null",
            "~",
            "a b",
            "a: b",
            "x:",
            "#a",
            "-a",
            ".5",
            "@a",
            "a\"b",
            "é",
            "y",
        ] {
            assert!(!is_safe_plain(text), "{text}");
        }
        for text in [
            "v1.10",
            "1.10-p2",
            "31.0.0-p2-stable-2025.2-1f0c2d3",
            "sha256:00ff",
            "registry.example.org:5000/glance:1@sha256:00",
            "10.0.0.1:5000/x:1",
            "latest",
            "1f0c2d3",
            "_x",
            "e",
            "rel-eng-1x",
            "rel-1eng",
            "31-p2",
            "rel-2001-12",
        ] {
            assert!(is_safe_plain(text), "{text}");
        }
    }
}
