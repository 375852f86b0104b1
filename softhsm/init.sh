#!/usr/bin/env bash
# Makes a fresh SoftHSM token in a directory of its own: init.sh DIR LABEL
#
# For development and tests only: softhsm2-util takes PINs as arguments, which every user of the machine can
# see while it runs.
set -euo pipefail

if (($# != 2)); then
    echo "usage: $0 DIR LABEL" >&2
    exit 2
fi
label=$2
if ((${#label} < 1 || ${#label} > 32)); then
    echo "the label has ${#label} characters; expected 1 to 32" >&2
    exit 2
fi
if ! command -v softhsm2-util >/dev/null; then
    echo "softhsm2-util is missing: run $(dirname "$0")/install.sh" >&2
    exit 1
fi

umask 077
mkdir -p "$1"
directory=$(cd "$1" && pwd -P)
if [[ -e $directory/softhsm2.conf ]]; then
    echo "$directory holds a token already; give another directory, or remove this one" >&2
    exit 1
fi
mkdir "$directory/tokens"

random_pin() {
    od -An -N12 -tx1 /dev/urandom | tr -d ' \n'
}
pin=$(random_pin)
so_pin=$(random_pin)
printf '%s' "$pin" >"$directory/pin"
printf '%s' "$so_pin" >"$directory/so-pin"
chmod 0400 "$directory/pin" "$directory/so-pin"

cat >"$directory/softhsm2.conf" <<CONF
directories.tokendir = $directory/tokens
objectstore.backend = file
log.level = ERROR
slots.removable = false
CONF

SOFTHSM2_CONF=$directory/softhsm2.conf softhsm2-util --init-token --free \
    --label "$label" --so-pin "$so_pin" --pin "$pin" >/dev/null

cat <<END
Token "$label" is ready.
  export SOFTHSM2_CONF=$directory/softhsm2.conf
  the user's PIN is in $directory/pin, the security officer's in $directory/so-pin
END
