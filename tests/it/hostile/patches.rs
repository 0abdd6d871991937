//! Patches, by `patchset apply`.

use std::fmt::Write;

use super::bombs::{Part, base85, delta, zlib};
use super::chance::Chance;
use super::offline::Offline;
use super::{Scale, table};
use crate::support::git_repo::GitRepo;

/// A patch, and the file `file.txt` that it is for.
pub struct Patch {
    pub input: String,
    pub text: Vec<u8>,
    pub file: Part,
}

impl Patch {
    fn new(input: String, text: impl Into<Vec<u8>>) -> Self {
        Self {
            input,
            text: text.into(),
            file: Part::Bytes(b"one\ntwo\nthree\n".to_vec()),
        }
    }

    /// A repository `NAME` that the patch is for.
    pub fn upstream(&self, root: &std::path::Path, name: &str) -> GitRepo {
        let repo = GitRepo::create(root, name);
        let path = repo.work().join("file.txt");
        match &self.file {
            Part::Bytes(bytes) => std::fs::write(&path, bytes).unwrap(),
            Part::Repeat(byte, count) => {
                std::fs::write(&path, vec![*byte; usize::try_from(*count).unwrap()]).unwrap();
            }
        }
        repo.commit(&[], "base");
        repo.git(&["tag", "1.0.0"]);
        repo
    }

    /// The command that judges it.
    pub fn offline(self) -> Offline {
        let root = tempfile::tempdir().unwrap();
        let repo = self.upstream(root.path(), "demo");
        let file = root.path().join("0001-hostile.patch");
        std::fs::write(&file, &self.text).unwrap();
        let arguments = vec![
            "--repo".into(),
            repo.dir.into(),
            "--ref".into(),
            "main".into(),
            file.into(),
        ];
        Offline {
            input: self.input,
            command: "apply",
            arguments,
            home: root.path().to_owned(),
            codes: &[0, 1, 2],
            names: &["0001-hostile.patch"],
            ground: Box::new(root),
        }
    }
}

/// A new file in `depth` nested folders.
pub fn deep_path(depth: usize) -> Patch {
    let path = "a/".repeat(depth) + "f";
    let text = format!(
        "diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"
    );
    Patch::new(format!("patch: a path {depth} folders deep"), text)
}

/// A new file whose name has `length` letters.
pub fn long_path(length: usize) -> Patch {
    let path = "n".repeat(length);
    Patch::new(
        format!("patch: a name of {length} letters"),
        format!("--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"),
    )
}

/// A header with `count` spaces in place of names.
pub fn spaces(count: usize) -> Patch {
    let text = format!(
        "diff --git a/{}x\nold mode 100644\nnew mode 100755\n",
        " ".repeat(count)
    );
    Patch::new(format!("patch: a header of {count} spaces"), text)
}

/// Quoted names with `count` escapes.
pub fn quoted(count: usize) -> Patch {
    let name = "\\001".repeat(count);
    let text = format!("diff --git \"a/{name}\" \"b/{name}\"\ndeleted file mode 100644\n");
    Patch::new(
        format!("patch: a quoted name of {count} control characters"),
        text,
    )
}

/// `count` lines that begin like a header and are none.
pub fn almost_headers(count: usize) -> Patch {
    Patch::new(
        format!("patch: {count} lines that are almost a header"),
        "--- a/x\n+++ b/x\n@@ -1 +1 @ @\n".repeat(count),
    )
}

/// `count` hunks that fit nowhere in a file of `lines` lines.
pub fn hunks(count: usize, lines: usize) -> Patch {
    let mut text = "--- a/file.txt\n+++ b/file.txt\n".to_owned();
    for at in 1..=count {
        write!(text, "@@ -{0},4 +{0},4 @@\n x\n x\n-y\n+z\n x\n", 10 * at).unwrap();
    }
    Patch {
        file: Part::Bytes("x\n".repeat(lines).into_bytes()),
        ..Patch::new(
            format!("patch: {count} hunks that fit nowhere in {lines} lines"),
            text,
        )
    }
}

/// `count` hunks with a long context that almost fits everywhere.
pub fn almost(count: usize, context: usize) -> Patch {
    let mut text = "--- a/file.txt\n+++ b/file.txt\n".to_owned();
    for at in 1..=count {
        let start = 1 + (at - 1) * (context + 1);
        let lines = " x\n".repeat(context);
        write!(
            text,
            "@@ -{start},{0} +{start},{0} @@\n{lines}-y\n+z\n",
            context + 1
        )
        .unwrap();
    }
    Patch {
        file: Part::Bytes("x\n".repeat(count * (context + 1)).into_bytes()),
        ..Patch::new(
            format!("patch: {count} hunks of {context} lines that almost fit"),
            text,
        )
    }
}

/// `count` binary files, each of `mib` MiB of zeros.
pub fn inflating(count: usize, mib: u64) -> Patch {
    let packed = base85(&zlib(&[Part::Repeat(0, mib << 20)]));
    let (none, some, size) = ("0".repeat(40), "1".repeat(40), mib << 20);
    let mut text = String::new();
    for number in 0..count {
        write!(
            text,
            "diff --git a/b{number} b/b{number}\nnew file mode 100644\nindex {none}..{some}\nGIT binary patch\n\
             literal {size}\n{packed}\nliteral 0\nHcmV?d00001\n\n"
        )
        .unwrap();
    }
    Patch::new(
        format!("patch: {count} binary files that inflate to {mib} MiB"),
        text,
    )
}

/// A binary patch whose delta copies a file of 1 MiB `copies` times.
pub fn copying(copies: u32) -> Patch {
    const BASE: u32 = 1 << 20;
    let bytes = delta(BASE, copies);
    let packed = base85(&zlib(&[Part::Bytes(bytes.clone())]));
    // The output of `git hash-object` for 1 MiB of zeros.
    let base = "9e0f96a2a253b173cb45b41868209a5d043e1437";
    let text = format!(
        "diff --git a/file.txt b/file.txt\nindex {base}..{} 100644\nGIT binary patch\ndelta {}\n{packed}\ndelta 0\n\
         HcmV?d00001\n\n",
        "1".repeat(40),
        bytes.len()
    );
    Patch {
        file: Part::Repeat(0, BASE.into()),
        ..Patch::new(format!("patch: a delta that makes {copies} MiB of one"), text)
    }
}

/// 42 bytes for a file of `mib` MiB of line feeds.
pub fn line_feeds(mib: u64) -> Patch {
    Patch {
        file: Part::Repeat(b'\n', mib << 20),
        ..Patch::new(
            format!("patch: one line of a file of {mib} MiB of line feeds"),
            "--- a/file.txt\n+++ b/file.txt\n@@ -1 +1 @@\n-\n+x\n",
        )
    }
}

/// `count` copies of a file of 1 MiB.
pub fn copies(count: usize) -> Patch {
    let mut text = String::new();
    for number in 0..count {
        write!(
            text,
            "diff --git a/file.txt b/c{number}\nsimilarity index 99%\ncopy from file.txt\ncopy to c{number}\n\
             --- a/file.txt\n+++ b/c{number}\n@@ -1 +1 @@\n-x\n+y{number}\n"
        )
        .unwrap();
    }
    Patch {
        file: Part::Bytes("x\n".repeat(1 << 19).into_bytes()),
        ..Patch::new(format!("patch: {count} changed copies of a file of 1 MiB"), text)
    }
}

/// `count` files in one patch.
pub fn files(count: usize) -> Patch {
    let mut text = String::new();
    for number in 0..count {
        write!(text, "--- /dev/null\n+++ b/d{number}/f\n@@ -0,0 +1 @@\n+x\n").unwrap();
    }
    Patch::new(format!("patch: {count} new files"), text)
}

/// The same file renamed `count` times.
pub fn renames(count: usize) -> Patch {
    let mut text = String::new();
    let mut name = "file.txt".to_owned();
    for number in 0..count {
        let next = format!("r{number}");
        write!(
            text,
            "diff --git a/{name} b/{next}\nsimilarity index 100%\nrename from {name}\nrename to {next}\n"
        )
        .unwrap();
        name = next;
    }
    Patch::new(format!("patch: a chain of {count} renames"), text)
}

/// A hunk that declares `lines` lines and has one.
pub fn promises(lines: &str) -> Patch {
    Patch::new(
        format!("patch: a hunk that promises {lines} lines"),
        format!("--- a/file.txt\n+++ b/file.txt\n@@ -1,{lines} +1,{lines} @@\n one\n"),
    )
}

/// One line of `mib` MiB.
pub fn long_line(mib: usize) -> Patch {
    Patch::new(
        format!("patch: a line of {mib} MiB that does not fit"),
        format!(
            "--- a/file.txt\n+++ b/file.txt\n@@ -1,2 +1,2 @@\n-{}\n+x\n two\n",
            "n".repeat(mib << 20)
        ),
    )
}

/// Headers with control characters that a terminal would obey.
pub fn escapes() -> Patch {
    Patch::new(
        "patch: names and lines with a terminal's commands".to_owned(),
        "Subject: \x1b[2J\x1b]0;title\x07\nFrom: \x1b[31mred\n\n--- a/fi\x1b[1mle\n+++ b/fi\x1b[1mle\n@@ -1,2 +1,2 @@\n-\x1b[5mone\r\n+x\n two\n",
    )
}

/// The inputs that once were too much.
pub fn known(scale: Scale) -> Vec<Patch> {
    vec![
        deep_path(12_000),
        deep_path(scale.pick(100_000, 1_000_000)),
        long_path(1 << 20),
        spaces(80_000),
        spaces(scale.pick(160_000, 1_000_000)),
        quoted(100_000),
        almost_headers(100_000),
        hunks(20_000, 1_000_000),
        almost(400, 400),
        inflating(2, 255),
        inflating(scale.pick(3, 20), 100),
        copying(scale.pick(350, 4000)),
        line_feeds(100),
        copies(scale.pick(400, 4000)),
        files(scale.pick(16_000, 100_000)),
        renames(scale.pick(4000, 16_000)),
        promises("4294967295"),
        promises("99999999999999999999999"),
        long_line(scale.pick(8, 60)),
        escapes(),
    ]
}

/// A generated input of these kinds.
pub fn generated(chance: &mut Chance) -> Patch {
    match chance.below(14) {
        0 => deep_path(chance.up_to(2_000_000)),
        1 => long_path(chance.up_to(16 << 20)),
        2 => spaces(chance.up_to(4_000_000)),
        3 => quoted(chance.up_to(4_000_000)),
        4 => almost_headers(chance.up_to(1_000_000)),
        5 => hunks(chance.up_to(100_000), chance.up_to(4_000_000)),
        6 => almost(chance.up_to(2000), chance.up_to(2000)),
        7 => inflating(chance.up_to(8), chance.up_to(255) as u64),
        8 => copying(u32::try_from(chance.up_to(16_000)).unwrap()),
        9 => line_feeds(chance.up_to(255) as u64),
        10 => copies(chance.up_to(16_000)),
        11 => files(chance.up_to(200_000)),
        12 => renames(chance.up_to(50_000)),
        _ => long_line(chance.up_to(60)),
    }
}

#[test]
fn are_judged_within_bounds() {
    let rows: Vec<_> = known(Scale::Short)
        .into_iter()
        .map(|patch| patch.offline().run())
        .collect();
    table::check(&rows);
}
