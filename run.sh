#!/usr/bin/env bash
# Set-up, then a command of qatflow; without the name of one it is `run`, which starts Snakemake:
#   ./run.sh                                   snakemake --cores all all
#   ./run.sh -n                                dry run
#   ./run.sh compress                          one stage and what it needs
#   ./run.sh --configfile config/test.yaml     another configuration
#   ./run.sh diff results/a results/b          what differs between two results
#   ./run.sh init my.yaml --pictures FOLDER    a configuration for your own pictures or model
#   ./run.sh inspect model.tflite              the layers of a model file
#   ./run.sh optimize my.keras --output OUT    a model file as the folder for the device
#   ./run.sh --help                            targets, options, examples
# With QATFLOW_FOLDER=FOLDER it works in that folder: pictures, configuration and results are there, and not here.
# The arguments of `run` are Snakemake's; all cores are used unless they say where jobs run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./setup.sh

help() {
    cat <<'END'
qatflow: pictures and a classifier in; a measured int8 model on an ARM device out.

    ./run.sh [run] [TARGET …] [OPTION …]              run the workflow (or what is due of it)
    ./run.sh init FILE --pictures FOLDER              write a configuration for your pictures,
                       --model FILE                   your model, or both
    ./run.sh inspect MODEL                            the layers of a model file: types, scales, widths
    ./run.sh optimize MODEL --output FOLDER           a model file as the folder with the .tflite for the device
    ./run.sh diff RESULTS OTHER_RESULTS               what differs between two results

`qatflow` in the activated environment has the same five commands; `./run.sh COMMAND --help` explains one. Without a
model behind them, inspect and optimize are the targets of these names.

Targets, each with what it needs (without one: all):
    data         the pictures, split and prepared
    pretrained   the float model, with its measured accuracy
    compress     the network trained for int8
    export       float/, int8/ and mobile/
    optimize     the .tflite for the device
    microcontroller  the .tflite as C++ source for microcontrollers
    build_demo   the C++ program for the device
    run_demo     its run on the device, compared with the host
    evaluate     accuracy on the test pictures
    inspect      the noise of quantisation, layer by layer
    report       results/<experiment>/report/report.html
    compare      the comparison of several experiments
    all          everything but microcontroller

Options, most used first:
    -n                        only say what would run, why, and for how long
    --configfile FILE …       your settings; later files replace keys of earlier ones
    --config KEY=VALUE …      single settings: --config seed=2 'data={validation: 500}'
    --cores N                 use N cores instead of all
    --verbose                 show all of Snakemake's messages instead of ours
    --forcerun RULE …         run a rule's jobs again, and what depends on them
    --keep-going              after an error finish what does not depend on the failed job
    --workflow-profile DIR    run on a cluster: profiles/slurm, kubernetes or cluster-generic
    --report FILE.html        Snakemake's own report of the last run
    --quiet                   only errors and the results

Examples:
    ./run.sh -n                                       what the default configuration would do
    ./run.sh --configfile config/test.yaml            everything on small data, in 1 to 1.5 minutes
    ./run.sh init my.yaml --pictures ~/flowers        look at a folder of pictures
    ./run.sh --configfile my.yaml                     and run on it
    ./run.sh evaluate --configfile my.yaml --config seed=2

After Ctrl-C or an error the same command continues where it stopped. All settings: config/README.md.
All of Snakemake's options: ./run.sh --snakemake-help
END
}

case "${1:-}" in
    --help | -h)
        help
        exit
        ;;
esac
set_up
folder="${QATFLOW_FOLDER:-$root}"
cd "$folder" || fail "QATFLOW_FOLDER is $folder, which cannot be entered: make that folder, or unset it"
exec "$venv/bin/python" -m qatflow.commands.run_sh "$@"
