//! What a sentence claims to resolve: `fixes CVE-2024-32498`, not `a regression of the fix for it`.
//!
//! A doubtful sentence claims nothing.

use std::collections::BTreeSet;

use crate::bugs::{BareNumber, Bug};
use crate::cve::{Cve, leading};
use crate::prose;

/// What is claimed to be resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) cves: BTreeSet<Cve>,
    pub(crate) bugs: BTreeSet<Bug>,
}

impl Claims {
    pub(crate) fn extend(&mut self, more: Self) {
        self.cves.extend(more.cves);
        self.bugs.extend(more.bugs);
    }

    fn is_empty(&self) -> bool {
        self.cves.is_empty() && self.bugs.is_empty()
    }
}

/// The most words in a sentence: anything longer is not taken for one.
const SENTENCE_WORDS: usize = 200;

/// Verbs of a claim.
const VERBS: &[&str] = &[
    "fix",
    "fixes",
    "fixed",
    "fixing",
    "resolve",
    "resolves",
    "resolved",
    "address",
    "addresses",
    "addressed",
    "close",
    "closes",
    "closed",
    "solve",
    "solves",
    "solved",
    "correct",
    "corrects",
    "corrected",
    "patch",
    "patches",
    "patched",
    "plug",
    "plugs",
    "remediate",
    "remediates",
];

/// Nouns for the patch itself, after `this` or `the`.
const PATCH_NOUNS: &[&str] = &[
    "patch",
    "patches",
    "commit",
    "change",
    "changes",
    "changeset",
    "backport",
    "fix",
    "series",
    "diff",
    "patchset",
];

/// What may stand between a verb and what it resolves.
const FILLERS: &[&str] = &[
    "the",
    "a",
    "an",
    "this",
    "these",
    "following",
    "security",
    "issue",
    "issues",
    "vulnerability",
    "vulnerabilities",
    "vuln",
    "bug",
    "bugs",
    "problem",
    "problems",
    "flaw",
    "flaws",
    "for",
    "both",
    "also",
    "cve",
    "cves",
    "described",
    "in",
    "reported",
    "tracked",
    "known",
    "identified",
    "as",
    "aka",
    "critical",
    "high",
    "medium",
    "low",
    "severity",
    "number",
    "id",
    "ids",
    "ticket",
    "github",
    "gitlab",
    "-",
    "\u{2013}",
    "\u{2014}",
    ":",
    "=",
];

/// Adverbs before a verb.
const ADVERBS: &[&str] = &[
    "also",
    "therefore",
    "thus",
    "properly",
    "correctly",
    "finally",
    "hence",
    "fully",
    "completely",
    "and",
    "then",
    "should",
    "hopefully",
    "will",
];

/// What links the members of a list.
const LINKS: &[&str] = &[
    "and", "&", "as", "well", "also", "plus", "+", ",", "/", "or", "resp.",
];

/// Beginnings of words after which nothing is claimed.
const DOUBTS: &[&str] = &[
    "regress",
    "revert",
    "reintroduc",
    "introduc",
    "caus",
    "need",
    "requir",
    "prereq",
    "depend",
    "prepar",
    "plan",
    "inten",
    "try",
    "tries",
    "attempt",
    "fail",
    "incomplet",
    "insufficient",
    "partial",
    "partly",
    "mitigat",
    "workaround",
    "work-around",
    "previous",
    "earlier",
    "already",
    "unrelated",
    "relate",
    "follow-up",
    "followup",
    "reproduc",
    "test",
    "unable",
    "todo",
    "fixme",
    "typo",
    "changelog",
    "advisor",
    "document",
    "expected",
    "broke",
    "missing",
    "lack",
    "outstanding",
    "pending",
    "similar",
    "suggest",
    "claim",
    "superse",
    "upstreamed",
];

/// The same, as whole words.
const DOUBTFUL_WORDS: &[&str] = &[
    "not", "no", "never", "without", "neither", "nor", "cannot", "none", "nothing", "nobody", "would",
    "should", "could", "might", "may", "can", "will", "until", "unless", "if", "whether", "once", "after",
    "before", "when", "while", "instead", "unlike", "release", "releases", "released", "version", "versions",
    "later", "part", "parts", "doc", "docs", "note", "notes", "comment", "comments", "news", "see", "cf",
    "how", "than", "was", "were", "did", "been", "allow", "allows", "helps", "help", "like", "same",
    "because", "since", "drop", "drops", "remove", "removes", "removed", "removal", "disable", "disables",
    "skip", "ignore",
];

/// Words after what is resolved that make it something else: `fix CVE-2024-32498 regression`.
const ELSE_AFTER: &[&str] = &[
    "regress",
    "fix",
    "patch",
    "test",
    "reproduc",
    "backport",
    "advisor",
    "follow",
    "mitigat",
    "workaround",
    "exploit",
    "poc",
    "related",
    "relate",
    "partial",
    "partly",
    "incomplet",
    "tag",
    "comment",
    "typo",
    "entry",
    "reference",
    "link",
    "number",
    "status",
    "check",
    "report",
    "changelog",
    "upstream",
    "separate",
    "elsewhere",
];

/// Words that, anywhere in a sentence, show that it is not about the patch.
const ELSEWHERE: &[&str] = &[
    "firmware",
    "microcode",
    "upgrade",
    "upgrading",
    "separately",
    "elsewhere",
    "workaround",
    "customers",
];

enum Token<'a> {
    Reference(Claims, Style),
    /// In lower case without surrounding marks, and as written.
    Word(String, &'a str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Bare,
    /// `(CVE-2024-32498)`.
    InBrackets,
    /// `CVE-2024-32498's`.
    Owner,
}

fn is_doubt(word: &str) -> bool {
    DOUBTFUL_WORDS.contains(&word)
        || word.ends_with("n't")
        || word.ends_with("n\u{2019}t")
        || DOUBTS.iter().any(|begin| word.starts_with(begin))
}

fn tokens(sentence: &str) -> Vec<Token<'_>> {
    let words = sentence.split_whitespace().flat_map(|word| {
        // Lists without spaces, but not addresses or names of projects.
        let is_list = word.to_ascii_lowercase().matches("cve-").count() > 1 && !word.contains("://");
        let ends: &[char] = if is_list { &[',', '/', '+', '&', ';'] } else { &[] };
        word.split_inclusive(ends).collect::<Vec<_>>()
    });
    words.take(SENTENCE_WORDS).map(token).collect()
}

fn token(written: &str) -> Token<'_> {
    let opened = written.trim_start_matches(['"', '\'', '`']);
    let in_brackets = opened.starts_with(['(', '[']);
    let bare = opened.trim_start_matches(['(', '[', '"', '\'', '`']);
    let style = if in_brackets {
        Style::InBrackets
    } else {
        Style::Bare
    };
    let mut claims = Claims::default();
    let address = bare.trim_end_matches([')', ']', '>', ',', '.', ';', ':']);
    let named = match address.rsplit_once('/').filter(|_| address.contains("://")) {
        Some((_, last)) => last,
        None => bare,
    };
    if let Some((cve, rest)) = leading(named) {
        let is_owner = rest.starts_with(['\'', '\u{2019}']) && rest.len() > 1 && !rest.ends_with('\'');
        let is_more = rest.starts_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_');
        if !is_more {
            claims.cves.insert(cve);
            return Token::Reference(claims, if is_owner { Style::Owner } else { style });
        }
    } else if bare.contains(['#', ':']) || bare.to_ascii_lowercase().starts_with("gh-") {
        let bug = if bare.contains("://") {
            Bug::from_url(bare)
        } else {
            Bug::from_word(bare, BareNumber::Unnamed)
        };
        if let Some(bug) = bug {
            claims.bugs.insert(bug);
            return Token::Reference(claims, style);
        }
    }
    let plain = written
        .trim_matches(|c: char| "()[]{}\"'`,.;:!?*".contains(c))
        .to_lowercase();
    Token::Word(
        if plain.is_empty() {
            written.to_owned()
        } else {
            plain
        },
        written,
    )
}

/// What a sentence claims to resolve.
pub(crate) fn of_sentence(sentence: &str) -> Claims {
    let tokens = tokens(sentence);
    let words: Vec<&str> = tokens
        .iter()
        .map(|token| match token {
            Token::Word(word, _) => word.as_str(),
            Token::Reference(..) => "",
        })
        .collect();
    let is_elsewhere = words.iter().any(|word| ELSEWHERE.contains(word));
    let mut found = Claims::default();
    if sentence.trim_end().ends_with('?') || is_elsewhere {
        return found;
    }
    if is_passive(&words) {
        for token in &tokens {
            if let Token::Reference(claims, Style::Bare) = token {
                found.extend(claims.clone());
            }
        }
        return found;
    }
    // `unzip: fix …`.
    let ends_prefix = |token: &Token<'_>| matches!(token, Token::Word(_, written) if written.ends_with(':'));
    let first_verb = words
        .iter()
        .position(|word| VERBS.contains(word))
        .unwrap_or(words.len());
    let start = tokens
        .iter()
        .take(first_verb.min(4))
        .rposition(ends_prefix)
        .map_or(0, |at| at + 1);
    for (at, word) in words.iter().enumerate().skip(start) {
        let before = words.get(start..at).unwrap_or_default();
        let is_verb = VERBS.contains(word) && speaks_of_the_patch(before);
        let is_noun = is_fix_for(before, word);
        if (!is_verb && !is_noun) || words.iter().take(at).any(|word| is_doubt(word)) {
            continue;
        }
        let behind = tokens.get(at + 1..).unwrap_or_default();
        // `The fix for … broke` says something about the fix.
        if is_verb || is_end_of_list(behind) {
            found = objects(behind);
        }
        if !found.is_empty() {
            break;
        }
    }
    found
}

/// `CVE-2024-32498 is fixed by this patch`.
fn is_passive(words: &[&str]) -> bool {
    let by_this = words.windows(3).any(|three| {
        ["by", "with", "in"].contains(&three[0]) && three[1] == "this" && PATCH_NOUNS.contains(&three[2])
    });
    let is_resolved = words.windows(2).any(|two| {
        ["is", "are", "gets"].contains(&two[0])
            && ["fixed", "resolved", "addressed", "closed"].contains(&two[1])
    });
    // It begins with what is resolved.
    let begins = words.first().is_some_and(|first| first.is_empty());
    begins && by_this && is_resolved && !words.iter().any(|word| is_doubt(word))
}

/// Whether the subject of a verb is the patch: an imperative, or `this patch`.
fn speaks_of_the_patch(before: &[&str]) -> bool {
    let end = before
        .iter()
        .rposition(|word| !ADVERBS.contains(word))
        .map_or(0, |at| at + 1);
    match before.get(..end).unwrap_or_default() {
        [] | [.., "this" | "to"] => true,
        [.., "this" | "the", noun] => PATCH_NOUNS.contains(noun),
        [.., noun, "which" | "that"] => {
            let first = before.first().copied().unwrap_or_default();
            let takes = ["backport", "cherry-pick", "pick", "apply", "applies", "import"];
            PATCH_NOUNS.contains(noun) && takes.iter().any(|verb| first.starts_with(verb))
        }
        _ => false,
    }
}

/// `Backport of upstream's fix for …`: the last word is `fix`, and nothing else is said before it.
fn is_fix_for(before: &[&str], word: &str) -> bool {
    const BEFORE: &[&str] = &[
        "security",
        "upstream",
        "upstream's",
        "backport",
        "backports",
        "backported",
        "of",
        "the",
        "a",
        "an",
        "official",
        "final",
        "proper",
        "minimal",
        "proposed",
        "this",
        "is",
        "patch",
        "apply",
        "applies",
        "add",
        "adds",
        "import",
        "imports",
        "include",
        "includes",
        "cherry-pick",
        "cherry-picked",
        "pick",
        "from",
        "stable",
        "commit",
        "contains",
        "with",
    ];
    ["fix", "fixes", "patch"].contains(&word)
        && !before.is_empty()
        && before.iter().all(|word| BEFORE.contains(word))
}

/// Whether the list of what is resolved ends the sentence, except for where the fix comes from.
fn is_end_of_list(behind: &[Token<'_>]) -> bool {
    let last = behind
        .iter()
        .rposition(|token| matches!(token, Token::Reference(..)));
    let next = last.and_then(|last| behind.get(last + 1));
    match next {
        None => true,
        Some(Token::Word(word, _)) => {
            ["from", "by", "in", "to", "on", "onto", "into"].contains(&word.as_str())
        }
        Some(Token::Reference(..)) => false,
    }
}

/// Returns what is resolved, after the verb.
fn objects(tokens: &[Token<'_>]) -> Claims {
    let mut found = Claims::default();
    // The last list, held back until it is known that nothing makes it something else.
    let mut list = Claims::default();
    let mut is_direct = true;
    let mut last = "";
    for token in tokens {
        match token {
            Token::Reference(_, Style::Owner) => return found,
            Token::Reference(claims, style) => {
                let is_named = ["as", "aka", "alias", "assigned", "i.e"].contains(&last);
                if is_direct || (claims.bugs.is_empty() && (*style == Style::InBrackets || is_named)) {
                    list.extend(claims.clone());
                }
                last = "";
            }
            Token::Word(word, _) => {
                let word = word.as_str();
                if !list.is_empty() {
                    if LINKS.contains(&word) {
                        last = word;
                        continue;
                    }
                    if ELSE_AFTER.iter().any(|begin| word.starts_with(begin)) {
                        return found;
                    }
                    found.extend(std::mem::take(&mut list));
                    is_direct = false;
                }
                let is_commit = word.len() >= 7 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
                if is_doubt(word) || (is_direct && is_commit) {
                    return found;
                }
                is_direct &= FILLERS.contains(&word);
                last = word;
            }
        }
    }
    found.extend(list);
    found
}

/// What a subject claims to resolve.
pub(crate) fn of_subject(subject: &str) -> Claims {
    let mut found = Claims::default();
    for sentence in prose::split_sentences(subject) {
        found.extend(of_sentence(&sentence));
    }
    let tokens = tokens(subject);
    let is_in_doubt = tokens.iter().any(|token| {
        matches!(token, Token::Word(word, _)
            if is_doubt(word) || ELSE_AFTER.iter().any(|begin| !["fix", "patch", "check"].contains(begin) && word.starts_with(begin)))
    });
    // `[CVE-2024-32498]` anywhere.
    for (at, _) in subject.match_indices('[') {
        let inner = subject.get(at + 1..).and_then(|rest| rest.split_once(']'));
        if let Some((inner, _)) = inner {
            found.extend(tag(inner));
        }
    }
    if is_in_doubt {
        return found;
    }
    // `(CVE-2024-32498)` at its end.
    if let Some((_, inner)) = subject
        .trim_end()
        .strip_suffix(')')
        .and_then(|rest| rest.rsplit_once('('))
    {
        found.extend(tag(inner));
    }
    // `CVE-2024-32498: …`, also after the name of a part.
    let mut rest = subject.trim_start();
    while let Some((part, tail)) = rest.split_once(": ")
        && leading(part).is_none()
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_./+,".contains(&byte))
    {
        rest = tail.trim_start();
    }
    let (mut names, mut links) = (BTreeSet::new(), true);
    while let Some((cve, tail)) = leading(rest).filter(|_| links) {
        names.insert(cve);
        rest = tail.trim_start_matches([' ', ',', '/', '&', '+']);
        rest = rest.strip_prefix("and ").unwrap_or(rest);
        links = rest.len() < tail.len();
        if !links || leading(rest).is_none() {
            rest = tail;
            break;
        }
    }
    let marks = [":", ",", " - ", " \u{2013} ", " \u{2014} "];
    if rest.trim().is_empty() || marks.iter().any(|mark| rest.starts_with(mark)) {
        found.cves.extend(names);
    }
    found
}

/// The numbers in a tag that has nothing else.
pub(crate) fn tag(inner: &str) -> Claims {
    let words = inner
        .split([',', ' ', '/'])
        .filter(|word| !word.is_empty() && *word != "and");
    let cves: Result<BTreeSet<Cve>, _> = words.map(str::parse).collect();
    Claims {
        cves: cves.unwrap_or_default(),
        bugs: BTreeSet::new(),
    }
}

/// The list with which a header's value begins; `bare` is what a number alone means there.
pub(crate) fn of_list(value: &str, bare: BareNumber) -> Claims {
    let mut found = Claims::default();
    let mut bare = bare;
    let words = value.split(|c: char| c.is_whitespace() || c == ',');
    for word in words.filter(|word| !word.is_empty()) {
        let plain = word.trim_matches(|c: char| "()[].;".contains(c));
        match plain.to_ascii_lowercase().trim_end_matches(':') {
            "and" | "&" | "bug" | "bugs" | "issue" | "issues" => continue,
            "lp" => {
                bare = BareNumber::Launchpad;
                continue;
            }
            "rhbz" => {
                bare = BareNumber::Vendor(crate::bugs::Tracker::RedHatBugzilla);
                continue;
            }
            _ => {}
        }
        match token(word) {
            Token::Reference(claims, _) if !claims.cves.is_empty() => found.extend(claims),
            _ => match Bug::from_word(word, bare) {
                Some(bug) => drop(found.bugs.insert(bug)),
                None if plain.to_ascii_lowercase().starts_with("partial") => return Claims::default(),
                None => break,
            },
        }
    }
    found
}

/// What a trailer such as `Fixes: CVE-2024-32498` claims.
pub(crate) fn of_closing_trailer(value: &str, bare: BareNumber) -> Claims {
    let list = of_list(value, bare);
    if list.is_empty() {
        of_sentence(&format!("Fixes {value}"))
    } else {
        list
    }
}
