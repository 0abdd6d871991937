//! Where patches come from.

/// Where a patch comes from, from the least that is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PatchOrigin {
    /// Nobody upstream has it, or nothing says so.
    #[default]
    Unofficial,
    /// A change of upstream's, adapted: `Origin: backport`, `Upstream-Status: Backport`,
    /// `Applied-Upstream`, `(backported from commit …)`.
    Backport,
    /// A commit of upstream's as it is: `(cherry picked from commit …)`, `Origin: upstream`.
    CherryPick,
}
