#!/bin/sh
# Make the virtual environment and install one lock file into it: tools/install.sh VENV LOCK
#
# Needs a Python (PYTHON, else the newest python3.x >= 3.11 found) and a C compiler; nothing else. Missing Debian
# packages are installed with apt where we may (root, or sudo without a password), otherwise named in one sentence.
set -eu

VENV=$1
LOCK=$2
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_REQUIRE_VIRTUALENV=1

say() { printf '%s\n' "$*" >&2; }

right_version() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 && right_version "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    say "cardcore needs Python 3.11 or newer; none was found as python3. Install it, or name it: make PYTHON=/path/to/python3"
    exit 1
}

# Names of the Debian packages without which the venv or the compiled core cannot be made.
missing_packages() {
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    distribution=python3
    [ "$("$1" -c 'import os, sys; print(os.path.realpath(sys.executable))')" = "/usr/bin/python$version" ] && distribution="python$version"
    "$1" -c 'import ensurepip, venv; ensurepip.version()' 2>/dev/null || command -v uv >/dev/null 2>&1 || printf '%s-venv ' "$distribution"
    "$1" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
        printf '%s-dev ' "$distribution"
    command -v "${CC:-cc}" >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || printf 'gcc libc6-dev '
}

install_packages() {
    if [ "$(id -u)" = 0 ]; then
        as_root=""
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as_root="sudo -n"
    else
        as_root="no"
    fi
    if [ "$as_root" = no ] || ! command -v apt-get >/dev/null 2>&1; then
        say "cardcore needs these system packages to build: $*"
        say "On Debian or Ubuntu: sudo apt-get install -y $*   (then run make again)"
        exit 1
    fi
    say "installing system packages: $*"
    $as_root apt-get update -qq || say "apt-get update failed; trying with the lists that are there"
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

make_venv() {
    [ -x "$VENV/bin/python" ] && right_version "$VENV/bin/python" && return
    say "making the virtual environment in $VENV"
    if "$1" -c 'import ensurepip; ensurepip.version()' 2>/dev/null; then
        "$1" -m venv --clear "$VENV"
    else
        uv venv --quiet --clear --python "$1" "$VENV"
    fi
}

python=$(find_python)
missing=$(missing_packages "$python")
# shellcheck disable=SC2086  # a list of words
[ -z "$missing" ] || install_packages $missing
make_venv "$python"

# Programs that some suites use. Without them those suites are skipped, and counted, unless this is CI.
if [ "$(basename "$LOCK")" = dev.lock ]; then
    wanted=""
    command -v curl >/dev/null 2>&1 || wanted="curl"
    PATH="$PATH:/usr/sbin" command -v pcscd >/dev/null 2>&1 || wanted="$wanted pcscd"
    command -v softhsm2-util >/dev/null 2>&1 || wanted="$wanted softhsm2"
    [ -e /usr/lib/pcsc/drivers/serial/libifdvpcd.so ] || wanted="$wanted vsmartcard-vpcd"
    PATH="$PATH:/usr/sbin" command -v nginx >/dev/null 2>&1 || wanted="$wanted nginx-light"
    # shellcheck disable=SC2086  # a list of words
    [ -z "$wanted" ] || (install_packages $wanted) || say "continuing without$wanted"
fi

# Card readers are an extra: without the headers of PC/SC the program works, but for its commands that speak to a card.
if [ "$(basename "$LOCK")" = pcsc.lock ]; then
    export PIP_CONSTRAINT="$PWD/requirements/pcsc-build.txt" PIP_BUILD_CONSTRAINT="$PWD/requirements/pcsc-build.txt"
    export UV_BUILD_CONSTRAINT="$PWD/requirements/pcsc-build.txt"
    if [ ! -e /usr/include/PCSC/winscard.h ] && ! (install_packages libpcsclite-dev); then
        say "continuing without card readers (cardcore reader): they need libpcsclite-dev"
        exit 0
    fi
fi
if [ "$(basename "$LOCK")" = dev.lock ]; then
    tools/postgres.sh || say "continuing without PostgreSQL"
fi

say "installing $LOCK"
if command -v uv >/dev/null 2>&1; then
    uv pip install --quiet --python "$VENV/bin/python" --require-hashes --no-deps -r "$LOCK"
else
    # The lock file is complete, so pip need not resolve anything.
    "$VENV/bin/python" -m pip install --quiet --quiet --require-hashes --no-deps -r "$LOCK"
fi
