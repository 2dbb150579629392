# shellcheck shell=bash
# Set-up for run.sh and test.sh, which source this file and then call `set_up`. It installs what is missing:
# system packages by apt, and the Python packages of requirements.lock into .venv. If nothing is missing it takes a few
# hundredths of a second.
#
#   PYTHON=python3.11          the Python 3.11 to build .venv with
#   QATFLOW_NO_APT=1           continue without the system packages (stages that need them fail with their own message)

root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
venv="$root/.venv"
stamp="$venv/qatflow-setup" # written last: with it .venv is whole
stb=/usr/include/stb/stb_image.h
fashion=/usr/share/datasets/fashion-mnist

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

quietly() { # runs a command, whose words are shown only if it fails. 9: the lock; a daemon it starts must not hold it
    local printed status=0
    printed="$("$@" 2>&1 9>&-)" || status=$?
    ((status == 0)) || say "$printed"
    return "$status"
}

set_up() {
    if [[ -z "$(missing_packages)" ]] && venv_is_current; then
        return
    fi
    mkdir -p "$root/.snakemake" # git ignores it
    exec 9>"$root/.snakemake/setup.lock"
    if ! flock --nonblock 9; then
        say "set-up: waiting for another set-up in this folder"
        flock 9
    fi
    local python=
    if ! venv_is_current; then # another set-up may have made it while we waited
        python="$(find_python)"
    fi
    install_packages "$python"
    if [[ -n "$python" ]]; then
        make_venv "$python"
    fi
    exec 9>&-
}

# --- Python packages

wanted_stamp() { # what .venv was made from, and where: its programs name their folder
    (cd "$root" && sha256sum requirements.lock pyproject.toml && printf '%s\n' "$root")
}

venv_is_current() {
    [[ -f "$stamp" && -x "$venv/bin/python" && "$(<"$stamp")" == "$(wanted_stamp)" ]]
}

is_python_3_11() {
    command -v "$1" >/dev/null && [[ "$("$1" -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null)" == "3 11" ]]
}

find_python() {
    local candidate
    if [[ -n "${PYTHON:-}" ]]; then
        is_python_3_11 "$PYTHON" || fail "PYTHON=$PYTHON is not Python 3.11: name one that is, or unset PYTHON"
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3 python3.11; do
        if is_python_3_11 "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "Python 3.11 is needed, and neither python3 nor python3.11 is one." \
        "Install it (Debian 12: apt-get install python3.11) or give its path: PYTHON=/path/to/python3.11 $0"
}

has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

make_venv() { # $1: a Python 3.11
    local lock
    lock="$(sha256sum "$root/requirements.lock")"
    if [[ -f "$stamp" && -x "$venv/bin/python" && "$(head -n 1 "$stamp")" == "${lock%% *}"* &&
        "$(tail -n 1 "$stamp")" == "$root" ]]; then
        say "set-up: pyproject.toml changed; installing the project again"
        rm "$stamp"
    else
        say "set-up: installing $(grep -c '==' "$root/requirements.lock") Python packages into .venv (some minutes)"
        rm -rf "$venv" # a half-made or an older one: what it holds cannot be trusted
        "$1" -m venv "$venv" || fail "$1 could not create the virtual environment $venv; see above"
        pip install --require-hashes --requirement "$root/requirements.lock"
    fi
    pip install --no-deps --no-build-isolation --editable "$root"
    wanted_stamp >"$stamp.new"
    mv "$stamp.new" "$stamp"
    say "set-up: done"
}

pip() {
    quietly "$venv/bin/python" -m pip --disable-pip-version-check --no-input --quiet "$@" ||
        fail "the Python packages could not be installed; see above. Run this again to retry"
}

# --- system packages

missing_packages() { # one a line, from what can be called or is there
    local wanted
    [[ -z "${QATFLOW_NO_APT:-}" ]] || return 0
    for wanted in \
        aarch64-linux-gnu-g++:g++-aarch64-linux-gnu \
        qemu-aarch64-static:qemu-user-static \
        adb:adb cmake:cmake make:make g++:g++; do
        command -v "${wanted%%:*}" >/dev/null || printf '%s\n' "${wanted#*:}"
    done
    [[ -f "$stb" ]] || printf 'libstb-dev\n'
}

install_packages() { # $1: the Python that is to make .venv, or nothing
    local -a packages
    local optional=() as_root=() # as_root is for apt_get
    mapfile -t packages < <(missing_packages)
    if [[ -z "${QATFLOW_NO_APT:-}" ]]; then
        if [[ -n "$1" ]] && ! has_venv "$1"; then
            packages+=(python3.11-venv)
        fi
        [[ -d "$fashion" ]] || optional=(dataset-fashion-mnist)
    elif [[ -n "$1" ]] && ! has_venv "$1"; then
        fail "$1 cannot create virtual environments; install Debian's python3.11-venv"
    fi
    if ((${#packages[@]} + ${#optional[@]} == 0)); then
        return
    fi
    if ! command -v apt-get >/dev/null; then
        refuse_packages "there is no apt-get here" "${packages[@]}" && return
    elif ((EUID != 0)); then
        if ! command -v sudo >/dev/null; then
            refuse_packages "this is not root, and there is no sudo" "${packages[@]}" && return
        elif ! sudo -n true 2>/dev/null && ! { [[ -t 0 ]] && sudo -v; }; then
            refuse_packages "sudo does not let this user install them" "${packages[@]}" && return
        fi
        as_root=(sudo)
    fi
    if ((${#packages[@]} > 0)); then
        say "set-up: installing the system packages ${packages[*]}"
        known_to_apt "${packages[@]}" || apt_get update || true
        # a list that is out of date names files that are gone
        apt_get install "${packages[@]}" 2>/dev/null || { apt_get update && apt_get install "${packages[@]}"; } ||
            fail "apt-get could not install ${packages[*]}; see above"
    fi
    if ((${#optional[@]} > 0)); then
        known_to_apt "${optional[@]}" || apt_get update || true
        if known_to_apt "${optional[@]}" && apt_get install "${optional[@]}"; then
            say "set-up: installed ${optional[*]}"
        else
            say "set-up: apt cannot install ${optional[*]}; the data set will be downloaded when it is needed"
        fi
    fi
}

install_for_tests() { # Slurm (root alone) and Chromium: without them their tests are skipped, by name. ccache: faster
    local wanted
    local -a packages=() as_root=()
    for wanted in munged:munge slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client ccache:ccache \
        chromium:chromium; do
        command -v "${wanted%%:*}" >/dev/null || packages+=("${wanted#*:}")
    done
    if ((${#packages[@]} == 0)) || [[ -n "${QATFLOW_NO_APT:-}" ]] || ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        return
    fi
    say "set-up: installing the system packages ${packages[*]}"
    known_to_apt "${packages[@]}" || apt_get update || true
    apt_get install "${packages[@]}" ||
        say "set-up: apt cannot install ${packages[*]}; without Slurm and Chromium their tests are skipped"
}

known_to_apt() {
    local package
    for package in "$@"; do
        apt-cache show "$package" >/dev/null 2>&1 || return 1
    done
}

refuse_packages() { # $1: why; then the packages. Ends the program unless only optional ones are missing
    local why="$1"
    shift
    if (($# == 0)); then
        say "set-up: Fashion-MNIST is not installed ($why); it will be downloaded when it is needed"
        return
    fi
    say "error: these Debian packages are missing, and $why:"
    printf '    %s\n' "$@" >&2
    say "Install them (apt-get install $*) and run this again, or continue without them: QATFLOW_NO_APT=1 $0"
    exit 1
}

apt_get() { # as root, asking nothing, waiting for another apt
    local command="$1"
    shift
    local -a options=(--quiet --quiet --option DPkg::Lock::Timeout=300)
    [[ "$command" == update ]] || options+=(--yes --no-install-recommends)
    quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" "$command" "$@"
}
