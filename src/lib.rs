//! Patchset carries patches on software that you do not own.
//!
//! Data flows in one direction, through the libraries below `crates/` and the rooms of this
//! package:
//!
//! 1. [`git_mirrors`] mirrors upstreams and resolves refs, and [`layout`] reads the folders that
//!    have patches;
//! 2. [`git_apply_engine`] applies a series in memory and reports on each patch,
//!    [`upstream_history`] finds out what an upstream did with those that do not apply, and
//!    [`patch_refresh`] refreshes those that no longer fit;
//! 3. [`upper_constraints`] merges overrides into a release's upper constraints;
//! 4. [`fleet`] turns a whole repository's folders into the objects that they ask for;
//! 5. [`recipe`] says what an image is built from, and [`plan`] turns what was observed into
//!    conditions and the next step;
//! 6. [`upkeep`] says what is to be done for the patches themselves, as commits and a pull request;
//! 7. [`status`] writes the result, and [`controller`] runs the loop in a cluster;
//! 8. [`page`] renders the results as an HTML report; [`web`] serves the same
//!    from a cluster;
//! 9. [`cli`] offers the same engine without a cluster, and [`ops`] holds what
//!    an operator of the process needs.
//!
//! [`source_images`] pushes patched trees and merged constraints to a registry, [`build_request`]
//! describes the Job that makes an image of them, [`actions`] has GitHub Actions make it, [`sbom`]
//! says what is in them, [`gitops_markers`] puts them into the files of a `GitOps` repository, and
//! [`forges`] opens the pull request for that. [`clouds`] gets logins for the registries of clouds.
//! [`forge_rest`] sends the requests to their servers, and [`guarded_egress`] says which may be
//! connected to.
//!
//! [`patchset_api`] holds the types that users write, and [`source`] translates them into the terms
//! of mirrors. `docs/architecture.md` has the rules that keep the rooms apart.

#[cfg(feature = "controller")]
pub mod actions;
pub mod build_request;
pub mod cli;
#[cfg(feature = "controller")]
pub mod clouds;
#[cfg(feature = "controller")]
pub mod controller;
pub mod fleet;
pub mod layout;
#[cfg(feature = "controller")]
pub mod ops;
pub mod page;
pub mod plan;
pub mod recipe;
pub mod rework;
#[cfg(feature = "sbom")]
pub mod sbom;
pub mod source;
#[cfg(feature = "controller")]
pub mod status;
#[cfg(feature = "controller")]
pub mod upkeep;
#[cfg(feature = "controller")]
pub mod web;
#[cfg(feature = "controller")]
pub mod webhook;

/// The name that this program gives itself to servers.
const USER_AGENT: &str = concat!("patchset/", env!("CARGO_PKG_VERSION"));
