# plot-log.gp - the course of a training: loss, bits a pixel and PSNR of vae-train's --log (of a
# dense model: loss, negative ELBO and KL), as OUT.png and OUT.svg.
#
#   gnuplot -e "logs='my.tsv'; out='log'" bench/plot-log.gp
#   more: logs='a.tsv b.tsv' for several runs in one figure; x='step' instead of minutes;
#         title='...'; span=50, the lines that the mean runs over
#
# Pale: what each line of the log says of the batches since the one before. Strong: its running
# mean. Points: validation, by the averaged weights and rounded latents at five qualities: bits and
# PSNR are means over other lambdas than those of training, so that the two need not meet.
if (!exists("title")) title = ''
if (!exists("x")) x = 'minutes'
if (!exists("span")) span = 50.0
set datafile separator tab
set datafile columnheaders
set datafile missing NaN
set key top right samplen 2 spacing 1.1 opaque
set grid lc rgb '#dddddd'
set xlabel x
set tics nomirror
set lmargin 9
colours = '#0050d0 #d02030 #2a9d3a #b06000 #8040c0 #606060'
colour(i) = word(colours, (i - 1) % words(colours) + 1)
pale(i) = '#c0'.colour(i)[2:]
name(i) = words(logs) < 2 ? '' : system("basename '".word(logs, i)."' .tsv").': '
is(kind) = strcol('set') eq kind

# A mean that forgets: over the lines so far at first, over about `span` of them later.
mean(v) = v == v ? (n = n + 1, m = m + (v - m) / (n < span ? n : span), m) : NaN

dense = int(system("awk -F'\t' 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } $at[\"elbo\"] + 0 { e = 1 } END { print e + 0 }' ".word(logs, 1)))
columns = dense ? 'loss elbo kl' : 'loss bpp psnr'
labels = dense ? '"loss" "negative ELBO, nats" "KL, nats"' : '"loss" "bits a pixel" "PSNR, dB"'

# "LOW HIGH" of a column: the half of the lines in the middle, as far again to either side, and all
# of validation. First steps and spikes may leave it.
range(c) = system("awk -F'\t' -v c=".c." 'FNR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } { print $at[\"set\"], $at[c] }' ".logs. \
	" | sort -k 1,1 -k 2,2g | awk '$1 == \"train\" { t[++n] = $2 } $1 == \"valid\" && !(high >= $2 && v) { high = $2 } $1 == \"valid\" && !v++ { low = $2 } ". \
	"END { a = t[int(n / 4) + 1]; b = t[int(3 * n / 4) + 1]; d = b - a; a -= d; b += d; a = a > t[1] ? a : t[1]; b = b < t[n] ? b : t[n]; ". \
	"if (!v || a < low) low = a; if (!v || b > high) high = b; print low, high }'")

do for [kind in 'png svg'] {
	if (kind eq 'png') { set terminal pngcairo size 1500,480 font 'sans,12' } else { set terminal svg size 1500,480 font 'sans,12' }
	set output out.'.'.kind
	set multiplot layout 1,3 title title
	do for [k = 1:3] {
		c = word(columns, k)
		set ylabel word(labels, k) offset 1
		low = real(word(range(c), 1))
		high = real(word(range(c), 2))
		d = (high - low) * 0.04 + 1e-9
		set yrange [low - d:high + d]
		if (k > 1) { set key off } else { set key on }
		plot for [i = 1:words(logs)] word(logs, i) using x:(is('train') ? column(c) : NaN) with lines lc rgb pale(i) lw 1 notitle, \
			for [i = 1:words(logs)] n = 0 m = 0 word(logs, i) using x:(is('train') ? mean(column(c)) : NaN) with lines lc rgb colour(i) lw 2 title name(i).'training', \
			for [i = 1:words(logs)] word(logs, i) using x:(is('valid') ? column(c) : NaN) with linespoints lc rgb colour(i) lw 1 pt 7 ps 0.7 title name(i).'validation'
	}
	unset multiplot
	set output
}
