//! `patchset drop`, `patchset renumber` and `patchset refresh` on a team's repository.

use std::fs;

use super::team::{Outcome, Team};

/// The fix as a patch for a release, between two of the team's own.
fn carry_the_fix(team: &Team, release: &str) {
    let by_git = team.upstream.git(&["format-patch", "-1", "--stdout", &team.fix]);
    team.write(
        &format!("patches/glance/{release}/0003-fix.patch"),
        &(by_git + "\n"),
    );
    for (name, line) in [("0001-first", "line 3"), ("0007-last", "line 35")] {
        let text = patch(line, &format!("own {line}"));
        team.write(&format!("patches/glance/{release}/{name}.patch"), &text);
    }
    let _ = fs::remove_file(team.path(&format!("patches/glance/{release}/0001-own.patch")));
}

/// Turns a line of the file into another.
fn patch(line: &str, into: &str) -> String {
    let number: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
    format!(
        "Subject: [PATCH] {into}\n\n---\n--- a/lib/a.py\n+++ b/lib/a.py\n@@ -{},3 +{},3 @@\n line {}\n-{line}\n+{into}\n line {}\n",
        number - 1,
        number - 1,
        number - 1,
        number + 1
    )
}

fn with_upstream(team: &Team, arguments: &[&str]) -> Outcome {
    let upstreams = team.upstreams();
    team.run(&[arguments, &["--upstream", &upstreams]].concat())
}

fn names(team: &Team, release: &str) -> Vec<String> {
    let folder = format!("glance/{release}/");
    let names = team.names().into_iter();
    names
        .filter_map(|name| name.strip_prefix(&folder).map(ToOwned::to_owned))
        .collect()
}

#[test]
fn what_upstream_has_is_dropped_and_nothing_else() {
    let team = Team::new();
    carry_the_fix(&team, "main");
    carry_the_fix(&team, "2025.1");
    let before = team.patches();
    let told = with_upstream(&team, &["drop", "glance/main", "--dry-run"]).expect(0);
    assert!(
        told.out
            .contains("deleted file mode 100644\n--- a/patches/glance/main/0003-fix.patch"),
        "{}",
        told.out
    );
    assert_eq!(team.patches(), before);
    let told = with_upstream(&team, &["drop", "glance/main"]).expect(0);
    assert_eq!(names(&team, "main"), ["0001-first.patch", "0007-last.patch"]);
    assert_eq!(
        names(&team, "2025.1"),
        ["0001-first.patch", "0003-fix.patch", "0007-last.patch"]
    );
    for line in [
        "patches/glance/main\n    dropped  0003-fix.patch  upstream has it\n",
        "patches/glance/2025.1\n",
        "    stays    0003-fix.patch  the same as 0003-fix.patch by its patch-id: upstream does not have it there; --everywhere drops it too\n",
        "1 patch dropped\n",
    ] {
        assert!(told.out.contains(line), "{line:?} is not in:\n{}", told.out);
    }
    let told = with_upstream(&team, &["drop", "glance/main"]).expect(0);
    assert!(
        told.out.contains("upstream has none of its 2 patches\n"),
        "{}",
        told.out
    );
    // Once the other release has it too, it is dropped there as well.
    team.upstream.git(&["checkout", "--quiet", "stable/2025.1"]);
    team.upstream.git(&["cherry-pick", "-x", &team.fix]);
    carry_the_fix(&team, "main");
    with_upstream(&team, &["drop", "glance/main"]).expect(0);
    assert_eq!(names(&team, "2025.1"), ["0001-first.patch", "0007-last.patch"]);
}

#[test]
fn a_release_whose_branch_is_gone_stops_no_drop_elsewhere() {
    let team = Team::new();
    carry_the_fix(&team, "main");
    carry_the_fix(&team, "2025.1");
    team.upstream.git(&["checkout", "--quiet", "main"]);
    team.upstream.git(&["branch", "--quiet", "-D", "stable/2025.1"]);
    let told = with_upstream(&team, &["drop", "glance/main"]).expect(1);
    assert_eq!(names(&team, "main"), ["0001-first.patch", "0007-last.patch"]);
    assert_eq!(names(&team, "2025.1").len(), 3);
    assert!(told.err.contains("patches/glance/2025.1: "), "{}", told.err);
    let stays = "the same as 0003-fix.patch by its patch-id: whether upstream has it there is not known; --everywhere drops it too";
    assert!(told.out.contains(stays), "{}", told.out);
}

#[test]
fn named_patches_are_dropped_everywhere_where_that_is_asked_for() {
    let team = Team::new();
    for release in ["2025.1", "2026.1"] {
        carry_the_fix(&team, release);
    }
    let told = team.run(&["drop", "glance/2025.1", "0003"]).expect(0);
    assert_eq!(names(&team, "2025.1"), ["0001-first.patch", "0007-last.patch"]);
    assert_eq!(names(&team, "2026.1").len(), 3);
    assert!(
        told.out
            .contains("whether upstream has it there is not known: give --upstream, or --everywhere"),
        "{}",
        told.out
    );
    let told = team
        .run(&["drop", "glance/2025.1", "0001-first.patch", "--everywhere"])
        .expect(0);
    assert_eq!(names(&team, "2026.1"), ["0003-fix.patch", "0007-last.patch"]);
    assert!(told.out.contains("2 patches dropped"), "{}", told.out);
    let before = team.patches();
    for (arguments, words) in [
        (
            vec!["drop", "glance/2026.1", "0003-fixx.patch"],
            "did you mean 0003-fix.patch?",
        ),
        (
            vec!["drop", "glance/2026.1", "0003", "0003-fix.patch"],
            "0003-fix.patch is named twice",
        ),
        (
            vec!["drop", "glance/2026.1"],
            "what upstream has is dropped where no patch is named",
        ),
        (vec!["drop", "glanse/2026.1", "0003"], "did you mean glance?"),
        (vec!["drop", "glance/2026.2", "0003"], "did you mean 2026.1"),
        (vec!["drop", "glance", "0003"], "write COMPONENT/RELEASE"),
    ] {
        let told = team.run(&arguments).expect(2);
        assert!(told.err.contains(words), "{arguments:?}: {}", told.err);
    }
    assert_eq!(team.patches(), before);
}

#[test]
fn what_needs_a_dropped_patch_is_told() {
    let team = Team::new();
    team.write(
        "patches/glance/2025.1/0002-first.patch",
        &patch("line 3", "own line 3"),
    );
    team.write(
        "patches/glance/2025.1/0003-second.patch",
        "--- a/lib/a.py\n+++ b/lib/a.py\n@@ -2,3 +2,3 @@\n line 2\n-own line 3\n+own line three\n line 4\n",
    );
    let told = with_upstream(&team, &["drop", "glance/2025.1", "0002"]).expect(1);
    assert!(
        told.out.contains(
            "patches/glance/2025.1/0003-second.patch applies only with what is dropped: drop it too, or mend it\n"
        ),
        "{}",
        told.out
    );
}

#[test]
fn numbers_get_no_gaps_and_lists_and_links_follow() {
    let team = Team::new();
    carry_the_fix(&team, "2025.1");
    team.write(
        "patches/glance/2025.2/series",
        "# all\n0009-x.patch -p1\nfix.patch\n0002-y.patch\n",
    );
    for name in ["0009-x", "fix", "0002-y"] {
        team.write(
            &format!("patches/glance/2025.2/{name}.patch"),
            &patch("line 3", name),
        );
    }
    fs::create_dir_all(team.path("patches/glance/2026.1")).unwrap();
    std::os::unix::fs::symlink(
        "../2025.1/0007-last.patch",
        team.path("patches/glance/2026.1/0001-last.patch"),
    )
    .unwrap();
    let linked = team.read("patches/glance/2026.1/0001-last.patch");
    let before = team.patches();
    let told = team.run(&["renumber", "all", "--dry-run"]).expect(0);
    assert_eq!(team.patches(), before);
    assert!(
        told.err.contains("0003-fix.patch → 0002-fix.patch"),
        "{}",
        told.err
    );
    let told = team.run(&["renumber", "all"]).expect(0);
    assert_eq!(
        names(&team, "2025.1"),
        ["0001-first.patch", "0002-fix.patch", "0003-last.patch"]
    );
    assert_eq!(
        team.read("patches/glance/2025.2/series"),
        "# all\n0001-x.patch -p1\nfix.patch\n0003-y.patch\n"
    );
    assert_eq!(team.read("patches/glance/2026.1/0001-last.patch"), linked);
    assert!(told.out.contains("4 patches have new numbers\n"), "{}", told.out);
    let told = team.run(&["renumber", "glance/2025.1"]).expect(0);
    assert!(
        told.out.contains("the numbers are already in sequence\n"),
        "{}",
        told.out
    );
    let told = team.run(&["renumber", "glance"]).expect(2);
    assert!(told.err.contains("write COMPONENT/RELEASE"), "{}", told.err);
}

#[test]
fn patches_are_made_anew_for_what_their_release_is_built_from() {
    let team = Team::new();
    for release in ["2025.2", "2026.1", "2024.2", "main"] {
        let by_git = team
            .upstream
            .git(&["format-patch", "-1", "--stdout", "--full-index", &team.fix]);
        team.write(
            &format!("patches/glance/{release}/0001-fix.patch"),
            &(by_git + "\n"),
        );
    }
    let before = team.patches();
    let told = with_upstream(&team, &["refresh", "glance/2025.2", "--dry-run"]).expect(0);
    assert!(
        told.out.contains("--- a/patches/glance/2025.2/0001-fix.patch\n"),
        "{}",
        told.out
    );
    assert!(
        told.err.contains("1 of 1 patches would be refreshed"),
        "{}",
        told.err
    );
    assert_eq!(team.patches(), before);
    let told = with_upstream(&team, &["refresh", "all"]).expect(1);
    for line in [
        "patches/glance/2025.2 at stable/2025.2\nrefreshed  0001-fix.patch\n    lib/a.py: 2 lines further below\n",
        "patches/glance/2026.1 at stable/2026.1\nrefreshed by a merge  0001-fix.patch\n",
        "patches/glance/2024.2 at stable/2024.2\nto be mended by hand  0001-fix.patch\n",
        "patches/glance/main at main\nalready there  0001-fix.patch\n",
    ] {
        assert!(told.out.contains(line), "{line:?} is not in:\n{}", told.out);
    }
    let after = team.patches();
    for (release, is_changed) in [
        ("2025.2", true),
        ("2026.1", true),
        ("2024.2", false),
        ("main", false),
    ] {
        let name = format!("glance/{release}/0001-fix.patch");
        assert_eq!(before[&name] != after[&name], is_changed, "{release}");
    }
    for release in ["2025.2", "2026.1"] {
        let (tree, _) = team.applied_by_git(release);
        assert_eq!(tree, team.picked_by_git(release, &team.fix, &[]).0, "{release}");
    }
    let json = with_upstream(&team, &["refresh", "glance/2025.2", "--output", "json"]).expect(0);
    let line: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(line["patch"], "patches/glance/2025.2/0001-fix.patch");
    assert_eq!(line["outcome"], "UpToDate");
    let told = team
        .run(&["refresh", "patches/glance/2025.2/0001-fix.patch"])
        .expect(2);
    assert!(
        told.err.contains(
            "for patch files, name the repository and the revision that they are for with --repo and --ref"
        ),
        "{}",
        told.err
    );
    let moved = team.path("patches/glance/2025.2/0001-fix.patch");
    let told = team
        .run(&["refresh", "--repo", "x", moved.to_str().unwrap()])
        .expect(2);
    assert!(told.err.contains("--ref"), "{}", told.err);
}
