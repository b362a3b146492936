#!/bin/sh
# Have PostgreSQL's programs on this machine: installed with apt where we may (root, or sudo without a password), else named.
set -eu
command -v initdb >/dev/null 2>&1 && exit 0
for initdb in /usr/lib/postgresql/*/bin/initdb; do
    [ -x "$initdb" ] && exit 0
done
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    as_root="no"
fi
if [ "$as_root" = no ] || ! command -v apt-get >/dev/null 2>&1; then
    printf '%s\n' "PostgreSQL is not installed. On Debian or Ubuntu: sudo apt-get install -y postgresql" >&2
    exit 1
fi
printf '%s\n' "installing system packages: postgresql" >&2
$as_root apt-get update -qq || printf '%s\n' "apt-get update failed; trying with the lists that are there" >&2
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends postgresql >/dev/null
