//! Flux artifacts over HTTP.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};

use git_mirrors::{Artifact, ArtifactKind, ArtifactLimits, Class, Error, FileLimits, SourceFile};
use sha2::{Digest, Sha256, Sha512};

use super::{mirrors, soon, url};
use crate::support::hex;

/// Serves one body forever; returns the address.
fn serve(body: Vec<u8>) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&body);
        }
    });
    format!("http://127.0.0.1:{port}/gitrepository/default/patches/latest.tar.gz")
}

fn gzip(tar: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

enum Kind<'a> {
    File(&'a [u8]),
    Folder,
    Symlink(&'a str),
    Hardlink(&'a str),
}

/// Writes entries as given, without the checks of names that a library would make.
fn archive(entries: &[(&str, Kind<'_>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o644);
        let (entry_type, content) = match kind {
            Kind::File(content) => (tar::EntryType::Regular, *content),
            Kind::Folder => (tar::EntryType::Directory, &b""[..]),
            Kind::Symlink(_) => (tar::EntryType::Symlink, &b""[..]),
            Kind::Hardlink(_) => (tar::EntryType::Link, &b""[..]),
        };
        if let Kind::Symlink(target) | Kind::Hardlink(target) = kind {
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        }
        header.set_entry_type(entry_type);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    gzip(&builder.into_inner().unwrap())
}

fn get(body: &[u8], path: &str, suffix: &str, limits: &ArtifactLimits) -> Result<Vec<SourceFile>, Error> {
    let cache = tempfile::tempdir().unwrap();
    let artifact = Artifact {
        url: url(&serve(body.to_vec())),
        digest: format!("sha256:{}", hex(&Sha256::digest(body))),
        path: path.to_owned(),
        suffix: suffix.to_owned(),
    };
    mirrors(cache.path()).fetch_artifact(&artifact, limits, soon())
}

fn names(files: &[SourceFile]) -> Vec<&str> {
    files.iter().map(|file| file.name.as_str()).collect()
}

#[test]
fn a_folder_of_patches_is_read() {
    let body = archive(&[
        ("patches/", Kind::Folder),
        ("./patches/glance/0002-b.patch", Kind::File(b"two")),
        ("patches/glance/0001-a.patch", Kind::File(b"one")),
        ("patches/glance/README", Kind::File(b"no")),
        ("patches/glance/deeper/0003-c.patch", Kind::File(b"no")),
        ("patches/glance-other/0004-d.patch", Kind::File(b"no")),
        ("patches/empty/", Kind::Folder),
        ("source-refs.yaml", Kind::File(b"glance: 31.0.0\n")),
        ("elsewhere/link.patch", Kind::Symlink("/etc/passwd")),
    ]);
    let limits = ArtifactLimits::default();
    let files = get(&body, "patches/glance", ".patch", &limits).unwrap();
    assert_eq!(names(&files), ["0001-a.patch", "0002-b.patch"]);
    assert_eq!(files[0].content, b"one");
    assert_eq!(
        names(&get(&body, "./patches//glance/", "", &limits).unwrap()).len(),
        3
    );
    let single = get(&body, "source-refs.yaml", "", &limits).unwrap();
    assert_eq!(single[0].content, b"glance: 31.0.0\n");
    assert!(get(&body, "patches/empty", ".patch", &limits).unwrap().is_empty());
    let error = get(&body, "patches/nova", ".patch", &limits).unwrap_err();
    assert!(matches!(error, Error::FileNotFound { .. }), "{error:?}");
}

#[test]
fn what_is_unsafe_is_refused() {
    let limits = ArtifactLimits::default();
    for entries in [
        vec![("p/../../etc/x.patch", Kind::File(b"x"))],
        vec![("/p/x.patch", Kind::File(b"x"))],
        vec![("p/x.patch", Kind::Symlink("../../etc/passwd"))],
        vec![("p/x.patch", Kind::Hardlink("/etc/passwd"))],
    ] {
        let error = get(&archive(&entries), "p", ".patch", &limits).unwrap_err();
        assert!(matches!(error, Error::Path { .. }), "{error:?}");
    }
    for path in ["../p", "/p", "p/../..", "p\\x"] {
        let error = get(&archive(&[("p/a.patch", Kind::File(b"x"))]), path, "", &limits).unwrap_err();
        assert!(matches!(error, Error::Path { .. }), "{path}: {error:?}");
    }
    let twice = archive(&[("p/a.patch", Kind::File(b"x")), ("./p/a.patch", Kind::File(b"y"))]);
    assert_eq!(get(&twice, "p", "", &limits).unwrap_err().class(), Class::Corrupt);
}

#[test]
fn limits_hold() {
    let body = archive(&[("a", Kind::File(&[7; 5000])), ("b", Kind::File(&[7; 5000]))]);
    let limits = ArtifactLimits::default();
    let files = FileLimits::default();
    let bomb = archive(&[("zeros", Kind::File(&vec![0; 8 << 20])), ("b", Kind::File(b"x"))]);
    for (body, limits) in [
        (&body, ArtifactLimits { packed: 20, ..limits }),
        (
            &body,
            ArtifactLimits {
                unpacked: 3000,
                ..limits
            },
        ),
        (&body, ArtifactLimits { entries: 1, ..limits }),
        (
            &body,
            ArtifactLimits {
                files: FileLimits { file: 4999, ..files },
                ..limits
            },
        ),
        (
            &body,
            ArtifactLimits {
                files: FileLimits { total: 9999, ..files },
                ..limits
            },
        ),
        (
            &body,
            ArtifactLimits {
                files: FileLimits { count: 1, ..files },
                ..limits
            },
        ),
        (
            &bomb,
            ArtifactLimits {
                unpacked: 1 << 20,
                ..limits
            },
        ),
    ] {
        let outcome = get(body, "", "", &limits);
        assert_eq!(outcome.unwrap_err().class(), Class::TooLarge, "{limits:?}");
    }
    assert_eq!(get(&body, "", "", &limits).unwrap().len(), 2);
}

/// A tar.gz whose first entry is metadata of the next one: a long name, or attributes.
fn with_metadata(kind: tar::EntryType, size: usize) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_cksum();
    builder.append(&header, vec![b'n'; size].as_slice()).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_path("a").unwrap();
    header.set_size(1);
    header.set_cksum();
    builder.append(&header, &b"x"[..]).unwrap();
    gzip(&builder.into_inner().unwrap())
}

#[test]
fn long_names_and_attributes_are_not_kept_in_memory() {
    let limits = ArtifactLimits::default();
    for kind in [
        tar::EntryType::GNULongName,
        tar::EntryType::GNULongLink,
        tar::EntryType::XHeader,
    ] {
        let error = get(&with_metadata(kind, 8 << 20), "", "", &limits).unwrap_err();
        assert_eq!(error.class(), Class::TooLarge, "{kind:?}: {error}");
    }
    let named = get(&with_metadata(tar::EntryType::GNULongName, 200), "", "", &limits).unwrap();
    assert_eq!(names(&named), ["n".repeat(200)]);
}

#[test]
fn an_artifact_leads_nowhere_else() {
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let body = archive(&[("a", Kind::File(b"x"))]);
    let other = serve(body.clone());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = format!("http://{}/a.tar.gz", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
        let _ = write!(
            stream,
            "HTTP/1.1 302 Found\r\nLocation: {other}\r\nContent-Length: 0\r\n\r\n"
        );
    });
    for (address, part) in [
        (address.as_str(), "302"),
        ("http://169.254.169.254/a.tar.gz", "link-local"),
    ] {
        let artifact = Artifact {
            url: url(address),
            digest: format!("sha256:{}", hex(&Sha256::digest(&body))),
            path: String::new(),
            suffix: String::new(),
        };
        let error = mirrors.fetch_artifact(&artifact, &ArtifactLimits::default(), soon());
        let error = error.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_digest_is_checked_first() {
    let body = archive(&[("a", Kind::File(b"x"))]);
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let address = serve(body.clone());
    let with = |digest: String| {
        let artifact = Artifact {
            url: url(&address),
            digest,
            path: String::new(),
            suffix: String::new(),
        };
        mirrors.fetch_artifact(&artifact, &ArtifactLimits::default(), soon())
    };
    with(format!("sha512:{}", hex(&Sha512::digest(&body)))).unwrap();
    assert_eq!(
        with(format!("sha256:{}", "0".repeat(64))).unwrap_err().class(),
        Class::Corrupt
    );
    for malformed in [
        "",
        "sha256:",
        "sha256:xyz",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "blake3:00",
    ] {
        assert_eq!(
            with(malformed.to_owned()).unwrap_err().class(),
            Class::Invalid,
            "{malformed}"
        );
    }
    // It matches the digest, and is no archive.
    assert_eq!(
        get(b"hello", "", "", &ArtifactLimits::default())
            .unwrap_err()
            .class(),
        Class::Corrupt
    );
    let cut = &body[..body.len() - 20];
    assert_eq!(
        get(cut, "", "", &ArtifactLimits::default()).unwrap_err().class(),
        Class::Corrupt
    );
}

#[test]
fn an_artifact_is_looked_through() {
    let body = archive(&[
        ("./patches/nova/series", Kind::File(b"a.patch\n")),
        ("patches/nova/a.patch", Kind::File(b"one")),
        ("patches/nova/link.patch", Kind::Symlink("a.patch")),
        ("patches/nova/hard.patch", Kind::Hardlink("patches/nova/a.patch")),
        ("empty/", Kind::Folder),
        ("twice", Kind::File(b"1")),
        ("twice", Kind::File(b"2")),
    ]);
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let artifact = |body: &[u8]| Artifact {
        url: url(&serve(body.to_vec())),
        digest: format!("sha256:{}", hex(&Sha256::digest(body))),
        path: String::new(),
        suffix: String::new(),
    };
    let opened = mirrors
        .open_artifact(&artifact(&body), &ArtifactLimits::default(), soon())
        .unwrap();
    let kinds = |folder: &str| -> Vec<(String, ArtifactKind)> {
        let entries = opened.entries(folder).unwrap().iter();
        entries
            .map(|entry| (entry.name.clone(), entry.kind.clone()))
            .collect()
    };
    let named = |name: &str, kind| (name.to_owned(), kind);
    assert_eq!(
        kinds(""),
        [
            named("empty", ArtifactKind::Folder),
            named("patches", ArtifactKind::Folder),
            named("twice", ArtifactKind::File),
        ]
    );
    let link = ArtifactKind::Link {
        target: "a.patch".to_owned(),
    };
    assert_eq!(
        kinds("patches/nova"),
        [
            named("a.patch", ArtifactKind::File),
            named("hard.patch", ArtifactKind::Other),
            named("link.patch", link),
            named("series", ArtifactKind::File),
        ]
    );
    assert!(opened.entries("empty").unwrap().is_empty());
    assert!(opened.entries("patches/nova/a.patch").is_none());
    let read = |path: &str, limit| opened.read_files(&[path.to_owned()].into(), limit);
    assert_eq!(read("patches/nova/a.patch", 3).unwrap()[0].content, b"one");
    assert!(matches!(
        read("patches/nova/a.patch", 2),
        Err(Error::TooLarge { .. })
    ));
    assert!(matches!(read("patches/nova", 9), Err(Error::FileNotFound { .. })));
    assert!(matches!(read("twice", 9), Err(Error::Corrupt { .. })));
    // Nested folders, whose paths would take much memory.
    let long = "d/".repeat(47);
    let names: Vec<String> = (0..20_000).map(|number| format!("{number}/{long}")).collect();
    let many: Vec<(&str, Kind<'_>)> = names.iter().map(|name| (name.as_str(), Kind::Folder)).collect();
    let many = archive(&many);
    let error = mirrors.open_artifact(&artifact(&many), &ArtifactLimits::default(), soon());
    assert!(matches!(error.err(), Some(Error::TooLarge { .. })));
    let out = archive(&[("../x", Kind::File(b"x"))]);
    let error = mirrors.open_artifact(&artifact(&out), &ArtifactLimits::default(), soon());
    assert!(matches!(error.err(), Some(Error::Path { .. })));
}
