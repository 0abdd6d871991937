//! The newest request between two branches, whatever its state.

use forges::{ForgeKind, PullRequestState};
use rstest::rstest;

use super::{BASE, HEAD, client, start};
use crate::support::forge::Forge;

#[rstest]
#[tokio::test]
async fn the_newest_is_found_in_any_state(
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let (forge, client) = start(kind).await;
    assert_eq!(client.find(HEAD, BASE).await.unwrap(), None);
    forge.add("other", BASE, "open");
    forge.add(HEAD, "release/1.0", "open");
    assert_eq!(client.find(HEAD, BASE).await.unwrap(), None);
    for (number, state, told) in [
        (3, "merged", PullRequestState::Merged),
        (4, "closed", PullRequestState::Closed),
        (5, "open", PullRequestState::Open),
    ] {
        assert_eq!(forge.add(HEAD, BASE, state), number);
        let found = client.find(HEAD, BASE).await.unwrap().unwrap();
        assert_eq!((found.number, found.state), (number, told));
    }
    // One from a fork is not ours.
    forge.add(HEAD, BASE, "open");
    forge.state().pulls[5].is_fork = true;
    let found = client.find(HEAD, BASE).await.unwrap().unwrap();
    assert_eq!(found.number, 5);
    assert_eq!(forge.writes(), 0);
}

#[rstest]
#[tokio::test]
async fn a_merged_one_is_found_when_its_branch_is_gone(
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let (forge, client) = start(kind).await;
    forge.add(HEAD, BASE, "merged");
    forge.state().branches.retain(|branch| branch != HEAD);
    let found = client.find(HEAD, BASE).await.unwrap().unwrap();
    assert_eq!((found.number, found.state), (1, PullRequestState::Merged));
}

/// A Gitea with many requests between other branches.
async fn busy(is_old: bool) -> Forge {
    let forge = Forge::start(ForgeKind::Gitea).await;
    forge.state().is_old = is_old;
    for number in 0..1_100 {
        forge.add(&format!("other-{number}"), BASE, "merged");
    }
    forge
}

#[tokio::test]
async fn that_there_is_none_costs_two_requests_of_a_busy_gitea() {
    let forge = busy(false).await;
    assert_eq!(client(&forge).find(HEAD, BASE).await.unwrap(), None);
    assert_eq!(forge.state().requests.len(), 2);
}

#[rstest]
#[case::it_tells_of_one(false, Some(1))]
#[case::it_cannot(true, None)]
#[tokio::test]
async fn a_search_ends_in_a_busy_gitea(#[case] is_old: bool, #[case] number: Option<u64>) {
    let forge = busy(is_old).await;
    {
        let mut state = forge.state();
        HEAD.clone_into(&mut state.pulls[0].head);
    }
    let found = client(&forge).find(HEAD, BASE).await.unwrap();
    assert_eq!(found.map(|found| found.number), number);
    assert!(forge.state().requests.len() <= 21);
}
