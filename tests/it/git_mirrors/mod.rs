//! Mirrors against real servers.

mod artifact;
mod branch;
mod cache;
mod content;
mod destinations;
mod faults;
mod history;
mod http;
mod keys;
mod looks;
mod partial;
mod patience;
mod push;
mod refs;
mod room;
mod ssh;
mod tls;
mod trust;
mod verification;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use git_mirrors::{MirrorConfig, Mirrors, RepoUrl, Scheme, SecretData, Timeouts, Transports, Upstream};

/// A secret that must never appear.
pub const MARKER: &str = "marker-pa55word";

/// Far longer than anything here takes, to allow for a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

pub fn soon() -> Instant {
    Instant::now() + PATIENCE
}

pub fn config(root: &Path) -> MirrorConfig {
    MirrorConfig {
        transports: Transports::SECURE.and(Scheme::Http).and(Scheme::Git),
        timeouts: Timeouts {
            connect: PATIENCE,
            idle: PATIENCE,
            ..Timeouts::default()
        },
        ..MirrorConfig::new(root)
    }
}

pub fn mirrors(root: &Path) -> Mirrors {
    Mirrors::open(config(root)).expect("a folder of mirrors")
}

pub fn url(text: &str) -> RepoUrl {
    text.parse().expect("an address")
}

pub fn anonymous(text: &str) -> Upstream {
    Upstream::anonymous(url(text))
}

pub fn secret(pairs: &[(&str, &str)]) -> SecretData {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
        .collect::<BTreeMap<_, _>>()
}

pub fn with_secret(text: &str, pairs: &[(&str, &str)]) -> Upstream {
    Upstream::new(url(text), Some(&secret(pairs)), None).expect("a usable Secret")
}

/// Bytes that do not compress.
pub fn noise(seed: u64, length: usize) -> String {
    let mut state = seed;
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + u8::try_from((state >> 33) % 94).unwrap())
        })
        .collect()
}
