//! Names as diffs write them (`quote_c_style` in Git's quote.c, with `core.quotePath`).

/// Returns whether a diff writes a name in quotes.
#[must_use]
pub fn needs_quotes(name: &[u8]) -> bool {
    name.iter()
        .any(|byte| !(0x20..0x7f).contains(byte) || matches!(byte, b'"' | b'\\'))
}

/// Returns a name, in quotes if it needs them.
#[must_use]
pub fn quoted_name(name: &[u8]) -> Vec<u8> {
    quoted_with_prefix(b"", name)
}

/// Returns a name after a prefix such as `a/`, in quotes if it needs them.
#[must_use]
pub fn quoted_with_prefix(prefix: &[u8], name: &[u8]) -> Vec<u8> {
    if !needs_quotes(name) {
        return [prefix, name].concat();
    }
    let mut text = vec![b'"'];
    text.extend_from_slice(prefix);
    for byte in name {
        let letter = match byte {
            0x07 => b'a',
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0b => b'v',
            0x0c => b'f',
            b'\r' => b'r',
            b'"' | b'\\' => *byte,
            0x20..0x7f => {
                text.push(*byte);
                continue;
            }
            _ => {
                text.extend_from_slice(format!("\\{byte:03o}").as_bytes());
                continue;
            }
        };
        text.extend([b'\\', letter]);
    }
    text.push(b'"');
    text
}
