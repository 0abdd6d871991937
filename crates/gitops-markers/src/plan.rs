//! What has to change in a repository's files for images to be where they should.

use std::collections::BTreeSet;

use bstr::ByteSlice;

use super::edit::{EditedFile, MarkedValue, edit_file};
use super::image::{DeliveredImage, PatchSetName};
use super::lines::lines_with_markers;
use super::marker::MARKER_KEY;
use super::replacement::ValueChange;

/// A file that has markers and is left as it is, or a marker that is not followed.
///
/// As text it is `path, line 3: why`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}{}: {message}", describe_line(*.line))]
pub struct MarkerFault {
    /// The file.
    pub path: String,
    /// The line, from 1, if it is about one.
    pub line: Option<usize>,
    /// Why, and what to do.
    pub message: String,
    /// The lines with the markers that are affected.
    lines: String,
}

fn describe_line(line: Option<usize>) -> String {
    line.map(|line| format!(", line {line}")).unwrap_or_default()
}

impl MarkerFault {
    /// Whether it concerns markers of a `PatchSet`.
    #[must_use]
    pub fn concerns(&self, patch_set: &PatchSetName) -> bool {
        let PatchSetName { namespace, name } = patch_set;
        [":", "\""]
            .into_iter()
            .any(|end| self.lines.contains(&format!("\"{namespace}:{name}{end}")))
    }
}

/// Something in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFile<T> {
    /// The file.
    pub path: String,
    /// What is in it.
    pub found: T,
}

/// What has to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EditPlan {
    /// The files that change, with their new bytes.
    pub files: Vec<(String, Vec<u8>)>,
    /// The values that change.
    pub changes: Vec<InFile<ValueChange>>,
    /// The `PatchSet`s whose markers were found and are followed.
    pub followed: BTreeSet<PatchSetName>,
    /// All values whose markers can be followed, as they were.
    pub values: Vec<InFile<MarkedValue>>,
    /// What could not be followed.
    pub faults: Vec<MarkerFault>,
}

impl EditPlan {
    /// Whether a value of a `PatchSet` changes.
    #[must_use]
    pub fn changes_value_of(&self, patch_set: &PatchSetName) -> bool {
        let mut changes = self.changes.iter();
        changes.any(|change| change.found.marker.patch_set == *patch_set)
    }

    fn add(&mut self, path: &str, edited: EditedFile) {
        self.faults
            .extend(edited.problems.into_iter().map(|problem| MarkerFault {
                path: path.to_owned(),
                line: Some(problem.line),
                message: problem.message,
                lines: problem.markers,
            }));
        let followed = edited.followed.into_iter();
        self.followed.extend(followed.map(|marker| marker.patch_set));
        self.values.extend(in_file(path, edited.values));
        self.changes.extend(in_file(path, edited.changes));
        let text = edited.text.map(|text| (path.to_owned(), text.into_bytes()));
        self.files.extend(text);
    }
}

fn in_file<T>(path: &str, found: Vec<T>) -> impl Iterator<Item = InFile<T>> {
    let all = found.into_iter();
    all.map(|found| InFile {
        path: path.to_owned(),
        found,
    })
}

/// Whether a file may have markers.
///
/// Others need not be kept.
#[must_use]
pub fn may_have_markers(bytes: &[u8]) -> bool {
    bytes.contains_str(MARKER_KEY)
}

/// Plans the changes of some files, given as paths and bytes.
///
/// Files without a marker are skipped, whatever they are.
#[must_use]
pub fn plan_edits<'a, 'i>(
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    image_of: impl Fn(&PatchSetName) -> Option<&'i DeliveredImage>,
) -> EditPlan {
    let mut plan = EditPlan::default();
    for (path, bytes) in files {
        if !may_have_markers(bytes) {
            continue;
        }
        let fault = |line: Option<usize>, message: String, text: &str| MarkerFault {
            path: path.to_owned(),
            line,
            message,
            lines: lines_with_markers(text),
        };
        let Ok(text) = std::str::from_utf8(bytes) else {
            let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
            let line = valid.matches('\n').count() + 1;
            let message = "it has a marker but is not UTF-8, so it is left as it is".to_owned();
            let text = String::from_utf8_lossy(bytes);
            plan.faults.push(fault(Some(line), message, &text));
            continue;
        };
        match edit_file(text, &image_of) {
            Ok(edited) => plan.add(path, edited),
            Err(error) => plan.faults.push(fault(error.line(), error.to_string(), text)),
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::tests::image;

    #[test]
    fn files_change_where_markers_ask_for_it() {
        let image = image("glance", "v2");
        let files: [(&str, &[u8]); 6] = [
            (
                "a.yaml",
                b"image: r/glance:v1 # {\"$patchset\": \"ours:glance\"}\n",
            ),
            ("b.yaml", b"tag: v2 # {\"$patchset\": \"ours:glance:tag\"}\n"),
            ("c.yaml", b"tag: v1 # {\"$patchset\": \"ours:nova:tag\"}\n"),
            ("d.yaml", b"\xff $patchset \"ours:glance:tag\"\n"),
            ("f.bin", b"\xff ours:glance\n"),
            ("e.yaml", b"a: [\n# {\"$patchset\": \"theirs:glance\"}\n"),
        ];
        let name = PatchSetName::new;
        let plan = plan_edits(files, |patch_set| {
            (*patch_set == name("ours", "glance")).then_some(&image)
        });
        let changed: Vec<_> = plan.files.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(changed, ["a.yaml"]);
        assert_eq!(
            plan.files[0].1,
            b"image: r/glance:v2@sha256:00 # {\"$patchset\": \"ours:glance\"}\n"
        );
        assert!(
            plan.changes_value_of(&name("ours", "glance")) && !plan.changes_value_of(&name("ours", "nova"))
        );
        assert_eq!(plan.followed, BTreeSet::from([name("ours", "glance")]));
        assert_eq!(plan.faults.len(), 2);
        assert!(
            plan.faults[0]
                .to_string()
                .starts_with("d.yaml, line 1: it has a marker")
        );
        assert!(
            plan.faults[0].concerns(&name("ours", "glance"))
                && !plan.faults[0].concerns(&name("ours", "glan"))
        );
        assert!(
            plan.faults[1].concerns(&name("theirs", "glance"))
                && !plan.faults[1].concerns(&name("ours", "glance"))
        );
        assert!(plan.faults[1].to_string().starts_with("e.yaml, line 1: "));
    }
}
