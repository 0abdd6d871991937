//! The marks by which a branch and a request are recognised: in the trailer of each commit, and in
//! a hidden comment at the end of the request's text.

use std::fmt;

use jiff::Timestamp;

use super::change_id::ChangeId;

/// What a commit's trailer begins with (git-interpret-trailers(1)).
const TRAILER: &str = "Patchset-Upkeep";

/// What the comment in a text begins with.
const COMMENT: &str = "<!-- patchset-upkeep v1 ";

/// The most changes that are read from a comment.
const MOST_CHANGES: usize = 1000;

/// What the trailer of a commit says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitMark {
    /// The namespace of the `PatchSet`s.
    pub namespace: String,
    /// The change that the commit makes.
    pub change: ChangeId,
    /// A digest over all that the branch changes up to this commit, and over what was there before.
    pub content: String,
}

impl CommitMark {
    /// Reads the last paragraph of a message.
    #[must_use]
    pub fn read(message: &str) -> Option<Self> {
        let last = message.trim_end().rsplit("\n\n").next()?;
        let value = last.lines().rev().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            (key == TRAILER).then_some(value)
        })?;
        let mut words = value.split(' ');
        let (namespace, change, content) = (words.next()?, words.next()?, words.next()?);
        words.next().is_none().then(|| Self {
            namespace: namespace.to_owned(),
            change: ChangeId::recorded(change),
            content: content.to_owned(),
        })
    }
}

impl fmt::Display for CommitMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{TRAILER}: {} {} {}",
            self.namespace, self.change, self.content
        )
    }
}

/// What the comment in a request's text says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpkeepMarker {
    /// The namespace of the `PatchSet`s.
    pub namespace: String,
    /// A digest over the title.
    pub title: String,
    /// A digest over title and text, except for this comment.
    pub text: String,
    /// When the text was written.
    pub at: Timestamp,
    /// The changes that are proposed.
    pub changes: Vec<ChangeId>,
}

impl UpkeepMarker {
    /// The text with this marker replaced by one that says that nothing is proposed.
    #[must_use]
    pub fn withdrawn(&self, body: &str) -> String {
        let marker = Self {
            text: "withdrawn".to_owned(),
            changes: Vec::new(),
            ..self.clone()
        };
        let kept = body.rsplit_once(COMMENT).map_or(body, |(kept, _)| kept);
        format!("{kept}{marker}")
    }

    /// Reads the last comment of a text; `None` where it has none.
    #[must_use]
    pub fn read(body: &str) -> Option<Self> {
        let (_, rest) = body.rsplit_once(COMMENT)?;
        let (inner, _) = rest.split_once(" -->")?;
        let mut found = [None; 5];
        for field in inner.split(' ') {
            let (key, value) = field.split_once('=')?;
            let at = ["of", "title", "text", "at", "changes"]
                .iter()
                .position(|known| *known == key)?;
            *found.get_mut(at)? = Some(value);
        }
        let [of, title, text, at, changes] = found;
        let changes = changes?.split(',').filter(|change| !change.is_empty());
        Some(Self {
            namespace: of?.to_owned(),
            title: title?.to_owned(),
            text: text?.to_owned(),
            at: Timestamp::from_second(at?.parse().ok()?).ok()?,
            changes: changes.take(MOST_CHANGES).map(ChangeId::recorded).collect(),
        })
    }
}

impl fmt::Display for UpkeepMarker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changes: Vec<&str> = self.changes.iter().map(ChangeId::as_str).collect();
        write!(
            f,
            "{COMMENT}of={} title={} text={} at={} changes={} -->",
            self.namespace,
            self.title,
            self.text,
            self.at.as_second(),
            changes.join(",")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_as_they_are_written() {
        let mark = CommitMark {
            namespace: "ours".to_owned(),
            change: ChangeId::recorded("0123456789abcdef"),
            content: "aa".to_owned(),
        };
        assert_eq!(
            CommitMark::read(&format!("subject\n\nbody\n\n{mark}\n")),
            Some(mark.clone())
        );
        for none in [
            "",
            "Patchset-Upkeep: a b c\n\nand more",
            "s\n\nPatchset-Upkeep: a b",
            "s\n\nPatchset-Upkeep: a b c d",
            "s\n\n    Patchset-Upkeep: a b c",
        ] {
            assert_eq!(CommitMark::read(none), None, "{none:?}");
        }
        let mut marker = UpkeepMarker {
            namespace: "ours".to_owned(),
            title: "00".to_owned(),
            text: "11".to_owned(),
            at: Timestamp::from_second(1_746_403_200).unwrap(),
            changes: vec![ChangeId::recorded("ab"), ChangeId::recorded("cd")],
        };
        // The last one counts, and what a person wrote after it is no part of it.
        let body = format!("a\n\n<!-- patchset-upkeep v1 of=x -->\n{marker}\nthanks -->\n");
        assert_eq!(UpkeepMarker::read(&body), Some(marker.clone()));
        marker.changes.clear();
        assert_eq!(UpkeepMarker::read(&marker.to_string()), Some(marker));
        for none in [
            "",
            "<!-- patchset-upkeep v1 of=x -->",
            "<!-- patchset-upkeep v1 of=x title=1 text=2 at=x changes= -->",
            "<!-- patchset-upkeep v1 of=x title=1 text=2 at=3 changes= more=4 -->",
            "<!-- patchset-upkeep v1 of=x title=1 text=2 at=3 changes=",
        ] {
            assert_eq!(UpkeepMarker::read(none), None, "{none:?}");
        }
    }
}
