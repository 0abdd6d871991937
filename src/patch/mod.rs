//! The patch engine: parses, places and applies patches in memory.
