# compare-canary PROMETHEUS FOLDER: asks each query of FOLDER; fails where one gives a result, which says that the
# challenger does worse, and where Prometheus does not answer.
worse=0
for file in "$2"/*.promql; do
  result=$(promtool query instant "$1" "$(cat "$file")")
  [ -z "$result" ] || { echo "$(basename "$file" .promql): $(head -n 1 "$file" | cut -c 3-) $result"; worse=1; }
done
[ "$worse" = 1 ] || echo "the challenger does no worse than the champion"
exit "$worse"
