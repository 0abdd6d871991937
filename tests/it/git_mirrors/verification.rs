//! Whose signature a commit or tag has, beside the verdict of `git verify-commit` and
//! `git verify-tag` with the real gpg and ssh-keygen.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use git_mirrors::SignedObjects::{self, Commit, Tag, TagAndCommit};
use git_mirrors::{Error, FileLimits, Freshness, Mirrors, RefSpec, Requirement, SignatureFault, Upstream};
use pgp::composed::{ArmorOptions, Deserializable, DetachedSignature, SignedPublicKey};
use pgp::packet::{Subpacket, SubpacketData};
use pgp::types::KeyDetails;
use ring::signature::KeyPair;
use sha2::{Digest, Sha256, Sha512};

use super::{anonymous, mirrors, soon};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;
use crate::support::signing::{GpgHome, SshKey, piped, with_signature};

/// What differs between git's verdict and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Both accept.
    Accepted,
    /// Both refuse.
    Refused(SignatureFault),
    /// Git accepts, and we do not.
    Stricter(SignatureFault),
}
use Expected::{Accepted, Refused, Stricter};
use SignatureFault::{Invalid, Keys, Missing, UnknownSigner};

/// A served repository, and a mirror of it.
struct Case {
    _root: tempfile::TempDir,
    _cache: tempfile::TempDir,
    repo: GitRepo,
    _server: GitServer,
    mirrors: Mirrors,
    upstream: Upstream,
}

impl Case {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let repo = GitRepo::create(root.path(), "repo");
        repo.commit(&[("a", "1\n")], "unsigned");
        repo.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
        repo.git(&["config", "uploadpack.allowFilter", "true"]);
        let server = GitServer::http(root.path()).start();
        let cache = tempfile::tempdir().unwrap();
        Self {
            mirrors: mirrors(cache.path()),
            upstream: anonymous(&server.url("repo")),
            _root: root,
            _cache: cache,
            repo,
            _server: server,
        }
    }

    /// Who signed it, or why it is not verified: the same for the trees alone and for the whole
    /// commit.
    fn verify(
        &self,
        want: &RefSpec,
        objects: SignedObjects,
        keys: &str,
    ) -> Result<String, (SignatureFault, String)> {
        let data = BTreeMap::from([("any.name".to_owned(), keys.as_bytes().to_vec())]);
        let requirement = Requirement::new(objects, "Secret ours/keys".to_owned(), Arc::new(data));
        let resolved = self
            .mirrors
            .resolve(&self.upstream, want, Freshness::Now, soon())
            .unwrap()
            .requiring(Arc::new(requirement));
        let verdict = |signatures: Result<Option<String>, Error>| match signatures {
            Ok(signatures) => Ok(signatures.unwrap()),
            Err(Error::Unverified { fault, reason, .. }) => Err((fault, reason)),
            // What libgit2 does not accept as a commit either is refused earlier.
            Err(Error::Corrupt { reason, .. } | Error::BadPack { reason, .. }) => Err((Invalid, reason)),
            Err(error) => panic!("{want:?}: {error}"),
        };
        let partial = self.mirrors.partial_snapshot(&self.upstream, &resolved, soon());
        let partial = partial.map(|snapshot| snapshot.signatures().map(ToOwned::to_owned));
        let whole = self.mirrors.snapshot(&self.upstream, &resolved, soon());
        let whole = whole.map(|snapshot| {
            assert_eq!(snapshot.commit(), resolved.commit());
            snapshot.signatures().map(ToOwned::to_owned)
        });
        let (partial, whole) = (verdict(partial), verdict(whole));
        assert_eq!(
            partial.as_ref().err().map(|(fault, _)| *fault),
            whole.as_ref().err().map(|(fault, _)| *fault)
        );
        whole
    }

    fn commit(&self, id: &str, keys: &str) -> Result<String, (SignatureFault, String)> {
        self.verify(&RefSpec::Commit(id.to_owned()), Commit, keys)
    }

    fn tag(&self, name: &str, keys: &str) -> Result<String, (SignatureFault, String)> {
        self.verify(&RefSpec::Tag(name.to_owned()), Tag, keys)
    }
}

/// Compares both verdicts with the expected one.
fn compare(what: &str, git: bool, ours: &Result<String, (SignatureFault, String)>, expected: Expected) {
    let accepted = matches!(expected, Accepted | Stricter(_));
    assert_eq!(git, accepted, "git's verdict on {what}; ours: {ours:?}");
    match (ours, expected) {
        (Ok(_), Accepted) => {}
        (Err((fault, _)), Refused(wanted) | Stricter(wanted)) if *fault == wanted => {}
        _ => panic!("{what}: {ours:?} is not {expected:?}"),
    }
}

/// Settings that make git judge with the keys of a home.
fn judge(home: &GpgHome) -> Vec<String> {
    vec![format!("gpg.program={}", home.program(&[]))]
}

/// A commit made by git with gpg, judged with the keys as exported at the end.
fn openpgp_case(
    case: &Case,
    what: &str,
    (home, options): (&GpgHome, &[&str]),
    afterwards: impl FnOnce(&GpgHome),
    expected: Expected,
) {
    let signer = home.fingerprints().remove(0);
    let program = format!("gpg.program={}", home.program(options));
    let settings = [program, format!("user.signingkey={signer}")];
    let id = case.repo.signed_commit(&settings, what);
    afterwards(home);
    let keys = home.export();
    let git = case
        .repo
        .verifies(&judge(&GpgHome::importing(&keys)), "verify-commit", &id);
    let ours = case.commit(&id, &keys);
    compare(what, git, &ours, expected);
    if let Ok(message) = ours {
        assert_eq!(message, format!("commit {id} is signed by OpenPGP key {signer}"));
    }
}

fn nothing(_: &GpgHome) {}

#[rstest::rstest]
#[case::ed25519("ed25519", Accepted)]
#[case::rsa("rsa2048", Accepted)]
#[case::p256("nistp256", Accepted)]
#[case::p384("nistp384", Accepted)]
#[case::small_rsa("rsa1024", Stricter(Invalid))]
#[case::dsa("dsa2048", Stricter(Invalid))]
fn openpgp_keys_of_all_kinds(#[case] algorithm: &str, #[case] expected: Expected) {
    let case = Case::new();
    let home = GpgHome::with_key(algorithm, "sign", "never", None);
    openpgp_case(&case, algorithm, (&home, &[]), nothing, expected);
}

#[test]
fn openpgp_digests_and_types() {
    let case = Case::new();
    let home = GpgHome::with_key("ed25519", "sign", "never", None);
    for (options, expected) in [
        (&["--digest-algo", "SHA512"][..], Accepted),
        (&["--digest-algo", "SHA384"], Accepted),
        (&["--digest-algo", "SHA1"], Stricter(Invalid)),
        (&["--textmode"], Stricter(Invalid)),
        (&["--sig-notation", "x@example.org=y"], Accepted),
        (&["--sig-notation", "!x@example.org=y"], Refused(Invalid)),
        (
            &[
                "--faked-system-time",
                "20200101T000000",
                "--ignore-time-conflict",
                "--ignore-valid-from",
            ],
            Refused(Invalid),
        ),
        (&["--default-sig-expire", "never"], Accepted),
    ] {
        openpgp_case(&case, &options.join(" "), (&home, options), nothing, expected);
    }
}

#[test]
fn openpgp_keys_that_expired_or_were_revoked() {
    let case = Case::new();
    let past = Some("20200101T000000");
    let then = ["--faked-system-time", "20200601T000000"];
    let expired = || GpgHome::with_key("ed25519", "sign", "1y", past);
    openpgp_case(
        &case,
        "expired since",
        (&expired(), &then),
        nothing,
        Refused(Invalid),
    );
    let extend = |home: &GpgHome| {
        home.run(None, &["--quick-set-expire", &home.fingerprints().remove(0), "0"]);
    };
    openpgp_case(&case, "extended since", (&expired(), &then), extend, Accepted);
    let home = GpgHome::with_key("ed25519", "sign", "never", past);
    let short = [&then[..], &["--default-sig-expire", "1d"]].concat();
    openpgp_case(
        &case,
        "a signature that expired",
        (&home, &short),
        nothing,
        Refused(Invalid),
    );
    openpgp_case(&case, "still good", (&home, &then), nothing, Accepted);
    openpgp_case(&case, "revoked", (&home, &[]), GpgHome::revoke, Refused(Invalid));
}

/// A primary key that may only certify, with a subkey that may sign.
fn with_subkey(lasts: &str, now: Option<&str>) -> GpgHome {
    let home = GpgHome::with_key("ed25519", "cert", "never", now);
    home.run(
        now,
        &[
            "--quick-add-key",
            &home.fingerprints().remove(0),
            "ed25519",
            "sign",
            lasts,
        ],
    );
    home
}

/// Runs commands in gpg's key editor, as a person would.
fn edit(home: &GpgHome, answers: &str) {
    let key = home.fingerprints().remove(0);
    let mut editor = Command::new("gpg");
    editor.arg("--homedir").arg(home.path());
    editor.args([
        "--batch",
        "--pinentry-mode",
        "loopback",
        "--passphrase",
        "",
        "--command-fd",
        "0",
    ]);
    piped(
        editor.args(["--quiet", "--yes", "--edit-key", &key]),
        answers.as_bytes(),
    );
}

#[test]
fn openpgp_subkeys() {
    let case = Case::new();
    openpgp_case(
        &case,
        "a subkey",
        (&with_subkey("never", None), &[]),
        nothing,
        Accepted,
    );
    let past = Some("20200101T000000");
    let then = ["--faked-system-time", "20200601T000000"];
    let expired = with_subkey("1y", past);
    openpgp_case(
        &case,
        "an expired subkey",
        (&expired, &then),
        nothing,
        Refused(Invalid),
    );
    let revoke = |home: &GpgHome| edit(home, "key 1\nrevkey\ny\n0\n\ny\nsave\n");
    openpgp_case(
        &case,
        "a revoked subkey",
        (&with_subkey("never", None), &[]),
        revoke,
        Refused(Invalid),
    );
    // Both copies of a key count, in either order.
    let home = with_subkey("never", None);
    let settings = home.settings();
    let id = case.repo.signed_commit(&settings, "two copies");
    let before = home.export();
    assert!(case.commit(&id, &before).is_ok());
    revoke(&home);
    for keys in [
        format!("{before}{}", home.export()),
        format!("{}{before}", home.export()),
    ] {
        let git = case
            .repo
            .verifies(&judge(&GpgHome::importing(&keys)), "verify-commit", &id);
        compare("two copies", git, &case.commit(&id, &keys), Refused(Invalid));
    }
}

/// The same keys, changed packet by packet.
fn changed(armored: &str, change: impl FnOnce(&mut SignedPublicKey)) -> String {
    let (mut key, _) = SignedPublicKey::from_string(armored).unwrap();
    change(&mut key);
    key.to_armored_string(ArmorOptions::default()).unwrap()
}

#[test]
fn openpgp_bindings_that_prove_nothing() {
    let case = Case::new();
    let home = with_subkey("never", None);
    let other = with_subkey("never", None);
    let settings = home.settings();
    let id = case.repo.signed_commit(&settings, "bindings");
    let keys = home.export();
    let (foreign, _) = SignedPublicKey::from_string(&other.export()).unwrap();
    let without_confirmation = changed(&keys, |key| {
        let binding = &mut key.public_subkeys[0].signatures[0];
        let parts = binding.config().unwrap().unhashed_subpackets();
        let at: Vec<usize> = parts
            .enumerate()
            .filter(|(_, part)| matches!(part.data, SubpacketData::EmbeddedSignature(_)))
            .map(|(at, _)| at)
            .collect();
        assert_eq!(at.len(), 1);
        binding.unhashed_subpacket_remove(at[0]).unwrap();
    });
    let bound_by_another = changed(&keys, |key| {
        key.public_subkeys[0]
            .signatures
            .clone_from(&foreign.public_subkeys[0].signatures);
    });
    // Another key's owner claims the subkey that signed.
    let (own, _) = SignedPublicKey::from_string(&keys).unwrap();
    let taken = changed(&other.export(), |key| {
        key.public_subkeys.clone_from(&own.public_subkeys);
    });
    let without_user = changed(&keys, |key| key.details.users.clear());
    let user_of_another = changed(&keys, |key| key.details.users.clone_from(&foreign.details.users));
    for (what, keys) in [
        ("no confirmation by the subkey", without_confirmation),
        ("a binding of another key", bound_by_another),
        ("a subkey of another key", taken),
        ("no signature on itself", without_user),
        ("a user of another key", user_of_another),
    ] {
        let git = case
            .repo
            .verifies(&judge(&GpgHome::importing(&keys)), "verify-commit", &id);
        compare(what, git, &case.commit(&id, &keys), Refused(Invalid));
    }
}

/// A commit without its OpenPGP signature, and that signature.
fn taken_apart(raw: &[u8]) -> Option<(String, DetachedSignature)> {
    let (head, rest) = std::str::from_utf8(raw).ok()?.split_once("\ngpgsig ")?;
    let (folded, message) = rest.split_once("\n\n")?;
    let (signature, _) = DetachedSignature::from_string(&folded.replace("\n ", "\n")).ok()?;
    Some((format!("{head}\n\n{message}"), signature))
}

/// What an OpenPGP signature proves: everything except its armor's checksum, which must not matter
/// (RFC 9580, 6.1), and its unsigned part.
fn proven(raw: &[u8]) -> Option<String> {
    let (payload, DetachedSignature { signature }) = taken_apart(raw)?;
    let config = signature.config()?;
    let bytes = signature.signature()?;
    Some(format!(
        "{payload}{:?}{:?}{bytes:?}",
        config.hash_alg, config.hashed_subpackets
    ))
}

#[test]
fn an_issuer_beside_the_one_that_signed_is_not_passed_over() {
    let case = Case::new();
    let home = GpgHome::with_key("ed25519", "sign", "never", None);
    let other = GpgHome::with_key("ed25519", "sign", "never", None);
    let id = case.repo.signed_commit(&home.settings(), "issuers");
    let (unsigned, mut signature) = taken_apart(&case.repo.raw("commit", &id)).unwrap();
    let (foreign, _) = SignedPublicKey::from_string(&other.export()).unwrap();
    let named = SubpacketData::IssuerKeyId(foreign.primary_key.legacy_key_id());
    let named = Subpacket::regular(named).unwrap();
    signature.signature.unhashed_subpacket_remove(0).unwrap();
    signature.signature.unhashed_subpacket_push(named).unwrap();
    let armored = signature.to_armored_string(ArmorOptions::default()).unwrap();
    let raw = with_signature(unsigned.as_bytes(), &armored);
    let id = case.repo.store("commit", &raw, "refs/heads/issuers");
    let git = case.repo.verifies(&judge(&home), "verify-commit", &id);
    let ours = case.commit(&id, &home.export());
    compare("another issuer", git, &ours, Stricter(UnknownSigner));
}

/// Changes to a signed commit, and the verdict expected for each.
fn changes(raw: &str, signature: &str) -> Vec<(&'static str, String, Expected)> {
    vec![
        ("as it was", raw.to_owned(), Accepted),
        (
            "the message",
            raw.replace("good one", "good 0ne"),
            Refused(Invalid),
        ),
        (
            "the author",
            raw.replace("author Tester", "author Tester2"),
            Refused(Invalid),
        ),
        ("a line feed more", format!("{raw}\n"), Refused(Invalid)),
        (
            "line ends",
            raw.replace("good one\n", "good one\r\n"),
            Refused(Invalid),
        ),
        (
            "a NUL in the message",
            raw.replace("good one", "good\0one"),
            Refused(Invalid),
        ),
        (
            "no signature",
            raw.replace(&format!("{signature}\n"), ""),
            Refused(Missing),
        ),
        (
            "another header",
            raw.replace("gpgsig ", "x-other 1\ngpgsig "),
            Refused(Invalid),
        ),
        (
            "a header that git passes over",
            raw.replace("gpgsig ", "gpgsigx 1\ngpgsig "),
            Stricter(Invalid),
        ),
        (
            "a signature of SHA-256 too",
            raw.replace("gpgsig ", "gpgsig-sha256 x\n y\ngpgsig "),
            Accepted,
        ),
        (
            "two signatures",
            raw.replace(signature, &format!("{signature}\n{signature}")),
            Refused(Invalid),
        ),
        (
            "the signature before the author",
            raw.replace(&format!("{signature}\n"), "")
                .replace("author ", &format!("{signature}\nauthor ")),
            Stricter(Invalid),
        ),
        (
            "a text beside the signature",
            raw.replace(
                "-----END PGP SIGNATURE-----",
                "-----END PGP SIGNATURE-----\n and more",
            ),
            Stricter(Invalid),
        ),
    ]
}

#[test]
fn what_was_changed_after_it_was_signed_is_refused() {
    let case = Case::new();
    let home = GpgHome::with_key("ed25519", "sign", "never", None);
    let settings = home.settings();
    let keys = home.export();
    let trusted = GpgHome::importing(&keys);
    let stranger = GpgHome::with_key("ed25519", "sign", "never", None);
    let id = case.repo.signed_commit(&settings, "good one");
    let raw = String::from_utf8(case.repo.raw("commit", &id)).unwrap();
    let unsigned = String::from_utf8(case.repo.raw("commit", "HEAD^")).unwrap();
    let signature = {
        let start = raw.find("gpgsig ").unwrap();
        let end = raw.find("\n\n").unwrap();
        raw[start..end].to_owned()
    };
    case.repo.commit(&[("a", "evil\n")], "another tree");
    let tree = case.repo.git(&["rev-parse", "HEAD^{tree}"]);
    let old = case.repo.git(&["rev-parse", &format!("{id}^{{tree}}")]);
    let by_stranger = case.repo.signed_commit(&stranger.settings(), "a stranger's");
    let elsewhere = unsigned.replace("\n\n", &format!("\n{signature}\n\n"));
    let by_stranger = String::from_utf8(case.repo.raw("commit", &by_stranger)).unwrap();
    let more = [
        ("the tree", raw.replace(&old, &tree), Refused(Invalid)),
        ("the signature of another commit", elsewhere, Refused(Invalid)),
        ("a stranger", by_stranger, Refused(UnknownSigner)),
    ];
    let variants = changes(&raw, &signature).into_iter().chain(more);
    for (at, (what, text, expected)) in variants.enumerate() {
        let id = case
            .repo
            .store("commit", text.as_bytes(), &format!("refs/heads/v{at}"));
        let git = case.repo.verifies(&judge(&trusted), "verify-commit", &id);
        compare(what, git, &case.commit(&id, &keys), expected);
    }
}

#[test]
fn a_merge_of_a_signed_tag_is_signed_with_it() {
    let case = Case::new();
    let home = GpgHome::with_key("rsa2048", "sign", "never", None);
    let settings = home.settings();
    case.repo.git(&["checkout", "--quiet", "-b", "side"]);
    case.repo.commit(&[("b", "1\n")], "side");
    case.repo.git_with(&settings, &["tag", "-s", "-m", "side", "s1"]);
    case.repo.git(&["checkout", "--quiet", "main"]);
    case.repo.commit(&[("c", "1\n")], "main");
    case.repo
        .git_with(&settings, &["merge", "--quiet", "--no-edit", "-S", "s1"]);
    let id = case.repo.git(&["rev-parse", "HEAD"]);
    let raw = String::from_utf8(case.repo.raw("commit", &id)).unwrap();
    assert!(
        raw.contains("\nmergetag object ") && raw.contains("\ngpgsig "),
        "{raw}"
    );
    let git = case.repo.verifies(&judge(&home), "verify-commit", &id);
    compare("a merge", git, &case.commit(&id, &home.export()), Accepted);
    // The tag's signature does not make up for a broken one of the merge.
    let changed = raw.replacen("Merge tag", "Merge tog", 1);
    let id = case
        .repo
        .store("commit", changed.as_bytes(), "refs/heads/changed");
    let git = case.repo.verifies(&judge(&home), "verify-commit", &id);
    compare(
        "a changed merge",
        git,
        &case.commit(&id, &home.export()),
        Refused(Invalid),
    );
}

/// git's verdict on random changes decides: nothing that it refuses may be accepted here.
#[test]
fn what_git_refuses_of_random_changes_is_refused() {
    let case = Case::new();
    let home = GpgHome::with_key("ed25519", "sign", "never", None);
    let ssh = SshKey::new("ed25519", None);
    let root = tempfile::tempdir().unwrap();
    let allowed = root.path().join("allowed");
    std::fs::write(&allowed, format!("ann {}\n", ssh.public())).unwrap();
    let by_gpg = home.settings();
    let by_ssh = [
        ssh.settings(),
        vec![format!("gpg.ssh.allowedSignersFile={}", allowed.display())],
    ]
    .concat();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    for (settings, keys) in [(by_gpg, home.export()), (by_ssh, ssh.public())] {
        let id = case.repo.signed_commit(&settings, "a message\n\nof more lines\n");
        let raw = case.repo.raw("commit", &id);
        // Tree and parents are left alone: the server would not serve the commit.
        let start = raw.windows(7).position(|part| part == b"author ").unwrap();
        let before = proven(&raw);
        for _ in 0..25 {
            let mut raw = raw.clone();
            let at = start + random(raw.len() - start);
            let letters = b"AZaz09+/=\n -:";
            match random(3) {
                0 => raw[at] = letters[random(letters.len())],
                1 => raw.insert(at, letters[random(letters.len())]),
                _ => drop(raw.remove(at)),
            }
            let id = case.repo.store("commit", &raw, "refs/heads/changed");
            let git = case.repo.verifies(&settings, "verify-commit", &id);
            let ours = case.commit(&id, &keys);
            let is_same = before.is_some() && proven(&raw) == before;
            assert!(
                git || ours.is_err() || is_same,
                "{ours:?} of\n{}",
                String::from_utf8_lossy(&raw)
            );
        }
    }
}

/// Settings that make git judge with a file of allowed signers, and that file, which lives as long
/// as needed.
fn allowing(lines: &str) -> (tempfile::TempDir, Vec<String>) {
    let root = tempfile::tempdir().unwrap();
    let allowed = root.path().join("allowed");
    std::fs::write(&allowed, lines).unwrap();
    (
        root,
        vec![format!("gpg.ssh.allowedSignersFile={}", allowed.display())],
    )
}

#[rstest::rstest]
#[case::ed25519("ed25519", None, Accepted)]
#[case::rsa("rsa", Some(3072), Accepted)]
#[case::p256("ecdsa", Some(256), Accepted)]
#[case::p384("ecdsa", Some(384), Accepted)]
#[case::p521("ecdsa", Some(521), Accepted)]
#[case::small_rsa("rsa", Some(1024), Stricter(Keys))]
fn ssh_keys_of_all_kinds(#[case] kind: &str, #[case] bits: Option<u32>, #[case] expected: Expected) {
    let case = Case::new();
    let key = SshKey::new(kind, bits);
    let id = case.repo.signed_commit(&key.settings(), kind);
    let line = format!("ann@example.org {}", key.public());
    let (_file, settings) = allowing(&line);
    let git = case.repo.verifies(&settings, "verify-commit", &id);
    let ours = case.commit(&id, &line);
    compare(kind, git, &ours, expected);
    if let Ok(message) = ours {
        let shown = piped(
            Command::new("ssh-keygen").args(["-l", "-f", "-"]),
            key.public().as_bytes(),
        );
        let shown = String::from_utf8(shown).unwrap();
        let fingerprint = shown.split_whitespace().nth(1).unwrap();
        assert_eq!(
            message,
            format!("commit {id} is signed by SSH key {fingerprint} (ann@example.org)")
        );
        // A bare key, as Flux accepts it.
        let alone = case
            .commit(&id, &format!("# ours\n\n{} Ann's\n", key.public()))
            .unwrap();
        assert_eq!(alone, format!("commit {id} is signed by SSH key {fingerprint}"));
    }
}

#[test]
fn allowed_signers_are_limited_as_ssh_keygen_has_it() {
    let case = Case::new();
    let (key, other) = (SshKey::new("ed25519", None), SshKey::new("ed25519", None));
    let then = "1590000000 +0000";
    let tree = case.repo.git(&["rev-parse", "HEAD^{tree}"]);
    let text = format!("tree {tree}\nauthor A <a@x> {then}\ncommitter A <a@x> {then}\n\nthen\n");
    let signed = |namespace: &str| {
        let signature = key.sign(namespace, text.as_bytes());
        let raw = with_signature(text.as_bytes(), &signature);
        case.repo
            .store("commit", &raw, &format!("refs/heads/{namespace}"))
    };
    let (id, for_files) = (signed("git"), signed("file"));
    let (public, stranger) = (key.public(), other.public());
    // date -u -d @1590000000 is 2020-05-20 18:40:00.
    for (lines, expected) in [
        (format!("ann {public}"), Accepted),
        (
            format!("# others\nbob {stranger}\nann,*@x {public} comment"),
            Accepted,
        ),
        (format!("\"ann\" namespaces=\"file,git\" {public}"), Accepted),
        (format!("ann namespaces=\"g*\" {public}"), Accepted),
        (format!("ann namespaces=\"file\" {public}"), Refused(Invalid)),
        (format!("ann namespaces=\"*,!git\" {public}"), Refused(Invalid)),
        (format!("ann valid-after=\"20200520184000\" {public}"), Accepted),
        (
            format!("ann valid-after=\"20200520184001\" {public}"),
            Refused(Invalid),
        ),
        (format!("ann valid-before=\"20200520184000\" {public}"), Accepted),
        (
            format!("ann valid-before=\"202005201839\" {public}"),
            Refused(Invalid),
        ),
        (
            format!("ann valid-after=\"20200520\",valid-before=\"20200521\",namespaces=\"git\" {public}"),
            Accepted,
        ),
        (
            format!("ann valid-before=\"20200520\" {public}"),
            Refused(Invalid),
        ),
        // Another line of the same key may allow it.
        (
            format!("ann valid-before=\"20190101\" {public}\nann {public}"),
            Accepted,
        ),
        (format!("bob {stranger}"), Refused(UnknownSigner)),
        (format!("ann cert-authority {public}"), Refused(Keys)),
        (format!("ann nonsense {public}"), Refused(Keys)),
    ] {
        let (_file, settings) = allowing(&lines);
        let git = case.repo.verifies(&settings, "verify-commit", &id);
        compare(&lines, git, &case.commit(&id, &lines), expected);
    }
    let line = format!("ann {public}");
    let (_file, settings) = allowing(&line);
    let git = case.repo.verifies(&settings, "verify-commit", &for_files);
    compare(
        "a signature of a file",
        git,
        &case.commit(&for_files, &line),
        Refused(Invalid),
    );
}

/// A part of the SSH wire format.
fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// What an SSH key signs, for a payload (PROTOCOL.sshsig).
fn ssh_signed(payload: &[u8]) -> Vec<u8> {
    let hash = Sha512::digest(payload);
    [
        b"SSHSIG".to_vec(),
        string(b"git"),
        string(b""),
        string(b"sha512"),
        string(&hash),
    ]
    .concat()
}

/// An SSH signature, assembled by hand.
fn ssh_signature(public: &[u8], signature: &[u8]) -> String {
    let blob = [
        b"SSHSIG".to_vec(),
        1_u32.to_be_bytes().to_vec(),
        string(public),
        string(b"git"),
        string(b""),
        string(b"sha512"),
        string(signature),
    ]
    .concat();
    let text = STANDARD.encode(blob);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(70)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n",
        lines.join("\n")
    )
}

#[test]
fn a_security_key_signs_and_sha_1_does_not() {
    let case = Case::new();
    let unsigned = case.repo.raw("commit", "HEAD");
    let signed = ssh_signed(&unsigned);
    // What a security key does, in software.
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let kind = b"sk-ssh-ed25519@openssh.com";
    let public = [string(kind), string(pair.public_key().as_ref()), string(b"ssh:")].concat();
    let (flags, counter) = (&[1_u8][..], &9_u32.to_be_bytes()[..]);
    let message = [
        &Sha256::digest(b"ssh:")[..],
        flags,
        counter,
        &Sha256::digest(&signed)[..],
    ]
    .concat();
    let made = [
        &string(kind)[..],
        &string(pair.sign(&message).as_ref()),
        flags,
        counter,
    ]
    .concat();
    let by_security_key = ssh_signature(&public, &made);
    let security_key = format!("ann sk-ssh-ed25519@openssh.com {}", STANDARD.encode(&public));
    // The same of an RSA key with SHA-1.
    let rsa = SshKey::new("rsa", Some(2048));
    let public = STANDARD.decode(rsa.public().split_once(' ').unwrap().1).unwrap();
    let made = piped(
        Command::new("openssl")
            .args(["dgst", "-sha1", "-sign"])
            .arg(rsa.path()),
        &signed,
    );
    let with_sha_1 = ssh_signature(&public, &[string(b"ssh-rsa"), string(&made)].concat());
    let made = piped(
        Command::new("openssl")
            .args(["dgst", "-sha512", "-sign"])
            .arg(rsa.path()),
        &signed,
    );
    let with_sha_512 = ssh_signature(&public, &[string(b"rsa-sha2-512"), string(&made)].concat());
    let rsa = format!("ann {}", rsa.public());
    for (what, signature, line, expected) in [
        ("a security key", by_security_key, &security_key, Accepted),
        ("RSA with SHA-1", with_sha_1, &rsa, Refused(Invalid)),
        ("RSA with SHA-512", with_sha_512, &rsa, Accepted),
    ] {
        let raw = with_signature(&unsigned, &signature);
        let id = case.repo.store("commit", &raw, "refs/heads/made");
        let (_file, settings) = allowing(line);
        let git = case.repo.verifies(&settings, "verify-commit", &id);
        compare(what, git, &case.commit(&id, line), expected);
    }
}

#[test]
fn tags_are_verified_by_their_own_signature() {
    let case = Case::new();
    let key = SshKey::new("ed25519", None);
    let line = format!("ann@example.org {}", key.public());
    let (_file, settings) = allowing(&line);
    let signing = [key.settings(), settings.clone()].concat();
    let repo = &case.repo;
    repo.git_with(&signing, &["tag", "-s", "-m", "one", "v1.0.0"]);
    repo.git_with(&signing, &["tag", "-s", "-m", "a path", "2025.2/v1"]);
    repo.git(&["tag", "-a", "-m", "unsigned", "v0.1.0"]);
    repo.git(&["tag", "v0.2.0"]);
    let signed = String::from_utf8(repo.raw("tag", "v1.0.0")).unwrap();
    repo.commit(&[("a", "2\n")], "a newer commit");
    let (old, new) = (
        repo.git(&["rev-parse", "HEAD^"]),
        repo.git(&["rev-parse", "HEAD"]),
    );
    // Another tag's name, another commit, a changed message, and a tag of the tag.
    repo.store("tag", signed.as_bytes(), "refs/tags/v9.0.0");
    repo.store("tag", signed.replace(&old, &new).as_bytes(), "refs/tags/moved");
    repo.store(
        "tag",
        signed.replace("\none\n", "\ntwo\n").as_bytes(),
        "refs/tags/v1.0.1",
    );
    repo.store("tag", format!("{signed}and more\n").as_bytes(), "refs/tags/more");
    let of_tag = signed.replace("tag v1.0.0", "tag nested");
    let (head, _) = of_tag.split_once("-----BEGIN").unwrap();
    let head = head
        .replace(&old, &repo.git(&["rev-parse", "v1.0.0"]))
        .replace("type commit", "type tag");
    let nested = format!("{head}{}", key.sign("git", head.as_bytes()));
    repo.store("tag", nested.as_bytes(), "refs/tags/nested");
    let quoting = signed.replace("tag v1.0.0", "tag quoting");
    let (head, quoted) = quoting.split_once("-----BEGIN").unwrap();
    let quoting = format!("{head}-----BEGIN{quoted}quoted\n");
    let quoting = format!("{quoting}{}", key.sign("git", quoting.as_bytes()));
    repo.store("tag", quoting.as_bytes(), "refs/tags/quoting");
    for (name, expected) in [
        ("v1.0.0", Accepted),
        ("2025.2/v1", Accepted),
        ("quoting", Accepted),
        ("v0.1.0", Refused(Missing)),
        ("v0.2.0", Refused(Missing)),
        ("v1.0.1", Refused(Invalid)),
        ("moved", Refused(Invalid)),
        ("v9.0.0", Stricter(Invalid)),
        ("nested", Stricter(Invalid)),
        ("more", Stricter(Invalid)),
    ] {
        let git = repo.verifies(&settings, "verify-tag", name);
        compare(name, git, &case.tag(name, &line), expected);
    }
    let (_, why) = case.tag("v9.0.0", &line).unwrap_err();
    assert_eq!(why, "tag v9.0.0 says itself that it is tag v1.0.0");
    let told = case.tag("v1.0.0", &line).unwrap();
    assert!(
        told.starts_with("tag v1.0.0 is signed by SSH key SHA256:"),
        "{told}"
    );
    // A range leads to a tag too; the commit is a separate question, and a branch has no tag.
    let range = || RefSpec::Semver("=1.0.0".parse().unwrap());
    case.verify(&range(), Tag, &line).unwrap();
    let (fault, why) = case.verify(&range(), TagAndCommit, &line).unwrap_err();
    assert_eq!((fault, why), (Missing, format!("commit {old} has no signature")));
    let main = RefSpec::Any("main".to_owned());
    assert_eq!(case.verify(&main, Tag, &line).unwrap_err().0, Missing);
    repo.signed_commit(&signing, "signed");
    repo.git_with(&signing, &["tag", "-s", "-m", "both", "v2.0.0"]);
    let both = case
        .verify(&RefSpec::Tag("v2.0.0".to_owned()), TagAndCommit, &line)
        .unwrap();
    assert!(
        both.contains("tag v2.0.0 is signed by") && both.contains("commit "),
        "{both}"
    );
}

#[test]
fn openpgp_tags_too() {
    let case = Case::new();
    let home = GpgHome::with_key("ed25519", "sign", "never", None);
    let settings = home.settings();
    case.repo.git_with(&settings, &["tag", "-s", "-m", "one", "v1"]);
    let changed = String::from_utf8(case.repo.raw("tag", "v1"))
        .unwrap()
        .replace("one", "0ne");
    case.repo.store(
        "tag",
        changed.replace("tag v1", "tag v2").as_bytes(),
        "refs/tags/v2",
    );
    for (name, expected) in [("v1", Accepted), ("v2", Refused(Invalid))] {
        let git = case.repo.verifies(&judge(&home), "verify-tag", name);
        compare(name, git, &case.tag(name, &home.export()), expected);
    }
}

#[test]
fn a_tag_is_fetched_once_where_its_commit_is_held_already() {
    let case = Case::new();
    let key = SshKey::new("ed25519", None);
    let main = RefSpec::Branch("main".to_owned());
    let resolved = case
        .mirrors
        .resolve(&case.upstream, &main, Freshness::Now, soon())
        .unwrap();
    case.mirrors.snapshot(&case.upstream, &resolved, soon()).unwrap();
    case.repo
        .git_with(&key.settings(), &["tag", "-s", "-m", "one", "v1"]);
    for fetches in [2, 2] {
        case.tag("v1", &key.public()).unwrap();
        assert_eq!(case.mirrors.stats().fetches, fetches);
    }
    // Nothing of an unsigned commit is read, and with other keys it is another question.
    let requirement = Requirement::new(Commit, "Secret a/b".to_owned(), Arc::new(BTreeMap::new()));
    let bound = resolved.clone().requiring(Arc::new(requirement));
    let refused = case.mirrors.snapshot(&case.upstream, &bound, soon()).unwrap_err();
    assert!(
        refused.to_string().contains("Secret a/b: has no keys"),
        "{refused}"
    );
    assert_ne!(bound.verification(), resolved.verification());
    let free = case.mirrors.snapshot(&case.upstream, &resolved, soon()).unwrap();
    assert_eq!(free.signatures(), None);
    free.read_file("a", &FileLimits::default()).unwrap();
}

#[test]
fn what_is_wrong_with_the_keys_is_told() {
    let case = Case::new();
    let key = SshKey::new("ed25519", None);
    let id = case.repo.signed_commit(&key.settings(), "signed");
    let private = std::fs::read_to_string(key.path()).unwrap();
    let many = format!("{}\n", key.public()).repeat(300);
    for (keys, why) in [
        ("", "has no keys"),
        ("# nothing\n", "has no keys"),
        (private.as_str(), "has a private key"),
        ("nonsense", "any.name line 1 is neither a public SSH key"),
        (
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n",
            "OpenPGP key that cannot be read",
        ),
        (many.as_str(), "more than 256 keys"),
        (&"#".repeat(600_000), "more than 512 KiB"),
    ] {
        let (fault, told) = case.commit(&id, keys).unwrap_err();
        assert_eq!(fault, Keys, "{told}");
        assert!(
            told.starts_with("Secret ours/keys: ") && told.contains(why),
            "{told}"
        );
    }
}
