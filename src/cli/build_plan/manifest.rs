//! The objects of a manifest: those that are planned, and those that they name.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use base64::Engine;
use kube::{CustomResourceExt, Resource};
use patchset_api::schema::faults;
use patchset_api::{ConstraintOverride, GROUP, PatchSet, VERSION, yaml};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::error::Error;
use crate::cli::input;

/// The largest manifest, in bytes.
const LARGEST: u64 = 64 << 20;

/// How many kinds a message names.
const MOST_NAMED: usize = 10;

/// The contents of a ConfigMap.
pub(super) type ConfigMapData = BTreeMap<String, Vec<u8>>;

/// What a manifest holds, by name. Namespaces are ignored.
#[derive(Default)]
pub(super) struct ManifestObjects {
    pub(super) patch_sets: BTreeMap<String, PatchSet>,
    overrides: BTreeMap<String, ConstraintOverride>,
    config_maps: BTreeMap<String, ConfigMapData>,
    /// The kinds that were skipped.
    others: BTreeSet<String>,
}

impl ManifestObjects {
    /// Reads a file of YAML or JSON documents, or standard input for `-`. Expands lists, and skips
    /// other kinds.
    ///
    /// # Errors
    ///
    /// If it is not YAML, or holds something that the API server would refuse.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let bytes = input::read(path, LARGEST)?;
        let shown = path.display();
        if bytes.len() as u64 > LARGEST {
            return Err(Error::Usage(format!("{shown} is larger than {LARGEST} bytes")));
        }
        let text = std::str::from_utf8(&bytes)
            .map_err(|error| Error::Usage(format!("{shown} is not UTF-8: {error}")))?;
        let documents: Vec<Value> = serde_saphyr::from_multiple(text)
            .map_err(|error| Error::Usage(format!("{shown} is not YAML: {}", yaml::fault(&error))))?;
        let mut manifest = Self::default();
        for document in documents {
            manifest
                .take(document)
                .map_err(|message| Error::Usage(format!("{shown}: {message}")))?;
        }
        Ok(manifest)
    }

    fn take(&mut self, mut document: Value) -> Result<(), String> {
        let text = |field: &str| document.get(field).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("apiVersion").to_owned(), text("kind").to_owned());
        if kind.ends_with("List")
            && let Some(Value::Array(items)) = document.get_mut("items").map(Value::take)
        {
            return items.into_iter().try_for_each(|item| self.take(item));
        }
        let ours = format!("{GROUP}/{VERSION}");
        match (version.as_str(), kind.as_str()) {
            ("v1", "ConfigMap") => {
                let name = object_name(&document, &kind)?;
                let data = config_map_data(&document).map_err(|why| format!("ConfigMap {name}: {why}"))?;
                insert_once(&mut self.config_maps, &kind, name, data)
            }
            (version, "PatchSet") if version == ours => {
                let name = object_name(&document, &kind)?;
                let object = accept_object(document, &kind, &name)?;
                insert_once(&mut self.patch_sets, &kind, name, object)
            }
            (version, "ConstraintOverride") if version == ours => {
                let name = object_name(&document, &kind)?;
                let object = accept_object(document, &kind, &name)?;
                insert_once(&mut self.overrides, &kind, name, object)
            }
            (version, "PatchSet" | "ConstraintOverride") => {
                Err(format!("{kind}: apiVersion is {version:?}, but should be {ours}"))
            }
            _ => {
                self.others.insert(kind);
                Ok(())
            }
        }
    }

    /// The kinds that were skipped, in words.
    fn describe_others(&self) -> String {
        let kinds: Vec<&str> = self
            .others
            .iter()
            .map(|kind| {
                if kind.is_empty() {
                    "something without a kind"
                } else {
                    kind
                }
            })
            .take(MOST_NAMED)
            .collect();
        match kinds.as_slice() {
            [] => String::new(),
            kinds => format!("; it contains {}", kinds.join(", ")),
        }
    }

    /// The PatchSet to plan: the named one, or else the only one that has a build and is not a
    /// library of another.
    ///
    /// # Errors
    ///
    /// Where there is none, or several.
    pub(super) fn choose(&self, name: Option<&str>) -> Result<&PatchSet, Error> {
        if let Some(name) = name {
            return self.patch_sets.get(name).ok_or_else(|| {
                let names: Vec<&str> = self.patch_sets.keys().map(String::as_str).collect();
                Error::Usage(format!(
                    "the manifest contains no PatchSet {name}; it contains {}",
                    if names.is_empty() {
                        "none".to_owned()
                    } else {
                        names.join(", ")
                    }
                ))
            });
        }
        let is_used = |name: &String| {
            let mut others = self.patch_sets.values();
            others.any(|other| other.spec.libraries.iter().any(|library| library.name == *name))
        };
        let candidates: Vec<(&String, &PatchSet)> = self
            .patch_sets
            .iter()
            .filter(|(name, object)| object.spec.build.is_some() && !is_used(name))
            .collect();
        match candidates.as_slice() {
            [(_, object)] => Ok(object),
            [] if self.patch_sets.is_empty() => {
                Err(Error::Usage(format!(
                    "the manifest contains no PatchSet{}",
                    self.describe_others()
                )))
            }
            [] => Err(Error::Usage(
                "no PatchSet of the manifest has a build: there is nothing to plan; patchset apply says whether patches apply"
                    .to_owned(),
            )),
            several => {
                let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
                Err(Error::Usage(format!(
                    "the manifest contains {} PatchSets: say with --name which one to plan: {}",
                    names.len(),
                    names.join(", ")
                )))
            }
        }
    }

    /// The PatchSet of this name.
    ///
    /// # Errors
    ///
    /// Where it is not there.
    pub(super) fn patch_set(&self, name: &str) -> Result<&PatchSet, Error> {
        self.patch_sets
            .get(name)
            .ok_or_else(|| absent_object("PatchSet", name))
    }

    /// The ConstraintOverride of this name.
    ///
    /// # Errors
    ///
    /// Where it is not there.
    pub(super) fn constraint_override(&self, name: &str) -> Result<&ConstraintOverride, Error> {
        self.overrides
            .get(name)
            .ok_or_else(|| absent_object("ConstraintOverride", name))
    }

    /// The data of the ConfigMap of this name.
    ///
    /// # Errors
    ///
    /// Where it is not there.
    pub(super) fn config_map(&self, name: &str) -> Result<&ConfigMapData, Error> {
        self.config_maps
            .get(name)
            .ok_or_else(|| absent_object("ConfigMap", name))
    }
}

fn absent_object(kind: &str, name: &str) -> Error {
    Error::Usage(format!(
        "the manifest names {kind} {name} but does not contain it: add it to the same file, as another document"
    ))
}

fn object_name(document: &Value, kind: &str) -> Result<String, String> {
    document
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty())
        .map(ToOwned::to_owned)
        .ok_or_else(|| format!("a {kind} has no metadata.name"))
}

fn insert_once<T>(map: &mut BTreeMap<String, T>, kind: &str, name: String, object: T) -> Result<(), String> {
    match map.entry(name) {
        Entry::Vacant(place) => {
            place.insert(object);
            Ok(())
        }
        Entry::Occupied(taken) => Err(format!(
            "{kind} {} occurs twice; namespaces are ignored",
            taken.key()
        )),
    }
}

/// Reads an object as the API server would accept it.
fn accept_object<K>(document: Value, kind: &str, name: &str) -> Result<K, String>
where
    K: CustomResourceExt + Resource + DeserializeOwned,
{
    let faults = faults::<K>(&document);
    if !faults.is_empty() {
        let messages: Vec<String> = faults.iter().map(ToString::to_string).collect();
        return Err(format!("{kind} {name}: {}", messages.join("\n  ")));
    }
    serde_json::from_value(document).map_err(|error| format!("{kind} {name}: {error}"))
}

/// The data of a ConfigMap, text and bytes alike.
fn config_map_data(document: &Value) -> Result<ConfigMapData, String> {
    let mut data = ConfigMapData::new();
    for (field, is_text) in [("data", true), ("binaryData", false)] {
        let Some(Value::Object(entries)) = document.get(field) else {
            continue;
        };
        for (key, value) in entries {
            let text = value
                .as_str()
                .ok_or_else(|| format!("{field}.{key} is not text"))?;
            let bytes = if is_text {
                text.as_bytes().to_vec()
            } else {
                base64::engine::general_purpose::STANDARD
                    .decode(text)
                    .map_err(|error| format!("{field}.{key} is not base64: {error}"))?
            };
            data.insert(key.clone(), bytes);
        }
    }
    Ok(data)
}
