//! Why a signature is refused.

use std::ops::RangeInclusive;

use super::object::Malformed;

/// The sizes of RSA keys in bits: smaller ones prove too little, larger ones take long.
pub(super) const RSA_BITS: RangeInclusive<u32> = 2048..=8192;

/// Why a signature is refused, in words that follow what was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Missing(String),
    /// Who made it.
    Unknown(String),
    Invalid(String),
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Invalid(malformed.to_string())
    }
}
