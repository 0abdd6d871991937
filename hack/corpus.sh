#!/usr/bin/env bash
# Real upstreams for the differential tests and the benchmarks: released versions of OpenStack components from the
# Python package index, each component a bare Git repository with a tag for each version.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/tools.sh
. "$(dirname "$0")/lib/tools.sh"

corpus=${PATCHSET_CORPUS:-$PATCHSET_CACHE/corpus}
components=(
    "glance 30.0.0 31.0.0 32.0.0"
    "keystone 27.0.0 28.0.0 29.0.0"
    "oslo.messaging 16.1.0 17.0.0 17.3.0"
    "nova 31.0.0 32.0.0"
    "openstack-placement 14.0.0 15.0.0"
    "os-traits 3.5.0"
)

# add_version REPOSITORY ARCHIVE TAG: commits an archive's contents on top, with a tag.
add_version() {
    local work
    work=$(mktemp -d)
    tar -xzf "$2" -C "$work" --strip-components=1
    git --git-dir="$1" --work-tree="$work" add --all --force
    GIT_AUTHOR_DATE="2026-01-01T00:00:00Z" GIT_COMMITTER_DATE="2026-01-01T00:00:00Z" \
        git --git-dir="$1" --work-tree="$work" \
        -c user.name=corpus -c user.email=corpus@example.org -c commit.gpgsign=false \
        commit --quiet --allow-empty --message "$3"
    git --git-dir="$1" tag "$3"
    rm -rf "$work"
}

mkdir -p "$corpus"
for line in "${components[@]}"; do
    read -r -a words <<<"$line"
    name=${words[0]}
    versions=("${words[@]:1}")
    repository=$corpus/$name.git
    [ "$(git --git-dir="$repository" tag 2>/dev/null | wc -l)" = "${#versions[@]}" ] && continue
    rm -rf "$repository.new" "$repository"
    git init --quiet --bare --initial-branch=main "$repository.new"
    for version in "${versions[@]}"; do
        # The archives' names have an underscore where the project's has a dot.
        archive=$(need_sdist "$name" "$version")
        add_version "$repository.new" "$archive" "$version"
    done
    git --git-dir="$repository.new" repack -a -d --quiet
    mv "$repository.new" "$repository"
done
say "the corpus is in $corpus"
