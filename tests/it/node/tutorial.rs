//! `docs/tutorial.md`, exactly as written: its commands run in order, and their output must be what
//! it shows.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use base64::Engine;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Node, pod_template};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;
use crate::support::program::{cached, program};

const USER: &str = "ann";
const PASSWORD: &str = "secret";

/// The namespace that the tutorial works in.
const NAMESPACE: &str = "openstack";

/// The blocks that do not run here, by their first lines, and why.
const NOT_RUN: [(&str, &str); 4] = [
    // The reader's own places: this test sets its own, under the same names.
    ("export PATCHSET=", "variables"),
    // No Docker here. hack/node.sh brings the image to the node.
    ("docker build ", "no Docker"),
    // The node has the controller already, from the same chart. The test checks that the command
    // renders.
    ("helm install ", "installed"),
    // The node's registry knows no users.
    ("kubectl create secret docker-registry ", "no login"),
];

/// Pods on this node have no network but the node's. That is the cluster's concern here, so that
/// manifests need not mention it.
const HOST_NETWORK: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata:
  name: tutorial-host-network
spec:
  matchConstraints:
    namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: openstack } }
    resourceRules:
    - { apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods] }
  failurePolicy: Fail
  reinvocationPolicy: Never
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: 'Object{spec: Object.spec{hostNetwork: true}}'
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata:
  name: tutorial-host-network
spec:
  policyName: tutorial-host-network
";

/// A block between two lines of backticks.
#[derive(Debug, PartialEq, Eq)]
enum Block {
    /// Commands.
    Run(String),
    /// Commands that are only shown.
    Show(String),
    /// Output of the commands before it.
    Prints(String),
    /// Something else to read.
    Other(String),
}

/// A block, with the line where it begins.
type Placed = (usize, Block);

fn blocks(text: &str) -> Vec<Placed> {
    let mut found = Vec::new();
    let mut open: Option<(usize, &str, usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(info), None) => open = Some((number + 1, info, indent, String::new())),
            (Some(""), Some(_)) => {
                let (at, info, _, content) = open.take().unwrap();
                let block = match info {
                    "sh" => Block::Run(content),
                    "sh norun" => Block::Show(content),
                    "text" => Block::Prints(content),
                    "yaml" => Block::Other(content),
                    other => panic!("line {at}: a block of the kind {other:?}"),
                };
                found.push((at, block));
            }
            (Some(info), Some((at, ..))) => panic!("{info:?} in the block of line {at}"),
            (None, Some((_, _, indent, content))) => {
                content.push_str(line.get(*indent..).unwrap_or_default());
                content.push('\n');
            }
            (None, None) => (),
        }
    }
    assert!(open.is_none(), "a block has no end");
    found
}

/// Whether a line is as shown: `…` stands for anything, and columns may have any width.
fn is_as_shown(line: &str, shown: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (line, shown) = (words(line), words(shown));
    let mut parts = shown.split('…');
    let first = parts.next().unwrap();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The first shown line that is missing from an output, in order.
fn missing<'a>(output: &str, shown: &'a str) -> Option<&'a str> {
    let mut lines = output.lines();
    shown
        .lines()
        .filter(|line| !line.trim().is_empty() && line.trim() != "…")
        .find(|wanted| !lines.any(|line| is_as_shown(line, wanted)))
}

#[test]
fn what_is_shown_is_compared_line_by_line_in_order() {
    let output = "NAME    READY\nplacement-2025.2   True   3 of 3\nend\n";
    assert_eq!(missing(output, "NAME READY\n…\nplacement-… True … 3\n"), None);
    assert_eq!(
        missing(output, "placement-2025.2 True\n"),
        Some("placement-2025.2 True")
    );
    assert_eq!(missing(output, "end\nNAME READY\n"), Some("NAME READY"));
    assert_eq!(
        missing(output, "placement-…  False…\n"),
        Some("placement-…  False…")
    );
    assert_eq!(missing("", "something\n"), Some("something"));
    assert!(is_as_shown("abcabc", "a…c"));
    assert!(!is_as_shown("ab", "ab…b"));
}

/// A shell that runs one block after another, as the reader's does.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Shell {
    fn start<'a>(
        work: &Path,
        folder: &Path,
        environment: impl Iterator<Item = (&'a &'static str, &'a String)>,
    ) -> Self {
        // It ends with this test, along with everything it runs.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "timeout", "900"])
            .args(["bash", "--noprofile", "--norc", "-euo", "pipefail"])
            .current_dir(work)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            folder: folder.to_owned(),
        }
    }

    /// Runs a block; returns the output of both channels, and whether it succeeded.
    fn run(&mut self, name: &str, commands: &str) -> (String, bool) {
        let (script, log) = (
            self.folder.join(format!("{name}.sh")),
            self.folder.join(format!("{name}.log")),
        );
        std::fs::write(&script, commands).unwrap();
        let (script, log) = (script.display(), log);
        writeln!(
            self.input,
            ". '{script}' >'{}' 2>&1 </dev/null; echo done",
            log.display()
        )
        .unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        (
            std::fs::read_to_string(&log).unwrap_or_default(),
            line == "done\n",
        )
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What source-controller would do: it makes artifacts of the repositories that Flux's objects
/// name.
struct SourceController {
    client: Client,
    root: PathBuf,
    address: String,
    artifacts: Arc<Mutex<HashMap<String, Bytes>>>,
}

impl SourceController {
    async fn start(client: Client, root: PathBuf) -> tokio::task::JoinHandle<()> {
        let artifacts = Arc::<Mutex<HashMap<String, Bytes>>>::default();
        let give = |State(artifacts): State<Arc<Mutex<HashMap<String, Bytes>>>>,
                    axum::extract::Path(name): axum::extract::Path<String>| async move {
            let found = artifacts.lock().unwrap().get(&name).cloned();
            found.ok_or(StatusCode::NOT_FOUND)
        };
        let router = Router::new()
            .route("/{name}", get(give))
            .with_state(Arc::clone(&artifacts));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let controller = Self {
            client,
            root,
            address,
            artifacts,
        };
        tokio::spawn(async move {
            loop {
                controller.look().await;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        })
    }

    async fn look(&self) {
        let gvk = GroupVersionKind::gvk("source.toolkit.fluxcd.io", "v1", "GitRepository");
        let resource = ApiResource::from_gvk_with_plural(&gvk, "gitrepositories");
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), NAMESPACE, &resource);
        let Ok(sources) = api.list(&ListParams::default()).await else {
            return;
        };
        for source in sources {
            let spec = &source.data["spec"];
            let (url, branch) = (
                spec["url"].as_str().unwrap(),
                spec["ref"]["branch"].as_str().unwrap(),
            );
            let repository = self.root.join(url.rsplit_once('/').unwrap().1);
            let git = |arguments: &[&str]| {
                let output = Command::new("git")
                    .arg("--git-dir")
                    .arg(&repository)
                    .args(arguments)
                    .output()
                    .unwrap();
                assert!(
                    output.status.success(),
                    "{}",
                    String::from_utf8_lossy(&output.stderr)
                );
                output.stdout
            };
            let commit = String::from_utf8(git(&["rev-parse", branch])).unwrap();
            let revision = format!("{branch}@sha1:{}", commit.trim());
            if source.data["status"]["artifact"]["revision"] == revision.as_str() {
                continue;
            }
            let archive = Bytes::from(git(&["archive", "--format=tar.gz", commit.trim()]));
            let name = format!("{}.tar.gz", commit.trim());
            let digest = Sha256::digest(&archive)
                .iter()
                .fold("sha256:".to_owned(), |mut text, byte| {
                    write!(text, "{byte:02x}").unwrap();
                    text
                });
            let size = archive.len();
            self.artifacts.lock().unwrap().insert(name.clone(), archive);
            let status = json!({
                "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": { "name": source.name_any() },
                "status": {
                    "observedGeneration": source.metadata.generation,
                    "artifact": { "path": name, "url": format!("http://{}/{name}", self.address), "revision": revision,
                        "digest": digest, "lastUpdateTime": "2026-01-01T00:00:00Z", "size": size },
                    "conditions": [{ "type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored",
                        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": source.metadata.generation }]
                }
            });
            let parameters = PatchParams::apply("test").force();
            let _ = api
                .patch_status(&source.name_any(), &parameters, &Patch::Apply(&status))
                .await;
        }
    }
}

/// What the tutorial requires before it begins, and the variables for it.
struct Reader {
    folder: tempfile::TempDir,
    /// The variables that the tutorial tells the reader to set.
    variables: HashMap<&'static str, String>,
    /// What a reader's machine has in any case.
    machine: HashMap<&'static str, String>,
    _server: GitServer,
}

impl Reader {
    fn new(node: &Node) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["work", "out", "git", "upstream"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        for name in ["placement", "os-traits", "deployment", "gitops"] {
            GitRepo::create(&at("git"), name).git(&["config", "http.receivepack", "true"]);
        }
        for (name, from) in [("placement", "openstack-placement"), ("os-traits", "os-traits")] {
            let from = cached(&format!("corpus/{from}.git"));
            std::os::unix::fs::symlink(from, at("upstream").join(name)).unwrap();
        }
        let server = GitServer::http(at("git")).basic(USER, PASSWORD).start();
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
        std::fs::write(
            at("gitconfig"),
            format!(
                "[user]\nname = Ann\nemail = ann@example.com\n[http \"http://{0}/\"]\nextraHeader = Authorization: Basic {login}\n",
                server.host()
            ),
        )
        .unwrap();
        std::fs::copy(&node.kubeconfig, at("kubeconfig")).unwrap();
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let folder_of = |file: &Path| text(file.parent().unwrap().to_owned());
        let path = [
            folder_of(Path::new(env!("CARGO_BIN_EXE_patchset"))),
            folder_of(Path::new(program("kubectl").get_program())),
            folder_of(Path::new(program("helm").get_program())),
            std::env::var("PATH").unwrap(),
        ];
        let variables = HashMap::from([
            ("PATCHSET", env!("CARGO_MANIFEST_DIR").to_owned()),
            ("UPSTREAM", text(at("upstream"))),
            ("GIT_SERVER", format!("http://{}", server.host())),
            ("GIT_USER", USER.to_owned()),
            ("GIT_PASSWORD", PASSWORD.to_owned()),
            ("REGISTRY", node.registry.clone()),
            ("PYTHON_BASE", format!("{}/python:3", node.registry)),
            ("BUILD_JOB", build_job().to_string()),
        ]);
        let machine = HashMap::from([
            ("PATH", path.join(":")),
            ("HOME", text(at("out"))),
            ("KUBECONFIG", text(at("kubeconfig"))),
            ("GIT_CONFIG_GLOBAL", text(at("gitconfig"))),
            ("GIT_CONFIG_SYSTEM", "/dev/null".to_owned()),
            ("GIT_TERMINAL_PROMPT", "0".to_owned()),
        ]);
        Self {
            folder,
            variables,
            machine,
            _server: server,
        }
    }
}

/// What Jobs need on this node. `kubectl apply` takes a null as the removal of a field, so no null
/// may be used.
fn build_job() -> serde_json::Value {
    let mut template = pod_template();
    let context = &mut template["spec"]["containers"][0]["securityContext"];
    context["runAsNonRoot"] = json!(false);
    json!({ "podTemplate": template })
}

/// The names that `export` sets in some commands.
fn exported(commands: &str) -> Vec<&str> {
    let lines = commands.lines().filter_map(|line| line.strip_prefix("export "));
    lines
        .flat_map(|line| line.split_whitespace().take_while(|word| *word != "#"))
        .filter_map(|word| Some(word.split_once('=')?.0))
        .collect()
}

/// The addresses of the links in a text.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(link, _)| link))
}

/// The anchors of a document's headings, as forges make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn its_links_lead_somewhere() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let text = std::fs::read_to_string(docs.join("tutorial.md")).unwrap();
    let relative: Vec<&str> = links(&text).filter(|link| !link.contains("://")).collect();
    assert!(relative.len() >= 5, "{relative:?}");
    for link in relative {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let file = if file.is_empty() { "tutorial.md" } else { file };
        let target =
            std::fs::read_to_string(docs.join(file)).unwrap_or_else(|error| panic!("{link}: {error}"));
        assert!(anchor.is_empty() || anchors(&target).contains(anchor), "{link}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorial_works_as_it_is_written() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tutorial.md")).unwrap();
    let blocks = blocks(&text);
    assert_shown_only(&blocks);

    let node = Node::get().await;
    let reader = Arc::new(Reader::new(node));
    let policy = reader.folder.path().join("policy.yaml");
    std::fs::write(&policy, HOST_NETWORK).unwrap();
    node.kubectl(&["apply", "--filename", policy.to_str().unwrap()]);
    let sources = SourceController::start(node.client(), reader.folder.path().join("git")).await;

    let ran = tokio::task::spawn_blocking({
        let reader = Arc::clone(&reader);
        move || run(&blocks, &reader)
    })
    .await;
    sources.abort();
    if let Err(error) = ran {
        for what in [
            "patchsets,constraintoverrides,configmaps,kustomizations,gitrepositories",
            "pods,jobs,events",
        ] {
            eprintln!(
                "{}",
                node.kubectl(&["get", what, "--namespace", NAMESPACE, "--output", "wide"])
            );
        }
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Asserts that no block is left out except those that [`NOT_RUN`] names.
fn assert_shown_only(blocks: &[Placed]) {
    let shown: Vec<&str> = blocks
        .iter()
        .filter_map(|(_, block)| match block {
            Block::Show(commands) => Some(commands.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(shown.len(), NOT_RUN.len(), "{shown:#?}");
    for (commands, (start, why)) in shown.iter().zip(NOT_RUN) {
        assert!(commands.starts_with(start), "{why}: {commands}");
    }
}

fn run(blocks: &[Placed], reader: &Reader) {
    let mut shell = Shell::start(
        &reader.folder.path().join("work"),
        &reader.folder.path().join("out"),
        reader.machine.iter().chain(&reader.variables),
    );
    let mut printed: Option<String> = None;
    for (line, block) in blocks {
        match block {
            Block::Run(commands) => {
                let started = Instant::now();
                let (output, well) = shell.run(&line.to_string(), commands);
                eprintln!(
                    "---- line {line}, {:.1?}\n{commands}----\n{output}",
                    started.elapsed()
                );
                assert!(well, "docs/tutorial.md, line {line}: the commands fail\n{output}");
                printed = Some(output);
            }
            Block::Prints(shown) => {
                let output = printed
                    .take()
                    .unwrap_or_else(|| panic!("line {line}: no commands before it"));
                assert!(!shown.trim().is_empty(), "line {line} shows nothing");
                if let Some(wanted) = missing(&output, shown) {
                    panic!("docs/tutorial.md, line {line}: no line is {wanted:?} in\n{output}");
                }
            }
            Block::Show(commands) => {
                if let Some(arguments) = commands.strip_prefix("helm install ") {
                    let (output, well) = shell.run(&line.to_string(), &format!("helm template {arguments}"));
                    assert!(well, "docs/tutorial.md, line {line}: {output}");
                    assert!(output.contains("kind: Deployment"), "{output}");
                } else if commands.starts_with("export ") {
                    let told: BTreeSet<&str> = exported(commands).into_iter().collect();
                    assert_eq!(told, reader.variables.keys().copied().collect());
                }
            }
            Block::Other(_) => (),
        }
    }
}
