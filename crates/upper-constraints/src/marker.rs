//! Environment markers by PEP 508, within limits.
//!
//! The library turns a marker into a decision diagram, which may be exponential in the marker, and
//! keeps all diagrams for as long as the process runs, behind one lock that a panic would break. So
//! what could grow or panic there is refused before it sees it.

use std::collections::HashMap;
use std::str::FromStr;

use pep440_rs::Version;
use pep508_rs::{MarkerTree, MarkerWarningKind};

/// The longest marker, in bytes.
const LONGEST: usize = 512;

/// The most values in one marker. Each of a list counts, because each widens the diagram.
const MOST_VALUES: usize = 8;

/// The most levels of parentheses.
const MOST_LEVELS: usize = 8;

/// The most digits in a row: the library adds one to numbers of 64 bits.
const MOST_DIGITS: usize = 19;

/// The most different markers in one file.
const MOST_DIFFERENT: usize = 64;

/// The markers of one file.
#[derive(Default)]
pub(super) struct Markers(HashMap<String, Result<MarkerTree, String>>);

impl Markers {
    /// Reads a marker.
    ///
    /// # Errors
    ///
    /// What is wrong with it, to be put behind "the marker".
    pub(super) fn read(&mut self, text: &str) -> Result<MarkerTree, String> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        if self.0.len() == MOST_DIFFERENT {
            return Err(format!(
                "is one more than the {MOST_DIFFERENT} different ones of a file: use fewer"
            ));
        }
        let marker = within_limits(text).and_then(|()| read(text));
        self.0.insert(text.to_owned(), marker.clone());
        marker
    }
}

/// Refuses what the library must not see.
fn within_limits(text: &str) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!(
            "has {} bytes, more than {LONGEST}: shorten it",
            text.len()
        ));
    }
    ascii(text)?;
    if text
        .as_bytes()
        .chunk_by(|a, b| a.is_ascii_digit() && b.is_ascii_digit())
        .any(|run| run.len() > MOST_DIGITS)
    {
        return Err(format!(
            "has a number of more than {MOST_DIGITS} digits: shorten it"
        ));
    }
    let (mut values, mut levels, mut rest) = (0, 0_usize, text);
    while !rest.is_empty() {
        let (before, value, after) = next_value(rest);
        for c in before.chars() {
            match c {
                '(' => levels += 1,
                ')' => levels = levels.saturating_sub(1),
                _ => {}
            }
            if levels > MOST_LEVELS {
                return Err(format!(
                    "has more than {MOST_LEVELS} levels of parentheses: use fewer"
                ));
            }
        }
        if let Some(value) = value {
            values += value.split_ascii_whitespace().count().max(1);
            compatible(before, value, after)?;
        }
        rest = after;
    }
    if values > MOST_VALUES {
        return Err(format!(
            "compares with {values} values, more than {MOST_VALUES}: shorten it"
        ));
    }
    Ok(())
}

/// Splits a text at its first value in quotes.
fn next_value(text: &str) -> (&str, Option<&str>, &str) {
    let is_quote = |c| matches!(c, '\'' | '"');
    let quoted = text.find(is_quote).and_then(|at| {
        let (before, quoted) = text.split_at_checked(at)?;
        let quote = quoted.chars().next()?;
        let (value, after) = quoted.strip_prefix(quote)?.split_once(quote)?;
        Some((before, Some(value), after))
    });
    quoted.unwrap_or((text, None, ""))
}

/// Refuses `~=` where the library panics (behind a value) or reads it wrongly: it leaves out zeros
/// at the end, though `~=3.9.0` is not `~=3.9`.
fn compatible(before: &str, value: &str, after: &str) -> Result<(), String> {
    if after.trim_start().starts_with("~=") {
        return Err("has ~= behind a value, where pip and uv differ: put the value last".into());
    }
    let ends_in_zero = |version: Version| matches!(version.release(), [_, _, .., 0]);
    if before.trim_end().ends_with("~=") && Version::from_str(value).is_ok_and(ends_in_zero) {
        return Err(format!(
            "compares by ~= with {value:?}, which ends in zero: write >= and < instead"
        ));
    }
    Ok(())
}

/// The grammar of PEP 508 knows no other characters, and the library panics on some.
pub(super) fn ascii(text: &str) -> Result<(), String> {
    match text.chars().find(|c| !c.is_ascii()) {
        Some(c) => Err(format!("has {c:?}, and only ASCII is allowed there (PEP 508)")),
        None => Ok(()),
    }
}

fn read(text: &str) -> Result<MarkerTree, String> {
    let mut ignored = None;
    let read = MarkerTree::parse_reporter(text, &mut |kind, warning: String| {
        if kind != MarkerWarningKind::DeprecatedMarkerName {
            ignored.get_or_insert(warning);
        }
    });
    match (read, ignored) {
        (Err(error), _) => Err(format!("is not valid (PEP 508): {}", error.message)),
        // uv leaves the comparison out, pip compares texts or fails.
        (Ok(_), Some(warning)) => {
            let warning: Vec<&str> = warning.split_whitespace().collect();
            Err(format!(
                "is read differently by pip and uv: {}",
                warning.join(" ")
            ))
        }
        (Ok(marker), None) => Ok(marker),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        Markers::default().read(text).err().unwrap_or_default()
    }

    #[test]
    fn markers_are_the_same_by_meaning() {
        let marker = |text: &str| Markers::default().read(text).unwrap();
        let one = marker("python_version=='3.9'");
        assert_eq!(one, marker("python_version == \"3.9\""));
        assert_ne!(one, marker("python_version>='3.10'"));
        assert!(one.is_disjoint(&marker("python_version>='3.10'")));
    }

    #[test]
    fn a_marker_has_limits() {
        let bytes = |bytes: usize| format!("os_name=='{}'", "x".repeat(bytes - 11));
        let values = |values: usize| vec!["'it\"s'in os_name"; values].join(" or ");
        let list = |values: usize| format!("python_version in '{}'", "3.9 ".repeat(values));
        let empty = |values: usize| vec!["os_name==''"; values].join("or ");
        let levels = |n: usize| format!("{}os_name=='(('{}", "(".repeat(n), ")".repeat(n));
        let digits = |digits: usize| format!("python_version<='3.{}'", "9".repeat(digits));
        for (text, longer, error) in [
            (bytes(LONGEST), bytes(LONGEST + 1), "has 513 bytes, more than 512"),
            (values(8), values(9), "compares with 9 values, more than 8"),
            (list(8), list(9), "compares with 9 values, more than 8"),
            (empty(8), empty(9), "compares with 9 values, more than 8"),
            (levels(8), levels(9), "has more than 8 levels of parentheses"),
            (digits(19), digits(20), "has a number of more than 19 digits"),
        ] {
            assert_eq!(told(&text), "", "{text}");
            assert!(told(&longer).starts_with(error), "{longer}: {}", told(&longer));
        }
        let one_level = ["(os_name=='a')"; MOST_VALUES].join(" and ");
        assert_eq!(told(&one_level), "");
        // SQLAlchemy's for greenlet has the most that is known of real ones.
        let machines = ["aarch64", "ppc64le", "x86_64", "amd64", "AMD64", "win32"];
        let nested = machines.map(|machine| format!("(platform_machine == \"{machine}\" or "));
        let real = format!(
            "python_version < \"3.14\" and {}platform_machine == \"WIN32\"{}",
            nested.concat(),
            ")".repeat(machines.len())
        );
        assert_eq!(told(&real), "");
    }

    #[test]
    fn a_file_has_a_limit_of_different_markers() {
        let mut markers = Markers::default();
        for number in 0..MOST_DIFFERENT {
            // What is wrong counts, because the library has seen it.
            let end = if number % 2 == 0 { "" } else { " or" };
            let text = format!("os_name=='{number}'{end}");
            assert_eq!(markers.read(&text).is_ok(), end.is_empty());
        }
        let error = markers.read("os_name=='x'").unwrap_err();
        assert!(
            error.starts_with("is one more than the 64 different ones"),
            "{error}"
        );
        assert!(markers.read("os_name=='0'").is_ok());
    }

    #[test]
    fn what_pip_and_uv_read_differently_is_refused() {
        for text in [
            "python_version >= '3.x'",
            "'3.*' == python_version",
            "python_version in '3.9, 3.10'",
            "python_version ~= '3'",
            "python_version >= os_name",
            "os_name ~= 'a'",
            "os_name == sys_platform",
            "'a' == 'b'",
            "extra > 'a'",
            "extra == os_name",
            "os_name == 'a' and python_version >= '3.x'",
        ] {
            let error = told(text);
            assert!(
                error.starts_with("is read differently by pip and uv: ") && !error.contains('\n'),
                "{text}: {error}"
            );
        }
        for text in ["python_version ~= '3.1.0'", "python_full_version~=\" 3.10.0rc1\""] {
            assert!(told(text).starts_with("compares by ~= with"), "{text}");
        }
        for text in [
            "python_version ~= '3.0'",
            "python_full_version~='3.9.1'",
            "os.name=='nt'",
        ] {
            assert_eq!(told(text), "", "{text}");
        }
        assert!(told("nonsense").starts_with("is not valid (PEP 508): Expected a quoted string"));
        assert!(told("os_name=='\u{fc}'").starts_with("has 'ü', and only ASCII"));
    }

    #[test]
    fn what_the_library_panics_on_is_refused() {
        for text in ["'a' ~= os_name", "\"3.9\"~=python_version"] {
            assert!(told(text).starts_with("has ~= behind a value"), "{text}");
        }
        let sides = [
            "python_version",
            "implementation_version",
            "os_name",
            "extra",
            "'3'",
            "'3.0'",
            "'3.1.*'",
            "'0'",
            "''",
            "'a b'",
            "'18446744073709551615'",
            "'3.9999999999999999999'",
            "'3.9999999999999999999.*'",
            "'",
            "x",
        ];
        for operator in ["==", "!=", "<", "<=", ">", ">=", "~=", "===", " in ", " not in "] {
            for (left, right) in sides.iter().flat_map(|left| sides.map(|right| (left, right))) {
                let text = format!("{left}{operator}{right}");
                // Reading it again shows whether the library's lock is still whole.
                assert_eq!(told(&text), told(&text), "{text}");
            }
        }
    }
}
