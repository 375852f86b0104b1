#!/usr/bin/env bash
# All tests; `make test` has installed what they need. The last line counts them.
set -uo pipefail
cd "$(dirname "$0")/.."

# Before Python 3.10 a program that is started inherits what gRPC does on a fork, and may fail of it.
export GRPC_ENABLE_FORK_SUPPORT=0

log=$(mktemp)
trap 'rm -f "$log"' EXIT
broken=()

part() {
    local name=$1
    shift
    printf '\n== %s\n' "$name"
    "$@" 2>&1 | tee -a "$log" || broken+=("$name")
}

part 'Rust' cargo test --locked --workspace --no-fail-fast
part 'Python client, alone' "$PYTHON" -m pytest -q clients/python/tests/test_client.py \
    clients/python/tests/test_audit_proofs.py
# The binaries are those that the Rust tests have just driven.
part 'Python client, against a daemon and its token' env CHANCERYD="$TARGET/debug/chanceryd" \
    "$PYTHON" demo/with_daemon.py "$PYTHON" -m pytest -q clients/python/tests/test_daemon.py clients/python/tests/test_audit.py

echo
# cargo: "test result: ok. 12 passed; 0 failed; 1 ignored; ...", pytest: "3 failed, 12 passed, 1 skipped in 2.5s".
awk '
    function count(word,   text) {
        return match($0, "[0-9]+ " word) ? substr($0, RSTART, RLENGTH) + 0 : 0
    }
    /^test result: / || /^(=+ )?[0-9]+ (passed|failed|errors?|skipped).* in [0-9.]+s/ {
        passed += count("passed")
        failed += count("failed") + count("error")
        skipped += count("ignored") + count("skipped")
    }
    END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }
' "$log"
if ((${#broken[@]})); then
    printf 'Failed: %s\n' "${broken[@]}" >&2
    exit 1
fi
