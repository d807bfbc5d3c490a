# Completion of dxpatch for bash: made by `dxpatch help --as bash`.
_dxpatch() {
    local line=${COMP_LINE:0:COMP_POINT}
    local words word last plain=0 store= moment= program=0 options= i
    read -ra words <<<"$line"
    [[ $line != *' ' ]] || words+=('')
    word=${words[${#words[@]} - 1]} last=${words[${#words[@]} - 2]}
    COMPREPLY=()
    if ((${#words[@]} == 2)); then
        mapfile -t COMPREPLY < <(compgen -W 'diff apply apply-in-place undo info compose help --version' -- "$word")
        return
    fi
    if [[ ${words[1]} == help ]]; then
        ((${#words[@]} > 3)) || mapfile -t COMPREPLY < <(compgen -W 'diff apply apply-in-place undo info compose --as' -- "$word")
        return
    fi
    for ((i = 2; i < ${#words[@]} - 1; i++)); do
        case ${words[i]} in
        --kind | --block-size | --slot-size | --format | --memory | --target-max | --memory-max | --as) ((i++)) ;;
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
    --kind)
        mapfile -t COMPREPLY < <(compgen -W 'delta blocks flash hde vcdiff' -- "$word")
        return ;;
    --block-size)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --slot-size)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --format)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --memory)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --target-max)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --memory-max)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    esac
    case ${words[1]} in
    diff)
        options='--kind --block-size --slot-size --small --one-way --format --memory --no-zstd --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        1) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        2) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    apply)
        options='--target-max --memory-max --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        1) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        2) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    apply-in-place)
        options='--target-max --memory-max --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        1) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    undo)
        options='--target-max --memory-max --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        1) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    info)
        options='--quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    compose)
        options='--kind --block-size --slot-size --small --one-way --format --memory --target-max --memory-max --no-zstd --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        1) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        2) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        3) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    esac
    [[ $word != -* ]] ||
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
    COMPREPLY=("${COMPREPLY[@]#"${word%"$2"}"}")
}
complete -o filenames -F _dxpatch dxpatch
