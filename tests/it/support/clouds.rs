//! The servers of AWS, Azure and Google Cloud that exchange tokens, with a registry, as their
//! public documents describe them. All are one server with TLS, which a proxy leads to.
//!
//! It is strict where they are: other forms, versions, audiences, roles and signatures are refused.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::fake_registry::{self, FakeRegistry, Running, serve, wire};
use super::proxy::Proxy;
use super::tls::Authority;

pub const ECR: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
pub const ACR: &str = "contoso.azurecr.io";
pub const GAR: &str = "europe-west3-docker.pkg.dev";
const STS: &str = "sts.eu-central-1.amazonaws.com";
const API: &str = "api.ecr.eu-central-1.amazonaws.com";
const GOOGLE_STS: &str = "sts.googleapis.com";
const GOOGLE_CREDENTIALS: &str = "iamcredentials.googleapis.com";
const ENTRA: &str = "login.microsoftonline.com";

pub const ROLE: &str = "arn:aws:iam::123456789012:role/push";
pub const POOL: &str = "projects/12/locations/global/workloadIdentityPools/pool/providers/cluster";
pub const EMAIL: &str = "push@team.iam.gserviceaccount.com";
pub const TENANT: &str = "409520d4-8100-4d1d-ad47-72432ddcc120";
pub const CLIENT: &str = "00000000-1111-2222-3333-444444444444";
/// Part of everything that they issue.
pub const SECRET: &str = "hidden-by-the-cloud";

/// The state of the clouds.
pub struct State {
    /// The trusted subjects of tokens.
    pub trusted: Vec<String>,
    /// Tokens of service accounts that were exchanged.
    pub tokens: Vec<String>,
    /// The number of registry logins issued.
    pub given: usize,
    /// How long those are valid.
    pub lifetime: SignedDuration,
    /// Whether trusted subjects may request a login for a registry.
    pub may_log_in: bool,
    /// Requests: host and path.
    pub seen: Vec<String>,
}

/// The clouds; stopped when dropped.
pub struct Clouds {
    /// The proxy that leads to them.
    proxy: Proxy,
    folder: tempfile::TempDir,
    state: Arc<Mutex<State>>,
    pub registry: FakeRegistry,
    _running: Running,
}

impl Clouds {
    pub fn start(profile: fake_registry::Profile) -> Self {
        let registry = FakeRegistry::start(profile);
        let state = State {
            trusted: Vec::new(),
            tokens: Vec::new(),
            given: 0,
            lifetime: SignedDuration::from_hours(1),
            may_log_in: true,
            seen: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let served = (Arc::clone(&state), registry.shared());
        let app = axum::Router::new().fallback(move |request: axum::extract::Request| {
            let (state, registry) = served.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                answer(&state, &registry, head, &body)
            }
        });
        let app = app.layer(axum::extract::DefaultBodyLimit::disable());
        let authority = Authority::new();
        let hosts = [ECR, ACR, GAR, STS, API, GOOGLE_STS, GOOGLE_CREDENTIALS, ENTRA];
        let (address, running) = serve(
            app,
            Ipv4Addr::LOCALHOST.into(),
            Some(authority.server_for(&hosts)),
        );
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
        Self {
            proxy: Proxy::start_to("p", "w", &address.to_string()),
            folder,
            state,
            registry,
            _running: running,
        }
    }

    /// The environment of a process that finds them under their own names.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("ALL_PROXY", self.proxy.url().replace("http://", "http://p:w@")),
            ("no_proxy", "127.0.0.1,localhost".to_owned()),
            (
                "SSL_CERT_FILE",
                self.folder.path().join("ca.crt").display().to_string(),
            ),
        ]
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Trusts a service account.
    pub fn trust(&self, namespace: &str, account: &str) {
        let subject = format!("system:serviceaccount:{namespace}:{account}");
        self.state().trusted.push(subject);
    }
}

type Answer = (u16, Value);

fn answer(
    state: &Mutex<State>,
    registry: &Mutex<fake_registry::State>,
    mut head: Parts,
    body: &[u8],
) -> Response<Body> {
    let host = head
        .headers
        .get("host")
        .map(|host| host.to_str().unwrap())
        .or(head.uri.host())
        .unwrap()
        .trim_end_matches(":443")
        .to_owned();
    let state = &mut *state.lock().unwrap();
    let path = head.uri.path();
    let form: HashMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
    let is_registry = [ECR, ACR, GAR].contains(&host.as_str()) && path != "/oauth2/exchange";
    if is_registry {
        head.headers.insert("host", host.parse().unwrap());
        return wire(registry.lock().unwrap().answer("https", &head, body));
    }
    state.seen.push(format!("{host}{path}"));
    let headers = &head.headers;
    assert_eq!(head.method, Method::POST);
    if host == STS {
        let (status, text) = assume_role(state, &form);
        return text_answer(status, text);
    }
    let (status, value) = match (host.as_str(), path) {
        (API, "/") => authorization_token(state, registry, headers, body),
        (GOOGLE_STS, "/v1/token") => exchange(state, registry, &form),
        (GOOGLE_CREDENTIALS, path) => generate(state, registry, path, headers, body),
        (ENTRA, path) => client_credentials(state, path, &form),
        (ACR, "/oauth2/exchange") => acr_exchange(state, registry, &form),
        other => panic!("nobody asks {other:?}"),
    };
    text_answer(status, value.to_string())
}

fn text_answer(status: u16, text: String) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap();
    Response::builder().status(status).body(Body::from(text)).unwrap()
}

/// Whether a token is of a trusted service account, for this audience only, and valid for ten
/// minutes.
fn is_trusted(state: &mut State, token: &str, audience: &str) -> bool {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"], json!([audience]));
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(life, 600);
    state.tokens.push(token.to_owned());
    state.trusted.iter().any(|subject| claims["sub"] == **subject)
}

/// AWS STS API Reference, `AssumeRoleWithWebIdentity`.
fn assume_role(state: &mut State, form: &HashMap<String, String>) -> (u16, String) {
    assert_eq!(form["Action"], "AssumeRoleWithWebIdentity");
    assert_eq!(form["Version"], "2011-06-15");
    assert!(form["RoleSessionName"].len() <= 64);
    let token = &form["WebIdentityToken"];
    if !is_trusted(state, token, "sts.amazonaws.com") || form["RoleArn"] != ROLE {
        let text = format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>AccessDenied</Code>\
             <Message>Not authorized to perform sts:AssumeRoleWithWebIdentity with {token}</Message></Error>\
             <RequestId>1</RequestId></ErrorResponse>"
        );
        return (403, text);
    }
    let text = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n<AssumeRoleWithWebIdentityResult>\n\
         <SubjectFromWebIdentityToken>x</SubjectFromWebIdentityToken>\n<Credentials>\n<AccessKeyId>ASIAEXAMPLE</AccessKeyId>\n\
         <SecretAccessKey>{SECRET}</SecretAccessKey>\n<SessionToken>{SECRET}/+=</SessionToken>\n\
         <Expiration>2100-01-01T00:00:00Z</Expiration>\n</Credentials>\n</AssumeRoleWithWebIdentityResult>\n\
         </AssumeRoleWithWebIdentityResponse>"
    );
    (200, text)
}

/// Amazon ECR API Reference, `GetAuthorizationToken`.
fn authorization_token(
    state: &mut State,
    registry: &Mutex<fake_registry::State>,
    headers: &HeaderMap,
    body: &[u8],
) -> Answer {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/x-amz-json-1.1");
    assert_eq!(
        header("x-amz-target"),
        "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
    );
    assert_eq!(header("x-amz-security-token"), format!("{SECRET}/+="));
    if header("authorization") != signature(&header, body) {
        return (
            400,
            json!({ "__type": "InvalidSignatureException", "message": "it does not match" }),
        );
    }
    if !state.may_log_in {
        let message = "User is not authorized to perform: ecr:GetAuthorizationToken";
        return (
            400,
            json!({ "__type": "AccessDeniedException", "message": message }),
        );
    }
    let pair = format!("AWS:{}", give(state));
    take(registry, format!("Basic {}", STANDARD.encode(&pair)));
    let ends = (Timestamp::now() + state.lifetime).as_second();
    let seconds: Value = serde_json::from_str(&format!("{ends}.25")).unwrap();
    let data = json!([{
        "authorizationToken": STANDARD.encode(pair), "expiresAt": seconds, "proxyEndpoint": format!("https://{ECR}"),
    }]);
    (200, json!({ "authorizationData": data }))
}

/// The header by "Create a signed AWS API request", for the headers that have to be signed.
fn signature(header: &impl Fn(&str) -> String, body: &[u8]) -> String {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    };
    let mac = |key: &[u8], text: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let time = header("x-amz-date");
    let range = format!("{}/eu-central-1/ecr/aws4_request", &time[..8]);
    let names = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target";
    let lines: String = names
        .split(';')
        .map(|name| match name {
            "host" => format!("host:{API}\n"),
            name => format!("{name}:{}\n", header(name)),
        })
        .collect();
    let request = format!("POST\n/\n\n{lines}\n{names}\n{}", hex(&Sha256::digest(body)));
    let text = format!(
        "AWS4-HMAC-SHA256\n{time}\n{range}\n{}",
        hex(&Sha256::digest(request))
    );
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for part in range.split('/') {
        key = mac(&key, part);
    }
    let signature = hex(&mac(&key, &text));
    format!("AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/{range}, SignedHeaders={names}, Signature={signature}")
}

/// Security Token Service API, `v1.token`, and RFC 8693.
fn exchange(
    state: &mut State,
    registry: &Mutex<fake_registry::State>,
    form: &HashMap<String, String>,
) -> Answer {
    let audience = format!("//iam.googleapis.com/{POOL}");
    for (field, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        (
            "requested_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("scope", "https://www.googleapis.com/auth/cloud-platform"),
        ("audience", &audience),
    ] {
        assert_eq!(form[field], value);
    }
    if !is_trusted(state, &form["subject_token"], &audience) {
        let said = "The given credential is rejected by the attribute condition.";
        return (
            400,
            json!({ "error": "unauthorized_client", "error_description": said }),
        );
    }
    let token = give(state);
    // Without a Google service account it is a login by itself.
    take_google(registry, &token);
    let answer = json!({
        "access_token": token, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "token_type": "Bearer",
        "expires_in": state.lifetime.as_secs(),
    });
    (200, answer)
}

/// Service Account Credentials API, `projects.serviceAccounts.generateAccessToken`.
fn generate(
    state: &mut State,
    registry: &Mutex<fake_registry::State>,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Answer {
    assert_eq!(
        path,
        format!("/v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken")
    );
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(
        body["scope"],
        json!(["https://www.googleapis.com/auth/cloud-platform"])
    );
    let last = format!("Bearer {SECRET}-{}", state.given);
    assert_eq!(headers["authorization"].to_str().unwrap(), last);
    if !state.may_log_in {
        let message = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource";
        return (
            403,
            json!({ "error": { "code": 403, "message": message, "status": "PERMISSION_DENIED" } }),
        );
    }
    let token = give(state);
    take_google(registry, &token);
    let ends = Timestamp::now() + state.lifetime;
    (
        200,
        json!({ "accessToken": token, "expireTime": ends.to_string() }),
    )
}

/// Microsoft identity platform, "Access token request with a federated credential".
fn client_credentials(state: &mut State, path: &str, form: &HashMap<String, String>) -> Answer {
    assert_eq!(path, format!("/{TENANT}/oauth2/v2.0/token"));
    for (field, value) in [
        ("grant_type", "client_credentials"),
        ("scope", "https://containerregistry.azure.net/.default"),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
    ] {
        assert_eq!(form[field], value);
    }
    if !is_trusted(state, &form["client_assertion"], "api://AzureADTokenExchange")
        || form["client_id"] != CLIENT
    {
        let said = "AADSTS70021: No matching federated identity record found for presented assertion.";
        return (
            401,
            json!({ "error": "invalid_client", "error_description": said }),
        );
    }
    let answer =
        json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": format!("{SECRET}-entra") });
    (200, answer)
}

/// "Azure Container Registry integration with Azure Active Directory", `POST /oauth2/exchange`.
fn acr_exchange(
    state: &mut State,
    registry: &Mutex<fake_registry::State>,
    form: &HashMap<String, String>,
) -> Answer {
    for (field, value) in [
        ("grant_type", "access_token"),
        ("service", ACR),
        ("tenant", TENANT),
    ] {
        assert_eq!(form[field], value);
    }
    assert_eq!(form["access_token"], format!("{SECRET}-entra"));
    if !state.may_log_in {
        return (
            401,
            json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "authentication required" }] }),
        );
    }
    let ends = (Timestamp::now() + state.lifetime).as_second();
    let claims = URL_SAFE_NO_PAD.encode(json!({ "exp": ends, "aud": ACR }).to_string());
    let token = format!("h.{claims}.{}", give(state));
    take(registry, token.clone());
    (200, json!({ "refresh_token": token }))
}

fn give(state: &mut State) -> String {
    state.given += 1;
    format!("{SECRET}-{}", state.given)
}

/// From then on the registry accepts this login, and no other.
fn take(registry: &Mutex<fake_registry::State>, login: String) {
    registry.lock().unwrap().profile.login = Some(login);
}

fn take_google(registry: &Mutex<fake_registry::State>, token: &str) {
    take(
        registry,
        format!("Basic {}", STANDARD.encode(format!("oauth2accesstoken:{token}"))),
    );
}
