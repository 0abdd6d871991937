//! Signs with OpenPGP keys, as `gpg --detach-sign --armor` does (RFC 9580, 5.2).

use std::time::SystemTime;

use jiff::Timestamp;
use pgp::composed::{ArmorOptions, Deserializable, DetachedSignature, SignedSecretKey, SignedSecretSubKey};
use pgp::packet::{KeyFlags, SecretKey, Signature, SignatureType};
use pgp::types::{KeyDetails, Password, SecretParams, SigningKey};
use rand::rngs::OsRng;
use secrecy::{ExposeSecret, SecretString};

use super::key_derivation;

/// A private key with its passphrase.
#[derive(Clone)]
pub(super) struct OpenPgpKey {
    key: SignedSecretKey,
    passphrase: SecretString,
}

/// The part of a key that signs.
enum SigningPart<'a> {
    Primary(&'a SecretKey),
    Subkey(&'a SignedSecretSubKey),
}

/// Why a key cannot sign.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("git.asc is not an armored private OpenPGP key, as gpg --export-secret-keys --armor writes it")]
    Unreadable,
    #[error("git.asc needs a passphrase: put that into the key passphrase")]
    Locked,
    #[error("passphrase is not the passphrase of git.asc")]
    Passphrase,
    #[error("git.asc was revoked: export another key")]
    Revoked,
    #[error("git.asc expired on {0}: extend it with gpg --quick-set-expire, and export it again")]
    Expired(String),
    #[error("git.asc has no key that may sign")]
    NoneSigns,
    #[error("git.asc {0}")]
    Costly(String),
    #[error("git.asc cannot sign: {0}")]
    Failed(#[from] pgp::errors::Error),
}

impl OpenPgpKey {
    /// Reads an armored private key, and tries the passphrase on the part that signs now.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words without its content.
    pub(super) fn read(armored: &str, passphrase: Option<&str>) -> Result<Self, Unusable> {
        let (key, _) =
            SignedSecretKey::from_string(armored.trim_start()).map_err(|_| Unusable::Unreadable)?;
        let opened = Self {
            key,
            passphrase: SecretString::from(passphrase.unwrap_or_default()),
        };
        match (opened.is_open()?, passphrase) {
            (true, _) => Ok(opened),
            (false, None) => Err(Unusable::Locked),
            (false, Some(_)) => Err(Unusable::Passphrase),
        }
    }

    /// The fingerprint of the primary key, in hexadecimal digits.
    pub(super) fn fingerprint(&self) -> String {
        self.key.primary_key.fingerprint().to_string()
    }

    /// An armored detached signature.
    pub(super) fn sign(&self, data: &[u8]) -> Result<String, Unusable> {
        match self.signing(SystemTime::now())? {
            SigningPart::Subkey(subkey) => self.sign_with(&subkey.key, data),
            SigningPart::Primary(key) => self.sign_with(key, data),
        }
    }

    fn sign_with(&self, key: &impl SigningKey, data: &[u8]) -> Result<String, Unusable> {
        let signature =
            DetachedSignature::sign_binary_data(OsRng, key, &self.password(), key.hash_alg(), data)?;
        Ok(signature.to_armored_string(ArmorOptions::default())?)
    }

    fn password(&self) -> Password {
        Password::from(self.passphrase.expose_secret())
    }

    /// Whether the passphrase opens the part that signs.
    fn is_open(&self) -> Result<bool, Unusable> {
        let password = self.password();
        let part = self.signing(SystemTime::now())?;
        let secret = match &part {
            SigningPart::Subkey(subkey) => subkey.key.secret_params(),
            SigningPart::Primary(key) => key.secret_params(),
        };
        if let SecretParams::Encrypted(encrypted) = secret {
            key_derivation::check_openpgp(encrypted.string_to_key_params()).map_err(Unusable::Costly)?;
        }
        let opened = match part {
            SigningPart::Subkey(subkey) => subkey.key.unlock(&password, |_, _| Ok(())),
            SigningPart::Primary(key) => key.unlock(&password, |_, _| Ok(())),
        };
        Ok(matches!(opened, Ok(Ok(()))))
    }

    /// The newest subkey that may sign, neither expired nor revoked; if there is none, the primary
    /// key. gpg makes the same choice (its getkey.c).
    ///
    /// What a key's newest signature says counts (RFC 9580, 5.2.3.10).
    fn signing(&self, now: SystemTime) -> Result<SigningPart<'_>, Unusable> {
        let primary = &self.key.primary_key;
        let details = &self.key.details;
        if !details.revocation_signatures.is_empty() {
            return Err(Unusable::Revoked);
        }
        let by_users = details.users.iter().flat_map(|user| &user.signatures);
        let own = newest(
            details
                .direct_signatures
                .iter()
                .chain(by_users)
                .filter(|signature| is_on_use(signature) && is_made_by(signature, primary)),
        );
        let ends = own.and_then(|signature| expiry(primary, signature));
        if let Some(ended) = ends.filter(|end| *end <= now) {
            return Err(Unusable::Expired(shown_date(ended)));
        }
        let mut expired = None;
        let mut chosen: Option<&SignedSecretSubKey> = None;
        for subkey in &self.key.secret_subkeys {
            let of_type = |type_| {
                let signatures = subkey.signatures.iter();
                signatures.filter(move |signature| signature.typ() == Some(type_))
            };
            let Some(binding) = newest(of_type(SignatureType::SubkeyBinding)) else {
                continue;
            };
            if !binding.key_flags().sign() || of_type(SignatureType::SubkeyRevocation).next().is_some() {
                continue;
            }
            match expiry(&subkey.key, binding).filter(|end| *end <= now) {
                Some(ended) => expired = expired.max(Some(ended)),
                None if chosen.is_none_or(|other| other.key.created_at() <= subkey.key.created_at()) => {
                    chosen = Some(subkey);
                }
                None => {}
            }
        }
        let may_sign = own.is_none_or(may_sign_by_flags);
        match (chosen, expired) {
            (Some(subkey), _) => Ok(SigningPart::Subkey(subkey)),
            (None, _) if may_sign => Ok(SigningPart::Primary(primary)),
            (None, Some(ended)) => Err(Unusable::Expired(shown_date(ended))),
            (None, None) => Err(Unusable::NoneSigns),
        }
    }
}

/// Whether a signature says what a primary key is for.
///
/// One directly on the key may instead name another key that may revoke it.
pub(super) fn is_on_use(signature: &Signature) -> bool {
    match signature.typ() {
        Some(
            SignatureType::CertGeneric
            | SignatureType::CertPersona
            | SignatureType::CertCasual
            | SignatureType::CertPositive,
        ) => true,
        Some(SignatureType::Key) => signature.key_flags() != KeyFlags::default(),
        _ => false,
    }
}

/// Whether a signature is by a key.
pub(super) fn is_made_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    signature.issuer_fingerprint().contains(&&key.fingerprint())
        || signature.issuer_key_id().contains(&&key.legacy_key_id())
}

/// Whether a primary key may sign by what it says of itself.
///
/// One without flags may do what its algorithm can.
pub(super) fn may_sign_by_flags(own: &Signature) -> bool {
    let flags = own.key_flags();
    flags.sign() || !(flags.certify() || flags.encrypt_comms() || flags.authentication())
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|signature| signature.created())
}

/// When a key expires, by a signature on it.
pub(super) fn expiry(key: &impl KeyDetails, signature: &Signature) -> Option<SystemTime> {
    let after = std::time::Duration::from(signature.key_expiration_time()?);
    // Zero means never (RFC 9580, 5.2.3.13).
    (!after.is_zero()).then(|| SystemTime::from(key.created_at()) + after)
}

pub(super) fn shown_date(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(
        |_| "an unknown day".to_owned(),
        |time| time.strftime("%Y-%m-%d").to_string(),
    )
}
