//! Gitea's and Forgejo's pull requests.
//!
//! Their lists cannot be filtered by the branch to be merged, on older servers not even by the
//! other: they are read page by page, newest first.

use reqwest::Url;

use super::dialect::ListPage;
use super::pulls::{PullsDialect, WireBranch};
use super::request::{Branches, PreparedRequest};
use super::title::title_to_open;
use forge_rest::ForgeRepository;

pub(super) struct GiteaDialect;

impl PullsDialect for GiteaDialect {
    fn max_pages(&self) -> u32 {
        20
    }

    fn list_url(&self, mut pulls: Url, _repository: &ForgeRepository, page: ListPage<'_>) -> Url {
        // Without `sort` they come newest first. A server gives at most 50 unless it is set up
        // otherwise.
        pulls
            .query_pairs_mut()
            .append_pair("state", page.state)
            .append_pair("base_branch", page.branches.base)
            .append_pair("limit", "50")
            .append_pair("page", &page.number.to_string());
        pulls
    }

    fn between_url(&self, repository: &ForgeRepository, branches: Branches<'_>) -> Option<Url> {
        Some(repository.endpoint(&["pulls", branches.base, branches.head]))
    }

    fn has_draft_field(&self) -> bool {
        false
    }

    fn opening_title(&self, request: &PreparedRequest<'_>) -> String {
        title_to_open(request, "WIP:")
    }

    fn branch_name<'a>(&self, branch: &'a WireBranch) -> Option<&'a str> {
        // When the branch is gone, `ref` is the request's own.
        branch.label.as_deref()
    }
}
