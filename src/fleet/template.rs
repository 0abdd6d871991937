//! The template of one `PatchSet`: the general one, with those laid over it that are for some.

use std::collections::BTreeMap;

use glob::Pattern;
use patchset_api::PatchRepositorySpec;
use patchset_api::patch_repository::{PatchSetTemplate, TemplateMatch, TemplateMetadata};
use patchset_api::patch_set::Level;
use patchset_api::patch_set_template::PATCH_SET_SPEC;
use serde_json::{Map, Value};

use super::error::FleetError;
use super::merge::lay_over;
use super::selection::pattern;

/// The largest template, all overrides included, in bytes of JSON.
const LARGEST: usize = 256 << 10;

/// What of a spec is for images, and not for libraries.
const OF_IMAGES: [&str; 3] = ["delivery", "libraries", "constraints"];
/// The same of a build.
const OF_IMAGES_BUILD: [&str; 6] = [
    "image",
    "dockerfile",
    "contexts",
    "platforms",
    "extraPackagesFrom",
    "args",
];

/// What a template must not set, with the field that it follows from.
const FOLLOWS: [(&str, &str); 11] = [
    ("/component", "the folders"),
    ("/release", "the folders"),
    ("/level", "spec.libraries"),
    ("/upstream/url", "spec.upstream.urlTemplate"),
    ("/upstream/ref", "source-refs.yaml or spec.upstream.refTemplate"),
    (
        "/upstream/refFrom",
        "source-refs.yaml or spec.upstream.refTemplate",
    ),
    ("/patches/git", "spec.source"),
    ("/patches/sourceRef", "spec.source"),
    ("/patches/path", "the folders"),
    ("/patches/configMap", "the folders"),
    ("/patches/inline", "the folders"),
];

/// The templates of a spec, read once.
pub(super) struct Templates<'a> {
    base: Option<&'a PatchSetTemplate>,
    overrides: Vec<MatchedTemplate<'a>>,
}

struct MatchedTemplate<'a> {
    component: Option<Pattern>,
    release: Option<Pattern>,
    level: Option<Level>,
    template: &'a PatchSetTemplate,
}

/// The template of one `PatchSet`. What a template removes is null.
#[derive(Debug, Default)]
pub(super) struct MergedTemplate {
    pub(super) spec: Value,
    pub(super) labels: BTreeMap<String, Option<String>>,
    pub(super) annotations: BTreeMap<String, Option<String>>,
}

impl<'a> Templates<'a> {
    /// Reads the templates of a spec.
    ///
    /// # Errors
    ///
    /// Where a pattern cannot be read, a template sets what follows from something else, or is too
    /// large.
    pub(super) fn new(spec: &'a PatchRepositorySpec) -> Result<Self, FleetError> {
        let size =
            serde_json::to_vec(&(&spec.template, &spec.overrides)).map_or(usize::MAX, |json| json.len());
        if size > LARGEST {
            return Err(FleetError::TemplateTooLarge { size, limit: LARGEST });
        }
        if let Some(template) = &spec.template {
            refuse_what_follows(template, "spec.template")?;
        }
        let mut overrides = Vec::new();
        for (at, one) in spec.overrides.iter().enumerate() {
            let field = format!("spec.overrides[{at}]");
            refuse_what_follows(&one.template, &format!("{field}.template"))?;
            overrides.push(MatchedTemplate::new(&one.match_, &one.template, &field)?);
        }
        Ok(Self {
            base: spec.template.as_ref(),
            overrides,
        })
    }

    /// The template of a component at a release.
    pub(super) fn merged(&self, component: &str, release: &str, level: Level) -> MergedTemplate {
        let mut merged = MergedTemplate {
            spec: Value::Object(Map::new()),
            ..MergedTemplate::default()
        };
        let base = self.base.map(|template| (template, None));
        let matching = self
            .overrides
            .iter()
            .filter(|one| one.is_for(component, release, level))
            .map(|one| (one.template, one.level));
        for (template, for_level) in base.into_iter().chain(matching) {
            if let Some(TemplateMetadata { labels, annotations }) = &template.metadata {
                merged.labels.extend(labels.clone());
                merged.annotations.extend(annotations.clone());
            }
            let Some(spec) = &template.spec else {
                continue;
            };
            if level == Level::Library && for_level != Some(Level::Library) {
                lay_over(&mut merged.spec, &without_image(&spec.0), &PATCH_SET_SPEC);
            } else {
                lay_over(&mut merged.spec, &spec.0, &PATCH_SET_SPEC);
            }
        }
        merged
    }
}

impl<'a> MatchedTemplate<'a> {
    fn new(which: &TemplateMatch, template: &'a PatchSetTemplate, field: &str) -> Result<Self, FleetError> {
        let read = |name: &str, text: &Option<String>| {
            let text = text.as_ref();
            let read = text.map(|text| pattern(&format!("{field}.match.{name}"), text));
            read.transpose()
        };
        Ok(Self {
            component: read("component", &which.component)?,
            release: read("release", &which.release)?,
            level: which.level,
            template,
        })
    }

    fn is_for(&self, component: &str, release: &str, level: Level) -> bool {
        let fits = |pattern: &Option<Pattern>, name: &str| {
            pattern.as_ref().is_none_or(|pattern| pattern.matches(name))
        };
        fits(&self.component, component)
            && fits(&self.release, release)
            && self.level.is_none_or(|own| own == level)
    }
}

fn refuse_what_follows(template: &PatchSetTemplate, field: &str) -> Result<(), FleetError> {
    let Some(spec) = &template.spec else {
        return Ok(());
    };
    if !spec.0.is_object() {
        return Err(FleetError::field(format!("{field}.spec"), "is not an object"));
    }
    for (pointer, from) in FOLLOWS {
        if spec.0.pointer(pointer).is_some() {
            let name = pointer.replace('/', ".");
            let message = format!("follows from {from}: leave it out of the template");
            return Err(FleetError::field(format!("{field}.spec{name}"), message));
        }
    }
    Ok(())
}

/// A template without what is for images.
fn without_image(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Value::Object(fields) = &mut spec {
        fields.retain(|name, _| !OF_IMAGES.contains(&name.as_str()));
        if let Some(Value::Object(build)) = fields.get_mut("build") {
            build.retain(|name, _| !OF_IMAGES_BUILD.contains(&name.as_str()));
        }
    }
    spec
}
