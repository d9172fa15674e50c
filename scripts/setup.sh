#!/usr/bin/env bash
# Installs what building, testing and demonstrating orapipe needs and this machine lacks.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/setup.sh [--check] [--demo]

Installs the programs that are missing, with apt-get (Debian, Ubuntu) or dnf/yum (Oracle Linux, RHEL).
Programs that are there are left alone. Needs root or sudo only when something is missing.

  --check   only say what is missing; exit 1 if anything is
  --demo    leave out what only the tests need (on Oracle Linux it comes from EPEL)
TEXT
}

check_only=no demo_only=no
for argument; do
    case "$argument" in
        --check) check_only=yes ;;
        --demo) demo_only=yes ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 64 ;;
    esac
done

PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"
minimum=1.92

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: error: %s\n' "$1" >&2; shift; for hint in "$@"; do printf 'setup: hint: %s\n' "$hint" >&2; done; exit 1; }
have() {
    # Debian's Nagios is called nagios4.
    if [ "$1" = nagios ] && command -v nagios4 >/dev/null 2>&1; then return 0; fi
    # The browser that renders the mails in the tests has a name of its own on every system.
    if [ "$1" = browser ]; then
        have chromium-headless-shell || have chromium || have chromium-browser || [ -x /usr/lib64/chromium-browser/headless_shell ]
    elif [ "$1" = python-venv ]; then
        python3 -c 'import ensurepip, venv' >/dev/null 2>&1
    else
        command -v "$1" >/dev/null 2>&1
    fi
}

# program, Debian's package, Oracle Linux's package
programs='
rsync       rsync           rsync
ssh         openssh-client  openssh-clients
ssh-keygen  openssh-client  openssh
sshd        openssh-server  openssh-server
tmux        tmux            tmux
cc          gcc             gcc
ip          iproute2        iproute
flock       util-linux      util-linux
unshare     util-linux      util-linux
setsid      util-linux      util-linux
awk         mawk            gawk
'
# The demo does without these.
[ "$demo_only" = yes ] || programs+='shellcheck  shellcheck      ShellCheck
xxh128sum   xxhash          xxhash
make        make            make
setpriv     util-linux      util-linux
python3     python3         python3
unzip       unzip           unzip
zip         zip             zip
7zz         7zip            7zip
bsdtar      libarchive-tools bsdtar
jar         default-jdk-headless java-17-openjdk-devel
pigz        pigz            pigz
mkfs.ext4   e2fsprogs       e2fsprogs
fsfreeze    util-linux      util-linux
postfix     postfix         postfix
promtool    prometheus      golang-github-prometheus
logrotate   logrotate       logrotate
gzip        gzip            gzip
systemd-analyze systemd     systemd
nagios      nagios4-core    nagios
faketime    faketime        libfaketime
browser     chromium-headless-shell chromium-headless
python-venv python3-venv    python3-pip
dpkg-deb    dpkg            dpkg
rpmbuild    rpm             rpm-build
objdump     binutils        binutils
openssl     openssl         openssl
'

manager=none
if have apt-get; then manager=apt; elif have dnf; then manager=dnf; elif have yum; then manager=yum; fi

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        fail "installing needs root, and there is no sudo here" "as root: $*"
    fi
}

install_packages() {
    case "$manager" in
        apt)
            as_root apt-get update -q
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
            ;;
        dnf | yum)
            # They live in EPEL.
            if [[ " $* " == *" ShellCheck "* || " $* " == *" xxhash "* || " $* " == *" 7zip "* || " $* " == *" chromium-headless "* || " $* " == *" golang-github-prometheus "* || " $* " == *" libfaketime "* || " $* " == *" dpkg "* ]]; then
                # shellcheck disable=SC1091 # the file is the machine's own
                release=$(. /etc/os-release && printf '%s' "${VERSION_ID%%.*}")
                as_root "$manager" install -y "oracle-epel-release-el$release" || as_root "$manager" install -y epel-release
            fi
            as_root "$manager" install -y "$@"
            ;;
        none) fail "neither apt-get nor dnf nor yum is here" "install by hand: $*" ;;
    esac
}

missing=()
packages=()
while read -r program apt rpm; do
    [ -n "$program" ] || continue
    have "$program" && continue
    missing+=("$program")
    if [ "$manager" = apt ]; then package=$apt; else package=$rpm; fi
    [[ " ${packages[*]-} " == *" $package "* ]] || packages+=("$package")
done <<<"$programs"
# gcc alone finds no C library headers on Debian.
if [ "$manager" = apt ] && [[ " ${packages[*]-} " == *" gcc "* ]]; then packages+=(libc6-dev); fi

rust_problem() {
    if ! have cargo; then
        echo "cargo is not installed"
        return
    fi
    local version
    version=$(cargo --version 2>/dev/null | awk '{print $2}') || version=
    if [ -z "$version" ]; then
        echo "cargo does not run"
    elif [ "$(printf '%s\n%s\n' "$minimum" "$version" | sort -V | head -n 1)" != "$minimum" ]; then
        echo "cargo is $version, needed is $minimum or later"
    elif ! cargo fmt --version >/dev/null 2>&1; then
        echo "rustfmt is not installed"
    elif ! cargo clippy --version >/dev/null 2>&1; then
        echo "clippy is not installed"
    fi
}
rust=$(rust_problem)

# The distributed S3 store of the tests. It is run as a program and never linked (AGPL), and built once per version.
garage_version=2.5.0
garage_root="${XDG_CACHE_HOME:-$HOME/.cache}/orapipe/garage-$garage_version"
garage=there
if [ "$demo_only" = no ] && [ ! -x "$garage_root/bin/garage" ]; then garage=missing; fi

build_garage() {
    say "building Garage $garage_version, the distributed S3 store of the tests, into $garage_root (5 to 10 minutes, once)"
    # Built for a short compilation and not for speed.
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_STRIP=true \
        cargo install -q garage --version "$garage_version" --locked --no-default-features \
        --features sqlite,bundled-libs --root "$garage_root" ||
        fail "Garage $garage_version could not be built" "run scripts/setup.sh again; it needs the crates registry, a C compiler and make"
}

# Programs from PyPI that only the tests need, each set in a virtual environment of its own, by version and hash:
# name, the file with versions and hashes, a program that is in it then, and for sets with sources (and with every package
# listed) what builds them
venvs='
ansible     fleet/requirements.txt                 ansible-playbook
infinidat   tests/ibsim/clients/requirements.txt   pip                tests/ibsim/clients/build.txt
'
venv_root() { printf '%s/orapipe/venv-%s' "${XDG_CACHE_HOME:-$HOME/.cache}" "$1"; }
# The copy of the requirements is the last file that a build writes.
venv_is_there() { [ -x "$(venv_root "$1")/bin/$3" ] && cmp -s "$2" "$(venv_root "$1")/requirements.txt"; }

missing_venvs=()
if [ "$demo_only" = no ]; then
    cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
    while read -r name requirements program builders; do
        [ -n "$name" ] || continue
        venv_is_there "$name" "$requirements" "$program" || missing_venvs+=("$name $requirements $program $builders")
    done <<<"$venvs"
fi

# The first Python that is new enough and can make a virtual environment.
venv_python() {
    local python
    for python in python3 python3.13 python3.12 python3.11; do
        "$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && { echo "$python"; return; }
    done
    return 1
}

build_venv() {
    local root python
    root=$(venv_root "$1")
    if ! python=$(venv_python); then
        if [ "$manager" = apt ]; then install_packages python3-venv; else install_packages python3.12 python3.12-pip; fi
        python=$(venv_python) || fail "no Python 3.10 or later with ensurepip" "install one, then run scripts/setup.sh again"
    fi
    say "installing $1 from PyPI ($2) into $root"
    rm -rf "$root"
    mkdir -p "${root%/*}"
    "$python" -m venv "$root"
    local pip=("$root/bin/pip" install -q --disable-pip-version-check --no-input --require-hashes)
    if [ -n "${4-}" ]; then
        "${pip[@]}" --only-binary :all: --no-deps -r "$4" && "${pip[@]}" --no-deps --no-build-isolation -r "$2"
    else
        "${pip[@]}" --only-binary :all: -r "$2"
    fi ||
        fail "$1 could not be installed" "run scripts/setup.sh again; it needs PyPI or a mirror (PIP_INDEX_URL)"
    cp "$2" "$root/requirements.txt"
}

# What packs the product: zig as a linker that knows the C library of old systems, and the schema of bills of materials.
# They come as wheels from PyPI, by version and sum.
zig_root="${XDG_CACHE_HOME:-$HOME/.cache}/orapipe/zig-0.17.0"
schema_root="${XDG_CACHE_HOME:-$HOME/.cache}/orapipe/cyclonedx-11.12.0"
packer=there
if [ "$demo_only" = no ] && { [ ! -e "$zig_root/complete" ] || [ ! -e "$schema_root/cyclonedx" ]; }; then packer=missing; fi

no_wheels() { fail "zig or the schemas could not be installed" "run scripts/setup.sh again; it needs PyPI, or a mirror in pip's settings"; }

install_packer() {
    say "installing zig 0.17.0 and cargo-zigbuild 0.24.0, which make the packages, into $zig_root (100 MB, once)"
    rm -rf "$zig_root" "$schema_root" "$schema_root.new"
    # Made under its final name, which the programs of a venv have inside; the last file says that it is complete.
    python3 -m venv "$zig_root" || fail "python3 -m venv failed" "it needs the package python3-venv"
    local pip=("$zig_root/bin/pip" install -q --disable-pip-version-check --no-deps --no-compile --only-binary :all: --require-hashes)
    "${pip[@]}" -r /dev/stdin <<'WHEELS' || no_wheels
ziglang==0.17.0 --hash=sha256:97079827064a7492cce5541ceb438ae8003ce1e54e399676da2d62fb7a5dc08b
cargo-zigbuild==0.24.0 --hash=sha256:484412e39e4c6039474535ce97ee75a22bab22d58233056f8ec8a8f9034bb957
WHEELS
    "${pip[@]}" --target "$schema_root.new" -r /dev/stdin <<'WHEELS' || no_wheels
cyclonedx-python-lib==11.12.0 --hash=sha256:0e807521a921a5c3cb8ce1153f8a61d29eedfe76a46aac2796b7c6b573391a54
WHEELS
    mv "$schema_root.new" "$schema_root"
    touch "$zig_root/complete"
}

if [ "$check_only" = yes ]; then
    [ ${#missing_venvs[@]} -eq 0 ] || say "not installed from PyPI: $(printf '%s\n' "${missing_venvs[@]}" | awk '{ printf "%s%s", (NR > 1 ? ", " : ""), $1 }')"
    [ ${#missing[@]} -eq 0 ] || say "missing programs: ${missing[*]} (packages: ${packages[*]})"
    [ -z "$rust" ] || say "$rust"
    [ "$garage" = there ] || say "Garage $garage_version is not built ($garage_root)"
    if [ ${#missing[@]} -eq 0 ] && [ -z "$rust" ] && [ "$garage" = there ] && [ ${#missing_venvs[@]} -eq 0 ]; then
        say "nothing is missing"
        exit 0
    fi
    exit 1
fi

if [ ${#packages[@]} -gt 0 ]; then
    say "installing ${packages[*]} (missing: ${missing[*]})"
    if [[ " ${packages[*]} " == *" openssh-server "* ]]; then
        say "the openssh-server package may start an sshd on port 22; the tests and the demo start their own and do not use it"
    fi
    if [[ " ${packages[*]} " == *" postfix "* || " ${packages[*]} " == *" prometheus "* ]]; then
        say "the packages postfix and prometheus may start their services; the tests start their own and do not use them"
    fi
    install_packages "${packages[@]}"
    for program in "${missing[@]}"; do
        have "$program" || fail "$program is still missing after installing ${packages[*]}"
    done
fi

if [ -n "$rust" ]; then
    say "$rust"
    if have rustup; then
        rustup toolchain install stable --profile minimal --component rustfmt --component clippy
        rustup default stable
    elif [ "$manager" = apt ] && apt-cache show rustup >/dev/null 2>&1; then
        install_packages rustup
        rustup toolchain install stable --profile minimal --component rustfmt --component clippy
        rustup default stable
    elif [ "$manager" = dnf ] || [ "$manager" = yum ]; then
        install_packages cargo rustfmt clippy
    fi
    rust=$(rust_problem)
    [ -z "$rust" ] || fail "$rust" \
        "this system's packages have no Rust $minimum; install it from https://rustup.rs or your internal mirror, with rustfmt and clippy" \
        "then run scripts/setup.sh again"
fi
if [ "$garage" = missing ]; then build_garage; fi
if [ "$packer" = missing ]; then install_packer; fi
for venv in ${missing_venvs[@]+"${missing_venvs[@]}"}; do
    # shellcheck disable=SC2086 # its words
    build_venv $venv
done
say "ready: $(cargo --version), $(rsync --version | head -n 1), $(ssh -V 2>&1)"
