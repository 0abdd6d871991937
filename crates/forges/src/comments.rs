//! Comments on requests.

use serde::Deserialize;
use serde_json::json;

use super::Error;
use super::refusal::RefusedOperation;
use super::request::{normal_body, text_to_send};
use super::server::Server;

/// How many pages of comments are read at most.
const MAX_PAGES: u32 = 5;

/// A comment, as all servers return it.
#[derive(Deserialize)]
struct WireComment {
    body: Option<String>,
}

/// The comments on requests of one repository.
pub(super) struct Comments<'a> {
    pub(super) server: &'a Server,
}

impl Comments<'_> {
    /// Adds a comment to a request that does not have it yet.
    pub(super) async fn say_once(&self, number: u64, comment: &str) -> Result<(), Error> {
        let server = self.server;
        let what = format!("the comments of {}", server.request_name(number));
        let body = text_to_send(server.repository.kind(), comment);
        match self.is_said(number, &body, &what).await {
            Ok(true) => return Ok(()),
            // There are more comments than are read: a duplicate does no harm.
            Ok(false) | Err(Error::TooLarge { .. }) => {}
            Err(error) => return Err(error),
        }
        let url = server.dialect.comments_url(&server.repository, number);
        let answer = server.post(url, &what, &json!({"body": body})).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(server.refusal(&answer, &what, RefusedOperation::Comments))
    }

    async fn is_said(&self, number: u64, body: &str, what: &str) -> Result<bool, Error> {
        let server = self.server;
        for page in 1..=MAX_PAGES {
            let mut url = server.dialect.comments_url(&server.repository, number);
            url.query_pairs_mut()
                .append_pair("per_page", "100")
                .append_pair("page", &page.to_string());
            let answer = server.get(url, what).await?;
            if !answer.status.is_success() {
                return Err(server.refusal(&answer, what, RefusedOperation::Comments));
            }
            let comments: Vec<WireComment> = answer.read_json(&server.repository.host(), what)?;
            let says =
                |comment: &WireComment| comment.body.as_deref().map(normal_body).as_deref() == Some(body);
            if comments.iter().any(says) {
                return Ok(true);
            }
            if !answer.has_next_page() {
                return Ok(false);
            }
        }
        Ok(false)
    }
}
