//! Repositories that tests make, and the installed `git` as their oracle.

// What goes wrong here fails the test.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::must_use_candidate
)]

mod corpus;
mod oracle;
mod store;
mod working;

pub use corpus::{corpus, split_diff};
pub use oracle::{Oracle, Prepared, Verdict};
pub use store::RepositoryStore;
pub use working::{WorkingRepository, succeeded, text};

/// Lets a type give out the objects of one of its fields.
#[macro_export]
macro_rules! objects_of_field {
    ($owner:ty, $field:ident) => {
        impl ::git_apply_engine::Objects for $owner {
            fn tree(
                &self,
                id: ::git_apply_engine::Oid,
            ) -> Result<Vec<::git_apply_engine::TreeEntry>, ::git_apply_engine::ObjectError> {
                self.$field.tree(id)
            }

            fn blob(
                &self,
                id: ::git_apply_engine::Oid,
            ) -> Result<::bytes::Bytes, ::git_apply_engine::ObjectError> {
                self.$field.blob(id)
            }

            fn blob_size(&self, id: ::git_apply_engine::Oid) -> Result<u64, ::git_apply_engine::ObjectError> {
                self.$field.blob_size(id)
            }
        }
    };
}

/// Lets a type of a test be the [`WorkingRepository`] in its field `working`, so that it adds only
/// what that test needs.
#[macro_export]
macro_rules! extends_repository {
    ($owner:ty) => {
        impl ::std::ops::Deref for $owner {
            type Target = $crate::WorkingRepository;

            fn deref(&self) -> &$crate::WorkingRepository {
                &self.working
            }
        }

        $crate::objects_of_field!($owner, working);
    };
}
