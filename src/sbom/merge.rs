//! Puts pedigrees into a document that another tool made.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use upper_constraints::PackageName;

use super::{Error, Overridden, Patched, SpecificationVersion, document};

/// Merges a component's pedigree and the overridden packages into a document, and returns it with
/// everything else unchanged.
///
/// A component that the document has already, at any depth, by its package URL without qualifiers
/// or by its name and version, gets properties and what its pedigree lacks; others are added.
///
/// # Errors
///
/// [`Error::Foreign`] for what is no `CycloneDX` document; those of [`document()`].
pub fn merge(foreign: &[u8], main: &Patched, packages: &[Overridden]) -> Result<Vec<u8>, Error> {
    let mut merged: Value =
        serde_json::from_slice(foreign).map_err(|error| Error::Foreign(error.to_string()))?;
    if merged.get("bomFormat").and_then(Value::as_str) != Some("CycloneDX") {
        return Err(Error::Foreign("bomFormat is not CycloneDX".to_owned()));
    }
    let own = document(main, &[], packages, SpecificationVersion::default())?;
    let own: Value = serde_json::from_slice(&own).map_err(|error| Error::Write(error.to_string()))?;
    let main = own.get("metadata").and_then(|metadata| metadata.get("component"));
    let listed = own.get("components").and_then(Value::as_array);
    for one in main.into_iter().chain(listed.into_iter().flatten()) {
        put(&mut merged, one)?;
    }
    serde_json::to_vec_pretty(&merged).map_err(|error| Error::Write(error.to_string()))
}

fn put(document: &mut Value, component: &Value) -> Result<(), Error> {
    let taken = references(document);
    let Some(object) = document.as_object_mut() else {
        return Err(Error::Foreign("it is not an object".to_owned()));
    };
    let mut found = false;
    if let Some(main) = object
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("component"))
    {
        found |= enrich(main, component);
    }
    let list = object
        .entry("components")
        .or_insert_with(|| Value::Array(Vec::new()));
    let Some(list) = list.as_array_mut() else {
        return Err(Error::Foreign("components is not a list".to_owned()));
    };
    for one in list.iter_mut() {
        found |= enrich(one, component);
    }
    if !found {
        let mut added = component.clone();
        // References have to be unique in a document.
        let is_taken = component
            .get("bom-ref")
            .and_then(Value::as_str)
            .is_some_and(|reference| taken.contains(reference));
        if is_taken && let Some(added) = added.as_object_mut() {
            added.remove("bom-ref");
        }
        list.push(added);
    }
    Ok(())
}

/// All references in a document.
fn references(value: &Value) -> BTreeSet<String> {
    let own = value
        .get("bom-ref")
        .and_then(Value::as_str)
        .map(ToOwned::to_owned);
    let below: Vec<&Value> = match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(object) => object.values().collect(),
        _ => Vec::new(),
    };
    own.into_iter()
        .chain(below.into_iter().flat_map(references))
        .collect()
}

/// Gives the same component of the document, at any depth, the pedigree and properties of the one
/// here; returns whether there is one.
fn enrich(theirs: &mut Value, ours: &Value) -> bool {
    let is_this = is_same(theirs, ours);
    let Some(theirs) = theirs.as_object_mut() else {
        return false;
    };
    let mut found = false;
    if let Some(below) = theirs.get_mut("components").and_then(Value::as_array_mut) {
        for one in below {
            found |= enrich(one, ours);
        }
    }
    if !is_this {
        return found;
    }
    if let Some(value) = ours.get("modified") {
        theirs.insert("modified".to_owned(), value.clone());
    }
    if let Some(pedigree) = ours.get("pedigree") {
        join_pedigrees(theirs.entry("pedigree").or_insert_with(|| json!({})), pedigree);
    }
    if let Some(Value::Array(more)) = ours.get("properties") {
        let list = theirs
            .entry("properties")
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Some(list) = list.as_array_mut() {
            // A name may occur several times: all its values are ours.
            list.retain(|one| !more.iter().any(|new| new.get("name") == one.get("name")));
            list.extend(more.iter().cloned());
        }
    }
    true
}

/// Adds to a pedigree what it lacks.
fn join_pedigrees(theirs: &mut Value, ours: &Value) {
    let (Some(theirs), Some(ours)) = (theirs.as_object_mut(), ours.as_object()) else {
        return;
    };
    for (key, value) in ours {
        let Some(known) = theirs.get_mut(key) else {
            theirs.insert(key.clone(), value.clone());
            continue;
        };
        match (known, value) {
            (Value::Array(known), Value::Array(more)) => {
                for new in more {
                    match known.iter_mut().find(|one| is_same_entry(key, one, new)) {
                        // The patch is the same, and was read again.
                        Some(one) if key == "patches" => *one = new.clone(),
                        Some(_) => {}
                        None => known.push(new.clone()),
                    }
                }
            }
            (Value::String(known), Value::String(more)) if !known.contains(more.as_str()) => {
                known.push_str("; ");
                known.push_str(more);
            }
            _ => {}
        }
    }
}

/// Whether two entries of a list of pedigrees are of the same thing.
fn is_same_entry(key: &str, theirs: &Value, ours: &Value) -> bool {
    let same = |pointer: &str| {
        let found = theirs.pointer(pointer);
        found.is_some() && found == ours.pointer(pointer)
    };
    match key {
        "ancestors" => is_same(theirs, ours),
        "commits" => same("/uid"),
        "patches" => same("/diff/text/content"),
        _ => theirs == ours,
    }
}

fn is_same(theirs: &Value, ours: &Value) -> bool {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    let purl = |value: &Value| {
        let purl = text(value, "purl")?;
        purl.split(['?', '#']).next().map(str::to_lowercase)
    };
    if let (Some(theirs), Some(ours)) = (purl(theirs), purl(ours)) {
        return theirs == ours;
    }
    let name = |value: &Value| {
        let name = text(value, "name")?;
        Some(name.parse::<PackageName>().map_or(name, |name| name.to_string()))
    };
    let named = |value: &Value| Some((name(value)?, text(value, "version")?));
    named(theirs).is_some_and(|theirs| Some(theirs) == named(ours))
}
