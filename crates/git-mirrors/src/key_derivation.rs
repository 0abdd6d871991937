//! Checks how much work a passphrase's key derivation takes, before it begins: whoever writes a
//! Secret chooses the numbers.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use pgp::types::{S2kParams, StringToKey};
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
use russh::keys::PrivateKey;
use russh::keys::ssh_key;
use secrecy::zeroize::Zeroizing;

/// Rounds of bcrypt, some 10 ms each; ssh-keygen uses 24, or as many as `-a` says.
const MOST_BCRYPT_ROUNDS: u32 = 256;
/// Iterations of PBKDF2, some 3 s; OpenSSL uses 2,048, OWASP recommends 600,000.
const MOST_PBKDF2_ITERATIONS: u32 = 10_000_000;
/// Bytes that scrypt takes; its work grows with them.
const MOST_SCRYPT_BYTES: u64 = 64 << 20;
/// Memory that Argon2 takes, in KiB.
const MOST_ARGON2_KIB: u64 = 256 << 10;
/// How many passes Argon2 makes over that memory.
const MOST_ARGON2_PASSES: u64 = 10;
/// How many lanes Argon2 has in parallel.
const MOST_ARGON2_LANES: u64 = 16;
/// The largest key, in bytes: one of RSA with 8,192 bits takes 6 KiB.
const LARGEST_KEY: usize = 8 << 10;

/// Checks a private key in OpenSSH, PEM or `PuTTY` form, as `russh::keys::decode_secret_key` reads
/// them.
///
/// Returns the block that the key is in, where there is one.
///
/// # Errors
///
/// What is too much, and what to do about it.
pub(super) fn check(key: &str) -> Result<Option<Block>, String> {
    if key.trim().starts_with("PuTTY-User-Key-File-") {
        return check_putty(key).map(|()| None);
    }
    // The code that reads the key has a better message for what is not a key.
    let Some(block) = block(key)? else {
        return Ok(None);
    };
    if block.bytes.len() > LARGEST_KEY {
        return Err(format!(
            "is larger than {LARGEST_KEY} bytes: make a key of Ed25519, or of RSA with at most 8,192 bits"
        ));
    }
    match block.kind {
        BlockKind::OpenSsh => check_openssh(&block.bytes)?,
        BlockKind::Der => check_pkcs8(&block.bytes)?,
    }
    Ok(Some(block))
}

/// Checks a private key in OpenSSH form.
///
/// One without a passphrase has nothing to check, whether it can be read or not.
fn check_openssh(key: &[u8]) -> Result<(), String> {
    match PrivateKey::from_bytes(key).as_ref().map(PrivateKey::kdf) {
        Ok(ssh_key::Kdf::Bcrypt { rounds, .. }) if *rounds > MOST_BCRYPT_ROUNDS => Err(format!(
            "has a passphrase that takes {rounds} rounds of bcrypt to read, more than {MOST_BCRYPT_ROUNDS}: change \
             it with ssh-keygen -p -a 100"
        )),
        _ => Ok(()),
    }
}

/// Checks how an OpenPGP key's secret part is encrypted.
///
/// # Errors
///
/// As for [`check`].
pub(super) fn check_openpgp(encryption: &S2kParams) -> Result<(), String> {
    let derivation = match encryption {
        S2kParams::Unprotected | S2kParams::LegacyCfb { .. } => return Ok(()),
        S2kParams::Aead { s2k, .. } | S2kParams::Cfb { s2k, .. } | S2kParams::MalleableCfb { s2k, .. } => s2k,
    };
    match derivation {
        // The exponent of the number of KiB (RFC 9580, 3.7.1.4). An iterated hash goes over 62 MiB
        // at most.
        StringToKey::Argon2 { t, p, m_enc, .. } => check_argon2(&Argon2 {
            kib: 1_u64.checked_shl(u32::from(*m_enc)).unwrap_or(u64::MAX),
            passes: u64::from(*t),
            lanes: u64::from(*p),
        }),
        _ => Ok(()),
    }
}

/// A block of base64 between a `BEGIN` and an `END` line.
pub(super) struct Block {
    pub(super) kind: BlockKind,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

/// What a block holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockKind {
    /// A file of OpenSSH.
    OpenSsh,
    /// PKCS#8, encrypted or not, or what has no derivation worth the name.
    Der,
}

/// Finds the key's block, by the rules of the reader that comes after.
fn block(text: &str) -> Result<Option<Block>, String> {
    let mut found: Option<(BlockKind, Zeroizing<String>)> = None;
    for line in text.lines() {
        let kind = match line {
            "-----BEGIN OPENSSH PRIVATE KEY-----" => Some(BlockKind::OpenSsh),
            "-----BEGIN RSA PRIVATE KEY-----"
            | "-----BEGIN ENCRYPTED PRIVATE KEY-----"
            | "-----BEGIN PRIVATE KEY-----"
            | "-----BEGIN EC PRIVATE KEY-----" => Some(BlockKind::Der),
            _ => None,
        };
        match (&mut found, kind) {
            (None, kind) => found = kind.map(|kind| (kind, Zeroizing::default())),
            (Some(_), Some(_)) => return Err("holds one key within another".to_owned()),
            (Some(_), None) if line.starts_with("-----END ") => break,
            (Some((_, digits)), None) => {
                let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '+' | '=');
                if line.chars().all(is_base64) {
                    digits.push_str(line);
                }
            }
        }
    }
    let Some((kind, digits)) = found else {
        return Ok(None);
    };
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&STANDARD, config)
        .decode(digits.as_str())
        .map(Zeroizing::new)
        .map_err(|_| "is cut off, or has lines that are not base64".to_owned())?;
    Ok(Some(Block { kind, bytes }))
}

fn check_pkcs8(bytes: &[u8]) -> Result<(), String> {
    let Ok(key) = EncryptedPrivateKeyInfoRef::try_from(bytes) else {
        return Ok(());
    };
    let too_much = |what: String| {
        Err(format!(
            "has a passphrase that takes {what}: write it again with openssl pkcs8 -topk8 -iter 600000"
        ))
    };
    let EncryptionScheme::Pbes2(parameters) = &key.encryption_algorithm else {
        return Ok(());
    };
    match &parameters.kdf {
        Kdf::Pbkdf2(pbkdf2) if pbkdf2.iteration_count > MOST_PBKDF2_ITERATIONS => too_much(format!(
            "{} iterations of PBKDF2 to read, more than {MOST_PBKDF2_ITERATIONS}",
            pbkdf2.iteration_count
        )),
        Kdf::Scrypt(scrypt) => {
            let bytes = scrypt
                .cost_parameter
                .saturating_mul(u64::from(scrypt.block_size))
                .saturating_mul(u64::from(scrypt.parallelization))
                .saturating_mul(128);
            if bytes > MOST_SCRYPT_BYTES {
                return too_much(format!(
                    "{bytes} bytes of scrypt (128·N·r·p) to read, more than {MOST_SCRYPT_BYTES}"
                ));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Checks what a `PuTTY` key of version 3 says about its key derivation.
fn check_putty(text: &str) -> Result<(), String> {
    if text.len() > 2 * LARGEST_KEY {
        return Err(format!("is larger than {} bytes", 2 * LARGEST_KEY));
    }
    // If a name occurs twice, the largest value counts.
    let most = |name: &str| {
        let values = text
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix(name));
        let values = values.map(|value| {
            value
                .trim_start_matches(':')
                .trim()
                .parse::<u64>()
                .unwrap_or(u64::MAX)
        });
        values.max().unwrap_or(0)
    };
    check_argon2(&Argon2 {
        kib: most("Argon2-Memory"),
        passes: most("Argon2-Passes"),
        lanes: most("Argon2-Parallelism"),
    })
}

/// The parameters of Argon2 (RFC 9106).
struct Argon2 {
    kib: u64,
    passes: u64,
    lanes: u64,
}

fn check_argon2(argon2: &Argon2) -> Result<(), String> {
    let Argon2 { kib, passes, lanes } = *argon2;
    for (value, most, unit) in [
        (kib, MOST_ARGON2_KIB, "KiB of memory"),
        (passes, MOST_ARGON2_PASSES, "passes"),
        (lanes, MOST_ARGON2_LANES, "lanes"),
    ] {
        if value > most {
            return Err(format!(
                "has a passphrase that takes {value} {unit} of Argon2 to read, more than {most}: change it, with \
                 parameters within that"
            ));
        }
    }
    Ok(())
}
