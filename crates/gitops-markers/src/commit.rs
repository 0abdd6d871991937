//! What to commit, given what the branches of a repository have.

use std::collections::{BTreeMap, BTreeSet};

use super::edit::MarkedValue;
use super::image::{DeliveredImage, PatchSetName};
use super::marker::Marker;
use super::message::{Trailers, parse_trailers};
use super::plan::{EditPlan, InFile, plan_edits};

/// The newest commit of a branch.
#[derive(Clone, Copy, Debug)]
pub struct BranchTip<'a> {
    /// Its id.
    pub commit: &'a str,
    /// The commit before it; `None` for the first.
    pub parent: Option<&'a str>,
    /// Its message.
    pub message: &'a str,
    /// Its files that may have markers.
    pub files: &'a [(String, Vec<u8>)],
}

/// Where commits go.
#[derive(Clone, Copy, Debug)]
pub enum PushTarget<'a> {
    /// To the branch that is followed.
    Followed,
    /// To a branch beside it; `None` if that does not exist yet.
    Beside(Option<BranchTip<'a>>),
}

/// The branch that a commit is made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitBase {
    /// The one that is followed.
    Followed,
    /// The one that commits go to.
    Beside,
}

/// What to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitDecision {
    /// Nothing: a branch has it all.
    Nothing {
        /// The branch.
        at: CommitBase,
        /// Whether something waits on the branch beside.
        waits: bool,
    },
    /// These changes.
    Commit {
        /// What they are made on.
        base: CommitBase,
        /// The changes.
        plan: EditPlan,
        /// What the message's trailers say besides the images.
        trailers: Trailers,
        /// Whether something waits on the branch beside, after this.
        waits: bool,
    },
}

/// The `PatchSet`s whose images the branch beside cannot take: it lacks a marker of this file that
/// the followed one has.
pub type MissingMarkers = BTreeMap<PatchSetName, String>;

/// Decides what to commit.
///
/// Commits of others stay: a branch is recreated from the followed one only if all of it is this
/// controller's and was merged, or taken back. Otherwise commits go on top.
///
/// # Errors
///
/// [`MissingMarkers`]: the others can be decided on without those.
pub fn decide_commit(
    followed: &BranchTip<'_>,
    target: PushTarget<'_>,
    images: &[DeliveredImage],
) -> Result<CommitDecision, MissingMarkers> {
    let wanted = plan_branch(followed, images);
    match target {
        PushTarget::Followed => Ok(decide_followed(wanted, Trailers::default())),
        PushTarget::Beside(None) => Ok(decide_followed(wanted, first_of_branch(followed))),
        PushTarget::Beside(Some(tip)) => decide_beside(followed, &tip, wanted, images),
    }
}

/// The trailers of the first commit on a branch beside.
fn first_of_branch(followed: &BranchTip<'_>) -> Trailers {
    Trailers {
        images: BTreeMap::new(),
        parent: Some(followed.commit.to_owned()),
    }
}

/// Decides on a commit on the followed branch's tip. If its trailers have a parent, it goes to the
/// branch beside, and waits there.
fn decide_followed(wanted: EditPlan, trailers: Trailers) -> CommitDecision {
    if wanted.files.is_empty() {
        return CommitDecision::Nothing {
            at: CommitBase::Followed,
            waits: false,
        };
    }
    CommitDecision::Commit {
        base: CommitBase::Followed,
        plan: wanted,
        waits: trailers.parent.is_some(),
        trailers,
    }
}

/// Decides on a commit if the branch beside exists.
fn decide_beside(
    followed: &BranchTip<'_>,
    tip: &BranchTip<'_>,
    wanted: EditPlan,
    images: &[DeliveredImage],
) -> Result<CommitDecision, MissingMarkers> {
    let trailers = parse_trailers(tip.message);
    let is_ours = trailers.parent.is_some() && trailers.parent.as_deref() == tip.parent;
    let there = plan_branch(tip, images);
    if is_ours && !is_waiting(&wanted.values, &there.values, trailers.images.keys()) {
        return Ok(decide_followed(wanted, first_of_branch(followed)));
    }
    let missing = missing_markers(&wanted, &there);
    if !missing.is_empty() {
        return Err(missing);
    }
    if there.files.is_empty() {
        return Ok(CommitDecision::Nothing {
            at: CommitBase::Beside,
            waits: true,
        });
    }
    let mut carried = if is_ours { trailers } else { Trailers::default() };
    carried.parent = is_ours.then(|| tip.commit.to_owned());
    let names = images.iter().map(|image| &image.patch_set);
    let names = carried.images.keys().chain(names);
    let waits = !is_ours || is_waiting(&wanted.values, &values_after(&there), names);
    Ok(CommitDecision::Commit {
        base: CommitBase::Beside,
        plan: there,
        trailers: carried,
        waits,
    })
}

/// What changes on the followed branch and has no marker on the branch beside.
fn missing_markers(wanted: &EditPlan, there: &EditPlan) -> MissingMarkers {
    let has: BTreeSet<(&str, &Marker)> = there
        .values
        .iter()
        .map(|value| (value.path.as_str(), &value.found.marker))
        .collect();
    wanted
        .changes
        .iter()
        .filter(|change| !has.contains(&(change.path.as_str(), &change.found.marker)))
        .map(|change| (change.found.marker.patch_set.clone(), change.path.clone()))
        .collect()
}

/// The values of a branch after the changes of a plan.
fn values_after(plan: &EditPlan) -> Vec<InFile<MarkedValue>> {
    let mut values = plan.values.clone();
    for value in &mut values {
        let mut changes = plan.changes.iter();
        let changed =
            changes.find(|change| change.path == value.path && change.found.marker == value.found.marker);
        if let Some(changed) = changed {
            value.found.value.clone_from(&changed.found.after);
        }
    }
    values
}

/// Whether a value of one of these `PatchSet`s differs between the branch and the followed one. A
/// `PatchSet` without a visible value counts as waiting.
fn is_waiting<'a>(
    followed: &[InFile<MarkedValue>],
    beside: &[InFile<MarkedValue>],
    mut patch_sets: impl Iterator<Item = &'a PatchSetName>,
) -> bool {
    let is_another = |there: &InFile<MarkedValue>, value: &InFile<MarkedValue>| {
        there.path == value.path
            && there.found.marker == value.found.marker
            && there.found.value != value.found.value
    };
    patch_sets.any(|patch_set| {
        let values = beside.iter();
        let mut own = values
            .filter(|value| value.found.marker.patch_set == *patch_set)
            .peekable();
        own.peek().is_none() || own.any(|value| followed.iter().any(|there| is_another(there, value)))
    })
}

/// Returns the changes to a branch's files that put images where their markers are.
#[must_use]
pub fn plan_branch(tip: &BranchTip<'_>, images: &[DeliveredImage]) -> EditPlan {
    let files = tip
        .files
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
    plan_edits(files, |patch_set| {
        images.iter().find(|image| image.patch_set == *patch_set)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::tests::image;
    use crate::message::commit_message;

    /// A file with the tag of an image.
    fn file(name: &str, tag: &str) -> (String, Vec<u8>) {
        let text = format!("tag: {tag} # {{\"$patchset\": \"ours:{name}:tag\"}}\n");
        (format!("{name}.yaml"), text.into_bytes())
    }

    /// A branch, with what is needed to look at its tip.
    struct Branch {
        commit: String,
        parent: String,
        message: String,
        files: Vec<(String, Vec<u8>)>,
    }

    impl Branch {
        fn by_hand(commit: &str, parent: &str, files: &[(String, Vec<u8>)]) -> Self {
            Self {
                commit: commit.into(),
                parent: parent.into(),
                message: "by hand\n".into(),
                files: files.to_vec(),
            }
        }

        fn tip(&self) -> BranchTip<'_> {
            BranchTip {
                commit: &self.commit,
                parent: Some(&self.parent),
                message: &self.message,
                files: &self.files,
            }
        }

        /// The branch after a round.
        fn after(&self, base: &Self, id: &str, images: &[DeliveredImage], made: CommitDecision) -> Self {
            let CommitDecision::Commit {
                base: onto,
                plan,
                trailers,
                ..
            } = made
            else {
                panic!("{made:?}");
            };
            let onto = if onto == CommitBase::Followed { base } else { self };
            let mut files = onto.files.clone();
            for (path, bytes) in plan.files {
                files.iter_mut().find(|(name, _)| *name == path).unwrap().1 = bytes;
            }
            let delivered: Vec<_> = images.iter().collect();
            Self {
                commit: id.into(),
                parent: onto.commit.clone(),
                message: commit_message("x", &delivered, &[], &trailers).unwrap(),
                files,
            }
        }
    }

    fn decided(base: &Branch, beside: &Branch, images: &[DeliveredImage]) -> CommitDecision {
        decide_commit(&base.tip(), PushTarget::Beside(Some(beside.tip())), images).unwrap()
    }

    #[test]
    fn images_of_several_wait_together_until_they_are_merged() {
        let files = [file("a", "v1"), file("b", "v1")];
        let base = Branch::by_hand("base", "root", &files);
        let a2 = [image("a", "v2")];
        let made = decide_commit(&base.tip(), PushTarget::Beside(None), &a2).unwrap();
        assert!(matches!(
            &made,
            CommitDecision::Commit {
                base: CommitBase::Followed,
                waits: true,
                ..
            }
        ));
        let one = base.after(&base, "one", &a2, made);
        assert_eq!(
            decided(&base, &one, &a2),
            CommitDecision::Nothing {
                at: CommitBase::Beside,
                waits: true
            }
        );

        // Another object's image, by any author, goes on top, and removes nothing.
        let b2 = [image("b", "v2")];
        let two = one.after(&base, "two", &b2, decided(&base, &one, &b2));
        assert_eq!(
            (two.files.as_slice(), two.parent.as_str()),
            (&[file("a", "v2"), file("b", "v2")][..], "one")
        );
        // Its own next image too.
        let a3 = [image("a", "v3")];
        let three = two.after(&base, "three", &a3, decided(&base, &two, &a3));
        assert_eq!(three.files, [file("a", "v3"), file("b", "v2")]);
        // One is reverted: the other one still waits.
        let a1 = [image("a", "v1")];
        let back = decided(&base, &three, &a1);
        assert!(matches!(
            &back,
            CommitDecision::Commit {
                base: CommitBase::Beside,
                waits: true,
                ..
            }
        ));
        let four = three.after(&base, "four", &a1, back);
        // The other one is reverted as well: nothing waits.
        let b1 = [image("b", "v1")];
        let last = decided(&base, &four, &b1);
        assert!(matches!(
            &last,
            CommitDecision::Commit {
                base: CommitBase::Beside,
                waits: false,
                ..
            }
        ));
        let five = four.after(&base, "five", &b1, last);
        assert_eq!(
            decided(&base, &five, &b1),
            CommitDecision::Nothing {
                at: CommitBase::Followed,
                waits: false
            }
        );

        // Merged by a squash, with more commits on top: the branch is created again.
        let merged = Branch::by_hand(
            "merged",
            "x",
            &[file("a", "v3"), file("b", "v2"), file("c", "v1")],
        );
        let a4 = [image("a", "v4")];
        let made = decided(&merged, &three, &a4);
        assert!(matches!(
            &made,
            CommitDecision::Commit {
                base: CommitBase::Followed,
                ..
            }
        ));
        assert_eq!(three.after(&merged, "six", &a4, made).parent, "merged");
    }

    #[test]
    fn what_others_did_on_the_branch_stays() {
        let base = Branch::by_hand("base", "root", &[file("a", "v1")]);
        let a2 = [image("a", "v2")];
        let one = base.after(
            &base,
            "one",
            &a2,
            decide_commit(&base.tip(), PushTarget::Beside(None), &a2).unwrap(),
        );
        let mut theirs = Branch::by_hand("theirs", "one", &one.files);
        theirs.files.push(("notes.yaml".into(), b"x: 1\n".to_vec()));
        let mut tip = theirs;
        for (id, tag) in [("two", "v3"), ("three", "v4"), ("four", "v1"), ("five", "v5")] {
            let images = [image("a", tag)];
            let made = decided(&base, &tip, &images);
            assert!(
                matches!(
                    &made,
                    CommitDecision::Commit {
                        base: CommitBase::Beside,
                        waits: true,
                        ..
                    }
                ),
                "{made:?}"
            );
            tip = tip.after(&base, id, &images, made);
            assert_eq!(tip.files.len(), 2, "{id}");
        }
        // A commit of ours that was rebased onto another author's is not all ours.
        let rebased = Branch {
            parent: "elsewhere".into(),
            ..one
        };
        let made = decided(&base, &rebased, &[image("a", "v3")]);
        assert!(matches!(
            &made,
            CommitDecision::Commit {
                base: CommitBase::Beside,
                ..
            }
        ));
    }

    #[test]
    fn a_branch_that_lacks_a_marker_is_told() {
        let base = Branch::by_hand("base", "root", &[file("a", "v1"), file("b", "v1")]);
        let old = Branch::by_hand("old", "root", &[file("b", "v1")]);
        let made = decide_commit(
            &base.tip(),
            PushTarget::Beside(Some(old.tip())),
            &[image("a", "v2"), image("b", "v2")],
        );
        let lacks = MissingMarkers::from([(PatchSetName::new("ours", "a"), "a.yaml".into())]);
        assert_eq!(made, Err(lacks));
        // Without a change on the followed branch, nothing can be lacking.
        assert_eq!(
            decided(&base, &old, &[image("a", "v1")]),
            CommitDecision::Nothing {
                at: CommitBase::Beside,
                waits: true
            }
        );
    }

    #[test]
    fn the_followed_branch_itself_takes_what_changes() {
        let base = Branch::by_hand("base", "root", &[file("a", "v1")]);
        let made = decide_commit(&base.tip(), PushTarget::Followed, &[image("a", "v2")]).unwrap();
        assert!(matches!(
            made,
            CommitDecision::Commit {
                base: CommitBase::Followed,
                trailers: Trailers { parent: None, .. },
                waits: false,
                ..
            }
        ));
        assert_eq!(
            decide_commit(&base.tip(), PushTarget::Followed, &[image("a", "v1")]).unwrap(),
            CommitDecision::Nothing {
                at: CommitBase::Followed,
                waits: false
            }
        );
    }

    #[test]
    fn a_first_commit_of_others_is_not_this_controllers() {
        let base = Branch::by_hand("base", "root", &[file("a", "v1")]);
        let theirs = Branch::by_hand("theirs", "", &[file("a", "v1")]);
        let tip = BranchTip {
            parent: None,
            ..theirs.tip()
        };
        let made = decide_commit(&base.tip(), PushTarget::Beside(Some(tip)), &[image("a", "v2")]);
        assert!(
            matches!(
                &made,
                Ok(CommitDecision::Commit {
                    base: CommitBase::Beside,
                    trailers: Trailers { parent: None, .. },
                    waits: true,
                    ..
                })
            ),
            "{made:?}"
        );
    }

    #[test]
    fn values_of_one_file_are_told_apart() {
        let both = |a: &str, b: &str| {
            let mut text = b"- ".to_vec();
            text.extend(file("a", a).1);
            text.extend_from_slice(b"- ");
            text.extend(file("b", b).1);
            [("both.yaml".to_owned(), text)]
        };
        let base = Branch::by_hand("base", "root", &both("v1", "w1"));
        let new = [image("a", "v2"), image("b", "w2")];
        let made = decide_commit(&base.tip(), PushTarget::Beside(None), &new).unwrap();
        let one = base.after(&base, "one", &new, made);
        // Both are reverted, one after the other.
        let b1 = [image("b", "w1")];
        let two = one.after(&base, "two", &b1, decided(&base, &one, &b1));
        let last = decided(&base, &two, &[image("a", "v1")]);
        assert!(
            matches!(&last, CommitDecision::Commit { waits: false, .. }),
            "{last:?}"
        );
    }
}
