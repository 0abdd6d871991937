//! The resources that users write: `PatchSet` and `ConstraintOverride`.
