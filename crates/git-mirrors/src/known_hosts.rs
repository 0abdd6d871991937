//! Which host keys a `known_hosts` text vouches for.
//!
//! The format is that of sshd(8), under `SSH_KNOWN_HOSTS FILE FORMAT`.

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, KnownHosts, Marker};
use russh::keys::{Algorithm, HashAlg, PublicKey};

use super::patterns::is_listed;

/// The lines that are about one host.
pub(super) struct HostKeys {
    trusted: Vec<PublicKey>,
    revoked: Vec<PublicKey>,
    authorities: usize,
}

impl HostKeys {
    /// Picks the lines for a host and port; lines that cannot be read are skipped, as `ssh` does.
    pub(super) fn for_host(text: &str, host: &str, port: u16) -> Self {
        let name = match port {
            22 => host.to_lowercase(),
            _ => format!("[{}]:{port}", host.to_lowercase()),
        };
        let mut keys = Self {
            trusted: Vec::new(),
            revoked: Vec::new(),
            authorities: 0,
        };
        for entry in KnownHosts::new(text)
            .flatten()
            .filter(|entry| matches(entry, &name))
        {
            match entry.marker() {
                None => keys.trusted.push(entry.public_key().clone()),
                Some(Marker::Revoked) => keys.revoked.push(entry.public_key().clone()),
                Some(Marker::CertAuthority) => keys.authorities += 1,
            }
        }
        keys
    }

    /// Why no connection can be trusted, where that is known beforehand.
    pub(super) fn why_untrusted(&self) -> Option<&'static str> {
        match (self.trusted.is_empty(), self.authorities) {
            (false, _) => None,
            (true, 0) => Some(
                "known_hosts of the Secret has no line for this host and port: add the output of `ssh-keyscan` after \
                 checking it",
            ),
            (true, _) => Some(
                "known_hosts of the Secret has only @cert-authority lines for this host, which are not supported: \
                 add the host's own key",
            ),
        }
    }

    /// The algorithms to ask the server for, so that it shows a key that can be checked.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let mut algorithms = Vec::new();
        for key in &self.trusted {
            let wanted = match key.algorithm() {
                Algorithm::Rsa { .. } => vec![
                    Algorithm::Rsa {
                        hash: Some(HashAlg::Sha512),
                    },
                    Algorithm::Rsa {
                        hash: Some(HashAlg::Sha256),
                    },
                ],
                other => vec![other],
            };
            for algorithm in wanted {
                if !algorithms.contains(&algorithm) {
                    algorithms.push(algorithm);
                }
            }
        }
        algorithms
    }

    /// Whether the server's key is one of the host's and not revoked.
    pub(super) fn trusts(&self, key: &PublicKey) -> bool {
        let same = |other: &&PublicKey| other.key_data() == key.key_data();
        self.trusted.iter().any(|other| same(&other)) && !self.revoked.iter().any(|other| same(&other))
    }
}

fn matches(entry: &Entry, name: &str) -> bool {
    match entry.host_patterns() {
        HostPatterns::HashedName { salt, hash } => Hmac::<sha1::Sha1>::new_from_slice(salt)
            .is_ok_and(|mac| mac.chain_update(name.as_bytes()).verify_slice(hash).is_ok()),
        HostPatterns::Patterns(patterns) => {
            let patterns: Vec<String> = patterns.iter().map(|pattern| pattern.to_lowercase()).collect();
            is_listed(patterns.iter().map(String::as_str), name)
        }
    }
}
