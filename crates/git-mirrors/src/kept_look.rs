//! The last look at an upstream's refs, kept beside its mirror: a process that restarts while it is
//! young enough asks the server nothing.
//!
//! The file itself says when the look began, and for which mirror it is; a code over all of it, by
//! the key of the mirrors' names, reveals a file that is damaged, truncated or of another mirror.
//! What it lists is only what a server said of its refs: a commit is held by the mirror or fetched,
//! and checked, as after any other look.
//!
//! ```text
//! 32  HMAC-SHA256 over the mirror's name and all that follows
//!  8  when the look began, in milliseconds since 1970 by the wall clock
//!  4  the length of the branch that HEAD leads to, and the branch; 0 where there is none
//!  4  the length of all names, and the names, each after the one before
//!     for each ref: where its name ends (4), its target (20), and that peeled (20)
//! ```

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};

use super::refs::{ListEntry, RefList};
use super::{Error, Oid};

/// The extension of the file.
pub(super) const EXTENSION: &str = "look";

/// The longest file, in bytes. Longer lists are fetched again after a start.
const LONGEST: usize = 8 << 20;

const CODE: usize = 32;
const ID: usize = 20;

/// A look that was kept.
pub(super) struct KeptLook {
    /// When it began, by this process's clock.
    pub(super) begun: Instant,
    pub(super) refs: RefList,
}

/// The file of a mirror's last look.
pub(super) struct LookFile<'a> {
    path: PathBuf,
    /// The mirror's name, which the code covers.
    name: &'a str,
    key: &'a [u8],
}

impl<'a> LookFile<'a> {
    /// The file beside a mirror's folder.
    pub(super) fn beside(dir: &'a Path, key: &'a [u8]) -> Self {
        Self {
            path: dir.with_extension(EXTENSION),
            name: dir.file_name().and_then(|name| name.to_str()).unwrap_or_default(),
            key,
        }
    }

    /// Keeps a look that began at a time, replacing the one before.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the file cannot be written.
    pub(super) fn keep(&self, begun: SystemTime, refs: &RefList) -> Result<(), Error> {
        let Some(body) = encode(begun, refs) else {
            return self.forget();
        };
        let Some(code) = self.code(&body) else {
            return Ok(());
        };
        let failed = |error: &std::io::Error| Error::io(&self.path, error);
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .prefix(super::store::NEW)
            .tempfile_in(folder)
            .map_err(|error| failed(&error))?;
        file.write_all(&code.finalize().into_bytes())
            .and_then(|()| file.write_all(&body))
            .map_err(|error| failed(&error))?;
        file.persist(&self.path).map_err(|error| failed(&error.error))?;
        Ok(())
    }

    /// Reads the kept look; `None` if it began in the future, or the file is not intact.
    pub(super) fn read(&self) -> Option<KeptLook> {
        let text = (self.bytes() <= (LONGEST + CODE) as u64).then(|| fs::read(&self.path).ok())??;
        let (code, body) = text.split_at_checked(CODE)?;
        self.code(body)?.verify_slice(code).ok()?;
        let (begun, refs) = decode(body)?;
        let age = SystemTime::now().duration_since(begun).ok()?;
        Some(KeptLook {
            begun: Instant::now().checked_sub(age)?,
            refs,
        })
    }

    /// How long the file is, in bytes; 0 where there is none.
    pub(super) fn bytes(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |data| data.len())
    }

    /// Removes the kept look.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the file cannot be removed.
    pub(super) fn forget(&self) -> Result<(), Error> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&self.path, &error)),
            _ => Ok(()),
        }
    }

    fn code(&self, body: &[u8]) -> Option<Hmac<sha2::Sha256>> {
        let mut code = Hmac::<sha2::Sha256>::new_from_slice(self.key).ok()?;
        code.update(self.name.as_bytes());
        code.update(b"\0look\0");
        code.update(body);
        Some(code)
    }
}

/// The file's text without its code; `None` if it would be too long, or the time is before 1970.
fn encode(begun: SystemTime, refs: &RefList) -> Option<Vec<u8>> {
    if refs.bytes() > LONGEST / 2 {
        return None;
    }
    let begun = begun.duration_since(UNIX_EPOCH).ok()?.as_millis();
    let mut body = u64::try_from(begun).ok()?.to_le_bytes().to_vec();
    for text in [refs.default_branch.as_deref().unwrap_or_default(), &refs.names] {
        body.extend(u32::try_from(text.len()).ok()?.to_le_bytes());
        body.extend(text.as_bytes());
    }
    for entry in &refs.entries {
        body.extend(u32::try_from(entry.name_end).ok()?.to_le_bytes());
        body.extend(entry.target.as_bytes());
        body.extend(entry.peeled.as_bytes());
    }
    (body.len() <= LONGEST).then_some(body)
}

fn decode(body: &[u8]) -> Option<(SystemTime, RefList)> {
    let (begun, rest) = body.split_first_chunk::<8>()?;
    let begun = UNIX_EPOCH.checked_add(Duration::from_millis(u64::from_le_bytes(*begun)))?;
    let (default_branch, rest) = text(rest)?;
    let (names, rest) = text(rest)?;
    let entries = rest.chunks(4 + 2 * ID).map(|entry| {
        let (name_end, ids) = entry.split_first_chunk::<4>()?;
        let (target, peeled) = ids.split_first_chunk::<ID>()?;
        Some(ListEntry {
            name_end: usize::try_from(u32::from_le_bytes(*name_end)).ok()?,
            target: Oid::from_bytes(*target),
            peeled: Oid::from_bytes(*peeled.first_chunk::<ID>()?),
        })
    });
    let refs = RefList {
        names: names.to_owned(),
        entries: entries.collect::<Option<_>>()?,
        default_branch: (!default_branch.is_empty()).then(|| default_branch.to_owned()),
    };
    Some((begun, refs))
}

/// A text after its length, and what follows it.
fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refs::RemoteRef;

    const KEY: &[u8] = b"a key";

    fn refs() -> RefList {
        let one = |name: &str, byte: u8, symbolic: Option<&str>| RemoteRef {
            name: name.to_owned(),
            target: Oid::from_bytes([byte; ID]),
            peeled: Oid::from_bytes([byte + 1; ID]),
            symbolic: symbolic.map(ToOwned::to_owned),
        };
        [
            one("HEAD", 1, Some("refs/heads/main")),
            one("refs/heads/main", 1, None),
            one("refs/tags/ünï", 7, None),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn a_look_is_read_as_it_was_kept_and_not_otherwise() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("mirror");
        let file = LookFile::beside(&dir, KEY);
        assert!(file.read().is_none());
        let begun = SystemTime::now() - Duration::from_secs(60);
        file.keep(begun, &refs()).unwrap();
        let kept = file.read().unwrap();
        assert_eq!(format!("{:?}", kept.refs), format!("{:?}", refs()));
        let age = kept.begun.elapsed().as_secs();
        assert!((59..120).contains(&age), "{age}");

        // Another key, another mirror, a flipped bit, a missing end.
        assert!(LookFile::beside(&dir, b"another").read().is_none());
        let whole = fs::read(&file.path).unwrap();
        let other = root.path().join("other");
        fs::write(other.with_extension(EXTENSION), &whole).unwrap();
        assert!(LookFile::beside(&other, KEY).read().is_none());
        for at in [0, CODE, CODE + 9, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&file.path, &damaged).unwrap();
            assert!(file.read().is_none(), "{at}");
            fs::write(&file.path, &whole[..at]).unwrap();
            assert!(file.read().is_none(), "{at}");
        }
        // A clock that was set back.
        file.keep(SystemTime::now() + Duration::from_secs(60), &refs())
            .unwrap();
        assert!(file.read().is_none());
        file.forget().unwrap();
        file.forget().unwrap();
        assert!(!file.path.exists());
    }

    #[test]
    fn a_list_that_is_too_long_is_not_kept_nor_the_one_before_it() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("mirror");
        let file = LookFile::beside(&dir, KEY);
        file.keep(SystemTime::now(), &refs()).unwrap();
        let many: RefList = (0..200_000)
            .map(|number| RemoteRef {
                name: format!("refs/tags/{number}"),
                target: Oid::from_bytes([1; ID]),
                peeled: Oid::from_bytes([1; ID]),
                symbolic: None,
            })
            .collect();
        file.keep(SystemTime::now(), &many).unwrap();
        assert!(file.read().is_none());
    }
}
