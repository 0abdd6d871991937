//! What is signed in a commit or a tag, and by which signature, read from the object's own bytes.
//!
//! What could mean one thing here and another to the signer is refused: the headers must be in the
//! order in which git writes them, each at most once, with only one signature (git's commit.c,
//! tag.c and gpg-interface.c, which are laxer).

use git_apply_engine::Oid;

/// The longest signature in bytes; those of the largest keys have some 2 KiB.
const LONGEST_SIGNATURE: usize = 32 << 10;

/// The lines that a tag's signature may begin with, as git knows them.
const BEGINNINGS: [&[u8]; 4] = [
    b"-----BEGIN PGP SIGNATURE-----",
    b"-----BEGIN PGP MESSAGE-----",
    b"-----BEGIN SIGNED MESSAGE-----",
    b"-----BEGIN SSH SIGNATURE-----",
];

/// What keeps an object from being verified, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// An object without its signature, and that signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    /// What was signed.
    pub(super) payload: Vec<u8>,
    /// The armored signature; `None` where the object has none.
    pub(super) signature: Option<Vec<u8>>,
    /// When it was committed or tagged, as it says itself, in seconds since 1970; `None` where a
    /// tag does not say.
    pub(super) time: Option<i64>,
}

/// An annotated tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// The commit that it names; `None` where it names another kind of object.
    pub(super) commit: Option<Oid>,
    /// Its name, without `refs/tags/`.
    pub(super) name: Vec<u8>,
    /// Its content, and who signed that.
    pub(super) signed: Signed,
}

/// The form of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// OpenPGP, of `gpg`.
    OpenPgp,
    /// SSH, of `ssh-keygen -Y sign`.
    Ssh,
}

/// A header with its continuation lines, all with their line feeds.
struct Header<'a> {
    name: &'a [u8],
    /// After the space behind the name.
    value: &'a [u8],
    /// From the name to the last continuation line.
    whole: &'a [u8],
}

/// Reads a commit.
pub(super) fn commit(raw: &[u8]) -> Result<Signed, Malformed> {
    let (headers, body) = parts(raw)?;
    let mut headers = headers.into_iter().peekable();
    let mut payload = Vec::with_capacity(raw.len());
    let mut keep = |header: &Header<'_>| payload.extend_from_slice(header.whole);
    let tree = headers.next_if(|header| header.name == b"tree" && id(header).is_some());
    keep(&tree.ok_or(Malformed("does not begin with its tree"))?);
    while let Some(parent) = headers.next_if(|header| header.name == b"parent") {
        id(&parent).ok_or(Malformed("has a parent that is not a commit"))?;
        keep(&parent);
    }
    let author = headers.next_if(|header| header.name == b"author");
    keep(&author.ok_or(Malformed("has no author after its parents"))?);
    let committer = headers.next_if(|header| header.name == b"committer");
    let committer = committer.ok_or(Malformed("has no committer after its author"))?;
    keep(&committer);
    let mut signature = None;
    for header in headers {
        match header.name {
            b"gpgsig" if signature.is_some() => return Err(Malformed("has more than one signature")),
            b"gpgsig" => signature = Some(unfolded(header.value)),
            // The same for a SHA-256 repository, and not part of what is signed here.
            b"gpgsig-sha256" => {}
            b"tree" | b"parent" | b"author" | b"committer" => {
                return Err(Malformed("has a header twice, or not where git writes it"));
            }
            name if name.starts_with(b"gpgsig") => {
                return Err(Malformed("has a signature of an unknown kind"));
            }
            _ => keep(&header),
        }
    }
    payload.extend_from_slice(body);
    Ok(Signed {
        payload,
        signature: signature.map(bounded).transpose()?,
        time: Some(time(&committer).ok_or(Malformed("does not say when it was committed"))?),
    })
}

/// Reads an annotated tag.
pub(super) fn tag(raw: &[u8]) -> Result<Tag, Malformed> {
    let (headers, body) = parts(raw)?;
    let mut headers = headers.into_iter().peekable();
    let mut payload = Vec::with_capacity(raw.len());
    let mut keep = |header: &Header<'_>| payload.extend_from_slice(header.whole);
    let object = headers
        .next_if(|header| header.name == b"object")
        .ok_or(Malformed("does not begin with its object"))?;
    let target = id(&object).ok_or(Malformed("does not begin with its object"))?;
    keep(&object);
    let kind = headers
        .next_if(|header| header.name == b"type")
        .ok_or(Malformed("does not say what its object is"))?;
    keep(&kind);
    let name = headers
        .next_if(|header| header.name == b"tag")
        .ok_or(Malformed("does not say its name"))?;
    keep(&name);
    let tagger = headers.next_if(|header| header.name == b"tagger");
    let mut at = None;
    if let Some(tagger) = &tagger {
        at = Some(time(tagger).ok_or(Malformed("does not say when it was made"))?);
        keep(tagger);
    }
    for header in headers {
        match header.name {
            b"gpgsig-sha256" => {}
            b"object" | b"type" | b"tag" | b"tagger" => {
                return Err(Malformed("has a header twice, or not where git writes it"));
            }
            name if name.starts_with(b"gpgsig") => {
                return Err(Malformed("has a signature in its headers, and not at its end"));
            }
            _ => keep(&header),
        }
    }
    // The last one counts: a message may quote another signature.
    let mut begins = None;
    let mut start = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        if BEGINNINGS.iter().any(|beginning| line.starts_with(beginning)) {
            begins = Some(start);
        }
        start += line.len();
    }
    let (message, signature) = body.split_at(begins.unwrap_or(body.len()));
    payload.extend_from_slice(message);
    Ok(Tag {
        commit: (line(&kind) == b"commit").then_some(target),
        name: line(&name).to_vec(),
        signed: Signed {
            payload,
            signature: begins.map(|_| bounded(signature.to_vec())).transpose()?,
            time: at,
        },
    })
}

/// The form of an armored signature, which has to be the whole text.
pub(super) fn format(signature: &[u8]) -> Result<Format, Malformed> {
    let text = std::str::from_utf8(signature)
        .ok()
        .filter(|text| text.is_ascii())
        .ok_or(Malformed("has a signature that is not text"))?
        .trim_end();
    let is = |what: &str| {
        text.starts_with(&format!("-----BEGIN {what}-----"))
            && text.ends_with(&format!("-----END {what}-----"))
            && text.matches("-----BEGIN ").count() == 1
            && text.matches("-----END ").count() == 1
    };
    if is("PGP SIGNATURE") {
        Ok(Format::OpenPgp)
    } else if is("SSH SIGNATURE") {
        Ok(Format::Ssh)
    } else if text.starts_with("-----BEGIN SIGNED MESSAGE-----") {
        Err(Malformed(
            "has an X.509 signature, which is not supported: sign with an OpenPGP or SSH key",
        ))
    } else {
        Err(Malformed(
            "has a signature that is neither one OpenPGP signature nor one SSH signature",
        ))
    }
}

/// The headers, and the rest from the empty line on.
fn parts(raw: &[u8]) -> Result<(Vec<Header<'_>>, &[u8]), Malformed> {
    let end = raw
        .windows(2)
        .position(|pair| pair == b"\n\n")
        .ok_or(Malformed("has no empty line after its headers"))?;
    let (head, body) = raw.split_at(end + 1);
    if head.contains(&0) {
        return Err(Malformed("has a NUL in its headers"));
    }
    let mut headers = Vec::new();
    let mut rest = head;
    while !rest.is_empty() {
        let mut length = line_length(rest);
        while rest.get(length) == Some(&b' ') {
            length += line_length(rest.get(length..).unwrap_or_default());
        }
        let (whole, behind) = rest.split_at(length);
        rest = behind;
        let space = whole.iter().position(|byte| *byte == b' ');
        let (name, value) = space
            .and_then(|space| Some((whole.get(..space)?, whole.get(space + 1..)?)))
            .ok_or(Malformed("has a header without a value"))?;
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        if !name.first().is_some_and(u8::is_ascii_alphabetic) || !name.iter().all(is_name) {
            return Err(Malformed("has a header with an invalid name"));
        }
        headers.push(Header { name, value, whole });
    }
    Ok((headers, body))
}

/// The length of the first line with its line feed.
fn line_length(text: &[u8]) -> usize {
    let end = text.iter().position(|byte| *byte == b'\n');
    end.map_or(text.len(), |end| end + 1)
}

/// A value of one line.
fn line<'a>(header: &Header<'a>) -> &'a [u8] {
    header.value.strip_suffix(b"\n").unwrap_or(header.value)
}

/// The id of an object, in the only form that git writes.
fn id(header: &Header<'_>) -> Option<Oid> {
    let digits = std::str::from_utf8(line(header)).ok()?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (digits.len() == 40 && digits.bytes().all(is_digit))
        .then(|| digits.parse().ok())
        .flatten()
}

/// The time behind a person's name and address: seconds since 1970, which do not depend on the
/// offset that follows.
fn time(header: &Header<'_>) -> Option<i64> {
    let mut words = line(header).rsplitn(3, |byte| *byte == b' ');
    let (_offset, seconds) = (words.next()?, words.next()?);
    std::str::from_utf8(seconds).ok()?.parse().ok()
}

/// A value without the spaces that its continuation lines begin with.
fn unfolded(value: &[u8]) -> Vec<u8> {
    let mut lines = value.split_inclusive(|byte| *byte == b'\n');
    let mut text = lines.next().unwrap_or_default().to_vec();
    for line in lines {
        text.extend_from_slice(line.strip_prefix(b" ").unwrap_or(line));
    }
    text
}

fn bounded(signature: Vec<u8>) -> Result<Vec<u8>, Malformed> {
    if signature.len() > LONGEST_SIGNATURE {
        return Err(Malformed("has a signature of more than 32 KiB"));
    }
    Ok(signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    const SIGNATURE: &str = "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n";

    fn head() -> String {
        format!("tree {TREE}\nparent {TREE}\nauthor A <a@x> 1 +0000\ncommitter B <b@x> 1700000000 +0130\n")
    }

    fn gpgsig(name: &str) -> String {
        format!("{name} {}\n", SIGNATURE.trim_end().replace('\n', "\n "))
    }

    fn signed(text: &str) -> Result<Signed, Malformed> {
        commit(text.as_bytes())
    }

    #[test]
    fn a_signature_is_taken_out_of_the_headers_and_nothing_else() {
        let mergetag = "mergetag object x\n type commit\n -----BEGIN PGP SIGNATURE-----\n \n AAAA\n";
        let (head, sig, other) = (head(), gpgsig("gpgsig"), gpgsig("gpgsig-sha256"));
        let message = "\ngpgsig in the message stays\n\n-----BEGIN SSH SIGNATURE-----\n";
        for text in [
            format!("{head}{sig}{mergetag}{message}"),
            format!("{head}{mergetag}{other}{sig}{message}"),
            format!("{head}{sig}{other}{mergetag}{message}"),
        ] {
            let signed = signed(&text).unwrap();
            assert_eq!(
                String::from_utf8(signed.payload).unwrap(),
                format!("{head}{mergetag}{message}")
            );
            assert_eq!(signed.signature.unwrap(), SIGNATURE.as_bytes());
            assert_eq!(signed.time, Some(1_700_000_000));
        }
        let plain = format!("{head}{mergetag}{message}");
        assert_eq!(signed(&plain).unwrap().signature, None);
        assert_eq!(signed(&plain).unwrap().payload, plain.as_bytes());
    }

    #[test]
    fn a_commit_that_could_be_read_in_two_ways_is_refused() {
        let (head, sig) = (head(), gpgsig("gpgsig"));
        let long = format!("gpgsig {}\n", "A".repeat(40_000));
        for (text, why) in [
            (format!("{head}{sig}{sig}\nm"), "more than one signature"),
            (format!("{sig}{head}\nm"), "begin with its tree"),
            (format!("{head}tree {TREE}\n\nm"), "twice"),
            (format!("{head}parent {TREE}\n\nm"), "twice"),
            (format!("{head}{}\nm", gpgsig("gpgsig-x")), "unknown kind"),
            (format!("{head}{}\nm", gpgsig("gpgsigx")), "unknown kind"),
            (format!("{head}x\0y z\n{sig}\nm"), "NUL"),
            (format!("{head}{long}\nm"), "32 KiB"),
            (
                head.replace("\nauthor", "\r\nauthor") + &sig + "\nm",
                "not a commit",
            ),
            (
                head.replace(TREE, &TREE.to_uppercase()) + &sig + "\nm",
                "begin with its tree",
            ),
            (head.clone(), "empty line"),
            (format!(" {head}\nm"), "invalid name"),
            (
                head.replace("1700000000", "soon") + "\nm",
                "when it was committed",
            ),
            (String::new(), "empty line"),
        ] {
            let refused = signed(&text).unwrap_err();
            assert!(refused.0.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn a_tag_is_signed_from_the_last_beginning_on() {
        let head = format!("object {TREE}\ntype commit\ntag 2025.2/v1\ntagger A <a@x> 7 +0000\n");
        let message = format!("\nquoted:\n{SIGNATURE}and more\n");
        let tag = super::tag(format!("{head}{message}{SIGNATURE}").as_bytes()).unwrap();
        assert_eq!(tag.signed.payload, format!("{head}{message}").as_bytes());
        assert_eq!(tag.signed.signature.unwrap(), SIGNATURE.as_bytes());
        assert_eq!(tag.commit.unwrap().to_string(), TREE);
        assert_eq!(
            (tag.name.as_slice(), tag.signed.time),
            (&b"2025.2/v1"[..], Some(7))
        );
        let of_tag = format!("{head}\nm\n").replace("type commit", "type tag");
        let tag = super::tag(of_tag.as_bytes()).unwrap();
        assert_eq!((tag.commit, tag.signed.signature), (None, None));
    }

    #[test]
    fn a_tag_that_could_be_read_in_two_ways_is_refused() {
        let head = format!("object {TREE}\ntype commit\ntag v1\n");
        for (text, why) in [
            (format!("{head}tag v2\n\nm\n"), "twice"),
            (format!("{head}object {TREE}\n\nm\n"), "twice"),
            (format!("{head}{}\nm\n", gpgsig("gpgsig")), "not at its end"),
            (format!("type commit\n{head}\nm\n"), "begin with its object"),
            (head.clone(), "empty line"),
        ] {
            let refused = super::tag(text.as_bytes()).unwrap_err();
            assert!(refused.0.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn one_signature_and_nothing_beside_it_is_a_signature() {
        assert_eq!(format(SIGNATURE.as_bytes()), Ok(Format::Ssh));
        let pgp = SIGNATURE.replace("SSH", "PGP");
        assert_eq!(format(pgp.as_bytes()), Ok(Format::OpenPgp));
        for text in [
            format!("x\n{SIGNATURE}"),
            format!("{SIGNATURE}x"),
            format!("{SIGNATURE}{SIGNATURE}"),
            SIGNATURE.replace("SSH SIGNATURE", "PGP MESSAGE"),
            SIGNATURE.replace("SSH SIGNATURE", "SIGNED MESSAGE"),
            SIGNATURE.replace("AAAA", "ÄÄ"),
            String::new(),
        ] {
            format(text.as_bytes()).unwrap_err();
        }
    }
}
