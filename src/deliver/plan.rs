//! What has to change in a repository's files for images to be where they should.

use std::collections::BTreeSet;

use bstr::ByteSlice;

use super::marker::{KEY, Marker};
use super::yaml::{Change, edit};
use crate::api::build::ImageStatus;

/// A file that has markers and is left as it is, or a marker that is not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub path: String,
    /// The line, from 1, where it is one.
    pub line: Option<usize>,
    /// Why, and what to do.
    pub message: String,
    /// The lines with markers that are concerned.
    lines: String,
}

impl Fault {
    /// Whether it concerns markers of a `PatchSet`.
    #[must_use]
    pub fn concerns(&self, namespace: &str, name: &str) -> bool {
        [":", "\""]
            .into_iter()
            .any(|end| self.lines.contains(&format!("\"{namespace}:{name}{end}")))
    }

    /// Where and why, as `path, line 3: why`.
    #[must_use]
    pub fn told(&self) -> String {
        match self.line {
            Some(line) => format!("{}, line {line}: {}", self.path, self.message),
            None => format!("{}: {}", self.path, self.message),
        }
    }
}

/// What has to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The files that change, with their new bytes.
    pub files: Vec<(String, Vec<u8>)>,
    /// The values that change, each with its file.
    pub changes: Vec<(String, Change)>,
    /// The `PatchSet`s, by namespace and name, whose markers were found and are followed.
    pub followed: BTreeSet<(String, String)>,
    /// All markers that can be followed, each with its file and the value as it was.
    pub values: Vec<(String, Marker, String)>,
    /// What could not be followed.
    pub faults: Vec<Fault>,
}

impl Plan {
    /// Whether a value of a `PatchSet` changes.
    #[must_use]
    pub fn changes(&self, namespace: &str, name: &str) -> bool {
        let mut changes = self.changes.iter();
        changes.any(|(_, change)| change.marker.namespace == namespace && change.marker.name == name)
    }
}

/// Whether a file may have markers. Others need not be kept.
#[must_use]
pub fn may_have_markers(bytes: &[u8]) -> bool {
    bytes.contains_str(KEY)
}

/// Plans the changes of some files, given as paths and bytes. Files without a marker are passed over, whatever they are.
#[must_use]
pub fn plan<'a, 'i>(
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    image_of: impl Fn(&str, &str) -> Option<&'i ImageStatus>,
) -> Plan {
    let mut plan = Plan::default();
    for (path, bytes) in files {
        if !may_have_markers(bytes) {
            continue;
        }
        let fault = |line: Option<usize>, message: String, lines: String| Fault {
            path: path.to_owned(),
            line,
            message,
            lines,
        };
        let Ok(text) = std::str::from_utf8(bytes) else {
            let lines = marked(&String::from_utf8_lossy(bytes));
            let message = "it has a marker and is not UTF-8, so that it is left as it is".to_owned();
            let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
            let line = valid.matches('\n').count() + 1;
            plan.faults.push(fault(Some(line), message, lines));
            continue;
        };
        let edited = match edit(text, |marker| image_of(&marker.namespace, &marker.name)) {
            Ok(edited) => edited,
            Err(error) => {
                plan.faults
                    .push(fault(error.line(), error.to_string(), marked(text)));
                continue;
            }
        };
        let problems = edited.problems.into_iter();
        plan.faults
            .extend(problems.map(|problem| fault(Some(problem.line), problem.message, problem.markers)));
        plan.values.extend(
            edited
                .values
                .into_iter()
                .map(|(marker, value)| (path.to_owned(), marker, value)),
        );
        plan.followed.extend(
            edited
                .followed
                .into_iter()
                .map(|marker| (marker.namespace, marker.name)),
        );
        plan.changes
            .extend(edited.changes.into_iter().map(|change| (path.to_owned(), change)));
        if let Some(text) = edited.text {
            plan.files.push((path.to_owned(), text.into_bytes()));
        }
    }
    plan
}

/// The lines that have a marker.
fn marked(text: &str) -> String {
    let lines: Vec<&str> = text
        .split(['\n', '\r'])
        .filter(|line| line.contains(KEY))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(tag: &str) -> ImageStatus {
        ImageStatus {
            repository: "r/glance".into(),
            tag: tag.into(),
            digest: "sha256:00".into(),
            reference: format!("r/glance:{tag}@sha256:00"),
            revision: "31.0.0@sha1:00".into(),
            inputs_digest: "sha256:11".into(),
            ..ImageStatus::default()
        }
    }

    #[test]
    fn files_change_where_markers_ask_for_it() {
        let image = image("v2");
        let files: [(&str, &[u8]); 5] = [
            (
                "a.yaml",
                b"image: r/glance:v1 # {\"$patchset\": \"ours:glance\"}\n",
            ),
            ("b.yaml", b"tag: v2 # {\"$patchset\": \"ours:glance:tag\"}\n"),
            ("c.yaml", b"tag: v1 # {\"$patchset\": \"ours:nova:tag\"}\n"),
            ("d.yaml", b"\xff $patchset \"ours:glance:tag\"\n"),
            ("e.yaml", b"a: [\n# {\"$patchset\": \"theirs:glance\"}\n"),
        ];
        let plan = plan(files, |namespace, name| {
            ((namespace, name) == ("ours", "glance")).then_some(&image)
        });
        let changed: Vec<_> = plan.files.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(changed, ["a.yaml"]);
        assert_eq!(
            plan.files[0].1,
            b"image: r/glance:v2@sha256:00 # {\"$patchset\": \"ours:glance\"}\n"
        );
        assert!(plan.changes("ours", "glance") && !plan.changes("ours", "nova"));
        assert_eq!(
            plan.followed,
            BTreeSet::from([("ours".to_owned(), "glance".to_owned())])
        );
        assert_eq!(plan.faults.len(), 2);
        assert!(plan.faults[0].concerns("ours", "glance") && !plan.faults[0].concerns("ours", "glan"));
        assert!(plan.faults[1].concerns("theirs", "glance") && !plan.faults[1].concerns("ours", "glance"));
        assert!(plan.faults[1].told().starts_with("e.yaml, line 1: "));
    }
}
