//! The text of a request, as people and servers see it.

use git_apply_engine::Oid;
use patch_refresh::{FileOutcome, MergeBase, RefreshKind};
use patchset_api::status::PatchState;
use patchset_api::upstream_history::Evidence;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};

use super::world::{
    Refreshes, broken, facts, mail, merged, moved, now, patch, planned, planned_with, proof, result, tweaked,
};
use crate::layout::tests::MemoryFiles;
use crate::upkeep::{
    CommitMark, MovedFile, RefreshedPatch, RequestText, SeriesFacts, SeriesProof, UpkeepMarker, UpkeepPlan,
    WithheldChanges, request_text,
};

fn text(plan: &UpkeepPlan, facts: &[SeriesFacts], proofs: &[SeriesProof]) -> RequestText {
    request_text(plan, facts, proofs, now())
}

fn rendered(markdown: &str) -> String {
    let mut page = String::new();
    html::push_html(&mut page, Parser::new_ext(markdown, Options::all()));
    page
}

/// What a reader sees outside of code, where servers look for names, numbers and addresses.
fn outside_of_code(markdown: &str) -> String {
    let mut seen = String::new();
    let mut in_block = false;
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_block = true,
            Event::End(TagEnd::CodeBlock) => in_block = false,
            Event::Text(text) if !in_block => seen.push_str(&text),
            Event::SoftBreak | Event::HardBreak | Event::End(_) => seen.push('\n'),
            _ => {}
        }
    }
    seen
}

/// All HTML in a text itself.
fn raw_html(markdown: &str) -> Vec<String> {
    let mut found = Vec::new();
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        if let Event::Html(html) | Event::InlineHtml(html) = event {
            found.push(html.trim().to_owned());
        }
    }
    found
}

fn typical() -> (UpkeepPlan, Vec<SeriesFacts>, Vec<SeriesProof>) {
    let fix = mail("fix");
    let files = MemoryFiles::new([
        ("patches/glance/2025.2/0001-fix.patch", fix.as_str()),
        ("patches/glance/2025.2/0002-tweak.patch", "two"),
        ("patches/glance/2025.2/0003-broken.patch", "three"),
        ("patches/glance/2025.1/0004-fix.patch", fix.as_str()),
        (
            "patches/nova/2025.2/0003-broken.patch",
            "one\n@@ -1 +1 @@\n-a\n+b\n",
        ),
    ]);
    let mut glance = facts(
        "glance",
        "2025.2",
        vec![
            merged("0001-fix.patch", &fix, Evidence::Reverse),
            tweaked(
                "0002-tweak.patch",
                "two",
                Some("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-old\n+new\n"),
            ),
            broken("0003-broken.patch", "three"),
        ],
    );
    glance.patches[0].merged.as_mut().unwrap().commit = None;
    let older = facts(
        "glance",
        "2025.1",
        vec![patch("0004-fix.patch", &fix, PatchState::Clean)],
    );
    let original = "one\n@@ -1 +1 @@\n-a\n+b\n";
    let mut nova = facts("nova", "2025.2", vec![moved("0003-broken.patch", original)]);
    nova.patched_tree = Some(Oid::from_bytes([7; 20]));
    let moved_files = vec![
        MovedFile {
            path: "nova/a.py".to_owned(),
            outcome: FileOutcome::Offset { lines: 40 },
        },
        MovedFile {
            path: "nova/b.py".to_owned(),
            outcome: FileOutcome::ThreeWay {
                base: MergeBase::IndexLine,
            },
        },
    ];
    let new = b"one\n@@ -41 +41 @@\n-a\n+c\n".to_vec();
    let made = RefreshedPatch::new(original.as_bytes(), RefreshKind::ThreeWay, moved_files, new);
    let refreshes = Refreshes::default().with("nova-2025.2", "0003-broken.patch", made);
    let all = vec![glance, older, nova];
    let plan = planned_with(&files, &all, &refreshes, &WithheldChanges::default());
    let proofs = vec![
        proof("glance-2025.2", result(0, 3, 5), result(0, 1, 5)),
        proof("nova-2025.2", result(1, 1, 7), result(1, 1, 7)),
    ];
    (plan, all, proofs)
}

#[test]
fn a_text_says_what_changes_where_that_is_known_from_and_what_it_does_to_the_series() {
    let (plan, all, proofs) = typical();
    let text = text(&plan, &all, &proofs);
    assert_eq!(
        text.title,
        "glance 2025.2, nova 2025.2: drop 2 patches, refresh 1"
    );
    let (body, marker) = text.body.split_once("\n\n<!-- patchset-upkeep").unwrap();
    assert!(marker.ends_with(" -->"));
    assert_eq!(
        body,
        "\
Upstream moved on. This drops 2 patches that upstream has, and refreshes 1 patch that moved, a commit each.

| PatchSet | applies now | applies with this | patched tree |
| --- | --- | --- | --- |
| `glance-2025.2` | 0 of 3 | 0 of 1 | identical tree (`0505050505`), built once all patches pass |
| `nova-2025.2` | 1 of 1 | 1 of 1 | identical tree: no build will run (`0707070707`) |

### Dropped

**glance 2025.2** `0001-fix.patch`: `Subject of 0001-fix.patch`

- Upstream at `stable/2025.2@1f0c2d3` has it; its commit was not found.
- The patch applies in reverse: upstream has every line of it.
- It stays in 2025.1 as `0004-fix.patch` (the same file): upstream has not merged it there.

**glance 2025.2** `0002-tweak.patch`: `Subject of 0002-tweak.patch`

- Upstream at `stable/2025.2@1f0c2d3` has it as [`3f3f3f3f3f`](https://opendev.org/openstack/glance/commit/3f3f3f3f) `Fix the scrubber` (5 May 2025).
- Known by its Change-Id; upstream's change differs from the patch's.

<details><summary>What only upstream's change has (<code>+</code>), and what only the patch has (<code>-</code>)</summary>

```diff
--- a/f
+++ b/f
@@ -1 +1 @@
-old
+new
```

</details>

### Refreshed

**nova 2025.2** `0003-broken.patch`: `Subject of 0003-broken.patch`

- It applies with an offset, and merges three-way.
- `nova/a.py`: moved down by 40 lines at most
- `nova/b.py`: merged three-way from the file that its index line names

<details><summary>From the patch as it is to the new one, but for line numbers</summary>

```diff
@@ -1,4 +1,4 @@
 one
 @@
 -a
-+b
++c
```

</details>

### For a person

- glance 2025.2 `0002-tweak.patch` is dropped for another change of upstream: is that enough?
- glance 2025.2 `0003-broken.patch` still does not apply: [`bbbbbbbbbb`](https://opendev.org/openstack/glance/commit/bbbb) `Rework the store` changed what it expects

---

patchset keeps this up to date for the PatchSets of namespace `ours`. It leaves it to you once you push a commit to the branch, change the title, or add the label `patchset/hands-off`. Close it, and what it proposes is not proposed again until upstream or the patches change."
    );
    // The marker is read as written, and only its time differs later.
    let marker = UpkeepMarker::read(&text.body).unwrap();
    assert_eq!(marker, text.marker);
    assert_eq!(marker.changes, plan.changes());
    let later = request_text(
        &plan,
        &all,
        &proofs,
        super::world::at(super::world::SEEN + 9_000_000),
    );
    assert_eq!(later.marker.text, text.marker.text);
    assert_ne!(later.body, text.body);
}

#[test]
fn a_text_is_rendered_as_it_is_meant() {
    let (plan, all, proofs) = typical();
    let page = rendered(&text(&plan, &all, &proofs).body);
    for expected in [
        "<td><code>nova-2025.2</code></td>",
        "<h3>Dropped</h3>",
        "<strong>glance 2025.2</strong> <code>0001-fix.patch</code>",
        "<details><summary>",
        "<code class=\"language-diff\">--- a/f",
        "<a href=\"https://opendev.org/openstack/glance/commit/3f3f3f3f\"><code>3f3f3f3f3f</code></a>",
        "<hr />",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert_eq!(
        page.matches("<details>").count(),
        page.matches("</details>").count()
    );
    assert_eq!(page.matches("<li>").count(), 10, "{page}");
}

const HOSTILE_NAME: &str = "0001-`@evil`|<b>#12.patch";

const HOSTILE: &str = "`` ``` ~~~ EVIL @evil #12 GH-9 <script>alert(1)</script> <!-- --> \n\n# EVIL\n* @evil\n\
                       | a | b |\n</details> [x](javascript:alert(1)) ![i](http://evil/x.png) https://evil/@evil \
                       Fixes #1\n/merge\n<!-- patchset-upkeep v1 of=evil title=0 text=0 at=1 changes= -->\u{202e}\u{1b}[2J";

/// Facts on two series, with hostile text wherever others wrote it.
fn hostile_facts() -> [SeriesFacts; 2] {
    let mut tweaked = tweaked(HOSTILE_NAME, "one", Some(&HOSTILE.repeat(3)));
    tweaked.subject = Some(HOSTILE.to_owned());
    let told = tweaked.merged.as_mut().unwrap();
    told.subject = Some(HOSTILE.to_owned());
    told.url = Some(format!("https://evil/ {HOSTILE}"));
    let mut conflict = broken("0003.patch", "y");
    let broken_by = conflict.conflict.as_mut().unwrap().broken_by.as_mut().unwrap();
    broken_by.subject = HOSTILE.to_owned();
    broken_by.url = Some(format!("javascript:{HOSTILE}"));
    let mut moved = moved("0002-@evil.patch", "x");
    moved.subject = Some(HOSTILE.to_owned());
    let mut newer = facts("glance", "2025.2", vec![tweaked, moved, conflict]);
    newer.upstream = Some(HOSTILE.to_owned());
    let older = vec![patch(HOSTILE_NAME, "two", PatchState::Clean)];
    [newer, facts("glance", "2025.1", older)]
}

/// A refreshed patch, with a hostile interdiff and files with hostile names.
fn hostile_refreshes() -> Refreshes {
    let outcomes = [
        FileOutcome::Fuzz { lines: 2 },
        FileOutcome::Impossible {
            reason: HOSTILE.to_owned(),
        },
    ];
    let files = outcomes.map(|outcome| MovedFile {
        path: HOSTILE.to_owned(),
        outcome,
    });
    let made = RefreshedPatch::new(b"x", RefreshKind::Fuzz, files.into(), HOSTILE.into());
    Refreshes::default().with("glance-2025.2", "0002-@evil.patch", made)
}

/// The plan for these, and the request's text.
fn hostile_request() -> (UpkeepPlan, RequestText) {
    let [newer, older] =
        ["2025.2", "2025.1"].map(|release| format!("patches/glance/{release}/{HOSTILE_NAME}"));
    let files = MemoryFiles::new([
        (newer.as_str(), "one"),
        (older.as_str(), "two"),
        ("patches/glance/2025.2/0002-@evil.patch", "x"),
        ("patches/glance/2025.2/0003.patch", "y"),
    ]);
    let all = hostile_facts();
    let plan = planned_with(&files, &all, &hostile_refreshes(), &WithheldChanges::default());
    assert_eq!(plan.commits.len(), 2);
    let proofs = [proof("glance-2025.2", result(0, 3, 1), result(1, 2, 2))];
    let text = text(&plan, &all, &proofs);
    (plan, text)
}

#[test]
fn nothing_of_a_patch_is_obeyed_in_the_text() {
    let (_, text) = hostile_request();
    let seen = outside_of_code(&text.body);
    for word in ["EVIL", "evil", "#1", "GH-9", "alert", "merge\n"] {
        assert!(!seen.contains(word), "{word}: {seen}");
    }
    for html in raw_html(&text.body) {
        let is_own = html.starts_with("<details><summary>")
            || ["</details>", "</summary>", "<code>", "</code>"].contains(&html.as_str())
            || (html.starts_with("<!-- patchset-upkeep v1 of=ours ") && html.ends_with("-->"));
        assert!(is_own, "{html:?}");
    }
    for event in Parser::new_ext(&text.body, Options::all()) {
        if let Event::Start(Tag::Link { dest_url, .. }) = &event {
            assert!(dest_url.starts_with("https://"), "{dest_url}");
        }
        assert!(!matches!(event, Event::Start(Tag::Image { .. })), "{event:?}");
    }
    let page = rendered(&text.body);
    for injected in ["<script", "<b>", "<img", "href=\"javascript"] {
        assert!(!page.contains(injected), "{injected}: {page}");
    }
    assert_eq!(UpkeepMarker::read(&text.body), Some(text.marker));
    assert!(!text.body.contains(['\u{202e}', '\u{1b}']));
}

#[test]
fn nothing_of_a_patch_is_obeyed_in_a_commit() {
    let (plan, _) = hostile_request();
    for commit in &plan.commits {
        let message = &commit.message;
        assert!(!message.contains("@evil") && !message.contains("#1"), "{message}");
        assert!(!message.contains(['\u{202e}', '\u{1b}']), "{message}");
        assert!(
            message.lines().next().unwrap().chars().count() <= 100,
            "{message}"
        );
        let mark = CommitMark::read(message).unwrap();
        assert_eq!(
            (mark.change, mark.namespace.as_str()),
            (commit.change.id.clone(), "ours")
        );
    }
}

#[test]
fn a_text_stays_as_long_as_servers_keep_it() {
    let names: Vec<String> = (0..600)
        .map(|number| format!("{number:04}-{}.patch", "x".repeat(180)))
        .collect();
    let paths: Vec<String> = names
        .iter()
        .map(|name| format!("patches/glance/2025.2/{name}"))
        .collect();
    let files = MemoryFiles::new(paths.iter().map(|path| (path.as_str(), "one")));
    let long = "é@x ".repeat(5000);
    let interdiff = "+é@x\n".repeat(5000);
    let patches = names.iter().enumerate().map(|(number, name)| match number % 3 {
        0 => {
            let mut patch = tweaked(name, "one", Some(&interdiff));
            patch.subject = Some(long.clone());
            patch.merged.as_mut().unwrap().subject = Some(long.clone());
            patch
        }
        1 => broken(name, "one"),
        _ => moved(name, "one"),
    });
    let all = [facts("glance", "2025.2", patches.collect())];
    let plan = planned(&files, &all);
    assert_eq!(plan.commits.len(), 100);
    assert!(plan.commits.iter().all(|commit| commit.message.len() < 8 << 10));
    let proofs = [proof("glance-2025.2", result(200, 600, 1), result(200, 500, 1))];
    let text = text(&plan, &all, &proofs);
    assert!(text.body.len() < 60_000, "{}", text.body.len());
    assert!(
        text.body.contains("more changes, which the commits tell"),
        "{}",
        text.body
    );
    assert!(text.title.chars().count() < 100);
    let page = rendered(&text.body);
    assert_eq!(
        page.matches("<details>").count(),
        page.matches("</details>").count()
    );
    assert_eq!(UpkeepMarker::read(&text.body).unwrap().changes.len(), 100);
}

#[test]
fn a_title_names_components_and_releases_alone() {
    let components = ["glance", "keystone", "nova", "zun"];
    let paths = components.map(|name| format!("patches/{name}/2025.2/1.patch"));
    let all =
        components.map(|name| facts(name, "2025.2", vec![merged("1.patch", "one", Evidence::ChangeId)]));
    for (count, expected) in [
        (1, "glance 2025.2: drop 1 patch"),
        (2, "glance 2025.2, keystone 2025.2: drop 2 patches"),
        (
            4,
            "glance 2025.2, keystone 2025.2, nova 2025.2, 1 more: drop 4 patches",
        ),
    ] {
        let files = MemoryFiles::new(paths[..count].iter().map(|path| (path.as_str(), "one")));
        let plan = planned(&files, &all[..count]);
        assert_eq!(text(&plan, &all, &[]).title, expected);
    }
}
