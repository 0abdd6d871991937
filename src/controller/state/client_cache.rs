//! Clients of other servers' APIs, kept by what they were made of: they hold tokens, and know when a server wants no requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Clients by a digest of what they were made of, and at most so many.
pub struct ClientCache<C, const MOST: usize = 256>(Mutex<HashMap<String, Arc<C>>>);

impl<C, const MOST: usize> Default for ClientCache<C, MOST> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C, const MOST: usize> ClientCache<C, MOST> {
    /// The client that is kept.
    pub fn get(&self, made_of: &str) -> Option<Arc<C>> {
        let clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients.get(made_of).cloned()
    }

    /// Keeps a client, and gives it as it is shared.
    pub fn keep(&self, made_of: String, client: C) -> Arc<C> {
        let client = Arc::new(client);
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MOST {
            clients.clear();
        }
        clients.insert(made_of, Arc::clone(&client));
        client
    }
}
