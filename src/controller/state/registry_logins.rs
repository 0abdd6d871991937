//! Registry logins obtained from clouds, kept as long as they are used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::locking::lock;
use crate::clouds::{CloudIdentity, RegistryLogin};

/// The most logins that are kept, in all namespaces and in one.
const MOST: usize = 2048;
const MOST_IN_NAMESPACE: usize = 64;

/// The logins that were obtained.
#[derive(Default)]
pub struct RegistryLogins(Mutex<HashMap<LoginKey, KeptLogin>>);

/// Everything that decides which login it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LoginKey {
    pub namespace: String,
    pub account_uid: String,
    /// With the cloud.
    pub identity: CloudIdentity,
    pub registry: String,
}

struct KeptLogin {
    slot: LoginSlot,
    asked_at: Instant,
}

/// One login. It is locked while it is obtained, so that many who need it ask once.
pub type LoginSlot = Arc<tokio::sync::Mutex<Option<(Instant, RegistryLogin)>>>;

impl RegistryLogins {
    /// Where a login is kept, or will be.
    pub fn slot(&self, key: &LoginKey) -> LoginSlot {
        let mut kept = lock(&self.0);
        let now = Instant::now();
        if let Some(kept) = kept.get_mut(key) {
            kept.asked_at = now;
            return Arc::clone(&kept.slot);
        }
        let in_namespace = kept
            .keys()
            .filter(|other| other.namespace == key.namespace)
            .count();
        let whose = (in_namespace >= MOST_IN_NAMESPACE).then_some(key.namespace.as_str());
        if whose.is_some() || kept.len() >= MOST {
            let of_whom = kept
                .iter()
                .filter(|(other, _)| whose.is_none_or(|namespace| other.namespace == namespace));
            let oldest = of_whom.min_by_key(|(_, kept)| kept.asked_at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                kept.remove(&oldest);
            }
        }
        let slot = LoginSlot::default();
        let new = KeptLogin {
            slot: Arc::clone(&slot),
            asked_at: now,
        };
        kept.insert(key.clone(), new);
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(namespace: &str, number: usize) -> LoginKey {
        LoginKey {
            namespace: namespace.to_owned(),
            account_uid: "1".to_owned(),
            identity: CloudIdentity::Aws {
                role: number.to_string(),
            },
            registry: "r".to_owned(),
        }
    }

    #[test]
    fn a_namespace_keeps_so_many_and_takes_those_of_no_other() {
        let logins = RegistryLogins::default();
        let honest = logins.slot(&key("honest", 0));
        for number in 0..3 * MOST_IN_NAMESPACE {
            logins.slot(&key("greedy", number));
        }
        assert_eq!(lock(&logins.0).len(), MOST_IN_NAMESPACE + 1);
        assert!(Arc::ptr_eq(&honest, &logins.slot(&key("honest", 0))));
        let last = logins.slot(&key("greedy", 3 * MOST_IN_NAMESPACE - 1));
        assert!(!Arc::ptr_eq(&honest, &last));
        for number in 0..2 * MOST {
            logins.slot(&key(&number.to_string(), 0));
        }
        assert_eq!(lock(&logins.0).len(), MOST);
    }
}
