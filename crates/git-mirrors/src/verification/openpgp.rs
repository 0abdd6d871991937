//! OpenPGP keys that may sign, and what they signed (RFC 9580).
//!
//! What gpg refuses is refused, and more: see [`verify`].

use std::time::SystemTime;

use pgp::composed::{Deserializable, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SignatureVersion, SubpacketData};
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, PublicParams, Tag, VerifyingKey};

use super::refusal::{RSA_BITS, Refusal};
use crate::openpgp::{expiry, is_made_by, is_on_use, may_sign_by_flags, shown_date};

/// The line that an armored public key begins with.
pub(super) const BEGINNING: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// Reads all keys of a text with armored blocks.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn read(text: &str, at_most: usize) -> Result<Vec<SignedPublicKey>, &'static str> {
    const UNREADABLE: &str = "has an OpenPGP key that cannot be read";
    let mut keys = Vec::new();
    for block in text.split(BEGINNING).skip(1) {
        let armored = format!("{BEGINNING}{block}");
        let (found, _) = SignedPublicKey::from_string_many(&armored).map_err(|_| UNREADABLE)?;
        let before = keys.len();
        for key in found {
            keys.push(key.map_err(|_| UNREADABLE)?);
            if keys.len() > at_most {
                return Err("has too many OpenPGP keys");
            }
        }
        if keys.len() == before {
            return Err("has an OpenPGP block without a key");
        }
    }
    Ok(keys)
}

/// Adds keys to the known ones.
///
/// Two copies of a key are merged, as when gpg imports both: a revocation in one of them revokes
/// the key.
pub(super) fn add(known: &mut Vec<SignedPublicKey>, more: Vec<SignedPublicKey>) {
    for key in more {
        let Some(same) = known.iter_mut().find(|same| same.primary_key == key.primary_key) else {
            known.push(key);
            continue;
        };
        let (details, more) = (&mut same.details, key.details);
        details.revocation_signatures.extend(more.revocation_signatures);
        details.direct_signatures.extend(more.direct_signatures);
        for user in more.users {
            match details.users.iter_mut().find(|same| same.id.id() == user.id.id()) {
                Some(same) => same.signatures.extend(user.signatures),
                None => details.users.push(user),
            }
        }
        for subkey in key.public_subkeys {
            match same.public_subkeys.iter_mut().find(|same| same.key == subkey.key) {
                Some(same) => same.signatures.extend(subkey.signatures),
                None => same.public_subkeys.push(subkey),
            }
        }
    }
}

/// Checks a signature of a payload; returns who made it, in words.
///
/// The key that made it, or the primary key of the subkey that did, has to be among `keys`; it must
/// not be expired or revoked, must be bound to its primary key both ways, and must be allowed to
/// sign, as with gpg. Stricter than in gpg, MD5, SHA-1 and RIPEMD-160 prove nothing anywhere,
/// signatures of texts (whose line ends may be changed) and of old versions are refused, and so are
/// all algorithms except RSA from 2048 bits on, ECDSA, Ed25519 and Ed448.
///
/// # Errors
///
/// If none of the keys made it, or the one that did must not have.
pub(super) fn verify(
    keys: &[SignedPublicKey],
    payload: &[u8],
    armored: &[u8],
    now: SystemTime,
) -> Result<String, Refusal> {
    const UNREADABLE: &str = "has an OpenPGP signature that cannot be read";
    let invalid = |reason: &str| Refusal::Invalid(reason.to_owned());
    let (mut found, _) = DetachedSignature::from_armor_many_buf(armored).map_err(|_| invalid(UNREADABLE))?;
    let signature = match (found.next(), found.next()) {
        (Some(Ok(signature)), None) => signature.signature,
        (Some(_), Some(_)) => return Err(invalid("has more than one OpenPGP signature")),
        _ => return Err(invalid(UNREADABLE)),
    };
    if signature.typ() != Some(SignatureType::Binary) {
        return Err(invalid(
            "has an OpenPGP signature of a type that git does not make",
        ));
    }
    is_sound(&signature, now).map_err(invalid)?;
    let mut refusal = Refusal::Unknown(issuer(&signature));
    for key in keys {
        let subkey = key
            .public_subkeys
            .iter()
            .find(|subkey| is_by(&signature, &subkey.key));
        let by_primary = is_by(&signature, &key.primary_key);
        let checked = match subkey {
            Some(subkey) if !by_primary => check(&signature, payload, &subkey.key, now)
                .and_then(|()| check_primary(key, now))
                .and_then(|_| check_subkey(key, subkey, now)),
            _ if by_primary => check(&signature, payload, &key.primary_key, now)
                .and_then(|()| check_primary(key, now))
                .and_then(|own| {
                    let allowed = may_sign_by_flags(own).then_some(());
                    allowed.ok_or_else(|| "must not sign, according to its flags".to_owned())
                }),
            _ => continue,
        };
        let who = format!("OpenPGP key {}", fingerprint(&key.primary_key));
        match checked {
            Ok(()) => return Ok(who),
            Err(why) => refusal = Refusal::Invalid(format!("has a signature of {who}, which {why}")),
        }
    }
    Err(refusal)
}

/// Whether all that a signature says of its issuer, in its unsigned part too, matches a key.
fn is_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let (fingerprints, ids) = (signature.issuer_fingerprint(), signature.issuer_key_id());
    !(fingerprints.is_empty() && ids.is_empty())
        && fingerprints
            .into_iter()
            .all(|fingerprint| *fingerprint == key.fingerprint())
        && ids.into_iter().all(|id| *id == key.legacy_key_id())
}

/// Whether a key made a signature.
fn check(
    signature: &Signature,
    payload: &[u8],
    key: &(impl VerifyingKey + Serialize),
    now: SystemTime,
) -> Result<(), String> {
    is_strong(key.public_params())?;
    signature
        .verify(key, payload)
        .map_err(|_| "did not sign this: it was changed, or the signature was".to_owned())?;
    let made = signature.created().map(SystemTime::from);
    match made {
        Some(made) if made >= SystemTime::from(key.created_at()) => {}
        _ => return Err("is newer than the signature".to_owned()),
    }
    if SystemTime::from(key.created_at()) > now {
        return Err("was made in the future".to_owned());
    }
    Ok(())
}

/// Whether a primary key may be relied on; returns its newest signature on itself.
fn check_primary(key: &SignedPublicKey, now: SystemTime) -> Result<&Signature, String> {
    is_strong(key.primary_key.public_params())?;
    if !key.details.revocation_signatures.is_empty() {
        return Err("was revoked".to_owned());
    }
    let own = own_signature(key, now)
        .ok_or_else(|| "has no valid signature of its own: export it again, in full".to_owned())?;
    match expiry(&key.primary_key, own).filter(|end| *end <= now) {
        Some(ended) => Err(format!(
            "expired on {}: extend it, and export it again",
            shown_date(ended)
        )),
        None => Ok(own),
    }
}

/// The newest valid signature in which a primary key says what it is for.
fn own_signature(key: &SignedPublicKey, now: SystemTime) -> Option<&Signature> {
    let primary = &key.primary_key;
    let counts = |signature: &&Signature| {
        is_on_use(signature) && is_made_by(signature, primary) && is_sound(signature, now).is_ok()
    };
    let direct = newest_first(key.details.direct_signatures.iter().filter(counts))
        .into_iter()
        .find(|signature| signature.verify_key(primary).is_ok());
    let by_users = key.details.users.iter().filter_map(|user| {
        let withdrawn = user
            .signatures
            .iter()
            .filter(|signature| {
                signature.typ() == Some(SignatureType::CertRevocation) && is_made_by(signature, primary)
            })
            .filter_map(Signature::created)
            .max();
        newest_first(user.signatures.iter().filter(counts))
            .into_iter()
            .filter(|signature| withdrawn < signature.created())
            .find(|signature| {
                signature
                    .verify_certification(primary, Tag::UserId, &user.id)
                    .is_ok()
            })
    });
    direct
        .into_iter()
        .chain(by_users)
        .max_by_key(|signature| signature.created())
}

/// Whether a subkey may sign for its primary key.
fn check_subkey(key: &SignedPublicKey, subkey: &SignedPublicSubKey, now: SystemTime) -> Result<(), String> {
    let of = |type_| {
        let signatures = subkey.signatures.iter();
        signatures.filter(move |signature| signature.typ() == Some(type_))
    };
    if of(SignatureType::SubkeyRevocation).next().is_some() {
        return Err("revoked the subkey that signed".to_owned());
    }
    let sound = of(SignatureType::SubkeyBinding).filter(|signature| is_sound(signature, now).is_ok());
    let binding = newest_first(sound)
        .into_iter()
        .find(|binding| {
            binding
                .verify_subkey_binding(&key.primary_key, &subkey.key)
                .is_ok()
        })
        .ok_or_else(|| "is not bound to the subkey that signed".to_owned())?;
    if !binding.key_flags().sign() {
        return Err("does not allow the subkey that made it to sign".to_owned());
    }
    // The subkey has to agree, or anybody could claim another's key as a subkey (RFC 9580,
    // 5.2.1.9).
    let agrees = binding.embedded_signature().is_some_and(|back| {
        is_sound(back, now).is_ok()
            && back
                .verify_primary_key_binding(&subkey.key, &key.primary_key)
                .is_ok()
    });
    if !agrees {
        return Err("is not confirmed by the subkey that signed".to_owned());
    }
    match expiry(&subkey.key, binding).filter(|end| *end <= now) {
        Some(ended) => Err(format!(
            "has a subkey that expired on {}: extend it, and export it again",
            shown_date(ended)
        )),
        None => Ok(()),
    }
}

/// Whether a signature proves anything, whatever it signs.
fn is_sound(signature: &Signature, now: SystemTime) -> Result<(), &'static str> {
    let config = signature
        .config()
        .filter(|_| matches!(signature.version(), SignatureVersion::V4 | SignatureVersion::V6))
        .ok_or("has an OpenPGP signature of a version that is not supported")?;
    match config.hash_alg {
        HashAlgorithm::Sha256
        | HashAlgorithm::Sha384
        | HashAlgorithm::Sha512
        | HashAlgorithm::Sha224
        | HashAlgorithm::Sha3_256
        | HashAlgorithm::Sha3_512 => {}
        _ => return Err("has a signature with MD5, SHA-1 or another digest that proves nothing"),
    }
    // A part that is marked as critical forbids relying on the signature without understanding the
    // part.
    let is_unknown = |data: &SubpacketData| {
        matches!(
            data,
            SubpacketData::Other(..) | SubpacketData::Experimental(..) | SubpacketData::Notation(_)
        )
    };
    if config
        .hashed_subpackets()
        .any(|part| part.is_critical && is_unknown(&part.data))
    {
        return Err("has an OpenPGP signature with a critical part that is not known");
    }
    let made = signature
        .created()
        .ok_or("has an OpenPGP signature without a time")?;
    let lasts = signature
        .signature_expiration_time()
        .map(std::time::Duration::from);
    match lasts.filter(|lasts| !lasts.is_zero()) {
        Some(lasts) if SystemTime::from(made) + lasts <= now => {
            Err("has an OpenPGP signature that has expired")
        }
        _ => Ok(()),
    }
}

/// Whether a key has an algorithm and a size that prove something, and can be checked quickly.
fn is_strong(params: &PublicParams) -> Result<(), String> {
    match params {
        PublicParams::RSA(rsa) => {
            // The modulus comes first, preceded by its length in bits (RFC 9580, 3.2).
            let bytes = rsa.to_bytes().unwrap_or_default();
            let bits = bytes.first_chunk().map_or(0, |bits| u16::from_be_bytes(*bits));
            if RSA_BITS.contains(&u32::from(bits)) {
                Ok(())
            } else {
                Err(format!(
                    "is an RSA key of {bits} bits; it should have from 2048 to 8192"
                ))
            }
        }
        PublicParams::ECDSA(_)
        | PublicParams::EdDSALegacy(_)
        | PublicParams::Ed25519(_)
        | PublicParams::Ed448(_) => Ok(()),
        _ => Err("is of an algorithm that is not supported: use RSA, ECDSA or Ed25519".to_owned()),
    }
}

fn newest_first<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Vec<&'a Signature> {
    let mut signatures: Vec<&Signature> = signatures.collect();
    signatures.sort_by_key(|signature| std::cmp::Reverse(signature.created()));
    signatures
}

/// The key that a signature claims to be made by, in words.
fn issuer(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().first().map(ToString::to_string);
    let id = || signature.issuer_key_id().first().map(ToString::to_string);
    match fingerprint.or_else(id) {
        Some(id) => format!("OpenPGP key {}", id.to_uppercase()),
        None => "an OpenPGP key that it does not name".to_owned(),
    }
}

/// A fingerprint as gpg writes it.
fn fingerprint(key: &impl KeyDetails) -> String {
    key.fingerprint().to_string().to_uppercase()
}
