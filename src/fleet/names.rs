//! Names of objects, from those of folders.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The longest name of an object.
const LONGEST: usize = 253;

/// A name that the API server accepts (a DNS-1123 subdomain), as close as possible to a text: in
/// lower case, with `-` for what is not allowed. `None` if none of it is allowed.
pub(super) fn object_name(text: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.';
    let text = text.to_lowercase().replace(|c| !allowed(c), "-");
    // Beside a dot, and at the ends, there are letters and digits.
    let parts = text.split('.').map(|part| part.trim_matches('-'));
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let name = parts.join(".");
    (!name.is_empty() && name.len() <= LONGEST).then_some(name)
}

/// Names that are taken, each with its owner.
#[derive(Debug, Default)]
pub(super) struct TakenNames(BTreeMap<String, String>);

impl TakenNames {
    /// Gives a name to an owner.
    ///
    /// # Errors
    ///
    /// The owner that already has the name.
    pub(super) fn take(&mut self, name: &str, owner: &str) -> Result<(), String> {
        match self.0.entry(name.to_owned()) {
            Entry::Vacant(free) => {
                free.insert(owner.to_owned());
                Ok(())
            }
            Entry::Occupied(taken) => Err(taken.get().clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_as_much_like_its_text_as_may_be() {
        for (text, name) in [
            ("glance-2025.2", "glance-2025.2"),
            ("oslo.messaging-2025.2", "oslo.messaging-2025.2"),
            ("Big_Component-2025.2", "big-component-2025.2"),
            ("a_.b", "a.b"),
            ("a._b", "a.b"),
            ("a..b", "a.b"),
            ("._a_.", "a"),
            ("é", ""),
        ] {
            assert_eq!(object_name(text).unwrap_or_default(), name, "{text}");
        }
        assert_eq!(object_name(&"a".repeat(254)), None);
    }

    #[test]
    fn a_name_is_given_once() {
        let mut names = TakenNames::default();
        assert_eq!(names.take("a-b", "a_b"), Ok(()));
        assert_eq!(names.take("a-b", "a-b"), Err("a_b".to_owned()));
    }
}
