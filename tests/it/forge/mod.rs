//! Pull requests of GitHub, GitLab and Gitea, against servers of the test's own that speak their APIs.

mod close;
mod ensure;
mod find;
mod login;
mod refusals;

use std::collections::BTreeMap;
use std::time::Duration;

use patchset::forge::{Client, Config, Credentials, Kind, PlainHttp, Repository, Request};

use crate::support::forge::{Forge, TOKEN};

const HEAD: &str = "patchset/prod";
const BASE: &str = "main";

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

/// Settings that reach the test's host.
fn config(forge: &Forge) -> Config {
    Config {
        plain_http: PlainHttp::Hosts(vec![forge.host.clone()]),
        timeout: Duration::from_secs(5),
        ..Config::default()
    }
}

fn repository(forge: &Forge) -> Repository {
    Repository::parse(forge.kind, &forge.git_url, None).unwrap()
}

fn client(forge: &Forge) -> Client {
    Client::new(&config(forge), repository(forge), token()).unwrap()
}

async fn start(kind: Kind) -> (Forge, Client) {
    let forge = Forge::start(kind).await;
    let client = client(&forge);
    (forge, client)
}

fn request<'a>(title: &'a str, body: &'a str, labels: &'a [String]) -> Request<'a> {
    Request {
        head: HEAD,
        base: BASE,
        title,
        body,
        labels,
    }
}
