//! Private SSH keys, as OpenSSH, OpenSSL and `PuTTY` write them.

use russh::keys::PrivateKey;
use russh::keys::ssh_key::{Algorithm, EcdsaCurve};
use secrecy::zeroize::Zeroizing;

use super::key_derivation::{self, Block, BlockKind};

/// What an OpenSSH key file begins with, once decoded from base64 (OpenSSH's PROTOCOL.key).
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// The kind of key whose number is padded to full length before it is read.
const P256: &[u8] = b"ecdsa-sha2-nistp256";

/// How many bytes that number has at full length.
const P256_BYTES: usize = 32;

/// The block size of the secret part of a file without a passphrase, in bytes.
const PLAIN_BLOCK: usize = 8;

/// Why a key cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Its passphrase takes too much work.
    ///
    /// What it takes, and what to do, worded to follow the key's name.
    Costly(String),
    /// It is not a key of a known kind.
    Malformed,
    /// It has a passphrase, and none was given.
    Locked,
    /// The given passphrase is wrong, or the key is not a key.
    Passphrase,
}

/// Reads a private key in OpenSSH, PKCS#8, PEM or `PuTTY` form.
///
/// # Errors
///
/// What is wrong with it, without anything of the key.
pub(super) fn read(text: &str, passphrase: Option<&str>) -> Result<PrivateKey, Unreadable> {
    let block = key_derivation::check(text).map_err(Unreadable::Costly)?;
    if let Some(Block {
        kind: BlockKind::OpenSsh,
        bytes,
    }) = block
    {
        return read_openssh_bytes(&bytes, passphrase);
    }
    russh::keys::decode_secret_key(text, passphrase).map_err(|error| match error {
        russh::keys::Error::KeyIsEncrypted => Unreadable::Locked,
        _ if passphrase.is_some() => Unreadable::Passphrase,
        _ => Unreadable::Malformed,
    })
}

/// Reads a private key in OpenSSH form.
///
/// # Errors
///
/// As for [`read`].
pub(super) fn read_openssh(text: &str, passphrase: Option<&str>) -> Result<PrivateKey, Unreadable> {
    let block = key_derivation::check(text).map_err(Unreadable::Costly)?;
    match block {
        Some(Block {
            kind: BlockKind::OpenSsh,
            bytes,
        }) => read_openssh_bytes(&bytes, passphrase),
        _ => Err(Unreadable::Malformed),
    }
}

/// Reads the bytes of an OpenSSH key file.
///
/// The library refuses a key of the curve P-256 whose number has fewer than 32 bytes, as one in 512
/// has: OpenSSH leaves out leading zeros (RFC 4251, section 5, on `mpint`).
///
/// They are put back before the library reads the key.
fn read_openssh_bytes(file: &[u8], passphrase: Option<&str>) -> Result<PrivateKey, Unreadable> {
    let full = plain_parts(file).and_then(|parts| with_full_number(parts.public, parts.secret));
    let key = PrivateKey::from_bytes(full.as_ref().map_or(file, |full| full.as_slice()))
        .map_err(|_| Unreadable::Malformed)?;
    if !key.is_encrypted() {
        return Ok(key);
    }
    let passphrase = passphrase.ok_or(Unreadable::Locked)?;
    let is_p256 = key.algorithm()
        == Algorithm::Ecdsa {
            curve: EcdsaCurve::NistP256,
        };
    let decrypted = if is_p256 {
        decrypt(&key, file, passphrase)
    } else {
        key.decrypt(passphrase).ok()
    };
    decrypted.ok_or(Unreadable::Passphrase)
}

/// Decrypts a key of the curve P-256.
fn decrypt(key: &PrivateKey, file: &[u8], passphrase: &str) -> Option<PrivateKey> {
    let cipher = key.cipher();
    let (secret, start) = key.kdf().derive_key_and_iv(cipher, passphrase).ok()?;
    let mut plain = Zeroizing::new(key.key_data().encrypted()?.to_vec());
    // The tag comes after everything else.
    let tag = cipher.has_tag().then(|| file.last_chunk::<16>()).flatten();
    cipher
        .decrypt(&secret, &start, &mut plain, tag.map(|tag| (*tag).into()))
        .ok()?;
    let public = key.public_key().to_bytes().ok()?;
    let file = with_full_number(&public, &plain).unwrap_or_else(|| plain_file(&public, &plain));
    PrivateKey::from_bytes(&file).ok()
}

/// The parts of a file of OpenSSH that are read here.
struct Parts<'a> {
    /// The public key.
    public: &'a [u8],
    /// The secret part: two equal numbers, the key, its comment, and the padding of the last block.
    secret: &'a [u8],
}

/// Splits a file without a passphrase into its parts; `None` for any other file.
fn plain_parts(file: &[u8]) -> Option<Parts<'_>> {
    let mut rest = file.strip_prefix(MAGIC)?;
    if [take(&mut rest)?, take(&mut rest)?, take(&mut rest)?] != [&b"none"[..], b"none", b""] {
        return None;
    }
    let rest = &mut rest.strip_prefix(&1_u32.to_be_bytes())?;
    Some(Parts {
        public: take(rest)?,
        secret: take(rest)?,
    })
}

/// A file without a passphrase in which the key's number has its full length; `None` if it already
/// has, or there is no such number.
fn with_full_number(public: &[u8], secret: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut rest = secret.get(8..)?;
    let [kind, _curve, _point] = [take(&mut rest)?, take(&mut rest)?, take(&mut rest)?];
    let head = secret.get(..secret.len() - rest.len())?;
    let number = take(&mut rest)?;
    // A number whose first bit is set is negative, which no key is.
    let is_positive = number.first().is_some_and(|first| first & 0x80 == 0);
    let missing = P256_BYTES
        .checked_sub(number.len())
        .filter(|missing| *missing > 0)?;
    if kind != P256 || !is_positive {
        return None;
    }
    let comment = take(&mut rest)?;
    let mut full = Zeroizing::new(Vec::with_capacity(secret.len() + P256_BYTES + PLAIN_BLOCK));
    full.extend_from_slice(head);
    put(&mut full, &[&[0; P256_BYTES][..missing], number]);
    put(&mut full, &[comment]);
    // The last block is filled with 1, 2, 3 and so on.
    let filler = full.len().next_multiple_of(PLAIN_BLOCK) - full.len();
    full.extend_from_slice(&[1, 2, 3, 4, 5, 6, 7][..filler]);
    Some(plain_file(public, &full))
}

/// A file without a passphrase.
fn plain_file(public: &[u8], secret: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut file = Zeroizing::new(Vec::with_capacity(public.len() + secret.len() + 64));
    file.extend_from_slice(MAGIC);
    for part in [&b"none"[..], b"none", b""] {
        put(&mut file, &[part]);
    }
    file.extend_from_slice(&1_u32.to_be_bytes());
    put(&mut file, &[public]);
    put(&mut file, &[secret]);
    file
}

/// Takes a length-prefixed string off the front of a text (RFC 4251, section 5).
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (string, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    Some(string)
}

/// Appends a length-prefixed string, made of parts, to a text.
///
/// No key is as large as four gigabytes.
fn put(text: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    text.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    for part in parts {
        text.extend_from_slice(part);
    }
}
