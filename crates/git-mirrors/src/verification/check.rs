//! Whether what was resolved is signed by one of the keys of a Secret.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use foreign_text::printable;
use git2::ObjectType;
use pgp::composed::SignedPublicKey;

use super::object::{self, Format, Signed};
use super::openpgp;
use super::refusal::Refusal;
use super::ssh::{self, AllowedSigner};
use crate::store::Store;
use crate::{Error, Resolved, SecretData, SignatureFault};

/// The most bytes that a Secret with keys may have.
const MOST_BYTES: usize = 512 << 10;

/// The most keys of a kind.
const MOST_KEYS: usize = 256;

/// The largest commit or tag that is checked, in bytes.
const LARGEST: usize = 1 << 20;

/// The keys of a Secret.
#[derive(Debug, Default)]
struct TrustedKeys {
    openpgp: Vec<SignedPublicKey>,
    ssh: Vec<AllowedSigner>,
}

/// Checks the signature of what was resolved, if one is required; returns what is signed by whom,
/// in words.
///
/// # Errors
///
/// [`Error::Unverified`]; [`Error::TooLarge`] and [`Error::Corrupt`] where an object cannot be
/// read.
pub(crate) fn check(
    store: &Store,
    resolved: &Resolved,
    url: &dyn fmt::Display,
) -> Result<Option<String>, Error> {
    let Some(requirement) = &resolved.requirement else {
        return Ok(None);
    };
    let unverified = |fault, reason| Error::Unverified {
        url: url.to_string(),
        fault,
        reason,
    };
    let keys = TrustedKeys::read(&requirement.data)
        .map_err(|reason| unverified(SignatureFault::Keys, format!("{}: {reason}", requirement.source)))?;
    let now = SystemTime::now();
    let mut verified = Vec::new();
    let mut take = |what: String, checked: Result<String, Refusal>| match checked {
        Ok(who) => {
            verified.push(format!("{what} is signed by {who}"));
            Ok(())
        }
        Err(Refusal::Missing(why)) => Err(unverified(SignatureFault::Missing, format!("{what} {why}"))),
        Err(Refusal::Invalid(why)) => Err(unverified(SignatureFault::Invalid, format!("{what} {why}"))),
        Err(Refusal::Unknown(who)) => Err(unverified(
            SignatureFault::UnknownSigner,
            format!(
                "{what} is signed by {who}, which is not in {}",
                requirement.source
            ),
        )),
    };
    if requirement.needs_tag() {
        let what = match resolved.revision().tag() {
            Some(name) => format!("tag {}", printable(name, 100)),
            None => printable(&resolved.revision().to_string(), 150),
        };
        take(what, tag(store, resolved, &keys, now)?)?;
    }
    if requirement.needs_commit() {
        let raw = store.read_object(resolved.commit(), ObjectType::Commit, LARGEST)?;
        let checked = object::commit(&raw)
            .map_err(Refusal::from)
            .and_then(|signed| keys.verify(&signed, now));
        take(format!("commit {}", resolved.commit()), checked)?;
    }
    Ok(Some(verified.join(", ")))
}

/// Checks the tag that something was resolved by.
fn tag(
    store: &Store,
    resolved: &Resolved,
    keys: &TrustedKeys,
    now: SystemTime,
) -> Result<Result<String, Refusal>, Error> {
    let missing = |why: &str| Ok(Err(Refusal::Missing(why.to_owned())));
    let invalid = |why: &str| Ok(Err(Refusal::Invalid(why.to_owned())));
    let Some(name) = resolved.revision().tag() else {
        return missing("is not a tag, and a signed tag is required");
    };
    if resolved.want == resolved.commit() {
        return missing("has no signature: it is a lightweight tag, not made with git tag -s");
    }
    let raw = store.read_object(resolved.want, ObjectType::Tag, LARGEST)?;
    let tag = match object::tag(&raw) {
        Ok(tag) => tag,
        Err(malformed) => return Ok(Err(malformed.into())),
    };
    // A server may show a signed tag under the name of another one.
    if tag.name != name.as_bytes() {
        let named = printable(&String::from_utf8_lossy(&tag.name), 100);
        return invalid(&format!("says itself that it is tag {named}"));
    }
    if tag.commit != Some(resolved.commit()) {
        return invalid("is not of the commit itself, but of a different object");
    }
    Ok(keys.verify(&tag.signed, now))
}

impl TrustedKeys {
    /// Reads the keys of a Secret.
    ///
    /// # Errors
    ///
    /// What is wrong with which value, without its content.
    fn read(data: &SecretData) -> Result<Self, String> {
        if data.values().map(Vec::len).sum::<usize>() > MOST_BYTES {
            return Err(format!(
                "has more than {} KiB of keys: leave other people's signatures out, with gpg --export-options export-minimal",
                MOST_BYTES >> 10
            ));
        }
        let mut keys = Self::default();
        for (name, value) in data {
            keys.add(value)
                .map_err(|reason| format!("{} {reason}", printable(name, 100)))?;
        }
        if keys.openpgp.is_empty() && keys.ssh.is_empty() {
            return Err(
                "has no keys: give armored OpenPGP keys, SSH public keys or allowed_signers".to_owned(),
            );
        }
        Ok(keys)
    }

    fn add(&mut self, value: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(value)
            .map_err(|_| "is not text: export OpenPGP keys with gpg --export --armor".to_owned())?;
        if text.contains("PRIVATE KEY") {
            return Err("has a private key, which must not be here: give the public one".to_owned());
        }
        if text.contains(openpgp::BEGINNING) {
            openpgp::add(&mut self.openpgp, openpgp::read(text, MOST_KEYS)?);
        } else {
            for (at, line) in text.lines().enumerate() {
                let signer = AllowedSigner::read(line).map_err(|why| format!("line {} {why}", at + 1))?;
                self.ssh.extend(signer);
            }
        }
        if self.openpgp.len().max(self.ssh.len()) > MOST_KEYS {
            return Err(format!(
                "has more than {MOST_KEYS} keys, counting those before it"
            ));
        }
        Ok(())
    }

    /// Checks that an object is signed by one of the keys; returns by which, in words.
    fn verify(&self, signed: &Signed, now: SystemTime) -> Result<String, Refusal> {
        let Some(signature) = &signed.signature else {
            return Err(Refusal::Missing("has no signature".to_owned()));
        };
        match object::format(signature)? {
            Format::OpenPgp => openpgp::verify(&self.openpgp, &signed.payload, signature, now),
            Format::Ssh => {
                // Git asks whether a key was valid at the time that the signed object states.
                let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                let time = signed.time.unwrap_or(i64::try_from(now).unwrap_or(i64::MAX));
                ssh::verify(&self.ssh, &signed.payload, signature, time)
            }
        }
    }
}
