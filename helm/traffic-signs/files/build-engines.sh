# build-engines CACHE TIMEOUT PORT COMMAND...: lets ONNX Runtime build its TensorRT engines into CACHE, by starting a
# tritonserver that nobody can reach, until it is ready. One pod after the other, since they share CACHE.
# Not as options of bash, which would hold for the file that NVIDIA's image has every bash read first, too.
set -eu
cache=$1 timeout=$2 port=$3; shift 3
exec 9>"$cache/.lock"
flock -w "$timeout" 9 || { echo "build-engines: another pod has been building for $timeout s" >&2; exit 1; }
"$@" --http-address=127.0.0.1 --http-port="$port" --allow-grpc=false --allow-metrics=false 9>&- &
server=$!
trap 'kill -KILL "$server" 2>/dev/null || true' EXIT
until answer=$(exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$port" && printf 'GET /v2/health/ready HTTP/1.0\r\n\r\n' >&3 && head -n 1 <&3) &&
  [[ $answer == *" 200 "* ]]; do
  kill -0 "$server" 2>/dev/null || { wait "$server" || code=$?; echo "build-engines: tritonserver ended with ${code:-0}" >&2; exit 1; }
  [ "$SECONDS" -lt "$timeout" ] || { echo "build-engines: not ready after $timeout s" >&2; exit 1; }
  sleep 1
done
kill -TERM "$server"
wait "$server"
trap - EXIT
echo "build-engines: the engines are in $cache"
