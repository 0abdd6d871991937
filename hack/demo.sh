#!/usr/bin/env bash
# Patches on a real OpenStack component and overrides of its constraints, in three stages. Each gets
# what it needs and lacks, and shows something complete:
#
#   check     on the command line: which patches apply, what broke one, and what makes it fit
#   cluster   on a real API server: the same as conditions, and what happens as upstream moves
#   image     as root on a real node: an image of the patched source that Flux rolls out
#
#   hack/demo.sh                  all stages, and cleans up
#   hack/demo.sh --until STAGE    ends after that stage
#   hack/demo.sh --here           takes the cluster of the current kubeconfig for the stage cluster, and ends there
#   hack/demo.sh --keep           leaves the last stage running and prints the KUBECONFIG
#   hack/demo.sh --stop DIR       ends what --keep left running
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/images.sh
. "$(dirname "$0")/lib/images.sh"
# shellcheck source-path=SCRIPTDIR source=lib/node.sh
. "$(dirname "$0")/lib/node.sh"

usage="usage: hack/demo.sh [--until check|cluster|image] [--here] [--keep] | --stop DIR"
until=image
here=
keep=
done_=
times=()
reached=
corpus=$PATCHSET_ROOT/tests/fixtures/corpus
glance_releases=(30.1.0 30.2.0 31.0.0)
# The namespace that --here works in.
namespace='patchset-demo'

clean_up() {
    local status=$?
    # All of it is done, whatever fails: the terminal may have gone away.
    set +e
    end_steps
    if [ -z "$done_" ] && [ "$status" -ne 130 ]; then
        say "it failed in the stage ${reached:-before the first} after $(time_so_far), exit status $status; what and why is above"
        keep_logs
    fi
    tell_times
    if [ -n "$done_" ] && [ -n "$keep" ]; then
        say "left running: export KUBECONFIG=$KUBECONFIG"
        say "the page: $(cat "$dir/page")"
        say "the controller's log: $dir/controller.log"
        say "end it with: hack/demo.sh --stop $dir"
        return
    fi
    say "clean up"
    stop "$dir" controller
    if [ -e "$dir/here" ]; then
        kubectl --kubeconfig "$dir/cluster/kubeconfig" delete namespace "$namespace" --ignore-not-found --wait=false >/dev/null ||
            say "delete the namespace $namespace yourself"
        say "the definitions stay: kubectl delete --kustomize config/crd takes them away"
    fi
    stop "$dir" git-daemon
    stop "$dir" artifacts
    cluster_down "$dir/cluster"
    node_down "$dir/node"
    rm -rf "$dir"
}

# keep_logs: the end of the controller's log, and where the logs of all servers are kept.
keep_logs() {
    local logs
    [ -s "$dir/controller.log" ] || return 0
    say "the end of the controller's log:"
    tail -n 20 "$dir/controller.log" >&2
    logs=$(mktemp -d -t patchset-logs-XXXXXX)
    find "$dir" "$dir/cluster" "$dir/node" -maxdepth 1 -name '*.log' -exec cp -t "$logs" {} + 2>/dev/null || true
    say "the whole log, and those of the other servers, are in $logs"
}

while [ $# -gt 0 ]; do
    case "$1" in
        --until)
            until=${2:?$usage}
            [[ $until =~ ^(check|cluster|image)$ ]] || die "there is no stage $until; $usage"
            shift
            ;;
        --here) here=yes ;;
        --keep)
            keep=yes
            export OUTLIVE=yes
            ;;
        --stop)
            dir=${2:?$usage}
            [ -e "$dir/controller.log" ] || die "$dir is not what hack/demo.sh --keep left"
            done_=yes
            clean_up
            exit
            ;;
        *) die "$usage" ;;
    esac
    shift
done
[ -z "$here" ] || [ "$until" = check ] || until=cluster
[ -z "$keep" ] || [ "$until" != check ] || die "the stage check leaves nothing that runs; $usage"

# time_so_far: the time since the demo began.
time_so_far() {
    duration "$SECONDS"
}

# verdict TEXT: a line on what was reached, with the time since the demo began, for a note of it.
verdict() {
    times+=("$(printf '%6d s  %s' "$SECONDS" "$1")")
    say "$1 after $(time_so_far)"
}

# tell_times: prints the times of all that was reached.
tell_times() {
    [ ${#times[@]} -gt 0 ] || return 0
    say "times since the start:"
    printf '    %s\n' "${times[@]}" >&2
}

# stage NAME TEXT: begins a stage, or ends the demo if the last requested one is over.
stage() {
    if [ "$reached" = "$until" ]; then
        done_=yes
        exit
    fi
    reached=$1
    printf '\n' >&2
    say "$2 ($(time_so_far) so far)"
}

# show COMMAND...: prints a command as a person would type it, and what it prints.
show() {
    printf '\n$ %s\n' "$*"
    if [ "$1" = patchset ]; then
        shift
        "$patchset" "$@"
    else
        "$@"
    fi
}

# settle PATCHSET|KIND/NAME CONDITION: waits until kubectl sees the condition, and says how long
# that took.
settle() {
    local object=patchset/$1 begun took
    [[ $1 != */* ]] || object=$1
    begun=$(date +%s%N)
    kubectl wait "$object" "--for=$2" --timeout=120s >/dev/null ||
        die "$object did not reach $2: $(kubectl get "$object" -o jsonpath='{.status}')"
    took=$((($(date +%s%N) - begun) / 100000000))
    say "$object: $2 after $((took / 10)).$((took % 10)) s"
}

# states PATCHSET: one line a patch.
states() {
    printf '\n%s:\n' "$1"
    kubectl get patchset "$1" -o go-template='{{range .status.patches}}{{printf "  %-9s %s" .state .name}}{{with .offset}}{{printf " (%v lines off)" .}}{{end}}
{{end}}'
}

# conflict PATCHSET: where and why patches of it do not apply.
# shellcheck disable=SC2016 # the template has variables of its own
conflict() {
    printf '\n%s, in detail:\n' "$1"
    kubectl get patchset "$1" -o go-template='{{range .status.patches}}{{$patch := .}}{{with .conflict}}  {{$patch.name}} ({{$patch.subject}})
  {{.file}}{{with .line}}, line {{.}}{{end}}{{with .hunk}}, hunk {{.}}{{end}}{{with .nearestLine}}, nearest match at line {{.}}{{end}}
  expected:
{{.expected}}
  found:
{{.found}}
{{end}}{{end}}'
}

# in_git FOLDER ARGUMENT...: git, independent of the caller's configuration and clock.
in_git() {
    local folder=$1
    shift
    GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null \
        GIT_AUTHOR_NAME=Demo GIT_AUTHOR_EMAIL=demo@example.com GIT_AUTHOR_DATE="2026-01-01T00:00:00Z" \
        GIT_COMMITTER_NAME=Demo GIT_COMMITTER_EMAIL=demo@example.com GIT_COMMITTER_DATE="2026-01-01T00:00:00Z" \
        git -C "$folder" -c init.defaultBranch=main "$@"
}

# release VERSION: commits a released source tree as it is, with a tag.
release() {
    local archive
    archive=$(need_sdist glance "$1") || exit
    in_git "$dir/git/glance" rm -rqf --ignore-unmatch .
    tar -xf "$archive" -C "$dir/git/glance" --no-same-owner --strip-components=1
    in_git "$dir/git/glance" add --all --force .
    in_git "$dir/git/glance" commit -qm "Release $1"
    in_git "$dir/git/glance" tag "$1"
}

# make_upstream: glance with a tag for each of some released versions, and the branches as they once
# were.
make_upstream() {
    mkdir -p "$dir/git/glance"
    in_git "$dir/git/glance" init -q
    local version
    for version in "${glance_releases[@]}"; do release "$version"; done
    in_git "$dir/git/glance" branch stable/2025.1 30.1.0
    in_git "$dir/git/glance" branch stable/2025.2 31.0.0
}

# make_patches: two patches in git format-patch's form, written against 30.1.0. The first is the fix for redirects in
# image imports as it was released later, in 30.2.0; the second is a team's own change of a log level.
make_patches() {
    local glance=$dir/git/glance patches=$dir/git/patches release
    in_git "$glance" checkout -q -b work 30.1.0
    in_git "$glance" checkout -q 30.2.0 -- glance/async_ glance/common
    in_git "$glance" commit -qm "Follow redirects of image imports only to allowed hosts"
    sed -i 's/LOG\.info(_LI("Unable to delete trust/LOG.warning(_LI("Unable to delete trust/' "$glance/glance/api/v2/image_data.py"
    in_git "$glance" commit -qam "Warn when a trust cannot be deleted"
    for release in 2025.1 2025.2; do
        mkdir -p "$patches/patches/glance/$release"
        in_git "$glance" format-patch -q -o "$patches/patches/glance/$release" 30.1.0..work
    done
    in_git "$glance" checkout -q main
    in_git "$glance" branch -qD work
    cp -R "$corpus/releases" "$corpus/overrides" "$patches"
    # Not every tag is among the released archives that the upstream is made of.
    sed -i 's|^glance: .*|glance: stable/2025.2|' "$patches/releases/2025.2/source-refs.yaml"
    # The corpus has no such overrides: one that upstream has caught up with, one that it has passed.
    printf 'requests===2.32.4\nurllib3===1.26.18\n' >>"$patches/overrides/2025.2/constraints.txt"
    in_git "$patches" init -q
    in_git "$patches" add .
    in_git "$patches" commit -qm "Carry two patches on glance, and overrides"
}

# make_gitops: the repository of the team's deployments, with a value that is marked for the image.
make_gitops() {
    in_git "$dir" init -q --bare git/gitops
    in_git "$dir" init -q gitops
    mkdir "$dir/gitops/apps"
    cat >"$dir/gitops/apps/glance.yaml" <<'YAML'
# What the operator of glance is told to run.
apiVersion: v1
kind: ConfigMap
metadata:
  name: glance-operator
data:
  image: ""  # {"$patchset": "default:glance-image"}
YAML
    in_git "$dir/gitops" add .
    in_git "$dir/gitops" commit -qm "Run glance"
    in_git "$dir/gitops" push -q "$dir/git/gitops" HEAD:main
}

start_git_daemon() {
    spawn "$1" git-daemon "$2" --listen=127.0.0.1 --port="$3" --base-path="$1/git" --export-all --enable=receive-pack --reuseaddr "$1/git"
    ready "$1" git-daemon 10 in_git "$1" ls-remote "git://127.0.0.1:$3/glance"
}

# start_controller DIR PROGRAM PORT: against $KUBECONFIG, in the namespace where the demo's objects are.
start_controller() {
    local page
    page=$(free_port)
    printf 'http://127.0.0.1:%s/\n' "$page" >"$1/page"
    spawn "$1" controller env KUBECONFIG="$KUBECONFIG" RUNTIME_NAMESPACE="$(demo_namespace)" "$2" controller \
        --watch-all-namespaces=false --allow-transport=https,ssh,git \
        --plain-http-registry "$(cat "$1/node/registry" 2>/dev/null || printf 127.0.0.1)" \
        --buildkit-image localhost/builder:node --job-pod-template Allowed --storage-path "$1/mirrors" --storage-capacity 2Gi \
        --metrics-addr 127.0.0.1:0 --health-addr "127.0.0.1:$3" --log-encoding text \
        --web-addr "127.0.0.1:$page" --web-anonymous "$(demo_namespace)"
    ready "$1" controller 30 curl -sf "http://127.0.0.1:$3/readyz"
}

# demo_namespace: where the objects are.
demo_namespace() {
    if [ -n "$here" ]; then printf '%s\n' "$namespace"; else printf 'default\n'; fi
}

# controller_on FOLDER: the resources' definitions and the controller, for the cluster with FOLDER/kubeconfig.
controller_on() {
    export KUBECONFIG=$1/kubeconfig
    kubectl apply --server-side --kustomize "$PATCHSET_ROOT/config/crd" >/dev/null
    established crd/patchsets.patching.c5c3.io crd/constraintoverrides.patching.c5c3.io crd/patchrepositories.patching.c5c3.io
    say "start the controller"
    mkdir -p "$dir/mirrors"
    start "$dir" controller start_controller "$patchset"
}

# apply_constraints: the release's upper constraints, with the team's overrides.
apply_constraints() {
    kubectl create configmap upper-constraints --from-file="$corpus/releases/2025.2/upper-constraints.txt" >/dev/null
    sed "s|GIT_SERVER|$git_server|" "$PATCHSET_ROOT/hack/demo/constraintoverride.yaml" | kubectl apply --server-side -f - >/dev/null
    settle constraintoverride/constraints-2025.2 condition=Ready
}

# apply_security_patch: one patch in a ConfigMap, as GitOps tools make them from files.
apply_security_patch() {
    local security=("$dir"/git/patches/patches/glance/2025.2/0001-*.patch)
    kubectl create configmap glance-security --from-file="${security[0]}" >/dev/null
}

# poke PATCHSET: asks for a reconciliation now, as flux does.
poke() {
    kubectl annotate --overwrite "patchset/$1" "reconcile.fluxcd.io/requestedAt=$(date +%s.%N)" >/dev/null
}

# has_node: whether a node can be brought up here.
has_node() {
    [ "$(id -u)" -eq 0 ] && [ -d /sys/fs/cgroup ] && command -v apt-get >/dev/null && [ -z "${PATCHSET_DEMO_WITHOUT_NODE:-}" ]
}

# start_artifacts: serves what source-controller would.
start_artifacts() {
    spawn "$1" artifacts "$2" -m http.server --bind 127.0.0.1 --directory "$1/artifacts" "$3"
    ready "$1" artifacts 20 curl -sf "http://127.0.0.1:$3/"
}

# flux_follows: hands the deployment's manifests to Flux, with source-controller's part played by this script.
flux_follows() {
    local url digest
    mkdir -p "$dir/artifacts"
    tar -C "$PATCHSET_ROOT/hack/demo" -czf "$dir/artifacts/deployment.tar.gz" deployment.yaml
    start "$dir" artifacts start_artifacts python3
    url=http://127.0.0.1:$(cat "$dir/artifacts.port")/deployment.tar.gz
    digest=sha256:$(sha256sum "$dir/artifacts/deployment.tar.gz" | cut -d ' ' -f 1)
    kubectl apply --server-side -f "$PATCHSET_ROOT/hack/demo/flux.yaml" >/dev/null
    kubectl patch gitrepository deployment --subresource=status --type=merge --patch "{\"status\": {
        \"observedGeneration\": 1,
        \"conditions\": [{\"type\": \"Ready\", \"status\": \"True\", \"reason\": \"Succeeded\", \"message\": \"stored\",
            \"lastTransitionTime\": \"2026-01-01T00:00:00Z\"}],
        \"artifact\": {\"path\": \"deployment.tar.gz\", \"url\": \"$url\", \"digest\": \"$digest\", \"size\": 1,
            \"revision\": \"main@sha1:0123456789012345678901234567890123456789\", \"lastUpdateTime\": \"2026-01-01T00:00:00Z\"}}}" >/dev/null
}

# runs_image: waits until the deployment runs what was delivered, and shows it.
runs_image() {
    local reference
    reference=$(kubectl get patchset glance-image -o jsonpath='{.status.image.reference}')
    kubectl wait deployment/glance "--for=jsonpath={.spec.template.spec.containers[0].image}=$reference" --timeout=60s >/dev/null
    kubectl rollout status deployment/glance --timeout=120s >/dev/null
    # The program takes a moment to say its version, and where it has what the patch adds.
    for _ in $(seq 100); do
        [ "$(kubectl logs deployment/glance | wc -l)" -lt 2 ] || break
        sleep 0.2
    done
    show kubectl get deployment glance -o wide
    show kubectl logs deployment/glance
}

# ask_cluster ARGUMENT...: kubectl, which ends even if the cluster, or what gives its credentials,
# does not answer.
ask_cluster() {
    timeout --foreground 30 kubectl --request-timeout=10s "$@"
}

# check_here: whether the current context leads to a live cluster that grants the demo its rights.
check_here() {
    local context right words
    command -v kubectl >/dev/null || die "no kubectl on PATH, and --here needs it"
    context=$(kubectl config current-context 2>/dev/null) ||
        die "--here takes the current context of your kubeconfig, and there is none: choose one with kubectl config use-context"
    ask_cluster version >/dev/null ||
        die "the cluster of the context $context does not answer, or not to you; what kubectl says is above. Start it, log in, or choose another with kubectl config use-context"
    for right in "create customresourcedefinitions" "create namespaces" "* * --namespace $namespace"; do
        read -r -a words <<<"$right"
        ask_cluster auth can-i "${words[@]}" >/dev/null 2>&1 ||
            die "the user of the context $context may not do there what the demo does: kubectl auth can-i ${right//\*/\'*\'} says no. --here wants an administrator, as of a cluster of your own (kind, k3d, minikube)"
    done
    ! ask_cluster get namespace "$namespace" >/dev/null 2>&1 ||
        die "the cluster of the context $context has a namespace $namespace already: a demo works there, or left it. If it left it: kubectl delete namespace $namespace"
}

command -v cargo >/dev/null || die "no cargo on PATH: install Rust 1.89 or newer"
[ -z "$here" ] || [ "$until" = check ] || check_here
need_commands cc=gcc git=git python3=python3
need_python_venv
if [ "$until" != check ]; then
    need_commands curl=curl openssl=openssl setpriv=util-linux
fi

# What takes a while, with its rough seconds on two processors: the first time, and if all is there.
step sources 25 1 "download released versions of glance"
step commands 180 1 "build the commands that need no cluster"
if [ "$until" != check ]; then
    [ -n "$here" ] || step servers 510 1 "get etcd, kube-apiserver and kubectl"
    step controller 210 1 "build the controller"
fi
if [ "$until" = image ] && has_node; then
    step node 380 1 "get the programs and images of a node"
    step image 30 20 "build the image in a Job"
fi

mkdir -p "$PATCHSET_CACHE" || die "everything is kept in $PATCHSET_CACHE: set XDG_CACHE_HOME to a folder that is yours"
dir=$(mktemp -d -t patchset-demo-XXXXXX)
report=$PATCHSET_CACHE/demo-report.html
trap clean_up EXIT

stage check "1 of 3: check patches on the command line, which needs no cluster"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PATCHSET_CACHE/target}
# Uses what the tests have built. Otherwise the commands without the controller come first.
profile=demo first=(--no-default-features)
[ ! -x "$CARGO_TARGET_DIR/debug/patchset" ] || profile=dev first=()
build=(--manifest-path "$PATCHSET_ROOT/Cargo.toml" --locked --profile "$profile" --bin patchset)
patchset=$CARGO_TARGET_DIR/${profile/dev/debug}/patchset
begin sources need_sdists glance "${glance_releases[@]}"
begin commands cargo build "${build[@]}" "${first[@]}"
# Compilers for a later stage take the processor time that the others leave.
[ -z "${step_text[servers]:-}" ] || begin servers nice -n 19 "$PATCHSET_ROOT/hack/setup.sh" demo
await sources commands

say "make an upstream from released versions of glance, and patches on it"
make_upstream
make_patches
cd "$dir/git"
show patchset check patches --upstream . --release 2025.2 --output table || true
verdict "the first verdict"
"$patchset" check patches --upstream . --release 2025.2 --output "html=$report" >/dev/null 2>&1 || true
say "the same to look at, by --output html=FILE: open $report"
show patchset apply --repo glance --ref stable/2025.2 patches/patches/glance/2025.2 || true
say "upstream releases 30.2.0 with the fix: the patch is to be dropped there"
show patchset apply --repo glance --ref 30.2.0 patches/patches/glance/2025.1 || true
cd "$OLDPWD"
verdict "the stage check"

stage cluster "2 of 3: the same in a cluster"
mkdir -p "$dir/cluster"
begin controller cargo build "${build[@]}"
if [ -n "$here" ]; then
    (umask 077 && kubectl config view --minify --flatten >"$dir/cluster/kubeconfig")
    say "take the cluster of the context $(kubectl config current-context)"
    export KUBECONFIG=$dir/cluster/kubeconfig
    kubectl create namespace "$namespace" >/dev/null
    touch "$dir/here"
    kubectl config set-context --current --namespace "$namespace" >/dev/null
    await controller
else
    await servers controller
fi
[ -z "${step_text[node]:-}" ] || begin node nice -n 19 "$PATCHSET_ROOT/hack/setup.sh" node
verdict "API server and controller are there"
start "$dir" git-daemon start_git_daemon "$(git --exec-path)/git-daemon"
git_server=git://127.0.0.1:$(cat "$dir/git-daemon.port")
say "the upstream is served at $git_server/glance"
if [ -z "$here" ]; then
    say "start etcd and kube-apiserver"
    cluster_up "$dir/cluster"
fi
controller_on "$dir/cluster"

say "apply a PatchRepository, which makes a PatchSet for each release, and a PatchSet by itself"
apply_security_patch
sed "s|GIT_SERVER|$git_server|" "$PATCHSET_ROOT/hack/demo/patchsets.yaml" | kubectl apply --server-side -f - >/dev/null
settle patchrepository/openstack "jsonpath={.status.counts.patchSets}=2"
settle glance-2025.1 condition=Ready
settle glance-2025.2-security condition=Ready
settle glance-2025.2 condition=PatchesApplicable=False
settle patchrepository/openstack "jsonpath={.status.counts.conflicting}=1"
show kubectl get patchrepositories
show kubectl get patchsets
verdict "the first verdicts in a cluster"
states glance-2025.1
states glance-2025.2-security
states glance-2025.2
conflict glance-2025.2

say "upstream releases 30.2.0 with the fix: stable/2025.1 moves there"
in_git "$dir/git/glance" branch -qf stable/2025.1 30.2.0
poke glance-2025.1
settle glance-2025.1 "jsonpath={.status.patches[0].state}=Merged"
show kubectl get patchset glance-2025.1
states glance-2025.1

say "so the team drops its patch"
in_git "$dir/git/patches" rm -q 'patches/glance/2025.1/0001-*.patch'
in_git "$dir/git/patches" commit -qm "Drop the redirect fix for 2025.1: upstream has it"
poke glance-2025.1
settle glance-2025.1 condition=Ready
show kubectl get patchsets

say "apply a ConstraintOverride: the release's upper constraints, with the team's overrides"
apply_constraints
show kubectl get constraintoverrides
printf '\nconstraints-2025.2:\n'
kubectl get constraintoverride constraints-2025.2 -o go-template='{{range .status.results}}{{printf "  %-9s %-8s %s" .state .package .message}}
{{end}}'
printf '\nwhat the merged file has, and upstream has not, and the other way round:\n'
kubectl get configmap constraints-2025.2-constraints -o go-template='{{index .data "upper-constraints.txt"}}' |
    diff "$corpus/releases/2025.2/upper-constraints.txt" - || true
verdict "the stage cluster"

stage image "3 of 3: an image of the patched source, built by a Job and rolled out by Flux"
if ! has_node; then
    say "not as root, or no Debian: the image and its delivery are left out"
    done_=yes
    exit
fi
await node
verdict "the node's programs and images are there"
stop "$dir" controller
cluster_down "$dir/cluster"
say "start a node: etcd, kube-apiserver, controller manager, scheduler, containerd, kubelet, a registry and Flux's kustomize-controller"
node_up "$dir/node"
node_flux "$dir/node"
skopeo copy --quiet --dest-tls-verify=false "docker-archive:$(image_file python)" "docker://$(cat "$dir/node/registry")/python:3"
controller_on "$dir/node"
apply_security_patch
apply_constraints

say "build an image from the patched source by a Job, and deliver it to Flux"
make_gitops
flux_follows
sed "s|GIT_SERVER|$git_server|; s|REGISTRY|$(cat "$dir/node/registry")|" "$PATCHSET_ROOT/hack/demo/build.yaml" >"$dir/build.yaml"
kubectl apply --server-side -f "$dir/build.yaml" >/dev/null
kubectl wait patchset/glance-image --for=jsonpath='{.status.conditions[?(@.type=="ImageBuilt")].reason}'=Building --timeout=60s >/dev/null || true
show kubectl get patchset glance-image
show kubectl get jobs
begin image kubectl wait patchset/glance-image --for=condition=Ready --timeout=600s
await image ||
    die "no image: $(kubectl get patchset glance-image -o jsonpath='{.status}')"
show kubectl get patchset glance-image
show kubectl get configmap images -o custom-columns=REFERENCE:.data.glance_reference
say "the same as a commit, for teams that keep images in Git"
printf '\n$ git -C gitops show main\n'
in_git "$dir/git/gitops" show --format='%an: %B' main
runs_image
verdict "the image runs"
curl -sf "$(cat "$dir/page")" >/dev/null || die "the page at $(cat "$dir/page") does not answer"
[ -n "$keep" ] || say "all of it is on one page, which hack/demo.sh --keep leaves open"
done_=yes
