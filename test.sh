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

# The closing lines of several pytest runs, added up into one.
closing_line() {
    awk '/^=+ .* in [0-9.]+s.* =+$/ {
        for (i = 2; i < NF; i++) {
            if ($i == "in") { seconds += $(i + 1); break }
            word = $(i + 1); sub(/,$/, "", word)
            if ($i ~ /^[0-9]+$/) { sub(/^error$/, "errors", word); sub(/^warning$/, "warnings", word); sum[word] += $i }
        }
    }
    END {
        split("failed passed skipped deselected errors warnings", order)
        for (i = 1; i in order; i++)
            if (sum[order[i]] && order[i] != "deselected")
                text = text (text ? ", " : "") sum[order[i]] " " order[i]
        printf "====== %s in %.2fs ======\n", text, seconds
    }' "$1"
}

if (($# == 0)); then
    check ruff check .
    check ruff format --check .
    check mypy
    check snakefmt --check Snakefile workflow
    ((${#failed[@]} == 0)) || printf 'error: failed: %s\n' "${failed[@]}" >&2
fi
status=0
if (($# > 0)); then
    pytest "$@" || status=$?
else
    log="$(mktemp)"
    trap 'rm -f "$log"' EXIT
    # two at once: most tests use one core. A file's tests stay together, since they share what is costly to make.
    pytest -m "not slurm" --numprocesses 2 --dist loadfile --no-loadscope-reorder 2>&1 | tee "$log" || status=$?
    # alone: as long as this machine has a Slurm, its programs look for it at every start
    pytest -m slurm 2>&1 | tee -a "$log" || status=$?
    closing_line "$log"
fi
((${#failed[@]} == 0)) || exit 1
exit "$status"
