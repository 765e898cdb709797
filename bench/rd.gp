# rd.gp - rate-distortion curves: SSIMULACRA 2, PSNR and MS-SSIM against bits a pixel, as OUT.png and OUT.svg.
#
#   gnuplot -e "ours='photo.csv'; peers='peers.csv'; out='rd'" bench/rd.gp
#   more: title='...'; published='kodak_published.csv' (codec,metric,quality,bpp,psnr,ms_ssim)
#
# ours and peers are tables of rd.sh (codec,q,bpp,psnr,msssim, and ssimulacra2 or not), without
# blank lines; lines of the codec ours-ms in ours are of a model that was learned by MS-SSIM.
# MS-SSIM is drawn as -10 log10(1 - MS-SSIM), since what differs is how near it comes to 1.
if (!exists("title")) title = ''
set datafile separator ','
set key bottom right samplen 2 spacing 1.1
set grid lc rgb '#dddddd'
set logscale x 2
set xrange [0.05:4]
set xtics ("0.06" 0.0625, "0.12" 0.125, "0.25" 0.25, "0.5" 0.5, "1" 1, "2" 2, "4" 4)
set xlabel 'bits a pixel, whole files'
codecs = 'jpeg420 webp jxl heic_444 avif_s6_444'
names = 'JPEG WebP JPEG-XL HEIC AVIF'
colours = '#888888 #2a9d3a #b06000 #8040c0 #d02030'
public = 'cai:bmshj2018-hyperprior cai:mbt2018-mean paper:elic2022 vtm'
public_names = 'hyperprior mean-scale ELIC VTM'
db(s) = s < 1 ? -10 * log10(1 - s) : NaN
score(c) = valid(c) ? column(c) : NaN
is(name) = strcol(1) eq name
lines_in(file, name) = int(system("grep -c '^".name.",' '".file."' || true"))
there(name) = lines_in(peers, name)
of_mse(name) = strcol(1) eq name && strcol(2) ne 'ms-ssim'

do for [kind in 'png svg'] {
	if (kind eq 'png') { set terminal pngcairo size 2100,640 font 'sans,13' } else { set terminal svg size 2100,640 font 'sans,13' }
	set output out.'.'.kind
	set multiplot layout 1,3 title title
	set ylabel 'SSIMULACRA 2'
	set yrange [0:95]
	plot for [i = 1:words(codecs)] peers using (is(word(codecs, i)) ? $3 : NaN):(score(6)) with linespoints lc rgb word(colours, i) lw 1.5 pt 7 ps 0.5 title there(word(codecs, i)) ? word(names, i) : '', \
		ours using (is('ours') ? $3 : NaN):(score(6)) with linespoints lc rgb '#0050d0' lw 3 pt 7 ps 0.9 title 'vae-tools', \
		ours using (is('ours-ms') ? $3 : NaN):(score(6)) with linespoints lc rgb '#00a0d0' lw 3 pt 7 ps 0.9 title lines_in(ours, 'ours-ms') ? 'vae-tools, photo-ms' : ''
	set ylabel 'PSNR of RGB, dB'
	set yrange [23:45]
	plot for [i = 1:words(codecs)] peers using (is(word(codecs, i)) ? $3 : NaN):4 with linespoints lc rgb word(colours, i) lw 1.5 pt 7 ps 0.5 title there(word(codecs, i)) ? word(names, i) : '', \
		for [i = 1:(exists("published") ? words(public) : 0)] (exists("published") ? published : peers) using (of_mse(word(public, i)) ? $4 : NaN):5 \
			with lines dt 2 lw 1.5 lc i title word(public_names, i).', published', \
		ours using (is('ours') ? $3 : NaN):4 with linespoints lc rgb '#0050d0' lw 3 pt 7 ps 0.9 title 'vae-tools'
	set ylabel 'MS-SSIM, dB'
	set yrange [5:27]
	plot for [i = 1:words(codecs)] peers using (is(word(codecs, i)) ? $3 : NaN):(db($5)) with linespoints lc rgb word(colours, i) lw 1.5 pt 7 ps 0.5 title there(word(codecs, i)) ? word(names, i) : '', \
		ours using (is('ours') ? $3 : NaN):(db($5)) with linespoints lc rgb '#0050d0' lw 3 pt 7 ps 0.9 title 'vae-tools', \
		ours using (is('ours-ms') ? $3 : NaN):(db($5)) with linespoints lc rgb '#00a0d0' lw 3 pt 7 ps 0.9 title lines_in(ours, 'ours-ms') ? 'vae-tools, photo-ms' : ''
	unset multiplot
	set output
}
