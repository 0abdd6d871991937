#!/usr/bin/env bash
# Gets what the tests and the demo need and what this machine lacks. A second run has nothing to do.
#
#   hack/setup.sh          everything
#   hack/setup.sh demo     only what hack/demo.sh needs without a node
#   hack/setup.sh chaos    only what hack/chaos.sh needs
#   hack/setup.sh node     what hack/demo.sh needs, and what hack/node.sh needs
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/tools.sh
. "$(dirname "$0")/lib/tools.sh"
# shellcheck source-path=SCRIPTDIR source=lib/images.sh
. "$(dirname "$0")/lib/images.sh"

command -v cargo >/dev/null || die "no cargo on PATH: install Rust 1.89 or newer"

mkdir -p "$PATCHSET_CACHE"
exec 9>"$PATCHSET_CACHE/setup.lock"
flock -n 9 || {
    say "wait for another hack/setup.sh"
    flock 9
}

need_commands cc=gcc git=git curl=curl openssl=openssl setpriv=util-linux python3=python3
need_etcd
need_kubernetes kube-apiserver kubectl
if [ "${1:-}" = node ]; then
    need_node
elif [ "${1:-}" = chaos ]; then
    need_commands docker-registry=docker-registry ssh-keygen=openssh-client
elif [ "${1:-}" != demo ]; then
    need_commands sshd=openssh-server ssh-keygen=openssh-client gpg=gnupg shellcheck=shellcheck \
        docker-registry=docker-registry skopeo=skopeo buildah=buildah promtool=prometheus lua5.1=lua5.1
    need_helm
    need_cargo_deny
    need_uv
    need_node
    need_flux_event
    need_go_yaml
    need_browser
    need_python_package cyclonedx.validation 'cyclonedx-python-lib[json-validation]>=11'
    need_python_package vexipy 'vexipy>=0.3'
    need_python_package yaml 'PyYAML>=6'
    need_python_package pre_commit 'pre-commit>=4'
fi
