//! Pins of what is built from source: they are removed, and if one remains, nothing is built.
//!
//! pip and uv silently put the stock wheel over a patched library that stays pinned to another
//! version.

use std::collections::{BTreeMap, BTreeSet};

use pep508_rs::{Requirement, VersionOrUrl};
use upper_constraints::{ConstraintsFile, Overrides, PackageName};

/// The build argument with further requirements of the component.
const PACKAGES: &str = "PIP_PACKAGES";

/// The names under which what is built from source may be pinned: those of the contexts, and of the
/// distributions that they are the source of.
pub fn package_names<'a>(all: impl IntoIterator<Item = &'a str>) -> BTreeSet<PackageName> {
    all.into_iter().filter_map(|name| name.parse().ok()).collect()
}

/// A constraints file without the pins of what is built from source.
///
/// # Errors
///
/// Where the text is not a constraints file.
pub fn without_pins(
    text: &[u8],
    from_source: &BTreeSet<PackageName>,
) -> Result<String, upper_constraints::Error> {
    let base = ConstraintsFile::parse(text)?;
    let none = Overrides::parse(b"")?;
    let names: Vec<PackageName> = from_source.iter().cloned().collect();
    Ok(upper_constraints::merge(&base, &none, &names)?.text)
}

/// What still pins something that is built from source, each as a person would look for it.
///
/// # Errors
///
/// Where the text is not a constraints file.
pub fn remaining_pins(
    constraints: Option<&str>,
    args: &BTreeMap<String, String>,
    from_source: &BTreeSet<PackageName>,
) -> Result<Vec<String>, upper_constraints::Error> {
    let mut left = Vec::new();
    if let Some(text) = constraints {
        let file = ConstraintsFile::parse(text.as_bytes())?;
        let pinned = file
            .entries()
            .iter()
            .filter(|entry| from_source.contains(&entry.name));
        left.extend(pinned.map(|entry| {
            format!(
                "line {} of the constraints pins {} to {}",
                entry.line, entry.spelled, entry.pin
            )
        }));
        left.extend(
            file.includes()
                .iter()
                .map(|include| format!("line {} of the constraints reads another file", include.line)),
        );
    }
    let packages = args.get(PACKAGES).map(String::as_str).unwrap_or_default();
    for word in packages.split_whitespace() {
        let Ok(requirement) = word.parse::<Requirement>() else {
            continue;
        };
        if from_source.contains(&requirement.name) && is_pin(requirement.version_or_url.as_ref()) {
            left.push(format!("the argument {PACKAGES} has {word}"));
        }
    }
    Ok(left)
}

/// Whether just one version may be installed.
fn is_pin(version: Option<&VersionOrUrl>) -> bool {
    use pep440_rs::Operator::{Equal, ExactEqual};
    match version {
        None => false,
        Some(VersionOrUrl::Url(_)) => true,
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => specifiers
            .iter()
            .any(|specifier| matches!(specifier.operator(), Equal | ExactEqual)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_go_by_the_name_of_the_context_and_of_the_distribution() {
        let from_source = package_names(["placement", "openstack-placement", "oslo.messaging", "no name"]);
        assert_eq!(from_source.len(), 3);
        let text =
            b"Openstack_Placement===14.0.0\nalpha===1\noslo-messaging===17.0.0;python_version>='3.10'\n";
        let kept = without_pins(text, &from_source).unwrap();
        assert_eq!(kept, "alpha===1\n");
        assert_eq!(
            remaining_pins(Some(&kept), &BTreeMap::new(), &from_source).unwrap(),
            Vec::<String>::new()
        );
        assert_eq!(
            remaining_pins(
                Some("alpha===1\nOslo.Messaging===17.0.0\n"),
                &BTreeMap::new(),
                &from_source
            )
            .unwrap(),
            ["line 2 of the constraints pins Oslo.Messaging to 17.0.0"]
        );
        assert_eq!(
            remaining_pins(Some("-c other.txt\n"), &BTreeMap::new(), &from_source).unwrap(),
            ["line 1 of the constraints reads another file"]
        );
    }

    #[test]
    fn further_requirements_pin_too() {
        let from_source = package_names(["os-traits"]);
        let left = |packages: &str| {
            let args = BTreeMap::from([(PACKAGES.to_owned(), packages.to_owned())]);
            remaining_pins(None, &args, &from_source).unwrap()
        };
        for packages in [
            "",
            "os-traits",
            "os_traits>=3.0 lhafile==0.3.1",
            "os-traits-other==1 ${X}",
        ] {
            assert_eq!(left(packages), Vec::<String>::new(), "{packages}");
        }
        for pinned in [
            "OS.traits==3.4.0",
            "os-traits[x]===3",
            "os-traits@https://example.org/x.whl",
        ] {
            assert_eq!(
                left(&format!("lhafile {pinned}")),
                [format!("the argument PIP_PACKAGES has {pinned}")]
            );
        }
    }
}
