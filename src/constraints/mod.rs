//! Merges overrides into a pip constraints file.
