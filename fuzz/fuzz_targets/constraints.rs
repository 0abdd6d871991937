//! Any constraints and overrides are read or refused, and what can be merged can be read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use upper_constraints::{ConstraintsFile, Overrides, merge};

fuzz_target!(|data: &[u8]| {
    // The first byte 0xFF separates the two files: no UTF-8 has it.
    let mut files = data.splitn(2, |byte| *byte == 0xFF);
    let (base, overrides) = (files.next().unwrap_or_default(), files.next().unwrap_or_default());
    let (Ok(base), Ok(overrides)) = (ConstraintsFile::parse(base), Overrides::parse(overrides)) else {
        return;
    };
    if let Ok(merged) = merge(&base, &overrides, &[]) {
        let again = ConstraintsFile::parse(merged.text.as_bytes());
        assert!(again.is_ok_and(|again| again.entries().len() == merged.entries));
    }
});
