//! The peculiarities of services, according to their documents and reports of their users. None of
//! them was queried.

use super::fake_registry::{Asks, Habit, Parts, Profile, Says, Uploads, complaint};
use axum::http::Method;

/// A service.
pub struct Service {
    /// Its permanent behaviour. The caller fills in the realm and the host of its blobs.
    pub profile: Profile,
    /// Whether another host issues its tokens.
    pub has_token_server: bool,
    /// Whether another host serves its blobs.
    pub has_storage: bool,
    /// Its answer for a while to a client that sends too many requests.
    pub limit: Says,
    /// Its answer to a push of an existing immutable tag, if it has such tags.
    pub immutable: Option<Says>,
}

/// An upload's address, and what is accepted of it.
const fn uploads(location: &'static str, parts: Parts) -> Uploads {
    Uploads { location, parts }
}

/// Answers to a request for attached documents.
fn referrers(says: Says) -> Vec<Habit> {
    vec![Habit::instead(Method::GET, "/referrers/", says)]
}

fn limit(text: &str) -> Says {
    complaint(429, "TOOMANYREQUESTS", text)
}

/// The service of a name.
pub fn service(name: &str) -> Service {
    match name {
        "docker-hub" => docker_hub(),
        "ghcr" => ghcr(),
        "ecr" => ecr(),
        "gar" => gar(),
        "acr" => acr(),
        "quay" => quay(),
        "harbor" => harbor(),
        "harbor-old" => harbor_old(),
        "artifactory" => artifactory(),
        "artifactory-old" => artifactory_old(),
        "zot" => zot(),
        _ => panic!("no service {name}"),
    }
}

/// Tokens of auth.docker.io; 401 for what is not there yet (docker/hub-feedback); no list of
/// referrers; immutable tags since 2025 (docker/hub-feedback#2466); 429 without `Retry-After`
/// ("Docker Hub usage and limits").
fn docker_hub() -> Service {
    Service {
        profile: Profile {
            asks: Asks::Bearer(String::new()),
            service: "registry.docker.io",
            hides_from_readers: Some((401, "UNAUTHORIZED")),
            uploads: uploads(
                "ORIGIN/v2/REPOSITORY/blobs/uploads/ID?_state=x%2By",
                Parts::Taken(usize::MAX),
            ),
            ..Profile::default()
        },
        has_token_server: true,
        has_storage: true,
        limit: limit(
            "You have reached your pull rate limit. You may increase the limit by authenticating and upgrading",
        ),
        immutable: Some(complaint(
            403,
            "DENIED",
            "requested access to the resource is denied - This tag is already assigned to an image in this repository and cannot be updated due to immutability settings.",
        )),
    }
}

/// Relative addresses of uploads (apple/swift-container-plugin#44); parts of 4 MiB at most, and 416
/// for more (ocx-sh/ocx#237); referrers lead to github.com (artifacthub/hub#4785); no immutable
/// tags.
fn ghcr() -> Service {
    Service {
        profile: Profile {
            asks: Asks::Bearer("/token".to_owned()),
            service: "ghcr.io",
            hides_from_readers: Some((403, "DENIED")),
            uploads: uploads("/v2/REPOSITORY/blobs/upload/ID", Parts::Taken(4 << 20)),
            habits: referrers(
                Says::new(303, "").with("location", "https://github.com/-/v2/packages/container/package/a"),
            ),
            ..Profile::default()
        },
        has_token_server: false,
        has_storage: true,
        limit: limit("rate limited").with("retry-after", "1"),
        immutable: None,
    }
}

/// A password instead of tokens; repositories have to be created, and it hangs up on an upload to a
/// missing one (aws/containers-roadmap#1970); no `Location` of a manifest; the status of an upload
/// is not reported (dotnet/sdk#33019, aws/containers-roadmap#2831); lists referrers since 2024; an
/// existing tag is refused even for the same image (aws/aws-sdk#750).
fn ecr() -> Service {
    Service {
        profile: Profile {
            asks: Asks::Basic,
            needs_repository: Some(Says::hang_up()),
            tells_location: false,
            lists_referrers: true,
            uploads: uploads("ORIGIN/v2/REPOSITORY/blobs/uploads/ID", Parts::Untold),
            ..Profile::default()
        },
        has_token_server: false,
        has_storage: true,
        limit: limit("Rate exceeded"),
        immutable: Some(complaint(
            400,
            "TAG_INVALID",
            "The image tag '1' already exists in the 'team/image' repository and cannot be overwritten because the repository is immutable.",
        )),
    }
}

/// Repositories have to be made; no uploads in parts ("Artifact Registry does not support Docker
/// chunked uploads"); immutable tags, of which only the name of the status is public
/// (`FAILED_PRECONDITION`, which is 400).
fn gar() -> Service {
    Service {
        profile: Profile {
            asks: Asks::Bearer("/v2/token".to_owned()),
            service: "us-docker.pkg.dev",
            needs_repository: Some(complaint(404, "NAME_UNKNOWN", "Repository \"team\" not found")),
            lists_referrers: true,
            uploads: uploads(
                "ORIGIN/artifacts-uploads/namespaces/p/repositories/r/uploads/ID",
                Parts::Refused,
            ),
            ..Profile::default()
        },
        has_token_server: false,
        has_storage: false,
        limit: limit("Quota exceeded for quota metric 'Requests per project'"),
        immutable: Some(complaint(400, "UNKNOWN", "Failed precondition")),
    }
}

/// Relative addresses of uploads with a query; `Content-Range` without a unit
/// (dotnet/sdk-container-builds#258); lists referrers; locks in place of immutable tags
/// (Azure/acr-cli#70).
fn acr() -> Service {
    Service {
        profile: Profile {
            asks: Asks::Bearer("/oauth2/token".to_owned()),
            service: "example.azurecr.io",
            lists_referrers: true,
            uploads: uploads(
                "/v2/REPOSITORY/blobs/uploads/ID?_nouploadcache=false&_state=x%2By",
                Parts::Taken(usize::MAX),
            ),
            ..Profile::default()
        },
        has_token_server: false,
        has_storage: true,
        limit: limit("too many requests").with("retry-after", "1"),
        immutable: Some(complaint(
            405,
            "REGISTRY_DISALLOWED_OPERATION",
            "The operation is disallowed on this registry, repository or image. View troubleshooting steps at https://aka.ms/acr/faq/",
        )),
    }
}

/// Lists referrers; immutable tags since 3.17 (PROJQUAY-10859 has the words, not the status);
/// limits at a proxy.
fn quay() -> Service {
    Service {
        profile: Profile {
            asks: Asks::Bearer("/v2/auth".to_owned()),
            service: "quay.io",
            lists_referrers: true,
            uploads: uploads("ORIGIN/v2/REPOSITORY/blobs/uploads/ID", Parts::Taken(usize::MAX)),
            ..Profile::default()
        },
        has_token_server: false,
        has_storage: true,
        limit: Says::new(429, "<html><h1>429 Too Many Requests</h1></html>"),
        immutable: Some(complaint(
            409,
            "UNKNOWN",
            "tag is immutable and cannot be overwritten",
        )),
    }
}

/// Lists referrers from 2.8 on. Projects have to be created. Immutable tags: 412
/// (goharbor/harbor#9427).
fn harbor() -> Service {
    Service {
        profile: Profile {
            asks: Asks::Bearer("/service/token".to_owned()),
            service: "harbor-registry",
            needs_repository: Some(complaint(404, "NOT_FOUND", "project team not found")),
            lists_referrers: true,
            uploads: uploads(
                "ORIGIN/v2/REPOSITORY/blobs/uploads/ID?_state=x%2By",
                Parts::Taken(usize::MAX),
            ),
            ..Profile::default()
        },
        has_token_server: false,
        has_storage: false,
        limit: Says::new(503, ""),
        immutable: Some(complaint(
            412,
            "PRECONDITION",
            "Failed to process request due to 'team/image:1' configured as immutable.",
        )),
    }
}

/// Before 2.8: 401 without a challenge for a request for referrers (regclient/regclient#389).
fn harbor_old() -> Service {
    let service = harbor();
    Service {
        profile: Profile {
            lists_referrers: false,
            uploads: uploads(
                "ORIGIN/v2/REPOSITORY/blobs/uploads/ID?_state=x%2By",
                Parts::Untold,
            ),
            habits: referrers(complaint(401, "UNAUTHORIZED", "unauthorized")),
            ..service.profile
        },
        ..service
    }
}

/// The realm is below the repository's API (containerd/containerd#6339); 403 for what does not
/// exist (google/go-containerregistry#1691); lists referrers since 7.90.1 ("Use Referrers REST
/// API"); 403 with `MANIFEST_INVALID` if overwriting is not permitted
/// (GoogleContainerTools/kaniko#1095).
fn artifactory() -> Service {
    Service {
        profile: Profile {
            asks: Asks::Bearer("/artifactory/api/docker/docker-local/v2/token".to_owned()),
            service: "example.jfrog.io",
            hides_from_readers: Some((403, "DENIED")),
            lists_referrers: true,
            uploads: uploads("ORIGIN/v2/REPOSITORY/blobs/uploads/ID", Parts::Untold),
            ..Profile::default()
        },
        has_token_server: false,
        has_storage: false,
        limit: Says::new(429, "").with("retry-after", "1"),
        immutable: Some(complaint(403, "MANIFEST_INVALID", "manifest invalid")),
    }
}

/// Before 7.90.1: 406 for a request for referrers.
fn artifactory_old() -> Service {
    let service = artifactory();
    Service {
        profile: Profile {
            lists_referrers: false,
            habits: referrers(Says::new(406, "")),
            ..service.profile
        },
        ..service
    }
}

/// If anonymous users may read something, `/v2/` requires no login, and what they may not read does
/// not exist (project-zot/zot#3867); lists referrers; relative addresses of uploads; no immutable
/// tags.
fn zot() -> Service {
    Service {
        profile: Profile {
            asks: Asks::BasicToWrite,
            lists_referrers: true,
            uploads: uploads("/v2/REPOSITORY/blobs/uploads/ID", Parts::Taken(usize::MAX)),
            ..Profile::default()
        },
        has_token_server: false,
        has_storage: false,
        limit: Says::new(429, ""),
        immutable: None,
    }
}
