"""Completion scripts, made from the parser, so that no command is forgotten. Names of bays, rentals and incidents
are asked of the running daemon."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from vendingd.cli.client import Client
from vendingd.cli.exits import Exit
from vendingd.cli.parser import BAYS_SET, build
from vendingd.cli.show import Screen

# What stands in for a word, by the name of the argument.
NAMES = {
    "bay": "bays --ids",
    "rental": "rentals --ids",
    "incident": "incident list --ids",
}
FILES = ("file", "path", "socket", "site", "state_dir")


@dataclass(frozen=True, slots=True)
class Node:
    """One command: `path` as typed, the words and options that may follow, what names it takes."""

    path: str
    words: tuple[tuple[str, str], ...]  # subcommands or choices, with help
    options: tuple[tuple[str, str], ...]
    names: str | None  # a command that lists them
    file: bool  # a file's name is wanted
    file_options: tuple[str, ...]  # options that are followed by one


def completion(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    nodes = tree()
    screen.line({"bash": bash, "zsh": zsh, "fish": fish}[args.shell](nodes).rstrip())
    return Exit.OK


def tree() -> list[Node]:
    """Every command of the parser, the top one first with an empty path."""
    return list(_walk(build({}), ""))


def _walk(parser: argparse.ArgumentParser, path: str) -> Iterator[Node]:
    words: list[tuple[str, str]] = []
    options: list[tuple[str, str]] = []
    below: list[tuple[argparse.ArgumentParser, str]] = []
    names, file = None, False
    file_options: list[str] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {one.dest: one.help or "" for one in action._choices_actions}
            for word, inner in action.choices.items():
                below.append((inner, "bays set" if word == BAYS_SET else f"{path} {word}".strip()))
                if word != BAYS_SET:
                    words.append((word, helps.get(word, "")))
        elif action.option_strings:
            options.append((action.option_strings[-1], action.help or ""))
            words += [(str(choice), "") for choice in action.choices or ()]
            file_options += action.option_strings if action.dest in FILES else ()
        elif action.choices is not None:
            words += [(str(choice), "") for choice in action.choices]
        else:
            names = names or NAMES.get(action.dest)
            file = file or action.dest in FILES
    if path == "bays":
        words.append(("set", "say what is in a bay"))
    yield Node(path, tuple(words), tuple(options), names, file, tuple(file_options))
    for inner, name in below:
        yield from _walk(inner, name)


def _cases(nodes: list[Node]) -> str:
    """Shell cases that set words and names for a command's path."""
    lines = []
    for node in nodes:
        words = " ".join([word for word, _ in node.words] + [option for option, _ in node.options])
        asked = f"; names='{node.names}'" if node.names else ""
        files = "; files=1" if node.file else ""
        lines.append(f"    '{node.path}') words='{words}'{asked}{files} ;;")
    return "\n".join(lines)


def _paths(nodes: list[Node]) -> str:
    return "|".join(f"'{node.path}'" for node in nodes if node.path)


def _file_options(nodes: list[Node]) -> str:
    return "|".join(sorted({option for node in nodes for option in node.file_options}))


# Not "path": in zsh that is where programs are found.
_PATH = """  local typed='' word socket=() names='' words='' files=''
  for ((n = 1; n < {at}; n++)); do
    word="{item}"
    if [[ $word == --socket ]]; then socket=(--socket "{following}"); fi
    case "${{typed:+$typed }}$word" in
      {paths}) typed="${{typed:+$typed }}$word" ;;
    esac
  done
  case "$typed" in
{cases}
  esac
  case "{before}" in
    {file_options}) files=1; names='' ;;
  esac
  if [[ -n $names ]]; then words="$words $(vendingctl "${{socket[@]}}" $names 2>/dev/null)"; fi
"""


def bash(nodes: list[Node]) -> str:
    middle = _PATH.format(
        at="COMP_CWORD",
        item="${COMP_WORDS[n]}",
        following="${COMP_WORDS[n + 1]}",
        before="${COMP_WORDS[COMP_CWORD - 1]}",
        file_options=_file_options(nodes),
        paths=_paths(nodes),
        cases=_cases(nodes),
    )
    return (
        "# bash completion of vendingctl: vendingctl completion bash > /etc/bash_completion.d/vendingctl\n"
        "_vendingctl() {\n"
        '  local current="${COMP_WORDS[COMP_CWORD]}" n\n'
        "  COMPREPLY=()\n"
        f"{middle}"
        "  if [[ -n $files && $current != -* ]]; then\n"
        "    compopt -o filenames 2>/dev/null\n"  # outside of a completion there is none to be told
        '    while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$current")\n'
        "    return\n"
        "  fi\n"
        "  local IFS=$' \\t\\n' all\n"
        "  read -r -d '' -a all <<< \"$words\"\n"  # not compgen -W, which would run what stands in a name
        '  for word in "${all[@]}"; do\n'
        '    if [[ $word == "$current"* ]]; then COMPREPLY+=("$word"); fi\n'
        "  done\n"
        "}\n"
        "complete -o default -F _vendingctl vendingctl\n"
    )


def zsh(nodes: list[Node]) -> str:
    middle = _PATH.format(
        at="CURRENT - 1",
        item="${words[n + 1]}",
        following="${words[n + 2]}",
        before="${words[CURRENT - 1]}",
        file_options=_file_options(nodes),
        paths=_paths(nodes),
        cases=_cases(nodes),
    )
    # zsh keeps the command line in `words`; ours gets another name, and words are split on request.
    middle = middle.replace("words=''", "offered=''").replace(") words='", ") offered='")
    middle = middle.replace('words="$words $(', 'offered="$offered $(').replace(" $names 2>", " ${=names} 2>")
    return (
        "#compdef vendingctl\n"
        "# zsh completion of vendingctl: put it as _vendingctl into a folder of $fpath\n"
        "_vendingctl() {\n"
        "  local n\n"
        f"{middle}"
        "  compadd -- ${=offered}\n"
        "  _files\n"
        "}\n"
        "compdef _vendingctl vendingctl\n"
    )


def fish(nodes: list[Node]) -> str:
    lines = [
        "# fish completion of vendingctl: vendingctl completion fish > ~/.config/fish/completions/vendingctl.fish",
        "function __vendingctl_at",
        "    set -l path",
        "    set -l known " + " ".join(f"'{node.path}'" for node in nodes if node.path),
        "    for word in (commandline -opc)[2..-1]",
        "        set -l longer (string join ' ' $path $word)",
        "        contains -- $longer $known; and set path $path $word",
        "    end",
        '    test "$path" = "$argv[1]"',
        "end",
        "complete -c vendingctl -f",
    ]
    for node in nodes:
        at = f"complete -c vendingctl -n \"__vendingctl_at '{node.path}'\""
        lines += [f"{at} -a {word} -d {_quoted(text)}" for word, text in node.words]
        lines += [
            f"{at} -l {option.removeprefix('--')} -d {_quoted(text)}" + (" -rF" if option in node.file_options else "")
            for option, text in node.options
            if option.startswith("--")
        ]
        if node.names:
            lines.append(f"{at} -a '(vendingctl {node.names} 2>/dev/null)'")
        if node.file:
            lines.append(f"{at} -F")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("%(default)s", "").replace("\\", "\\\\").replace("'", "\\'") + "'"
