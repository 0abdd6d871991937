//! Mirrors upstreams, resolves refs, and reads what Git and Flux sources hold.

pub mod local;
