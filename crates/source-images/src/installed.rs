//! Which Python distributions an image has installed, read off the names in its layers.
//!
//! A layer is read once, as a stream, and only the paths of `METADATA` and `direct_url.json` (PEP
//! 610) files that Python would find are kept: those in folders of `site-packages` and
//! `dist-packages`. Layers are stacked as the image-spec says ("Whiteouts"): what a layer deletes
//! or replaces is gone.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

use bstr::{BStr, BString, ByteSlice, ByteVec};
use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use tar::{Archive, Entry, EntryType};

/// The most entries and bytes of all layers of an image, unpacked.
const MOST_ENTRIES: u64 = 4_000_000;
const MOST_BYTES: u64 = 32 << 30;

/// The most bytes of all paths that are kept.
const MOST_KEPT: usize = 16 << 20;

/// The overhead of a kept path, in bytes.
const PER_PATH: usize = 64;

/// The longest path that is kept, in bytes (Linux's `PATH_MAX`).
const LONGEST_PATH: usize = 4096;

/// The largest `direct_url.json` that is read, in bytes.
const LARGEST_URL: u64 = 64 << 10;

/// The most bytes of headers before an entry: long names and PAX records.
const LARGEST_HEADERS: u64 = 1 << 20;

/// The most memory that a zstd layer may ask for, as a power of two in bytes.
const LARGEST_WINDOW: u32 = 26;

/// Where a distribution was installed from, as its `direct_url.json` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A local folder or file.
    Source,
    /// There is no `direct_url.json`: a package index, or a package of the operating system.
    Index,
    /// An address.
    Url,
    /// It cannot be determined.
    Unknown,
}

/// A distribution as Python would find it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Distribution {
    /// Its name, as the folder spells it.
    pub name: String,
    /// Its version, if the folder's name has one.
    pub version: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
}

/// What is kept of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeptFile {
    /// There is such a distribution.
    Metadata,
    /// Where it comes from.
    DirectUrl(Origin),
}

/// The kept files of some stacked layers.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    kept: BTreeMap<BString, KeptFile>,
    entries: u64,
    bytes: u64,
}

impl Files {
    /// Lays a layer over these, plain or compressed with gzip or zstd.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or exceeds a limit. What was read of it so far is discarded.
    pub(super) fn with_layer(&self, layer: impl Read) -> io::Result<Self> {
        let mut layer = BufReader::with_capacity(64 << 10, layer);
        let mut start = Vec::new();
        layer.by_ref().take(4).read_to_end(&mut start)?;
        let mut layer = start.as_slice().chain(layer);
        let mut scan = LayerScan {
            lower: self.clone(),
            upper: BTreeMap::new(),
            weight: 0,
        };
        match start.as_slice() {
            [] => {}
            [0x1f, 0x8b, ..] => scan.scan_archive(BufReader::new(MultiGzDecoder::new(&mut layer)))?,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(&mut layer)?;
                decoder.window_log_max(LARGEST_WINDOW)?;
                scan.scan_archive(decoder)?;
            }
            _ => scan.scan_archive(&mut layer)?,
        }
        // The digest covers what follows the archive as well.
        io::copy(&mut layer, &mut io::sink())?;
        scan.finish()
    }

    /// The bytes that all paths take.
    pub(super) fn weight(&self) -> usize {
        self.kept.keys().map(|path| path.len() + PER_PATH).sum()
    }

    /// Returns the distributions, without duplicates.
    pub(super) fn distributions(&self) -> Vec<Distribution> {
        let mut found: Vec<Distribution> = self
            .kept
            .iter()
            .filter(|(_, kept)| **kept == KeptFile::Metadata)
            .filter_map(|(path, _)| self.distribution_at(path.as_bstr()))
            .collect();
        found.sort();
        found.dedup();
        found
    }

    fn distribution_at(&self, path: &BStr) -> Option<Distribution> {
        let folder = match split_path(path) {
            (folder, name) if name == "METADATA" || name == "PKG-INFO" => folder,
            _ => path,
        };
        let (_, name) = split_path(folder);
        let (stem, is_wheel) = match name.strip_suffix(b".dist-info") {
            Some(stem) => (stem, true),
            None => (name.strip_suffix(b".egg-info")?, false),
        };
        let stem = stem.to_str().ok()?;
        let mut parts = stem.splitn(3, '-');
        let (name, version) = (parts.next()?, parts.next());
        let mut url = BString::from(folder);
        url.push_str("/direct_url.json");
        let origin = match self.kept.get(&url) {
            Some(KeptFile::DirectUrl(origin)) => *origin,
            _ if is_wheel => Origin::Index,
            // The installers that made these wrote no such file.
            _ => Origin::Unknown,
        };
        Some(Distribution {
            name: name.to_owned(),
            version: version.map(ToOwned::to_owned),
            origin,
        })
    }
}

/// A layer while it is laid over others.
struct LayerScan {
    lower: Files,
    upper: BTreeMap<BString, KeptFile>,
    /// The bytes that its paths take.
    weight: usize,
}

impl LayerScan {
    fn scan_archive(&mut self, archive: impl Read) -> io::Result<()> {
        let allowance = Cell::new(0);
        let mut archive = Archive::new(Bounded {
            inner: archive,
            allowance: &allowance,
        });
        let mut entries = archive.entries()?;
        loop {
            // Only headers are read until the next entry, and the archive keeps them in memory.
            allowance.set(LARGEST_HEADERS);
            let Some(entry) = entries.next() else { break };
            let mut entry = entry?;
            // What fills its gaps is not read from the layer, so no allowance would bound it.
            if entry.header().entry_type().is_gnu_sparse() {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "it has a sparse file of GNU tar, which is not read",
                ));
            }
            self.lower.entries += 1;
            if self.lower.entries > MOST_ENTRIES {
                return Err(too_large("files", MOST_ENTRIES));
            }
            allowance.set(MOST_BYTES.saturating_sub(self.lower.bytes));
            self.scan_entry(&mut entry)?;
            self.lower.bytes = self.lower.bytes.saturating_add(entry.size());
            if self.lower.bytes > MOST_BYTES {
                return Err(too_large("bytes", MOST_BYTES));
            }
            io::copy(&mut entry, &mut io::sink())?;
        }
        allowance.set(MOST_BYTES.saturating_sub(self.lower.bytes));
        io::copy(&mut archive.into_inner(), &mut io::sink())?;
        Ok(())
    }

    fn scan_entry(&mut self, entry: &mut Entry<'_, impl Read>) -> io::Result<()> {
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        let path = normalize_path(&entry.path_bytes());
        let (folder, name) = split_path(path.as_bstr());
        if name == ".wh..wh..opq" {
            self.delete_below(folder);
            return Ok(());
        }
        if let Some(deleted) = name.strip_prefix(b".wh.") {
            // Other names that begin like this are a file system's own metadata.
            if !deleted.starts_with(b".wh.") {
                let path = join_path(folder, deleted.as_bstr());
                self.lower.kept.remove(&path);
                self.delete_below(path.as_bstr());
            }
            return Ok(());
        }
        self.lower.kept.remove(&path);
        if kind == EntryType::Directory {
            return Ok(());
        }
        self.delete_below(path.as_bstr());
        self.upper.remove(&path);
        let Some(what) = kept_kind(path.as_bstr()) else {
            return Ok(());
        };
        let kept = match (what, kind) {
            (KeptFile::Metadata, _) => KeptFile::Metadata,
            (_, EntryType::Link) => {
                let target = entry.link_name_bytes().map(|target| normalize_path(&target));
                target
                    .and_then(|target| self.upper.get(&target).or_else(|| self.lower.kept.get(&target)))
                    .copied()
                    .unwrap_or(KeptFile::DirectUrl(Origin::Unknown))
            }
            (_, kind) if kind.is_file() && entry.size() <= LARGEST_URL => {
                let mut text = Vec::new();
                entry.take(LARGEST_URL).read_to_end(&mut text)?;
                KeptFile::DirectUrl(origin_in_direct_url(&text))
            }
            _ => KeptFile::DirectUrl(Origin::Unknown),
        };
        self.weight += path.len() + PER_PATH;
        self.upper.insert(path, kept);
        if self.weight > MOST_KEPT {
            return Err(too_large("bytes of names", MOST_KEPT as u64));
        }
        Ok(())
    }

    /// Deletes what lower layers have in a folder.
    fn delete_below(&mut self, folder: &BStr) {
        let prefix = join_path(folder, BStr::new(""));
        let below: Vec<BString> = self
            .lower
            .kept
            .range(prefix.clone()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&prefix))
            .cloned()
            .collect();
        for path in below {
            self.lower.kept.remove(&path);
        }
    }

    fn finish(mut self) -> io::Result<Files> {
        self.lower.kept.append(&mut self.upper);
        if self.lower.weight() > MOST_KEPT {
            return Err(too_large("bytes of names", MOST_KEPT as u64));
        }
        Ok(self.lower)
    }
}

fn too_large(what: &str, limit: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("it has more than {limit} {what}"),
    )
}

/// A reader that reads no more than it is allowed to.
struct Bounded<'a, R> {
    inner: R,
    allowance: &'a Cell<u64>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = self.allowance.get();
        let most = usize::try_from(allowed).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 && !buffer.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "a header, or the whole, is larger than what is read",
            ));
        }
        let read = self.inner.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.allowance.set(allowed.saturating_sub(read as u64));
        Ok(read)
    }
}

/// Returns a path from the root, with `.` and `..` resolved as unpacking does.
fn normalize_path(path: &[u8]) -> BString {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split_str("/") {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    bstr::join("/", parts).into()
}

fn split_path(path: &BStr) -> (&BStr, &BStr) {
    match path.rsplit_once_str("/") {
        Some((folder, name)) => (folder.as_bstr(), name.as_bstr()),
        None => (BStr::new(""), path),
    }
}

fn join_path(folder: &BStr, name: &BStr) -> BString {
    let mut path = BString::from(folder);
    if !path.is_empty() {
        path.push(b'/');
    }
    path.push_str(name);
    path
}

/// Returns what a file is kept as, if it is kept.
fn kept_kind(path: &BStr) -> Option<KeptFile> {
    if path.len() > LONGEST_PATH {
        return None;
    }
    let (folder, name) = split_path(path);
    let (above, holder) = split_path(folder);
    let is_site = |folder: &BStr| {
        matches!(
            split_path(folder).1.as_bytes(),
            b"site-packages" | b"dist-packages"
        )
    };
    match name.as_bytes() {
        b"METADATA" if holder.ends_with(b".dist-info") && is_site(above) => Some(KeptFile::Metadata),
        b"PKG-INFO" if holder.ends_with(b".egg-info") && is_site(above) => Some(KeptFile::Metadata),
        b"direct_url.json"
            if (holder.ends_with(b".dist-info") || holder.ends_with(b".egg-info")) && is_site(above) =>
        {
            Some(KeptFile::DirectUrl(Origin::Unknown))
        }
        // distutils wrote a file instead of a folder.
        name if name.ends_with(b".egg-info") && is_site(folder) => Some(KeptFile::Metadata),
        _ => None,
    }
}

/// The part of a `direct_url.json` that is read (PEP 610).
#[derive(Deserialize)]
struct DirectUrl {
    url: String,
}

fn origin_in_direct_url(direct_url: &[u8]) -> Origin {
    match serde_json::from_slice::<DirectUrl>(direct_url) {
        Ok(DirectUrl { url }) if url.starts_with("file:") => Origin::Source,
        Ok(_) => Origin::Url,
        Err(_) => Origin::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use tar::{Builder, Header};

    const SITE: &str = "usr/lib/python3/site-packages";
    const LOCAL: &[u8] = br#"{"url": "file:///tmp/os-traits", "dir_info": {}}"#;

    /// A layer of files; a name that ends in a slash is a folder.
    fn layer(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            if name.ends_with('/') {
                header.set_entry_type(EntryType::Directory);
            }
            // The library itself refuses some of these names.
            let field = &mut header.as_old_mut().name;
            field[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, *content).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn over(layers: &[Vec<u8>]) -> Vec<(String, Origin)> {
        let files = layers.iter().fold(Files::default(), |files, layer| {
            files.with_layer(layer.as_slice()).unwrap()
        });
        let found = files.distributions().into_iter().map(|one| {
            let version = one.version.unwrap_or_default();
            (format!("{} {version}", one.name), one.origin)
        });
        found.collect()
    }

    fn stock(version: &str) -> Vec<u8> {
        layer(&[(&format!("./{SITE}/os_traits-{version}.dist-info/METADATA"), b"x")])
    }

    fn patched() -> Vec<u8> {
        layer(&[
            (&format!("{SITE}/os_traits-3.5.0.dist-info/METADATA"), b""),
            (
                &format!("{SITE}/os_traits-3.5.0.dist-info/direct_url.json"),
                LOCAL,
            ),
        ])
    }

    #[test]
    fn distributions_are_those_that_python_finds() {
        let all = layer(&[
            (&format!("{SITE}/WebOb-1.8.8.dist-info/METADATA"), b""),
            (&format!("{SITE}/WebOb-1.8.8.dist-info/RECORD"), b""),
            (&format!("{SITE}/empty-1.dist-info/RECORD"), b""),
            (
                &format!("{SITE}/setuptools/_vendor/wheel-1.dist-info/METADATA"),
                b"",
            ),
            ("root/.cache/uv/archive-v0/x/os_traits-1.dist-info/METADATA", b""),
            ("usr/lib/python3/dist-packages/old-2.egg-info/PKG-INFO", b""),
            ("usr/lib/python3/dist-packages/older-3-py3.egg-info", b""),
            ("opt/venv/lib/python3/site-packages/far-4.dist-info/METADATA", b""),
            (
                "opt/venv/lib/python3/site-packages/far-4.dist-info/direct_url.json",
                br#"{"url": "https://example.org/far.whl"}"#,
            ),
            ("opt/site-packages/odd-5.dist-info/METADATA", b""),
            ("opt/site-packages/odd-5.dist-info/direct_url.json", b"\xff"),
        ]);
        assert_eq!(
            over(&[all]),
            [
                ("WebOb 1.8.8".to_owned(), Origin::Index),
                ("far 4".to_owned(), Origin::Url),
                ("odd 5".to_owned(), Origin::Unknown),
                ("old 2".to_owned(), Origin::Unknown),
                ("older 3".to_owned(), Origin::Unknown),
            ]
        );
    }

    #[test]
    fn upper_layers_delete_and_replace_what_is_below() {
        let source = [("os_traits 3.5.0".to_owned(), Origin::Source)];
        let none: [(String, Origin); 0] = [];
        let whiteout = layer(&[(&format!("{SITE}/.wh.os_traits-3.4.0.dist-info"), b"")]);
        assert_eq!(over(&[stock("3.4.0"), whiteout, patched()]), source);
        let note = format!("{SITE}/os_traits-3.5.0.dist-info/.wh.direct_url.json");
        let forgotten = over(&[patched(), layer(&[(&note, b"")])]);
        assert_eq!(forgotten, [("os_traits 3.5.0".to_owned(), Origin::Index)]);
        let opaque = layer(&[(&format!("{SITE}/.wh..wh..opq"), b"")]);
        assert_eq!(over(&[stock("3.4.0"), opaque]), none);
        // A layer deletes only what is below it, wherever its own files are in it.
        let both = layer(&[
            (&format!("{SITE}/os_traits-3.5.0.dist-info/METADATA"), b""),
            (
                &format!("{SITE}/os_traits-3.5.0.dist-info/direct_url.json"),
                LOCAL,
            ),
            (&format!("{SITE}/.wh..wh..opq"), b""),
        ]);
        assert_eq!(over(&[stock("3.4.0"), both]), source);
        for gone in ["usr/.wh.lib", "usr/lib/python3"] {
            assert_eq!(over(&[patched(), layer(&[(gone, b"")])]), none, "{gone}");
        }
        // A folder of the same name, and file systems' own notes, leave it.
        for kept in ["usr/lib/", "usr/.wh..wh.plnk", "usr/.wh.li", "usr/lib/pyt"] {
            assert_eq!(over(&[patched(), layer(&[(kept, b"")])]), source, "{kept}");
        }
    }

    #[test]
    fn layers_are_plain_or_compressed_in_one_or_several_parts() {
        let parts = |layer: &[u8], pack: &dyn Fn(&[u8]) -> Vec<u8>| {
            let (one, two) = layer.split_at(700);
            [pack(one), pack(two)].concat()
        };
        let gzip = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3], &*zstd(&patched())].concat();
        for (n, packed) in [
            gzip(&patched()),
            parts(&patched(), &gzip),
            zstd(&patched()),
            parts(&patched(), &zstd),
            skippable,
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(
                over(&[stock("3.4.0"), packed]),
                [
                    ("os_traits 3.4.0".to_owned(), Origin::Index),
                    ("os_traits 3.5.0".to_owned(), Origin::Source)
                ],
                "{n}"
            );
        }
        assert_eq!(over(&[Vec::new()]), []);
    }

    #[test]
    fn hard_links_are_what_they_lead_to() {
        let mut tar = Builder::new(Vec::new());
        for (name, content) in [("cache/url", LOCAL), ("cache/METADATA", b"x".as_slice())] {
            let mut header = Header::new_ustar();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, content).unwrap();
        }
        let folder = format!("{SITE}/os_traits-3.5.0.dist-info");
        for (name, target) in [("METADATA", "cache/METADATA"), ("direct_url.json", "cache/url")] {
            let mut header = Header::new_ustar();
            header.set_entry_type(EntryType::Link);
            header.set_size(0);
            tar.append_link(&mut header, format!("{folder}/{name}"), target)
                .unwrap();
        }
        // The target of the link was not kept, so nothing is reported about it.
        let layer = tar.into_inner().unwrap();
        assert_eq!(over(&[layer]), [("os_traits 3.5.0".to_owned(), Origin::Unknown)]);
    }

    #[test]
    fn paths_are_cleaned_as_unpacking_does() {
        let above = "../../usr/x/../lib/python3/site-packages/up-1.dist-info/METADATA";
        let absolute = "/usr/lib/python3//site-packages/./abs-1.dist-info/METADATA";
        let found = over(&[layer(&[(above, b""), (absolute, b"")])]);
        assert_eq!(
            found,
            [
                ("abs 1".to_owned(), Origin::Index),
                ("up 1".to_owned(), Origin::Index)
            ]
        );
        let deleted = layer(&[("usr/x/../.wh.lib", b"")]);
        assert_eq!(over(&[patched(), deleted]), []);
    }

    #[test]
    fn what_is_broken_or_too_large_is_told() {
        let fails = |layer: &[u8]| Files::default().with_layer(layer).unwrap_err().to_string();
        let gzip = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        fails(b"this is no archive, whatever it is called");
        let mut broken = gzip(&patched());
        let middle = broken.len() / 2;
        broken[middle] ^= 0xff;
        fails(&broken);
        let whole = gzip(&patched());
        fails(&whole[..whole.len() - 20]);
        // A long name of 64 MiB, which would be kept in memory.
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNULongName);
        header.set_size(64 << 20);
        header.set_cksum();
        let bomb = [header.as_bytes().as_slice(), &vec![b'a'; 64 << 20]].concat();
        assert!(fails(&gzip(&bomb)).contains("larger than what is read"));
        // A note that is too large is not read.
        let large = vec![b' '; usize::try_from(LARGEST_URL).unwrap() + 1];
        let folder = format!("{SITE}/os_traits-3.5.0.dist-info");
        let noted = layer(&[
            (&format!("{folder}/METADATA"), b""),
            (&format!("{folder}/direct_url.json"), &large),
        ]);
        assert_eq!(over(&[noted]), [("os_traits 3.5.0".to_owned(), Origin::Unknown)]);
        // A window that would take 128 MiB.
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&patched()).unwrap();
        assert!(
            Files::default()
                .with_layer(encoder.finish().unwrap().as_slice())
                .is_err()
        );
    }

    #[test]
    fn claimed_sizes_are_not_trusted() {
        let fails = |files: &Files, header: &Header| {
            files
                .with_layer(header.as_bytes().as_slice())
                .unwrap_err()
                .to_string()
        };
        // With what a layer below has, the sum would be larger than a number can be.
        let below = Files::default()
            .with_layer(layer(&[("a", &[0; 4096])]).as_slice())
            .unwrap();
        let mut header = Header::new_gnu();
        header.set_size(u64::MAX - 2047);
        header.set_cksum();
        let refused = fails(&below, &header);
        assert!(refused.contains("more than 34359738368 bytes"), "{refused}");
        // A file with one byte, after a gap that is filled with zeros.
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNUSparse);
        header.set_size(1);
        let gnu = header.as_gnu_mut().unwrap();
        for (field, value) in [
            (&mut gnu.sparse[0].offset, u64::MAX - 1),
            (&mut gnu.sparse[0].numbytes, 1),
            (&mut gnu.realsize, u64::MAX),
        ] {
            // In base 256.
            field[0] = 0x80;
            field[4..].copy_from_slice(&value.to_be_bytes());
        }
        header.set_cksum();
        let refused = fails(&below, &header);
        assert!(refused.contains("sparse file"), "{refused}");
    }
}
