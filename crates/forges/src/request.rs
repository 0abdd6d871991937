//! Requests that should exist, made fit for the servers, and existing ones.

use super::Error;
use forge_rest::{ForgeKind, invalid_input};

/// The longest title, in characters: GitLab and Gitea keep 255, GitHub 256.
const MAX_TITLE_CHARACTERS: usize = 250;
/// The longest body, in characters: GitHub keeps 65,536.
const MAX_BODY_CHARACTERS: usize = 60_000;
/// The longest name of a branch, in bytes: Git keeps refs in files.
const MAX_BRANCH_BYTES: usize = 244;
/// The longest name of a label, in characters: GitHub and Gitea keep 50.
const MAX_LABEL_CHARACTERS: usize = 50;
/// The most labels: GitHub keeps 100.
const MAX_LABELS: usize = 50;

/// A request that should exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DesiredPullRequest<'a> {
    /// The branch that is to be merged.
    pub head: &'a str,
    /// The branch that it is to be merged into, of the same repository.
    pub base: &'a str,
    /// Its title: one line, cut at 250 characters.
    pub title: &'a str,
    /// Its text in Markdown, cut at 60,000 characters.
    pub body: &'a str,
    /// Labels that it should have. Others stay. Missing labels are made, as far as that is
    /// permitted.
    pub labels: &'a [String],
    /// Whether a new request asks for reviews. Later changes by people stay.
    pub readiness: Readiness,
}

/// Whether a request can be merged as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Readiness {
    /// It asks for reviews.
    #[default]
    Ready,
    /// It is a draft, which is not merged before someone marks it as ready.
    Draft,
}

/// An existing request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number in the repository.
    pub number: u64,
    /// Its page, for people; empty if the server gives none.
    pub url: String,
    /// Its state.
    pub state: PullRequestState,
    /// The labels that it could not be given; `None` if it has all, or was only looked for.
    pub missing_labels: Option<MissingLabels>,
}

/// Labels that a request could not be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingLabels {
    /// Their names.
    pub labels: Vec<String>,
    /// Why, and what to do.
    pub reason: String,
}

/// The state of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullRequestState {
    /// It can be merged, or is about to be.
    Open,
    /// It was merged.
    Merged,
    /// It was closed without being merged.
    Closed,
}

/// Two branches of a repository: one that is to be merged into the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Branches<'a> {
    /// The branch that is to be merged.
    pub(super) head: &'a str,
    /// The branch that it is to be merged into.
    pub(super) base: &'a str,
}

impl<'a> Branches<'a> {
    /// # Errors
    ///
    /// [`Error::Invalid`] for what Git does not accept as a branch, and if they are the same.
    pub(super) fn validate(head: &'a str, base: &'a str) -> Result<Self, Error> {
        for branch in [head, base] {
            let outside = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
            if branch.is_empty()
                || branch.len() > MAX_BRANCH_BYTES
                || branch.starts_with(['-', '/'])
                || branch.ends_with(['/', '.'])
                || branch.contains("..")
                || branch.contains("@{")
                || branch.contains(outside)
            {
                return Err(invalid_input("branch", branch, "write for instance main"));
            }
        }
        if head == base {
            return Err(invalid_input(
                "branch to merge from",
                head,
                "it is the branch to merge into",
            ));
        }
        Ok(Self { head, base })
    }
}

/// A request as it is sent, and as a server returns it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PreparedRequest<'a> {
    pub(super) branches: Branches<'a>,
    pub(super) title: String,
    pub(super) body: String,
    pub(super) labels: Vec<&'a str>,
    pub(super) readiness: Readiness,
}

impl<'a> PreparedRequest<'a> {
    /// # Errors
    ///
    /// [`Error::Invalid`] for invalid names of branches or labels, and without a title.
    pub(super) fn new(kind: ForgeKind, request: &DesiredPullRequest<'a>) -> Result<Self, Error> {
        let branches = Branches::validate(request.head, request.base)?;
        let title = one_line_title(request.title);
        if title.is_empty() {
            return Err(invalid_input("title of a request", request.title, "it is empty"));
        }
        if request.labels.len() > MAX_LABELS {
            return Err(invalid_input("list of labels", "the list", "it has more than 50"));
        }
        let mut labels: Vec<&str> = Vec::new();
        for label in request.labels {
            let label = label.trim();
            let outside = |c: char| c.is_control() || c == ',';
            if label.is_empty() || label.chars().count() > MAX_LABEL_CHARACTERS || label.contains(outside) {
                return Err(invalid_input(
                    "label",
                    label,
                    "write 1 to 50 characters, without commas or line breaks",
                ));
            }
            if !labels.iter().any(|known| same_label(known, label)) {
                labels.push(label);
            }
        }
        let body = text_to_send(kind, request.body);
        Ok(Self {
            branches,
            title,
            body,
            labels,
            readiness: request.readiness,
        })
    }

    /// Returns the labels that are not among the existing ones.
    pub(super) fn missing_labels(&self, there: &[String]) -> Vec<&'a str> {
        missing_labels(&self.labels, there)
    }
}

/// Returns the labels that are not among the existing ones.
pub(super) fn missing_labels<'a>(labels: &[&'a str], there: &[String]) -> Vec<&'a str> {
    let is_there = |label: &&str| there.iter().any(|known| same_label(known, label));
    labels.iter().copied().filter(|label| !is_there(label)).collect()
}

/// Whether two names are one label: no server keeps two that differ in case alone.
pub(super) fn same_label(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// A text in Markdown as it is sent to a server.
pub(super) fn text_to_send(kind: ForgeKind, text: &str) -> String {
    match kind {
        ForgeKind::GitLab => escape_commands(&normal_body(text)),
        ForgeKind::GitHub | ForgeKind::Gitea => normal_body(text),
    }
}

/// A title in one line.
pub(super) fn one_line_title(text: &str) -> String {
    let words = text.split(|c: char| c.is_control() || c.is_whitespace());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    shorten_title(&words.join(" "))
}

/// A text with the line ends and without the control characters that servers change by themselves.
pub(super) fn normal_body(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text: String = text
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    shorten(text.trim(), MAX_BODY_CHARACTERS)
}

/// Cuts a title.
pub(super) fn shorten_title(title: &str) -> String {
    shorten(title, MAX_TITLE_CHARACTERS)
}

fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most - 1).collect();
    format!("{}…", kept.trim_end())
}

/// Escapes a text so that GitLab takes no commands from it: a line that begins with one (`/merge`,
/// `/assign`) is executed with the token's rights, and removed from the text. The escaped text is
/// displayed as before.
fn escape_commands(text: &str) -> String {
    let escaped = |line: &str| {
        let start = line.trim_start();
        if start.starts_with('/') {
            format!("{}\\{start}", &line[..line.len() - start.len()])
        } else {
            line.to_owned()
        }
    };
    text.split('\n').map(escaped).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn request<'a>(title: &'a str, body: &'a str, labels: &'a [String]) -> DesiredPullRequest<'a> {
        DesiredPullRequest {
            head: "patchset/prod",
            base: "main",
            title,
            body,
            labels,
            readiness: Readiness::Ready,
        }
    }

    #[test]
    fn what_is_sent_is_what_servers_keep() {
        let labels = ["Images".to_owned(), " images ".to_owned(), "bot".to_owned()];
        let request = request(" Deploy\n\u{1b}[31m it  now ", "\r\none\r\n\u{0}two\n\n", &labels);
        let prepared = PreparedRequest::new(ForgeKind::GitHub, &request).unwrap();
        assert_eq!(prepared.title, "Deploy [31m it now");
        assert_eq!(prepared.body, "one\ntwo");
        assert_eq!(prepared.labels, ["Images", "bot"]);
        assert_eq!(prepared.missing_labels(&["IMAGES".to_owned()]), ["bot"]);
        // A normal title is unchanged.
        assert_eq!(one_line_title(&prepared.title), prepared.title);
        assert_eq!(normal_body(&prepared.body), prepared.body);
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "é".repeat(70_000);
        let request = request(&long, &long, &[]);
        let prepared = PreparedRequest::new(ForgeKind::GitHub, &request).unwrap();
        assert_eq!(prepared.title.chars().count(), MAX_TITLE_CHARACTERS);
        assert_eq!(prepared.body.chars().count(), MAX_BODY_CHARACTERS);
        assert!(prepared.body.ends_with("é…"));
    }

    #[test]
    fn gitlab_gets_no_commands() {
        let text = "/merge\nfine /close\n  /assign @x\nhttps://x/y";
        let prepared = PreparedRequest::new(ForgeKind::GitLab, &request("t", text, &[])).unwrap();
        assert_eq!(
            prepared.body,
            "\\/merge\nfine /close\n  \\/assign @x\nhttps://x/y"
        );
        let prepared = PreparedRequest::new(ForgeKind::Gitea, &request("t", text, &[])).unwrap();
        assert_eq!(prepared.body, text);
    }

    #[rstest]
    #[case("", "main")]
    #[case("a b", "main")]
    #[case("a:b", "main")]
    #[case("a..b", "main")]
    #[case("-a", "main")]
    #[case("a/", "main")]
    #[case("a\nb", "main")]
    #[case("x", "")]
    #[case("main", "main")]
    fn what_is_no_branch_is_refused(#[case] head: &str, #[case] base: &str) {
        assert!(matches!(
            Branches::validate(head, base),
            Err(Error::Invalid { .. })
        ));
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        Branches::validate("a&b=c#d%2F+é/ü", "release/1.0").unwrap();
        for labels in [vec![String::new()], vec!["a,b".to_owned()], vec!["x".repeat(51)]] {
            let error = PreparedRequest::new(ForgeKind::GitHub, &request("t", "", &labels)).unwrap_err();
            assert!(matches!(error, Error::Invalid { .. }));
        }
        let error = PreparedRequest::new(ForgeKind::GitHub, &request(" \n", "", &[])).unwrap_err();
        assert!(error.to_string().contains("it is empty"), "{error}");
    }
}
