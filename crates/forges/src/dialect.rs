//! What the servers' APIs have in common here, whatever they call it.

use reqwest::{Method, Url};
use serde_json::{Map, Value};

use super::request::{Branches, PreparedRequest, PullRequest};
use forge_rest::ForgeRepository;

/// Which requests are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestFilter {
    /// Those that can be merged.
    Open,
    /// All, in any state.
    Any,
}

/// A page of a list of requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListPage<'a> {
    pub(super) branches: Branches<'a>,
    /// A state, in the server's own word.
    pub(super) state: &'a str,
    /// From 1.
    pub(super) number: u32,
}

/// A request as a server has it, with what people see of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerRequest {
    /// Its number, page and state.
    pub request: PullRequest,
    /// Its title, with the prefix of a draft if the server marks drafts that way.
    pub title: String,
    /// Whether the server says that it is a draft.
    pub is_draft: bool,
    /// Its text in Markdown, as the server keeps it.
    pub body: String,
    /// The names of its labels.
    pub labels: Vec<String>,
}

/// What to change in a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RequestChanges<'a> {
    pub(super) title: Option<String>,
    pub(super) body: Option<&'a str>,
    /// Labels to add, where they are part of the request.
    pub(super) labels: Vec<&'a str>,
}

/// Where a server keeps the labels of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LabelPlacement {
    /// In the bodies that open and change the request.
    InRequest,
    /// At an address of their own.
    Beside,
}

/// How a server wants to be asked, and what it answers.
pub(super) trait Dialect: Sync {
    /// What it calls a request.
    fn request_noun(&self) -> &'static str;

    /// How many pages of a list are read at most.
    fn max_pages(&self) -> u32;

    /// The states to search, one after the other.
    fn states(&self, filter: RequestFilter) -> &'static [&'static str];

    /// A page of the requests between two branches, newest first. It may have others as well.
    fn list_url(&self, repository: &ForgeRepository, page: ListPage<'_>) -> Url;

    /// Where a server returns some request between two branches, or 404 if there is none.
    fn between_url(&self, _repository: &ForgeRepository, _branches: Branches<'_>) -> Option<Url> {
        None
    }

    /// The requests of a page that are between two branches of the repository itself.
    fn read_list(&self, answer: &[u8], branches: Branches<'_>) -> serde_json::Result<Vec<ServerRequest>>;

    /// The path that requests are below, in the repository.
    fn collection(&self) -> &'static str;

    /// Where requests are opened.
    fn collection_url(&self, repository: &ForgeRepository) -> Url {
        repository.endpoint(&[self.collection()])
    }

    /// The address of a request.
    fn request_url(&self, repository: &ForgeRepository, number: u64) -> Url {
        repository.endpoint(&[self.collection(), &number.to_string()])
    }

    /// Reads a request that was fetched, opened or changed.
    fn read_one(&self, answer: &[u8]) -> serde_json::Result<ServerRequest>;

    /// The body that opens a request.
    fn opening_body(&self, request: &PreparedRequest<'_>) -> Value;

    /// Where a request's labels are.
    fn label_placement(&self) -> LabelPlacement;

    /// The method by which a request is changed.
    fn change_method(&self) -> Method;

    /// The body that changes a request.
    fn change_body(&self, changes: &RequestChanges<'_>) -> Value;

    /// The body that closes a request.
    fn closing_body(&self) -> Value;

    /// Where a request's comments are.
    fn comments_url(&self, repository: &ForgeRepository, number: u64) -> Url;
}

/// A page for people, as a server names it.
pub(super) fn page_address(address: Option<String>) -> String {
    let address = address.filter(|address| address.len() <= 2048);
    let url = address.and_then(|address| Url::parse(&address).ok());
    let url = url.filter(|url| matches!(url.scheme(), "https" | "http"));
    url.map(String::from).unwrap_or_default()
}

/// An object of those fields that have a value.
pub(super) fn present_fields<const N: usize>(fields: [(&str, Option<&str>); N]) -> Value {
    let fields = fields.into_iter();
    let fields: Map<_, _> = fields
        .filter_map(|(name, text)| Some((name.to_owned(), Value::from(text?))))
        .collect();
    Value::Object(fields)
}
