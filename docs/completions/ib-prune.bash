_ib__prune() {
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="ib__prune"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        ib__prune)
            opts="-n -v -h -V --older-than --match --keep-last --require-metadata --max-delete --force --ignore-clock-difference --data-volume --archive-volume --simulate --simulate-every --infinibox --infinibox-user --infinibox-password --infinibox-password-file --ca-file --insecure-http --array-connect-timeout --array-timeout --env-file --state-dir --log-dir --lock-timeout --dry-run --json --verbose --show-config --explain --allow-root --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --older-than)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --match)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --keep-last)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-delete)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --data-volume)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --archive-volume)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --simulate)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --simulate-every)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --infinibox)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --infinibox-user)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --infinibox-password)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --infinibox-password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --array-connect-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --array-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --env-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state-dir)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-dir)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --lock-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --explain)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
    esac
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _ib__prune -o nosort -o bashdefault -o default ib-prune
else
    complete -F _ib__prune -o bashdefault -o default ib-prune
fi
