#!/usr/bin/env bash
# Installs what building, testing and the demo need on Debian or Ubuntu; does nothing if all is there.
set -euo pipefail

MODULES=(
    /usr/lib/softhsm/libsofthsm2.so
    /usr/lib/*/softhsm/libsofthsm2.so
    /usr/lib64/pkcs11/libsofthsm2.so
    /usr/lib64/softhsm/libsofthsm2.so
    /usr/lib/pkcs11/libsofthsm2.so
    /usr/local/lib/softhsm/libsofthsm2.so
)

main() {
    local missing=()
    # What is asked is whether the thing works, not whether the package is there: it may come from elsewhere.
    has softhsm2-util && has_module || missing+=(softhsm2)
    has pkcs11-tool || missing+=(opensc)
    has openssl || missing+=(openssl)
    has pkg-config || missing+=(pkg-config)
    has cc && has make || missing+=(build-essential)
    has pkg-config && pkg-config --exists openssl || missing+=(libssl-dev)
    has python3 || missing+=(python3)
    has python3 && python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)

    if ((${#missing[@]})); then
        install "${missing[@]}"
    fi
    check_python
    check_rust
}

install() {
    if ! has apt-get; then
        stop "missing here: $*" \
            "These are the names of Debian and Ubuntu, and this system has no apt-get." \
            "Install what corresponds to them (SoftHSM 2, OpenSC, OpenSSL with headers, a C compiler, Python 3.9), then try again."
    fi
    local become=()
    if ((EUID != 0)); then
        has sudo || stop "missing here: $*" "Install them as root: apt-get install $*"
        become=(sudo)
    fi
    echo "Installing with apt-get: $*"
    # An old list of packages names files that are gone; without a network the old list may still do.
    "${become[@]}" apt-get update -qq || echo "apt-get update failed; trying with the list that is there" >&2
    "${become[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
    echo "Installed: $*"
}

check_python() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' ||
        stop "python3 is $(python3 --version 2>&1); expected Python 3.9 or later"
}

check_rust() {
    has cargo || stop "Rust is missing here: there is no cargo" \
        "Install it as https://rustup.rs says, open a new shell, then try again."
}

has() {
    command -v "$1" >/dev/null 2>&1
}

has_module() {
    local module
    for module in "${MODULES[@]}"; do
        [[ -f $module ]] && return
    done
    return 1
}

stop() {
    printf '%s\n' "$@" >&2
    exit 1
}

main
