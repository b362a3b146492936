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
resolve requirements/dev.lock --extra build --extra dev --extra bench "$@"
resolve requirements/run.lock --extra build --constraint requirements/dev.lock
