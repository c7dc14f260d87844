"""Texts made from the argument parser: shell completion and the manual page."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

Parsers = Mapping[str, argparse.ArgumentParser]

BASH = """\
# bash completion of uds-dist:  source <(uds-dist completion bash)
_uds_dist() {
    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "%(commands)s" -- "$word"))
        return
    fi
    case "$word" in
    -*)
        case "$command" in
%(options)s        esac
        ;;
    *)
        COMPREPLY=($(compgen -W "$(uds-dist names 2>/dev/null | cut -d' ' -f1)" -- "$word"))
        ;;
    esac
}
complete -o default -F _uds_dist uds-dist
"""
ZSH = """\
#compdef uds-dist
# zsh completion of uds-dist:  source <(uds-dist completion zsh)
_uds_dist() {
    local -a words_of
    if (( CURRENT == 2 )); then
        words_of=(%(commands)s)
    elif [[ $words[CURRENT] == -* ]]; then
        case $words[2] in
%(options)s        esac
    else
        words_of=(${(f)"$(uds-dist names 2>/dev/null | cut -d' ' -f1)"})
    fi
    compadd -a words_of
}
compdef _uds_dist uds-dist
"""
SHELLS = ("bash", "zsh")


def completion_script(shell: str, parsers: Parsers) -> str:
    """A script that completes commands, options and node names."""
    script, row = (
        (BASH, '        {0}) COMPREPLY=($(compgen -W "{1}" -- "$word")) ;;\n')
        if shell == "bash"
        else (ZSH, "        {0}) words_of=({1}) ;;\n")
    )
    options = "".join(row.format(name, " ".join(_options(made))) for name, made in parsers.items())
    return script % {"commands": " ".join(parsers), "options": options}


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return [word for word in parser._option_string_actions if word.startswith("--")]


def manual_page(parser: argparse.ArgumentParser, parsers: Parsers, version: str) -> str:
    """The manual page in man's format, made of the help of every command."""
    parts = [
        f'.TH UDS-DIST 1 "" "uds_dist {version}"',
        ".SH NAME",
        "uds-dist \\- talk to Erlang and Elixir nodes over Unix domain sockets",
        ".SH SYNOPSIS",
        ".B uds-dist",
        "COMMAND ...",
    ]
    for name, made in parsers.items():
        parts += [f'.SH "{name.upper()}"', ".nf", _verbatim(_without(made, parser)), ".fi"]
    parts += [".SH EXIT CODES AND ENVIRONMENT", ".nf", _verbatim(parser.epilog or ""), ".fi"]
    return "\n".join(parts) + "\n"


def _without(made: argparse.ArgumentParser, parser: argparse.ArgumentParser) -> str:
    """A command's help without the part that all commands share."""
    return made.format_help().replace(parser.epilog or "", "").rstrip()


def _verbatim(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    lines = escaped.split("\n")
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in lines)
