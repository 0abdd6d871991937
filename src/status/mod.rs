//! Conditions, and the one writer of status.
