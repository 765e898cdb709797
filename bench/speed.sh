#!/bin/bash
# speed.sh - the cost of the programs beside others for the same task, on this machine.
#
#   make bench [MODEL=NAME|FILE] [N=RUNS] [PICTURE=FILE.png] [QUALITY=0..100]
#
# Whole processes from start to exit, PNM in and out. CPU is user + system seconds, wall the wall
# clock's: medians of N runs (default 10), in which ours and its peers take turns, so that noise of
# the machine affects all of them. Peak is the largest resident memory of one process. Peers that
# are not installed are left out: avifenc and avifdec (libavif-bin), cwebp and dwebp (webp), cjpeg
# and djpeg (libjpeg-turbo-progs). The peers' settings are those whose PSNR is nearest to ours.
set -euo pipefail
export LC_ALL=C TIMEFORMAT='%U %S %R' OMP_WAIT_POLICY=passive
unset VAE_CPU OMP_NUM_THREADS VAE_MODEL
bench=$(cd "$(dirname "$0")" && pwd)
root=$bench/..
B=$(cd "$root" && cd "${B:-build}" && pwd)
PATH=$B:$PATH
N=${N:-10}
model=${MODEL:-photo}
picture=${PICTURE:-$root/tests/data/photo.png}
quality=${QUALITY:-50}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
	echo "speed.sh: $*" >&2
	exit 1
}

has() { command -v "$1" >/dev/null; }

# ---- measuring -----------------------------------------------------------------------------------

median() {
	sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# Contenders: a label and a bash command each. Every race clears them.
labels=()
commands=()
enter() {
	labels+=("$1")
	commands+=("$2")
}

# Prints the KB of the largest process of a command, or - without GNU time.
peak() {
	if [ -x /usr/bin/time ] && /usr/bin/time -f %M -o "$work/peak" bash -c "$1" >/dev/null 2>&1; then
		tail -n 1 "$work/peak"
	else
		echo -
	fi
}

# Runs all contenders in turn, N times. cpu[i], wall[i] and memory[i] are their seconds and MB;
# times: the runs in one turn.
race() {
	local i run times=${1:-1} user system real
	for i in "${!commands[@]}"; do
		bash -c "${commands[i]}" >/dev/null || fail "this fails: ${commands[i]}"
		: >"$work/cpu$i"
		: >"$work/wall$i"
	done
	for ((run = 0; run < N; run++)); do
		for i in "${!commands[@]}"; do
			read -r user system real < <({
				time eval "for ((k = 0; k < times; k++)); do ${commands[i]}; done" >/dev/null 2>&1
			} 2>&1)
			awk -v u="$user" -v s="$system" -v n="$times" 'BEGIN { print (u + s) / n }' >>"$work/cpu$i"
			awk -v r="$real" -v n="$times" 'BEGIN { print r / n }' >>"$work/wall$i"
		done
	done
	cpu=()
	wall=()
	memory=()
	for i in "${!commands[@]}"; do
		cpu[i]=$(median <"$work/cpu$i")
		wall[i]=$(median <"$work/wall$i")
		memory[i]=$(peak "${commands[i]}" | awk '/-/ { print; next } { printf "%.1f\n", $1 / 1024 }')
	done
	raced=("${labels[@]}")
	labels=()
	commands=()
}

# Prints the race as a table. $1: megapixels, for a column of Mpixel/s by the wall clock; 0: none.
table() {
	local i
	printf '    %-44s %9s %9s %9s %9s %9s\n' '' 'CPU s' 'wall s' 'peak MB' 'of ours' \
		"$([ "$1" = 0 ] || echo Mpixel/s)"
	for i in "${!raced[@]}"; do
		awk -v label="${raced[i]}" -v c="${cpu[i]}" -v w="${wall[i]}" -v m="${memory[i]}" \
			-v ours="${cpu[0]}" -v mp="$1" 'BEGIN {
			rate = mp > 0 && w > 0 ? sprintf("%.2f", mp / w) : ""
			printf "    %-44s %9.4f %9.4f %9s %9s %9s\n", label, c, w, m,
				(ours > 0 ? sprintf("%.2f", c / ours) : "-"), rate }'
	done
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "-" }'; }

# Prints a field of a report with a header line, from its first line of a kind.
field() {
	awk -F'\t' -v name="$1" \
		'$1 == "kind" { for (i = 1; i <= NF; i++) at[$i] = i; next } { print $at[name]; exit }'
}

psnr() { vae-stat --tsv -r "$work/x.ppm" "$1" | field psnr_db; }

# nearest LOW HIGH FUNCTION: the integer whose FUNCTION gives the PSNR nearest to $target; FUNCTION
# rises with it.
nearest() {
	local low=$1 high=$2 middle below above
	while ((high - low > 1)); do
		middle=$(((low + high) / 2))
		if awk -v a="$("$3" $middle)" -v b="$target" 'BEGIN { exit !(a < b) }'; then
			low=$middle
		else
			high=$middle
		fi
	done
	below=$("$3" "$low")
	above=$("$3" "$high")
	awk -v a="$below" -v b="$above" -v t="$target" -v low="$low" -v high="$high" \
		'BEGIN { print t - a < b - t ? low : high }'
}

avif_encoder() {
	echo "avifenc -s 6 -j 1 --min 0 --max 63 -a end-usage=q -a cq-level=$((63 - $1))" \
		"'$work/x0.png' '$work/x.avif'"
}
try_avif() {
	bash -c "$(avif_encoder "$1")" >/dev/null 2>&1
	avifdec -j 1 --png-compress 0 "$work/x.avif" "$work/avif.png" >/dev/null 2>&1
	pngtopnm "$work/avif.png" >"$work/avif.ppm"
	psnr "$work/avif.ppm"
}
try_webp() {
	cwebp -quiet -q "$1" "$work/x.ppm" -o "$work/x.webp"
	dwebp -quiet -ppm "$work/x.webp" -o "$work/webp.ppm"
	psnr "$work/webp.ppm"
}
try_jpeg() {
	cjpeg -optimize -quality "$1" "$work/x.ppm" >"$work/x.jpg"
	djpeg -ppm "$work/x.jpg" >"$work/jpeg.ppm"
	psnr "$work/jpeg.ppm"
}

bytes() { wc -c <"$1" | tr -d ' '; }

# ---- what is measured ----------------------------------------------------------------------------

[ -x "$B/bench/kernels" ] || fail "make bench builds what is missing in $B"
pngtopnm "$picture" >"$work/x.ppm"
pnmtopng -compression 0 "$work/x.ppm" >"$work/x0.png" 2>/dev/null # avifenc reads no PNM
case $model in
*/*)
	model=$(realpath "$model")
	file=$model
	decode="vae-dec -m '$model'"
	;;
*)
	file=$(find "$root/models" -name "$model.safetensors" -o -name "$model-[0-9]*.safetensors" | sort -V |
		tail -n 1)
	decode=vae-dec
	;;
esac
[ -e "$file" ] || fail "no model $model in models/: MODEL=FILE names another, with a / in it"
encode="vae-enc -m '$model' -q $quality"
bash -c "$encode -T1 '$work/x.ppm' | vae-quant -T1 -m '$model' >'$work/x.lat'"
bash -c "$decode -T1 '$work/x.lat' >'$work/ours.ppm'"
target=$(psnr "$work/ours.ppm")
read -r width height < <(pamfile "$work/x.ppm" | sed 's/.*, \([0-9]*\) by \([0-9]*\).*/\1 \2/')
small=$(awk -v w="$width" -v h="$height" 'BEGIN { print w * h / 1e6 }')

printf 'machine: %s, %s cores; load %s before\n' \
	"$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" \
	"$(cut -d ' ' -f 1 /proc/loadavg)"
printf 'model: %s; medians of %s runs, in turn\n' "$(basename "$file" .safetensors)" "$N"
printf 'picture: %s, %sx%s\n\n' "$(basename "$picture")" "$width" "$height"

printf 'At like quality (PSNR)\n    ours -q %s: %s dB, %s bytes\n' "$quality" "$target" \
	"$(bytes "$work/x.lat")"
if has avifenc && has avifdec; then
	avif=$(nearest 0 63 try_avif)
	printf '    avif cq-level %s: %s dB, %s bytes\n' $((63 - avif)) "$(try_avif "$avif")" \
		"$(bytes "$work/x.avif")"
fi
if has cwebp && has dwebp; then
	webp=$(nearest 0 100 try_webp)
	printf '    webp -q %s: %s dB, %s bytes\n' "$webp" "$(try_webp "$webp")" "$(bytes "$work/x.webp")"
fi
if has cjpeg && has djpeg; then
	jpeg=$(nearest 1 100 try_jpeg)
	printf '    jpeg -quality %s: %s dB, %s bytes\n' "$jpeg" "$(try_jpeg "$jpeg")" "$(bytes "$work/x.jpg")"
fi

printf '\nDecoding, one thread\n'
enter 'vae-dec -T1' "$decode -T1 '$work/x.lat'"
if [ -n "${avif:-}" ]; then
	# y4m does not convert back to RGB, PNG without compression does
	enter 'avifdec -j 1, to y4m' "avifdec -j 1 '$work/x.avif' '$work/out.y4m'"
	enter 'avifdec -j 1, to PNG, not compressed' \
		"avifdec -j 1 --png-compress 0 '$work/x.avif' '$work/out.png'"
fi
[ -z "${webp:-}" ] || enter 'dwebp -ppm' "dwebp -quiet -ppm '$work/x.webp' -o -"
[ -z "${jpeg:-}" ] || enter 'djpeg -ppm' "djpeg -ppm '$work/x.jpg'"
race
table "$small"

printf '\nEncoding, one thread\n'
enter 'vae-enc -T1 | vae-quant -T1' "$encode -T1 '$work/x.ppm' | vae-quant -T1 -m '$model'"
[ -z "${avif:-}" ] || enter 'avifenc -s 6 -j 1' "$(avif_encoder "$avif")"
[ -z "${webp:-}" ] || enter 'cwebp' "cwebp -quiet -q $webp '$work/x.ppm' -o -"
[ -z "${jpeg:-}" ] || enter 'cjpeg -optimize' "cjpeg -optimize -quality $jpeg '$work/x.ppm'"
race
table "$small"

# enlarge WIDTH HEIGHT: enters the decoding of the picture, repeated, by one thread and by two.
enlarge() {
	pnmtile "$1" "$2" "$work/x.ppm" >"$work/large.ppm" 2>/dev/null
	bash -c "$encode '$work/large.ppm' | vae-quant -m '$model' >'$work/large.lat'"
	enter 'vae-dec -T1' "$decode -T1 '$work/large.lat'"
	enter 'vae-dec -T2' "$decode -T2 '$work/large.lat'"
}
gain() { printf '    two threads against one: %s x\n' "$(ratio "${wall[0]}" "${wall[1]}")"; }

printf '\nDecoding 1088x1920 (height x width)\n'
large=$(awk 'BEGIN { print 1088 * 1920 / 1e6 }')
enlarge 1920 1088
isas=()
for isa in avx512f avx2; do
	grep -qw $isa /proc/cpuinfo && isas+=("${isa%f}")
done
for isa in "${isas[@]}"; do
	enter "VAE_CPU=$isa vae-dec -T1" "VAE_CPU=$isa $decode -T1 '$work/large.lat'"
done
race
table "$large"
gain
[ ${#isas[@]} -lt 2 ] || printf '    avx2 against avx512: %s x slower (CPU)\n' \
	"$(ratio "${cpu[3]}" "${cpu[2]}")"

printf '\nStart-up: 16x16, 20 processes a turn\n'
pamcut -width 16 -height 16 "$work/x.ppm" >"$work/tiny.ppm"
bash -c "$encode '$work/tiny.ppm' >'$work/tiny.latents'
	vae-quant -m '$model' <'$work/tiny.latents' >'$work/tiny.lat'"
enter 'vae-dec -T1' "$decode -T1 '$work/tiny.lat'"
enter 'vae-enc -T1' "$encode -T1 '$work/tiny.ppm'"
enter 'vae-quant -T1' "vae-quant -T1 -m '$model' '$work/tiny.latents'"
enter 'vae-dec --version (no model)' 'vae-dec --version'
enter '/bin/true (what a process costs)' /bin/true
race 20
table 0

printf '\nvae-stat -r, 1088x1920: PSNR, MS-SSIM and SSIMULACRA 2\n'
bash -c "$decode '$work/large.lat' >'$work/large-out.ppm'"
enter 'vae-stat -T1 -r' "vae-stat -T1 -r '$work/large.ppm' '$work/large-out.ppm'"
race
table "$large"

printf '\nDecoding 3000x4000\n'
enlarge 4000 3000
race
table 12
gain

printf "\nShare of the core's peak in the networks alone, 1088x1920 (build/bench/networks)\n"
peak_gflops=$("$B/bench/kernels" 0.3 "${isas[0]:-scalar}" | tee "$work/kernels" |
	awk '$2 == "peak" { print $3 }')
peak_gflops=${peak_gflops:-0}
printf '    between registers: %s GFLOP/s (build/bench/kernels)\n' "$peak_gflops"
for threads in 1 2; do
	"$B/bench/networks" "$file" 1920 1088 $threads | awk -v threads=$threads -v peak="$peak_gflops" \
		'{ printf "    %d thread%s %s %5.1f %% of the peak a thread\n",
			threads, (threads > 1 ? "s" : " "), $0, (peak > 0 ? 100 * $6 / threads / peak : 0) }'
done

printf '\nKernels: GFLOP/s and share of the peak, 4096 cells (build/bench/kernels)\n'
awk '/cells +k +n|channels|gaussian/ || $2 == 4096 { print "    " $0 }' "$work/kernels"

printf '\nEntropy coder, one thread (build/bench/coder)\n'
"$B/bench/coder" | sed 's/^/    /'
printf '\nload %s after\n' "$(cut -d ' ' -f 1 /proc/loadavg)"
