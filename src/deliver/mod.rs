//! Images as a `GitOps` repository has them: marked values in YAML files, and the message of a commit that changes them.
//!
//! [`edit`] puts images where markers ask for them, and changes no other byte. [`message`] words the commit.

mod marker;
mod message;
mod plain;
mod tokens;
mod yaml;

pub use marker::{Field, Marker, MarkerError};
pub use message::{DEFAULT_MESSAGE, Delivered, MessageError, message};
pub use yaml::{Change, Edited, Error, LARGEST, Problem, edit};
