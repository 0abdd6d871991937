//! `GIT binary patch`, as Git's diff.c and base85.c write it: whole contents both ways.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

const DIGITS: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/// Bytes of a line.
const LINE: usize = 52;

/// The patch between two contents, in both directions.
pub(crate) fn binary_patch(old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut text = b"GIT binary patch\n".to_vec();
    literal(&mut text, new);
    literal(&mut text, old);
    text
}

fn literal(text: &mut Vec<u8>, contents: &[u8]) {
    text.extend_from_slice(format!("literal {}\n", contents.len()).as_bytes());
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    // Writing to a vector does not fail.
    let packed = encoder.write_all(contents).and_then(|()| encoder.finish());
    for line in packed.unwrap_or_default().chunks(LINE) {
        let length = u8::try_from(line.len()).unwrap_or(0);
        text.push(if length <= 26 {
            length + b'A' - 1
        } else {
            length - 26 + b'a' - 1
        });
        for four in line.chunks(4) {
            let mut bytes = [0; 4];
            for (byte, given) in bytes.iter_mut().zip(four) {
                *byte = *given;
            }
            text.extend(digits(u32::from_be_bytes(bytes)));
        }
        text.push(b'\n');
    }
    text.push(b'\n');
}

fn digits(mut number: u32) -> [u8; 5] {
    let mut digits = [0; 5];
    for digit in digits.iter_mut().rev() {
        let place = usize::try_from(number % 85).unwrap_or(0);
        *digit = DIGITS.get(place).copied().unwrap_or(b'0');
        number /= 85;
    }
    digits
}
