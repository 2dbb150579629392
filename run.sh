#!/usr/bin/env bash
# Set-up, then Snakemake:
#   ./run.sh                                   snakemake --cores all all
#   ./run.sh -n                                dry run
#   ./run.sh compress                          one stage and what it needs
#   ./run.sh --configfile config/test.yaml     another configuration
#   ./run.sh diff results/a results/b          what differs between two results
# Arguments are Snakemake's; `--cores all` is put before them unless they name cores, jobs, an executor or a profile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./setup.sh

says_where_to_run() {
    local argument
    for argument in "$@"; do
        case "$argument" in
            --cores | --cores=* | -c* | --jobs | --jobs=* | -j* | --executor | --executor=* | -e* | \
                --profile | --profile=* | --workflow-profile | --workflow-profile=*) return 0 ;;
        esac
    done
    return 1
}

set_up
case "${1:-}" in
    diff) exec .venv/bin/python -m qatflow "$@" ;; # a command of ours, not a target
esac
if (($# == 0)); then
    set -- all
fi
if ! says_where_to_run "$@"; then
    set -- --cores all "$@"
fi
PATH="$PWD/.venv/bin:$PATH" exec .venv/bin/snakemake "$@"
