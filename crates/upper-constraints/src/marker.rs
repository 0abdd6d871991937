//! Environment markers by PEP 508, within limits.
//!
//! The library turns a marker into a decision diagram, which may be exponential in the marker, and
//! keeps all diagrams for as long as the process runs, behind one lock that a panic would break. So
//! what could grow or panic there is refused before it sees it.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use pep440_rs::Version;
use pep508_rs::{MarkerTree, MarkerWarningKind};

/// The longest marker, in bytes.
const LONGEST: usize = 1024;

/// The most steps to read one marker: the comparisons in it, times their possible outcomes.
const MOST_STEPS: usize = 1024;

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
    let (mut comparisons, mut levels, mut rest) = (Comparisons::default(), 0_usize, text);
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
            comparisons.add(before, value);
            compatible(before, value, after)?;
        }
        rest = after;
    }
    match comparisons.steps() {
        steps if steps > MOST_STEPS => Err(format!(
            "takes {steps} steps to read, more than {MOST_STEPS}: compare fewer variables, or with \
             fewer values"
        )),
        _ => Ok(()),
    }
}

/// The comparisons of a marker. Each adds nodes to the library's diagram: for each variable at most
/// as many as the comparisons of the other variables have outcomes.
#[derive(Default)]
struct Comparisons<'a> {
    /// What each variable is compared with, and how: each tells one more range apart.
    ranges: HashMap<&'a str, HashSet<(&'a str, &'a str)>>,
    /// The others, which are nodes of their own, by how many values their lists have.
    lists: Vec<usize>,
    /// How many there are, with each value of a list.
    count: usize,
}

impl<'a> Comparisons<'a> {
    /// Adds the comparison with a value, which stands behind the text given.
    fn add(&mut self, before: &'a str, value: &'a str) {
        let is_symbol = |c| matches!(c, '<' | '=' | '>' | '~' | '!');
        let before = before.trim_end();
        let front = before.trim_end_matches(is_symbol);
        let operator = before.get(front.len()..).unwrap_or_default();
        let is_variable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        let variable = front.trim_end().rsplit(|c| !is_variable(c)).next();
        match variable {
            // Each extra is a variable of its own, which is there or not.
            Some(variable) if !operator.is_empty() && variable != "extra" => {
                self.ranges.entry(variable).or_default().insert((operator, value));
                self.count += 1;
            }
            _ => {
                let values = value.split_ascii_whitespace().count().max(1);
                self.lists.push(values);
                self.count += values;
            }
        }
    }

    /// About the most nodes that reading them makes: a version compared by `==` or `~=` tells two
    /// ranges apart, and counts as one.
    fn steps(&self) -> usize {
        let ranges = self.ranges.values().map(HashSet::len);
        let outcomes = ranges.chain(self.lists.iter().copied()).map(|values| values + 1);
        outcomes.fold(self.count, usize::saturating_mul)
    }
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
        let repeated = |comparison: &str, count| vec![comparison; count].join("or ");
        let contained = |count| repeated("'it\"s'in os_name ", count);
        let extras = |count| repeated("extra=='a' ", count);
        let list = |values| format!("python_version in '{}'", "3.9 ".repeat(values));
        let ranges = |values: usize| {
            let numbers = (0..values).map(|number| format!("os_name=='{number}'"));
            numbers.collect::<Vec<_>>().join("or ")
        };
        let levels = |n: usize| format!("{}os_name=='(('{}", "(".repeat(n), ")".repeat(n));
        let digits = |digits: usize| format!("python_version<='3.{}'", "9".repeat(digits));
        for (text, longer, error) in [
            (
                bytes(LONGEST),
                bytes(LONGEST + 1),
                "has 1025 bytes, more than 1024",
            ),
            (
                contained(7),
                contained(8),
                "takes 2048 steps to read, more than 1024",
            ),
            (extras(7), extras(8), "takes 2048 steps to read, more than 1024"),
            (list(31), list(32), "takes 1056 steps to read, more than 1024"),
            (ranges(31), ranges(32), "takes 1056 steps to read, more than 1024"),
            (levels(8), levels(9), "has more than 8 levels of parentheses"),
            (digits(19), digits(20), "has a number of more than 19 digits"),
        ] {
            assert_eq!(told(&text), "", "{text}");
            assert!(told(&longer).starts_with(error), "{longer}: {}", told(&longer));
        }
        let one_level = ["(os_name=='a')"; 16].join(" and ");
        assert_eq!(told(&one_level), "");
        // SQLAlchemy's for greenlet, as it is there, and as uv exports it.
        let machines = ["aarch64", "ppc64le", "x86_64", "amd64", "AMD64", "win32"];
        let nested = machines.map(|machine| format!("(platform_machine == \"{machine}\" or "));
        let real = format!(
            "python_version < \"3.14\" and {}platform_machine == \"WIN32\"{}",
            nested.concat(),
            ")".repeat(machines.len())
        );
        assert_eq!(told(&real), "");
        let exported = ["AMD64", "WIN32", "aarch64", "amd64", "ppc64le", "win32", "x86_64"]
            .map(|machine| format!("(python_full_version < '3.14' and platform_machine == '{machine}')"));
        assert_eq!(told(&exported.join(" or ")), "");
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
