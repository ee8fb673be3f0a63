"""Completion of `mti` in a shell: a few lines for each shell, which ask the program what may come next."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import sys
from collections.abc import Sequence

from mti.schema import Generate
from mti.typed import settings_of

COMPOSED = ("run", "generate", "download")  # commands whose settings Hydra knows
FLAGS = ("--dry-run", "--multirun")  # of run

SCRIPTS = {
    "bash": r"""_mti() {
    local line=${COMP_LINE:0:COMP_POINT} word before found
    word=${line##*[[:space:]]}
    COMPREPLY=()
    before=${word%"${word##*[=:]}"}  # bash takes what follows = or : for a word of its own
    while IFS= read -r found; do
        COMPREPLY+=("${found#"$before"}")
    done < <(COMP_LINE=$line mti -sc query=bash 2>/dev/null)
    [[ ${COMPREPLY[0]-} == *[=./] ]] && compopt -o nospace
}
complete -o default -F _mti mti""",
    "zsh": r"""_mti() {
    local line="${(j: :)words[1,CURRENT-1]} $PREFIX"
    local -a found=("${(@f)$(COMP_LINE=$line mti -sc query=zsh 2>/dev/null)}")
    [[ -n $found ]] || { _files; return }
    compadd -Q -S '' -- ${(M)found:#*[=./]}
    compadd -Q -- ${found:#*[=./]}
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _mti mti""",
    "fish": r"""function __mti_complete
    set -lx COMP_LINE (commandline -cp)
    mti -sc query=fish 2>/dev/null
end
complete -c mti -a '(__mti_complete)'
complete -c mti -n '__fish_seen_subcommand_from run generate download' -f""",
}


def script(shell: str) -> str:
    """What a shell has to evaluate; empty for one that is not known."""
    return SCRIPTS.get(shell, "")


def complete(line: str, commands: Sequence[str]) -> list[str]:
    """What the last word of a command line may become: a command, or a setting as Hydra knows it."""
    words = line.split()[1:]
    word = "" if line.endswith(" ") or not words else words.pop()
    if not words:
        return [name for name in commands if name.startswith(word)]
    if words[0] not in COMPOSED or words[0] not in commands:
        return []
    if words[0] == "run" and word.startswith("-"):
        return [flag for flag in FLAGS if flag.startswith(word)]
    words = [one for one in words if one not in FLAGS]
    offered = [found for found in _asked(words[0], [*words[1:], word]) if found.startswith(word)]
    if words[0] == "generate":  # Hydra offers the groups of a run as well
        offered = [found for found in offered if re.split("[=./]", found)[0] in settings_of(Generate)]
    return offered


def _asked(command: str, words: Sequence[str]) -> list[str]:
    """What Hydra offers; its plugins for shells read the line from the environment, and print."""
    os.environ["COMP_LINE"] = " ".join(["mti", *words])
    sys.argv = ["mti", "-sc", "query=fish"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        importlib.import_module(f"mti.{command}").main()
    return printed.getvalue().split("\n")[:-1]
