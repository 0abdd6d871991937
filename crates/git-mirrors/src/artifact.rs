//! What a Flux source published: a tar.gz at an address, vouched for by a digest.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use reqwest::header::HeaderMap;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::error::bytes;
use super::files::plain_path;
use super::http::{Body, HttpClient};
use super::session::{Access, Session};
use super::storage::Reservation;
use super::{Error, FileLimits, Mirrors, RepoUrl, Scheme, SourceFile, Upstream};

/// The most bytes of an entry's headers: a path has at most 4 KiB, and attributes are small.
const LARGEST_HEADERS: u64 = 1 << 20;

/// Where an artifact is, and which of its files are wanted.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// `status.artifact.url`. HTTP is fine here whatever the transports: the digest vouches for the
    /// content.
    pub url: RepoUrl,
    /// `status.artifact.digest`: `sha256:…`, `sha384:…` or `sha512:…`.
    pub digest: String,
    /// The folder in it, or a single file; the root where empty.
    pub path: String,
    /// Which files of the folder, by the end of their names; all where empty.
    pub suffix: String,
}

/// Bounds on an artifact as a whole.
#[derive(Clone, Copy, Debug)]
pub struct ArtifactLimits {
    /// Bytes of the tar.gz.
    pub packed: u64,
    /// Bytes of everything in it, wanted or not.
    pub unpacked: u64,
    /// Entries in it, wanted or not.
    pub entries: usize,
    /// Bounds on the wanted files.
    pub files: FileLimits,
}

impl Default for ArtifactLimits {
    /// 64 MiB packed, 512 MiB and 200,000 entries unpacked.
    fn default() -> Self {
        Self {
            packed: 64 << 20,
            unpacked: 512 << 20,
            entries: 200_000,
            files: FileLimits::default(),
        }
    }
}

impl Mirrors {
    /// Downloads an artifact, checks its digest, and returns the wanted files, sorted by name as
    /// bytes.
    ///
    /// Until the digest is found to match, it is kept in an unnamed file, and nothing is unpacked.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the content does not match the digest (it was replaced in the
    /// meantime: read the source's status again); [`Error::FileNotFound`]; [`Error::TooLarge`];
    /// [`Error::Path`] for entries that leave the archive and for links among the wanted files;
    /// [`Error::Refused`] for schemes other than http and https.
    pub fn fetch_artifact(
        &self,
        artifact: &Artifact,
        limits: &ArtifactLimits,
        deadline: Instant,
    ) -> Result<Vec<SourceFile>, Error> {
        let wanted = plain_path(&artifact.path)?;
        let packed = self.download_artifact(artifact, limits, deadline)?;
        let mut found = Found::new(artifact, &wanted, &limits.files);
        packed.scan(artifact, limits, |entry, damaged| found.take(entry, damaged))?;
        found.finish()
    }

    /// Downloads an artifact into an unnamed file, and checks its digest.
    pub(super) fn download_artifact<'a>(
        &'a self,
        artifact: &Artifact,
        limits: &ArtifactLimits,
        deadline: Instant,
    ) -> Result<Download<'a>, Error> {
        if !matches!(artifact.url.scheme(), Scheme::Http | Scheme::Https) {
            return Err(Error::Refused {
                url: artifact.url.to_string(),
                reason: "an artifact is read over http or https".to_owned(),
            });
        }
        let mut hash = DigestCheck::new(&artifact.digest)?;
        let upstream = Upstream::anonymous(artifact.url.clone());
        let session = self.session(&upstream, Access::Read, limits.packed, deadline)?;
        let client = HttpClient::new(&session)?;
        let address = reqwest::Url::parse(&artifact.url.to_string())
            .map_err(|error| session.protocol(&error.to_string()))?;
        let response = client.send(reqwest::Method::GET, &address, HeaderMap::new(), None)?;
        let response = client.accept(response)?;
        session.expect(0);
        let download = self.download(session, &mut Body::new(&client, response), &mut hash)?;
        hash.verify(&artifact.url)?;
        Ok(download)
    }

    /// Writes an answer to a file, for which it reserves space, and feeds it to a digest.
    fn download<'a>(
        &'a self,
        session: Arc<Session>,
        body: &mut Body,
        hash: &mut DigestCheck,
    ) -> Result<Download<'a>, Error> {
        let failed = |error: &io::Error| Error::io(self.storage.root(), error);
        let mut download = Download {
            file: tempfile::tempfile_in(self.storage.root()).map_err(|error| failed(&error))?,
            space: self.storage.reserve(),
            root: self.storage.root(),
            session,
        };
        let session = Arc::clone(&download.session);
        let mut size = 0;
        loop {
            let piece = body.fill_buf().map_err(|error| {
                session
                    .take_failure()
                    .unwrap_or_else(|| session.unreachable(&error.to_string()))
            })?;
            if piece.is_empty() {
                return Ok(download);
            }
            let count = piece.len();
            size += count as u64;
            download.space.grow_to(size)?;
            hash.update(piece);
            download.file.write_all(piece).map_err(|error| failed(&error))?;
            body.consume(count);
        }
    }
}

/// A downloaded file, and the space that it takes.
pub(super) struct Download<'a> {
    file: File,
    space: Reservation<'a>,
    /// The folder of the file.
    root: &'a Path,
    pub(super) session: Arc<Session>,
}

/// A digest that is being computed, and its expected value.
struct DigestCheck {
    algorithm: Algorithm,
    expected: String,
}

enum Algorithm {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl DigestCheck {
    fn new(digest: &str) -> Result<Self, Error> {
        let invalid = |reason: &str| Error::RefInvalid {
            wanted: format!(
                "artifact digest {:?}",
                digest.chars().take(160).collect::<String>()
            ),
            reason: reason.to_owned(),
        };
        let (name, hex) = digest
            .split_once(':')
            .ok_or_else(|| invalid("is not of the form sha256:…"))?;
        let (algorithm, digits) = match name {
            "sha256" => (Algorithm::Sha256(Sha256::new()), 64),
            "sha384" => (Algorithm::Sha384(Sha384::new()), 96),
            "sha512" => (Algorithm::Sha512(Sha512::new()), 128),
            _ => {
                return Err(invalid(
                    "uses an algorithm other than sha256, sha384 and sha512: set source-controller's \
                     --artifact-digest-algo to one of them",
                ));
            }
        };
        if hex.len() != digits || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid("does not have the length of its algorithm"));
        }
        Ok(Self {
            algorithm,
            expected: hex.to_ascii_lowercase(),
        })
    }

    fn update(&mut self, data: &[u8]) {
        match &mut self.algorithm {
            Algorithm::Sha256(hash) => hash.update(data),
            Algorithm::Sha384(hash) => hash.update(data),
            Algorithm::Sha512(hash) => hash.update(data),
        }
    }

    fn verify(self, url: &RepoUrl) -> Result<(), Error> {
        let found = match self.algorithm {
            Algorithm::Sha256(hash) => hex::encode(hash.finalize()),
            Algorithm::Sha384(hash) => hex::encode(hash.finalize()),
            Algorithm::Sha512(hash) => hex::encode(hash.finalize()),
        };
        if found == self.expected {
            return Ok(());
        }
        Err(Error::Corrupt {
            what: format!("the artifact {url}"),
            reason: format!("its digest is {found} and should be {}", self.expected),
        })
    }
}

/// How many bytes may come out of the decompressor.
pub(super) struct Allowance {
    /// In all.
    total: Cell<u64>,
    /// Before the next entry's content begins: the library keeps an entry's long names and
    /// attributes in memory.
    headers: Cell<u64>,
    exceeded: Cell<bool>,
}

/// Counts what comes out of the decompressor.
pub(super) struct Bounded<'a, R> {
    inner: R,
    allowance: &'a Allowance,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        for left in [&self.allowance.total, &self.allowance.headers] {
            let Some(less) = left.get().checked_sub(count as u64) else {
                self.allowance.exceeded.set(true);
                return Err(io::Error::other("too large"));
            };
            left.set(less);
        }
        Ok(count)
    }
}

/// An entry of an archive, while it is read.
pub(super) type ArchiveEntry<'a> = tar::Entry<'a, Bounded<'a, GzDecoder<'a>>>;

type GzDecoder<'a> = flate2::bufread::MultiGzDecoder<io::BufReader<&'a File>>;

impl Download<'_> {
    /// Passes each entry to `visit`, with a function that says what a failed read means.
    pub(super) fn scan(
        &self,
        artifact: &Artifact,
        limits: &ArtifactLimits,
        mut visit: impl FnMut(&mut ArchiveEntry<'_>, &dyn Fn(&io::Error) -> Error) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let session = &self.session;
        (&self.file)
            .rewind()
            .map_err(|error| Error::io(self.root, &error))?;
        let allowance = Allowance {
            total: Cell::new(limits.unpacked),
            headers: Cell::new(LARGEST_HEADERS),
            exceeded: Cell::new(false),
        };
        let damaged = |error: &io::Error| allowance.explain(error, artifact, limits);
        let packed = io::BufReader::with_capacity(64 << 10, &self.file);
        let mut archive = tar::Archive::new(Bounded {
            inner: flate2::bufread::MultiGzDecoder::new(packed),
            allowance: &allowance,
        });
        let mut entries = archive.entries().map_err(|error| damaged(&error))?;
        for index in 0.. {
            session.check("unpacking the artifact")?;
            allowance.headers.set(LARGEST_HEADERS);
            let Some(entry) = entries.next() else { break };
            let mut entry = entry.map_err(|error| damaged(&error))?;
            allowance.headers.set(u64::MAX);
            if index >= limits.entries {
                return Err(Error::TooLarge {
                    what: format!("the number of entries in the artifact {}", artifact.url),
                    limit: limits.entries.to_string(),
                });
            }
            visit(&mut entry, &damaged)?;
            // Skipped content must not count as the next entry's header.
            let mut rest = [0; 8 << 10];
            while entry.read(&mut rest).map_err(|error| damaged(&error))? > 0 {
                session.check("unpacking the artifact")?;
            }
        }
        Ok(())
    }
}

impl Allowance {
    /// What a failed read of the archive means.
    fn explain(&self, error: &io::Error, artifact: &Artifact, limits: &ArtifactLimits) -> Error {
        match (self.exceeded.get(), self.headers.get()) {
            (false, _) => Error::Corrupt {
                what: format!("the artifact {}", artifact.url),
                reason: format!("it is not a tar.gz: {error}"),
            },
            (true, 0..=LARGEST_HEADERS) => Error::TooLarge {
                what: format!(
                    "an entry's name or attributes, or all entries, in the artifact {}",
                    artifact.url
                ),
                limit: format!("{} or {}", bytes(LARGEST_HEADERS), bytes(limits.unpacked)),
            },
            (true, _) => Error::TooLarge {
                what: format!("the artifact {} unpacked", artifact.url),
                limit: bytes(limits.unpacked),
            },
        }
    }
}

/// The wanted files that were found so far.
struct Found<'a> {
    artifact: &'a Artifact,
    /// The folder or file that is wanted.
    wanted: &'a str,
    limits: &'a FileLimits,
    files: Vec<SourceFile>,
    is_folder_seen: bool,
    /// Bytes that may still be kept.
    left: u64,
}

impl<'a> Found<'a> {
    fn new(artifact: &'a Artifact, wanted: &'a str, limits: &'a FileLimits) -> Self {
        Self {
            artifact,
            wanted,
            limits,
            files: Vec::new(),
            is_folder_seen: wanted.is_empty(),
            left: limits.total,
        }
    }

    /// Keeps an entry that is wanted.
    fn take<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        damaged: &dyn Fn(&io::Error) -> Error,
    ) -> Result<(), Error> {
        let path = plain_path(&String::from_utf8_lossy(&entry.path_bytes()))?;
        self.is_folder_seen |= below(&path, self.wanted).is_some();
        let Some(name) = wanted_name(&path, self.wanted, self.artifact, entry)? else {
            return Ok(());
        };
        if self.files.len() >= self.limits.count {
            return Err(Error::TooLarge {
                what: format!("the number of files in {}", self.artifact.path),
                limit: self.limits.count.to_string(),
            });
        }
        let limit = self.limits.file.min(self.left);
        if entry.size() > limit {
            return Err(Error::TooLarge {
                what: path,
                limit: bytes(limit),
            });
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|error| damaged(&error))?;
        self.left -= content.len() as u64;
        if self.files.iter().any(|file| file.name == name) {
            return Err(Error::Corrupt {
                what: format!("the artifact {}", self.artifact.url),
                reason: format!("it contains {path} twice"),
            });
        }
        self.files.push(SourceFile { name, content });
        Ok(())
    }

    /// Returns the files, sorted by name as bytes.
    fn finish(mut self) -> Result<Vec<SourceFile>, Error> {
        if !self.is_folder_seen {
            return Err(Error::FileNotFound {
                path: self.artifact.path.clone(),
                revision: self.artifact.url.to_string(),
            });
        }
        self.files
            .sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Ok(self.files)
    }
}

/// The name of an entry that is wanted: a file directly in the folder, or the file that is the path
/// itself.
fn wanted_name<R: Read>(
    path: &str,
    wanted: &str,
    artifact: &Artifact,
    entry: &tar::Entry<'_, R>,
) -> Result<Option<String>, Error> {
    let kind = entry.header().entry_type();
    let name = match below(path, wanted) {
        Some(name) if !kind.is_dir() => name,
        _ => return Ok(None),
    };
    let name = match name {
        "" => path.rsplit('/').next().unwrap_or_default(),
        name => name,
    };
    if name.contains('/') || !name.ends_with(artifact.suffix.as_str()) {
        return Ok(None);
    }
    if !kind.is_file() {
        return Err(Error::Path {
            path: path.to_owned(),
            reason: "is a link or a special file in the artifact, which is not followed".to_owned(),
        });
    }
    Ok(Some(name.to_owned()))
}

/// The part of a path below a folder; nothing for the folder itself.
fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    if folder.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(folder)?;
    if rest.is_empty() {
        return Some("");
    }
    rest.strip_prefix('/')
}
