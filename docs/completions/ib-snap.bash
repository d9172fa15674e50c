_ib__snap() {
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
                cmd="ib__snap"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        ib__snap)
            opts="-n -v -h -V --data-volume --archive-volume --data-cg --archive-cg --no-archive --prefix --utc --lock-until --separate-snapshots --max-backup-mode --check-coverage --controlfile-to --end-backup --oracle-server --sql-timeout --archive-timeout --connect --infinibox --infinibox-user --infinibox-password --infinibox-password-file --ca-file --insecure-http --array-connect-timeout --array-timeout --env-file --state-dir --log-dir --lock-timeout --dry-run --json --verbose --show-config --explain --allow-root --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --data-volume)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --archive-volume)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --data-cg)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --archive-cg)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prefix)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --lock-until)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-backup-mode)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --controlfile-to)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --oracle-server)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --sql-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --archive-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --connect)
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
    complete -F _ib__snap -o nosort -o bashdefault -o default ib-snap
else
    complete -F _ib__snap -o bashdefault -o default ib-snap
fi
