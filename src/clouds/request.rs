//! One request of an exchange.

use forge_rest::{ApiAnswer, Error, HttpSender, Idempotence, PlainHttp, RequestConfig, RequestPurpose};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Request, StatusCode, Url};
use secrecy::SecretString;
use serde::de::DeserializeOwned;

/// Sends the requests of one exchange. A server's rate limits apply to the tenant that asks, so
/// nothing is kept.
pub(super) struct ExchangeClient {
    http: HttpSender,
}

/// One request.
pub(super) struct ExchangeStep<'a> {
    /// The server. It is always reached over TLS.
    pub(super) host: &'a str,
    /// The path, with its leading slash.
    pub(super) path: &'a str,
    /// What it is about, for messages.
    pub(super) what: &'a str,
    /// What to do if it is refused.
    pub(super) advice: &'a str,
    /// What is sent that no message may contain.
    pub(super) secret: &'a SecretString,
}

impl ExchangeClient {
    pub(super) fn new(config: &RequestConfig) -> Result<Self, Error> {
        let config = RequestConfig {
            plain_http: PlainHttp::default(),
            ..config.clone()
        };
        Ok(Self {
            http: HttpSender::new(&config, None)?,
        })
    }

    /// Posts form fields, as in OAuth, and reads an answer in JSON.
    pub(super) async fn post_form<T: DeserializeOwned>(
        &self,
        step: &ExchangeStep<'_>,
        fields: &[(&str, &str)],
    ) -> Result<T, Error> {
        let answer = self.send(step, form_headers(), form_body(fields)).await?;
        step.read_grant(&answer)
    }

    /// Posts a body.
    pub(super) async fn send(
        &self,
        step: &ExchangeStep<'_>,
        headers: HeaderMap,
        body: String,
    ) -> Result<ApiAnswer, Error> {
        let address = format!("https://{}{}", step.host, step.path);
        let url = Url::parse(&address).map_err(|_| step.refused_error("its address is not valid"))?;
        let mut request = Request::new(Method::POST, url);
        *request.headers_mut() = headers;
        let headers = request.headers_mut();
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(body.into());
        let purpose = RequestPurpose {
            what: step.what,
            secret: step.secret,
            idempotence: Idempotence::Idempotent,
        };
        self.http.send(request, &purpose).await
    }
}

impl ExchangeStep<'_> {
    /// Reads what was granted, in JSON.
    pub(super) fn read_grant<T: DeserializeOwned>(&self, answer: &ApiAnswer) -> Result<T, Error> {
        if answer.status != StatusCode::OK {
            return Err(answer.refusal(self.host, self.what, self.advice));
        }
        answer.read_json(self.host, self.what)
    }

    pub(super) fn refused_error(&self, reason: &str) -> Error {
        Error::Refused {
            host: self.host.to_owned(),
            what: self.what.to_owned(),
            reason: reason.to_owned(),
        }
    }

    /// Takes a token from an answer: one that can stand in a header.
    pub(super) fn token(&self, text: String) -> Result<SecretString, Error> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(self.refused_error("the answer holds no token"));
        }
        Ok(text.into())
    }
}

pub(super) fn form_headers() -> HeaderMap {
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    HeaderMap::from_iter([(CONTENT_TYPE, form)])
}

pub(super) fn form_body(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}
