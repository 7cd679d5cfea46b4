# Ends a stack's servers when the process that owns the stack dies, however it dies: standard input is a pipe that only the owner holds open.
# The owner says "add PID START SIGNAL" for every server that it starts, "drop PID" for one that has ended, "done" when it has ended all by itself.
# "run COMMAND" is for what is no process of the owner's (containers). START is the 22nd field of /proc/PID/stat (0 where there is no /proc): a pid that was given to another process is left alone.
trap '' INT TERM HUP
servers='' command=''

still_there() { # pid start
  kill -0 "$1" 2>/dev/null || return 1
  [ "$2" = 0 ] && return 0
  [ "$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20)" = "$2" ]
}

while read -r verb pid start signal; do
  case "$verb" in
    add) servers="$servers $pid:$start:$signal" ;;
    drop)
      kept=''
      for server in $servers; do [ "${server%%:*}" = "$pid" ] || kept="$kept $server"; done
      servers=$kept
      ;;
    run) command="$pid $start $signal" ;;
    done) exit 0 ;;
  esac
done

[ -n "$command" ] && sh -c "$command"
for server in $servers; do
  pid=${server%%:*} rest=${server#*:}
  still_there "$pid" "${rest%%:*}" && kill -s "${rest#*:}" "$pid" 2>/dev/null
done
for _ in 1 2 3 4 5 6 7 8 9 10; do
  left=''
  for server in $servers; do
    pid=${server%%:*} rest=${server#*:}
    still_there "$pid" "${rest%%:*}" && left="$left $server"
  done
  [ -z "$left" ] && exit 0
  sleep 0.3
done
for server in $left; do kill -s KILL "${server%%:*}" 2>/dev/null; done
