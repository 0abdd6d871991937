//! Which objects depend on what: on other objects, and on Git repositories. Kept as the watches show
//! the objects, so that a change of one thing does not cost a walk over all objects.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use patchset_api::referent::Referent;

use super::locking::lock;

/// Something that an object's result depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dependency {
    /// Another object.
    Object(Referent),
    /// A Git repository that an object of a namespace reads, by the form that is the same however it
    /// is reached.
    Repository { namespace: String, location: String },
}

/// The objects of all kinds, by what they depend on.
#[derive(Debug, Default)]
pub struct Dependents(Mutex<DependencyIndex>);

#[derive(Debug, Default)]
struct DependencyIndex {
    dependencies: HashMap<Referent, HashSet<Dependency>>,
    dependents: HashMap<Dependency, HashSet<Referent>>,
}

impl Dependents {
    /// Records what an object depends on, in place of what it did before.
    pub fn record(&self, object: Referent, dependencies: HashSet<Dependency>) {
        let index = &mut *lock(&self.0);
        if index.dependencies.get(&object) == Some(&dependencies) {
            return;
        }
        index.forget(&object);
        for dependency in &dependencies {
            let dependents = index.dependents.entry(dependency.clone()).or_default();
            dependents.insert(object.clone());
        }
        index.dependencies.insert(object, dependencies);
    }

    /// The objects that depend on something.
    #[must_use]
    pub fn on(&self, dependency: &Dependency) -> Vec<Referent> {
        let index = lock(&self.0);
        let dependents = index.dependents.get(dependency).into_iter().flatten();
        dependents.cloned().collect()
    }

    /// Whether any object depends on something.
    #[must_use]
    pub fn is_any_on(&self, dependency: &Dependency) -> bool {
        lock(&self.0).dependents.contains_key(dependency)
    }

    /// Forgets the objects that are gone.
    pub fn retain(&self, exists: impl Fn(&Referent) -> bool) {
        let index = &mut *lock(&self.0);
        let gone: Vec<Referent> = index
            .dependencies
            .keys()
            .filter(|object| !exists(object))
            .cloned()
            .collect();
        for object in gone {
            index.forget(&object);
        }
    }
}

impl DependencyIndex {
    fn forget(&mut self, object: &Referent) {
        for dependency in self.dependencies.remove(object).into_iter().flatten() {
            if let Some(dependents) = self.dependents.get_mut(&dependency) {
                dependents.remove(object);
                if dependents.is_empty() {
                    self.dependents.remove(&dependency);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use patchset_api::referent::{ObjectKey, ReferentKind};

    fn patch_set(name: &str) -> Referent {
        Referent {
            kind: ReferentKind::PatchSet,
            key: ObjectKey::new("ns", name),
        }
    }

    fn secret(name: &str) -> Dependency {
        Dependency::Object(Referent {
            kind: ReferentKind::Secret,
            key: ObjectKey::new("ns", name),
        })
    }

    #[test]
    fn objects_are_found_by_what_they_depend_on_last() {
        let dependents = Dependents::default();
        dependents.record(patch_set("a"), HashSet::from([secret("one"), secret("two")]));
        dependents.record(patch_set("b"), HashSet::from([secret("two")]));
        assert_eq!(dependents.on(&secret("one")), [patch_set("a")]);
        assert_eq!(dependents.on(&secret("two")).len(), 2);
        dependents.record(patch_set("a"), HashSet::from([secret("three")]));
        assert!(!dependents.is_any_on(&secret("one")));
        assert_eq!(dependents.on(&secret("two")), [patch_set("b")]);
        assert_eq!(dependents.on(&secret("three")), [patch_set("a")]);
        dependents.retain(|object| object.key.name == "b");
        assert!(dependents.on(&secret("three")).is_empty());
        dependents.retain(|_| false);
        let index = lock(&dependents.0);
        assert!(index.dependencies.is_empty() && index.dependents.is_empty());
    }
}
