//! Whether a text can stand in YAML without quotes, and is read as a string by every reader.

/// Words that YAML 1.1 or 1.2 reads as something else than a string, in lower case.
const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"];

/// Whether a text is a string as it stands, for readers of YAML 1.1 (<https://yaml.org/type/>) and 1.2. Where that is not
/// certain it is not: quotes do no harm.
pub(super) fn is_string(text: &str) -> bool {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@' | '+');
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    starts_well
        && text.chars().all(is_safe)
        && !text.ends_with(':')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
        && !may_be_number(text)
        && !may_be_date(text)
}

/// Integers in all bases and of base 60, and floats: anything that begins with a digit and has no letter besides those
/// of a number.
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
            assert!(!is_string(text), "{text}");
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
        ] {
            assert!(is_string(text), "{text}");
        }
    }
}
