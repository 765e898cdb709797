# bdrate.awk - Bjontegaard's delta rate between rate-distortion curves, in per cent (negative: fewer
# bits than the anchor).
#
#   awk -f bdrate.awk -v test=ours -v anchor=jpeg420
#       [-v metric=psnr|msssim|ssimulacra2|butteraugli] [-v low=L] [-v high=H] [-v by=picture]
#       CURVES.csv...
#
# Each file begins with the names of its columns: codec, q, bpp, image perhaps, and metrics in any
# order. The logarithm of the rate is interpolated over the metric by PCHIP (Fritsch and Butland's
# harmonic-mean slopes, one-sided three-point slopes at the ends) and averaged over the common
# range, of which low and high choose a band: they are values of the metric. MS-SSIM is taken as -10
# log10(1 - MS-SSIM), Butteraugli's distance d as -d. A point whose rate or metric is no finite
# number is left out: of equal pictures PSNR is infinite, and so is MS-SSIM of 1 in decibels.
#
# With a column image: over the pictures that both codecs have, the delta of the curves of means;
# with by=picture the mean of the deltas of each picture, and how many pictures it is of. A picture
# counts where its curves have half of the band in common.
BEGIN { FS = ","; if (metric == "") metric = "psnr"; steps = 2000; banded = low != "" && high != "" }
{ sub(/\r$/, "") }
FNR == 1 {
	split("", at)
	for (i = 1; i <= NF; i++) at[$i] = i
	if (metric in at) measured = 1
	next
}
$1 != test && $1 != anchor { next }
{ found[$1] = 1 }
!(metric in at) || !number($at["bpp"]) || $at["bpp"] + 0 <= 0 { next }
!number($at[metric]) || !finite(scaled($at[metric])) { next }
{
	picture = "image" in at ? $at["image"] : ""
	has[$1, picture] = 1
	pictures[picture] = 1
	c = $1 SUBSEP picture
	i = ++n[c]
	Q[c, i] = $at["q"]
	R[c, i] = $at["bpp"]
	V[c, i] = $at[metric]
}
# Neither -, nan nor inf, which awks convert in different ways, nor 1e999.
function number(text) { return text ~ /[0-9]/ && finite(text + 0) }
function finite(v) { return v > -1e300 && v < 1e300 }
function scaled(v) {
	if (metric == "msssim") return v < 1 ? -10 * log(1 - v) / log(10) : 1e300
	return metric == "butteraugli" ? -v : v + 0
}
# Points in order, each value once: of equal ones the cheapest.
function sort_curve(c,   i, j, t, m) {
	for (i = 2; i <= n[c]; i++)
		for (j = i; j > 1 && (X[c, j - 1] > X[c, j] ||
			(X[c, j - 1] == X[c, j] && Y[c, j - 1] > Y[c, j])); j--) {
			t = X[c, j]; X[c, j] = X[c, j - 1]; X[c, j - 1] = t
			t = Y[c, j]; Y[c, j] = Y[c, j - 1]; Y[c, j - 1] = t
		}
	for (i = 1; i <= n[c]; i++)
		if (i == 1 || X[c, i] > X[c, m]) { m++; X[c, m] = X[c, i]; Y[c, m] = Y[c, i] }
	n[c] = m
}
function sign(v) { return v > 0 ? 1 : v < 0 ? -1 : 0 }
function abs(v) { return v < 0 ? -v : v }
function end_slope(h0, h1, m0, m1,   d) {
	d = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
	if (sign(d) != sign(m0)) return 0
	if (sign(m0) != sign(m1) && abs(d) > 3 * abs(m0)) return 3 * m0
	return d
}
function slopes(c,   i, w1, w2) {
	for (i = 1; i < n[c]; i++) {
		H[i] = X[c, i + 1] - X[c, i]
		M[i] = (Y[c, i + 1] - Y[c, i]) / H[i]
	}
	for (i = 2; i < n[c]; i++) {
		w1 = 2 * H[i] + H[i - 1]; w2 = H[i] + 2 * H[i - 1]
		D[c, i] = M[i - 1] * M[i] > 0 ? (w1 + w2) / (w1 / M[i - 1] + w2 / M[i]) : 0
	}
	D[c, 1] = n[c] > 2 ? end_slope(H[1], H[2], M[1], M[2]) : M[1]
	D[c, n[c]] = n[c] > 2 ? end_slope(H[n[c] - 1], H[n[c] - 2], M[n[c] - 1], M[n[c] - 2]) : M[1]
}
function value(c, x,   i, h, t) {
	for (i = 1; i < n[c] - 1 && x > X[c, i + 1]; i++);
	h = X[c, i + 1] - X[c, i]
	t = (x - X[c, i]) / h
	return (1 + 2 * t) * (1 - t) ^ 2 * Y[c, i] + t * (1 - t) ^ 2 * h * D[c, i] + \
		t ^ 2 * (3 - 2 * t) * Y[c, i + 1] + t ^ 2 * (t - 1) * h * D[c, i + 1]
}
# The delta of curve a against b in percent, to delta; what is wrong, or "".
function compare(a, b,   from, to, i, x, sum) {
	if (n[a] < 2 || n[b] < 2) return "fewer than two points"
	sort_curve(a); sort_curve(b)
	if (n[a] < 2 || n[b] < 2) return "fewer than two points"
	slopes(a); slopes(b)
	from = X[a, 1] > X[b, 1] ? X[a, 1] : X[b, 1]
	to = X[a, n[a]] < X[b, n[b]] ? X[a, n[a]] : X[b, n[b]]
	if (low != "" && from < scaled(low)) from = scaled(low)
	if (high != "" && to > scaled(high)) to = scaled(high)
	if (!(to > from)) return "the curves do not overlap"
	if (banded && to - from < (scaled(high) - scaled(low)) / 2) return "less than half of the band is common"
	for (i = 0; i <= steps; i++) {
		x = from + (to - from) * i / steps
		sum += (i == 0 || i == steps ? 0.5 : 1) * (value(a, x) - value(b, x))
	}
	delta = 100 * (exp(sum / steps) - 1)
	return ""
}
# Points of codec's curve of a picture as they are; of all common pictures, a point for each q, the mean.
function own_curve(codec, picture,   c, i) {
	c = codec SUBSEP picture
	for (i = 1; i <= n[c]; i++) { X[c, i] = scaled(V[c, i]); Y[c, i] = log(R[c, i]) }
	return c
}
function mean_curve(codec,   c, i, k, picture, q, count, bits, quality) {
	for (picture in common) {
		c = codec SUBSEP picture
		for (i = 1; i <= n[c]; i++) { q = Q[c, i]; count[q]++; bits[q] += R[c, i]; quality[q] += V[c, i] }
	}
	for (q in count) {
		if (count[q] < commons) continue
		k++
		X[codec, "mean", k] = scaled(quality[q] / count[q])
		Y[codec, "mean", k] = log(bits[q] / count[q])
	}
	n[codec, "mean"] = k
	return codec SUBSEP "mean"
}
function give_up(why) { print "bdrate.awk: " why > "/dev/stderr"; exit 1 }
END {
	for (picture in pictures)
		if ((test, picture) in has && (anchor, picture) in has) { common[picture] = 1; commons++ }
	if (!measured) give_up("no table has the column " metric)
	for (i = 1; i <= 2; i++) {
		codec = i == 1 ? test : anchor
		if (!(codec in found)) give_up("no table has the codec " codec)
	}
	if (!commons) give_up("fewer than two points")
	if (by != "picture") {
		problem = "" in common && commons == 1 ? compare(own_curve(test, ""), own_curve(anchor, "")) : \
			compare(mean_curve(test), mean_curve(anchor))
		if (problem) give_up(problem)
		printf "%.2f\n", delta
		exit 0
	}
	for (picture in common)
		if (problem = compare(own_curve(test, picture), own_curve(anchor, picture))) last = problem
		else { sum += delta; count++ }
	if (!count) give_up(last)
	printf "%.2f %d\n", sum / count, count
}
