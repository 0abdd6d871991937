//! Writes a changed patch back into its file: what did not change stays as it was, byte for byte.

use git_apply_engine::{
    EntryMode, FileChange, FileDiff, Objects, Oid, Options, PatchInput, PatchState, Sequence, apply,
    read_diffs,
};
use patch_headers::HeadForm;
use patch_refresh::replace_diffstat;

/// The most files in a patch for which each diff is applied to see whether it can stay.
const MOST_TRIED: usize = 64;

/// A patch whose commit has changed.
#[derive(Clone, Copy, Debug)]
pub struct ChangedPatch<'a> {
    /// Its current file, and how it is read.
    pub original: &'a PatchInput,
    /// How the patches are read.
    pub options: &'a Options,
    /// The commit as `git format-patch --full-index` writes it.
    pub mail: &'a [u8],
    /// The tree before it.
    pub before: Oid,
    /// The tree after it.
    pub after: Oid,
    /// Whether its author or message has changed.
    pub head: HeadChange<'a>,
}

/// What happens to the text before the diffs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadChange<'a> {
    /// It stays.
    Kept,
    /// It becomes that of the commit.
    Message {
        /// The form in which the patch has it.
        form: HeadForm,
        /// The old message.
        old: &'a str,
        /// The new message.
        new: &'a str,
    },
}

/// Why a patch cannot be written back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteBackError {
    /// A patch cannot be read, in a sentence.
    #[error("{name}: {message}")]
    Unreadable {
        /// Its name.
        name: String,
        /// Why.
        message: String,
    },
    /// The written patch does not do what the commit does.
    #[error(
        "{name}: what the commit does cannot be written in the way the file is written (names with -p{strip}): write the file again with git format-patch"
    )]
    NotTheSame {
        /// Its name.
        name: String,
        /// By how many leading components its names are too long.
        strip: usize,
    },
}

/// Returns the file of a changed patch.
///
/// The diffs of files for which nothing changed stay as they are; the others are those of
/// `git format-patch`, with names and ids as long as in the file. The result has been applied, and
/// gives the commit's tree.
///
/// # Errors
///
/// Where the patch cannot be read, or the result would not do what the commit does.
pub fn write_back(objects: &dyn Objects, changed: &ChangedPatch<'_>) -> Result<Vec<u8>, WriteBackError> {
    let name = || changed.original.name.clone();
    let unreadable = |message| WriteBackError::Unreadable {
        name: name(),
        message,
    };
    let engine = changed.original.options(changed.options).into_owned();
    let original = Parts::read(&changed.original.bytes, &engine).map_err(unreadable)?;
    let plain = Options {
        limits: engine.limits,
        ..Options::default()
    };
    let fresh = Parts::read(changed.mail, &plain).map_err(unreadable)?;
    let writer = Writer {
        objects,
        changed,
        engine: &engine,
        style: Style::read(&original, &engine),
        original: &original,
        fresh: &fresh,
    };
    let text = writer.text();
    if writer.gives_the_tree(&text) {
        return Ok(text);
    }
    // What else the file contains may be what is wrong with it.
    let whole = writer.plain_text();
    if writer.gives_the_tree(&whole) {
        return Ok(whole);
    }
    Err(WriteBackError::NotTheSame {
        name: name(),
        strip: engine.strip.unwrap_or(1),
    })
}

/// A patch, taken apart.
struct Parts<'a> {
    /// What stands before the first diff.
    head: &'a [u8],
    sections: Vec<FileSection<'a>>,
    /// What stands after the last.
    trailer: &'a [u8],
}

/// The diff of a file.
struct FileSection<'a> {
    diff: FileDiff<'a>,
    /// What stands between it and the one before.
    between: &'a [u8],
    /// The diff.
    text: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(text: &'a [u8], options: &Options) -> Result<Self, String> {
        let diffs = read_diffs(text, options)?;
        let place = |part: &[u8]| part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
        let starts: Vec<usize> = diffs.iter().map(|diff| place(diff.header)).collect();
        let mut sections = Vec::with_capacity(diffs.len());
        let head = starts.first().copied().unwrap_or(text.len());
        let mut end = head;
        for (at, diff) in diffs.into_iter().enumerate() {
            let start = starts.get(at).copied().unwrap_or(end).max(end);
            let next = starts.get(at + 1).copied().unwrap_or(text.len());
            let until = match diff.hunks.last() {
                Some(last) => place(last.text) + last.text.len(),
                None if diff.is_binary => start + binary_end(text.get(start..next).unwrap_or_default()),
                None => start + diff.header.len(),
            };
            sections.push(FileSection {
                between: text.get(end..start).unwrap_or_default(),
                text: text.get(start..until).unwrap_or_default(),
                diff,
            });
            end = until;
        }
        Ok(Self {
            head: text.get(..head).unwrap_or_default(),
            sections,
            trailer: text.get(end..).unwrap_or_default(),
        })
    }
}

/// Where a binary diff ends: after the empty line of its last block.
fn binary_end(text: &[u8]) -> usize {
    let is_mail_end = |line: &[u8]| line == b"-- \n" || line.starts_with(b"From ");
    let mut end = 0;
    let mut last_block = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if is_mail_end(line) {
            break;
        }
        end += line.len();
        if line == b"\n" || line.starts_with(b"Binary files ") {
            last_block = end;
        }
    }
    if last_block == 0 { end } else { last_block }
}

/// How a file writes its diffs.
struct Style {
    /// What stands in front of names: `a/` and `b/`, or nothing.
    prefixes: [Vec<u8>; 2],
    /// How many digits its ids have; `None` if it has none.
    digits: Option<usize>,
    /// Whether its diffs begin with `diff --git`.
    is_git: bool,
}

impl Style {
    fn read(original: &Parts<'_>, engine: &Options) -> Self {
        let strip = engine.strip.unwrap_or_else(|| {
            let first = original.sections.first();
            // `git apply` strips nothing from a plain diff whose names have no folder.
            let names_folder = |section: &FileSection<'_>| {
                let name = section.diff.header.split(|byte| *byte == b'\n');
                let mut name =
                    name.filter(|line| line.starts_with(b"--- ") || line.starts_with(b"diff --git "));
                name.next().is_none_or(|line| line.contains(&b'/'))
            };
            usize::from(first.is_none_or(names_folder))
        });
        let prefix = |letter: &str| match strip {
            0 => Vec::new(),
            more => [letter, &"x/".repeat(more - 1)].concat().into_bytes(),
        };
        let mut ids = original
            .sections
            .iter()
            .map(|section| section.diff.old_id.len().max(section.diff.new_id.len()));
        Self {
            prefixes: [prefix("a/"), prefix("b/")],
            digits: ids.find(|digits| *digits > 0),
            is_git: original.sections.is_empty()
                || original
                    .sections
                    .iter()
                    .any(|section| section.diff.header.starts_with(b"diff --git ")),
        }
    }
}

struct Writer<'a> {
    objects: &'a dyn Objects,
    changed: &'a ChangedPatch<'a>,
    engine: &'a Options,
    style: Style,
    original: &'a Parts<'a>,
    fresh: &'a Parts<'a>,
}

impl Writer<'_> {
    /// The file, with as much of the original as can stay.
    fn text(&self) -> Vec<u8> {
        if self.has_files_twice() {
            return self.plain_text();
        }
        let mut text = self.head();
        let place = |section: &FileSection<'_>| self.fresh_of(section);
        let mut written = Vec::new();
        for section in &self.original.sections {
            text.extend_from_slice(section.between);
            if let Some(at) = place(section) {
                text.extend(self.section(at, Some(section)));
                written.push(at);
            }
        }
        for at in (0..self.fresh.sections.len()).filter(|at| !written.contains(at)) {
            text.extend(self.section(at, None));
        }
        text.extend_from_slice(self.original.trailer);
        text
    }

    /// The file with the commit's diffs, and only the head and end of the original.
    fn plain_text(&self) -> Vec<u8> {
        let mut text = self.head();
        for at in 0..self.fresh.sections.len() {
            text.extend(self.section(at, None));
        }
        text.extend_from_slice(self.original.trailer);
        text
    }

    /// Whether several diffs of the original touch the same file, as in a mailbox of several mails.
    fn has_files_twice(&self) -> bool {
        let paths = |section: &FileSection<'_>| {
            section
                .diff
                .new_path
                .clone()
                .or_else(|| section.diff.old_path.clone())
        };
        let mut all: Vec<_> = self.original.sections.iter().map(paths).collect();
        all.sort();
        all.windows(2).any(|two| two.first() == two.last())
    }

    /// The commit's diff of the same file as a diff of the original.
    fn fresh_of(&self, section: &FileSection<'_>) -> Option<usize> {
        let names = |diff: &FileDiff<'_>| diff.new_path.clone().or_else(|| diff.old_path.clone());
        let wanted = names(&section.diff);
        let mut fresh = self.fresh.sections.iter();
        fresh.position(|fresh| names(&fresh.diff) == wanted)
    }

    /// The diff of a file: the original's where it does the same, else the commit's.
    fn section(&self, at: usize, original: Option<&FileSection<'_>>) -> Vec<u8> {
        let Some(fresh) = self.fresh.sections.get(at) else {
            return Vec::new();
        };
        if let Some(original) = original {
            if self.does_the_same(at, original) {
                return original.text.to_vec();
            }
            if is_edit(&original.diff) && is_edit(&fresh.diff) && !original.diff.hunks.is_empty() {
                let mut text = with_ids(original.diff.header, &fresh.diff);
                text.extend(fresh.diff.hunks.iter().flat_map(|hunk| hunk.text));
                return text;
            }
        }
        self.fresh_section(fresh)
    }

    /// The commit's diff, with names and ids as the file has them.
    fn fresh_section(&self, fresh: &FileSection<'_>) -> Vec<u8> {
        let is_plain_edit = is_edit(&fresh.diff);
        let body = fresh.text.get(fresh.diff.header.len()..).unwrap_or_default();
        let mut header = Vec::new();
        for line in fresh.diff.header.split_inclusive(|byte| *byte == b'\n') {
            if !self.style.is_git && is_plain_edit && !line.starts_with(b"--- ") && !line.starts_with(b"+++ ")
            {
                continue;
            }
            if line.starts_with(b"index ") && !fresh.diff.is_binary {
                match self.style.digits {
                    Some(digits) => header.extend(shortened(line, digits)),
                    None if self.original.sections.is_empty() => header.extend_from_slice(line),
                    None => {}
                }
                continue;
            }
            header.extend(self.with_prefixes(line));
        }
        [header.as_slice(), body].concat()
    }

    /// A line of a header with other prefixes than `a/` and `b/`.
    fn with_prefixes(&self, line: &[u8]) -> Vec<u8> {
        let [old, new] = &self.style.prefixes;
        if old == b"a/" && new == b"b/" {
            return line.to_vec();
        }
        let replaced = |line: &[u8], start: &[u8], given: &[u8], prefix: &[u8]| {
            let rest = line.strip_prefix(start)?;
            let plain = rest
                .strip_prefix(given)
                .map(|rest| [start, prefix, rest].concat());
            plain.or_else(|| {
                let quoted = [b"\"", given].concat();
                let rest = rest.strip_prefix(quoted.as_slice())?;
                Some([start, b"\"", prefix, rest].concat())
            })
        };
        if let Some(names) = line.strip_prefix(b"diff --git ") {
            // Both names are the same except for their prefixes, or follow `rename`.
            let middle = names.windows(3).position(|part| part == b" b/");
            if let Some(middle) = middle
                && let (Some(first), Some(second)) = (names.get(..middle), names.get(middle + 3..))
                && let Some(first) = first.strip_prefix(b"a/")
            {
                return [b"diff --git ", old.as_slice(), first, b" ", new, second].concat();
            }
        }
        replaced(line, b"--- ", b"a/", old)
            .or_else(|| replaced(line, b"+++ ", b"b/", new))
            .unwrap_or_else(|| line.to_vec())
    }

    /// Whether a diff of the original, with the commit's diffs of all other files, gives the
    /// commit's tree.
    fn does_the_same(&self, at: usize, original: &FileSection<'_>) -> bool {
        let Some(fresh) = self.fresh.sections.get(at) else {
            return false;
        };
        let hunks = |section: &FileSection<'_>| -> Vec<Vec<u8>> {
            let hunks = section.diff.hunks.iter();
            hunks
                .map(|hunk| hunk.lines().collect::<Vec<_>>().concat())
                .collect()
        };
        let is_same_header = fresh.diff.change == original.diff.change
            && fresh.diff.old_path == original.diff.old_path
            && fresh.diff.is_binary == original.diff.is_binary;
        if !is_same_header || self.fresh.sections.len() > MOST_TRIED {
            return is_same_header && !fresh.diff.is_binary && hunks(fresh) == hunks(original);
        }
        let others = self
            .fresh
            .sections
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != at);
        let others: Vec<u8> = others
            .flat_map(|(_, section)| section.text.iter().copied())
            .collect();
        let mut patches = vec![self.input(original.text.to_vec())];
        if !others.is_empty() {
            patches.push(PatchInput::new("", others).with_strip(Some(1)));
        }
        // The names of the commit's diffs have no folder in front.
        self.engine.directory.is_empty() && self.tree_after(&patches) == Some(self.changed.after)
            || hunks(fresh) == hunks(original) && !fresh.diff.is_binary
    }

    fn input(&self, bytes: Vec<u8>) -> PatchInput {
        PatchInput::new("", bytes).with_strip(self.changed.original.strip)
    }

    fn tree_after(&self, patches: &[PatchInput]) -> Option<Oid> {
        let series = apply(
            self.objects,
            self.changed.before,
            patches,
            Sequence::Stacked,
            self.changed.options,
        );
        let series = series.ok()?;
        let applies = |state| matches!(state, PatchState::Clean | PatchState::Offset);
        let all = series.patches().iter().all(|report| applies(report.state));
        all.then(|| series.tree())
    }

    fn gives_the_tree(&self, text: &[u8]) -> bool {
        self.tree_after(&[self.input(text.to_vec())]) == Some(self.changed.after)
    }

    /// What stands before the diffs.
    fn head(&self) -> Vec<u8> {
        let original = self.original.head;
        let (fresh_message, fresh_stat) = split_head(self.fresh.head);
        let with_stat = |text: &[u8]| {
            let is_one_mail = !matches!(
                self.changed.head,
                HeadChange::Message {
                    form: HeadForm::Mailbox,
                    ..
                }
            ) && !self.has_mails_between();
            let renewed = is_one_mail
                .then(|| replace_diffstat(text, stat_of(fresh_stat)))
                .flatten();
            renewed.unwrap_or_else(|| text.to_vec())
        };
        let HeadChange::Message { form, old, new } = self.changed.head else {
            return with_stat(original);
        };
        match form {
            HeadForm::Text => text_head(&with_stat(original), old, new),
            HeadForm::Mail | HeadForm::Mailbox => {
                let (message, notes) = split_head(original);
                let message = mail_head(message, fresh_message);
                if notes.is_empty() {
                    // It had no `---`.
                    let without = message.strip_suffix(b"---\n").unwrap_or(&message);
                    return [without, b"\n"].concat();
                }
                [message, with_stat(notes)].concat()
            }
        }
    }

    /// Whether further mails stand between the diffs.
    fn has_mails_between(&self) -> bool {
        let mut sections = self.original.sections.iter().skip(1);
        sections.any(|section| section.between.iter().any(|byte| !byte.is_ascii_whitespace()))
    }
}

/// A head that is no mail, with another message.
fn text_head(head: &[u8], old: &str, new: &str) -> Vec<u8> {
    let old = old.trim_end().as_bytes();
    let new = new.trim_end().as_bytes();
    if old.is_empty() {
        return [head, new, b"\n\n"].concat();
    }
    // The message may have lost white space at the ends of its lines.
    let lines: Vec<&[u8]> = head.split_inclusive(|byte| *byte == b'\n').collect();
    let wanted: Vec<&[u8]> = old.split(|byte| *byte == b'\n').collect();
    let is_there = |at: &usize| {
        let there = lines.get(*at..*at + wanted.len()).unwrap_or_default();
        there.len() == wanted.len()
            && there
                .iter()
                .zip(&wanted)
                .all(|(one, other)| one.trim_ascii_end() == other.trim_ascii_end())
    };
    match (0..lines.len()).find(is_there) {
        Some(start) => {
            let before = lines.get(..start).unwrap_or_default().concat();
            let after = lines.get(start + wanted.len()..).unwrap_or_default().concat();
            [before.as_slice(), new, b"\n", &after].concat()
        }
        None => [new, b"\n\n"].concat(),
    }
}

/// A mail's head up to and including the line `---`, and what follows it.
fn split_head(head: &[u8]) -> (&[u8], &[u8]) {
    let mut end = 0;
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        end += line.len();
        if line.trim_ascii_end() == b"---" {
            return head.split_at(end);
        }
    }
    (head, b"")
}

/// The diffstat of a mail of `git format-patch`, without the empty line after it.
fn stat_of(behind: &[u8]) -> &[u8] {
    behind.strip_suffix(b"\n").unwrap_or(behind)
}

/// The commit's head, with what only the file's head has: comments before it, the line `From `, the
/// mark of the subject, and fields that no commit has.
fn mail_head(original: &[u8], fresh: &[u8]) -> Vec<u8> {
    let (own, given) = (MailHead::read(original), MailHead::read(fresh));
    let mark = subject_mark(original);
    let mut text = own.before.concat();
    for field in given.fields {
        match field.strip_prefix(b"Subject: [PATCH] ") {
            Some(subject) => text.extend([b"Subject: ", mark.as_slice(), subject].concat()),
            None => text.extend(field),
        }
    }
    let of_file = own.fields.iter().filter(|field| !is_of_commit(field));
    of_file.for_each(|field| text.extend(field));
    text.extend_from_slice(given.body);
    text
}

/// The parts of a mail's head.
struct MailHead<'a> {
    /// The lines before its fields: comments, and the line `From `.
    before: Vec<&'a [u8]>,
    /// The fields, with the lines that continue them.
    fields: Vec<Vec<u8>>,
    /// The empty line behind the fields, and what follows it.
    body: &'a [u8],
}

impl<'a> MailHead<'a> {
    fn read(text: &'a [u8]) -> Self {
        let (mut before, mut fields) = (Vec::new(), Vec::<Vec<u8>>::new());
        let mut end = 0;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let is_empty = line.trim_ascii().is_empty();
            match fields.last_mut() {
                None if !is_field(line) => before.push(line),
                Some(_) if is_empty => break,
                Some(field) if line.starts_with(b" ") || line.starts_with(b"\t") => field.extend(line),
                None | Some(_) => fields.push(line.to_vec()),
            }
            end += line.len();
        }
        Self {
            before,
            fields,
            body: text.get(end..).unwrap_or_default(),
        }
    }
}

/// Whether a line begins a field of a mail (RFC 5322).
fn is_field(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    let is_name = name.iter().all(|byte| (b'!'..=b'~').contains(byte));
    is_name && name.len() < line.len() && !name.is_empty() && !name.starts_with(b"#")
}

/// Whether `git format-patch` writes a field from the commit.
fn is_of_commit(field: &[u8]) -> bool {
    let name = field.split(|byte| *byte == b':').next().unwrap_or_default();
    let names: [&[u8]; 6] = [
        b"from",
        b"date",
        b"subject",
        b"mime-version",
        b"content-type",
        b"content-transfer-encoding",
    ];
    names.contains(&name.to_ascii_lowercase().as_slice())
}

/// `[PATCH 1/2] ` of a subject; nothing where it has no mark.
fn subject_mark(head: &[u8]) -> Vec<u8> {
    let lines = head.split(|byte| *byte == b'\n');
    let mut subjects = lines.filter_map(|line| line.strip_prefix(b"Subject:"));
    let subject = subjects.next().unwrap_or_default().trim_ascii_start();
    let end = subject.iter().position(|byte| *byte == b']');
    match end.and_then(|end| subject.get(..=end)) {
        Some(mark)
            if mark.starts_with(b"[")
                && mark.to_ascii_uppercase().windows(5).any(|part| part == b"PATCH") =>
        {
            [mark, b" "].concat()
        }
        _ => Vec::new(),
    }
}

/// Whether a diff changes lines of a file and nothing else.
fn is_edit(diff: &FileDiff<'_>) -> bool {
    let keeps_mode = diff.old_mode == 0 || diff.new_mode == 0 || diff.old_mode == diff.new_mode;
    diff.change == FileChange::Modify && !diff.is_binary && keeps_mode
}

/// An `index` line with its ids cut to this many digits.
fn shortened(line: &[u8], digits: usize) -> Vec<u8> {
    let Some(rest) = line.strip_prefix(b"index ") else {
        return line.to_vec();
    };
    let end = rest
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(rest.len());
    let (ids, rest) = rest.split_at(end);
    let Some(dots) = ids.windows(2).position(|pair| pair == b"..") else {
        return line.to_vec();
    };
    let short = |id: &[u8]| id.get(..digits).unwrap_or(id).to_vec();
    let old = short(ids.get(..dots).unwrap_or_default());
    let new = short(ids.get(dots + 2..).unwrap_or_default());
    [b"index ", old.as_slice(), b"..", &new, rest].concat()
}

/// The header of a diff with the ids of another diff of the same file, cut to the length of its
/// own.
fn with_ids(header: &[u8], fresh: &FileDiff<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        let Some(rest) = line.strip_prefix(b"index ") else {
            text.extend_from_slice(line);
            continue;
        };
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let mode = match EntryMode::from_bits(fresh.old_mode) {
            EntryMode::Executable => " 100755",
            _ => " 100644",
        };
        let has_mode = rest.contains(&b' ');
        let ids = [fresh.old_id, b"..", fresh.new_id].concat();
        let mode = if has_mode { mode } else { "" };
        let whole = [b"index ", ids.as_slice(), mode.as_bytes(), b"\n"].concat();
        text.extend(shortened(&whole, digits));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_keeps_what_no_commit_has() {
        let fresh = "From 0123 Mon Sep 17 00:00:00 2001\nFrom: New <n@example.org>\nDate: today\n\
             Subject: [PATCH] New\n subject\nMIME-Version: 1.0\n\nOrigin: of the body\n---\n";
        let head =
            |original: &str| String::from_utf8(mail_head(original.as_bytes(), fresh.as_bytes())).unwrap();
        let rest = "\n\nOrigin: of the body\n---\n";
        let fields = "Origin: backport,\n https://example.org/c/1\nBug-Debian: 1\n# kept";
        let old = "From: Old <o@example.org>\nDate: then\nSubject: [PATCH 1/2] Old\n one\n";
        let new =
            "From: New <n@example.org>\nDate: today\nSubject: [PATCH 1/2] New\n subject\nMIME-Version: 1.0\n";
        for before in [
            "",
            "# SPDX-License-Identifier: MIT\n\n",
            "From 89ab Mon Sep 17 00:00:00 2001\n",
        ] {
            let original = format!("{before}{old}content-type: text/plain\n{fields}\n\nOld: body\n---\n");
            assert_eq!(head(&original), format!("{before}{new}{fields}{rest}"));
        }
        let unmarked = head("Subject: Old\n\n---\n");
        assert_eq!(
            unmarked,
            format!("{}{}", new.replace("[PATCH 1/2] ", ""), &rest[1..])
        );
    }
}
