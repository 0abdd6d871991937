# shellcheck shell=bash
# A real single-node cluster on this machine: what hack/lib/cluster.sh starts, and a controller manager, a scheduler,
# containerd, a kubelet and a registry.
#
#   node_up DIR      starts all, their state, logs and pids in DIR; DIR/kubeconfig leads to it, DIR/registry names the registry
#   node_down DIR    stops all, and removes what containers left behind
#   node_flux DIR    starts Flux's kustomize-controller beside it
#
# Pods that talk to the API server use the host's network: there is no kube-proxy, and the service address of the API
# server is an address of the loopback device while the node is up. So one such node can be up at a time.

# shellcheck source-path=SCRIPTDIR source=cluster.sh
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

# The address of the service `kubernetes`: the first of the range that the API server gives addresses from. The kubelet
# listens there too: it wants an address that is not the loopback's, and nobody else should reach it.
SERVICE_ADDRESS=10.96.0.1
CRI=io.containerd.grpc.v1.cri

start_node_api_server() {
    local dir=$1 program=$2 etcd_port=$3
    spawn "$dir" kube-apiserver "$program" \
        --etcd-servers "http://127.0.0.1:$etcd_port" \
        --bind-address 0.0.0.0 --secure-port 443 --advertise-address "$SERVICE_ADDRESS" \
        --endpoint-reconciler-type none --service-cluster-ip-range 10.96.0.0/24 \
        --tls-cert-file "$dir/tls.crt" --tls-private-key-file "$dir/tls.key" \
        --token-auth-file "$dir/tokens.csv" --authorization-mode RBAC \
        --service-account-issuer https://kubernetes.default.svc \
        --service-account-key-file "$dir/service-account.key" \
        --service-account-signing-key-file "$dir/service-account.key" \
        --kubelet-preferred-address-types InternalIP --allow-privileged --profiling=false
    ready "$dir" kube-apiserver 120 curl -sf --cacert "$dir/ca.crt" https://127.0.0.1:443/readyz
}

start_registry() {
    local dir=$1 program=$2 port=$3
    cat >"$dir/registry.yml" <<YAML
version: 0.1
log:
  accesslog:
    disabled: false
storage:
  filesystem:
    rootdirectory: $dir/registry-data
http:
  addr: 127.0.0.1:$port
YAML
    spawn "$dir" registry "$program" serve "$dir/registry.yml"
    ready "$dir" registry 20 curl -sf "http://127.0.0.1:$port/v2/"
}

start_containerd() {
    local dir=$1
    mkdir -p "$dir/cni" "$dir/containerd"
    # Pods of the host's network need no other; the kubelet requires one.
    printf '{"cniVersion":"1.0.0","name":"loopback","plugins":[{"type":"loopback"}]}\n' >"$dir/cni/10-loopback.conflist"
    cat >"$dir/containerd.toml" <<TOML
version = 2
root = "$dir/containerd/root"
state = "$dir/containerd/state"
[grpc]
address = "$dir/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "$dir/containerd/opt"
[plugins."$CRI"]
sandbox_image = "localhost/pause:node"
restrict_oom_score_adj = true
[plugins."$CRI".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$dir/cni"
[plugins."$CRI".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
TOML
    spawn "$dir" containerd containerd --config "$dir/containerd.toml"
    ready "$dir" containerd 30 node_ctr "$dir" version
}

# node_ctr DIR ARGUMENT...: containerd's client, in the namespace that the kubelet uses.
node_ctr() {
    local dir=$1
    shift
    ctr --address "$dir/containerd.sock" --namespace k8s.io "$@"
}

start_kubelet() {
    local dir=$1 program=$2
    cat >"$dir/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$dir/containerd.sock
staticPodPath: ""
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
authentication:
  anonymous:
    enabled: true
  webhook:
    enabled: false
authorization:
  mode: AlwaysAllow
address: $SERVICE_ADDRESS
healthzPort: 0
readOnlyPort: 0
podLogsDir: $dir/pod-logs
imageGCHighThresholdPercent: 100
evictionHard:
  memory.available: 100Mi
  nodefs.available: 100Mi
  imagefs.available: 100Mi
YAML
    spawn "$dir" kubelet "$program" --config "$dir/kubelet.yaml" --kubeconfig "$dir/kubeconfig" \
        --root-dir "$dir/kubelet" --cert-dir "$dir/kubelet-pki" --hostname-override node --node-ip "$SERVICE_ADDRESS"
    ready "$dir" kubelet 60 kubectl --kubeconfig "$dir/kubeconfig" wait node/node --for=condition=Ready --timeout=1s
}

# node_up DIR
node_up() {
    local dir=$1 token name
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    chmod 711 "$dir"
    [ "$(id -u)" -eq 0 ] || die "a node needs root"
    if ip -4 address show dev lo | grep -qF " $SERVICE_ADDRESS/"; then
        # Leftovers of a killed node are not a node.
        if curl --silent --insecure --max-time 5 --output /dev/null "https://$SERVICE_ADDRESS/livez"; then
            die "$SERVICE_ADDRESS answers already: another such node is up; end it with hack/node.sh down DIR"
        fi
    else
        ip address add "$SERVICE_ADDRESS/32" dev lo
    fi
    touch "$dir/address"
    token=$(openssl rand -hex 16)
    EXTRA_NAMES="IP:$SERVICE_ADDRESS,DNS:kubernetes.default.svc" write_keys "$dir" "$token"
    start "$dir" etcd start_etcd "$(program etcd)"
    node_start "$dir" kube-apiserver start_node_api_server "$(program kube-apiserver)" "$(cat "$dir/etcd.port")"
    write_kubeconfig "$dir/kubeconfig" https://127.0.0.1:443 "$dir/ca.crt" "$token"
    start "$dir" registry start_registry "$(program docker-registry)"
    printf '127.0.0.1:%s\n' "$(cat "$dir/registry.port")" >"$dir/registry"
    spawn "$dir" kube-controller-manager "$(program kube-controller-manager)" --kubeconfig "$dir/kubeconfig" \
        --service-account-private-key-file "$dir/service-account.key" --root-ca-file "$dir/ca.crt" \
        --use-service-account-credentials --leader-elect=false --bind-address 127.0.0.1 --secure-port 0
    spawn "$dir" kube-scheduler "$(program kube-scheduler)" --kubeconfig "$dir/kubeconfig" \
        --leader-elect=false --bind-address 127.0.0.1 --secure-port 0
    node_start "$dir" containerd start_containerd
    for name in pause builder python; do
        node_ctr "$dir" images import --no-unpack "$(image_file "$name")" >/dev/null
    done
    node_start "$dir" kubelet start_kubelet "$(program kubelet)"
}

# node_start DIR NAME FUNCTION ARGUMENT...: calls FUNCTION, and ends this shell with the log where that fails.
node_start() {
    local dir=$1 name=$2 function=$3
    shift 3
    "$function" "$dir" "$@" && return
    tail -n 20 "$dir/$name.log" >&2
    node_down "$dir"
    die "$name did not become ready; the end of its log is above"
}

# node_down DIR
node_down() {
    local dir=$1 mount cgroup
    [ -d "$dir" ] || return 0
    dir=$(cd "$dir" && pwd)
    stop "$dir" kustomize-controller
    stop "$dir" kubelet
    stop "$dir" kube-scheduler
    stop "$dir" kube-controller-manager
    if alive "$dir" containerd; then
        node_ctr "$dir" tasks list -q | while read -r task; do
            node_ctr "$dir" tasks kill --signal KILL "$task" || true
        done >/dev/null 2>&1
        sleep 1
        node_ctr "$dir" tasks list -q | xargs -r -n 1 ctr --address "$dir/containerd.sock" --namespace k8s.io \
            tasks delete --force >/dev/null 2>&1 || true
        node_ctr "$dir" containers list -q | xargs -r -n 1 ctr --address "$dir/containerd.sock" --namespace k8s.io \
            containers delete >/dev/null 2>&1 || true
    fi
    stop "$dir" containerd
    stop "$dir" registry
    cluster_down "$dir"
    while read -r mount; do
        umount -l "$mount" 2>/dev/null || true
    done < <(awk -v dir="$dir/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r)
    # Deepest first: a group that has groups cannot be removed.
    for cgroup in /sys/fs/cgroup/*/kubepods /sys/fs/cgroup/kubepods; do
        [ ! -d "$cgroup" ] || find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    if [ -e "$dir/address" ]; then
        ip address del "$SERVICE_ADDRESS/32" dev lo 2>/dev/null || true
        rm -f "$dir/address"
    fi
}

# node_flux DIR: Flux's kustomize-controller, and the kinds that it reads.
node_flux() {
    local dir=$1
    kubectl --kubeconfig "$dir/kubeconfig" apply --server-side -f "$PATCHSET_CACHE/flux" >/dev/null
    KUBECONFIG=$dir/kubeconfig established \
        crd/kustomizations.kustomize.toolkit.fluxcd.io crd/gitrepositories.source.toolkit.fluxcd.io
    spawn "$dir" kustomize-controller env KUBECONFIG="$dir/kubeconfig" RUNTIME_NAMESPACE=default TMPDIR="$dir" \
        "$(program kustomize-controller)" --enable-leader-election=false --watch-all-namespaces=true \
        --metrics-addr=127.0.0.1:0 --health-addr=127.0.0.1:0
}
