//! One open request between two branches, kept as wanted, with no writes if it is.

use axum::http::Method;
use forges::{
    AskAgain, DesiredPullRequest, Error, ForgeKind, PullRequestClient, PullRequestState, RequestConfig,
};
use rstest::rstest;

use super::{BASE, HEAD, client, config, repository, request, start, token};
use crate::support::forge::{Fault, Forge};

#[rstest]
#[case(ForgeKind::GitHub, "https://github.example.org/acme/gitops/pull/1")]
#[case(
    ForgeKind::GitLab,
    "https://gitlab.example.org/infra/apps/gitops/-/merge_requests/1"
)]
#[case(ForgeKind::Gitea, "https://gitea.example.org/acme/gitops/pulls/1")]
#[tokio::test]
async fn a_request_is_opened_once(#[case] kind: ForgeKind, #[case] url: &str) {
    let (forge, client) = start(kind).await;
    let labels = ["images".to_owned(), "from patchset".to_owned()];
    let wanted = request(
        "Deploy glance 2025.2",
        "One image.\r\n\r\n- `glance` at *x* \n",
        &labels,
    );
    let opened = client.ensure(&wanted).await.unwrap();
    assert_eq!(
        (opened.number, opened.url.as_str(), opened.state),
        (1, url, PullRequestState::Open)
    );
    let pull = forge.state().pulls[0].clone();
    assert_eq!((pull.head.as_str(), pull.base.as_str()), (HEAD, BASE));
    assert_eq!(pull.title, "Deploy glance 2025.2");
    assert_eq!(pull.body, "One image.\n\n- `glance` at *x*");
    // Gitea's labels have numbers: the existing one is used, the other is made.
    let first = if kind == ForgeKind::Gitea {
        "Images"
    } else {
        "images"
    };
    assert_eq!(pull.labels, [first, "from patchset"]);

    let writes = forge.writes();
    for _ in 0..2 {
        assert_eq!(client.ensure(&wanted).await.unwrap(), opened);
    }
    assert_eq!(forge.writes(), writes);
    assert_eq!(forge.state().pulls, [pull]);
}

#[rstest]
#[tokio::test]
async fn what_differs_is_changed_and_nothing_else(
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let (forge, client) = start(kind).await;
    client.ensure(&request("One", "first", &[])).await.unwrap();
    // What people added stays.
    forge.state().pulls[0].labels.push("bug".to_owned());
    for (title, body) in [("Two", "first"), ("Two", "second"), ("Three", ""), ("Three", "")] {
        let before = forge.state().requests.len();
        let known = forge.state().pulls[0].clone();
        let told = client.ensure(&request(title, body, &[])).await.unwrap();
        assert_eq!((told.number, told.state), (1, PullRequestState::Open));
        let state = forge.state();
        assert_eq!((&*state.pulls[0].title, &*state.pulls[0].body), (title, body));
        assert_eq!(state.pulls[0].labels, ["bug"]);
        let changes: Vec<_> = state.requests[before..]
            .iter()
            .filter(|seen| seen.method != Method::GET)
            .collect();
        assert_eq!(
            changes.len(),
            usize::from((&*known.title, &*known.body) != (title, body))
        );
        for change in changes {
            assert_eq!(change.body.contains("title"), known.title != title);
        }
    }
    // A label that a person removed, or that the server failed to add before it died.
    let labels = ["Bug".to_owned(), "late".to_owned()];
    let wanted = request("Three", "", &labels);
    client.ensure(&wanted).await.unwrap();
    assert_eq!(forge.state().pulls[0].labels, ["bug", "late"]);
    let writes = forge.writes();
    client.ensure(&wanted).await.unwrap();
    assert_eq!(forge.writes(), writes);
    assert_eq!(forge.state().pulls.len(), 1);
}

#[rstest]
#[tokio::test]
async fn requests_of_others_are_left_alone(
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let (forge, client) = start(kind).await;
    for (head, base, state) in [
        (HEAD, BASE, "merged"),
        (HEAD, BASE, "closed"),
        (HEAD, "release/1.0", "open"),
        ("patchset/prod2", BASE, "open"),
        (HEAD, BASE, "open"),
    ] {
        forge.add(head, base, state);
    }
    forge.state().pulls[4].is_fork = true;
    let before = forge.state().pulls.clone();
    let opened = client.ensure(&request("One", "", &[])).await.unwrap();
    assert_eq!(opened.number, 6);
    assert_eq!(forge.state().pulls[..5], before);
}

#[rstest]
#[tokio::test]
async fn a_lost_race_ends_with_one_request(
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let forge = Forge::start(kind).await;
    forge.fault(Method::POST, Fault::Race);
    let config = RequestConfig {
        retries: 0,
        ..config(&forge)
    };
    let client = PullRequestClient::new(&config, repository(&forge), token()).unwrap();
    let told = client.ensure(&request("Ours", "text", &[])).await.unwrap();
    assert_eq!(told.number, 1);
    let state = forge.state();
    assert_eq!(state.pulls.len(), 1);
    assert_eq!((&*state.pulls[0].title, &*state.pulls[0].body), ("Ours", "text"));
}

#[rstest]
#[case::bad_gateway(Fault::After(502))]
#[case::silence(Fault::Silence)]
#[tokio::test]
async fn what_may_have_been_opened_is_looked_for(
    #[case] fault: Fault,
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let forge = Forge::start(kind).await;
    forge.fault(Method::POST, fault);
    let config = RequestConfig {
        timeout: std::time::Duration::from_secs(1),
        ..config(&forge)
    };
    let client = PullRequestClient::new(&config, repository(&forge), token()).unwrap();
    let labels = ["bug".to_owned()];
    let told = client.ensure(&request("One", "text", &labels)).await.unwrap();
    assert_eq!(told.number, 1);
    let state = forge.state();
    assert_eq!(state.pulls.len(), 1);
    assert_eq!(state.pulls[0].labels, labels);
    let posts = state.requests.iter().filter(|seen| {
        let path = seen.target.split('?').next().unwrap();
        seen.method == Method::POST && !path.ends_with("labels")
    });
    assert_eq!(posts.count(), 1);
}

#[rstest]
#[tokio::test]
async fn branches_may_have_any_name(
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let (forge, client) = start(kind).await;
    let (head, base) = ("a&state=closed#x%2F+é/ü", "release/1.0+b?");
    forge.state().branches.push(head.to_owned());
    let wanted = DesiredPullRequest {
        head,
        base: "release/1.0",
        ..request("One", "", &[])
    };
    let opened = client.ensure(&wanted).await.unwrap();
    assert_eq!(client.ensure(&wanted).await.unwrap(), opened);
    assert_eq!(forge.state().pulls.len(), 1);
    assert_eq!(forge.state().pulls[0].head, head);
    let found = client.find(head, "release/1.0").await.unwrap();
    assert_eq!(found, Some(opened));
    // What cannot be a branch name in Git is not even sent.
    let before = forge.state().requests.len();
    let error = client
        .ensure(&DesiredPullRequest { base, ..wanted })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    assert_eq!(forge.state().requests.len(), before);
}

#[tokio::test]
async fn gitlab_carries_out_no_command_of_a_text() {
    let (forge, client) = start(ForgeKind::GitLab).await;
    let wanted = request("One", "first\n/close\n  /close\nlast", &[]);
    let opened = client.ensure(&wanted).await.unwrap();
    assert_eq!(opened.state, PullRequestState::Open);
    assert_eq!(forge.state().pulls[0].body, "first\n\\/close\n  \\/close\nlast");
    client.ensure(&wanted).await.unwrap();
    assert_eq!(forge.state().pulls.len(), 1);
    assert_eq!(forge.writes(), 1);
}

#[tokio::test]
async fn a_merge_request_that_is_being_merged_is_open() {
    let (forge, client) = start(ForgeKind::GitLab).await;
    forge.add(HEAD, BASE, "locked");
    let told = client.ensure(&request("by hand", "", &[])).await.unwrap();
    assert_eq!((told.number, told.state), (1, PullRequestState::Open));
    assert_eq!(forge.writes(), 0);
}

#[tokio::test]
async fn giteas_labels_may_be_the_organisations() {
    let (forge, client) = start(ForgeKind::Gitea).await;
    {
        let mut state = forge.state();
        state.labels = (0..60).map(|id| (id, format!("label {id}"))).collect();
        state.shared_labels = Some(vec![(900, "shared".to_owned())]);
    }
    let labels = ["shared", "label 55", "new"].map(str::to_owned);
    client.ensure(&request("One", "", &labels)).await.unwrap();
    let mut has = forge.state().pulls[0].labels.clone();
    has.sort();
    assert_eq!(has, ["label 55", "new", "shared"]);
    assert_eq!(forge.state().labels.len(), 61);
    assert_eq!(forge.state().labels[60].1, "new");
}

#[rstest]
#[tokio::test]
async fn a_long_list_of_gitea_is_read_to_what_is_looked_for(#[values(false, true)] is_old: bool) {
    let forge = Forge::start(ForgeKind::Gitea).await;
    forge.state().is_old = is_old;
    forge.add(HEAD, BASE, "open");
    for number in 0..120 {
        forge.add(&format!("other-{number}"), BASE, "open");
    }
    let told = client(&forge).ensure(&request("by hand", "", &[])).await.unwrap();
    assert_eq!(told.number, 1);
    assert_eq!(forge.writes(), 0);
    assert!(forge.state().requests.len() <= 4);
}

#[rstest]
#[case(ForgeKind::GitHub, "Issues: read and write")]
#[case(ForgeKind::GitLab, "create them in the project")]
#[case(ForgeKind::Gitea, "write:issue")]
#[tokio::test]
async fn labels_that_may_not_be_made_are_told_and_added_later(#[case] kind: ForgeKind, #[case] advice: &str) {
    let (forge, client) = start(kind).await;
    forge.state().may_make_labels = false;
    let labels = ["new", "bug", "newer"].map(str::to_owned);
    let wanted = request("One", "", &labels);
    let lacking = ["new", "newer"].map(str::to_owned);
    // The request is open, with the existing labels.
    for _ in 0..2 {
        let ensured = client.ensure(&wanted).await.unwrap();
        assert_eq!((ensured.number, ensured.state), (1, PullRequestState::Open));
        let lacks = ensured.missing_labels.unwrap();
        assert_eq!(lacks.labels, lacking);
        assert!(lacks.reason.contains(advice), "{}", lacks.reason);
        assert_eq!(forge.state().pulls[0].labels, ["bug"]);
    }
    // They are not requested on each look.
    let before = forge.state().requests.len();
    let lacks = client.add_labels(1, &lacking, AskAgain::Later).await.unwrap();
    assert_eq!(lacks.unwrap().labels, lacking);
    assert_eq!(forge.state().requests.len(), before);
    // A person made one of them.
    forge.state().labels.push((9, "New".to_owned()));
    let lacks = client.add_labels(1, &lacking, AskAgain::Now).await.unwrap();
    assert_eq!(lacks.unwrap().labels, ["newer"]);
    // From here on, making labels is permitted.
    forge.state().may_make_labels = true;
    let rest = ["newer".to_owned()];
    assert_eq!(client.add_labels(1, &rest, AskAgain::Now).await.unwrap(), None);
    let has = forge.state().pulls[0].labels.clone();
    let mut has: Vec<String> = has.iter().map(|label| label.to_lowercase()).collect();
    has.sort();
    assert_eq!(has, ["bug", "new", "newer"]);
    assert_eq!(client.ensure(&wanted).await.unwrap().missing_labels, None);
}

#[rstest]
#[tokio::test]
async fn labels_of_a_server_that_is_away_are_no_matter_of_permissions(
    #[values(ForgeKind::GitHub, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let forge = Forge::start(kind).await;
    let config = RequestConfig {
        retries: 0,
        ..config(&forge)
    };
    let client = PullRequestClient::new(&config, repository(&forge), token()).unwrap();
    client.ensure(&request("One", "", &[])).await.unwrap();
    forge.fault(Method::POST, Fault::Instead(503, Vec::new(), String::new()));
    let labels = ["bug".to_owned()];
    let error = client.ensure(&request("One", "", &labels)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[rstest]
#[case(ForgeKind::GitLab, "Draft: ", true)]
#[case(ForgeKind::GitLab, "[draft] ", true)]
#[case(ForgeKind::GitLab, "(DRAFT) ", true)]
#[case(ForgeKind::GitLab, "WIP: ", true)]
#[case(ForgeKind::Gitea, "WIP: ", true)]
#[case(ForgeKind::Gitea, "[wip] ", true)]
#[case(ForgeKind::Gitea, "Hold: ", false)]
#[tokio::test]
async fn a_request_that_a_person_holds_back_stays_a_draft(
    #[case] kind: ForgeKind,
    #[case] prefix: &str,
    #[case] is_known: bool,
) {
    let (forge, client) = start(kind).await;
    forge.state().draft_prefixes.push("hold:".to_owned());
    client.ensure(&request("One", "", &[])).await.unwrap();
    let held = format!("{prefix}One");
    forge.state().pulls[0].title.clone_from(&held);
    let writes = forge.writes();
    client.ensure(&request("One", "", &[])).await.unwrap();
    assert_eq!(forge.writes(), writes);
    client.ensure(&request("Two", "text", &[])).await.unwrap();
    let pull = forge.state().pulls[0].clone();
    let expected = if is_known { format!("{prefix}Two") } else { held };
    assert_eq!((pull.title, pull.body.as_str()), (expected, "text"));
    // Ready again, it becomes as wanted.
    forge.state().pulls[0].title = "Two".to_owned();
    client.ensure(&request("Three", "text", &[])).await.unwrap();
    assert_eq!(forge.state().pulls[0].title, "Three");
}
