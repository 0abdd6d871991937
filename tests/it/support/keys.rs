//! Private keys with parameters of one's choice.

use std::process::Command;

use base64::Engine;

/// Bytes as a PEM document.
pub fn armored(label: &str, bytes: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// An SSH key that says that its passphrase goes through so many rounds of bcrypt.
pub fn bcrypt(rounds: u32) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let made = Command::new("ssh-keygen")
        .args([
            "-q",
            "-t",
            "ed25519",
            "-a",
            "1",
            "-N",
            "passphrase",
            "-C",
            "test",
            "-f",
        ])
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    let text = std::fs::read_to_string(path).unwrap();
    let inner: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let mut bytes = base64::engine::general_purpose::STANDARD.decode(inner).unwrap();
    // The options of bcrypt are a salt of 16 bytes and the rounds (OpenSSH's PROTOCOL.key).
    let name = bytes.windows(6).position(|window| window == b"bcrypt").unwrap();
    let at = name + 6 + 4 + 4 + 16;
    bytes[at..at + 4].copy_from_slice(&rounds.to_be_bytes());
    armored("OPENSSH PRIVATE KEY", &bytes)
}
