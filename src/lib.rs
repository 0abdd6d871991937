//! Patchset carries patches on software that you do not own.
//!
//! Data flows in one direction:
//!
//! 1. [`source`] mirrors upstreams and resolves refs, and [`layout`] reads the folders that have
//!    patches;
//! 2. [`patch`] applies a series in memory and reports on each patch, [`history`] finds out what an
//!    upstream did with those that do not apply, and [`refresh`] makes those anew that no longer
//!    fit;
//! 3. [`constraints`] merges overrides into a release's upper constraints;
//! 4. [`fleet`] makes of a whole repository's folders the objects that they ask for;
//! 5. [`recipe`] says what an image is built from, and [`plan`] turns what was observed into
//!    conditions and the next step;
//! 6. [`upkeep`] says what is to be done for the patches themselves, as commits and a pull request;
//! 7. [`status`] writes the result, and [`controller`] runs the loop in a cluster;
//! 8. [`page`] shows people what there is, in HTML, as a report; [`web`] serves the same
//!    from a cluster;
//! 9. [`cli`] offers the same engine without a cluster, and [`ops`] holds what
//!    an operator of the process needs.
//!
//! [`publish`] pushes patched trees and merged constraints to a registry, [`build`] describes the
//! Job that makes an image of them, [`actions`] has GitHub Actions make it, [`sbom`] says what is
//! in them, [`deliver`] puts them into the files of a `GitOps` repository, and [`forge`] opens the
//! pull request for that. [`clouds`] gets logins for the registries of clouds. [`rest`] is how the
//! servers are asked, and [`egress`] says which of them may be connected to.
//!
//! [`api`] holds the types that users write. `docs/architecture.md` has the rules
//! that keep the rooms apart.

#[cfg(feature = "controller")]
pub mod actions;
pub mod build;
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

pub use foreign_text as text;
pub use forge_rest as rest;
#[cfg(feature = "controller")]
pub use forges as forge;
pub use git_apply_engine as patch;
pub use git_format_patch as format;
#[cfg(feature = "controller")]
pub use gitops_markers as deliver;
pub use guarded_egress as egress;
#[cfg(feature = "controller")]
use guarded_egress::tls;
pub use image_references as image;
pub use patch_headers as headers;
pub use patch_refresh as refresh;
pub use patchset_api as api;
pub use source_images as publish;
pub use upper_constraints as constraints;
pub use upstream_history as history;

/// What this program calls itself to servers.
const USER_AGENT: &str = concat!("patchset/", env!("CARGO_PKG_VERSION"));
