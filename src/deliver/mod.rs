//! Images as a `GitOps` repository has them: marked values in YAML files, and the message of a commit that changes them.
//!
//! [`edit`] puts images where markers ask for them, and changes no other byte; [`plan`] does so for all files of a
//! repository. [`round`] decides on which branch to commit, [`message`] words the commit.

mod marker;
mod message;
mod plain;
mod plan;
mod round;
mod sops;
mod stream;
mod yaml;

pub use marker::{Field, Marker, MarkerError};
pub use message::{DEFAULT_MESSAGE, Delivered, MessageError, Trailers, message, trailers};
pub use plan::{Fault, Plan, may_have_markers, plan};
pub use round::{Lacks, Named, Onto, Round, Tip, planned, round};
pub use yaml::{Change, Edited, Error, LARGEST, Problem, edit};
