#!/bin/bash
# train.sh - the trainer's use of this machine, with a shipped network: batches of 8 patches of 256
# x 256.
#
#   make bench-train [MODEL=NAME|FILE] [N=ROUNDS] [SECONDS_A_RUN=8] [SECONDS_A_PRODUCT=0.02]
#       [THREADS=N]
#
# In turns, N times (default 3): the matrix products of build/bench/kernels on all threads at once
# (the mean of its forward figures over all shapes, summed over the threads), then training in
# float32 and in bf16. A step executes three times the forward pass's multiply-accumulates. kernels
# counts the fastest of its runs; training counts the fastest of its reports, which come once a
# second. Prints the medians of the rounds. Products are timed by CPU seconds, training by the wall
# clock: other work on the machine lowers the shares.
set -euo pipefail
export LC_ALL=C
unset VAE_CPU OMP_NUM_THREADS VAE_MODEL
root=$(cd "$(dirname "$0")/.." && pwd)
B=$(cd "$root" && cd "${B:-build}" && pwd)
PATH=$B:$PATH
N=${N:-3}
model=${MODEL:-photo}
seconds=${SECONDS_A_RUN:-8}
product_seconds=${SECONDS_A_PRODUCT:-0.02}
threads=${THREADS:-$(nproc)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

median() {
	sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# products KIND: GMAC/s of all threads at once
products() {
	local i
	for ((i = 0; i < threads; i++)); do
		"$B/bench/kernels" "$product_seconds" "$1" >"$work/products$i" &
	done
	wait
	awk '$2 ~ /^[0-9]+$/ && $4 ~ /^[0-9]+$/ { s[FILENAME] += $5; n[FILENAME]++ } END {
		for (f in s) t += s[f] / n[f]; print t / 2 }' "$work"/products*
}

# train PRECISION: images/s of the fastest report
train() {
	vae-train --init "$model" --batch 8 --patch 256 \
		--minutes "$(awk -v s="$seconds" 'BEGIN { print s / 60 }')" -T "$threads" \
		--precision "$1" --quiet --force --log "$work/log" -o "$work/model" "$work/photo.ppm"
	awk -F'\t' 'NR > 1 && $3 == "train" && $12 > most { most = $12 } END { print most }' "$work/log"
}

pngtopnm "$root/tests/data/photo.png" >"$work/photo.ppm"
for isa in avx512 avx2 neon scalar; do
	[ -z "$("$B/bench/kernels" 0.001 $isa)" ] || break
done
kinds=("float32 $isa")
for by in avx512-bf16 amx-bf16; do
	[ -z "$("$B/bench/kernels" 0.001 $by)" ] || kinds[1]="bf16 $by"
done

for ((round = 0; round < N; round++)); do
	for kind in "${kinds[@]}"; do
		products "${kind#* }" >>"$work/${kind% *}.products"
	done
	for kind in "${kinds[@]}"; do
		train "${kind% *}" >>"$work/${kind% *}.images"
	done
done

kmac=$(vae-stat --brief --tsv "$work/model" | awk -F'\t' '
	NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
	NR == 2 { print $at["encoder_kmac_pixel"] + $at["decoder_kmac_pixel"] }')
echo "$model, $kmac kMAC/pixel forward, $threads threads, medians of $N rounds"
printf '%-8s %9s %18s %18s %7s\n' precision images/s "training GMAC/s" "products GMAC/s" share
for kind in "${kinds[@]}"; do
	images=$(median <"$work/${kind% *}.images")
	products=$(median <"$work/${kind% *}.products")
	awk -v p="${kind% *}" -v i="$images" -v k="$kmac" -v g="$products" \
		'BEGIN { m = 3e3 * k * 65536 * i / 1e9
			printf "%-8s %9.1f %18.1f %18.1f %5.0f %%\n", p, i, m, g, 100 * m / g }'
done
if [ "${#kinds[@]}" -gt 1 ]; then
	paste "$work/bf16.images" "$work/float32.images" | awk '{ print $1 / $2 }' | median |
		awk '{ printf "bf16 is %.2f times as fast as float32\n", $1 }'
fi
