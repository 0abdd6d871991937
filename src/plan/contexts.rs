//! The named contexts and the arguments of a build, from what was found for them.

use std::collections::BTreeMap;

use super::build::CONSTRAINTS;
use super::failure::{Failure, Step};
use crate::api::extra_packages::ExtraPackages;
use crate::api::reason;
use crate::constraints::{self, ConstraintsFile, Overrides, PackageName};

/// The contexts of a build besides the component's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contexts {
    /// Libraries and further images, by their digests.
    pub images: BTreeMap<String, String>,
    /// The constraints without the pins of what is built from source, where there are any. They belong into an image
    /// that becomes the context [`CONSTRAINTS`].
    pub constraints: Option<String>,
}

/// Puts libraries (component and source), further images and constraints together.
///
/// # Errors
///
/// Where two have the same name, or the constraints cannot be read.
pub fn contexts<'a>(
    component: &str,
    libraries: impl IntoIterator<Item = (&'a str, &'a str)>,
    bases: &BTreeMap<String, String>,
    constraints: Option<&[u8]>,
) -> Result<Contexts, Failure> {
    let invalid = |message: String| Failure::stalled(Step::Build, reason::INVALID_SPEC, message);
    let mut images = BTreeMap::new();
    for (name, source) in libraries {
        if name == component || images.insert(name.to_owned(), source.to_owned()).is_some() {
            return Err(invalid(format!(
                "libraries: two sources are called {name}, and each context needs a name of its own"
            )));
        }
    }
    let from_source: Vec<PackageName> = std::iter::once(component)
        .chain(images.keys().map(String::as_str))
        .filter_map(|name| name.parse().ok())
        .collect();
    for (name, image) in bases {
        if name == component || name == CONSTRAINTS || images.contains_key(name) {
            return Err(invalid(format!(
                "build.contexts: {name} is the name of a context that the build has already"
            )));
        }
        images.insert(name.clone(), image.clone());
    }
    let constraints = constraints.map(|text| without(text, &from_source)).transpose();
    Ok(Contexts {
        images,
        constraints: constraints
            .map_err(|error| Failure::retried(Step::Build, reason::INVALID_CONSTRAINTS, error.to_string()))?,
    })
}

/// A constraints file without the pins of what is built from source.
fn without(text: &[u8], from_source: &[PackageName]) -> Result<String, constraints::Error> {
    let base = ConstraintsFile::parse(text)?;
    let none = Overrides::parse(b"")?;
    Ok(constraints::merge(&base, &none, from_source)?.text)
}

/// The arguments that an `extra-packages.yaml` has for a component. `path` names the file in messages.
///
/// # Errors
///
/// Where it is no such file.
pub fn arguments(path: &str, bytes: &[u8], component: &str) -> Result<BTreeMap<String, String>, Failure> {
    let invalid = |why: &dyn std::fmt::Display| {
        Failure::retried(Step::Build, reason::INVALID_REFERENCE, format!("{path} {why}"))
    };
    let text = std::str::from_utf8(bytes).map_err(|_| invalid(&"is not UTF-8"))?;
    let packages = ExtraPackages::parse(text).map_err(|error| invalid(&error))?;
    Ok(packages.arguments(component))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_from_source_is_not_pinned_and_names_are_given_once() {
        let bases = BTreeMap::from([("base".to_owned(), "r/base@sha256:0".to_owned())]);
        let pins = b"alpha===1\nmy_lib===2\nDemo===3\n";
        let made = contexts("demo", [("my-lib", "r/lib@sha256:1")], &bases, Some(pins)).unwrap();
        assert_eq!(made.images.keys().collect::<Vec<_>>(), ["base", "my-lib"]);
        assert_eq!(made.constraints.as_deref(), Some("alpha===1\n"));
        for (libraries, bases) in [
            (vec![("demo", "a")], BTreeMap::new()),
            (vec![("a", "a"), ("a", "b")], BTreeMap::new()),
            (vec![("base", "a")], bases.clone()),
            (vec![], BTreeMap::from([(CONSTRAINTS.to_owned(), "a".to_owned())])),
            (vec![], BTreeMap::from([("demo".to_owned(), "a".to_owned())])),
        ] {
            let refused = contexts("demo", libraries, &bases, None).unwrap_err();
            assert_eq!(refused.reason, reason::INVALID_SPEC);
        }
    }
}
