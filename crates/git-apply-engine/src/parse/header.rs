//! The header of one file's diff, by the rules of Git's apply.c.

use super::file_patch::{FilePatch, Tri};
use super::name::{self, Ends, NameRules, first_line};
use super::scan::{at, from, is_space, line_length, number, to};
use crate::report::Malformed;

/// A header that was found.
pub(super) struct FoundHeader<'a> {
    /// Bytes before it.
    pub(super) skipped: usize,
    /// Bytes of it.
    pub(super) length: usize,
    /// What it says.
    pub(super) patch: FilePatch<'a>,
}

/// The number of components to strip, which the first traditional diff may change where `-p` was
/// not given.
#[derive(Clone, Debug)]
pub(super) struct Strip {
    pub(super) rules: NameRules,
    pub(super) known: bool,
}

/// Finds the next header, skipping other text.
pub(super) fn find<'a>(
    strip: &mut Strip,
    text: &'a [u8],
    first_line_number: usize,
) -> Result<Option<FoundHeader<'a>>, Malformed> {
    let mut place = 0;
    let mut number = first_line_number;
    // Shared by all tries: what a header without a diff says still counts for the next, as in Git.
    let mut patch = FilePatch::new(first_line_number);
    while place < text.len() {
        let rest = from(text, place);
        let length = line_length(rest);
        let line = to(rest, length);
        let skipped = place;
        let here = number;
        place += length;
        number += 1;
        if length < 6 {
            continue;
        }
        if line.starts_with(b"@@ -") {
            if super::hunk::parse_ranges(line).is_some() {
                return Err(Malformed::at(here, "this hunk has no file header before it"));
            }
            continue;
        }
        if rest.len() < length + 6 {
            break;
        }
        if line.starts_with(b"diff --git ") {
            patch.line = here;
            let header = parse_git(&strip.rules, rest, length, here, &mut patch)?;
            if header <= length {
                continue;
            }
            return Ok(Some(FoundHeader {
                skipped,
                length: header,
                patch,
            }));
        }
        let second = from(rest, length);
        if !line.starts_with(b"--- ") || !second.starts_with(b"+++ ") {
            continue;
        }
        let next = line_length(second);
        if rest.len() < next + 14 || !from(second, next).starts_with(b"@@ -") {
            continue;
        }
        patch.line = here;
        parse_traditional(strip, from(rest, 4), from(second, 4), here, &mut patch)?;
        return Ok(Some(FoundHeader {
            skipped,
            length: length + next,
            patch,
        }));
    }
    Ok(None)
}

struct GitHeader<'r, 'a, 'p> {
    rules: &'r NameRules,
    default: Option<Vec<u8>>,
    line: usize,
    patch: &'p mut FilePatch<'a>,
}

type Handler = for<'r, 'a, 'p> fn(&mut GitHeader<'r, 'a, 'p>, &'a [u8]) -> Result<Step, Malformed>;

/// What follows `---` or `+++`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// A file's name.
    Name,
    /// `/dev/null`.
    DevNull,
}

impl Expected {
    /// What is expected on a side, by whether the file is absent there.
    fn when_absent(is_absent: Tri) -> Self {
        match is_absent {
            Tri::Yes => Self::DevNull,
            Tri::No | Tri::Unknown => Self::Name,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Next,
    End,
}

const FIELDS: [(&[u8], Handler); 16] = [
    (b"@@ -", |_, _| Ok(Step::End)),
    (b"--- ", |h, text| h.old_name(text)),
    (b"+++ ", |h, text| h.new_name(text)),
    (b"old mode ", |h, text| h.old_mode(text)),
    (b"new mode ", |h, text| h.new_mode(text)),
    (b"deleted file mode ", |h, text| {
        h.patch.is_delete = Tri::Yes;
        h.patch.old_name.clone_from(&h.default);
        h.old_mode(text)
    }),
    (b"new file mode ", |h, text| {
        h.patch.is_new = Tri::Yes;
        h.patch.new_name.clone_from(&h.default);
        h.new_mode(text)
    }),
    (b"copy from ", |h, text| {
        h.patch.is_copy = true;
        h.patch.old_name = h.bare_name(text)?;
        Ok(Step::Next)
    }),
    (b"copy to ", |h, text| {
        h.patch.is_copy = true;
        h.patch.new_name = h.bare_name(text)?;
        Ok(Step::Next)
    }),
    (b"rename old ", |h, text| h.rename_from(text)),
    (b"rename new ", |h, text| h.rename_to(text)),
    (b"rename from ", |h, text| h.rename_from(text)),
    (b"rename to ", |h, text| h.rename_to(text)),
    (b"similarity index ", |_, _| Ok(Step::Next)),
    (b"dissimilarity index ", |_, _| Ok(Step::Next)),
    (b"index ", |h, text| h.index(text)),
];

/// Reads the header that starts with `diff --git`, and returns its length.
fn parse_git<'a>(
    rules: &NameRules,
    text: &'a [u8],
    first: usize,
    number: usize,
    patch: &mut FilePatch<'a>,
) -> Result<usize, Malformed> {
    patch.is_new = Tri::No;
    patch.is_delete = Tri::No;
    let default = name::in_git_header(rules, to(text, first), text)
        .map_err(|error| too_long(number, error))?
        .map(|name| [rules.root.as_slice(), name.as_slice()].concat());
    let mut header = GitHeader {
        rules,
        default,
        line: number,
        patch,
    };
    let mut place = first;
    'lines: while place < text.len() {
        header.line += 1;
        let line = first_line(from(text, place));
        if line.last() != Some(&b'\n') {
            break;
        }
        let Some((prefix, handler)) = FIELDS.iter().find(|(prefix, _)| line.starts_with(prefix)) else {
            break;
        };
        let step = handler(&mut header, from(text, place + prefix.len()))?;
        header.check_consistency()?;
        if step == Step::End {
            break 'lines;
        }
        place += line.len();
    }
    let (line, default) = (header.line, header.default);
    if patch.old_name.is_none() && patch.new_name.is_none() {
        let Some(default) = default else {
            return Err(Malformed::at(
                line,
                format!(
                    "the diff's header names no file when {} leading folders are removed",
                    rules.strip
                ),
            ));
        };
        patch.old_name = Some(default.clone());
        patch.new_name = Some(default);
    }
    if (patch.new_name.is_none() && patch.is_delete != Tri::Yes)
        || (patch.old_name.is_none() && patch.is_new != Tri::Yes)
    {
        return Err(Malformed::at(line, "the diff's header lacks a file name"));
    }
    Ok(place)
}

impl<'a> GitHeader<'_, 'a, '_> {
    fn old_name(&mut self, text: &[u8]) -> Result<Step, Malformed> {
        let expected = Expected::when_absent(self.patch.is_new);
        let known = self.patch.old_name.take();
        self.patch.old_name = self.verified(text, expected, known, "old")?;
        Ok(Step::Next)
    }

    fn new_name(&mut self, text: &[u8]) -> Result<Step, Malformed> {
        let expected = Expected::when_absent(self.patch.is_delete);
        let known = self.patch.new_name.take();
        self.patch.new_name = self.verified(text, expected, known, "new")?;
        Ok(Step::Next)
    }

    /// `gitdiff_verify_name`: a name that was given before has to be repeated.
    fn verified(
        &self,
        text: &[u8],
        expected: Expected,
        known: Option<Vec<u8>>,
        side: &str,
    ) -> Result<Option<Vec<u8>>, Malformed> {
        let found = || {
            name::find(self.rules, text, None, self.rules.strip, Ends::Tab)
                .map_err(|error| too_long(self.line, error))
        };
        match known {
            None if expected == Expected::Name => found(),
            Some(_) if expected == Expected::DevNull => Err(Malformed::at(
                self.line,
                format!("expected /dev/null as the {side} name"),
            )),
            Some(known) if found()?.as_ref() == Some(&known) => Ok(Some(known)),
            Some(_) => Err(Malformed::at(
                self.line,
                format!("the {side} names in the header differ"),
            )),
            None if name::is_dev_null(text) => Ok(None),
            None => Err(Malformed::at(
                self.line,
                format!("expected /dev/null as the {side} name"),
            )),
        }
    }

    fn bare_name(&self, text: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
        let strip = self.rules.strip.saturating_sub(1);
        name::find(self.rules, text, None, strip, Ends::Line).map_err(|error| too_long(self.line, error))
    }

    fn rename_from(&mut self, text: &[u8]) -> Result<Step, Malformed> {
        self.patch.is_rename = true;
        self.patch.old_name = self.bare_name(text)?;
        Ok(Step::Next)
    }

    fn rename_to(&mut self, text: &[u8]) -> Result<Step, Malformed> {
        self.patch.is_rename = true;
        self.patch.new_name = self.bare_name(text)?;
        Ok(Step::Next)
    }

    fn old_mode(&mut self, text: &[u8]) -> Result<Step, Malformed> {
        self.patch.old_mode = self.mode(text)?;
        Ok(Step::Next)
    }

    fn new_mode(&mut self, text: &[u8]) -> Result<Step, Malformed> {
        self.patch.new_mode = self.mode(text)?;
        Ok(Step::Next)
    }

    fn mode(&self, text: &[u8]) -> Result<u32, Malformed> {
        let blanks = text.iter().take_while(|b| is_space(**b)).count();
        let (mode, digits) = number(from(text, blanks), 8);
        if digits == 0 || !is_space(at(text, blanks + digits)) {
            return Err(Malformed::at(self.line, "this is not a file mode"));
        }
        #[allow(clippy::cast_possible_truncation, reason = "Git keeps the lower 32 bits")]
        Ok(mode as u32)
    }

    /// `index OLD..NEW MODE`; a line of another shape is ignored.
    fn index(&mut self, text: &'a [u8]) -> Result<Step, Malformed> {
        const DIGITS: usize = 40;
        let line = first_line(text);
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let Some(dots) = line.iter().position(|b| *b == b'.') else {
            return Ok(Step::Next);
        };
        if at(line, dots + 1) != b'.' || dots > DIGITS {
            return Ok(Step::Next);
        }
        let rest = from(line, dots + 2);
        let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
        if end > DIGITS {
            return Ok(Step::Next);
        }
        self.patch.old_id = to(line, dots);
        self.patch.new_id = to(rest, end);
        if end < rest.len() {
            return self.old_mode(from(text, dots + 2 + end + 1));
        }
        Ok(Step::Next)
    }

    fn check_consistency(&self) -> Result<(), Malformed> {
        let patch = &self.patch;
        let kinds = [
            patch.is_delete == Tri::Yes,
            patch.is_new == Tri::Yes,
            patch.is_rename,
            patch.is_copy,
        ];
        if kinds.iter().filter(|kind| **kind).count() > 1 {
            return Err(Malformed::at(
                self.line,
                "the header says more than one of new, deleted, renamed and copied",
            ));
        }
        Ok(())
    }
}

fn too_long(line: usize, error: name::QuoteTooLong) -> Malformed {
    Malformed::at(line, error.to_string())
}

fn parse_traditional(
    strip: &mut Strip,
    first: &[u8],
    second: &[u8],
    number: usize,
    patch: &mut FilePatch<'_>,
) -> Result<(), Malformed> {
    let named = traditional_names(strip, first, second, patch).map_err(|error| too_long(number, error))?;
    if named {
        return Ok(());
    }
    Err(Malformed::at(
        number,
        format!(
            "no file name is left when {} leading folders are removed",
            strip.rules.strip
        ),
    ))
}

/// Fills in the names of a traditional header, and returns whether there is one.
fn traditional_names(
    strip: &mut Strip,
    first: &[u8],
    second: &[u8],
    patch: &mut FilePatch<'_>,
) -> Result<bool, name::QuoteTooLong> {
    if !strip.known {
        let (old, new) = (
            name::guess_strip(&strip.rules, first)?,
            name::guess_strip(&strip.rules, second)?,
        );
        if let Some(guess) = new
            && old.is_none_or(|old| old == guess)
        {
            strip.rules.strip = guess;
            strip.known = true;
        }
    }
    let rules = &strip.rules;
    let found = |text, default: Option<&[u8]>| name::find_traditional(rules, text, default, rules.strip);
    let name = if name::is_dev_null(first) {
        (patch.is_new, patch.is_delete) = (Tri::Yes, Tri::No);
        patch.new_name = found(second, None)?;
        &patch.new_name
    } else if name::is_dev_null(second) {
        (patch.is_new, patch.is_delete) = (Tri::No, Tri::Yes);
        patch.old_name = found(first, None)?;
        &patch.old_name
    } else {
        let first_name = found(first, None)?;
        let name = found(second, first_name.as_deref())?;
        if super::timestamp::is_epoch(first) {
            (patch.is_new, patch.is_delete) = (Tri::Yes, Tri::No);
            patch.new_name = name;
            &patch.new_name
        } else if super::timestamp::is_epoch(second) {
            (patch.is_new, patch.is_delete) = (Tri::No, Tri::Yes);
            patch.old_name = name;
            &patch.old_name
        } else {
            patch.old_name.clone_from(&name);
            patch.new_name = name;
            &patch.new_name
        }
    };
    Ok(name.is_some())
}
