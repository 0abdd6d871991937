//! SSH keys that may sign, and what they signed (ssh-keygen(1) under ALLOWED SIGNERS, OpenSSH's
//! PROTOCOL.sshsig).

use foreign_text::printable;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::ssh_key::{Algorithm, SshSig};
use russh::keys::{HashAlg, PublicKey};

use super::refusal::{RSA_BITS, Refusal};
use crate::patterns::is_listed;
use crate::signing::NAMESPACE;

/// A key that may sign, and within which limits.
#[derive(Clone, Debug)]
pub(super) struct AllowedSigner {
    key: PublicKey,
    /// Whose it is; `None` for a key that stands alone.
    principals: Option<String>,
    limits: Limits,
}

/// What limits a key, as the options of its line say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Limits {
    /// Patterns of what it may sign for; anything where absent.
    namespaces: Option<String>,
    /// The first second in which it may sign, since 1970.
    valid_after: Option<i64>,
    /// The last second in which it may sign, since 1970.
    valid_before: Option<i64>,
}

impl AllowedSigner {
    /// Reads a line: a public key, or a line of an `allowed_signers` file.
    ///
    /// `None` where it is empty or a comment.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn read(line: &str) -> Result<Option<Self>, &'static str> {
        const NEITHER: &str = "is neither a public SSH key nor a line of an allowed_signers file";
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        if let Some(key) = public_key(line)? {
            return Ok(Some(Self {
                key,
                principals: None,
                limits: Limits::default(),
            }));
        }
        let (principals, rest) = principals(line).ok_or(NEITHER)?;
        // Options of authorized_keys limit nothing here, and would be taken for a principal.
        if principals.contains('=') || principals.eq_ignore_ascii_case("cert-authority") {
            return Err("has options before any principal: write it as in an allowed_signers file");
        }
        let (limits, key) = if let Some(key) = public_key(rest)? {
            (Limits::default(), key)
        } else {
            let (options, rest) = options(rest).ok_or(NEITHER)?;
            (limits(options)?, public_key(rest)?.ok_or(NEITHER)?)
        };
        Ok(Some(Self {
            key,
            principals: Some(principals.to_owned()),
            limits,
        }))
    }
}

/// Checks a signature of a payload; returns who made it, in words.
///
/// `time` is when the payload says that it was made, in seconds since 1970.
///
/// # Errors
///
/// If none of the signers made it, or the one that did was not allowed to.
pub(super) fn verify(
    signers: &[AllowedSigner],
    payload: &[u8],
    signature: &[u8],
    time: i64,
) -> Result<String, Refusal> {
    let invalid = |reason: &str| Refusal::Invalid(reason.to_owned());
    let signature =
        SshSig::from_pem(signature).map_err(|_| invalid("has an SSH signature that cannot be read"))?;
    if signature.namespace() != NAMESPACE {
        return Err(invalid(
            "has an SSH signature that was made for a purpose other than git",
        ));
    }
    if matches!(signature.algorithm(), Algorithm::Rsa { hash: None }) {
        return Err(invalid("has a signature with SHA-1, which proves nothing"));
    }
    let fingerprint = signature.public_key().fingerprint(HashAlg::Sha256);
    let mut refusal = Refusal::Unknown(format!("SSH key {fingerprint}"));
    for signer in signers {
        if signer.key.key_data() != signature.public_key() {
            continue;
        }
        if signer.key.verify(NAMESPACE, payload, &signature).is_err() {
            return Err(Refusal::Invalid(format!(
                "is not what SSH key {fingerprint} signed: it was changed, or the signature was"
            )));
        }
        let who = match &signer.principals {
            Some(principals) => format!("SSH key {fingerprint} ({})", printable(principals, 100)),
            None => format!("SSH key {fingerprint}"),
        };
        match signer.limits.refuse(time) {
            None => return Ok(who),
            Some(why) => refusal = Refusal::Invalid(format!("is signed by {who}, {why}")),
        }
    }
    Err(refusal)
}

impl Limits {
    /// Why a key must not have signed at a time; `None` where it may have.
    fn refuse(&self, time: i64) -> Option<&'static str> {
        let namespaces = self.namespaces.as_deref();
        if !namespaces.is_none_or(|patterns| is_listed(patterns.split(','), NAMESPACE)) {
            Some("which may not sign for git, according to its namespaces")
        } else if self.valid_after.is_some_and(|after| time < after) {
            Some("at a time before its valid-after")
        } else if self.valid_before.is_some_and(|before| time > before) {
            Some("at a time after its valid-before")
        } else {
            None
        }
    }
}

/// Reads a public key, without what follows it; `None` if the text begins with something else.
fn public_key(text: &str) -> Result<Option<PublicKey>, &'static str> {
    const KINDS: [&str; 4] = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"];
    let mut words = text.split_ascii_whitespace();
    let Some(kind) = words
        .next()
        .filter(|word| KINDS.iter().any(|kind| word.starts_with(kind)))
    else {
        return Ok(None);
    };
    let data = words.next().unwrap_or_default();
    let key = PublicKey::from_openssh(&format!("{kind} {data}"))
        .map_err(|_| "has a public SSH key that cannot be read")?;
    match key.key_data() {
        KeyData::Ed25519(_) | KeyData::Ecdsa(_) | KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) => {
            Ok(Some(key))
        }
        KeyData::Rsa(rsa) if RSA_BITS.contains(&rsa.key_size()) => Ok(Some(key)),
        KeyData::Rsa(_) => Err("has an RSA key of less than 2048 or more than 8192 bits"),
        KeyData::Certificate(_) => Err("has an SSH certificate, which is not supported: give the key itself"),
        _ => Err("has an SSH key of a kind that is not supported: use Ed25519, ECDSA or RSA"),
    }
}

/// The first field of a line, which may be in quotes, and the rest.
fn principals(line: &str) -> Option<(&str, &str)> {
    let (principals, rest) = match line.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => line.split_once(|c: char| c.is_ascii_whitespace())?,
    };
    let stands_apart = !line.starts_with('"') || rest.starts_with(|c: char| c.is_ascii_whitespace());
    (stands_apart && !principals.is_empty()).then_some((principals, rest.trim_start()))
}

/// The options, up to the first white space outside of quotes, and the rest.
fn options(text: &str) -> Option<(&str, &str)> {
    let mut is_quoted = false;
    let end = text.find(|c: char| {
        is_quoted ^= c == '"';
        c.is_ascii_whitespace() && !is_quoted
    })?;
    let (options, rest) = text.split_at(end);
    Some((options, rest.trim_start()))
}

fn limits(options: &str) -> Result<Limits, &'static str> {
    let mut limits = Limits::default();
    let mut rest = options;
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").ok_or(
            "has an option that is not supported: use only namespaces, valid-after and valid-before",
        )?;
        let (value, behind) = value
            .split_once('"')
            .ok_or("has an option without its end quote")?;
        match name.to_ascii_lowercase().as_str() {
            "namespaces" if limits.namespaces.is_none() => limits.namespaces = Some(value.to_owned()),
            "valid-after" if limits.valid_after.is_none() => limits.valid_after = Some(moment(value)?),
            "valid-before" if limits.valid_before.is_none() => limits.valid_before = Some(moment(value)?),
            "namespaces" | "valid-after" | "valid-before" => return Err("has an option twice"),
            _ => {
                return Err(
                    "has an option that is not supported: use only namespaces, valid-after and valid-before",
                );
            }
        }
        rest = match behind.strip_prefix(',') {
            Some(rest) if !rest.is_empty() => rest,
            Some(_) => return Err("has an option that is empty"),
            None if behind.is_empty() => behind,
            None => return Err("has something between two options"),
        };
    }
    Ok(limits)
}

/// A time as `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, in UTC, in seconds since 1970.
fn moment(text: &str) -> Result<i64, &'static str> {
    const WRONG: &str = "has a time that is not of the form YYYYMMDD or YYYYMMDDHHMM[SS]";
    let digits = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || ![8, 12, 14].contains(&digits.len()) {
        return Err(WRONG);
    }
    DateTime::strptime("%Y%m%d%H%M%S", format!("{digits:0<14}"))
        .and_then(|time| time.to_zoned(TimeZone::UTC))
        .map(|time| time.timestamp().as_second())
        .map_err(|_| WRONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn read(line: &str) -> Result<AllowedSigner, &'static str> {
        AllowedSigner::read(line).map(|signer| signer.expect("no comment"))
    }

    #[test]
    fn keys_alone_and_lines_of_allowed_signers_are_read() {
        for (line, principals) in [
            (KEY.to_owned(), None),
            (format!("  {KEY} Ann at work # x"), None),
            (format!("ann@example.org {KEY}"), Some("ann@example.org")),
            (format!("ann@x,bob@y\t{KEY} comment"), Some("ann@x,bob@y")),
            (format!("\"Ann A\" {KEY}"), Some("Ann A")),
            (
                format!("*@example.org namespaces=\"git\" {KEY}"),
                Some("*@example.org"),
            ),
        ] {
            let signer = read(&line).expect(&line);
            assert_eq!(signer.principals.as_deref(), principals, "{line}");
            assert_eq!(signer.limits.refuse(0), None);
        }
        assert!(AllowedSigner::read(" \t").unwrap().is_none());
        assert!(AllowedSigner::read("# ssh-ed25519").unwrap().is_none());
    }

    #[test]
    fn what_limits_a_key_limits_it() {
        let line =
            format!("a Namespaces=\"f*,git\",valid-after=\"20200102Z\",valid-before=\"202002030405\" {KEY}");
        let limits = read(&line).unwrap().limits;
        // date -u -d '2020-01-02' +%s, date -u -d '2020-02-03 04:05' +%s
        let (after, before) = (1_577_923_200, 1_580_702_700);
        assert_eq!(
            (limits.valid_after, limits.valid_before),
            (Some(after), Some(before))
        );
        for (time, allowed) in [
            (after - 1, false),
            (after, true),
            (before, true),
            (before + 1, false),
        ] {
            assert_eq!(limits.refuse(time).is_none(), allowed, "{time}");
        }
    }

    #[test]
    fn a_line_that_could_mean_more_than_it_does_is_refused() {
        for (line, why) in [
            (format!("cert-authority {KEY}"), "before any principal"),
            (format!("expiry-time=\"20200101\" {KEY}"), "before any principal"),
            (format!("command=\"x\" {KEY}"), "before any principal"),
            (format!("a cert-authority {KEY}"), "not supported"),
            (format!("a touch=\"yes\" {KEY}"), "not supported"),
            (format!("a namespaces=\"git\",namespaces=\"x\" {KEY}"), "twice"),
            (format!("a valid-after=\"2020\" {KEY}"), "YYYYMMDD"),
            (format!("a valid-after=\"20201301\" {KEY}"), "YYYYMMDD"),
            (format!("a namespaces=\"git {KEY}"), "neither"),
            (format!("a namespaces=\"git\", {KEY}"), "empty"),
            (format!("\"a\"b {KEY}"), "neither"),
            ("a b c".to_owned(), "not supported"),
            ("a".to_owned(), "neither"),
            ("nonsense".to_owned(), "neither"),
            ("ssh-ed25519 AAAA".to_owned(), "cannot be read"),
            (KEY.replace("AAAAC3Nz", "AAAAC3Nx"), "cannot be read"),
        ] {
            let refused = read(&line).unwrap_err();
            assert!(refused.contains(why), "{line}: {refused}");
        }
    }
}
