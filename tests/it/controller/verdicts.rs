//! Conditions for good, moved, conflicting, malformed and merged patches.

use serde_json::json;

use super::{BASE, GOOD, Stage, assert_well_formed, condition, inline, shown};

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_applies_is_ready() {
    let stage = Stage::new("good").await;
    stage
        .apply("good", &stage.spec_with(&inline(&[("0001-five.patch", GOOD)])))
        .await;
    let object = stage.ready("good", "True", "Succeeded").await;
    assert_well_formed(&object);
    assert_eq!(shown(&object, "SourceResolved"), "True/Succeeded");
    assert_eq!(shown(&object, "PatchesApplicable"), "True/Succeeded");
    assert_eq!(
        (shown(&object, "Reconciling"), shown(&object, "Stalled")),
        ("-".into(), "-".into())
    );
    let status = object.status.unwrap();
    let commit = stage.upstream.git(&["rev-parse", "main"]);
    let upstream = status.upstream.unwrap();
    assert_eq!(
        (upstream.revision.to_string(), upstream.commit.to_string()),
        (format!("main@sha1:{commit}"), commit)
    );
    assert_eq!(status.applied.as_deref(), Some("1/1"));
    let patch = &status.patches[0];
    assert_eq!(patch.subject.as_deref(), Some("Say five louder"));
    assert_eq!(patch.author.as_deref(), Some("Ann Author <ann@example.org>"));

    // The tree equals the one that git makes of the patch.
    let file = stage.root.path().join("five.patch");
    std::fs::write(&file, GOOD).unwrap();
    stage.upstream.git(&["read-tree", "main"]);
    stage.upstream.git(&["apply", "--cached", file.to_str().unwrap()]);
    assert_eq!(
        status.patched_tree.as_deref(),
        Some(stage.upstream.git(&["write-tree"]).as_str())
    );

    // What is good from the first is reported by the status alone.
    assert_eq!(stage.events("good").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_patches_are_fine() {
    let stage = Stage::new("none").await;
    stage.apply("none", &stage.spec()).await;
    let object = stage.ready("none", "True", "Succeeded").await;
    assert_eq!(shown(&object, "PatchesApplicable"), "True/NoPatches");
    let status = object.status.unwrap();
    assert_eq!(status.applied.as_deref(), Some("0/0"));
    assert_eq!(
        status.patched_tree.as_deref(),
        Some(stage.upstream.git(&["rev-parse", "main^{tree}"]).as_str())
    );
    // A missing folder is reported, since it may be intended.
    let elsewhere = json!({ "git": { "url": stage.server.url("upstream"), "path": "patches/dmeo", "ref": { "branch": "main" } } });
    stage.apply("none", &stage.spec_with(&elsewhere)).await;
    let object = stage.ready("none", "True", "Succeeded").await;
    let message = &condition(&object, "PatchesApplicable").unwrap().message;
    let told = format!(
        "patches/dmeo of {} has no *.patch or *.diff",
        stage.server.url("upstream")
    );
    assert!(message.ends_with(&told), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_failing_patches_than_a_status_holds_are_counted() {
    const PATCHES: usize = 1500;
    let stage = Stage::new("many").await;
    let subject = "ä".repeat(200);
    let patches: Vec<(String, String)> = (0..PATCHES)
        .map(|number| {
            let text = format!(
                "Subject: [PATCH] {subject}\n\n--- a/file.txt\n+++ b/file.txt\n@@ -1,1 +1,1 @@\n-gone {number}\n+x\n"
            );
            (format!("{number:04}-{}.patch", "n".repeat(160)), text)
        })
        .collect();
    let data: Vec<(&str, &str)> = patches
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    stage.config_map("patches", &data).await;
    let spec = stage.spec_with(&json!({ "configMap": { "name": "patches" } }));
    stage.apply("many", &spec).await;
    let object = stage.ready("many", "False", "PatchConflict").await;
    assert_well_formed(&object);
    let message = condition(&object, "Ready").unwrap().message.clone();
    let status = object.status.unwrap();
    assert_eq!(status.applied.as_deref(), Some("0/1500"));
    let omitted = status.omitted_patches.unwrap().total();
    assert_eq!(status.patches.len() + omitted, PATCHES);
    assert!(message.starts_with("0 of 1500 patches apply"), "{message}");
    assert!(
        message.ends_with(&format!("status.patches has no room for {omitted} more")),
        "{message}"
    );
    assert!(
        status.patches[0]
            .conflict
            .as_ref()
            .is_some_and(|conflict| conflict.expected.is_some())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_patch_tells_its_offset() {
    let stage = Stage::new("offset").await;
    stage.upstream.commit(
        &[("file.txt", &format!("zero\nzero and a half\n{BASE}"))],
        "two lines more",
    );
    stage
        .apply("offset", &stage.spec_with(&inline(&[("0001-five.patch", GOOD)])))
        .await;
    let object = stage.ready("offset", "True", "Succeeded").await;
    let status = object.status.as_ref().unwrap();
    assert_eq!(status.patches[0].offset, Some(2));
    assert_eq!(format!("{:?}", status.patches[0].state), "Offset");
    assert!(
        condition(&object, "Ready")
            .unwrap()
            .message
            .contains("1 with an offset")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_told_in_full_and_goes_when_upstream_moves() {
    let stage = Stage::new("conflict").await;
    let tree_before = stage.upstream.git(&["rev-parse", "main^{tree}"]);
    stage.upstream.commit(
        &[("file.txt", &BASE.replace("four", "vier"))],
        "change the context",
    );
    let second = GOOD
        .replace("five", "nine")
        .replace("FIVE", "NINE")
        .replace(" three\n four\n", " seven\n eight\n");
    let second = second
        .replace(" six\n seven\n", " ten\n")
        .replace("@@ -3,5 +3,5 @@", "@@ -7,4 +7,4 @@");
    let patches = inline(&[
        ("0001-five.patch", GOOD),
        ("0002-new.patch", NEW_FILE),
        ("0003-nine.patch", &second),
    ]);
    stage.apply("conflict", &stage.spec_with(&patches)).await;
    let object = stage.ready("conflict", "False", "PatchConflict").await;
    assert_well_formed(&object);
    assert_eq!(shown(&object, "SourceResolved"), "True/Succeeded");
    assert_eq!(shown(&object, "PatchesApplicable"), "False/PatchConflict");
    assert_eq!(shown(&object, "Stalled"), "True/PatchConflict");
    let message = &condition(&object, "Ready").unwrap().message;
    assert!(
        message.contains("0001-five.patch conflicts in file.txt, hunk 1 at line 3"),
        "{message}"
    );
    let status = object.status.unwrap();
    assert_eq!(status.applied.as_deref(), Some("2/3"), "{:?}", status.patches);
    assert_eq!(status.patched_tree, None);
    let conflict = status.patches[0].conflict.as_ref().unwrap();
    assert_eq!(
        (conflict.file.as_str(), conflict.hunk, conflict.line),
        ("file.txt", Some(1), Some(3))
    );
    assert_eq!(
        conflict.expected.as_deref(),
        Some("three\nfour\nfive\nsix\nseven")
    );
    assert_eq!(conflict.found.as_deref(), Some("three\nvier\nfive\nsix\nseven"));
    assert_eq!(conflict.nearest_line, Some(3));

    stage.upstream.commit(&[("file.txt", BASE)], "change it back");
    assert_eq!(stage.upstream.git(&["rev-parse", "main^{tree}"]), tree_before);
    let object = stage.ready("conflict", "True", "Succeeded").await;
    assert_eq!(object.status.as_ref().unwrap().applied.as_deref(), Some("3/3"));
    assert!(
        object
            .status
            .as_ref()
            .unwrap()
            .patches
            .iter()
            .all(|patch| patch.conflict.is_none())
    );
    assert_eq!(shown(&object, "Stalled"), "-");
    let events = stage.events_once("conflict", 2).await;
    let mut reasons: Vec<String> = events.into_iter().map(|(reason, _)| reason).collect();
    reasons.sort();
    assert_eq!(reasons, ["PatchConflict", "Succeeded"]);
}

const NEW_FILE: &str = "diff --git a/new.txt b/new.txt\nnew file mode 100644\n--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1 @@\n+new\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_patch_is_told_with_its_line() {
    let stage = Stage::new("malformed").await;
    let cut = GOOD.replace("@@ -3,5 +3,5 @@", "@@ -3,9 +3,9 @@");
    stage
        .apply(
            "malformed",
            &stage.spec_with(&inline(&[("0001-cut.patch", &cut)])),
        )
        .await;
    let object = stage.ready("malformed", "False", "PatchMalformed").await;
    assert_well_formed(&object);
    assert_eq!(shown(&object, "Stalled"), "True/PatchMalformed");
    let status = object.status.as_ref().unwrap();
    let message = status.patches[0].message.as_deref().unwrap();
    assert!(message.starts_with("line 10: "), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_patch_fails_or_is_skipped() {
    let stage = Stage::new("merged").await;
    stage.upstream.commit(
        &[("file.txt", &BASE.replace("five", "FIVE"))],
        "upstream takes it",
    );
    let mut spec = stage.spec_with(&inline(&[
        ("0001-five.patch", GOOD),
        ("0002-new.patch", NEW_FILE),
    ]));
    stage.apply("merged", &spec).await;
    let object = stage.ready("merged", "False", "PatchMerged").await;
    let message = &condition(&object, "Ready").unwrap().message;
    assert!(
        message.contains("0001-five.patch was merged upstream as ")
            && message.contains(" 'upstream takes it' (")
            && message.ends_with("): remove it"),
        "{message}"
    );

    spec["mergedPatches"] = json!("Skip");
    stage.apply("merged", &spec).await;
    let object = stage.ready("merged", "True", "Succeeded").await;
    let message = &condition(&object, "Ready").unwrap().message;
    assert!(message.contains("1 already upstream and skipped"), "{message}");
    assert_eq!(object.status.unwrap().applied.as_deref(), Some("2/2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_tell_what_breaks() {
    let stage = Stage::new("candidates").await;
    stage.upstream.git(&["checkout", "--quiet", "-b", "next"]);
    stage.upstream.commit(
        &[("file.txt", &BASE.replace("five", "FIVE"))],
        "upstream takes it",
    );
    stage
        .upstream
        .git(&["checkout", "--quiet", "-b", "broken", "main"]);
    stage
        .upstream
        .commit(&[("file.txt", "all different\n")], "rewrite");
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["candidates"] =
        json!([{ "branch": "next" }, { "branch": "broken" }, { "branch": "absent" }, { "semver": ">=1.0" }]);
    stage.apply("candidates", &spec).await;
    let object = stage.ready("candidates", "True", "Succeeded").await;
    let found = object.status.unwrap().candidates;
    assert_eq!(found[0].merged, ["0001-five.patch"]);
    assert_eq!(found[1].applied.as_deref(), Some("0/1"));
    assert!(
        found[1].message.as_ref().unwrap().contains("file.txt hunk 1"),
        "{found:?}"
    );
    assert!(
        found[2].message.as_ref().unwrap().contains("no branch absent"),
        "{found:?}"
    );
    assert_eq!(found[3].applied.as_deref(), Some("1/1"));
    assert!(found[3].revision.as_ref().unwrap().starts_with("1.0.0@sha1:"));
}
