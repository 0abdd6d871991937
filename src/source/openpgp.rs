//! Signs with OpenPGP keys, as `gpg --detach-sign --armor` does (RFC 9580, 5.2).

use pgp::composed::{ArmorOptions, Deserializable, DetachedSignature, SignedSecretKey, SignedSecretSubKey};
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, Password, SigningKey};
use rand::rngs::OsRng;
use secrecy::{ExposeSecret, SecretString};

/// A private key with its passphrase.
#[derive(Clone)]
pub(super) struct OpenPgpKey {
    key: SignedSecretKey,
    passphrase: SecretString,
}

impl OpenPgpKey {
    /// Reads an armored private key, and tries the passphrase on it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words without its content.
    pub(super) fn read(armored: &str, passphrase: Option<&str>) -> Result<Self, &'static str> {
        let (key, _) = SignedSecretKey::from_string(armored.trim_start()).map_err(
            |_| "git.asc is no armored private OpenPGP key, as gpg --export-secret-keys --armor writes it",
        )?;
        let opened = Self {
            key,
            passphrase: SecretString::from(passphrase.unwrap_or_default()),
        };
        match (opened.is_open(), passphrase) {
            (true, _) => Ok(opened),
            (false, None) => Err("git.asc needs a passphrase: put that into the key passphrase"),
            (false, Some(_)) => Err("passphrase is not that of git.asc"),
        }
    }

    /// The fingerprint of the key that signs, in hexadecimal digits.
    pub(super) fn fingerprint(&self) -> String {
        match self.subkey() {
            Some(subkey) => subkey.key.fingerprint().to_string(),
            None => self.key.primary_key.fingerprint().to_string(),
        }
    }

    /// An armored detached signature.
    pub(super) fn sign(&self, data: &[u8]) -> Result<String, pgp::errors::Error> {
        match self.subkey() {
            Some(subkey) => self.sign_with(&subkey.key, data),
            None => self.sign_with(&self.key.primary_key, data),
        }
    }

    fn sign_with(&self, key: &impl SigningKey, data: &[u8]) -> Result<String, pgp::errors::Error> {
        DetachedSignature::sign_binary_data(OsRng, key, &self.password(), key.hash_alg(), data)?
            .to_armored_string(ArmorOptions::default())
    }

    fn password(&self) -> Password {
        Password::from(self.passphrase.expose_secret())
    }

    /// Whether the passphrase opens the key that signs.
    fn is_open(&self) -> bool {
        let password = self.password();
        let opened = match self.subkey() {
            Some(subkey) => subkey.key.unlock(&password, |_, _| Ok(())),
            None => self.key.primary_key.unlock(&password, |_, _| Ok(())),
        };
        matches!(opened, Ok(Ok(())))
    }

    /// The newest subkey that may sign and was not revoked; where there is none, the primary key signs. gpg chooses so too.
    fn subkey(&self) -> Option<&SignedSecretSubKey> {
        let is = |signature: &Signature, type_| signature.typ() == Some(type_);
        self.key
            .secret_subkeys
            .iter()
            .filter(|subkey| {
                let signatures = &subkey.signatures;
                signatures.iter().any(|signature| {
                    is(signature, SignatureType::SubkeyBinding) && signature.key_flags().sign()
                }) && !signatures
                    .iter()
                    .any(|signature| is(signature, SignatureType::SubkeyRevocation))
            })
            .max_by_key(|subkey| subkey.key.created_at())
    }
}
