//! Whether SOPS has put a check sum over what a document says.

/// Looks at a document's nodes for the part that SOPS writes: `sops` at the top, with `mac` in it.
#[derive(Default)]
pub(super) struct SopsSeal {
    top: Pairs,
    sops: Option<Pairs>,
    has_sum: bool,
    is_of_encrypted_values: bool,
}

/// What holds other nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collection {
    Mapping,
    Sequence,
}

/// A mapping whose nodes are keys and values in turn.
#[derive(Default)]
struct Pairs {
    /// The last key, while its value is awaited.
    key: Option<String>,
}

impl Pairs {
    /// Takes the next node. Returns the key whose value it is; `None` where it is a key itself.
    fn next(&mut self, text: &str) -> Option<String> {
        let key = self.key.take();
        if key.is_none() {
            self.key = Some(text.to_owned());
        }
        key
    }
}

impl SopsSeal {
    /// Takes the start of a collection inside `depth` others.
    pub(super) fn enter(&mut self, depth: usize, collection: Collection) {
        match depth {
            1 => {
                let is_sops = self.top.next("").is_some_and(|key| key == "sops");
                self.sops = (is_sops && collection == Collection::Mapping).then(Pairs::default);
            }
            2 => drop(self.sops.as_mut().and_then(|pairs| pairs.next(""))),
            _ => {}
        }
    }

    /// Takes a scalar, or what stands for a node, inside `depth` collections.
    pub(super) fn scalar(&mut self, depth: usize, value: &str) {
        match depth {
            1 => drop(self.top.next(value)),
            2 => match self.sops.as_mut().and_then(|pairs| pairs.next(value)).as_deref() {
                Some("mac") => self.has_sum = true,
                Some("mac_only_encrypted") => self.is_of_encrypted_values = value == "true",
                _ => {}
            },
            _ => {}
        }
    }

    /// Whether there is a check sum, and it also covers the values that are not encrypted.
    pub(super) fn is_broken_by_edits(&self) -> bool {
        self.has_sum && !self.is_of_encrypted_values
    }
}
