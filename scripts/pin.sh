#!/bin/sh
# Pin every set of requirements with hashes, for every platform and Python from 3.11 on.
# Existing pins stay unless they have to move; UPGRADE=1 takes the newest of everything.
set -eu
cd "$(dirname "$0")/.."

pin() {
    output=requirements/$1.txt
    shift
    "${UV:-uv}" --quiet --no-config pip compile --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
        ${UPGRADE:+--upgrade} --output-file "$output" "$@" >/dev/null
    echo "$output: $(grep -c == "$output") pins"
}

pin core pyproject.toml --extra embedded-redis --group build
pin test --constraint requirements/core.txt pyproject.toml --extra server --extra client --extra otel --group test
pin server --constraint requirements/core.txt --constraint requirements/test.txt pyproject.toml \
    --extra server --extra client --extra otel
pin check --constraint requirements/core.txt --constraint requirements/test.txt --group check
