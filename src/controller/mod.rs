//! Runs the reconcilers: gather, plan, act, write status.
