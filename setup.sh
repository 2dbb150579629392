# shellcheck shell=bash
# Set-up for run.sh and test.sh, which source this file and then call `set_up`. It installs what is missing:
# system packages by apt, and the Python packages of requirements.lock into .venv. If nothing is missing it takes a few
# hundredths of a second. Where there is no apt, it prints the command of the package manager that is there.
#
#   PYTHON=python3.12          the Python to build .venv with: 3.11, 3.12 or 3.13 (default: the newest that is there)
#   QATFLOW_NO_APT=1           continue without the system packages (stages that need them fail with their own message)
#
# Images run it as a program: `bash setup.sh packages` (as root), then `bash setup.sh python`.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
venv="$root/.venv"
stamp="$venv/qatflow-setup" # written last: with it .venv is whole
pythons=(3.13 3.12 3.11) # newest first; pyproject.toml has the same
one_of_them="Python 3.11, 3.12 or 3.13"
own_uv="$root/.snakemake/uv"
package_table="$root/src/qatflow/base/system_packages.txt"
wanted_when=(setup cross) # which of its lines set-up installs

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

quietly() { # runs a command, whose words are shown only if it fails. 9: the lock; a daemon it starts must not hold it
    local printed status=0
    printed="$("$@" 2>&1 9>&-)" || status=$?
    ((status == 0)) || say "$printed"
    return "$status"
}

set_up() {
    if [[ -z "$(missing apt "${wanted_when[@]}")" ]] && venv_is_current; then
        return
    fi
    refuse_without_apt
    mkdir -p "$root/.snakemake" # git ignores it
    exec 9>"$root/.snakemake/setup.lock"
    if ! flock --nonblock 9; then
        say "set-up: waiting for another set-up in this folder"
        flock 9
    fi
    local python='' version='' needs=() starters=()
    if venv_is_current; then # another set-up may have made it while we waited
        install_packages
    elif only_the_project_changed; then
        install_packages
        say "set-up: pyproject.toml changed; installing the project again"
        rm "$stamp"
        install_project
    else
        choose_python
        install_packages "${needs[@]}"
        [[ -n "$python" || ${#needs[@]} == 0 ]] || choose_python
        [[ -n "$python" ]] || python_by_uv
        make_venv
    fi
    exec 9>&-
}

# --- Python packages

wanted_stamp() { # what .venv was made from, and where: its programs name their folder
    (cd "$root" && sha256sum requirements.lock pyproject.toml && printf '%s\n' "$root")
}

venv_is_current() {
    [[ -f "$stamp" && "$(<"$stamp")" == "$(wanted_stamp)" ]] && has_its_python
}

only_the_project_changed() {
    local lock
    lock="$(sha256sum "$root/requirements.lock")"
    [[ -f "$stamp" && "$(head -n 1 "$stamp")" == "${lock%% *}"* && "$(tail -n 1 "$stamp")" == "$root" ]] &&
        has_its_python
}

has_its_python() { # .venv has the Python that it was made by, and that is the one of $PYTHON
    [[ -x "$venv/bin/python" ]] || return 1
    local made_by number file
    made_by="$(sed -n 's/^executable = //p' "$venv/pyvenv.cfg")"
    # an upgrade of the system puts another Python behind the same name
    [[ "$(readlink -f "$venv/bin/python")" == "$made_by" ]] || return 1
    if [[ -n "${PYTHON:-}" ]]; then
        IFS=$'\t' read -r number file _ < <(describe_python "$PYTHON") && [[ "$file" == "$made_by" ]]
    fi
}

describe_python() { # prints the version, the file and what it lacks, if anything; prints nothing if it does not start
    "$1" -I -c '
import os, sys, sysconfig
def lacking(*modules):
    lacks = []
    for module in modules:
        try:
            __import__(module)
        except ImportError:
            lacks.append(module)
    return lacks
lacks = lacking("bz2", "ctypes", "lzma", "sqlite3", "ssl", "zlib")
if sys.implementation.name != "cpython":
    lacks.append("CPython (it is %s)" % sys.implementation.name)
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    lacks.append("the global interpreter lock, which TensorFlow needs")
if sys.maxsize < 2**32:
    lacks.append("64 bits")
if os.path.realpath(sys.prefix) == os.path.realpath(sys.argv[1]):
    lacks.append("a place outside .venv, which is to be replaced")
if not lacks and lacking("ensurepip", "venv"):
    lacks = ["venv"] + lacking("pip")
print("%d.%d\t%s\t%s" % (sys.version_info[0], sys.version_info[1], os.path.realpath(sys.executable), ", ".join(lacks)))
' "$venv" 2>/dev/null
}

# Sets python and version: the newest that is whole; else the newest that lacks only Debian's package for virtual
# environments, which is then in needs. If there is none, python is empty, and starters are those that can install uv.
choose_python() {
    local candidate number='' file lacks='' why candidates
    local -A whole=() without_venv=()
    python='' needs=() starters=()
    mapfile -t candidates < <(type -aP python3 "${pythons[@]/#/python}")
    [[ -z "${PYTHON:-}" ]] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        # some do not start: pyenv has a program for each version that is installed, chosen or not
        IFS=$'\t' read -r number file lacks < <(describe_python "$candidate") || continue
        case "$lacks" in
            '') whole[$number]="${whole[$number]:-$candidate}" starters+=("$candidate") ;;
            venv) without_venv[$number]="${without_venv[$number]:-$candidate}" starters+=("$candidate") ;;
            venv,*) without_venv[$number]="${without_venv[$number]:-$candidate}" ;;
            *)
                [[ -n "${PYTHON:-}" || " ${pythons[*]} " != *" $number "* ]] ||
                    say "set-up: not using $candidate: it lacks $lacks"
                ;;
        esac
    done
    for version in "${pythons[@]}"; do
        python="${whole[$version]:-}"
        [[ -z "$python" ]] || return 0
    done
    for version in "${pythons[@]}"; do
        candidate="${without_venv[$version]:-}"
        if [[ -n "$candidate" && -n "${QATFLOW_NO_APT:-}" ]]; then
            say "set-up: not using $candidate: it lacks venv (Debian and Ubuntu: apt-get install python$version-venv)"
        elif [[ -n "$candidate" ]]; then
            python="$candidate" needs=("python$version-venv")
            return
        fi
    done
    if [[ -n "${PYTHON:-}" ]]; then
        if [[ -z "$number" ]]; then
            why="does not start"
        elif [[ " ${pythons[*]} " != *" $number "* ]]; then
            why="is Python $number"
        else
            why="lacks $lacks"
        fi
        fail "PYTHON=$PYTHON $why: name a $one_of_them, or unset PYTHON"
    fi
    if ((${#starters[@]} == 0)) && ! command -v uv >/dev/null && [[ -z "${QATFLOW_NO_APT:-}" ]]; then
        needs=(python3-venv)
    fi
}

python_by_uv() { # sets python and version: uv's newest; it gets one if it has none
    local uv
    uv="$(type -P uv)" || install_uv
    for version in "${pythons[@]}"; do
        if python="$(of_uv find "$version" 2>/dev/null)"; then
            say "set-up: there is no $one_of_them in PATH; using uv's: $python"
            return
        fi
    done
    version="${pythons[0]}"
    say "set-up: there is no $one_of_them; uv is getting Python $version into $(of_uv dir)"
    quietly of_uv install "$version" && python="$(of_uv find "$version")" ||
        no_python "uv could not get Python $version; see above"
}

of_uv() { # uv python …, without what it would see in this folder
    local option=()
    [[ "$1" != find ]] || option=(--no-project --system)
    UV_PYTHON_PREFERENCE=only-managed UV_PYTHON_INSTALL_BIN=0 "$uv" python "$1" "${option[@]}" "${@:2}"
}

install_uv() { # from PyPI, the version of requirements.lock; sets uv
    local starter
    uv="$own_uv/bin/uv"
    ! "$uv" --version >/dev/null 2>&1 || return 0
    ((${#starters[@]} > 0)) || no_python "there is no $one_of_them, no uv, and no Python with pip to install uv"
    say "set-up: there is no $one_of_them in PATH; installing uv into .snakemake/uv"
    sed -n '/^uv==/,/[^\\]$/p' "$root/requirements.lock" >"$own_uv.lock"
    for starter in "${starters[@]}"; do
        local pip=("$starter" -m pip) into=(--target "$own_uv")
        rm -rf "$own_uv"
        if "$starter" -m venv "$own_uv" >/dev/null 2>&1; then # what has no venv has pip
            pip=("$own_uv/bin/python" -m pip) into=()
        fi
        ! quietly "${pip[@]}" --disable-pip-version-check --no-input --quiet install --require-hashes \
            --requirement "$own_uv.lock" "${into[@]}" || return 0
    done
    no_python "uv could not be installed; see above"
}

no_python() { # $1: why
    fail "$1. Install a $one_of_them (Debian and Ubuntu: apt-get install python3-venv), or give its path:" \
        "PYTHON=/path/to/python3.13 $0"
}

make_venv() {
    say "set-up: installing $(grep -c '==' "$root/requirements.lock") Python packages into .venv, with" \
        "Python $version (some minutes)"
    rm -rf "$venv" # a half-made or an older one: what it holds cannot be trusted
    "$python" -m venv "$venv" || fail "$python could not create the virtual environment $venv; see above"
    pip install --require-hashes --requirement "$root/requirements.lock"
    install_project
}

install_project() {
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

package_manager() { # the first that is here; apt's names are the best known
    local manager
    for manager in apt-get dnf pacman zypper brew; do
        if command -v "$manager" >/dev/null; then
            printf '%s\n' "${manager%-get}"
            return
        fi
    done
    printf 'apt\n'
}

is_arm64() { case "$(uname -m)" in aarch64 | arm64) ;; *) return 1 ;; esac }

is_there() { # $1: programs or absolute paths with | between them, of which one is enough
    local name
    local -a names
    IFS='|' read -ra names <<<"$1"
    for name in "${names[@]}"; do
        if [[ "$name" == /* ]]; then
            [[ ! -e "$name" ]] || return 0
        elif command -v "$name" >/dev/null; then
            return 0
        fi
    done
    return 1
}

missing() { # $1: a package manager; $2 …: when, as in the table. Prints lines of a package, or `none`, and what it has
    local when what apt dnf pacman zypper brew
    [[ -z "${QATFLOW_NO_APT:-}" ]] || return 0
    while read -r when what apt dnf pacman zypper brew; do
        case "$when" in "#"* | "") continue ;; esac
        [[ " ${*:2} " == *" $when "* ]] || continue
        is_there "$what" || { [[ "$when" == cross ]] && is_arm64; } || printf '%s %s\n' "${!1}" "$what"
    done <"$package_table"
}

install_packages() { # what is missing, and the packages that are given
    local -a packages=()
    local optional=() as_root=() # as_root is for apt_get
    local package what
    while read -r package what; do packages+=("$package"); done < <(missing apt "${wanted_when[@]}")
    packages+=("$@")
    while read -r package what; do optional+=("$package"); done < <(missing apt extra)
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

refuse_without_apt() { # ends the program where packages are missing and another package manager has to install them
    local manager package what
    local -a packages=() without=()
    manager="$(package_manager)"
    [[ "$manager" != apt ]] || return 0
    while read -r package what; do
        if [[ "$package" == none ]]; then
            without+=("${what%%|*}")
        else
            packages+=("$package")
        fi
    done < <(missing "$manager" "${wanted_when[@]}")
    ((${#packages[@]} + ${#without[@]} > 0)) || return 0
    if ((${#packages[@]} > 0)); then
        say "error: these system packages are missing, and set-up installs packages by apt only:"
        printf '    %s\n' "${packages[@]}" >&2
        say "Install them: $(install_command "$manager") ${packages[*]}"
    fi
    if ((${#without[@]} > 0)); then
        say "error: $manager has no package with what is needed for:"
        for what in "${without[@]}"; do say "    $(use_instead "$what")"; done
        say "docs/hosts.md says more."
    fi
    say "Run this again afterwards, or continue without them: QATFLOW_NO_APT=1 $0"
    exit 1
}

install_command() { # $1: a package manager; src/qatflow/base/system_packages.py has the same
    case "$1" in
        dnf) printf 'dnf install\n' ;;
        pacman) printf 'pacman -S\n' ;;
        zypper) printf 'zypper install\n' ;;
        brew) printf 'brew install\n' ;;
    esac
}

use_instead() { # $1: what has no package; prints what is not possible without it, and what to use in its place
    case "$1" in
        aarch64-linux-gnu-g++)
            printf '%s: building for arm64 (a cross compiler with its C and C++ libraries). Use the container or an arm64\n' "$1"
            printf '      computer; for phones alone, the Android NDK (device.toolchain: clang)\n'
            ;;
        qemu-aarch64-static)
            printf '%s: the emulator. Use a phone, a board (device.type: adb or ssh), or the container\n' "$1"
            ;;
        *) printf '%s: building the program for the device. Use the container\n' "$1" ;;
    esac
}

apt_get() { # as root, asking nothing, waiting for another apt
    local command="$1"
    shift
    local -a options=(--quiet --quiet --option DPkg::Lock::Timeout=300)
    [[ "$command" == update ]] || options+=(--yes --no-install-recommends)
    quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" "$command" "$@"
}

for_an_image() { # $1: the step
    case "${1:-}" in
        packages)
            wanted_when+=(image)
            install_packages
            rm -rf /var/lib/apt/lists/* # an image keeps no lists of packages
            ;;
        python) set_up ;;
        *) fail "setup.sh is sourced by run.sh and test.sh; images call it with packages, then with python" ;;
    esac
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then
    set -euo pipefail
    for_an_image "$@"
fi
