//! AWS Signature Version 4 for a `POST` to the root of a service, after "Create a signed AWS API
//! request" of the IAM User Guide.
//!
//! The library `aws-sigv4` pulls in the runtime of the AWS SDK, of which only one method and one
//! path are needed here.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Credentials that STS gives for a session.
pub(super) struct SessionCredentials {
    pub(super) key_id: String,
    pub(super) secret_key: SecretString,
    pub(super) session_token: SecretString,
}

/// What is asked for, and where.
pub(super) struct SigningScope<'a> {
    pub(super) host: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// Adds the headers that sign a request: `host`, the time, the session's token, and `authorization`
/// over all headers.
pub(super) fn sign(
    headers: &mut HeaderMap,
    body: &[u8],
    scope: &SigningScope<'_>,
    credentials: &SessionCredentials,
    now: Timestamp,
) -> Result<(), InvalidHeaderValue> {
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = now.strftime("%Y%m%d").to_string();
    headers.insert(HOST, HeaderValue::from_str(scope.host)?);
    headers.insert(DATE, HeaderValue::from_str(&time)?);
    let session = credentials.session_token.expose_secret();
    if !session.is_empty() {
        headers.insert(SECURITY_TOKEN, secret_header(session)?);
    }
    let mut signed: Vec<(&str, &HeaderValue)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    signed.sort_unstable_by_key(|(name, _)| *name);
    let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines = signed
        .iter()
        .map(|(name, value)| format!("{name}:{}\n", value.to_str().unwrap_or_default().trim()));
    let lines: String = lines.collect();
    let request = format!(
        "POST\n/\n\n{lines}\n{names}\n{}",
        hex::encode(Sha256::digest(body))
    );
    let range = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let text = format!(
        "{ALGORITHM}\n{time}\n{range}\n{}",
        hex::encode(Sha256::digest(request.as_bytes()))
    );
    let first = format!("AWS4{}", credentials.secret_key.expose_secret());
    let key = [day.as_str(), scope.region, scope.service, "aws4_request"]
        .iter()
        .fold(first.into_bytes(), |key, part| hmac_sha256(&key, part));
    let signature = hex::encode(hmac_sha256(&key, &text));
    let key_id = &credentials.key_id;
    let authorization =
        format!("{ALGORITHM} Credential={key_id}/{range}, SignedHeaders={names}, Signature={signature}");
    headers.insert(AUTHORIZATION, secret_header(&authorization)?);
    Ok(())
}

fn secret_header(text: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut header = HeaderValue::from_str(text)?;
    header.set_sensitive(true);
    Ok(header)
}

fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    // A key of any length is valid (RFC 2104); an empty signature would be refused.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use reqwest::header::CONTENT_TYPE;

    use super::*;

    /// `post-vanilla`, `post-x-www-form-urlencoded` and `post-sts-header-before` of AWS's Signature
    /// Version 4 test suite.
    #[test]
    fn requests_are_signed_as_in_the_published_test_suite() {
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        for (form, body, token, names, signature) in [
            (
                "",
                "",
                "",
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "application/x-www-form-urlencoded",
                "Param1=value1",
                "",
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "",
                "",
                token,
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        ] {
            let mut headers = HeaderMap::new();
            if !form.is_empty() {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(form));
            }
            let scope = SigningScope {
                host: "example.amazonaws.com",
                region: "us-east-1",
                service: "service",
            };
            let credentials = SessionCredentials {
                key_id: "AKIDEXAMPLE".to_owned(),
                secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned().into(),
                session_token: token.to_owned().into(),
            };
            let now = "2015-08-30T12:36:00Z".parse().unwrap();
            sign(&mut headers, body.as_bytes(), &scope, &credentials, now).unwrap();
            assert_eq!(
                headers[AUTHORIZATION],
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders={names}, Signature={signature}"
                )
            );
        }
    }
}
