//! What is read from sentences and headers as they occur in patches.

use patch_headers::{PatchHeaders, PatchOrigin, Summary};

/// A message after its subject, and what it claims to resolve.
const PHRASES: &[(&str, &[&str])] = &[
    // Claims, by a header.
    (
        "Check lengths\n\nCVE: CVE-2024-11111\nSigned-off-by: A <a@example.org>",
        &["CVE-2024-11111"],
    ),
    (
        "Check lengths\n\nCVE: CVE-2024-11111 CVE-2024-22222",
        &["CVE-2024-11111", "CVE-2024-22222"],
    ),
    (
        "Check lengths\n\nCVE: CVE-2024-11111, CVE-2024-22222",
        &["CVE-2024-11111", "CVE-2024-22222"],
    ),
    ("Check lengths\n\nFixes: CVE-2024-11111", &["CVE-2024-11111"]),
    (
        "Check lengths\n\nFixes: heap overflow in the parser (CVE-2024-11111)",
        &["CVE-2024-11111"],
    ),
    ("Check lengths\n\nCloses: CVE-2024-11111", &["CVE-2024-11111"]),
    ("Check lengths\n\nResolves: cve-2024-11111", &["CVE-2024-11111"]),
    (
        "Check lengths\n\nFixes: https://nvd.nist.gov/vuln/detail/CVE-2024-11111",
        &["CVE-2024-11111"],
    ),
    // Claims, by the subject.
    ("[CVE-2024-11111] Check lengths", &["CVE-2024-11111"]),
    ("Check lengths [CVE-2024-11111]", &["CVE-2024-11111"]),
    ("CVE-2024-11111: parser: check lengths", &["CVE-2024-11111"]),
    ("parser: CVE-2024-11111 - check lengths", &["CVE-2024-11111"]),
    (
        "CVE-2024-11111, CVE-2024-22222: check lengths",
        &["CVE-2024-11111", "CVE-2024-22222"],
    ),
    ("Check lengths (CVE-2024-11111)", &["CVE-2024-11111"]),
    ("unpack: fix CVE-2024-11111", &["CVE-2024-11111"]),
    ("Fix for CVE-2024-11111", &["CVE-2024-11111"]),
    // Claims, by a sentence.
    ("Check lengths\n\nThis fixes CVE-2024-11111.", &["CVE-2024-11111"]),
    (
        "Check lengths\n\nThis patch fixes CVE-2024-11111 and CVE-2024-22222.",
        &["CVE-2024-11111", "CVE-2024-22222"],
    ),
    (
        "Check lengths\n\nFixes CVE-2024-11111/CVE-2024-22222.",
        &["CVE-2024-11111", "CVE-2024-22222"],
    ),
    (
        "Check lengths\n\nThis also fixes the security issue\nknown as CVE-2024-11111.",
        &["CVE-2024-11111"],
    ),
    (
        "Check lengths\n\nThe change resolves a heap overflow (CVE-2024-11111).",
        &["CVE-2024-11111"],
    ),
    (
        "Check lengths\n\nThis change closes that hole, tracked as CVE-2024-11111.",
        &["CVE-2024-11111"],
    ),
    (
        "Check lengths\n\nBackport of upstream's fix for CVE-2024-11111.",
        &["CVE-2024-11111"],
    ),
    (
        "Check lengths\n\nBackport the upstream commit that fixes CVE-2024-11111.",
        &["CVE-2024-11111"],
    ),
    (
        "Check lengths\n\nCVE-2024-11111 is fixed by this change.",
        &["CVE-2024-11111"],
    ),
    (
        "Check lengths\n\nLimit what is read to fix CVE-2024-11111.",
        &["CVE-2024-11111"],
    ),
    (
        "Check lengths\n\nLong story.\n\n[CVE-2024-11111]\n",
        &["CVE-2024-11111"],
    ),
    (
        "Check lengths\n\n- fixes CVE-2024-11111\n- speeds it up",
        &["CVE-2024-11111"],
    ),
    (
        "Check lengths\n\nFixes #228 (CVE-2024-11111)",
        &["#228", "CVE-2024-11111"],
    ),
    (
        "Check lengths\n\nOrigin: vendor\nDescription: security fix for CVE-2024-11111",
        &["CVE-2024-11111"],
    ),
    // Mentioned only.
    (
        "Check lengths\n\nUpstream does not intend to backport a fix for CVE-2024-11111.",
        &[],
    ),
    (
        "Check lengths\n\nThis fixes a regression of the fix for CVE-2024-11111.",
        &[],
    ),
    ("Check lengths\n\nFix CVE-2024-11111 regression.", &[]),
    ("CVE-2024-11111 regression: check lengths", &[]),
    ("Check lengths\n\nRelated-CVE: CVE-2024-11111", &[]),
    ("Check lengths\n\nReferences: CVE-2024-11111", &[]),
    ("Check lengths\n\nThis does not fix CVE-2024-11111.", &[]),
    ("Check lengths\n\nThis doesn't fix CVE-2024-11111 yet.", &[]),
    ("Check lengths\n\nNeeded by the fix for CVE-2024-11111.", &[]),
    ("Check lengths\n\nThis is needed to fix CVE-2024-11111.", &[]),
    ("Prepare for the fix of CVE-2024-11111", &[]),
    ("Check lengths\n\nThe fix for CVE-2024-11111 broke uploads.", &[]),
    ("Check lengths\n\nSimilar to CVE-2024-11111, but harmless.", &[]),
    (
        "Check lengths\n\nVersion 2.1 fixes CVE-2024-11111 in another way.",
        &[],
    ),
    ("Check lengths\n\nUpstream fixed CVE-2024-11111 elsewhere.", &[]),
    ("Check lengths\n\nCVE-2024-11111 was fixed in 2.1.", &[]),
    ("Check lengths\n\nDoes this fix CVE-2024-11111?", &[]),
    (
        "Check lengths\n\nThis would fix CVE-2024-11111 if it were enabled.",
        &[],
    ),
    ("Check lengths\n\nPartially fixes CVE-2024-11111.", &[]),
    ("Check lengths\n\nIncomplete fix for CVE-2024-11111.", &[]),
    ("Check lengths\n\nMitigates CVE-2024-11111.", &[]),
    ("Add a test for CVE-2024-11111", &[]),
    (
        "Revert \"Fix CVE-2024-11111\"\n\nThis reverts commit 1f0c1f0c.",
        &[],
    ),
    ("Drop the patch that fixes CVE-2024-11111", &[]),
    (
        "Check lengths\n\nFixes: 2adff78e224c (\"parser: fix CVE-2024-11111\")",
        &[],
    ),
    (
        "Check lengths\n\nFixes an issue introduced by 2adff78e (CVE-2024-11111).",
        &[],
    ),
    (
        "Update the firmware to 20240312\n\nRelease notes:\n\n- Fixes CVE-2024-11111\n- Fixes CVE-2024-22222\n",
        &[],
    ),
    (
        "Update microcode\n\nSecurity updates for CVE-2024-11111 and CVE-2024-22222.",
        &[],
    ),
    ("Check lengths\n\n> Fixes CVE-2024-11111.\n\nThat is wrong.", &[]),
    (
        "Check lengths\n\nSee https://nvd.nist.gov/vuln/detail/CVE-2024-11111",
        &[],
    ),
    (
        "Check lengths\n\nFixes CVE-2024-11111, but not CVE-2024-22222.",
        &["CVE-2024-11111"],
    ),
    ("Check lengths\n\nThis has been assigned CVE-2024-11111.", &[]),
    ("Check lengths\n\nCVE-2024-11111", &[]),
    // Bugs.
    ("Check lengths\n\nCloses-Bug: #2059809", &["Launchpad 2059809"]),
    ("Check lengths\n\nCloses-Bug: 2059809", &["Launchpad 2059809"]),
    (
        "Check lengths\n\nCloses-Bug: LP#2059809, #2",
        &["Launchpad 2", "Launchpad 2059809"],
    ),
    ("Check lengths\n\nCloses-Bug #2059809", &["Launchpad 2059809"]),
    ("Check lengths\n\nCloses-Bug : #2059809", &["Launchpad 2059809"]),
    ("Check lengths\n\nCloses bug: 2059809", &["Launchpad 2059809"]),
    ("Check lengths\n\nFixes bug 2059809", &["Launchpad 2059809"]),
    ("Check lengths\n\nFixes: bug #2059809", &["Launchpad 2059809"]),
    (
        "Check lengths\n\nFixes-Bug: #2059809\nResolves-Bug: #2",
        &["Launchpad 2", "Launchpad 2059809"],
    ),
    (
        "Check lengths\n\nCloses-Bug: #1926630, see also comment #7",
        &["Launchpad 1926630"],
    ),
    (
        "Check lengths\n\nCloses-Bug: rhbz#2000001",
        &["Red Hat Bugzilla 2000001"],
    ),
    (
        "Check lengths\n\nResolves: rhbz#2000001",
        &["Red Hat Bugzilla 2000001"],
    ),
    ("Check lengths\n\nCloses-Bug: #ABC-97", &["#ABC-97"]),
    (
        "Check lengths\n\nCloses-Bug: https://github.com/o/r/issues/4711",
        &["GitHub o/r#4711"],
    ),
    (
        "Check lengths\n\nCloses-Bug: https://launchpad.net/bugs/<bugnumber>",
        &[],
    ),
    (
        "Check lengths\n\nCloses-Bug: https://bugs.launchpad.net/x/+bug/77/comments/3",
        &["Launchpad 77"],
    ),
    ("Check lengths\n\nPartial-Bug: #1\nRelated-Bug: #2", &[]),
    ("Check lengths\n\nCloses: #1104009", &["Debian 1104009"]),
    ("Check lengths\n\nCloses: #390", &["#390"]),
    (
        "Check lengths\n\nBug-Debian-Security: https://security-tracker.debian.org/tracker/CVE-2024-11111",
        &["CVE-2024-11111"],
    ),
    ("Check lengths\n\nBug-Debian: 1104009", &["Debian 1104009"]),
    (
        "Check lengths\n\nBug-Debian: https://bugs.debian.org/1104009\nBug: javascript:x",
        &["Debian 1104009"],
    ),
    ("Check lengths\n\nFixes #39", &["#39"]),
    ("Check lengths. Fixes #1035", &["#1035"]),
    (
        "Check lengths\n\nCloses python/importlib_metadata#489",
        &["python/importlib_metadata#489"],
    ),
    (
        "Check lengths\n\nFix https://gitlab.gnome.org/GNOME/libxml2/-/work_items/1124",
        &["GitLab GNOME/libxml2#1124"],
    ),
    ("Check lengths\n\nThis doesn't fix #39.", &[]),
    ("Check lengths\n\nHelps: #3932", &[]),
    ("Check lengths\n\nThis is about bug 2059809 and #7.", &[]),
    ("Check lengths (#39)", &[]),
];

fn claimed(name: &str, patch: &str) -> Vec<String> {
    let headers = PatchHeaders::read(name, patch.as_bytes());
    let bugs = headers.bugs().into_iter().map(|bug| match bug.tracker.name() {
        Some(tracker) => format!("{tracker} {}", bug.id),
        None => bug.id.clone(),
    });
    bugs.chain(headers.cves.iter().map(ToString::to_string)).collect()
}

#[test]
fn phrases() {
    let mut wrong = Vec::new();
    for (message, told) in PHRASES {
        let mail = format!(
            "From 1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\n\
             Subject: [PATCH] {message}\n---\n f | 2 +-\n\ndiff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"
        );
        for patch in [
            mail,
            format!("{message}\n\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+Fixes CVE-2000-0001\n"),
        ] {
            let found = claimed("0001-Check-lengths.patch", &patch);
            if found != *told {
                wrong.push(format!("{message:?}\n    is {told:?}, and is read as {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

const H: &str = "867d1dd8b6e4f5b5fbb6b8a0b2a4c8d1e2f3a4b5";
const I: &str = "I867d1dd8b6e4f5b5fbb6b8a0b2a4c8d1e2f3a4b5";

/// A line in which `{H}` stands for a commit and `{I}` for an id of Gerrit; origin, commits and
/// ids.
type OriginLine = (
    &'static str,
    PatchOrigin,
    &'static [&'static str],
    &'static [&'static str],
);

const ORIGINS: &[OriginLine] = &[
    (
        "(cherry picked from commit {H})",
        PatchOrigin::CherryPick,
        &[H],
        &[],
    ),
    (
        "(manually cherry picked from commit {H})",
        PatchOrigin::CherryPick,
        &[H],
        &[],
    ),
    ("cherry-pick from commit {H}", PatchOrigin::CherryPick, &[H], &[]),
    (
        "(cherry picked from commit https://example.org/r/commit/{H})",
        PatchOrigin::CherryPick,
        &[H],
        &[],
    ),
    (
        "(partially cherry picked from commit {H})",
        PatchOrigin::Unofficial,
        &[],
        &[],
    ),
    (
        "(cherry-picked from commit {H})",
        PatchOrigin::CherryPick,
        &[H],
        &[],
    ),
    (
        "(cherry picked from commit: {H})",
        PatchOrigin::CherryPick,
        &[H],
        &[],
    ),
    ("(cherry-picked from {H})", PatchOrigin::CherryPick, &[H], &[]),
    (
        "(cherry picked from commit\n{H})",
        PatchOrigin::CherryPick,
        &[H],
        &[],
    ),
    (
        "(cherry picked from commits {H}\nand 1234567)",
        PatchOrigin::CherryPick,
        &[H, "1234567"],
        &[],
    ),
    ("Cherry-picked from: {H}", PatchOrigin::CherryPick, &[H], &[]),
    (
        "Cherry-picked from master/{H}.",
        PatchOrigin::CherryPick,
        &[H],
        &[],
    ),
    ("Cherry-Picked-From: {I}", PatchOrigin::CherryPick, &[], &[I]),
    (
        "This is a cherry pick of commit {H}.",
        PatchOrigin::CherryPick,
        &[H],
        &[],
    ),
    ("commit {H} upstream.", PatchOrigin::CherryPick, &[H], &[]),
    ("[ Upstream commit {H} ]", PatchOrigin::CherryPick, &[H], &[]),
    ("(backported from commit {H})", PatchOrigin::Backport, &[H], &[]),
    ("commit {H} broke it.", PatchOrigin::Unofficial, &[], &[]),
    ("Cherry-picked from other {H}", PatchOrigin::Unofficial, &[], &[]),
    ("Change-Id: {I}", PatchOrigin::Unofficial, &[], &[I]),
    (
        "Origin: upstream, https://example.org/r/commit/{H}",
        PatchOrigin::CherryPick,
        &[H],
        &[],
    ),
    ("Origin: upstream, commit:{H}", PatchOrigin::CherryPick, &[H], &[]),
    (
        "Origin: backport, https://example.org/r/?id={H}",
        PatchOrigin::Backport,
        &[H],
        &[],
    ),
    (
        "Origin: vendor, https://example.org/x",
        PatchOrigin::Unofficial,
        &[],
        &[],
    ),
    (
        "Upstream-Status: Backport [https://example.org/r/-/commit/{H}]",
        PatchOrigin::Backport,
        &[H],
        &[],
    ),
    (
        "Upstream-Status: Backport [{H}]",
        PatchOrigin::Backport,
        &[H],
        &[],
    ),
    ("Upstream-Status: Pending", PatchOrigin::Unofficial, &[], &[]),
    (
        "Upstream status: not yet proposed.",
        PatchOrigin::Unofficial,
        &[],
        &[],
    ),
    ("Applied-Upstream: 31.1.0", PatchOrigin::Backport, &[], &[]),
];

/// What a message says about where its patch comes from.
#[test]
fn origins() {
    for (line, origin, commits, ids) in ORIGINS {
        let line = line.replace("{H}", H).replace("{I}", I);
        let patch = format!("Check lengths\n\n{line}\n\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n");
        let headers = PatchHeaders::read("f.patch", patch.as_bytes());
        assert_eq!(headers.origin, *origin, "{line}");
        assert_eq!(headers.upstream_commits(), *commits, "{line}");
        assert_eq!(headers.change_ids(), *ids, "{line}");
    }
}

#[test]
fn each_message_of_a_mailbox_is_read() {
    let commit = |number: u8, pick: &str| {
        format!(
            "From {}{number} Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nDate: Tue, 5 Mar 2024 10:00:00 +0000\n\
             Subject: [PATCH {number}/2] Part {number}\n\nCloses-Bug: #{number}\n{pick}\n---\n f | 2 +-\n\n\
             diff --git a/f b/f\nindex 1..2 100644\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+Closes-Bug: #9\n-- \n2.43.0\n\n",
            "1f0c".repeat(9) + "1f0"
        )
    };
    let pick = "(cherry picked from commit 867d1dd8b6e4f5b5fbb6b8a0b2a4c8d1e2f3a4b5)";
    let both = format!("{}{}", commit(1, pick), commit(2, pick));
    let headers = PatchHeaders::read("12.patch", both.as_bytes());
    let subjects: Vec<_> = headers
        .messages
        .iter()
        .map(|message| message.subject.as_deref())
        .collect();
    assert_eq!(subjects, [Some("Part 1"), Some("Part 2")]);
    assert_eq!(headers.messages[1].date, Some(1_709_632_800));
    assert_eq!(claimed("12.patch", &both), ["Launchpad 1", "Launchpad 2"]);
    assert_eq!(headers.origin, PatchOrigin::CherryPick);
    // A commit of the team's own makes the file no cherry-pick.
    let mixed = format!("{}{}", commit(1, pick), commit(2, ""));
    assert_eq!(
        PatchHeaders::read("12.patch", mixed.as_bytes()).origin,
        PatchOrigin::Unofficial
    );
}

#[test]
fn lines_that_look_like_a_diff_hide_nothing() {
    for line in [
        "diff output was empty before.",
        "diff --git a/x b/x was printed twice.",
        "--- a dash, and text",
        "Index: of the page",
    ] {
        let patch = format!(
            "From: A <a@b>\nSubject: x\n\nText.\n{line}\n\nCVE: CVE-2024-11111\n\nIndex: f\n====\n--- f\n+++ f\n"
        );
        assert_eq!(claimed("x.patch", &patch), ["CVE-2024-11111"], "{line}");
    }
    for diff in [
        "diff --git a/x b/x\nold mode 100644\n",
        "--- a/x\n+++ b/x\n",
        "diff -u x y\n--- x\n+++ y\n",
        "---\n--- a/x\n+++ b/x\n",
    ] {
        let patch = format!("From: A <a@b>\nSubject: x\n\n{diff}CVE: CVE-2024-11111\n");
        assert_eq!(claimed("x.patch", &patch), [""; 0], "{diff}");
    }
    assert_eq!(
        claimed("x.patch", "diff --git a/x b/x\n+CVE: CVE-2024-11111\n"),
        [""; 0]
    );
}

#[test]
fn headers_behind_the_message_are_read_and_nothing_else() {
    let patch = "From: A <a@b>\nSubject: x\n\n---\nUpstream-Status: Backport\nCVE: CVE-2024-11111\nFixes CVE-2024-22222.\n\
        Signed-off-by: A\n\n f | 2 +-\n\n--- a/x\n+++ b/x\n";
    assert_eq!(claimed("x.patch", patch), ["CVE-2024-11111"]);
    assert_eq!(
        PatchHeaders::read("x.patch", patch.as_bytes()).origin,
        PatchOrigin::Backport
    );
}

#[test]
fn what_is_before_the_first_mail_belongs_to_it() {
    let patch = "Upstream-Status: Backport\nCVE: CVE-2024-11111\n\n\
        From 1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\n\
        Subject: [PATCH 1/2] Check lengths\n of it\n\n---\n f | 2 +-\n\ndiff --git a/f b/f\nindex 1..2\n--- a/f\n+++ b/f\n";
    let headers = PatchHeaders::read("x.patch", patch.as_bytes());
    assert_eq!(
        (headers.messages.len(), headers.origin),
        (1, PatchOrigin::Backport)
    );
    assert_eq!(
        headers.messages[0].subject.as_deref(),
        Some("Check lengths of it")
    );
    assert_eq!(
        Summary::read(patch.as_bytes()).subject.as_deref(),
        Some("Check lengths of it")
    );
    assert_eq!(claimed("x.patch", patch), ["CVE-2024-11111"]);
}

/// A header such as Yocto's applies to the whole file, once.
#[test]
fn a_header_speaks_for_the_whole_file() {
    let mail = |body: &str| {
        format!(
            "From 1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: x\n\n{body}\n\
             ---\n f | 2 +-\n\ndiff --git a/f b/f\nindex 1..2\n--- a/f\n+++ b/f\n-- \n2.43.0\n\n"
        )
    };
    let patch = format!(
        "{}{}",
        mail("Upstream-Status: Backport [1f0c1f0c]"),
        mail("More of it.")
    );
    assert_eq!(
        PatchHeaders::read("x.patch", patch.as_bytes()).origin,
        PatchOrigin::Backport
    );
}

/// Input written to keep a reader busy.
#[test]
fn what_is_beyond_the_bounds_is_not_read() {
    let claim = "Fixes CVE-2024-11111.";
    let behind = |text: &str| claimed("x.patch", &format!("Subject: x\n\n{text}\n\n{claim}\n"));
    assert_eq!(behind(&"a line of a message\n".repeat(1000)), ["CVE-2024-11111"]);
    assert_eq!(behind(&"a line of a message\n".repeat(4000)), [""; 0]);
    let sentence = |words: usize| {
        let text = format!(
            "Subject: x\n\nThis fixes {}(CVE-2024-11111).\n",
            "it ".repeat(words)
        );
        claimed("x.patch", &text)
    };
    assert_eq!(sentence(150), ["CVE-2024-11111"]);
    assert_eq!(sentence(250), [""; 0]);
}

#[test]
fn encoded_mails_are_read() {
    let head = "From 1 Mon Sep 17 00:00:00 2001\nFrom: =?UTF-8?q?J=C3=B6rg?= <j@example.org>\nSubject: [PATCH] =?UTF-8?q?Gr=C3=B6=C3=9Fe?=\n in Zeilen\n\
        MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding:";
    let quoted =
        format!("{head} quoted-printable\n\nJ=C3=B6rg\nCloses-Bug: =2342\n\n---\ndiff --git a/x b/x\n");
    // The same body.
    let base64 =
        format!("{head} base64\n\nSsO2cmcKQ2xvc2VzLUJ1ZzogIzQyCgotLS0KZGlmZiAtLWdpdCBhL3ggYi94Cg==\n");
    for mail in [quoted, base64] {
        let headers = PatchHeaders::read("x.patch", mail.as_bytes());
        assert_eq!(claimed("x.patch", &mail), ["Launchpad 42"], "{mail}");
        assert_eq!(
            headers.messages[0].subject.as_deref(),
            Some("Gr\u{f6}\u{df}e in Zeilen")
        );
        assert_eq!(
            headers.messages[0].author.as_deref(),
            Some("J\u{f6}rg <j@example.org>")
        );
    }
}

#[test]
fn the_subject_is_the_first_line_that_is_one() {
    for (patch, subject, author) in [
        (
            "From: A <a@b>\nSubject: [PATCH 1/2] Fix the\n thing\n\nBody\n---\n",
            Some("Fix the thing"),
            Some("A <a@b>"),
        ),
        (
            "Description: Use foo\n More of it.\nAuthor: A <a@b>\n\n--- a/x\n+++ b/x\n",
            Some("Use foo"),
            Some("A <a@b>"),
        ),
        (
            "SPDX-FileCopyrightText: 2026 Somebody\nSPDX-License-Identifier: Apache-2.0\n\nUse the other driver.\n\nUpstream status: not yet proposed.\n\n--- a/x\n+++ b/x\n",
            Some("Use the other driver."),
            None,
        ),
        (
            "# Copyright 2026 Somebody\n\nglance: use the other driver\n\n--- a/x\n+++ b/x\n",
            Some("glance: use the other driver"),
            None,
        ),
        (
            "Upstream-Status: Pending\nSigned-off-by: A <a@b>\n\n--- a/x\n+++ b/x\n",
            None,
            None,
        ),
        (
            "# SPDX-License-Identifier: Apache-2.0\n#\n# Use the other driver\n--- a/x\n+++ b/x\n",
            Some("Use the other driver"),
            None,
        ),
        (
            "# Upstream-Status: Pending\n// (c) 2026 Somebody\n--- a/x\n+++ b/x\n",
            None,
            None,
        ),
        ("diff --git a/x b/x\nSubject: no\n", None, None),
        ("", None, None),
    ] {
        let summary = Summary::read(patch.as_bytes());
        assert_eq!(
            (summary.subject.as_deref(), summary.author.as_deref()),
            (subject, author),
            "{patch}"
        );
    }
    assert_eq!(Summary::read(b"\xff\xfe\x00").author, None);
}

#[test]
fn what_upstream_does_with_it() {
    let patch = "Description: Use foo\nForwarded: not-needed\nApplied-Upstream: 31.1.0, https://example.org/commit/1f0c1f0c\nLast-Update: 2026-05-04\n---\n";
    let headers = PatchHeaders::read("x.patch", patch.as_bytes());
    let message = &headers.messages[0];
    assert_eq!(message.forwarded.as_deref(), Some("not-needed"));
    assert_eq!(
        message.applied_upstream.as_deref(),
        Some("31.1.0, https://example.org/commit/1f0c1f0c")
    );
    assert_eq!(message.last_update.as_deref(), Some("2026-05-04"));
    let own = PatchHeaders::read(
        "x.patch",
        b"Use foo\n\nUpstream status: not yet proposed.\n\n--- a/x\n+++ b/x\n",
    );
    assert_eq!(
        own.messages[0].upstream_status.as_deref(),
        Some("not yet proposed.")
    );
}

#[test]
fn where_it_comes_from_in_the_words_of_dep3() {
    let commit = "867d1dd8b6e4f5b5fbb6b8a0b2a4c8d1e2f3a4b5";
    let told = |head: &str| {
        let patch = format!("{head}\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n");
        PatchHeaders::read("x.patch", patch.as_bytes()).origin_in_words()
    };
    assert_eq!(
        told("Description: x\nOrigin: vendor\n").as_deref(),
        Some("vendor")
    );
    assert_eq!(
        told("Description: x\nOrigin: upstream, https://example.org/1\n").as_deref(),
        Some("upstream, https://example.org/1")
    );
    assert_eq!(
        told(&format!("x\n\nBody\n\n(cherry picked from commit {commit})\n")),
        Some(format!("upstream, commit:{commit}"))
    );
    assert_eq!(
        told(&format!(
            "Subject: x\nUpstream-Status: Backport [https://x/commit/{commit}]\n"
        )),
        Some(format!("backport, commit:{commit}"))
    );
    assert_eq!(told("Use it\n"), None);
}

#[test]
fn a_files_name_counts_where_no_header_says_otherwise() {
    let diff = "--- a/x\n+++ b/x\n";
    assert_eq!(claimed("CVE-2024-11111-0002.patch", diff), ["CVE-2024-11111"]);
    assert_eq!(
        claimed(
            "CVE-2024-11111.patch",
            &format!("Subject: x\n\nCVE: CVE-2024-22222\n\n{diff}")
        ),
        ["CVE-2024-22222"]
    );
}
