//! Lists of patterns as OpenSSH has them (`ssh_config(5)`, under PATTERNS).

/// Whether a name matches one of the patterns, and none of those that begin with `!`.
pub(super) fn is_listed<'a>(patterns: impl IntoIterator<Item = &'a str>, name: &str) -> bool {
    let mut is_found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(negated) if matches_pattern(negated.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => is_found |= matches_pattern(pattern.as_bytes(), name.as_bytes()),
        }
    }
    is_found
}

/// Whether a name matches a pattern with `*` and `?`; everything else, brackets included, stands
/// for itself.
///
/// After a mismatch, the last `*` takes one more byte, so no pattern takes long.
fn matches_pattern(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    let mut star = None;
    while let Some(byte) = name.get(position) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => (at, position) = (at + 1, position + 1),
            _ => match star {
                Some((after, taken)) => {
                    star = Some((after, taken + 1));
                    (at, position) = (after + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_takes_what_fits_and_nothing_negated() {
        for (list, expected) in [
            ("git", true),
            ("file,g?t", true),
            ("*", true),
            ("*,!git", false),
            ("!git,*", false),
            ("!x", false),
            ("file", false),
            ("gitx", false),
            ("g", false),
            ("", false),
            ("*i*t*", true),
            ("g[i]t", false),
        ] {
            assert_eq!(is_listed(list.split(','), "git"), expected, "{list}");
        }
    }
}
