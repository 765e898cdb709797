# bdrate.awk - Bjontegaard's delta rate between rate-distortion curves, in per cent (negative: fewer bits than the anchor).
#
#   awk -f bdrate.awk -v test=ours -v anchor=jpeg420 [-v metric=psnr|msssim] CURVES.csv...
#
# CURVES: lines "codec,q,bpp,psnr,msssim" (a header line is skipped). The logarithm of the rate is interpolated over the metric by
# PCHIP (Fritsch and Butland's harmonic-mean slopes, one-sided three-point slopes at the ends) and averaged over the common range.
# MS-SSIM is taken as -10 log10(1 - MS-SSIM).
BEGIN { FS = ","; column = metric == "msssim" ? 5 : 4 }
$3 + 0 > 0 && ($1 == test || $1 == anchor) {
	x = column == 5 ? -10 * log(1 - $5) / log(10) : $4 + 0
	n[$1]++
	X[$1, n[$1]] = x
	Y[$1, n[$1]] = log($3)
}
function sort_curve(c,   i, j, t) {
	for (i = 2; i <= n[c]; i++)
		for (j = i; j > 1 && X[c, j - 1] > X[c, j]; j--) {
			t = X[c, j]; X[c, j] = X[c, j - 1]; X[c, j - 1] = t
			t = Y[c, j]; Y[c, j] = Y[c, j - 1]; Y[c, j - 1] = t
		}
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
	return (1 + 2 * t) * (1 - t) ^ 2 * Y[c, i] + t * (1 - t) ^ 2 * h * D[c, i] + t ^ 2 * (3 - 2 * t) * Y[c, i + 1] + t ^ 2 * (t - 1) * h * D[c, i + 1]
}
END {
	if (n[test] < 2 || n[anchor] < 2) { print "bdrate.awk: fewer than two points" > "/dev/stderr"; exit 1 }
	sort_curve(test); sort_curve(anchor); slopes(test); slopes(anchor)
	low = X[test, 1] > X[anchor, 1] ? X[test, 1] : X[anchor, 1]
	high = X[test, n[test]] < X[anchor, n[anchor]] ? X[test, n[test]] : X[anchor, n[anchor]]
	if (!(high > low)) { print "bdrate.awk: the curves do not overlap" > "/dev/stderr"; exit 1 }
	steps = 2000
	for (i = 0; i <= steps; i++) {
		x = low + (high - low) * i / steps
		sum += (i == 0 || i == steps ? 0.5 : 1) * (value(test, x) - value(anchor, x))
	}
	printf "%.2f\n", 100 * (exp(sum / steps) - 1)
}
