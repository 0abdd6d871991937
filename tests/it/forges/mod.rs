//! Pull requests of GitHub, GitLab and Gitea, against test servers that speak their APIs.

mod close;
mod ensure;
mod find;
mod login;
mod refusals;
mod reviews;

use std::collections::BTreeMap;
use std::time::Duration;

use forges::{
    DesiredPullRequest, ForgeCredentials, ForgeKind, ForgeRepository, PlainHttp, PullRequestClient,
    Readiness, RequestConfig,
};

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

fn token() -> ForgeCredentials {
    ForgeCredentials::from_secret(&secret(&[("token", TOKEN)])).unwrap()
}

/// Settings that reach the test's host.
fn config(forge: &Forge) -> RequestConfig {
    RequestConfig {
        plain_http: PlainHttp::Hosts(vec![forge.host.clone()]),
        timeout: Duration::from_secs(5),
        ..RequestConfig::default()
    }
}

fn repository(forge: &Forge) -> ForgeRepository {
    ForgeRepository::from_git_url(forge.kind, &forge.git_url, None).unwrap()
}

fn client(forge: &Forge) -> PullRequestClient {
    PullRequestClient::new(&config(forge), repository(forge), token()).unwrap()
}

async fn start(kind: ForgeKind) -> (Forge, PullRequestClient) {
    let forge = Forge::start(kind).await;
    let client = client(&forge);
    (forge, client)
}

fn request<'a>(title: &'a str, body: &'a str, labels: &'a [String]) -> DesiredPullRequest<'a> {
    DesiredPullRequest {
        head: HEAD,
        base: BASE,
        title,
        body,
        labels,
        readiness: Readiness::Ready,
    }
}
