//! The contents of Secrets and ConfigMaps that were read, as long as an object refers to them.

use super::locking::lock;
use patchset_api::referent::Referent;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

/// The most bytes that are kept. The API server has no Secret or ConfigMap of over 1 MiB.
const MOST_BYTES: usize = 32 << 20;

/// The contents of a Secret or ConfigMap.
pub type ObjectData = BTreeMap<String, Vec<u8>>;

/// Contents by the object that has them.
#[derive(Debug, Default)]
pub struct Contents(Mutex<KeptContents>);

#[derive(Debug, Default)]
struct KeptContents {
    entries: HashMap<Referent, ContentsEntry>,
    bytes: usize,
    /// Counts uses; the entry with the lowest number is the least recently used.
    uses: u64,
}

#[derive(Debug)]
struct ContentsEntry {
    version: String,
    data: Arc<ObjectData>,
    bytes: usize,
    used_at: u64,
}

impl Contents {
    /// Returns what an object of this version holds, if that is kept.
    pub fn get(&self, referent: &Referent, version: &str) -> Option<Arc<ObjectData>> {
        let kept = &mut *lock(&self.0);
        let entry = kept.entries.get_mut(referent)?;
        if entry.version != version {
            return None;
        }
        kept.uses += 1;
        entry.used_at = kept.uses;
        Some(Arc::clone(&entry.data))
    }

    /// Keeps what an object holds, in place of the least recently used.
    pub fn keep(&self, referent: Referent, version: String, data: Arc<ObjectData>) {
        let bytes = data.iter().map(|(key, value)| key.len() + value.len()).sum();
        let mut kept = lock(&self.0);
        kept.remove(&referent);
        while kept.bytes + bytes > MOST_BYTES {
            let oldest = kept.entries.iter().min_by_key(|(_, entry)| entry.used_at);
            let Some(oldest) = oldest.map(|(referent, _)| referent.clone()) else {
                return;
            };
            kept.remove(&oldest);
        }
        kept.uses += 1;
        let used_at = kept.uses;
        kept.bytes += bytes;
        let entry = ContentsEntry {
            version,
            data,
            bytes,
            used_at,
        };
        kept.entries.insert(referent, entry);
    }

    /// Drops what an object held.
    pub fn forget(&self, referent: &Referent) {
        lock(&self.0).remove(referent);
    }

    /// Drops what nothing refers to.
    pub fn retain(&self, is_referred_to: impl Fn(&Referent) -> bool) {
        let mut kept = lock(&self.0);
        let unused: Vec<Referent> = kept
            .entries
            .keys()
            .filter(|referent| !is_referred_to(referent))
            .cloned()
            .collect();
        for referent in unused {
            kept.remove(&referent);
        }
    }

    /// The number of objects whose contents are kept, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        let kept = lock(&self.0);
        (kept.entries.len(), kept.bytes)
    }
}

impl KeptContents {
    fn remove(&mut self, referent: &Referent) {
        if let Some(entry) = self.entries.remove(referent) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use patchset_api::referent::{ObjectKey, ReferentKind};

    fn referent(name: &str) -> Referent {
        Referent {
            kind: ReferentKind::Secret,
            key: ObjectKey::new("ns", name),
        }
    }

    fn data(bytes: usize) -> Arc<ObjectData> {
        Arc::new(ObjectData::from([("key".to_owned(), vec![0; bytes])]))
    }

    #[test]
    fn what_is_kept_is_bounded_and_goes_with_who_refers_to_it() {
        let contents = Contents::default();
        for n in 0..100 {
            contents.keep(referent(&n.to_string()), "1".into(), data(1 << 20));
            // The first one is read again and again.
            assert!(contents.get(&referent("0"), "1").is_some(), "{n}");
        }
        assert!(contents.size().1 <= MOST_BYTES);
        assert!(contents.get(&referent("1"), "1").is_none());
        assert!(contents.get(&referent("99"), "1").is_some());
        assert!(contents.get(&referent("99"), "2").is_none());
        contents.retain(|referent| referent.key.name == "99");
        assert_eq!(contents.size(), (1, (1 << 20) + 3));
        contents.keep(referent("99"), "2".into(), data(5));
        assert_eq!(contents.size(), (1, 8));
        contents.forget(&referent("99"));
        assert_eq!(contents.size(), (0, 0));
    }
}
