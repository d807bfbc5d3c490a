# Completion of dxwan for bash: made by `dxwan help --as bash`.
_dxwan() {
    local line=${COMP_LINE:0:COMP_POINT}
    local words word last plain=0 store= moment= program=0 options= i
    read -ra words <<<"$line"
    [[ $line != *' ' ]] || words+=('')
    word=${words[${#words[@]} - 1]} last=${words[${#words[@]} - 2]}
    COMPREPLY=()
    if ((${#words[@]} == 2)); then
        mapfile -t COMPREPLY < <(compgen -W 'send recv mirror probe daemon help --version' -- "$word")
        return
    fi
    if [[ ${words[1]} == help ]]; then
        ((${#words[@]} > 3)) || mapfile -t COMPREPLY < <(compgen -W 'send recv mirror probe daemon --as' -- "$word")
        return
    fi
    for ((i = 2; i < ${#words[@]} - 1; i++)); do
        case ${words[i]} in
        --streams | --rate | --congestion | --name | --like | --every | --pause | --seconds | --timeout | --out | --size-max | --wait | --config | --metrics-addr | --tls-cert | --tls-key | --tls-ca | --tls-name | --as) ((i++)) ;;
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
    --streams)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --rate)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --congestion)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --name)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --like)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --every)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --pause)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --seconds)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --timeout)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --out)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --size-max)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --wait)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --config)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --metrics-addr)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --tls-cert)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --tls-key)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --tls-ca)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    --tls-name)
        mapfile -t COMPREPLY < <(compgen -W '' -- "$word")
        return ;;
    esac
    case ${words[1]} in
    send)
        options='--streams --rate --congestion --name --timeout --tls-cert --tls-key --tls-ca --tls-name --json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        1) mapfile -t COMPREPLY < <(:) ;;
        esac
        }
        ;;
    recv)
        options='--congestion --timeout --out --force --size-max --wait --tls-cert --tls-key --tls-ca --tls-name --json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(:) ;;
        esac
        }
        ;;
    mirror)
        options='--streams --rate --congestion --name --like --every --pause --once --timeout --tls-cert --tls-key --tls-ca --tls-name --json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        1) mapfile -t COMPREPLY < <(:) ;;
        esac
        }
        ;;
    probe)
        options='--streams --congestion --seconds --timeout --tls-cert --tls-key --tls-ca --tls-name --json --quiet --help'
        [[ $word == -* ]] || {
        case $plain in
        0) mapfile -t COMPREPLY < <(:) ;;
        esac
        }
        ;;
    daemon)
        options='--config --metrics-addr --check-config --help'
        [[ $word == -* ]] || {
        case $plain in
        esac
        }
        ;;
    esac
    [[ $word != -* ]] ||
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
    COMPREPLY=("${COMPREPLY[@]#"${word%"$2"}"}")
}
complete -o filenames -F _dxwan dxwan
