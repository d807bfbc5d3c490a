# Completion of dxecho for bash: made by `dxecho help --as bash`.
_dxecho() {
    local line=${COMP_LINE:0:COMP_POINT}
    local words word last plain=0 store= moment= program=0 options= i
    read -ra words <<<"$line"
    [[ $line != *' ' ]] || words+=('')
    word=${words[${#words[@]} - 1]} last=${words[${#words[@]} - 2]}
    COMPREPLY=()
    for ((i = 1; i < ${#words[@]} - 1; i++)); do
        case ${words[i]} in
        --bind | --workers | --connections | --idle | --spin | --backend | --as) ((i++)) ;;
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
    --bind)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --workers)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --connections)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --idle)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --spin)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --backend)
        mapfile -t COMPREPLY < <(compgen -W 'auto io_uring epoll kqueue iocp' -- "$word")
        return ;;
    esac
    case ${words[1]} in
    *)
        options='--http --plain --bind --workers --connections --idle --spin --backend --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(:) ;;
        esac
        }
        ;;
    esac
    [[ $word != -* ]] ||
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
    COMPREPLY=("${COMPREPLY[@]#"${word%"$2"}"}")
}
complete -o filenames -F _dxecho dxecho
