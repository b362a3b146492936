#!/bin/sh
# Resolve the lock files again: versions with hashes for every platform, and nothing about where they came from.
set -eu
cd "$(dirname "$0")/.."
resolve() { # resolve LOCK OPTIONS...
    lock=$1
    shift
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
        --output-file "$lock" "$@" pyproject.toml
}
# pyscard has no wheel for Linux: it is compiled, with a SWIG that pip fetches for the build. Both are pinned, apart from the rest,
# because a machine without the headers of PC/SC still gets everything else.
python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["pcsc"], sep="\n")' |
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
        --output-file requirements/pcsc.lock -
printf 'swig\n' | uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate \
    --output-file requirements/pcsc-build.txt -
# The guided fuzzer has no wheel for every Python, and builds with Clang only: `make test-long` goes on without it.
python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["fuzz"], sep="\n")' |
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
        --output-file requirements/fuzz.lock -
resolve requirements/dev.lock --extra build --extra dev --extra bench --extra postgres "$@"
resolve requirements/run.lock --extra build --extra postgres --constraint requirements/dev.lock
