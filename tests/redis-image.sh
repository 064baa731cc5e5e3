#!/usr/bin/env bash
# Makes the image that the Redis tests run in containers. `tests/redis-image.sh --help` says more.
set -euo pipefail

image=tokenhive-redis:7
label=tokenhive.redis.package
force=false

usage() {
    cat <<'TEXT'
usage: tests/redis-image.sh [--force]

Makes the local image tokenhive-redis:7 out of the distribution's own redis-server package: the
server, the libraries it is linked to, and a user that is not root. Takes the package if it is
installed, else downloads it with apt-get and installs nothing. Asks no image registry. Does
nothing when the image holds that version of the package already. Needs a Docker engine that runs,
and Debian or Ubuntu. Elsewhere any image with a redis-server on its PATH will do:

  docker pull redis:7 && docker tag redis:7 tokenhive-redis:7

  --force   make it anew
  --help    this text

Exit status: 0 the image is there, 2 something needed is missing.
TEXT
}

for argument in "$@"; do
    case "$argument" in
        --force) force=true ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            printf 'tests/redis-image.sh: unknown argument %s\n\n' "$argument" >&2
            usage >&2
            exit 2
            ;;
    esac
done

missing() {
    printf 'tests/redis-image.sh: %s\n' "$1" >&2
    exit 2
}

installed_version() {
    dpkg-query -W -f='${db:Status-Status} ${Version}\n' redis-server 2>/dev/null |
        sed -n 's/^installed //p'
}

candidate_version() {
    apt-cache policy redis-server 2>/dev/null | sed -n 's/^ *Candidate: \([0-9]\)/\1/p'
}

# On a fresh machine the lists of packages have never been fetched.
need_candidate() {
    if [[ -z $(candidate_version) ]]; then
        local as_root=()
        [[ $(id -u) == 0 ]] || as_root=(sudo -n)
        "${as_root[@]}" apt-get update -qq </dev/null || true
    fi
    [[ -n $(candidate_version) ]] ||
        missing 'apt-get knows no redis-server. Try: sudo apt-get update'
}

# Unpacks into $1 the server's package and those it depends on that this system lacks.
unpack_packages() {
    local packages=() deb
    mapfile -t packages < <(apt-get install --print-uris -qq --no-install-recommends redis-server </dev/null |
        sed -n "s/^'[^']*' \([^_]*\)_.*/\1/p")
    [[ ${#packages[@]} -gt 0 ]] || missing 'apt-get finds no way to redis-server'
    printf 'downloading %s\n' "${packages[*]}"
    mkdir "$scratch/debs" "$1"
    # It complains that it does so as root when it may not write here as its own user.
    (cd "$scratch/debs" && apt-get download -qq -o APT::Sandbox::User=root "${packages[@]}" </dev/null) ||
        missing 'apt-get cannot download them'
    for deb in "$scratch"/debs/*.deb; do
        dpkg-deb --extract "$deb" "$1"
    done
}

# Copies the server at $1 and the libraries it is linked to into the image's root. Libraries below
# $2, if given, go before those of this system.
copy_server() {
    local server=$1 search='' library
    if [[ -n ${2:-} ]]; then
        search=$(find "$2" -name '*.so.*' -printf '%h\n' | sort -u | paste -s -d :)
    fi
    LD_LIBRARY_PATH=$search ldd "$server" >"$scratch/ldd"
    if grep -q 'not found' "$scratch/ldd"; then
        missing "libraries of redis-server are missing: $(grep 'not found' "$scratch/ldd")"
    fi
    install -D "$server" "$root/usr/bin/redis-server"
    # The loader stays where the binary names it; the rest goes where the loader looks by default.
    while read -r library; do
        case "$library" in
            */ld-*) install -D "$library" "$root$library" ;;
            *) install -D "$library" "$root/usr/lib/${library##*/}" ;;
        esac
    done < <(grep -o '/[^ ]*' "$scratch/ldd" | sort -u)
}

import_root() {
    local former
    former=$(docker image inspect -f '{{.Id}}' "$image" 2>/dev/null || true)
    mkdir -p "$root/etc" "$root/data" "$root/tmp"
    chmod 1777 "$root/tmp"
    echo 'redis:x:999:999::/data:/usr/sbin/nologin' >"$root/etc/passwd"
    echo 'redis:x:999:' >"$root/etc/group"
    # Only the data is the server's own.
    tar -C "$root" --owner=0 --group=0 --exclude=./data -cf "$scratch/root.tar" .
    tar -C "$root" --owner=999 --group=999 -rf "$scratch/root.tar" ./data
    docker import --change 'USER 999:999' --change 'WORKDIR /data' \
        --change 'CMD ["redis-server"]' --change "LABEL $label=$version" \
        "$scratch/root.tar" "$image" >/dev/null
    # It has lost its name; a container may still need it.
    if [[ -n $former ]]; then
        docker image rm "$former" >/dev/null 2>&1 || true
    fi
}

command -v docker >/dev/null && timeout 20 docker info >/dev/null 2>&1 ||
    missing 'no Docker engine answers. Start it, for instance: sudo systemctl start docker'

installed=$(installed_version || true)
if ! $force && docker image inspect "$image" >/dev/null 2>&1; then
    present=$(docker image inspect -f "{{index .Config.Labels \"$label\"}}" "$image" 2>/dev/null || true)
    # One without the label is somebody's own.
    if [[ -z $present || -z $installed || $present == "$installed" ]]; then
        printf 'image %s is there%s\n' "$image" "${present:+, of redis-server $present}"
        exit 0
    fi
fi
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null && command -v ldd >/dev/null ||
    missing "this is neither Debian nor Ubuntu; tests/redis-image.sh --help says what to do"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root
if [[ -n $installed ]]; then
    version=$installed
    copy_server "$(readlink -f /usr/bin/redis-server)"
else
    need_candidate
    version=$(candidate_version)
    unpack_packages "$scratch/unpacked"
    copy_server "$(readlink -f "$scratch/unpacked/usr/bin/redis-server")" "$scratch/unpacked"
fi
import_root

said=$(docker run --rm --network none "$image" redis-server --version)
printf 'image %s made of redis-server %s (%s): %d MB\n' "$image" "$version" \
    "$(cut -d ' ' -f 1-3 <<<"$said")" $(($(docker image inspect -f '{{.Size}}' "$image") / 1000000))
