//! The sentences of a message.

/// Words that begin a separate line such as `Closes #42`.
const CLOSING: &[&str] = &[
    "Fix", "Fixes", "Fixed", "Close", "Closes", "Closed", "Resolve", "Resolves", "Resolved",
];

/// Returns the sentences of the lines, without quotations, and without lists of what another
/// release brought.
pub(crate) fn sentences(lines: &[String]) -> Vec<String> {
    let mut reader = Reader::default();
    for line in lines {
        reader.line(line);
    }
    reader.flush();
    reader.sentences
}

#[derive(Default)]
struct Reader {
    sentences: Vec<String>,
    paragraph: String,
    /// Whether the paragraph is an item of a list, or indented.
    is_inset: bool,
    /// Whether a heading announced a list about a release.
    in_release_notes: bool,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let text = line.trim();
        if text.is_empty() || text.starts_with(['>', '|']) {
            self.flush();
            return;
        }
        let item = item(text);
        if item.is_some() || begins_anew(text) {
            self.flush();
        }
        if self.paragraph.is_empty() {
            self.is_inset = item.is_some() || line.starts_with([' ', '\t']);
        } else {
            self.paragraph.push(' ');
        }
        self.paragraph.push_str(item.unwrap_or(text));
        if is_tag(text) {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let paragraph = std::mem::take(&mut self.paragraph);
        if paragraph.is_empty() {
            return;
        }
        if !self.is_inset {
            self.in_release_notes = announces_release_notes(&paragraph);
        }
        if !(self.in_release_notes && self.is_inset) {
            self.sentences.extend(split_sentences(&paragraph));
        }
    }
}

/// The text of an item of a list.
fn item(text: &str) -> Option<&str> {
    let marked = ["- ", "* ", "+ ", "\u{2022} "]
        .iter()
        .find_map(|mark| text.strip_prefix(mark));
    marked.or_else(|| {
        let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
        let rest = (rest.len() < text.len()).then_some(rest)?;
        rest.strip_prefix(". ").or_else(|| rest.strip_prefix(") "))
    })
}

fn begins_anew(text: &str) -> bool {
    let first = text.split([' ', ':']).next().unwrap_or_default();
    CLOSING.contains(&first) || is_tag(text)
}

/// `[CVE-2024-32498]` on a line of its own.
fn is_tag(text: &str) -> bool {
    text.starts_with("[CVE-") && text.ends_with(']')
}

fn announces_release_notes(paragraph: &str) -> bool {
    const WORDS: &[&str] = &[
        "release note",
        "changelog",
        "change log",
        "changes in",
        "changes since",
        "changes from",
        "what's new",
        "news",
        "highlights",
        "security updates",
        "firmware",
        "microcode",
    ];
    let lower = paragraph.to_lowercase();
    paragraph.ends_with(':') && WORDS.iter().any(|word| lower.contains(word))
}

/// Returns the sentences of a paragraph, each with its closing mark.
pub(crate) fn split_sentences(paragraph: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut sentence = String::new();
    for word in paragraph.split_whitespace() {
        if !sentence.is_empty() {
            sentence.push(' ');
        }
        sentence.push_str(word);
        let inner = word.trim_end_matches(['"', '\'', ')', ']']);
        if inner.ends_with(['.', '?', '!', ';']) && !["e.g.", "i.e.", "cf.", "vs."].contains(&word) {
            sentences.push(std::mem::take(&mut sentence));
        }
    }
    if !sentence.is_empty() {
        sentences.push(sentence);
    }
    sentences
}
