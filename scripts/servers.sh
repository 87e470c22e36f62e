#!/usr/bin/env bash
# Fetches the mail servers that tests/integration/test_real_servers.py runs:
# Debian's packages, unpacked into a folder and never installed, since they
# conflict with each other and with what the machine has.
#   scripts/servers.sh DIRECTORY    nothing to do when they are there
set -euo pipefail

servers=(postfix dovecot-core exim4-base exim4-daemon-light
    libnss-wrapper fakeroot libfakeroot)

# What the tests run; each must find its libraries.
programs=(usr/sbin/exim4 usr/sbin/dovecot usr/bin/doveconf
    usr/lib/dovecot/{anvil,auth,config,log,stats}
    usr/lib/postfix/sbin/{anvil,bounce,cleanup,master,postlogd,proxymap}
    usr/lib/postfix/sbin/{qmgr,smtpd,tlsmgr,trivial-rewrite,virtual}
    'usr/lib/*-linux-gnu/libnss_wrapper.so'
    usr/bin/faked-sysv
    'usr/lib/*-linux-gnu/libfakeroot/libfakeroot-sysv.so')

fail() {
    printf '%s\n' "servers.sh: $1" \
        "The tests with real mail servers need these packages of Debian 12:" \
        "  ${servers[*]}" >&2
    exit 1
}

[ $# -eq 1 ] || fail "usage: servers.sh DIRECTORY"
version=$(sha256sum <"$0")
mkdir -p "$1"
cd "$1"
exec 9>lock
flock 9

# closure NAME...: these and the libraries they need and the system lacks.
closure() {
    local level=("$@") next name
    local -A known=()
    for name in $(dpkg-query -W -f '${Package}:${db:Status-Status}\n' |
        sed -n 's/^\(lib.*\):installed$/\1/p'); do
        known[$name]=1
    done
    while [ ${#level[@]} -gt 0 ]; do
        printf '%s\n' "${level[@]}"
        for name in "${level[@]}"; do
            known[$name]=1
        done
        next=()
        for name in $(apt-cache depends "${level[@]}" |
            sed -n 's/^ *Depends: \(lib[^ ]*\)$/\1/p' | sort -u); do
            [ -n "${known[$name]:-}" ] || next+=("$name")
        done
        level=("${next[@]}")
    done
}

download() {
    local names
    apt-cache show "${servers[@]}" >/dev/null 2>&1 || return 1
    mapfile -t names < <(closure "${servers[@]}")
    rm -rf archives
    mkdir archives
    # Root's apt would hand the work to a user who may not write here.
    (cd archives && apt-get download -qq -o APT::Sandbox::User=root \
        "${names[@]}" >&2)
}

update_lists() {
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || return 1
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -qq >&2
}

# Whether all is there; says what is not.
is_whole() {
    local pattern path missing libraries
    libraries=$(echo "$PWD"/tree/{usr/lib,lib}/*-linux-gnu)
    libraries="${libraries// /:}:$PWD/tree/usr/lib/postfix"
    libraries="$libraries:$PWD/tree/usr/lib/dovecot"
    libraries="$libraries:$PWD/tree/usr/lib/dovecot/modules/old-stats"
    for pattern in "${programs[@]}"; do
        path=$(compgen -G "tree/$pattern") || {
            echo "$pattern is missing"
            return 1
        }
        missing=$(LD_LIBRARY_PATH=$libraries ldd "$path" |
            grep 'not found') || continue
        echo "$path lacks $missing"
        return 1
    done
}

if [ "$(cat complete 2>/dev/null)" = "$version" ] && is_whole; then
    exit 0
fi
echo "Fetching mail servers for the tests: ${servers[*]}"
rm -rf tree complete
download || { update_lists && download; } || fail "apt-get download failed"
for archive in archives/*.deb; do
    dpkg -x "$archive" tree || fail "cannot unpack $archive"
done
# Nothing that lies in a build folder may give its caller more rights.
find tree -type f -perm /6000 -exec chmod a-s {} +
is_whole || fail "what was fetched is not enough"
rm -rf archives
echo "$version" >complete
