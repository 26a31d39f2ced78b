# The guard of one run: see guard.rs. $1 is the run's folder.
trap '' INT TERM HUP QUIT
folder=$1
nodes=''

# Whether process $1 is still the one that started at $2 (field 22 of /proc/PID/stat).
same() {
  IFS= read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
  start=$2
  set -- ${stat##*) }
  case $1 in Z | X) return 1 ;; esac
  [ "${20}" = "$start" ]
}

while read -r word pid start; do
  case $word in
    add) nodes="$nodes $pid:$start" ;;
    del)
      kept=''
      for node in $nodes; do [ "$node" = "$pid:$start" ] || kept="$kept $node"; done
      nodes=$kept
      ;;
    keep | done) exit 0 ;;
  esac
done

for node in $nodes; do
  if same "${node%%:*}" "${node##*:}"; then kill -s KILL -- "-${node%%:*}" "${node%%:*}" 2>/dev/null; fi
done
for node in $nodes; do
  tries=0
  while same "${node%%:*}" "${node##*:}" && [ $tries -lt 50 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
done
if [ -e "$folder/.squall-run" ]; then rm -rf -- "$folder"; fi
