//! Private keys that take much time or memory to read.

use serde_json::json;

use super::Scale;
use super::cluster::{Cluster, Make, Tenant, data, make, spec};
use super::images::good_layer;
use crate::controller::{GOOD, inline};
use crate::support::git_repo::GitRepo;
use crate::support::keys::{armored, bcrypt, openpgp_with_argon2};

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = vec![tag];
    match u8::try_from(length) {
        Ok(short @ 0..=127) => bytes.push(short),
        Ok(long) => bytes.extend([0x81, long]),
        Err(_) => bytes.extend([
            0x82,
            u8::try_from(length >> 8).unwrap(),
            u8::try_from(length & 0xff).unwrap(),
        ]),
    }
    bytes.extend_from_slice(content);
    bytes
}

fn number(value: u32) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(3);
    let mut digits = bytes[start..].to_vec();
    if digits[0] >= 0x80 {
        digits.insert(0, 0);
    }
    der(0x02, &digits)
}

/// A PKCS#8 key (RFC 5958, RFC 8018) whose passphrase goes through a derivation with these
/// parameters.
fn pkcs8(derivation: &[u8], parameters: &[u8]) -> String {
    const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
    const AES_256_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];
    let derivation = der(0x30, &[der(0x06, derivation), der(0x30, parameters)].concat());
    let cipher = der(0x30, &[der(0x06, AES_256_CBC), der(0x04, &[7; 16])].concat());
    let schemes = der(0x30, &[derivation, cipher].concat());
    let algorithm = der(0x30, &[der(0x06, PBES2), schemes].concat());
    let key = der(0x30, &[algorithm, der(0x04, &[9; 96])].concat());
    armored("ENCRYPTED PRIVATE KEY", &key)
}

fn pbkdf2(rounds: u32) -> String {
    const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
    const HMAC_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09];
    let function = der(0x30, &[der(0x06, HMAC_SHA256), der(0x05, &[])].concat());
    pkcs8(PBKDF2, &[der(0x04, &[5; 8]), number(rounds), function].concat())
}

fn scrypt(cost: u32) -> String {
    const SCRYPT: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x04, 0x0b];
    pkcs8(
        SCRYPT,
        &[der(0x04, &[5; 8]), number(cost), number(8), number(1)].concat(),
    )
}

/// A key to log in with.
fn login(input: &str, identity: &str) -> Tenant {
    let mut object = spec(
        "ssh://git@127.0.0.1:9/demo.git",
        &inline(&[("0001-five.patch", GOOD)]),
    );
    object["upstream"]["secretRef"] = json!({ "name": "key" });
    let secret = json!({
        "identity": identity, "password": "passphrase",
        "known_hosts": "[127.0.0.1]:9 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n"
    });
    let mut tenant = Tenant::with_spec(format!("key: {input}"), &["identity", "Secret"], &object);
    tenant.objects.insert(0, data("Secret", "key", &secret));
    tenant.restart = true;
    tenant
}

/// A key to sign commits with.
fn signing(cluster: &Cluster, number: usize, input: &str, secret: &serde_json::Value) -> Tenant {
    let name = format!("signed-{number}");
    let repo = GitRepo::create(cluster.root.path(), &name);
    repo.git(&["config", "http.receivepack", "true"]);
    let mut object = cluster.build_spec(&name);
    object["delivery"] =
        json!({ "git": { "url": cluster.git.url(&name), "signing": { "secretRef": { "name": "key" } } } });
    let mut tenant = Tenant::with_spec(format!("key: {input}"), &["Secret", "signing", "marker"], &object);
    tenant.objects.insert(0, data("Secret", "key", secret));
    tenant.layers = Some(vec![good_layer()]);
    tenant.prepare = Some(Box::new(move |namespace| {
        let text = format!("image: x:1 # {{\"$patchset\": \"{namespace}:hostile\"}}\n");
        repo.commit(&[("demo.yaml", &text)], "base");
    }));
    tenant
}

/// The keys that once were too much.
pub fn known(scale: Scale) -> Vec<Make> {
    let pgp = |memory| json!({ "git.asc": openpgp_with_argon2(memory), "passphrase": "passphrase" });
    let mut tenants = vec![
        make(|_| login("2^32 - 1 rounds of bcrypt", &bcrypt(u32::MAX))),
        make(|_| login("2^31 - 1 rounds of PBKDF2", &pbkdf2(i32::MAX.unsigned_abs()))),
        make(|_| login("scrypt with 1 GiB", &scrypt(1 << 20))),
        make(|cluster| {
            let secret = json!({ "identity": bcrypt(u32::MAX), "password": "passphrase" });
            signing(cluster, 0, "2^32 - 1 rounds of bcrypt, for signing", &secret)
        }),
        make(move |cluster| signing(cluster, 1, "Argon2 with 2 GiB", &pgp(21))),
    ];
    if scale == Scale::Long {
        tenants.push(make(|_| login("scrypt with 1 TiB", &scrypt(1 << 30))));
        tenants.push(make(move |cluster| {
            signing(cluster, 2, "Argon2 with 512 MiB", &pgp(19))
        }));
        tenants.push(make(move |cluster| {
            signing(cluster, 3, "Argon2 with 2 TiB", &pgp(31))
        }));
    }
    tenants
}
