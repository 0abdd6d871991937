//! Small inputs that expand to large ones: made by gzip(1), because compressing in a debug build
//! takes minutes.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use sha1::{Digest, Sha1};

/// Bytes as given, or one byte repeated.
#[derive(Clone)]
pub enum Part {
    Bytes(Vec<u8>),
    Repeat(u8, u64),
}

/// The total number of bytes.
pub fn length(parts: &[Part]) -> u64 {
    parts
        .iter()
        .map(|part| match part {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::Repeat(_, count) => *count,
        })
        .sum()
}

/// Compressed, with gzip's header.
pub fn gzip(parts: &[Part]) -> Vec<u8> {
    let mut child = Command::new("gzip")
        .args(["-9", "-n", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip is installed");
    let mut stdin = child.stdin.take().unwrap();
    let parts = parts.to_vec();
    let writer = std::thread::spawn(move || {
        for part in parts {
            match part {
                Part::Bytes(bytes) => stdin.write_all(&bytes).unwrap(),
                Part::Repeat(byte, count) => {
                    let piece = vec![byte; 1 << 16];
                    let mut left = count;
                    while left > 0 {
                        let now = usize::try_from(left).unwrap().min(piece.len());
                        stdin.write_all(&piece[..now]).unwrap();
                        left -= now as u64;
                    }
                }
            }
        }
    });
    let mut packed = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut packed).unwrap();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    packed
}

/// The modulus of both halves of an Adler-32.
const PRIME: u128 = 65_521;

/// Compressed, with zlib's header (RFC 1950), as in Git.
pub fn zlib(parts: &[Part]) -> Vec<u8> {
    if let [Part::Bytes(bytes)] = parts
        && bytes.len() < 1 << 20
    {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        return encoder.finish().unwrap();
    }
    let (mut low, mut high) = (1_u128, 0_u128);
    let mut add = |byte: u8, count: u128| {
        let byte = u128::from(byte);
        high = (high + count * low + byte * (count * (count + 1) / 2)) % PRIME;
        low = (low + count * byte) % PRIME;
    };
    for part in parts {
        match part {
            Part::Bytes(bytes) => bytes.iter().for_each(|byte| add(*byte, 1)),
            Part::Repeat(byte, count) => add(*byte, u128::from(*count)),
        }
    }
    let sum = u32::try_from(high << 16 | low).unwrap();
    let packed = gzip(parts);
    // gzip's header has 10 bytes if no name is stored, its trailer 8.
    let mut bytes = vec![0x78, 0xda];
    bytes.extend_from_slice(&packed[10..packed.len() - 8]);
    bytes.extend_from_slice(&sum.to_be_bytes());
    bytes
}

/// In lines of Git's base 85 (Git's base85.c and diff.c).
pub fn base85(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 85] =
        b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
    let mut text = String::new();
    for line in bytes.chunks(52) {
        let length = u8::try_from(line.len()).unwrap();
        text.push(char::from(if length <= 26 {
            b'A' + length - 1
        } else {
            b'a' + length - 27
        }));
        for word in line.chunks(4) {
            let mut whole = [0; 4];
            whole[..word.len()].copy_from_slice(word);
            let mut number = u32::from_be_bytes(whole);
            let mut digits = [0; 5];
            for digit in digits.iter_mut().rev() {
                *digit = DIGITS[(number % 85) as usize];
                number /= 85;
            }
            text.push_str(std::str::from_utf8(&digits).unwrap());
        }
        text.push('\n');
    }
    text
}

/// A number as Git's deltas have it: seven bits a byte, the lowest first.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        bytes.push(low | if number > 0 { 0x80 } else { 0 });
        if number == 0 {
            return bytes;
        }
    }
}

/// A delta that copies nothing from its base, and inserts up to 127 bytes.
pub fn insertion(base: u64, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap();
    [varint(base), varint(length.into()), vec![length], bytes.to_vec()].concat()
}

/// A delta that copies all of a base of up to 16 MiB - 1 this many times.
pub fn delta(base: u32, copies: u32) -> Vec<u8> {
    let mut bytes = varint(base.into());
    bytes.extend(varint(u64::from(base) * u64::from(copies)));
    let [low, middle, high, _] = base.to_le_bytes();
    for _ in 0..copies {
        bytes.extend([0xf0, low, middle, high]);
    }
    bytes
}

/// An object's kind in a pack.
#[derive(Clone, Copy)]
pub enum Kind {
    Commit = 1,
    Tree = 2,
    Blob = 3,
    DeltaOf = 7,
}

/// A pack assembled by hand.
#[derive(Default)]
pub struct Pack {
    objects: Vec<u8>,
    count: u32,
}

impl Pack {
    /// Adds an object that is already compressed, with the size to declare.
    pub fn add_packed(&mut self, kind: Kind, base: Option<[u8; 20]>, size: u64, packed: &[u8]) {
        let low = u8::try_from(size & 0xf).unwrap();
        let rest = size >> 4;
        self.objects
            .push((kind as u8) << 4 | low | if rest > 0 { 0x80 } else { 0 });
        if rest > 0 {
            self.objects.extend(varint(rest));
        }
        self.objects.extend(
            base.unwrap_or_default()
                .iter()
                .take(if base.is_some() { 20 } else { 0 }),
        );
        self.objects.extend_from_slice(packed);
        self.count += 1;
    }

    /// Adds an object; returns its id.
    pub fn add(&mut self, kind: Kind, parts: &[Part]) -> [u8; 20] {
        let size = length(parts);
        let name = match kind {
            Kind::Commit => "commit",
            Kind::Tree => "tree",
            Kind::Blob | Kind::DeltaOf => "blob",
        };
        let mut hash = Sha1::new();
        hash.update(format!("{name} {size}\0"));
        for part in parts {
            match part {
                Part::Bytes(bytes) => hash.update(bytes),
                Part::Repeat(byte, count) => {
                    let piece = vec![*byte; 1 << 16];
                    let mut left = *count;
                    while left > 0 {
                        let now = usize::try_from(left).unwrap().min(piece.len());
                        hash.update(&piece[..now]);
                        left -= now as u64;
                    }
                }
            }
        }
        self.add_packed(kind, None, size, &zlib(parts));
        hash.finalize().into()
    }

    /// Adds a tree of entries: mode, name and object.
    pub fn tree(&mut self, entries: &[(&str, &str, [u8; 20])]) -> [u8; 20] {
        let mut bytes = Vec::new();
        for (mode, name, object) in entries {
            bytes.extend(format!("{mode} {name}\0").into_bytes());
            bytes.extend(object);
        }
        self.add(Kind::Tree, &[Part::Bytes(bytes)])
    }

    /// Adds a commit of a tree.
    pub fn commit(&mut self, tree: [u8; 20]) -> [u8; 20] {
        let who = "Tester <tester@example.org> 1700000000 +0000";
        let text = format!(
            "tree {}\nauthor {who}\ncommitter {who}\n\nhostile\n",
            crate::support::hex(&tree)
        );
        self.add(Kind::Commit, &[Part::Bytes(text.into_bytes())])
    }

    /// The pack, which declares `more` objects than it has.
    pub fn bytes(&self, more: u32) -> Vec<u8> {
        let mut bytes = b"PACK\0\0\0\x02".to_vec();
        bytes.extend((self.count.wrapping_add(more)).to_be_bytes());
        bytes.extend_from_slice(&self.objects);
        let sum = Sha1::digest(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }
}
