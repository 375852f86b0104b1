#!/usr/bin/env bash
# Installs what only the tests need on Debian or Ubuntu; does nothing if it is there. PostgreSQL: the tests start
# servers of their own from it, each on a socket in a temporary directory. strace: it makes system calls fail.
set -euo pipefail

main() {
    local missing=()
    has_postgresql || missing+=(postgresql)
    command -v strace >/dev/null 2>&1 || missing+=(strace)
    ((${#missing[@]})) || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        stop "missing here: ${missing[*]}, and there is no apt-get to install it with" \
            "Install strace, and PostgreSQL 13 or later, put their programs on the PATH, then try again."
    fi
    local become=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null 2>&1 ||
            stop "missing here: ${missing[*]}" "As root: apt-get install ${missing[*]}"
        become=(sudo)
    fi
    echo "Installing with apt-get: ${missing[*]}"
    # An old list of packages names files that are gone; without a network the old list may still do.
    "${become[@]}" apt-get update -qq || echo "apt-get update failed; trying with the list that is there" >&2
    "${become[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >/dev/null
    has_postgresql || stop "postgresql is installed, and there is no initdb under /usr/lib/postgresql"
    echo "Installed: ${missing[*]}"
}

# Debian keeps these programs off the PATH, in a folder of their version.
has_postgresql() {
    local folder
    for folder in /usr/lib/postgresql/*/bin ${PATH//:/ }; do
        [[ -x $folder/initdb && -x $folder/postgres && -x $folder/pg_isready ]] && return
    done
    return 1
}

stop() {
    printf '%s\n' "$@" >&2
    exit 1
}

main
