# shellcheck shell=bash
# What tests and the demo need, each taken from where it already is, and got from a package registry only
# where it is missing. Every need_* function is silent and quick when there is nothing to do.

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

HELM_VERSION=v4.3.1
CARGO_DENY_VERSION=0.20.2
GO_VERSION=1.26.8
# The oracle of how constraints are read.
PIP_VERSION=26.0
# Finds faults of pages for people with disabilities.
AXE_VERSION=4.14.1

export PATH=$PATH:$PATCHSET_BIN

# may_be_root: whether apt can be told to install. Asks for a password where somebody can type it.
may_be_root() {
    [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; }
}

# as_root COMMAND...: runs a command as root, where may_be_root.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# apt_update: refreshes the package lists once in a run.
apt_update() {
    if [ -z "${PATCHSET_APT_UPDATED:-}" ]; then
        long "refresh Debian's package lists" as_root apt-get update -q
        PATCHSET_APT_UPDATED=yes
    fi
}

# apt_install PACKAGE...: installs packages; a service that comes with one is not started.
apt_install() {
    local policy=/usr/sbin/policy-rc.d status=0
    command -v apt-get >/dev/null || die "not on this machine: $*; install it by your system's own means, and start again"
    may_be_root || die "not on this machine: $*; as root, apt-get install $*, and start again"
    apt_update
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod +x "$policy"
    else
        policy=
    fi
    long "install $*" as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" ||
        status=$?
    if [ -n "$policy" ]; then
        as_root rm -f "$policy"
    fi
    return "$status"
}

# need_commands COMMAND=PACKAGE...: installs the packages of those commands that are missing, in one go.
need_commands() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || [ -x "/usr/sbin/${pair%%=*}" ] || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

# need_space GIB FOLDER: ends where less than this is free on the folder's disk.
need_space() {
    local free
    mkdir -p "$2"
    free=$(($(df --output=avail --block-size=1M "$2" | tail -n 1) / 1024))
    [ "$free" -ge "$1" ] || die "$free GiB are free where $2 is, and this needs $1: make room there, or" \
        "set XDG_CACHE_HOME (what is built and kept) and TMPDIR (what tests write) to folders on a larger disk"
}

# keep FILE NAME VERSION: puts a program into the cache under its version, and its plain name beside it.
keep() {
    mkdir -p "$PATCHSET_BIN"
    mv -f "$1" "$PATCHSET_BIN/$2-$3"
    chmod 755 "$PATCHSET_BIN/$2-$3"
    ln -sfn "$2-$3" "$PATCHSET_BIN/$2"
}

# have NAME [VERSION]: whether the program is there: the machine's own in any version, the cached one in this one.
have() {
    local found
    found=$(find_program "$1") || return
    [ -z "${2:-}" ] || [ "$found" != "$PATCHSET_BIN/$1" ] || [ "$(readlink "$found")" = "$1-$2" ]
}

# at_least WANTED FOUND: compares two versions.
at_least() {
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

# go_version: the version of the go on PATH, as in 1.26.0; nothing where there is none.
go_version() {
    GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//; s/[ -].*//'
}

# Go, at least GO_VERSION. An older one fetches the newer one as the module golang.org/toolchain.
need_go() {
    local found arch toolchain
    found=$(go_version || true)
    at_least "$GO_VERSION" "${found:-0}" && return
    if [ -z "$found" ]; then
        apt_install golang-go
    fi
    arch=$(GOTOOLCHAIN=local go env GOARCH)
    toolchain=$PATCHSET_CACHE/go-$GO_VERSION
    if [ ! -x "$toolchain/bin/go" ]; then
        long "download Go $GO_VERSION" fetch_go "$toolchain" "$arch"
    fi
    export PATH=$toolchain/bin:$PATH
    hash -r
    at_least "$GO_VERSION" "$(go_version || true)" || die "cannot get Go $GO_VERSION: install it and put it on PATH"
}

# fetch_go DIR ARCH: unpacks the toolchain module into DIR. Modules carry no modes: the programs get theirs back.
fetch_go() {
    local work module
    work=$(mktemp -d)
    (
        cd "$work" || exit
        printf 'module toolchain\n\ngo 1.19\n' >go.mod
        module=golang.org/toolchain@v0.0.1-go$GO_VERSION.linux-$2
        GOTOOLCHAIN=local GOFLAGS=-mod=mod go mod download "$module"
        mkdir -p "$1.new"
        cp -R "$(GOTOOLCHAIN=local go env GOMODCACHE)/$module/." "$1.new"
    )
    chmod -R u+w "$1.new"
    chmod +x "$1".new/bin/* "$1".new/pkg/tool/*/*
    rm -rf "$1"
    mv "$1.new" "$1"
    rm -rf "$work"
}

# kubernetes_version: the release that hack/tools/kubernetes builds, as in v1.36.3.
kubernetes_version() {
    sed -n 's|^require k8s.io/kubernetes ||p' "$PATCHSET_ROOT/hack/tools/kubernetes/go.mod"
}

# How programs are compiled: debug information would be a tenth of the compiler's work, only for the
# linker to drop.
go_flags=(-trimpath -gcflags=all=-dwarf=false)

# need_kubernetes PROGRAM...: kube-apiserver, kubectl, kube-controller-manager or kubelet, built from their own source, in
# one go: what they share is compiled once, and one is linked while another is compiled.
need_kubernetes() {
    local program missing=() version numbers stamp=k8s.io/component-base/version work
    version=$(kubernetes_version)
    for program in "$@"; do
        have "$program" "$version" || missing+=("$program")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    need_go
    IFS=. read -r -a numbers <<<"${version#v}"
    work=$(mktemp -d)
    long "build ${missing[*]} $version (some minutes the first time)" \
        env CGO_ENABLED=0 go build -C "$PATCHSET_ROOT/hack/tools/kubernetes" "${go_flags[@]}" \
        -ldflags "-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=${numbers[0]} -X $stamp.gitMinor=${numbers[1]}" \
        -o "$work/" "${missing[@]/#/k8s.io/kubernetes/cmd/}" ||
        die "cannot build ${missing[*]}: put them on PATH or into KUBEBUILDER_ASSETS"
    for program in "${missing[@]}"; do keep "$work/$program" "$program" "$version"; done
    rm -rf "$work"
}

# module_version FOLDER MODULE: the version of a module that hack/tools/FOLDER builds.
module_version() {
    sed -n "s|^\t*\(require \)\?$2 \(v[^ ]*\).*|\2|p" "$PATCHSET_ROOT/hack/tools/$1/go.mod" | head -n 1
}

# need_module_program NAME FOLDER MODULE PACKAGE [SUFFIX]: a program built from the module in hack/tools/FOLDER. The
# suffix tells versions of a program apart that are not those of the module.
need_module_program() {
    local version work
    version=$(module_version "$2" "$3")${5:-}
    have "$1" "$version" && return
    need_go
    work=$(mktemp -d)
    long "build $1 $version (some minutes the first time)" \
        env CGO_ENABLED=0 go build -C "$PATCHSET_ROOT/hack/tools/$2" "${go_flags[@]}" -ldflags '-s -w' -o "$work/$1" "$4" ||
        die "cannot build $1: put one on PATH"
    keep "$work/$1" "$1" "$version"
    rm -rf "$work"
}

# need_etcd: in the release that Kubernetes reads and writes it with, and from the same module: they share most packages.
need_etcd() {
    need_module_program etcd kubernetes go.etcd.io/etcd/server/v3 go.etcd.io/etcd/server/v3
}

need_buildkit() {
    local program
    for program in buildkitd buildctl; do
        need_module_program "$program" buildkit github.com/moby/buildkit "github.com/moby/buildkit/cmd/$program"
    done
}

# need_flux_event: what reads an event as Flux's notification controller does.
need_flux_event() {
    local event=github.com/fluxcd/pkg/apis/event source
    source=$(sha256sum "$PATCHSET_ROOT/hack/tools/kustomize-controller/flux-event/main.go")
    need_module_program flux-event kustomize-controller "$event" ./flux-event "-${source:0:8}"
}

# need_go_yaml: what reads YAML as Kubernetes, Helm and kustomize do.
need_go_yaml() {
    local source
    source=$(sha256sum "$PATCHSET_ROOT/hack/tools/yaml/main.go")
    need_module_program go-yaml yaml go.yaml.in/yaml/v3 . \
        "-$(module_version yaml go.yaml.in/yaml/v2)-${source:0:8}"
}

flux_version() {
    module_version kustomize-controller github.com/fluxcd/kustomize-controller
}

# need_flux: kustomize-controller, and in $PATCHSET_CACHE/flux the definitions of the kinds that it and its sources have.
need_flux() {
    local module version folder=$PATCHSET_CACHE/flux
    version=$(flux_version)
    need_module_program kustomize-controller kustomize-controller github.com/fluxcd/kustomize-controller \
        github.com/fluxcd/kustomize-controller
    [ ! -e "$folder/$version" ] || return 0
    need_go
    mkdir -p "$folder"
    for module in kustomize-controller source-controller; do
        (
            cd "$(mktemp -d)" || exit
            printf 'module definitions\n' >go.mod
            GOFLAGS=-mod=mod go mod download "github.com/fluxcd/$module@$version"
            cp "$(go env GOMODCACHE)/github.com/fluxcd/$module@$version"/config/crd/bases/*.yaml "$folder"
            rm -rf "$PWD"
        )
    done
    chmod 644 "$folder"/*.yaml
    touch "$folder/$version"
}

# need_go_program NAME VERSION PACKAGE: a program that comes as a Go module.
need_go_program() {
    local work
    have "$1" "$2" && return
    need_go
    work=$(mktemp -d)
    long "build $1 $2" env CGO_ENABLED=0 GOBIN="$work" go install -trimpath -ldflags '-s -w' "$3@$2"
    keep "$work/$1" "$1" "$2"
    rm -rf "$work"
}

# need_node: what hack/node.sh brings up.
need_node() {
    local packages="the images pause and python" programs="BuildKit, its image, and the programs of a node" \
        flux="Flux's kustomize-controller"
    need_commands containerd=containerd runc=runc buildah=buildah skopeo=skopeo docker-registry=docker-registry \
        busybox=busybox-static debootstrap=debootstrap
    # Not a command: the loopback of pods.
    [ -x /usr/lib/cni/loopback ] || apt_install containernetworking-plugins
    need_uv
    ! node_is_there || return 0
    need_go
    # Packages are downloaded and unpacked, and programs linked, while others are compiled.
    begin "$packages" need_images pause python
    begin "$programs" need_node_programs
    begin "$flux" need_flux
    await "$packages" "$programs" "$flux"
}

node_programs=(kube-controller-manager kube-scheduler kubelet)

need_node_programs() {
    need_buildkit
    need_images builder
    need_kubernetes "${node_programs[@]}"
}

# node_is_there: whether everything that a node needs is there.
node_is_there() {
    local name
    for name in pause python builder; do [ -e "$(image_file "$name")" ] || return; done
    for name in "${node_programs[@]}"; do have "$name" "$(kubernetes_version)" || return; done
    for name in buildkitd buildctl; do have "$name" "$(module_version buildkit github.com/moby/buildkit)" || return; done
    have kustomize-controller "$(flux_version)" && [ -e "$PATCHSET_CACHE/flux/$(flux_version)" ]
}

# need_browser: Chromium with what drives it, a font, and axe-core in $PATCHSET_CACHE/axe-core.
need_browser() {
    local folder=$PATCHSET_CACHE/axe-core package=$PATCHSET_CACHE/axe-core/node_modules/axe-core/package.json
    need_commands chromium=chromium chromedriver=chromium-driver
    [ -d /usr/share/fonts/truetype/dejavu ] || apt_install fonts-dejavu-core
    if ! grep -qs "\"version\": \"$AXE_VERSION\"" "$package"; then
        need_commands npm=npm
        mkdir -p "$folder"
        long "install axe-core $AXE_VERSION" npm install --prefix "$folder" --no-audit --no-fund --silent "axe-core@$AXE_VERSION"
    fi
}

need_helm() {
    need_go_program helm "$HELM_VERSION" helm.sh/helm/v4/cmd/helm
}

need_cargo_deny() {
    local work
    have cargo-deny "$CARGO_DENY_VERSION" && return
    work=$(mktemp -d)
    long "build cargo-deny $CARGO_DENY_VERSION" \
        env CARGO_TARGET_DIR="$PATCHSET_CACHE/cargo-deny" cargo install --quiet --locked --root "$work" \
        --version "$CARGO_DENY_VERSION" cargo-deny
    keep "$work/bin/cargo-deny" cargo-deny "$CARGO_DENY_VERSION"
    rm -rf "$work" "$PATCHSET_CACHE/cargo-deny"
}

# need_python_venv: what Debian packages separately.
need_python_venv() {
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
}

# python_environment: an environment with pip, so that the system's Python stays as it is. Prints its folder.
python_environment() {
    local folder=$PATCHSET_CACHE/python version
    if [ ! -x "$folder/bin/pip" ]; then
        need_commands python3=python3
        need_python_venv
        python3 -m venv "$folder" >&2
    fi
    version=$("$folder/bin/pip" --disable-pip-version-check --version)
    version=${version#pip }
    if ! at_least "$PIP_VERSION" "${version%% *}"; then
        long "install pip $PIP_VERSION or newer" "$folder/bin/python" -m pip install --quiet "pip>=$PIP_VERSION" >&2
    fi
    printf '%s\n' "$folder"
}

need_uv() {
    local python
    have uv && return
    python=$(python_environment) || exit
    long "install uv" "$python/bin/pip" install --quiet uv
    mkdir -p "$PATCHSET_BIN"
    ln -sfn "$python/bin/uv" "$PATCHSET_BIN/uv"
}

# need_python_package MODULE PACKAGE: a package in the Python environment.
need_python_package() {
    local python
    python=$(python_environment) || exit
    "$python/bin/python" -c "import $1" 2>/dev/null && return
    long "install $2" "$python/bin/python" -m pip install --quiet "$2"
}

# need_sdists NAME VERSION...: gets several releases at once, as need_sdist does one. The first makes the environment.
need_sdists() {
    local name=$1 version pids=() pid status=0
    shift
    python_environment >/dev/null || return
    for version in "$@"; do
        need_sdist "$name" "$version" &
        pids+=("$!")
    done
    for pid in "${pids[@]}"; do wait "$pid" || status=$?; done
    return "$status"
}

# need_sdist NAME VERSION: downloads a release's source archive from the Python package index, and prints its path.
need_sdist() {
    local python folder=$PATCHSET_CACHE/sdists name
    for name in "$1" "${1//[.-]/_}"; do
        if [ -e "$folder/$name-$2.tar.gz" ]; then
            printf '%s\n' "$folder/$name-$2.tar.gz"
            return
        fi
    done
    python=$(python_environment) || exit
    long "download $1 $2" "$python/bin/pip" download --quiet --no-deps --no-binary :all: --dest "$folder" "$1==$2" || exit
    for name in "$1" "${1//[.-]/_}"; do
        if [ -e "$folder/$name-$2.tar.gz" ]; then
            printf '%s\n' "$folder/$name-$2.tar.gz"
            return
        fi
    done
    die "pip gave no archive of $1 $2"
}
