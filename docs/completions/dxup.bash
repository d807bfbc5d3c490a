# Completion of dxup for bash: made by `dxup help --as bash`.
_dxup_names() {
    local name
    dxup ls "$1" 2>/dev/null | while IFS= read -r name; do
        [[ $name != "$2"* ]] || printf '%s\n' "${name%% -> *}"
    done
}
_dxup() {
    local line=${COMP_LINE:0:COMP_POINT}
    local words word last plain=0 store= moment= program=0 options= i
    read -ra words <<<"$line"
    [[ $line != *' ' ]] || words+=('')
    word=${words[${#words[@]} - 1]} last=${words[${#words[@]} - 2]}
    COMPREPLY=()
    if ((${#words[@]} == 2)); then
        mapfile -t COMPREPLY < <(compgen -W 'publish log ls cat checkout diff tag rm verify gc serve pull watch help --version' -- "$word")
        return
    fi
    if [[ ${words[1]} == help ]]; then
        ((${#words[@]} > 3)) || mapfile -t COMPREPLY < <(compgen -W 'publish log ls cat checkout diff tag rm verify gc serve pull watch --as' -- "$word")
        return
    fi
    for ((i = 2; i < ${#words[@]} - 1; i++)); do
        case ${words[i]} in
        --config | --workers | --exclude | --include | --entries-max | --size-max | --keep | --listen | --push | --http | --allow-origin | --status | --log | --patch-max | --connections | --connections-per-address | --backend | --seed | --limit-rate | --timeout | --exec | --interval | --as) ((i++)) ;;
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
    --config)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --workers)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --exclude)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --include)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --entries-max)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --size-max)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --keep)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --listen)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --push)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --http)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --allow-origin)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --status)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --log)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --patch-max)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --connections)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --connections-per-address)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --backend)
        mapfile -t COMPREPLY < <(compgen -W 'auto io_uring epoll kqueue iocp' -- "$word")
        return ;;
    --seed)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --limit-rate)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --timeout)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --exec)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --interval)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    esac
    case ${words[1]} in
    publish)
        options='--config --workers --no-owner --no-xattrs --no-hard-links --no-sparse --no-specials --numeric-owner --exclude --include --force --dry-run --json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(_dxup_names "$store" "$word") ;;
        2) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    log)
        options='--json --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(_dxup_names "$store" "$word") ;;
        esac
        }
        ;;
    ls)
        options='--recursive --json --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(_dxup_names "$store" "$word") ;;
        esac
        }
        ;;
    cat)
        options='--help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(_dxup_names "$store" "$word") ;;
        esac
        }
        ;;
    checkout)
        options='--workers --no-owner --no-times --no-xattrs --no-hard-links --no-sparse --no-specials --numeric-owner --force --entries-max --size-max --dry-run --json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(_dxup_names "$store" "$word") ;;
        2) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    diff)
        options='--no-cost --json --patch-max --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(_dxup_names "$store" "$word") ;;
        2) mapfile -t COMPREPLY < <(_dxup_names "$store" "$word") ;;
        esac
        }
        ;;
    tag)
        options='--remove --json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(_dxup_names "$store" "$word") ;;
        2) mapfile -t COMPREPLY < <(:) ;;
        esac
        }
        ;;
    rm)
        options='--force --older --dry-run --json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(_dxup_names "$store" "$word") ;;
        esac
        }
        ;;
    verify)
        options='--json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        esac
        }
        ;;
    gc)
        options='--dry-run --json --keep --pack --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        esac
        }
        ;;
    serve)
        options='--config --workers --entries-max --size-max --json --listen --push --http --allow-origin --status --log --patch-max --connections --connections-per-address --backend --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        esac
        }
        ;;
    pull)
        options='--config --owner --no-times --no-xattrs --no-hard-links --no-sparse --no-specials --numeric-owner --force --entries-max --size-max --dry-run --json --connections --backend --seed --checksum --limit-rate --timeout --exec --report --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        1) mapfile -t COMPREPLY < <(_dxup_names "$store" "$word") ;;
        2) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    watch)
        options='--config --owner --no-times --no-xattrs --no-hard-links --no-sparse --no-specials --numeric-owner --force --entries-max --size-max --json --connections --backend --seed --checksum --limit-rate --timeout --exec --interval --report --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        1) mapfile -t COMPREPLY < <(_dxup_names "$store" "$word") ;;
        2) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    esac
    [[ $word != -* ]] ||
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
    COMPREPLY=("${COMPREPLY[@]#"${word%"$2"}"}")
}
complete -o filenames -F _dxup dxup
