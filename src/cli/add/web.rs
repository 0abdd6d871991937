//! What git cannot say about a pull request or a review: requested from the server's REST API,
//! without a login.

use std::collections::BTreeMap;
use std::time::Duration;

use forge_rest::{HttpSender, Idempotence, PlainHttp, RequestConfig, RequestPurpose, host_and_port};
use reqwest::{Method, Request};
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::source::{PullForge, PullRequest, ReviewName};
use crate::cli::error::Error;

/// The longest that one request may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Gerrit puts this before JSON, so that no page runs it.
const GERRIT_PREFIX: &[u8] = b")]}'";

/// Asks servers.
pub(super) struct WebClient {
    http: HttpSender,
    runtime: tokio::runtime::Runtime,
}

/// What a pull request is based on, and whether it is merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PullFacts {
    pub(super) base: PullBase,
    pub(super) is_merged: bool,
}

/// How to find the commits of a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PullBase {
    /// They are the last so many commits.
    Count(usize),
    /// They are the commits not reachable from this one.
    Commit(String),
}

/// A change of a branch at Gerrit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct ReviewFacts {
    #[serde(rename = "_number")]
    pub(super) number: u64,
    pub(super) project: String,
    pub(super) branch: String,
    #[serde(default)]
    pub(super) change_id: String,
    pub(super) status: String,
    #[serde(default)]
    current_revision: String,
    #[serde(default)]
    revisions: BTreeMap<String, ReviewRevision>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct ReviewRevision {
    #[serde(rename = "ref")]
    reference: String,
}

impl ReviewFacts {
    /// What the address of a change's page says about it.
    pub(super) fn by_page(number: u64, project: &str) -> Self {
        Self {
            number,
            project: project.to_owned(),
            branch: String::new(),
            change_id: String::new(),
            status: String::new(),
            current_revision: String::new(),
            revisions: BTreeMap::new(),
        }
    }

    pub(super) fn is_merged(&self) -> bool {
        self.status == "MERGED"
    }

    /// The ref of its latest patch set, if the server names one that can be Gerrit's.
    pub(super) fn reference(&self) -> Option<&str> {
        let revision = self.revisions.get(&self.current_revision)?;
        let reference = revision.reference.as_str();
        reference.starts_with("refs/changes/").then_some(reference)
    }
}

impl WebClient {
    pub(super) fn new(timeout: Duration) -> Result<Self, Error> {
        let config = RequestConfig {
            // A user who names an address permits its transport.
            plain_http: PlainHttp::All,
            timeout: timeout.min(LONGEST),
            user_agent: crate::USER_AGENT,
            ..RequestConfig::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Error::Io {
                path: "the runtime".to_owned(),
                source,
            })?;
        Ok(Self {
            http: HttpSender::new(&config, None).map_err(|error| Error::Usage(error.to_string()))?,
            runtime,
        })
    }

    /// Finds what a pull request is based on.
    ///
    /// # Errors
    ///
    /// A sentence, where the server does not say it.
    pub(super) fn pull_request(&self, pull: &PullRequest) -> Result<PullFacts, String> {
        let number = pull.number.to_string();
        let what = format!("{} {number} of {}", pull.forge.request_noun(), pull.path);
        let owner = pull.path.split('/').collect::<Vec<_>>();
        let parts: Vec<&str> = match pull.forge {
            PullForge::GitLab => vec!["projects", &pull.path, "merge_requests", &number],
            _ => [&["repos"][..], &owner, &["pulls", &number]].concat(),
        };
        let url = endpoint(&pull.api(), &parts)?;
        match pull.forge {
            PullForge::GitHub => {
                let found: GitHubPull = self.get(url, &what)?;
                Ok(PullFacts {
                    base: PullBase::Count(found.commits),
                    is_merged: found.merged,
                })
            }
            PullForge::Gitea => {
                let found: GiteaPull = self.get(url, &what)?;
                Ok(PullFacts {
                    base: PullBase::Commit(found.merge_base),
                    is_merged: found.merged,
                })
            }
            PullForge::GitLab => {
                let found: GitLabRequest = self.get(url, &what)?;
                Ok(PullFacts {
                    base: PullBase::Commit(found.diff_refs.base_sha),
                    is_merged: found.state == "merged",
                })
            }
        }
    }

    /// The changes at Gerrit that a name stands for: one for a number, and one per branch for a
    /// `Change-Id`.
    ///
    /// # Errors
    ///
    /// A sentence, where the server does not say it.
    pub(super) fn reviews(
        &self,
        server: &str,
        project: Option<&str>,
        name: &ReviewName,
    ) -> Result<Vec<ReviewFacts>, String> {
        let name = match name {
            ReviewName::Number { number, .. } => number.to_string(),
            ReviewName::ChangeId(id) => id.clone(),
        };
        let mut url = endpoint(server, &["changes", ""])?;
        let project = project.map_or(String::new(), |project| format!(" project:{project}"));
        url.query_pairs_mut()
            .append_pair("q", &format!("change:{name}{project}"))
            .append_pair("o", "CURRENT_REVISION")
            .append_pair("n", "100");
        self.get(url, &format!("change {name}"))
    }

    fn get<T: DeserializeOwned>(&self, url: Url, what: &str) -> Result<T, String> {
        let host = host_and_port(&url);
        let secret = SecretString::from("there is none to hide");
        let purpose = RequestPurpose {
            what,
            secret: &secret,
            idempotence: Idempotence::Idempotent,
        };
        let request = Request::new(Method::GET, url);
        let answer = self.runtime.block_on(self.http.send(request, &purpose));
        let mut answer = answer.map_err(|error| error.to_string())?;
        if !answer.status.is_success() {
            return Err(answer.refusal(&host, what, "").to_string());
        }
        if let Some(rest) = answer.body.strip_prefix(GERRIT_PREFIX) {
            answer.body = rest.to_vec();
        }
        answer.read_json(&host, what).map_err(|error| error.to_string())
    }
}

impl PullForge {
    /// What the forge calls pull requests.
    pub(super) fn request_noun(self) -> &'static str {
        match self {
            Self::GitHub | Self::Gitea => "pull request",
            Self::GitLab => "merge request",
        }
    }
}

impl PullRequest {
    /// The address of its site's API, by convention.
    fn api(&self) -> String {
        match self.forge {
            PullForge::GitHub if self.site == "https://github.com" => "https://api.github.com".to_owned(),
            PullForge::GitHub => format!("{}/api/v3", self.site),
            PullForge::GitLab => format!("{}/api/v4", self.site),
            PullForge::Gitea => format!("{}/api/v1", self.site),
        }
    }
}

/// An address below another; each part is one segment, whatever it holds.
fn endpoint(base: &str, parts: &[&str]) -> Result<Url, String> {
    let mut url = Url::parse(base).map_err(|error| format!("{base}: {error}"))?;
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(parts);
    }
    Ok(url)
}

#[derive(Deserialize)]
struct GitHubPull {
    commits: usize,
    #[serde(default)]
    merged: bool,
}

#[derive(Deserialize)]
struct GiteaPull {
    merge_base: String,
    #[serde(default)]
    merged: bool,
}

#[derive(Deserialize)]
struct GitLabRequest {
    diff_refs: GitLabRefs,
    #[serde(default)]
    state: String,
}

#[derive(Deserialize)]
struct GitLabRefs {
    base_sha: String,
}
