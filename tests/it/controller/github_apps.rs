//! A GitHub App fetches from github.com, with test servers for its API and Git.

use patchset_api::PatchSet;
use serde_json::{Value, json};

use super::{BASE, GOOD, PATIENCE, Stage, assert_well_formed, condition};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;
use crate::support::github::{GitHub, keys};
use crate::support::proxy::Proxy;
use crate::support::tls::Authority;

const URL: &str = "https://github.com/acme/images.git";
/// The first token that the API issues.
const TOKEN: &str = "ghs_0hidden";

/// An API, a Git server that accepts only the API's first token, and a proxy that leads to both.
struct Servers {
    github: GitHub,
    git: GitServer,
    proxy: Proxy,
    private_key: String,
    folder: tempfile::TempDir,
}

impl Servers {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = GitRepo::create(folder.path(), "acme/images");
        repository.commit(&[("file.txt", BASE), ("patches/0001-five.patch", GOOD)], "base");
        let authority = Authority::new();
        std::fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
        let github = GitHub::with_tls(authority.server_for(&["api.github.com"])).await;
        let (private_key, public_key) = keys(&[]);
        github.state().app = Some(("7".to_owned(), public_key));
        let git = GitServer::http(folder.path().to_path_buf())
            .basic("x-access-token", TOKEN)
            .tls(authority.server_for(&["github.com"]))
            .start();
        let local = |host: &str| host.replace("localhost", "127.0.0.1");
        let (api, site) = (local(&github.host), local(&git.host()));
        let proxy = Proxy::leading("p", "w", move |target| match target {
            "api.github.com:443" => api.clone(),
            "github.com:443" => site.clone(),
            other => other.to_owned(),
        });
        Self {
            github,
            git,
            proxy,
            private_key,
            folder,
        }
    }

    async fn stage(&self, name: &str) -> Stage {
        let environment = [
            ("ALL_PROXY", self.proxy.url().replace("http://", "http://p:w@")),
            ("no_proxy", "127.0.0.1,localhost".to_owned()),
            (
                "SSL_CERT_FILE",
                self.folder.path().join("ca.crt").display().to_string(),
            ),
        ];
        let stage = Stage::with_environment(name, &[], &environment).await;
        secret(&stage, "app", "42", &self.private_key).await;
        stage
    }

    /// The number of tokens requested.
    fn asked(&self) -> usize {
        self.github.count("/access_tokens")
    }
}

async fn secret(stage: &Stage, name: &str, installation: &str, private_key: &str) {
    let data = [
        ("githubAppID", "7"),
        ("githubAppInstallationID", installation),
        ("githubAppPrivateKey", private_key),
    ];
    stage.secret(name, &data).await;
}

fn spec(url: &str, secret: &str) -> Value {
    let login = json!({ "name": secret });
    json!({
        "component": "demo", "release": "2025.2", "interval": "1s",
        "upstream": { "url": url, "ref": { "branch": "main" }, "secretRef": login },
        "patches": { "git": { "url": url, "path": "patches", "secretRef": login } },
    })
}

fn message_of(object: &PatchSet) -> String {
    condition(object, "Ready").unwrap().message.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_fetches_the_upstream_and_the_patches() {
    let servers = Servers::start().await;
    let stage = servers.stage("app-fetches").await;
    stage.apply("demo", &spec(URL, "app")).await;
    let ready = stage.ready("demo", "True", "Succeeded").await;
    assert_well_formed(&ready);
    // The token is kept, and so is the mirror.
    let end = std::time::Instant::now() + PATIENCE;
    while servers.git.looks() < 3 {
        assert!(std::time::Instant::now() < end, "it was not looked at again");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(servers.asked(), 1);
    assert_eq!(servers.git.packs(), 1);
    {
        let state = servers.github.state();
        assert_eq!(
            state.granted[0].asked["permissions"],
            json!({ "contents": "read" })
        );
    }
    // A holder of another key of the same App cannot use the first one's token.
    let (another, _) = keys(&[]);
    secret(&stage, "another", "42", &another).await;
    stage.apply("another", &spec(URL, "another")).await;
    let refused = stage.ready("another", "False", "AuthenticationFailed").await;
    assert!(
        message_of(&refused).contains("githubAppPrivateKey"),
        "{}",
        message_of(&refused)
    );
    secret(&stage, "gone", "41", &servers.private_key).await;
    stage.apply("gone", &spec(URL, "gone")).await;
    let gone = stage.ready("gone", "False", "ReferenceNotFound").await;
    assert!(
        message_of(&gone).contains("githubAppInstallationID"),
        "{}",
        message_of(&gone)
    );

    let mut told = stage.controller.log();
    for name in ["demo", "another", "gone"] {
        told.push_str(&serde_json::to_string(&stage.api::<PatchSet>().get(name).await.unwrap()).unwrap());
    }
    assert!(!told.contains(TOKEN) && !told.contains("PRIVATE KEY"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_sent_to_its_own_server_alone_and_over_https() {
    let servers = Servers::start().await;
    let stage = servers.stage("app-at-home").await;
    for (name, url, part) in [
        (
            "elsewhere",
            "https://github.example.org/acme/images.git",
            "githubAppBaseURL",
        ),
        (
            "look-alike",
            "https://github.com.example.org/acme/images.git",
            "githubAppBaseURL",
        ),
        ("plain", "http://github.com/acme/images.git", "only over https"),
        ("ssh", "ssh://git@github.com/acme/images.git", "only over https"),
    ] {
        stage.apply(name, &spec(url, "app")).await;
        let refused = stage.ready(name, "False", "InvalidSpec").await;
        assert_well_formed(&refused);
        assert!(message_of(&refused).contains(part), "{}", message_of(&refused));
    }
    assert_eq!((servers.asked(), servers.proxy.passed_on()), (0, 0));
}
