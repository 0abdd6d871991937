//! AWS: a session of a role by STS (`AssumeRoleWithWebIdentity`), and ECR's login
//! (`GetAuthorizationToken`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foreign_text::printable;
use forge_rest::Error;
use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::login::{LoginSecret, RegistryLogin};
use super::registry::{Ecr, EcrKind};
use super::request::{ExchangeClient, ExchangeStep, form_body, form_headers};
use super::sigv4::{SessionCredentials, SigningScope, sign};

/// How long a session lasts, in seconds: the shortest that STS gives. It is used at once.
const SESSION: &str = "900";

/// The longest name of a session.
const LONGEST_SESSION_NAME: usize = 64;

/// How many characters of what STS says are passed on.
const LONGEST_SAYING: usize = 300;

impl Ecr {
    fn sts(&self) -> String {
        // In the government's regions every endpoint is one of FIPS (AWS's rules of endpoints).
        let service = if self.kind == EcrKind::Fips && !self.region.starts_with("us-gov-") {
            "sts-fips"
        } else {
            "sts"
        };
        format!("{service}.{}.{}", self.region, self.domain)
    }

    /// The API's host, its name in signatures, and the operation to call.
    fn api(&self) -> (String, &'static str, &'static str) {
        let private = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
        let (service, name, target) = match self.kind {
            EcrKind::Private => ("api.ecr", "ecr", private),
            EcrKind::Fips => ("ecr-fips", "ecr", private),
            EcrKind::Public => (
                "api.ecr-public",
                "ecr-public",
                "SpencerFrontendService.GetAuthorizationToken",
            ),
        };
        (format!("{service}.{}.{}", self.region, self.domain), name, target)
    }
}

/// Begins a session of a role.
pub(super) async fn assume_role(
    exchange: &ExchangeClient,
    ecr: &Ecr,
    role: &str,
    token: &SecretString,
    session: &str,
) -> Result<SessionCredentials, Error> {
    let host = ecr.sts();
    let what = format!("a session of {role}");
    let step = ExchangeStep {
        host: &host,
        path: "/",
        what: &what,
        advice: "check that the role's trust policy names this cluster's OIDC provider, the audience sts.amazonaws.com and the service account",
        secret: token,
    };
    let session = session_name(session);
    let body = form_body(&[
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", &session),
        ("DurationSeconds", SESSION),
        ("WebIdentityToken", token.expose_secret()),
    ]);
    let mut headers = form_headers();
    headers.insert(ACCEPT, HeaderValue::from_static("text/xml"));
    let mut answer = exchange.send(&step, headers, body).await?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    if answer.status != StatusCode::OK {
        let refusal = ["Code", "Message"].map(|name| xml_element(&text, name).unwrap_or_default());
        let refusal = refusal.join(": ").replace(token.expose_secret(), "***");
        answer.message = printable(refusal.trim_matches([':', ' ']), LONGEST_SAYING);
        return Err(answer.refusal(&host, &what, step.advice));
    }
    let granted = |name: &str| {
        let found = xml_element(&text, name).map(ToOwned::to_owned);
        step.token(found.unwrap_or_default())
    };
    Ok(SessionCredentials {
        key_id: granted("AccessKeyId")?.expose_secret().to_owned(),
        secret_key: granted("SecretAccessKey")?,
        session_token: granted("SessionToken")?,
    })
}

/// The text of an element that contains only text. It is used for keys, tokens and words, in which
/// XML escapes nothing.
fn xml_element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

/// A name for a session, of the characters that STS accepts.
fn session_name(text: &str) -> String {
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() || "+=,.@-_".contains(c) {
            c
        } else {
            '-'
        }
    };
    text.chars().map(allowed).take(LONGEST_SESSION_NAME).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EcrAuthorization {
    authorization_data: OneOrMany,
}

/// A list, or for public registries a single one.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(AuthorizationData),
    Many(Vec<AuthorizationData>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizationData {
    authorization_token: String,
    /// Seconds since 1970, with a fraction.
    expires_at: f64,
}

/// Asks for a login at a registry.
pub(super) async fn ecr_login(
    exchange: &ExchangeClient,
    ecr: &Ecr,
    credentials: &SessionCredentials,
) -> Result<RegistryLogin, Error> {
    let (host, service, target) = ecr.api();
    let step = ExchangeStep {
        host: &host,
        path: "/",
        what: "a login at the registry",
        advice: match ecr.kind {
            EcrKind::Public => {
                "allow the role ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken, and check this machine's clock"
            }
            EcrKind::Private | EcrKind::Fips => {
                "allow the role ecr:GetAuthorizationToken, and check this machine's clock"
            }
        },
        secret: &credentials.session_token,
    };
    let body = "{}";
    let mut headers = HeaderMap::new();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-amz-json-1.1"),
    );
    headers.insert(
        HeaderName::from_static("x-amz-target"),
        HeaderValue::from_static(target),
    );
    let scope = SigningScope {
        host: &host,
        region: &ecr.region,
        service,
    };
    sign(
        &mut headers,
        body.as_bytes(),
        &scope,
        credentials,
        Timestamp::now(),
    )
    .map_err(|_| step.refused_error("what STS returned cannot be put in a header"))?;
    // The client sets it according to the version of HTTP.
    headers.remove(HOST);
    let answer = exchange.send(&step, headers, body.to_owned()).await?;
    let granted: EcrAuthorization = step.read_grant(&answer)?;
    let data = match granted.authorization_data {
        OneOrMany::One(data) => Some(data),
        OneOrMany::Many(all) => all.into_iter().next(),
    };
    let unusable = || step.refused_error("the answer holds no login");
    let data = data.ok_or_else(unusable)?;
    let decoded = STANDARD
        .decode(data.authorization_token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let (user, password) = decoded
        .as_deref()
        .and_then(|pair| pair.split_once(':'))
        .ok_or_else(unusable)?;
    #[allow(clippy::cast_possible_truncation, reason = "whole seconds are enough")]
    let ends = Timestamp::from_second(data.expires_at as i64).map_err(|_| unusable())?;
    Ok(RegistryLogin {
        secret: LoginSecret::Password {
            user: user.to_owned(),
            password: step.token(password.to_owned())?,
        },
        ends,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clouds::CloudRegistry;
    use patchset_api::build::CloudProvider;

    #[test]
    fn servers_are_those_of_the_registry_s_region() {
        for (host, sts, api) in [
            (
                "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
                "sts.eu-central-1.amazonaws.com",
                "api.ecr.eu-central-1.amazonaws.com",
            ),
            (
                "123456789012.dkr.ecr-fips.us-east-2.amazonaws.com",
                "sts-fips.us-east-2.amazonaws.com",
                "ecr-fips.us-east-2.amazonaws.com",
            ),
            (
                "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
                "sts.us-gov-west-1.amazonaws.com",
                "ecr-fips.us-gov-west-1.amazonaws.com",
            ),
            (
                "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
                "sts.cn-north-1.amazonaws.com.cn",
                "api.ecr.cn-north-1.amazonaws.com.cn",
            ),
            (
                "public.ecr.aws",
                "sts.us-east-1.amazonaws.com",
                "api.ecr-public.us-east-1.amazonaws.com",
            ),
        ] {
            let Some(CloudRegistry::Ecr(ecr)) = CloudRegistry::parse(CloudProvider::Aws, host) else {
                panic!("{host} is no registry");
            };
            assert_eq!((ecr.sts().as_str(), ecr.api().0.as_str()), (sts, api));
        }
    }

    #[test]
    fn names_of_sessions_are_cut_and_cleaned() {
        assert_eq!(session_name("patchset/team/push"), "patchset-team-push");
        assert_eq!(session_name(&"a".repeat(300)).len(), LONGEST_SESSION_NAME);
    }
}
