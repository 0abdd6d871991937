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
use git_apply_engine::PatchInput;
use patch_headers::{Bug, Cve, PatchHeaders, PatchOrigin};
use patchset_api::constraint_override::{OverrideState, UpstreamPin};
use purl::{GenericPurl, ParseError};
use serde_json::Value;
use sha2::{Digest, Sha256};
use upper_constraints::PackageName;

use super::{Error, purl_error, uuid_of};

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
    /// The patches of its series that it is built without, because its upstream has them.
    pub left_out: Vec<LeftOutPatch>,
}

/// A patch that a component is built without, because its upstream has the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOutPatch {
    /// The patch's name.
    pub name: String,
    /// Upstream's commit, with its subject and where to read about it; `None` where it is not
    /// known.
    pub commit: Option<String>,
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
    /// Returns what an override did; `None` if it pinned nothing new. `from` has upstream's pins,
    /// and `to` the pins that replace them.
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
    Patched {
        component,
        patches,
        left_out,
    }: &Patched,
    kind: &Classification,
) -> Result<BomComponent, Error> {
    let purl = component.purl()?;
    let read: Vec<(&PatchInput, PatchHeaders)> = patches
        .iter()
        .map(|patch| (patch, PatchHeaders::read(&patch.name, &patch.bytes)))
        .collect();
    let mut ancestor = BomComponent::new(kind.clone(), &component.name, &component.version, None);
    ancestor.purl = Some(purl.clone());
    let commits: Vec<Commit> = read
        .iter()
        .flat_map(|(_, headers)| headers.upstream_commits())
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
    for (patch, headers) in &read {
        let name = format!("patching.c5c3.io:patch:{}", patch.name);
        let digest = Sha256::digest(&patch.bytes);
        properties.push(Property::new(format!("{name}:sha256"), &hex::encode(digest)));
        let ids = headers.change_ids().into_iter();
        properties.extend(ids.map(|id| Property::new(format!("{name}:change-id"), id)));
    }
    let names: Vec<&str> = patches.iter().map(|patch| patch.name.as_str()).collect();
    let patched = (!names.is_empty()).then(|| format!("patched with {}", names.join(", ")));
    // Not as commits of the pedigree: those are what a component has besides its ancestor, and the
    // ancestor has these.
    let left_out = left_out.iter().map(|LeftOutPatch { name, commit }| {
        let commit = commit.as_ref().map(|commit| format!(" as {commit}"));
        format!("without {name}, which upstream has{}", commit.unwrap_or_default())
    });
    let notes: Vec<String> = patched.into_iter().chain(left_out).collect();
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
                .map(|(patch, headers)| entry(patch, headers))
                .collect(),
        )),
        notes: (!notes.is_empty()).then(|| notes.join("; ")),
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

/// A version of the `CycloneDX` specification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpecificationVersion {
    /// 1.5.
    #[default]
    V1_5,
    /// 1.6.
    V1_6,
    /// 1.7.
    V1_7,
}

impl SpecificationVersion {
    /// The version as documents write it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::V1_5 => "1.5",
            Self::V1_6 => "1.6",
            Self::V1_7 => "1.7",
        }
    }
}

/// Writes the document of a component, of the patched libraries that it is built with and of
/// overridden packages, as JSON.
///
/// Equal input gives equal bytes: the serial number follows from it, and there is no timestamp.
///
/// # Errors
///
/// [`Error::Purl`]; [`Error::Write`] where the library refuses what it was given.
pub fn document(
    main: &Patched,
    libraries: &[Patched],
    packages: &[Overridden],
    version: SpecificationVersion,
) -> Result<Vec<u8>, Error> {
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
    let unnumbered = json(bom.clone(), version)?;
    bom.serial_number = Some(serial_number(&unnumbered)?);
    json(bom, version)
}

fn json(bom: Bom, version: SpecificationVersion) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    bom.output_as_json_v1_5(&mut bytes)
        .map_err(|error| Error::Write(error.to_string()))?;
    if version == SpecificationVersion::V1_5 {
        return Ok(bytes);
    }
    // The library knows no later version; what is written here is the same in all of them.
    let wrong = |error: serde_json::Error| Error::Write(error.to_string());
    let mut document: Value = serde_json::from_slice(&bytes).map_err(wrong)?;
    if let Some(document) = document.as_object_mut() {
        document.insert("specVersion".to_owned(), version.as_str().into());
    }
    serde_json::to_vec_pretty(&document).map_err(wrong)
}

fn serial_number(document: &[u8]) -> Result<UrnUuid, Error> {
    UrnUuid::new(uuid_of(document).urn().to_string())
        .map_err(|_| Error::Write("the serial number is not a URN".to_owned()))
}

fn entry(patch: &PatchInput, headers: &PatchHeaders) -> Patch {
    let bugs = headers.bugs().into_iter().map(bug);
    let resolves: Vec<BomIssue> = bugs.chain(headers.cves.iter().map(vulnerability)).collect();
    Patch {
        patch_type: match headers.origin {
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

fn bug(bug: &Bug) -> BomIssue {
    let named = bug.tracker.name().map(normal);
    let source = (named.is_some() || bug.url.is_some()).then(|| Source {
        name: named,
        url: bug.url.as_deref().map(Uri::new),
    });
    issue(IssueClassification::Defect, &bug.id, source)
}

fn vulnerability(cve: &Cve) -> BomIssue {
    let source = Source {
        name: Some(normal("NVD")),
        url: Some(Uri::new(&format!("https://nvd.nist.gov/vuln/detail/{cve}"))),
    };
    issue(IssueClassification::Security, cve.as_str(), Some(source))
}

fn issue(issue_type: IssueClassification, id: &str, source: Option<Source>) -> BomIssue {
    BomIssue {
        issue_type,
        id: Some(normal(id)),
        name: None,
        description: None,
        source,
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
    // The library accepts any text as one.
    let checked: GenericPurl<String> = text
        .parse()
        .map_err(|error: ParseError| purl_error(text, &error))?;
    Purl::from_str(&checked.to_string()).map_err(|()| purl_error(text, &"it cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_told_and_is_no_change_of_the_component() {
        let commit = "867d1dd8b6e4f5b5fbb6b8a0b2a4c8d1e2f3a4b5 ('Check redirects')";
        let left_out = |name: &str, commit: Option<&str>| LeftOutPatch {
            name: name.to_owned(),
            commit: commit.map(ToOwned::to_owned),
        };
        let mut patched = Patched {
            component: PatchedComponent {
                name: "glance".to_owned(),
                version: "31.0.0".to_owned(),
                purl: None,
                revision: None,
                release: None,
            },
            patches: vec![PatchInput::new(
                "0003.patch",
                "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n",
            )],
            left_out: vec![left_out("0001.patch", Some(commit)), left_out("0002.patch", None)],
        };
        let pedigree = |patched: &Patched| -> Value {
            let document = document(patched, &[], &[], SpecificationVersion::V1_6).unwrap();
            let document: Value = serde_json::from_slice(&document).unwrap();
            document["metadata"]["component"].clone()
        };
        let component = pedigree(&patched);
        assert_eq!(
            component["pedigree"]["notes"],
            format!(
                "patched with 0003.patch; without 0001.patch, which upstream has as {commit}; without 0002.patch, which upstream has"
            )
        );
        assert_eq!(component["pedigree"]["patches"].as_array().unwrap().len(), 1);
        assert_eq!(component["pedigree"].get("commits"), None);

        patched.patches.clear();
        let component = pedigree(&patched);
        assert!(
            component["pedigree"]["notes"]
                .as_str()
                .unwrap()
                .starts_with("without 0001.patch")
        );
        assert_ne!(component["modified"], true);
    }
}
