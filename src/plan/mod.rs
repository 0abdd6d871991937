//! Decides, from what was observed, what to do and which conditions to show.
