# Completion of dxkeep for bash: made by `dxkeep help --as bash`.
_dxkeep() {
    local line=${COMP_LINE:0:COMP_POINT}
    local words word last plain=0 store= options= i
    read -ra words <<<"$line"
    [[ $line != *' ' ]] || words+=('')
    word=${words[${#words[@]} - 1]} last=${words[${#words[@]} - 2]}
    COMPREPLY=()
    if ((${#words[@]} == 2)); then
        mapfile -t COMPREPLY < <(compgen -W 'run daemon capture log ls cat diff restore export mount verify gc pin status timeline record replay help --version' -- "$word")
        return
    fi
    case $last in
    --name)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --dir)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --quiet-ms)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --hold-ms)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --scan-s)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --pause-max-ms)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --grace)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --freeze-pid)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --freeze-pidfile)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --stop-signal)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --freeze-cgroup)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --before-capture)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --after-capture)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --hook-max-s)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --app)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --app-max-s)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --exclude)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --include)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --remote)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --remote-behind)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --remote-lease)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --metrics-addr)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --entries-max)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --size-max)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --workers)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --keep)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --max-lag)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --limit)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --from)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --by)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --path)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --time)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    esac
    for ((i = 2; i < ${#words[@]} - 1; i++)); do
        case ${words[i]} in
        --name | --dir | --quiet-ms | --hold-ms | --scan-s | --pause-max-ms | --grace | --freeze-pid | --freeze-pidfile | --stop-signal | --freeze-cgroup | --before-capture | --after-capture | --hook-max-s | --app | --app-max-s | --exclude | --include | --remote | --remote-behind | --remote-lease | --metrics-addr | --entries-max | --size-max | --workers | --keep | --max-lag | --limit | --from | --by | --path | --time | --as) ((i++)) ;;
        -*) ;;
        *) ((plain++)) || store=${words[i]} ;;
        esac
    done
    case ${words[1]} in
    run)
        options='--name --quiet-ms --hold-ms --scan-s --pause-max-ms --grace --no-freeze --supervise --stop-signal --before-capture --after-capture --hook-max-s --exclude --include --no-owner --no-xattrs --no-restore --remote --remote-behind --remote-lease --standby --fence --metrics-addr --entries-max --size-max --paranoid --workers --keep --verbose --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        2) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        3) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        4) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    daemon)
        options='--name --quiet-ms --hold-ms --scan-s --pause-max-ms --grace --freeze-pid --freeze-pidfile --freeze-cgroup --before-capture --after-capture --hook-max-s --app --app-max-s --exclude --include --no-owner --no-xattrs --no-restore --remote --remote-behind --remote-lease --standby --metrics-addr --entries-max --size-max --paranoid --workers --keep --verbose --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        esac
        }
        ;;
    capture)
        options='--name --before-capture --after-capture --hook-max-s --app --app-max-s --exclude --include --no-owner --no-xattrs --paranoid --workers --json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        esac
        }
        ;;
    log)
        options='--name --limit --json --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        esac
        }
        ;;
    ls)
        options='--name --recursive --json --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(:) ;;
        2) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    cat)
        options='--name --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(:) ;;
        2) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    diff)
        options='--name --json --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(:) ;;
        2) mapfile -t COMPREPLY < <(:) ;;
        esac
        }
        ;;
    restore)
        options='--name --no-owner --no-xattrs --remote --entries-max --size-max --workers --path --time --force --json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(:) ;;
        2) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    export)
        options='--name --entries-max --size-max --time --torn --force --json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    mount)
        options='--name --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
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
        options='--name --keep --dry-run --json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        esac
        }
        ;;
    pin)
        options='--name --remove --json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(:) ;;
        esac
        }
        ;;
    status)
        options='--name --max-lag --json --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        esac
        }
        ;;
    timeline)
        options='--name --limit --by --json --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        esac
        }
        ;;
    record)
        options='--name --dir --exclude --include --no-owner --no-xattrs --paranoid --workers --json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        2) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        3) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        }
        ;;
    replay)
        options='--name --no-owner --no-xattrs --from --json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(:) ;;
        2) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        esac
        }
        ;;
    esac
    [[ $word != -* ]] ||
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
    COMPREPLY=("${COMPREPLY[@]#"${word%"$2"}"}")
}
complete -o filenames -F _dxkeep dxkeep
