//! Gerrit's `Change-Id`s in a message, and its footers.

/// The most lines of a message that are read.
pub(crate) const MOST_LINES: usize = 4096;

/// The most ids and commits that a message names.
pub(crate) const MOST_NAMED: usize = 64;

/// The first paragraph of a message in one line, as `git log --format=%s` shows it.
#[must_use]
pub fn subject(message: &str) -> String {
    let lines = message.lines().map(str::trim).skip_while(|line| line.is_empty());
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
pub(crate) fn footer(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let is_key = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_key.then(|| (key, value.trim()))
}

/// The `Change-Id` of a footer: by its key, or as the address in `Link`, which Gerrit takes too.
pub(crate) fn change_id(line: &str) -> Option<String> {
    let (key, value) = footer(line)?;
    let id = if key.eq_ignore_ascii_case("Change-Id") {
        value
    } else if key.eq_ignore_ascii_case("Link") {
        value.rsplit_once("/id/")?.1
    } else {
        return None;
    };
    as_change_id(id)
}

/// Returns a `Change-Id` as it is reported, in lower case; `None` for anything else.
pub(crate) fn as_change_id(text: &str) -> Option<String> {
    let digits = text.strip_prefix('I')?;
    let is_id = digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    // All zeros are a placeholder.
    (is_id && digits.bytes().any(|byte| byte != b'0')).then(|| format!("I{}", digits.to_ascii_lowercase()))
}

/// Whether a paragraph has nothing but footers and what may stand among them: notes in brackets,
/// and continuation lines.
fn is_footers(paragraph: &[&str]) -> bool {
    paragraph.iter().all(|line| {
        footer(line)
            .is_some_and(|(key, _)| !key.eq_ignore_ascii_case("http") && !key.eq_ignore_ascii_case("https"))
            || line.starts_with(['(', '[', ' ', '\t', '#'])
            || line.to_ascii_lowercase().starts_with("cherry")
    })
}

/// Returns the `Change-Id`s that identify a message: those in its last paragraph, by Gerrit's rule.
/// If text appended there has none, the paragraphs before it count as long as they are nothing but
/// footers.
///
/// In a GitHub squash message, which lists whole messages under a `*` each, the footers of each
/// count.
#[must_use]
pub fn change_ids(text: &str) -> Vec<String> {
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

/// Returns all `Change-Id`s in footers anywhere: a patch that was squashed from several changes is
/// there only with all of them.
#[must_use]
pub fn all_change_ids(text: &str) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

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
}
