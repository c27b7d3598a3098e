# Completes the command line of fastscnn in bash: verbs, options and their choices, as its own help lists them.
_fastscnn() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} program=${COMP_WORDS[0]} words choices
    COMPREPLY=()
    if ((COMP_CWORD == 1)) || [[ ${COMP_WORDS[1]} == help ]]; then
        words=$("$program" --help 2>/dev/null | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p')
        ((COMP_CWORD > 1)) || words+=" help --help --version"
    else
        words=$("$program" "${COMP_WORDS[1]}" --help 2>/dev/null)
        if [[ $before == --* ]]; then
            choices=$(sed -n "s/^ .* $before \([a-z0-9]*|[a-z0-9|]*\)\( .*\)\{0,1\}\$/\1/p" <<<"$words")
            if [[ $choices ]]; then
                mapfile -t COMPREPLY < <(compgen -W "${choices//|/ }" -- "$word")
                return 0
            fi
        fi
        [[ $word == -* ]] || return 0 # a file, by complete's -o default
        words=$(sed -n 's/^  \(-.,\|   \) \(--[a-z-]*\).*/\2/p' <<<"$words")
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -F _fastscnn fastscnn
