# Completion of dxdb for fish: made by `dxdb help --as fish`.
complete -c dxdb -f -n __fish_use_subcommand -a serve -d 'Answer the queries of CONFIG, from memory while nothing has changed'
complete -c dxdb -f -n __fish_use_subcommand -a install-triggers -d 'Create the triggers that notify dxdb of changes, on every table it reads'
complete -c dxdb -f -n __fish_use_subcommand -a install-publication -d 'Create the publication for source = "replication", with every table dxdb reads'
complete -c dxdb -f -n __fish_use_subcommand -a uninstall -d 'Remove what install-triggers and install-publication created'
complete -c dxdb -n '__fish_seen_subcommand_from serve' -l backend -x -a 'auto io_uring epoll' -d 'event loop: auto, io_uring, epoll'
complete -c dxdb -n '__fish_seen_subcommand_from install-triggers' -l print -d 'print the SQL, and change nothing'
complete -c dxdb -n '__fish_seen_subcommand_from install-publication' -l print -d 'print the SQL, and change nothing'
complete -c dxdb -n '__fish_seen_subcommand_from uninstall' -l print -d 'print the SQL, and change nothing'
