#!/usr/bin/env bash
# Set-up, then all checks and all tests; the last line counts the tests.
#   ./test.sh                          linters, types, all tests (fast ones first)
#   ./test.sh tests/test_x.py -k y     only these tests: the arguments are pytest's
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./setup.sh
set_up
install_slurm
export PATH="$PWD/.venv/bin:$PATH"

failed=()
check() {
    say "== $*"
    "$@" >&2 || failed+=("$*")
}

if (($# == 0)); then
    check ruff check .
    check ruff format --check .
    check mypy
    check snakefmt --check Snakefile workflow
    ((${#failed[@]} == 0)) || printf 'error: failed: %s\n' "${failed[@]}" >&2
fi
status=0
pytest "$@" || status=$?
((${#failed[@]} == 0)) || exit 1
exit "$status"
