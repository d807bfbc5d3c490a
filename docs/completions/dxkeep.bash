# Completion of dxkeep for bash: made by `dxkeep help --as bash`.
_dxkeep_moments() {
    compgen -W "latest consistent $(dxkeep log "$1" --limit 20 --json 2>/dev/null | sed -n 's/^{"version":\([0-9]*\).*/\1/p')" -- "$2"
}
_dxkeep_paths() {
    local path folder=
    [[ $3 != */* ]] || folder=${3%/*}
    dxkeep ls "$1" "$2" ${folder:+"$folder"} 2>/dev/null | sed 's/^[^ ]* *[^ ]* *[^ ]* *[^ ]*  //' |
        while IFS= read -r path; do
            [[ $path != "$3"* ]] || printf '%s\n' "$path"
        done
}
_dxkeep() {
    local line=${COMP_LINE:0:COMP_POINT}
    local words word last plain=0 store= moment= program=0 options= i
    read -ra words <<<"$line"
    [[ $line != *' ' ]] || words+=('')
    word=${words[${#words[@]} - 1]} last=${words[${#words[@]} - 2]}
    COMPREPLY=()
    if ((${#words[@]} == 2)); then
        mapfile -t COMPREPLY < <(compgen -W 'run daemon capture log ls cat diff restore export mount verify gc pin status timeline record replay help --version' -- "$word")
        return
    fi
    if [[ ${words[1]} == help ]]; then
        ((${#words[@]} > 3)) || mapfile -t COMPREPLY < <(compgen -W 'run daemon capture log ls cat diff restore export mount verify gc pin status timeline record replay moment consistent pattern guarantees files --as' -- "$word")
        return
    fi
    for ((i = 2; i < ${#words[@]} - 1; i++)); do
        case ${words[i]} in
        --name | --dir | --quiet-ms | --hold-ms | --scan-s | --pause-max-ms | --grace | --freeze-pid | --freeze-pidfile | --stop-signal | --freeze-cgroup | --before-capture | --after-capture | --hook-max-s | --app | --app-connect | --app-max-s | --exclude | --include | --remote | --remote-behind | --remote-lease | --metrics-addr | --entries-max | --size-max | --workers | --keep | --max-lag | --limit | --from | --by | --path | --time | --as) ((i++)) ;;
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
    --app-connect)
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
        mapfile -t COMPREPLY < <(compgen -W 'hourly=24,daily=30 within=24h last=10 minutely=60 weekly=52' -- "$word")
        return ;;
    --max-lag)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --limit)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --from)
        mapfile -t COMPREPLY < <(compgen -W 'latest consistent' -- "$word")
        return ;;
    --by)
        mapfile -t COMPREPLY < <(compgen -W 'minute hour day' -- "$word")
        return ;;
    --path)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --time)
        mapfile -t COMPREPLY < <(compgen -W 'latest consistent' -- "$word")
        return ;;
    esac
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
        case $program in
        0) ;;
        1) mapfile -t COMPREPLY < <(compgen -c -- "$word") ;;
        *) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        ((program == 0)) || return
        ;;
    daemon)
        options='--name --quiet-ms --hold-ms --scan-s --pause-max-ms --grace --freeze-pid --freeze-pidfile --freeze-cgroup --before-capture --after-capture --hook-max-s --app --app-connect --app-max-s --exclude --include --no-owner --no-xattrs --no-restore --remote --remote-behind --remote-lease --standby --metrics-addr --entries-max --size-max --paranoid --workers --keep --verbose --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        esac
        }
        ;;
    capture)
        options='--name --before-capture --after-capture --hook-max-s --app --app-connect --app-max-s --exclude --include --no-owner --no-xattrs --paranoid --workers --json --quiet --help'
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
        1) mapfile -t COMPREPLY < <(_dxkeep_moments "$store" "$word") ;;
        2) mapfile -t COMPREPLY < <(_dxkeep_paths "$store" "$moment" "$word") ;;
        esac
        }
        ;;
    cat)
        options='--name --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(_dxkeep_moments "$store" "$word") ;;
        2) mapfile -t COMPREPLY < <(_dxkeep_paths "$store" "$moment" "$word") ;;
        esac
        }
        ;;
    diff)
        options='--name --json --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(_dxkeep_moments "$store" "$word") ;;
        2) mapfile -t COMPREPLY < <(_dxkeep_moments "$store" "$word") ;;
        esac
        }
        ;;
    restore)
        options='--name --no-owner --no-xattrs --remote --entries-max --size-max --workers --path --time --force --json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(_dxkeep_moments "$store" "$word") ;;
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
        1) mapfile -t COMPREPLY < <(_dxkeep_moments "$store" "$word") ;;
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
        case $program in
        0) ;;
        1) mapfile -t COMPREPLY < <(compgen -c -- "$word") ;;
        *) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        ((program == 0)) || return
        ;;
    replay)
        options='--name --no-owner --no-xattrs --from --json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        1) mapfile -t COMPREPLY < <(_dxkeep_moments "$store" "$word") ;;
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
