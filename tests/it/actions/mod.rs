//! GitHub Actions, against a test server that speaks its API.

mod dispatch;
mod follow;
mod limits;
mod log;
mod login;

use std::collections::BTreeMap;
use std::time::Duration;

use patchset::actions::{
    ActionsClient, ActionsConfig, ApiBaseUrl, ForgeCredentials, ForgeKind, PlainHttp, RequestConfig,
    RequestId, Workflow,
};

use crate::support::github::{GitHub, TOKEN};

/// A request's id, as the controller makes them.
const REQUEST: &str = "5f0c7f5e-2f3f-4a53-9c0b-0d6e0b9a4a11";

fn request() -> RequestId {
    RequestId::parse(REQUEST).unwrap()
}

/// A Secret's data.
fn secret(entries: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    let entries = entries.iter();
    entries
        .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
        .collect()
}

fn token() -> ForgeCredentials {
    ForgeCredentials::from_secret(&secret(&[("token", TOKEN)])).unwrap()
}

/// Settings that reach the test's hosts.
fn config(github: &GitHub) -> ActionsConfig {
    plain_http(vec![github.host.clone(), github.logs_host.clone()])
}

/// Settings that allow plain HTTP to these hosts.
fn plain_http(hosts: Vec<String>) -> ActionsConfig {
    RequestConfig {
        plain_http: PlainHttp::Hosts(hosts),
        ..RequestConfig::default()
    }
    .into()
}

/// A client with this timeout for answers.
fn patient(github: &GitHub, timeout: Duration) -> ActionsClient {
    let mut config = config(github);
    config.requests.timeout = timeout;
    ActionsClient::new(&config, token()).unwrap()
}

fn client(github: &GitHub) -> ActionsClient {
    ActionsClient::new(&config(github), token()).unwrap()
}

fn workflow(github: &GitHub) -> Workflow {
    at(github, "acme", "images", "build.yaml", "main")
}

fn at(github: &GitHub, owner: &str, repository: &str, file: &str, reference: &str) -> Workflow {
    let base = ApiBaseUrl::parse(ForgeKind::GitHub, &github.base).unwrap();
    Workflow::new(base, owner, repository, file, reference).unwrap()
}
