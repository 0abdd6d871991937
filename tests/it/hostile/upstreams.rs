//! Refs and packs of a Git server, by `patchset check`, and trees of a local repository, by
//! `patchset source`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use axum::body::Bytes;

use super::bombs::{Kind, Pack, Part, delta, insertion, zlib};
use super::chance::Chance;
use super::git::{Refs, Repository, line, reference, serve, serve_nothing};
use super::offline::Offline;
use super::server::Server;
use super::{Scale, table};
use crate::controller::GOOD;
use crate::support::git_repo::GitRepo;

/// A repository that a server sends.
pub struct Upstream {
    pub input: String,
    pub repository: Repository,
}

/// `count` tags.
pub fn many_refs(count: usize) -> Upstream {
    let mut lines = reference(&[0x11; 20], "refs/heads/main");
    for number in 0..count {
        lines.extend(reference(&[0x22; 20], &format!("refs/tags/t{number:07}")));
    }
    Upstream {
        input: format!("refs: {count} tags"),
        repository: Repository::with_refs(Refs::Lines(lines.into())),
    }
}

/// `count` tags similar to the wanted one, each with `length` letters.
pub fn long_refs(count: usize, length: usize) -> Upstream {
    let mut lines = Vec::new();
    for number in 0..count {
        let name = format!("refs/tags/1.0.{number}{}", "1.0.".repeat(length / 4));
        lines.extend(reference(&[0x22; 20], &name));
    }
    Upstream {
        input: format!("refs: {count} tags of {length} letters, alike"),
        repository: Repository::with_refs(Refs::Lines(lines.into())),
    }
}

/// The same ref repeated for `mib` MiB.
pub fn same_ref(mib: u64) -> Upstream {
    let line = reference(&[0x22; 20], "refs/tags/v1").into();
    Upstream {
        input: format!("refs: {mib} MiB of one tag"),
        repository: Repository::with_refs(Refs::Same(line, mib << 20)),
    }
}

/// A byte a second.
pub fn dripping_refs() -> Upstream {
    Upstream {
        input: "refs: a byte a second, without an end".to_owned(),
        repository: Repository::with_refs(Refs::Dripping),
    }
}

/// Names with terminal escapes.
pub fn odd_refs() -> Upstream {
    let names = [
        "refs/tags/1.0.1\x1b[2J",
        "refs/tags/1.0.2\r",
        "refs/heads/1.0.\u{202e}3",
        "HEAD",
    ];
    let lines: Vec<u8> = names
        .iter()
        .flat_map(|name| reference(&[0x22; 20], name))
        .collect();
    Upstream {
        input: "refs: names with a terminal's commands".to_owned(),
        repository: Repository::with_refs(Refs::Lines(lines.into())),
    }
}

/// An error of `length` letters, with terminal escapes.
pub fn complaint(length: usize) -> Upstream {
    let text = format!("ERR \x1b]0;title\x07\x1b[31m{}\n", "no ".repeat(length / 3));
    Upstream {
        input: format!("refs: an error of {length} letters"),
        repository: Repository::with_refs(Refs::Lines(line(text.as_bytes()).into())),
    }
}

/// Bytes that are no list of refs.
pub fn garbage(length: usize) -> Upstream {
    Upstream {
        input: format!("refs: {length} bytes of no protocol"),
        repository: Repository::with_refs(Refs::Lines(Bytes::from(vec![0xfe; length]))),
    }
}

fn packed(input: String, make: impl FnOnce(&mut Pack) -> [u8; 20]) -> Upstream {
    packed_with(input, 0, make)
}

fn packed_with(input: String, more: u32, make: impl FnOnce(&mut Pack) -> [u8; 20]) -> Upstream {
    let mut pack = Pack::default();
    let tree = make(&mut pack);
    let commit = pack.commit(tree);
    Upstream {
        input,
        repository: Repository::with_pack(commit, pack.bytes(more)),
    }
}

fn small_blob(pack: &mut Pack) -> [u8; 20] {
    pack.add(Kind::Blob, &[Part::Bytes(crate::controller::BASE.into())])
}

/// A delta that copies 16 MiB `copies` times.
pub fn delta_bomb(copies: u32) -> Upstream {
    const BASE: u32 = (1 << 24) - 1;
    packed(
        format!("pack: a delta that makes {} MiB of 16", 16 * copies),
        |pack| {
            let base = pack.add(Kind::Blob, &[Part::Repeat(0, BASE.into())]);
            let bytes = delta(BASE, copies);
            let packed = zlib(&[Part::Bytes(bytes.clone())]);
            pack.add_packed(Kind::DeltaOf, Some(base), bytes.len() as u64, &packed);
            let file = small_blob(pack);
            pack.tree(&[("100644", "base", base), ("100644", "file.txt", file)])
        },
    )
}

/// `count` deltas, each based on the one before.
pub fn delta_chain(count: u32) -> Upstream {
    packed(format!("pack: a chain of {count} deltas"), |pack| {
        let file = small_blob(pack);
        let mut base = pack.add(Kind::Blob, &[Part::Bytes(b"00000000".to_vec())]);
        for number in 1..=count {
            let content = format!("{number:08}").into_bytes();
            let bytes = insertion(8, &content);
            let packed = zlib(&[Part::Bytes(bytes.clone())]);
            pack.add_packed(Kind::DeltaOf, Some(base), bytes.len() as u64, &packed);
            // Its id is that of the object that results.
            base = Pack::default().add(Kind::Blob, &[Part::Bytes(content)]);
        }
        pack.tree(&[("100644", "file.txt", file), ("100644", "last", base)])
    })
}

/// A file of `mib` MiB of zeros.
pub fn large_file(mib: u64) -> Upstream {
    packed(format!("pack: a file of {mib} MiB"), |pack| {
        let large = pack.add(Kind::Blob, &[Part::Repeat(0, mib << 20)]);
        let file = small_blob(pack);
        pack.tree(&[("100644", "file.txt", file), ("100644", "large", large)])
    })
}

/// An object that declares `size` bytes and has ten.
pub fn false_size(size: u64) -> Upstream {
    packed(format!("pack: an object that says it has {size} bytes"), |pack| {
        let packed = zlib(&[Part::Bytes(b"0123456789".to_vec())]);
        pack.add_packed(Kind::Blob, None, size, &packed);
        let file = small_blob(pack);
        pack.tree(&[("100644", "file.txt", file)])
    })
}

/// A pack that declares `count` objects and has three.
pub fn false_count(count: u32) -> Upstream {
    packed_with(
        format!("pack: says it has {count} objects and has three"),
        count - 3,
        |pack| {
            let file = small_blob(pack);
            pack.tree(&[("100644", "file.txt", file)])
        },
    )
}

/// `depth` nested folders.
pub fn deep_tree(depth: usize) -> Upstream {
    packed(format!("pack: a tree {depth} folders deep"), |pack| {
        let mut tree = {
            let file = small_blob(pack);
            pack.tree(&[("100644", "file.txt", file)])
        };
        for _ in 0..depth {
            tree = pack.tree(&[("40000", "a", tree)]);
        }
        tree
    })
}

/// Ten folders, each with the same ten folders, and so on.
pub fn broad_tree(depth: u32) -> Upstream {
    let input = format!(
        "pack: a tree with {} files of one blob",
        10_u64.saturating_pow(depth)
    );
    packed(input, |pack| {
        let file = small_blob(pack);
        let names: Vec<String> = (0..10).map(|number| format!("n{number}")).collect();
        let mut tree = file;
        for level in 0..depth {
            let mode = if level == 0 { "100644" } else { "40000" };
            let mut entries = vec![("100644", "file.txt", file)];
            entries.extend(names.iter().map(|name| (mode, name.as_str(), tree)));
            tree = pack.tree(&entries);
        }
        tree
    })
}

/// A tree with `count` entries.
pub fn wide_tree(count: usize) -> Upstream {
    packed(format!("pack: a tree of {count} files"), |pack| {
        let file = small_blob(pack);
        let names: Vec<String> = (0..count).map(|number| format!("n{number:07}")).collect();
        let entries: Vec<_> = names.iter().map(|name| ("100644", name.as_str(), file)).collect();
        pack.tree(&entries)
    })
}

/// A file whose name of `length` letters is too long for any file system.
pub fn long_name(length: usize) -> Upstream {
    packed(format!("pack: a file's name of {length} letters"), |pack| {
        let file = small_blob(pack);
        let name = "n".repeat(length);
        pack.tree(&[("100644", "file.txt", file), ("100644", &name, file)])
    })
}

impl Upstream {
    /// `patchset check` of a repository with a patch for a component that this is the upstream of.
    pub fn check(self) -> Offline {
        let server = serve(BTreeMap::from([("demo".to_owned(), self.repository)]));
        checked(self.input, server)
    }

    /// `patchset source` of a local repository with this pack.
    pub fn source(self) -> Offline {
        let root = tempfile::tempdir().unwrap();
        let repo = GitRepo::create(root.path(), "demo");
        let mut child = Command::new("git")
            .arg("--git-dir")
            .arg(&repo.dir)
            .args(["index-pack", "--stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(&self.repository.pack)
            .unwrap();
        assert!(child.wait().unwrap().success(), "{}", self.input);
        repo.git(&[
            "update-ref",
            "refs/heads/main",
            &crate::support::hex(&self.repository.commit),
        ]);
        let arguments = vec![
            "--repo".into(),
            repo.dir.clone().into(),
            "--ref".into(),
            "main".into(),
        ];
        Offline {
            input: self.input,
            command: "source",
            arguments,
            home: root.path().to_owned(),
            codes: &[0, 2],
            names: &[],
            ground: Box::new((root, repo)),
        }
    }
}

fn checked(input: String, server: Server) -> Offline {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("patches/demo/2025.2/0001-five.patch", GOOD);
    write("releases/2025.2/source-refs.yaml", "demo: \"1.0.0\"\n");
    let arguments = vec![
        root.path().into(),
        "--upstream".into(),
        format!("http://{}", server.host()).into(),
        "--timeout=60s".into(),
    ];
    Offline {
        input,
        command: "check",
        arguments,
        home: root.path().to_owned(),
        codes: &[0, 1, 2],
        names: &["demo"],
        ground: Box::new((root, server)),
    }
}

/// The refs that once were too much.
pub fn known_refs(scale: Scale) -> Vec<Upstream> {
    vec![
        many_refs(scale.pick(1_000_000, 2_000_000)),
        long_refs(scale.pick(200, 800), 60_000),
        same_ref(scale.pick(300, 2000)),
        dripping_refs(),
        odd_refs(),
        complaint(60_000),
        garbage(1 << 20),
    ]
}

/// The packs that once were too much.
pub fn known_packs(scale: Scale) -> Vec<Upstream> {
    vec![
        delta_bomb(scale.pick(40, 240)),
        delta_chain(scale.pick(5_000, 50_000)),
        large_file(scale.pick(320, 1024)),
        false_size(1 << 50),
        false_count(u32::MAX),
        deep_tree(scale.pick(5_000, 20_000)),
        broad_tree(9),
        wide_tree(scale.pick(300_000, 1_000_000)),
        long_name(1 << 20),
    ]
}

/// The trees of local repositories that once were too much.
pub fn known_trees(scale: Scale) -> Vec<Upstream> {
    vec![
        large_file(scale.pick(320, 1024)),
        deep_tree(scale.pick(5_000, 20_000)),
        broad_tree(scale.pick(4, 9)),
        wide_tree(scale.pick(20_000, 1_000_000)),
        long_name(1 << 20),
    ]
}

/// A generated list of refs or pack.
pub fn generated(chance: &mut Chance) -> Upstream {
    match chance.below(14) {
        0 => many_refs(chance.up_to(2_000_000)),
        1 => long_refs(chance.up_to(1000), chance.up_to(60_000)),
        2 => same_ref(chance.up_to(2000) as u64),
        3 => complaint(chance.up_to(65_000)),
        4 => garbage(chance.up_to(64 << 20)),
        5 => delta_bomb(u32::try_from(chance.up_to(1000)).unwrap()),
        6 => delta_chain(u32::try_from(chance.up_to(100_000)).unwrap()),
        7 => large_file(chance.up_to(2048) as u64),
        8 => false_size(chance.up_to(1 << 60) as u64),
        9 => false_count(u32::try_from(3 + chance.up_to(1 << 31)).unwrap()),
        10 => deep_tree(chance.up_to(50_000)),
        11 => broad_tree(u32::try_from(chance.up_to(12)).unwrap()),
        12 => wide_tree(chance.up_to(1_000_000)),
        _ => long_name(chance.up_to(16 << 20)),
    }
}

/// A server that answers everything with `mib` MiB of one letter.
pub fn nothing(mib: u64) -> Offline {
    checked(format!("refs: {mib} MiB of nothing"), serve_nothing(mib))
}

#[test]
fn refs_are_read_within_bounds() {
    let mut rows: Vec<_> = known_refs(Scale::Short)
        .into_iter()
        .map(|upstream| upstream.check().run())
        .collect();
    rows.push(nothing(600).run());
    table::check(&rows);
}

#[test]
fn packs_are_read_within_bounds() {
    let rows: Vec<_> = known_packs(Scale::Short)
        .into_iter()
        .map(|upstream| upstream.check().run())
        .collect();
    table::check(&rows);
}

#[test]
fn trees_become_images_within_bounds() {
    let rows: Vec<_> = known_trees(Scale::Short)
        .into_iter()
        .map(|upstream| upstream.source().run())
        .collect();
    table::check(&rows);
}
