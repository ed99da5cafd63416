#!/usr/bin/env bash
# All static checks; each runs even if one before it has failed.
set -uo pipefail
failed=()

check() {
    echo "== $*"
    "$@" || failed+=("$1 ${2:-}")
}

mapfile -t notebooks < <(find notebooks -name '*.ipynb' -not -path '*/.ipynb_checkpoints/*')
check ruff check
check ruff format --check
check mypy
check lint-imports
check hadolint deploy/container/Containerfile
if ((${#notebooks[@]})); then
    check nbstripout --keep-id --verify "${notebooks[@]}"
fi

if ((${#failed[@]})); then
    printf 'make check: failed: %s\n' "${failed[@]}"
    exit 1
fi
echo "make check: all passed"
