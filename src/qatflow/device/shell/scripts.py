"""Scripts for the device's own shell: mksh with toybox on Android; dash, bash or busybox on boards."""

import re
from pathlib import PurePosixPath
from shlex import quote

RUN, KEPT = "qatflow-run", "qatflow-kept"
EARLIER = ".earlier"  # in a run's folder: the folder that an earlier run kept
THERE = "there"
SUM_DIFFERS = 99
DESCRIBE = """\
echo machine=$(uname -m)
echo kernel=$(uname -sr)
echo abis=$(getprop ro.product.cpu.abilist 2>/dev/null)
echo abi=$(getprop ro.product.cpu.abi 2>/dev/null)
echo maker=$(getprop ro.product.manufacturer 2>/dev/null)
echo model=$(getprop ro.product.model 2>/dev/null)
echo android=$(getprop ro.build.version.release 2>/dev/null)
echo virtual=$(getprop ro.boot.qemu 2>/dev/null)$(getprop ro.kernel.qemu 2>/dev/null)
echo board=$( { cat /proc/device-tree/model | tr -d '\\0'; } 2>/dev/null)
echo soc=$(getprop ro.soc.model 2>/dev/null)
echo cores=$(nproc 2>/dev/null || grep -c '^processor' /proc/cpuinfo 2>/dev/null)
echo governor=$(cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor 2>/dev/null)
for p in /sys/devices/system/cpu/cpufreq/policy*; do
  [ -d "$p" ] || continue
  line=
  for file in related_cpus scaling_governor scaling_min_freq scaling_max_freq cpuinfo_max_freq; do
    line="$line|$(cat "$p/$file" 2>/dev/null)"
  done
  echo "frequency=${line#|}"
done
echo features=$(grep -m1 '^Features' /proc/cpuinfo 2>/dev/null)
"""
DESCRIBED = frozenset(re.findall(r"^echo (\w+)=", DESCRIBE, re.MULTILINE))
"""The keys that every device prints; their values may be empty."""
# Android hides most kernel sensors from its shell, but shows those of its thermal service from version 10 on.
TEMPERATURES = """\
readable=
for z in /sys/class/thermal/thermal_zone*; do
  t=$(cat "$z/temp" 2>/dev/null) && [ -n "$t" ] || continue
  readable=1
  echo "zone=$(cat "$z/type" 2>/dev/null)|$t"
done
[ -n "$readable" ] || dumpsys -t 5 thermalservice 2>/dev/null || true
"""
MOUNTS = "cat /proc/mounts 2>/dev/null"


def make_folder(home: str, folder: str) -> str:
    """Make a run's folder, move in the folder that an earlier run kept, and print the names of all runs' folders.

    A rename has one winner: of two runs at once, only one gets the kept folder.

    Args:
        home: where runs have their folders, an absolute path.
        folder: the run's own, below it.
    """
    own, earlier = quote(folder), quote(f"{folder}/{EARLIER}")
    return (
        f"mkdir -p {own} || exit $?; for kept in {quote(home)}/{KEPT}-*; do "
        f'[ -d "$kept" ] && mv "$kept" {earlier} 2>/dev/null && break; done; '
        f'for run in {quote(home)}/{RUN}-*; do [ -d "$run" ] && echo "${{run##*/}}"; done; true'
    )


def keep_folder(home: str, folder: str, kept: str) -> str:
    """Rename a run's folder to `kept`, and remove any folder kept before."""
    return f"rm -rf {quote(f'{folder}/{EARLIER}')} {quote(home)}/{KEPT}-* && mv {quote(folder)} {quote(kept)}"


def look_for(folder: str, name: str, sha256: str, mode: str) -> str:
    """Print `THERE` if this file is in place, or was kept and can be moved there; else the free space."""
    place, earlier, parent = quote(f"{folder}/{name}"), quote(f"{folder}/{EARLIER}/{name}"), _parent(folder, name)
    return (
        f"for f in {place} {earlier}; do "
        '[ -f "$f" ] || continue; s=$(sha256sum < "$f") || exit $?; '
        f'[ "${{s%% *}}" = {sha256} ] || continue; '
        f'mkdir -p {parent} && chmod {mode} "$f" && {{ [ "$f" = {place} ] || mv -f "$f" {place}; }} || exit $?; '
        f"echo {THERE}; exit 0; done; df -kP {quote(folder)} 2>/dev/null || true"
    )


def settle(folder: str, temporary: str, name: str, sha256: str, mode: str) -> str:
    """Move a sent file into place if its checksum is right; else remove it and exit with `SUM_DIFFERS`."""
    place, sent = quote(f"{folder}/{name}"), quote(temporary)
    return (
        f"s=$(sha256sum < {sent}) || exit $?; "
        f'[ "${{s%% *}}" = {sha256} ] || {{ rm -f {sent}; exit {SUM_DIFFERS}; }}; '
        f"mkdir -p {_parent(folder, name)} && chmod {mode} {sent} && mv -f {sent} {place}"
    )


def _parent(folder: str, name: str) -> str:
    return quote(str(PurePosixPath(folder, name).parent))
