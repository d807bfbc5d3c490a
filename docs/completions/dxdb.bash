# Completion of dxdb for bash: made by `dxdb help --as bash`.
_dxdb() {
    local line=${COMP_LINE:0:COMP_POINT}
    local words word last plain=0 store= moment= program=0 options= i
    read -ra words <<<"$line"
    [[ $line != *' ' ]] || words+=('')
    word=${words[${#words[@]} - 1]} last=${words[${#words[@]} - 2]}
    COMPREPLY=()
    if ((${#words[@]} == 2)); then
        mapfile -t COMPREPLY < <(compgen -W 'serve install-triggers install-publication uninstall help --version' -- "$word")
        return
    fi
    if [[ ${words[1]} == help ]]; then
        ((${#words[@]} > 3)) || mapfile -t COMPREPLY < <(compgen -W 'serve install-triggers install-publication uninstall --as' -- "$word")
        return
    fi
    for ((i = 2; i < ${#words[@]} - 1; i++)); do
        case ${words[i]} in
        --backend | --as) ((i++)) ;;
        --)
            program=$((${#words[@]} - 1 - i))
            break ;;
        -*) ;;
        *)
            case $((plain++)) in
            0) store=${words[i]} ;;
            1) moment=${words[i]} ;;
            esac ;;
        esac
    done
    ((program)) || case $last in
    --backend)
        mapfile -t COMPREPLY < <(compgen -W 'auto io_uring epoll' -- "$word")
        return ;;
    esac
    case ${words[1]} in
    serve)
        options='--backend --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    install-triggers)
        options='--print --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    install-publication)
        options='--print --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    uninstall)
        options='--print --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    esac
    [[ $word != -* ]] ||
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
    COMPREPLY=("${COMPREPLY[@]#"${word%"$2"}"}")
}
complete -o filenames -F _dxdb dxdb
