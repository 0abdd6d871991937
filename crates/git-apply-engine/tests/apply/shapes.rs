//! Every shape of patch that is known to be hard, written by hand.

use git_apply_engine::{Options, PatchState};

use super::Comparison;

const FILE: &str = "100644";
const LINK: &str = "120000";

/// The tree that each case starts from.
fn base(oracle: &Comparison) -> String {
    oracle.tree(&[
        (FILE, b"a.txt", b"1\n2\n3\n4\n5\n6\n7\n8\n9\n"),
        (FILE, b"dir/b.txt", b"x\ny\nz\n"),
        (FILE, b"dir/sub/c.txt", b"c\n"),
        (FILE, b"empty", b""),
        (FILE, b"no-newline", b"last"),
        (FILE, b"crlf.txt", b"one\r\ntwo\r\nthree\r\n"),
        ("100755", b"run.sh", b"#!/bin/sh\n"),
        (LINK, b"link", b"a.txt"),
        (LINK, b"dirlink", b"dir"),
        (FILE, b"with space/f g.txt", b"s\n"),
        (FILE, b"\xff\xfe.bin", b"raw\n"),
        (FILE, "\u{e4}.txt".as_bytes(), b"umlaut\n"),
        (FILE, b"repeat.txt", b"x\nx\nx\nx\nx\nx\n"),
        (FILE, b"top.txt", b"top\n"),
    ])
}

const CASES: &[(&str, &[u8])] = &[
    ("modify", b"diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -2,3 +2,3 @@\n 2\n-3\n+drei\n 4\n"),
    ("offset", b"--- a/a.txt\n+++ b/a.txt\n@@ -4,3 +4,3 @@\n 2\n-3\n+drei\n 4\n"),
    ("several hunks", b"--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n-1\n+eins\n 2\n 3\n@@ -7,3 +7,3 @@\n 7\n 8\n-9\n+neun\n"),
    ("hunks out of order", b"--- a/a.txt\n+++ b/a.txt\n@@ -7,3 +7,3 @@\n 7\n 8\n-9\n+neun\n@@ -1,3 +1,3 @@\n-1\n+eins\n 2\n 3\n"),
    ("overlapping hunks", b"--- a/a.txt\n+++ b/a.txt\n@@ -2,3 +2,3 @@\n 2\n-3\n+x\n 4\n@@ -4,3 +4,3 @@\n 4\n-5\n+y\n 6\n"),
    ("same file twice", b"diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -2,3 +2,3 @@\n 2\n-3\n+x\n 4\ndiff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -2,3 +2,3 @@\n 2\n-x\n+y\n 4\n"),
    ("create", b"diff --git a/n.txt b/n.txt\nnew file mode 100644\nindex 0000000..1111111\n--- /dev/null\n+++ b/n.txt\n@@ -0,0 +1 @@\n+n\n"),
    ("create executable", b"diff --git a/n b/n\nnew file mode 100755\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+n\n"),
    ("create odd mode", b"diff --git a/n b/n\nnew file mode 100664\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+n\n"),
    ("create over a file", b"diff --git a/a.txt b/a.txt\nnew file mode 100644\n--- /dev/null\n+++ b/a.txt\n@@ -0,0 +1 @@\n+n\n"),
    ("create over an empty file", b"--- /dev/null\n+++ b/empty\n@@ -0,0 +1 @@\n+n\n"),
    ("create empty", b"diff --git a/n b/n\nnew file mode 100644\nindex 0000000..e69de29\n"),
    ("create below a file", b"diff --git a/a.txt/n b/a.txt/n\nnew file mode 100644\n--- /dev/null\n+++ b/a.txt/n\n@@ -0,0 +1 @@\n+n\n"),
    ("create in place of a folder", b"diff --git a/dir b/dir\nnew file mode 100644\n--- /dev/null\n+++ b/dir\n@@ -0,0 +1 @@\n+n\n"),
    ("file becomes folder", b"diff --git a/top.txt b/top.txt\ndeleted file mode 100644\n--- a/top.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-top\ndiff --git a/top.txt/n b/top.txt/n\nnew file mode 100644\n--- /dev/null\n+++ b/top.txt/n\n@@ -0,0 +1 @@\n+n\n"),
    ("folder becomes file", b"diff --git a/dir/sub b/dir/sub\nnew file mode 100644\n--- /dev/null\n+++ b/dir/sub\n@@ -0,0 +1 @@\n+n\ndiff --git a/dir/sub/c.txt b/dir/sub/c.txt\ndeleted file mode 100644\n--- a/dir/sub/c.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-c\n"),
    ("delete", b"diff --git a/top.txt b/top.txt\ndeleted file mode 100644\n--- a/top.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-top\n"),
    ("delete the last of a folder", b"diff --git a/dir/sub/c.txt b/dir/sub/c.txt\ndeleted file mode 100644\n--- a/dir/sub/c.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-c\n"),
    ("delete leaving contents", b"diff --git a/a.txt b/a.txt\ndeleted file mode 100644\n--- a/a.txt\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-1\n-2\n"),
    ("delete empty", b"diff --git a/empty b/empty\ndeleted file mode 100644\nindex e69de29..0000000\n"),
    ("delete without contents told", b"diff --git a/top.txt b/top.txt\ndeleted file mode 100644\n"),
    ("delete twice", b"diff --git a/empty b/empty\ndeleted file mode 100644\ndiff --git a/empty b/empty\ndeleted file mode 100644\n"),
    ("modify after delete", b"diff --git a/top.txt b/top.txt\ndeleted file mode 100644\n--- a/top.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-top\ndiff --git a/top.txt b/top.txt\n--- a/top.txt\n+++ b/top.txt\n@@ -1 +1 @@\n-top\n+x\n"),
    ("rename", b"diff --git a/top.txt b/moved.txt\nsimilarity index 100%\nrename from top.txt\nrename to moved.txt\n"),
    ("rename and change", b"diff --git a/a.txt b/z.txt\nsimilarity index 80%\nrename from a.txt\nrename to z.txt\n--- a/a.txt\n+++ b/z.txt\n@@ -2,3 +2,3 @@\n 2\n-3\n+x\n 4\n"),
    ("rename old style", b"diff --git a/top.txt b/moved.txt\nrename old top.txt\nrename new moved.txt\n"),
    ("rename onto a file", b"diff --git a/top.txt b/a.txt\nrename from top.txt\nrename to a.txt\n"),
    ("swap", b"diff --git a/top.txt b/a.txt\nrename from top.txt\nrename to a.txt\ndiff --git a/a.txt b/top.txt\nrename from a.txt\nrename to top.txt\n"),
    ("rename into own folder", b"diff --git a/top.txt b/top.txt/x\nrename from top.txt\nrename to top.txt/x\n"),
    ("copy", b"diff --git a/top.txt b/copy.txt\nsimilarity index 100%\ncopy from top.txt\ncopy to copy.txt\n"),
    ("copy of what is gone", b"diff --git a/top.txt b/m.txt\nrename from top.txt\nrename to m.txt\ndiff --git a/top.txt b/copy.txt\ncopy from top.txt\ncopy to copy.txt\n"),
    ("mode", b"diff --git a/top.txt b/top.txt\nold mode 100644\nnew mode 100755\n"),
    ("mode that differs", b"diff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\n"),
    ("mode to link", b"diff --git a/top.txt b/top.txt\nold mode 100644\nnew mode 120000\n"),
    ("no mode", b"diff --git a/top.txt b/top.txt\nold mode x\nnew mode 100755\n"),
    ("symlink target", b"diff --git a/link b/link\nindex 1..2 120000\n--- a/link\n+++ b/link\n@@ -1 +1 @@\n-a.txt\n\\ No newline at end of file\n+top.txt\n\\ No newline at end of file\n"),
    ("symlink as a file", b"diff --git a/link b/link\nindex 1..2 100644\n--- a/link\n+++ b/link\n@@ -1 +1 @@\n-a.txt\n\\ No newline at end of file\n+top.txt\n\\ No newline at end of file\n"),
    ("new symlink", b"diff --git a/l2 b/l2\nnew file mode 120000\n--- /dev/null\n+++ b/l2\n@@ -0,0 +1 @@\n+a.txt\n\\ No newline at end of file\n"),
    ("type change", b"diff --git a/link b/link\ndeleted file mode 120000\n--- a/link\n+++ /dev/null\n@@ -1 +0,0 @@\n-a.txt\n\\ No newline at end of file\ndiff --git a/link b/link\nnew file mode 100644\n--- /dev/null\n+++ b/link\n@@ -0,0 +1 @@\n+now a file\n"),
    ("beyond a symlink", b"diff --git a/dirlink/n b/dirlink/n\nnew file mode 100644\n--- /dev/null\n+++ b/dirlink/n\n@@ -0,0 +1 @@\n+n\n"),
    ("beyond a new symlink", b"diff --git a/nl b/nl\nnew file mode 120000\n--- /dev/null\n+++ b/nl\n@@ -0,0 +1 @@\n+dir\n\\ No newline at end of file\ndiff --git a/nl/n b/nl/n\nnew file mode 100644\n--- /dev/null\n+++ b/nl/n\n@@ -0,0 +1 @@\n+n\n"),
    ("symlink makes room", b"diff --git a/dirlink b/dirlink\ndeleted file mode 120000\n--- a/dirlink\n+++ /dev/null\n@@ -1 +0,0 @@\n-dir\n\\ No newline at end of file\ndiff --git a/dirlink/n b/dirlink/n\nnew file mode 100644\n--- /dev/null\n+++ b/dirlink/n\n@@ -0,0 +1 @@\n+n\n"),
    ("gitlink", b"diff --git a/m b/m\nnew file mode 160000\nindex 0000000..1111111\n--- /dev/null\n+++ b/m\n@@ -0,0 +1 @@\n+Subproject commit 1111111111111111111111111111111111111111\n"),
    ("gitlink without a commit", b"diff --git a/m b/m\nnew file mode 160000\n--- /dev/null\n+++ b/m\n@@ -0,0 +1 @@\n+nothing\n"),
    ("missing line feed stays", b"diff --git a/no-newline b/no-newline\n--- a/no-newline\n+++ b/no-newline\n@@ -1 +1 @@\n-last\n\\ No newline at end of file\n+first\n\\ No newline at end of file\n"),
    ("missing line feed comes", b"--- a/no-newline\n+++ b/no-newline\n@@ -1 +1 @@\n-last\n\\ No newline at end of file\n+last\n"),
    ("missing line feed not told", b"--- a/no-newline\n+++ b/no-newline\n@@ -1 +1 @@\n-last\n+first\n"),
    ("crlf", b"--- a/crlf.txt\n+++ b/crlf.txt\n@@ -1,3 +1,3 @@\n one\r\n-two\r\n+zwei\r\n three\r\n"),
    ("crlf lost", b"--- a/crlf.txt\n+++ b/crlf.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n"),
    ("crlf header", b"--- a/a.txt\r\n+++ b/a.txt\r\n@@ -2,3 +2,3 @@\r\n 2\n-3\n+x\n 4\n"),
    ("space in a name", b"diff --git a/with space/f g.txt b/with space/f g.txt\n--- a/with space/f g.txt\t\n+++ b/with space/f g.txt\t\n@@ -1 +1 @@\n-s\n+t\n"),
    ("space and mode only", b"diff --git a/with space/f g.txt b/with space/f g.txt\nold mode 100644\nnew mode 100755\n"),
    ("quoted name", b"diff --git \"a/\\303\\244.txt\" \"b/\\303\\244.txt\"\n--- \"a/\\303\\244.txt\"\n+++ \"b/\\303\\244.txt\"\n@@ -1 +1 @@\n-umlaut\n+x\n"),
    ("bytes that are no UTF-8", b"diff --git \"a/\\377\\376.bin\" \"b/\\377\\376.bin\"\n--- \"a/\\377\\376.bin\"\n+++ \"b/\\377\\376.bin\"\n@@ -1 +1 @@\n-raw\n+x\n"),
    ("raw bytes in the name", b"--- a/\xff\xfe.bin\n+++ b/\xff\xfe.bin\n@@ -1 +1 @@\n-raw\n+x\n"),
    ("quoted and mode only", b"diff --git \"a/\\303\\244.txt\" \"b/\\303\\244.txt\"\nold mode 100644\nnew mode 100755\n"),
    ("traditional", b"--- top.txt.orig\t2010-07-05 19:41:17.620000023 -0500\n+++ top.txt\t2010-07-05 19:41:17.620000023 -0500\n@@ -1 +1 @@\n-top\n+x\n"),
    ("traditional in a folder", b"--- old/dir/b.txt\t2010-07-05 19:41:17\n+++ new/dir/b.txt\t2010-07-05 19:41:17\n@@ -1,3 +1,3 @@\n x\n-y\n+Y\n z\n"),
    ("traditional epoch creates", b"--- a/n.txt\t1970-01-01 00:00:00.000000000 +0000\n+++ b/n.txt\t2010-07-05 19:41:17 +0000\n@@ -0,0 +1 @@\n+n\n"),
    ("traditional epoch deletes", b"--- a/top.txt\t2010-07-05 19:41:17 +0000\n+++ b/top.txt\t1970-01-01 00:00:00 +0000\n@@ -1 +0,0 @@\n-top\n"),
    ("traditional empties", b"--- a/top.txt\n+++ b/top.txt\n@@ -1 +0,0 @@\n-top\n"),
    ("traditional absent file", b"--- a/absent.txt\n+++ b/absent.txt\n@@ -0,0 +1 @@\n+n\n"),
    ("index line", b"Index: top.txt\n===================================================================\n--- top.txt\t(revision 1)\n+++ top.txt\t(working copy)\n@@ -1 +1 @@\n-top\n+x\n"),
    ("mail", b"From 1 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: [PATCH] x\n\nText with --- and +++ and\n@@ no hunk\n---\n top.txt | 2 +-\n\ndiff --git a/top.txt b/top.txt\n--- a/top.txt\n+++ b/top.txt\n@@ -1 +1 @@\n-top\n+x\n-- \n2.39.5\n\n"),
    ("hunk without a header", b"@@ -1 +1 @@\n-top\n+x\n"),
    ("hunk in the mail's text", b"Subject: x\n\n@@ -1 +1 @@\n\ndiff --git a/top.txt b/top.txt\n--- a/top.txt\n+++ b/top.txt\n@@ -1 +1 @@\n-top\n+x\n"),
    ("counts too large", b"--- a/top.txt\n+++ b/top.txt\n@@ -1,2 +1,2 @@\n-top\n+x\n"),
    ("counts too small", b"--- a/dir/b.txt\n+++ b/dir/b.txt\n@@ -1,2 +1,2 @@\n x\n-y\n+Y\n z\n"),
    ("count of zero lies", b"--- a/top.txt\n+++ b/top.txt\n@@ -1,0 +1,1 @@\n top\n+x\n"),
    ("huge numbers", b"--- a/top.txt\n+++ b/top.txt\n@@ -99999999999999999999 +4294967297 @@\n-top\n+x\n"),
    ("huge start", b"--- a/a.txt\n+++ b/a.txt\n@@ -4294967298,3 +4294967298,3 @@\n 2\n-3\n+x\n 4\n"),
    ("no change", b"--- a/top.txt\n+++ b/top.txt\n@@ -1 +1 @@\n top\n"),
    ("only a header", b"diff --git a/top.txt b/top.txt\nindex 1111111..2222222 100644\n"),
    ("header and names only", b"diff --git a/top.txt b/top.txt\n--- a/top.txt\n+++ b/top.txt\n"),
    ("empty", b""),
    ("text", b"nothing here\nat all\n"),
    ("empty context line", b"--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n 1\n\n-2\n+x\n"),
    ("unified zero", b"--- a/a.txt\n+++ b/a.txt\n@@ -5 +5 @@\n-5\n+x\n"),
    ("unified zero at the end", b"--- a/a.txt\n+++ b/a.txt\n@@ -9 +9 @@\n-9\n+x\n"),
    ("insertion without context", b"--- a/a.txt\n+++ b/a.txt\n@@ -3,0 +4 @@\n+x\n"),
    ("leading context only", b"--- a/a.txt\n+++ b/a.txt\n@@ -4,2 +4,3 @@\n 4\n 5\n+x\n"),
    ("trailing context only", b"--- a/a.txt\n+++ b/a.txt\n@@ -4,2 +4,3 @@\n+x\n 4\n 5\n"),
    ("repeated lines", b"--- a/repeat.txt\n+++ b/repeat.txt\n@@ -3,3 +3,3 @@\n x\n-x\n+y\n x\n"),
    ("repeated lines twice", b"--- a/repeat.txt\n+++ b/repeat.txt\n@@ -2,3 +2,3 @@\n x\n-x\n+y\n x\n@@ -4,3 +4,3 @@\n x\n-x\n+y\n x\n"),
    ("note within the hunk", b"--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n 1\n\\ No newline at end of file\n-2\n+x\n 3\n"),
    ("rename and delete told", b"diff --git a/top.txt b/m\nrename from top.txt\nrename to m\ndeleted file mode 100644\n"),
    ("names that differ", b"diff --git a/top.txt b/top.txt\n--- a/top.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-top\n+x\n"),
    ("git diff to /dev/null without a mode", b"diff --git a/top.txt b/top.txt\n--- a/top.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-top\n"),
    ("git diff from /dev/null without a mode", b"diff --git a/n b/n\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+n\n"),
    ("no prefix", b"diff --git top.txt top.txt\n--- top.txt\n+++ top.txt\n@@ -1 +1 @@\n-top\n+x\n"),
    ("double slash", b"--- a/dir//b.txt\n+++ b/dir//b.txt\n@@ -1,3 +1,3 @@\n x\n-y\n+Y\n z\n"),
    ("leaves the tree", b"diff --git a/../x b/../x\nnew file mode 100644\n--- /dev/null\n+++ b/../x\n@@ -0,0 +1 @@\n+n\n"),
    ("absolute", b"diff --git a//etc/x b//etc/x\nnew file mode 100644\n--- /dev/null\n+++ b//etc/x\n@@ -0,0 +1 @@\n+n\n"),
    ("git folder", b"diff --git a/.git/config b/.git/config\nnew file mode 100644\n--- /dev/null\n+++ b/.git/config\n@@ -0,0 +1 @@\n+n\n"),
    ("git folder in a folder", b"diff --git a/dir/.GIT/x b/dir/.GIT/x\nnew file mode 100644\n--- /dev/null\n+++ b/dir/.GIT/x\n@@ -0,0 +1 @@\n+n\n"),
    ("short name of the git folder", b"diff --git a/git~1/x b/git~1/x\nnew file mode 100644\n--- /dev/null\n+++ b/git~1/x\n@@ -0,0 +1 @@\n+n\n"),
    ("git modules as a link", b"diff --git a/.gitmodules b/.gitmodules\nnew file mode 120000\n--- /dev/null\n+++ b/.gitmodules\n@@ -0,0 +1 @@\n+a.txt\n\\ No newline at end of file\n"),
    ("binary literal", b"diff --git a/bin b/bin\nnew file mode 100644\nindex 0000000000000000000000000000000000000000..f76dd238ade08917e6712764a16a22005a50573d\nGIT binary patch\nliteral 1\nIcmZPo000310RR91\n\nliteral 0\nHcmV?d00001\n\n"),
    ("binary with a short index", b"diff --git a/bin b/bin\nnew file mode 100644\nindex 0000000..f76dd23\nGIT binary patch\nliteral 1\nIcmZPo000310RR91\n\nliteral 0\nHcmV?d00001\n\n"),
    ("binary cut off", b"diff --git a/bin b/bin\nnew file mode 100644\nindex 0000000000000000000000000000000000000000..f76dd238ade08917e6712764a16a22005a50573d\nGIT binary patch\nliteral 1\nIcmZPo000310RR91\n"),
    ("binary cut off after a good file", b"diff --git a/top.txt b/top.txt\n--- a/top.txt\n+++ b/top.txt\n@@ -1 +1 @@\n-top\n+x\ndiff --git a/bin b/bin\nnew file mode 100644\nindex 0000000000000000000000000000000000000000..f76dd238ade08917e6712764a16a22005a50573d\nGIT binary patch\nliteral 1\nIcmZPo000310RR91\n"),
    ("binary differs", b"diff --git a/bin b/bin\nindex 1111111..2222222 100644\nBinary files a/bin and b/bin differ\n"),
    ("binary differs but is there", b"diff --git a/top.txt b/top.txt\nindex 9b6ad56e8bc5f2ac0ccc65f6b85ef40fb42d8a5e..e69de29bb2d1d6434b8b29ae775ad8c2e48c5391 100644\nBinary files a/top.txt and b/top.txt differ\n"),
    ("no line feed at the end", b"--- a/top.txt\n+++ b/top.txt\n@@ -1 +1 @@\n-top\n+x"),
    ("rubbish between files", b"--- a/top.txt\n+++ b/top.txt\n@@ -1 +1 @@\n-top\n+x\nrubbish\n--- a/dir/b.txt\n+++ b/dir/b.txt\n@@ -1,3 +1,3 @@\n x\n-y\n+Y\n z\n"),
    ("one of two fails", b"--- a/top.txt\n+++ b/top.txt\n@@ -1 +1 @@\n-top\n+x\n--- a/dir/b.txt\n+++ b/dir/b.txt\n@@ -1,3 +1,3 @@\n x\n-no\n+Y\n z\n"),
];

#[test]
fn each_shape_forward_and_in_reverse_and_with_options() {
    let oracle = Comparison::new();
    let tree = base(&oracle);
    let reverse = Options {
        reverse: true,
        ..Options::default()
    };
    let zero = Options {
        strip: Some(0),
        ..Options::default()
    };
    let two = Options {
        strip: Some(2),
        ..Options::default()
    };
    let directory = Options {
        directory: "dir".into(),
        ..Options::default()
    };
    let mut applied = 0;
    for (name, patch) in CASES {
        println!("{name}");
        let forward = oracle.check(&tree, patch, &[], &Options::default());
        applied += usize::from(forward.is_some());
        oracle.check(&tree, patch, &["-R"], &reverse);
        oracle.check(&tree, patch, &["-p0"], &zero);
        oracle.check(&tree, patch, &["-p2"], &two);
        oracle.check(&tree, patch, &["--directory=dir"], &directory);
        if let Some(after) = forward {
            let back = oracle.check(&after, patch, &["-R"], &reverse);
            println!("  and back: {}", back.is_some());
        }
    }
    assert!(applied > 40, "only {applied} of {} shapes apply", CASES.len());
}

#[test]
fn each_shape_cut_off_at_every_line_and_with_each_line_missing_or_doubled() {
    let oracle = Comparison::new();
    let tree = base(&oracle);
    for (name, patch) in CASES {
        println!("{name}");
        let lines: Vec<&[u8]> = patch.split_inclusive(|b| *b == b'\n').collect();
        for at in 0..lines.len() {
            oracle.check(&tree, &lines[..at].concat(), &[], &Options::default());
            let without = [&lines[..at], &lines[at + 1..]].concat().concat();
            oracle.check(&tree, &without, &[], &Options::default());
            let doubled = [&lines[..=at], &lines[at..]].concat().concat();
            oracle.check(&tree, &doubled, &[], &Options::default());
        }
    }
}

#[test]
fn what_is_refused_says_so() {
    let oracle = Comparison::new();
    let tree = base(&oracle);
    for name in [
        "leaves the tree",
        "git folder",
        "short name of the git folder",
        "beyond a symlink",
    ] {
        let (_, patch) = CASES.iter().find(|(case, _)| *case == name).unwrap();
        let report = oracle.ours(&tree, patch, &Options::default());
        assert_eq!(report.state, PatchState::Malformed, "{name}: {report:?}");
        assert!(report.error.is_some());
    }
}
