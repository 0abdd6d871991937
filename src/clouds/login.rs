//! Logins for registries.

use std::fmt;

use jiff::Timestamp;
use secrecy::SecretString;

/// A login for a registry.
#[derive(Clone)]
pub struct RegistryLogin {
    /// What to log in with.
    pub secret: LoginSecret,
    /// When it ends.
    pub ends: Timestamp,
}

/// What to log in with.
#[derive(Clone)]
pub enum LoginSecret {
    /// A user's name, and what serves as the password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// A refresh token for the registry's token server.
    IdentityToken(SecretString),
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryLogin")
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}
