//! GitHub's pull requests.

use reqwest::Url;

use super::dialect::ListPage;
use super::pulls::{PullsDialect, WireBranch};
use super::request::Branches;
use forge_rest::ForgeRepository;

pub(super) struct GitHubDialect;

impl PullsDialect for GitHubDialect {
    fn max_pages(&self) -> u32 {
        10
    }

    fn list_url(&self, mut pulls: Url, repository: &ForgeRepository, page: ListPage<'_>) -> Url {
        let Branches { head, base } = page.branches;
        pulls
            .query_pairs_mut()
            .append_pair("state", page.state)
            .append_pair("head", &format!("{}:{head}", repository.owner()))
            .append_pair("base", base)
            .append_pair("sort", "created")
            .append_pair("direction", "desc")
            .append_pair("per_page", "20")
            .append_pair("page", &page.number.to_string());
        pulls
    }

    fn has_draft_field(&self) -> bool {
        true
    }

    fn branch_name<'a>(&self, branch: &'a WireBranch) -> Option<&'a str> {
        branch.reference.as_deref()
    }
}
