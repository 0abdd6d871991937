//! The headers and trailers of a message, and the rest of it.

/// A header or trailer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// In lower case, with `-` for spaces.
    pub(crate) name: String,
    /// Its lines, trimmed.
    pub(crate) value: String,
}

/// A message, split into fields and prose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    pub(crate) fields: Vec<Field>,
    /// The lines that are no fields.
    pub(crate) prose: Vec<String>,
}

/// Names of headers and trailers; a line `word: text` with another name is a sentence.
const NAMES: &[&str] = &[
    "from",
    "author",
    "date",
    "subject",
    "to",
    "cc",
    "origin",
    "bug",
    "forwarded",
    "applied-upstream",
    "last-update",
    "description",
    "upstream-status",
    "cve",
    "cves",
    "cve-id",
    "cve-ids",
    "change-id",
    "fix",
    "fixes",
    "fixed",
    "close",
    "closes",
    "closed",
    "resolve",
    "resolves",
    "resolved",
    "mime-version",
    "message-id",
    "reply-to",
    "in-reply-to",
    "reference",
    "references",
    "license",
    "see-also",
    "depends-on",
    "implements",
    "blueprint",
    "partial-implements",
    "cherry-picked-from",
    "comment",
];

fn is_field_name(name: &str) -> bool {
    NAMES.contains(&name)
        || name.ends_with("-by")
        || (name.ends_with("-bug") && name.matches('-').count() <= 2)
        || ["bug-", "content-", "x-", "spdx-", "related-"]
            .iter()
            .any(|begin| name.starts_with(begin))
}

/// Whether a line is a header of DEP-3 or Yocto, which Git would drop with everything else after
/// the line `---`.
pub(crate) fn is_header_of_patch(line: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "upstream-status",
        "origin",
        "forwarded",
        "applied-upstream",
        "last-update",
    ];
    split_field(line).is_some_and(|(name, _)| {
        NAMES.contains(&name.as_str()) || CVE_NAMES.contains(&name.as_str()) || name.starts_with("bug")
    })
}

impl Fields {
    /// Splits a message. Indented lines continue a header.
    pub(crate) fn read(message: &[u8]) -> Self {
        let mut found = Self::default();
        let mut in_head = true;
        // How many fields the head has, once it has ended and until the body has begun.
        let mut head: Option<usize> = None;
        // The bytes of the header that is being read: encoded words are decoded as a whole.
        let mut open: Option<(String, Vec<u8>)> = None;
        for line in message.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii_end();
            let is_indented = line.first().is_some_and(|byte| b" \t".contains(byte));
            if let Some((_, value)) = open.as_mut()
                && is_indented
            {
                value.push(b'\n');
                value.extend_from_slice(line.trim_ascii());
                continue;
            }
            found
                .fields
                .extend(open.take().map(|(name, value)| field(name, &value)));
            match split_field(line).filter(|_| !is_indented || !in_head) {
                Some((name, value)) => open = Some((name, value.to_vec())),
                None if line.is_empty() && in_head && !found.fields.is_empty() => {
                    in_head = false;
                    head = Some(found.fields.len());
                    found.prose.push(String::new());
                }
                None => {
                    if !line.is_empty() {
                        found.take_headers_of_body(head.take());
                    }
                    found.prose.push(String::from_utf8_lossy(line).into_owned());
                }
            }
        }
        found
            .fields
            .extend(open.take().map(|(name, value)| field(name, &value)));
        found.take_headers_of_body(head);
        found
    }

    /// Moves the author's headers at the start of a body before those of the sender, as `git
    /// format-patch --from` writes them.
    fn take_headers_of_body(&mut self, head: Option<usize>) {
        let Some(head) = head else { return };
        let body = self.fields.get(head..).unwrap_or_default();
        let is_authors = |field: &&Field| ["from", "date", "subject"].contains(&field.name.as_str());
        let count = body.iter().take_while(is_authors).count();
        if let Some(fields) = self.fields.get_mut(..head + count) {
            fields.rotate_right(count);
        }
    }

    /// The values of a field, in order.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.fields.iter().filter(move |field| field.name == name);
        named.map(|field| field.value.as_str())
    }

    fn first_line(&self, names: &[&str]) -> Option<String> {
        let value = names.iter().find_map(|name| self.values(name).next())?;
        let line = value.lines().next()?.trim();
        (!line.is_empty()).then(|| line.to_owned())
    }

    pub(crate) fn author(&self) -> Option<String> {
        self.first_line(&["from", "author"])
    }

    /// The subject without `[PATCH 1/2]` and the like.
    pub(crate) fn subject(&self) -> Option<String> {
        let named = self.first_line(&["subject", "description"]);
        let line = named.or_else(|| {
            let lines = || self.prose.iter().map(|line| line.trim());
            let told = lines().find(|line| !line.is_empty() && !is_notice(line));
            told.map(ToOwned::to_owned).or_else(|| lines().find_map(comment))
        })?;
        Some(without_tags(&line).to_owned()).filter(|subject| !subject.is_empty())
    }

    /// The date, in seconds since the epoch: that of a mail, or of `git show`, such as
    /// `Tue Apr 1 10:00:00 2025 +0200`.
    pub(crate) fn date(&self) -> Option<i64> {
        let date = self.values("date").find(|date| !date.is_empty())?;
        if let Ok(seconds) = mailparse::dateparse(date) {
            return Some(seconds);
        }
        let [_, month, day, time, year, offset] = date.split_whitespace().collect::<Vec<_>>()[..] else {
            return None;
        };
        mailparse::dateparse(&format!("{day} {month} {year} {time} {offset}")).ok()
    }

    pub(crate) fn has_cve_header(&self) -> bool {
        CVE_NAMES.iter().any(|name| self.values(name).next().is_some())
    }
}

/// The names of the header that lists vulnerabilities.
pub(crate) const CVE_NAMES: &[&str] = &["cve", "cves", "cve-id", "cve-ids"];

/// A line's name and value, if it is a header or trailer.
fn split_field(line: &[u8]) -> Option<(String, &[u8])> {
    let at = line.iter().take(60).position(|byte| *byte == b':')?;
    let name = std::str::from_utf8(line.get(..at)?)
        .ok()?
        .trim()
        .to_ascii_lowercase();
    let name = name.replace(' ', "-");
    let value = line.get(at + 1..)?;
    // An address is not a field: `from://`.
    (is_field_name(&name) && !value.starts_with(b"//")).then(|| (name, value.trim_ascii()))
}

fn field(name: String, value: &[u8]) -> Field {
    let is_mail = ["from", "subject", "author"].contains(&name.as_str());
    let decoded = is_mail.then(|| {
        let lines: Vec<&[u8]> = value.split(|byte| *byte == b'\n').collect();
        let header = [b"X: ", lines.join(&b"\n "[..]).as_slice()].concat();
        let (parsed, _) = mailparse::parse_header(&header).ok()?;
        Some(parsed.get_value())
    });
    let value = decoded
        .flatten()
        .unwrap_or_else(|| String::from_utf8_lossy(value).into_owned());
    Field { name, value }
}

/// The body of a message after a line in place of its subject: everything but the headers of a
/// mail. Text among the fields of DEP-3 counts as body.
pub(crate) fn body(message: &str) -> String {
    let (head, rest) = message.split_once("\n\n").unwrap_or((message, ""));
    let is_subject = |line: &str| {
        line.get(..8)
            .is_some_and(|name| name.eq_ignore_ascii_case("subject:"))
    };
    let body = if head.lines().any(is_subject) {
        rest
    } else {
        message
    };
    format!("-\n\n{body}")
}

/// Whether a line is a licence or copyright notice, a comment, a quotation, or written by `git
/// show`.
fn is_notice(line: &str) -> bool {
    let is_commit = line
        .strip_prefix("commit ")
        .is_some_and(|id| id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let text = line
        .trim_start_matches(['#', '/', '*', ';', ' '])
        .to_ascii_lowercase();
    is_commit
        || line.starts_with(['#', '>'])
        || line.starts_with("//")
        || ["spdx-", "copyright", "(c) ", "\u{a9}"]
            .iter()
            .any(|begin| text.starts_with(begin))
}

/// Returns the text of a comment, unless it is a notice or a header itself.
fn comment(line: &str) -> Option<String> {
    let text = line.strip_prefix('#').or_else(|| line.strip_prefix("//"))?;
    let text = text.trim_start_matches(['#', '/', ' ']).trim();
    (!text.is_empty() && !is_notice(text) && split_field(text.as_bytes()).is_none()).then(|| text.to_owned())
}

/// Removes `[PATCH 1/2]` and the like.
pub(crate) fn without_tags(subject: &str) -> &str {
    let mut rest = subject.trim_start();
    while let Some((tag, tail)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'))
        && tag.to_ascii_uppercase().contains("PATCH")
    {
        rest = tail.trim_start();
    }
    rest
}
