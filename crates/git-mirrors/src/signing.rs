//! Signs commits with SSH keys, as git does with `gpg.format=ssh`, and with OpenPGP keys (git's
//! gpg-interface.c, OpenSSH's PROTOCOL.sshsig).

use std::fmt;

use russh::keys::ssh_key::LineEnding;
use russh::keys::{HashAlg, PrivateKey};
use secrecy::{ExposeSecret, SecretString};

use super::openpgp::OpenPgpKey;
use super::private_key::{self, Unreadable};
use super::{Error, SecretData};

/// The namespace of a commit's signature; other uses have other names.
pub(super) const NAMESPACE: &str = "git";

/// A key that signs.
#[derive(Clone)]
pub struct Signer(Key);

#[derive(Clone)]
enum Key {
    Ssh(Box<PrivateKey>),
    OpenPgp(Box<OpenPgpKey>),
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Key::Ssh(key) => write!(f, "Signer({})", key.fingerprint(HashAlg::Sha256)),
            Key::OpenPgp(key) => write!(f, "Signer({})", key.fingerprint()),
        }
    }
}

impl Signer {
    /// Reads `identity`, a private key in OpenSSH form, with `password`, its passphrase where it
    /// has one; or `git.asc`, an armored OpenPGP key, with `passphrase`, as Flux names them.
    ///
    /// # Errors
    ///
    /// [`Error::Secret`] where there is no such key. What the Secret holds is not part of the
    /// message.
    pub fn from_secret(data: &SecretData) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::Secret(format!("the Secret for signing cannot be used: {reason}"));
        let text = |key: &str| {
            data.get(key)
                .filter(|bytes| !bytes.is_empty())
                .map(|bytes| std::str::from_utf8(bytes).map(|text| SecretString::from(text.to_owned())))
                .transpose()
                .map_err(|_| wrong(&format!("{key} is not text")))
        };
        match (text("identity")?, text("git.asc")?) {
            (None, None) => Err(wrong(
                "it has neither identity, a private SSH key, nor git.asc, an armored OpenPGP key",
            )),
            (Some(_), Some(_)) => Err(wrong("it has identity and git.asc: keep one of the two")),
            (Some(identity), None) => ssh_key(&identity, text("password")?.as_ref())
                .map(|key| Self(Key::Ssh(Box::new(key))))
                .map_err(|reason| wrong(&reason)),
            (None, Some(armored)) => {
                let passphrase = text("passphrase")?;
                let passphrase = passphrase.as_ref().map(trimmed);
                OpenPgpKey::read(armored.expose_secret(), passphrase)
                    .map(|key| Self(Key::OpenPgp(Box::new(key))))
                    .map_err(|error| wrong(&error.to_string()))
            }
        }
    }

    /// A commit's text with its signature in it.
    pub(super) fn sign_commit(&self, commit: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |reason: String| Error::Secret(format!("the commit cannot be signed: {reason}"));
        let signature = match &self.0 {
            Key::Ssh(key) => key
                .sign(NAMESPACE, HashAlg::Sha512, commit)
                .and_then(|signature| signature.to_pem(LineEnding::LF))
                .map_err(|error| failed(error.to_string()))?,
            Key::OpenPgp(key) => key.sign(commit).map_err(|error| failed(error.to_string()))?,
        };
        let headers = commit
            .windows(2)
            .position(|pair| pair == b"\n\n")
            .ok_or_else(|| failed("it has no message".to_owned()))?;
        let (head, message) = commit.split_at(headers);
        // Lines of a header after its first begin with a space (git's commit.c).
        let folded = signature.trim_end().replace('\n', "\n ");
        let mut signed = Vec::with_capacity(commit.len() + folded.len() + 16);
        signed.extend_from_slice(head);
        signed.extend_from_slice(b"\ngpgsig ");
        signed.extend_from_slice(folded.as_bytes());
        signed.extend_from_slice(message);
        Ok(signed)
    }
}

fn ssh_key(identity: &SecretString, passphrase: Option<&SecretString>) -> Result<PrivateKey, String> {
    let identity = identity.expose_secret().trim_start();
    private_key::read_openssh(identity, passphrase.map(trimmed)).map_err(|error| match error {
        Unreadable::Costly(reason) => format!("identity {reason}"),
        Unreadable::Malformed => "identity is not a private key in OpenSSH format".to_owned(),
        Unreadable::Locked => "identity needs a passphrase: put that into the key password".to_owned(),
        Unreadable::Passphrase => "password is not the passphrase of identity".to_owned(),
    })
}

/// A passphrase without the line feed that an editor appended.
fn trimmed(passphrase: &SecretString) -> &str {
    passphrase.expose_secret().trim_end_matches('\n')
}
