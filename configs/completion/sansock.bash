# Completion of sansock(1) for bash.
_sansock() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb= i
    for ((i = 1; i < COMP_CWORD; ++i)); do
        if [[ ${COMP_WORDS[i]} == -- ]]; then  # the program's own command line
            _command_offset $((i + 1))
            return
        fi
        if [[ -z $verb && ${COMP_WORDS[i]} != -* ]]; then verb=${COMP_WORDS[i]}; fi
    done
    local verbs="run check config providers doctor status top explain reload drain undrain log-level pki import-registry export-registry bench"
    local options="--help"
    case $before in
        --config | --report | --output | -o) _filedir; return ;;
        --json) if [[ $verb == bench ]]; then _filedir; return; fi ;;
        --directory | --out) _filedir -d; return ;;
        --only) COMPREPLY=($(compgen -W "latency throughput connections setup oversubscription idle calls" -- "$word")); return ;;
    esac
    case $verb in
        "") COMPREPLY=($(compgen -W "$verbs --help --version" -- "$word")); return ;;
        run) options+=" --config --report --" ;;
        config) options+=" explain generate schema" ;;
        doctor) options+=" --config" ;;
        status) options+=" --json --watch --directory" ;;
        top) options+=" --period --directory" ;;
        explain) options+=" --directory" ;;
        reload) options+=" --live --directory" ;;
        drain) options+=" --timeout --directory" ;;
        undrain | log-level) options+=" --directory" ;;
        pki)
            case ${COMP_WORDS[2]} in
                init) options+=" --name --days" ;;
                issue) options+=" --address --days --out" ;;
                renew) options+=" --days --out" ;;
            esac ;;
        import-registry) options+=" --output --plugin" ;;
        export-registry) options+=" --output" ;;
        bench) options+=" --config --json --quick --pairs --only" ;;
    esac
    # What processes say of themselves comes no further than this: compgen takes words for shell.
    if [[ $word != -* ]]; then
        case $verb in
            check | import-registry | export-registry) _filedir; return ;;
            drain | undrain)
                COMPREPLY=($(compgen -W "$(sansock status --json 2>/dev/null | sed -n 's/.*"provider": "\([0-9a-f-]*\)".*/\1/p' | sort -u)" -- "$word"))
                return ;;
            pki)
                if [[ $before == pki ]]; then COMPREPLY=($(compgen -W "init issue renew revoke show" -- "$word")); else _filedir; fi
                return ;;
            log-level) COMPREPLY=($(compgen -W "error warning info debug" -- "$word")); return ;;
            status | top | explain)
                COMPREPLY=($(compgen -W "$options $(sansock status --json 2>/dev/null | sed -n 's/.*"program": "\([A-Za-z0-9._+-]*\)".*/\1/p' | sort -u)" -- "$word"))
                return ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$options" -- "$word"))
}
complete -F _sansock sansock
