//! Commits of every shape, each as `git format-patch` writes it.

use super::repository::Repository;

fn lines(count: usize) -> String {
    let line = |number| format!("line {number} of the file\n");
    (0..count).map(line).collect::<Vec<_>>().concat()
}

/// Numbered lines, some of which also occur for other numbers.
fn counted(number: usize, count: usize) -> String {
    let line = |line| format!("{} of {}\n", line * (number % 4 + 1), number % 3);
    (0..count).map(line).collect::<Vec<_>>().concat()
}

fn started() -> Repository {
    let repository = Repository::new();
    repository.write("a.txt", lines(40));
    repository.write("dir/b.txt", lines(30));
    repository.write(
        "dir/sub/c.py",
        "import os\n\n\ndef one():\n    return 1\n\n\ndef two():\n    return 2\n",
    );
    repository.write("binary", [0, 1, 2, 3, 255]);
    repository.write("script.sh", "#!/bin/sh\necho one\n");
    repository.link("link", "a.txt");
    repository.commit("base");
    repository
}

#[test]
fn edits_new_files_and_deletions() {
    let repository = started();
    let base = repository.head();
    repository.write(
        "a.txt",
        lines(40)
            .replace("line 3 ", "LINE 3 ")
            .replace("line 30 ", "LINE 30 "),
    );
    repository.write(
        "dir/sub/c.py",
        "import os\n\n\ndef one():\n    return 11\n\n\ndef two():\n    return 2",
    );
    repository.commit("Change some lines\n\nFor a reason.\n");
    repository.write("dir/new", "one\n");
    repository.write("empty", "");
    repository.remove("dir/b.txt");
    repository.commit("Add and delete");
    repository.remove("empty");
    repository.remove("binary");
    repository.commit("Delete");
    repository.check(base);
}

#[test]
fn renames_and_what_looks_like_copies() {
    let repository = started();
    let base = repository.head();
    repository.rename("a.txt", "dir/deep/a.txt");
    repository.rename("dir/b.txt", "other/c.txt");
    repository.write("other/c.txt", lines(30) + "more\n");
    repository.commit("Move");
    repository.write("copy.txt", lines(40));
    repository.commit("Copy");
    repository.rename("dir/deep/a.txt", "dir/deep/one");
    repository.write("dir/deep/two", lines(40));
    repository.write("dir/deep/three", lines(39));
    repository.commit("Rename once, though there are two like it");
    repository.rename("script.sh", "tool");
    repository.mode("tool", 0o755);
    repository.rename("binary", "binary2");
    repository.rename("link", "link2");
    repository.commit("Rename with a mode, contents that are binary, a link");
    repository.remove("dir/deep");
    repository.write("dir/deep", lines(20));
    repository.commit("A file in the place of a folder");
    repository.remove("dir/deep");
    repository.write("dir/deep/four", lines(20).replace("line 1", "Line 1"));
    repository.commit("A folder in the place of a file");
    repository.check(base);
}

#[test]
fn many_renames_at_once_are_paired_as_by_git() {
    let repository = Repository::new();
    for number in 0..12 {
        let text = counted(number, 30);
        repository.write(format!("old/{}/name{}.txt", number % 2, number / 2), text);
    }
    let base = repository.commit("base");
    for number in 0..12 {
        let text = counted(number, 30 + number % 5);
        repository.write(format!("new/{}/name{}.txt", number % 3, number), text);
    }
    repository.remove("old");
    repository.commit("Move all");
    repository.check(base);
}

#[test]
fn modes_links_and_kinds() {
    let repository = started();
    let base = repository.head();
    repository.mode("script.sh", 0o755);
    repository.commit("Make it executable");
    repository.write("script.sh", "#!/bin/sh\necho two\n");
    repository.mode("script.sh", 0o644);
    repository.commit("And back, with an edit");
    repository.link("link", "dir/b.txt");
    repository.commit("Point elsewhere");
    repository.write("link", "now a file\n");
    repository.remove("a.txt");
    repository.link("a.txt", "link");
    repository.commit("Change kinds");
    repository.check(base);
}

#[test]
fn binary_contents_crlf_and_no_newline_at_the_end() {
    let repository = started();
    let base = repository.head();
    let noise: Vec<u8> = (0..5000_u32)
        .map(|number| u8::try_from(number * number % 251).unwrap())
        .collect();
    repository.write("binary", [&noise[..], &[0]].concat());
    repository.write("a.txt", lines(40).replace('\n', "\r\n"));
    repository.commit("Binary and CRLF");
    repository.write("binary", "text\n");
    repository.write("a.txt", lines(41).trim_end().replace('\n', "\r\n"));
    repository.write("dir/late", [&[b'x'; 9000][..], &[0]].concat());
    repository.commit("No newline at the end");
    repository.write("a.txt", lines(41).replace('\n', "\r\n"));
    repository.commit("A newline at the end");
    repository.check(base);
}

#[test]
fn names_in_quotes_and_with_spaces() {
    let repository = started();
    let base = repository.head();
    for name in [
        "with space",
        "tab\there",
        "quote\"d",
        "back\\slash",
        "\u{fc}mlaut",
        "new\nline",
    ] {
        repository.write(format!("names/{name}"), "one\n");
    }
    repository.write(b"names/latin\xe9", "one\n");
    repository.commit("Names");
    repository.write("names/with space", "two\n");
    repository.write("names/\u{fc}mlaut", "two\n");
    repository.rename("names/quote\"d", "names/quoted");
    repository.rename("names/tab\there", "names/tab");
    repository.commit("Change them");
    repository.check(base);
}

#[test]
fn long_names_and_wide_stats() {
    let repository = started();
    let base = repository.head();
    let folder = "a/folder/with/quite/a/long/name/that/goes/on/and/on/for/a/while";
    repository.write(format!("{folder}/file.txt"), lines(400));
    repository.write("short", lines(3));
    repository.write("bin", vec![0; 100_000]);
    repository.commit("Wide");
    repository.rename(&format!("{folder}/file.txt"), &format!("{folder}/b/file.txt"));
    repository.write("short", lines(200));
    repository.remove("bin");
    repository.commit("Wider");
    repository.check(base);
}

#[test]
fn submodules() {
    let repository = started();
    let base = repository.head();
    let [one, two] = ["1", "2"].map(|digit| digit.repeat(40));
    let index = |id: &str| {
        repository.git(&[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{id},sub"),
        ])
    };
    let commit = |message: &str| {
        let tree = repository.git(&["write-tree"]);
        let made = repository.git(&["commit-tree", &tree, "-p", "HEAD", "-m", message]);
        repository.git(&["update-ref", "HEAD", &made]);
    };
    index(&one);
    commit("Add a submodule");
    index(&two);
    commit("Move it");
    repository.git(&["rm", "--quiet", "--cached", "sub"]);
    commit("Remove it");
    repository.check(base);
}

#[test]
fn messages() {
    let repository = started();
    let base = repository.head();
    let long = "word ".repeat(40);
    let messages: Vec<String> = vec![
        "Plain".to_owned(),
        "  Indented, with white space at the end   \n\n\n  body  \n\n\n\nmore\t\n\n\n".to_owned(),
        "A subject\nof two lines\n\nbody".to_owned(),
        format!("Long: {long}end\n\n{long}"),
        format!("Unbroken: {}", "x".repeat(150)),
        "\u{dc}ml\u{e4}ute im Betreff, und zwar so viele, dass die Zeile umgebrochen wird: \u{fc}\u{fc}\u{fc}\u{fc}".to_owned(),
        "Plain subject\n\nUmlaut in the body: \u{fc}\n".to_owned(),
        "\u{65e5}\u{672c}\u{8a9e}\u{306e}\u{30b3}\u{30df}\u{30c3}\u{30c8}\u{30e1}\u{30c3}\u{30bb}\u{30fc}\u{30b8}\u{3067}\u{3059}".to_owned(),
        "Looks =?UTF-8?q?encoded?= already".to_owned(),
        "tab\tin the subject, far enough to the right that it has to be \twrapped there\tor not".to_owned(),
        "Escape \u{1b}[31m and bell \u{7}".to_owned(),
        "[tag] with: punctuation... and/slashes".to_owned(),
        String::new(),
        "From here on\n\nFrom me to you\n>From quoted\n---\nbehind dashes\n".to_owned(),
        "With a trailer\n\nBody.\n\nChange-Id: Iabc\nSigned-off-by: A U Thor <author@example.org>\n".to_owned(),
    ];
    for (number, message) in messages.iter().enumerate() {
        repository.write("counter", format!("{number}\n"));
        // git am does not take what follows three dashes as message.
        repository.commit(message);
    }
    repository.check(base);
}

#[test]
fn authors_dates_and_encodings() {
    let repository = started();
    let base = repository.head();
    let authors: [&[u8]; 8] = [
        "J\u{fc}rgen M\u{fc}ller".as_bytes(),
        b"A. B. \"C\" D",
        b"Robot [bot]",
        b"Back\\slash, Inc.",
        "An author with a very long name that goes on and on until the line is full and then some more"
            .as_bytes(),
        "\u{dc}n author with a very long name that goes on and on until the line is full and then more"
            .as_bytes(),
        b"Latin \xe9 in UTF-8",
        b"under_score=equals?question",
    ];
    for (number, author) in authors.iter().enumerate() {
        repository.write("counter", format!("{number}\n"));
        let date = format!(
            "{} {}",
            1_000_000_000 + number * 7_654_321,
            ["+0000", "-0330", "+1400", "+0530"][number % 4]
        );
        repository.commit_with(
            b"Some commit",
            &[("GIT_AUTHOR_NAME", author), ("GIT_AUTHOR_DATE", date.as_bytes())],
        );
    }
    for (encoding, message, author) in [
        (
            "ISO-8859-1",
            &b"Caf\xe9 in Latin-1\n\nna\xefve\n"[..],
            &b"Ren\xe9"[..],
        ),
        ("ISO-8859-15", b"10 \xa4", b"Plain"),
        ("windows-1252", b"quotes \x93x\x94", b"Plain"),
        ("Shift_JIS", b"\x93\xfa\x96{", b"Plain"),
        ("KOI8-R", b"\xf0\xd2\xc9\xd7\xc5\xd4", b"Plain"),
        ("no-such-encoding", b"Caf\xe9", b"Plain"),
        ("UTF-8", b"Invalid \xe9 UTF-8\n\n\xff\n", b"Plain"),
    ] {
        repository.write("counter", encoding);
        repository.commit_with(
            message,
            &[("encoding", encoding.as_bytes()), ("GIT_AUTHOR_NAME", author)],
        );
    }
    repository.check(base);
}

#[test]
fn commits_that_change_nothing_are_left_out_and_counted() {
    let repository = started();
    let base = repository.head();
    repository.commit("Nothing");
    repository.write("a.txt", "one\n");
    repository.commit("Something");
    repository.check(base);
    assert_eq!(repository.formatted(base)[0].name, "0002-Something.patch");
}
