//! Puts pedigrees into a document that another tool made.

use serde_json::Value;

use super::{Error, Overridden, Patched, document};
use crate::constraints::PackageName;

/// Merges a component's pedigree and the overridden packages into a document, and gives it with
/// everything else in it unchanged.
///
/// A component that is there already, by its package URL without qualifiers or by its name and
/// version, gets pedigree and properties; one that is not is added.
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
    let own = document(main, &[], packages)?;
    let own: Value = serde_json::from_slice(&own).map_err(|error| Error::Write(error.to_string()))?;
    let main = own.get("metadata").and_then(|metadata| metadata.get("component"));
    let listed = own.get("components").and_then(Value::as_array);
    for one in main.into_iter().chain(listed.into_iter().flatten()) {
        put(&mut merged, one)?;
    }
    serde_json::to_vec_pretty(&merged).map_err(|error| Error::Write(error.to_string()))
}

fn put(document: &mut Value, component: &Value) -> Result<(), Error> {
    let Some(object) = document.as_object_mut() else {
        return Err(Error::Foreign("it is no object".to_owned()));
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
        return Err(Error::Foreign("components is no list".to_owned()));
    };
    for one in list.iter_mut() {
        found |= enrich(one, component);
    }
    if !found {
        let mut added = component.clone();
        // References have to be unique in a document.
        let taken = |reference: &Value| list.iter().any(|one| one.get("bom-ref") == Some(reference));
        if component.get("bom-ref").is_some_and(taken)
            && let Some(added) = added.as_object_mut()
        {
            added.remove("bom-ref");
        }
        list.push(added);
    }
    Ok(())
}

/// Gives a component of the document the pedigree and properties of the same component here;
/// whether it is the same.
fn enrich(theirs: &mut Value, ours: &Value) -> bool {
    if !is_same(theirs, ours) {
        return false;
    }
    let Some(theirs) = theirs.as_object_mut() else {
        return false;
    };
    for key in ["pedigree", "modified"] {
        if let Some(value) = ours.get(key) {
            theirs.insert(key.to_owned(), value.clone());
        }
    }
    if let Some(Value::Array(more)) = ours.get("properties") {
        let list = theirs
            .entry("properties")
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Some(list) = list.as_array_mut() {
            list.retain(|one| !more.iter().any(|new| new.get("name") == one.get("name")));
            list.extend(more.iter().cloned());
        }
    }
    true
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
