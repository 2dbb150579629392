#!/usr/bin/env bash
# Set-up, then checks and tests. At the end: the 25 longest tests, and a line that counts all.
#   ./test.sh                              linters, types, all tests
#   ./test.sh --fast                       linters, types, the tests without TensorFlow, Snakemake and emulator: minutes
#   ./test.sh --pythons                    the fast tests and the small configuration on each Python that is there
#   ./test.sh tests/data/test_x.py -k y    only these tests: the arguments are pytest's
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./setup.sh
fast=
each_python=
case "${1:-}" in
    --fast) fast=yes && shift ;;
    --pythons) each_python=yes && shift ;;
esac
set_up
[[ -n "$fast$each_python" ]] || install_for_tests
export PATH="$PWD/.venv/bin:$PATH"
unset PYTHONDONTWRITEBYTECODE # each of some thousand programs would compile what it imports

# Linters and types, beside the tests: mypy takes one core for most of a minute. They leave their output and 0 or 1.
checked="$(mktemp)"
log="$(mktemp)"
slurm="$(mktemp)"
trap 'rm -f "$checked" "$log" "$slurm"' EXIT
check() {
    local failed=() command
    for command in "ruff check ." "ruff format --check ." "mypy" "snakefmt --check Snakefile workflow"; do
        echo "== $command"
        $command || failed+=("$command")
    done
    ((${#failed[@]} == 0)) || printf 'error: failed: %s\n' "${failed[@]}"
    return "${#failed[@]}"
}

# The closing lines of several pytest runs, added up into one; the time is that of the longest, since they run at once.
closing_line() {
    awk '/^=+ .* in [0-9.]+s.* =+$/ {
        for (i = 2; i < NF; i++) {
            if ($i == "in") { if ($(i + 1) + 0 > seconds) seconds = $(i + 1) + 0; break }
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

checks=
if (($# == 0)) && [[ -z "$each_python" ]]; then
    check >"$checked" 2>&1 &
    checks=$!
fi
# One more than the cores, since most tests use one core and wait now and then. A file's tests stay together: they share
# what is costly to make.
at_once=(--numprocesses "$(($(nproc) + 1))" --dist loadfile --no-loadscope-reorder --durations 25)
markers="tensorflow or workflow or device or e2e or conda or slurm or pythons or imagenet"
status=0
if [[ -n "$fast" ]]; then
    pytest -m "not ($markers)" "${at_once[@]}" "$@" || status=$?
elif [[ -n "$each_python" ]]; then
    pytest -m pythons "$@" tests/e2e/test_pythons.py || status=$?
elif (($# > 0)); then
    pytest -m "not pythons" "$@" || status=$?
else
    # beside the others: the jobs on Slurm wait more than they compute. Nothing but these tests sees this Slurm.
    mapfile -t files < <(grep -rl "mark\.slurm" tests)  # collecting all tests takes seconds
    pytest -m slurm --durations 25 "${files[@]}" >"$slurm" 2>&1 &
    on_slurm=$!
    pytest -m "not slurm and not pythons" "${at_once[@]}" 2>&1 | tee "$log" || status=$?
    wait "$on_slurm" || status=$?
    tee -a "$log" <"$slurm"
fi
if [[ -n "$checks" ]]; then
    wait "$checks" || status=1
    cat "$checked" >&2
fi
[[ ! -s "$log" ]] || closing_line "$log"
exit "$status"
