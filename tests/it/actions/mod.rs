//! GitHub Actions, against a server of the test's own that speaks its API.

mod dispatch;
mod follow;
mod limits;
mod log;
mod login;

use std::collections::BTreeMap;
use std::time::Duration;

use patchset::actions::{BaseUrl, Client, Config, Credentials, PlainHttp, RequestId, Workflow};

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

fn token() -> Credentials {
    Credentials::from_secret(&secret(&[("token", TOKEN)])).unwrap()
}

/// Settings that reach the test's hosts.
fn config(github: &GitHub) -> Config {
    Config {
        plain_http: PlainHttp::Hosts(vec![github.host.clone(), github.logs_host.clone()]),
        ..Config::default()
    }
}

/// A client that takes this long for an answer.
fn patient(github: &GitHub, timeout: Duration) -> Client {
    let config = Config {
        timeout,
        ..config(github)
    };
    Client::new(&config, token()).unwrap()
}

fn client(github: &GitHub) -> Client {
    Client::new(&config(github), token()).unwrap()
}

fn workflow(github: &GitHub) -> Workflow {
    at(github, "acme", "images", "build.yaml", "main")
}

fn at(github: &GitHub, owner: &str, repository: &str, file: &str, reference: &str) -> Workflow {
    let base = BaseUrl::parse(&github.base).unwrap();
    Workflow::new(base, owner, repository, file, reference).unwrap()
}
