//! A GitHub App, and the token that proves that this side has its private key.

use std::sync::Once;

use jiff::Timestamp;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{self, Signer};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::Serialize;

/// How long the token is valid, in seconds. GitHub takes at most 10 minutes.
const LIFETIME: i64 = 540;
/// How far the token is backdated, in seconds, for clocks that differ. GitHub's own advice.
const CLOCK_MARGIN: i64 = 60;

/// A GitHub App with its installation.
///
/// `Debug` shows no key.
#[derive(Clone, Debug)]
pub(super) struct GitHubApp {
    /// The App's number, or its client ID.
    pub(super) id: String,
    /// The number of its installation at a user or organisation.
    pub(super) installation: u64,
    /// PKCS#1 or PKCS#8.
    key: SecretSlice<u8>,
}

#[derive(Serialize)]
struct AppClaims<'a> {
    iat: i64,
    exp: i64,
    iss: &'a str,
}

impl GitHubApp {
    /// An App with its private key in PEM, as PKCS#1 (what GitHub gives out) or PKCS#8.
    ///
    /// `None` if the key is not an RSA key of 2,048 to 4,096 bits.
    pub(super) fn new(id: String, installation: u64, pem: &[u8]) -> Option<Self> {
        let key = match PrivateKeyDer::from_pem_slice(pem).ok()? {
            PrivateKeyDer::Pkcs1(der) => SecretSlice::from(der.secret_pkcs1_der().to_vec()),
            PrivateKeyDer::Pkcs8(der) => SecretSlice::from(der.secret_pkcs8_der().to_vec()),
            _ => return None,
        };
        rsa_key_pair(key.expose_secret())?;
        Some(Self {
            id,
            installation,
            key,
        })
    }

    /// A token for the App itself, good for nine minutes.
    pub(super) fn signed_token(&self, now: Timestamp) -> Result<SecretString> {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            // Fails only if a provider is already installed, which is as good.
            let _ = RING.install_default();
        });
        let now = now.as_second();
        let claims = AppClaims {
            iat: now - CLOCK_MARGIN,
            exp: now + LIFETIME,
            iss: &self.id,
        };
        let token = {
            let key = EncodingKey::from_rsa_der(self.key.expose_secret());
            jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key)?
        };
        Ok(token.into())
    }
}

/// The library's own backends bring a second implementation of everything that ring has.
static RING: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match (algorithm, rsa_key_pair(key.as_bytes())) {
        (Algorithm::RS256, Some(keys)) => Ok(Box::new(Rs256(keys))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    // Nothing is verified here: tokens are for GitHub to verify.
    verifier_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    key_utils: KeyUtils::new_unimplemented(),
};

struct Rs256(RsaKeyPair);

fn rsa_key_pair(der: &[u8]) -> Option<RsaKeyPair> {
    RsaKeyPair::from_der(der)
        .or_else(|_| RsaKeyPair::from_pkcs8(der))
        .ok()
}

impl Signer<Vec<u8>> for Rs256 {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        let mut signed = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signed)
            .map_err(|_| signature::Error::new())?;
        Ok(signed)
    }
}

impl JwtSigner for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}
