//! Looks for the request between two branches.

use super::Error;
use super::dialect::{ListPage, RequestFilter, ServerRequest};
use super::refusal::{RefusedOperation, says_that_there_is_none};
use super::request::{Branches, PullRequestState};
use super::server::Server;
use forge_rest::unreadable_answer;

/// What a server answers at the address of two branches.
enum BetweenBranches {
    /// There never was a request.
    None,
    /// One that certainly exists, though it may not be the newest.
    Some(Box<ServerRequest>),
    /// It has no such address, or does not say.
    Unknown,
}

/// The newest request between two branches.
pub(super) async fn newest_request(
    server: &Server,
    branches: Branches<'_>,
    filter: RequestFilter,
) -> Result<Option<ServerRequest>, Error> {
    let dialect = server.dialect;
    let what = server.name_between(branches);
    for state in dialect.states(filter) {
        let mut other = None;
        for number in 1..=dialect.max_pages() {
            let page = ListPage {
                branches,
                state,
                number,
            };
            let answer = server
                .get(dialect.list_url(&server.repository, page), &what)
                .await?;
            if !answer.status.is_success() {
                return Err(server.refusal(&answer, &what, RefusedOperation::Requests));
            }
            let listed = dialect
                .read_list(&answer.body, branches)
                .map_err(|error| unreadable_answer(&error, &server.repository.host(), &what))?;
            if let Some(newest) = listed.into_iter().max_by_key(|found| found.request.number) {
                return Ok(Some(newest));
            }
            if !answer.has_next_page() {
                other = None;
                break;
            }
            // Spares reading long lists that have nothing to find.
            if number == 1 {
                match ask_between(server, branches, &what).await? {
                    BetweenBranches::None => return Ok(None),
                    BetweenBranches::Some(found) => other = Some(*found),
                    BetweenBranches::Unknown => {}
                }
            }
        }
        let fits = |found: &ServerRequest| {
            filter == RequestFilter::Any || found.request.state == PullRequestState::Open
        };
        if let Some(found) = other.filter(fits) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

async fn ask_between(server: &Server, branches: Branches<'_>, what: &str) -> Result<BetweenBranches, Error> {
    let Some(url) = server.dialect.between_url(&server.repository, branches) else {
        return Ok(BetweenBranches::Unknown);
    };
    let answer = server.get(url, what).await?;
    if says_that_there_is_none(&answer) {
        return Ok(BetweenBranches::None);
    }
    if !answer.status.is_success() {
        return Ok(BetweenBranches::Unknown);
    }
    let found = server.read_request(&answer, what)?;
    Ok(BetweenBranches::Some(Box::new(found)))
}
