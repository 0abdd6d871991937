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

/// How many a user may have; the least recently used goes first.
const SESSIONS_OF_ONE: usize = 4;

/// How long one lasts.
pub(super) const LASTS: Duration = Duration::from_secs(3600);

/// The name of the cookie. Browsers accept one with this prefix only for this host alone, for its
/// whole site, and marked as secure.
pub(super) const COOKIE: &str = "__Host-patchset";

/// A viewer's session.
struct Session {
    begun: Instant,
    user: String,
    token: SecretString,
}

/// The sessions, by their numbers.
pub(super) struct Sessions(Mutex<LruCache<String, Session>>);

impl Default for Sessions {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(SESSIONS)))
    }
}

impl Sessions {
    /// Begins a session of a user, and returns its number.
    pub(super) fn begin(&self, user: &str, token: SecretString) -> String {
        let mut bytes = [0; 32];
        OsRng.fill_bytes(&mut bytes);
        let id = hex::encode(bytes);
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = sessions.iter().filter(|(_, session)| session.user == user);
        // From the most recently used.
        let ended: Vec<String> = own.skip(SESSIONS_OF_ONE - 1).map(|(id, _)| id.clone()).collect();
        for id in ended {
            sessions.pop(&id);
        }
        let session = Session {
            begun: Instant::now(),
            user: user.to_owned(),
            token,
        };
        sessions.put(id.clone(), session);
        id
    }

    /// The token of a session.
    pub(super) fn token(&self, id: &str) -> Option<SecretString> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get(id)?;
        if session.begun.elapsed() < LASTS {
            return Some(session.token.clone());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_ends_only_their_own_sessions() {
        let sessions = Sessions::default();
        let begin = |user: &str| sessions.begin(user, SecretString::from("token"));
        let (other, first, second) = (begin("other"), begin("one"), begin("one"));
        assert!(sessions.token(&first).is_some());
        for _ in 0..SESSIONS_OF_ONE - 1 {
            begin("one");
        }
        let is_there = [&other, &first, &second].map(|id| sessions.token(id).is_some());
        assert_eq!(is_there, [true, true, false]);
        for _ in 0..2 * SESSIONS.get() {
            begin("one");
        }
        assert!(sessions.token(&other).is_some() && sessions.token(&first).is_none());
    }
}
