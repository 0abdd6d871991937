//! What changed between two images of an object's history.

use image_references::ImageReference;
use patchset_api::build::{BuildRecord, RecordedPatch};
use patchset_api::{PatchSet, Revision};
use upstream_history::{UpstreamCommit, commit_url, compare_url};

use crate::page::web_address;

/// How many digits of an image's digest name it in an address.
const DIGITS: usize = 12;

/// Two images, named by the first digits of their digests, as an address has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComparedImages {
    from: String,
    to: String,
}

impl ComparedImages {
    /// Reads the pairs of an address: `compare=A..B`, or `from=A` and `to=B`; `None` unless two are
    /// named.
    #[must_use]
    pub fn read<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let mut images = Self::default();
        for (name, value) in pairs {
            match name {
                "compare" => {
                    let (from, to) = value.split_once("..")?;
                    (images.from, images.to) = (digits(from), digits(to));
                }
                "from" => images.from = digits(value),
                "to" => images.to = digits(value),
                _ => {}
            }
        }
        (!images.from.is_empty() && !images.to.is_empty()).then_some(images)
    }
}

fn digits(text: &str) -> String {
    let digits = text.chars().filter(char::is_ascii_hexdigit);
    digits.take(DIGITS).collect()
}

/// The id of an image of the history in an address.
pub(super) fn image_id(record: &BuildRecord) -> String {
    let digest = record.reference.value().and_then(ImageReference::digest);
    digest.map_or_else(String::new, |digest| digits(digest.digits()))
}

/// How a patch differs between two images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImagePatchChange {
    /// Its name, with the former one if that differs.
    pub(super) name: String,
    /// `added`, `removed`, `changed` or `renamed`, in words.
    pub(super) what: String,
    /// The CSS class.
    pub(super) class: &'static str,
    /// `+`, `-` or `~`.
    pub(super) sign: char,
}

/// What changed between two images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageComparison {
    pub(super) from: String,
    pub(super) to: String,
    /// The upstream's revisions, each with the page of its commit; one if both images have the
    /// same.
    pub(super) upstream: Vec<(String, Option<String>)>,
    /// The page with the upstream's commits between them.
    pub(super) upstream_url: Option<String>,
    /// The patches that differ.
    pub(super) patches: Vec<ImagePatchChange>,
    /// What is unknown, or that nothing changed.
    pub(super) note: Option<String>,
}

impl ImageComparison {
    /// Compares two images of an object's history. The error says which one is missing.
    pub(super) fn new(object: &PatchSet, images: &ComparedImages) -> Result<Self, String> {
        let history = object.status.as_ref().map(|status| status.history.as_slice());
        let find = |id: &str| {
            let mut records = history.unwrap_or_default().iter();
            records
                .find(|record| image_id(record).starts_with(id))
                .ok_or_else(|| format!("There is no image {id} in the history: it has only the last images."))
        };
        let (from, to) = (find(&images.from)?, find(&images.to)?);
        let [before, after] = [from, to].map(|record| record.revision.value());
        let is_same = from.revision.as_str() == to.revision.as_str();
        let ends = [from, to].into_iter().skip(usize::from(is_same));
        let ends = ends.map(|record| match record.revision.value() {
            Some(revision) => (revision.short(), commit_page(object, revision)),
            None => (record.revision.to_string(), None),
        });
        let range = before
            .zip(after)
            .filter(|(before, after)| before.commit != after.commit);
        let upstream_url = range.and_then(|(before, after)| commits_page(object, before, after));
        let known = from.patches.as_deref().zip(to.patches.as_deref());
        let patches = known.map(|(before, after)| changes(before, after));
        let omitted = from.omitted_patches.unwrap_or_default() + to.omitted_patches.unwrap_or_default();
        let note = match &patches {
            None => Some("Which patches are in one of them was not recorded.".to_owned()),
            Some(_) if omitted > 0 => {
                Some("There were more patches than are recorded: only those are compared.".to_owned())
            }
            Some(patches) if patches.is_empty() => Some("The patches are the same.".to_owned()),
            Some(_) => None,
        };
        Ok(Self {
            from: from.reference.to_string(),
            to: to.reference.to_string(),
            upstream: ends.collect(),
            upstream_url,
            patches: patches.unwrap_or_default(),
            note,
        })
    }
}

/// The page of a commit, where one is known.
fn commit_page(object: &PatchSet, revision: &Revision) -> Option<String> {
    let upstream = &object.spec.upstream;
    let commit = UpstreamCommit {
        commit: revision.commit,
        subject: String::new(),
        author: String::new(),
        date: 0,
        change_id: None,
    };
    let template = upstream.commit_url_template.as_deref();
    web_address(&commit_url(&upstream.url, &commit, template)?)
}

/// The page with the commits from one to the other, where one is known.
fn commits_page(object: &PatchSet, before: &Revision, after: &Revision) -> Option<String> {
    let url = compare_url(&object.spec.upstream.url, before.commit, after.commit)?;
    web_address(&url)
}

fn changes(before: &[RecordedPatch], after: &[RecordedPatch]) -> Vec<ImagePatchChange> {
    let named = |patches: &[RecordedPatch], name: &str| patches.iter().any(|patch| patch.name == name);
    // A patch with the same bytes under another name.
    let former = |patch: &RecordedPatch| {
        let same = before.iter().find(|one| one.blob == patch.blob);
        same.filter(|one| !named(after, &one.name))
    };
    let mut changes = Vec::new();
    for patch in after {
        let (sign, class, what) = match before.iter().find(|one| one.name == patch.name) {
            Some(same) if same.blob == patch.blob => continue,
            Some(_) => ('~', "tool", "changed".to_owned()),
            None => match former(patch) {
                Some(former) => ('~', "pending", format!("renamed, was {}", former.name)),
                None => ('+', "good", "added".to_owned()),
            },
        };
        changes.push(ImagePatchChange {
            name: patch.name.clone(),
            what,
            class,
            sign,
        });
    }
    let is_renamed = |patch: &RecordedPatch| {
        let mut same = after.iter().filter(|one| one.blob == patch.blob);
        same.any(|one| !named(before, &one.name))
    };
    let removed = before
        .iter()
        .filter(|patch| !named(after, &patch.name) && !is_renamed(patch));
    changes.extend(removed.map(|patch| ImagePatchChange {
        name: patch.name.clone(),
        what: "removed".to_owned(),
        class: "person",
        sign: '-',
    }));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn record(digit: char, commit: char, patches: Option<&[(&str, &str)]>) -> Value {
        let digits = |digit: char, count: usize| digit.to_string().repeat(count);
        let mut record = json!({
            "inputsDigest": format!("sha256:{}", digits(digit, 64)),
            "revision": format!("main@sha1:{}", digits(commit, 40)),
            "reference": format!("r.example.org/app:1@sha256:{}", digits(digit, 64)),
            "foundAt": "2026-01-01T00:00:00Z", "attempts": 1
        });
        if let Some(patches) = patches {
            let patches = patches.iter();
            let patches = patches.map(|(name, blob)| json!({ "name": name, "blob": blob }));
            record["patches"] = patches.collect();
        }
        record
    }

    fn compare(records: &[Value], images: &str) -> Result<ImageComparison, String> {
        let object: PatchSet = serde_json::from_value(json!({
            "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet", "metadata": { "name": "x" },
            "spec": {
                "component": "app", "release": "2026.1",
                "upstream": { "url": "https://github.com/a/b.git", "ref": { "branch": "main" } }
            },
            "status": { "history": records }
        }))
        .unwrap();
        let images = ComparedImages::read([("compare", images)].into_iter()).unwrap();
        ImageComparison::new(&object, &images)
    }

    #[test]
    fn patches_come_go_change_and_get_other_names() {
        let before = record('a', '1', Some(&[("1", "x"), ("2", "y"), ("3", "z"), ("4", "v")]));
        let after = record('b', '2', Some(&[("1", "x"), ("2", "w"), ("5", "z"), ("6", "u")]));
        let found = compare(&[after.clone(), before.clone()], "aaaaaaaaaaaa..bbbbbbbbbbbb").unwrap();
        let told: Vec<_> = found
            .patches
            .iter()
            .map(|patch| format!("{} {} {}", patch.sign, patch.name, patch.what))
            .collect();
        assert_eq!(
            told,
            ["~ 2 changed", "~ 5 renamed, was 3", "+ 6 added", "- 4 removed"]
        );
        let page = |digit: &str| Some(format!("https://github.com/a/b/commit/{}", digit.repeat(40)));
        let [first, second] = [("main@1111111", "1"), ("main@2222222", "2")]
            .map(|(revision, digit)| (revision.to_owned(), page(digit)));
        assert_eq!(found.upstream, [first.clone(), second]);
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        let page = format!("https://github.com/a/b/compare/{one}...{two}");
        assert_eq!(found.upstream_url, Some(page));
        assert_eq!(found.note, None);

        let same = compare(&[after, before], "a..a").unwrap();
        assert_eq!((same.upstream, same.upstream_url), (vec![first], None));
        assert_eq!(same.note.as_deref(), Some("The patches are the same."));
    }

    #[test]
    fn what_is_not_known_is_told_and_nothing_is_made_up() {
        let records = [record('b', '2', Some(&[("1", "x")])), record('a', '1', None)];
        let found = compare(&records, "a..b").unwrap();
        assert!(found.patches.is_empty());
        assert!(found.note.unwrap().contains("not recorded"));
        let mut cut = records.clone();
        cut[1] = record('a', '1', Some(&[("1", "x")]));
        cut[1]["omittedPatches"] = json!(3);
        assert!(
            compare(&cut, "a..b")
                .unwrap()
                .note
                .unwrap()
                .contains("more patches")
        );
        assert!(compare(&records, "c..b").unwrap_err().contains("no image c"));
    }

    #[test]
    fn an_address_names_two_images() {
        let read = |pairs: &[(&'static str, &'static str)]| ComparedImages::read(pairs.iter().copied());
        let two = Some(ComparedImages {
            from: "aa".to_owned(),
            to: "bb".to_owned(),
        });
        assert_eq!(read(&[("compare", "aa..bb")]), two);
        assert_eq!(read(&[("from", "aa"), ("to", "bb")]), two);
        assert_eq!(read(&[("from", "<aa>"), ("to", "bb\"")]), two, "digits alone");
        for none in [
            &[][..],
            &[("from", "aa")],
            &[("compare", "aabb")],
            &[("compare", "..")],
        ] {
            assert_eq!(read(none), None);
        }
    }
}
