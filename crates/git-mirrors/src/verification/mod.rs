//! Whether the commit that a ref stands for, or the tag that it names, is signed by one of the
//! trusted keys.
//!
//! A [`Requirement`] goes with what was resolved
//! ([`Resolved::requiring`](super::Resolved::requiring)), and nothing of the commit can be read
//! before it is met: [`Mirrors::snapshot`](super::Mirrors::snapshot) checks it each time. Git's own
//! verdict (`git verify-commit`, `git verify-tag`) is the measure; where this one differs, it
//! refuses more.
//!
//! A signature says who signed a commit, not that it is the newest one.

#[cfg(feature = "keys")]
mod check;
#[cfg(feature = "keys")]
mod object;
#[cfg(feature = "keys")]
mod openpgp;
#[cfg(feature = "keys")]
mod refusal;
mod requirement;
#[cfg(feature = "keys")]
mod ssh;
#[cfg(not(feature = "keys"))]
mod unchecked;

#[cfg(feature = "keys")]
pub(super) use self::check::check;
pub use self::requirement::{Requirement, SignedObjects};
#[cfg(not(feature = "keys"))]
pub(super) use self::unchecked::check;
