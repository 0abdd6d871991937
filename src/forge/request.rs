//! What is asked for, made fit for the servers, and what is there.

use super::Error;
use crate::rest::{Kind, invalid};

/// The longest title, in characters: GitLab and Gitea keep 255, GitHub 256.
const TITLE: usize = 250;
/// The longest body, in characters: GitHub keeps 65,536.
const BODY: usize = 60_000;
/// The longest name of a branch, in bytes: Git keeps refs in files.
const BRANCH: usize = 244;
/// The longest name of a label, in characters: GitHub and Gitea keep 50.
const LABEL: usize = 50;
/// The most labels: GitHub keeps 100.
const LABELS: usize = 50;

/// A request that there should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The branch that is to be merged.
    pub head: &'a str,
    /// The branch that it is to be merged into, of the same repository.
    pub base: &'a str,
    /// Its title: one line, cut at 250 characters.
    pub title: &'a str,
    /// Its text in Markdown, cut at 60,000 characters.
    pub body: &'a str,
    /// Labels that it should have. Others stay. They are made where they are not there, as far as that is permitted.
    pub labels: &'a [String],
}

/// A request that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number in the repository.
    pub number: u64,
    /// Its page, for people; empty where the server gives no address of one.
    pub url: String,
    /// What became of it.
    pub state: State,
    /// The labels that it could not be given; `None` where it has all, and where it was only looked for.
    pub lacks: Option<LackingLabels>,
}

/// Labels that a request could not be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LackingLabels {
    /// Their names.
    pub labels: Vec<String>,
    /// Why, and what to do.
    pub reason: String,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It can be merged, or is about to be.
    Open,
    /// It was merged.
    Merged,
    /// It was closed without being merged.
    Closed,
}

/// A request as it is sent, and as a server that keeps it gives it back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Draft<'a> {
    pub(super) head: &'a str,
    pub(super) base: &'a str,
    pub(super) title: String,
    pub(super) body: String,
    pub(super) labels: Vec<&'a str>,
}

impl<'a> Draft<'a> {
    /// # Errors
    ///
    /// [`Error::Invalid`] for names of branches or labels that cannot be, and without a title.
    pub(super) fn new(kind: Kind, request: &Request<'a>) -> Result<Self, Error> {
        branches(request.head, request.base)?;
        let title = title(request.title);
        if title.is_empty() {
            return Err(invalid("title of a request", request.title, "it is empty"));
        }
        if request.labels.len() > LABELS {
            return Err(invalid("list of labels", "the list", "it has more than 50"));
        }
        let mut labels: Vec<&str> = Vec::new();
        for label in request.labels {
            let label = label.trim();
            let outside = |c: char| c.is_control() || c == ',';
            if label.is_empty() || label.chars().count() > LABEL || label.contains(outside) {
                return Err(invalid(
                    "label",
                    label,
                    "it takes 1 to 50 characters, and no comma or line break",
                ));
            }
            if !labels.iter().any(|known| same_label(known, label)) {
                labels.push(label);
            }
        }
        let body = match kind {
            Kind::GitLab => without_commands(&body(request.body)),
            Kind::GitHub | Kind::Gitea => body(request.body),
        };
        Ok(Self {
            head: request.head,
            base: request.base,
            title,
            body,
            labels,
        })
    }

    /// The labels that are not among those that are there.
    pub(super) fn missing(&self, there: &[String]) -> Vec<&'a str> {
        let labels = self.labels.iter().copied();
        labels
            .filter(|label| !there.iter().any(|known| same_label(known, label)))
            .collect()
    }
}

/// Checks the names of two branches.
///
/// # Errors
///
/// [`Error::Invalid`] for what Git takes for no branch, and where they are the same.
pub(super) fn branches(head: &str, base: &str) -> Result<(), Error> {
    for branch in [head, base] {
        let outside = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
        if branch.is_empty()
            || branch.len() > BRANCH
            || branch.starts_with(['-', '/'])
            || branch.ends_with(['/', '.'])
            || branch.contains("..")
            || branch.contains("@{")
            || branch.contains(outside)
        {
            return Err(invalid("branch", branch, "write for instance main"));
        }
    }
    if head == base {
        return Err(invalid(
            "branch to merge from",
            head,
            "it is the branch to merge into",
        ));
    }
    Ok(())
}

/// Whether two names are one label: no server keeps two that differ in case alone.
pub(super) fn same_label(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// A title in one line.
pub(super) fn title(text: &str) -> String {
    let words = text.split(|c: char| c.is_control() || c.is_whitespace());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    cut(&words.join(" "))
}

/// A text with the line ends and without the control characters that servers change by themselves.
pub(super) fn body(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text: String = text
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    cut_at(text.trim(), BODY)
}

/// Cuts a title.
pub(super) fn cut(title: &str) -> String {
    cut_at(title, TITLE)
}

fn cut_at(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most - 1).collect();
    format!("{}…", kept.trim_end())
}

/// A text that GitLab takes no commands from: a line that begins with one (`/merge`, `/assign`) is carried out with the
/// token's rights, and taken out of the text. What the backslash escapes is shown as before.
fn without_commands(text: &str) -> String {
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

    fn request<'a>(title: &'a str, body: &'a str, labels: &'a [String]) -> Request<'a> {
        Request {
            head: "patchset/prod",
            base: "main",
            title,
            body,
            labels,
        }
    }

    #[test]
    fn what_is_sent_is_what_servers_keep() {
        let labels = ["Images".to_owned(), " images ".to_owned(), "bot".to_owned()];
        let request = request(" Deploy\n\u{1b}[31m it  now ", "\r\none\r\n\u{0}two\n\n", &labels);
        let draft = Draft::new(Kind::GitHub, &request).unwrap();
        assert_eq!(draft.title, "Deploy [31m it now");
        assert_eq!(draft.body, "one\ntwo");
        assert_eq!(draft.labels, ["Images", "bot"]);
        assert_eq!(draft.missing(&["IMAGES".to_owned()]), ["bot"]);
        // What is normal stays as it is.
        assert_eq!(title(&draft.title), draft.title);
        assert_eq!(body(&draft.body), draft.body);
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "é".repeat(70_000);
        let request = request(&long, &long, &[]);
        let draft = Draft::new(Kind::GitHub, &request).unwrap();
        assert_eq!(draft.title.chars().count(), TITLE);
        assert_eq!(draft.body.chars().count(), BODY);
        assert!(draft.body.ends_with("é…"));
    }

    #[test]
    fn gitlab_gets_no_commands() {
        let text = "/merge\nfine /close\n  /assign @x\nhttps://x/y";
        let draft = Draft::new(Kind::GitLab, &request("t", text, &[])).unwrap();
        assert_eq!(draft.body, "\\/merge\nfine /close\n  \\/assign @x\nhttps://x/y");
        let draft = Draft::new(Kind::Gitea, &request("t", text, &[])).unwrap();
        assert_eq!(draft.body, text);
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
        assert!(matches!(branches(head, base), Err(Error::Invalid { .. })));
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        branches("a&b=c#d%2F+é/ü", "release/1.0").unwrap();
        for labels in [vec![String::new()], vec!["a,b".to_owned()], vec!["x".repeat(51)]] {
            let error = Draft::new(Kind::GitHub, &request("t", "", &labels)).unwrap_err();
            assert!(matches!(error, Error::Invalid { .. }));
        }
        let error = Draft::new(Kind::GitHub, &request(" \n", "", &[])).unwrap_err();
        assert!(error.to_string().contains("it is empty"), "{error}");
    }
}
