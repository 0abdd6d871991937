//! What a patch taken from upstream says about where it comes from, in the form that the
//! repository's own patches use.

use clap::ValueEnum;

/// How a patch says where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum HeaderStyle {
    /// `Origin:` and `Forwarded:`, as in DEP-3
    Dep3,
    /// `Upstream-Status: Backport [...]`, as in Yocto
    Yocto,
    /// A line of its own, `Upstream status: ...`
    Sentence,
    /// Only the note on the cherry-pick
    None,
}

/// What a patch has to say about where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Provenance {
    /// The commit that it was made from.
    pub(super) commit: String,
    /// The page of the commit, the pull request or the review.
    pub(super) page: Option<String>,
    pub(super) standing: UpstreamStanding,
}

/// Whether upstream has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpstreamStanding {
    /// It has.
    Merged,
    /// It is a proposal.
    Proposed,
    /// It is in another repository, and nothing more is known about it.
    Elsewhere,
}

/// Whether a patch is what upstream has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PatchForm {
    Unchanged,
    MadeAnew,
}

/// How many bytes of a patch are searched for its form.
const HEAD_BYTES: usize = 16 << 10;

impl HeaderStyle {
    /// The form that most of the patches have; `None` where none has any.
    pub(super) fn of_patches<'a>(patches: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut counts = [(Self::Dep3, 0), (Self::Yocto, 0), (Self::Sentence, 0)];
        for patch in patches {
            let found = Self::of_patch(patch);
            for (style, count) in &mut counts {
                *count += usize::from(found == Some(*style));
            }
        }
        let most = counts.into_iter().filter(|(_, count)| *count > 0);
        // On a tie, the first one wins.
        most.rev()
            .max_by_key(|(_, count)| *count)
            .map_or(Self::None, |(style, _)| style)
    }

    fn of_patch(patch: &[u8]) -> Option<Self> {
        let head = patch.get(..HEAD_BYTES).unwrap_or(patch);
        for line in head.split(|byte| *byte == b'\n') {
            if line.starts_with(b"diff --git ") || line.starts_with(b"@@ ") {
                return None;
            }
            let has = |names: &[&[u8]]| {
                names.iter().any(|name| {
                    line.get(..name.len())
                        .is_some_and(|start| start.eq_ignore_ascii_case(name))
                })
            };
            if has(&[b"Upstream-Status:"]) {
                return Some(Self::Yocto);
            }
            if has(&[b"Upstream status:"]) {
                return Some(Self::Sentence);
            }
            if has(&[b"Origin:", b"Forwarded:", b"Applied-Upstream:", b"Bug-Debian:"]) {
                return Some(Self::Dep3);
            }
        }
        None
    }

    /// The line that says where a patch comes from; `None` where none does.
    fn line(self, provenance: &Provenance, form: PatchForm) -> Option<String> {
        if provenance.standing == UpstreamStanding::Elsewhere {
            return None;
        }
        let place = provenance.page.as_deref().unwrap_or(&provenance.commit);
        let is_merged = provenance.standing == UpstreamStanding::Merged;
        Some(match self {
            Self::None => return None,
            Self::Yocto if is_merged => format!("Upstream-Status: Backport [{place}]"),
            Self::Yocto => format!("Upstream-Status: Submitted [{place}]"),
            Self::Sentence if is_merged => format!("Upstream status: backport of {place}"),
            Self::Sentence => format!("Upstream status: proposed as {place}"),
            Self::Dep3 if !is_merged => format!("Forwarded: {place}"),
            Self::Dep3 if form == PatchForm::Unchanged => format!("Origin: upstream, {place}"),
            Self::Dep3 => format!("Origin: backport, {place}"),
        })
    }

    /// Adds to a mail of `git format-patch` where it comes from: the note of `git cherry-pick -x`,
    /// and a line in this form.
    pub(super) fn note(self, mail: &[u8], provenance: &Provenance, form: PatchForm) -> Vec<u8> {
        let line = self.line(provenance, form);
        let picked = match provenance.standing {
            UpstreamStanding::Merged | UpstreamStanding::Elsewhere => {
                Some(format!("(cherry picked from commit {})", provenance.commit))
            }
            UpstreamStanding::Proposed => None,
        };
        let (paragraph, trailer) = match self {
            Self::Sentence => (line, None),
            _ => (None, line),
        };
        let trailers: Vec<String> = picked.into_iter().chain(trailer).collect();
        with_notes(mail, paragraph.as_deref(), &trailers)
    }
}

/// Adds a paragraph before a mail's trailers, and further trailers.
fn with_notes(mail: &[u8], paragraph: Option<&str>, trailers: &[String]) -> Vec<u8> {
    let Some(start) = find(mail, b"\n\n").map(|at| at + 2) else {
        return mail.to_vec();
    };
    let rest = mail.get(start..).unwrap_or_default();
    let end = if rest.starts_with(b"---\n") {
        Some(0)
    } else {
        find(rest, b"\n---\n").map(|at| at + 1)
    };
    let Some(end) = end else {
        return mail.to_vec();
    };
    let (body, diff) = rest.split_at(end);
    let body = String::from_utf8_lossy(body);
    let body = body.trim_end();
    let trailer_start = trailer_block(body);
    let (text, footer) = body.split_at(trailer_start.unwrap_or(body.len()));
    let mut paragraphs = Vec::new();
    paragraphs.extend(Some(text.trim_end()).filter(|text| !text.is_empty()));
    paragraphs.extend(paragraph);
    let footer: Vec<&str> = footer
        .lines()
        .chain(trailers.iter().map(String::as_str))
        .collect();
    let footer = footer.join("\n");
    paragraphs.extend(Some(footer.as_str()).filter(|text| !text.is_empty()));
    let head = mail.get(..start).unwrap_or_default();
    [head, paragraphs.join("\n\n").as_bytes(), b"\n", diff].concat()
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|found| found == wanted)
}

/// Where the trailers of a message's body begin, which is without its subject
/// (`find_trailer_block_start` in Git's trailer.c); `None` where it has none.
fn trailer_block(body: &str) -> Option<usize> {
    let start = body.rfind("\n\n").map_or(0, |at| at + 2);
    let block = body.get(start..).unwrap_or_default();
    let (mut trailers, mut others, mut is_gits) = (0, 0, false);
    // Continuation lines whose first line, further up, has not been seen yet.
    let mut indented = 0;
    for line in block.lines().rev() {
        let generated = ["Signed-off-by: ", "(cherry picked from commit "];
        if generated.iter().any(|begin| line.starts_with(begin)) {
            (trailers, indented, is_gits) = (trailers + 1, 0, true);
        } else if is_trailer(line) {
            (trailers, indented) = (trailers + 1, 0);
        } else if line.starts_with([' ', '\t']) {
            indented += 1;
        } else {
            (others, indented) = (others + 1 + indented, 0);
        }
    }
    others += indented;
    let is_block = (is_gits && trailers * 3 >= others) || (trailers > 0 && others == 0);
    is_block.then_some(start)
}

/// `Token: value` (`find_separator`).
fn is_trailer(line: &str) -> bool {
    let Some((token, _)) = line.split_once(':') else {
        return false;
    };
    let token = token.trim_end_matches([' ', '\t']);
    !token.is_empty()
        && token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use patch_headers::{PatchHeaders, PatchOrigin};

    const ID: &str = "1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c";
    const DIFF: &str = "---\n x | 2 +-\n\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";

    fn provenance(standing: UpstreamStanding) -> Provenance {
        Provenance {
            commit: ID.to_owned(),
            page: Some(format!("https://example.org/a/b/commit/{ID}")),
            standing,
        }
    }

    fn noted(style: HeaderStyle, body: &str, standing: UpstreamStanding) -> String {
        let mail = format!("From: A <a@x>\nSubject: [PATCH] Fix\n\n{body}{DIFF}");
        let noted = style.note(mail.as_bytes(), &provenance(standing), PatchForm::Unchanged);
        let text = String::from_utf8(noted).unwrap();
        let (_, rest) = text.split_once("\n\n").unwrap();
        rest.strip_suffix(DIFF).unwrap().replace(ID, "ID")
    }

    #[test]
    fn each_form_is_written_where_git_and_others_read_it() {
        let body = "Text.\n\nChange-Id: I1\nSigned-off-by: A <a@x>\n";
        for (style, standing, expected) in [
            (
                HeaderStyle::None,
                UpstreamStanding::Merged,
                "Text.\n\nChange-Id: I1\nSigned-off-by: A <a@x>\n(cherry picked from commit ID)\n",
            ),
            (
                HeaderStyle::Yocto,
                UpstreamStanding::Merged,
                "Text.\n\nChange-Id: I1\nSigned-off-by: A <a@x>\n(cherry picked from commit ID)\n\
                 Upstream-Status: Backport [https://example.org/a/b/commit/ID]\n",
            ),
            (
                HeaderStyle::Sentence,
                UpstreamStanding::Merged,
                "Text.\n\nUpstream status: backport of https://example.org/a/b/commit/ID\n\n\
                 Change-Id: I1\nSigned-off-by: A <a@x>\n(cherry picked from commit ID)\n",
            ),
            (
                HeaderStyle::Dep3,
                UpstreamStanding::Proposed,
                "Text.\n\nChange-Id: I1\nSigned-off-by: A <a@x>\nForwarded: https://example.org/a/b/commit/ID\n",
            ),
        ] {
            assert_eq!(noted(style, body, standing), expected, "{style:?}");
        }
        for (body, expected) in [
            ("\n", "(cherry picked from commit ID)\n"),
            ("Text.\n", "Text.\n\n(cherry picked from commit ID)\n"),
            (
                "Change-Id: I1\n",
                "Change-Id: I1\n(cherry picked from commit ID)\n",
            ),
            (
                "One\nTwo: three\nfour\n",
                "One\nTwo: three\nfour\n\n(cherry picked from commit ID)\n",
            ),
        ] {
            assert_eq!(
                noted(HeaderStyle::None, body, UpstreamStanding::Merged),
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for style in [HeaderStyle::Dep3, HeaderStyle::Yocto, HeaderStyle::Sentence] {
            let mail = format!("From: A <a@x>\nSubject: [PATCH] Fix\n\nText.\n{DIFF}");
            let merged = provenance(UpstreamStanding::Merged);
            let noted = style.note(mail.as_bytes(), &merged, PatchForm::MadeAnew);
            assert_eq!(HeaderStyle::of_patch(&noted), Some(style));
            let headers = PatchHeaders::read("x.patch", &noted);
            assert!(headers.origin >= PatchOrigin::Backport, "{style:?}");
            assert_eq!(headers.upstream_commits(), [ID], "{style:?}");
        }
    }

    #[test]
    fn the_form_is_that_of_most_patches() {
        let dep3: &[u8] = b"Description: x\nOrigin: vendor\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";
        let yocto: &[u8] = b"Subject: x\n\nUpstream-Status: Pending\n---\ndiff --git a/x b/x\n";
        let sentence: &[u8] =
            b"Upstream status: not yet proposed.\n\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";
        let none: &[u8] = b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+Origin: no\n";
        assert_eq!(HeaderStyle::of_patches([none, none]), HeaderStyle::None);
        assert_eq!(HeaderStyle::of_patches([none, sentence]), HeaderStyle::Sentence);
        assert_eq!(HeaderStyle::of_patches([dep3, yocto, yocto]), HeaderStyle::Yocto);
        assert_eq!(HeaderStyle::of_patches([yocto, dep3]), HeaderStyle::Dep3);
    }
}
