# Sourced: install_debian_packages [build|test]: makes sure that what Debian 12 ships and we need is installed.
# Quiet when nothing is missing. Needs root only when something is.

debian_build_packages="gcc cmake ninja-build pkg-config python3-minimal libc6-dev libev-dev libsodium-dev libssl-dev libprotobuf-c-dev
 protobuf-c-compiler libisal-dev libzstd-dev liblz4-dev libsnappy-dev zlib1g-dev libjansson-dev libhttp-parser-dev libc-ares-dev"
debian_test_packages="check clang libclang-rt-14-dev llvm-14 python3 binutils universal-ctags iproute2 libfuse3-dev fuse3 groff-base kcat tshark openssl
 dpkg-dev file systemd python3-yaml python3-pip"

# AES on wide registers: of this architecture alone, and done without elsewhere.
[ "$(dpkg --print-architecture)" != amd64 ] || debian_build_packages="$debian_build_packages libipsec-mb-dev"

# unpack_debian_tool PACKAGE FILE DIR: a program of a package that would bring more than that (a server that it starts), without installing it: DIR/FILE.
unpack_debian_tool() {
    [ -x "$3/$2" ] && return 0
    echo "unpacking $2 of Debian package $1" >&2
    fetched=$(mktemp -d) || return 1
    chmod 755 "$fetched"
    (cd "$fetched" && { apt-get download -qq "$1" || { apt-get update -qq && apt-get download -qq "$1"; }; }) >&2 &&
        dpkg-deb -x "$fetched"/"$1"_*.deb "$fetched/files" && mkdir -p "$3/$(dirname "$2")" && mv "$fetched/files/$2" "$3/$2"
    status=$?
    rm -rf "$fetched"
    return $status
}

# bring_python_package NAME VERSION DIR: of PyPI, for what Debian has not. Where there is no such network nothing happens but a line: tests that want it are skipped.
bring_python_package() {
    [ ! -e "$3/$1-$2.done" ] || return 0
    echo "fetching $1 $2 (PyPI)" >&2
    if python3 -m pip install --quiet --disable-pip-version-check --no-warn-script-location --root-user-action ignore --retries 1 --timeout 20 --upgrade --target "$3" "$1==$2" >&2; then
        touch "$3/$1-$2.done"
    else
        echo "not there: what needs it is not tested" >&2
    fi
}

install_debian_packages() {
    wanted=$debian_build_packages
    [ "${1:-build}" = build ] || wanted="$wanted $debian_test_packages"
    missing=
    for package in $wanted; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    echo "installing Debian packages:$missing" >&2
    if [ "$(id -u)" != 0 ]; then
        echo "error: these packages are missing and installing them needs root; run:" >&2
        echo "  sudo apt-get install$missing" >&2
        return 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2 || return 1
    # shellcheck disable=SC2086 # the list is meant to be split
    apt-get install -y -qq --no-install-recommends $missing >&2 </dev/null
}
