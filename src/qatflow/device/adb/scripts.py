"""Scripts for the device's own shell (toybox and mksh on Android, busybox elsewhere)."""

import re
from pathlib import PurePosixPath
from shlex import quote

HOME = "/data/local/tmp"
RUN, KEPT = "qatflow-run", "qatflow-kept"
EARLIER = ".earlier"  # in a run's folder: what a run before it was asked to keep
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
"""What a device says of itself whatever it is: the value may be empty."""
# Android keeps most kernel sensors from its shell, but tells those of its thermal service from version 10 on.
TEMPERATURES = """\
found=
for z in /sys/class/thermal/thermal_zone*; do
  t=$(cat "$z/temp" 2>/dev/null) && [ -n "$t" ] || continue
  found=1
  echo "zone=$(cat "$z/type" 2>/dev/null)|$t"
done
[ -n "$found" ] || dumpsys -t 5 thermalservice 2>/dev/null || true
"""
MOUNTS = "cat /proc/mounts 2>/dev/null"


def make_folder(folder: str) -> str:
    """Make a run's folder, take over what an earlier run kept, and print the names of all runs' folders.

    A rename has one winner, so of two runs at once one alone takes it over.
    """
    return (
        f"mkdir -p {folder} || exit $?; for kept in {HOME}/{KEPT}-*; do "
        f'[ -d "$kept" ] && mv "$kept" {folder}/{EARLIER} 2>/dev/null && break; done; '
        f'for run in {HOME}/{RUN}-*; do [ -d "$run" ] && echo "${{run##*/}}"; done; true'
    )


def keep_folder(folder: str, kept: str) -> str:
    """Leave a run's folder under the name `kept`, the only one that is kept."""
    return f"rm -rf {folder}/{EARLIER} {HOME}/{KEPT}-* && mv {folder} {kept}"


def look_for(folder: str, name: str, sha256: str, mode: str) -> str:
    """Print `THERE` if a file of this sum is there or was kept, which is put in place then; else the free space."""
    place, earlier, parent = quote(f"{folder}/{name}"), quote(f"{folder}/{EARLIER}/{name}"), _parent(folder, name)
    return (
        f"for f in {place} {earlier}; do "
        '[ -f "$f" ] || continue; s=$(sha256sum < "$f") || exit $?; '
        f'[ "${{s%% *}}" = {sha256} ] || continue; '
        f'mkdir -p {parent} && chmod {mode} "$f" && {{ [ "$f" = {place} ] || mv -f "$f" {place}; }} || exit $?; '
        f"echo {THERE}; exit 0; done; df -kP {HOME} 2>/dev/null || true"
    )


def settle(folder: str, temporary: str, name: str, sha256: str, mode: str) -> str:
    """Put a file that was pushed in its place if its sum is right; else remove it and exit with `SUM_DIFFERS`."""
    place = quote(f"{folder}/{name}")
    return (
        f"s=$(sha256sum < {temporary}) || exit $?; "
        f'[ "${{s%% *}}" = {sha256} ] || {{ rm -f {temporary}; exit {SUM_DIFFERS}; }}; '
        f"mkdir -p {_parent(folder, name)} && chmod {mode} {temporary} && mv -f {temporary} {place}"
    )


def _parent(folder: str, name: str) -> str:
    return quote(str(PurePosixPath(folder, name).parent))
