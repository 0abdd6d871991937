//! The commits that a message says its change was taken from.

use crate::change_ids::{MOST_LINES, MOST_NAMED, as_change_id, change_id, footer};
use crate::origin::PatchOrigin;

/// A note of a message on where its change was taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Whether it was taken as it was.
    pub origin: PatchOrigin,
    /// The commits, which are one another's picks: lower-case hexadecimal of 7 to 64 digits.
    pub commits: Vec<String>,
    /// The `Change-Id`s that are given in place of a commit.
    pub change_ids: Vec<String>,
}

/// How a note begins, and what it says.
const BEGINNINGS: [(&str, PatchOrigin); 14] = [
    ("cherry picked", PatchOrigin::CherryPick),
    ("cherry-picked", PatchOrigin::CherryPick),
    ("cherrypicked", PatchOrigin::CherryPick),
    ("cherry pick ", PatchOrigin::CherryPick),
    ("cherry-pick ", PatchOrigin::CherryPick),
    ("cherrypick ", PatchOrigin::CherryPick),
    ("cherry-pick:", PatchOrigin::CherryPick),
    ("and cherry picked from", PatchOrigin::CherryPick),
    ("this is a cherry pick of", PatchOrigin::CherryPick),
    ("this is a cherry-pick of", PatchOrigin::CherryPick),
    ("upstream commit", PatchOrigin::CherryPick),
    ("backported from", PatchOrigin::Backport),
    ("backport of", PatchOrigin::Backport),
    ("backport from", PatchOrigin::Backport),
];

/// The words that may stand before and between the ids of a note, separated by spaces.
const FILLERS: &str = "cherry picked pick cherry-picked cherry-picked-from cherry-pick cherrypicked \
                       cherrypick manually this is a from of the change commit commits revision and & \
                       upstream master main backported backport";

/// Returns the notes of a message on what its change was taken from: each is one change.
///
/// Consecutive lines are a chain of picks, as `git cherry-pick -x` writes it, and one note. Several
/// ids on one line, and lines in different places, are several changes in one. Quoted or indented
/// text is another's message.
#[must_use]
pub fn picks(message: &str) -> Vec<Pick> {
    let lines: Vec<&str> = message.lines().take(MOST_LINES).collect();
    let mut found: Vec<Pick> = Vec::new();
    let mut named = 0;
    let mut last: Option<usize> = None;
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let start = at;
        at += 1;
        let Some(origin) = beginning(line) else {
            continue;
        };
        let mut names = Names::read(line);
        // A note that continues on the next line.
        let is_open = line.contains('(') && !line.contains(')') || names.is_empty();
        if is_open && let Some(next) = lines.get(at).filter(|next| beginning(next).is_none()) {
            let whole = Names::read(&format!("{line} {next}"));
            if whole.len() > names.len() {
                names = whole;
                at += 1;
            }
        }
        named += names.len();
        if named > MOST_NAMED {
            break;
        }
        let Names { commits, change_ids } = names;
        if !change_ids.is_empty() {
            found.push(Pick {
                origin,
                commits: Vec::new(),
                change_ids,
            });
        }
        if commits.is_empty() {
            continue;
        }
        let is_one = commits.len() == 1;
        let is_next = last.is_some_and(|last| is_chain(lines.get(last + 1..start).unwrap_or_default()));
        match found.last_mut() {
            Some(chain) if is_one && is_next && !chain.commits.is_empty() => {
                chain.origin = chain.origin.max(origin);
                chain.commits.extend(commits);
            }
            _ => found.extend(commits.into_iter().map(|commit| Pick {
                origin,
                commits: vec![commit],
                change_ids: Vec::new(),
            })),
        }
        last = is_one.then_some(at - 1);
    }
    found
}

/// Whether what stands between two notes leaves them a chain: footers, lists of conflicts, nothing.
fn is_chain(between: &[&str]) -> bool {
    between.iter().all(|line| {
        let line = line.trim_end();
        line.is_empty()
            || line.starts_with([' ', '\t', '#', '(', '['])
            || (footer(line).is_some() && change_id(line).is_none())
    })
}

/// What a line says, if a note begins with it.
fn beginning(line: &str) -> Option<PatchOrigin> {
    if line.starts_with([' ', '\t', '>']) {
        return None;
    }
    let line = line
        .trim_start_matches(['(', '[', '*', '-', ' '])
        .to_ascii_lowercase();
    let rest = line.strip_prefix("manually ").unwrap_or(&line);
    // The kernel's stable branches: a whole line `commit H upstream.`.
    if line.starts_with("commit ") && line.trim_end_matches(['.', ' ']).ends_with(" upstream") {
        return Some(PatchOrigin::CherryPick);
    }
    let mut beginnings = BEGINNINGS.iter();
    let found = beginnings.find(|(begin, _)| rest.starts_with(begin));
    found.map(|(_, origin)| *origin)
}

/// What a note names.
#[derive(Default)]
struct Names {
    commits: Vec<String>,
    change_ids: Vec<String>,
}

impl Names {
    /// Reads the ids at the start of a note, after nothing but filler words and names of places.
    fn read(note: &str) -> Self {
        let mut names = Self::default();
        let words = note.split(|c: char| c.is_whitespace() || "()[],;".contains(c));
        for word in words.filter(|word| !word.is_empty()) {
            let may_go_on = if word.contains("://") {
                let of_page = commits_of_address(word);
                let is_page = !of_page.is_empty();
                names.commits.extend(of_page);
                is_page || names.take(word)
            } else {
                word.split(':').all(|part| names.take(part))
            };
            if !may_go_on {
                break;
            }
        }
        names
    }

    /// Takes a word; returns whether the note may continue after it.
    fn take(&mut self, word: &str) -> bool {
        let word = word.trim_matches(['.', '\'', '"']);
        let last = word.rsplit('/').next().unwrap_or(word);
        if let Some(id) = as_change_id(last) {
            self.change_ids.push(id);
        } else if is_abbreviated_or_whole(last) {
            self.commits.push(last.to_ascii_lowercase());
        } else {
            // A branch, a repository or a version, such as `stable/2025.1`.
            let is_place = word.contains(['/', '.', '#']);
            let mut fillers = FILLERS.split(' ');
            return is_place || word.is_empty() || fillers.any(|filler| filler.eq_ignore_ascii_case(word));
        }
        true
    }

    fn len(&self) -> usize {
        self.commits.len() + self.change_ids.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether a text is a commit's id, whole or abbreviated as Git makes them.
fn is_abbreviated_or_whole(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a word is a commit's id, whole or abbreviated: `decade` and the like are not.
pub(crate) fn is_commit(text: &str) -> bool {
    is_abbreviated_or_whole(text) && text.bytes().any(|byte| byte.is_ascii_digit())
}

/// The commits that a header names: `commit:H`, the address of a commit's page, or an id alone.
/// A whole id counts wherever it stands.
pub(crate) fn commits_of_address(value: &str) -> Vec<String> {
    const BEFORE: &[&str] = &[
        "commit:",
        "/commit/",
        "/commits/",
        "id=",
        "h=",
        "/+/",
        "/c/",
        "commit ",
    ];
    let end = |text: &str| text.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(text.len());
    let mut found: Vec<String> = Vec::new();
    let mut add = |commit: &str| {
        let commit = commit.to_ascii_lowercase();
        if !found.contains(&commit) && found.len() < MOST_NAMED {
            found.push(commit);
        }
    };
    for begin in BEFORE {
        for (at, _) in value.match_indices(begin) {
            let rest = value.get(at + begin.len()..).unwrap_or_default();
            rest.get(..end(rest))
                .filter(|commit| is_commit(commit))
                .map(&mut add);
        }
    }
    let alone = value.split(['[', ']', ' ', ',']).filter(|word| is_commit(word));
    alone.for_each(&mut add);
    let whole = value.split(|c: char| !c.is_ascii_alphanumeric());
    let whole = whole.filter(|word| word.len() == 40 && is_abbreviated_or_whole(word));
    whole.for_each(&mut add);
    found
}

/// The whole ids of commits that the headers of DEP-3 and Yocto name as the origin; those headers
/// may be comments.
pub(crate) fn origins(text: &str) -> Vec<String> {
    const NAMES: &[&str] = &["origin", "applied-upstream", "upstream-status", "upstream-commit"];
    let values = text.lines().take(MOST_LINES).filter_map(|line| {
        let (name, value) = footer(line.trim_start_matches('#').trim_start())?;
        NAMES
            .contains(&name.to_ascii_lowercase().as_str())
            .then_some(value)
    });
    // A short one may be anything.
    let commits = values.flat_map(commits_of_address);
    commits
        .filter(|commit| commit.len() == 40)
        .take(MOST_NAMED)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn groups(text: &str) -> Vec<Vec<String>> {
        let picks = picks(&format!("Subject\n\n{text}\n"));
        picks.into_iter().map(|pick| pick.commits).collect()
    }

    #[test]
    fn cherry_picks_in_the_spellings_of_teams() {
        for line in [
            "(cherry picked from commit X)",
            "(cherry picked from commit X",
            "(cherry-picked from commit X)",
            "(Cherry-picked from commit X)",
            "(cherry-picked from X)",
            "Cherry-picked from X",
            "Cherry-Picked-From: X",
            "cherry picked from commit X)",
            "cherry-pick from commit X",
            "Cherry-pick of X.",
            "[cherry picked from commit X]",
            "(manually cherry picked from commit X)",
            "(cherry picked from commit X master)",
            "(cherry picked from commit\nX)",
            "(cherry picked from commit https://opendev.org/openstack/nova/commit/X)",
            "Cherry-picked from:\nX",
            "(backported from commit X)",
            "backport of X",
            "commit X upstream.",
            "[ Upstream commit X ]",
        ] {
            for id in [A, "aaaaaaa", "AAAAAAAA1"] {
                let found = groups(&line.replace('X', id));
                assert_eq!(found, [[id.to_ascii_lowercase()]], "{line}");
            }
        }
        for line in [
            "(partially cherry picked from commit X)",
            "> (cherry picked from commit X)",
            "    (cherry picked from commit X)",
            "This is not a clean cherry-pick of X",
            "(cherry picked from commit X)".replace('X', "abc").as_str(),
        ] {
            assert!(groups(&line.replace('X', A)).is_empty(), "{line}");
        }
    }

    #[test]
    fn chains_of_picks_are_one_change_and_lists_are_several() {
        let chain = format!("(cherry picked from commit {A})\n(cherry picked from commit {B})");
        assert_eq!(groups(&chain), [[A, B]]);
        let conflicts =
            format!("(cherry picked from commit {A})\n\nConflicts:\n\tx.py\n(cherry picked from commit {B})");
        assert_eq!(groups(&conflicts), [[A, B]]);
        let list = format!("(cherry picked from commits {A} and\n{B})");
        assert_eq!(groups(&list), [[A], [B]]);
        let squash =
            format!("(cherry picked from commit {A})\n\nTwo\n\nBody\n(cherry picked from commit {B})");
        assert_eq!(groups(&squash), [[A], [B]]);
    }

    #[test]
    fn a_note_names_commits_behind_filling_words_and_places_alone() {
        let named = |note: &str| groups(&note.replace('X', A));
        assert_eq!(named("(cherry picked from stable/2025.1 commit X)"), [[A]]);
        assert!(named("Backport of the fix that X broke").is_empty());
        assert_eq!(
            named(&format!("Backport of the fix\n(cherry picked from commit {B})")),
            [[B]]
        );
        assert_eq!(
            named("(cherry picked from https://example.org/r.git/commit/?id=X)"),
            [[A]]
        );
    }

    #[test]
    fn origins_of_dep3_and_yocto() {
        let whole = |text: &str| origins(text);
        assert_eq!(whole(&format!("Origin: upstream, https://x/commit/{A}\n")), [A]);
        assert_eq!(
            whole(&format!("Upstream-Status: Backport [https://x/commit/{B}]\n")),
            [B]
        );
        assert!(whole("Origin: vendor\nUpstream-Status: Pending\n").is_empty());
    }
}
