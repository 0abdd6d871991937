//! What to commit, given what the branches of a repository have.

use std::collections::{BTreeMap, BTreeSet};

use super::marker::Marker;
use super::message::{Trailers, trailers};
use super::plan::{Plan, plan};
use super::yaml::Change;
use crate::api::build::ImageStatus;

/// An image with the namespace and name of its `PatchSet`.
pub type Named = ((String, String), ImageStatus);

/// The newest commit of a branch.
#[derive(Clone, Copy, Debug)]
pub struct Tip<'a> {
    /// Its id.
    pub commit: &'a str,
    /// The commit before it; nothing for the first.
    pub parent: Option<&'a str>,
    /// What is said of it.
    pub message: &'a str,
    /// Its files that may have markers.
    pub files: &'a [(String, Vec<u8>)],
}

/// The branch that a commit is made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    /// The one that is followed.
    Followed,
    /// The one that commits go to.
    Beside,
}

/// What to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Round {
    /// Nothing: this branch has it all. `waits`: whether something waits to be merged.
    Nothing {
        /// The branch.
        at: Onto,
        /// Whether something waits on the branch beside.
        waits: bool,
    },
    /// These changes.
    Commit {
        /// What they are made on.
        onto: Onto,
        /// The changes.
        plan: Plan,
        /// What the message's trailers say besides the images.
        trailers: Trailers,
        /// Whether something waits on the branch beside, after this.
        waits: bool,
    },
}

/// The `PatchSet`s, by namespace and name, whose images the branch beside cannot take: it lacks a marker of this file, which the
/// followed one has.
pub type Lacks = BTreeMap<(String, String), String>;

/// Decides. `beside`: nothing where commits go to the followed branch itself; nothing in it where that branch is not there yet.
///
/// Commits of others stay: a branch is made anew from the followed one only where all of it is of this controller and was
/// merged, or taken back. Else commits go on top.
///
/// # Errors
///
/// [`Lacks`]: the others can be decided on without those.
pub fn round(base: &Tip<'_>, beside: Option<Option<&Tip<'_>>>, images: &[Named]) -> Result<Round, Lacks> {
    let wanted = planned(base, images);
    let is_done = wanted.files.is_empty();
    let from_base = |wanted: Plan, waits: bool| Round::Commit {
        onto: Onto::Followed,
        plan: wanted,
        trailers: Trailers {
            images: BTreeMap::new(),
            parent: waits.then(|| base.commit.to_owned()),
        },
        waits,
    };
    let nothing = Round::Nothing {
        at: Onto::Followed,
        waits: false,
    };
    let tip = match beside {
        None | Some(None) if is_done => return Ok(nothing),
        None => return Ok(from_base(wanted, false)),
        Some(None) => return Ok(from_base(wanted, true)),
        Some(Some(tip)) => tip,
    };
    let said = trailers(tip.message);
    let is_ours = said.parent.is_some() && said.parent.as_deref() == tip.parent;
    let there = planned(tip, images);
    if is_ours && !is_waiting(&wanted.values, &there.values, &said.images) {
        return Ok(if is_done { nothing } else { from_base(wanted, true) });
    }
    let has: BTreeSet<(&str, &Marker)> = there
        .values
        .iter()
        .map(|(path, marker, _)| (path.as_str(), marker))
        .collect();
    let lacks: Lacks = wanted
        .changes
        .iter()
        .filter(|(path, change)| !has.contains(&(path.as_str(), &change.marker)))
        .map(|(path, Change { marker, .. })| ((marker.namespace.clone(), marker.name.clone()), path.clone()))
        .collect();
    if !lacks.is_empty() {
        return Err(lacks);
    }
    if there.files.is_empty() {
        return Ok(Round::Nothing {
            at: Onto::Beside,
            waits: true,
        });
    }
    let mut carried = if is_ours { said } else { Trailers::default() };
    carried.parent = is_ours.then(|| tip.commit.to_owned());
    let after: Vec<_> = there
        .values
        .iter()
        .map(|(path, marker, value)| {
            let mut changes = there.changes.iter();
            let changed = changes.find(|(file, change)| file == path && change.marker == *marker);
            let value = changed.map_or(value, |(_, change)| &change.after);
            (path.clone(), marker.clone(), value.clone())
        })
        .collect();
    let mut names = carried.images.clone();
    names.extend(
        images
            .iter()
            .map(|(key, image)| (key.clone(), image.reference.clone())),
    );
    let waits = !is_ours || is_waiting(&wanted.values, &after, &names);
    Ok(Round::Commit {
        onto: Onto::Beside,
        plan: there,
        trailers: carried,
        waits,
    })
}

/// Whether a value of one of these `PatchSet`s is another on the branch than on the followed one. It may be where no value of one can be
/// seen.
fn is_waiting(
    base: &[(String, Marker, String)],
    tip: &[(String, Marker, String)],
    names: &BTreeMap<(String, String), String>,
) -> bool {
    let is_of =
        |marker: &Marker, key: &(String, String)| (&marker.namespace, &marker.name) == (&key.0, &key.1);
    names.keys().any(|key| {
        let mut own = tip.iter().filter(|(_, marker, _)| is_of(marker, key)).peekable();
        own.peek().is_none()
            || own.any(|(path, marker, value)| {
                base.iter()
                    .any(|(file, other, there)| file == path && other == marker && there != value)
            })
    })
}

/// The changes of a branch's files for images to be where their markers are.
#[must_use]
pub fn planned(tip: &Tip<'_>, images: &[Named]) -> Plan {
    let files = tip
        .files
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
    plan(files, |namespace, name| {
        let mut images = images.iter();
        images
            .find(|((in_namespace, called), _)| in_namespace == namespace && called == name)
            .map(|(_, image)| image)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::{Delivered, message};

    fn image(name: &str, tag: &str) -> Named {
        let image = ImageStatus {
            tag: tag.into(),
            reference: format!("r/{name}:{tag}@sha256:00"),
            ..ImageStatus::default()
        };
        (("ours".into(), name.into()), image)
    }

    /// A file with the tag of an image.
    fn file(name: &str, tag: &str) -> (String, Vec<u8>) {
        let text = format!("tag: {tag} # {{\"$patchset\": \"ours:{name}:tag\"}}\n");
        (format!("{name}.yaml"), text.into_bytes())
    }

    /// A branch, with what it takes to look at its tip.
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

        fn tip(&self) -> Tip<'_> {
            Tip {
                commit: &self.commit,
                parent: Some(&self.parent),
                message: &self.message,
                files: &self.files,
            }
        }

        /// The branch after a round.
        fn after(&self, base: &Self, id: &str, images: &[Named], made: Round) -> Self {
            let Round::Commit {
                onto, plan, trailers, ..
            } = made
            else {
                panic!("{made:?}");
            };
            let onto = if onto == Onto::Followed { base } else { self };
            let mut files = onto.files.clone();
            for (path, bytes) in plan.files {
                files.iter_mut().find(|(name, _)| *name == path).unwrap().1 = bytes;
            }
            let delivered: Vec<_> = images
                .iter()
                .map(|((namespace, name), image)| Delivered {
                    namespace,
                    name,
                    image,
                })
                .collect();
            Self {
                commit: id.into(),
                parent: onto.commit.clone(),
                message: message("x", &delivered, &[], &trailers).unwrap(),
                files,
            }
        }
    }

    fn of(base: &Branch, beside: &Branch, images: &[Named]) -> Round {
        round(&base.tip(), Some(Some(&beside.tip())), images).unwrap()
    }

    #[test]
    fn images_of_several_wait_together_until_they_are_merged() {
        let files = [file("a", "v1"), file("b", "v1")];
        let base = Branch::by_hand("base", "root", &files);
        let a2 = [image("a", "v2")];
        let made = round(&base.tip(), Some(None), &a2).unwrap();
        assert!(matches!(
            &made,
            Round::Commit {
                onto: Onto::Followed,
                waits: true,
                ..
            }
        ));
        let one = base.after(&base, "one", &a2, made);
        assert_eq!(
            of(&base, &one, &a2),
            Round::Nothing {
                at: Onto::Beside,
                waits: true
            }
        );

        // Another one's image, by whomever, goes on top, and takes nothing away.
        let b2 = [image("b", "v2")];
        let two = one.after(&base, "two", &b2, of(&base, &one, &b2));
        assert_eq!(
            (two.files.as_slice(), two.parent.as_str()),
            (&[file("a", "v2"), file("b", "v2")][..], "one")
        );
        // Its own next image too.
        let a3 = [image("a", "v3")];
        let three = two.after(&base, "three", &a3, of(&base, &two, &a3));
        assert_eq!(three.files, [file("a", "v3"), file("b", "v2")]);
        // One is taken back: the other one still waits.
        let a1 = [image("a", "v1")];
        let back = of(&base, &three, &a1);
        assert!(matches!(
            &back,
            Round::Commit {
                onto: Onto::Beside,
                waits: true,
                ..
            }
        ));
        let four = three.after(&base, "four", &a1, back);
        // The other one is taken back as well: nothing waits.
        let b1 = [image("b", "v1")];
        let last = of(&base, &four, &b1);
        assert!(matches!(
            &last,
            Round::Commit {
                onto: Onto::Beside,
                waits: false,
                ..
            }
        ));
        let five = four.after(&base, "five", &b1, last);
        assert_eq!(
            of(&base, &five, &b1),
            Round::Nothing {
                at: Onto::Followed,
                waits: false
            }
        );

        // Merged by a squash, with more behind it: the branch is made anew.
        let merged = Branch::by_hand(
            "merged",
            "x",
            &[file("a", "v3"), file("b", "v2"), file("c", "v1")],
        );
        let a4 = [image("a", "v4")];
        let made = of(&merged, &three, &a4);
        assert!(matches!(
            &made,
            Round::Commit {
                onto: Onto::Followed,
                ..
            }
        ));
        assert_eq!(three.after(&merged, "six", &a4, made).parent, "merged");
    }

    #[test]
    fn what_others_did_on_the_branch_stays() {
        let base = Branch::by_hand("base", "root", &[file("a", "v1")]);
        let a2 = [image("a", "v2")];
        let one = base.after(&base, "one", &a2, round(&base.tip(), Some(None), &a2).unwrap());
        let mut theirs = Branch::by_hand("theirs", "one", &one.files);
        theirs.files.push(("notes.yaml".into(), b"x: 1\n".to_vec()));
        let mut tip = theirs;
        for (id, tag) in [("two", "v3"), ("three", "v4"), ("four", "v1"), ("five", "v5")] {
            let images = [image("a", tag)];
            let made = of(&base, &tip, &images);
            assert!(
                matches!(
                    &made,
                    Round::Commit {
                        onto: Onto::Beside,
                        waits: true,
                        ..
                    }
                ),
                "{made:?}"
            );
            tip = tip.after(&base, id, &images, made);
            assert_eq!(tip.files.len(), 2, "{id}");
        }
        // A commit of ours that was put onto another one is not all ours.
        let rebased = Branch {
            parent: "elsewhere".into(),
            ..one
        };
        let made = of(&base, &rebased, &[image("a", "v3")]);
        assert!(matches!(
            &made,
            Round::Commit {
                onto: Onto::Beside,
                ..
            }
        ));
    }

    #[test]
    fn a_branch_that_lacks_a_marker_is_told() {
        let base = Branch::by_hand("base", "root", &[file("a", "v1"), file("b", "v1")]);
        let old = Branch::by_hand("old", "root", &[file("b", "v1")]);
        let made = round(
            &base.tip(),
            Some(Some(&old.tip())),
            &[image("a", "v2"), image("b", "v2")],
        );
        let lacks = Lacks::from([(("ours".into(), "a".into()), "a.yaml".into())]);
        assert_eq!(made, Err(lacks));
        // Without a change on the followed branch there is nothing to lack.
        assert_eq!(
            of(&base, &old, &[image("a", "v1")]),
            Round::Nothing {
                at: Onto::Beside,
                waits: true
            }
        );
    }

    #[test]
    fn the_followed_branch_itself_takes_what_changes() {
        let base = Branch::by_hand("base", "root", &[file("a", "v1")]);
        let made = round(&base.tip(), None, &[image("a", "v2")]).unwrap();
        assert!(matches!(
            made,
            Round::Commit {
                onto: Onto::Followed,
                trailers: Trailers { parent: None, .. },
                waits: false,
                ..
            }
        ));
        assert_eq!(
            round(&base.tip(), None, &[image("a", "v1")]).unwrap(),
            Round::Nothing {
                at: Onto::Followed,
                waits: false
            }
        );
    }
}
