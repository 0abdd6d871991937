//! The document of one patched component.

use std::str::FromStr;

use cyclonedx_bom::external_models::normalized_string::NormalizedString;
use cyclonedx_bom::external_models::uri::{Purl, Uri};
use cyclonedx_bom::models::attached_text::AttachedText;
use cyclonedx_bom::models::bom::{Bom, SpecVersion, UrnUuid};
use cyclonedx_bom::models::code::{
    Commit, Commits, Diff, Issue as BomIssue, IssueClassification, Patch, PatchClassification, Patches,
    Source,
};
use cyclonedx_bom::models::component::{Classification, Component as BomComponent, Components, Pedigree};
use cyclonedx_bom::models::metadata::Metadata;
use cyclonedx_bom::models::property::{Properties, Property};
use purl::{GenericPurl, ParseError};
use sha2::{Digest, Sha256};

use super::Error;
use super::provenance::{Issue, PatchOrigin, Provenance};
use crate::api::constraint_override::{OverrideState, UpstreamPin};
use crate::constraints::PackageName;
use crate::patch::PatchInput;

/// The component that is patched.
#[derive(Clone, Debug)]
pub struct PatchedComponent {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its package URL; that of a Python package of its name and version where none is given.
    pub purl: Option<String>,
    /// The upstream's revision.
    pub revision: Option<String>,
    /// The release that it is built for.
    pub release: Option<String>,
}

/// A component with its patches, in order.
#[derive(Clone, Debug)]
pub struct Patched {
    /// The component.
    pub component: PatchedComponent,
    /// Its patches.
    pub patches: Vec<PatchInput>,
}

/// A package whose pin was overridden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overridden {
    /// Its name.
    pub name: String,
    /// The version that is installed.
    pub version: String,
    /// The versions that upstream pins; none where it pins none.
    pub from: Vec<String>,
    /// The override in a sentence.
    pub message: String,
}

impl Overridden {
    /// Returns what an override did; `None` if it pinned nothing anew. `from` has upstream's pins,
    /// and `to` what is pinned in their place.
    #[must_use]
    pub fn from_override(
        package: &str,
        state: OverrideState,
        from: &[UpstreamPin],
        to: Option<&str>,
    ) -> Option<Self> {
        let pins = matches!(
            state,
            OverrideState::Updated | OverrideState::Added | OverrideState::Outdated
        );
        let to = to.filter(|_| pins)?;
        let pinned: Vec<String> = from.iter().map(ToString::to_string).collect();
        Some(Self {
            name: package.to_owned(),
            version: to.to_owned(),
            from: from.iter().map(|pin| pin.version.clone()).collect(),
            message: if pinned.is_empty() {
                "upstream does not pin it".to_owned()
            } else {
                format!("{} → {to}", pinned.join(", "))
            },
        })
    }
}

/// Returns the package URL of a component that is not a package of an index.
///
/// # Errors
///
/// [`Error::Purl`].
pub fn generic_purl(name: &str, version: &str) -> Result<String, Error> {
    GenericPurl::<String>::builder("generic".to_owned(), name)
        .with_version(version)
        .build()
        .map(|purl| purl.to_string())
        .map_err(|error| purl_error(name, &error))
}

impl PatchedComponent {
    pub(super) fn purl(&self) -> Result<Purl, Error> {
        match &self.purl {
            Some(text) => parse_purl(text),
            None => pypi_purl(&self.name, &self.version),
        }
    }
}

/// The component as the document has it, with its pedigree.
pub(super) fn patched_component(
    Patched { component, patches }: &Patched,
    kind: &Classification,
) -> Result<BomComponent, Error> {
    let purl = component.purl()?;
    let read: Vec<(&PatchInput, Provenance)> = patches
        .iter()
        .map(|patch| (patch, Provenance::from_patch(&patch.bytes)))
        .collect();
    let mut ancestor = BomComponent::new(kind.clone(), &component.name, &component.version, None);
    ancestor.purl = Some(purl.clone());
    let commits: Vec<Commit> = read
        .iter()
        .flat_map(|(_, provenance)| &provenance.commits)
        .map(|commit| Commit {
            uid: Some(normal(commit)),
            url: None,
            author: None,
            committer: None,
            message: None,
        })
        .collect();
    let mut properties = Vec::new();
    for (key, value) in [
        ("patching.c5c3.io:revision", &component.revision),
        ("patching.c5c3.io:release", &component.release),
    ] {
        properties.extend(value.as_ref().map(|value| Property::new(key, value)));
    }
    for (patch, provenance) in &read {
        let name = format!("patching.c5c3.io:patch:{}", patch.name);
        let digest = Sha256::digest(&patch.bytes);
        properties.push(Property::new(format!("{name}:sha256"), &hex::encode(digest)));
        if let Some(id) = &provenance.change_id {
            properties.push(Property::new(format!("{name}:change-id"), id));
        }
    }
    let names: Vec<&str> = patches.iter().map(|patch| patch.name.as_str()).collect();
    let mut result = BomComponent::new(
        kind.clone(),
        &component.name,
        &component.version,
        Some(purl.to_string()),
    );
    result.purl = Some(purl);
    result.modified = (!patches.is_empty()).then_some(true);
    result.pedigree = Some(Pedigree {
        ancestors: Some(Components(vec![ancestor])),
        descendants: None,
        variants: None,
        commits: (!commits.is_empty()).then_some(Commits(commits)),
        patches: Some(Patches(
            read.iter()
                .map(|(patch, provenance)| entry(patch, provenance))
                .collect(),
        )),
        notes: (!names.is_empty()).then(|| format!("patched with {}", names.join(", "))),
    });
    result.properties = Some(Properties(properties));
    Ok(result)
}

/// A package whose pin was overridden, as the document has it.
pub(super) fn overridden_component(package: &Overridden) -> Result<BomComponent, Error> {
    let mut ancestors = Vec::new();
    for version in &package.from {
        let mut ancestor = BomComponent::new(Classification::Library, &package.name, version, None);
        // A specifier other than a version makes no package URL.
        ancestor.purl = pypi_purl(&package.name, version).ok();
        ancestors.push(ancestor);
    }
    let purl = pypi_purl(&package.name, &package.version)?;
    let mut result = BomComponent::new(
        Classification::Library,
        &package.name,
        &package.version,
        Some(purl.to_string()),
    );
    result.purl = Some(purl);
    result.pedigree = Some(Pedigree {
        ancestors: (!ancestors.is_empty()).then_some(Components(ancestors)),
        descendants: None,
        variants: None,
        commits: None,
        patches: None,
        notes: Some(format!("pinned by a constraint override: {}", package.message)),
    });
    Ok(result)
}

/// Writes the document of a component, of the patched libraries that it is built with and of
/// overridden packages, as JSON.
///
/// Equal input gives equal bytes: the serial number follows from it, and there is no time.
///
/// # Errors
///
/// [`Error::Purl`]; [`Error::Write`] where the library refuses what it was given.
pub fn document(main: &Patched, libraries: &[Patched], packages: &[Overridden]) -> Result<Vec<u8>, Error> {
    let libraries = libraries
        .iter()
        .map(|library| patched_component(library, &Classification::Library));
    let components: Result<Vec<BomComponent>, Error> = libraries
        .chain(packages.iter().map(overridden_component))
        .collect();
    let components = components?;
    let metadata = Metadata {
        component: Some(patched_component(main, &Classification::Application)?),
        ..Metadata::default()
    };
    let mut bom = Bom {
        serial_number: None,
        metadata: Some(metadata),
        components: Some(Components(components)),
        spec_version: SpecVersion::V1_5,
        ..Bom::default()
    };
    let unnumbered = json(bom.clone())?;
    bom.serial_number = Some(serial_number(&unnumbered)?);
    json(bom)
}

fn json(bom: Bom) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    bom.output_as_json_v1_5(&mut bytes)
        .map_err(|error| Error::Write(error.to_string()))?;
    Ok(bytes)
}

/// A UUID of version 8 (RFC 9562) out of a document's SHA-256.
fn serial_number(document: &[u8]) -> Result<UrnUuid, Error> {
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(Sha256::digest(document)) {
        *byte = hashed;
    }
    let uuid = uuid::Builder::from_custom_bytes(bytes).into_uuid();
    UrnUuid::new(uuid.urn().to_string())
        .map_err(|_| Error::Write("the serial number is not a URN".to_owned()))
}

fn entry(patch: &PatchInput, provenance: &Provenance) -> Patch {
    let resolves: Vec<BomIssue> = provenance.issues.iter().map(issue).collect();
    Patch {
        patch_type: match provenance.kind {
            PatchOrigin::Unofficial => PatchClassification::Unofficial,
            PatchOrigin::Backport => PatchClassification::Backport,
            PatchOrigin::CherryPick => PatchClassification::CherryPick,
        },
        diff: Some(Diff {
            text: Some(AttachedText::new(Some(normal("text/x-diff")), &patch.bytes)),
            url: None,
        }),
        resolves: (!resolves.is_empty()).then_some(resolves),
    }
}

fn issue(issue: &Issue) -> BomIssue {
    let (kind, id, source) = match issue {
        Issue::Launchpad(number) => (
            IssueClassification::Defect,
            number.to_string(),
            Some(("Launchpad", format!("https://bugs.launchpad.net/bugs/{number}"))),
        ),
        Issue::Bug(url) => (IssueClassification::Defect, url.clone(), Some(("", url.clone()))),
        Issue::Cve(id) => (
            IssueClassification::Security,
            id.clone(),
            Some(("NVD", format!("https://nvd.nist.gov/vuln/detail/{id}"))),
        ),
    };
    BomIssue {
        issue_type: kind,
        id: Some(normal(&id)),
        name: None,
        description: None,
        source: source.map(|(name, url)| Source {
            name: (!name.is_empty()).then(|| normal(name)),
            url: Some(Uri::new(&url)),
        }),
        references: None,
    }
}

fn normal(text: &str) -> NormalizedString {
    NormalizedString::new(text)
}

/// The package URL of a Python package; its type wants the normal form of the name.
fn pypi_purl(name: &str, version: &str) -> Result<Purl, Error> {
    let normal = name
        .parse::<PackageName>()
        .map_or_else(|_| name.to_owned(), |name| name.to_string());
    Purl::new("pypi", &normal, version).map_err(|error| purl_error(name, &error))
}

fn parse_purl(text: &str) -> Result<Purl, Error> {
    // The library takes any text for one.
    let checked: GenericPurl<String> = text
        .parse()
        .map_err(|error: ParseError| purl_error(text, &error))?;
    Purl::from_str(&checked.to_string()).map_err(|()| purl_error(text, &"it cannot be read"))
}

fn purl_error(text: &str, reason: &dyn std::fmt::Display) -> Error {
    Error::Purl {
        text: text.to_owned(),
        reason: reason.to_string(),
    }
}
