//! What registries asked for and gave before.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use http::header::HeaderValue;

use super::challenge::Challenge;

/// What registries asked for and gave before.
#[derive(Default)]
pub(super) struct Remembered {
    /// By host.
    greetings: Mutex<HashMap<String, Greeting>>,
    tokens: Mutex<HashMap<TokenKey, Token>>,
}

/// What a registry asked for when it was first spoken to.
#[derive(Clone, Debug)]
pub(super) struct Greeting {
    /// `None` where it asks for nothing.
    pub(super) challenge: Option<Challenge>,
    /// The address that it answered from.
    pub(super) server: Option<SocketAddr>,
}

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    pub(super) host: String,
    pub(super) scope: String,
}

/// A token.
pub(super) struct Token {
    pub(super) header: HeaderValue,
    pub(super) ends: Instant,
}

impl Remembered {
    pub(super) fn greeting(&self, host: &str) -> Option<Greeting> {
        let greetings = self.greetings.lock().unwrap_or_else(PoisonError::into_inner);
        greetings.get(host).cloned()
    }

    pub(super) fn put_greeting(&self, host: &str, greeting: Greeting) {
        let mut greetings = self.greetings.lock().unwrap_or_else(PoisonError::into_inner);
        greetings.insert(host.to_owned(), greeting);
    }

    /// Returns the header with a token that has not expired.
    pub(super) fn token(&self, key: &TokenKey) -> Option<HeaderValue> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let token = tokens.get(key)?;
        (token.ends > Instant::now()).then(|| token.header.clone())
    }

    pub(super) fn put_token(&self, key: TokenKey, token: Token) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(key, token);
    }

    pub(super) fn forget_token(&self, key: &TokenKey) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.remove(key);
    }
}
