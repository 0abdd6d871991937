//! Where something that a spec names is.

/// Something that was found, and not necessarily read yet.
#[derive(Clone, Debug)]
pub enum Located<P, T> {
    /// Where it has to be read.
    At(P),
    /// At hand.
    Given(T),
}
