//! The overrides: a file of `package===version` and `-package`, or a list of entries.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;

use pep440_rs::Version;
use pep508_rs::{MarkerTree, PackageName};

use super::entry::{MOST_OF_ONE, name_in_front, one_too_many, split_marker};
use super::error::{Collector, Unit, shown};
use super::file::{control, text_of};
use super::lines::{self, comment_start};
use super::marker::Markers;
use super::{Error, Problems};

/// The largest file of overrides, in bytes.
const LARGEST: usize = 256 << 10;

/// The word that begins a comment behind an override which is meant to be older than upstream's
/// pin.
const DOWNGRADE: &str = "downgrade";

/// What an override does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Pins the package.
    #[non_exhaustive]
    Pin {
        /// The version, in the form that `===` matches.
        version: Version,
        /// It is meant to be older than upstream's pin.
        downgrade: bool,
    },
    /// Removes the package's pin.
    Remove,
}

/// One override.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Override {
    /// Its line, from 1, or its place in a list.
    pub line: usize,
    /// The package.
    pub name: PackageName,
    /// The package's name as it is written.
    pub spelled: String,
    /// What it does.
    pub action: Action,
    /// The entries that it applies to: without a marker, all of the package.
    pub marker: MarkerTree,
    /// The marker as it is written.
    pub marker_text: Option<String>,
}

/// An override as a program gives it, in a list instead of a file.
///
/// ```
/// use upper_constraints::{OverrideInput, Overrides};
///
/// let pin = OverrideInput { version: Some("1.2.3"), ..OverrideInput::named("oslo.messaging") };
/// let remove = OverrideInput { remove: true, ..OverrideInput::named("horizon") };
/// assert_eq!(Overrides::from_entries([pin, remove])?.list().len(), 2);
/// # Ok::<(), upper_constraints::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverrideInput<'a> {
    /// The package's name.
    pub name: &'a str,
    /// The version to pin, without `===`; `None` to remove the pin.
    pub version: Option<&'a str>,
    /// Only the entry with this environment marker (PEP 508).
    pub marker: Option<&'a str>,
    /// The version is meant to be older than upstream's pin.
    pub downgrade: bool,
    /// Removes the package's pin.
    pub remove: bool,
}

impl<'a> OverrideInput<'a> {
    /// Returns an entry that names a package and neither pins nor removes it yet.
    #[must_use]
    pub fn named(name: &'a str) -> Self {
        Self {
            name,
            version: None,
            marker: None,
            downgrade: false,
            remove: false,
        }
    }
}

/// The overrides of one release.
#[derive(Clone, Debug)]
pub struct Overrides {
    pub(super) unit: Unit,
    list: Vec<Override>,
}

impl Overrides {
    /// Reads a file: one `package===version` or `-package` per line, with a marker if it is for one
    /// entry of several, and `#` for comments.
    ///
    /// # Errors
    ///
    /// All lines that are neither, and packages that occur twice. Twice with markers that exclude
    /// each other is allowed, because upstream's pins come like that.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(bytes).map_err(Error::Overrides)
    }

    fn read(bytes: &[u8]) -> Result<Self, Problems> {
        let mut problems = Collector::new(Unit::Line);
        let (mut list, mut markers) = (Vec::new(), Markers::default());
        let text = text_of(bytes, LARGEST).unwrap_or_else(|(line, message)| {
            problems.add(line, message);
            Cow::Borrowed("")
        });
        for line in lines::physical(&text) {
            let content = text.get(line.content).unwrap_or_default();
            match read_line(content, line.number, &mut markers) {
                Ok(Some(one)) => list.push(one),
                Ok(None) => {}
                Err(message) => problems.add(line.number, message),
            }
        }
        Self::unique(Unit::Line, list, problems)
    }

    /// Takes a list of entries.
    ///
    /// # Errors
    ///
    /// As for [`Overrides::parse`], with the entries' places.
    pub fn from_entries<'a>(entries: impl IntoIterator<Item = OverrideInput<'a>>) -> Result<Self, Error> {
        let mut problems = Collector::new(Unit::Entry);
        let (mut list, mut markers) = (Vec::new(), Markers::default());
        for (at, entry) in entries.into_iter().enumerate() {
            let action = match (entry.version, entry.remove) {
                (Some(version), false) => self::version(version).map(|version| Action::Pin {
                    version,
                    downgrade: entry.downgrade,
                }),
                (None, true) => Ok(Action::Remove),
                _ => Err("set either version, or remove: true".to_owned()),
            };
            let made = action
                .and_then(|action| make_override(at + 1, entry.name, action, entry.marker, &mut markers));
            match made {
                Ok(one) => list.push(one),
                Err(message) => problems.add(at + 1, message),
            }
        }
        Self::unique(Unit::Entry, list, problems).map_err(Error::Overrides)
    }

    fn unique(unit: Unit, list: Vec<Override>, mut problems: Collector) -> Result<Self, Problems> {
        let mut seen: BTreeMap<&PackageName, Vec<&Override>> = BTreeMap::new();
        for one in &list {
            let before = seen.entry(&one.name).or_default();
            if before.len() == MOST_OF_ONE {
                problems.add(one.line, one_too_many(&one.name));
                continue;
            }
            if let Some(other) = before.iter().find(|other| !one.marker.is_disjoint(&other.marker)) {
                problems.add(
                    one.line,
                    format!(
                        "{} is overridden twice, first at {} {}: keep one, or give both markers that exclude each other",
                        one.spelled,
                        unit.as_str(),
                        other.line
                    ),
                );
            }
            before.push(one);
        }
        problems.finish(Self { unit, list })
    }

    /// Returns the overrides, in their order.
    #[must_use]
    pub fn list(&self) -> &[Override] {
        &self.list
    }
}

fn read_line(content: &str, line: usize, markers: &mut Markers) -> Result<Option<Override>, String> {
    if let Some(c) = lines::unexpected(content) {
        return Err(control(c));
    }
    let (body, comment) = match comment_start(content) {
        Some(start) => content.split_at(start),
        None => (content, ""),
    };
    let body = body.trim();
    if body.is_empty() {
        return Ok(None);
    }
    if let Some(rest) = body.strip_prefix('-') {
        let name = name_in_front(rest);
        let (nothing, marker) = split_marker(rest.get(name.len()..).unwrap_or_default());
        if name.is_empty() || !nothing.is_empty() {
            return Err(neither(body));
        }
        return make_override(line, name, Action::Remove, marker, markers).map(Some);
    }
    let name = name_in_front(body);
    let (specifier, marker) = split_marker(body.get(name.len()..).unwrap_or_default());
    let Some(text) = specifier.strip_prefix("===").filter(|_| !name.is_empty()) else {
        return Err(if specifier.starts_with("==") && !name.is_empty() {
            format!(
                "{:?} pins with ==: write {name}==={}",
                shown(body),
                shown(specifier.trim_start_matches('=').trim())
            )
        } else {
            neither(body)
        });
    };
    let version = version(text.trim())?;
    let downgrade = comment
        .trim_start_matches(|c: char| c == '#' || c.is_whitespace())
        .get(..DOWNGRADE.len())
        .is_some_and(|word| word.eq_ignore_ascii_case(DOWNGRADE));
    make_override(line, name, Action::Pin { version, downgrade }, marker, markers).map(Some)
}

fn neither(body: &str) -> String {
    format!(
        "{:?} is not an override: write package===version to pin, or -package to remove a pin",
        shown(body)
    )
}

/// Reads a version. `===` compares texts, so only the normal form of PEP 440 ever matches a
/// distribution.
fn version(text: &str) -> Result<Version, String> {
    let version = Version::from_str(text)
        .map_err(|_| format!("{:?} is not a version such as 1.2.3 (PEP 440)", shown(text)))?;
    let normal = version.to_string();
    if normal == text {
        Ok(version)
    } else {
        Err(format!(
            "write the version {:?} as {normal}: === compares texts, and distributions carry that form",
            shown(text)
        ))
    }
}

fn make_override(
    line: usize,
    name: &str,
    action: Action,
    marker_text: Option<&str>,
    markers: &mut Markers,
) -> Result<Override, String> {
    let package = PackageName::from_str(name)
        .map_err(|_| format!("{:?} is not a valid name for a package (PEP 508)", shown(name)))?;
    let marker = match marker_text {
        None => MarkerTree::TRUE,
        Some(text) => markers
            .read(text)
            .map_err(|error| format!("the marker {:?} {error}", shown(text)))?,
    };
    if marker.is_false() {
        return Err("the marker never holds: remove the override".to_owned());
    }
    Ok(Override {
        line,
        name: package,
        spelled: name.to_owned(),
        action,
        marker,
        marker_text: marker_text.map(ToOwned::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        match Overrides::parse(text.as_bytes()) {
            Ok(overrides) => overrides
                .list()
                .iter()
                .map(|o| match &o.action {
                    Action::Pin { version, downgrade } => {
                        let mark = if *downgrade { " down" } else { "" };
                        format!("{}: {}={version}{mark}", o.line, o.name)
                    }
                    Action::Remove => format!("{}: -{}", o.line, o.name),
                })
                .collect(),
            Err(error) => error
                .problems()
                .iter()
                .map(|p| format!("line {}: {}", p.line, p.message))
                .collect(),
        }
    }

    #[test]
    fn reads_what_people_write() {
        let text = "\u{feff}# head\r\n\r\n-Horizon\r\n  lhafile===0.3.1  # why\r\nurllib3 === 1.26.20 ;python_version<'3.10' # Downgrade: 2 breaks us\n-a_b;python_version=='3.9'";
        assert_eq!(
            told(text),
            [
                "3: -horizon",
                "4: lhafile=0.3.1",
                "5: urllib3=1.26.20 down",
                "6: -a-b"
            ]
        );
    }

    #[test]
    fn all_wrong_lines_are_told() {
        let wrong = told(
            "a===\nb==1\nc\n===1\n- d\ne===1.0-rc1\nf===1#no\n-g x\nh===1;nonsense\ni===1.*\n_===1\na\u{2028}b===1\n",
        );
        let lines: Vec<&str> = wrong.iter().filter_map(|w| w.split(':').next()).collect();
        assert_eq!(lines, (1..=12).map(|n| format!("line {n}")).collect::<Vec<_>>());
        assert!(wrong[1].contains("write b===1"), "{}", wrong[1]);
        assert!(wrong[5].contains("as 1.0rc1"), "{}", wrong[5]);
        for no_override in [2, 3, 4, 7] {
            let message = &wrong[no_override];
            assert!(
                message.contains("is not an override: write package===version to pin, or -package"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_marker_has_an_end() {
        let marker = |bytes: usize| {
            let name = "x".repeat(bytes - "os_name==''".len());
            told(&format!("a===1;os_name=='{name}'"))
        };
        assert_eq!(marker(1024), ["1: a=1"]);
        for bytes in [1025, 1026] {
            let told = marker(bytes);
            let error = format!(" has {bytes} bytes, more than 1024: shorten it");
            assert!(told.len() == 1 && told[0].ends_with(&error), "{told:?}");
        }
    }

    #[test]
    fn one_package_has_a_limit_of_overrides() {
        let lines = |count: usize| "a===1\n".repeat(count);
        assert_eq!(told(&lines(MOST_OF_ONE)).len(), MOST_OF_ONE - 1);
        let told = told(&lines(MOST_OF_ONE + 1));
        assert_eq!(
            told.last().unwrap(),
            "line 33: is one more than the 32 entries that a may have: remove some"
        );
    }

    #[test]
    fn the_same_package_twice() {
        assert_eq!(
            told("oslo.messaging===1\n\nOslo_Messaging===2\n"),
            [
                "line 3: Oslo_Messaging is overridden twice, first at line 1: keep one, or give both markers that exclude each other"
            ]
        );
        assert_eq!(told("a===1\n-a\n").len(), 1);
        assert_eq!(told("a===1\na===2;python_version<'3'\n").len(), 1);
        let apart = told("a===1;python_version<'3.10'\na===2;python_version>='3.10'\n");
        assert_eq!(apart, ["1: a=1", "2: a=2"]);
    }

    #[test]
    fn entries_are_told_by_their_place() {
        let entry = |name, version, remove| OverrideInput {
            version,
            remove,
            ..OverrideInput::named(name)
        };
        let error = Overrides::from_entries([
            entry("a", Some("1"), false),
            entry("A", None, true),
            entry("b", None, false),
            entry("c", Some("x"), false),
        ])
        .unwrap_err()
        .to_string();
        for part in [
            "entry 2: A is overridden twice, first at entry 1",
            "entry 3: ",
            "entry 4: ",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}
