//! What the message of a commit or a patch says of other commits.

use std::fmt;

use git_apply_engine::Oid;

/// The fewest digits of an abbreviated id, as `git` makes them.
pub(super) const FEWEST_DIGITS: usize = 7;

/// The most lines of a message that are read.
const MOST_LINES: usize = 4096;

/// The most commits, and `Change-Id`s, that a message names.
const MOST_NAMED: usize = 64;

/// A commit's id in a text, whole or its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum CommitName {
    Whole(Oid),
    /// Hexadecimal digits in lower case, fewer than 40.
    Short(String),
}

impl CommitName {
    pub(super) fn names(&self, id: Oid) -> bool {
        match self {
            Self::Whole(whole) => *whole == id,
            Self::Short(digits) => digits.bytes().eq(hex(id).take(digits.len())),
        }
    }

    /// Whether all ids that it may name come behind one, in their order.
    pub(super) fn is_behind(&self, id: Oid) -> bool {
        match self {
            Self::Whole(whole) => *whole > id,
            Self::Short(digits) => hex(id).take(digits.len()).lt(digits.bytes()),
        }
    }

    /// The digits that each name has: names that agree have the same ones.
    pub(super) fn first_digits(&self) -> [u8; FEWEST_DIGITS] {
        let mut first = [0; FEWEST_DIGITS];
        match self {
            Self::Whole(id) => first.iter_mut().zip(hex(*id)).for_each(|(to, digit)| *to = digit),
            Self::Short(digits) => first
                .iter_mut()
                .zip(digits.bytes())
                .for_each(|(to, digit)| *to = digit),
        }
        first
    }

    /// Whether both may name the same commit: the same id, or one the beginning of the other.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one == other,
            (Self::Short(_), Self::Whole(id)) => self.names(*id),
            (Self::Whole(id), Self::Short(_)) => other.names(*id),
            (Self::Short(one), Self::Short(other)) => one.starts_with(other) || other.starts_with(one),
        }
    }

    fn parse(token: &str) -> Option<Self> {
        let hex = token.bytes().all(|byte| byte.is_ascii_hexdigit());
        match token.len() {
            40 if hex => Oid::from_hex(token.as_bytes())
                .filter(|id| !id.is_null())
                .map(Self::Whole),
            FEWEST_DIGITS..40 if hex => Some(Self::Short(token.to_ascii_lowercase())),
            _ => None,
        }
    }
}

/// The digits of an id.
fn hex(id: Oid) -> impl Iterator<Item = u8> {
    let bytes = *id.as_bytes();
    let digit = |value: u8| {
        if value < 10 {
            b'0' + value
        } else {
            b'a' + value - 10
        }
    };
    bytes
        .into_iter()
        .flat_map(move |byte| [digit(byte >> 4), digit(byte & 15)])
}

impl fmt::Display for CommitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(id) => write!(f, "{id}"),
            Self::Short(digits) => f.write_str(digits),
        }
    }
}

/// A commit that a message says to take back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RevertTarget {
    pub(super) commit: CommitName,
    /// Where a merge is taken back: the parent to which.
    pub(super) mainline: Option<CommitName>,
}

/// The first paragraph in one line.
pub(super) fn subject(text: &str) -> String {
    let lines = text.lines().map(str::trim).skip_while(|line| line.is_empty());
    let first: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    first.join(" ")
}

/// The paragraphs of a message: runs of lines that are not blank.
fn paragraphs(text: &str) -> Vec<Vec<&str>> {
    let mut all: Vec<Vec<&str>> = Vec::new();
    let mut is_open = false;
    for line in text.lines().take(MOST_LINES) {
        let line = line.trim_end();
        if line.is_empty() {
            is_open = false;
        } else if is_open && let Some(last) = all.last_mut() {
            last.push(line);
        } else {
            all.push(vec![line]);
            is_open = true;
        }
    }
    all
}

/// The key and the value of a footer, by the rule of JGit's `FooterLine`.
fn footer(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let is_key = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_key.then(|| (key, value.trim()))
}

/// The `Change-Id` of a footer: by its key, or as the address in `Link`, which Gerrit takes too.
fn change_id(line: &str) -> Option<String> {
    let (key, value) = footer(line)?;
    let id = if key.eq_ignore_ascii_case("Change-Id") {
        value
    } else if key.eq_ignore_ascii_case("Link") {
        value.rsplit_once("/id/")?.1
    } else {
        return None;
    };
    let digits = id.strip_prefix('I')?;
    let is_id = digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    // Zeros are a place that was never filled in.
    (is_id && digits.bytes().any(|byte| byte != b'0')).then(|| format!("I{}", digits.to_ascii_lowercase()))
}

/// Whether a paragraph has nothing but footers, and what stands among them: notes in brackets, and
/// lines that go on.
fn is_footers(paragraph: &[&str]) -> bool {
    paragraph.iter().all(|line| {
        footer(line)
            .is_some_and(|(key, _)| !key.eq_ignore_ascii_case("http") && !key.eq_ignore_ascii_case("https"))
            || line.starts_with(['(', '[', ' ', '\t', '#'])
            || line.to_ascii_lowercase().starts_with("cherry")
    })
}

/// The `Change-Id`s by which a message is known: those in its last paragraph, by Gerrit's rule.
/// Where what was appended behind has none, the paragraphs before it count as far as they are
/// nothing but footers.
///
/// In the message of a squash by GitHub, which lists whole messages under a `*` each, the footers
/// of each count.
pub(super) fn change_ids(text: &str) -> Vec<String> {
    let paragraphs = paragraphs(text);
    let Some((_, body)) = paragraphs.split_first() else {
        return Vec::new();
    };
    let in_paragraph =
        |paragraph: &[&str]| -> Vec<String> { paragraph.iter().filter_map(|line| change_id(line)).collect() };
    let mut ids = Vec::new();
    for (at, paragraph) in body.iter().enumerate() {
        let ends_an_item = body
            .get(at + 1)
            .and_then(|next| next.first())
            .is_some_and(|line| line.starts_with("* "));
        if ends_an_item && is_footers(paragraph) {
            ids.extend(in_paragraph(paragraph));
        }
    }
    for (at, paragraph) in body.iter().rev().enumerate() {
        let found = in_paragraph(paragraph);
        if at > 0 && !is_footers(paragraph) {
            break;
        }
        if !found.is_empty() {
            ids.extend(found);
            break;
        }
        if !is_footers(paragraph) {
            break;
        }
    }
    distinct(ids)
}

/// All `Change-Id`s that stand in footers anywhere: a patch that was squashed of several has to be
/// there with all of them.
pub(super) fn all_change_ids(text: &str) -> Vec<String> {
    let mut ids: Vec<String> = paragraphs(text)
        .iter()
        .skip(1)
        .filter(|paragraph| is_footers(paragraph))
        .flatten()
        .filter_map(|line| change_id(line))
        .collect();
    ids.extend(change_ids(text));
    distinct(ids)
}

fn distinct(ids: Vec<String>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for id in ids {
        if !seen.contains(&id) && seen.len() < MOST_NAMED {
            seen.push(id);
        }
    }
    seen
}

/// The words that may stand between "cherry picked" and an id.
const FILLERS: [&str; 19] = [
    "cherry",
    "picked",
    "pick",
    "cherry-picked",
    "cherry-pick",
    "cherrypicked",
    "cherrypick",
    "from",
    "of",
    "commit",
    "commits",
    "revision",
    "and",
    "&",
    "upstream",
    "master",
    "main",
    "backported",
    "backport",
];

/// The commits that a message says to be cherry-picked from: each group is one change, and the
/// commits in it are one another's picks.
///
/// Lines behind one another are a chain of picks, as `git cherry-pick -x` makes it. Several ids in
/// one line, and lines in different places, are several changes in one.
pub(super) fn cherry_picks(text: &str) -> Vec<Vec<CommitName>> {
    let lines: Vec<&str> = text.lines().take(MOST_LINES).collect();
    let mut groups: Vec<Vec<CommitName>> = Vec::new();
    let mut last: Option<usize> = None;
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let start = at;
        at += 1;
        if !says_cherry_pick(line) {
            continue;
        }
        let mut whole = (*line).to_owned();
        // A note that goes on in the next line.
        if (line.contains('(') && !line.contains(')') || names_in(&whole).is_empty())
            && let Some(next) = lines.get(at)
        {
            whole.push(' ');
            whole.push_str(next);
            at += 1;
        }
        let names = names_in(&whole);
        if groups.iter().map(Vec::len).sum::<usize>() + names.len() > MOST_NAMED {
            break;
        }
        match names.as_slice() {
            [] => {}
            [one] => {
                let is_next =
                    last.is_some_and(|last| is_chain(lines.get(last + 1..start).unwrap_or_default()));
                match groups.last_mut() {
                    Some(group) if is_next => group.push(one.clone()),
                    _ => groups.push(vec![one.clone()]),
                }
                last = Some(at - 1);
            }
            several => {
                groups.extend(several.iter().map(|name| vec![name.clone()]));
                last = None;
            }
        }
    }
    groups
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

fn says_cherry_pick(line: &str) -> bool {
    // What is quoted or indented is another's message.
    if line.starts_with([' ', '\t', '>']) {
        return false;
    }
    let line = line
        .trim_start_matches(['(', '[', '*', '-', ' '])
        .to_ascii_lowercase();
    let rest = line.strip_prefix("manually ").unwrap_or(&line);
    let starts = [
        "cherry picked",
        "cherry-picked",
        "cherrypicked",
        "cherry pick ",
        "cherry-pick ",
        "cherrypick ",
        "cherry-pick:",
        "backported from",
        "backport of",
        "backport from",
        "upstream commit",
    ];
    let is_linux = line.starts_with("commit ") && line.trim_end_matches(['.', ' ']).ends_with(" upstream");
    is_linux || starts.iter().any(|start| rest.starts_with(start))
}

/// The ids at the start of a note, behind nothing but filling words.
fn names_in(line: &str) -> Vec<CommitName> {
    let mut names = Vec::new();
    let tokens = line.split(|c: char| c.is_whitespace() || "()[]:,;".contains(c));
    for token in tokens.filter(|token| !token.is_empty()) {
        let token = token
            .trim_end_matches(['.', '\'', '"'])
            .trim_start_matches(['\'', '"']);
        let token = token.rsplit('/').next().unwrap_or(token);
        if let Some(name) = CommitName::parse(token) {
            names.push(name);
        } else if !names.is_empty() && !FILLERS.contains(&token.to_ascii_lowercase().as_str()) {
            break;
        }
    }
    names
}

/// The commits that headers of DEP-3 and of Yocto name as the origin.
pub(super) fn origins(text: &str) -> Vec<CommitName> {
    let keys = ["origin", "applied-upstream", "upstream-status", "upstream-commit"];
    let lines = text.lines().take(MOST_LINES);
    let values = lines.filter_map(|line| {
        let (key, value) = footer(line.trim_start_matches('#').trim_start())?;
        keys.contains(&key.to_ascii_lowercase().as_str()).then_some(value)
    });
    let tokens = values.flat_map(|value| value.split(|c: char| !c.is_ascii_alphanumeric()));
    // A short one may be anything.
    tokens
        .filter_map(CommitName::parse)
        .filter(|name| matches!(name, CommitName::Whole(_)))
        .take(MOST_NAMED)
        .collect()
}

/// The commits that a message says to take back, in the words of `git revert`, Gerrit and GitHub.
///
/// What is quoted, and what is reverted in part, does not count.
pub(super) fn reverts(text: &str) -> Vec<RevertTarget> {
    let lines: Vec<&str> = text.lines().take(MOST_LINES).collect();
    let mut targets = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let lower = line.trim_end().to_ascii_lowercase();
        let starts = [
            "this reverts commit",
            "this reverts commits",
            "reverts commit",
            "reverts commits",
            "reverts:",
            "reverts ",
            "also this reverts commit",
            "this commit reverts commit",
            "this also reverts commit",
        ];
        let Some(start) = starts
            .iter()
            .filter(|start| lower.starts_with(**start))
            .max_by_key(|start| start.len())
        else {
            continue;
        };
        // The note on a merge goes on in the next line, and so may a list.
        let next = lines.get(at + 1).filter(|next| !next.trim().is_empty());
        let rest = lower.get(start.len()..).unwrap_or_default();
        let whole = match next {
            Some(next) => format!("{rest} {}", next.trim().to_ascii_lowercase()),
            None => rest.to_owned(),
        };
        let (commits, mainline) = match whole.split_once("reversing changes made to") {
            Some((commits, mainline)) => (commits, reverted_names(mainline).into_iter().next()),
            None => (whole.as_str(), None),
        };
        targets.extend(reverted_names(commits).into_iter().map(|commit| RevertTarget {
            commit,
            mainline: mainline.clone(),
        }));
        if targets.len() >= MOST_NAMED {
            break;
        }
    }
    targets
}

/// The ids at the start of a text: `owner/name@id` of GitHub too.
fn reverted_names(text: &str) -> Vec<CommitName> {
    let mut names = Vec::new();
    let tokens = text.split(|c: char| c.is_whitespace() || "()[]:,;\"".contains(c));
    for token in tokens.filter(|token| !token.is_empty()) {
        let token = token.trim_end_matches('.');
        let token = token.rsplit(['@', '/']).next().unwrap_or(token);
        match CommitName::parse(token) {
            Some(name) => names.push(name),
            None if ["and", "&", "commit", "commits"].contains(&token) => {}
            None => break,
        }
    }
    names
}

/// The subject that the subject of a revert takes back: `S` of `Revert "S"` and of `Reapply "S"`.
pub(super) fn reverted_subject(subject: &str) -> Option<&str> {
    let rest = subject.strip_prefix("Revert \"")?;
    rest.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const C: &str = "cccccccccccccccccccccccccccccccccccccccc";

    fn groups(text: &str) -> Vec<Vec<String>> {
        let groups = cherry_picks(&format!("Subject\n\n{text}\n"));
        groups
            .iter()
            .map(|group| group.iter().map(ToString::to_string).collect())
            .collect()
    }

    #[test]
    fn change_ids_stand_in_the_footers() {
        let ids = |text: &str| {
            change_ids(
                &text
                    .replace("IA", &format!("I{A}"))
                    .replace("IB", &format!("I{B}")),
            )
        };
        assert_eq!(ids("S\n\nBody\n\nChange-Id: IA\n"), [format!("I{A}")]);
        assert_eq!(
            ids("S\n\nBody\n\nchange-id:IA  \nSigned-off-by: x\n"),
            [format!("I{A}")]
        );
        assert_eq!(ids("S\n\nChange-Id: IA\nChange-Id: IB\n").len(), 2);
        assert_eq!(
            ids("S\n\nLink: https://review.example/id/IA\n"),
            [format!("I{A}")]
        );
        // A mention, a quotation, the subject itself, and one that was never filled in.
        assert!(ids("S\n\nChange-Id: IA\n\nis what broke it.\n").is_empty());
        assert!(ids("S\n\n  Change-Id: IA\n").is_empty());
        assert!(ids("Change-Id: IA\n").is_empty());
        assert!(ids(&format!("S\n\nChange-Id: I{}\n", "0".repeat(40))).is_empty());
        assert_eq!(
            ids("S\n\nlike\nChange-Id: IB\n\nChange-Id: IA\n"),
            [format!("I{A}")]
        );
    }

    #[test]
    fn what_was_appended_hides_no_change_id() {
        let text = format!(
            "S\n\nBody\n\nCloses-Bug: #1\nChange-Id: I{A}\n\n(cherry picked from commit {B})\n\nSigned-off-by: A <a@b>\n"
        );
        assert_eq!(change_ids(&text), [format!("I{A}")]);
        let conflicts = format!("S\n\nChange-Id: I{A}\n\nConflicts:\n\tnova/x.py\n");
        assert_eq!(change_ids(&conflicts), [format!("I{A}")]);
    }

    #[test]
    fn a_squash_has_the_change_ids_of_all() {
        let rebased = format!("One\n\nChange-Id: I{A}\n\nTwo\n\nChange-Id: I{B}\n");
        assert_eq!(change_ids(&rebased), [format!("I{B}")]);
        assert_eq!(all_change_ids(&rebased), [format!("I{A}"), format!("I{B}")]);
        let github = format!("Both (#7)\n\n* One\n\nChange-Id: I{A}\n\n* Two\n\nChange-Id: I{B}\n");
        assert_eq!(change_ids(&github), [format!("I{A}"), format!("I{B}")]);
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
    fn origins_of_dep3_and_yocto() {
        let whole = |text: &str| origins(text).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(whole(&format!("Origin: upstream, https://x/commit/{A}\n")), [A]);
        assert_eq!(
            whole(&format!("Upstream-Status: Backport [https://x/commit/{B}]\n")),
            [B]
        );
        assert!(whole("Origin: vendor\nUpstream-Status: Pending\n").is_empty());
    }

    #[test]
    fn reverts_are_those_that_name_a_commit() {
        let named = |text: &str| -> Vec<String> {
            let text = text.replace('X', A).replace('Y', B);
            reverts(&format!("Revert \"S\"\n\n{text}\n"))
                .iter()
                .map(|target| match &target.mainline {
                    Some(mainline) => format!("{}..{}", mainline, target.commit),
                    None => target.commit.to_string(),
                })
                .collect()
        };
        assert_eq!(named("This reverts commit X."), [A]);
        assert_eq!(named("This reverts commit X\n\nReason for revert: broke it"), [A]);
        assert_eq!(named("Reverts commit X."), [A]);
        assert_eq!(named("This reverts commits X and Y."), [A, B]);
        assert_eq!(named("This reverts commit X.\nThis reverts commit Y."), [A, B]);
        assert_eq!(
            named("This reverts commit X, reversing\nchanges made to Y."),
            [format!("{B}..{A}")]
        );
        assert_eq!(
            named("This reverts commit 1234567 (\"S\", 2025-01-01)."),
            ["1234567"]
        );
        assert_eq!(named("Reverts openstack/heat@X"), [A]);
        for text in [
            "Reverts #123",
            "Reverts openstack/heat#123",
            "> This reverts commit X.",
            "This partially reverts commit X.",
            "This reverts merge request !12",
            "This reverts the workaround introduced in X.",
        ] {
            assert!(named(text).is_empty(), "{text}");
        }
        assert_eq!(reverted_subject("Revert \"Fix it\""), Some("Fix it"));
        let _ = C;
    }
}
