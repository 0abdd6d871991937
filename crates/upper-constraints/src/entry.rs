//! One entry of a constraints file, read by PEP 508.

use std::convert::Infallible;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use pep440_rs::{Operator, Version};
use pep508_rs::{ExtraName, MarkerTree, PackageName, Pep508Url, Requirement, VersionOrUrl};

use super::marker::{Markers, ascii};

/// The longest requirement in bytes, without its hashes.
const LONGEST: usize = 2048;

/// The most entries of one package: each is compared with each.
pub(super) const MOST_OF_ONE: usize = 32;

/// The operator of a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinOperator {
    /// `==`, which compares by PEP 440.
    Equal,
    /// `===`, which compares texts.
    ArbitraryEqual,
}

impl PinOperator {
    /// Returns the operator as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::ArbitraryEqual => "===",
        }
    }
}

impl fmt::Display for PinOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an entry allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// `===` or `==` and one version.
    #[non_exhaustive]
    Exact {
        /// The operator.
        operator: PinOperator,
        /// The version as it is written.
        text: String,
        /// The version by PEP 440; absent for other texts, which pip's `===` takes and uv refuses.
        version: Option<Version>,
    },
    /// Other specifiers, as they are written; empty where any version is allowed.
    Range(String),
    /// An address. It is not kept, because it may hold credentials.
    Url,
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(text) if text.is_empty() => f.write_str("any version"),
            Self::Exact { text, .. } | Self::Range(text) => f.write_str(text),
            Self::Url => f.write_str("an address"),
        }
    }
}

/// One entry.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// Its first line, from 1.
    pub line: usize,
    /// The package.
    pub name: PackageName,
    /// The package's name as it is written.
    pub spelled: String,
    /// What it allows.
    pub pin: Pin,
    /// Where it holds: always true without a marker.
    pub marker: MarkerTree,
    /// The marker as it is written.
    pub marker_text: Option<String>,
    /// Its bytes with the line's ending.
    pub(super) whole: Range<usize>,
    /// Its bytes without white space and comments around it.
    pub(super) body: Range<usize>,
}

/// An entry before its place in a file is known.
pub(super) struct Parsed {
    pub(super) name: PackageName,
    pub(super) spelled: String,
    pub(super) pin: Pin,
    pub(super) marker: MarkerTree,
    pub(super) marker_text: Option<String>,
}

/// An address that is neither read nor kept.
#[derive(Debug)]
struct Address;

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address")
    }
}

impl Pep508Url for Address {
    type Err = Infallible;

    fn parse_url(_: &str, _: Option<&Path>) -> Result<Self, Self::Err> {
        Ok(Self)
    }
}

/// The sentence about an entry for which there is no room.
pub(super) fn one_too_many(name: &PackageName) -> String {
    format!("is one more than the {MOST_OF_ONE} entries that {name} may have: remove some")
}

/// Reads the text of a logical line that is no option.
///
/// # Errors
///
/// A sentence, if neither pip nor uv would accept it as a constraint.
pub(super) fn parse(text: &str, markers: &mut Markers) -> Result<Parsed, String> {
    let text = without_options(text);
    if text.len() > LONGEST {
        return Err(format!("has {} bytes, more than {LONGEST}", text.len()));
    }
    ascii(text)?;
    let spelled = name_in_front(text);
    if spelled.is_empty() {
        return Err(
            "is not a constraint: an entry starts with a package's name, as in name===1.2.3".to_owned(),
        );
    }
    let rest = text.get(spelled.len()..).unwrap_or_default();
    if let Some(wrong) = wrong_name(spelled, rest) {
        return Err(format!("has {wrong:?}, which is not a valid name (PEP 508)"));
    }
    let extras = rest
        .trim_start()
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'));
    if let Some((extras, _)) = extras
        && !extras.trim().is_empty()
    {
        return Err(format!(
            "has extras, with which pip refuses the whole file (\"Constraints cannot have extras\"): write {spelled} without [{}]",
            extras.trim()
        ));
    }
    let (specifier, marker_text) = split_marker(rest);
    // Both tools allow a comma at the end, the library does not.
    let requirement = format!("{spelled} {}", specifier.strip_suffix(',').unwrap_or(specifier));
    let (name, pin) = match Requirement::<Address>::parse_reporter(&requirement, "", &mut |_, _| {}) {
        Ok(requirement) => (requirement.name, pin(requirement.version_or_url, specifier)),
        Err(error) => arbitrary(spelled, specifier)
            .ok_or_else(|| format!("is not a constraint that pip and uv read: {}", error.message))?,
    };
    let marker = match marker_text {
        Some(marker) => markers
            .read(marker)
            .map_err(|error| format!("has a marker that {error}"))?,
        None => MarkerTree::TRUE,
    };
    Ok(Parsed {
        name,
        spelled: spelled.to_owned(),
        pin,
        marker,
        marker_text: marker_text.map(ToOwned::to_owned),
    })
}

/// Cuts off `--hash` and the other options of one requirement: they start at the first word that
/// begins with a dash (pip's `break_args_options`).
pub(super) fn without_options(text: &str) -> &str {
    let mut from = 0;
    for word in text.split(' ') {
        if word.starts_with('-') {
            return text.get(..from).unwrap_or(text).trim_end();
        }
        from += word.len() + 1;
    }
    text
}

/// The characters of a name at the start of a text.
pub(super) fn name_in_front(text: &str) -> &str {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')))
        .unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// Returns a name of the package or of an extra that is invalid. The library assumes that what it
/// reads as a name is valid, and panics if it is not.
fn wrong_name<'a>(spelled: &'a str, rest: &'a str) -> Option<&'a str> {
    if PackageName::from_str(spelled).is_err() {
        return Some(spelled);
    }
    let extras = rest.trim_start().strip_prefix('[')?.split(']').next()?;
    extras
        .split(',')
        .map(str::trim)
        .find(|extra| !extra.is_empty() && ExtraName::from_str(extra).is_err())
}

/// Splits what follows a name into specifier and marker.
///
/// An address may hold a semicolon: a marker after one needs a blank before the semicolon (PEP
/// 508).
pub(super) fn split_marker(rest: &str) -> (&str, Option<&str>) {
    let is_address = rest.trim_start().starts_with('@');
    let semicolon = rest.match_indices(';').find(|(at, _)| {
        let before = rest.get(..*at).unwrap_or_default();
        !is_address || before.ends_with(char::is_whitespace)
    });
    match semicolon.and_then(|(at, _)| rest.split_at_checked(at)) {
        Some((specifier, marker)) => (specifier.trim(), marker.get(1..).map(str::trim)),
        None => (rest.trim(), None),
    }
}

fn pin(version_or_url: Option<VersionOrUrl<Address>>, specifier: &str) -> Pin {
    let Some(VersionOrUrl::VersionSpecifier(specifiers)) = version_or_url else {
        return match version_or_url {
            Some(_) => Pin::Url,
            None => Pin::Range(String::new()),
        };
    };
    let written = specifier
        .trim_start_matches(|c: char| c != '=' && c != '<' && c != '>' && c != '!' && c != '~')
        .trim_end_matches(')')
        .trim();
    let operator = match &specifiers[..] {
        [one] if *one.operator() == Operator::ExactEqual => PinOperator::ArbitraryEqual,
        [one] if *one.operator() == Operator::Equal => PinOperator::Equal,
        _ => return Pin::Range(written.to_owned()),
    };
    let version = specifiers.first().map(|one| one.version().clone());
    let text = written
        .strip_prefix(operator.as_str())
        .unwrap_or(written)
        .trim_end_matches(',')
        .trim();
    Pin::Exact {
        operator,
        text: text.to_owned(),
        version,
    }
}

/// Reads `===` with a text that is not a version of PEP 440, which pip accepts. A wildcard is
/// refused: no version is named like that.
fn arbitrary(spelled: &str, specifier: &str) -> Option<(PackageName, Pin)> {
    let name = PackageName::from_str(spelled).ok()?;
    let text = specifier.strip_prefix("===")?.trim();
    if text.is_empty() || text.ends_with(".*") || text.contains([' ', '\t', ',', ')', '(']) {
        return None;
    }
    let pin = Pin::Exact {
        operator: PinOperator::ArbitraryEqual,
        text: text.to_owned(),
        version: None,
    };
    Some((name, pin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Parsed, String> {
        super::parse(text, &mut Markers::default())
    }

    fn told(text: &str) -> String {
        match parse(text) {
            Ok(parsed) => {
                let marker = parsed.marker_text.unwrap_or_default();
                format!("{} {} [{marker}]", parsed.name, parsed.pin)
            }
            Err(error) => error,
        }
    }

    #[test]
    fn entries_of_all_forms() {
        for (text, expected) in [
            ("Oslo.Messaging===17.1.0", "oslo-messaging 17.1.0 []"),
            ("a===1;python_version=='3.9'", "a 1 [python_version=='3.9']"),
            ("a === 1 ; python_version > \"3\"", "a 1 [python_version > \"3\"]"),
            ("a==1.0", "a 1.0 []"),
            ("a (===1.0)", "a 1.0 []"),
            ("a>=1,<2", "a >=1,<2 []"),
            ("a", "a any version []"),
            ("a[]===1", "a 1 []"),
            ("a===2004d", "a 2004d []"),
            ("a===1,", "a 1 []"),
            ("a @ https://u:p@h/a;b.whl", "a an address []"),
            ("a @ https://h/a\t;os_name=='nt'", "a an address [os_name=='nt']"),
            ("a===1,;os_name=='nt'", "a 1 [os_name=='nt']"),
            ("a===2004d;os_name=='nt'", "a 2004d [os_name=='nt']"),
            ("a===1 --hash=sha256:00 --hash=sha256:11", "a 1 []"),
            ("a === 1.25 --hash=sha256:00", "a 1.25 []"),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }

    #[test]
    fn one_version_is_told_from_a_range() {
        let range = |text: &str| Pin::Range(text.to_owned());
        for text in [">=1", "<=1", "~=1.0", "!=1", ">1", "==1.*", ">=1,<2"] {
            assert_eq!(parse(&format!("a{text}")).unwrap().pin, range(text), "{text}");
        }
        for (operator, text) in [(PinOperator::Equal, "1"), (PinOperator::ArbitraryEqual, "1")] {
            let pin = Pin::Exact {
                operator,
                text: text.to_owned(),
                version: Some(Version::new([1])),
            };
            assert_eq!(parse(&format!("a{operator}{text}")).unwrap().pin, pin);
        }
    }

    #[test]
    fn an_entry_has_an_end() {
        let name = |bytes: usize| "a".repeat(bytes - "===1".len());
        assert!(parse(&format!("{}===1", name(LONGEST))).is_ok());
        for bytes in [LONGEST + 1, LONGEST + 2] {
            let error = parse(&format!("{}===1", name(bytes))).err().unwrap();
            assert_eq!(error, format!("has {bytes} bytes, more than {LONGEST}"));
        }
        // Hashes do not count.
        let hashes = " --hash=sha256:00".repeat(LONGEST);
        assert!(parse(&format!("a===1{hashes}")).is_ok());
    }

    #[test]
    fn what_nobody_reads_is_refused() {
        for text in [
            "M;\"~\"~=\"==\";=\u{8d81}",
            "a===1;os_name=='\u{fc}'",
            "===1",
            "a===",
            "a=1",
            "a===1 2",
            "a===1;nonsense",
            "https://h/a.whl",
            "./a",
            "a===1.0.*",
            "a[x,y]===1",
            "a [x] @ https://h/a.whl",
        ] {
            assert!(parse(text).is_err(), "{text}: {}", told(text));
        }
    }

    #[test]
    fn a_marker_has_limits_wherever_it_stands() {
        let marker = ["'a' in os_name"; 8].join(" or ");
        for front in [
            "a===1",
            "a===2004d",
            "a",
            "a[]===1",
            "a>=1,",
            "a @ https://h/a ",
            "a @ https://h/a\t",
        ] {
            for end in ["", ";x", " nonsense"] {
                let error = parse(&format!("{front};{marker}{end}")).err().unwrap();
                assert!(
                    error.starts_with("has a marker that takes 2048 steps"),
                    "{front}: {error}"
                );
            }
        }
    }

    #[test]
    fn extras_are_told_apart_from_what_is_no_name() {
        let told = |text: &str| parse(text).err().unwrap();
        for text in ["a[x]===1", "a [ x ] ===1", "a[x-1,]===1"] {
            let error = told(text);
            assert!(error.starts_with("has extras, with which pip refuses"), "{error}");
        }
        assert_eq!(
            told("a[x, .]===1"),
            "has \".\", which is not a valid name (PEP 508)"
        );
        assert_eq!(
            told("a-[x]===1"),
            "has \"a-\", which is not a valid name (PEP 508)"
        );
    }
}
