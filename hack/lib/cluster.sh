# shellcheck shell=bash
# A real control plane on loopback: etcd and kube-apiserver, stopped by their process ids.
#
#   cluster_up DIR      starts both, their state, logs and pids in DIR, a kubeconfig in DIR/kubeconfig
#   cluster_down DIR    stops both
#
# RBAC and the default admission plugins are on. There are no controllers: nothing schedules pods, collects
# garbage or finishes the deletion of a namespace.

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# free_port: a loopback port that is free now. Another process may take it first: whoever uses it tries again.
free_port() {
    local port
    for _ in $(seq 100); do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s\n' "$port"
            return
        fi
    done
    die "no free loopback port between 20000 and 32000"
}

# spawn DIR NAME COMMAND...: starts COMMAND in the background with its log and pid in DIR. The process dies
# with the shell that started it, should that be killed before it could clean up; unless OUTLIVE is "yes".
spawn() {
    local dir=$1 name=$2
    shift 2
    if [ "${OUTLIVE:-}" = yes ]; then
        setsid "$@" >"$dir/$name.log" 2>&1 </dev/null &
    else
        setpriv --pdeathsig KILL "$@" >"$dir/$name.log" 2>&1 </dev/null &
    fi
    printf '%s\n' $! >"$dir/$name.pid"
}

# alive DIR NAME: whether that process still runs.
alive() {
    local pid
    pid=$(cat "$1/$2.pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null
}

# stop DIR NAME: ends one process by its id and waits until it is gone.
stop() {
    local pid
    pid=$(cat "$1/$2.pid" 2>/dev/null) || return 0
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    rm -f "$1/$2.pid"
}

# ready DIR NAME SECONDS COMMAND...: waits until COMMAND succeeds; fails when the process ends or time is up.
ready() {
    local dir=$1 name=$2 deadline=$((SECONDS + $3))
    shift 3
    until "$@" >/dev/null 2>&1; do
        if ! alive "$dir" "$name" || [ "$SECONDS" -ge "$deadline" ]; then
            return 1
        fi
        sleep 0.1
    done
}

# write_kubeconfig FILE SERVER CA_FILE TOKEN: a kubeconfig that needs no other file.
write_kubeconfig() {
    (
        umask 077
        cat >"$1" <<YAML
apiVersion: v1
kind: Config
clusters:
- name: patchset
  cluster:
    server: $2
    certificate-authority-data: $(base64 -w 0 "$3")
users:
- name: admin
  user:
    token: $4
contexts:
- name: patchset
  context:
    cluster: patchset
    user: admin
current-context: patchset
YAML
    )
}

# write_keys DIR TOKEN: a certificate authority, the API server's certificate, the key that signs service
# accounts' tokens, and the administrator's token.
# EXTRA_NAMES adds to the names that the certificate is for.
write_keys() (
    umask 077
    cd "$1" || exit
    printf '%s,admin,admin,system:masters\n' "$2" >tokens.csv
    {
        openssl genrsa -out service-account.key 2048
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 7 -subj /CN=patchset-test-ca \
            -keyout ca.key -out ca.crt
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=kube-apiserver \
            -keyout tls.key -out tls.csr
        printf 'subjectAltName=IP:127.0.0.1,DNS:localhost%s\nbasicConstraints=CA:FALSE\n' "${EXTRA_NAMES:+,$EXTRA_NAMES}" >tls.ext
        openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 7 -extfile tls.ext -out tls.crt
    } 2>openssl.log || {
        cat openssl.log >&2
        die "openssl could not make the API server's certificates"
    }
)

start_etcd() {
    local dir=$1 program=$2 port=$3
    spawn "$dir" etcd "$program" \
        --data-dir "$dir/etcd" --unsafe-no-fsync \
        --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
        --listen-peer-urls http://127.0.0.1:0 --initial-advertise-peer-urls http://127.0.0.1:0 \
        --initial-cluster default=http://127.0.0.1:0
    ready "$dir" etcd 30 curl -sf "http://127.0.0.1:$port/health"
}

start_api_server() {
    local dir=$1 program=$2 port=$3 etcd_port=$4
    spawn "$dir" kube-apiserver "$program" \
        --etcd-servers "http://127.0.0.1:$etcd_port" \
        --bind-address 127.0.0.1 --secure-port "$port" --advertise-address 127.0.0.1 \
        --endpoint-reconciler-type none --service-cluster-ip-range 10.96.0.0/24 \
        --tls-cert-file "$dir/tls.crt" --tls-private-key-file "$dir/tls.key" \
        --token-auth-file "$dir/tokens.csv" --authorization-mode RBAC \
        --service-account-issuer https://kubernetes.default.svc \
        --service-account-key-file "$dir/service-account.key" \
        --service-account-signing-key-file "$dir/service-account.key" \
        --allow-privileged --profiling=false
    ready "$dir" kube-apiserver 120 curl -sf --cacert "$dir/ca.crt" "https://127.0.0.1:$port/readyz"
}

# start DIR NAME FUNCTION PROGRAM [ARGUMENT...]: calls FUNCTION with a free port until the port was still free
# when the process asked for it, and keeps the port in DIR/NAME.port. Any other failure ends this shell.
start() {
    local dir=$1 name=$2 function=$3 program=$4 port
    shift 4
    for _ in 1 2 3 4 5; do
        port=$(free_port)
        if "$function" "$dir" "$program" "$port" "$@"; then
            printf '%s\n' "$port" >"$dir/$name.port"
            return
        fi
        stop "$dir" "$name"
        grep -qi 'address already in use' "$dir/$name.log" || break
    done
    tail -n 20 "$dir/$name.log" >&2
    cluster_down "$dir"
    die "$name ($program) did not become ready; the end of its log is above"
}

# program NAME: where it is, or what to do to get it.
program() {
    find_program "$1" || die "no $1 in KUBEBUILDER_ASSETS, on PATH or in $PATCHSET_BIN: hack/setup.sh gets it, and hack/test.sh runs that first"
}

cluster_up() {
    local dir=$1 etcd api_server token
    etcd=$(program etcd) || exit
    api_server=$(program kube-apiserver) || exit
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    chmod 700 "$dir"

    token=$(openssl rand -hex 16)
    write_keys "$dir" "$token"
    start "$dir" etcd start_etcd "$etcd"
    start "$dir" kube-apiserver start_api_server "$api_server" "$(cat "$dir/etcd.port")"
    write_kubeconfig "$dir/kubeconfig" "https://127.0.0.1:$(cat "$dir/kube-apiserver.port")" "$dir/ca.crt" "$token"
}

# established CRD...: waits until the API server of $KUBECONFIG serves these kinds. A definition
# that was just created has no conditions yet, on which kubectl wait fails.
established() {
    for _ in $(seq 50); do
        if kubectl wait --for=condition=Established --timeout=30s "$@" >/dev/null 2>&1; then
            return
        fi
        sleep 0.2
    done
    kubectl wait --for=condition=Established --timeout=30s "$@" >/dev/null
}

cluster_down() {
    stop "$1" kube-apiserver
    stop "$1" etcd
}
