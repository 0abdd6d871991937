//! Converts ids from and to those of other Git libraries.

#[cfg(feature = "git2")]
mod libgit2 {
    use crate::{Oid, OidError};

    /// Returns the id as libgit2 holds it.
    impl From<Oid> for git2::Oid {
        fn from(id: Oid) -> Self {
            // libgit2 refuses only lengths other than 20 bytes.
            Self::from_bytes(id.as_bytes()).unwrap_or(Self::ZERO_SHA1)
        }
    }

    /// Converts an id of libgit2.
    ///
    /// # Errors
    ///
    /// If it is not a SHA-1.
    impl TryFrom<git2::Oid> for Oid {
        type Error = OidError;

        fn try_from(id: git2::Oid) -> Result<Self, OidError> {
            id.as_bytes()
                .try_into()
                .map(Self::from_bytes)
                .map_err(|_| OidError)
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn ids_of_git2_are_the_same() {
            let ours = Oid::of_blob(b"x");
            let theirs = git2::Oid::from(ours);
            assert_eq!(theirs.to_string(), ours.to_string());
            assert_eq!(
                theirs,
                git2::Oid::hash_object(git2::ObjectType::Blob, b"x").unwrap()
            );
            assert_eq!(Oid::try_from(theirs), Ok(ours));
        }
    }
}

#[cfg(feature = "gix")]
mod gitoxide {
    use crate::{Oid, OidError};

    /// Returns the id as gitoxide holds it.
    impl From<Oid> for gix_hash::ObjectId {
        fn from(id: Oid) -> Self {
            (*id.as_bytes()).into()
        }
    }

    /// Converts an id of gitoxide.
    ///
    /// # Errors
    ///
    /// If it is not a SHA-1.
    impl TryFrom<gix_hash::ObjectId> for Oid {
        type Error = OidError;

        fn try_from(id: gix_hash::ObjectId) -> Result<Self, OidError> {
            id.as_slice()
                .try_into()
                .map(Self::from_bytes)
                .map_err(|_| OidError)
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn ids_of_gix_are_the_same() {
            let ours = Oid::of_tree(b"");
            let theirs = gix_hash::ObjectId::from(ours);
            assert_eq!(theirs, gix_hash::ObjectId::empty_tree(gix_hash::Kind::Sha1));
            assert_eq!(theirs.to_string(), ours.to_string());
            assert_eq!(Oid::try_from(theirs), Ok(ours));
        }
    }
}
