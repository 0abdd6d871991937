//! A token server for the real registry: distribution's "Token Authentication Implementation", with
//! tokens signed by a key whose certificate the registry trusts.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::SystemTime;

use axum::http::{HeaderMap, StatusCode, Uri};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;

use super::fake_registry::{Running, basic, serve};

/// The issuer of tokens, and the service that they are for.
pub const ISSUER: &str = "test-issuer";
pub const SERVICE: &str = "test-registry";

/// A token server; stopped when dropped.
pub struct TokenServer {
    /// Its address.
    pub realm: String,
    /// The certificate that tokens are signed under, PEM.
    pub certificate: String,
    _running: Running,
}

impl TokenServer {
    pub fn start() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let chain = STANDARD.encode(certificate.der());
        let key = key.serialize_der();
        let app = axum::Router::new().fallback(move |uri: Uri, headers: HeaderMap| {
            let answer = answer(&uri, &headers, &chain, &key);
            async move { answer }
        });
        let (address, running) = serve(app, Ipv4Addr::LOCALHOST.into(), None);
        Self {
            realm: format!("http://{address}/token"),
            certificate: certificate.pem(),
            _running: running,
        }
    }
}

fn answer(uri: &Uri, headers: &HeaderMap, chain: &str, key: &[u8]) -> (StatusCode, String) {
    let login = headers.get("authorization").and_then(|value| value.to_str().ok());
    if login != Some(&basic()) {
        return (StatusCode::UNAUTHORIZED, String::new());
    }
    let query = uri.query().unwrap_or_default().as_bytes();
    let fields: HashMap<String, String> = url::form_urlencoded::parse(query).into_owned().collect();
    let (kind, rest) = fields["scope"].split_once(':').unwrap();
    let (name, actions) = rest.rsplit_once(':').unwrap();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let claims = json!({
        "iss": ISSUER, "sub": "ann", "aud": fields["service"], "jti": "1",
        "nbf": now - 60, "iat": now, "exp": now + 300,
        "access": [{ "type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>() }],
    });
    let header = json!({ "typ": "JWT", "alg": "ES256", "x5c": [chain] });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let random = ring::rand::SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key, &random).unwrap();
    let signature = URL_SAFE_NO_PAD.encode(key.sign(&random, signed.as_bytes()).unwrap());
    let body = json!({ "token": format!("{signed}.{signature}"), "expires_in": 300 });
    (StatusCode::OK, body.to_string())
}
