"""A small program for aarch64 that does as it is told, and demos that go wrong in each way that a demo can."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.device_fixtures import require

# Linked statically, so that it needs no loader.
SOURCE = r"""
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int count, char** words) {
  const char* what = count > 1 ? words[1] : "";
  if (!strcmp(what, "exit")) { puts("a b"); fputs("oops\n", stderr); return atoi(words[2]); }
  if (!strcmp(what, "sleep")) { sleep(atoi(words[2])); return 0; }
  if (!strcmp(what, "illegal")) { __asm__(".word 0"); return 0; }
  if (!strcmp(what, "crash")) { raise(SIGSEGV); return 0; }
  if (!strcmp(what, "abort")) abort();
  if (!strcmp(what, "write")) { FILE* f = fopen(words[2], "w"); return !f || fputs(words[3], f) < 0 || fclose(f); }
  if (!strcmp(what, "inode")) {
    struct stat found;
    if (stat(words[2], &found)) return 1;
    printf("%lu %o\n", (unsigned long)found.st_ino, found.st_mode & 0777);
    return 0;
  }
  return 99;
}
"""
HEADERS = "#include <stdio.h>\n#include <unistd.h>\n"
# What a demo in its place does, whatever its flags.
DEMOS = {
    "illegal": '__asm__(".word 0");',
    "crash": "*(volatile int*)0 = 1;",
    "rubbish": r'puts("\x01\xff rubbish");',
    "silent": "",
    "endless": "for (;;) sleep(1);",
    "text only": 'puts("Output dim: 10"); for (int i = 0; i < 10; ++i) printf("Output[%d]: 0.1\\n", i);',
    "no numbers": r"""
      puts("Output dim: 10");
      for (int i = 0; i < 10; ++i) puts("Output[x]: banana");
      FILE* f = fopen("timing.json", "w"); fputs("{}", f); fclose(f);""",
    "bad times": r"""
      puts("Output dim: 10");
      for (int i = 0; i < 10; ++i) printf("Output[%d]: 0.100000\n", i);
      FILE* f = fopen("timing.json", "w"); fputs("{ no json", f); fclose(f);""",
}


def compile_for_arm(source: Path, program: Path, *flags: str) -> Path:
    command = ["aarch64-linux-gnu-gcc", "-O1", *flags, "-o", str(program), str(source)]
    subprocess.run(command, check=True)
    return program


@pytest.fixture(scope="session")
def behave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that does as it is told."""
    require("aarch64-linux-gnu-gcc")
    folder = tmp_path_factory.mktemp("behave")
    (folder / "behave.c").write_text(SOURCE)
    return compile_for_arm(folder / "behave.c", folder / "behave", "-static")


@pytest.fixture(scope="session")
def make_demo(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a bundle whose demo is one of `DEMOS`, linked statically or (`linked`) with a loader that is not there."""
    require("aarch64-linux-gnu-gcc")
    made: dict[tuple[str, bool], Path] = {}

    def make(name: str, linked: bool = False) -> Path:
        if (name, linked) not in made:
            folder = tmp_path_factory.mktemp("bad") / "inference_lite_lib.android.armv8"
            place = folder / "demo" / "cxx" / "mobile_light"
            place.mkdir(parents=True)
            source = folder / "demo.c"
            source.write_text(
                f"#include <stdio.h>\n#include <unistd.h>\nint main(void) {{ {DEMOS[name]} return 0; }}\n"
            )
            compile_for_arm(source, place / "mobilenetv1_light_api", *([] if linked else ["-static"]))
            told = {
                "format_version": 1, "target": "android.armv8", "machine": "aarch64", "loader": None,
                "libraries": [], "litert_version": None,
            }  # fmt: skip
            (folder / "manifest.json").write_text(json.dumps(told))
            made[name, linked] = folder
        return made[name, linked]

    return make
