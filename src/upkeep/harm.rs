//! What a change would make worse.

use std::fmt;

/// What a change would make worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// Fewer patches would apply.
    AppliesLess {
        /// How many apply of how many.
        before: (usize, usize),
        /// The same with the change.
        after: (usize, usize),
    },
    /// As many would apply, but give another tree.
    OtherTree,
    /// It could not be tried.
    Untried,
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AppliesLess { before, after } => write!(
                f,
                "with the change {} of {} patches would apply, and {} of {} do without it",
                after.0, after.1, before.0, before.1
            ),
            Self::OtherTree => f.write_str(
                "with the change as many patches would apply, and the patched tree would be another",
            ),
            Self::Untried => f.write_str("whether the series applies with the change could not be tried"),
        }
    }
}
