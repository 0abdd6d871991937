//! One reconciliation of each kind, step by step.

mod apply;
mod build;
mod constraint_override;
mod deliver;
mod merged_file;
mod patch_set;
mod publish;
mod resolve;
