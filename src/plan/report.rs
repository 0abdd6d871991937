//! The engine's report in the words of the status.
