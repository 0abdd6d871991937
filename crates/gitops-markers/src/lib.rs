#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod commit;
mod edit;
mod image;
mod lines;
mod marked_scalar;
mod marker;
mod message;
mod plain;
mod plan;
mod replacement;
mod sops;
mod stream;
mod unreadable;

pub use commit::{
    BranchTip, CommitBase, CommitDecision, MissingMarkers, PushTarget, decide_commit, plan_branch,
};
pub use edit::{EditError, EditedFile, MAX_FILE_BYTES, MarkedValue, MarkerProblem, edit_file};
pub use image::{DeliveredImage, NameError, PatchSetName};
pub use marker::{ImageField, Marker, MarkerError};
pub use message::{DEFAULT_MESSAGE, MessageError, Trailers, commit_message, parse_trailers};
pub use plan::{EditPlan, InFile, MarkerFault, may_have_markers, plan_edits};
pub use replacement::ValueChange;
