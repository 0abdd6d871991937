//! Where patches come from.

/// Where a patch comes from, from the weakest claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PatchOrigin {
    /// Upstream does not have it, or nothing says that it does.
    #[default]
    Unofficial,
    /// An upstream change, adapted: `Origin: backport`, `Upstream-Status: Backport`,
    /// `Applied-Upstream`, `(backported from commit …)`.
    Backport,
    /// An unchanged upstream commit: `(cherry picked from commit …)`, `Origin: upstream`.
    CherryPick,
}
