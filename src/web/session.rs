//! Viewers who entered a token: the browser has a random number, and the token stays here.

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use rand::RngCore;
use rand::rngs::OsRng;
use secrecy::SecretString;

/// How many there may be; the least recently used goes first.
const SESSIONS: NonZero<usize> = NonZero::new(256).unwrap();

/// How long one lasts.
pub(super) const LASTS: Duration = Duration::from_secs(3600);

/// The name of the cookie. Browsers accept one with this prefix only for this host alone, for its
/// whole site, and marked as secure.
pub(super) const COOKIE: &str = "__Host-patchset";

/// The sessions.
pub(super) struct Sessions(Mutex<LruCache<String, (Instant, SecretString)>>);

impl Default for Sessions {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(SESSIONS)))
    }
}

impl Sessions {
    /// Begins a session, and returns its number.
    pub(super) fn begin(&self, token: SecretString) -> String {
        let mut bytes = [0; 32];
        OsRng.fill_bytes(&mut bytes);
        let id = hex::encode(bytes);
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.put(id.clone(), (Instant::now(), token));
        id
    }

    /// The token of a session.
    pub(super) fn token(&self, id: &str) -> Option<SecretString> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (begun, token) = sessions.get(id)?;
        if begun.elapsed() < LASTS {
            return Some(token.clone());
        }
        sessions.pop(id);
        None
    }

    /// Ends a session.
    pub(super) fn end(&self, id: &str) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.pop(id);
    }
}

/// The value of a cookie that was sent.
pub(super) fn sent_cookie(headers: &axum::http::HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(axum::http::header::COOKIE).iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    let mut pairs = cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(name, value)| (name == COOKIE).then_some(value))
}
