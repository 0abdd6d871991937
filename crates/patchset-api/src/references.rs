//! Which objects a spec refers to: those whose changes may change its results.
//!
//! Every struct of the specs is destructured here with all its fields, down to strings, numbers and
//! enums, and none is skipped by `..` or `_`. So a new field does not compile until this file says
//! what it refers to, and the name of an object ([`LocalReference`]) does not until its kind is
//! given.

use std::collections::BTreeMap;

use super::build::{
    Build, Builder, CloudProvider, ContextImage, DockerfileSource, Engine, ExtraPackagesFrom, GitHubActions,
    ImageCheck, ImageRepository, ImageTarget, JobOptions, Platform, RunConclusion, SbomPolicy, SourceTarget,
};
use super::common::{
    Component, ConfigMapKey, GitPath, GitRef, LocalReference, Release, ServiceAccountName, Verification,
    VerificationMode,
};
use super::constraint_override::{ConstraintsSource, OverrideEntry, OverridesSource, PackageName};
use super::delivery::{
    Approval, CommitAuthor, Delivery, DeliveryConfigMap, DeliveryGit, ForgeProvider, PullRequestOptions,
    Push, Signing,
};
use super::image_test::{ImageTest, OnTestFailure, TestExcludes, TestOrigin, TestResults, TestResultsFormat};
use super::layout_kind::LayoutKind;
use super::patch_repository::{
    ConstraintsTemplate, GitRepositorySource, NameSelection, PatchSetTemplate, RepositorySource,
    RequirementsSource, TemplateMatch, TemplateMetadata, TemplateOverride, UpstreamOverride,
    UpstreamTemplate,
};
use super::patch_set::{
    InlinePatch, Level, MergedPatches, Patches, PatchesBranch, RefFrom, SubjectRule, Upstream,
};
use super::patch_set_template::TemplateSpec;
use super::pod_template::{PodTemplate, TestPodTemplate};
use super::referent::{ObjectKey, Referent, ReferentKind, SourceReference};
use super::upkeep::{Renumbering, Upkeep, UpkeepAction};
use super::{ConstraintOverrideSpec, FluxDuration, PatchRepositorySpec, PatchSetSpec};

/// An object that a spec names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    /// Its kind.
    pub kind: ReferentKind,
    /// Its namespace. Defaults to that of the object with the spec.
    pub namespace: Option<&'a str>,
    /// Its name.
    pub name: &'a str,
}

impl Reference<'_> {
    /// The object that it refers to when the spec is in the given namespace.
    #[must_use]
    pub fn referent(&self, own_namespace: &str) -> Referent {
        Referent {
            kind: self.kind,
            key: ObjectKey::new(self.namespace.unwrap_or(own_namespace), self.name),
        }
    }
}

impl PatchSetSpec {
    /// All objects that the spec names.
    #[must_use]
    pub fn references(&self) -> Vec<Reference<'_>> {
        collected(self).references
    }

    /// The addresses of all Git repositories that the spec reads.
    #[must_use]
    pub fn repositories(&self) -> Vec<&str> {
        collected(self).repositories
    }
}

impl ConstraintOverrideSpec {
    /// All objects that the spec names.
    #[must_use]
    pub fn references(&self) -> Vec<Reference<'_>> {
        collected(self).references
    }

    /// The addresses of all Git repositories that the spec reads.
    #[must_use]
    pub fn repositories(&self) -> Vec<&str> {
        collected(self).repositories
    }
}

impl PatchRepositorySpec {
    /// All objects that the spec names, except in templates: the objects made from those name them.
    #[must_use]
    pub fn references(&self) -> Vec<Reference<'_>> {
        collected(self).references
    }

    /// The addresses of all Git repositories that the spec reads, except in templates.
    #[must_use]
    pub fn repositories(&self) -> Vec<&str> {
        collected(self).repositories
    }
}

fn collected(spec: &dyn Refers) -> Collected<'_> {
    let mut found = Collected::default();
    spec.add_to(&mut found);
    found
}

/// A part of a spec that may name objects.
trait Refers {
    /// Adds the objects that it names.
    fn add_to<'a>(&'a self, found: &mut Collected<'a>);
}

#[derive(Default)]
struct Collected<'a> {
    references: Vec<Reference<'a>>,
    repositories: Vec<&'a str>,
}

impl<'a> Collected<'a> {
    /// Adds what parts name.
    fn parts<const N: usize>(&mut self, parts: [&'a dyn Refers; N]) {
        for part in parts {
            part.add_to(self);
        }
    }

    /// Adds objects of a kind in the namespace of the object with the spec.
    fn named(&mut self, kind: ReferentKind, names: &'a impl Names) {
        let references = names.names().into_iter().map(|name| Reference {
            kind,
            namespace: None,
            name,
        });
        self.references.extend(references);
    }
}

/// Names of objects.
trait Names {
    fn names(&self) -> Vec<&str>;
}

impl Names for String {
    fn names(&self) -> Vec<&str> {
        vec![self]
    }
}

impl Names for LocalReference {
    fn names(&self) -> Vec<&str> {
        vec![&self.name]
    }
}

impl<T: Names> Names for Option<T> {
    fn names(&self) -> Vec<&str> {
        self.iter().flat_map(Names::names).collect()
    }
}

impl<T: Names> Names for Vec<T> {
    fn names(&self) -> Vec<&str> {
        self.iter().flat_map(Names::names).collect()
    }
}

impl<T: Refers> Refers for Option<T> {
    fn add_to<'a>(&'a self, found: &mut Collected<'a>) {
        if let Some(part) = self {
            part.add_to(found);
        }
    }
}

impl<T: Refers> Refers for Box<T> {
    fn add_to<'a>(&'a self, found: &mut Collected<'a>) {
        (**self).add_to(found);
    }
}

impl<T: Refers> Refers for Vec<T> {
    fn add_to<'a>(&'a self, found: &mut Collected<'a>) {
        for part in self {
            part.add_to(found);
        }
    }
}

impl<T: Refers> Refers for BTreeMap<String, T> {
    fn add_to<'a>(&'a self, found: &mut Collected<'a>) {
        for part in self.values() {
            part.add_to(found);
        }
    }
}

/// Declares that types name no object that is watched.
macro_rules! name_nothing {
    ($($leaf:ty),+ $(,)?) => {
        $(impl Refers for $leaf {
            fn add_to<'a>(&'a self, _: &mut Collected<'a>) {}
        })+
    };
}

name_nothing!(String, bool, u8, u32, FluxDuration);
name_nothing!(
    Component,
    Release,
    PackageName,
    ImageRepository,
    ContextImage,
    Platform
);
name_nothing!(
    Level,
    MergedPatches,
    SubjectRule,
    VerificationMode,
    CloudProvider,
    ImageCheck,
    SbomPolicy,
    Engine,
    Builder,
    RunConclusion,
    TestOrigin,
    OnTestFailure,
    TestResultsFormat
);
name_nothing!(
    Approval,
    ForgeProvider,
    LayoutKind,
    Renumbering,
    TemplateSpec,
    UpkeepAction
);
// Service accounts are read when they are needed, and what a template names is for the kubelet.
name_nothing!(ServiceAccountName, PodTemplate, TestPodTemplate);

/// A field that is the address of a repository.
trait RepositoryAddress {
    fn address(&self) -> Option<&str>;
}

impl RepositoryAddress for String {
    fn address(&self) -> Option<&str> {
        Some(self)
    }
}

impl RepositoryAddress for Option<String> {
    fn address(&self) -> Option<&str> {
        self.as_deref()
    }
}

/// Lists the fields of a struct that may name objects further in, and then, by kind, those that are
/// names of objects in the namespace of the object with the spec. A field that is left out does not
/// compile, nor does a reference among the former. `repository` names the field with the address of
/// a Git repository that is read.
macro_rules! refers {
    ($spec:ident { $($part:ident),* }, repository: $url:ident $(, $kind:ident: [$($reference:ident),+])*) => {
        impl Refers for $spec {
            fn add_to<'a>(&'a self, found: &mut Collected<'a>) {
                let Self { $url, $($part,)* $($($reference,)+)* } = self;
                found.repositories.extend($url.address());
                found.parts([$($part),*]);
                $($(found.named(ReferentKind::$kind, $reference);)+)*
            }
        }
    };
    ($spec:ident { $($part:ident),* } $(, $kind:ident: [$($reference:ident),+])*) => {
        impl Refers for $spec {
            fn add_to<'a>(&'a self, found: &mut Collected<'a>) {
                let Self { $($part,)* $($($reference,)+)* } = self;
                found.parts([$($part),*]);
                $($(found.named(ReferentKind::$kind, $reference);)+)*
            }
        }
    };
}

refers! { PatchSetSpec {
    component, release, level, upstream, patches, merged_patches, candidates, build, delivery,
    upkeep, service_account_name, interval, timeout, suspend
}, PatchSet: [libraries], ConstraintOverride: [constraints] }
refers! { ConstraintOverrideSpec {
    release, upper_constraints, overrides, built_from_source, interval, timeout, suspend
} }
refers! {
    Upstream { ref_, ref_from, verify, commit_url_template }, repository: url,
    Secret: [secret_ref, proxy_secret_ref]
}
refers! { GitRef { branch, tag, commit, semver } }
refers! { RefFrom { path, key } }
refers! { Verification { mode }, Secret: [secret_ref] }
refers! { GitPath { ref_, path, verify }, repository: url, Secret: [secret_ref, proxy_secret_ref] }
refers! { ConfigMapKey { key }, ConfigMap: [name] }
refers! { Patches { git, source_ref, path, inline, branch, strip, directory }, ConfigMap: [config_map] }
refers! { PatchesBranch { branch, base, subjects, verify }, repository: url, Secret: [secret_ref, proxy_secret_ref] }
refers! { InlinePatch { name, content } }
refers! { Build {
    engine, image, source, dockerfile, contexts, platforms, extra_packages_from, args, provider,
    service_account_name, timeout, retries, job, github_actions, check, sbom, tests
}, Secret: [secret_ref] }
refers! { ImageTarget { repository, tag, moving_tags, moving_tags_from, sortable_tag } }
refers! { SourceTarget { repository, version } }
refers! { DockerfileSource { git, inline, file, stage }, ConfigMap: [config_map] }
refers! { ExtraPackagesFrom { path } }
refers! { JobOptions { builder, image, cache, keep, service_account_name, pod_template } }
refers! { GitHubActions { repository, workflow, ref_, api_url, conclusion }, Secret: [secret_ref] }
refers! { ImageTest {
    name, from, image, source_path, command, args, env, timeout, retries, pod_template, excludes,
    on_failure, results
} }
refers! { TestExcludes { path } }
refers! { TestResults { format, path } }
refers! { Delivery { config_map, git, approval } }
refers! { DeliveryConfigMap { prefix }, ConfigMap: [name] }
refers! { DeliveryGit {
    url, branch, push, paths, author, message, signing
}, Secret: [secret_ref, proxy_secret_ref] }
refers! { Push { branch, pull_request } }
refers! { PullRequestOptions { provider, api_url, labels, reviewers, draft }, Secret: [secret_ref] }
refers! { CommitAuthor { name, email } }
refers! { Signing {}, Secret: [secret_ref] }
refers! { PatchRepositorySpec {
    source, layout, directory, component, components, releases, libraries, upstream, template,
    overrides, constraints, upkeep, prune, interval, timeout, suspend
} }
refers! { Upkeep {
    drop, refresh, renumber, after, branch, base, pull_request, author, signing
}, Secret: [secret_ref, proxy_secret_ref] }
refers! { RepositorySource { git, source_ref } }
refers! { GitRepositorySource { ref_, verify }, repository: url, Secret: [secret_ref, proxy_secret_ref] }
refers! { NameSelection { include, exclude } }
refers! {
    UpstreamTemplate { url_template, ref_template, commit_url_template, overrides },
    Secret: [secret_ref, proxy_secret_ref]
}
refers! { UpstreamOverride { component, url, directory, strip }, Secret: [secret_ref] }
refers! { PatchSetTemplate { metadata, spec } }
refers! { TemplateMetadata { labels, annotations } }
refers! { TemplateOverride { match_, template } }
refers! { TemplateMatch { component, release, level } }
refers! { ConstraintsTemplate { metadata, requirements, built_from_source, interval } }
refers! { RequirementsSource { url, ref_template, path }, Secret: [secret_ref, proxy_secret_ref] }
refers! { ConstraintsSource { git, config_map, inline } }
refers! { OverridesSource { git, config_map, inline, entries } }
refers! { OverrideEntry { name, version, marker, downgrade, remove } }

impl Refers for SourceReference {
    fn add_to<'a>(&'a self, found: &mut Collected<'a>) {
        let Self {
            kind,
            name,
            namespace,
        } = self;
        found.references.push(Reference {
            kind: ReferentKind::Source(*kind),
            namespace: namespace.as_deref(),
            name,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd;
    use serde::de::DeserializeOwned;
    use serde_json::{Map, Value, json};

    /// A value of a schema with everything that it may have; each text is its own path, if any text
    /// is allowed.
    fn filled(schema: &Value, place: &str) -> Value {
        if let Some(words) = schema["enum"].as_array() {
            return words[0].clone();
        }
        match schema["type"].as_str() {
            Some("object") => match (schema["properties"].as_object(), &schema["additionalProperties"]) {
                (Some(properties), _) => properties
                    .iter()
                    .map(|(name, schema)| (name.clone(), filled(schema, &format!("{place}.{name}"))))
                    .collect::<Map<String, Value>>()
                    .into(),
                (None, values) => json!({ "any": filled(values, &format!("{place}.any")) }),
            },
            Some("array") => json!([filled(&schema["items"], place)]),
            Some("integer") => json!(1),
            Some("boolean") => json!(true),
            _ => json!(place),
        }
    }

    /// The texts of a value that name an object, by the names of their fields.
    fn names(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.values().for_each(|field| names(field, found)),
            Value::Array(elements) => elements.iter().for_each(|element| names(element, found)),
            Value::String(text) => {
                let fields: Vec<&str> = text.split('.').collect();
                let [.., object, "name"] = fields[..] else { return };
                if object.ends_with("Ref") || ["configMap", "libraries", "constraints"].contains(&object) {
                    found.push(text.clone());
                }
            }
            _ => {}
        }
    }

    fn spec_with_everything<T: DeserializeOwned>(plural: &str) -> (T, Vec<String>) {
        let all = serde_json::to_value(crd::all()).unwrap();
        let crd = all.as_array().unwrap().iter();
        let crd = crd
            .into_iter()
            .find(|crd| crd["spec"]["names"]["plural"] == plural)
            .unwrap();
        let schema = crd
            .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec")
            .unwrap();
        let mut spec = filled(schema, "spec");
        // What a pod template names is the kubelet's concern.
        if let Some(job) = spec.pointer_mut("/build/job") {
            job["podTemplate"] = json!({});
        }
        if let Some(test) = spec.pointer_mut("/build/tests/0") {
            test["podTemplate"] = json!({});
        }
        // What a template names is the concern of the objects made from it.
        for template in ["/template", "/overrides/0/template"] {
            if let Some(template) = spec.pointer_mut(template) {
                template["spec"] = json!({});
            }
        }
        let mut named = Vec::new();
        names(&spec, &mut named);
        named.sort();
        (serde_json::from_value(spec).unwrap(), named)
    }

    fn sorted(references: &[Reference<'_>]) -> Vec<String> {
        let mut names: Vec<String> = references.iter().map(|found| found.name.to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn all_objects_that_a_patch_set_may_name_are_among_its_references() {
        let (spec, named): (PatchSetSpec, _) = spec_with_everything("patchsets");
        let references = spec.references();
        assert_eq!(sorted(&references), named);
        assert!(named.len() > 20, "{named:#?}");
        for found in references {
            let field = found.name.trim_end_matches(".name").rsplit('.').next().unwrap();
            let kind = match found.kind {
                ReferentKind::Secret => ["secretRef", "proxySecretRef"].contains(&field),
                ReferentKind::ConfigMap => field == "configMap",
                ReferentKind::Source(_) => {
                    field == "sourceRef" && found.namespace == Some("spec.patches.sourceRef.namespace")
                }
                ReferentKind::PatchSet => field == "libraries",
                ReferentKind::ConstraintOverride => field == "constraints",
                ReferentKind::Job | ReferentKind::PatchRepository => false,
            };
            assert!(kind, "{found:?}");
        }
    }

    #[test]
    fn all_repositories_that_a_spec_has_read_are_among_its_repositories() {
        let (spec, _): (PatchSetSpec, _) = spec_with_everything("patchsets");
        let mut found = spec.repositories();
        found.sort_unstable();
        assert_eq!(
            found,
            [
                "spec.build.dockerfile.git.url",
                "spec.patches.branch.url",
                "spec.patches.git.url",
                "spec.upstream.url"
            ]
        );
        let (spec, _): (PatchRepositorySpec, _) = spec_with_everything("patchrepositories");
        assert_eq!(spec.repositories(), ["spec.source.git.url"]);
        let (spec, _): (ConstraintOverrideSpec, _) = spec_with_everything("constraintoverrides");
        let mut found = spec.repositories();
        found.sort_unstable();
        assert_eq!(found, ["spec.overrides.git.url", "spec.upperConstraints.git.url"]);
    }

    #[test]
    fn all_objects_that_a_constraint_override_may_name_are_among_its_references() {
        let (spec, named): (ConstraintOverrideSpec, _) = spec_with_everything("constraintoverrides");
        assert_eq!(sorted(&spec.references()), named);
        assert!(named.len() > 7, "{named:#?}");
    }
    #[test]
    fn all_objects_that_a_patch_repository_may_name_are_among_its_references() {
        let (spec, named): (PatchRepositorySpec, _) = spec_with_everything("patchrepositories");
        assert_eq!(sorted(&spec.references()), named);
        assert!(named.len() > 7, "{named:#?}");
    }
}
