//! What is reported about patches that do not apply: merged in another form, merged and reverted,
//! moved, or broken, and by which commit.

use std::io::Write;
use std::process::{Command, Stdio};

use patchset_api::PatchSet;
use patchset_api::status::{PatchState, PatchStatus};
use patchset_api::upstream_history::{Evidence, RefreshKind, RefreshState};
use serde_json::{Value, json};

use super::{BASE, GOOD, Stage, assert_well_formed, build, condition, inline};
use crate::support::git_server::Fault;
use crate::support::registry::Registry;

/// The message that the log has once for each search.
const SEARCHED: &str = "the history of a series is searched";

/// The files of these upstreams; each has a patch.
const FILES: [&str; 5] = ["broken", "verbatim", "tweaked", "reverted", "moved"];

fn change_id(file: &str) -> String {
    let digit = FILES.iter().position(|known| *known == file).unwrap() + 1;
    format!("I{}", digit.to_string().repeat(40))
}

/// A patch on line 5 of a file, written long before upstream did anything.
fn patch(file: &str) -> String {
    format!(
        "From 1111111111111111111111111111111111111111 Mon Sep 17 00:00:00 2001\n\
         From: Ann Author <ann@example.org>\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n\
         Subject: [PATCH] Say five louder in {file}\n\nChange-Id: {id}\n---\n\
         diff --git a/{file} b/{file}\n--- a/{file}\n+++ b/{file}\n\
         @@ -3,5 +3,5 @@\n three\n four\n-five\n+FIVE\n six\n seven\n",
        id = change_id(file)
    )
}

fn patches(files: &[&str]) -> Value {
    let all: Vec<(String, String)> = files
        .iter()
        .enumerate()
        .map(|(number, file)| (format!("{number:04}-{file}.patch"), patch(file)))
        .collect();
    let all: Vec<(&str, &str)> = all
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    inline(&all)
}

/// A stage whose upstream has the files, and serves any object on request.
async fn stage(name: &str) -> Stage {
    let stage = Stage::new(name).await;
    for setting in ["uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"] {
        stage.upstream.git(&["config", setting, "true"]);
    }
    stage
        .upstream
        .commit(&FILES.map(|file| (file, BASE)), "five files");
    stage
}

/// The upstream's commits that a test names.
struct Done {
    verbatim: String,
    tweaked: String,
    merged: String,
    reverted: String,
    refactored: String,
}

/// Upstream takes one patch as it is and another in another form, reverts one, moves lines under
/// one, and breaks one.
fn move_on(stage: &Stage) -> Done {
    let upstream = &stage.upstream;
    let loud = BASE.replace("five", "FIVE");
    let merge = |file: &str, text: &str| {
        let message = format!(
            "Say five louder in {file}\n\nReviewed.\n\nChange-Id: {}",
            change_id(file)
        );
        upstream.commit(&[(file, text)], &message)
    };
    let verbatim = merge("verbatim", &loud);
    upstream.commit(
        &[("verbatim", &loud.replace("six", "sechs"))],
        "Say six in German",
    );
    let tweaked = merge("tweaked", &BASE.replace("five", "Five!"));
    let merged = merge("reverted", &loud);
    upstream.git(&["revert", "--no-edit", &merged]);
    let reverted = upstream.git(&["rev-parse", "HEAD"]);
    upstream.commit(
        &[("reverted", &BASE.replace("three", "drei"))],
        "Say three in German",
    );
    upstream.commit(
        &[("moved", &format!("zero\nzero and a half\n{BASE}"))],
        "two lines more",
    );
    let refactored = upstream.commit(
        &[("broken", &BASE.replace("five", "fünf"))],
        "Refactor the manager",
    );
    upstream.commit(&[("other", "x\n")], "something else");
    Done {
        verbatim,
        tweaked,
        merged,
        reverted,
        refactored,
    }
}

fn patch_of<'a>(object: &'a PatchSet, file: &str) -> &'a PatchStatus {
    let mut patches = object.status.as_ref().unwrap().patches.iter();
    patches.find(|patch| patch.name.contains(file)).unwrap()
}

/// How often the controller searched a history.
fn searches(stage: &Stage) -> usize {
    stage.controller.log().matches(SEARCHED).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_what_upstream_did_with_each_patch() {
    let stage = stage("history").await;
    let mut spec = stage.spec_with(&patches(&FILES));
    spec["upstream"]["commitUrlTemplate"] = json!("https://review.example.org/q/{commit}");
    // It is looked at once everything is in place, and not before.
    spec["interval"] = json!("1h");
    stage.apply("history", &spec).await;
    let good = stage.ready("history", "True", "Succeeded").await;
    assert_eq!(searches(&stage), 0, "all apply, and nothing was to be looked for");
    let before = good.status.unwrap().upstream.unwrap().revision;

    let done = move_on(&stage);
    stage
        .annotate("history", "reconcile.fluxcd.io/requestedAt", "now")
        .await;
    let object = stage.ready("history", "False", "PatchConflict").await;
    assert_well_formed(&object);
    let status = object.status.as_ref().unwrap();
    assert_eq!(status.history_failure, None);
    assert_eq!(status.applied.as_deref(), Some("1/5"), "{:#?}", status.patches);

    let verbatim = patch_of(&object, "verbatim");
    assert_eq!((verbatim.state, &verbatim.conflict), (PatchState::Merged, &None));
    let merged = verbatim.merged.as_ref().unwrap();
    assert_eq!((merged.by, merged.differs), (Evidence::ChangeId, false));
    assert_eq!(merged.commit.as_deref(), Some(done.verbatim.as_str()));
    assert_eq!(merged.subject.as_deref(), Some("Say five louder in verbatim"));
    assert_eq!(merged.author.as_deref(), Some("Tester <tester@example.org>"));
    assert!(merged.date.is_some());
    let page = format!("https://review.example.org/q/{}", done.verbatim);
    assert_eq!(merged.url, Some(page));

    let tweaked = patch_of(&object, "tweaked").merged.as_ref().unwrap();
    assert_eq!(
        (tweaked.commit.as_deref(), tweaked.differs),
        (Some(done.tweaked.as_str()), true)
    );
    let interdiff = tweaked.interdiff.as_deref().unwrap();
    assert!(
        interdiff.contains("FIVE") && interdiff.contains("Five!"),
        "{interdiff}"
    );

    let reverted = patch_of(&object, "reverted");
    assert_eq!(reverted.state, PatchState::Conflict);
    let told = reverted.reverted.as_ref().unwrap();
    assert_eq!(
        (&*told.merged.commit, &*told.by.commit),
        (done.merged.as_str(), done.reverted.as_str())
    );
    let refresh = reverted.refresh.unwrap();
    assert_eq!(
        (refresh.state, refresh.by),
        (RefreshState::Needed, Some(RefreshKind::ThreeWay))
    );
    assert_eq!(reverted.last_applied.as_ref(), Some(&before));

    let moved = patch_of(&object, "moved");
    assert_eq!(moved.state, PatchState::Offset);
    let refresh = moved.refresh.unwrap();
    assert_eq!(
        (refresh.state, refresh.by),
        (RefreshState::Available, Some(RefreshKind::Offset))
    );

    let broken = patch_of(&object, "broken");
    assert_eq!(broken.refresh.unwrap().state, RefreshState::Impossible);
    let by = broken.conflict.as_ref().unwrap().broken_by.as_ref().unwrap();
    assert_eq!(
        (&*by.commit, by.subject.as_str()),
        (done.refactored.as_str(), "Refactor the manager")
    );
    assert_eq!(
        by.url.as_ref().unwrap(),
        &format!("https://review.example.org/q/{}", done.refactored)
    );
    let date = by.date.as_ref().unwrap().0.strftime("%-d %b %Y");
    let message = &condition(&object, "Ready").unwrap().message;
    let expected = format!(
        "0000-broken.patch conflicts in broken, hunk 1 at line 3, broken by {} 'Refactor the manager' ({date})",
        &done.refactored[..7]
    );
    assert!(message.ends_with(&expected), "{message}");
    let events = stage.events_once("history", 1).await;
    assert!(
        events.iter().any(|(_, note)| note.contains(&expected)),
        "{events:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_is_not_looked_for_again_until_something_moves() {
    let stage = stage("quiet-history").await;
    move_on(&stage);
    stage.apply("quiet", &stage.spec_with(&patches(&FILES))).await;
    let version = stage
        .ready("quiet", "False", "PatchConflict")
        .await
        .metadata
        .resource_version;
    assert_eq!(searches(&stage), 1);
    let (packs, looks) = (stage.server.packs(), stage.server.looks());
    stage
        .wait("quiet", "looked at three times", |_| {
            stage.server.looks() >= looks + 3
        })
        .await;
    let after = stage.api::<PatchSet>().get("quiet").await.unwrap();
    assert_eq!(after.metadata.resource_version, version, "it was written");
    assert_eq!((searches(&stage), stage.server.packs()), (1, packs));

    let tip = stage.upstream.commit(&[("other", "y\n")], "once more");
    stage
        .wait("quiet", "at the new commit", |object| {
            object.status.as_ref().is_some_and(|status| {
                status
                    .upstream
                    .as_ref()
                    .is_some_and(|upstream| *upstream.commit == *tip)
            })
        })
        .await;
    assert_eq!(searches(&stage), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_upstream_has_in_another_form_is_left_out_only_where_that_is_asked_for() {
    let stage = stage("skip-history").await;
    let done = move_on(&stage);
    let spec = |files: &[&str], policy: &str| {
        let mut spec = stage.spec_with(&patches(files));
        spec["mergedPatches"] = json!(policy);
        spec
    };
    let both = ["verbatim", "tweaked"];
    stage.apply("fail", &spec(&both, "Fail")).await;
    stage.apply("skip", &spec(&both, "Skip")).await;
    stage
        .apply("as-it-is", &spec(&["verbatim", "moved"], "Skip"))
        .await;
    stage
        .apply(
            "differing",
            &spec(&["verbatim", "tweaked", "moved"], "SkipDiffering"),
        )
        .await;

    let fail = stage.ready("fail", "False", "PatchMerged").await;
    let message = &condition(&fail, "Ready").unwrap().message;
    let expected = format!(
        "0000-verbatim.patch was merged upstream as {}",
        &done.verbatim[..7]
    );
    assert!(
        message.contains(&expected) && message.ends_with(": remove it"),
        "{message}"
    );

    let skip = stage.ready("skip", "False", "PatchMerged").await;
    let message = &condition(&skip, "Ready").unwrap().message;
    let expected = format!(
        "1 of 2 patches apply to main@sha1:{}: 0001-tweaked.patch was merged upstream in another form as {}",
        stage.upstream.git(&["rev-parse", "main"]),
        &done.tweaked[..7]
    );
    assert!(
        message.starts_with(&expected) && message.contains("SkipDiffering"),
        "{message}"
    );
    assert_eq!(skip.status.as_ref().unwrap().patched_tree, None);

    // The tree equals the one that git makes of the remaining patches.
    let file = stage.root.path().join("moved.patch");
    std::fs::write(&file, patch("moved")).unwrap();
    stage.upstream.git(&["read-tree", "main"]);
    stage.upstream.git(&["apply", "--cached", file.to_str().unwrap()]);
    let tree = stage.upstream.git(&["write-tree"]);
    for (name, applied, skipped) in [("as-it-is", "2/2", 1), ("differing", "3/3", 2)] {
        let object = stage.ready(name, "True", "Succeeded").await;
        let message = &condition(&object, "Ready").unwrap().message;
        assert!(
            message.contains(&format!("{skipped} already upstream and skipped")),
            "{message}"
        );
        let status = object.status.unwrap();
        assert_eq!(status.applied.as_deref(), Some(applied));
        assert_eq!(status.patched_tree.as_deref(), Some(tree.as_str()), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_say_what_becomes_of_each_patch_there() {
    let stage = stage("candidate-history").await;
    stage.upstream.git(&["checkout", "--quiet", "-b", "next"]);
    let done = move_on(&stage);
    let mut spec = stage.spec_with(&patches(&FILES));
    spec["candidates"] = json!([{ "branch": "next" }]);
    stage.apply("candidates", &spec).await;
    let object = stage.ready("candidates", "True", "Succeeded").await;
    let [candidate] = object.status.as_ref().unwrap().candidates.as_slice() else {
        panic!("one candidate");
    };
    let outcome = candidate.outcome.unwrap();
    assert_eq!(
        (
            outcome.apply,
            outcome.merged,
            outcome.refresh,
            outcome.need_person
        ),
        (1, 2, 1, 1),
        "{candidate:#?}"
    );
    assert_eq!(candidate.merged, ["0001-verbatim.patch", "0002-tweaked.patch"]);
    let broken = candidate
        .broken
        .iter()
        .find(|broken| broken.name.contains("broken"))
        .unwrap();
    assert_eq!(&*broken.by.commit, done.refactored);
    let message = candidate.message.as_deref().unwrap();
    assert!(
        message.contains("broken hunk 1 at line 3, broken by"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_cannot_be_had_keeps_no_verdict_from_being_told() {
    let stage = stage("no-history").await;
    move_on(&stage);
    let tip = stage.upstream.git(&["rev-parse", "main"]);
    let mut spec = stage.spec_with(&patches(&["moved"]));
    spec["interval"] = json!("1h");
    stage.apply("first", &spec).await;
    stage.ready("first", "True", "Succeeded").await;

    // What is pinned and held needs no server, except for its history.
    stage.server.fail(Fault::Status(500));
    let mut spec = stage.spec_with(&patches(&["verbatim"]));
    spec["interval"] = json!("1h");
    spec["upstream"]["ref"] = json!({ "commit": tip });
    let text = patch("verbatim")
        .replace("verbatim", "moved")
        .replace("-five", "-FIFE");
    spec["patches"] = inline(&[("0000-other.patch", &text)]);
    stage.apply("cut-off", &spec).await;
    let object = stage.ready("cut-off", "False", "PatchConflict").await;
    let status = object.status.as_ref().unwrap();
    let why = status.history_failure.as_deref().unwrap();
    assert!(why.contains("500"), "{why}");
    assert_eq!(status.patches[0].state, PatchState::Conflict);
    let message = &condition(&object, "Ready").unwrap().message;
    assert!(
        message.contains("upstream's history could not be searched"),
        "{message}"
    );
    assert_well_formed(&object);

    // There are no retries without a request, and a requested look happens.
    stage.server.fail(Fault::None);
    stage
        .annotate("cut-off", "reconcile.fluxcd.io/requestedAt", "now")
        .await;
    let object = stage
        .wait("cut-off", "searched", |object| {
            object
                .status
                .as_ref()
                .is_some_and(|status| status.history_failure.is_none())
        })
        .await;
    let merged = object.status.as_ref().unwrap().patches[0].merged.as_ref();
    assert_eq!(merged.map(|merged| merged.by), Some(Evidence::ChangeId));
}

/// Adds commits with these messages on top of `main`, without changing its tree.
fn pile_up(stage: &Stage, messages: impl Iterator<Item = Vec<u8>>) {
    let mut import = Command::new("git")
        .arg("--git-dir")
        .arg(&stage.upstream.dir)
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stream = import.stdin.take().unwrap();
    for (number, message) in messages.enumerate() {
        let head = format!(
            "commit refs/heads/main\ncommitter T <t@example.org> {} +0000\ndata {}\n",
            1_750_000_000 + number,
            message.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&message).unwrap();
        let from = if number == 0 {
            "\nfrom refs/heads/main^0\n"
        } else {
            "\n"
        };
        stream.write_all(from.as_bytes()).unwrap();
    }
    drop(stream);
    assert!(import.wait().unwrap().success());
    stage.upstream.git(&["reset", "--quiet", "--hard", "main"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hostile_upstream_says_stays_bounded_and_printable() {
    let stage = stage("hostile-history").await;
    let obeyed = "\u{1b}[2J\u{202e}".repeat(100_000);
    let message = format!("{obeyed}\n\nChange-Id: {}\n", change_id("verbatim"));
    let text = BASE.replace("five", &"Five".repeat(100_000));
    let file = stage.root.path().join("message");
    std::fs::write(&file, &message).unwrap();
    std::fs::write(stage.upstream.work().join("verbatim"), text).unwrap();
    stage.upstream.git(&["add", "--all"]);
    stage
        .upstream
        .git(&["commit", "--quiet", "--file", file.to_str().unwrap()]);
    let commit = stage.upstream.git(&["rev-parse", "HEAD"]);
    stage
        .apply("loud", &stage.spec_with(&patches(&["verbatim"])))
        .await;
    let object = stage.ready("loud", "False", "PatchMerged").await;
    let merged = patch_of(&object, "verbatim").merged.as_ref().unwrap();
    assert_eq!(
        (merged.commit.as_deref(), merged.differs),
        (Some(commit.as_str()), true)
    );
    let json = serde_json::to_string(&object.status).unwrap();
    assert!(json.len() < 32 << 10, "{} bytes", json.len());
    assert!(!json.contains("\\u001b") && !json.contains('\u{202e}'), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_history_is_searched_as_far_as_its_bounds_go() {
    let stage = stage("endless-history").await;
    move_on(&stage);
    pile_up(
        &stage,
        (0..30_000).map(|number| format!("commit {number}").into_bytes()),
    );
    stage
        .apply("endless", &stage.spec_with(&patches(&["verbatim", "broken"])))
        .await;
    let object = stage.ready("endless", "False", "PatchConflict").await;
    assert_well_formed(&object);
    let status = object.status.as_ref().unwrap();
    assert_eq!(status.patches.len(), 2);
    assert!(
        status.patches.iter().all(|patch| patch.merged.is_none()),
        "{status:#?}"
    );
    let cut = status.history_cut.as_deref().unwrap();
    assert!(
        cut.starts_with("only its latest 20000 commits were searched"),
        "{cut}"
    );
    let message = &condition(&object, "Ready").unwrap().message;
    assert!(
        message.contains("of upstream's history only its latest 20000 commits"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_is_there_as_it_is_gets_its_commit_once() {
    let stage = stage("there-history").await;
    let message = format!("Say five louder\n\nChange-Id: {}", change_id("verbatim"));
    let text = BASE.replace("five", "FIVE");
    let commit = stage.upstream.commit(&[("verbatim", &text)], &message);
    let mut spec = stage.spec_with(&patches(&["verbatim"]));
    spec["mergedPatches"] = json!("Skip");
    stage.apply("there", &spec).await;
    let object = stage.ready("there", "True", "Succeeded").await;
    let status = object.status.as_ref().unwrap();
    let merged = patch_of(&object, "verbatim").merged.as_ref().unwrap();
    assert_eq!((merged.by, merged.differs), (Evidence::Reverse, false));
    assert_eq!(merged.commit.as_deref(), Some(commit.as_str()));
    assert_eq!((&status.history_failure, &status.history_cut), (&None, &None));
    assert_eq!(searches(&stage), 1);

    let (packs, looks) = (stage.server.packs(), stage.server.looks());
    stage
        .wait("there", "looked at three times", |_| {
            stage.server.looks() >= looks + 3
        })
        .await;
    assert_eq!((searches(&stage), stage.server.packs()), (1, packs));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_fits_with_fuzz_alone_is_a_conflict_that_says_so() {
    let stage = stage("fuzzy-history").await;
    stage.upstream.commit(
        &[("moved", &BASE.replace("three", "drei"))],
        "Say three in German",
    );
    stage.apply("fuzzy", &stage.spec_with(&patches(&["moved"]))).await;
    let object = stage.ready("fuzzy", "False", "PatchConflict").await;
    let conflict = patch_of(&object, "moved").conflict.as_ref().unwrap();
    let fuzz = conflict.fuzz.unwrap();
    assert_eq!((fuzz.lines, fuzz.line), (1, 3));
    assert_eq!(
        conflict.difference.as_deref(),
        Some("-three\n+drei\n four\n five\n six\n seven")
    );
    let message = &condition(&object, "Ready").unwrap().message;
    assert!(
        message.contains("it applies with fuzz 1 at line 3: refresh it"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_built_without_what_upstream_has_and_only_by_a_policy_that_says_so() {
    let registry = Registry::open();
    let stage = build::stage("built-history", &registry).await;
    stage.upstream.git(&["config", "uploadpack.allowFilter", "true"]);
    let mail = GOOD.replace(
        "\n\n---\n",
        &format!("\n\nChange-Id: {}\n---\n", change_id("tweaked")),
    );
    let message = format!("Say five louder\n\nChange-Id: {}", change_id("tweaked"));
    let text = BASE.replace("five", "Five!");
    let merged = stage.upstream.commit(&[("file.txt", &text)], &message);
    // A patch that fits only without the first one.
    let second = GOOD.replace("-five", "-Five!").replace("+FIVE", "+Five?");
    let mut spec = build::spec(&stage, &registry);
    spec["upstream"]["ref"] = json!({ "branch": "main" });
    spec["build"]["source"]["version"] = json!("1.0.0");
    spec["patches"] = inline(&[("0001-five.patch", &mail), ("0002-more.patch", &second)]);
    spec["mergedPatches"] = json!("Skip");
    stage.apply("demo", &spec).await;
    let object = stage.ready("demo", "False", "PatchMerged").await;
    assert_eq!(
        object.status.as_ref().unwrap().build,
        None,
        "it is no image's yet"
    );

    spec["mergedPatches"] = json!("SkipDiffering");
    stage.apply("demo", &spec).await;
    let waiting = build::build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    build::build_as_told(&waiting, waiting.inputs_digest.as_str());
    let object = stage.ready("demo", "True", "Succeeded").await;
    let status = object.status.as_ref().unwrap();
    assert_eq!(status.applied.as_deref(), Some("2/2"));
    assert_eq!(
        status.patches[0].merged.as_ref().unwrap().commit.as_deref(),
        Some(merged.as_str())
    );
    let image = status.image.as_ref().unwrap();
    assert_eq!(build::file_in(&image.reference), text.replace("Five!", "Five?"));
    let notes = notes_of_the_pedigree(&image.reference, image.sbom.as_deref().unwrap()).await;
    assert_eq!(
        notes,
        format!(
            "patched with 0002-more.patch; without 0001-five.patch, which upstream has as {merged} ('Say five louder')"
        )
    );

    // A stricter policy keeps the image, and prevents another build.
    spec["mergedPatches"] = json!("Skip");
    stage.apply("demo", &spec).await;
    let object = stage.ready("demo", "False", "PatchMerged").await;
    assert_eq!(object.status.unwrap().image.as_ref(), Some(image));
}

/// The notes on the component in the document on an image's patches.
async fn notes_of_the_pedigree(image: &str, document: &str) -> String {
    let (host, rest) = image.split_once('/').unwrap();
    let repository = rest.split(['@', ':']).next().unwrap();
    let get = async |path: String| -> Value {
        let url = format!("http://{host}/v2/{repository}/{path}");
        let accept = "application/vnd.oci.image.manifest.v1+json";
        let request = reqwest::Client::new().get(url).header("Accept", accept);
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    };
    let manifest = get(format!("manifests/{document}")).await;
    let blob = manifest["layers"][0]["digest"].as_str().unwrap();
    let document = get(format!("blobs/{blob}")).await;
    let notes = &document["metadata"]["component"]["pedigree"]["notes"];
    notes.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_behind_a_merged_one_is_judged_by_itself() {
    let stage = stage("behind-history").await;
    move_on(&stage);
    // Both patch one file; upstream has the first in another form, and the second fits nowhere.
    let lost = patch("tweaked")
        .replace("five louder", "more")
        .replace(&change_id("tweaked"), &change_id("broken"))
        .replace("-five", "-nowhere");
    let second = inline(&[("0001.patch", &patch("tweaked")), ("0002.patch", &lost)]);
    stage.apply("behind", &stage.spec_with(&second)).await;
    let object = stage.ready("behind", "False", "PatchConflict").await;
    let patches = &object.status.as_ref().unwrap().patches;
    let states: Vec<PatchState> = patches.iter().map(|patch| patch.state).collect();
    assert_eq!(states, [PatchState::Merged, PatchState::Conflict]);
    let message = patches[1].message.as_deref().unwrap();
    assert!(!message.contains("0001.patch"), "{message}");
}
