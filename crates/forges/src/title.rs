//! Titles that make a request a draft, which GitLab and Gitea use in place of a field.

use super::dialect::ServerRequest;
use super::request::{PreparedRequest, Readiness, shorten_title};
use forge_rest::ForgeKind;

/// What makes a request a draft at the start of its title, in any case: GitLab's
/// `merge_request_draft` (lib/gitlab/regex.rb), what it took before version 14, and the defaults of
/// Gitea's setting `WORK_IN_PROGRESS_PREFIXES`.
const PREFIXES: [&str; 5] = ["draft:", "[draft]", "(draft)", "wip:", "[wip]"];

/// Returns the title to set on a request; `None` if it may stay.
///
/// People hold a request back with a prefix, and auto-merge would merge it at once without one: an
/// existing prefix stays. If Gitea says that a request is a draft and is set up with other
/// prefixes, the title stays, unless the wanted one begins with the same word.
pub(super) fn title_to_set(kind: ForgeKind, found: &ServerRequest, wanted: &str) -> Option<String> {
    let there = found.title.trim();
    let prefix = match kind {
        ForgeKind::GitHub => "",
        ForgeKind::GitLab | ForgeKind::Gitea => draft_prefix(there),
    };
    let title = if !prefix.is_empty() {
        let rest = wanted.strip_prefix(draft_prefix(wanted)).unwrap_or(wanted);
        shorten_title(&format!("{} {rest}", prefix.trim_end()))
    } else if kind != ForgeKind::GitHub && found.is_draft && first_word(there) != first_word(wanted) {
        return None;
    } else {
        wanted.to_owned()
    };
    (title != there).then_some(title)
}

/// Returns the title to open a request with, prefixed if it is to be a draft and has no prefix.
pub(super) fn title_to_open(request: &PreparedRequest<'_>, prefix: &str) -> String {
    match request.readiness {
        Readiness::Draft if draft_prefix(&request.title).is_empty() => {
            shorten_title(&format!("{prefix} {}", request.title))
        }
        Readiness::Draft | Readiness::Ready => request.title.clone(),
    }
}

/// The prefixes at the start of a title, with the white space after them.
fn draft_prefix(title: &str) -> &str {
    let mut rest = title;
    let starts = |rest: &str, prefix: &&str| {
        let start = rest.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    while let Some(prefix) = PREFIXES.iter().find(|prefix| starts(rest, prefix)) {
        rest = rest.get(prefix.len()..).unwrap_or_default().trim_start();
    }
    title.get(..title.len() - rest.len()).unwrap_or_default()
}

fn first_word(title: &str) -> Option<&str> {
    title.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{PullRequest, PullRequestState};

    #[rstest]
    #[case::same("One", false, "One", None)]
    #[case::changed("One", false, "Two", Some("Two"))]
    #[case::gitlab("Draft: One", true, "One", None)]
    #[case::brackets("[dRaFT] One", true, "Two", Some("[dRaFT] Two"))]
    #[case::parentheses("(draft)One", true, "Two", Some("(draft) Two"))]
    #[case::gitea("WIP: One", true, "Two", Some("WIP: Two"))]
    #[case::not_told("[WIP] One", false, "Two", Some("[WIP] Two"))]
    #[case::twice("Draft: Draft: One", true, "Two", Some("Draft: Draft: Two"))]
    #[case::asked_for("Draft: One", true, "WIP: Two", Some("Draft: Two"))]
    #[case::asked_for_and_ready("One", false, "Draft: Two", Some("Draft: Two"))]
    #[case::no_prefix("Drafted: One", false, "Two", Some("Two"))]
    #[case::setting("DNM: One", true, "Two", None)]
    #[case::setting_asked_for("DNM: One", true, "DNM: Two", Some("DNM: Two"))]
    fn a_prefix_that_is_there_stays(
        #[case] there: &str,
        #[case] is_draft: bool,
        #[case] wanted: &str,
        #[case] expected: Option<&str>,
        #[values(ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
    ) {
        let title = title_to_set(kind, &found(there, is_draft), wanted);
        assert_eq!(title.as_deref(), expected);
    }

    #[test]
    fn a_title_of_github_says_nothing_of_drafts() {
        let title = title_to_set(ForgeKind::GitHub, &found("WIP: One", true), "Two");
        assert_eq!(title.as_deref(), Some("Two"));
    }

    #[test]
    fn a_title_with_a_prefix_is_cut_too() {
        let title = title_to_set(ForgeKind::GitLab, &found("Draft: x", true), &"é".repeat(250)).unwrap();
        assert!(title.starts_with("Draft: é") && title.ends_with('…'));
        assert_eq!(title.chars().count(), 250);
    }

    fn found(title: &str, is_draft: bool) -> ServerRequest {
        ServerRequest {
            request: PullRequest {
                number: 1,
                url: String::new(),
                state: PullRequestState::Open,
                missing_labels: None,
            },
            title: title.to_owned(),
            is_draft,
            body: String::new(),
            labels: Vec::new(),
        }
    }
}
