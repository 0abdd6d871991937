//! Layers that hold just a tree, the same bytes everywhere.
//!
//! A layer is a plain tar (`application/vnd.oci.image.layer.v1.tar`) in the POSIX ustar format,
//! with PAX records where a name is too long for that. It is not compressed: what a compressor
//! makes of the same bytes depends on its version, and the digest must not. Entries come in the
//! tree's order, folders before what is in them, owned by 0:0, all with [`TIME`] as their time.
//! Blobs are read one after the other, so that memory does not grow with the tree.

use std::collections::HashSet;
use std::io::{self, Write};

use bstr::{BStr, BString, ByteSlice};
use git_apply_engine::{EntryMode, Objects, Oid};
use image_references::{Digest, Hasher};
use tar::{Builder, EntryType, Header};

use super::Error;

/// The time of all entries: the start of 1980 (UTC), the earliest that a zip archive, and so a
/// Python wheel, can hold.
pub const TIME: u64 = 315_532_800;

/// The most entries, levels and bytes of a tree.
pub(super) const MOST_ENTRIES: usize = 1_000_000;
pub(super) const DEEPEST: usize = 256;
const MOST_BYTES: u64 = 8 << 30;

/// The largest file, in bytes. One file is in memory at a time, in up to three copies: a pack store
/// cannot return it in pieces.
const LARGEST_FILE: u64 = 64 << 20;

/// A file that is put into the root of a layer besides the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name, in at most one folder. Neither may be in the tree's root.
    pub name: String,
    /// Its contents.
    pub content: Vec<u8>,
}

/// What identifies a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its SHA-256; the same compressed or not, because it is not compressed.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// What goes into a layer.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The tree; `None` if there are only files.
    pub tree: Option<Oid>,
    /// Files besides it.
    pub files: Vec<File>,
}

/// Computes a layer without keeping it.
///
/// # Errors
///
/// Where the tree cannot be read, or is refused.
pub fn measure(objects: &dyn Objects, contents: &Contents) -> Result<Layer, Error> {
    let mut out = DigestingSink {
        hasher: Hasher::sha256(),
        size: 0,
    };
    write(objects, contents, &mut out)?;
    Ok(Layer {
        digest: out.hasher.finish(),
        size: out.size,
    })
}

/// Writes a layer.
///
/// # Errors
///
/// Where the tree cannot be read or is refused, or the writer fails.
pub fn write(objects: &dyn Objects, contents: &Contents, out: &mut dyn Write) -> Result<(), Error> {
    let mut writer = LayerWriter {
        objects,
        tar: Builder::new(out),
        entries: 0,
        bytes: 0,
    };
    for File { name, content } in &contents.files {
        if let Some((folder, _)) = name.rsplit_once('/') {
            writer.append_folder(BStr::new(folder))?;
        }
        writer.append_file(BStr::new(name), EntryMode::Regular, content)?;
    }
    if let Some(tree) = contents.tree {
        writer.append_tree(tree, &mut BString::default(), 0)?;
    }
    writer.tar.finish()?;
    Ok(())
}

struct DigestingSink {
    hasher: Hasher,
    size: u64,
}

impl Write for DigestingSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct LayerWriter<'a> {
    objects: &'a dyn Objects,
    tar: Builder<&'a mut dyn Write>,
    entries: usize,
    bytes: u64,
}

impl LayerWriter<'_> {
    fn append_tree(&mut self, id: Oid, path: &mut BString, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(too_large("the depth of folders", &DEEPEST));
        }
        let entries = self.objects.tree(id)?;
        let mut names = HashSet::with_capacity(entries.len());
        for entry in entries {
            let length = path.len();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&entry.name);
            if let Some(reason) = name_fault(&entry.name) {
                return Err(refused_entry(path, reason));
            }
            // A link and a folder of one name would lead the folder's contents out of the tree.
            if !names.insert(entry.name.clone()) {
                return Err(refused_entry(path, "occurs twice"));
            }
            match entry.mode {
                EntryMode::Tree => {
                    self.append_folder(path.as_bstr())?;
                    self.append_tree(entry.id, path, depth + 1)?;
                }
                // A submodule's own contents are not in the tree; Git leaves an empty folder too.
                EntryMode::Gitlink => self.append_folder(path.as_bstr())?,
                EntryMode::Regular | EntryMode::Executable | EntryMode::Symlink => {
                    let size = self.objects.blob_size(entry.id)?;
                    if size > LARGEST_FILE {
                        let what = format!("{:?} with {size} bytes", printable_path(path));
                        return Err(too_large(&what, &LARGEST_FILE));
                    }
                    self.bytes = self.bytes.saturating_add(size);
                    if self.bytes > MOST_BYTES {
                        return Err(too_large("the size of all files in bytes", &MOST_BYTES));
                    }
                    let content = self.objects.blob(entry.id)?;
                    self.append_file(path.as_bstr(), entry.mode, &content)?;
                }
            }
            path.truncate(length);
        }
        Ok(())
    }

    fn append_folder(&mut self, path: &BStr) -> Result<(), Error> {
        let mut name = BString::from(path);
        name.push(b'/');
        self.append_entry(name.as_bstr(), &LayerEntry::Folder)
    }

    fn append_file(&mut self, path: &BStr, mode: EntryMode, content: &[u8]) -> Result<(), Error> {
        let entry = match mode {
            EntryMode::Symlink if content.is_empty() || content.contains(&0) => {
                return Err(refused_entry(path, "is a symbolic link to nowhere"));
            }
            EntryMode::Symlink => LayerEntry::Link { target: content },
            EntryMode::Executable => LayerEntry::Executable { content },
            _ => LayerEntry::File { content },
        };
        self.append_entry(path, &entry)
    }

    fn append_entry(&mut self, path: &BStr, entry: &LayerEntry<'_>) -> Result<(), Error> {
        self.entries += 1;
        if self.entries > MOST_ENTRIES {
            return Err(too_large("the number of files", &MOST_ENTRIES));
        }
        let (kind, mode, content): (_, _, &[u8]) = match entry {
            LayerEntry::Folder => (EntryType::Directory, 0o755, &[]),
            LayerEntry::File { content } => (EntryType::Regular, 0o644, content),
            LayerEntry::Executable { content } => (EntryType::Regular, 0o755, content),
            LayerEntry::Link { .. } => (EntryType::Symlink, 0o777, &[]),
        };
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(TIME);
        header.set_size(content.len() as u64);
        let mut records: Vec<(&str, &[u8])> = Vec::new();
        if !put_name(&mut header.as_old_mut().name, path) {
            records.push(("path", path));
        }
        if let LayerEntry::Link { target } = entry
            && !put_name(&mut header.as_old_mut().linkname, target)
        {
            records.push(("linkpath", target));
        }
        self.tar.append_pax_extensions(records)?;
        header.set_cksum();
        self.tar.append(&header, content)?;
        Ok(())
    }
}

/// An entry of a layer.
enum LayerEntry<'a> {
    Folder,
    File { content: &'a [u8] },
    Executable { content: &'a [u8] },
    Link { target: &'a [u8] },
}

/// Puts a name into a header field, truncated if it is too long. Returns whether it fits.
fn put_name(field: &mut [u8; 100], name: &[u8]) -> bool {
    for (byte, given) in field.iter_mut().zip(name) {
        *byte = *given;
    }
    name.len() <= field.len()
}

/// Returns why the name of a tree's entry is refused, if it is: it would leave the tree, or be a
/// repository.
fn name_fault(name: &[u8]) -> Option<&'static str> {
    match name {
        b"" => Some("has an empty name"),
        b"." | b".." => Some("leads out of its folder"),
        _ if name.contains(&b'/') => Some("has a slash in a name"),
        _ if name.contains(&0) => Some("has a NUL in a name"),
        // How a layer says that a file is deleted (image-spec, "Whiteouts").
        _ if name.starts_with(b".wh.") => Some("would delete a file of an image"),
        _ if name.eq_ignore_ascii_case(b".git") => Some("would be a repository"),
        _ => None,
    }
}

fn refused_entry(path: &[u8], reason: &'static str) -> Error {
    let path = printable_path(path);
    Error::Hostile { path, reason }
}

fn printable_path(path: &[u8]) -> String {
    foreign_text::printable(&path.to_str_lossy(), 200)
}

pub(super) fn too_large(what: &str, limit: &dyn std::fmt::Display) -> Error {
    Error::TooLarge {
        what: what.to_owned(),
        limit: limit.to_string(),
    }
}
