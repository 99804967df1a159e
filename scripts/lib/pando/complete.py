# SPDX-License-Identifier: BSD-2-Clause
"""Completion for bash, made from the table of commands: words and options as they are, names of VMs and functions by asking Pando."""

from . import cli

SCRIPT = """\
# bash completion for pando; made by `pando completion bash`
_pando() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} program=${COMP_WORDS[0]} word command='' kind='' options=''
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case $word in -*) ;; *) command=$word && break ;; esac
	done
	case $prev in --dir) mapfile -t COMPREPLY < <(compgen -d -- "$cur") && return ;; esac
	case $command in
@CASES@
	*) options='@COMMANDS@ --dir --json --quiet --help' ;;
	esac
	case $cur in -*) kind='' ;; esac
	if [ "$kind" = files ]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	elif [ -n "$kind" ]; then
		COMPREPLY=() # by hand: compgen -W would expand what is a name to Pando
		while IFS= read -r word; do
			[[ $word != "$cur"* ]] || COMPREPLY+=("$word")
		done < <("$program" names "$kind" 2>/dev/null; compgen -W "$options")
	else
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
	fi
}
complete -o default -F _pando pando scripts/pando ./scripts/pando
"""


def case(command):
    """The branch of one command: its options, its choices, and what its first word names."""
    options, kind, files = ["--json", "--dir", "--quiet", "--help"], "", []
    for argument in command.arguments:
        names, about = argument.names, argument.options
        if names[0].startswith("-"):
            options += [name for name in names if name.startswith("--") or len(names) == 1]
            if about.get("metavar", "").endswith("FILE"):
                files += names
        else:
            options += about.get("choices", [])
            if about.get("metavar") == "FILE":
                kind = kind or "files"
        kind = kind or about.get("names_of", "")
    lines = [f"\t{command.name})", f"\t\tkind='{kind}' options='{' '.join(options)}'"]
    if files:
        lines.append(f"\t\tcase $prev in {' | '.join(files)}) kind=files ;; esac")
    return "\n".join([*lines, "\t\t;;"])


def bash():
    commands = [command for command in cli.COMMANDS.values() if command.name != "names"]
    cases = "\n".join(case(command) for command in commands)
    return SCRIPT.replace("@CASES@", cases).replace("@COMMANDS@", " ".join(command.name for command in commands))


async def names(pando, kind):
    """What may stand for a word of this kind."""
    if kind == "functions":
        return [function["name"] for function in await pando.functions()]
    if kind in ("images", "entries"):
        found = list(await pando.images())
        return sorted({name.split("/")[0] for name in found if "/" in name}) if kind == "entries" else found
    return [vm["name"] for vm in await pando.vms() if kind == "vms" or vm.get("state") == "template"]
