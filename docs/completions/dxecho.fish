# Completion of dxecho for fish: made by `dxecho help --as fish`.
complete -c dxecho -l http -d 'answer HTTP/1.1'
complete -c dxecho -l plain -d 'send back every byte'
complete -c dxecho -l bind -x -d 'numeric address to listen on (default 127.0.0.1)'
complete -c dxecho -l workers -x -d 'threads (default 1)'
complete -c dxecho -l connections -x -d 'limit for each worker (default 65536)'
complete -c dxecho -l idle -x -d 'close a connection that was idle this long (default'
complete -c dxecho -l spin -x -d 'poll for US microseconds before each sleep; needs'
complete -c dxecho -l backend -x -a 'auto io_uring epoll kqueue iocp' -d 'event loop: auto, io_uring, epoll, kqueue, iocp'
