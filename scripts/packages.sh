# Sourced by ./check and ./demo: installs what is missing on a Debian 12.
# shellcheck shell=bash

packages_build=(
    cmake gcc libc6-dev ninja-build pkg-config
    libconfig-dev libcurl4-openssl-dev libevent-dev libsqlite3-dev libssl-dev
    libyajl-dev python3 ca-certificates netcat-openbsd)

packages_test=(
    clang clang-format libclang-rt-14-dev libcmocka-dev libgmime-3.0-dev
    openssl python3-aiosmtpd)

# need_packages NAME...: by apt, with sudo if we are not root.
need_packages() {
    local missing=() name as_root=()
    for name in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null |
            grep -qx installed || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "Installing with apt: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "Not root and no sudo: install these packages first." >&2
            return 1
        }
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y \
        -qq --no-install-recommends "${missing[@]}" >/dev/null
}
