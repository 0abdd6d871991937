//! The named contexts and the arguments of a build, from what was found for them.

use std::collections::BTreeMap;

use image_references::ImageReference;
use patchset_api::extra_packages::ExtraPackages;
use patchset_api::{Recorded, reason};

use super::build::CONSTRAINTS;
use super::found::Library;
use super::pins;
use crate::plan::{Failure, Step};

/// The contexts of a build besides the component's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contexts {
    /// Libraries and further images, by their digests.
    pub(super) images: BTreeMap<String, Recorded<ImageReference>>,
    /// The constraints without the pins of what is built from source, where there are any. They go
    /// into an image that becomes the context [`CONSTRAINTS`].
    pub(super) constraints: Option<String>,
}

/// What the contexts of a build are made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContextInputs<'a> {
    pub(super) component: &'a str,
    pub(super) libraries: &'a [Library],
    /// The Python distributions that component and libraries are the source of, by the name of the
    /// context.
    pub(super) distributions: &'a BTreeMap<String, String>,
    /// Further images.
    pub(super) bases: &'a BTreeMap<String, Recorded<ImageReference>>,
    /// The merged constraints.
    pub(super) constraints: Option<&'a [u8]>,
    /// The build's arguments.
    pub(super) args: &'a BTreeMap<String, String>,
}

/// Puts libraries, further images and constraints together.
///
/// # Errors
///
/// Where two have the same name, the constraints cannot be read, or what is built from source would
/// stay pinned.
pub(super) fn assemble_contexts(inputs: ContextInputs<'_>) -> Result<Contexts, Failure> {
    let stalled = |message: String| Failure::stalled(Step::Build, reason::INVALID_SPEC, message);
    let component = inputs.component;
    let mut images = BTreeMap::new();
    for library in inputs.libraries {
        let name = &library.component;
        if name == component || images.insert(name.clone(), library.source.clone()).is_some() {
            return Err(stalled(format!(
                "libraries: two sources are called {name}, and each context needs a name of its own"
            )));
        }
    }
    let distributions = inputs.distributions.values().map(String::as_str);
    let from_source = pins::package_names(
        std::iter::once(component)
            .chain(images.keys().map(String::as_str))
            .chain(distributions),
    );
    for (name, image) in inputs.bases {
        if name == component || name == CONSTRAINTS || images.contains_key(name) {
            return Err(stalled(format!(
                "build.contexts: {name} is the name of a context that the build already has"
            )));
        }
        images.insert(name.clone(), image.clone());
    }
    let invalid = |error: upper_constraints::Error| {
        Failure::retried(Step::Build, reason::INVALID_CONSTRAINTS, error.to_string())
    };
    let text = inputs
        .constraints
        .map(|text| pins::without_pins(text, &from_source))
        .transpose()
        .map_err(invalid)?;
    let left = pins::remaining_pins(text.as_deref(), inputs.args, &from_source).map_err(invalid)?;
    if left.is_empty() {
        return Ok(Contexts {
            images,
            constraints: text,
        });
    }
    Err(Failure::stalled(
        Step::Build,
        reason::STILL_PINNED,
        format!(
            "what is built from source would stay pinned, and pip and uv would put the stock wheel in its place: {}; remove that",
            left.into_iter().take(8).collect::<Vec<_>>().join("; ")
        ),
    ))
}

/// The arguments that an `extra-packages.yaml` has for a component. `path` names the file in
/// messages.
///
/// # Errors
///
/// Where the file is not an `extra-packages.yaml`.
pub fn read_arguments(
    path: &str,
    bytes: &[u8],
    component: &str,
) -> Result<BTreeMap<String, String>, Failure> {
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

    fn library(component: &str, source: &str) -> Library {
        Library {
            name: component.to_owned(),
            component: component.to_owned(),
            source: source.into(),
            distribution: None,
        }
    }

    #[test]
    fn what_is_built_from_source_is_not_pinned_and_names_are_given_once() {
        let none = BTreeMap::new();
        let bases = BTreeMap::from([("base".to_owned(), "r/base@sha256:0".into())]);
        let distributions = BTreeMap::from([("demo".to_owned(), "big-demo".to_owned())]);
        let inputs = ContextInputs {
            component: "demo",
            libraries: &[library("my-lib", "r/lib@sha256:1")],
            distributions: &distributions,
            bases: &bases,
            constraints: Some(b"alpha===1\nmy_lib===2\nDemo===3\nBig_Demo===4\n"),
            args: &none,
        };
        let made = assemble_contexts(inputs).unwrap();
        assert_eq!(made.images.keys().collect::<Vec<_>>(), ["base", "my-lib"]);
        assert_eq!(made.constraints.as_deref(), Some("alpha===1\n"));
        let args = BTreeMap::from([("PIP_PACKAGES".to_owned(), "big-demo==4".to_owned())]);
        let pinned = assemble_contexts(ContextInputs {
            args: &args,
            ..inputs
        })
        .unwrap_err();
        assert_eq!(pinned.reason, reason::STILL_PINNED);
        for (libraries, bases) in [
            (vec![library("demo", "a")], BTreeMap::new()),
            (vec![library("a", "a"), library("a", "b")], BTreeMap::new()),
            (vec![library("base", "a")], bases.clone()),
            (vec![], BTreeMap::from([(CONSTRAINTS.to_owned(), "a".into())])),
            (vec![], BTreeMap::from([("demo".to_owned(), "a".into())])),
        ] {
            let refused = assemble_contexts(ContextInputs {
                libraries: &libraries,
                bases: &bases,
                constraints: None,
                ..inputs
            });
            assert_eq!(refused.unwrap_err().reason, reason::INVALID_SPEC);
        }
    }

    #[test]
    fn the_arguments_are_those_of_the_component_and_a_fault_names_the_file() {
        let file = b"glance:\n  pip_packages: [a, b]\nnova:\n  pip_packages: [c]\n";
        let arguments = read_arguments("extra.yaml", file, "glance").unwrap();
        let expected = [
            ("EXTRA_APT_PACKAGES", ""),
            ("PIP_EXTRAS", ""),
            ("PIP_PACKAGES", "a b"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(arguments, BTreeMap::from(expected));

        let failure = read_arguments("extra.yaml", b"\xff", "glance").unwrap_err();
        assert_eq!(failure.reason, reason::INVALID_REFERENCE);
        assert_eq!(failure.message, "extra.yaml is not UTF-8");
        let failure = read_arguments("extra.yaml", b"glance: [a]\n", "glance").unwrap_err();
        assert_eq!(failure.reason, reason::INVALID_REFERENCE);
        assert!(failure.message.starts_with("extra.yaml "), "{}", failure.message);
    }
}
