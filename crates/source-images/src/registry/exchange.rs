//! One request and its answer: redirects, and how long it may take.

use guarded_egress::{CrossOriginPolicy, Destinations, check_redirect};
use http::header::{AUTHORIZATION, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use url::Url;

use super::message::{Answer, Outgoing};
use super::repository::Repository;
use crate::Error;

/// The most redirects that are followed.
const MOST_REDIRECTS: usize = 5;

impl Repository<'_> {
    /// Sends a request and follows redirects by its rules. `authorization` goes to the origin
    /// alone.
    pub(super) async fn exchange(
        &self,
        request: &Outgoing<'_>,
        authorization: Option<&HeaderValue>,
        rule: Destinations,
    ) -> Result<Answer, Error> {
        let origin = request.url.origin();
        let own = self.api("")?.origin();
        let (mut url, mut rule, mut authorization) = (request.url.clone(), rule, authorization);
        for _ in 0..=MOST_REDIRECTS {
            let mut builder = self
                .request(request.method.clone(), &url, rule, request.what)?
                .headers(request.headers.clone())
                .body(request.body.clone());
            if let Some(header) = authorization {
                builder = builder.header(AUTHORIZATION, header.clone());
            }
            let sent = tokio::time::timeout(self.registry.config.timeout, builder.send()).await;
            let response = match sent {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return Err(self.connection_error(request.what, &error)),
                Err(_) => return Err(self.timeout_error(request.what)),
            };
            let answer = Answer {
                is_own: url.origin() == own,
                rule: rule.and(Destinations::beyond(response.remote_addr())),
                url,
                response,
            };
            if !answer.status().is_redirection() || answer.status() == StatusCode::NOT_MODIFIED {
                return Ok(answer);
            }
            url = self.redirect_target(&answer, request)?;
            rule = answer.rule;
            if url.origin() != origin {
                authorization = None;
            }
        }
        Err(self.refused_error(request.what, "the server redirects endlessly"))
    }

    /// Where a redirect leads to.
    fn redirect_target(&self, answer: &Answer, request: &Outgoing<'_>) -> Result<Url, Error> {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return Err(self.refused_error(
                request.what,
                "the server redirects elsewhere, which is followed only for reading",
            ));
        }
        self.location(answer, request.elsewhere, request.what)
    }

    /// The address in an answer's `Location`.
    pub(super) fn location(
        &self,
        answer: &Answer,
        elsewhere: CrossOriginPolicy,
        what: &str,
    ) -> Result<Url, Error> {
        let location = answer
            .header(LOCATION.as_str())
            .ok_or_else(|| self.refused_error(what, "the server leads elsewhere without saying where"))?;
        check_redirect(&answer.url, location, elsewhere)
            .map_err(|error| self.refused_error(what, &error.to_string()))
    }
}
