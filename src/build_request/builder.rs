//! What the container that builds gets: a program, its arguments, its environment and its rights.

use std::collections::BTreeMap;

use patchset_api::build::Builder;
use serde_json::{Value, json};

use super::job_order::JobOrder;

/// Where the container may write.
pub(super) const WORKSPACE: &str = "/workspace";

/// Where the registries' credentials are mounted.
pub(super) const DOCKER_CONFIG: &str = "/docker";

/// Fetches the folder with the Dockerfile out of its image, then builds with the given arguments.
const BUILDKIT: &str = r#"set -eu
mkdir -p "$WORKSPACE/fetch" "$WORKSPACE/context"
printf '%s' "$BUILDKITD_TOML" >"$WORKSPACE/buildkitd.toml"
export BUILDKITD_FLAGS="--config $WORKSPACE/buildkitd.toml $BUILDER_FLAGS"
printf 'FROM --platform=linux/amd64 %s\n' "$CONTEXT" >"$WORKSPACE/fetch/Dockerfile"
buildctl-daemonless.sh build --progress plain --frontend dockerfile.v0 \
    --local "context=$WORKSPACE/fetch" --local "dockerfile=$WORKSPACE/fetch" \
    --output "type=local,dest=$WORKSPACE/context"
exec buildctl-daemonless.sh build --progress plain --frontend dockerfile.v0 \
    --local "context=$WORKSPACE/context" --local "dockerfile=$WORKSPACE/context" "$@"
"#;

/// The same with buildah. An image for several platforms is a list, which is pushed with all that
/// it names.
const BUILDAH: &str = r#"set -eu
printf '%s' "$REGISTRIES_CONF" >"$WORKSPACE/registries.conf"
export CONTAINERS_REGISTRIES_CONF="$WORKSPACE/registries.conf"
container=$(buildah from --quiet --pull=always "docker://$CONTEXT")
folder=$(buildah mount "$container")
buildah build "$@" --file "$folder/$DOCKERFILE" "$folder"
if [ -n "$LIST" ]; then
    buildah manifest push --all "$LIST" "docker://$TARGET"
else
    buildah push "$TARGET"
fi
"#;

/// The name of the list of images for several platforms before it is pushed.
const LIST: &str = "localhost/patchset-build";

/// What differs between builders.
pub(super) struct Container {
    pub(super) script: &'static str,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<&'static str, String>,
    pub(super) security: Value,
    /// Where it keeps layers while it builds.
    pub(super) state: &'static str,
}

pub(super) fn container(order: &JobOrder<'_>) -> Container {
    match order.builder {
        Builder::BuildKit => buildkit(order),
        Builder::Buildah => buildah(order),
    }
}

/// No profile. Both builders mount and create namespaces, which the runtimes' own profiles forbid
/// (the kubelet applies them to all pods with `seccompDefault`).
fn unconfined() -> Value {
    json!({ "type": "Unconfined" })
}

fn buildkit(order: &JobOrder<'_>) -> Container {
    let mut args = Vec::new();
    let mut option = |value: String| args.extend(["--opt".to_owned(), value]);
    option(format!("filename={}", order.file));
    if let Some(stage) = order.stage {
        option(format!("target={stage}"));
    }
    for (name, reference) in order.contexts {
        option(format!("context:{name}=docker-image://{reference}"));
    }
    for (name, value) in order.args {
        option(format!("build-arg:{name}={value}"));
    }
    for (name, value) in &order.labels {
        option(format!("label:{name}={value}"));
    }
    if !order.platforms.is_empty() {
        option(format!("platform={}", order.platforms.join(",")));
    }
    if let Some(cache) = order.cache {
        for (flag, more) in [
            ("--import-cache", ""),
            ("--export-cache", ",mode=max,ignore-error=true"),
        ] {
            args.extend([flag.to_owned(), format!("type=registry,ref={cache}:cache{more}")]);
        }
    }
    args.extend([
        "--output".to_owned(),
        format!("type=image,name={},push=true", order.target),
    ]);
    let registries = order
        .plain_http
        .iter()
        .map(|host| format!("[registry.{host:?}]\nhttp = true\n"));
    let env = BTreeMap::from([
        ("WORKSPACE", WORKSPACE.to_owned()),
        ("CONTEXT", order.dockerfile.to_string()),
        ("BUILDKITD_TOML", registries.collect()),
        ("BUILDER_FLAGS", "--oci-worker-no-process-sandbox".to_owned()),
    ]);
    Container {
        script: BUILDKIT,
        args,
        env,
        security: json!({
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "runAsNonRoot": true,
            "seccompProfile": unconfined(),
            "appArmorProfile": unconfined(),
        }),
        state: "/home/user/.local/share/buildkit",
    }
}

fn buildah(order: &JobOrder<'_>) -> Container {
    let mut args = Vec::new();
    let mut option = |name: &str, value: String| args.push(format!("--{name}={value}"));
    if let Some(stage) = order.stage {
        option("target", stage.to_owned());
    }
    for (name, reference) in order.contexts {
        option("build-context", format!("{name}=docker://{reference}"));
    }
    for (name, value) in order.args {
        option("build-arg", format!("{name}={value}"));
    }
    for (name, value) in &order.labels {
        option("label", format!("{name}={value}"));
    }
    let list = if order.platforms.is_empty() {
        option("tag", order.target.to_string());
        ""
    } else {
        option("platform", order.platforms.join(","));
        option("manifest", LIST.to_owned());
        LIST
    };
    let registries = order
        .plain_http
        .iter()
        .map(|host| format!("[[registry]]\nlocation = {host:?}\ninsecure = true\n"));
    let env = BTreeMap::from([
        ("WORKSPACE", WORKSPACE.to_owned()),
        ("CONTEXT", order.dockerfile.to_string()),
        ("DOCKERFILE", order.file.to_owned()),
        ("TARGET", order.target.to_string()),
        ("LIST", list.to_owned()),
        ("REGISTRIES_CONF", registries.collect::<String>()),
        ("BUILDAH_ISOLATION", "chroot".to_owned()),
        ("STORAGE_DRIVER", "vfs".to_owned()),
        ("REGISTRY_AUTH_FILE", format!("{DOCKER_CONFIG}/config.json")),
    ]);
    Container {
        script: BUILDAH,
        args,
        env,
        security: json!({
            "runAsUser": 0,
            "capabilities": {
                "drop": ["ALL"],
                "add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETFCAP", "SETGID", "SETUID", "SYS_CHROOT"],
            },
            "seccompProfile": unconfined(),
            "appArmorProfile": unconfined(),
        }),
        state: "/var/lib/containers",
    }
}
